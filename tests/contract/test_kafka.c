// The Kafka connector against a real broker: the suite of all connectors, and what is Kafka's own.
#include "kafka_look.h"

#include "base/text.h"
#include "connectors/kafka/kafka.h"
#include "support/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LONG_MS 60000

struct broker {
	struct server *server;
	char prefix[32]; // of the topics of one case
	int cases;
};

static struct broker broker;

// --- the sink of the suite

static void fresh(void *arg, struct contract_settings *settings)
{
	struct broker *one = arg;
	snprintf(one->prefix, sizeof(one->prefix), "case%d.", ++one->cases);
	char topic[64];
	snprintf(topic, sizeof(topic), "%s{aggregate_type}", one->prefix);
	contract_set(settings, "topic", topic);
	contract_set(settings, "partitions", "3");
	contract_set_item(settings, "client", "bootstrap.servers", server_url(one->server));
}

static void log_message(void *arg, const rd_kafka_message_t *message)
{
	const struct contract_entry entry = {
		.position = kafka_header_number(message, "meowmx-position"),
		.version = kafka_header_number(message, "meowmx-version"),
		.aggregate_type = kafka_header(message, "meowmx-aggregate-type"),
		.aggregate_id = {message->key, message->key_len},
		.type = kafka_header(message, "meowmx-event-type"),
		.data = {message->payload, message->len},
	};
	contract_log_add(arg, &entry);
}

static void read_all(void *arg, struct contract_log *log)
{
	(void)arg;
	kafka_consume(server_url(broker.server), broker.prefix, log_message, log);
}

static void stop(void *arg)
{
	server_kill(((struct broker *)arg)->server);
}

static void start(void *arg)
{
	server_again(((struct broker *)arg)->server);
}

static void spoil(void *arg, struct meow_event *event)
{
	(void)arg;
	event->aggregate_type = MEOW_BYTES("注文");
}

static const struct contract_sink kafka = {
	.impl = &kafka_connector,
	.arg = &broker,
	.fresh = fresh,
	.read = read_all,
	.stop = stop,
	.start = start,
	.spoil = spoil,
};

int main(void)
{
	broker.server = server_start("kafka", NULL);
	int failed = contract_run("kafka", &kafka);
	server_destroy(broker.server);
	return failed;
}
