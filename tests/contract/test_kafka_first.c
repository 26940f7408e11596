// The first request to a partition is refused while others are behind it. A broker that has just become the leader does
// so, and it takes any sequence number as the first of a producer that it does not know (KIP-360): what is under way
// behind the first request would overtake it. A real broker does this for a moment at a time of its own, so the broker
// here is librdkafka's mock, which refuses when it is told to; like a real one it knows nothing of the producer yet.
#include "kafka_look.h"

#include "connectors/kafka/kafka.h"

#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS 30000
#define ROUND_TRIP_MS 40 // time enough for several requests to be under way
#define PRODUCE 0        // the ApiKey
#define TOPIC "first.order"

struct fixture {
	rd_kafka_t *host; // of the mock
	rd_kafka_mock_cluster_t *cluster;
	struct contract_settings *settings;
	struct contract_relay relay;
};

static const struct contract_sink sink = {.impl = &kafka_connector};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	char text[256];
	fixture->host = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof(text));
	assert_non_null(fixture->host);
	fixture->cluster = rd_kafka_mock_cluster_new(fixture->host, 1);
	assert_non_null(fixture->cluster);
	assert_int_equal(rd_kafka_mock_topic_create(fixture->cluster, TOPIC, 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_broker_set_rtt(fixture->cluster, 1, ROUND_TRIP_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
	fixture->settings = contract_settings_create(&kafka_connector);
	contract_set(fixture->settings, "topic", TOPIC);
	contract_set_item(
		fixture->settings, "client", "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(fixture->cluster));
	contract_set_item(fixture->settings, "client", "batch.num.messages", "1");
	contract_relay_init(&fixture->relay, &sink, fixture->settings);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	rd_kafka_mock_cluster_destroy(fixture->cluster);
	rd_kafka_destroy(fixture->host);
	free(fixture);
	return 0;
}

static void note(void *arg, const rd_kafka_message_t *message)
{
	int64_t *expected = arg;
	assert_int_equal(kafka_header_number(message, "meowmx-position"), *expected);
	++*expected;
}

static void test_nothing_overtakes_the_first_message_to_a_partition(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	relay->sink->impl->begin(relay->connector, 0, NULL);
	rd_kafka_mock_push_request_errors(fixture->cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
	contract_send(relay, contract_batch(1, 8));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 8);
	int64_t expected = 1;
	kafka_consume(rd_kafka_mock_cluster_bootstraps(fixture->cluster), TOPIC, note, &expected);
	assert_int_equal(expected, 9);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test_setup_teardown(test_nothing_overtakes_the_first_message_to_a_partition, setup, teardown),
	};
	return cmocka_run_group_tests_name("kafka, first messages", cases, NULL, NULL);
}
