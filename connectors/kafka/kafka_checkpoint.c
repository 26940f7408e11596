// kafka_checkpoint.c: the topic's settings, and the position in it.
//
// The position is read up to the high watermark that the producer, whose isolation.level is read_uncommitted, asks for
// once init_transactions has settled everything that older producers of this route left. What a read_committed client
// takes for the end stops at the last stable offset, which another's open transaction holds back. From there it is read
// backwards: the last 100 offsets, then ten times as many, and so on, so that the topic's age costs nothing.
#include "connectors/kafka/kafka_checkpoint.h"

#include "base/text.h"
#include "connectors/kafka/kafka_client.h"
#include "connectors/kafka/kafka_error.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SLICE_MS 500
#define ASK_LIMIT_MS 30000  // for an answer to one question
#define READ_LIMIT_MS 10000 // without a record or the end
#define FIRST_SPAN 100

static bool closing(struct kafka_checkpoint *checkpoint)
{
	return atomic_load(&checkpoint->closing);
}

static bool not_answered(const struct kafka_checkpoint *checkpoint, rd_kafka_resp_err_t code, struct meow_error *err)
{
	enum meow_error_kind kind = kafka_error_kind(code);
	return error_set_code(err, kind == MEOW_INVALID ? MEOW_CONFIG : kind, rd_kafka_err2name(code),
		"checkpoint topic %s: %s%s", checkpoint->topic, rd_kafka_err2str(code), kafka_error_advice(code));
}

// What passes by itself: no answer yet, no leader yet.
static bool may_pass(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__TIMED_OUT || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
		   code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
		   code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR__WAIT_COORD;
}

// --- is it there, and how many partitions and copies has it?

struct shape {
	rd_kafka_resp_err_t state;
	int partitions, copies;
};

static void shape_of(const struct rd_kafka_metadata *metadata, struct shape *shape)
{
	const struct rd_kafka_metadata_topic *topic = metadata->topics;
	shape->state = metadata->topic_cnt == 1 ? topic->err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	shape->partitions = metadata->topic_cnt == 1 ? topic->partition_cnt : 0;
	shape->copies = 0;
	for (int i = 0; i < shape->partitions; i++)
		if (i == 0 || topic->partitions[i].replica_cnt < shape->copies)
			shape->copies = topic->partitions[i].replica_cnt;
}

static void pause_between_looks(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
}

// Waits for a while until it has so many partitions; 0: for no more than an answer.
static bool look(struct kafka_checkpoint *checkpoint, int partitions, struct shape *shape, struct meow_error *err)
{
	rd_kafka_topic_t *topic = rd_kafka_topic_new(checkpoint->producer, checkpoint->topic, NULL);
	if (topic == NULL)
		return not_answered(checkpoint, rd_kafka_last_error(), err);
	rd_kafka_resp_err_t failed;
	struct timespec now, end;
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += ASK_LIMIT_MS / 1000;
	for (;;) {
		const struct rd_kafka_metadata *metadata;
		failed = rd_kafka_metadata(checkpoint->producer, 0, topic, &metadata, SLICE_MS);
		if (failed == RD_KAFKA_RESP_ERR_NO_ERROR) {
			shape_of(metadata, shape);
			rd_kafka_metadata_destroy(metadata);
		}
		bool later = failed != RD_KAFKA_RESP_ERR_NO_ERROR ? may_pass(failed)
														  : may_pass(shape->state) || shape->partitions < partitions;
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (!later || closing(checkpoint) || now.tv_sec > end.tv_sec)
			break;
		pause_between_looks();
	}
	rd_kafka_topic_destroy(topic);
	return failed == RD_KAFKA_RESP_ERR_NO_ERROR || not_answered(checkpoint, failed, err);
}

// --- questions to the brokers' administration

// The answer, NULL with err filled.
static rd_kafka_event_t *wait_for_answer(
	struct kafka_checkpoint *checkpoint, rd_kafka_queue_t *queue, struct meow_error *err)
{
	rd_kafka_event_t *event = NULL;
	for (int waited = 0; event == NULL && waited < ASK_LIMIT_MS && !closing(checkpoint); waited += SLICE_MS)
		event = rd_kafka_queue_poll(queue, SLICE_MS);
	if (event == NULL) {
		not_answered(checkpoint, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
	} else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		not_answered(checkpoint, rd_kafka_event_error(event), err);
		rd_kafka_event_destroy(event);
		event = NULL;
	}
	return event;
}

static bool was_created(struct kafka_checkpoint *checkpoint, rd_kafka_event_t *event, struct meow_error *err)
{
	size_t count = 0;
	const rd_kafka_topic_result_t **results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	rd_kafka_resp_err_t code = count == 1 ? rd_kafka_topic_result_error(results[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
		return true;
	const char *text = count == 1 ? rd_kafka_topic_result_error_string(results[0]) : NULL;
	enum meow_error_kind kind = kafka_error_kind(code);
	return error_set(err, kind == MEOW_INVALID ? MEOW_CONFIG : kind,
		"checkpoint topic %s does not exist and could not be created: %s%s", checkpoint->topic,
		text != NULL ? text : rd_kafka_err2str(code), kafka_error_advice(code));
}

static bool create(struct kafka_checkpoint *checkpoint, struct meow_error *err)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	rd_kafka_NewTopic_t *topic =
		rd_kafka_NewTopic_new(checkpoint->topic, checkpoint->partitions, checkpoint->replication, text, sizeof(text));
	if (topic == NULL)
		return error_set(err, MEOW_CONFIG, "checkpoint topic %s cannot be created: %s", checkpoint->topic, text);
	// Small segments, because only whole ones are compacted: the topic stays at some megabytes.
	bool ok = rd_kafka_NewTopic_set_config(topic, "cleanup.policy", "compact") == RD_KAFKA_RESP_ERR_NO_ERROR &&
			  rd_kafka_NewTopic_set_config(topic, "segment.bytes", "16777216") == RD_KAFKA_RESP_ERR_NO_ERROR;
	rd_kafka_queue_t *queue = ok ? rd_kafka_queue_new(checkpoint->producer) : NULL;
	if (queue == NULL) {
		rd_kafka_NewTopic_destroy(topic);
		return error_no_memory(err);
	}
	rd_kafka_CreateTopics(checkpoint->producer, &topic, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(checkpoint, queue, err);
	ok = event != NULL && was_created(checkpoint, event, err);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewTopic_destroy(topic);
	return ok;
}

// Of several executors one is first; whether there are enough now, the next look tells.
static bool add_partitions(struct kafka_checkpoint *checkpoint, struct meow_error *err)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	rd_kafka_NewPartitions_t *more =
		rd_kafka_NewPartitions_new(checkpoint->topic, (size_t)checkpoint->partitions, text, sizeof(text));
	rd_kafka_queue_t *queue = more != NULL ? rd_kafka_queue_new(checkpoint->producer) : NULL;
	if (queue == NULL) {
		if (more != NULL)
			rd_kafka_NewPartitions_destroy(more);
		return error_no_memory(err);
	}
	rd_kafka_CreatePartitions(checkpoint->producer, &more, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(checkpoint, queue, err);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_NewPartitions_destroy(more);
	return event != NULL;
}

static bool check_policy(struct kafka_checkpoint *checkpoint, rd_kafka_event_t *event, struct meow_error *err)
{
	size_t count = 0, entries = 0;
	const rd_kafka_ConfigResource_t **resources =
		rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(event), &count);
	rd_kafka_resp_err_t code = count == 1 ? rd_kafka_ConfigResource_error(resources[0]) : RD_KAFKA_RESP_ERR__BAD_MSG;
	if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return error_set(err, MEOW_DENIED,
			"checkpoint topic %s: its settings may not be read: allow the client DescribeConfigs on it",
			checkpoint->topic);
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return not_answered(checkpoint, code, err);
	const rd_kafka_ConfigEntry_t **configs = rd_kafka_ConfigResource_configs(resources[0], &entries);
	for (size_t i = 0; i < entries; i++) {
		if (strcmp(rd_kafka_ConfigEntry_name(configs[i]), "cleanup.policy") != 0)
			continue;
		const char *policy = rd_kafka_ConfigEntry_value(configs[i]);
		if (policy != NULL && strcmp(policy, "compact") == 0)
			return true;
		return error_set(err, MEOW_CONFIG,
			"checkpoint topic %s has cleanup.policy=%s, by which the position would be deleted some day: set it to "
			"compact",
			checkpoint->topic, policy != NULL ? policy : "");
	}
	return error_set(
		err, MEOW_CONFIG, "checkpoint topic %s: the broker does not tell its cleanup.policy", checkpoint->topic);
}

static bool check_configs(struct kafka_checkpoint *checkpoint, struct meow_error *err)
{
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, checkpoint->topic);
	rd_kafka_queue_t *queue = resource != NULL ? rd_kafka_queue_new(checkpoint->producer) : NULL;
	if (queue == NULL) {
		if (resource != NULL)
			rd_kafka_ConfigResource_destroy(resource);
		return error_no_memory(err);
	}
	rd_kafka_DescribeConfigs(checkpoint->producer, &resource, 1, NULL, queue);
	rd_kafka_event_t *event = wait_for_answer(checkpoint, queue, err);
	bool ok = event != NULL && check_policy(checkpoint, event, err);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_queue_destroy(queue);
	rd_kafka_ConfigResource_destroy(resource);
	return ok;
}

static bool too_few(const struct kafka_checkpoint *checkpoint, const struct shape *shape, struct meow_error *err)
{
	return error_set(err, MEOW_CONFIG,
		"checkpoint topic %s has %d partition%s, and each of the route's %d needs one of its own: give it %d",
		checkpoint->topic, shape->partitions, shape->partitions == 1 ? "" : "s", checkpoint->partitions,
		checkpoint->partitions);
}

// It is there, with enough partitions.
static bool make_topic(
	struct kafka_checkpoint *checkpoint, struct shape *ret_shape, bool *ret_created, struct meow_error *err)
{
	if (!look(checkpoint, 0, ret_shape, err))
		return false;
	if (ret_shape->state == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) {
		if (!checkpoint->create)
			return error_set(err, MEOW_UNAVAILABLE,
				"checkpoint topic %s does not exist, and create is false: create it with cleanup.policy=compact and %d "
				"partition%s",
				checkpoint->topic, checkpoint->partitions, checkpoint->partitions == 1 ? "" : "s");
		if (!create(checkpoint, err) || !look(checkpoint, checkpoint->partitions, ret_shape, err))
			return false;
		*ret_created = true;
	}
	if (ret_shape->state != RD_KAFKA_RESP_ERR_NO_ERROR)
		return not_answered(checkpoint, ret_shape->state, err);
	if (ret_shape->partitions < checkpoint->partitions && checkpoint->create &&
		(!add_partitions(checkpoint, err) || !look(checkpoint, checkpoint->partitions, ret_shape, err)))
		return false;
	return ret_shape->partitions >= checkpoint->partitions || too_few(checkpoint, ret_shape, err);
}

bool kafka_checkpoint_check(
	struct kafka_checkpoint *checkpoint, bool *ret_created, int *ret_copies, struct meow_error *err)
{
	struct shape shape;
	bool created = false;
	if (!make_topic(checkpoint, &shape, &created, err))
		return false;
	if (checkpoint->replication > 0 && shape.copies < checkpoint->replication)
		return error_set(err, MEOW_CONFIG,
			"checkpoint topic %s has replication factor %d, and replication is %d: give it as many copies as the data "
			"has",
			checkpoint->topic, shape.copies, checkpoint->replication);
	if (!check_configs(checkpoint, err))
		return false;
	*ret_created = created;
	*ret_copies = shape.copies;
	return true;
}

// --- the position

// One look at the last offsets.
struct reading {
	struct kafka_checkpoint *checkpoint;
	rd_kafka_topic_t *topic;
	int64_t high;
	bool found;
	struct kafka_record record;
};

static bool foreign(
	const struct reading *reading, const rd_kafka_message_t *message, const char *why, struct meow_error *err)
{
	return error_set(err, MEOW_CONFIG,
		"checkpoint topic %s has a record that is not this route's (partition %d, offset %" PRId64
		", key \"%.*s\"): %s; "
		"see who writes there, and delete the record",
		reading->checkpoint->topic, (int)message->partition, message->offset,
		(int)(message->key_len < 60 ? message->key_len : 60), message->key != NULL ? (const char *)message->key : "",
		why);
}

static bool take(struct reading *reading, const rd_kafka_message_t *message, struct meow_error *err)
{
	struct kafka_record record;
	const char *why;
	if (!kafka_record_parse((struct meow_bytes){message->key, message->key_len},
			(struct meow_bytes){message->payload, message->len}, &record, &why))
		return why == NULL ? error_no_memory(err) : foreign(reading, message, why, err);
	if (record.partition != reading->checkpoint->partition) {
		free(record.fingerprint);
		return foreign(reading, message, "it is of another partition of the route", err);
	}
	free(reading->record.fingerprint);
	reading->record = record;
	// An older layout ended at the cut from which this one starts.
	reading->found = record.layout == reading->checkpoint->layout;
	return true;
}

static bool stuck(const struct reading *reading, struct meow_error *err)
{
	return error_set(err, MEOW_UNAVAILABLE,
		"checkpoint topic %s cannot be read to its end in partition %d: no answer, or a transaction of somebody else "
		"is open there, where only this route may write, or the brokers have lost the end of one "
		"(kafka-transactions.sh "
		"find-hanging; see docs/connectors.md)",
		reading->checkpoint->topic, reading->checkpoint->partition);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Whether a message (NULL: nothing came) is the end. False with err filled if the reading cannot go on.
static bool handle(struct reading *reading, const rd_kafka_message_t *message, bool *ret_end, struct meow_error *err)
{
	*ret_end = false;
	if (message == NULL)
		return true;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
		*ret_end = message->offset >= reading->high - 1;
		return message->offset >= reading->high || take(reading, message, err);
	}
	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
		*ret_end = message->offset >= reading->high;
		return true;
	}
	if (message->err == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
		return error_set(err, MEOW_DENIED, "checkpoint topic %s may not be read: allow the client Read on it",
			reading->checkpoint->topic);
	return may_pass(message->err) || not_answered(reading->checkpoint, message->err, err);
}

static bool read_from(struct reading *reading, int64_t from, struct meow_error *err)
{
	struct kafka_checkpoint *checkpoint = reading->checkpoint;
	if (rd_kafka_consume_start(reading->topic, checkpoint->partition, from) != 0)
		return not_answered(checkpoint, rd_kafka_last_error(), err);
	bool ok = true, end = false;
	int64_t limit_ms = now_ms() + READ_LIMIT_MS;
	while (ok && !end) {
		rd_kafka_message_t *message = rd_kafka_consume(reading->topic, checkpoint->partition, SLICE_MS);
		ok = handle(reading, message, &end, err);
		if (message != NULL && message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
			limit_ms = now_ms() + READ_LIMIT_MS;
		else if (ok && !end && (closing(checkpoint) || now_ms() > limit_ms))
			ok = stuck(reading, err);
		if (message != NULL)
			rd_kafka_message_destroy(message);
	}
	rd_kafka_consume_stop(reading->topic, checkpoint->partition);
	return ok;
}

static bool ask_for_ends(
	struct kafka_checkpoint *checkpoint, int64_t *ret_low, int64_t *ret_high, struct meow_error *err)
{
	rd_kafka_resp_err_t failed;
	int64_t limit_ms = now_ms() + ASK_LIMIT_MS;
	do {
		failed = rd_kafka_query_watermark_offsets(
			checkpoint->producer, checkpoint->topic, checkpoint->partition, ret_low, ret_high, SLICE_MS);
	} while (may_pass(failed) && !closing(checkpoint) && now_ms() < limit_ms);
	return failed == RD_KAFKA_RESP_ERR_NO_ERROR || not_answered(checkpoint, failed, err);
}

static bool read_back(struct reading *reading, int64_t low, struct meow_error *err)
{
	for (int64_t span = FIRST_SPAN;; span *= 10) {
		int64_t from = reading->high - low > span ? reading->high - span : low;
		if (!read_from(reading, from, err))
			return false;
		if (reading->found || from == low)
			return true;
	}
}

bool kafka_checkpoint_read(
	struct kafka_checkpoint *checkpoint, struct kafka_record *ret_record, bool *ret_found, struct meow_error *err)
{
	struct reading reading = {.checkpoint = checkpoint};
	int64_t low;
	*ret_found = false;
	if (!ask_for_ends(checkpoint, &low, &reading.high, err))
		return false;
	// An empty topic is read as well: that reading is not allowed must show now, not at the next start.
	rd_kafka_conf_t *conf = rd_kafka_conf_dup(checkpoint->reader);
	rd_kafka_t *reader = kafka_client_new(RD_KAFKA_CONSUMER, conf, err);
	if (reader == NULL)
		return false;
	reading.topic = rd_kafka_topic_new(reader, checkpoint->topic, NULL);
	bool ok =
		reading.topic != NULL ? read_back(&reading, low, err) : not_answered(checkpoint, rd_kafka_last_error(), err);
	if (reading.topic != NULL)
		rd_kafka_topic_destroy(reading.topic);
	rd_kafka_destroy(reader);
	if (ok && reading.found) {
		*ret_record = reading.record;
		*ret_found = true;
	} else {
		free(reading.record.fingerprint);
	}
	return ok;
}
