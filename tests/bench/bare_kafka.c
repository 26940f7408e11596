// bare_kafka PGURL BROKERS TOPIC [same [SIZE]]: the bare loop into Kafka, idempotent, four headers a message; with `same` the
// six that the relay's messages have, with SIZE in transactions of so many. Prints events and seconds.
#include "bare.h"

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pipe {
	rd_kafka_t *kafka;
	rd_kafka_topic_t *topic;
	int64_t acknowledged;
	bool same;
	int64_t size, open; // of a transaction, 0: none; and what is in the one that is open
};

static void expect_none(const char *what, rd_kafka_error_t *error)
{
	if (error)
		bare_fail(what, rd_kafka_error_string(error));
}

static void next_transaction(struct pipe *pipe)
{
	expect_none("commit", rd_kafka_commit_transaction(pipe->kafka, -1));
	expect_none("begin", rd_kafka_begin_transaction(pipe->kafka));
	pipe->open = 0;
}

static void on_report(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *arg)
{
	(void)kafka;
	if (message->err)
		bare_fail("delivery", rd_kafka_err2str(message->err));
	((struct pipe *)arg)->acknowledged++;
}

static void add(rd_kafka_headers_t *headers, const char *name, const char *value, size_t size)
{
	rd_kafka_header_add(headers, name, -1, value, (ssize_t)size);
}

static void publish(void *arg, const PGresult *page)
{
	struct pipe *pipe = arg;
	for (int row = 0; row < PQntuples(page); row++) {
		char position[24], version[16];
		int position_size = snprintf(position, sizeof(position), "%lld", (long long)bare_id(page, row));
		int version_size = snprintf(version, sizeof(version), "%d", (int)bare_version(page, row));
		rd_kafka_headers_t *headers = rd_kafka_headers_new(4);
		add(headers, "meowmx-position", position, (size_t)position_size);
		add(headers, "meowmx-version", version, (size_t)version_size);
		add(headers, "meowmx-event-type", PQgetvalue(page, row, BARE_EVENT),
			(size_t)PQgetlength(page, row, BARE_EVENT));
		add(headers, "meowmx-aggregate-type", PQgetvalue(page, row, BARE_TYPE),
			(size_t)PQgetlength(page, row, BARE_TYPE));
		if (pipe->same) {
			add(headers, "meowmx-aggregate-id", PQgetvalue(page, row, BARE_AGGREGATE),
				(size_t)PQgetlength(page, row, BARE_AGGREGATE));
			add(headers, "content-type", "application/json", 16);
		}
		const rd_kafka_vu_t parts[] = {{.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = pipe->topic},
			{.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
			{.vtype = RD_KAFKA_VTYPE_KEY,
				.u.mem = {PQgetvalue(page, row, BARE_AGGREGATE), (size_t)PQgetlength(page, row, BARE_AGGREGATE)}},
			{.vtype = RD_KAFKA_VTYPE_VALUE,
				.u.mem = {PQgetvalue(page, row, BARE_DATA), (size_t)PQgetlength(page, row, BARE_DATA)}},
			{.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers}};
		for (rd_kafka_error_t *error; (error = rd_kafka_produceva(pipe->kafka, parts, 5)) != NULL;) {
			if (rd_kafka_error_code(error) != RD_KAFKA_RESP_ERR__QUEUE_FULL)
				bare_fail("produce", rd_kafka_error_string(error));
			rd_kafka_error_destroy(error);
			rd_kafka_poll(pipe->kafka, 10);
		}
		if (pipe->size && ++pipe->open == pipe->size)
			next_transaction(pipe);
	}
	rd_kafka_poll(pipe->kafka, 0);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
	char why[256];
	if (rd_kafka_conf_set(conf, name, value, why, sizeof(why)) != RD_KAFKA_CONF_OK)
		bare_fail(name, why);
}

int main(int argc, char **argv)
{
	bool same = argc >= 5 && strcmp(argv[4], "same") == 0;
	if (argc < 4 || argc > 6 || (argc > 4 && !same))
		bare_fail("usage", "bare_kafka PGURL BROKERS TOPIC [same [SIZE]]");
	char why[256];
	struct pipe pipe = {.same = same, .size = argc == 6 ? atoll(argv[5]) : 0};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	set(conf, "bootstrap.servers", argv[2]);
	set(conf, "enable.idempotence", "true");
	set(conf, "partitioner", "murmur2_random");
	set(conf, "linger.ms", "5");
	set(conf, "queue.buffering.max.messages", "100000");
	if (pipe.size)
		set(conf, "transactional.id", argv[3]);
	rd_kafka_conf_set_dr_msg_cb(conf, on_report);
	rd_kafka_conf_set_opaque(conf, &pipe);
	pipe.kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why));
	if (!pipe.kafka)
		bare_fail("producer", why);
	pipe.topic = rd_kafka_topic_new(pipe.kafka, argv[3], NULL);
	double began = bare_seconds();
	if (pipe.size) {
		expect_none("init", rd_kafka_init_transactions(pipe.kafka, 30000));
		expect_none("begin", rd_kafka_begin_transaction(pipe.kafka));
	}
	int64_t total = bare_read(argv[1], publish, &pipe);
	if (pipe.size)
		next_transaction(&pipe);
	else
		rd_kafka_flush(pipe.kafka, 60000);
	if (pipe.acknowledged != total)
		bare_fail("flush", "not all were acknowledged");
	printf("%lld %.3f\n", (long long)total, bare_seconds() - began);
	rd_kafka_topic_destroy(pipe.topic);
	rd_kafka_destroy(pipe.kafka);
	return 0;
}
