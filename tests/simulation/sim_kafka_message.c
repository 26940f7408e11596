// What librdkafka has beside its producer, in place of the functions that the connector calls: topics, which are no more than
// a name here, and the parts of a message that is produced.
#include "sim_kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct topic_handle {
	char name[64];
};

rd_kafka_topic_t *rd_kafka_topic_new(rd_kafka_t *handle, const char *name, rd_kafka_topic_conf_t *conf)
{
	struct topic_handle *topic = calloc(1, sizeof(*topic));
	(void)handle;
	(void)conf;
	if (!topic)
		abort();
	snprintf(topic->name, sizeof(topic->name), "%s", name);
	return (rd_kafka_topic_t *)(uintptr_t)topic;
}

void rd_kafka_topic_destroy(rd_kafka_topic_t *topic)
{
	free(topic);
}

const char *rd_kafka_topic_name(const rd_kafka_topic_t *topic)
{
	return ((const struct topic_handle *)(const void *)topic)->name;
}

// --- messages

static int64_t header_number(const rd_kafka_headers_t *headers, const char *name)
{
	const void *value;
	size_t size;
	char text[24];
	if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR)
		abort(); // every message has it
	snprintf(text, sizeof(text), "%.*s", (int)size, (const char *)value);
	return strtoll(text, NULL, 10);
}

static char *copy_of(const void *data, size_t size)
{
	char *copy = malloc(size + 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	copy[size] = '\0';
	return copy;
}

static void take_headers(struct kafka_message *message, rd_kafka_headers_t *headers)
{
	message->position = header_number(headers, "meowmx-position");
	message->version = header_number(headers, "meowmx-version");
	rd_kafka_headers_destroy(headers); // ours from now on
}

static void take_part(struct kafka_message *message, const rd_kafka_vu_t *part)
{
	if (part->vtype == RD_KAFKA_VTYPE_RKT)
		message->topic = part->u.rkt;
	else if (part->vtype == RD_KAFKA_VTYPE_PARTITION)
		message->partition = part->u.i32;
	else if (part->vtype == RD_KAFKA_VTYPE_OPAQUE)
		message->opaque = part->u.ptr;
	else if (part->vtype == RD_KAFKA_VTYPE_KEY)
		message->key = copy_of(part->u.mem.ptr, part->u.mem.size);
	else if (part->vtype == RD_KAFKA_VTYPE_VALUE)
		message->value = copy_of(part->u.mem.ptr, message->size = part->u.mem.size);
	else if (part->vtype == RD_KAFKA_VTYPE_HEADERS)
		take_headers(message, part->u.headers);
}

void sim_kafka_message_take(struct kafka_message *message, const rd_kafka_vu_t *parts, size_t count)
{
	for (size_t i = 0; i < count; i++)
		take_part(message, &parts[i]);
	if (!message->opaque)
		return;
	snprintf(message->aggregate, sizeof(message->aggregate), "%s", message->key);
	free(message->key);
	free(message->value);
	message->key = message->value = NULL;
}
