// kafka_look.c: see kafka_look.h.
#include "kafka_look.h"

#include "base/text.h"

#include <stdint.h>
#include <string.h>

static rd_kafka_t *make_client(const char *servers, rd_kafka_type_t type)
{
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	const char *const pairs[][2] = {{"bootstrap.servers", servers}, {"log_level", "0"},
		{"isolation.level", type == RD_KAFKA_PRODUCER ? "read_uncommitted" : "read_committed"},
		{"group.id", "contract"}, {"enable.partition.eof", "true"}, {"auto.offset.reset", "earliest"},
		{"allow.auto.create.topics", "false"}, {"check.crcs", "true"}};
	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (type == RD_KAFKA_CONSUMER || i < 3)
			assert_int_equal(rd_kafka_conf_set(conf, pairs[i][0], pairs[i][1], text, sizeof(text)), RD_KAFKA_CONF_OK);
	rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof(text));
	assert_non_null(client);
	return client;
}

static void expect_none(rd_kafka_error_t *error)
{
	if (error != NULL)
		fail_msg("%s", rd_kafka_error_string(error));
}

static rd_kafka_vu_t bytes_part(rd_kafka_vtype_t type, const char *text)
{
	return (rd_kafka_vu_t){.vtype = type, .u.mem = {(void *)(uintptr_t)text, strlen(text)}};
}

static void put(rd_kafka_t *client, const char *topic, const char *key, const char *value)
{
	const rd_kafka_vu_t parts[] = {
		{.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
		{.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = 0},
		{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
		bytes_part(RD_KAFKA_VTYPE_KEY, key),
		bytes_part(RD_KAFKA_VTYPE_VALUE, value),
	};
	expect_none(rd_kafka_produceva(client, parts, sizeof(parts) / sizeof(*parts)));
}

void kafka_write(const char *servers, const char *topic, const char *key, const char *value)
{
	rd_kafka_t *client = make_client(servers, RD_KAFKA_PRODUCER);
	put(client, topic, key, value);
	assert_int_equal(rd_kafka_flush(client, 30000), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_destroy(client);
}

rd_kafka_t *kafka_leave_open(const char *servers, const char *topic, size_t count)
{
	char text[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	assert_int_equal(rd_kafka_conf_set(conf, "bootstrap.servers", servers, text, sizeof(text)), RD_KAFKA_CONF_OK);
	assert_int_equal(rd_kafka_conf_set(conf, "transactional.id", "foreign", text, sizeof(text)), RD_KAFKA_CONF_OK);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
	assert_non_null(client);
	expect_none(rd_kafka_init_transactions(client, 30000));
	expect_none(rd_kafka_begin_transaction(client));
	for (size_t i = 0; i < count; i++)
		put(client, topic, "foreign", "record");
	assert_int_equal(rd_kafka_flush(client, 30000), RD_KAFKA_RESP_ERR_NO_ERROR);
	return client;
}

void kafka_abort_records(const char *servers, const char *topic, size_t count)
{
	rd_kafka_t *client = kafka_leave_open(servers, topic, count);
	expect_none(rd_kafka_abort_transaction(client, 30000));
	rd_kafka_destroy(client);
}

void kafka_grow_topic(const char *servers, const char *name, size_t partitions)
{
	char text[512];
	rd_kafka_t *client = make_client(servers, RD_KAFKA_PRODUCER);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_NewPartitions_t *more = rd_kafka_NewPartitions_new(name, partitions, text, sizeof(text));
	assert_non_null(more);
	rd_kafka_CreatePartitions(client, &more, 1, NULL, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
	assert_non_null(event);
	assert_int_equal(rd_kafka_event_error(event), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_event_destroy(event);
	rd_kafka_NewPartitions_destroy(more);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(client);
}

static const struct rd_kafka_metadata *list_topics(rd_kafka_t *client)
{
	const struct rd_kafka_metadata *metadata;
	rd_kafka_resp_err_t failed = rd_kafka_metadata(client, 1, NULL, &metadata, 30000);
	if (failed != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail_msg("metadata: %s", rd_kafka_err2str(failed));
	return metadata;
}

static struct place {
	char topic[256];
	int32_t partition;
	int64_t end;
	bool done;
} places[512];
static size_t place_count;

// Where the partition truly ends. What a broker has committed may become visible a little later: its coordinator answers
// before it has written the marks, and until then a consumer of committed records sees an earlier end.
static void note_end(rd_kafka_t *client, const char *topic, int32_t partition)
{
	int64_t low;
	struct place *place = &places[place_count++];
	assert_true(place_count <= sizeof(places) / sizeof(*places));
	*place = (struct place){.partition = partition};
	strncpy(place->topic, topic, sizeof(place->topic) - 1);
	assert_int_equal(rd_kafka_query_watermark_offsets(client, topic, partition, &low, &place->end, 30000),
		RD_KAFKA_RESP_ERR_NO_ERROR);
}

// Whether this end of a partition is the first true one.
static bool ends(const rd_kafka_message_t *message)
{
	for (size_t i = 0; i < place_count; i++)
		if (places[i].partition == message->partition &&
			strcmp(places[i].topic, rd_kafka_topic_name(message->rkt)) == 0 && message->offset >= places[i].end &&
			!places[i].done)
			return places[i].done = true;
	return false;
}

static rd_kafka_topic_partition_list_t *partitions_of(rd_kafka_t *client, const char *prefix)
{
	place_count = 0;
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
	const struct rd_kafka_metadata *metadata = list_topics(client);
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (strncmp(metadata->topics[i].topic, prefix, strlen(prefix)) == 0)
			for (int j = 0; j < metadata->topics[i].partition_cnt; j++) {
				rd_kafka_topic_partition_list_add(list, metadata->topics[i].topic, j)->offset = 0;
				note_end(client, metadata->topics[i].topic, j);
			}
	rd_kafka_metadata_destroy(metadata);
	return list;
}

int kafka_partition_count(const char *servers, const char *topic)
{
	rd_kafka_t *client = make_client(servers, RD_KAFKA_PRODUCER);
	const struct rd_kafka_metadata *metadata = list_topics(client);
	int count = 0;
	for (int i = 0; i < metadata->topic_cnt; i++)
		if (strcmp(metadata->topics[i].topic, topic) == 0)
			count = metadata->topics[i].partition_cnt;
	rd_kafka_metadata_destroy(metadata);
	rd_kafka_destroy(client);
	return count;
}

// Every partition has a leader, as far as the broker knows that answers.
static bool is_known(rd_kafka_t *client, const char *topic)
{
	const struct rd_kafka_metadata *metadata = list_topics(client);
	bool known = false;
	for (int i = 0; i < metadata->topic_cnt; i++) {
		if (strcmp(metadata->topics[i].topic, topic) != 0)
			continue;
		known = metadata->topics[i].partition_cnt > 0;
		for (int j = 0; j < metadata->topics[i].partition_cnt; j++)
			known = known && metadata->topics[i].partitions[j].leader >= 0;
	}
	rd_kafka_metadata_destroy(metadata);
	return known;
}

void kafka_create_topic(const char *servers, const char *name, const char *config, const char *value)
{
	char text[512];
	rd_kafka_t *client = make_client(servers, RD_KAFKA_PRODUCER);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
	rd_kafka_NewTopic_t *topic = rd_kafka_NewTopic_new(name, 2, 1, text, sizeof(text));
	assert_non_null(topic);
	if (config != NULL)
		assert_int_equal(rd_kafka_NewTopic_set_config(topic, config, value), RD_KAFKA_RESP_ERR_NO_ERROR);
	rd_kafka_CreateTopics(client, &topic, 1, NULL, queue);
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
	assert_non_null(event);
	size_t count;
	const rd_kafka_topic_result_t **results =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
	assert_int_equal(count, 1);
	if (rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
		fail_msg("topic %s: %s", name, rd_kafka_topic_result_error_string(results[0]));
	rd_kafka_event_destroy(event);
	rd_kafka_NewTopic_destroy(topic);
	rd_kafka_queue_destroy(queue);
	int looks = 0;
	while (!is_known(client, name))
		assert_true(looks++ < 10000);
	rd_kafka_destroy(client);
}

struct meow_bytes kafka_header(const rd_kafka_message_t *message, const char *name)
{
	rd_kafka_headers_t *headers;
	struct meow_bytes value = {0};
	const void *data;
	if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR &&
		rd_kafka_header_get_last(headers, name, &data, &value.size) == RD_KAFKA_RESP_ERR_NO_ERROR)
		value.data = data;
	return value;
}

int64_t kafka_header_number(const rd_kafka_message_t *message, const char *name)
{
	int64_t number = -1;
	if (!text_to_int64(kafka_header(message, name), &number))
		fail_msg("header %s is missing or no number", name);
	return number;
}

void kafka_log_message(void *log, const rd_kafka_message_t *message)
{
	const struct contract_entry entry = {
		.position = kafka_header_number(message, "meowmx-position"),
		.version = kafka_header_number(message, "meowmx-version"),
		.aggregate_type = kafka_header(message, "meowmx-aggregate-type"),
		.aggregate_id = {message->key, message->key_len},
		.type = kafka_header(message, "meowmx-event-type"),
		.data = {message->payload, message->len},
	};
	contract_log_add(log, &entry);
}

void kafka_consume(const char *servers, const char *prefix, kafka_each_fn *each, void *arg)
{
	rd_kafka_t *client = make_client(servers, RD_KAFKA_CONSUMER);
	rd_kafka_poll_set_consumer(client);
	rd_kafka_t *asking = make_client(servers, RD_KAFKA_PRODUCER);
	rd_kafka_topic_partition_list_t *list = partitions_of(asking, prefix);
	rd_kafka_destroy(asking);
	assert_int_equal(rd_kafka_assign(client, list), RD_KAFKA_RESP_ERR_NO_ERROR);
	for (int left = list->cnt; left > 0;) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(client, 30000);
		assert_non_null(message);
		if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
			left -= ends(message);
		else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
			fail_msg("consumer: %s", rd_kafka_message_errstr(message));
		else
			each(arg, message);
		rd_kafka_message_destroy(message);
	}
	rd_kafka_topic_partition_list_destroy(list);
	rd_kafka_consumer_close(client);
	rd_kafka_destroy(client);
}
