// A store on the application's own connection: its tables and its events commit together, or neither does.
#include "suite.h"

struct outbox {
	void *connection;
	struct meow_store *store; // on it
	struct meow_store *other; // on one of its own
};

static void begin_outbox(struct outbox *outbox)
{
	struct meow_error err;
	const char *url = kind.fresh();
	outbox->connection = kind.connect(url);
	outbox->store = kind.on(outbox->connection, &err);
	if (!outbox->store)
		fail_msg("%s", err.text);
	assert_ptr_equal(kind.connection_of(outbox->store), outbox->connection);
	outbox->other = open_or_fail(url);
	run_or_fail(outbox->connection, "CREATE TABLE stock (item text PRIMARY KEY, amount integer CHECK (amount >= 0))");
	run_or_fail(outbox->connection, "INSERT INTO stock VALUES ('lasagne', 2)");
}

static void end_outbox(struct outbox *outbox)
{
	meow_store_close(outbox->store);
	meow_store_close(outbox->other);
	kind.disconnect(outbox->connection); // ours to close, and no statement is left open on it
}

static int64_t stock(struct outbox *outbox)
{
	return kind.number(outbox->connection, "SELECT amount FROM stock");
}

static void a_commit_of_the_application_takes_the_events_with_it(void **state)
{
	(void)state;
	struct outbox outbox;
	begin_outbox(&outbox);
	run_or_fail(outbox.connection, "BEGIN");
	run_or_fail(outbox.connection, "UPDATE stock SET amount = amount - 1");
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	append_many(outbox.store, "order", "o", 2);
	assert_int_equal(version_of(outbox.store, "order", "o"), 2); // it sees its own
	assert_int_equal(version_of(outbox.other, "order", "o"), -1);
	assert_string_equal(numbers(outbox.store, an_aggregate("order", "o")), "0 1 2");
	const struct meow_query all = {.from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(outbox.store, all), "1 2 3");
	run_or_fail(outbox.connection, "COMMIT");
	assert_int_equal(version_of(outbox.other, "order", "o"), 2);
	assert_int_equal(stock(&outbox), 1);
	end_outbox(&outbox);
}

static void a_roll_back_of_the_application_takes_the_events_with_it(void **state)
{
	(void)state;
	struct outbox outbox;
	struct meow_error err;
	begin_outbox(&outbox);
	append_or_fail(outbox.store, "order", "kept", MEOW_EXPECT_NEW); // without a transaction: at once
	run_or_fail(outbox.connection, "BEGIN");
	run_or_fail(outbox.connection, "UPDATE stock SET amount = amount - 1");
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	assert_ok(meow_delete(outbox.store, "order", "kept", 0, NULL, &err), err);
	run_or_fail(outbox.connection, "ROLLBACK");
	assert_int_equal(version_of(outbox.other, "order", "o"), -1);
	assert_int_equal(version_of(outbox.other, "order", "kept"), 0);
	assert_int_equal(stock(&outbox), 2);
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	end_outbox(&outbox);
}

// A conflict is found without a statement that fails: the transaction goes on, whatever the store.
static void a_conflict_leaves_the_transaction_usable(void **state)
{
	(void)state;
	struct outbox outbox;
	struct meow_error err;
	begin_outbox(&outbox);
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	run_or_fail(outbox.connection, "BEGIN");
	run_or_fail(outbox.connection, "UPDATE stock SET amount = amount - 1");
	assert_fails(append_one(outbox.store, "order", "o", MEOW_EXPECT_NEW, NULL, &err), err, MEOW_CONFLICT);
	assert_fails(append_one(outbox.store, "payment", "o", 0, NULL, &err), err, MEOW_INVALID);
	append_or_fail(outbox.store, "order", "o", 0);
	run_or_fail(outbox.connection, "COMMIT");
	assert_int_equal(version_of(outbox.other, "order", "o"), 1);
	assert_int_equal(stock(&outbox), 1);
	end_outbox(&outbox);
}

// What the database refuses leaves nothing of that append; whether the rest is lost is the database's way.
static void a_refused_append_is_not_half_done(void **state)
{
	(void)state;
	struct outbox outbox;
	struct meow_error err;
	begin_outbox(&outbox);
	struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{x}")};
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "bad", .expected = MEOW_EXPECT_NEW, .events = events, .count = 3};
	run_or_fail(outbox.connection, "BEGIN");
	run_or_fail(outbox.connection, "UPDATE stock SET amount = amount - 1");
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	assert_fails(meow_append(outbox.store, &append, NULL, NULL, &err), err, MEOW_INVALID);
	if (kind.failure_aborts) {
		assert_fails(append_one(outbox.store, "order", "o", 0, NULL, &err), err, MEOW_INVALID);
	} else {
		append_or_fail(outbox.store, "order", "o", 0);
		assert_int_equal(version_of(outbox.store, "order", "bad"), -1);
	}
	assert_true(kind.run(outbox.connection, "COMMIT")); // which PostgreSQL turns into a ROLLBACK
	assert_int_equal(version_of(outbox.other, "order", "bad"), -1);
	assert_int_equal(version_of(outbox.other, "order", "o"), kind.failure_aborts ? -1 : 1);
	assert_int_equal(stock(&outbox), kind.failure_aborts ? 2 : 1);
	end_outbox(&outbox);
}

static void a_savepoint_of_the_application_stays_its_own(void **state)
{
	(void)state;
	struct outbox outbox;
	begin_outbox(&outbox);
	run_or_fail(outbox.connection, "BEGIN");
	append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	run_or_fail(outbox.connection, "SAVEPOINT meowmx");
	append_or_fail(outbox.store, "order", "o", 0);
	run_or_fail(outbox.connection, "ROLLBACK TO meowmx");
	assert_int_equal(version_of(outbox.store, "order", "o"), 0);
	append_or_fail(outbox.store, "order", "o", 0);
	run_or_fail(outbox.connection, "RELEASE meowmx");
	run_or_fail(outbox.connection, "COMMIT");
	assert_int_equal(version_of(outbox.other, "order", "o"), 1);
	end_outbox(&outbox);
}

static void snapshots_and_deletes_belong_to_the_transaction(void **state)
{
	(void)state;
	struct outbox outbox;
	struct meow_error err;
	struct meow_snapshot *loaded;
	begin_outbox(&outbox);
	int64_t position = append_or_fail(outbox.store, "order", "o", MEOW_EXPECT_NEW);
	const struct meow_snapshot snapshot = {0, position, MEOW_BYTES("{}")};
	run_or_fail(outbox.connection, "BEGIN");
	assert_ok(meow_snapshot_save(outbox.store, "order", "o", &snapshot, &err), err);
	run_or_fail(outbox.connection, "ROLLBACK");
	assert_ok(meow_snapshot_load(outbox.other, "order", "o", 0, &loaded, &err), err);
	assert_null(loaded);
	assert_ok(meow_snapshot_save(outbox.store, "order", "o", &snapshot, &err), err);
	run_or_fail(outbox.connection, "BEGIN");
	assert_ok(meow_delete(outbox.store, "order", "o", 0, NULL, &err), err);
	run_or_fail(outbox.connection, "COMMIT");
	assert_int_equal(version_of(outbox.other, "order", "o"), -1);
	assert_int_equal(kind.number(outbox.connection, "SELECT count(*) FROM es_aggregate_snapshot"), 0);
	end_outbox(&outbox);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_commit_of_the_application_takes_the_events_with_it),
	cmocka_unit_test(a_roll_back_of_the_application_takes_the_events_with_it),
	cmocka_unit_test(a_conflict_leaves_the_transaction_usable),
	cmocka_unit_test(a_refused_append_is_not_half_done),
	cmocka_unit_test(a_savepoint_of_the_application_stays_its_own),
	cmocka_unit_test(snapshots_and_deletes_belong_to_the_transaction),
};
SUITE(suite_borrowed, tests);
