// kafka_edit.c: does to Kafka topics what a relay never would.
//
//   kafka_edit BROKERS copy TOPIC PARTITION OFFSET TO_TOPIC TO_PARTITION [VALUE]   a record again, with its headers
//   kafka_edit BROKERS plain TOPIC PARTITION VALUE                                 a record without headers
//   kafka_edit BROKERS delete TOPIC PARTITION OFFSET                               what lies below, as retention does
//   kafka_edit BROKERS compact TOPIC                                               a new topic that is compacted
//   kafka_edit BROKERS settings TOPIC [KEY=VALUE ...]                              all that it does not have by default
#include <librdkafka/rdkafka.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000

static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "kafka_edit: %s: %s\n", what, why);
	exit(1);
}

static rd_kafka_t *client_of(rd_kafka_type_t type, const char *brokers)
{
	char why[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)) != RD_KAFKA_CONF_OK ||
		rd_kafka_conf_set(conf, "message.max.bytes", "100000000", why, sizeof(why)) != RD_KAFKA_CONF_OK ||
		rd_kafka_conf_set(conf, "receive.message.max.bytes", "1000000000", why, sizeof(why)) != RD_KAFKA_CONF_OK)
		give_up(brokers, why);
	rd_kafka_t *client = rd_kafka_new(type, conf, why, sizeof(why));
	if (!client)
		give_up(brokers, why);
	return client;
}

static rd_kafka_message_t *record_at(rd_kafka_topic_t *topic, int32_t partition, int64_t offset)
{
	if (rd_kafka_consume_start(topic, partition, offset))
		give_up("consume", rd_kafka_err2str(rd_kafka_last_error()));
	rd_kafka_message_t *message = rd_kafka_consume(topic, partition, TIMEOUT_MS);
	if (!message || message->err || message->offset != offset)
		give_up("consume", message ? rd_kafka_message_errstr(message) : "no record came");
	return message;
}

static void produce(const char *brokers, const char *topic, int32_t partition, const rd_kafka_message_t *like,
	const void *value, size_t size)
{
	rd_kafka_t *client = client_of(RD_KAFKA_PRODUCER, brokers);
	rd_kafka_headers_t *headers = NULL;
	int64_t time_ms = 0;
	if (like) {
		rd_kafka_timestamp_type_t type;
		time_ms = rd_kafka_message_timestamp(like, &type);
		if (rd_kafka_message_headers(like, &headers))
			headers = NULL;
		else
			headers = rd_kafka_headers_copy(headers);
	}
	const rd_kafka_vu_t parts[] = {
		{.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = partition},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		{.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {like ? like->key : NULL, like ? like->key_len : 0}},
		{.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value, size}},
		{.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = time_ms},
		{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
	};
	rd_kafka_error_t *error = rd_kafka_produceva(client, parts, headers ? 7 : 6);
	if (error)
		give_up(topic, rd_kafka_error_string(error));
	if (rd_kafka_flush(client, TIMEOUT_MS))
		give_up(topic, "the broker does not take it");
	rd_kafka_destroy(client);
}

static void copy(char **words, int count)
{
	rd_kafka_t *client = client_of(RD_KAFKA_CONSUMER, words[1]);
	rd_kafka_topic_t *topic = rd_kafka_topic_new(client, words[3], NULL);
	rd_kafka_message_t *message = record_at(topic, atoi(words[4]), atoll(words[5]));
	if (count > 8)
		produce(words[1], words[6], atoi(words[7]), message, words[8], strlen(words[8]));
	else
		produce(words[1], words[6], atoi(words[7]), message, message->payload, message->len);
	rd_kafka_message_destroy(message);
	rd_kafka_consume_stop(topic, atoi(words[4]));
	rd_kafka_topic_destroy(topic);
	rd_kafka_destroy(client);
}

static void wait_for(rd_kafka_queue_t *queue)
{
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
	if (!event || rd_kafka_event_error(event))
		give_up("admin request", event ? rd_kafka_event_error_string(event) : "no answer");
	rd_kafka_event_destroy(event);
}

static void delete_below(char **words)
{
	rd_kafka_t *client = client_of(RD_KAFKA_PRODUCER, words[1]);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, words[3], atoi(words[4]))->offset = atoll(words[5]);
	rd_kafka_DeleteRecords_t *request = rd_kafka_DeleteRecords_new(list);
	rd_kafka_DeleteRecords(client, &request, 1, NULL, queue);
	wait_for(queue);
	rd_kafka_DeleteRecords_destroy(request);
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

static void compacted(char **words)
{
	char why[256];
	rd_kafka_t *client = client_of(RD_KAFKA_PRODUCER, words[1]);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_NewTopic_t *request = rd_kafka_NewTopic_new(words[3], 1, 1, why, sizeof(why));
	rd_kafka_NewTopic_set_config(request, "cleanup.policy", "compact");
	rd_kafka_CreateTopics(client, &request, 1, NULL, queue);
	wait_for(queue);
	rd_kafka_NewTopic_destroy(request);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

static void set(char **words, int count)
{
	rd_kafka_t *client = client_of(RD_KAFKA_PRODUCER, words[1]);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_ConfigResource_t *topic = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, words[3]);
	for (int i = 4; i < count; i++) {
		char *value = strchr(words[i], '=');
		if (!value)
			give_up(words[i], "is not KEY=VALUE");
		*value = '\0';
		rd_kafka_ConfigResource_set_config(topic, words[i], value + 1);
	}
	rd_kafka_AlterConfigs(client, &topic, 1, NULL, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, TIMEOUT_MS);
	size_t results = 0;
	const rd_kafka_AlterConfigs_result_t *answer = event ? rd_kafka_event_AlterConfigs_result(event) : NULL;
	const rd_kafka_ConfigResource_t **result = answer ? rd_kafka_AlterConfigs_result_resources(answer, &results) : NULL;
	if (!results || rd_kafka_ConfigResource_error(result[0]))
		give_up(words[3], results ? rd_kafka_ConfigResource_error_string(result[0]) : "no answer");
	rd_kafka_event_destroy(event);
	rd_kafka_ConfigResource_destroy(topic);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

int main(int count, char **words)
{
	if (count >= 8 && !strcmp(words[2], "copy"))
		copy(words, count);
	else if (count == 6 && !strcmp(words[2], "plain"))
		produce(words[1], words[3], atoi(words[4]), NULL, words[5], strlen(words[5]));
	else if (count == 6 && !strcmp(words[2], "delete"))
		delete_below(words);
	else if (count == 4 && !strcmp(words[2], "compact"))
		compacted(words);
	else if (count >= 4 && !strcmp(words[2], "settings"))
		set(words, count);
	else
		return 64;
	return 0;
}
