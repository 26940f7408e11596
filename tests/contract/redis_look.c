// redis_look.c: see redis_look.h.
#include "redis_look.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPOILED_BYTES ((size_t)2 * 1024 * 1024) // above the server's proto-max-bulk-len

struct server *redis_server;

// --- asking the redis_server

redisContext *redis_connect(void)
{
	redisContext *context = redisConnect("127.0.0.1", server_port(redis_server));
	assert_true(context != NULL && context->err == 0);
	return context;
}

static redisContext *client(void)
{
	static redisContext *kept;
	static uint16_t port;
	if (kept != NULL && (kept->err != 0 || port != server_port(redis_server))) {
		redisFree(kept);
		kept = NULL;
	}
	if (kept == NULL) {
		port = server_port(redis_server);
		kept = redis_connect();
	}
	return kept;
}

// The reply to a command, to be freed by the caller.
// Once more when the connection was from before a restart or a failover.
static redisReply *ask(const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	redisReply *reply = redisvCommand(client(), format, args);
	if (reply == NULL)
		reply = redisvCommand(client(), format, again);
	va_end(again);
	assert_non_null(reply);
	return reply;
}

redisReply *redis_ask(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = ask(format, args);
	va_end(args);
	return reply;
}

void redis_do(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = ask(format, args);
	va_end(args);
	if (reply->type == REDIS_REPLY_ERROR)
		fail_msg("%s: %s", format, reply->str);
	freeReplyObject(reply);
}

long long redis_number(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	redisReply *reply = ask(format, args);
	va_end(args);
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
	snprintf(url, sizeof(url), "redis://%s127.0.0.1:%d%s", credentials, (int)server_port(redis_server), rest);
	contract_set(settings, "url", url);
}

static void redis_fresh(void *arg, struct contract_settings *settings)
{
	const char *stream = arg;
	freeReplyObject(redis_ask("PING"));
	redis_do("FLUSHALL");
	set_url(settings, "", "/0");
	contract_set(settings, "stream", stream);
}

struct meow_bytes redis_field(const redisReply *fields, const char *name)
{
	for (size_t i = 0; i + 1 < fields->elements; i += 2)
		if (strcmp(fields->element[i]->str, name) == 0)
			return (struct meow_bytes){fields->element[i + 1]->str, (size_t)fields->element[i + 1]->len};
	return (struct meow_bytes){0};
}

void redis_assert_field(const redisReply *fields, const char *name, const char *expected)
{
	struct meow_bytes value = redis_field(fields, name);
	if (expected == NULL)
		assert_null(value.data);
	else
		assert_true(bytes_equal(value, bytes_of(expected)));
}

static void read_stream(const char *name, struct contract_log *log)
{
	redisReply *entries = redis_ask("XRANGE %s - +", name);
	assert_int_equal(entries->type, REDIS_REPLY_ARRAY);
	for (size_t i = 0; i < entries->elements; i++) {
		const redisReply *id = entries->element[i]->element[0], *fields = entries->element[i]->element[1];
		struct contract_entry entry = {
			.position = atoll(id->str),
			.aggregate_type = redis_field(fields, "aggregate_type"),
			.aggregate_id = redis_field(fields, "aggregate_id"),
			.type = redis_field(fields, "type"),
			.data = redis_field(fields, "data"),
		};
		assert_true(text_to_int64(redis_field(fields, "version"), &entry.version));
		assert_string_equal(strchr(id->str, '-'), "-0");
		contract_log_add(log, &entry);
	}
	freeReplyObject(entries);
}

static void redis_read(void *arg, struct contract_log *log)
{
	(void)arg;
	freeReplyObject(redis_ask("PING"));
	redisReply *keys = redis_ask("KEYS events*");
	for (size_t i = 0; i < keys->elements; i++)
		read_stream(keys->element[i]->str, log);
	freeReplyObject(keys);
}

static void redis_stop(void *arg)
{
	(void)arg;
	server_kill(redis_server);
}

static void redis_restart(void *arg)
{
	(void)arg;
	server_again(redis_server);
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
	redis_do("XADD %s %lld-0 who somebody", strchr(stream, '{') == NULL ? stream : "events:order", (long long)position);
}

static char one_stream[] = "events";
static char stream_per_category[] = "events:{aggregate_type}";

const struct contract_sink redis_sink = {
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

const struct contract_sink redis_sink_per_category = {
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

int redis_setup(void **state)
{
	struct redis_case *fixture = calloc(1, sizeof(*fixture));
	assert_non_null(fixture);
	fixture->settings = contract_settings_create(&redis_connector);
	redis_fresh(one_stream, fixture->settings);
	contract_relay_init(&fixture->relay, &redis_sink, fixture->settings);
	*state = fixture;
	return 0;
}

int redis_teardown(void **state)
{
	struct redis_case *fixture = *state;
	contract_relay_finish(&fixture->relay);
	contract_settings_destroy(fixture->settings);
	free(fixture);
	return 0;
}

void redis_settings(struct redis_case *fixture, const char *credentials, const char *rest, ...)
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
	contract_relay_init(&fixture->relay, &redis_sink, fixture->settings);
}

void redis_open(struct contract_relay *relay)
{
	assert_true(contract_open(relay));
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
}

void redis_assert_failed(const struct contract_relay *relay, enum meow_error_kind kind, const char *text)
{
	assert_true(relay->failed);
	if (relay->error.kind != kind || strstr(relay->error.text, text) == NULL)
		fail_msg("kind %d, text: %s", (int)relay->error.kind, relay->error.text);
}

void redis_begin(struct contract_relay *relay, int64_t position)
{
	redis_open(relay);
	if (!relay->opened)
		fail_msg("%s", relay->error.text);
	relay->sink->impl->begin(relay->connector, position, NULL);
}
