// sink_kafka.c: topics, each partition from its first record to the end that it had when it was opened, committed records
// alone. librdkafka's simple consumer is used, because it lets each partition be read when the comparison wants it: no
// group is joined and no offset is stored. Its queues are kept short, since every partition has one; and since librdkafka
// looks only once a second whether a queue that was full has room again (its issue 2879), unless something else wakes it,
// it is woken when one is empty.
//
// Refused: a topic with compaction, whose records go away in the middle.
#include "verify/sink.h"

#include "base/text.h"
#include "verify/compare.h"

#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define WAIT_MS 200
#define CONNECT_MS 15000
#define SILENCE_MS 60000 // without a record or an end of the partition
#define REQUEST_MS 15000
#define TAKE 500 // records at once

struct kafka {
	rd_kafka_t *client;
	char why[256]; // what librdkafka said last
};

struct part {
	int64_t low, end; // offsets; end: of the first record that is not looked at
	rd_kafka_message_t *taken[TAKE];
	ssize_t count, at;
	bool started, done;
};

// --- the client

static const char *const before[][2] = {
	{"receive.message.max.bytes", "1000000000"}, // whatever message.max.bytes the producer has under `client`
};

static const char *const after[][2] = {
	{"isolation.level", "read_committed"},
	{"enable.partition.eof", "true"},
	{"fetch.wait.max.ms", "10"}, // a partition's end is what the broker otherwise waits half a second to tell
	{"auto.offset.reset", "earliest"},
	{"enable.auto.commit", "false"},
	{"queued.min.messages", "1000000"}, // the bytes are the limit
	{"queued.max.messages.kbytes", "1024"},
	{"fetch.message.max.bytes", "1048576"},
	{"allow.auto.create.topics", "false"},
};

static void drop_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
	(void)client;
	(void)level;
	(void)facility;
	(void)text;
}

static void on_error(rd_kafka_t *client, int code, const char *reason, void *arg)
{
	(void)client;
	struct kafka *kafka = arg;
	if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || kafka->why[0] == '\0')
		snprintf(kafka->why, sizeof(kafka->why), "%s", reason);
}

static bool set(rd_kafka_conf_t *conf, const char *name, const char *value, struct meow_error *err)
{
	char why[256];
	return rd_kafka_conf_set(conf, name, value, why, sizeof(why)) == RD_KAFKA_CONF_OK ||
		   error_set(err, MEOW_CONFIG, "client.%s: %s", name, why);
}

static bool set_all(rd_kafka_conf_t *conf, const char *const (*pairs)[2], size_t count, struct meow_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!set(conf, pairs[i][0], pairs[i][1], err))
			return false;
	return true;
}

static bool fill_conf(rd_kafka_conf_t *conf, const struct config_section *settings, struct meow_error *err)
{
	if (!set_all(conf, before, sizeof(before) / sizeof(*before), err))
		return false;
	for (size_t i = 0; i < config_count(settings, "client"); i++)
		if (!set(conf, config_item_key(settings, "client", i), config_item(settings, "client", i), err))
			return false;
	return set_all(conf, after, sizeof(after) / sizeof(*after), err);
}

static enum meow_error_kind kind_of(rd_kafka_resp_err_t code)
{
	switch ((int)code) {
	case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
	case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
	case RD_KAFKA_RESP_ERR__AUTHENTICATION:
		return MEOW_DENIED;
	case RD_KAFKA_RESP_ERR__INVALID_ARG:
	case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
		return MEOW_CONFIG;
	default:
		return MEOW_UNAVAILABLE;
	}
}

static bool fail(const struct sink *sink, const char *doing, rd_kafka_resp_err_t code, struct meow_error *err)
{
	const struct kafka *kafka = sink->own;
	const char *why = kafka->why;
	return error_set(
		err, kind_of(code), "Kafka: %s: %s%s%s", doing, rd_kafka_err2str(code), *why == '\0' ? "" : "; ", why);
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

// Asks in short slices, so that a signal is seen.
static bool ask_metadata(
	struct sink *sink, rd_kafka_topic_t *topic, const struct rd_kafka_metadata **ret_metadata, struct meow_error *err)
{
	struct kafka *kafka = sink->own;
	rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__TIMED_OUT;
	for (int64_t end = now_ms() + CONNECT_MS; now_ms() < end;) {
		if (!sink->tick(sink->tick_arg))
			return sink_stopped(err);
		code = rd_kafka_metadata(kafka->client, 0, topic, ret_metadata, 1000);
		if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
			return true;
		if (code != RD_KAFKA_RESP_ERR__TRANSPORT && code != RD_KAFKA_RESP_ERR__TIMED_OUT)
			break;
		rd_kafka_poll(kafka->client, 100); // which hears what the client says of it
	}
	return fail(sink, topic == NULL ? "no broker answers" : rd_kafka_topic_name(topic), code, err);
}

static bool kafka_open(struct sink *sink, struct meow_error *err)
{
	struct kafka *kafka = calloc(1, sizeof(*kafka));
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	sink->own = kafka;
	if (kafka == NULL || conf == NULL)
		return error_no_memory(err);
	if (!fill_conf(conf, sink->settings, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	rd_kafka_conf_set_log_cb(conf, drop_log);
	rd_kafka_conf_set_error_cb(conf, on_error);
	rd_kafka_conf_set_opaque(conf, kafka);
	char why[256];
	kafka->client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (kafka->client == NULL) {
		rd_kafka_conf_destroy(conf);
		return error_set(err, MEOW_CONFIG, "client: %s", why);
	}
	const struct rd_kafka_metadata *metadata;
	if (!ask_metadata(sink, NULL, &metadata, err))
		return false;
	rd_kafka_metadata_destroy(metadata);
	return true;
}

static void kafka_close(struct sink *sink)
{
	struct kafka *kafka = sink->own;
	if (kafka != NULL && kafka->client != NULL)
		rd_kafka_destroy(kafka->client);
	free(kafka);
}

// --- topics

// What the admin request said of the topic's cleanup.policy.
static bool read_policy(struct sink *sink, const char *topic, rd_kafka_event_t *event, struct meow_error *err)
{
	size_t count = 0, settings = 0;
	const rd_kafka_DescribeConfigs_result_t *result =
		event == NULL ? NULL : rd_kafka_event_DescribeConfigs_result(event);
	const rd_kafka_ConfigResource_t **resources =
		result == NULL ? NULL : rd_kafka_DescribeConfigs_result_resources(result, &count);
	rd_kafka_resp_err_t code = count == 0 ? RD_KAFKA_RESP_ERR__TIMED_OUT : rd_kafka_ConfigResource_error(resources[0]);
	if (event != NULL && rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
		code = rd_kafka_event_error(event);
	if (kind_of(code) == MEOW_DENIED) {
		char text[MEOW_ERROR_TEXT_SIZE];
		snprintf(text, sizeof(text), "topic %s: its settings may not be read, so compaction is not ruled out", topic);
		sink->notice(sink->notice_arg, text);
		return true;
	}
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail(sink, topic, code, err);
	const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resources[0], &settings);
	for (size_t i = 0; i < settings; i++) {
		const char *value = rd_kafka_ConfigEntry_value(entries[i]);
		if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "cleanup.policy") == 0 && value != NULL &&
			strstr(value, "compact") != NULL)
			return error_set(err, MEOW_CONFIG,
				"topic %s is compacted (cleanup.policy=%s): what compaction took cannot be told from what was lost",
				topic, value);
	}
	return true;
}

static bool check_policy(struct sink *sink, const char *topic, struct meow_error *err)
{
	struct kafka *kafka = sink->own;
	rd_kafka_queue_t *queue = rd_kafka_queue_new(kafka->client);
	rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(kafka->client, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
	rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	rd_kafka_AdminOptions_set_request_timeout(options, REQUEST_MS, NULL, 0);
	rd_kafka_DescribeConfigs(kafka->client, &resource, 1, options, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_MS + 1000);
	bool ok = read_policy(sink, topic, event, err);
	if (event != NULL)
		rd_kafka_event_destroy(event);
	rd_kafka_ConfigResource_destroy(resource);
	rd_kafka_AdminOptions_destroy(options);
	rd_kafka_queue_destroy(queue);
	return ok;
}

static bool start_part(struct sequence *sequence, int64_t offset, struct meow_error *err)
{
	struct part *part = sequence->reader;
	if (rd_kafka_consume_start(sequence->place->opened, sequence->partition, offset) != 0)
		return fail(sequence->place->sink, sequence->place->name, rd_kafka_last_error(), err);
	part->started = true;
	return true;
}

// Passes by itself: a leader is being elected, or the brokers do not know yet of one that was.
static bool is_between_leaders(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION || code == RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE ||
		   code == RD_KAFKA_RESP_ERR_REPLICA_NOT_AVAILABLE;
}

static bool ask_ends(struct sequence *sequence, int64_t *ret_low, int64_t *ret_high, struct meow_error *err)
{
	struct sink *sink = sequence->place->sink;
	struct kafka *kafka = sink->own;
	rd_kafka_resp_err_t code;
	for (int64_t end = now_ms() + CONNECT_MS;;) {
		if (!sink->tick(sink->tick_arg))
			return sink_stopped(err);
		code = rd_kafka_query_watermark_offsets(
			kafka->client, sequence->place->name, sequence->partition, ret_low, ret_high, REQUEST_MS);
		if (!is_between_leaders(code) || now_ms() > end)
			break;
		rd_kafka_poll(kafka->client, 100);
	}
	return code == RD_KAFKA_RESP_ERR_NO_ERROR || fail(sink, sequence->place->name, code, err);
}

static bool open_part(struct sequence *sequence, struct meow_error *err)
{
	struct part *part = calloc(1, sizeof(*part));
	if (part == NULL)
		return error_no_memory(err);
	sequence->reader = part;
	if (!ask_ends(sequence, &part->low, &part->end, err))
		return false;
	sequence->cut = part->low > 0;
	part->done = part->low >= part->end;
	return part->done || start_part(sequence, part->low, err);
}

static bool open_parts(struct place *place, const struct rd_kafka_metadata *metadata, struct meow_error *err)
{
	rd_kafka_resp_err_t code =
		metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
	if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
		return true; // no such topic
	if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
		return fail(place->sink, place->name, code, err);
	if (!check_policy(place->sink, place->name, err) ||
		!place_allocate(place, (size_t)metadata->topics[0].partition_cnt, err))
		return false;
	for (size_t i = 0; i < place->count; i++)
		if (!open_part(&place->sequences[i], err))
			return false;
	return true;
}

static bool kafka_open_place(struct sink *sink, struct place *place, struct meow_error *err)
{
	struct kafka *kafka = sink->own;
	const struct rd_kafka_metadata *metadata;
	rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka->client, place->name, NULL);
	if (topic == NULL)
		return fail(sink, place->name, rd_kafka_last_error(), err);
	place->opened = topic;
	if (!ask_metadata(sink, topic, &metadata, err))
		return false;
	bool ok = open_parts(place, metadata, err);
	rd_kafka_metadata_destroy(metadata);
	return ok;
}

static void drop_taken(struct part *part)
{
	for (; part->at < part->count; part->at++)
		rd_kafka_message_destroy(part->taken[part->at]);
	part->at = part->count = 0;
}

static void stop_part(struct sequence *sequence)
{
	struct part *part = sequence->reader;
	if (part == NULL)
		return;
	drop_taken(part);
	if (part->started)
		rd_kafka_consume_stop(sequence->place->opened, sequence->partition);
	part->started = false;
}

static void kafka_close_place(struct place *place)
{
	for (size_t i = 0; i < place->count; i++) {
		stop_part(&place->sequences[i]);
		free(place->sequences[i].reader);
	}
	if (place->opened != NULL)
		rd_kafka_topic_destroy(place->opened);
}

// --- records

static struct meow_bytes bytes_at(const void *data, size_t size)
{
	// An empty text is not an absent one, whatever the client hands out for it.
	return (struct meow_bytes){data == NULL ? "" : data, data == NULL ? 0 : size};
}

static void read_headers(const rd_kafka_message_t *message, struct record *record)
{
	struct meow_bytes position = {0}, generation = {0};
	const struct {
		const char *name;
		struct meow_bytes *to;
	} wanted[] = {
		{"meowmx-position", &position},
		{"meowmx-version", &record->version},
		{"meowmx-event-type", &record->type},
		{"meowmx-aggregate-type", &record->aggregate_type},
		{"meowmx-aggregate-id", &record->id},
		{"content-type", &record->content_type},
		{"meowmx-metadata", &record->metadata},
		{"meowmx-generation", &generation},
	};
	rd_kafka_headers_t *headers;
	const char *name;
	const void *value;
	size_t size, next = 0;
	if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	for (size_t i = 0; rd_kafka_header_get_all(headers, i, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
		// They come in this order, so the first look is nearly always right.
		for (size_t j = 0; j < sizeof(wanted) / sizeof(*wanted); j++) {
			size_t at = (next + j) % (sizeof(wanted) / sizeof(*wanted));
			if (strcmp(name, wanted[at].name) != 0)
				continue;
			*wanted[at].to = bytes_at(value, size);
			next = at + 1;
			break;
		}
	}
	if (position.data == NULL || !text_to_int64(position, &record->position) || record->position < 1)
		record->position = 0;
	if (generation.data != NULL && !text_to_int64(generation, &record->generation))
		record->generation = 0;
	record->turn = record->generation;
}

static void read_message(const rd_kafka_message_t *message, struct record *record)
{
	rd_kafka_timestamp_type_t type;
	int64_t time_ms = rd_kafka_message_timestamp(message, &type);
	*record =
		(struct record){.number = message->offset, .time_ms = type == RD_KAFKA_TIMESTAMP_CREATE_TIME ? time_ms : -1};
	if (message->key != NULL)
		record->key = bytes_at(message->key, message->key_len);
	if (message->payload != NULL)
		record->value = bytes_at(message->payload, message->len);
	read_headers(message, record);
	record->aggregate_id = record->id;
}

// A request, whichever, makes librdkafka's thread for the broker look at all its queues.
static void wake(struct sequence *sequence)
{
	int64_t low, high;
	struct kafka *kafka = sequence->place->sink->own;
	(void)rd_kafka_query_watermark_offsets(
		kafka->client, sequence->place->name, sequence->partition, &low, &high, WAIT_MS);
}

// Takes what has come, or waits for one. Errors are messages too.
static bool take_more(struct sequence *sequence, struct meow_error *err)
{
	struct sink *sink = sequence->place->sink;
	struct part *part = sequence->reader;
	rd_kafka_topic_t *topic = sequence->place->opened;
	drop_taken(part);
	for (int waited = 0; waited < SILENCE_MS; waited += WAIT_MS) {
		if (!sink->tick(sink->tick_arg))
			return sink_stopped(err);
		part->count = rd_kafka_consume_batch(topic, sequence->partition, 0, part->taken, TAKE);
		if (part->count > 0)
			return true;
		part->count = 0;
		wake(sequence);
		part->taken[0] = rd_kafka_consume(topic, sequence->partition, WAIT_MS);
		if (part->taken[0] != NULL) {
			part->count = 1;
			return true;
		}
		rd_kafka_poll(((struct kafka *)sink->own)->client, 0);
	}
	return fail(sink, sequence->place->name, RD_KAFKA_RESP_ERR__TIMED_OUT, err);
}

// The message that was handed out last goes with the next call.
static bool kafka_next(struct sequence *sequence, struct record *ret_record, bool *ret_found, struct meow_error *err)
{
	struct part *part = sequence->reader;
	*ret_found = false;
	while (!part->done) {
		if (part->at + 1 < part->count)
			rd_kafka_message_destroy(part->taken[part->at++]);
		else if (!take_more(sequence, err))
			return false;
		const rd_kafka_message_t *message = part->taken[part->at];
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF ||
			(message->err == RD_KAFKA_RESP_ERR_NO_ERROR && message->offset >= part->end)) {
			part->done = true;
		} else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			read_message(message, ret_record);
			*ret_found = true;
			return true;
		} else if (kind_of(message->err) != MEOW_UNAVAILABLE ||
				   message->err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
				   message->err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC) {
			return fail(sequence->place->sink, sequence->place->name, message->err, err);
		}
	}
	stop_part(sequence);
	return true;
}

static bool kafka_look_again(struct sequence *sequence, struct meow_error *err)
{
	struct part *part = sequence->reader;
	int64_t low, high;
	if (!ask_ends(sequence, &low, &high, err))
		return false;
	if (low == part->low)
		return true;
	part->low = low;
	sequence->cut = true;
	sequence->first = INT64_MAX;
	part->done = low >= part->end;
	if (part->done)
		return true;
	if (!start_part(sequence, low, err))
		return false;
	struct record record = {0};
	bool found = true;
	while (found && record.position == 0)
		if (!kafka_next(sequence, &record, &found, err))
			return false;
	if (found)
		sequence->first = record.position;
	stop_part(sequence);
	part->done = true;
	return true;
}

// --- comparing

// Austin Appleby's MurmurHash2 with the seed of Kafka's Java client (Utils.murmur2).
static uint32_t murmur2(struct meow_bytes key)
{
	const uint32_t m = 0x5bd1e995;
	uint32_t hash = 0x9747b28c ^ (uint32_t)key.size;
	const unsigned char *at = (const unsigned char *)key.data;
	size_t left = key.size;
	for (; left >= 4; left -= 4, at += 4) {
		uint32_t k = (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
		k *= m;
		k ^= k >> 24;
		hash = hash * m ^ k * m;
	}
	if (left > 2)
		hash ^= (uint32_t)at[2] << 16;
	if (left > 1)
		hash ^= (uint32_t)at[1] << 8;
	if (left > 0)
		hash = (hash ^ at[0]) * m;
	hash = (hash ^ hash >> 13) * m;
	return hash ^ hash >> 15;
}

static size_t kafka_belongs(const struct place *place, const struct meow_event *event)
{
	return (murmur2(event->aggregate_id) & 0x7fffffff) % place->count;
}

static const char *kafka_differs(struct sink *sink, const struct record *record, const struct meow_event *event)
{
	const char *type = sink->format == FORMAT_MSGPACK ? "application/msgpack" : "application/json";
	if (!bytes_equal(record->key, event->aggregate_id))
		return "key";
	if (!bytes_equal(record->aggregate_id, event->aggregate_id))
		return "header meowmx-aggregate-id";
	if (!bytes_equal(record->aggregate_type, event->aggregate_type))
		return "header meowmx-aggregate-type";
	if (!compare_number(record->version, event->version))
		return "header meowmx-version";
	if (!bytes_equal(record->type, event->type))
		return "header meowmx-event-type";
	if (!bytes_equal(record->metadata, event->metadata))
		return "header meowmx-metadata";
	if (!bytes_equal(record->content_type, bytes_of(type)))
		return "header content-type";
	// Brokers take no time before 1970, so the earliest is 1.
	int64_t time_ms = event->time_us < 1000 ? 1 : event->time_us / 1000;
	if (record->time_ms >= 0 && event->time_us != MEOW_NO_TIME && record->time_ms != time_ms)
		return "timestamp";
	return compare_value(sink->format, record->value, event, record->generation, &sink->scratch);
}

static void kafka_where(
	const struct place *place, const struct sequence *sequence, const struct record *record, struct buffer *out)
{
	buffer_put_text(out, place->name);
	if (sequence != NULL)
		buffer_printf(out, "[%d]", (int)sequence->partition);
	if (record != NULL)
		buffer_printf(out, "@%lld", (long long)record->number);
}

const struct sink_impl verify_kafka_sink = {
	.name = "kafka",
	.turns = true,
	.name_setting = "topic",
	.map_setting = "topics",
	.open = kafka_open,
	.open_place = kafka_open_place,
	.next = kafka_next,
	.look_again = kafka_look_again,
	.belongs = kafka_belongs,
	.differs = kafka_differs,
	.where = kafka_where,
	.close_place = kafka_close_place,
	.close = kafka_close,
};
