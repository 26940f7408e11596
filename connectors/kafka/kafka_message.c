// kafka_message.c: one event as a message. The value points into the batch wherever it is the event's data as stored
// (librdkafka then copies nothing but the key); what an encoder wrote is copied, since the scratch is used again.
//
// A headers object is built for each message, because librdkafka takes it over; produceva's own way of adding headers
// one by one is slower, and crashes librdkafka 2.0.2 for an unknown partition (its issue 4628).
#include "connectors/kafka/kafka_part.h"

#include <stdio.h>
#include <string.h>

#define MOST_KEPT ((size_t)1 << 20) // of the scratch, between events

// librdkafka takes pointers to what it only reads without const.
static void *readable(const void *pointer)
{
	return (void *)(uintptr_t)pointer;
}

struct header_writer {
	rd_kafka_headers_t *headers;
	bool failed;
};

static void put_header(struct header_writer *writer, struct meow_bytes name, struct meow_bytes value)
{
	if (value.data == NULL || writer->failed)
		return;
	writer->failed = rd_kafka_header_add(writer->headers, name.data, (ssize_t)name.size, value.data,
						 (ssize_t)value.size) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

// As buffer_put_int, but without a buffer: positions and versions are the connector's hot path.
static struct meow_bytes digits_of(int64_t number, char digits[24])
{
	char *at = digits + 24;
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		*--at = '-';
	return (struct meow_bytes){at, (size_t)(digits + 24 - at)};
}

static rd_kafka_headers_t *make_headers(
	const struct kafka *kafka, const struct meow_event *event, const struct encoder_trace *trace)
{
	struct header_writer writer = {.headers = rd_kafka_headers_new(8)};
	if (writer.headers == NULL)
		return NULL;
	char digits[24];
	put_header(&writer, MEOW_BYTES("meowmx-position"), digits_of(event->position, digits));
	put_header(&writer, MEOW_BYTES("meowmx-version"), digits_of(event->version, digits));
	put_header(&writer, MEOW_BYTES("meowmx-event-type"), event->type);
	put_header(&writer, MEOW_BYTES("meowmx-aggregate-type"), event->aggregate_type);
	put_header(&writer, MEOW_BYTES("meowmx-aggregate-id"), event->aggregate_id);
	put_header(&writer, MEOW_BYTES("content-type"), bytes_of(kafka->context.encoder->content_type));
	put_header(&writer, MEOW_BYTES("meowmx-metadata"), event->metadata);
	if (kafka->context.generation > 0)
		put_header(&writer, MEOW_BYTES("meowmx-generation"), digits_of(kafka->context.generation, digits));
	put_header(&writer, MEOW_BYTES("traceparent"), trace->traceparent);
	put_header(&writer, MEOW_BYTES("tracestate"), trace->tracestate);
	put_header(&writer, MEOW_BYTES("baggage"), trace->baggage);
	if (!writer.failed)
		return writer.headers;
	rd_kafka_headers_destroy(writer.headers);
	return NULL;
}

// Milliseconds; librdkafka takes 0 for "now", and brokers take nothing before 1970.
static int64_t timestamp_of(const struct meow_event *event)
{
	if (event->time_us == MEOW_NO_TIME)
		return 0;
	return event->time_us < 1000 ? 1 : event->time_us / 1000;
}

void kafka_describe(const struct meow_event *event, char *text, size_t size)
{
	snprintf(text, size, "event %lld (%.60s %.60s, version %lld)", (long long)event->position,
		event->aggregate_type.data == NULL ? "" : event->aggregate_type.data, event->aggregate_id.data,
		(long long)event->version);
}

// Notes why the event cannot be sent, and that it is about this event if it will never be.
static enum put_result refuse(struct kafka *kafka, const struct meow_event *event, const struct meow_error *err)
{
	if (kafka->trouble.kind == MEOW_ERROR_NONE && err->kind == MEOW_INVALID)
		kafka->refused = event->position;
	kafka_trouble(kafka, err->kind, "%s", err->text);
	return PUT_TROUBLE;
}

// librdkafka takes nothing more for a transaction that has failed; why, it says otherwise.
static bool transaction_failed(const struct kafka *kafka, rd_kafka_resp_err_t code)
{
	return kafka->exactly.on && code == RD_KAFKA_RESP_ERR__STATE;
}

static enum put_result not_put(
	struct kafka *kafka, struct topic *topic, const struct meow_event *event, rd_kafka_error_t *error)
{
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	enum put_result result = PUT_TROUBLE;
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
		result = PUT_FULL;
	} else if (code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION) {
		result = PUT_NO_TOPIC;
	} else if (kafka_error_follows(code) || transaction_failed(kafka, code)) {
		result = PUT_LATER; // the report that explains it is under way
		kafka->lost_messages = true;
		loop_timer_start(kafka->turn, 0);
	} else {
		char what[DESCRIPTION_SIZE];
		struct meow_error err;
		kafka_describe(event, what, sizeof(what));
		error_set(&err, kafka_error_kind(code), "%s: topic %s does not take it: %s%s", what, topic->name,
			rd_kafka_error_string(error), kafka_error_advice(code));
		refuse(kafka, event, &err);
	}
	rd_kafka_error_destroy(error);
	return result;
}

static bool encode(struct kafka *kafka, const struct meow_event *event, rd_kafka_headers_t **ret_headers,
	struct meow_bytes *ret_value, struct meow_error *err)
{
	struct encoder_trace trace = {0};
	buffer_clear(&kafka->scratch, MOST_KEPT);
	if (event->metadata.data != NULL && !encoder_trace(event, &kafka->scratch, &trace, err))
		return false;
	rd_kafka_headers_t *headers = make_headers(kafka, event, &trace);
	if (headers == NULL)
		return error_no_memory(err);
	buffer_clear(&kafka->scratch, MOST_KEPT); // the headers have copies
	if (!encoder_value(kafka->context.encoder, event, kafka->context.generation, &kafka->scratch, ret_value, err)) {
		rd_kafka_headers_destroy(headers);
		return false;
	}
	*ret_headers = headers;
	return true;
}

int32_t kafka_partition_of(const struct topic *topic, const struct meow_event *event)
{
	const struct meow_bytes key = event->aggregate_id;
	return rd_kafka_msg_partitioner_murmur2(topic->handle, key.data, key.size, (int32_t)topic->partitions, NULL, NULL);
}

enum put_result kafka_put(struct kafka *kafka, struct topic *topic, int32_t partition, const struct meow_event *event)
{
	struct meow_error err;
	struct meow_bytes value;
	rd_kafka_headers_t *headers = NULL;
	if (!encode(kafka, event, &headers, &value, &err))
		return refuse(kafka, event, &err);
	const struct meow_bytes key = event->aggregate_id;
	// A transactional producer may live a little longer than the batch.
	bool copy = kafka->exactly.on || kafka->context.encoder->format != ENCODE_DATA;
	const rd_kafka_vu_t parts[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic->handle},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = copy ? RD_KAFKA_MSG_F_COPY : 0},
		{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {readable(key.data), key.size}},
		{.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {readable(value.data), value.size}},
		{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
		{.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = timestamp_of(event)},
		{.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = readable(event)},
	};
	rd_kafka_error_t *error =
		rd_kafka_produceva(kafka_client_handle(kafka->client), parts, sizeof(parts) / sizeof(*parts));
	if (error == NULL)
		return PUT_DONE;
	rd_kafka_headers_destroy(headers); // still ours when nothing was produced
	return not_put(kafka, topic, event, error);
}

bool kafka_put_record(struct kafka *kafka, const struct buffer *key, const struct buffer *value)
{
	const struct exactly *exactly = &kafka->exactly;
	const rd_kafka_vu_t parts[] = {
		{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = exactly->record_topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = kafka->context.partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key->data, key->size}},
		{.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value->data, value->size}},
	};
	rd_kafka_error_t *error =
		rd_kafka_produceva(kafka_client_handle(kafka->client), parts, sizeof(parts) / sizeof(*parts));
	if (error == NULL) {
		kafka->outstanding++;
		return true;
	}
	rd_kafka_resp_err_t code = rd_kafka_error_code(error);
	if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) { // goes on when reports come in
		rd_kafka_error_destroy(error);
		return false;
	}
	if (transaction_failed(kafka, code)) {
		kafka->lost_messages = true;
		loop_timer_start(kafka->turn, 0);
	} else {
		kafka_trouble(kafka, kafka_error_kind(code) == MEOW_INVALID ? MEOW_CONFIG : kafka_error_kind(code),
			"checkpoint topic %s does not take the position: %s%s", exactly->topic, rd_kafka_error_string(error),
			kafka_error_advice(code));
	}
	rd_kafka_error_destroy(error);
	return false;
}

bool kafka_fits(struct kafka *kafka, const struct meow_event *event, struct meow_error *err)
{
	// librdkafka counts key, value and headers. What is more than the limit even without names and lengths will never
	// pass; what is only just more, it refuses itself when it is given the message.
	size_t size = 2 * event->aggregate_id.size + event->aggregate_type.size + event->type.size + event->metadata.size;
	size_t value = event->data.size;
	if (size + value <= kafka->most_bytes / 2)
		return true;
	if (kafka->context.encoder->format != ENCODE_DATA) {
		struct meow_bytes encoded;
		buffer_clear(&kafka->scratch, MOST_KEPT);
		if (!encoder_value(kafka->context.encoder, event, kafka->context.generation, &kafka->scratch, &encoded, err))
			return err->kind != MEOW_INVALID; // without memory nothing is known: sending it will tell
		value = encoded.size;
	}
	if (size + value <= kafka->most_bytes)
		return true;
	char what[DESCRIPTION_SIZE];
	kafka_describe(event, what, sizeof(what));
	return error_set(err, MEOW_INVALID,
		"%s has %zu bytes, more than message.max.bytes (%zu) lets through; raise it under "
		"client, and max.message.bytes of the topic",
		what, size + value, kafka->most_bytes);
}
