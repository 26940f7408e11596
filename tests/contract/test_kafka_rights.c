// The Kafka connector and a broker that wants a login and grants rights: SASL PLAIN, and an authorizer that denies what
// no rule allows.
#include "contract.h"

#include "base/buffer.h"
#include "connectors/kafka/kafka.h"
#include "support/server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LONG_MS 60000

static struct server *server;

static const struct contract_sink kafka = {.impl = &kafka_connector};

struct fixture {
	struct contract_settings *settings;
	struct contract_relay relay;
	bool exactly_once;
};

static void log_in(struct fixture *fixture, const char *user, const char *password)
{
	fixture->settings = contract_settings_create(&kafka_connector);
	if (fixture->exactly_once)
		contract_set(fixture->settings, "delivery", "exactly-once");
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

// --- rights are given by requests of the tests' own: librdkafka knows no transactional ids among the resources

#define SASL_HANDSHAKE 17
#define DESCRIBE_ACLS 29
#define CREATE_ACLS 30
#define SASL_AUTHENTICATE 36
enum resource { TOPIC = 2, CLUSTER = 4, TRANSACTIONAL_ID = 5 };
enum pattern { LITERAL = 3, PREFIXED = 4 };
enum operation { READ = 3, WRITE = 4, CREATE = 5, DESCRIBE = 8, DESCRIBE_CONFIGS = 10, IDEMPOTENT_WRITE = 12 };
#define ALLOW 3

static void put_number(struct buffer *request, uint32_t value, int size)
{
	while (size-- > 0)
		buffer_put_char(request, (char)(value >> (8 * size)));
}

static void put_string(struct buffer *request, const char *text)
{
	put_number(request, (uint32_t)strlen(text), 2);
	buffer_put_text(request, text);
}

static void read_all(int connection, char *bytes, size_t size)
{
	for (size_t had = 0; had < size;) {
		ssize_t more = read(connection, bytes + had, size - had);
		assert_true(more > 0);
		had += (size_t)more;
	}
}

// Takes body. The answer lies behind its size and the number of the request.
static void ask(int connection, uint32_t key, struct buffer *body, char answer[256])
{
	struct buffer request;
	buffer_init(&request);
	put_number(&request, (uint32_t)(2 + 2 + 4 + 2 + body->size), 4);
	put_number(&request, key, 2);
	put_number(&request, 1, 2); // its version
	put_number(&request, 7, 4);
	put_string(&request, "");
	buffer_put(&request, body->data, body->size);
	assert_false(request.failed);
	assert_int_equal(write(connection, request.data, request.size), request.size);
	buffer_finish(&request);
	buffer_finish(body);
	uint8_t size[4];
	read_all(connection, (char *)size, sizeof(size));
	assert_true(size[0] == 0 && size[1] == 0 && size[2] == 0 && size[3] < 250);
	memset(answer, 0, 256);
	read_all(connection, answer, size[3]);
}

static int log_in_as_administrator(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(server_port(server))};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(connection, (struct sockaddr *)&address, sizeof(address)), 0);
	char answer[256];
	struct buffer body;
	buffer_init(&body);
	put_string(&body, "PLAIN");
	ask(connection, SASL_HANDSHAKE, &body, answer);
	assert_true(answer[4] == 0 && answer[5] == 0);
	static const char secret[] = "\0admin\0secret";
	buffer_init(&body);
	put_number(&body, sizeof(secret) - 1, 4);
	buffer_put(&body, secret, sizeof(secret) - 1);
	ask(connection, SASL_AUTHENTICATE, &body, answer);
	assert_true(answer[4] == 0 && answer[5] == 0);
	return connection;
}

// A rule, and what asks for it.
struct rule {
	enum resource resource;
	const char *name;
	enum pattern pattern;
	enum operation operation;
};

static void put_rule(struct buffer *request, const struct rule *rule)
{
	put_number(request, rule->resource, 1);
	put_string(request, rule->name);
	put_number(request, rule->pattern, 1);
	put_string(request, "User:relay");
	put_string(request, "*");
	put_number(request, rule->operation, 1);
	put_number(request, ALLOW, 1);
}

// The controller has the rule first; a moment later the broker goes by it.
static bool goes_by(int connection, const struct rule *rule)
{
	char answer[256];
	struct buffer body;
	buffer_init(&body);
	put_rule(&body, rule);
	ask(connection, DESCRIBE_ACLS, &body, answer);
	assert_true(answer[8] == 0 && answer[9] == 0);
	return answer[15] == 1; // so many resources have it
}

static void allow(const struct rule *rule)
{
	int connection = log_in_as_administrator();
	char answer[256];
	struct buffer body;
	buffer_init(&body);
	put_number(&body, 1, 4); // one rule
	put_rule(&body, rule);
	ask(connection, CREATE_ACLS, &body, answer);
	assert_true(answer[11] == 1 && answer[12] == 0 && answer[13] == 0); // one answer, without an error
	while (!goes_by(connection, rule))
		usleep(1000);
	close(connection);
}

static void allow_relay(enum resource resource, const char *name, enum operation operation)
{
	allow(&(struct rule){resource, name, LITERAL, operation});
}

static void try_publishing(bool exactly_once, const char *text)
{
	struct fixture fixture = {.exactly_once = exactly_once};
	log_in(&fixture, "relay", "secret");
	assert_true(contract_wait(&fixture.relay, contract_is_open, LONG_MS));
	if (fixture.relay.opened) {
		kafka_connector.begin(fixture.relay.connector, 0, NULL);
		contract_send(&fixture.relay, contract_batch(1, 3));
	}
	expect_denied(&fixture.relay, text);
	finish(&fixture);
}

static void expect_publishing_denied(const char *text)
{
	try_publishing(false, text);
}

static void test_who_may_not_write_at_all_learns_which_right_is_missing(void **state)
{
	(void)state;
	expect_publishing_denied("IdempotentWrite");
}

static void test_a_topic_that_may_not_be_created_stops_the_route(void **state)
{
	(void)state;
	allow_relay(CLUSTER, "kafka-cluster", IDEMPOTENT_WRITE);
	expect_publishing_denied("topic shop.order"); // whether it exists is not even said
	allow_relay(TOPIC, "shop.order", WRITE);
	expect_publishing_denied("topic shop.order does not exist");
}

static void publish_as(const char *user, bool exactly_once)
{
	struct fixture fixture = {.exactly_once = exactly_once};
	log_in(&fixture, user, "secret");
	assert_true(contract_publish(&fixture.relay, 20, LONG_MS));
	finish(&fixture);
}

static void test_writing_to_topics_that_exist_needs_no_right_to_create_them(void **state)
{
	(void)state;
	allow_relay(TOPIC, "shop.payment", WRITE);
	publish_as("admin", false); // creates them
	publish_as("relay", false);
}

// Right by right, in the order in which they are needed: each that is missing is named, and with all that
// docs/connectors.md asks for it publishes.
static void test_exactly_once_names_each_right_that_is_missing(void **state)
{
	(void)state;
	static const struct {
		const char *missing;
		enum resource resource;
		const char *prefix;
		enum operation operations[3]; // up to 0
	} steps[] = {
		{"Write and Describe on the topic (and Create", TOPIC, "meowmx.checkpoint.", {DESCRIBE}},
		{"could not be created", TOPIC, "meowmx.checkpoint.", {CREATE}},
		{"DescribeConfigs", TOPIC, "meowmx.checkpoint.", {DESCRIBE_CONFIGS}},
		{"transactional ids that begin with meowmx.", TRANSACTIONAL_ID, "meowmx.", {WRITE, DESCRIBE}},
		{"may not be read: allow the client Read", TOPIC, "meowmx.checkpoint.", {READ}},
		{"Write and Describe on checkpoint topic meowmx.checkpoint.0b5b5d4e.contract", TOPIC, "meowmx.checkpoint.",
			{WRITE}},
	};
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		try_publishing(true, steps[i].missing);
		for (const enum operation *operation = steps[i].operations; *operation != 0; operation++)
			allow(&(struct rule){steps[i].resource, steps[i].prefix, PREFIXED, *operation});
	}
	publish_as("relay", true);
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
		cmocka_unit_test(test_exactly_once_names_each_right_that_is_missing),
	};
	int failed = cmocka_run_group_tests_name("kafka rights", cases, NULL, NULL);
	server_destroy(server);
	return failed;
}
