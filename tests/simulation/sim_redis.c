// The simulated Redis: what the connector uses of it, and what befalls it. EXEC applies all of a transaction at one moment
// or nothing; inside it a refused XADD does not roll the others back. For a while it may be out of memory, or read-only; it
// restarts without its tail; it is flushed.
#include "sim_redis.h"

#include "base/text.h"
#include "connectors/redis/redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAMS_MOST 32
#define COPIES_MOST 24
#define ARGUMENTS_MOST 64
#define FIELDS_MOST 8

struct stream {
	char name[48];
	int64_t *ids;
	size_t count, capacity;
	uint64_t version;
};

// The two keys that are no streams, and how long each stream is: what a file on disk would hold.
struct state {
	bool position_there, epoch_there;
	char position[FIELDS_MOST][2][512]; // names and values
	char epoch[64];
	size_t ledger;
	size_t lengths[STREAMS_MOST];
	int64_t delivered;
};

static struct {
	struct loop *world;
	struct sim_sink_settings settings;
	struct state now;
	struct stream streams[STREAMS_MOST];
	size_t stream_count;
	uint64_t position_version, epoch_version;
	struct state *copies[COPIES_MOST];
	size_t copy_count;
	int64_t no_memory_until_us, read_only_until_us;
} redis;

unsigned sim_redis_fail_percent(void)
{
	return redis.settings.fail_percent;
}

struct loop *sim_redis_world(void)
{
	return redis.world;
}

// --- keys

static bool is(struct meow_bytes bytes, const char *text)
{
	return bytes_equal(bytes, bytes_of(text));
}

static bool ends_with(struct meow_bytes bytes, const char *end)
{
	size_t size = strlen(end);
	return bytes.size >= size && memcmp(bytes.data + bytes.size - size, end, size) == 0;
}

static struct stream *stream_of(struct meow_bytes name, bool make)
{
	for (size_t i = 0; i < redis.stream_count; i++)
		if (is(name, redis.streams[i].name))
			return &redis.streams[i];
	if (!make)
		return NULL;
	if (redis.stream_count == STREAMS_MOST)
		abort(); // the world was meant to be smaller
	struct stream *stream = &redis.streams[redis.stream_count++];
	snprintf(stream->name, sizeof(stream->name), "%.*s", (int)name.size, name.data);
	return stream;
}

static uint64_t *version_of(struct meow_bytes key)
{
	if (ends_with(key, ":epoch"))
		return &redis.epoch_version;
	if (key.size > 7 && memcmp(key.data, "meowmx:", 7) == 0)
		return &redis.position_version;
	return &stream_of(key, true)->version;
}

// --- replies

static void put_bulk(struct buffer *reply, const char *text)
{
	buffer_printf(reply, "$%zu\r\n%s\r\n", strlen(text), text);
}

static void put_id(struct buffer *reply, int64_t id)
{
	char text[32];
	snprintf(text, sizeof(text), "%lld-0", (long long)id);
	put_bulk(reply, text);
}

static int64_t number_in(struct meow_bytes text)
{
	char copy[32];
	snprintf(copy, sizeof(copy), "%.*s", (int)(text.size < 31 ? text.size : 31), text.data);
	return strtoll(copy, NULL, 10);
}

// --- commands that read

static const char *field(struct meow_bytes name)
{
	for (size_t i = 0; redis.now.position_there && i < FIELDS_MOST; i++)
		if (is(name, redis.now.position[i][0]))
			return redis.now.position[i][1];
	return NULL;
}

static void do_hmget(const struct meow_bytes *arguments, size_t count, struct buffer *reply)
{
	buffer_printf(reply, "*%zu\r\n", count - 2);
	for (size_t i = 2; i < count; i++) {
		const char *value = field(arguments[i]);
		if (value)
			put_bulk(reply, value);
		else
			buffer_put_text(reply, "$-1\r\n");
	}
}

static void do_xinfo(const struct stream *stream, struct buffer *reply)
{
	if (!stream || !stream->count) {
		buffer_put_text(reply, "-ERR no such key\r\n");
		return;
	}
	buffer_put_text(reply, "*6\r\n");
	put_bulk(reply, "length");
	buffer_printf(reply, ":%zu\r\n", stream->count);
	put_bulk(reply, "last-generated-id");
	put_id(reply, stream->ids[stream->count - 1]);
	put_bulk(reply, "first-entry");
	buffer_put_text(reply, "*2\r\n");
	put_id(reply, stream->ids[0]);
	buffer_put_text(reply, "*0\r\n");
}

static void do_xrange(const struct stream *stream, struct meow_bytes from, struct meow_bytes to, struct buffer *reply)
{
	int64_t first = number_in(from), last = is(to, "+") ? INT64_MAX : number_in(to);
	for (size_t i = 0; stream && i < stream->count; i++) {
		if (stream->ids[i] < first || stream->ids[i] > last)
			continue;
		buffer_put_text(reply, "*1\r\n*2\r\n"); // one is enough for whoever asks
		put_id(reply, stream->ids[i]);
		buffer_put_text(reply, "*0\r\n");
		return;
	}
	buffer_put_text(reply, "*0\r\n");
}

// --- commands that write

static struct meow_bytes value_behind(const struct meow_bytes *arguments, size_t count, const char *name)
{
	for (size_t i = 3; i + 1 < count; i += 2)
		if (is(arguments[i], name))
			return arguments[i + 1];
	return MEOW_BYTES("");
}

static void do_xadd(const struct meow_bytes *arguments, size_t count, struct buffer *reply)
{
	struct stream *stream = stream_of(arguments[1], true);
	int64_t id = number_in(arguments[2]);
	if (stream->count && stream->ids[stream->count - 1] >= id) {
		buffer_put_text(reply, "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n");
		return;
	}
	if (stream->count == stream->capacity) {
		stream->capacity = stream->capacity ? stream->capacity * 2 : 64;
		stream->ids = realloc(stream->ids, stream->capacity * sizeof(*stream->ids));
		if (!stream->ids)
			abort();
	}
	stream->ids[stream->count++] = id;
	stream->version++;
	struct meow_bytes data = value_behind(arguments, count, "data"); // {"n": and its position
	int64_t position = data.size > 5 ? number_in((struct meow_bytes){data.data + 5, data.size - 5}) : 0;
	sim_ledger_add(position, id, value_behind(arguments, count, "aggregate_id"),
		number_in(value_behind(arguments, count, "version")), NULL);
	put_id(reply, id);
}

static void do_hset(const struct meow_bytes *arguments, size_t count, struct buffer *reply)
{
	memset(redis.now.position, 0, sizeof(redis.now.position));
	for (size_t i = 2; i + 1 < count && (i - 2) / 2 < FIELDS_MOST; i += 2) {
		char(*pair)[512] = redis.now.position[(i - 2) / 2];
		snprintf(pair[0], sizeof(pair[0]), "%.*s", (int)arguments[i].size, arguments[i].data);
		snprintf(pair[1], sizeof(pair[1]), "%.*s", (int)arguments[i + 1].size, arguments[i + 1].data);
		if (arguments[i + 1].size >= sizeof(pair[1]))
			redis.now.position[(i - 2) / 2][0][0] = '\0'; // too long for this world: as if it had not been written
	}
	redis.now.position_there = true;
	redis.now.delivered = number_in(bytes_of(field(MEOW_BYTES("delivered"))));
	redis.position_version++;
	buffer_printf(reply, ":%zu\r\n", (count - 2) / 2);
}

static int64_t epoch_now(void)
{
	return redis.now.epoch_there ? strtoll(redis.now.epoch, NULL, 10) : 0;
}

static void do_set(const struct meow_bytes *arguments, struct buffer *reply)
{
	if (number_in(arguments[2]) < epoch_now())
		sim_violation("an owner of epoch %ld claims Redis, which one of epoch %ld has claimed",
			(long)number_in(arguments[2]), (long)epoch_now());
	snprintf(redis.now.epoch, sizeof(redis.now.epoch), "%.*s", (int)arguments[2].size, arguments[2].data);
	redis.now.epoch_there = true;
	redis.epoch_version++;
	buffer_put_text(reply, "+OK\r\n");
}

// --- copies

static void keep_copy(void)
{
	if (redis.copy_count == COPIES_MOST || !sim_chance(20))
		return;
	struct state *copy = malloc(sizeof(*copy));
	if (!copy)
		abort();
	*copy = redis.now;
	copy->ledger = sim_ledger_count();
	for (size_t i = 0; i < redis.stream_count; i++)
		copy->lengths[i] = redis.streams[i].count;
	for (size_t i = redis.stream_count; i < STREAMS_MOST; i++)
		copy->lengths[i] = 0;
	redis.copies[redis.copy_count++] = copy;
}

static void drop_copies(size_t keep)
{
	while (redis.copy_count > keep)
		free(redis.copies[--redis.copy_count]);
}

static void lose_tail(void)
{
	if (!redis.copy_count)
		return;
	size_t chosen = (size_t)sim_between(0, (int64_t)redis.copy_count - 1);
	redis.now = *redis.copies[chosen];
	sim_ledger_cut(redis.now.ledger);
	for (size_t i = 0; i < redis.stream_count; i++)
		redis.streams[i].count = redis.now.lengths[i];
	drop_copies(chosen + 1);
	sim_wire_break_all();
}

static void forget(void)
{
	for (size_t i = 0; i < redis.stream_count; i++) {
		redis.streams[i].count = 0;
		redis.streams[i].version++;
	}
	memset(&redis.now, 0, sizeof(redis.now));
	redis.position_version++;
	redis.epoch_version++;
	drop_copies(0);
	sim_ledger_lose_all();
}

// --- transactions

static void watch(struct redis_client *client, const struct meow_bytes *keys, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (client->watch_count == REDIS_WATCHES)
			abort();
		const uint64_t *counter = version_of(keys[i]);
		client->watches[client->watch_count].counter = counter;
		client->watches[client->watch_count++].version = *counter;
	}
}

static bool watches_hold(const struct redis_client *client)
{
	for (size_t i = 0; i < client->watch_count; i++)
		if (*client->watches[i].counter != client->watches[i].version)
			return false;
	return true;
}

static bool is_write(struct meow_bytes name)
{
	return is(name, "XADD") || is(name, "HSET") || is(name, "SET") || is(name, "XTRIM");
}

// Why it takes no writes now. NULL: it does.
static const char *refusal(void)
{
	int64_t now = sim_now(redis.world);
	if (now < redis.no_memory_until_us)
		return "OOM command not allowed when used memory > 'maxmemory'.";
	return now < redis.read_only_until_us ? "READONLY You can't write against a read only replica." : NULL;
}

static void maybe_trouble(void)
{
	if (sim_random() % 4000 >= redis.settings.fail_percent)
		return;
	int64_t until_us = sim_now(redis.world) + sim_between(100, 60000);
	if (sim_chance(50))
		redis.no_memory_until_us = until_us;
	else
		redis.read_only_until_us = until_us;
}

static size_t run_queued(const struct redis_client *client, struct buffer *reply, bool *ret_claims);

// Only whoever claimed it last may write.
static void judge_exec(struct redis_client *client, bool claims)
{
	if (claims)
		snprintf(client->claimed, sizeof(client->claimed), "%s", redis.now.epoch);
	else if (strcmp(client->claimed, redis.now.epoch) != 0)
		sim_violation("a batch of the owner %s is applied, and %s has claimed Redis", client->claimed, redis.now.epoch);
	sim_step(client->process, claims ? REDIS_DID_CLAIM : REDIS_DID_EXEC);
}

static void do_exec(struct redis_client *client, struct buffer *reply)
{
	bool claims = false;
	if (client->aborted)
		buffer_put_text(reply, "-EXECABORT Transaction discarded because of previous errors.\r\n");
	else if (!watches_hold(client))
		buffer_put_text(reply, "*-1\r\n");
	else if (run_queued(client, reply, &claims) > 0)
		judge_exec(client, claims);
	client->multi = client->aborted = false;
	client->watch_count = client->queued_count = 0;
	buffer_clear(&client->queued, SIZE_MAX);
	keep_copy();
}

// --- the protocol

// Splits one command; 0 if it is not all there.
static size_t split(struct meow_bytes input, struct meow_bytes arguments[ARGUMENTS_MOST], size_t *ret_count)
{
	const char *end = input.size ? memchr(input.data, '\n', input.size) : NULL;
	if (!end)
		return 0;
	size_t count = (size_t)strtoull(input.data + 1, NULL, 10), at = (size_t)(end - input.data) + 1;
	if (count > ARGUMENTS_MOST)
		abort();
	for (size_t i = 0; i < count; i++) {
		end = at < input.size ? memchr(input.data + at, '\n', input.size - at) : NULL;
		if (!end)
			return 0;
		size_t size = (size_t)strtoull(input.data + at + 1, NULL, 10);
		at = (size_t)(end - input.data) + 1;
		if (at + size + 2 > input.size)
			return 0;
		arguments[i] = (struct meow_bytes){input.data + at, size};
		at += size + 2;
	}
	*ret_count = count;
	return at;
}

static void do_command(
	struct redis_client *client, const struct meow_bytes *arguments, size_t count, struct buffer *reply)
{
	struct meow_bytes name = arguments[0];
	if (is(name, "XADD"))
		do_xadd(arguments, count, reply);
	else if (is(name, "HSET"))
		do_hset(arguments, count, reply);
	else if (is(name, "SET"))
		do_set(arguments, reply);
	else if (is(name, "HMGET"))
		do_hmget(arguments, count, reply);
	else if (is(name, "XINFO"))
		do_xinfo(stream_of(arguments[2], false), reply);
	else if (is(name, "XRANGE"))
		do_xrange(stream_of(arguments[1], false), arguments[2], arguments[3], reply);
	else if (is(name, "GET") && !redis.now.epoch_there)
		buffer_put_text(reply, "$-1\r\n");
	else if (is(name, "GET"))
		put_bulk(reply, redis.now.epoch);
	else if (is(name, "WATCH"))
		watch(client, arguments + 1, count - 1), buffer_put_text(reply, "+OK\r\n");
	else if (is(name, "INFO"))
		put_bulk(reply, "redis_version:7.0.15\r\n");
	else if (is(name, "SELECT") || is(name, "MULTI"))
		buffer_put_text(reply, "+OK\r\n");
	else if (is(name, "CONFIG"))
		buffer_put_text(reply, "*2\r\n$18\r\nproto-max-bulk-len\r\n$9\r\n536870912\r\n");
	else
		buffer_printf(reply, "-ERR unknown command '%.*s'\r\n", (int)name.size, name.data);
}

static size_t run_queued(const struct redis_client *client, struct buffer *reply, bool *ret_claims)
{
	struct meow_bytes arguments[ARGUMENTS_MOST], left = {client->queued.data, client->queued.size};
	size_t count, size, ran = 0;
	buffer_printf(reply, "*%zu\r\n", client->queued_count);
	for (; (size = split(left, arguments, &count)) > 0; ran++) {
		*ret_claims |= is(arguments[0], "SET");
		do_command(NULL, arguments, count, reply);
		left = (struct meow_bytes){left.data + size, left.size - size};
	}
	return ran;
}

static void queue(struct redis_client *client, struct meow_bytes whole, struct buffer *reply)
{
	buffer_put(&client->queued, whole.data, whole.size);
	client->queued_count++;
	buffer_put_text(reply, "+QUEUED\r\n");
	sim_step(client->process, REDIS_DID_QUEUE);
}

size_t sim_redis_command(struct redis_client *client, struct meow_bytes input, struct buffer *reply)
{
	struct meow_bytes arguments[ARGUMENTS_MOST];
	size_t count, size = split(input, arguments, &count);
	if (!size)
		return 0;
	maybe_trouble();
	const char *why = is_write(arguments[0]) ? refusal() : NULL;
	if (why) {
		client->aborted = client->multi;
		buffer_printf(reply, "-%s\r\n", why);
	} else if (is(arguments[0], "EXEC")) {
		do_exec(client, reply);
	} else if (client->multi) {
		queue(client, (struct meow_bytes){input.data, size}, reply);
	} else {
		do_command(client, arguments, count, reply);
		client->multi = is(arguments[0], "MULTI");
	}
	return size;
}

void sim_redis_client_finish(struct redis_client *client)
{
	buffer_finish(&client->queued);
}

// --- as a sink

// The real connector; that some names cannot be is the world's.
static struct connector_impl connector;

static size_t admit(struct connector *base, const struct batch *batch, struct meow_error *err)
{
	for (size_t i = 0; i < batch->count; i++)
		if (sim_is_poison(batch->events[i].position)) {
			error_set(err, MEOW_INVALID, "a name that cannot be");
			return i;
		}
	return redis_connector.admit(base, batch, err);
}

static void reset(struct loop *world, const struct sim_sink_settings *settings)
{
	connector = redis_connector;
	connector.admit = admit;
	redis.world = world;
	redis.settings = *settings;
}

static void calm(void)
{
	redis.settings.fail_percent = 0;
	redis.no_memory_until_us = redis.read_only_until_us = 0;
}

static void free_all(void)
{
	sim_wire_free_all();
	for (size_t i = 0; i < redis.stream_count; i++)
		free(redis.streams[i].ids);
	drop_copies(0);
	memset(&redis, 0, sizeof(redis));
}

static int64_t delivered(void)
{
	return redis.now.position_there ? redis.now.delivered : 0;
}

static void accept(void) // redis-cli DEL of the epoch key, as the connector says
{
	redis.now.epoch_there = false;
	redis.epoch_version++;
}

static const struct config_section *section(void)
{
	return sim_section(&redis_connector, "url: redis://sim\n      stream: \"s:{aggregate_type}:{generation}\"\n");
}

const struct sim_sink sim_redis = {.name = "redis",
	.connector = &connector,
	.first_step = REDIS_CONNECTS,
	.last_step = REDIS_ANSWERS,
	.remembers = true,
	.ordered = true,
	.early = true,
	.rewinds = true,
	.section = section,
	.reset = reset,
	.calm = calm,
	.free = free_all,
	.delivered = delivered,
	.forget = forget,
	.lose_tail = lose_tail,
	.accept = accept};
