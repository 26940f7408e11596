// redis.c: the life of a Redis connector. Entries have explicit ids (<position>-0), and each batch is one MULTI/EXEC that
// also sets the position key, guarded by what was read before it: so a batch is there whole or not at all, no entry is
// there twice, and Redis itself knows where to go on.
//
// Refused: Redis Cluster, a stream that anybody else writes to, a key of another type.
#include "connectors/redis/redis_part.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STORE_DIGITS 8
// An answer whose connection has silently gone never comes. A Redis that a script holds up for longer is asked again on
// the next connection, which costs little: what of the last one was done shows there.
#define SILENCE_LIMIT_S 5
#define ENCODED_EXTRA 1024 // what an envelope adds to data and metadata, generously

static const struct setting redis_settings[] = {
	{.name = "url",
		.type = SETTING_URL,
		.required = true,
		.help = "redis://[[user]:password@]host[:port][/database], rediss:// with TLS, or "
				"redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/database]"},
	{.name = "stream",
		.type = SETTING_TEXT,
		.required = true,
		.help = "the stream's name, a template: \"events:{aggregate_type}\""},
	{.name = "streams", .type = SETTING_MAP, .help = "names of streams by aggregate type, in place of the template's"},
	{.name = "maxlen",
		.type = SETTING_INTEGER,
		.initial = "0",
		.least = 0,
		.most = INT64_MAX,
		.help = "how many entries a stream keeps (MAXLEN); 0 keeps all"},
	{.name = "minid",
		.type = SETTING_INTEGER,
		.initial = "0",
		.least = 0,
		.most = INT64_MAX,
		.help = "how many positions of the store a stream reaches back (MINID, from Redis 6.2 on); 0 keeps all"},
	{.name = "trim",
		.type = SETTING_CHOICE,
		.initial = "approximate",
		.choices = "approximate|exact",
		.help = "approximate keeps somewhat more than maxlen and minid say and costs nearly nothing; exact keeps just "
				"that"},
	{.name = "wait",
		.type = SETTING_INTEGER,
		.initial = "0",
		.least = 0,
		.most = 100,
		.help = "how many replicas must have a batch before it counts as delivered (WAIT)"},
	{.name = "wait_timeout",
		.type = SETTING_DURATION,
		.initial = "5s",
		.least = 1,
		.most = 20000,
		.help = "how long it waits for them before the route recovers and asks again"},
	{.name = "sentinel_user", .type = SETTING_TEXT, .help = "user for the Sentinels, whose users are their own"},
	{.name = "sentinel_password", .type = SETTING_SECRET, .help = "password for the Sentinels"},
	{.name = "tls_ca",
		.type = SETTING_TEXT,
		.help = "file with the certificates (PEM) that are trusted with rediss://; absent: those of the system"},
	{.name = "tls_cert", .type = SETTING_TEXT, .help = "file with this client's certificate (PEM), with tls_key"},
	{.name = "tls_key", .type = SETTING_TEXT, .help = "file with the key of tls_cert (PEM)"},
	{0},
};

static struct redis *of_connector(struct connector *connector)
{
	return (struct redis *)(void *)connector;
}

static void BASE_PRINTF(2, 3) tell(const struct config_report *report, const char *format, ...)
{
	struct meow_error err;
	char text[MEOW_ERROR_TEXT_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	error_set(&err, MEOW_CONFIG, "%s", text);
	config_tell(report, &err);
}

static void check_tls(
	const struct config_section *settings, const struct redis_url *url, const struct config_report *report)
{
	static const char *const names[] = {"tls_ca", "tls_cert", "tls_key"};
	for (size_t i = 0; !url->tls && i < sizeof(names) / sizeof(*names); i++)
		if (config_has(settings, names[i]))
			tell(report, "%s: the url has no TLS: write rediss://", names[i]);
	if (url->tls && config_has(settings, "tls_cert") != config_has(settings, "tls_key"))
		tell(report, "%s: tls_cert and tls_key need each other",
			config_has(settings, "tls_cert") ? "tls_cert" : "tls_key");
}

static void check_sentinel(
	const struct config_section *settings, const struct redis_url *url, const struct config_report *report)
{
	static const char *const names[] = {"sentinel_user", "sentinel_password"};
	for (size_t i = 0; url->master == NULL && i < sizeof(names) / sizeof(*names); i++)
		if (config_has(settings, names[i]))
			tell(report, "%s: the url has no Sentinel: write redis+sentinel://", names[i]);
	if (url->master != NULL && config_has(settings, "sentinel_user") && !config_has(settings, "sentinel_password"))
		tell(report, "sentinel_user: it needs sentinel_password");
}

static void redis_check(const struct config_section *settings, const struct config_report *report)
{
	struct meow_error why;
	struct redis_url url;
	if (redis_url_parse(config_text(settings, "url"), &url, &why)) {
		check_tls(settings, &url, report);
		check_sentinel(settings, &url, report);
		redis_url_finish(&url);
	} else {
		tell(report, "url: %s", why.text);
	}
	struct template *name = template_create(config_text(settings, "stream"), &why);
	if (name == NULL)
		tell(report, "stream: %s", why.text);
	template_destroy(name);
	for (size_t i = 0; i < config_count(settings, "streams"); i++)
		if (config_item(settings, "streams", i)[0] == '\0')
			tell(report, "streams: the name for \"%s\" is empty", config_item_key(settings, "streams", i));
}

static char *redis_exclusive(const struct config_section *settings)
{
	struct redis_url url;
	struct meow_error err;
	char *text = NULL;
	if (!redis_url_parse(config_text(settings, "url"), &url, &err))
		return NULL;
	if (asprintf(&text, "redis %s/%d %s", url.place, url.database, config_text(settings, "stream")) < 0)
		text = NULL;
	redis_url_finish(&url);
	return text;
}

// An entry's id is its position, so a stream can only be one partition's.
static bool redis_divisible(const struct config_section *settings, struct meow_error *err)
{
	struct template *name = template_create(config_text(settings, "stream"), err);
	bool divisible = name != NULL && template_uses(name, "partition");
	if (name != NULL && !divisible)
		error_set(err, MEOW_CONFIG, "stream: each partition needs streams of its own: put {partition} into the name");
	template_destroy(name);
	if (divisible && config_count(settings, "streams") > 0)
		return error_set(err, MEOW_CONFIG,
			"streams: each partition needs streams of its own, and these names are the same for all: leave them out");
	return divisible;
}

bool redis_fail(struct redis *redis, const struct meow_error *err)
{
	if (redis->wire != NULL) {
		wire_fail(redis->wire, err);
	} else {
		redis->error = *err;
		loop_timer_start(redis->fail, 0);
	}
	return false;
}

bool redis_fail_reply(struct redis *redis, const char *doing, const char *reply)
{
	struct meow_error err;
	redis_error(&err, redis->place, doing, reply);
	return redis_fail(redis, &err);
}

static void on_fail(void *arg)
{
	struct redis *redis = arg;
	struct meow_error err = redis->error;
	redis->context.host->failed(redis->context.host_arg, &err);
}

static void on_wire_failed(void *arg, bool lost, const struct meow_error *err)
{
	struct redis *redis = arg;
	const struct connector_host *host = redis->context.host;
	struct meow_error passed = *err;
	if (lost && redis_flight_in_doubt(redis))
		passed.kind = MEOW_UNKNOWN_OUTCOME;
	if (!lost && redis->refused != 0)
		host->refused(redis->context.host_arg, redis->refused, &passed);
	else
		host->failed(redis->context.host_arg, &passed);
}

static void on_wire_connected(void *arg)
{
	redis_start(arg);
}

static void on_wire_reply(void *arg, const redisReply *reply)
{
	struct redis *redis = arg;
	if (redis->step == START_DONE)
		redis_flight_reply(redis, reply);
	else
		redis_start_reply(redis, reply);
}

static void on_wire_turn(void *arg)
{
	redis_flight_write(arg);
}

static const struct wire_events wire_events = {on_wire_connected, on_wire_reply, on_wire_turn, on_wire_failed};

static bool make_keys(struct redis *redis, struct meow_error *err)
{
	const struct connector_context *context = &redis->context;
	buffer_printf(&redis->position_key, "meowmx:%.*s:%s:%d:%d", STORE_DIGITS, context->store_id, context->route,
		context->layout, context->partition);
	buffer_printf(&redis->epoch_key, "%s:epoch", redis->position_key.data == NULL ? "" : redis->position_key.data);
	buffer_printf(
		&redis->epoch, "%lld.%llu", (long long)context->epoch, (unsigned long long)loop_random(context->loop));
	return buffer_ok(&redis->position_key, err) && buffer_ok(&redis->epoch_key, err) && buffer_ok(&redis->epoch, err);
}

static void redis_free(struct redis *redis)
{
	wire_destroy(redis->wire);
	redis_flight_drop(redis);
	loop_timer_destroy(redis->fail);
	sentinel_destroy(redis->sentinel);
	tls_destroy(redis->tls);
	redis_url_finish(&redis->url);
	free(redis->master.name);
	buffer_finish(&redis->master_place);
	template_destroy(redis->stream_name);
	streams_destroy(redis->streams);
	proof_finish(&redis->proof);
	buffer_finish(&redis->position_key);
	buffer_finish(&redis->epoch_key);
	buffer_finish(&redis->epoch);
	buffer_finish(&redis->fingerprint);
	buffer_finish(&redis->name);
	buffer_finish(&redis->scratch);
	free(redis);
}

static bool fill(struct redis *redis, struct meow_error *err)
{
	const struct config_section *settings = redis->context.settings;
	if (!redis_url_parse(config_text(settings, "url"), &redis->url, err))
		return false;
	redis->place = redis->url.place;
	redis->tls = redis->url.tls ? tls_create(config_text(settings, "tls_ca"), config_text(settings, "tls_cert"),
									  config_text(settings, "tls_key"), err)
								: NULL;
	if (redis->url.tls && redis->tls == NULL)
		return false;
	redis->stream_name = template_create(config_text(settings, "stream"), err);
	if (redis->stream_name == NULL)
		return false;
	redis->wait = config_number(settings, "wait");
	redis->wait_ms = config_number(settings, "wait_timeout");
	redis->minid = config_number(settings, "minid");
	redis->trim_exact = strcmp(config_text(settings, "trim"), "exact") == 0;
	redis->streams = streams_create(config_number(settings, "maxlen"), redis->trim_exact);
	redis->fail = loop_timer_create(redis->context.loop, on_fail, redis);
	if (redis->streams == NULL || redis->fail == NULL)
		return error_no_memory(err);
	return make_keys(redis, err);
}

static struct connector *redis_create(const struct connector_context *context, struct meow_error *err)
{
	struct redis *redis = calloc(1, sizeof(*redis));
	if (redis == NULL) {
		error_no_memory(err);
		return NULL;
	}
	redis->connector.impl = &redis_connector;
	redis->context = *context;
	redis->flights_end = &redis->reading;
	if (!fill(redis, err)) {
		redis_free(redis);
		return NULL;
	}
	return &redis->connector;
}

static void connect_to(struct redis *redis, const struct redis_host *host)
{
	struct meow_error err;
	int64_t wait_ms = redis->wait > 0 ? redis->wait_ms : 0; // which is the longest that Redis itself takes
	struct wire_target target = {
		host->name, host->port, redis->place, redis->tls, SILENCE_LIMIT_S + (int)((wait_ms + 999) / 1000)};
	redis->wire = wire_create(redis->context.loop, &target, &wire_events, redis, &err);
	if (redis->wire == NULL)
		redis_fail(redis, &err);
}

static void on_master_found(void *arg, const struct redis_host *master)
{
	struct redis *redis = arg;
	struct meow_error err;
	redis->master = (struct redis_host){strdup(master->name), master->port};
	sentinel_destroy(redis->sentinel);
	redis->sentinel = NULL;
	if (redis->master.name == NULL) {
		error_no_memory(&err);
		redis_fail(redis, &err);
		return;
	}
	redis_put_place(&redis->master_place, &redis->master);
	buffer_printf(&redis->master_place, " (master \"%s\")", redis->url.master);
	if (!buffer_ok(&redis->master_place, &err)) {
		redis_fail(redis, &err);
		return;
	}
	redis->place = redis->master_place.data;
	connect_to(redis, &redis->master);
}

static void on_no_master(void *arg, const struct meow_error *err)
{
	struct redis *redis = arg;
	redis->context.host->failed(redis->context.host_arg, err);
}

static const struct sentinel_events sentinel_events = {on_master_found, on_no_master};

static void redis_open(struct connector *connector, int64_t delivered)
{
	(void)delivered; // Redis says what it remembers; the relay compares
	struct redis *redis = of_connector(connector);
	const struct config_section *settings = redis->context.settings;
	struct meow_error err;
	if (redis->url.master == NULL) {
		connect_to(redis, &redis->url.hosts[0]);
		return;
	}
	struct sentinel_target target = {
		&redis->url, redis->tls, config_text(settings, "sentinel_user"), config_text(settings, "sentinel_password")};
	redis->sentinel = sentinel_create(redis->context.loop, &target, &sentinel_events, redis, &err);
	if (redis->sentinel == NULL)
		redis_fail(redis, &err);
}

static void redis_begin(struct connector *connector, int64_t delivered, const char *fingerprint)
{
	(void)fingerprint; // each batch brings its own
	of_connector(connector)->put_delivered = delivered;
}

// The one thing that Redis can never take is an argument beyond its protocol's limit.
bool redis_size_fits(const struct redis *redis, const struct meow_event *event, size_t size, struct meow_error *err)
{
	return size <= redis->most_bytes ||
		   error_set(err, MEOW_INVALID,
			   "event %lld (%s of %s %s) has %zu bytes, and Redis at %s takes %zu at most: raise "
			   "its proto-max-bulk-len",
			   (long long)event->position, event->type.data,
			   event->aggregate_type.data == NULL ? "" : event->aggregate_type.data, event->aggregate_id.data, size,
			   redis->place, redis->most_bytes);
}

// What is encoded may be larger yet, and is measured when it is.
static size_t redis_admit(struct connector *connector, const struct batch *batch, struct meow_error *err)
{
	const struct redis *redis = of_connector(connector);
	for (size_t i = 0; i < batch->count; i++) {
		const struct meow_event *event = &batch->events[i];
		size_t size = event->data.size;
		if (redis->context.encoder->format != ENCODE_DATA)
			size += event->metadata.size + ENCODED_EXTRA;
		else if (event->metadata.size > size)
			size = event->metadata.size;
		if (!redis_size_fits(redis, event, size, err))
			return i;
	}
	return batch->count;
}

static bool redis_send(struct connector *connector, struct batch *batch, struct meow_error *err)
{
	return redis_flight_add(of_connector(connector), batch, err);
}

static void redis_destroy(struct connector *connector)
{
	if (connector != NULL)
		redis_free(of_connector(connector));
}

struct stream *redis_stream_of(struct redis *redis, const struct meow_event *event)
{
	const char *mapped = event->aggregate_type.data == NULL
							 ? NULL
							 : config_map_get(redis->context.settings, "streams", event->aggregate_type.data);
	if (mapped != NULL)
		return streams_get(redis->streams, bytes_of(mapped));
	buffer_clear(&redis->name, SIZE_MAX);
	template_put(redis->stream_name, event, redis->context.partition, redis->context.generation, &redis->name);
	if (redis->name.failed)
		return NULL;
	return streams_get(
		redis->streams, (struct meow_bytes){redis->name.data == NULL ? "" : redis->name.data, redis->name.size});
}

bool redis_entry_id(struct meow_bytes text, uint64_t *ret_first, uint64_t *ret_second)
{
	uint64_t numbers[2] = {0, 0};
	size_t which = 0, digits = 0;
	for (size_t i = 0; i < text.size; i++) {
		if (text.data[i] == '-' && which == 0 && digits > 0) {
			which = 1;
			digits = 0;
		} else if (text.data[i] >= '0' && text.data[i] <= '9' && digits < 20) {
			numbers[which] = numbers[which] * 10 + (uint64_t)(text.data[i] - '0');
			digits++;
		} else {
			return false;
		}
	}
	if (which == 0 || digits == 0)
		return false;
	*ret_first = numbers[0];
	*ret_second = numbers[1];
	return true;
}

struct meow_bytes redis_reply_bytes(const redisReply *reply)
{
	if (reply->type != REDIS_REPLY_STRING && reply->type != REDIS_REPLY_STATUS)
		return (struct meow_bytes){0};
	return (struct meow_bytes){reply->str, (size_t)reply->len};
}

const redisReply *redis_reply_field(const redisReply *reply, const char *name)
{
	if (reply->type != REDIS_REPLY_ARRAY)
		return NULL;
	for (size_t i = 0; i + 1 < reply->elements; i += 2)
		if (bytes_equal(redis_reply_bytes(reply->element[i]), bytes_of(name)))
			return reply->element[i + 1];
	return NULL;
}

const struct connector_impl redis_connector = {
	.name = "redis",
	.settings = redis_settings,
	.when_behind = SINK_REWIND,
	.when_empty = SINK_STOP,
	.stop_advice = "bring its data back",
	.check = redis_check,
	.exclusive = redis_exclusive,
	.divisible = redis_divisible,
	.create = redis_create,
	.open = redis_open,
	.begin = redis_begin,
	.admit = redis_admit,
	.send = redis_send,
	.destroy = redis_destroy,
};
