// latency PGURL REDISHOST REDISPORT STREAM RATE SECONDS [SILENCE [contiguous|gap]]: from the return of an append's commit
// to the moment when a blocked XREAD returns the entry, or, with "kafka BROKERS TOPIC" in place of the first three, when
// a read_committed consumer gets the message, at RATE appends a second; prints p50, p99 and the greatest in milliseconds. With
// SILENCE seconds: nothing for so long, then one event, and its latency is printed alone. With gap: an id is drawn and
// rolled back right before it, so that the relay has to prove that nothing can appear there.
#include "bare.h"
#include "meowmx.h"

#include <hiredis/hiredis.h>
#ifdef HAVE_KAFKA
#include <librdkafka/rdkafka.h>
#endif
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 200000

static double committed[MOST], seen[MOST];
static int64_t first_position;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int wanted;

struct reader {
	const char *host, *port, *stream;
};

static void note(const char *id, double now)
{
	long long position = atoll(id);
	pthread_mutex_lock(&mutex);
	long long index = position - first_position;
	if (first_position && index >= 0 && index < MOST)
		seen[index] = now;
	pthread_mutex_unlock(&mutex);
}

static void *read_stream(void *arg)
{
	struct reader *reader = arg;
	redisContext *redis = redisConnect(reader->host, atoi(reader->port));
	char last[64] = "$";
	for (int got = 0; got < wanted;) {
		redisReply *reply = redisCommand(redis, "XREAD COUNT 1000 BLOCK 15000 STREAMS %s %s", reader->stream, last);
		double now = bare_seconds();
		if (!reply || reply->type != REDIS_REPLY_ARRAY)
			bare_fail("XREAD", "nothing came for 15 s");
		redisReply *entries = reply->element[0]->element[1];
		for (size_t i = 0; i < entries->elements; i++, got++) {
			snprintf(last, sizeof(last), "%s", entries->element[i]->element[0]->str);
			note(last, now);
		}
		freeReplyObject(reply);
	}
	redisFree(redis);
	return NULL;
}

#ifdef HAVE_KAFKA
static rd_kafka_t *consume(const struct reader *reader)
{
	char why[256];
	const char *const settings[][2] = {{"bootstrap.servers", reader->port}, {"group.id", "latency"},
		{"isolation.level", "read_committed"}, {"auto.offset.reset", "latest"}};
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
		if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof(why)) != RD_KAFKA_CONF_OK)
			bare_fail(settings[i][0], why);
	rd_kafka_t *kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof(why));
	if (!kafka)
		bare_fail("consumer", why);
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
	rd_kafka_topic_partition_list_add(list, reader->stream, 0)->offset = RD_KAFKA_OFFSET_END;
	rd_kafka_resp_err_t failed = rd_kafka_assign(kafka, list);
	if (failed)
		bare_fail("assign", rd_kafka_err2str(failed));
	rd_kafka_topic_partition_list_destroy(list);
	return kafka;
}

static void *read_topic(void *arg)
{
	rd_kafka_t *kafka = consume(arg);
	for (int got = 0; got < wanted;) {
		rd_kafka_message_t *message = rd_kafka_consumer_poll(kafka, 15000);
		double now = bare_seconds();
		rd_kafka_headers_t *headers;
		const void *position;
		size_t size;
		if (!message)
			bare_fail("consumer", "nothing came for 15 s");
		if (!message->err && !rd_kafka_message_headers(message, &headers) &&
			!rd_kafka_header_get_last(headers, "meowmx-position", &position, &size)) {
			note(position, now); // librdkafka puts a NUL behind it
			got++;
		}
		rd_kafka_message_destroy(message);
	}
	rd_kafka_consumer_close(kafka);
	rd_kafka_destroy(kafka);
	return NULL;
}
#endif

static void start_reader(struct reader *reader, pthread_t *thread)
{
	void *(*read)(void *) = read_stream;
#ifdef HAVE_KAFKA
	if (strcmp(reader->host, "kafka") == 0)
		read = read_topic;
#endif
	pthread_create(thread, NULL, read, reader);
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return left < right ? -1 : left > right;
}

static void append_one(struct meow_store *store, int n)
{
	struct meow_error err;
	struct meow_appended appended;
	char id[40];
	snprintf(id, sizeof(id), "latency-%d-%d", (int)getpid(), n % 50);
	const struct meow_new_event event = {.type = {"e", 1}, .data = {"{}", 2}, .time_us = MEOW_NO_TIME};
	const struct meow_append append = {
		.aggregate_type = "bench", .aggregate_id = id, .expected = MEOW_EXPECT_ANY, .events = &event, .count = 1};
	if (!meow_append(store, &append, &appended, NULL, &err))
		bare_fail("append", err.text);
	double now = bare_seconds();
	pthread_mutex_lock(&mutex);
	if (!first_position)
		first_position = appended.position;
	if (appended.position - first_position < MOST)
		committed[appended.position - first_position] = now;
	pthread_mutex_unlock(&mutex);
}

static void leave_gap(PGconn *conn)
{
	PGresult *result = PQexec(conn, "BEGIN; SELECT nextval(pg_get_serial_sequence('es_events', 'id')); ROLLBACK");
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		bare_fail("gap", PQerrorMessage(conn));
	PQclear(result);
}

int main(int argc, char **argv)
{
	if (argc < 7)
		bare_fail("usage", "latency PGURL REDISHOST REDISPORT STREAM RATE SECONDS [SILENCE [contiguous|gap]]");
	PGconn *gap = argc > 8 && strcmp(argv[8], "gap") == 0 ? PQconnectdb(argv[1]) : NULL;
	struct meow_error err;
	struct meow_store *store = meow_store_open(argv[1], &err);
	if (!store)
		bare_fail("open", err.text);
	struct reader reader = {argv[2], argv[3], argv[4]};
	double rate = atof(argv[5]), silence = argc > 7 ? atof(argv[7]) : 0;
	wanted = silence > 0 ? 1 : (int)(rate * atof(argv[6]));
	pthread_t thread;
	start_reader(&reader, &thread);
	usleep(700000 + (useconds_t)(silence * 1e6));
	double began = bare_seconds();
	for (int n = 0; n < wanted; n++) {
		double due = began + n / rate, now = bare_seconds();
		if (due > now)
			usleep((useconds_t)((due - now) * 1e6));
		if (gap)
			leave_gap(gap);
		append_one(store, n);
	}
	pthread_join(thread, NULL);
	int count = 0;
	for (int i = 0; i < MOST; i++)
		if (committed[i] > 0 && seen[i] > 0) { // an entry may be seen before its append has returned
			double late = seen[i] - committed[i];
			committed[count++] = late > 0 ? late : 0;
		}
	qsort(committed, (size_t)count, sizeof(double), compare);
	if (count == 0)
		bare_fail("latency", "nothing was seen");
	printf("%d %.2f %.2f %.2f\n", count, committed[count / 2] * 1e3, committed[(size_t)(count * 0.99)] * 1e3,
		committed[count - 1] * 1e3);
	meow_store_close(store);
	PQfinish(gap);
	return 0;
}
