// The Redis connector: the contract, and what only Redis can do to it: run out of memory, become a replica, hold other
// people's keys, forget, kill connections. All against a real server.
#include "contract.h"

#include "base/text.h"
#include "connectors/redis/redis.h"
#include "support/server.h"

#include <hiredis/hiredis.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LONG_MS 30000
#define POSITION_KEY "meowmx:0b5b5d4e:contract:0:0"
#define SPOILED_BYTES ((size_t)2 * 1024 * 1024) // above the server's proto-max-bulk-len

static struct server *server;

// --- asking the server

static redisContext *client(void)
{
	static redisContext *kept;
	if (kept != NULL && kept->err != 0) {
		redisFree(kept);
		kept = NULL;
	}
	if (kept == NULL)
		kept = redisConnect("127.0.0.1", server_port(server));
	assert_true(kept != NULL && kept->err == 0);
	return kept;
}

// The reply to a command, to be freed by the caller.
static redisReply *ask(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = redisvCommand(client(), format, args);
	va_end(args);
	if (reply == NULL) { // the connection was from before a restart
		va_start(args, format);
		reply = redisvCommand(client(), format, args);
		va_end(args);
	}
	assert_non_null(reply);
	return reply;
}

static void command(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = redisvCommand(client(), format, args);
	va_end(args);
	assert_non_null(reply);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", format, reply->str);
	freeReplyObject(reply);
}

static long long number(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = redisvCommand(client(), format, args);
	va_end(args);
	assert_non_null(reply);
	long long result = reply->type == REDIS_REPLY_INTEGER ? reply->integer
					   : reply->str != NULL               ? atoll(reply->str)
														  : -1;
	freeReplyObject(reply);
	return result;
}

// --- the sink

static void set_url(struct contract_settings *settings, const char *credentials, const char *rest)
{
	char url[200];
	snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d%s", credentials, (int)server_port(server), rest);
	contract_set(settings, "url", url);
}

static void redis_fresh(void *arg, struct contract_settings *settings)
{
	const char *stream = arg;
	freeReplyObject(ask("PING"));
	command("FLUSHALL");
	set_url(settings, "", "/0");
	contract_set(settings, "stream", stream);
}

static struct meow_bytes field(const redisReply *fields, const char *name)
{
	for (size_t i = 0; i + 1 < fields->elements; i += 2)
		if (strcmp(fields->element[i]->str, name) == 0)
			return (struct meow_bytes){fields->element[i + 1]->str, (size_t)fields->element[i + 1]->len};
	return (struct meow_bytes){0};
}

static void read_stream(const char *name, struct contract_log *log)
{
	redisReply *entries = ask("XRANGE %s - +", name);
	assert_int_equal(entries->type, REDIS_REPLY_ARRAY);
	for (size_t i = 0; i < entries->elements; i++) {
		const redisReply *id = entries->element[i]->element[0], *fields = entries->element[i]->element[1];
		struct contract_entry entry = {
			.position = atoll(id->str),
			.aggregate_type = field(fields, "aggregate_type"),
			.aggregate_id = field(fields, "aggregate_id"),
			.type = field(fields, "type"),
			.data = field(fields, "data"),
		};
		assert_true(text_to_int64(field(fields, "version"), &entry.version));
		assert_string_equal(strchr(id->str, '-'), "-0");
		contract_log_add(log, &entry);
	}
	freeReplyObject(entries);
}

static void redis_read(void *arg, struct contract_log *log)
{
	(void)arg;
	freeReplyObject(ask("PING"));
	redisReply *keys = ask("KEYS events*");
	for (size_t i = 0; i < keys->elements; i++)
		read_stream(keys->element[i]->str, log);
	freeReplyObject(keys);
}

static void redis_stop(void *arg)
{
	(void)arg;
	server_kill(server);
}

static void redis_restart(void *arg)
{
	(void)arg;
	server_again(server);
}

static void redis_spoil(void *arg, struct meow_event *event)
{
	(void)arg;
	static char data[SPOILED_BYTES + 1];
	memset(data, '1', SPOILED_BYTES);
	event->data = (struct meow_bytes){data, SPOILED_BYTES};
}

static void redis_intrude(void *arg, int64_t position)
{
	const char *stream = arg;
	command("XADD %s %lld-0 who somebody", strchr(stream, '{') == NULL ? stream : "events:order", (long long)position);
}

static char one_stream[] = "events";
static char stream_per_category[] = "events:{aggregate_type}";

static const struct contract_sink sink = {
	.impl = &redis_connector,
	.arg = one_stream,
	.fresh = redis_fresh,
	.read = redis_read,
	.stop = redis_stop,
	.start = redis_restart,
	.spoil = redis_spoil,
	.intrude = redis_intrude,
	.keeps_memory = true,
	.total_order = true,
};

static const struct contract_sink sink_per_category = {
	.impl = &redis_connector,
	.arg = stream_per_category,
	.fresh = redis_fresh,
	.read = redis_read,
	.stop = redis_stop,
	.start = redis_restart,
	.spoil = redis_spoil,
	.keeps_memory = true,
};

// --- cases of its own

struct fixture {
	struct contract_settings *settings;
	struct contract_relay relay;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->settings = contract_settings_create(&redis_connector);
	redis_fresh(one_stream, fixture->settings);
	contract_relay_init(&fixture->relay, &sink, fixture->settings);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	free(fixture);
	return 0;
}

// Begins anew with other settings: a name and a value each, and NULL.
static void use_settings(struct fixture *fixture, const char *credentials, const char *rest, ...)
	__attribute__((sentinel));

static void use_settings(struct fixture *fixture, const char *credentials, const char *rest, ...)
{
	va_list args;
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	fixture->settings = contract_settings_create(&redis_connector);
	set_url(fixture->settings, credentials, rest);
	contract_set(fixture->settings, "stream", "events");
	va_start(args, rest);
	for (const char *name = va_arg(args, const char *); name != NULL; name = va_arg(args, const char *)) {
		const char *value = va_arg(args, const char *);
		if (strchr(name, '.') == NULL)
			contract_set(fixture->settings, name, value);
		else
			contract_set_item(fixture->settings, "streams", strchr(name, '.') + 1, value);
	}
	va_end(args);
	contract_relay_init(&fixture->relay, &sink, fixture->settings);
}

static void open_until_over(struct contract_relay *relay)
{
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
}

static void assert_failed(const struct contract_relay *relay, enum meow_error_kind kind, const char *text)
{
	assert_true(relay->failed);
	if (relay->error.kind != kind || strstr(relay->error.text, text) == NULL)
		fail_msg("kind %d, text: %s", (int)relay->error.kind, relay->error.text);
}

static void test_out_of_memory_in_the_middle_of_a_batch_applies_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redisReply *info = ask("INFO memory");
	const char *used = strstr(info->str, "used_memory:");
	assert_non_null(used);
	command("CONFIG SET maxmemory %lld", atoll(used + strlen("used_memory:")) + 300000);
	freeReplyObject(info);
	contract_send(relay, contract_batch(51, 3000));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	command("CONFIG SET maxmemory 0");
	assert_true(over);
	assert_failed(relay, MEOW_UNAVAILABLE, "out of memory");
	contract_check(relay, 50);
	assert_true(contract_publish(relay, 3050, LONG_MS));
	contract_check(relay, 3050);
}

static void test_a_replica_is_waited_for(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	command("REPLICAOF 127.0.0.1 1");
	contract_send(relay, contract_batch(51, 10));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	struct meow_error middle = relay->error;
	contract_close(relay);
	open_until_over(relay);
	command("REPLICAOF NO ONE");
	assert_true(over);
	assert_true(error_may_retry(middle.kind));
	assert_failed(relay, MEOW_UNAVAILABLE, "read-only replica");
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_a_key_of_another_type_stops_and_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	command("SET events hello");
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_failed(relay, MEOW_CONFIG, "\"events\"");
	assert_false(error_may_retry(relay->error.kind));
	contract_close(relay);
	assert_int_equal(number("EXISTS %s", POSITION_KEY), 0);
}

static void test_a_position_key_of_another_type_stops_and_is_named(void **state)
{
	struct fixture *fixture = *state;
	command("SET %s hello", POSITION_KEY);
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, "position key");
	contract_close(&fixture->relay);
	command("DEL %s", POSITION_KEY);
	command("HSET %s delivered hello", POSITION_KEY);
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, POSITION_KEY);
}

static void test_a_stream_that_somebody_else_writes_to_stops_before_anything_is_added(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	command("XADD events * who somebody");
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_failed(relay, MEOW_CONFIG, "somebody else writes to it");
	assert_int_equal(number("XLEN events"), 1);
	assert_int_equal(number("EXISTS %s", POSITION_KEY), 0);
}

static void test_a_stream_that_was_deleted_from_above_stops_too(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	command("XADD events 900-0 who somebody");
	command("XDEL events 900-0"); // last-generated-id stays
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_failed(relay, MEOW_CONFIG, "900-0");
}

static void test_a_position_key_that_is_gone_is_said_to_be_empty(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	command("DEL %s", POSITION_KEY);
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_EMPTY);
	assert_int_equal(redis_connector.when_empty, SINK_STOP);
	assert_string_equal(redis_connector.stop_advice, "bring its data back");
	// The operator resumed: it goes on behind the checkpoint.
	relay->sink->impl->begin(relay->connector, 50, NULL);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	contract_check(relay, 60);
}

static void test_a_position_key_that_goes_in_the_middle_is_noticed(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	command("DEL %s", POSITION_KEY);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_failed(relay, MEOW_CONFLICT, POSITION_KEY);
	contract_check(relay, 50);
}

static void test_a_second_relay_takes_over_and_nothing_is_twice(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay, other;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_relay_init(&other, &sink, fixture->settings);
	bool published = contract_publish(&other, 100, LONG_MS);
	contract_send(relay, contract_batch(51, 50));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	contract_relay_finish(&other);
	assert_true(published && over);
	assert_true(relay->failed && relay->error.kind == MEOW_CONFLICT);
	contract_check(relay, 100);
}

struct killer {
	pthread_t thread;
	atomic_bool done;
	int kills;
};

static void *kill_connections(void *arg)
{
	struct killer *killer = arg;
	redisContext *context = redisConnect("127.0.0.1", server_port(server));
	while (context != NULL && !killer->done) {
		redisReply *reply = redisCommand(context, "CLIENT KILL TYPE normal SKIPME yes");
		if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
			killer->kills += (int)reply->integer;
		freeReplyObject(reply);
		usleep(15000);
	}
	if (context != NULL)
		redisFree(context);
	return NULL;
}

static void test_killed_connections_lose_nothing_and_add_nothing_twice(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	struct killer killer = {.done = false};
	relay->batch_events = 100;
	assert_int_equal(pthread_create(&killer.thread, NULL, kill_connections, &killer), 0);
	for (int64_t target = 5000; target <= 200000 && killer.kills < 20; target += 5000)
		if (!contract_publish(relay, target, LONG_MS))
			break;
	int64_t reached = relay->mark;
	killer.done = true;
	pthread_join(killer.thread, NULL);
	assert_true(killer.kills >= 20);
	freeReplyObject(ask("PING"));
	contract_close(relay);
	assert_true(contract_publish(relay, reached + 10, LONG_MS));
	contract_check(relay, reached + 10);
}

static void test_consumers_that_delete_and_trim_do_not_stop_a_route(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	command("XTRIM events MAXLEN 10");
	assert_true(contract_publish(relay, 60, LONG_MS));
	contract_close(relay);
	command("XTRIM events MAXLEN 0");
	assert_true(contract_publish(relay, 70, LONG_MS));
	assert_int_equal(number("XLEN events"), 10);
}

static void test_an_entry_that_is_missing_stops_and_names_the_way_out(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	command("COPY events kept");
	command("DEL events"); // and now all of it again, without 48
	for (int id = 1; id <= 50; id++)
		if (id != 48)
			command("XADD events %d-0 type x", id);
	open_until_over(relay);
	assert_failed(relay, MEOW_CONFIG, "48-0");
	assert_false(error_may_retry(relay->error.kind));
	char expected[100];
	snprintf(expected, sizeof(expected), "redis-cli -n 0 HDEL %s entries", POSITION_KEY);
	assert_non_null(strstr(relay->error.text, expected));
	contract_close(relay);
	command("HDEL %s entries", POSITION_KEY);
	open_until_over(relay);
	assert_true(relay->opened);
}

// As after a failover to a replica that had less: key and stream fall back together.
static void test_a_redis_that_fell_back_gets_the_rest_again(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	command("COPY events older");
	command("COPY %s older-position", POSITION_KEY);
	assert_true(contract_publish(relay, 80, LONG_MS));
	contract_close(relay);
	command("RENAME older events");
	command("RENAME older-position %s", POSITION_KEY);
	assert_int_equal(redis_connector.when_behind, SINK_REWIND);
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 50);
	contract_close(relay);
	relay->mark = 50;
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

struct consumer {
	pthread_t thread;
	atomic_bool done;
	int64_t last;
	bool in_order;
};

// Deletes each entry once it has it, as some consumers do: that touches a watched stream.
static void *consume(void *arg)
{
	struct consumer *consumer = arg;
	redisContext *context = redisConnect("127.0.0.1", server_port(server));
	consumer->in_order = context != NULL && context->err == 0;
	while (consumer->in_order && !consumer->done) {
		redisReply *reply = redisCommand(context, "XRANGE events - + COUNT 10");
		for (size_t i = 0; reply != NULL && i < reply->elements; i++) {
			const char *id = reply->element[i]->element[0]->str;
			consumer->in_order = consumer->in_order && atoll(id) == ++consumer->last;
			freeReplyObject(redisCommand(context, "XDEL events %s", id));
		}
		freeReplyObject(reply);
	}
	if (context != NULL)
		redisFree(context);
	return NULL;
}

static void test_a_consumer_that_deletes_while_events_flow_gets_each_once(void **state)
{
	struct fixture *fixture = *state;
	struct consumer consumer = {.done = false};
	assert_int_equal(pthread_create(&consumer.thread, NULL, consume, &consumer), 0);
	bool published = contract_publish(&fixture->relay, 2000, LONG_MS);
	for (int tries = 0; published && tries < 500 && number("XLEN events") > 0; tries++)
		usleep(10000);
	consumer.done = true;
	pthread_join(consumer.thread, NULL);
	assert_true(published && consumer.in_order);
	assert_int_equal(consumer.last, 2000);
}

static void test_a_stream_that_is_gone_stops(void **state)
{
	struct fixture *fixture = *state;
	assert_true(contract_publish(&fixture->relay, 50, LONG_MS));
	contract_close(&fixture->relay);
	command("DEL events");
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, "lacks the entry");
}

static void test_an_older_generation_does_not_count_and_a_rewound_stream_stops(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	relay->generation = 3;
	relay->mark = 20;
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_NONE);
	relay->sink->impl->begin(relay->connector, 20, NULL);
	contract_send(relay, contract_batch(21, 5));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	assert_failed(relay, MEOW_CONFIG, "the route went back");
	contract_close(relay);

	use_settings(fixture, "", "", "stream", "events-{generation}", NULL);
	relay->generation = 3;
	relay->mark = 20;
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 20, NULL);
	contract_send(relay, contract_batch(21, 5));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 25);
	redisReply *entries = ask("XRANGE events-3 25 25");
	struct meow_bytes generation = field(entries->element[0]->element[1], "generation");
	assert_string_equal(generation.data, "3");
	freeReplyObject(entries);
	contract_close(relay);
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_kind == MEMORY_HELD && relay->memory_delivered == 25);
}

static void send_one(struct contract_relay *relay, const struct meow_event *event)
{
	struct batch *batch = batch_create();
	assert_true(batch != NULL && batch_add(batch, event));
	batch->position = event->position;
	contract_send(relay, batch);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed)
		fail_msg("%s", relay->error.text);
}

static void assert_field(const redisReply *fields, const char *name, const char *expected)
{
	struct meow_bytes value = field(fields, name);
	if (expected == NULL)
		assert_null(value.data);
	else
		assert_true(bytes_equal(value, bytes_of(expected)));
}

static void test_the_fields_are_those_of_the_conventions(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	const struct meow_event event = {
		.position = 7,
		.version = 2,
		.time_us = 1700000000123456,
		.aggregate_type = MEOW_BYTES("order"),
		.aggregate_id = MEOW_BYTES("a 1"),
		.type = MEOW_BYTES("placed"),
		.data = MEOW_BYTES("{\"n\": 1.0}\n"),
		.metadata = MEOW_BYTES("{\"traceparent\":\"x\"}"),
	};
	struct meow_event bare = event;
	bare.position = 8;
	bare.time_us = MEOW_NO_TIME;
	bare.metadata = (struct meow_bytes){0};
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	send_one(relay, &event);
	send_one(relay, &bare);
	redisReply *entries = ask("XRANGE events - +");
	assert_int_equal(entries->elements, 2);
	assert_string_equal(entries->element[0]->element[0]->str, "7-0");
	const redisReply *fields = entries->element[0]->element[1];
	assert_int_equal(fields->elements, 14);
	assert_field(fields, "type", "placed");
	assert_field(fields, "aggregate_type", "order");
	assert_field(fields, "aggregate_id", "a 1");
	assert_field(fields, "version", "2");
	assert_field(fields, "time", "2023-11-14T22:13:20.123456Z");
	assert_field(fields, "data", "{\"n\": 1.0}\n");
	assert_field(fields, "metadata", "{\"traceparent\":\"x\"}");
	fields = entries->element[1]->element[1];
	assert_int_equal(fields->elements, 10);
	assert_field(fields, "time", NULL);
	assert_field(fields, "metadata", NULL);
	freeReplyObject(entries);
	redisReply *position = ask("HGETALL %s", POSITION_KEY);
	assert_field(position, "delivered", "8");
	assert_field(position, "previous", "7");
	assert_field(position, "generation", "0");
	freeReplyObject(position);
	redisReply *epoch = ask("GET %s:epoch", POSITION_KEY);
	assert_int_equal(strncmp(epoch->str, "0.", 2), 0);
	freeReplyObject(epoch);
}

static void check_event_and_type(struct fixture *fixture, const char *format, const char *begin)
{
	fixture->relay.format = format;
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	redisReply *entries = ask("XRANGE events 1 1");
	assert_int_equal(entries->elements, 1);
	const redisReply *fields = entries->element[0]->element[1];
	assert_int_equal(fields->elements, 4);
	assert_non_null(field(fields, "type").data);
	struct meow_bytes event = field(fields, "event");
	assert_true(event.size > strlen(begin) && memcmp(event.data, begin, strlen(begin)) == 0);
	freeReplyObject(entries);
}

static void test_envelope_has_event_and_type(void **state)
{
	check_event_and_type(*state, "envelope", "{\"position\":1,\"aggregate_type\":");
}

static void test_msgpack_has_event_and_type(void **state)
{
	struct fixture *fixture = *state;
	fixture->relay.format = "msgpack";
	assert_true(contract_publish(&fixture->relay, 1, LONG_MS));
	redisReply *entries = ask("XRANGE events 1 1");
	struct meow_bytes event = field(entries->element[0]->element[1], "event");
	assert_true(event.size > 10 && (event.data[0] & 0xf0) == 0x80); // a small map
	assert_int_equal(entries->element[0]->element[1]->elements, 4);
	freeReplyObject(entries);
}

static void test_large_and_small_values_mix(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	static const size_t sizes[] = {10, 16 * 1024 - 1, 16 * 1024, 100000, 3, 1000000, 200000, 20, 131072, 40000};
	const size_t count = sizeof(sizes) / sizeof(*sizes);
	const char *formats[] = {"data", "envelope"};
	char *data = malloc(1000001);
	assert_non_null(data);
	for (size_t f = 0; f < 2; f++) {
		struct batch *batch = batch_create();
		assert_non_null(batch);
		relay->format = formats[f];
		open_until_over(relay);
		relay->sink->impl->begin(relay->connector, relay->mark, NULL);
		for (size_t i = 0; i < count; i++) {
			struct contract_texts texts;
			struct meow_event event = contract_event((int64_t)(f * 100 + i + 1), &texts);
			memset(data, 'a' + (int)i, sizes[i]);
			data[0] = data[sizes[i] - 1] = '"';
			event.data = (struct meow_bytes){data, sizes[i]};
			if (i % 3 == 0)
				event.metadata = event.data;
			assert_true(batch_add(batch, &event));
			batch->position = event.position;
		}
		contract_send(relay, batch);
		assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
		contract_close(relay);
	}
	redisReply *entries = ask("XRANGE events - +");
	assert_int_equal(entries->elements, 2 * count);
	for (size_t i = 0; i < count; i++) {
		struct meow_bytes plain = field(entries->element[i]->element[1], "data");
		struct meow_bytes enveloped = field(entries->element[count + i]->element[1], "event");
		assert_int_equal(plain.size, sizes[i]);
		for (size_t at = 1; at + 1 < plain.size; at++)
			if (plain.data[at] != 'a' + (int)i)
				fail_msg("event %zu differs at %zu", i, at);
		assert_non_null(memmem(enveloped.data, enveloped.size, plain.data, plain.size));
	}
	freeReplyObject(entries);
	free(data);
}

static void test_a_map_gives_names_in_place_of_the_template(void **state)
{
	struct fixture *fixture = *state;
	use_settings(fixture, "", "/0", "stream", "events:{aggregate_type}", "streams.order", "events of orders", NULL);
	assert_true(contract_publish(&fixture->relay, 100, LONG_MS));
	assert_true(number("XLEN %s", "events of orders") > 0);
	assert_int_equal(number("EXISTS events:order"), 0);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 110, LONG_MS)); // looked up under the same names
}

static void test_a_stream_for_each_aggregate_and_more_than_are_remembered(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use_settings(fixture, "", "", "stream", "s:{aggregate_id}", NULL);
	open_until_over(relay);
	relay->sink->impl->begin(relay->connector, 0, NULL);
	for (int64_t position = 1; position <= 20000;) {
		struct batch *batch = batch_create();
		assert_non_null(batch);
		for (int i = 0; i < 500; i++, position++) {
			char id[32];
			struct contract_texts texts;
			struct meow_event event = contract_event(position, &texts);
			snprintf(id, sizeof(id), "%lld", (long long)position % 10000);
			event.aggregate_id = bytes_of(id);
			assert_true(batch_add(batch, &event));
			batch->position = position;
		}
		contract_send(relay, batch);
	}
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 20000);
	assert_int_equal(number("XLEN s:77"), 2);
	assert_int_equal(number("DBSIZE"), 10002);
	contract_close(relay);
	open_until_over(relay);
	assert_true(relay->opened && relay->memory_delivered == 20000);
}

static void test_maxlen_trims(void **state)
{
	struct fixture *fixture = *state;
	use_settings(fixture, "", "", "maxlen", "500", NULL);
	assert_true(contract_publish(&fixture->relay, 3000, LONG_MS));
	long long left = number("XLEN events");
	assert_true(left >= 500 && left < 1000);
	contract_close(&fixture->relay);
	assert_true(contract_publish(&fixture->relay, 3010, LONG_MS));
}

static void test_passwords(void **state)
{
	struct fixture *fixture = *state;
	command("CONFIG SET requirepass s3/cret");
	command("ACL SETUSER relay on >p%%40ss ~* &* +@all");
	static const struct {
		const char *credentials;
		enum meow_error_kind kind;
		const char *text;
	} tries[] = {
		{"", MEOW_DENIED, "wants a password"},
		{":wrong@", MEOW_DENIED, "correct `url`"},
		{":s3%2Fcret@", MEOW_ERROR_NONE, ""},
		{"relay:p%2540ss@", MEOW_ERROR_NONE, ""},
		{"relay:s3%2Fcret@", MEOW_DENIED, "correct `url`"},
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		use_settings(fixture, tries[i].credentials, "", NULL);
		open_until_over(&fixture->relay);
		const struct contract_relay *relay = &fixture->relay;
		bool right = tries[i].kind == MEOW_ERROR_NONE ? relay->opened
													  : relay->failed && relay->error.kind == tries[i].kind &&
															strstr(relay->error.text, tries[i].text) != NULL;
		bool leaks = strstr(relay->error.text, "wrong@") != NULL || strstr(relay->error.text, "cret") != NULL;
		if (!right || leaks) {
			command("CONFIG SET requirepass %s", "");
			fail_msg("%s: %s", tries[i].credentials, relay->error.text);
		}
	}
	command("CONFIG SET requirepass %s", "");
	command("ACL DELUSER relay");
}

static void test_a_user_who_may_not_ask_for_more_can_still_be_used(void **state)
{
	struct fixture *fixture = *state;
	command(
		"ACL SETUSER relay on >pw ~events ~meowmx:* +set +get +hmget +hset +xadd +xinfo +xrange +watch +multi +exec "
		"+select");
	use_settings(fixture, "relay:pw@", "", NULL);
	bool published = contract_publish(&fixture->relay, 100, LONG_MS);
	contract_close(&fixture->relay);
	command("ACL SETUSER relay resetkeys ~meowmx:*");
	open_until_over(&fixture->relay);
	if (fixture->relay.opened) {
		fixture->relay.sink->impl->begin(fixture->relay.connector, 100, NULL);
		contract_send(&fixture->relay, contract_batch(101, 5));
		assert_true(contract_wait(&fixture->relay, contract_is_over, LONG_MS));
	}
	command("ACL DELUSER relay");
	assert_true(published);
	assert_failed(&fixture->relay, MEOW_DENIED, "lacks a right");
}

static void test_another_database(void **state)
{
	struct fixture *fixture = *state;
	use_settings(fixture, "", "/3", NULL);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	command("SELECT 3");
	long long length = number("XLEN events");
	command("SELECT 0");
	assert_int_equal(length, 10);
	assert_int_equal(number("EXISTS events"), 0);
	use_settings(fixture, "", "/999", NULL);
	open_until_over(&fixture->relay);
	assert_failed(&fixture->relay, MEOW_CONFIG, "database");
}

static void test_a_cluster_is_refused(void **state)
{
	struct fixture *fixture = *state;
	struct server *kept = server;
	server = server_start("redis", "cluster-enabled=yes", NULL);
	use_settings(fixture, "", "", NULL);
	open_until_over(&fixture->relay);
	struct contract_relay *relay = &fixture->relay;
	bool right =
		relay->failed && relay->error.kind == MEOW_CONFIG && strstr(relay->error.text, "not supported") != NULL;
	server_destroy(server);
	server = kept;
	assert_true(right);
}

static bool is_accepted(const char *name, const char *value, struct meow_error *ret_err)
{
	struct contract_settings *settings = contract_settings_create(&redis_connector);
	contract_set(settings, "url", "redis://localhost");
	contract_set(settings, "stream", "events");
	contract_set(settings, name, value);
	bool ok = contract_load(settings, ret_err);
	contract_settings_destroy(settings);
	return ok;
}

static void test_settings_are_checked(void **state)
{
	(void)state;
	static const struct {
		const char *name, *value, *text; // text: of the reason, NULL if it is fine
	} tries[] = {
		{"url", "redis://localhost", NULL},
		{"url", "redis://:pw@[::1]:6380/2", NULL},
		{"url", "rediss://localhost", "TLS"},
		{"url", "http://localhost", "must begin with redis://"},
		{"url", "redis://", "no host"},
		{"url", "redis://localhost:port", "port"},
		{"url", "redis://localhost:0", "port"},
		{"url", "redis://localhost/zero", "database"},
		{"url", "redis://localhost?x=1", "?"},
		{"url", "redis://user@localhost", "password"},
		{"url", "redis://:a%zzb@localhost", "%25"},
		{"stream", "events:{nothing}", "nothing"},
		{"stream", "{aggregate_type", "stream"},
		{"maxlen", "-1", "maxlen"},
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		struct meow_error err = {0};
		bool ok = is_accepted(tries[i].name, tries[i].value, &err);
		if (ok != (tries[i].text == NULL) ||
			(!ok && (err.kind != MEOW_CONFIG || strstr(err.text, tries[i].text) == NULL)))
			fail_msg("%s: %s: %s", tries[i].name, tries[i].value, err.text);
	}
}

static void test_two_routes_may_not_share_a_stream(void **state)
{
	(void)state;
	static const char *const urls[] = {"redis://localhost/0", "redis://u:p@localhost:6379", "redis://localhost/1"};
	char *texts[3];
	for (size_t i = 0; i < 3; i++) {
		struct contract_settings *settings = contract_settings_create(&redis_connector);
		contract_set(settings, "url", urls[i]);
		contract_set(settings, "stream", "events");
		texts[i] = redis_connector.exclusive(contract_section(settings));
		contract_settings_destroy(settings);
		assert_non_null(texts[i]);
		assert_null(strstr(texts[i], "u:p"));
	}
	assert_string_equal(texts[0], texts[1]);
	assert_string_not_equal(texts[0], texts[2]);
	for (size_t i = 0; i < 3; i++)
		free(texts[i]);
}

int main(void)
{
	server = server_start("redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", NULL);
	const struct CMUnitTest cases[] = {
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
		CASE(test_out_of_memory_in_the_middle_of_a_batch_applies_nothing),
		CASE(test_a_replica_is_waited_for),
		CASE(test_a_key_of_another_type_stops_and_is_named),
		CASE(test_a_position_key_of_another_type_stops_and_is_named),
		CASE(test_a_stream_that_somebody_else_writes_to_stops_before_anything_is_added),
		CASE(test_a_stream_that_was_deleted_from_above_stops_too),
		CASE(test_a_position_key_that_is_gone_is_said_to_be_empty),
		CASE(test_a_position_key_that_goes_in_the_middle_is_noticed),
		CASE(test_a_second_relay_takes_over_and_nothing_is_twice),
		CASE(test_killed_connections_lose_nothing_and_add_nothing_twice),
		CASE(test_consumers_that_delete_and_trim_do_not_stop_a_route),
		CASE(test_an_entry_that_is_missing_stops_and_names_the_way_out),
		CASE(test_a_redis_that_fell_back_gets_the_rest_again),
		CASE(test_a_consumer_that_deletes_while_events_flow_gets_each_once),
		CASE(test_a_stream_that_is_gone_stops),
		CASE(test_an_older_generation_does_not_count_and_a_rewound_stream_stops),
		CASE(test_the_fields_are_those_of_the_conventions),
		CASE(test_envelope_has_event_and_type),
		CASE(test_msgpack_has_event_and_type),
		CASE(test_large_and_small_values_mix),
		CASE(test_a_map_gives_names_in_place_of_the_template),
		CASE(test_a_stream_for_each_aggregate_and_more_than_are_remembered),
		CASE(test_maxlen_trims),
		CASE(test_passwords),
		CASE(test_a_user_who_may_not_ask_for_more_can_still_be_used),
		CASE(test_another_database),
		CASE(test_a_cluster_is_refused),
		CASE(test_settings_are_checked),
		CASE(test_two_routes_may_not_share_a_stream),
	};
	int failed = contract_run("redis contract, one stream", &sink);
	failed += contract_run("redis contract, a stream per category", &sink_per_category);
	failed += cmocka_run_group_tests_name("redis", cases, NULL, NULL);
	server_destroy(server);
	return failed == 0 ? 0 : 1;
}
