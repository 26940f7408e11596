// kafka_case.c: see kafka_case.h.
#include "kafka_case.h"

#include "base/text.h"
#include "connectors/kafka/kafka.h"
#include "support/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct broker broker;

const char *servers(void)
{
	return server_url(broker.server);
}

// --- the sink

static void set_sink(struct contract_settings *settings, const char *at)
{
	char topic[64];
	snprintf(topic, sizeof(topic), "%s{aggregate_type}", broker.prefix);
	contract_set(settings, "topic", topic);
	if (broker.delivery != NULL)
		contract_set(settings, "delivery", broker.delivery);
	contract_set_item(settings, "client", "bootstrap.servers", at);
}

void kafka_case_fresh(void *arg, struct contract_settings *settings)
{
	(void)arg;
	broker.cases++;
	snprintf(broker.prefix, sizeof(broker.prefix), "case%d.", broker.cases);
	snprintf(broker.store_id, sizeof(broker.store_id), "%08x-6a7f-4f0e-9d3e-2f6f6f3c1a55", (unsigned)broker.cases);
	snprintf(broker.checkpoint, sizeof(broker.checkpoint), "meowmx.checkpoint.%.8s.contract", broker.store_id);
	set_sink(settings, servers());
	contract_set(settings, "partitions", "3");
}

void kafka_case_read(void *arg, struct contract_log *log)
{
	(void)arg;
	kafka_consume(servers(), broker.prefix, kafka_log_message, log);
}

void kafka_case_stop(void *arg)
{
	(void)arg;
	server_stop(broker.server);
}

void kafka_case_kill(void *arg)
{
	(void)arg;
	server_kill(broker.server);
}

void kafka_case_start(void *arg)
{
	(void)arg;
	server_again(broker.server);
}

void kafka_case_spoil(void *arg, struct meow_event *event)
{
	(void)arg;
	event->aggregate_type = MEOW_BYTES("注文");
}

// --- the fixture

int kafka_case_setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->settings = contract_settings_create(&kafka_connector);
	kafka_case_fresh(NULL, fixture->settings);
	snprintf(fixture->topic, sizeof(fixture->topic), "%sorder", broker.prefix);
	*state = fixture;
	return 0;
}

int kafka_case_teardown(void **state)
{
	struct fixture *fixture = *state;
	if (fixture->relay.loop != NULL)
		contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	free(fixture);
	return 0;
}

void start_settings(struct fixture *fixture, const char *at)
{
	contract_settings_destroy(fixture->settings);
	fixture->settings = contract_settings_create(&kafka_connector);
	set_sink(fixture->settings, at);
}

bool was_noticed(const struct contract_relay *relay)
{
	return relay->notices > 0 || relay->failed;
}

void expect_text(const struct contract_relay *relay, const char *text)
{
	if (strstr(relay->error.text, text) == NULL)
		fail_msg("\"%s\" is not in: %s", text, relay->error.text);
}

struct batch *padded_batch(int64_t first, size_t count, size_t padding, int64_t large, size_t size)
{
	struct batch *batch = batch_create();
	assert_non_null(batch);
	for (int64_t position = first; position < first + (int64_t)count; position++) {
		struct contract_texts texts;
		struct meow_event event = contract_event((position - 1) * 7 + 1, &texts); // always the same aggregate
		size_t bytes = position == large ? size : padding;
		char *data = malloc(bytes + 3);
		assert_non_null(data);
		data[0] = '"';
		memset(data + 1, 'x', bytes);
		memcpy(data + 1 + bytes, "\"", 2);
		event.position = position;
		event.data = (struct meow_bytes){data, bytes + 2};
		assert_true(batch_add(batch, &event));
		free(data);
	}
	batch->position = first + (int64_t)count - 1;
	return batch;
}
