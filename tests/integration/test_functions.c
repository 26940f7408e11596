// The functions that writers and readers in SQL call: as any client sees them, over plain libpq.
#include "database.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ONE "[{\"type\": \"placed\", \"data\": {}}]"
#define TWO "[{\"type\": \"placed\", \"data\": {}}, {\"type\": \"paid\", \"data\": {}}]"

// "version/position version/position ..." as meowmx_append returned them.
static char *append(PGconn *conn, const char *id, const char *expected, const char *events, const char *token)
{
	const char *values[4] = {id, expected, events, token};
	PGresult *result = PQexecParams(conn,
		"SELECT string_agg(version || '/' || position, ' ' ORDER BY version) "
		"FROM meowmx_append('order', $1, $2, $3, $4)",
		4, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(conn));
	char *text = strdup(PQgetvalue(result, 0, 0));
	PQclear(result);
	assert_non_null(text);
	return text;
}

static void assert_appends(PGconn *conn, const char *wanted, const char *id, const char *expected, const char *events)
{
	char *text = append(conn, id, expected, events, NULL);
	assert_string_equal(text, wanted);
	free(text);
}

static void assert_refused(PGconn *conn, const char *state, const char *message, const char *detail, const char *sql)
{
	PGresult *result = PQexec(conn, sql);
	const char *is = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *says = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *more = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	if (!is || strcmp(is, state) != 0 || !strstr(says, message) || (detail && (!more || strcmp(more, detail) != 0)))
		fail_msg("%s: %s %s (%s)", sql, is ? is : "no error", is ? says : "", more ? more : "");
	PQclear(result);
}

static void appends_behind_the_expected_version(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
	assert_appends(conn, "0/1", "a", "-1", ONE);
	assert_appends(conn, "1/2 2/3", "a", "0", TWO);
	assert_appends(conn, "3/4 4/5", "a", NULL, TWO);
	assert_appends(conn, "0/6 1/7", "b", NULL, TWO);
	assert_appends(conn, "", "b", "99", "[]"); // no events: nothing is done, nothing is checked
	sql_run(conn, "INSERT INTO es_aggregates VALUES ('row', -1, 'order')");
	assert_appends(conn, "0/8", "row", "-1", ONE);
	sql_assert_text(conn, "4 1 0", "SELECT string_agg(version::text, ' ' ORDER BY id) FROM es_aggregates");
	sql_assert_text(conn, "t",
		"SELECT bool_and(aggregate_type = 'order' AND transaction_id IS NOT NULL AND append_id IS NULL AND "
		"metadata IS NULL AND created_at > now() - interval '1 minute') FROM es_events");
	// By name, with what may be left out left out.
	sql_run(conn,
		"SELECT * FROM meowmx_append(expected => 4, aggregate_id => 'a', aggregate_type => 'order', events => '" ONE
		"')");
	// In the caller's transaction, as everything else in it.
	sql_run(conn, "BEGIN; SELECT * FROM meowmx_append('order', 'a', 5, '" ONE "'); ROLLBACK");
	sql_assert_text(conn, "5", "SELECT max(version) FROM es_events");
	PQfinish(conn);
}

static void says_why_it_appends_nothing(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
#define CALL(type, id, expected) "SELECT * FROM meowmx_append('" type "', '" id "', " expected ", '" ONE "')"
	sql_run(conn, CALL("order", "a", "-1") ";" CALL("order", "a", "0"));
	assert_refused(conn, "MW001", "version conflict: order a: expected no event yet, found version 1",
		"expected -1, found 1", CALL("order", "a", "-1"));
	assert_refused(
		conn, "MW001", "expected version 0, found version 1", "expected 0, found 1", CALL("order", "a", "0"));
	assert_refused(
		conn, "MW001", "expected version 7, found version 1", "expected 7, found 1", CALL("order", "a", "7"));
	assert_refused(
		conn, "MW001", "expected version 0, found no event", "expected 0, found -1", CALL("order", "b", "0"));
	static const char *const expected[] = {CALL("bill", "a", "-1"), CALL("bill", "a", "1"), CALL("bill", "a", "NULL"),
		CALL("bill", "a", "0"),
		"SELECT * FROM meowmx_append('bill', 'a', NULL, '" ONE "', '00000000-0000-4000-8000-000000000001')"};
	for (size_t i = 0; i < sizeof(expected) / sizeof(*expected); i++)
		assert_refused(
			conn, "MW002", "aggregate a is known as type order, not bill", "known order, given bill", expected[i]);
	assert_refused(conn, "22023", "needs an aggregate type", NULL, CALL("", "a", "1"));
	assert_refused(conn, "22023", "needs an aggregate type", NULL, CALL("order", "", "1"));
	assert_refused(conn, "22023", "expected version -2", NULL, CALL("order", "a", "-2"));
	assert_refused(conn, "22003", "out of range", NULL, CALL("order", "a", "99999999999999::bigint::integer"));
	sql_assert_text(conn, "2", "SELECT count(*) FROM es_events");

	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 20");
	assert_refused(conn, "MW003", "ALTER SEQUENCE es_events_id_seq CACHE 1", NULL, CALL("order", "a", "1"));
	assert_refused(conn, "MW003", "ALTER SEQUENCE es_events_id_seq CACHE 1", NULL, "SELECT * FROM meowmx_read()");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 1; DELETE FROM meowmx_meta");
	assert_refused(conn, "MW003", "the store is not set up", NULL, CALL("order", "a", "1"));
	assert_refused(conn, "MW003", "the store is not set up", NULL, "SELECT * FROM meowmx_read()");
	PQfinish(conn);
}

static void names_the_event_that_is_none(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
	static const struct {
		const char *event, *says, *state;
	} wrong[] = {
		{"1", "event 2 is no JSON object", "22023"},
		{"[]", "event 2 is no JSON object", "22023"},
		{"{}", "event 2 has no \"type\"", "22023"},
		{"{\"type\": 1, \"data\": 1}", "event 2 has no \"type\" that is a text", "22023"},
		{"{\"type\": \"a\"}", "event 2 has no \"data\"", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"meta\": 1}", "event 2 must have", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"data\": 2}", "event 2 must have", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"time\": \"yesterday\"}", "event 2 has a \"time\"", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"time\": \"2026-11-23T08:09:10\"}", "event 2 has a \"time\"", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"time\": 5}", "event 2 has a \"time\"", "22023"},
		{"{\"type\": \"a\", \"data\": 1, \"time\": \"2026-02-30T08:09:10Z\"}", "date/time field value out of range",
			"22008"},
		{"{\"type\": \"a\\u0000\", \"data\": 1}", "unsupported Unicode escape", "22P05"},
		{"{\"type\": \"a\", \"data\": 01}", "invalid input syntax for type json", "22P02"},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char sql[400];
		snprintf(sql, sizeof(sql),
			"SELECT * FROM meowmx_append('order', 'a', -1, '[{\"type\": \"a\", \"data\": 1}, %s]')", wrong[i].event);
		assert_refused(conn, wrong[i].state, wrong[i].says, NULL, sql);
	}
	assert_refused(conn, "22023", "must be a JSON array", NULL, "SELECT * FROM meowmx_append('order', 'a', -1, '{}')");
	assert_refused(conn, "22023", "must be a JSON array", NULL, "SELECT * FROM meowmx_append('order', 'a', -1, NULL)");
	sql_assert_text(conn, "0", "SELECT count(*) FROM es_aggregates");
	PQfinish(conn);
}

static void keeps_every_byte(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
	static const char *const documents[] = {"1.0", "-0", "12345678901234567890", "1e400", "1E+2", "null", "\"\"",
		"{\"b\": 1,\t\"a\":[ ]}", "{\"a\":1,\"a\":2}", "{\n  \"lines\" : [1,\r\n 2]\n}", "\"\\u0000\"", "\"\\ud800\"",
		"\"\\uD83D\\uDE00\"", "\"\\\\u0041\\\\\\u0041\\\\\\\\u\"", "\"\\/\\b\\n\\\"\"", "\"注文 \xf0\x9f\x98\x80\"",
		"\"\xee\x80\x80\xee\x80\x81\xee\x80\x82 \\u0041\"" /* what masks are made of */,
		"{\"type\":\"x\",\"data\":{\"metadata\":\"\\u0000\"}}"};
	size_t count = sizeof(documents) / sizeof(*documents);
	struct buffer events;
	buffer_init(&events);
	for (size_t i = 0; i < count; i++) // each alone, as data and as metadata, and at last all together
		buffer_printf(&events, "%s{ \"metadata\" :%s, \"type\":\"a\\u0042\\\\\" ,\"data\": %s }", i ? " ,\n" : "[",
			documents[i], documents[count - 1 - i]);
	buffer_put_char(&events, ']');
	free(append(conn, "all", "-1", events.data, NULL));
	buffer_finish(&events);
	for (size_t i = 0; i < count; i++) {
		char event[300], number[24];
		snprintf(event, sizeof(event), "[{\"type\":\"aB\\\\\",\"data\":%s,\"metadata\":%s}]", documents[count - 1 - i],
			documents[i]);
		free(append(conn, "alone", i ? NULL : "-1", event, NULL));
		snprintf(number, sizeof(number), "%zu", i);
		const char *values[3] = {number, documents[count - 1 - i], documents[i]};
		PGresult *result = PQexecParams(conn,
			"SELECT count(*) FROM es_events WHERE version = $1 AND event_type = E'aB\\\\' AND json_data::text = $2 AND "
			"metadata::text = $3 AND (SELECT count(*) FROM meowmx_load('order', aggregate_id, $1, $1) l WHERE "
			"l.data::text = $2 AND l.metadata::text = $3 AND l.type = event_type) = 1",
			3, NULL, values, NULL, NULL, 0);
		if (strcmp(PQgetvalue(result, 0, 0), "2") != 0)
			fail_msg("%s, %s: %s", documents[i], documents[count - 1 - i], PQerrorMessage(conn));
		PQclear(result);
	}
	// Whoever still reads backslashes in plain literals as escapes gets the same.
	sql_run(conn, "SET standard_conforming_strings = off; SET escape_string_warning = off");
	free(append(conn, "old", "-1", "[{\"type\":\"a\",\"data\":\"\\u0000\\\\\"}]", NULL));
	sql_run(conn, "RESET standard_conforming_strings");
	sql_assert_text(conn, "\"\\u0000\\\\\"", "SELECT json_data FROM es_events WHERE aggregate_id = 'old'");
	free(append(conn, "time", "-1",
		"[{\"type\":\"a\",\"data\":1,\"time\":\"2020-02-29T23:59:59.123456+02:00\"},"
		"{\"type\":\"a\",\"data\":1,\"time\":null}]",
		NULL));
	sql_assert_text(conn, "t t",
		"SELECT string_agg((created_at = '2020-02-29 21:59:59.123456Z' OR (version = 1 AND created_at <= now() AND "
		"created_at > now() - interval '1 minute'))::text::char, ' ') FROM es_events WHERE aggregate_id = 'time'");
	PQfinish(conn);
}

static void a_token_makes_it_repeatable(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
	static const char token[] = "11111111-0000-4000-8000-000000000001",
					  other[] = "22222222-0000-4000-8000-000000000002";
	static const struct {
		const char *id, *expected, *token, *appended;
	} calls[] = {
		{"a", "-1", token, "0/1 1/2"},
		{"a", "-1", token, "0/1 1/2"},
		{"a", "1", other, "2/3 3/4"},
		{"a", "-1", token, "0/1 1/2"},
		{"a", "1", other, "2/3 3/4"},
		{"a", NULL, other, "2/3 3/4"}, // wherever it is
		{"b", NULL, token, "0/5 1/6"}, // of another aggregate
		{"b", NULL, token, "0/5 1/6"},
		{"b", NULL, NULL, "2/7 3/8"},
		{"b", NULL, token, "0/5 1/6"},
		{"b", NULL, other, "4/9 5/10"},
	};
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		char *text = append(conn, calls[i].id, calls[i].expected, TWO, calls[i].token);
		assert_string_equal(text, calls[i].appended);
		free(text);
	}
	// The token must stand right behind the version that is expected.
	assert_refused(conn, "MW001", "found version 3", "expected 0, found 3",
		"SELECT * FROM meowmx_append('order', 'a', 0, '" ONE "', '11111111-0000-4000-8000-000000000001')");
	assert_refused(conn, "MW001", "found version 3", "expected -1, found 3",
		"SELECT * FROM meowmx_append('order', 'a', -1, '" ONE "', '22222222-0000-4000-8000-000000000002')");
	// Positions are those of the whole append, and of it alone.
	sql_run(conn, "SELECT * FROM meowmx_append('order', 'a', 3, '" ONE "', '33333333-0000-4000-8000-000000000003')");
	char *text = append(conn, "a", "1", TWO, other);
	assert_string_equal(text, "2/3 3/4");
	free(text);
	PQfinish(conn);
}

static void wait_until_blocked(PGconn *watcher, PGconn *conn)
{
	for (int i = 0; i < 2000; i++) {
		if (sql_number(watcher, "SELECT count(*) FROM pg_locks WHERE pid = %d AND NOT granted", PQbackendPID(conn)) > 0)
			return;
		usleep(5000);
	}
	fail_msg("nothing waits for a lock");
}

// The version is that of after the wait, though the statement that waited still sees the one of before.
static void names_the_version_it_waited_for(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	PGconn *first = sql_open(url), *second = sql_open(url), *watcher = sql_open(url);
	sql_run(first, CALL("order", "a", "-1"));
	sql_run(first, "BEGIN;" CALL("order", "a", "0") ";" CALL("order", "a", "1"));
	assert_int_equal(PQsendQuery(second, CALL("order", "a", "0")), 1);
	wait_until_blocked(watcher, second);
	sql_run(first, "COMMIT");
	PGresult *result = PQgetResult(second);
	assert_string_equal(PQresultErrorField(result, PG_DIAG_SQLSTATE), "MW001");
	assert_string_equal(PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL), "expected 0, found 2");
	PQclear(result);
	assert_null(PQgetResult(second));

	// A first event, too, and a repetition that is on its way together with its first run.
	static const char again[] = "SELECT string_agg(version || '/' || position, ' ') FROM "
								"meowmx_append('order', '%s', NULL, '" TWO "', '11111111-0000-4000-8000-000000000001')";
	for (int turn = 0; turn < 2; turn++) {
		const char *id = turn ? "a" : "fresh";
		char call[256];
		snprintf(call, sizeof(call), again, id);
		sql_run(first, "BEGIN; %s", call);
		assert_int_equal(PQsendQuery(second, call), 1);
		wait_until_blocked(watcher, second);
		sql_run(first, "COMMIT");
		result = PQgetResult(second);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail_msg("%s", PQerrorMessage(second));
		assert_int_equal(
			sql_number(first, "SELECT count(*) FROM es_events WHERE aggregate_id = '%s'", id), turn ? 5 : 2);
		PQclear(result);
		assert_null(PQgetResult(second));
	}
	// In a snapshot of the whole transaction the others' events are a serialization failure.
	sql_run(second, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM es_events");
	sql_run(first, CALL("order", "a", "NULL"));
	assert_refused(second, "40001", "could not serialize", NULL, CALL("order", "a", "NULL"));
	PQfinish(first);
	PQfinish(second);
	PQfinish(watcher);
}

#define CALLERS 16
#define AGGREGATES 4
#define TURNS 60

struct caller {
	pthread_t thread;
	const char *url;
	unsigned number;
	int appended, conflicts, other;
};

// Expects now and then what it has just loaded, which in the meantime may be old.
static void *call_again_and_again(void *arg)
{
	struct caller *caller = arg;
	PGconn *conn = sql_open(caller->url);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		char sql[300];
		snprintf(sql, sizeof(sql),
			"WITH there AS (SELECT coalesce(max(version), -1) AS version FROM meowmx_load('order', 'a%u')) "
			"SELECT count(*) FROM there, meowmx_append('order', 'a%u', there.version, '%s')",
			turn % AGGREGATES, turn % AGGREGATES, (turn + caller->number) % 3 ? ONE : TWO);
		PGresult *result = PQexec(conn, sql);
		const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		if (!state)
			caller->appended += atoi(PQgetvalue(result, 0, 0));
		else if (strcmp(state, "MW001") == 0)
			caller->conflicts++;
		else
			caller->other++;
		PQclear(result);
	}
	PQfinish(conn);
	return NULL;
}

static void sixteen_callers_lose_and_repeat_nothing(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct caller callers[CALLERS];
	int appended = 0, conflicts = 0;
	for (unsigned i = 0; i < CALLERS; i++) {
		callers[i] = (struct caller){.url = url, .number = i};
		assert_int_equal(pthread_create(&callers[i].thread, NULL, call_again_and_again, &callers[i]), 0);
	}
	for (unsigned i = 0; i < CALLERS; i++) {
		pthread_join(callers[i].thread, NULL);
		appended += callers[i].appended;
		conflicts += callers[i].conflicts;
		assert_int_equal(callers[i].other, 0);
	}
	assert_true(conflicts > 0 && appended > 0);
	PGconn *conn = sql_open(url);
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), appended);
	sql_assert_text(conn, "t",
		"SELECT bool_and(first = 0 AND last = n - 1 AND last = a.version AND ordered) FROM (SELECT aggregate_id, "
		"min(version) AS first, max(version) AS last, count(*) AS n, bool_and(id > before) AS ordered FROM (SELECT *, "
		"lag(id, 1, 0::bigint) OVER (PARTITION BY aggregate_id ORDER BY version) AS before FROM es_events) e "
		"GROUP BY aggregate_id) s JOIN es_aggregates a ON a.id = aggregate_id");
	PQfinish(conn);
}

static void *append_with_one_token(void *arg)
{
	struct caller *caller = arg;
	PGconn *conn = sql_open(caller->url);
	char *text = append(conn, "a", caller->number % 2 ? NULL : "-1", TWO, "11111111-0000-4000-8000-000000000001");
	caller->appended = strcmp(text, "0/1 1/2") == 0;
	if (!caller->appended)
		fprintf(stderr, "%s\n", text);
	free(text);
	PQfinish(conn);
	return NULL;
}

static void a_token_counts_once_however_many_use_it_at_once(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	PGconn *conn = sql_open(url);
	for (int turn = 0; turn < 5; turn++) {
		struct caller callers[CALLERS];
		sql_run(conn, "TRUNCATE es_events, es_aggregates CASCADE; ALTER SEQUENCE es_events_id_seq RESTART");
		for (unsigned i = 0; i < CALLERS; i++) {
			callers[i] = (struct caller){.url = url, .number = i};
			assert_int_equal(pthread_create(&callers[i].thread, NULL, append_with_one_token, &callers[i]), 0);
		}
		for (unsigned i = 0; i < CALLERS; i++) {
			pthread_join(callers[i].thread, NULL);
			assert_true(callers[i].appended);
		}
		assert_int_equal(sql_number(conn, "SELECT count(*) FROM es_events"), 2);
	}
	PQfinish(conn);
}

static void nothing_of_the_callers_gets_in_between(void **state)
{
	(void)state;
	const char *url = database_create();
	PGconn *conn = sql_open(url);
	sql_run(conn, "CREATE SCHEMA \"Our ' Events\"");
	database_setup(database_url_with(url, "options=-csearch_path%3D%22Our%5C%20%27%5C%20Events%22"));
	// Another store in the same database, and tables of the session's own.
	database_setup(url);
	sql_run(conn, "CREATE TEMP TABLE es_events (id int); CREATE TEMP TABLE es_aggregates (id uuid, version int, "
				  "aggregate_type text); CREATE TEMP TABLE meowmx_meta (one int)");
	sql_run(conn, "SELECT * FROM \"Our ' Events\".meowmx_append('order', '%s', -1, '" TWO "')", new_uuid());
	sql_assert_text(conn, "2", "SELECT count(*) FROM \"Our ' Events\".meowmx_read()");
	sql_assert_text(conn, "0", "SELECT count(*) FROM meowmx_read()");
	sql_assert_text(conn, "2", "SELECT count(*) FROM \"Our ' Events\".es_events");
	// The caller's path holds in what others hang on the tables.
	sql_run(conn, "CREATE TABLE mine (n int); CREATE FUNCTION count_mine() RETURNS trigger LANGUAGE plpgsql AS "
				  "'BEGIN INSERT INTO mine VALUES (1); RETURN NULL; END'; CREATE TRIGGER mine AFTER INSERT ON "
				  "\"Our ' Events\".es_events FOR EACH ROW EXECUTE FUNCTION count_mine()");
	sql_run(conn, "SELECT * FROM \"Our ' Events\".meowmx_append('order', '%s', -1, '" TWO "')", new_uuid());
	sql_assert_text(conn, "2", "SELECT count(*) FROM mine");
	PQfinish(conn);
}

static void loads_an_aggregate(void **state)
{
	(void)state;
	static const char *const types[] = {"UUID", "TEXT", "CHAR(40)", "VARCHAR(40)", "BIGINT", "INTEGER"};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		PGconn *conn = sql_open(database_create_store(types[i]));
		const char *id = i >= 4 ? "7" : "6f1c0f0e-0000-4000-8000-000000000001";
		free(append(conn, id, "-1", TWO, NULL));
		free(append(conn, id, "1", TWO, NULL));
		static const struct {
			const char *type, *more, *wanted;
		} loads[] = {{"order", "", "0:1:placed 1:2:paid 2:3:placed 3:4:paid"},
			{"order", ", 1, 2", "1:2:paid 2:3:placed"}, {"order", ", from_version => 2", "2:3:placed 3:4:paid"},
			{"order", ", \"limit\" => 1", "0:1:placed"}, {"order", ", NULL, 0", "0:1:placed"}, {"bill", "", ""}};
		for (size_t k = 0; k < sizeof(loads) / sizeof(*loads); k++) {
			char *text = sql_text(conn,
				"SELECT string_agg(version || ':' || position || ':' || type, ' ') FROM meowmx_load('%s', '%s'%s)",
				loads[k].type, id, loads[k].more);
			assert_string_equal(text, loads[k].wanted);
			free(text);
		}
		char *read = sql_text(conn, "SELECT string_agg(aggregate_type || aggregate_id, '|') FROM meowmx_read(3)");
		char wanted[64];
		snprintf(wanted, sizeof(wanted), "order%s", id);
		assert_string_equal(read, wanted); // CHAR(n) without its blanks
		free(read);
		PQfinish(conn);
	}
}

static char *read_positions(PGconn *conn, int after, int limit)
{
	return sql_text(conn, "SELECT string_agg(position::text, ' ') FROM meowmx_read(%d, %d)", after, limit);
}

static void assert_reads(PGconn *conn, const char *wanted, int after, int limit)
{
	char *text = read_positions(conn, after, limit);
	assert_string_equal(text, wanted);
	free(text);
}

static void reads_what_is_settled(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	PGconn *conn = sql_open(url), *writer = sql_open(url), *watcher = sql_open(url);
	assert_reads(conn, "", 0, 10);
	sql_run(writer, CALL("order", "a", "-1") ";" CALL("order", "a", "0"));
	assert_reads(conn, "1 2", 0, 10);
	assert_reads(conn, "1", 0, 1);
	assert_reads(conn, "", 2, 10);
	assert_reads(conn, "", 200, 10);
	// A gap for good: rolled back, and below what is committed.
	sql_run(writer, "SELECT nextval('es_events_id_seq');" CALL("order", "a", "1"));
	assert_reads(conn, "1 2 4", 0, 10);
	// One that may still be filled holds back what is above it, whoever drew the id, for a second.
	sql_run(writer, "BEGIN; SELECT nextval('es_events_id_seq')");
	sql_run(watcher, CALL("order", "b", "-1"));
	assert_reads(conn, "1 2", 0, 10);
	assert_reads(conn, "", 4, 10);
	sql_run(conn, "INSERT INTO meowmx_checkpoints (subscription, delivered) VALUES ('route', 4)");
	assert_reads(conn, "1 2 4", 0, 10); // a relay that has delivered 4 had proven it
	sql_run(writer, "INSERT INTO es_aggregates VALUES ('c', 0, 'order');"
					"INSERT INTO es_events (id, transaction_id, aggregate_id, version, event_type, json_data) VALUES "
					"(5, pg_current_xact_id(), 'c', 0, 'late', '{}')");
	// It is waited for, and seen although the read began before it was committed.
	assert_int_equal(
		PQsendQuery(conn, "SELECT string_agg(position || type || aggregate_type, ' ') FROM meowmx_read(4, 10)"), 1);
	for (int i = 0; i < 400; i++) {
		if (sql_number(watcher, "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND wait_event = 'PgSleep'",
				PQbackendPID(conn)))
			break;
		usleep(1000);
	}
	sql_run(writer, "COMMIT");
	PGresult *result = PQgetResult(conn);
	assert_string_equal(PQgetvalue(result, 0, 0), "5lateorder 6placedorder");
	PQclear(result);
	assert_null(PQgetResult(conn));
	PQfinish(conn);
	PQfinish(writer);
	PQfinish(watcher);
}

static void reads_only_where_snapshots_are_fresh(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("TEXT"));
	static const char *const levels[] = {"REPEATABLE READ", "SERIALIZABLE", "READ UNCOMMITTED"};
	for (size_t i = 0; i < sizeof(levels) / sizeof(*levels); i++) {
		sql_run(conn, "BEGIN ISOLATION LEVEL %s", levels[i]);
		assert_refused(conn, "25000", "read committed alone", NULL, "SELECT * FROM meowmx_read(0, 10)");
		sql_run(conn, "ROLLBACK");
	}
	sql_run(conn, "BEGIN;" CALL("order", "a", "-1"));
	assert_refused(conn, "25000", "has itself appended", NULL, "SELECT * FROM meowmx_read(0, 10)");
	sql_run(conn, "ROLLBACK; BEGIN; CREATE TABLE read_model (n int); SELECT * FROM meowmx_read(0, 10); COMMIT");
	static const char *const wrong[] = {"-1, 10", "NULL, 10", "0, 0", "0, NULL"};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		char sql[100];
		snprintf(sql, sizeof(sql), "SELECT * FROM meowmx_read(%s)", wrong[i]);
		assert_refused(conn, "22023", "behind a position from 0", NULL, sql);
	}
	PQfinish(conn);
}

// Where such an error comes up in a call of the library, out of a trigger that calls the functions, it is of the right kind.
static void the_library_knows_their_errors(void **state)
{
	(void)state;
	static const struct {
		const char *code;
		enum meow_error_kind kind;
	} codes[] = {{"MW001", MEOW_CONFLICT}, {"MW002", MEOW_INVALID}, {"MW003", MEOW_CONFIG}};
	const char *url = database_create_store(NULL);
	PGconn *conn = sql_open(url);
	struct meow_store *store = store_open_or_fail(url);
	for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++) {
		sql_run(conn,
			"CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
			"$$BEGIN RAISE 'no' USING ERRCODE = '%s', DETAIL = 'expected 1, found 2'; END$$;"
			"DROP TRIGGER IF EXISTS refuse ON es_events;"
			"CREATE TRIGGER refuse BEFORE INSERT ON es_events EXECUTE FUNCTION refuse()",
			codes[i].code);
		struct meow_error err;
		struct meow_new_event event = {.type = MEOW_BYTES("a"), .data = MEOW_BYTES("1"), .time_us = MEOW_NO_TIME};
		struct meow_append append = {.aggregate_type = "order",
			.aggregate_id = new_uuid(),
			.expected = MEOW_EXPECT_NEW,
			.events = &event,
			.count = 1};
		assert_fails(meow_append(store, &append, NULL, NULL, &err), err, codes[i].kind);
		assert_string_equal(err.code, codes[i].code);
	}
	meow_store_close(store);
	PQfinish(conn);
}

static void a_store_of_the_first_schema_gets_them(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	PGconn *conn = sql_open(url);
	sql_run(conn, "UPDATE meowmx_meta SET schema_version = 1; DROP FUNCTION meowmx_read, meowmx_append, meowmx_load");
	struct meow_error err;
	assert_null(meow_store_open(url, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	assert_says(err, "run `meowmx setup`");
	database_setup(url);
	meow_store_close(store_open_or_fail(url));
	free(append(conn, "a", "-1", ONE, NULL));
	assert_reads(conn, "1", 0, 10);
	PQfinish(conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appends_behind_the_expected_version),
		cmocka_unit_test(says_why_it_appends_nothing),
		cmocka_unit_test(names_the_event_that_is_none),
		cmocka_unit_test(keeps_every_byte),
		cmocka_unit_test(a_token_makes_it_repeatable),
		cmocka_unit_test(names_the_version_it_waited_for),
		cmocka_unit_test(sixteen_callers_lose_and_repeat_nothing),
		cmocka_unit_test(a_token_counts_once_however_many_use_it_at_once),
		cmocka_unit_test(nothing_of_the_callers_gets_in_between),
		cmocka_unit_test(loads_an_aggregate),
		cmocka_unit_test(reads_what_is_settled),
		cmocka_unit_test(reads_only_where_snapshots_are_fresh),
		cmocka_unit_test(the_library_knows_their_errors),
		cmocka_unit_test(a_store_of_the_first_schema_gets_them),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
