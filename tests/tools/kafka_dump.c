// kafka_dump.c: prints what is in Kafka topics, for tests and the quick start.
//
//   kafka_dump BROKERS TOPIC...        TOPIC may end in * for all topics that begin so
//
// One line a record, fields divided by tabs: topic, partition, offset, position, aggregate type, key, version, event
// type, the value with its tabs and line breaks as blanks, and the generation. What the record does not have is "-".
// Partitions are read one after the other up to the end that they had when the program started, and only committed records. That end is
// the true one: what was just committed is waited for, until the broker lets a consumer of committed records see it.
#include <librdkafka/rdkafka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000

static void give_up(const char *what, const char *why)
{
	fprintf(stderr, "kafka_dump: %s: %s\n", what, why);
	exit(1);
}

static rd_kafka_t *connect_to(const char *brokers, const char *isolation)
{
	char why[512];
	const char *settings[][2] = {{"bootstrap.servers", brokers}, {"group.id", "kafka_dump"},
		{"enable.auto.commit", "false"}, {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"},
		{"isolation.level", isolation}, {"fetch.wait.max.ms", "10"}, {"log_level", "2"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *client;

	for (size_t at = 0; at < sizeof(settings) / sizeof(*settings); at++) {
		if (rd_kafka_conf_set(conf, settings[at][0], settings[at][1], why, sizeof(why)) != RD_KAFKA_CONF_OK)
			give_up(settings[at][0], why);
	}
	client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!client)
		give_up(brokers, why);
	return client;
}

static void print_text(const char *text, size_t size)
{
	for (size_t at = 0; at < size; at++)
		putchar(text[at] == '\t' || text[at] == '\n' || text[at] == '\r' ? ' ' : text[at]);
}

static void print_header(const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	const void *value;
	size_t size;

	if (rd_kafka_message_headers(message, &headers) || rd_kafka_header_get_last(headers, name, &value, &size))
		putchar('-');
	else
		print_text(value, size);
}

static void print_message(const rd_kafka_message_t *message)
{
	printf("%s\t%d\t%lld\t", rd_kafka_topic_name(message->rkt), (int)message->partition, (long long)message->offset);
	print_header(message, "meowmx-position");
	putchar('\t');
	print_header(message, "meowmx-aggregate-type");
	putchar('\t');
	if (message->key)
		print_text(message->key, message->key_len);
	else
		putchar('-');
	putchar('\t');
	print_header(message, "meowmx-version");
	putchar('\t');
	print_header(message, "meowmx-event-type");
	putchar('\t');
	if (message->payload)
		print_text(message->payload, message->len);
	else
		putchar('-');
	putchar('\t');
	print_header(message, "meowmx-generation");
	putchar('\n');
}

static void start_at(rd_kafka_t *client, const char *topic, int32_t partition)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_resp_err_t err;

	rd_kafka_topic_partition_list_add(list, topic, partition)->offset = RD_KAFKA_OFFSET_BEGINNING;
	err = rd_kafka_assign(client, list);
	if (err)
		give_up(topic, rd_kafka_err2str(err));
	rd_kafka_topic_partition_list_destroy(list);
}

// Up to the end: the partition's end is an event of its own, behind the last record that can be seen.
static void dump_partition(rd_kafka_t *client, rd_kafka_t *asking, const char *topic, int32_t partition)
{
	int64_t low, high;
	rd_kafka_resp_err_t err = rd_kafka_query_watermark_offsets(asking, topic, partition, &low, &high, TIMEOUT_MS);
	bool done = low == high;

	if (err)
		give_up(topic, rd_kafka_err2str(err));
	start_at(client, topic, partition);
	while (!done) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(client, TIMEOUT_MS);

		if (!message)
			give_up(topic, "the broker does not answer");
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			done = message->offset >= high;
		else if (message->err)
			fprintf(stderr, "kafka_dump: %s: %s\n", topic, rd_kafka_message_errstr(message));
		else if (message->offset < high)
			print_message(message);
		if (!message->err && message->offset >= high - 1)
			done = true;
		rd_kafka_message_destroy(message);
	}
}

static bool matches(const char *pattern, const char *topic)
{
	size_t size = strlen(pattern);

	if (size && pattern[size - 1] == '*')
		return strncmp(pattern, topic, size - 1) == 0;
	return strcmp(pattern, topic) == 0;
}

int main(int count, char **arguments)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t err;
	rd_kafka_t *client, *asking;

	if (count < 3) {
		fprintf(stderr, "usage: kafka_dump BROKERS TOPIC...\n");
		return 64;
	}
	client = connect_to(arguments[1], "read_committed");
	asking = connect_to(arguments[1], "read_uncommitted");
	err = rd_kafka_metadata(client, 1, NULL, &metadata, TIMEOUT_MS);
	if (err)
		give_up(arguments[1], rd_kafka_err2str(err));
	for (int at = 0; at < metadata->topic_cnt; at++) {
		const struct rd_kafka_metadata_topic *topic = &metadata->topics[at];

		for (int pattern = 2; pattern < count; pattern++) {
			if (!matches(arguments[pattern], topic->topic))
				continue;
			for (int partition = 0; partition < topic->partition_cnt; partition++)
				dump_partition(client, asking, topic->topic, topic->partitions[partition].id);
			break;
		}
	}
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_consumer_close(client);
	rd_kafka_destroy(client);
	rd_kafka_destroy(asking);
	return 0;
}
