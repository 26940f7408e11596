// kafka_topics.c: from an event to its topic. A topic is asked for when the first event for it is admitted, so that the
// answer is often there before the event's turn comes; if it is missing it is created, or waited for. Only then does
// anything go there: what a broker does on its own (auto.create.topics.enable) would ignore `partitions`, `replication`
// and `create: false`.
//
// The number of a topic's partitions is fixed when it is first used, and keys are placed by it. A topic that is there is
// asked for again and again. If it has grown, the new number counts once everything that was sent is acknowledged (or its
// transaction is over): nothing of an aggregate is still on its way to its old partition then.
//
// Topics are found by the event's attributes that the name depends on, compared byte for byte.
#include "connectors/kafka/kafka_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON_US 50000   // a topic that was just created shows a little later
#define WAIT_US 1000000 // somebody else is to create it
#define CREATE_TIMEOUT_MS 30000

bool kafka_topics_init(struct kafka *kafka, struct meow_error *err)
{
	const struct config_section *settings = kafka->context.settings;
	kafka->topic_name = template_create(config_text(settings, "topic"), err);
	if (kafka->topic_name == NULL)
		return false;
	struct topics *topics = &kafka->topics;
	topics->by_aggregate_type =
		template_uses(kafka->topic_name, "aggregate_type") || config_count(settings, "topics") > 0;
	topics->by_aggregate_id = template_uses(kafka->topic_name, "aggregate_id");
	topics->by_type = template_uses(kafka->topic_name, "type");
	return true;
}

void kafka_topics_drop_handles(struct kafka *kafka)
{
	for (struct topic *topic = kafka->topics.all; topic != NULL; topic = topic->next_of_all) {
		if (topic->handle != NULL)
			rd_kafka_topic_destroy(topic->handle);
		topic->handle = NULL;
		if (topic->state != TOPIC_BAD)
			topic->state = TOPIC_LATER;
		topic->again_us = 0;
		topic->partitions = topic->grown = 0;
		kafka_first_forget(topic);
	}
	kafka->topics.partitions = 0;
	kafka->topics.grown = 0;
}

void kafka_topics_finish(struct kafka *kafka)
{
	template_destroy(kafka->topic_name);
	while (kafka->topics.all != NULL) {
		struct topic *next = kafka->topics.all->next_of_all;
		kafka_first_forget(kafka->topics.all);
		free(kafka->topics.all);
		kafka->topics.all = next;
	}
}

static bool same(bool counts, struct meow_bytes known, struct meow_bytes given)
{
	return !counts || bytes_equal(known, given);
}

static bool leads_to(const struct topics *topics, const struct topic *topic, const struct meow_event *event)
{
	return same(topics->by_aggregate_type, topic->aggregate_type, event->aggregate_type) &&
		   same(topics->by_aggregate_id, topic->aggregate_id, event->aggregate_id) &&
		   same(topics->by_type, topic->type, event->type);
}

static size_t bucket_of(const struct topics *topics, const struct meow_event *event)
{
	uint64_t hash = TEXT_HASH_START;
	if (topics->by_aggregate_type)
		hash = text_hash(hash, event->aggregate_type);
	if (topics->by_aggregate_id)
		hash = text_hash(hash, event->aggregate_id);
	if (topics->by_type)
		hash = text_hash(hash, event->type);
	return (size_t)(hash ^ hash >> 32) % TOPIC_BUCKETS;
}

static struct meow_bytes keep(bool counts, struct meow_bytes bytes, char **place)
{
	if (!counts || bytes.data == NULL)
		return (struct meow_bytes){0};
	struct meow_bytes kept = {*place, bytes.size};
	if (bytes.size > 0)
		memcpy(*place, bytes.data, bytes.size);
	*place += bytes.size;
	return kept;
}

static void put_name(const struct kafka *kafka, const struct meow_event *event, struct buffer *name)
{
	const struct connector_context *context = &kafka->context;
	for (size_t i = 0; i < config_count(context->settings, "topics"); i++) {
		if (!bytes_equal(event->aggregate_type, bytes_of(config_item_key(context->settings, "topics", i))))
			continue;
		buffer_put_text(name, config_item(context->settings, "topics", i));
		return;
	}
	template_put(kafka->topic_name, event, context->partition, context->generation, name);
}

static struct topic *topic_create(const struct kafka *kafka, const struct meow_event *event)
{
	struct buffer name;
	buffer_init(&name);
	put_name(kafka, event, &name);
	size_t size = event->aggregate_type.size + event->aggregate_id.size + event->type.size + name.size + 1;
	struct topic *topic = name.failed ? NULL : calloc(1, sizeof(*topic) + size);
	if (topic != NULL) {
		const struct topics *topics = &kafka->topics;
		char *place = topic->memory;
		topic->aggregate_type = keep(topics->by_aggregate_type, event->aggregate_type, &place);
		topic->aggregate_id = keep(topics->by_aggregate_id, event->aggregate_id, &place);
		topic->type = keep(topics->by_type, event->type, &place);
		topic->name = place;
		if (name.size > 0)
			memcpy(place, name.data, name.size);
		topic->fault = kafka_name_fault((struct meow_bytes){place, name.size});
		topic->state = topic->fault != NULL ? TOPIC_BAD : TOPIC_LATER;
	}
	buffer_finish(&name);
	return topic;
}

// Only `topics` gives one name to several aggregate types.
static struct topic *namesake_of(const struct kafka *kafka, struct topic *topic)
{
	if (config_count(kafka->context.settings, "topics") == 0)
		return topic;
	struct topic *oldest = topic;
	for (struct topic *other = kafka->topics.all; other != NULL; other = other->next_of_all)
		if (strcmp(other->name, topic->name) == 0)
			oldest = other;
	return oldest;
}

static void ask(struct kafka *kafka, struct topic *topic)
{
	if (topic->state == TOPIC_READY)
		topic->again_us = INT64_MAX; // until this one is answered
	else
		topic->state = TOPIC_ASKED;
	if (!kafka_client_ask(kafka->client, topic->name, topic))
		kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
}

struct topic *kafka_topic_of(struct kafka *kafka, const struct meow_event *event)
{
	struct topics *topics = &kafka->topics;
	if (topics->recent != NULL && leads_to(topics, topics->recent, event))
		return topics->recent;
	struct topic **place = &topics->buckets[bucket_of(topics, event)];
	while (*place != NULL && !leads_to(topics, *place, event))
		place = &(*place)->next;
	if (*place == NULL) {
		struct topic *topic = topic_create(kafka, event);
		if (topic == NULL)
			return NULL;
		*place = topic;
		topic->namesake = namesake_of(kafka, topic);
		topic->next_of_all = topics->all;
		topics->all = topic;
		if (topic->state == TOPIC_LATER)
			ask(kafka, topic);
	}
	return topics->recent = *place;
}

static bool is_to_be_asked(const struct topic *topic)
{
	return topic->state == TOPIC_LATER || topic->state == TOPIC_READY;
}

static void schedule(struct kafka *kafka)
{
	int64_t next = INT64_MAX;
	for (const struct topic *topic = kafka->topics.all; topic != NULL; topic = topic->next_of_all)
		if (is_to_be_asked(topic) && topic->again_us < next)
			next = topic->again_us;
	int64_t now = loop_now_us(kafka->context.loop);
	if (next != INT64_MAX)
		loop_timer_start(kafka->again, next > now ? next - now : 0);
}

static void ask_later(struct kafka *kafka, struct topic *topic, int64_t delay_us)
{
	topic->state = TOPIC_LATER;
	topic->again_us = loop_now_us(kafka->context.loop) + delay_us;
	schedule(kafka);
}

void kafka_topics_ask_again(void *arg)
{
	struct kafka *kafka = arg;
	int64_t now = loop_now_us(kafka->context.loop);
	for (struct topic *topic = kafka->topics.all; topic != NULL && !kafka->over; topic = topic->next_of_all)
		if (topic->again_us <= now && is_to_be_asked(topic))
			ask(kafka, topic);
	schedule(kafka);
}

// Once for each topic.
static void notice(struct kafka *kafka, struct topic *topic, const char *what)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	if (topic->noticed)
		return;
	topic->noticed = true;
	snprintf(text, sizeof(text), "topic %s %s", topic->name, what);
	kafka_notice(kafka, text);
}

// Counts as `absent` what the setting leaves to the broker.
static int number_or(const struct kafka *kafka, const char *name, int absent)
{
	const struct config_section *settings = kafka->context.settings;
	return config_has(settings, name) ? (int)config_number(settings, name) : absent;
}

static void create(struct kafka *kafka, struct topic *topic)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	rd_kafka_t *handle = kafka_client_handle(kafka->client);
	rd_kafka_NewTopic_t *new_topic = rd_kafka_NewTopic_new(
		topic->name, number_or(kafka, "partitions", -1), number_or(kafka, "replication", -1), text, sizeof(text));
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(handle, RD_KAFKA_ADMIN_OP_CREATETOPICS);
	if (new_topic == NULL || options == NULL) {
		kafka_trouble(kafka, MEOW_UNAVAILABLE, "topic %s cannot be created: %s", topic->name,
			new_topic == NULL ? text : "out of memory");
	} else if (rd_kafka_AdminOptions_set_request_timeout(options, CREATE_TIMEOUT_MS, text, sizeof(text)) !=
			   RD_KAFKA_RESP_ERR_NO_ERROR) {
		kafka_trouble(kafka, MEOW_BUG, "topic %s cannot be created: %s", topic->name, text);
	} else {
		topic->state = TOPIC_CREATING;
		rd_kafka_AdminOptions_set_opaque(options, topic);
		rd_kafka_CreateTopics(handle, &new_topic, 1, options, kafka_client_queue(kafka->client));
	}
	if (options != NULL)
		rd_kafka_AdminOptions_destroy(options);
	if (new_topic != NULL)
		rd_kafka_NewTopic_destroy(new_topic);
}

static void missing(struct kafka *kafka, struct topic *topic)
{
	if (config_bool(kafka->context.settings, "create")) {
		create(kafka, topic);
		return;
	}
	ask_later(kafka, topic, WAIT_US);
	notice(kafka, topic, "does not exist, and create is false: the route waits until somebody creates it");
}

static void look_again(struct kafka *kafka, struct topic *topic)
{
	topic->again_us = loop_now_us(kafka->context.loop) + (int64_t)kafka->refresh_ms * 1000;
	schedule(kafka);
}

// It is there, for the first time with this producer. Position and data must survive the same losses.
static void ready(struct kafka *kafka, struct topic *topic, const struct kafka_answer *answer)
{
	topic->handle = answer->handle;
	topic->state = TOPIC_READY;
	topic->grown = 0;
	topic->partitions = answer->partitions;
	kafka->topics.partitions += topic->partitions;
	look_again(kafka, topic);
	if (kafka->exactly.on && answer->copies > kafka->exactly.copies)
		kafka_trouble(kafka, MEOW_CONFIG,
			"checkpoint topic %s has replication factor %d, and topic %s has %d: give it as many copies as the data "
			"has",
			kafka->exactly.topic, kafka->exactly.copies, topic->name, answer->copies);
}

static void looked_again(struct kafka *kafka, struct topic *topic, const struct kafka_answer *answer)
{
	bool known = answer->failed == RD_KAFKA_RESP_ERR_NO_ERROR && answer->state == RD_KAFKA_RESP_ERR_NO_ERROR;
	if (known && answer->partitions > topic->partitions && answer->partitions != topic->grown) {
		kafka->topics.grown++;
		topic->grown = answer->partitions;
	}
	look_again(kafka, topic);
}

void kafka_topics_grow(struct kafka *kafka)
{
	if (kafka->topics.grown == 0)
		return;
	kafka->topics.grown = 0;
	for (struct topic *topic = kafka->topics.all; topic != NULL; topic = topic->next_of_all) {
		if (topic->grown == 0)
			continue;
		char text[MEOW_ERROR_TEXT_SIZE];
		snprintf(text, sizeof(text),
			"topic %s has %zu partitions instead of %zu: everything before this moment is %s, and aggregates may go on "
			"in other partitions",
			topic->name, topic->grown, topic->partitions, kafka->exactly.on ? "committed" : "there");
		kafka->topics.partitions += topic->grown - topic->partitions;
		topic->partitions = topic->grown;
		topic->grown = 0;
		kafka_notice(kafka, text);
	}
}

void kafka_topic_answered(struct kafka *kafka, struct topic *topic, const struct kafka_answer *answer)
{
	rd_kafka_resp_err_t state = answer->state;
	if (topic->state != TOPIC_READY && answer->failed == RD_KAFKA_RESP_ERR_NO_ERROR &&
		state == RD_KAFKA_RESP_ERR_NO_ERROR) {
		ready(kafka, topic, answer);
		return;
	}
	if (answer->handle != NULL)
		rd_kafka_topic_destroy(answer->handle);
	if (topic->state == TOPIC_READY) {
		looked_again(kafka, topic, answer);
		return;
	}
	if (answer->failed != RD_KAFKA_RESP_ERR_NO_ERROR || state == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
		ask_later(kafka, topic, SOON_US);
	else if (state == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		missing(kafka, topic);
	else if (kafka_error_kind(state) == MEOW_UNAVAILABLE)
		ask_later(kafka, topic, WAIT_US);
	else
		kafka_trouble(kafka, kafka_error_kind(state), "topic %s: %s%s", topic->name, rd_kafka_err2str(state),
			kafka_error_advice(state));
}

static void creation_failed(struct kafka *kafka, struct topic *topic, rd_kafka_resp_err_t failed, const char *text)
{
	enum meow_error_kind kind = kafka_error_kind(failed);
	// A policy or a name that no topic can have is no fault of the event.
	if (kind == MEOW_INVALID)
		kind = MEOW_CONFIG;
	const char *advice =
		failed == RD_KAFKA_RESP_ERR_POLICY_VIOLATION ? "; create it by hand" : kafka_error_advice(failed);
	kafka_trouble(kafka, kind, "topic %s does not exist and could not be created: %s%s", topic->name, text, advice);
}

void kafka_topic_created(struct kafka *kafka, rd_kafka_event_t *event)
{
	struct topic *topic = rd_kafka_event_opaque(event);
	rd_kafka_resp_err_t failed = rd_kafka_event_error(event);
	const char *text = rd_kafka_event_error_string(event);
	const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
	size_t count = 0;
	if (failed == RD_KAFKA_RESP_ERR_NO_ERROR && result != NULL) {
		const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);
		failed = count == 1 ? rd_kafka_topic_result_error(topics[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
		text = count == 1 ? rd_kafka_topic_result_error_string(topics[0]) : NULL;
	}
	if (failed == RD_KAFKA_RESP_ERR_NO_ERROR || failed == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
		ask_later(kafka, topic, 0);
		if (failed == RD_KAFKA_RESP_ERR_NO_ERROR)
			notice(kafka, topic, "did not exist and was created");
	} else {
		creation_failed(kafka, topic, failed, text == NULL ? rd_kafka_err2str(failed) : text);
	}
}

void kafka_topic_gone(struct kafka *kafka, struct topic *topic)
{
	if (topic->handle != NULL)
		rd_kafka_topic_destroy(topic->handle);
	topic->handle = NULL;
	kafka->topics.partitions -= topic->partitions;
	topic->partitions = topic->grown = 0;
	kafka_first_doubt(topic);
	ask_later(kafka, topic, SOON_US);
}
