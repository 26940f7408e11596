// Append on a real server: versions, conflicts, tokens, what a broken connection leaves, and 16 writers at once.
#include "database.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN "11111111-1111-4111-8111-111111111111"

static struct meow_new_event an_event(const char *type, const char *data)
{
	return (struct meow_new_event){.type = bytes_of(type), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
}

// Appends one event and returns how that ended.
static enum meow_error_kind try_one(struct meow_store *store, const char *type, const char *id, int64_t expected,
	struct meow_new_event event, struct meow_appended *ret, int64_t *ret_found, struct meow_error *err)
{
	struct meow_append append = {
		.aggregate_type = type, .aggregate_id = id, .expected = expected, .events = &event, .count = 1};
	*err = (struct meow_error){0};
	return meow_append(store, &append, ret, ret_found, err) ? MEOW_ERROR_NONE : err->kind;
}

static void versions_follow_what_is_expected(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	struct meow_error err;
	struct meow_appended appended;
	int64_t found = 77;
	struct meow_new_event event = an_event("happened", "{}");
	assert_int_equal(try_one(store, "order", id, 0, event, &appended, &found, &err), MEOW_CONFLICT);
	assert_int_equal(found, -1);
	assert_says(err, "expected version 0, and it has no event");
	assert_int_equal(try_one(store, "order", id, MEOW_EXPECT_NEW, event, &appended, &found, &err), MEOW_ERROR_NONE);
	assert_int_equal(appended.version, 0);
	assert_false(appended.repeated);
	assert_int_equal(try_one(store, "order", id, MEOW_EXPECT_NEW, event, &appended, &found, &err), MEOW_CONFLICT);
	assert_int_equal(found, 0);
	assert_says(err, "expected no event yet, found version 0");
	int64_t before = appended.position;
	assert_int_equal(try_one(store, "order", id, 0, event, &appended, &found, &err), MEOW_ERROR_NONE);
	assert_int_equal(appended.version, 1);
	assert_true(appended.position > before);
	assert_int_equal(try_one(store, "order", id, 0, event, &appended, &found, &err), MEOW_CONFLICT);
	assert_int_equal(found, 1);
	assert_int_equal(try_one(store, "order", id, MEOW_EXPECT_ANY, event, &appended, &found, &err), MEOW_ERROR_NONE);
	assert_int_equal(appended.version, 2);
	assert_int_equal(
		try_one(store, "order", new_uuid(), MEOW_EXPECT_ANY, event, &appended, &found, &err), MEOW_ERROR_NONE);
	assert_int_equal(appended.version, 0);

	struct meow_append nothing = {.aggregate_type = "order", .aggregate_id = "no uuid at all", .expected = 99};
	assert_ok(meow_append(store, &nothing, NULL, NULL, &err), err);
	meow_store_close(store);
}

static void a_caller_need_not_want_to_know(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL);
	struct meow_store *store = store_open_or_fail(url);
	struct meow_new_event event = an_event("happened", "{}");
	struct meow_append append = {.aggregate_type = "order",
		.aggregate_id = new_uuid(),
		.expected = MEOW_EXPECT_NEW,
		.events = &event,
		.count = 1};
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	assert_false(meow_append(store, &append, NULL, NULL, NULL));
	append.expected = MEOW_EXPECT_ANY;
	append.token = TOKEN;
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	append.aggregate_id = "no uuid";
	assert_false(meow_append(store, &append, NULL, NULL, NULL));
	struct meow_query query = {
		.aggregate_type = "order", .aggregate_id = "no uuid", .from = INT64_MIN, .to = INT64_MAX};
	assert_null(meow_load(store, &query, NULL));
	meow_store_close(store);
	assert_null(meow_store_open("mysql://", NULL));
	meow_store_close(NULL);
	meow_cursor_close(NULL);
}

static void several_events_are_one_append(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct meow_error err;
	struct meow_appended appended;
	int64_t found;
	struct meow_new_event events[3] = {an_event("a", "{\"n\": 1.0}"), an_event("b", "[12345678901234567890, 1e400]"),
		an_event("c", "{\"k\":1,\"k\":\"\\u0000\"}\n")};
	events[1].metadata = MEOW_BYTES(" {\"user\":\"é\"}");
	events[2].time_us = INT64_C(-1);
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o 1", .expected = MEOW_EXPECT_NEW, .events = events, .count = 3};
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 2);
	append.expected = 2;
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 5);
	append.expected = MEOW_EXPECT_ANY;
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 8);
	append.expected = 5;
	assert_fails(meow_append(store, &append, &appended, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 8);

	// Byte for byte, in order, with one token an append, the transaction's real id, and the time that was given.
	sql_assert_text(conn, "abcabcabc", "SELECT string_agg(event_type, '' ORDER BY id) FROM es_events");
	sql_assert_text(conn, "012345678", "SELECT string_agg(version::text, '' ORDER BY id) FROM es_events");
	sql_assert_text(conn, "{\"k\":1,\"k\":\"\\u0000\"}\n", "SELECT json_data FROM es_events WHERE version = 2");
	sql_assert_text(conn, "[12345678901234567890, 1e400]", "SELECT json_data FROM es_events WHERE version = 1");
	sql_assert_text(conn, " {\"user\":\"é\"}", "SELECT metadata FROM es_events WHERE version = 1");
	sql_assert_text(conn, "t", "SELECT bool_and(xmin::text::bigint = transaction_id::text::bigint) FROM es_events");
	sql_assert_text(conn, "3", "SELECT count(DISTINCT append_id) FROM es_events");
	sql_assert_text(conn, "3",
		"SELECT count(*) FROM es_events WHERE created_at = "
		"'1969-12-31 23:59:59.999999+00'");
	sql_assert_text(conn, "8", "SELECT version FROM es_aggregates");
	PQfinish(conn);
	meow_store_close(store);
}

static void a_row_without_events_is_new_and_types_must_agree(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct meow_error err;
	struct meow_appended appended;
	int64_t found = 0;
	struct meow_new_event event = an_event("happened", "{}");
	sql_run(conn, "INSERT INTO es_aggregates VALUES ('%s', -1, 'order')", id);
	static const int64_t expectations[] = {MEOW_EXPECT_NEW, MEOW_EXPECT_ANY, 0};
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(try_one(store, "payment", id, expectations[i], event, &appended, &found, &err), MEOW_INVALID);
		assert_says(err, "is known as type order, not payment");
	}
	sql_assert_text(conn, "0", "SELECT count(*) FROM es_events");
	assert_int_equal(try_one(store, "order", id, MEOW_EXPECT_NEW, event, &appended, &found, &err), MEOW_ERROR_NONE);
	assert_int_equal(appended.version, 0);
	PQfinish(conn);
	meow_store_close(store);
}

static void what_can_never_be_taken_is_invalid(void **state)
{
	(void)state;
	const char *url = database_create_store("CHAR(8)");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct meow_error err;
	struct meow_appended appended;
	static const char *const bad[] = {"", "{", "{\"a\":1}x", "nul", "'a'", "{\"a\":01}", "\"\\ud800x", "\xff",
		"\"\xc3\"", "\"\xed\xa0\x80\"", "\"line\nbreak\""};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_int_equal(
			try_one(store, "order", "o1", MEOW_EXPECT_NEW, an_event("a", bad[i]), &appended, NULL, &err), MEOW_INVALID);
		struct meow_new_event event = an_event("a", "{}");
		event.metadata = bytes_of(bad[i]);
		assert_int_equal(try_one(store, "order", "o1", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	}
	struct meow_new_event event = {.type = MEOW_BYTES("a"), .data = {"\"a\0b\"", 5}, .time_us = MEOW_NO_TIME};
	assert_int_equal(try_one(store, "order", "o1", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_says(err, "NUL");
	event = an_event("a", "{}");
	assert_int_equal(
		try_one(store, "order", "too long an id", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_says(err, "too long");
	assert_int_equal(try_one(store, "order", "", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_int_equal(try_one(store, "", "o1", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_int_equal(try_one(store, "\xff", "o1", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_int_equal(try_one(store, "order", "o1", -3, event, &appended, NULL, &err), MEOW_INVALID);
	event.time_us = INT64_MAX;
	assert_int_equal(try_one(store, "order", "o1", MEOW_EXPECT_NEW, event, &appended, NULL, &err), MEOW_INVALID);
	assert_says(err, "time");

	// Of several, the one at fault is named, and none is added.
	struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{x}")};
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o1", .expected = MEOW_EXPECT_NEW, .events = events, .count = 3};
	assert_fails(meow_append(store, &append, &appended, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "event 3: ");
	sql_assert_text(conn, "0", "SELECT (SELECT count(*) FROM es_events) + (SELECT count(*) FROM es_aggregates)");
	PQfinish(conn);
	meow_store_close(store);
}

static void a_uuid_that_is_none_is_invalid(void **state)
{
	(void)state;
	struct meow_store *store = store_open_or_fail(database_create_store(NULL));
	struct meow_error err;
	struct meow_appended appended;
	assert_int_equal(
		try_one(store, "order", "o1", MEOW_EXPECT_NEW, an_event("a", "{}"), &appended, NULL, &err), MEOW_INVALID);
	assert_says(err, "o1");
	meow_store_close(store);
}

static void a_token_makes_an_append_repeatable(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	struct meow_error err;
	struct meow_appended first, again;
	int64_t found;
	struct meow_new_event events[2] = {an_event("a", "{}"), an_event("b", "{}")};
	struct meow_append append = {.aggregate_type = "order",
		.aggregate_id = id,
		.expected = MEOW_EXPECT_NEW,
		.events = events,
		.count = 2,
		.token = TOKEN};
	assert_ok(meow_append(store, &append, &first, &found, &err), err);
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	assert_int_equal(again.version, first.version);
	assert_int_equal(again.position, first.position);
	append_or_fail(store, "order", id, 1, "{}");
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	append.expected = 0; // the token's events began at version 0, not 1
	assert_fails(meow_append(store, &append, &again, &found, &err), err, MEOW_CONFLICT);
	append.expected = MEOW_EXPECT_ANY;
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	assert_int_equal(again.version, first.version);

	// Equal events under another token are other events.
	append.token = NULL;
	append.expected = MEOW_EXPECT_NEW;
	assert_fails(meow_append(store, &append, &again, &found, &err), err, MEOW_CONFLICT);
	append.token = "no uuid";
	append.expected = MEOW_EXPECT_ANY;
	assert_fails(meow_append(store, &append, &again, &found, &err), err, MEOW_INVALID);
	meow_store_close(store);
}

// --- many at once ---

struct writer {
	pthread_t thread;
	const char *url;
	const char *const *ids;
	int number;
	int conflicts, appended;
	char failure[MEOW_ERROR_TEXT_SIZE];
};

#define WRITERS 16
#define AGGREGATES 4
#define APPENDS 60

static void *write_many(void *arg)
{
	struct writer *writer = arg;
	struct meow_error err;
	struct meow_store *store = meow_store_open(writer->url, &err);
	int64_t versions[AGGREGATES] = {-1, -1, -1, -1};
	struct meow_new_event events[2] = {an_event("a", "{}"), an_event("b", "{}")};
	bool ok = store != NULL;
	while (ok && writer->appended < APPENDS) {
		size_t which = (size_t)(writer->number + writer->appended) % AGGREGATES;
		bool any = writer->appended % 5 == 0;
		struct meow_append append = {.aggregate_type = "order",
			.aggregate_id = writer->ids[which],
			.expected = any ? MEOW_EXPECT_ANY : versions[which],
			.events = events,
			.count = any ? 1 : 2};
		struct meow_appended appended;
		int64_t found;
		if (meow_append(store, &append, &appended, &found, &err)) {
			versions[which] = appended.version;
			writer->appended++;
		} else if (err.kind == MEOW_CONFLICT) {
			ok = found != versions[which]; // what was expected is not there
			versions[which] = found == MEOW_NO_VERSION ? versions[which] : found;
			writer->conflicts++;
		} else {
			ok = false;
		}
	}
	if (!ok)
		snprintf(writer->failure, sizeof(writer->failure), "%s", err.text);
	meow_store_close(store);
	return NULL;
}

static void sixteen_writers_lose_and_repeat_nothing(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *ids[AGGREGATES];
	struct writer writers[WRITERS] = {0};
	int conflicts = 0;
	for (size_t i = 0; i < AGGREGATES; i++)
		ids[i] = new_uuid();
	for (int i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.url = url, .ids = ids, .number = i};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_many, &writers[i]), 0);
	}
	for (int i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		if (*writers[i].failure)
			fail_msg("writer %d: %s", i, writers[i].failure);
		conflicts += writers[i].conflicts;
	}
	assert_true(conflicts > 0);
	PGconn *conn = sql_open(url);
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), WRITERS * (APPENDS * 2 - APPENDS / 5));
	sql_assert_text(conn, "t",
		"SELECT bool_and(version = n - 1) FROM (SELECT version, row_number() OVER "
		"(PARTITION BY aggregate_id ORDER BY id) AS n FROM es_events) e");
	sql_assert_text(conn, "t",
		"SELECT bool_and(a.version = (SELECT max(version) FROM es_events e "
		"WHERE e.aggregate_id = a.id)) FROM es_aggregates a");
	PQfinish(conn);
}

// Callers that repeat the same keyed append at the same time.
struct repeater {
	pthread_t thread;
	const char *url, *id;
	int64_t expected;
	char token[37];
	struct meow_appended appended;
	struct meow_error err;
	bool ok;
};

static void *repeat_one(void *arg)
{
	struct repeater *repeater = arg;
	struct meow_store *store = meow_store_open(repeater->url, &repeater->err);
	struct meow_new_event event = an_event("a", "{}");
	struct meow_append append = {.aggregate_type = "order",
		.aggregate_id = repeater->id,
		.expected = repeater->expected,
		.events = &event,
		.count = 1,
		.token = repeater->token};
	repeater->ok = store && meow_append(store, &append, &repeater->appended, NULL, &repeater->err);
	meow_store_close(store);
	return NULL;
}

static void a_token_counts_once_however_many_use_it_at_once(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	static const int64_t expectations[] = {MEOW_EXPECT_NEW, MEOW_EXPECT_ANY, MEOW_EXPECT_ANY, MEOW_EXPECT_ANY};
	PGconn *conn = sql_open(url);
	for (int turn = 0; turn < 4; turn++) {
		struct repeater repeaters[8];
		int first = 0;
		for (int i = 0; i < 8; i++) {
			repeaters[i] = (struct repeater){.url = url, .id = id, .expected = expectations[turn]};
			snprintf(repeaters[i].token, sizeof(repeaters[i].token), "%08d-0000-4000-8000-000000000000", turn);
			assert_int_equal(pthread_create(&repeaters[i].thread, NULL, repeat_one, &repeaters[i]), 0);
		}
		for (int i = 0; i < 8; i++) {
			pthread_join(repeaters[i].thread, NULL);
			if (!repeaters[i].ok)
				fail_msg("%s", repeaters[i].err.text);
			assert_int_equal(repeaters[i].appended.version, turn);
			first += !repeaters[i].appended.repeated;
		}
		assert_int_equal(first, 1);
		assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), turn + 1);
	}
	PQfinish(conn);
}

// --- broken connections ---

static void kill_sessions(PGconn *conn)
{
	sql_run(conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meowmx' "
				  "AND datname = current_database()");
}

static void a_connection_that_went_away_is_made_anew(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	append_or_fail(store, "order", id, MEOW_EXPECT_NEW, "{}");
	kill_sessions(conn);
	append_or_fail(store, "order", id, 0, "{}");
	kill_sessions(conn);
	append_or_fail(store, "order", id, MEOW_EXPECT_ANY, "{}");
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), 3);
	PQfinish(conn);
	meow_store_close(store);
}

// The connection breaks while the statement waits for a row, or right after its commit: each append counts once.
struct breaker {
	pthread_t thread;
	const char *url;
	volatile bool stop;
};

static void *break_often(void *arg)
{
	struct breaker *breaker = arg;
	PGconn *conn = PQconnectdb(breaker->url);
	while (!breaker->stop) {
		PQclear(PQexec(conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meowmx' "
							 "AND datname = current_database() AND random() < 0.5"));
		usleep(7000);
	}
	PQfinish(conn);
	return NULL;
}

static void appends_over_broken_connections_count_once(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	struct breaker breaker = {.url = url};
	PGconn *conn = sql_open(url);
	int64_t version = -1;
	assert_int_equal(pthread_create(&breaker.thread, NULL, break_often, &breaker), 0);
	for (int i = 0; i < 400; i++) {
		struct meow_error err;
		struct meow_appended appended;
		int64_t found;
		struct meow_new_event event = an_event("a", "{}");
		enum meow_error_kind kind =
			try_one(store, "order", id, i % 2 ? MEOW_EXPECT_ANY : version, event, &appended, &found, &err);
		if (kind == MEOW_ERROR_NONE) {
			assert_int_equal(appended.version, version + 1);
			version++;
		} else if (kind == MEOW_UNKNOWN_OUTCOME || kind == MEOW_UNAVAILABLE) {
			// Broken twice in a row: what became of it is read, by this test alone.
			int64_t now =
				sql_number(conn, "SELECT coalesce((SELECT version FROM es_aggregates WHERE id = '%s'), -1)", id);
			assert_true(now == version || (now == version + 1 && kind == MEOW_UNKNOWN_OUTCOME));
			version = now;
		} else {
			fail_msg("%s", err.text);
		}
	}
	breaker.stop = true;
	pthread_join(breaker.thread, NULL);
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), version + 1);
	PQfinish(conn);
	meow_store_close(store);
}

static void a_server_that_is_away_is_unavailable_and_comes_back(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store = store_open_or_fail(url);
	struct meow_error err;
	struct meow_appended appended;
	append_or_fail(store, "order", id, MEOW_EXPECT_NEW, "{}");
	server_stop(database_server());
	assert_int_equal(try_one(store, "order", id, 0, an_event("a", "{}"), &appended, NULL, &err), MEOW_UNAVAILABLE);
	assert_says(err, "PostgreSQL at 127.0.0.1:");
	assert_int_equal(try_one(store, "order", id, 0, an_event("a", "{}"), &appended, NULL, &err), MEOW_UNAVAILABLE);
	assert_null(meow_store_open(url, &err));
	assert_int_equal(err.kind, MEOW_UNAVAILABLE);
	server_again(database_server());
	append_or_fail(store, "order", id, 0, "{}");
	meow_store_close(store);
}

static void a_writer_with_few_rights_can_append(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	PGconn *conn = sql_open(url);
	struct meow_error err;
	struct meow_appended appended;
	sql_run(conn,
		"CREATE ROLE writer LOGIN; GRANT SELECT ON meowmx_meta TO writer;"
		"GRANT SELECT, INSERT, UPDATE ON es_aggregates TO writer; GRANT SELECT, INSERT ON es_events TO writer;"
		"GRANT USAGE, SELECT ON es_events_id_seq TO writer");
	struct meow_store *store = store_open_or_fail(database_url_with(url, "user=writer"));
	append_or_fail(store, "order", id, MEOW_EXPECT_NEW, "{}");
	sql_run(conn, "REVOKE INSERT ON es_events FROM writer");
	assert_int_equal(try_one(store, "order", id, 0, an_event("a", "{}"), &appended, NULL, &err), MEOW_DENIED);
	assert_says(err, "permission denied for table es_events");
	meow_store_close(store);
	sql_run(conn, "DROP OWNED BY writer; DROP ROLE writer");
	PQfinish(conn);
}

static void a_read_only_server_is_denied(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	struct meow_store *store =
		store_open_or_fail(database_url_with(url, "options=-cdefault_transaction_read_only%3Don"));
	struct meow_error err;
	struct meow_appended appended;
	assert_int_equal(
		try_one(store, "order", id, MEOW_EXPECT_NEW, an_event("a", "{}"), &appended, NULL, &err), MEOW_DENIED);
	assert_says(err, "read-only");
	meow_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_follow_what_is_expected),
		cmocka_unit_test(a_caller_need_not_want_to_know),
		cmocka_unit_test(several_events_are_one_append),
		cmocka_unit_test(a_row_without_events_is_new_and_types_must_agree),
		cmocka_unit_test(what_can_never_be_taken_is_invalid),
		cmocka_unit_test(a_uuid_that_is_none_is_invalid),
		cmocka_unit_test(a_token_makes_an_append_repeatable),
		cmocka_unit_test(sixteen_writers_lose_and_repeat_nothing),
		cmocka_unit_test(a_token_counts_once_however_many_use_it_at_once),
		cmocka_unit_test(a_connection_that_went_away_is_made_anew),
		cmocka_unit_test(appends_over_broken_connections_count_once),
		cmocka_unit_test(a_server_that_is_away_is_unavailable_and_comes_back),
		cmocka_unit_test(a_writer_with_few_rights_can_append),
		cmocka_unit_test(a_read_only_server_is_denied),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
