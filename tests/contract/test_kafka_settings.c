// What the Kafka connector's check takes and refuses, without a broker.
#include "contract.h"

#include "base/text.h"
#include "connectors/kafka/kafka.h"
#include "connectors/kafka/kafka_client.h"
#include "connectors/kafka/kafka_error.h"
#include "connectors/kafka/kafka_record.h"
#include "connectors/kafka/kafka_settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct contract_settings *make(const char *topic)
{
	struct contract_settings *settings = contract_settings_create(&kafka_connector);
	contract_set(settings, "topic", topic);
	contract_set_item(settings, "client", "bootstrap.servers", "127.0.0.1:9092");
	return settings;
}

static void expect_accepted(struct contract_settings *settings)
{
	struct meow_error err = {0};
	if (!contract_load(settings, &err))
		fail_msg("refused: %s", err.text);
	contract_settings_destroy(settings);
}

// All that is refused is the configuration's fault, on one line that names the setting.
static void expect_refused(struct contract_settings *settings, const char *setting, const char *why)
{
	struct meow_error err = {0};
	assert_false(contract_load(settings, &err));
	char name[100];
	snprintf(name, sizeof(name), ".%s: ", setting);
	if (err.kind != MEOW_CONFIG || strstr(err.text, name) == NULL || strstr(err.text, why) == NULL)
		fail_msg("\"%s\" or \"%s\" is not in: %s", name, why, err.text);
	contract_settings_destroy(settings);
}

static void test_any_property_of_librdkafka_may_be_set(void **state)
{
	(void)state;
	struct contract_settings *settings = make("shop.{aggregate_type}");
	contract_set_item(settings, "client", "compression.type", "lz4");
	contract_set_item(settings, "client", "linger.ms", "20");
	contract_set_item(settings, "client", "queue.buffering.max.ms", "20"); // an alias
	contract_set_item(settings, "client", "sasl.password", "secret");
	contract_set_item(settings, "topics", "注文", "orders");
	contract_set(settings, "partitions", "6");
	contract_set(settings, "replication", "3");
	expect_accepted(settings);
}

static void test_properties_that_would_undo_a_promise_are_refused(void **state)
{
	(void)state;
	static const char *const names[] = {"acks", "request.required.acks", "enable.idempotence",
		"enable.gapless.guarantee", "message.timeout.ms", "delivery.timeout.ms", "retries", "message.send.max.retries",
		"transactional.id", "isolation.level", "partitioner", "delivery.report.only.error", "log.queue",
		"enabled_events"};
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		struct contract_settings *settings = make("shop");
		contract_set_item(settings, "client", names[i], "1");
		char setting[60];
		snprintf(setting, sizeof(setting), "client.%s", names[i]);
		expect_refused(settings, setting, "remove it: ");
	}
}

static void test_librdkafka_says_what_it_does_not_know(void **state)
{
	(void)state;
	struct contract_settings *settings = make("shop");
	contract_set_item(settings, "client", "linger", "5");
	expect_refused(settings, "client.linger", "No such configuration property");
	settings = make("shop");
	contract_set_item(settings, "client", "linger.ms", "soon");
	expect_refused(settings, "client.linger.ms", "linger.ms");
	settings = make("shop");
	contract_set_item(settings, "client", "compression.type", "rar");
	expect_refused(settings, "client.compression.type", "rar");
	settings = make("shop");
	contract_set_item(settings, "client", "dr_msg_cb", "x");
	expect_refused(settings, "client.dr_msg_cb", "dr_msg_cb");
}

static void test_brokers_must_be_named(void **state)
{
	(void)state;
	struct contract_settings *settings = contract_settings_create(&kafka_connector);
	contract_set(settings, "topic", "shop");
	contract_set_item(settings, "client", "linger.ms", "5");
	expect_refused(settings, "client.bootstrap.servers", "HOST:PORT");
	settings = contract_settings_create(&kafka_connector);
	contract_set(settings, "topic", "shop");
	contract_set_item(settings, "client", "metadata.broker.list", "127.0.0.1:9092"); // librdkafka's older name
	expect_accepted(settings);
}

static void test_names_that_no_topic_can_have_are_refused(void **state)
{
	(void)state;
	expect_refused(make("my topic"), "topic", "\"my topic\"");
	expect_refused(make("{aggregate_typ}"), "topic", "unknown attribute");
	expect_refused(make("shop/{aggregate_type}"), "topic", "A-Z");
	expect_refused(make(".."), "topic", "reserves");
	struct contract_settings *settings = make("shop");
	contract_set_item(settings, "topics", "order", "注文");
	expect_refused(settings, "topics", "\"注文\"");
}

static void test_what_has_no_effect_is_refused(void **state)
{
	(void)state;
	struct contract_settings *settings = make("shop");
	contract_set(settings, "create", "false");
	contract_set(settings, "partitions", "6");
	expect_refused(settings, "partitions", "create: false");
	settings = make("shop");
	contract_set(settings, "create", "false");
	expect_accepted(settings);
}

static void test_exactly_once_takes_the_same_properties(void **state)
{
	(void)state;
	struct contract_settings *settings = make("shop");
	contract_set(settings, "delivery", "exactly-once");
	contract_set_item(settings, "client", "transaction.timeout.ms", "30000");
	expect_accepted(settings);
	settings = make("shop");
	contract_set(settings, "delivery", "exactly-once");
	contract_set_item(settings, "client", "transactional.id", "mine");
	expect_refused(settings, "client.transactional.id", "remove it: ");
	settings = make("shop");
	contract_set(settings, "delivery", "at-most-once");
	expect_refused(settings, "delivery", "exactly-once");
}

static struct kafka_record parsed(const char *key, const char *value)
{
	struct kafka_record record;
	const char *why;
	if (!kafka_record_parse(bytes_of(key), bytes_of(value), &record, &why))
		fail_msg("%s %s: %s", key, value, why);
	return record;
}

static void test_a_checkpoint_record_is_read_as_it_was_written(void **state)
{
	(void)state;
	const struct kafka_record wanted = {.partition = 3,
		.generation = 7,
		.delivered = INT64_MAX,
		.fingerprint = (char[]){"1 a \"b\" \\ 注文"},
		.epoch = 5,
		.layout = 2};
	struct buffer key, value;
	buffer_init(&key);
	buffer_init(&value);
	kafka_record_key(&wanted, &key);
	kafka_record_value(&wanted, &value);
	assert_string_equal(key.data, "{\"partition\":3,\"generation\":7}");
	struct kafka_record found = parsed(key.data, value.data);
	assert_int_equal(found.partition, 3);
	assert_int_equal(found.generation, 7);
	assert_true(found.delivered == INT64_MAX);
	assert_string_equal(found.fingerprint, wanted.fingerprint);
	assert_int_equal(found.epoch, 5);
	assert_int_equal(found.layout, 2);
	free(found.fingerprint);
	buffer_finish(&key);
	buffer_finish(&value);

	found = parsed("{\"generation\": 0, \"partition\": 0}",
		"{\"delivered\":1,\"fingerprint\":null,\"epoch\":0,\"layout\":0,\"of a later meowmx\":[{}]}");
	assert_int_equal(found.delivered, 1);
	assert_null(found.fingerprint);
}

static void test_what_is_no_checkpoint_record_is_told_from_one(void **state)
{
	(void)state;
	static const char key[] = "{\"partition\":0,\"generation\":0}";
	static const char value[] = "{\"delivered\":1,\"fingerprint\":null,\"epoch\":0,\"layout\":0}";
	static const char *const pairs[][2] = {{NULL, value}, {"", value}, {"x", value}, {"[]", value},
		{"{\"partition\":0}", value}, {"{\"partition\":\"0\",\"generation\":0}", value},
		{"{\"partition\":-1,\"generation\":0}", value}, {"{\"partition\":0.5,\"generation\":0}", value}, {key, NULL},
		{key, ""}, {key, "{}"}, {key, "null"}, {key, "{\"delivered\":1,\"fingerprint\":null,\"epoch\":0}"},
		{key, "{\"delivered\":1,\"fingerprint\":1,\"epoch\":0,\"layout\":0}"},
		{key, "{\"delivered\":99999999999999999999,\"fingerprint\":null,\"epoch\":0,\"layout\":0}"}};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++) {
		struct kafka_record record;
		const char *why = NULL;
		if (kafka_record_parse(bytes_of(pairs[i][0]), bytes_of(pairs[i][1]), &record, &why))
			fail_msg("%s %s was taken", pairs[i][0], pairs[i][1]);
		assert_non_null(why);
	}
}

static const char *fault_of(const char *name)
{
	return kafka_name_fault(bytes_of(name));
}

static void test_the_limits_of_a_name(void **state)
{
	(void)state;
	char name[251];
	memset(name, 'a', sizeof(name));
	name[249] = '\0';
	assert_null(fault_of(name));
	name[249] = 'a';
	name[250] = '\0';
	assert_non_null(fault_of(name));
	assert_non_null(fault_of(""));
	assert_non_null(fault_of("."));
	assert_non_null(fault_of(".."));
	assert_null(fault_of("..."));
	assert_null(fault_of("A-z_0.9"));
	assert_non_null(fault_of("a b"));
	assert_non_null(fault_of("a\xC3\xBC"));
	assert_non_null(kafka_name_fault((struct meow_bytes){"a\0b", 3}));
}

static void test_only_what_trying_again_cannot_mend_stops_a_route(void **state)
{
	(void)state;
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), MEOW_INVALID);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED), MEOW_DENIED);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR__AUTHENTICATION), MEOW_DENIED);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR), MEOW_CONFIG);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS), MEOW_UNAVAILABLE);
	assert_int_equal(kafka_error_kind(RD_KAFKA_RESP_ERR__TRANSPORT), MEOW_UNAVAILABLE);
	assert_int_equal(kafka_error_kind((rd_kafka_resp_err_t)999), MEOW_UNAVAILABLE); // of a later broker
	assert_true(kafka_error_follows(RD_KAFKA_RESP_ERR__PURGE_QUEUE));
	assert_false(kafka_error_follows(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
}

// What librdkafka answers in place of a client, the linker having put these before its own.
static rd_kafka_resp_err_t refusal;
static int refusal_errno;
static bool starved;

rd_kafka_t *__real_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size);
rd_kafka_t *__wrap_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size);
rd_kafka_t *__wrap_rd_kafka_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, char *text, size_t size)
{
	if (refusal == RD_KAFKA_RESP_ERR_NO_ERROR)
		return __real_rd_kafka_new(type, conf, text, size);
	snprintf(text, size, "refused");
	errno = refusal_errno;
	return NULL;
}

rd_kafka_resp_err_t __wrap_rd_kafka_last_error(void);
rd_kafka_resp_err_t __wrap_rd_kafka_last_error(void)
{
	return refusal;
}

char *__real_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size);
char *__wrap_strndup(const char *text, size_t size)
{
	errno = starved ? ENOMEM : errno;
	return starved ? NULL : __real_strndup(text, size);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	errno = starved ? ENOMEM : errno;
	return starved ? NULL : __real_strdup(text);
}

static void test_a_client_that_cannot_start_now_is_tried_again(void **state)
{
	(void)state;
	static const struct {
		rd_kafka_resp_err_t code;
		int number;
		enum meow_error_kind kind;
	} known[] = {{RD_KAFKA_RESP_ERR__INVALID_ARG, EINVAL, MEOW_CONFIG},
		{RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, EAGAIN, MEOW_UNAVAILABLE},   // no thread
		{RD_KAFKA_RESP_ERR__CRIT_SYS_RESOURCE, EDEADLK, MEOW_UNAVAILABLE}}; // a clock that jumped while it waited
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
		struct meow_error err = {0};
		rd_kafka_conf_t *conf = rd_kafka_conf_new();
		refusal = known[i].code;
		refusal_errno = known[i].number;
		assert_null(kafka_client_new(RD_KAFKA_PRODUCER, conf, &err));
		refusal = RD_KAFKA_RESP_ERR_NO_ERROR;
		assert_int_equal(err.kind, known[i].kind);
		if (known[i].number == EDEADLK)
			rd_kafka_conf_destroy(conf); // it was left to threads that there are not here
	}
}

static void test_a_record_that_memory_is_missing_for_is_not_called_foreign(void **state)
{
	(void)state;
	struct kafka_record record;
	const char *why = "";
	starved = true;
	bool taken = kafka_record_parse(bytes_of("{\"partition\":0,\"generation\":0}"),
		bytes_of("{\"delivered\":1,\"fingerprint\":\"1 x\",\"epoch\":0,\"layout\":0}"), &record, &why);
	starved = false;
	assert_false(taken);
	assert_null(why);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_any_property_of_librdkafka_may_be_set),
		cmocka_unit_test(test_properties_that_would_undo_a_promise_are_refused),
		cmocka_unit_test(test_librdkafka_says_what_it_does_not_know),
		cmocka_unit_test(test_brokers_must_be_named),
		cmocka_unit_test(test_names_that_no_topic_can_have_are_refused),
		cmocka_unit_test(test_what_has_no_effect_is_refused),
		cmocka_unit_test(test_exactly_once_takes_the_same_properties),
		cmocka_unit_test(test_a_checkpoint_record_is_read_as_it_was_written),
		cmocka_unit_test(test_what_is_no_checkpoint_record_is_told_from_one),
		cmocka_unit_test(test_the_limits_of_a_name),
		cmocka_unit_test(test_only_what_trying_again_cannot_mend_stops_a_route),
		cmocka_unit_test(test_a_client_that_cannot_start_now_is_tried_again),
		cmocka_unit_test(test_a_record_that_memory_is_missing_for_is_not_called_foreign),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
