// What status shows of a store, and what an operator may do to its subscriptions.
#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void status_names_who_holds_the_settled_position_back(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	struct store_status status;
	struct meow_error err;
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.head, 0); // no id was drawn yet
	assert_int_equal(status.settled, 0);
	assert_int_equal(status.holder_count, 0);
	assert_true(status.info.fsync_off);
	assert_false(status.info.pooled);
	append_or_fail(store, "order", "o1", MEOW_EXPECT_NEW, "{}");

	PGconn *slow = sql_open(database_url_with(url, "application_name=slow-writer"));
	PGconn *idle = sql_open(url), *elsewhere = sql_open(server_url(database_server()));
	sql_run(slow, "BEGIN; SELECT nextval('es_events_id_seq')");
	// None of these has drawn an id.
	sql_run(
		idle, "BEGIN; LOCK es_events, es_aggregates IN ROW EXCLUSIVE MODE; SELECT last_value FROM es_events_id_seq");
	sql_run(elsewhere, "BEGIN; SELECT pg_current_xact_id()");
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.head, 2);
	assert_int_equal(status.settled, -1);
	assert_int_equal(status.holder_count, 1);
	assert_int_equal(status.holders[0].pid, PQbackendPID(slow));
	assert_string_equal(status.holders[0].name, "slow-writer");
	assert_true(status.holders[0].age_us >= 0);
	sql_run(slow, "PREPARE TRANSACTION 'left behind'");
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.holder_count, 1);
	assert_true(status.holders[0].prepared);
	assert_int_equal(status.holders[0].pid, 0);
	assert_string_equal(status.holders[0].name, "left behind");
	sql_run(slow, "ROLLBACK PREPARED 'left behind'");
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.settled, 2);
	PQfinish(elsewhere);
	PQfinish(idle);
	PQfinish(slow);
	meow_store_close(store);
}

static void more_holders_than_are_listed_are_counted(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *writers[20];
	struct store_status status;
	struct meow_error err;
	for (int i = 0; i < 20; i++) {
		writers[i] = sql_open(url);
		sql_run(writers[i], "BEGIN; SELECT nextval('es_events_id_seq')");
	}
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.holder_count, 20);
	bool oldest = false;
	for (int i = 0; i < 16; i++)
		oldest = oldest || status.holders[i].pid == PQbackendPID(writers[0]);
	assert_true(oldest);
	for (int i = 0; i < 20; i++)
		PQfinish(writers[i]);
	meow_store_close(store);
}

static void subscriptions_show_their_lag(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct store_subscriptions list;
	struct meow_error err;
	assert_ok(store_subscriptions(store, NULL, &list, &err), err);
	assert_int_equal(list.count, 0);
	store_subscriptions_free(&list);
	for (int i = 0; i < 4; i++)
		append_or_fail(store, "order", "o1", i - 1, "{}");
	sql_run(conn, "UPDATE es_events SET created_at = now() - interval '100 s' WHERE id = 3;"
				  "UPDATE es_events SET created_at = NULL WHERE id = 2;"
				  "INSERT INTO meowmx_checkpoints (subscription, delivered, position, state, progressed_at) VALUES "
				  "('behind', 1, 2, 'RUNNING', '1970-01-01 00:00:01+00'), ('current', 4, 4, NULL, NULL), "
				  "('untimed', 0, 1, 'FAILED', NULL)");
	assert_ok(store_subscriptions(store, NULL, &list, &err), err);
	assert_int_equal(list.count, 3);
	const struct store_subscription *behind = &list.items[0], *current = &list.items[1], *untimed = &list.items[2];
	assert_string_equal(behind->checkpoint.subscription, "behind");
	assert_int_equal(behind->checkpoint.delivered, 1);
	assert_int_equal(behind->checkpoint.position, 2);
	assert_string_equal(behind->checkpoint.state, "RUNNING");
	assert_null(behind->checkpoint.reason);
	assert_int_equal(behind->lag_events, 2);
	assert_true(behind->lag_us >= 100000000 && behind->lag_us < 200000000);
	assert_int_equal(behind->progressed_at_us, 1000000);
	assert_int_equal(current->lag_events, 0);
	assert_int_equal(current->lag_us, 0);
	assert_null(current->checkpoint.state);
	assert_true(current->progressed_at_us == MEOW_NO_TIME);
	assert_int_equal(untimed->lag_us, -1);
	store_subscriptions_free(&list);
	assert_ok(store_subscriptions(store, "current", &list, &err), err);
	assert_int_equal(list.count, 1);
	store_subscriptions_free(&list);
	PQfinish(conn);
	meow_store_close(store);
}

static void a_stop_can_be_resumed_or_stepped_over(void **state)
{
	(void)state;
	const char *url = database_create_store("TEXT");
	struct meow_store *store = store_open_or_fail(url);
	PGconn *conn = sql_open(url);
	struct meow_error err;
	sql_run(conn,
		"INSERT INTO meowmx_checkpoints (subscription, delivered, position, state, error_position, stop_kept) "
		"VALUES ('stopped', 5, 6, 'FAILED', 9, true), ('running', 5, 6, 'RUNNING', 9, false), "
		"('other', 5, 6, 'FAILED', NULL, false)");
	assert_fails(store_subscription_resume(store, "nobody", &err), err, MEOW_MISSING);
	assert_says(err, "subscription list");
	assert_fails(store_subscription_skip(store, "nobody", 9, &err), err, MEOW_MISSING);
	assert_fails(store_subscription_resume(store, "running", &err), err, MEOW_INVALID);
	assert_fails(store_subscription_skip(store, "running", 9, &err), err, MEOW_INVALID);
	assert_says(err, "nothing to skip");
	assert_fails(store_subscription_skip(store, "other", 9, &err), err, MEOW_INVALID);
	assert_says(err, "nothing to skip");
	assert_fails(store_subscription_skip(store, "stopped", 8, &err), err, MEOW_INVALID);
	assert_says(err, "stopped at position 9, not at 8");
	assert_ok(store_subscription_resume(store, "other", &err), err);
	assert_ok(store_subscription_skip(store, "stopped", 9, &err), err);
	sql_assert_text(conn, "other 5 6 f t,running 5 6 f f,stopped 5 9 f t",
		"SELECT string_agg(concat_ws(' ', subscription, "
		"delivered, position, stop_kept::text::char, resume_from_store::text::char), ',' ORDER BY subscription) "
		"FROM meowmx_checkpoints");
	PQfinish(conn);
	meow_store_close(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(status_names_who_holds_the_settled_position_back),
		cmocka_unit_test(more_holders_than_are_listed_are_counted),
		cmocka_unit_test(subscriptions_show_their_lag),
		cmocka_unit_test(a_stop_can_be_resumed_or_stepped_over),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
