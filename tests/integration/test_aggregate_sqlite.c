// Aggregates over SQLite in particular: in the application's transaction.
#include "counter.h"
#include "database.h"

#include <sqlite3.h>
#include <string.h>

struct fixture {
	sqlite3 *db;               // the application's
	struct meow_store *inside; // on it
	struct meow_store *store;  // another client
	struct counter_context context;
	struct meow_aggregate_type type;
};

static void run(sqlite3 *db, const char *sql)
{
	char *reason = NULL;
	if (sqlite3_exec(db, sql, NULL, NULL, &reason) != SQLITE_OK)
		fail_msg("%s: %s", sql, reason);
}

static int64_t number(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *statement;
	assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	int64_t number = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return number;
}

static int each_setup(void **state)
{
	static unsigned count;
	struct fixture *f = calloc(1, sizeof(*f));
	struct meow_error err;
	char url[256];
	snprintf(url, sizeof(url), "sqlite:%s/store-%u.db", scratch_folder(), ++count);
	assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
	assert_int_equal(sqlite3_open(strchr(url, ':') + 1, &f->db), SQLITE_OK);
	f->inside = meow_store_on_sqlite(f->db, &err);
	assert_non_null(f->inside);
	f->store = store_open_or_fail(url);
	f->type = counter_type(&f->context, 0, 0);
	run(f->db, "CREATE TABLE business (n int)");
	*state = f;
	return 0;
}

static int each_teardown(void **state)
{
	struct fixture *f = *state;
	int64_t left = f->context.created - f->context.destroyed;
	meow_store_close(f->inside);
	meow_store_close(f->store);
	int closed = sqlite3_close(f->db);
	free(f);
	return left == 0 && closed == SQLITE_OK ? 0 : -1;
}

struct command {
	struct fixture *f;
	int64_t number;
	int intruders, calls;
};

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	struct command *command = arg;
	struct command intruder = {.f = command->f, .number = 1};
	command->calls++;
	if (command->intruders-- > 0 &&
		!meow_execute(command->f->store, &command->f->type, "c1", 1, decide, &intruder, NULL, err))
		return false;
	return counter_add(aggregate, command->number, err);
}

static int64_t sum(struct fixture *f)
{
	struct meow_error err;
	struct meow_aggregate *aggregate = meow_aggregate_load(f->store, &f->type, "c1", INT64_MAX, &err);
	assert_non_null(aggregate);
	int64_t found = counter_of(aggregate)->sum;
	meow_aggregate_destroy(aggregate);
	return found;
}

static void events_and_business_tables_commit_together(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct command command = {.f = f, .number = 7};
	f->type.snapshot_every = 1;
	for (int committed = 0; committed < 2; committed++) {
		run(f->db, "BEGIN; INSERT INTO business VALUES (1)");
		assert_ok(meow_execute(f->inside, &f->type, "c1", 1, decide, &command, NULL, &err), err);
		run(f->db, committed ? "COMMIT" : "ROLLBACK");
		assert_int_equal(number(f->db, "SELECT count(*) FROM business"), committed);
		assert_int_equal(number(f->db, "SELECT count(*) FROM es_aggregate_snapshot"), committed);
		assert_int_equal(sum(f), committed * 7);
	}
}

static void a_failing_snapshot_leaves_the_transaction_whole(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_saved saved;
	struct command command = {.f = f, .number = 7};
	f->type.snapshot_every = 1;
	f->context.bad_snapshot = "{no json";
	run(f->db, "BEGIN; INSERT INTO business VALUES (1)");
	assert_ok(meow_execute(f->inside, &f->type, "c1", 1, decide, &command, &saved, &err), err);
	assert_false(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_INVALID);
	run(f->db, "COMMIT");
	assert_int_equal(number(f->db, "SELECT count(*) FROM business"), 1);
	assert_int_equal(sum(f), 7);
}

// What the transaction has read is older than what the other has written, and stays so: no repetition can help.
static void a_command_behind_an_old_snapshot_ends_with_its_conflict(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct command command = {.f = f, .number = 100, .intruders = 1};
	run(f->db, "BEGIN");
	assert_fails(meow_execute(f->inside, &f->type, "c1", 5, decide, &command, NULL, &err), err, MEOW_CONFLICT);
	assert_says(err, "BEGIN IMMEDIATE");
	assert_int_equal(command.calls, 1);
	run(f->db, "ROLLBACK; BEGIN IMMEDIATE");
	assert_ok(meow_execute(f->inside, &f->type, "c1", 5, decide, &command, NULL, &err), err);
	run(f->db, "COMMIT");
	assert_int_equal(command.calls, 2);
	assert_int_equal(sum(f), 101);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		TEST(events_and_business_tables_commit_together),
		TEST(a_failing_snapshot_leaves_the_transaction_whole),
		TEST(a_command_behind_an_old_snapshot_ends_with_its_conflict),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
