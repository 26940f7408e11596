// Aggregates over PostgreSQL in particular: in the application's transaction, when history is changed by plain SQL, and
// when the connection breaks before or after the commit of a save.
#include "counter.h"
#include "database.h"
#include "support/proxy.h"

#include <string.h>

struct fixture {
	const char *url;
	PGconn *conn;              // the application's
	struct meow_store *store;  // on a connection of its own
	struct meow_store *inside; // on the application's
	struct counter_context context;
	struct meow_aggregate_type type, plain;
};

static int each_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct meow_error err;
	f->url = database_create_store(NULL);
	f->conn = sql_open(f->url);
	f->store = store_open_or_fail(f->url);
	f->inside = meow_store_on_postgres(f->conn, &err);
	assert_non_null(f->inside);
	f->type = counter_type(&f->context, 0, 0);
	f->plain = f->type;
	f->plain.snapshot = NULL;
	*state = f;
	return 0;
}

static int each_teardown(void **state)
{
	struct fixture *f = *state;
	int64_t left = f->context.created - f->context.destroyed;
	meow_store_close(f->inside);
	meow_store_close(f->store);
	PQfinish(f->conn);
	free(f);
	return left == 0 ? 0 : -1;
}

static struct meow_aggregate *load(struct meow_store *store, const struct meow_aggregate_type *type, const char *id)
{
	struct meow_error err;
	struct meow_aggregate *aggregate = meow_aggregate_load(store, type, id, INT64_MAX, &err);
	if (!aggregate)
		fail_msg("%s", err.text);
	return aggregate;
}

static void add_saved(struct meow_store *store, const struct meow_aggregate_type *type, const char *id, int64_t count)
{
	struct meow_error err;
	struct meow_aggregate *aggregate = load(store, type, id);
	for (int64_t i = 0; i < count; i++)
		assert_ok(counter_add(aggregate, 1 + i, &err), err);
	assert_ok(meow_aggregate_save(aggregate, NULL, &err), err);
	meow_aggregate_destroy(aggregate);
}

static int64_t sum_of(struct fixture *f, const char *id)
{
	struct meow_aggregate *quick = load(f->store, &f->type, id), *replayed = load(f->store, &f->plain, id);
	int64_t sum = counter_of(quick)->sum;
	assert_int_equal(counter_of(replayed)->sum, sum);
	assert_true(counter_of(replayed)->hash == counter_of(quick)->hash);
	assert_int_equal(meow_aggregate_version(quick), meow_aggregate_version(replayed));
	meow_aggregate_destroy(quick);
	meow_aggregate_destroy(replayed);
	return sum;
}

// --- in the application's transaction ---

static void events_and_business_tables_commit_together(void **state)
{
	struct fixture *f = *state;
	const char *id = new_uuid();
	f->type.snapshot_every = 2;
	sql_run(f->conn, "CREATE TABLE business (n int)");
	for (int committed = 0; committed < 2; committed++) {
		sql_run(f->conn, "BEGIN; INSERT INTO business VALUES (1)");
		add_saved(f->inside, &f->type, id, 4);
		sql_run(f->conn, committed ? "COMMIT" : "ROLLBACK");
		assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM business"), committed);
		assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM es_events"), committed * 4);
		assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM es_aggregate_snapshot"), committed);
		assert_int_equal(sum_of(f, id), committed * 10);
	}
}

static void assert_refused(struct fixture *f, const char *id)
{
	struct meow_error err;
	int64_t version;
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = MEOW_BYTES("1"), .time_us = MEOW_NO_TIME};
	const struct meow_append append = {"counter", id, MEOW_EXPECT_ANY, &event, 1, NULL, NULL};
	assert_fails(meow_append(f->inside, &append, NULL, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "under way");
	assert_fails(meow_version(f->inside, "counter", id, &version, &err), err, MEOW_INVALID);
	assert_fails(meow_delete(f->inside, "counter", id, 0, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "under way");
	assert_null(meow_store_on_postgres(f->conn, &err));
	assert_says(err, "under way");
}

// Another statement would make libpq end the COPY, and drop the rows that are still to come.
static void a_statement_of_the_applications_that_is_under_way_is_left_alone(void **state)
{
	struct fixture *f = *state;
	PGresult *result;
	int rows = 0;
	sql_run(f->conn, "CREATE TEMP TABLE numbers (n int); BEGIN");
	PQclear(PQexec(f->conn, "COPY numbers FROM STDIN"));
	assert_int_equal(PQputCopyData(f->conn, "1\n2\n", 4), 1);
	assert_refused(f, new_uuid());
	assert_int_equal(PQputCopyEnd(f->conn, NULL), 1);
	while ((result = PQgetResult(f->conn)) != NULL)
		PQclear(result);
	sql_run(f->conn, "COMMIT");
	assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM numbers"), 2);

	assert_int_equal(PQsendQuery(f->conn, "SELECT generate_series(1, 9)"), 1);
	assert_int_equal(PQsetSingleRowMode(f->conn), 1);
	while ((result = PQgetResult(f->conn)) != NULL) {
		rows += PQntuples(result);
		PQclear(result);
		if (rows == 3)
			assert_refused(f, new_uuid());
	}
	assert_int_equal(rows, 9);
	add_saved(f->inside, &f->type, new_uuid(), 1);
}

static void a_connection_that_is_gone_before_anything_was_sent_is_no_unknown_outcome(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = MEOW_BYTES("1"), .time_us = MEOW_NO_TIME};
	const struct meow_append append = {"counter", new_uuid(), MEOW_EXPECT_NEW, &event, 1, NULL, NULL};
	PQclear(PQexec(f->conn, "SELECT pg_terminate_backend(pg_backend_pid())"));
	assert_fails(meow_append(f->inside, &append, NULL, NULL, &err), err, MEOW_UNAVAILABLE);
}

static void a_failing_snapshot_leaves_the_transaction_whole(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_saved saved;
	const char *id = new_uuid();
	f->type.snapshot_every = 1;
	f->type.keep_snapshots = 1;
	f->context.bad_snapshot = "{no json";
	sql_run(f->conn, "CREATE TABLE business (n int); BEGIN; INSERT INTO business VALUES (1)");
	struct meow_aggregate *aggregate = load(f->inside, &f->type, id);
	assert_ok(counter_add(aggregate, 5, &err), err);
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	assert_false(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_INVALID);
	f->context.bad_snapshot = NULL;
	assert_ok(counter_add(aggregate, 6, &err), err);
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	assert_true(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_ERROR_NONE);
	meow_aggregate_destroy(aggregate);
	sql_run(f->conn, "COMMIT");
	assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM business"), 1);
	assert_int_equal(sum_of(f, id), 11);
}

static void a_role_that_may_not_prune_is_told(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_saved saved;
	const char *id = new_uuid();
	f->type.snapshot_every = 1;
	f->type.keep_snapshots = 1;
	add_saved(f->store, &f->type, id, 1);
	sql_run(f->conn,
		"BEGIN; CREATE ROLE writer_%s; GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO "
		"writer_%s; GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO writer_%s; SET LOCAL ROLE writer_%s",
		"a", "a", "a", "a");
	struct meow_aggregate *aggregate = load(f->inside, &f->type, id);
	assert_ok(counter_add(aggregate, 5, &err), err);
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	assert_true(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_DENIED);
	meow_aggregate_destroy(aggregate);
	sql_run(f->conn, "RESET ROLE; DROP OWNED BY writer_a; DROP ROLE writer_a; COMMIT");
	assert_int_equal(sum_of(f, id), 6);
	assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM es_aggregate_snapshot"), 2);
}

struct command {
	struct fixture *f;
	const char *id;
	int intruders, calls;
};

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	struct command *command = arg;
	command->calls++;
	if (command->intruders-- > 0)
		add_saved(command->f->store, &command->f->type, command->id, 1);
	return counter_add(aggregate, 100, err);
}

static void a_command_in_read_committed_is_repeated(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct command command = {.f = f, .id = new_uuid(), .intruders = 2};
	add_saved(f->store, &f->type, command.id, 1);
	sql_run(f->conn, "BEGIN");
	assert_ok(meow_execute(f->inside, &f->type, command.id, 5, decide, &command, NULL, &err), err);
	sql_run(f->conn, "COMMIT");
	assert_int_equal(command.calls, 3);
	assert_int_equal(sum_of(f, command.id), 103);
}

// PostgreSQL has aborted the transaction: no repetition can help, and what is told is the conflict.
static void a_command_in_repeatable_read_ends_with_its_conflict(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct command command = {.f = f, .id = new_uuid(), .intruders = 1};
	add_saved(f->store, &f->type, command.id, 1);
	sql_run(f->conn, "BEGIN ISOLATION LEVEL REPEATABLE READ");
	assert_fails(meow_execute(f->inside, &f->type, command.id, 5, decide, &command, NULL, &err), err, MEOW_CONFLICT);
	assert_string_equal(err.code, "40001");
	assert_int_equal(command.calls, 1);
	sql_run(f->conn, "ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ"); // the whole transaction again
	assert_ok(meow_execute(f->inside, &f->type, command.id, 5, decide, &command, NULL, &err), err);
	sql_run(f->conn, "COMMIT");
	assert_int_equal(sum_of(f, command.id), 102);
}

// --- plain SQL ---

// What Python's delete_events does, and a writer that never heard of snapshots.
static void history_changed_by_plain_sql_yields_no_stale_state(void **state)
{
	struct fixture *f = *state;
	const char *id = new_uuid();
	f->type.snapshot_every = 2;
	for (int i = 0; i < 8; i++)
		add_saved(f->store, &f->type, id, 1);
	assert_int_equal(sql_number(f->conn, "SELECT count(*) FROM es_aggregate_snapshot"), 4);
	sql_run(f->conn,
		"BEGIN; DELETE FROM es_events WHERE aggregate_id = '%s' AND version >= 4; "
		"UPDATE es_aggregates SET version = 3 WHERE id = '%s'; COMMIT",
		id, id);
	assert_int_equal(sum_of(f, id), 4);
	for (int version = 4; version < 8; version++)
		sql_run(f->conn,
			"BEGIN; INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) VALUES "
			"(pg_current_xact_id(), '%s', %d, 'added', '1000'); UPDATE es_aggregates SET version = %d WHERE id = '%s'; "
			"COMMIT",
			id, version, version, id);
	assert_int_equal(sum_of(f, id), 4004);
	struct meow_aggregate *aggregate = load(f->store, &f->type, id);
	assert_int_equal(f->context.from_snapshots > 0, 1); // that of version 3
	meow_aggregate_destroy(aggregate);
}

static void a_snapshot_of_a_newer_version_does_not_count(void **state)
{
	struct fixture *f = *state;
	const char *id = new_uuid();
	add_saved(f->store, &f->type, id, 3);
	sql_run(f->conn,
		"INSERT INTO es_aggregate_snapshot (aggregate_id, version, json_data, position) SELECT aggregate_id, version + "
		"9, "
		"'{\"sum\":7,\"count\":7,\"hash\":\"7\"}', id FROM es_events WHERE version = 2; "
		"INSERT INTO es_aggregate_snapshot (aggregate_id, version, json_data) VALUES "
		"('%s', 1, '{\"sum\":7,\"count\":7,\"hash\":\"7\"}')", // Python's: nothing says what it was made of
		id);
	assert_int_equal(sum_of(f, id), 6);
}

// --- a connection that breaks ---

struct broken {
	struct proxy *proxy;
	struct meow_store *store; // through the proxy
};

static struct broken open_through_proxy(struct fixture *f)
{
	struct broken broken = {.proxy = proxy_start(server_port(database_server()))};
	char url[256];
	const char *name = strrchr(f->url, '/');
	snprintf(url, sizeof(url), "postgresql://postgres@127.0.0.1:%u%s?sslmode=disable", proxy_port(broken.proxy), name);
	broken.store = store_open_or_fail(url);
	return broken;
}

static void close_broken(struct broken *broken)
{
	meow_store_close(broken->store);
	proxy_stop(broken->proxy);
}

// As postgresql-event-sourcing's application leaves it: a row at version 0, and the first event behind it.
static void a_history_may_begin_at_one_where_the_type_says_so(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	const char *id = new_uuid();
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = MEOW_BYTES("7"), .time_us = MEOW_NO_TIME};
	const struct meow_append first = {"counter", id, 0, &event, 1, NULL, NULL};
	sql_run(f->conn, "INSERT INTO es_aggregates (id, version, aggregate_type) VALUES ('%s', 0, 'counter')", id);
	assert_ok(meow_append(f->store, &first, NULL, NULL, &err), err);
	assert_null(meow_aggregate_load(f->store, &f->type, id, INT64_MAX, &err));
	assert_says(err, "is at version -1 and was given the event of version 1");
	f->type.from_one = f->plain.from_one = true;
	f->type.snapshot_every = 2;
	add_saved(f->store, &f->type, id, 2);
	struct meow_aggregate *aggregate = load(f->store, &f->type, id);
	assert_int_equal(meow_aggregate_version(aggregate), 3);
	meow_aggregate_destroy(aggregate);
	assert_int_equal(sum_of(f, id), 7 + 1 + 2);
	const char *from_zero = new_uuid();
	add_saved(f->store, &f->type, from_zero, 3);
	assert_int_equal(sum_of(f, from_zero), 1 + 2 + 3);
	// Two missing events are a gap to everybody.
	sql_run(f->conn, "DELETE FROM es_events WHERE aggregate_id = '%s' AND version < 2", from_zero);
	assert_null(meow_aggregate_load(f->store, &f->plain, from_zero, INT64_MAX, &err));
	assert_says(err, "is at version -1 and was given the event of version 2");
}

static void a_break_is_repeated_within_the_save(void **state)
{
	struct fixture *f = *state;
	struct broken broken = open_through_proxy(f);
	struct meow_error err;
	struct meow_saved saved;
	const char *id = new_uuid();
	struct meow_aggregate *aggregate = load(broken.store, &f->type, id);
	assert_ok(counter_add(aggregate, 1, &err), err);
	proxy_arm(broken.proxy, PROXY_CUT_BEFORE, "meowmx_append");
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	proxy_wait(broken.proxy);
	assert_false(saved.repeated);
	assert_ok(counter_add(aggregate, 2, &err), err);
	proxy_arm(
		broken.proxy, PROXY_CUT_AFTER, "INSERT INTO es_events"); // the statement is prepared: nothing is stored yet
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	proxy_wait(broken.proxy);
	assert_ok(counter_add(aggregate, 3, &err), err);
	proxy_arm(broken.proxy, PROXY_CUT_AFTER, "meowmx_append_one"); // it is run
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	proxy_wait(broken.proxy);
	assert_true(saved.repeated);
	assert_int_equal(saved.version, 2);
	assert_int_equal(meow_aggregate_version(aggregate), 2);
	meow_aggregate_destroy(aggregate);
	assert_int_equal(sum_of(f, id), 6);
	close_broken(&broken);
}

// With no way to the server after the break the outcome stays unknown, over any number of saves, until one is answered.
static void an_unknown_outcome_is_cleared_up_by_saving_again(void **state)
{
	struct fixture *f = *state;
	struct broken broken = open_through_proxy(f);
	struct meow_error err;
	struct meow_saved saved;
	for (int after = 0; after < 2; after++) {
		const char *id = new_uuid();
		add_saved(broken.store, &f->type, id, 1);
		add_saved(broken.store, &f->type, id, 1); // both statements are prepared
		struct meow_aggregate *aggregate = load(broken.store, &f->type, id);
		assert_ok(counter_add(aggregate, 10, &err), err);
		proxy_arm(broken.proxy, after ? PROXY_CUT_AFTER : PROXY_CUT_BEFORE, "meowmx_append");
		proxy_refuse(broken.proxy, true);
		for (int i = 0; i < 3; i++) {
			assert_fails(meow_aggregate_save(aggregate, &saved, &err), err, MEOW_UNKNOWN_OUTCOME);
			assert_fails(counter_add(aggregate, 1, &err), err, MEOW_INVALID);
			assert_says(err, "the outcome of its save is unknown");
			assert_int_equal(meow_aggregate_stored_version(aggregate), 1);
		}
		assert_int_equal(
			sql_number(f->conn, "SELECT count(*) FROM es_events WHERE aggregate_id = '%s'", id), 2 + after);
		proxy_refuse(broken.proxy, false);
		assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
		assert_int_equal(saved.repeated, after);
		assert_int_equal(saved.count, 1);
		assert_int_equal(saved.version, 2);
		assert_ok(counter_add(aggregate, 20, &err), err);
		assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
		assert_int_equal(saved.version, 3);
		meow_aggregate_destroy(aggregate);
		assert_int_equal(sum_of(f, id), 32);
	}
	close_broken(&broken);
}

// What nobody knows the outcome of turns out not to be stored, and another was faster.
static void an_unknown_outcome_may_turn_out_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct broken broken = open_through_proxy(f);
	struct meow_error err;
	const char *id = new_uuid();
	add_saved(broken.store, &f->type, id, 1);
	add_saved(broken.store, &f->type, id, 1);
	struct meow_aggregate *aggregate = load(broken.store, &f->type, id);
	assert_ok(counter_add(aggregate, 1, &err), err); // the very bytes that the other appends
	proxy_arm(broken.proxy, PROXY_CUT_BEFORE, "meowmx_append");
	proxy_refuse(broken.proxy, true);
	assert_fails(meow_aggregate_save(aggregate, NULL, &err), err, MEOW_UNKNOWN_OUTCOME);
	add_saved(f->store, &f->type, id, 1);
	proxy_refuse(broken.proxy, false);
	assert_fails(meow_aggregate_save(aggregate, NULL, &err), err, MEOW_CONFLICT);
	assert_ok(counter_add(aggregate, 1, &err), err); // it is open again
	meow_aggregate_destroy(aggregate);
	assert_int_equal(sum_of(f, id), 3);
	close_broken(&broken);
}

static void a_store_that_is_away_is_unavailable(void **state)
{
	struct fixture *f = *state;
	struct broken broken = open_through_proxy(f);
	struct meow_error err;
	struct command command = {.f = f, .id = new_uuid()};
	struct meow_aggregate *aggregate = load(broken.store, &f->type, command.id);
	assert_ok(counter_add(aggregate, 1, &err), err);
	proxy_refuse(broken.proxy, true);
	proxy_cut(broken.proxy);
	// Whether the cut was noticed before the append was sent is a race; after that nothing is sent.
	assert_false(meow_aggregate_save(aggregate, NULL, &err));
	assert_true(err.kind == MEOW_UNAVAILABLE || err.kind == MEOW_UNKNOWN_OUTCOME);
	assert_fails(
		meow_execute(broken.store, &f->type, command.id, 5, decide, &command, NULL, &err), err, MEOW_UNAVAILABLE);
	assert_int_equal(command.calls, 0);
	proxy_refuse(broken.proxy, false);
	assert_ok(meow_aggregate_save(aggregate, NULL, &err), err);
	meow_aggregate_destroy(aggregate);
	assert_ok(meow_execute(broken.store, &f->type, command.id, 5, decide, &command, NULL, &err), err);
	assert_int_equal(sum_of(f, command.id), 101);
	close_broken(&broken);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		TEST(events_and_business_tables_commit_together),
		TEST(a_statement_of_the_applications_that_is_under_way_is_left_alone),
		TEST(a_connection_that_is_gone_before_anything_was_sent_is_no_unknown_outcome),
		TEST(a_failing_snapshot_leaves_the_transaction_whole),
		TEST(a_role_that_may_not_prune_is_told),
		TEST(a_command_in_read_committed_is_repeated),
		TEST(a_command_in_repeatable_read_ends_with_its_conflict),
		TEST(history_changed_by_plain_sql_yields_no_stale_state),
		TEST(a_snapshot_of_a_newer_version_does_not_count),
		TEST(a_history_may_begin_at_one_where_the_type_says_so),
		TEST(a_break_is_repeated_within_the_save),
		TEST(an_unknown_outcome_is_cleared_up_by_saving_again),
		TEST(an_unknown_outcome_may_turn_out_a_conflict),
		TEST(a_store_that_is_away_is_unavailable),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
