// contract.c: the cases. Each begins with a fresh place; each says in its name what a connector promises.
#include "contract.h"

#include <stdlib.h>
#include <string.h>

#define LONG_MS 60000

struct fixture {
	const struct contract_sink *sink;
	struct contract_settings *settings;
	struct contract_relay relay;
};

static const struct contract_sink *tested;

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->sink = tested;
	fixture->settings = contract_settings_create(tested->impl);
	tested->fresh(tested->arg, fixture->settings);
	contract_relay_init(&fixture->relay, tested, fixture->settings);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	contract_relay_finish(&fixture->relay);
	if (tested->clean != NULL)
		tested->clean(tested->arg);
	contract_settings_destroy(fixture->settings);
	free(fixture);
	return 0;
}

static void open_and_begin(struct contract_relay *relay)
{
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	if (relay->failed)
		fail_msg("not opened: %s", relay->error.text);
	relay->sink->impl->begin(relay->connector, relay->mark, NULL);
}

static void test_a_fresh_place_remembers_nothing(void **state)
{
	struct fixture *fixture = *state;
	open_and_begin(&fixture->relay);
	assert_int_equal(fixture->relay.memory_kind, fixture->sink->keeps_memory ? MEMORY_EMPTY : MEMORY_NONE);
	contract_check(&fixture->relay, 0);
}

static void test_events_arrive_in_order_and_unaltered(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.window_batches = 8;
	assert_true(contract_publish(&fixture->relay, 5000, LONG_MS));
	contract_check(&fixture->relay, 5000);
}

static void test_single_events_arrive(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.batch_events = 1;
	fixture->relay.window_batches = 1;
	assert_true(contract_publish(&fixture->relay, 20, LONG_MS));
	contract_check(&fixture->relay, 20);
}

static void test_publishing_resumes_after_a_clean_end(void **state)
{
	struct fixture *fixture = *state;
	for (int64_t target = 100; target <= 400; target += 100) {
		assert_true(contract_publish(&fixture->relay, target, LONG_MS));
		contract_close(&fixture->relay);
	}
	contract_check(&fixture->relay, 400);
}

static void test_publishing_resumes_after_an_end_with_batches_in_flight(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.window_batches = 16;
	for (int64_t target = 200; target <= 1000; target += 200) {
		assert_true(contract_publish_past(&fixture->relay, target, 1200, LONG_MS));
		contract_close(&fixture->relay);
	}
	assert_true(contract_publish(&fixture->relay, 1200, LONG_MS));
	contract_check(&fixture->relay, 1200);
}

static void test_a_connector_may_go_at_any_moment(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	fixture->sink->impl->destroy(NULL);
	assert_true(contract_open(relay));
	contract_close(relay); // while it opens
	open_and_begin(relay);
	contract_close(relay); // before anything was sent
	open_and_begin(relay);
	contract_send(relay, contract_batch(1, 25));
	contract_close(relay); // right behind a send
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_check(relay, 50);
}

static void test_what_a_sink_never_takes_is_cut_off_by_admit(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 700, LONG_MS));

	struct batch *batch = batch_create();
	assert_non_null(batch);
	for (int64_t position = 701; position <= 705; position++) {
		struct contract_texts texts;
		struct meow_event event = contract_event(position, &texts);
		if (position == 703)
			fixture->sink->spoil(fixture->sink->arg, &event);
		assert_true(batch_add(batch, &event));
	}
	struct meow_error err = {0};
	assert_int_equal(fixture->sink->impl->admit(relay->connector, batch, &err), 2);
	assert_int_equal(err.kind, MEOW_INVALID);
	if (strstr(err.text, "703") == NULL || strchr(err.text, '\n') != NULL)
		fail_msg("the reason does not name the event: %s", err.text);
	batch_destroy(batch);

	assert_true(contract_publish(relay, 702, LONG_MS));
	contract_check(relay, 702);
}

static void test_a_sink_that_is_down_at_the_start_is_said_and_found_later(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	fixture->sink->stop(fixture->sink->arg);
	assert_true(contract_open(relay));
	bool answered = contract_wait(relay, contract_is_open, 30000);
	bool was_open = relay->opened;
	struct meow_error err = relay->error;
	contract_close(relay);
	fixture->sink->start(fixture->sink->arg);
	assert_true(answered);
	assert_false(was_open);
	if (err.kind != MEOW_UNAVAILABLE)
		fail_msg("kind %s: %s", error_kind_name(err.kind), err.text);
	relay->failed = false;
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_a_sink_that_is_lost_in_the_middle_misses_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	relay->window_batches = 16;
	assert_true(contract_publish_past(relay, 500, 3000, LONG_MS));
	fixture->sink->stop(fixture->sink->arg);
	assert_false(contract_publish(relay, 3000, 1500)); // what is under way fails, or waits
	fixture->sink->start(fixture->sink->arg);
	assert_true(contract_publish(relay, 3000, LONG_MS));
	contract_check(relay, 3000);
}

static void test_a_torn_end_is_written_anew(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	fixture->sink->tear(fixture->sink->arg);
	relay->mark = 40; // the checkpoint lags; what was acknowledged later is still in the sink
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_what_the_sink_has_is_never_added_twice(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD && relay->memory_delivered == 50);
	relay->mark = 25;
	fixture->sink->impl->begin(relay->connector, 25, NULL); // which no relay would
	contract_send(relay, contract_batch(26, 25));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	contract_check(relay, 50);
}

static void test_another_writer_is_noticed_before_anything_is_added(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	fixture->sink->intrude(fixture->sink->arg, 60);
	contract_send(relay, contract_batch(51, 25));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_int_equal(relay->mark, 50);
}

static void add_case(struct CMUnitTest *cases, size_t *count, const char *name, CMUnitTestFunction run)
{
	cases[(*count)++] = (struct CMUnitTest){name, run, setup, teardown, NULL};
}
#define ADD(test) add_case(cases, &count, #test, test)

int contract_run(const char *name, const struct contract_sink *sink)
{
	struct CMUnitTest cases[16];
	size_t count = 0;
	ADD(test_a_fresh_place_remembers_nothing);
	ADD(test_events_arrive_in_order_and_unaltered);
	ADD(test_single_events_arrive);
	ADD(test_publishing_resumes_after_a_clean_end);
	ADD(test_publishing_resumes_after_an_end_with_batches_in_flight);
	ADD(test_a_connector_may_go_at_any_moment);
	if (sink->spoil != NULL)
		ADD(test_what_a_sink_never_takes_is_cut_off_by_admit);
	if (sink->stop != NULL) {
		ADD(test_a_sink_that_is_down_at_the_start_is_said_and_found_later);
		ADD(test_a_sink_that_is_lost_in_the_middle_misses_nothing);
	}
	if (sink->tear != NULL)
		ADD(test_a_torn_end_is_written_anew);
	if (sink->keeps_memory && sink->stop != NULL)
		ADD(test_what_the_sink_has_is_never_added_twice);
	if (sink->intrude != NULL)
		ADD(test_another_writer_is_noticed_before_anything_is_added);
	tested = sink;
	return _cmocka_run_group_tests(name, cases, count, NULL, NULL);
}
