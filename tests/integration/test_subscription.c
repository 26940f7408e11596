// Subscriptions with a handler: what is handled, from where, and what is done again.
#include "subscription_case.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void every_event_is_handled_once_and_in_order(void **state)
{
	(void)state;
	struct model model = {.name = "all"};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 120);
	run_whole(&model, &settings);
	assert_seen("all", "order");
	assert_int_equal(model.calls, 120);
	append_events("order", 120, 30);
	run_whole(&model, &settings);
	assert_seen("all", "order");
	assert_int_equal(model.calls, 150);
	assert_int_equal(position_of("all"), head());
	sql_assert_text(conn(), "UNASSIGNED", "SELECT state FROM meowmx_checkpoints");
}

static void an_empty_store_is_caught_up_at_once(void **state)
{
	(void)state;
	struct model model = {.name = "nothing"};
	struct meow_subscription_settings settings = settings_of(&model);
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 0);
	assert_int_equal(position_of("nothing"), 0);
}

static void filters_drop_what_is_not_wanted_and_the_position_passes_it(void **state)
{
	(void)state;
	struct model model = {.name = "payments"}, typed = {.name = "typed"};
	struct meow_subscription_settings settings = settings_of(&model);
	const char *categories[] = {"payment", "refund"}, *types[] = {"b"};
	append_events("payment", 0, 20);
	append_events("order", 0, 200);
	append_events("refund", 0, 5);
	append_events("order", 200, 10);
	settings.categories = categories;
	settings.category_count = 2;
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 25);
	assert_seen("payments", "payment,refund");
	assert_int_equal(position_of("payments"), head());
	struct meow_subscription_settings by_type = settings_of(&typed);
	by_type.event_types = types;
	by_type.event_type_count = 1;
	struct meow_new_event event = {.type = MEOW_BYTES("b"), .data = MEOW_BYTES("7"), .time_us = MEOW_NO_TIME};
	struct meow_append append = {"order", "odd", MEOW_EXPECT_NEW, &event, 1, NULL, NULL};
	struct meow_error err;
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	append_events("order", 210, 3);
	run_whole(&typed, &by_type);
	assert_int_equal(typed.calls, 1);
	sql_assert_text(conn(), "odd", "SELECT id FROM seen WHERE subscription = 'typed'");
	assert_int_equal(position_of("typed"), head());
}

// Python's checkpoints: that of a subscription which has handled nothing, and of one that stands at the second event.
static void one_that_was_pythons_goes_on_where_it_stood(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int calls;
	} cases[] = {{"nothing", 5}, {"two", 3}};
	append_events("order", 0, 5);
	sql_run(conn(), "INSERT INTO es_event_subscriptions VALUES ('nothing', '0', 0);"
					"INSERT INTO es_event_subscriptions SELECT 'two', transaction_id, id FROM es_events WHERE id = 2");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct model model = {.name = cases[i].name};
		struct meow_subscription_settings settings = settings_of(&model);
		const struct store_adopt wanted = {.name = model.name, .as = model.name};
		struct store_adoption adoption;
		struct meow_error err;
		settings.start_now = true; // it is not a new one
		assert_ok(store_subscription_adopt(store, &wanted, &adoption, &err), err);
		assert_int_equal(adoption.position, 5 - cases[i].calls);
		assert_int_equal(adoption.again, 0);
		run_whole(&model, &settings);
		assert_int_equal(model.calls, cases[i].calls);
		assert_int_equal(position_of(model.name), 5);
	}
}

static void a_new_subscription_may_start_now(void **state)
{
	(void)state;
	struct model model = {.name = "late"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.start_now = true;
	append_events("order", 0, 10);
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 0);
	append_events("order", 10, 3);
	run_whole(&model, &settings); // known by now: it goes on where it was
	assert_int_equal(model.calls, 3);
}

static void a_refused_event_keeps_those_before_it_and_is_tried_again_alone(void **state)
{
	(void)state;
	struct model model = {.name = "picky", .refuse_data = 30, .refusals = 3};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 60);
	run_whole(&model, &settings);
	assert_seen("picky", "order");
	// 31 in the batch, 30 of them again, the refused one twice more and then for good, and the other 29.
	assert_int_equal(model.calls, 31 + 30 + 3 + 29);
	assert_int_equal(model.states[MEOW_SUBSCRIPTION_RETRYING], 3);
	assert_int_equal(
		model.reported_position, sql_number(conn(), "SELECT id FROM es_events WHERE json_data::text = '30'"));
	assert_non_null(strstr(model.reason, "not to my taste"));
}

static void what_is_refused_shows_and_what_was_done_before_stays(void **state)
{
	(void)state;
	struct model model = {.name = "stuck", .refuse_data = 5, .refusals = 1000000, .stop_after = 12};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 10);
	run_whole(&model, &settings);
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM seen"), 5);
	assert_int_equal(position_of("stuck"), sql_number(conn(), "SELECT id FROM es_events WHERE json_data::text = '4'"));
	model.refusals = 0;
	model.stop_after = 0;
	run_whole(&model, &settings);
	assert_seen("stuck", "order");
}

static void a_stop_keeps_what_was_handled(void **state)
{
	(void)state;
	struct model model = {.name = "stopped", .stop_after = 17};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	append_events("order", 0, 60);
	run_whole(&model, &settings);
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM seen"), 17);
	settings.until_caught_up = true;
	model.stop_after = 0;
	run_whole(&model, &settings);
	assert_seen("stopped", "order");
	assert_int_equal(model.calls, 60);
}

static struct meow_subscription *signalled;

static void on_alarm(int number)
{
	(void)number;
	meow_subscription_stop(signalled);
}

static void a_signal_handler_may_stop_it_while_it_waits(void **state)
{
	(void)state;
	struct model model = {.name = "alarmed"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	struct meow_error err;
	struct sigaction action = {.sa_handler = on_alarm};
	append_events("order", 0, 3);
	signalled = create(&model, &settings);
	sigaction(SIGALRM, &action, NULL);
	ualarm(300000, 0);
	assert_ok(meow_subscription_run(signalled, &err), err);
	assert_int_equal(model.calls, 3);
	meow_subscription_stop(signalled); // before it runs: the next run ends at once
	assert_ok(meow_subscription_run(signalled, &err), err);
	meow_subscription_destroy(signalled);
}

static void settings_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct meow_error err;
	struct model model = {.name = "x"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.name = "";
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	settings = settings_of(&model);
	settings.handler = NULL;
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_says(err, "no handler");
	settings = settings_of(&model);
	const char *none[] = {NULL};
	settings.categories = none;
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_says(err, "NULL means all");
	settings = settings_of(&model);
	assert_null(meow_subscription_create("mysql://host/x", &settings, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	struct meow_subscription *subscription = meow_subscription_create(database_create(), &settings, &err);
	assert_non_null(subscription);
	assert_fails(meow_subscription_run(subscription, &err), err, MEOW_CONFIG);
	assert_says(err, "meowmx setup");
	meow_subscription_destroy(subscription);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		EACH(every_event_is_handled_once_and_in_order),
		EACH(an_empty_store_is_caught_up_at_once),
		EACH(filters_drop_what_is_not_wanted_and_the_position_passes_it),
		EACH(one_that_was_pythons_goes_on_where_it_stood),
		EACH(a_new_subscription_may_start_now),
		EACH(a_refused_event_keeps_those_before_it_and_is_tried_again_alone),
		EACH(what_is_refused_shows_and_what_was_done_before_stays),
		EACH(a_stop_keeps_what_was_handled),
		EACH(a_signal_handler_may_stop_it_while_it_waits),
		EACH(settings_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
