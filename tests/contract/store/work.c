// What subscriptions and the command line ask: transactions of a handler with their checkpoint, claims, status, bulk loads.
#include "suite.h"

#include <unistd.h>

static struct store_work begin_work(struct meow_store *store, const char *name)
{
	struct meow_error err;
	struct store_work work = {.position = -1};
	assert_ok(store_work_begin(store, name, &work, &err), err);
	return work;
}

static void commit_work(struct meow_store *store, const char *name, int64_t position, int64_t handled)
{
	struct meow_error err;
	const struct store_work work = {.position = position, .handled = handled};
	assert_ok(store_work_commit(store, name, &work, &err), err);
}

static bool claim(struct meow_store *store, const char *name)
{
	struct meow_error err;
	bool claimed;
	assert_ok(store_work_claim(store, name, &claimed, &err), err);
	return claimed;
}

static void the_handlers_work_and_its_checkpoint_commit_together(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	void *connection = kind.connect(url);
	struct meow_error err;
	run_or_fail(connection, "CREATE TABLE seen (n integer)");
	struct store_work work = begin_work(store, "reader");
	assert_true(work.fresh);
	assert_false(work.paused);
	assert_int_equal(work.position, 0);
	run_or_fail(kind.connection_of(store), "INSERT INTO seen VALUES (1)");
	commit_work(store, "reader", 7, 5);
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM seen"), 1);

	work = begin_work(store, "reader");
	assert_false(work.fresh);
	assert_int_equal(work.position, 7);
	assert_int_equal(work.handled, 5);
	run_or_fail(kind.connection_of(store), "INSERT INTO seen VALUES (2)");
	append_or_fail(store, "order", "o", MEOW_EXPECT_NEW); // a handler may append
	assert_ok(store_work_roll_back(store, &err), err);
	assert_ok(store_work_roll_back(store, &err), err); // no transaction: nothing to do
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM seen"), 1);
	assert_int_equal(version_of(store, "order", "o"), -1);

	work = begin_work(store, "reader");
	append_or_fail(store, "order", "o", MEOW_EXPECT_NEW);
	assert_fails(append_one(store, "order", "o", MEOW_EXPECT_NEW, NULL, &err), err, MEOW_CONFLICT);
	append_or_fail(store, "order", "o", 0);
	commit_work(store, "reader", 9, 9);
	assert_int_equal(version_of(store, "order", "o"), 1);
	assert_int_equal(begin_work(store, "reader").position, 9);
	assert_ok(store_work_roll_back(store, &err), err);
	kind.disconnect(connection);
	meow_store_close(store);
}

static void a_handler_that_ends_the_transaction_is_refused(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	const struct store_work moved = {.position = 3, .handled = 3};
	static const char *const ends[] = {"ROLLBACK", "COMMIT"};
	for (size_t i = 0; i < 2; i++) {
		begin_work(store, "reader");
		run_or_fail(kind.connection_of(store), ends[i]);
		assert_fails(store_work_commit(store, "reader", &moved, &err), err, MEOW_INVALID);
		assert_says(err, "neither commit nor roll back");
		assert_ok(store_work_roll_back(store, &err), err);
	}
	assert_int_equal(begin_work(store, "reader").position, 0);
	assert_ok(store_work_roll_back(store, &err), err);
	meow_store_close(store);
}

static void one_handle_at_a_time_works_on_a_subscription(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *one = open_or_fail(url), *other = open_or_fail(url);
	assert_true(claim(one, "reader"));
	assert_true(claim(one, "reader"));
	assert_false(claim(other, "reader"));
	assert_true(claim(other, "another"));
	assert_false(claim(one, "another"));
	begin_work(one, "reader");
	commit_work(one, "reader", 1, 1);
	assert_false(claim(other, "reader"));
	meow_store_close(one);                                // whatever ends a handle frees what it had claimed
	for (int tries = 0; !claim(other, "reader"); tries++) // PostgreSQL's server notices it a moment later
		assert_true(tries < 100000);
	struct meow_store *third = open_or_fail(kind.fresh()); // of another store
	assert_true(claim(third, "reader"));
	meow_store_close(third);
	meow_store_close(other);
}

static struct store_subscriptions list(struct meow_store *store, const char *name)
{
	struct meow_error err;
	struct store_subscriptions list;
	assert_ok(store_subscriptions(store, name, &list, &err), err);
	return list;
}

static void status_shows_subscriptions_and_their_lag(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct store_status status;
	assert_ok(store_status(store, &status, &err), err);
	assert_string_equal(status.kind, kind.name);
	assert_true(*status.version >= '1' && *status.version <= '9');
	assert_int_equal(strlen(status.info.store.store_id), 36);
	assert_int_equal(status.head, 0);
	struct store_subscriptions none = list(store, NULL);
	assert_int_equal(none.count, 0);
	store_subscriptions_free(&none);

	append_many(store, "order", "o", 5);
	begin_work(store, "b");
	commit_work(store, "b", 2, 1);
	begin_work(store, "a");
	commit_work(store, "a", 5, 5);
	const struct store_work_state state_of_b = {
		.state = "RESTARTING", .reason = "the handler \"failed\"", .error_class = "invalid", .error_position = 3};
	assert_ok(store_work_report(store, "b", &state_of_b, &err), err);
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.head, 5);
	assert_int_equal(status.settled, 5);
	assert_int_equal(status.holder_count, 0);
	struct store_subscriptions both = list(store, NULL);
	assert_int_equal(both.count, 2);
	assert_string_equal(both.items[0].checkpoint.subscription, "a");
	assert_string_equal(both.items[0].checkpoint.state, "RUNNING");
	assert_null(both.items[0].checkpoint.reason);
	assert_int_equal(both.items[0].lag_events, 0);
	assert_int_equal(both.items[0].lag_us, 0);
	const struct store_subscription *b = &both.items[1];
	assert_string_equal(b->checkpoint.reason, "the handler \"failed\"");
	assert_string_equal(b->checkpoint.error_class, "invalid");
	assert_int_equal(b->checkpoint.error_position, 3);
	assert_int_equal(b->checkpoint.position, 2);
	assert_int_equal(b->checkpoint.delivered, 1);
	assert_int_equal(b->lag_events, 3);
	assert_true(b->lag_us >= 0 && b->lag_us < 60000000);
	assert_true(b->progressed_at_us > INT64_C(1700000000000000));
	assert_true(b->since_us >= b->progressed_at_us);
	store_subscriptions_free(&both);

	begin_work(store, "b"); // which runs well again
	commit_work(store, "b", 5, 5);
	struct store_subscriptions one = list(store, "b");
	assert_int_equal(one.count, 1);
	assert_string_equal(one.items[0].checkpoint.state, "RUNNING");
	assert_null(one.items[0].checkpoint.reason);
	assert_int_equal(one.items[0].checkpoint.error_position, 0);
	store_subscriptions_free(&one);
	meow_store_close(store);
}

static void only_what_has_stopped_is_resumed_or_skipped(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	assert_fails(store_subscription_resume(store, "nobody", &err), err, MEOW_MISSING);
	assert_fails(store_subscription_skip(store, "nobody", 1, &err), err, MEOW_MISSING);
	begin_work(store, "s");
	commit_work(store, "s", 2, 2);
	assert_fails(store_subscription_resume(store, "s", &err), err, MEOW_INVALID);
	assert_fails(store_subscription_skip(store, "s", 3, &err), err, MEOW_INVALID);
	const struct store_work_state failed = {.state = "FAILED", .reason = "no", .error_position = 3};
	assert_ok(store_work_report(store, "s", &failed, &err), err);
	assert_fails(store_subscription_skip(store, "s", 4, &err), err, MEOW_INVALID);
	assert_says(err, "has stopped at position 3, not at 4");
	assert_ok(store_subscription_skip(store, "s", 3, &err), err);
	struct store_subscriptions one = list(store, "s");
	assert_int_equal(one.items[0].checkpoint.position, 3);
	assert_int_equal(one.items[0].checkpoint.delivered, 2);
	assert_true(one.items[0].checkpoint.resume_from_store);
	store_subscriptions_free(&one);
	assert_ok(store_subscription_resume(store, "s", &err), err);
	meow_store_close(store);
}

// What was to be skipped comes again by itself; to skip it now would leave out all that precedes it.
static void a_stop_is_no_place_to_skip_from_behind_a_rewind(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	begin_work(store, "s");
	commit_work(store, "s", 2, 2);
	const struct store_work_state failed = {.state = "FAILED", .reason = "no", .error_position = 3};
	assert_ok(store_work_report(store, "s", &failed, &err), err);
	assert_ok(store_subscription_rewind(store, "s", 0, &err), err);
	assert_fails(store_subscription_skip(store, "s", 3, &err), err, MEOW_INVALID);
	struct store_subscriptions one = list(store, "s");
	assert_int_equal(one.items[0].checkpoint.position, 0);
	store_subscriptions_free(&one);
	meow_store_close(store);
}

// The subscription "s" as it stands.
static struct checkpoint standing(struct meow_store *store)
{
	struct store_subscriptions one = list(store, "s");
	assert_int_equal(one.count, 1);
	struct checkpoint checkpoint = one.items[0].checkpoint; // its texts are gone with the list
	store_subscriptions_free(&one);
	return checkpoint;
}

static void a_pause_lasts_until_it_is_resumed(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	assert_fails(store_subscription_pause(store, "s", &err), err, MEOW_MISSING);
	begin_work(store, "s");
	commit_work(store, "s", 2, 2);
	assert_ok(store_subscription_pause(store, "s", &err), err);
	assert_ok(store_subscription_pause(store, "s", &err), err);
	assert_true(begin_work(store, "s").paused);
	assert_ok(store_work_roll_back(store, &err), err);
	const struct store_work_state failed = {.state = "FAILED", .reason = "no"};
	assert_ok(store_work_report(store, "s", &failed, &err), err);
	assert_ok(store_subscription_resume(store, "s", &err), err); // of the pause: the stop stays
	assert_false(standing(store).paused);
	assert_false(standing(store).resume_from_store);
	assert_ok(store_subscription_resume(store, "s", &err), err);
	assert_true(standing(store).resume_from_store);
	meow_store_close(store);
}

static void a_rewind_goes_back_in_a_new_generation(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	assert_fails(store_subscription_rewind(store, "s", 0, &err), err, MEOW_MISSING);
	append_many(store, "order", "o", 9);
	begin_work(store, "s");
	commit_work(store, "s", 7, 5);
	assert_fails(store_subscription_rewind(store, "s", 10, &err), err, MEOW_INVALID);
	assert_says(err, "beyond the end");
	assert_fails(store_subscription_rewind(store, "s", 8, &err), err, MEOW_INVALID);
	assert_says(err, "would pass by");
	assert_fails(store_subscription_rewind(store, "s", -1, &err), err, MEOW_INVALID);
	assert_int_equal(standing(store).generation, 0);
	assert_ok(store_subscription_rewind(store, "s", 6, &err), err);
	assert_int_equal(standing(store).generation, 1);
	assert_int_equal(standing(store).position, 6);
	assert_int_equal(standing(store).delivered, 5);
	assert_ok(store_subscription_rewind(store, "s", 2, &err), err);
	assert_int_equal(standing(store).generation, 2);
	assert_int_equal(standing(store).position, 2);
	assert_int_equal(standing(store).delivered, 2);
	assert_int_equal(begin_work(store, "s").generation, 2);
	assert_ok(store_work_roll_back(store, &err), err);
	meow_store_close(store);
}

static void only_what_nobody_works_on_is_deleted(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url), *other = open_or_fail(url);
	struct meow_error err;
	assert_fails(store_subscription_delete(store, "r", &err), err, MEOW_MISSING);
	assert_true(claim(other, "s"));
	begin_work(other, "s");
	commit_work(other, "s", 2, 2);
	assert_fails(store_subscription_delete(store, "s", &err), err, MEOW_UNAVAILABLE);
	assert_says(err, "a process works on s");
	meow_store_close(other); // as one does that is killed, too: what its row says of it stays
	struct store_subscriptions left = list(store, "s");
	assert_string_equal(left.items[0].checkpoint.state, "RUNNING");
	store_subscriptions_free(&left);
	while (!claim(store, "s")) // until the server has seen that the other one is gone
		usleep(10000);
	assert_ok(store_subscription_delete(store, "s", &err), err);
	assert_fails(store_subscription_pause(store, "s", &err), err, MEOW_MISSING);
	assert_true(begin_work(store, "s").fresh);
	assert_ok(store_work_roll_back(store, &err), err);
	meow_store_close(store);
}

// --- bulk ---

static struct store_bulk_line line(uint64_t number, const char *id, int64_t expected, int64_t version, const char *data)
{
	return (struct store_bulk_line){.line = number,
		.aggregate_type = "order",
		.aggregate_id = id,
		.expected = expected,
		.version = version,
		.event = an_event("a", data)};
}

static bool bulk(struct meow_store *store, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret, uint64_t *ret_line, struct meow_error *err)
{
	return store_bulk(store, lines, count, ret, ret_line, err);
}

static void a_bulk_load_is_all_or_nothing(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct store_bulk_result result;
	uint64_t at;
	struct store_bulk_line lines[] = {line(1, "x", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "1"),
		line(2, "y", MEOW_NO_VERSION, 0, "{ \"a\":\n1}"), line(3, "x", 0, MEOW_NO_VERSION, "2"),
		line(4, "y", MEOW_NO_VERSION, 1, "3"), line(5, "z", MEOW_NO_VERSION, MEOW_NO_VERSION, "4")};
	assert_ok(bulk(store, lines, 0, &result, &at, &err), err);
	assert_ok(bulk(store, lines, 5, &result, &at, &err), err);
	assert_int_equal(result.appended, 5);
	assert_int_equal(result.skipped, 0);
	assert_int_equal(version_of(store, "order", "x"), 1);

	// Versions that are there already with the same content are skipped, a line break being a space in a JSON line.
	struct store_bulk_line again[] = {
		line(1, "y", MEOW_NO_VERSION, 0, "{ \"a\": 1}"), line(2, "y", MEOW_NO_VERSION, 2, "5")};
	assert_ok(bulk(store, again, 2, &result, &at, &err), err);
	assert_int_equal(result.appended, 1);
	assert_int_equal(result.skipped, 1);

	struct store_bulk_line wrong[] = {line(11, "new", MEOW_NO_VERSION, 0, "1"), line(12, "y", MEOW_NO_VERSION, 1, "4")};
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_CONFLICT);
	assert_int_equal(at, 12);
	assert_says(err, "another event at version 1");
	wrong[1] = line(13, "y", 7, MEOW_NO_VERSION, "4");
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_CONFLICT);
	assert_int_equal(at, 13);
	assert_says(err, "expected version 7, found version 2");
	wrong[1] = line(14, "y", MEOW_EXPECT_NEW, MEOW_NO_VERSION, "4");
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_CONFLICT);
	assert_says(err, "expected no event yet");
	wrong[1] = line(15, "unknown", MEOW_NO_VERSION, 3, "4");
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_CONFLICT);
	assert_says(err, "it has no event");
	wrong[1] = line(16, "y", MEOW_EXPECT_ANY, MEOW_NO_VERSION, "{a:1}");
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_INVALID);
	assert_int_equal(at, 16);
	wrong[1] = line(17, "y", MEOW_EXPECT_ANY, MEOW_NO_VERSION, "\xff");
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_INVALID);
	assert_int_equal(at, 17);
	wrong[1] = line(18, "y", MEOW_EXPECT_ANY, MEOW_NO_VERSION, "1");
	wrong[1].aggregate_type = "payment";
	assert_fails(bulk(store, wrong, 2, &result, &at, &err), err, MEOW_INVALID);
	assert_int_equal(at, 18);
	assert_int_equal(version_of(store, "order", "new"), -1);
	assert_int_equal(version_of(store, "order", "y"), 2);
	meow_store_close(store);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(the_handlers_work_and_its_checkpoint_commit_together),
	cmocka_unit_test(a_handler_that_ends_the_transaction_is_refused),
	cmocka_unit_test(one_handle_at_a_time_works_on_a_subscription),
	cmocka_unit_test(status_shows_subscriptions_and_their_lag),
	cmocka_unit_test(a_pause_lasts_until_it_is_resumed),
	cmocka_unit_test(a_rewind_goes_back_in_a_new_generation),
	cmocka_unit_test(only_what_nobody_works_on_is_deleted),
	cmocka_unit_test(only_what_has_stopped_is_resumed_or_skipped),
	cmocka_unit_test(a_stop_is_no_place_to_skip_from_behind_a_rewind),
	cmocka_unit_test(a_bulk_load_is_all_or_nothing),
};
SUITE(suite_work, tests);
