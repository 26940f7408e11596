// redis_start.c: from a connection to what Redis remembers. First who we are and what this server is; then the epoch key
// is set, which breaks every WATCH that an older connection of this route still has, and only then is the position
// read. Before anything else is written, each entry of the last batch is looked up in its stream: EXEC does not roll
// back, and a standby may have been promoted that got a part.
//
// An entry may rightly be missing: it was trimmed (it is below the stream's first entry, or the stream was emptied), or
// deleted by a consumer (at or below max-deleted-entry-id, known from Redis 7 on).
#include "connectors/redis/redis_part.h"

#include <string.h>

#define PROTOCOL_LIMIT ((size_t)512 * 1024 * 1024) // proto-max-bulk-len, unless the server says otherwise
#define LOOKUPS_MOST (sizeof(((struct redis *)0)->lookup) / sizeof(((struct redis *)0)->lookup[0]))

static void put_key(struct redis *redis, const struct buffer *key)
{
	wire_put(redis->wire, (struct meow_bytes){key->data, key->size});
}

void redis_start(struct redis *redis)
{
	struct wire *wire = redis->wire;
	redis->most_bytes = PROTOCOL_LIMIT;
	redis->step = START_SELECT;
	if (redis->url.password != NULL) {
		redis->step = START_AUTH;
		wire_put_command(wire, redis->url.user != NULL ? 3 : 2);
		wire_put_text(wire, "AUTH");
		if (redis->url.user != NULL)
			wire_put_text(wire, redis->url.user);
		wire_put_text(wire, redis->url.password);
	}
	wire_put_command(wire, 2);
	wire_put_text(wire, "SELECT");
	wire_put_int(wire, redis->url.database);
	wire_put_command(wire, 2);
	wire_put_text(wire, "INFO");
	wire_put_text(wire, "cluster");
	wire_put_command(wire, 3);
	wire_put_text(wire, "CONFIG");
	wire_put_text(wire, "GET");
	wire_put_text(wire, "proto-max-bulk-len");
}

static void ask_position(struct redis *redis)
{
	struct wire *wire = redis->wire;
	redis->step = START_EPOCH;
	wire_put_command(wire, 3);
	wire_put_text(wire, "SET");
	put_key(redis, &redis->epoch_key);
	put_key(redis, &redis->epoch);
	wire_put_command(wire, 7);
	wire_put_text(wire, "HMGET");
	put_key(redis, &redis->position_key);
	wire_put_text(wire, "delivered");
	wire_put_text(wire, "generation");
	wire_put_text(wire, "fingerprint");
	wire_put_text(wire, "streams");
	wire_put_text(wire, "entries");
}

static void fail_key(struct redis *redis, const char *what)
{
	struct meow_error err;
	error_set(&err, MEOW_CONFIG, "Redis at %s: key \"%s\" %s", redis->url.place, redis->position_key.data, what);
	redis_fail(redis, &err);
}

static void opened(struct redis *redis)
{
	redis->step = START_DONE;
	redis->memory.fingerprint = redis->fingerprint.size > 0 ? redis->fingerprint.data : NULL;
	redis->context.host->opened(redis->context.host_arg, &redis->memory);
}

// Asks for the next entries of the last batch; once there are none, why some were not there.
static void look_up(struct redis *redis)
{
	enum proof_step step = PROOF_ENTRY;
	redis->step = START_LOOKUP;
	redis->lookups = redis->looked = 0;
	while (redis->lookups < LOOKUPS_MOST && (step = proof_next(&redis->proof)) == PROOF_ENTRY) {
		redis->lookup[redis->lookups].stream = redis->proof.stream;
		redis->lookup[redis->lookups++].position = redis->proof.position;
		wire_put_command(redis->wire, 4);
		wire_put_text(redis->wire, "XRANGE");
		wire_put(redis->wire, redis->proof.streams[redis->proof.stream].name);
		wire_put_int(redis->wire, redis->proof.position);
		wire_put_int(redis->wire, redis->proof.position);
	}
	if (step == PROOF_BROKEN)
		fail_key(redis, "has a field `entries` that is not from meowmx: delete the field (HDEL)");
	if (redis->lookups > 0 || step == PROOF_BROKEN)
		return;
	redis->step = START_EXPLAIN;
	for (size_t i = 0; i < redis->proof.count; i++) {
		if (redis->proof.streams[i].missing == 0)
			continue;
		redis->lookup[redis->lookups % LOOKUPS_MOST].stream = i;
		redis->lookups++;
		wire_put_command(redis->wire, 3);
		wire_put_text(redis->wire, "XINFO");
		wire_put_text(redis->wire, "STREAM");
		wire_put(redis->wire, redis->proof.streams[i].name);
	}
	if (redis->lookups == 0)
		opened(redis);
}

static void on_lookup(struct redis *redis, const redisReply *reply)
{
	size_t at = redis->looked++;
	struct proof_stream *stream = &redis->proof.streams[redis->lookup[at].stream];
	if (reply->type == REDIS_REPLY_ERROR) {
		redis_fail_reply(redis, "to look up the last batch's entries", reply->str);
		return;
	}
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements == 0)
		stream->missing = redis->lookup[at].position;
	if (redis->looked == redis->lookups)
		look_up(redis);
}

// Whether an entry of the stream that is not there was taken away on purpose.
static bool explained(const redisReply *info, int64_t missing)
{
	const redisReply *length = redis_reply_field(info, "length");
	const redisReply *first = redis_reply_field(info, "first-entry");
	const redisReply *last = redis_reply_field(info, "last-generated-id");
	const redisReply *deleted = redis_reply_field(info, "max-deleted-entry-id");
	uint64_t id, sequence;
	if (deleted != NULL && redis_entry_id(redis_reply_bytes(deleted), &id, &sequence) && id >= (uint64_t)missing)
		return true;
	if (length != NULL && length->integer == 0)
		return last != NULL && redis_entry_id(redis_reply_bytes(last), &id, &sequence) && id >= (uint64_t)missing;
	return first != NULL && first->type == REDIS_REPLY_ARRAY && first->elements > 0 &&
		   redis_entry_id(redis_reply_bytes(first->element[0]), &id, &sequence) && id > (uint64_t)missing;
}

static const struct proof_stream *next_missing(struct redis *redis)
{
	size_t nth = redis->looked++;
	for (size_t i = 0; i < redis->proof.count; i++)
		if (redis->proof.streams[i].missing != 0 && nth-- == 0)
			return &redis->proof.streams[i];
	return NULL;
}

static void on_explain(struct redis *redis, const redisReply *reply)
{
	const struct proof_stream *stream = next_missing(redis);
	if (reply->type != REDIS_REPLY_ARRAY || !explained(reply, stream->missing)) {
		struct meow_error err;
		// The relay adds how to resume.
		error_set(&err, MEOW_CONFIG,
			"Redis at %s: stream \"%.*s\" lacks the entry %lld-0, which was delivered, and trimming does not explain "
			"it; "
			"to go on without it: `redis-cli -n %d HDEL %s entries`",
			redis->url.place, (int)(stream->name.size > 100 ? 100 : stream->name.size), stream->name.data,
			(long long)stream->missing, redis->url.database, redis->position_key.data);
		redis_fail(redis, &err);
		return;
	}
	if (redis->looked == redis->lookups)
		opened(redis);
}

static void on_position(struct redis *redis, const redisReply *reply)
{
	struct connector_memory *memory = &redis->memory;
	struct meow_bytes fields[5];
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
		fail_key(redis, "cannot be read");
		return;
	}
	for (size_t i = 0; i < 5; i++)
		fields[i] = redis_reply_bytes(reply->element[i]);
	memory->kind = MEMORY_EMPTY;
	if (fields[0].data == NULL) {
		opened(redis);
		return;
	}
	if (!text_to_int64(fields[0], &memory->delivered) ||
		(fields[1].data != NULL && !text_to_int64(fields[1], &memory->generation))) {
		fail_key(redis, "holds something else than a position of meowmx: move it away");
		return;
	}
	redis->left_any = true;
	redis->left_delivered = memory->delivered;
	redis->left_generation = memory->generation;
	// What an older generation left is no position: the rewind that raised the generation decided where to go on.
	memory->kind = memory->generation < redis->context.generation ? MEMORY_NONE : MEMORY_HELD;
	buffer_put(&redis->fingerprint, fields[2].data, fields[2].size);
	if (fields[3].data == NULL || fields[4].data == NULL || memory->kind == MEMORY_NONE)
		opened(redis);
	else if (!proof_init(&redis->proof, fields[3], fields[4]))
		fail_key(redis, "has a field `streams` that is not from meowmx: delete the field (HDEL)");
	else
		look_up(redis);
}

static void on_info(struct redis *redis, const redisReply *reply)
{
	struct meow_error err;
	// A user without the right to ask finds out by the first key (MOVED).
	if (reply->type != REDIS_REPLY_STRING || strstr(reply->str, "cluster_enabled:1") == NULL) {
		redis->step = START_CONFIG;
		return;
	}
	error_set(&err, MEOW_CONFIG, "Redis at %s is part of a cluster: %s", redis->url.place, REDIS_NO_CLUSTER);
	redis_fail(redis, &err);
}

static void on_config(struct redis *redis, const redisReply *reply)
{
	int64_t most;
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 2 &&
		text_to_int64(redis_reply_bytes(reply->element[1]), &most) && most > 0)
		redis->most_bytes = (size_t)most;
	ask_position(redis);
}

void redis_start_reply(struct redis *redis, const redisReply *reply)
{
	static const char *const doing[] = {
		[START_AUTH] = "the password",
		[START_SELECT] = "the database",
		[START_EPOCH] = "to write the route's epoch key",
		[START_POSITION] = "to read the route's position key",
	};
	bool optional = redis->step >= START_LOOKUP || redis->step == START_INFO || redis->step == START_CONFIG;
	if (reply->type == REDIS_REPLY_ERROR && (!optional || redis_error_is(reply->str, "NOAUTH"))) {
		redis_fail_reply(redis, optional ? "to talk" : doing[redis->step], reply->str);
		return;
	}
	switch (redis->step) {
	case START_AUTH:
		redis->step = START_SELECT;
		break;
	case START_SELECT:
		redis->step = START_INFO;
		break;
	case START_INFO:
		on_info(redis, reply);
		break;
	case START_CONFIG:
		on_config(redis, reply);
		break;
	case START_EPOCH:
		redis->step = START_POSITION;
		break;
	case START_POSITION:
		on_position(redis, reply);
		break;
	case START_LOOKUP:
		on_lookup(redis, reply);
		break;
	case START_EXPLAIN:
		on_explain(redis, reply);
		break;
	case START_DONE:
		break;
	}
}
