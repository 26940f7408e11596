// The Kafka connector against a real broker: the suite of all connectors, and what is Kafka's own.
#include "kafka_case.h"

#include "base/text.h"
#include "connectors/kafka/kafka.h"
#include "support/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct contract_sink kafka = {
	.impl = &kafka_connector,
	.fresh = kafka_case_fresh,
	.read = kafka_case_read,
	.stop = kafka_case_kill,
	.start = kafka_case_start,
	.spoil = kafka_case_spoil,
};

// --- Kafka's own cases

// Opens a relay on what was set so far.
static struct contract_relay *open_relay(struct fixture *fixture)
{
	struct contract_relay *relay = &fixture->relay;
	if (relay->loop == NULL)
		contract_relay_init(relay, &kafka, fixture->settings);
	if (!contract_open(relay))
		fail_msg("create: %s", relay->error.text);
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	if (!relay->opened)
		fail_msg("not opened: %s", relay->error.text);
	relay->sink->impl->begin(relay->connector, relay->mark, NULL);
	return relay;
}

struct positions {
	int64_t seen[10000];
	size_t count;
};

static void note_position(void *arg, const rd_kafka_message_t *message)
{
	struct positions *positions = arg;
	int64_t position = kafka_header_number(message, "meowmx-position");
	for (size_t i = 0; i < positions->count; i++)
		if (positions->seen[i] == position)
			return; // a repeat
	assert_true(positions->count < sizeof(positions->seen) / sizeof(*positions->seen));
	positions->seen[positions->count++] = position;
}

// Asserts that the positions 1 .. last, and no others, are there in order, repeats aside.
static void expect_positions(int64_t last)
{
	struct positions *positions = calloc(1, sizeof(*positions));
	assert_non_null(positions);
	kafka_consume(server_url(broker.server), broker.prefix, note_position, positions);
	for (size_t i = 0; i < positions->count; i++)
		assert_int_equal(positions->seen[i], i + 1);
	assert_int_equal(positions->count, last);
	free(positions);
}

static void test_a_message_too_large_for_the_topic_is_refused_alone(void **state)
{
	struct fixture *fixture = *state;
	kafka_create_topic(server_url(broker.server), fixture->topic, "max.message.bytes", "30000");
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, padded_batch(1, 40, 300, 0, 0));
	contract_send(relay, padded_batch(41, 40, 300, 63, 50000));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_true(relay->refused);
	assert_int_equal(relay->refused_at, 63);
	assert_int_equal(relay->error.kind, MEOW_INVALID);
	expect_text(relay, "event 63 ");
	expect_text(relay, fixture->topic);
	expect_text(relay, "max.message.bytes");
	assert_int_equal(relay->mark, 40);

	// As the relay does then: what comes before it is sent, and nothing behind it.
	contract_close(relay);
	open_relay(fixture);
	contract_send(relay, padded_batch(41, 22, 300, 0, 0));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 62);
	expect_positions(62);
}

static void test_a_topic_that_takes_only_small_requests_gets_small_requests(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "linger.ms", "50");
	kafka_create_topic(server_url(broker.server), fixture->topic, "max.message.bytes", "5000");
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, padded_batch(1, 500, 300, 0, 0));
	contract_send(relay, padded_batch(501, 500, 300, 0, 0));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed || relay->refused)
		fail_msg("%s", relay->error.text);
	assert_int_equal(relay->mark, 1000);
	assert_true(contract_wait(relay, was_noticed, LONG_MS));
	assert_int_equal(relay->notices, 1);
	assert_non_null(strstr(relay->notice, "batch.size"));
	expect_positions(1000);
}

static void test_an_event_above_message_max_bytes_is_cut_off_by_admit(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "message.max.bytes", "20000");
	struct contract_relay *relay = open_relay(fixture);
	struct batch *batch = padded_batch(1, 10, 300, 4, 20001);
	struct meow_error err = {0};
	assert_int_equal(kafka_connector.admit(relay->connector, batch, &err), 3);
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_non_null(strstr(err.text, "event 4 "));
	assert_non_null(strstr(err.text, "message.max.bytes (20000)"));
	batch_destroy(batch);

	// What only librdkafka knows exactly, it refuses by itself, and that is told in the same words.
	contract_send(relay, padded_batch(1, 10, 300, 4, 19880));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_true(relay->refused);
	assert_int_equal(relay->refused_at, 4);
	expect_text(relay, "message.max.bytes");
}

static void test_a_large_event_is_read_from_the_batch(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "message.max.bytes", "6000000");
	kafka_create_topic(server_url(broker.server), fixture->topic, "max.message.bytes", "6000000");
	struct contract_relay *relay = open_relay(fixture);
	for (int64_t i = 1; i <= 6; i++)
		contract_send(relay, padded_batch(i, 1, 0, i, 5000000));
	contract_close(relay); // with megabytes under way, whose memory goes at once
	open_relay(fixture);
	for (int64_t i = 1; i <= 6; i++)
		contract_send(relay, padded_batch(i, 1, 0, i, 5000000));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 6);
	expect_positions(6);
}

static void test_a_missing_topic_is_created_as_configured(void **state)
{
	struct fixture *fixture = *state;
	contract_set(fixture->settings, "partitions", "5");
	contract_set(fixture->settings, "replication", "1");
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, contract_batch(1, 3));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 3);
	assert_int_equal(kafka_partition_count(server_url(broker.server), fixture->topic), 5);
	assert_int_equal(relay->notices, 1);
	assert_non_null(strstr(relay->notice, fixture->topic));
}

static void test_the_topics_map_names_topics_by_aggregate_type(void **state)
{
	struct fixture *fixture = *state;
	char name[64];
	snprintf(name, sizeof(name), "%smoney", broker.prefix);
	contract_set_item(fixture->settings, "topics", "payment", name);
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, contract_batch(1, 70));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 70);
	assert_int_equal(kafka_partition_count(server_url(broker.server), name), 3);
	char payment[64];
	snprintf(payment, sizeof(payment), "%spayment", broker.prefix);
	assert_int_equal(kafka_partition_count(server_url(broker.server), payment), 0);
	contract_check(relay, 70);
}

static void test_with_create_false_the_route_waits_for_the_topic(void **state)
{
	struct fixture *fixture = *state;
	start_settings(fixture, servers());
	contract_set(fixture->settings, "create", "false");
	// librdkafka would give the topic up after this, had it been given the messages.
	contract_set_item(fixture->settings, "client", "topic.metadata.propagation.max.ms", "500");
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, padded_batch(1, 10, 300, 0, 0));
	assert_true(contract_wait(relay, was_noticed, LONG_MS));
	assert_non_null(strstr(relay->notice, fixture->topic));
	assert_false(contract_wait(relay, contract_is_idle, 3000));
	assert_int_equal(relay->notices, 1);
	assert_int_equal(
		kafka_partition_count(server_url(broker.server), fixture->topic), 0); // nor did the broker create it
	kafka_create_topic(server_url(broker.server), fixture->topic, NULL, NULL);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 10);
	expect_positions(10);
}

static void test_a_topic_that_cannot_be_created_stops_the_route(void **state)
{
	struct fixture *fixture = *state;
	contract_set(fixture->settings, "replication", "3"); // of one broker
	struct contract_relay *relay = open_relay(fixture);
	contract_send(relay, contract_batch(1, 3));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_true(relay->failed);
	assert_int_equal(relay->error.kind, MEOW_CONFIG);
	expect_text(relay, fixture->topic);
	expect_text(relay, "replication");
}

static void test_a_queue_that_is_full_only_delays(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "queue.buffering.max.messages", "10");
	contract_relay_init(&fixture->relay, &kafka, fixture->settings);
	assert_true(contract_publish(&fixture->relay, 500, LONG_MS));
	contract_check(&fixture->relay, 500);
}

static void test_a_broker_that_stays_away_is_told_after_a_while(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = open_relay(fixture);
	assert_true(contract_publish(relay, 100, LONG_MS));
	server_kill(broker.server);
	bool told = contract_wait(relay, contract_is_over, 20000); // idle, too
	server_again(broker.server);
	assert_true(told && relay->failed);
	assert_int_equal(relay->error.kind, MEOW_UNAVAILABLE);
	expect_text(relay, server_url(broker.server));
	expect_text(relay, "refused");
	assert_true(contract_publish(relay, 200, LONG_MS));
	contract_check(relay, 200);
}

static void test_a_property_that_does_nothing_here_is_said(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "fetch.min.bytes", "7"); // of consumers
	struct contract_relay *relay = open_relay(fixture);
	assert_true(contract_wait(relay, was_noticed, LONG_MS));
	assert_int_equal(relay->notices, 1);
	assert_non_null(strstr(relay->notice, "fetch.min.bytes"));
}

// --- what is on the wire

struct wire {
	const char *format;
	int64_t generation;
	size_t count;
};

static void expect_header(const rd_kafka_message_t *message, const char *name, struct meow_bytes expected)
{
	struct meow_bytes found = kafka_header(message, name);
	if (!bytes_equal(found, expected))
		fail_msg("header %s: \"%.*s\" instead of \"%.*s\"", name, (int)found.size, found.data, (int)expected.size,
			expected.data);
}

static void expect_message(void *arg, const rd_kafka_message_t *message)
{
	struct wire *wire = arg;
	wire->count++;
	struct contract_texts texts;
	int64_t position = kafka_header_number(message, "meowmx-position");
	struct meow_event event = contract_event(position, &texts);
	char number[24];
	snprintf(number, sizeof(number), "%" PRId64, event.version);
	expect_header(message, "meowmx-version", bytes_of(number));
	expect_header(message, "meowmx-event-type", event.type);
	expect_header(message, "meowmx-aggregate-type", event.aggregate_type);
	expect_header(message, "meowmx-aggregate-id", event.aggregate_id);
	expect_header(message, "meowmx-metadata", event.metadata);
	expect_header(message, "content-type", bytes_of(encoder_find(wire->format)->content_type));
	snprintf(number, sizeof(number), "%" PRId64, wire->generation);
	expect_header(message, "meowmx-generation", bytes_of(wire->generation > 0 ? number : NULL));
	char trace[80];
	snprintf(trace, sizeof(trace), "00-%032" PRIx64 "-00f067aa0ba902b7-01", position);
	expect_header(message, "traceparent", bytes_of(event.metadata.data == NULL ? NULL : trace));
	assert_true(bytes_equal((struct meow_bytes){message->key, message->key_len}, event.aggregate_id));
	assert_int_equal(rd_kafka_message_timestamp(message, NULL), event.time_us / 1000);

	struct buffer scratch;
	buffer_init(&scratch);
	struct meow_bytes value;
	assert_true(encoder_value(encoder_find(wire->format), &event, wire->generation, &scratch, &value, NULL));
	assert_true(bytes_equal((struct meow_bytes){message->payload, message->len}, value));
	buffer_finish(&scratch);
}

static void check_wire(struct fixture *fixture, const char *format, int64_t generation)
{
	struct contract_relay *relay = &fixture->relay;
	contract_relay_init(relay, &kafka, fixture->settings);
	relay->format = format;
	relay->generation = generation;
	assert_true(contract_publish(relay, 40, LONG_MS));
	struct wire wire = {.format = format, .generation = generation};
	kafka_consume(server_url(broker.server), broker.prefix, expect_message, &wire);
	assert_int_equal(wire.count, 40);
}

static void test_headers_key_and_time_are_those_of_the_event(void **state)
{
	check_wire(*state, "data", 0);
}

static void test_a_replay_carries_its_generation(void **state)
{
	check_wire(*state, "data", 3);
}

static void test_envelopes_go_over_the_wire(void **state)
{
	check_wire(*state, "envelope", 0);
}

static void test_messagepack_goes_over_the_wire(void **state)
{
	check_wire(*state, "msgpack", 2);
}

static void collect_partition(void *arg, const rd_kafka_message_t *message)
{
	int *partitions = arg;
	int64_t aggregate = (kafka_header_number(message, "meowmx-position") - 1) % 7;
	assert_true(partitions[aggregate] == -1 || partitions[aggregate] == message->partition);
	partitions[aggregate] = message->partition;
}

// Java's partitioner: the key's murmur2, its sign bit cleared, modulo the number of partitions. The numbers were computed
// with org.apache.kafka.common.utils.Utils.
static void test_aggregates_sit_where_java_producers_put_them(void **state)
{
	struct fixture *fixture = *state;
	contract_relay_init(&fixture->relay, &kafka, fixture->settings);
	assert_true(contract_publish(&fixture->relay, 70, LONG_MS));
	int partitions[7] = {-1, -1, -1, -1, -1, -1, -1};
	static const int expected[7] = {2, 0, 0, 0, 1, 0, 2};
	kafka_consume(server_url(broker.server), broker.prefix, collect_partition, partitions);
	for (int i = 0; i < 7; i++)
		assert_int_equal(partitions[i], expected[i]);
}

struct places {
	int partitions[20000]; // by position; of the first copy, plus 1
	int64_t highest;
};

static void note_place(void *arg, const rd_kafka_message_t *message)
{
	struct places *places = arg;
	int64_t position = kafka_header_number(message, "meowmx-position");
	assert_true(position > 0 && position < (int64_t)(sizeof(places->partitions) / sizeof(*places->partitions)));
	assert_int_equal(places->partitions[position], 0); // no fault here makes it repeat anything
	places->partitions[position] = message->partition + 1;
	if (position > places->highest)
		places->highest = position;
}

// All before one position, which is returned, sits where three partitions put it, and all from there on where 24 do.
static int64_t expect_one_cut(const struct places *places, int64_t last)
{
	int32_t before[7], after[7];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	char text[200];
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, "any", NULL);
	for (int64_t position = 1; position <= 7; position++) {
		struct contract_texts texts;
		struct meow_bytes key = contract_event(position, &texts).aggregate_id;
		before[position % 7] = rd_kafka_msg_partitioner_murmur2(topic, key.data, key.size, 3, NULL, NULL);
		after[position % 7] = rd_kafka_msg_partitioner_murmur2(topic, key.data, key.size, 24, NULL, NULL);
	}
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(client);
	int64_t cut = 0;
	for (int64_t position = 1; position <= last; position++) {
		int place = places->partitions[position] - 1;
		if (cut == 0 && place == after[position % 7] && place != before[position % 7])
			cut = position;
		if (place != (cut != 0 ? after : before)[position % 7])
			fail_msg("position %" PRId64 " is in partition %d", position, place);
	}
	return cut;
}

static void test_more_partitions_count_once_all_is_acknowledged_and_are_said_once(void **state)
{
	struct fixture *fixture = *state;
	contract_settings_destroy(fixture->settings);
	fixture->settings = contract_settings_create(&kafka_connector);
	contract_set(fixture->settings, "topic", fixture->topic); // one for both types
	contract_set(fixture->settings, "partitions", "3");
	contract_set_item(fixture->settings, "client", "bootstrap.servers", server_url(broker.server));
	contract_set_item(fixture->settings, "client", "topic.metadata.refresh.interval.ms", "200");
	struct contract_relay *relay = &fixture->relay;
	contract_relay_init(relay, &kafka, fixture->settings);
	assert_true(contract_publish(relay, 200, LONG_MS));
	int before = relay->notices; // that the topic was created
	kafka_grow_topic(server_url(broker.server), fixture->topic, 24);
	relay->window_batches = 8;
	while (relay->notices == before && relay->mark < 18000)
		assert_true(contract_publish_past(relay, relay->mark + 1, 19000, LONG_MS));
	assert_int_equal(relay->notices, before + 1);
	assert_non_null(strstr(relay->notice, "24 partitions instead of 3"));
	int64_t told_at = relay->noticed_at, target = relay->next + 700;
	assert_true(contract_publish(relay, target, LONG_MS));
	assert_int_equal(relay->notices, before + 1);
	struct places *places = calloc(1, sizeof(*places));
	assert_non_null(places);
	kafka_consume(server_url(broker.server), fixture->topic, note_place, places);
	assert_int_equal(places->highest, target);
	int64_t cut = expect_one_cut(places, target);
	assert_true(cut > 200 && cut <= told_at + 25); // the batch in which it was may have been sent in part
	free(places);
}

// One argument, a pattern, runs the cases that match it.
int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest cases[] = {
		CASE(test_a_message_too_large_for_the_topic_is_refused_alone),
		CASE(test_a_topic_that_takes_only_small_requests_gets_small_requests),
		CASE(test_an_event_above_message_max_bytes_is_cut_off_by_admit),
		CASE(test_a_large_event_is_read_from_the_batch),
		CASE(test_a_missing_topic_is_created_as_configured),
		CASE(test_the_topics_map_names_topics_by_aggregate_type),
		CASE(test_with_create_false_the_route_waits_for_the_topic),
		CASE(test_a_topic_that_cannot_be_created_stops_the_route),
		CASE(test_a_queue_that_is_full_only_delays),
		CASE(test_a_property_that_does_nothing_here_is_said),
		CASE(test_headers_key_and_time_are_those_of_the_event),
		CASE(test_a_replay_carries_its_generation),
		CASE(test_envelopes_go_over_the_wire),
		CASE(test_messagepack_goes_over_the_wire),
		CASE(test_aggregates_sit_where_java_producers_put_them),
		CASE(test_more_partitions_count_once_all_is_acknowledged_and_are_said_once),
		CASE(test_a_broker_that_stays_away_is_told_after_a_while),
	};
	broker.server = server_start("kafka", NULL);
	int failed = contract_run("kafka", &kafka);
	failed += cmocka_run_group_tests_name("kafka alone", cases, NULL, NULL);
	server_destroy(broker.server);
	return failed;
}
