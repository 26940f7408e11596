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
#define OTHER "first.payment"
#define PIECE_MS 50

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
	fixture->cluster = rd_kafka_mock_cluster_new(fixture->host, 2);
	assert_non_null(fixture->cluster);
	assert_int_equal(rd_kafka_mock_topic_create(fixture->cluster, TOPIC, 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_topic_create(fixture->cluster, OTHER, 1, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_partition_set_leader(fixture->cluster, TOPIC, 0, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_partition_set_leader(fixture->cluster, OTHER, 0, 2), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_int_equal(rd_kafka_mock_broker_set_rtt(fixture->cluster, 1, ROUND_TRIP_MS), RD_KAFKA_RESP_ERR_NO_ERROR);
	fixture->settings = contract_settings_create(&kafka_connector);
	contract_set(fixture->settings, "topic", "first.{aggregate_type}");
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

struct seen {
	int64_t last, count;
};

static void note_order(void *arg, const rd_kafka_message_t *message)
{
	struct seen *seen = arg;
	assert_true(kafka_header_number(message, "meowmx-position") > seen->last);
	seen->last = kafka_header_number(message, "meowmx-position");
	seen->count++;
}

// How many messages the topic has, which are in order.
static int64_t count_in(const struct fixture *fixture, const char *topic)
{
	struct seen seen = {0, 0};
	kafka_consume(rd_kafka_mock_cluster_bootstraps(fixture->cluster), topic, note_order, &seen);
	return seen.count;
}

static struct contract_relay *begin(struct fixture *fixture)
{
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	relay->sink->impl->begin(relay->connector, 0, NULL);
	return relay;
}

static void test_nothing_overtakes_the_first_message_to_a_partition(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = begin(fixture);
	rd_kafka_mock_push_request_errors(fixture->cluster, PRODUCE, 1, RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION);
	contract_send(relay, contract_batch(1, 8));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 8);
	assert_int_equal(count_in(fixture, TOPIC), 5);
	assert_int_equal(count_in(fixture, OTHER), 3);
}

static bool never(const struct contract_relay *relay)
{
	(void)relay;
	return false;
}

// Of the batch's events the second is for the partition whose broker does not answer: those of the other partition go.
// One partition after the other would take longer than a transaction may.
static void test_a_first_message_that_waits_holds_up_its_own_partition_alone(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = begin(fixture);
	assert_int_equal(rd_kafka_mock_broker_set_down(fixture->cluster, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	contract_send(relay, contract_batch(1, 14)); // 5 to 7 and 12 to 14 are payments
	for (int waited = 0; count_in(fixture, OTHER) < 6; waited += PIECE_MS) {
		assert_true(waited < LONG_MS);
		assert_false(contract_wait(relay, never, PIECE_MS));
	}
	assert_int_equal(relay->mark, 0);
	assert_int_equal(rd_kafka_mock_broker_set_up(fixture->cluster, 1), RD_KAFKA_RESP_ERR_NO_ERROR);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 14);
	assert_int_equal(count_in(fixture, TOPIC), 8);
	assert_int_equal(count_in(fixture, OTHER), 6);
}

int main(void)
{
	const struct CMUnitTest cases[] = {
		cmocka_unit_test_setup_teardown(test_nothing_overtakes_the_first_message_to_a_partition, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_a_first_message_that_waits_holds_up_its_own_partition_alone, setup, teardown),
	};
	return cmocka_run_group_tests_name("kafka, first messages", cases, NULL, NULL);
}
