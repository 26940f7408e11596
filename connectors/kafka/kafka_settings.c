// kafka_settings.c: every librdkafka property may be set under `client`, except those on which delivery in order rests;
// these are refused by name, with the reason. What librdkafka itself thinks of a property it says itself.
#include "connectors/kafka/kafka_settings.h"

#include "base/text.h"
#include "relay/template.h"

#include <stdio.h>
#include <string.h>

const struct setting kafka_settings[] = {
	{.name = "topic",
		.type = SETTING_TEXT,
		.required = true,
		.help = "the topic's name, a template: \"shop.{aggregate_type}\""},
	{.name = "topics", .type = SETTING_MAP, .help = "names of topics by aggregate type, in place of the template's"},
	{.name = "create",
		.type = SETTING_BOOL,
		.initial = "true",
		.help = "create topics that are missing; if false, wait until somebody does"},
	{.name = "partitions",
		.type = SETTING_INTEGER,
		.least = 1,
		.most = 100000,
		.help = "of a topic that is created; absent: the broker's default"},
	{.name = "replication",
		.type = SETTING_INTEGER,
		.least = 1,
		.most = 100,
		.help = "replication factor of a topic that is created; absent: the broker's default"},
	{.name = "delivery",
		.type = SETTING_CHOICE,
		.initial = "at-least-once",
		.choices = "at-least-once|exactly-once",
		.help = "at-least-once: each message carries its position, so that a consumer can drop repeats; exactly-once: "
				"in transactions, for consumers with isolation.level read_committed"},
	{.name = "client",
		.type = SETTING_MAP,
		.required = true,
		.help = "properties of librdkafka; bootstrap.servers at least"},
	{0},
};

// What `client` may not set, and why.
static const struct {
	const char *name;
	const char *why;
} fixed[] = {
	{"acks", "an event counts as delivered only when all in-sync replicas have it"},
	{"request.required.acks", "an event counts as delivered only when all in-sync replicas have it"},
	{"enable.idempotence", "without it a retry could repeat or reorder events"},
	{"enable.gapless.guarantee", "without it later events would overtake one that the broker refuses"},
	{"message.timeout.ms", "an event that timed out would be overtaken by later ones"},
	{"delivery.timeout.ms", "an event that timed out would be overtaken by later ones"},
	{"retries", "an event that ran out of retries would be overtaken by later ones"},
	{"message.send.max.retries", "an event that ran out of retries would be overtaken by later ones"},
	{"transactional.id", "delivery: exactly-once chooses it, one for each producer, so that an older one is fenced"},
	{"isolation.level", "it belongs to consumers"},
	{"partitioner", "an aggregate's events must sit where Java clients look for its key (murmur2_random)"},
	{"delivery.report.only.error", "without reports of success nothing would ever count as delivered"},
	{"log.queue", "the relay's own log says what librdkafka reports"},
	{"enabled_events", "they carry the delivery reports"},
	{"topic.blacklist", "topics are chosen by `topic` and `topics`"},
};

// Ours unless `client` says otherwise. The queue's own limits stay out of the way: the relay's window is the limit.
static const char *const defaults[][2] = {
	{"client.id", "meowmx"},
	{"linger.ms", "1"},
	{"transaction.timeout.ms", "15000"}, // a little longer than a lease, after which another relay takes over
	{"queue.buffering.max.messages", "10000000"},
	{"queue.buffering.max.kbytes", "2147483647"},
	{"allow.auto.create.topics", "false"}, // or topics would come without `partitions` and in spite of `create: false`
	{"socket.keepalive.enable", "true"},
	// A broker that comes back is found within a second, not ten.
	{"reconnect.backoff.max.ms", "1000"},
};

// An answer whose connection has silently gone never comes, and librdkafka would wait a minute. Less would not do: the time
// in which a request goes out over a slow link counts. With transactions librdkafka takes transaction.timeout.ms.
static const char *const defaults_at_least_once[][2] = {
	{"socket.timeout.ms", "15000"},
};

static const char *const promises[][2] = {
	{"enable.idempotence", "true"},
	{"acks", "all"},
	{"partitioner", "murmur2_random"},
	{"log.queue", "true"},
};

static const char *const promises_at_least_once[][2] = {
	{"enable.gapless.guarantee", "true"},
	{"message.timeout.ms", "0"},
};

// A message that is refused or given up fails its transaction, so neither of the two above is needed; librdkafka gives
// messages as long as transaction.timeout.ms. isolation.level is what a producer asks for the end of a partition with.
static const char *const promises_exactly_once[][2] = {
	{"isolation.level", "read_uncommitted"},
};

static const char *const reader_promises[][2] = {
	{"isolation.level", "read_committed"},
	{"enable.partition.eof", "true"},
	{"enable.auto.commit", "false"},
	{"fetch.wait.max.ms", "10"}, // the end comes with an answer that has nothing
	{"fetch.error.backoff.ms", "20"},
	{"allow.auto.create.topics", "false"},
	{"check.crcs", "true"},
};

#define MOST_NAME 249

const char *kafka_name_fault(struct meow_bytes name)
{
	if (name.size == 0)
		return "it is empty";
	if (name.size > MOST_NAME)
		return "it is longer than 249 characters";
	if (bytes_equal(name, MEOW_BYTES(".")) || bytes_equal(name, MEOW_BYTES("..")))
		return "Kafka reserves it";
	for (size_t i = 0; i < name.size; i++) {
		char c = name.data[i];
		if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && c != '.' && c != '_' &&
			c != '-')
			return "it may only have A-Z, a-z, 0-9, \".\", \"_\" and \"-\"";
	}
	return NULL;
}

const char *kafka_bootstrap(const struct config_section *settings)
{
	const char *servers = config_map_get(settings, "client", "bootstrap.servers");
	return servers != NULL ? servers : config_map_get(settings, "client", "metadata.broker.list");
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct meow_error *err)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) == RD_KAFKA_CONF_OK)
		return true;
	return error_set(err, MEOW_CONFIG, "client.%s: %s", name, text);
}

static bool set_all(rd_kafka_conf_t *conf, const char *const (*pairs)[2], size_t count, struct meow_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!set(conf, pairs[i][0], pairs[i][1], err))
			return false;
	return true;
}

static bool set_client_item(
	rd_kafka_conf_t *conf, const struct config_section *settings, size_t index, struct meow_error *err)
{
	const char *name = config_item_key(settings, "client", index);
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++)
		if (strcmp(name, fixed[i].name) == 0)
			return error_set(err, MEOW_CONFIG, "client.%s: remove it: %s", name, fixed[i].why);
	return set(conf, name, config_item(settings, "client", index), err);
}

static bool set_client(rd_kafka_conf_t *conf, const struct config_section *settings, struct meow_error *err)
{
	for (size_t i = 0; i < config_count(settings, "client"); i++)
		if (!set_client_item(conf, settings, i, err))
			return false;
	return true;
}

static bool set_care(rd_kafka_conf_t *conf, const struct kafka_care *care, struct meow_error *err)
{
	char number[16];
	snprintf(number, sizeof(number), "%d", care->batch_bytes);
	if (care->batch_bytes > 0 && !set(conf, "batch.size", number, err))
		return false;
	return !care->one_by_one || set(conf, "batch.num.messages", "1", err);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

bool kafka_is_exactly_once(const struct config_section *settings)
{
	return strcmp(config_text(settings, "delivery"), "exactly-once") == 0;
}

static bool set_delivery(rd_kafka_conf_t *conf, const char *transactional_id, struct meow_error *err)
{
	if (!set_all(conf, promises, COUNT(promises), err))
		return false;
	if (transactional_id == NULL)
		return set_all(conf, promises_at_least_once, COUNT(promises_at_least_once), err);
	return set_all(conf, promises_exactly_once, COUNT(promises_exactly_once), err) &&
		   set(conf, "transactional.id", transactional_id, err);
}

rd_kafka_conf_t *kafka_conf_create(const struct config_section *settings, const struct kafka_care *care,
	const char *transactional_id, struct meow_error *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (conf == NULL) {
		error_no_memory(err);
		return NULL;
	}
	size_t more = transactional_id == NULL ? COUNT(defaults_at_least_once) : 0;
	if (set_all(conf, defaults, COUNT(defaults), err) && set_all(conf, defaults_at_least_once, more, err) &&
		set_client(conf, settings, err) && set_delivery(conf, transactional_id, err) && set_care(conf, care, err)) {
		rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_LOG);
		return conf;
	}
	rd_kafka_conf_destroy(conf);
	return NULL;
}

rd_kafka_conf_t *kafka_reader_conf_create(const struct config_section *settings, struct meow_error *err)
{
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (conf == NULL) {
		error_no_memory(err);
		return NULL;
	}
	if (set(conf, "client.id", "meowmx", err) && set_client(conf, settings, err) &&
		set_all(conf, reader_promises, COUNT(reader_promises), err)) {
		rd_kafka_conf_set_log_cb(conf, NULL); // the producer says the same
		return conf;
	}
	rd_kafka_conf_destroy(conf);
	return NULL;
}

static bool check_name(const char *setting, const char *name, struct meow_error *err)
{
	const char *fault = kafka_name_fault(bytes_of(name));
	return fault == NULL ||
		   error_set(err, MEOW_CONFIG, "%s: \"%s\" cannot be a topic's name: %s", setting, name, fault);
}

static bool check_topic(const char *text, struct meow_error *err)
{
	struct meow_error why;
	struct template *template = template_create(text, &why);
	if (template == NULL)
		return error_set(err, why.kind, "topic: %s", why.text);
	// The rest of the name may come from the events, but what is written here stands in each.
	struct buffer name;
	buffer_init(&name);
	const struct meow_event event = {
		.aggregate_type = MEOW_BYTES("a"), .aggregate_id = MEOW_BYTES("a"), .type = MEOW_BYTES("a")};
	template_put(template, &event, 0, 0, &name);
	template_destroy(template);
	const char *fault = name.failed ? NULL : kafka_name_fault((struct meow_bytes){name.data, name.size});
	bool ok =
		buffer_ok(&name, err) &&
		(fault == NULL || error_set(err, MEOW_CONFIG, "topic: \"%s\" cannot give topics their names: %s", text, fault));
	buffer_finish(&name);
	return ok;
}

// Each property of librdkafka by itself. True if all are well.
static bool check_client(const struct config_section *settings, const struct config_report *report)
{
	struct meow_error err;
	bool well = true;
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; conf != NULL && i < config_count(settings, "client"); i++) {
		if (set_client_item(conf, settings, i, &err))
			continue;
		config_tell(report, &err);
		well = false;
	}
	if (conf != NULL)
		rd_kafka_conf_destroy(conf);
	return well;
}

void kafka_check(const struct config_section *settings, const struct config_report *report)
{
	struct meow_error err;
	if (!check_topic(config_text(settings, "topic"), &err))
		config_tell(report, &err);
	for (size_t i = 0; i < config_count(settings, "topics"); i++)
		if (!check_name("topics", config_item(settings, "topics", i), &err))
			config_tell(report, &err);
	static const char *const of_creation[] = {"partitions", "replication"};
	for (size_t i = 0; !config_bool(settings, "create") && i < COUNT(of_creation); i++) {
		if (!config_has(settings, of_creation[i]))
			continue;
		error_set(&err, MEOW_CONFIG, "%s: has no effect with create: false; remove one of the two", of_creation[i]);
		config_tell(report, &err);
	}
	const char *servers = kafka_bootstrap(settings);
	if (servers == NULL || *servers == '\0') {
		error_set(
			&err, MEOW_CONFIG, "client.bootstrap.servers: is missing: name a broker or more, \"HOST:PORT,HOST:PORT\"");
		config_tell(report, &err);
	}
	if (!check_client(settings, report))
		return; // together they would say the same again
	rd_kafka_conf_t *conf = kafka_conf_create(
		settings, &(struct kafka_care){0}, kafka_is_exactly_once(settings) ? "meowmx.config.check" : NULL, &err);
	if (conf != NULL)
		rd_kafka_conf_destroy(conf);
	else
		config_tell(report, &err);
}
