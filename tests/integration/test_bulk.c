// A bulk load on a real server: all lines or none, what is there already is skipped, the line at fault is named.
#include "database.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct store_bulk_line a_line(
	uint64_t number, const char *id, int64_t expected, int64_t version, const char *data)
{
	return (struct store_bulk_line){.line = number,
		.aggregate_type = "order",
		.aggregate_id = id,
		.expected = expected,
		.version = version,
		.event = {.type = MEOW_BYTES("happened"), .data = bytes_of(data), .time_us = MEOW_NO_TIME}};
}

static void assert_bulk(
	struct meow_store *store, const struct store_bulk_line *lines, size_t count, uint64_t appended, uint64_t skipped)
{
	struct meow_error err;
	struct store_bulk_result result;
	uint64_t line;
	assert_ok(store_bulk(store, lines, count, &result, &line, &err), err);
	assert_int_equal(result.appended, appended);
	assert_int_equal(result.skipped, skipped);
}

static void assert_bulk_fails(struct meow_store *store, const struct store_bulk_line *lines, size_t count,
	enum meow_error_kind kind, uint64_t fault, const char *words)
{
	struct meow_error err = {0};
	struct store_bulk_result result;
	uint64_t line = 77;
	assert_fails(store_bulk(store, lines, count, &result, &line, &err), err, kind);
	assert_says(err, words);
	assert_int_equal(line, fault);
}

static void lines_of_many_aggregates_keep_their_order(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct store_bulk_line lines[] = {
		a_line(1, "b", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		a_line(2, "a", MEOW_EXPECT_ANY, MEOW_NO_VERSION, "2"),
		a_line(3, "b", 0, MEOW_NO_VERSION, "3"),
		a_line(4, "b", MEOW_NO_VERSION, 2, "4"),
		a_line(5, "a", MEOW_NO_VERSION, MEOW_NO_VERSION, "[1.0,\n1e400]"),
		a_line(6, "ö\"' ", MEOW_NO_VERSION, 0, "6"),
	};
	lines[4].event.metadata = MEOW_BYTES("{ }");
	lines[5].event.time_us = 1000001;
	assert_bulk(store, lines, 6, 6, 0);
	sql_assert_text(conn, "b0=1 a0=2 b1=3 b2=4 a1=[1.0,\n1e400] ö\"' 0=6",
		"SELECT string_agg(aggregate_id || version "
		"|| '=' || json_data, ' ' ORDER BY id) FROM es_events");
	sql_assert_text(conn, "{ }", "SELECT string_agg(metadata::text, '|') FROM es_events");
	sql_assert_text(conn, "1", "SELECT count(*) FROM es_events WHERE created_at = '1970-01-01 00:00:01.000001+00'");
	sql_assert_text(conn, "5", "SELECT count(*) FROM es_events WHERE created_at > now() - interval '1 hour'");
	sql_assert_text(conn, "t",
		"SELECT bool_and(a.version = (SELECT max(version) FROM es_events e WHERE e.aggregate_id = "
		"a.id)) AND count(*) = 3 FROM es_aggregates a");
	sql_assert_text(conn, "t",
		"SELECT bool_and(xmin::text::bigint = transaction_id::text::bigint AND "
		"aggregate_type = 'order') FROM es_events");
	assert_bulk(store, NULL, 0, 0, 0);
	PQfinish(conn);
	meow_store_close(store);
}

// What load prints, append takes: read twice, it is there once.
static void a_dump_read_twice_is_there_once(void **state)
{
	(void)state;
	struct meow_store *store = store_open_or_fail(database_create_store("TEXT"));
	struct store_bulk_line lines[] = {
		a_line(1, "a", MEOW_NO_VERSION, 0, "{\"n\":\n0}"),
		a_line(2, "a", MEOW_NO_VERSION, 1, "{\"n\": 1}"),
		a_line(3, "b", MEOW_NO_VERSION, 0, "0"),
		a_line(4, "a", MEOW_NO_VERSION, 2, "2"),
	};
	lines[1].event.time_us = 5;
	assert_bulk(store, lines, 2, 2, 0);
	lines[0].event.data = MEOW_BYTES("{\"n\": 0}"); // as a JSON line shows it
	assert_bulk(store, lines, 4, 2, 2);
	assert_bulk(store, lines, 4, 0, 4);
	struct store_bulk_line twice[] = {a_line(1, "c", MEOW_NO_VERSION, 0, "0"), a_line(2, "c", MEOW_NO_VERSION, 0, "0")};
	assert_bulk(store, twice, 2, 1, 1);

	lines[3].event.data = MEOW_BYTES("3");
	assert_bulk_fails(store, lines, 4, MEOW_CONFLICT, 4, "order a has another event at version 2");
	lines[3].event.data = MEOW_BYTES("2");
	lines[1].event.time_us = 6;
	assert_bulk_fails(store, lines, 4, MEOW_CONFLICT, 2, "another event at version 1");
	lines[1].event.time_us = MEOW_NO_TIME; // no time given: not compared
	lines[3].event.metadata = MEOW_BYTES("{}");
	assert_bulk_fails(store, lines, 4, MEOW_CONFLICT, 4, "another event at version 2");
	lines[3].event.metadata = (struct meow_bytes){0};
	lines[2].event.type = MEOW_BYTES("other");
	assert_bulk_fails(store, lines, 4, MEOW_CONFLICT, 3, "another event at version 0");
	meow_store_close(store);
}

static void the_line_at_fault_is_named_and_nothing_is_done(void **state)
{
	(void)state;
	const char *url = database_create_store("CHAR(4)");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	append_or_fail(store, "order", "old", MEOW_EXPECT_NEW, "{}");
	struct store_bulk_line lines[] = {
		a_line(11, "a", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		a_line(12, "b", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		a_line(13, "old", 0, MEOW_NO_VERSION, "1"),
	};
	struct store_bulk_line good = lines[1];
	lines[1].event.data = MEOW_BYTES("{bad");
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "json");
	lines[1].event.data = (struct meow_bytes){"\"\0\"", 3};
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "NUL");
	lines[1] = good;
	lines[1].event.metadata = MEOW_BYTES("nope");
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "json");
	lines[1] = good;
	lines[1].event.data = (struct meow_bytes){0};
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "the event has no data");
	lines[1] = good;
	lines[1].aggregate_id = "too long";
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "too long");
	lines[1].aggregate_id = "\xff";
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "UTF-8");
	lines[1] = good;
	lines[1].aggregate_id = "a";
	lines[1].aggregate_type = "payment";
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "two types");
	lines[1].aggregate_id = "old";
	lines[2].aggregate_id = "new";
	lines[2].expected = MEOW_EXPECT_NEW;
	assert_bulk_fails(store, lines, 3, MEOW_INVALID, 12, "known as type order, not payment");
	lines[1] = a_line(12, "old", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1");
	assert_bulk_fails(store, lines, 3, MEOW_CONFLICT, 12, "expected no event yet, found version 0");
	lines[1].expected = 4;
	assert_bulk_fails(store, lines, 3, MEOW_CONFLICT, 12, "expected version 4, found version 0");
	lines[1] = a_line(12, "b", MEOW_NO_VERSION, 1, "1"); // its version 0 is missing
	assert_bulk_fails(store, lines, 3, MEOW_CONFLICT, 12, "expected version 0, and it has no event");
	sql_assert_text(
		conn, "1 1", "SELECT (SELECT count(*) FROM es_events) || ' ' || (SELECT count(*) FROM es_aggregates)");
	lines[1] = good;
	assert_bulk(store, lines, 3, 3, 0);
	PQfinish(conn);
	meow_store_close(store);
}

static void two_spellings_of_an_id_are_one_aggregate(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL);
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct store_bulk_line lines[] = {
		a_line(1, "ABCDEF00-0000-4000-8000-000000000001", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		a_line(2, "abcdef00-0000-4000-8000-000000000001", 0, MEOW_NO_VERSION, "2"),
		a_line(3, "{abcdef00-0000-4000-8000-000000000001}", MEOW_NO_VERSION, 2, "3"),
		a_line(4, "ABCDEF00-0000-4000-8000-000000000001", MEOW_NO_VERSION, 0, "1"),
	};
	assert_bulk(store, lines, 4, 3, 1);
	sql_assert_text(
		conn, "0=1 1=2 2=3", "SELECT string_agg(version || '=' || json_data, ' ' ORDER BY id) FROM es_events");
	sql_assert_text(conn, "2", "SELECT version FROM es_aggregates");
	PQfinish(conn);
	meow_store_close(store);
}

// Tables that were there before may have columns of their own, in another order.
static void columns_of_somebody_else_are_no_trouble(void **state)
{
	(void)state;
	const char *url = database_create();
	PGconn *conn = sql_open(url);
	sql_run(conn, "CREATE TABLE es_aggregates (note text, aggregate_type text NOT NULL, id text PRIMARY KEY, "
				  "version integer NOT NULL, owner text DEFAULT 'me')");
	database_setup(url);
	struct meow_store *store = store_open_or_fail(url);
	struct store_bulk_line lines[] = {a_line(1, "a", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		a_line(2, "b", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "2"), a_line(3, "a", MEOW_NO_VERSION, 0, "1")};
	assert_bulk(store, lines, 3, 2, 1);
	append_or_fail(store, "order", "a", 0, "{}");
	sql_assert_text(conn, "me me", "SELECT string_agg(owner, ' ') FROM es_aggregates");
	PQfinish(conn);
	meow_store_close(store);
}

struct loader {
	pthread_t thread;
	const char *url;
	bool backwards, ok;
	struct meow_error err;
};

#define LOADED 400

static void *load_any(void *arg)
{
	struct loader *loader = arg;
	struct meow_store *store = meow_store_open(loader->url, &loader->err);
	static char ids[LOADED][8];
	struct store_bulk_line lines[LOADED];
	struct store_bulk_result result;
	uint64_t line;
	for (int i = 0; i < LOADED; i++) {
		int which = loader->backwards ? LOADED - 1 - i : i;
		snprintf(ids[which], sizeof(ids[which]), "%d", which % 50);
		lines[i] = a_line((uint64_t)i, ids[which], MEOW_EXPECT_ANY, MEOW_NO_VERSION, "{}");
	}
	loader->ok = store != NULL;
	for (int i = 0; loader->ok && i < 5; i++)
		loader->ok = store_bulk(store, lines, LOADED, &result, &line, &loader->err);
	meow_store_close(store);
	return NULL;
}

static void loads_of_the_same_aggregates_do_not_deadlock(void **state)
{
	(void)state;
	const char *url = database_create_store("BIGINT");
	struct loader loaders[4];
	for (int i = 0; i < 4; i++) {
		loaders[i] = (struct loader){.url = url, .backwards = i % 2};
		assert_int_equal(pthread_create(&loaders[i].thread, NULL, load_any, &loaders[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(loaders[i].thread, NULL);
		if (!loaders[i].ok)
			fail_msg("%s", loaders[i].err.text);
	}
	PGconn *conn = sql_open(url);
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), 4 * 5 * LOADED);
	sql_assert_text(conn, "t",
		"SELECT bool_and(version = n - 1) FROM (SELECT version, row_number() OVER "
		"(PARTITION BY aggregate_id ORDER BY id) AS n FROM es_events) e");
	PQfinish(conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_of_many_aggregates_keep_their_order),
		cmocka_unit_test(a_dump_read_twice_is_there_once),
		cmocka_unit_test(the_line_at_fault_is_named_and_nothing_is_done),
		cmocka_unit_test(two_spellings_of_an_id_are_one_aggregate),
		cmocka_unit_test(columns_of_somebody_else_are_no_trouble),
		cmocka_unit_test(loads_of_the_same_aggregates_do_not_deadlock),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
