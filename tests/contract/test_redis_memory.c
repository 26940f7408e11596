// What the Redis connector finds at a start: keys and streams that are another's, gone, trimmed, or fallen back.
#include "redis_look.h"

#include <stdio.h>
#include <string.h>

static void test_a_key_of_another_type_stops_and_is_named(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	redis_do("SET events hello");
	redis_begin(relay, 0);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFIG, "\"events\"");
	assert_false(error_may_retry(relay->error.kind));
	contract_close(relay);
	assert_int_equal(redis_number("EXISTS %s", POSITION_KEY), 0);
}

static void test_a_position_key_of_another_type_stops_and_is_named(void **state)
{
	struct redis_case *fixture = *state;
	redis_do("SET %s hello", POSITION_KEY);
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_CONFIG, "key \"" POSITION_KEY "\" is of another type");
}

static void test_a_position_key_that_is_not_ours_stops_and_is_named(void **state)
{
	struct redis_case *fixture = *state;
	static const char *const fields[] = {"delivered hello", "delivered -5", "delivered 5.0", "delivered 5 generation x",
		"delivered 5 generation -1", "generation 1", "delivered 99999999999999999999"};
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
		char text[200];
		snprintf(text, sizeof(text), "HSET " POSITION_KEY " %s", fields[i]);
		redis_do("DEL %s", POSITION_KEY);
		redis_do(text);
		redis_open(&fixture->relay);
		redis_assert_failed(&fixture->relay, MEOW_CONFIG, "key \"" POSITION_KEY "\" holds something else");
		contract_close(&fixture->relay);
	}
}

static void test_a_position_of_a_newer_generation_stops_and_is_named(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	relay->generation = 2;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	relay->generation = 1;
	redis_open(relay);
	redis_assert_failed(relay, MEOW_CONFIG, "is of generation 2");
	assert_non_null(strstr(relay->error.text, POSITION_KEY));
	contract_close(relay);
	relay->generation = 2;
	redis_begin(relay, 50);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	contract_check(relay, 60);
}

static void test_a_stream_that_somebody_else_writes_to_stops_before_anything_is_added(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	redis_do("XADD events * who somebody");
	redis_begin(relay, 0);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFIG, "somebody else writes to it");
	assert_int_equal(redis_number("XLEN events"), 1);
	assert_int_equal(redis_number("EXISTS %s", POSITION_KEY), 0);
}

// Two names for one stream are not seen in the configuration: `stream` here, an item of `streams` there.
static void test_two_routes_that_share_a_stream_stop_before_an_entry_gets_lost(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay, other;
	contract_relay_init(&other, &redis_sink, fixture->settings);
	other.store_id = "77777777-6a7f-4f0e-9d3e-2f6f6f3c1a55"; // keys of its own
	bool first = contract_publish(relay, 50, LONG_MS);
	redis_open(&other);
	if (other.opened) {
		other.sink->impl->begin(other.connector, 40, NULL);
		contract_send(&other, contract_batch(41, 20));
		contract_wait(&other, contract_is_over, LONG_MS);
	}
	bool stopped = other.failed && other.error.kind == MEOW_CONFIG && strstr(other.error.text, "\"events\"") != NULL;
	contract_relay_finish(&other);
	assert_true(first && stopped);
	contract_check(relay, 50);
}

static void test_a_stream_that_was_deleted_from_above_stops_too(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	redis_do("XADD events 900-0 who somebody");
	redis_do("XDEL events 900-0"); // last-generated-id stays
	redis_begin(relay, 0);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFIG, "900-0");
}

static void test_a_position_key_that_is_gone_is_said_to_be_empty(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	redis_do("DEL %s", POSITION_KEY);
	redis_open(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_EMPTY);
	assert_int_equal(redis_connector.when_empty, SINK_STOP);
	assert_string_equal(redis_connector.stop_advice, "bring its data back");
	// The operator resumed: it goes on behind the checkpoint.
	relay->sink->impl->begin(relay->connector, 50, NULL);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	contract_check(relay, 60);
}

static void test_a_position_key_that_goes_in_the_middle_is_noticed(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redis_do("DEL %s", POSITION_KEY);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFLICT, POSITION_KEY);
	contract_check(relay, 50);
}

static void test_consumers_that_delete_and_trim_do_not_stop_a_route(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	redis_do("XTRIM events MAXLEN 10");
	assert_true(contract_publish(relay, 60, LONG_MS));
	contract_close(relay);
	redis_do("XTRIM events MAXLEN 0");
	assert_true(contract_publish(relay, 70, LONG_MS));
	assert_int_equal(redis_number("XLEN events"), 10);
}

static void test_an_entry_that_is_missing_stops_and_names_the_way_out(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	redis_do("COPY events kept");
	redis_do("DEL events"); // and now all of it again, without 48
	for (int id = 1; id <= 50; id++)
		if (id != 48)
			redis_do("XADD events %d-0 type x", id);
	redis_open(relay);
	redis_assert_failed(relay, MEOW_CONFIG, "48-0");
	assert_false(error_may_retry(relay->error.kind));
	char expected[100];
	snprintf(expected, sizeof(expected), "redis-cli -n 0 HDEL %s entries", POSITION_KEY);
	assert_non_null(strstr(relay->error.text, expected));
	contract_close(relay);
	redis_do("HDEL %s entries", POSITION_KEY);
	redis_open(relay);
	assert_true(relay->opened);
}

// As after a failover to a replica that had less: key and stream fall back together.
static void test_a_redis_that_fell_back_gets_the_rest_again(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redis_do("COPY events older");
	redis_do("COPY %s older-position", POSITION_KEY);
	assert_true(contract_publish(relay, 80, LONG_MS));
	contract_close(relay);
	redis_do("RENAME older events");
	redis_do("RENAME older-position %s", POSITION_KEY);
	assert_int_equal(redis_connector.when_behind, SINK_REWIND);
	redis_open(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 50);
	contract_close(relay);
	relay->mark = 50;
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_a_stream_that_is_gone_stops(void **state)
{
	struct redis_case *fixture = *state;
	assert_true(contract_publish(&fixture->relay, 50, LONG_MS));
	contract_close(&fixture->relay);
	redis_do("DEL events");
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_CONFIG, "lacks the entry");
}

static void test_an_older_generation_does_not_count_and_a_rewound_stream_stops(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	relay->generation = 3;
	relay->mark = 20;
	redis_open(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_NONE);
	relay->sink->impl->begin(relay->connector, 20, NULL);
	contract_send(relay, contract_batch(21, 5));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFIG, "the route went back");
	contract_close(relay);

	redis_settings(fixture, "", "", "stream", "events-{generation}", NULL);
	relay->generation = 3;
	relay->mark = 20;
	redis_begin(relay, 20);
	contract_send(relay, contract_batch(21, 5));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 25);
	redisReply *entries = redis_ask("XRANGE events-3 25 25");
	struct meow_bytes generation = redis_field(entries->element[0]->element[1], "generation");
	assert_string_equal(generation.data, "3");
	freeReplyObject(entries);
	contract_close(relay);
	redis_open(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD && relay->memory_delivered == 25);
}

int main(void)
{
	redis_server = server_start("redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", NULL);
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_a_key_of_another_type_stops_and_is_named),
		REDIS_CASE(test_a_position_key_of_another_type_stops_and_is_named),
		REDIS_CASE(test_a_position_key_that_is_not_ours_stops_and_is_named),
		REDIS_CASE(test_a_position_of_a_newer_generation_stops_and_is_named),
		REDIS_CASE(test_a_stream_that_somebody_else_writes_to_stops_before_anything_is_added),
		REDIS_CASE(test_two_routes_that_share_a_stream_stop_before_an_entry_gets_lost),
		REDIS_CASE(test_a_stream_that_was_deleted_from_above_stops_too),
		REDIS_CASE(test_a_position_key_that_is_gone_is_said_to_be_empty),
		REDIS_CASE(test_a_position_key_that_goes_in_the_middle_is_noticed),
		REDIS_CASE(test_consumers_that_delete_and_trim_do_not_stop_a_route),
		REDIS_CASE(test_an_entry_that_is_missing_stops_and_names_the_way_out),
		REDIS_CASE(test_a_redis_that_fell_back_gets_the_rest_again),
		REDIS_CASE(test_a_stream_that_is_gone_stops),
		REDIS_CASE(test_an_older_generation_does_not_count_and_a_rewound_stream_stops),
	};
	int failed = cmocka_run_group_tests_name("redis memory", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
