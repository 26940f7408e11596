// bare_both PGURL redis HOST PORT STREAM | kafka BROKERS TOPIC | file PATH: the least code that reads both sides, page by
// page of the store as many records of the sink, and looks at nothing: what `meowmx verify` is measured beside. The topic
// has one partition. Prints events and seconds.
#include "bare.h"

#include <hiredis/hiredis.h>
#ifdef HAVE_KAFKA
#include <librdkafka/rdkafka.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIMEOUT_MS 20000

struct side {
	redisContext *redis;
	const char *stream;
	int64_t after;
#ifdef HAVE_KAFKA
	rd_kafka_topic_t *topic;
#endif
	FILE *file;
	char *line;
	size_t capacity;
};

static void read_stream(struct side *side, int rows)
{
	redisReply *reply =
		redisCommand(side->redis, "XRANGE %s %lld-1 + COUNT %d", side->stream, (long long)side->after, rows);
	if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements != (size_t)rows)
		bare_fail("XRANGE", reply ? "not as many entries as events" : side->redis->errstr);
	side->after = atoll(reply->element[rows - 1]->element[0]->str);
	freeReplyObject(reply);
}

#ifdef HAVE_KAFKA
static void read_topic(struct side *side, int rows)
{
	rd_kafka_message_t *messages[5000];
	for (int count = 0; count < rows;) {
		ssize_t got = rd_kafka_consume_batch(side->topic, 0, TIMEOUT_MS, messages, (size_t)(rows - count));
		if (got <= 0)
			bare_fail("consume", "no record came");
		for (ssize_t i = 0; i < got; i++) {
			count += messages[i]->err == RD_KAFKA_RESP_ERR_NO_ERROR;
			rd_kafka_message_destroy(messages[i]);
		}
	}
}

static void open_topic(struct side *side, const char *brokers, const char *topic)
{
	char why[256];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	if (rd_kafka_conf_set(conf, "bootstrap.servers", brokers, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		bare_fail(brokers, why);
	rd_kafka_t *client = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!client)
		bare_fail(brokers, why);
	side->topic = rd_kafka_topic_new(client, topic, NULL);
	if (rd_kafka_consume_start(side->topic, 0, RD_KAFKA_OFFSET_BEGINNING))
		bare_fail(topic, rd_kafka_err2str(rd_kafka_last_error()));
}
#endif

static void read_lines(struct side *side, int rows)
{
	for (int count = 0; count < rows; count++)
		if (getline(&side->line, &side->capacity, side->file) < 0)
			bare_fail("file", "not as many lines as events");
}

static void read_page(void *arg, const PGresult *page)
{
	struct side *side = arg;
	if (side->redis)
		read_stream(side, PQntuples(page));
	else if (side->file)
		read_lines(side, PQntuples(page));
#ifdef HAVE_KAFKA
	else
		read_topic(side, PQntuples(page));
#endif
}

int main(int count, char **words)
{
	struct side side = {0};
	double began = bare_seconds();
	if (count == 6 && !strcmp(words[2], "redis")) {
		side.stream = words[5];
		side.redis = redisConnect(words[3], atoi(words[4]));
		if (!side.redis || side.redis->err)
			bare_fail("redis", side.redis ? side.redis->errstr : "no memory");
	} else if (count == 4 && !strcmp(words[2], "file")) {
		side.file = fopen(words[3], "r");
		if (!side.file)
			bare_fail(words[3], "cannot be opened");
#ifdef HAVE_KAFKA
	} else if (count == 5 && !strcmp(words[2], "kafka")) {
		open_topic(&side, words[3], words[4]);
#endif
	} else {
		bare_fail("usage", "bare_both PGURL redis HOST PORT STREAM | kafka BROKERS TOPIC | file PATH");
	}
	int64_t total = bare_read(words[1], read_page, &side);
	printf("%lld %.3f\n", (long long)total, bare_seconds() - began);
	return 0;
}
