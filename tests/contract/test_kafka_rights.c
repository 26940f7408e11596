// The Kafka connector and a broker that wants a login and grants rights: SASL PLAIN, and an authorizer that denies what
// no rule allows.
#include "contract.h"

#include "connectors/kafka/kafka.h"
#include "support/server.h"

#include <librdkafka/rdkafka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS 60000

static struct server *server;

static const struct contract_sink kafka = {.impl = &kafka_connector};

struct fixture {
	struct contract_settings *settings;
	struct contract_relay relay;
};

static void log_in(struct fixture *fixture, const char *user, const char *password)
{
	fixture->settings = contract_settings_create(&kafka_connector);
	contract_set(fixture->settings, "topic", "shop.{aggregate_type}");
	contract_set_item(fixture->settings, "client", "bootstrap.servers", server_url(server));
	contract_set_item(fixture->settings, "client", "security.protocol", "SASL_PLAINTEXT");
	contract_set_item(fixture->settings, "client", "sasl.mechanisms", "PLAIN");
	contract_set_item(fixture->settings, "client", "sasl.username", user);
	contract_set_item(fixture->settings, "client", "sasl.password", password);
	contract_relay_init(&fixture->relay, &kafka, fixture->settings);
	if (!contract_open(&fixture->relay))
		fail_msg("create: %s", fixture->relay.error.text);
}

static void finish(struct fixture *fixture)
{
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
}

static void expect_denied(struct contract_relay *relay, const char *text)
{
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_true(relay->failed);
	if (relay->error.kind != MEOW_DENIED || strstr(relay->error.text, text) == NULL)
		fail_msg("%s, without \"%s\": %s", error_kind_name(relay->error.kind), text, relay->error.text);
	if (strstr(relay->error.text, "secret") != NULL)
		fail_msg("the password is in the reason: %s", relay->error.text);
}

static void test_a_wrong_password_stops_the_route(void **state)
{
	(void)state;
	struct fixture fixture = {0};
	log_in(&fixture, "relay", "secret-but-wrong");
	expect_denied(&fixture.relay, "sasl.password");
	assert_false(fixture.relay.opened);
	finish(&fixture);
}

// A client of the administrator's.
static rd_kafka_t *administrator(void)
{
	char text[512];
	const char *const pairs[][2] = {{"bootstrap.servers", server_url(server)}, {"security.protocol", "SASL_PLAINTEXT"},
		{"sasl.mechanisms", "PLAIN"}, {"sasl.username", "admin"}, {"sasl.password", "secret"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		assert_int_equal(rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text, sizeof(text)), RD_KAFKA_CONF_OK);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	assert_non_null(client);
	return client;
}

static void allow_relay(rd_kafka_ResourceType_t resource, const char *name, rd_kafka_AclOperation_t operation)
{
	char text[512];
	rd_kafka_t *client = administrator();
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_AclBinding_t *rule = rd_kafka_AclBinding_new(resource, name, RD_KAFKA_RESOURCE_PATTERN_LITERAL,
		"User:relay", "*", operation, RD_KAFKA_ACL_PERMISSION_TYPE_ALLOW, text, sizeof(text));
	assert_non_null(rule);
	rd_kafka_CreateAcls(client, &rule, 1, NULL, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
	assert_non_null(event);
	size_t count;
	const rd_kafka_acl_result_t **results =
		rd_kafka_CreateAcls_result_acls(rd_kafka_event_CreateAcls_result(event), &count);
	assert_int_equal(count, 1);
	assert_null(rd_kafka_acl_result_error(results[0]));
	rd_kafka_event_destroy(event);
	rd_kafka_AclBinding_destroy(rule);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

static void expect_publishing_denied(const char *text)
{
	struct fixture fixture = {0};
	log_in(&fixture, "relay", "secret");
	assert_true(contract_wait(&fixture.relay, contract_is_open, LONG_MS));
	if (fixture.relay.opened) {
		kafka_connector.begin(fixture.relay.connector, 0, NULL);
		contract_send(&fixture.relay, contract_batch(1, 3));
	}
	expect_denied(&fixture.relay, text);
	finish(&fixture);
}

static void test_who_may_not_write_at_all_learns_which_right_is_missing(void **state)
{
	(void)state;
	expect_publishing_denied("IdempotentWrite");
}

static void test_a_topic_that_may_not_be_created_stops_the_route(void **state)
{
	(void)state;
	allow_relay(RD_KAFKA_RESOURCE_BROKER, "kafka-cluster", RD_KAFKA_ACL_OPERATION_IDEMPOTENT_WRITE);
	expect_publishing_denied("topic shop.order"); // whether it exists is not even said
	allow_relay(RD_KAFKA_RESOURCE_TOPIC, "shop.order", RD_KAFKA_ACL_OPERATION_WRITE);
	expect_publishing_denied("topic shop.order does not exist");
}

static void publish_as(const char *user)
{
	struct fixture fixture = {0};
	log_in(&fixture, user, "secret");
	assert_true(contract_publish(&fixture.relay, 20, LONG_MS));
	finish(&fixture);
}

static void test_writing_to_topics_that_exist_needs_no_right_to_create_them(void **state)
{
	(void)state;
	allow_relay(RD_KAFKA_RESOURCE_TOPIC, "shop.payment", RD_KAFKA_ACL_OPERATION_WRITE);
	publish_as("admin"); // creates them
	publish_as("relay");
}

int main(void)
{
	server = server_start("kafka", "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name=PLAINTEXT", "sasl.enabled.mechanisms=PLAIN",
		"sasl.mechanism.inter.broker.protocol=PLAIN",
		"listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule "
		"required "
		"username=\"admin\" password=\"secret\" user_admin=\"secret\" user_relay=\"secret\";",
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:admin;User:ANONYMOUS", NULL); // the controller's listener has no login
	const struct CMUnitTest cases[] = {
		cmocka_unit_test(test_a_wrong_password_stops_the_route),
		cmocka_unit_test(test_who_may_not_write_at_all_learns_which_right_is_missing),
		cmocka_unit_test(test_a_topic_that_may_not_be_created_stops_the_route),
		cmocka_unit_test(test_writing_to_topics_that_exist_needs_no_right_to_create_them),
	};
	int failed = cmocka_run_group_tests_name("kafka rights", cases, NULL, NULL);
	server_destroy(server);
	return failed;
}
