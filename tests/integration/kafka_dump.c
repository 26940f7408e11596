// kafka_dump BROKERS TOPIC...: every message of these topics up to their ends of now, one line each:
// topic, partition, offset, position, version, key. Shares no code with the delivery path.
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *what, const char *why)
{
	fprintf(stderr, "kafka_dump: %s: %s\n", what, why);
	exit(1);
}

static const char *header(const rd_kafka_message_t *message, const char *name)
{
	static char text[2][64];
	static int turn;
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;
	turn = !turn;
	snprintf(text[turn], sizeof(text[turn]), "-");
	if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		rd_kafka_header_get_last(headers, name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR)
		snprintf(text[turn], sizeof(text[turn]), "%.*s", (int)size, (const char *)value);
	return text[turn];
}

static void print(const rd_kafka_message_t *message)
{
	const char *position = header(message, "meowmx-position");
	printf("%s\t%d\t%lld\t%s\t%s\t%.*s\n", rd_kafka_topic_name(message->rkt), (int)message->partition,
		(long long)message->offset, position, header(message, "meowmx-version"), (int)message->key_len,
		(const char *)message->key);
}

// Assigns every partition from its beginning; returns how many messages must come.
static int64_t assign(rd_kafka_t *kafka, char **topics, int count)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(16);
	int64_t total = 0;
	for (int i = 0; i < count; i++) {
		const struct rd_kafka_metadata *metadata;
		rd_kafka_topic_t *topic = rd_kafka_topic_new(kafka, topics[i], NULL);
		rd_kafka_resp_err_t code = rd_kafka_metadata(kafka, 0, topic, &metadata, 10000);
		if (code)
			fail(topics[i], rd_kafka_err2str(code));
		for (int p = 0; p < metadata->topics[0].partition_cnt; p++) {
			int64_t low = 0, high = 0;
			code = rd_kafka_query_watermark_offsets(kafka, topics[i], p, &low, &high, 10000);
			if (code)
				fail(topics[i], rd_kafka_err2str(code));
			rd_kafka_topic_partition_list_add(list, topics[i], p)->offset = low;
			total += high - low;
		}
		rd_kafka_metadata_destroy(metadata);
		rd_kafka_topic_destroy(topic);
	}
	rd_kafka_assign(kafka, list);
	rd_kafka_topic_partition_list_destroy(list);
	return total;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		fail("usage", "kafka_dump BROKERS TOPIC...");
	char why[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	const char *const settings[][2] = {
		{"bootstrap.servers", argv[1]}, {"group.id", "kafka_dump"}, {"enable.auto.commit", "false"},
		{"fetch.message.max.bytes", "20000000"}};
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) != RD_KAFKA_CONF_OK)
			fail(settings[i][0], why);
	rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!kafka)
		fail("consumer", why);
	for (int64_t left = assign(kafka, argv + 2, argc - 2); left > 0;) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka, 20000);
		if (!message)
			fail("poll", "nothing came for 20 s");
		if (message->err)
			fail("poll", rd_kafka_message_errstr(message));
		print(message);
		left--;
		rd_kafka_message_destroy(message);
	}
	rd_kafka_consumer_close(kafka);
	rd_kafka_destroy(kafka);
	return 0;
}
