// Load on a real server: ranges, directions and limits; categories with rows that have no type; never beyond what is
// settled; in bounded memory.
#include "database.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct meow_query everything = {.from = INT64_MIN, .to = INT64_MAX};

static struct meow_cursor *open_cursor(struct meow_store *store, const struct meow_query *query)
{
	struct meow_error err;
	struct meow_cursor *cursor = meow_load(store, query, &err);
	if (!cursor)
		fail_msg("%s", err.text);
	return cursor;
}

static bool next(struct meow_cursor *cursor, struct meow_event *ret_event)
{
	struct meow_error err;
	bool found;
	assert_ok(meow_cursor_next(cursor, ret_event, &found, &err), err);
	return found;
}

// The versions (of an aggregate) or positions that a query gives, in one line.
static const char *numbers(struct meow_store *store, struct meow_query query)
{
	static char line[4096];
	struct meow_event event;
	struct meow_cursor *cursor = open_cursor(store, &query);
	size_t used = 0;
	line[0] = '\0';
	while (next(cursor, &event))
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%" PRId64, used ? " " : "",
			query.aggregate_id ? event.version : event.position);
	assert_false(next(cursor, &event)); // the end stays the end
	meow_cursor_close(cursor);
	return line;
}

static void an_aggregate_by_versions(void **state)
{
	(void)state;
	struct meow_store *store = store_open_or_fail(database_create_store("TEXT"));
	for (int i = 0; i < 6; i++) {
		append_or_fail(store, "order", "o1", i - 1, "{}");
		append_or_fail(store, "order", "o2", i - 1, "{}");
	}
	struct meow_query query = {.aggregate_type = "order", .aggregate_id = "o1", .from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "0 1 2 3 4 5");
	query.reverse = true;
	assert_string_equal(numbers(store, query), "5 4 3 2 1 0");
	query.limit = 2;
	assert_string_equal(numbers(store, query), "5 4");
	query.from = 1;
	query.to = 3;
	query.limit = 0;
	assert_string_equal(numbers(store, query), "3 2 1");
	query.reverse = false;
	assert_string_equal(numbers(store, query), "1 2 3");
	query.limit = 3;
	assert_string_equal(numbers(store, query), "1 2 3");
	query.from = 4;
	assert_string_equal(numbers(store, query), "");
	query =
		(struct meow_query){.aggregate_type = "order", .aggregate_id = "unknown", .from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "");
	query.aggregate_id = "o1";
	query.aggregate_type = "payment"; // the id is known, but not as one of those
	assert_string_equal(numbers(store, query), "");
	struct meow_error err;
	query.aggregate_type = NULL;
	assert_null(meow_load(store, &query, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	meow_store_close(store);
}

static void everything_and_a_category_by_positions(void **state)
{
	(void)state;
	struct meow_store *store = store_open_or_fail(database_create_store("TEXT"));
	assert_string_equal(numbers(store, everything), ""); // a fresh table has nothing, and one event is not overlooked
	append_or_fail(store, "order", "o1", MEOW_EXPECT_NEW, "{}");
	assert_string_equal(numbers(store, everything), "1");
	for (int i = 0; i < 4; i++) {
		append_or_fail(store, "payment", "p1", i - 1, "{}");
		append_or_fail(store, "order", "o1", i, "{}");
	}
	assert_string_equal(numbers(store, everything), "1 2 3 4 5 6 7 8 9");
	struct meow_query query = {.aggregate_type = "order", .from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "1 3 5 7 9");
	query.from = 2;
	query.to = 7;
	assert_string_equal(numbers(store, query), "3 5 7");
	query.reverse = true;
	assert_string_equal(numbers(store, query), "7 5 3");
	query.limit = 2;
	assert_string_equal(numbers(store, query), "7 5");
	query.aggregate_type = NULL;
	assert_string_equal(numbers(store, query), "7 6");
	query.from = query.to = 7;
	assert_string_equal(numbers(store, query), "7");
	query.aggregate_type = "{\"}, \\"; // quoted, whatever it is
	assert_string_equal(numbers(store, query), "");
	append_or_fail(store, "{\"}, \\", "x", MEOW_EXPECT_NEW, "{}");
	query.from = 0;
	query.to = INT64_MAX;
	assert_string_equal(numbers(store, query), "10");
	meow_store_close(store);
}

static void a_category_has_the_rows_without_a_type_in_order(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	for (int i = 0; i < 5; i++) {
		append_or_fail(store, "order", "o1", i - 1, "{}");
		append_or_fail(store, "payment", "p1", i - 1, "{}");
	}
	// As rows older than meowmx are, or such as came by replication.
	sql_run(conn, "UPDATE es_events SET aggregate_type = NULL, created_at = NULL WHERE id IN (1, 2, 5, 6, 7)");
	struct meow_query query = {.aggregate_type = "order", .from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "1 3 5 7 9");
	query.limit = 4;
	assert_string_equal(numbers(store, query), "1 3 5 7");
	query.reverse = true;
	assert_string_equal(numbers(store, query), "9 7 5 3");
	query.limit = 1;
	struct meow_cursor *cursor = open_cursor(store, &(struct meow_query){.from = 1, .to = 1});
	struct meow_event event;
	assert_true(next(cursor, &event));
	assert_string_equal(event.aggregate_type.data, "order");
	assert_int_equal(event.time_us, MEOW_NO_TIME);
	assert_null(event.metadata.data);
	meow_cursor_close(cursor);
	PQfinish(conn);
	meow_store_close(store);
}

static void pages_join_without_a_seam(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	// Now and then an id is missing, and sizes change from bytes to hundreds of kilobytes.
	sql_run(conn,
		"INSERT INTO es_aggregates VALUES ('o1', 9999, 'order');"
		"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
		"SELECT pg_current_xact_id(), 'o1', n, 'a', ('\"' || repeat('x', CASE WHEN n BETWEEN 5000 AND 5060 THEN 300000 "
		"ELSE n %% 50 END) || '\"')::json FROM generate_series(0, 9999) n;"
		"DELETE FROM es_events WHERE id %% 97 = 0");
	const struct meow_query queries[] = {
		{.aggregate_type = "order", .aggregate_id = "o1", .from = INT64_MIN, .to = INT64_MAX},
		{.aggregate_type = "order", .from = INT64_MIN, .to = INT64_MAX},
		{.from = INT64_MIN, .to = INT64_MAX},
	};
	for (size_t i = 0; i < 6; i++) {
		struct meow_query query = queries[i % 3];
		query.reverse = i >= 3;
		struct meow_cursor *cursor = open_cursor(store, &query);
		struct meow_event event;
		int64_t count = 0, last = query.reverse ? INT64_MAX : 0;
		while (next(cursor, &event)) {
			assert_true(query.reverse ? event.position < last : event.position > last);
			last = event.position;
			assert_int_equal(event.version, event.position - 1);
			assert_int_equal(
				event.data.size, 2 + (event.version >= 5000 && event.version <= 5060 ? 300000 : event.version % 50));
			count++;
		}
		assert_int_equal(count, 10000 - 10000 / 97);
		meow_cursor_close(cursor);
	}
	PQfinish(conn);
	meow_store_close(store);
}

// What was cut and written anew has the same versions: to go on would join the old history to the new one.
static void a_history_that_is_cut_below_what_was_shown_ends_its_load(void **state)
{
	(void)state;
	struct meow_store *store = store_open_or_fail(database_create_store("TEXT"));
	for (int i = 0; i < 6; i++) {
		const bool reverse = i % 2 == 1;
		const int cut = i < 2 ? 10 : i < 4 ? 170 : 290; // below both first pages; below that of the reverse load; above
		struct meow_query query = {.aggregate_type = "order",
			.aggregate_id = new_uuid(),
			.from = INT64_MIN,
			.to = INT64_MAX,
			.reverse = reverse};
		struct meow_event event;
		struct meow_error err;
		bool found = true;
		int count = 0;
		for (int version = 0; version < 300; version++)
			append_or_fail(store, "order", query.aggregate_id, version - 1, "1");
		struct meow_cursor *cursor = open_cursor(store, &query);
		for (; count < 50; count++)
			assert_true(next(cursor, &event));
		assert_ok(meow_delete(store, "order", query.aggregate_id, cut, NULL, &err), err);
		for (int version = cut; version < 300; version++)
			append_or_fail(store, "order", query.aggregate_id, version - 1, "2");
		bool stands = reverse ? cut > 200 : cut > 99;
		char last = '\0';
		while (found && meow_cursor_next(cursor, &event, &found, &err)) {
			count += found;
			last = found ? *event.data.data : last;
		}
		assert_int_equal(count, stands ? 300 : 100);
		assert_int_equal(found, !stands);
		if (!stands) {
			assert_int_equal(err.kind, MEOW_CONFLICT);
			assert_says(err, "was cut while it was loaded");
		} else if (!reverse) {
			assert_int_equal(last, '2');
		}
		meow_cursor_close(cursor);
	}
	meow_store_close(store);
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif

static void large_events_take_bounded_memory(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	sql_run(conn,
		"INSERT INTO es_aggregates VALUES ('o1', 5039, 'order');"
		"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
		"SELECT pg_current_xact_id(), 'o1', n, 'a', ('\"' || repeat('x', CASE WHEN n < 5000 THEN 10 ELSE 3000000 END) "
		"|| '\"')::json FROM generate_series(0, 5039) n");
	struct meow_cursor *cursor = open_cursor(store, &everything);
	struct meow_event event;
	struct rusage before, after;
	int count = 0;
	for (; count < 4000; count++)
		assert_true(next(cursor, &event));
	getrusage(RUSAGE_SELF, &before);
	while (next(cursor, &event))
		count++;
	getrusage(RUSAGE_SELF, &after);
	assert_int_equal(count, 5040);
	meow_cursor_close(cursor);
#ifndef SANITIZED
	assert_true(after.ru_maxrss - before.ru_maxrss < 32 * 1024); // of 120 MB
#endif
	// A cursor that is closed early leaves a store that goes on.
	cursor = open_cursor(store, &everything);
	assert_true(next(cursor, &event));
	meow_cursor_close(cursor);
	append_or_fail(store, "order", "o1", 5039, "{}");
	PQfinish(conn);
	meow_store_close(store);
}

// --- what is settled ---

static void a_roll_back_leaves_a_gap_that_is_stepped_over(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	append_or_fail(store, "order", "o1", MEOW_EXPECT_NEW, "{}");
	sql_run(conn, "BEGIN; SELECT nextval('es_events_id_seq'); SELECT nextval('es_events_id_seq'); ROLLBACK");
	append_or_fail(store, "order", "o1", 0, "{}");
	assert_string_equal(numbers(store, everything), "1 4");
	PQfinish(conn);
	meow_store_close(store);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void a_load_ends_below_a_writer_that_stays_open(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *slow = sql_open(database_url_with(url, "application_name=slow-writer"));
	append_or_fail(store, "order", "o1", MEOW_EXPECT_NEW, "{}");
	append_or_fail(store, "order", "o1", 0, "{}");
	sql_run(slow, "BEGIN; INSERT INTO es_aggregates VALUES ('slow', 0, 'order');"
				  "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
				  "VALUES (pg_current_xact_id(), 'slow', 0, 'a', '{}')");
	append_or_fail(store, "order", "o1", 1, "{}");

	int64_t began = now_ms();
	struct meow_event event;
	struct meow_cursor *cursor = open_cursor(store, &everything);
	for (int64_t position = 1; position <= 2; position++) {
		assert_true(next(cursor, &event));
		assert_int_equal(event.position, position);
	}
	assert_false(next(cursor, &event));
	char pid[32];
	snprintf(pid, sizeof(pid), "pid %d (slow-writer)", PQbackendPID(slow));
	assert_non_null(meow_cursor_held_back_by(cursor));
	assert_non_null(strstr(meow_cursor_held_back_by(cursor), pid));
	meow_cursor_close(cursor);
	assert_true(now_ms() - began < 2500);

	// An aggregate's own events need no proof; what lies below a checkpoint has been proven.
	struct meow_query query = {.aggregate_type = "order", .aggregate_id = "o1", .from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "0 1 2");
	query = (struct meow_query){.from = INT64_MIN, .to = 2};
	sql_run(slow, "COMMIT");
	assert_string_equal(numbers(store, everything), "1 2 3 4");
	PGconn *conn = sql_open(url);
	sql_run(conn, "INSERT INTO meowmx_checkpoints (subscription, delivered, position) VALUES ('s', 2, 2)");
	sql_run(slow, "BEGIN; SELECT nextval('es_events_id_seq')");
	began = now_ms();
	assert_string_equal(numbers(store, query), "1 2");
	assert_true(now_ms() - began < 500);
	sql_run(slow, "ROLLBACK");

	// A writer that ends in time is waited for.
	sql_run(slow, "BEGIN; SELECT nextval('es_events_id_seq')");
	append_or_fail(store, "order", "o1", 2, "{}");
	sql_run(slow, "SET idle_in_transaction_session_timeout = '300ms'");
	assert_string_equal(numbers(store, everything), "1 2 3 4 7");
	PQfinish(slow);

	sql_run(conn, "BEGIN; SET LOCAL meowmx.notify = off; SELECT nextval('es_events_id_seq');"
				  "PREPARE TRANSACTION 'forgotten'");
	append_or_fail(store, "order", "o1", 3, "{}");
	cursor = open_cursor(store, &everything);
	while (next(cursor, &event))
		assert_true(event.position <= 7);
	assert_non_null(strstr(meow_cursor_held_back_by(cursor), "prepared transaction forgotten"));
	meow_cursor_close(cursor);
	sql_run(conn, "ROLLBACK PREPARED 'forgotten'");
	PQfinish(conn);
	meow_store_close(store);
}

// Readers that ask again and again for "what comes after N" while writers roll back, and draw their ids long before.
struct storm {
	pthread_t threads[6];
	const char *url;
	volatile bool stop;
};

static void *write_odd(void *arg)
{
	struct storm *storm = arg;
	static int number;
	int me = __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED);
	unsigned seed = (unsigned)me * 7919;
	PGconn *conn = PQconnectdb(storm->url);
	for (int version = 0; !storm->stop; version++) {
		char sql[512];
		PQclear(PQexec(conn, "BEGIN"));
		int64_t id = 0;
		if (rand_r(&seed) % 3 == 0) { // the id long before its insert
			PGresult *result = PQexec(conn, "SELECT nextval('es_events_id_seq')");
			id = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
			PQclear(result);
			usleep((useconds_t)(rand_r(&seed) % 5000));
		}
		snprintf(sql, sizeof(sql),
			"INSERT INTO es_aggregates VALUES ('w%d-%d', 0, 'order'); INSERT INTO es_events "
			"(id, transaction_id, aggregate_id, version, event_type, json_data) VALUES (%s, pg_current_xact_id(), "
			"'w%d-%d', 0, 'a', '{}')",
			me, version, "%s", me, version);
		char number_text[32], insert[600];
		snprintf(number_text, sizeof(number_text), "%" PRId64, id);
		const char *mark = strstr(sql, "%s");
		snprintf(insert, sizeof(insert), "%.*s%s%s", (int)(mark - sql), sql, id ? number_text : "DEFAULT", mark + 2);
		PQclear(PQexec(conn, insert));
		usleep((useconds_t)(rand_r(&seed) % 2000));
		PQclear(PQexec(conn, rand_r(&seed) % 4 ? "COMMIT" : "ROLLBACK"));
	}
	PQfinish(conn);
	return NULL;
}

static void what_comes_after_n_never_misses_an_event(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct storm storm = {.url = url};
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(pthread_create(&storm.threads[i], NULL, write_odd, &storm), 0);
	int64_t last = 0, count = 0, began = now_ms();
	struct meow_event event;
	while (!storm.stop || count < sql_number(conn, "SELECT count(*) FROM es_events")) {
		if (now_ms() - began > 3000 && !storm.stop) {
			storm.stop = true;
			for (size_t i = 0; i < 6; i++)
				pthread_join(storm.threads[i], NULL);
		}
		assert_true(now_ms() - began < 30000);
		struct meow_query query = {.from = last + 1, .to = INT64_MAX};
		if (count % 2)
			query.aggregate_type = "order";
		struct meow_cursor *cursor = open_cursor(store, &query);
		while (next(cursor, &event)) {
			assert_true(event.position > last);
			last = event.position;
			count++;
		}
		meow_cursor_close(cursor);
	}
	assert_true(count > 100);
	assert_int_equal(count, sql_number(conn, "SELECT count(*) FROM es_events"));
	PQfinish(conn);
	meow_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_aggregate_by_versions),
		cmocka_unit_test(everything_and_a_category_by_positions),
		cmocka_unit_test(a_category_has_the_rows_without_a_type_in_order),
		cmocka_unit_test(pages_join_without_a_seam),
		cmocka_unit_test(a_history_that_is_cut_below_what_was_shown_ends_its_load),
		cmocka_unit_test(large_events_take_bounded_memory),
		cmocka_unit_test(a_roll_back_leaves_a_gap_that_is_stepped_over),
		cmocka_unit_test(a_load_ends_below_a_writer_that_stays_open),
		cmocka_unit_test(what_comes_after_n_never_misses_an_event),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
