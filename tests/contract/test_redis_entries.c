// What the Redis connector writes: fields, formats, large values, names of streams, trimming.
#include "redis_look.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void send_one(struct contract_relay *relay, const struct meow_event *event)
{
	struct batch *batch = batch_create();
	assert_true(batch != NULL && batch_add(batch, event));
	batch->position = event->position;
	contract_send(relay, batch);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed)
		fail_msg("%s", relay->error.text);
}

static void test_the_fields_are_those_of_the_conventions(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	const struct meow_event event = {
		.position = 7,
		.version = 2,
		.time_us = 1700000000123456,
		.aggregate_type = MEOW_BYTES("order"),
		.aggregate_id = MEOW_BYTES("a 1"),
		.type = MEOW_BYTES("placed"),
		.data = MEOW_BYTES("{\"n\": 1.0}\n"),
		.metadata = MEOW_BYTES("{\"traceparent\":\"x\"}"),
	};
	struct meow_event bare = event;
	bare.position = 8;
	bare.time_us = MEOW_NO_TIME;
	bare.metadata = (struct meow_bytes){0};
	redis_begin(relay, 0);
	send_one(relay, &event);
	send_one(relay, &bare);
	redisReply *entries = redis_ask("XRANGE events - +");
	assert_int_equal(entries->elements, 2);
	assert_string_equal(entries->element[0]->element[0]->str, "7-0");
	const redisReply *fields = entries->element[0]->element[1];
	assert_int_equal(fields->elements, 14);
	redis_assert_field(fields, "type", "placed");
	redis_assert_field(fields, "aggregate_type", "order");
	redis_assert_field(fields, "aggregate_id", "a 1");
	redis_assert_field(fields, "version", "2");
	redis_assert_field(fields, "time", "2023-11-14T22:13:20.123456Z");
	redis_assert_field(fields, "data", "{\"n\": 1.0}\n");
	redis_assert_field(fields, "metadata", "{\"traceparent\":\"x\"}");
	fields = entries->element[1]->element[1];
	assert_int_equal(fields->elements, 10);
	redis_assert_field(fields, "time", NULL);
	redis_assert_field(fields, "metadata", NULL);
	freeReplyObject(entries);
	redisReply *position = redis_ask("HGETALL %s", POSITION_KEY);
	redis_assert_field(position, "delivered", "8");
	redis_assert_field(position, "previous", "7");
	redis_assert_field(position, "generation", "0");
	freeReplyObject(position);
	redisReply *epoch = redis_ask("GET %s:epoch", POSITION_KEY);
	assert_int_equal(strncmp(epoch->str, "0.", 2), 0);
	freeReplyObject(epoch);
}

static void check_event_and_type(struct redis_case *fixture, const char *format, const char *begin)
{
	fixture->relay.format = format;
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	redisReply *entries = redis_ask("XRANGE events 1 1");
	assert_int_equal(entries->elements, 1);
	const redisReply *fields = entries->element[0]->element[1];
	assert_int_equal(fields->elements, 4);
	assert_non_null(redis_field(fields, "type").data);
	struct meow_bytes event = redis_field(fields, "event");
	assert_true(event.size > strlen(begin) && memcmp(event.data, begin, strlen(begin)) == 0);
	freeReplyObject(entries);
}

static void test_envelope_has_event_and_type(void **state)
{
	check_event_and_type(*state, "envelope", "{\"position\":1,\"aggregate_type\":");
}

static void test_msgpack_has_event_and_type(void **state)
{
	struct redis_case *fixture = *state;
	fixture->relay.format = "msgpack";
	assert_true(contract_publish(&fixture->relay, 1, LONG_MS));
	redisReply *entries = redis_ask("XRANGE events 1 1");
	struct meow_bytes event = redis_field(entries->element[0]->element[1], "event");
	assert_true(event.size > 10 && (event.data[0] & 0xf0) == 0x80); // a small map
	assert_int_equal(entries->element[0]->element[1]->elements, 4);
	freeReplyObject(entries);
}

// A number of three characters has nine bytes there: Redis would close the connection, again and again.
static void test_what_msgpack_makes_too_large_is_refused_alone(void **state)
{
	enum { NUMBERS = 170000 };
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	char *data = malloc(4 * NUMBERS + 2);
	assert_non_null(data);
	data[0] = '[';
	for (size_t i = 0; i < NUMBERS; i++)
		memcpy(data + 1 + 4 * i, "1.5,", 4);
	memcpy(data + 4 * NUMBERS, "]", 2);
	relay->format = "msgpack";
	redis_open(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 3));
	struct batch *batch = batch_create();
	struct contract_texts texts;
	struct meow_event event = contract_event(4, &texts);
	event.data = (struct meow_bytes){data, 4 * NUMBERS + 1};
	assert_non_null(batch);
	assert_true(batch_add(batch, &event));
	batch->position = 4;
	contract_send(relay, batch);
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_true(relay->refused);
	assert_int_equal(relay->refused_at, 4);
	assert_int_equal(relay->error.kind, MEOW_INVALID);
	assert_non_null(strstr(relay->error.text, "proto-max-bulk-len"));
	free(data);
}

static void test_large_and_small_values_mix(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	static const size_t sizes[] = {10, 16 * 1024 - 1, 16 * 1024, 100000, 3, 1000000, 200000, 20, 131072, 40000};
	const size_t count = sizeof(sizes) / sizeof(*sizes);
	const char *formats[] = {"data", "envelope"};
	char *data = malloc(1000001);
	assert_non_null(data);
	for (size_t f = 0; f < 2; f++) {
		struct batch *batch = batch_create();
		assert_non_null(batch);
		relay->format = formats[f];
		redis_open(relay);
		relay->sink->impl->begin(relay->connector, relay->mark, NULL);
		for (size_t i = 0; i < count; i++) {
			struct contract_texts texts;
			struct meow_event event = contract_event((int64_t)(f * 100 + i + 1), &texts);
			memset(data, 'a' + (int)i, sizes[i]);
			data[0] = data[sizes[i] - 1] = '"';
			event.data = (struct meow_bytes){data, sizes[i]};
			if (i % 3 == 0)
				event.metadata = event.data;
			assert_true(batch_add(batch, &event));
			batch->position = event.position;
		}
		contract_send(relay, batch);
		assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
		contract_close(relay);
	}
	redisReply *entries = redis_ask("XRANGE events - +");
	assert_int_equal(entries->elements, 2 * count);
	for (size_t i = 0; i < count; i++) {
		struct meow_bytes plain = redis_field(entries->element[i]->element[1], "data");
		struct meow_bytes enveloped = redis_field(entries->element[count + i]->element[1], "event");
		assert_int_equal(plain.size, sizes[i]);
		for (size_t at = 1; at + 1 < plain.size; at++)
			if (plain.data[at] != 'a' + (int)i)
				fail_msg("event %zu differs at %zu", i, at);
		assert_non_null(memmem(enveloped.data, enveloped.size, plain.data, plain.size));
	}
	freeReplyObject(entries);
	free(data);
}

static void test_a_map_gives_names_in_place_of_the_template(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "/0", "stream", "events:{aggregate_type}", "streams.order", "events of orders", NULL);
	assert_true(contract_publish(&fixture->relay, 100, LONG_MS));
	assert_true(redis_number("XLEN %s", "events of orders") > 0);
	assert_int_equal(redis_number("EXISTS events:order"), 0);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 110, LONG_MS)); // looked up under the same names
}

static void test_a_stream_for_each_aggregate_and_more_than_are_remembered(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	redis_settings(fixture, "", "", "stream", "s:{aggregate_id}", NULL);
	redis_begin(relay, 0);
	for (int64_t position = 1; position <= 20000;) {
		struct batch *batch = batch_create();
		assert_non_null(batch);
		for (int i = 0; i < 500; i++, position++) {
			char id[32];
			struct contract_texts texts;
			struct meow_event event = contract_event(position, &texts);
			snprintf(id, sizeof(id), "%lld", (long long)position % 10000);
			event.aggregate_id = bytes_of(id);
			assert_true(batch_add(batch, &event));
			batch->position = position;
		}
		contract_send(relay, batch);
	}
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 20000);
	assert_int_equal(redis_number("XLEN s:77"), 2);
	assert_int_equal(redis_number("DBSIZE"), 10002);
	contract_close(relay);
	redis_open(relay);
	assert_true(relay->opened && relay->memory_delivered == 20000);
}

static void test_maxlen_trims(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "maxlen", "500", NULL);
	assert_true(contract_publish(&fixture->relay, 3000, LONG_MS));
	long long left = redis_number("XLEN events");
	assert_true(left >= 500 && left < 1000);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 3010, LONG_MS));
}

// Of the last batch, which a start looks up, one entry is left.
static void test_maxlen_trims_exactly_and_the_next_start_knows_why_entries_are_missing(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "maxlen", "1", "trim", "exact", NULL);
	for (int64_t target = 100; target <= 300; target += 100) {
		assert_true(contract_publish(&fixture->relay, target, LONG_MS));
		contract_close(&fixture->relay);
		assert_int_equal(redis_number("XLEN events"), 1);
	}
}

static long long first_entry(const char *stream)
{
	redisReply *entries = redis_ask("XRANGE %s - + COUNT 1", stream);
	assert_int_equal(entries->elements, 1);
	long long position = atoll(entries->element[0]->element[0]->str);
	freeReplyObject(entries);
	return position;
}

static void test_minid_trims_by_position_in_all_streams_alike(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "stream", "events:{aggregate_type}", "minid", "50", "trim", "exact", NULL);
	assert_true(contract_publish(&fixture->relay, 40, LONG_MS));
	assert_int_equal(redis_number("XLEN events:order") + redis_number("XLEN events:payment"), 40);
	assert_true(contract_publish(&fixture->relay, 1000, LONG_MS));
	assert_int_equal(redis_number("XLEN events:order") + redis_number("XLEN events:payment"), 51);
	assert_true(first_entry("events:order") >= 950 && first_entry("events:payment") >= 950);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 1010, LONG_MS));
}

static void test_minid_trims_about(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "minid", "500", NULL);
	assert_true(contract_publish(&fixture->relay, 3000, LONG_MS));
	long long left = redis_number("XLEN events");
	assert_true(left > 500 && left < 1000);
	assert_true(first_entry("events") <= 2500);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 3010, LONG_MS));
}

// What stood there before `minid` was set goes bit by bit.
static void test_minid_works_off_an_old_stream(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	relay->batch_events = 5000;
	assert_true(contract_publish(relay, 40000, LONG_MS));
	redis_settings(fixture, "", "", "minid", "500", NULL);
	relay->mark = 40000;
	assert_true(contract_publish(relay, 40001, LONG_MS));
	long long first = redis_number("XLEN events");
	assert_true(first < 40000 && first >= 29000);
	assert_true(contract_publish(relay, 40101, LONG_MS)); // four batches
	assert_true(redis_number("XLEN events") < 1000);
}

static void test_minid_and_maxlen_go_together(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "minid", "100", "maxlen", "60", "trim", "exact", NULL);
	assert_true(contract_publish(&fixture->relay, 300, LONG_MS));
	assert_int_equal(redis_number("XLEN events"), 60);
	redis_settings(fixture, "", "", "minid", "20", "maxlen", "60", "trim", "exact", NULL);
	fixture->relay.mark = 300;
	assert_true(contract_publish(&fixture->relay, 325, LONG_MS));
	assert_int_equal(redis_number("XLEN events"), 21);
}

int main(void)
{
	redis_server = server_start("redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", NULL);
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_the_fields_are_those_of_the_conventions),
		REDIS_CASE(test_envelope_has_event_and_type),
		REDIS_CASE(test_msgpack_has_event_and_type),
		REDIS_CASE(test_what_msgpack_makes_too_large_is_refused_alone),
		REDIS_CASE(test_large_and_small_values_mix),
		REDIS_CASE(test_a_map_gives_names_in_place_of_the_template),
		REDIS_CASE(test_a_stream_for_each_aggregate_and_more_than_are_remembered),
		REDIS_CASE(test_maxlen_trims),
		REDIS_CASE(test_maxlen_trims_exactly_and_the_next_start_knows_why_entries_are_missing),
		REDIS_CASE(test_minid_trims_by_position_in_all_streams_alike),
		REDIS_CASE(test_minid_trims_about),
		REDIS_CASE(test_minid_works_off_an_old_stream),
		REDIS_CASE(test_minid_and_maxlen_go_together),
	};
	int failed = cmocka_run_group_tests_name("redis entries", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
