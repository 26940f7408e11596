// redis_start.c: from a connection to what Redis remembers. First who we are and what this server is; then the epoch key
// is set, which breaks every WATCH that an older connection of this route still has, and only then is the position
// read. A key that a newer owner has set is left alone: an owner that was frozen, lost its lease and thawed ends here.
//
//   AUTH | SELECT | ROLE | INFO | CONFIG      WATCH epoch | GET epoch      MULTI | SET epoch | EXEC | WAIT | HMGET position
//
// Each group goes out once the one before it was found right. WAIT, where it is wanted, makes sure that what the position
// says has reached the replicas too: the last batch may be there because its own WAIT fell short.
#include "connectors/redis/redis_part.h"

#include "connectors/redis/redis_info.h"

#include <stdio.h>
#include <string.h>

#define PROTOCOL_LIMIT ((size_t)512 * 1024 * 1024) // proto-max-bulk-len, unless the server says otherwise

void redis_put_key(struct redis *redis, const struct buffer *key)
{
	wire_put(redis->wire, (struct meow_bytes){key->data, key->size});
}

void redis_fail_key(struct redis *redis, const struct buffer *key, const char *what)
{
	struct meow_error err;
	error_set(&err, MEOW_CONFIG, "Redis at %s: key \"%s\" %s", redis->place, key->data, what);
	redis_fail(redis, &err);
}

void redis_opened(struct redis *redis)
{
	redis->step = START_DONE;
	redis->memory.fingerprint = redis->fingerprint.size > 0 ? redis->fingerprint.data : NULL;
	redis->context.host->opened(redis->context.host_arg, &redis->memory);
}

void redis_start(struct redis *redis)
{
	struct wire *wire = redis->wire;
	redis->most_bytes = PROTOCOL_LIMIT;
	redis->step = redis->url.password != NULL ? START_AUTH : START_SELECT;
	if (redis->url.password != NULL)
		wire_put_auth(wire, redis->url.user, redis->url.password);
	wire_put_command(wire, 2);
	wire_put_text(wire, "SELECT");
	wire_put_int(wire, redis->url.database);
	if (redis->url.master != NULL) {
		wire_put_command(wire, 1);
		wire_put_text(wire, "ROLE");
	}
	wire_put_command(wire, 1);
	wire_put_text(wire, "INFO");
	wire_put_command(wire, 3);
	wire_put_text(wire, "CONFIG");
	wire_put_text(wire, "GET");
	wire_put_text(wire, "proto-max-bulk-len");
}

// --- what this server is

static bool fail_role(struct redis *redis)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE,
		"Redis at %s is no master, although Sentinel says so: a failover is under way, and Sentinel is asked again",
		redis->place);
	return redis_fail(redis, &err);
}

// A user without the right to ask finds out by the first write (READONLY).
static bool check_role(struct redis *redis, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
		!bytes_equal(redis_reply_bytes(reply->element[0]), MEOW_BYTES("master")))
		return fail_role(redis);
	return true;
}

static void warn_of_eviction(struct redis *redis, struct meow_bytes policy)
{
	char text[400];
	// volatile-... takes keys with an expiry alone, and ours have none.
	if (policy.size < 8 || memcmp(policy.data, "allkeys-", 8) != 0)
		return;
	snprintf(text, sizeof(text),
		"Redis at %s has maxmemory-policy %.*s: when its memory is full it may evict streams and the route's position, "
		"and with them events; set it to noeviction or to one of volatile-...",
		redis->place, (int)(policy.size > 40 ? 40 : policy.size), policy.data);
	redis->context.host->notice(redis->context.host_arg, text);
}

// A user without the right to ask finds out by the first key (MOVED).
static bool check_info(struct redis *redis, const redisReply *reply)
{
	struct meow_bytes info = redis_reply_bytes(reply);
	struct meow_error err;
	if (info.data == NULL)
		return true;
	if (bytes_equal(redis_info_value(info, "cluster_enabled"), MEOW_BYTES("1"))) {
		error_set(&err, MEOW_CONFIG, "Redis at %s is part of a cluster: %s", redis->place, REDIS_NO_CLUSTER);
		return redis_fail(redis, &err);
	}
	if (redis->minid > 0 && redis_info_is_older(info, 6, 2)) {
		error_set(&err, MEOW_CONFIG, "minid: Redis at %s is too old for it: 6.2 or newer can trim by id; set `maxlen`",
			redis->place);
		return redis_fail(redis, &err);
	}
	warn_of_eviction(redis, redis_info_value(info, "maxmemory_policy"));
	return true;
}

// --- the epoch key

static void ask_epoch(struct redis *redis, const redisReply *limit)
{
	struct wire *wire = redis->wire;
	int64_t most;
	if (limit->type == REDIS_REPLY_ARRAY && limit->elements == 2 &&
		text_to_int64(redis_reply_bytes(limit->element[1]), &most) && most > 0)
		redis->most_bytes = (size_t)most;
	redis->step = START_WATCH;
	wire_put_command(wire, 2);
	wire_put_text(wire, "WATCH");
	redis_put_key(redis, &redis->epoch_key);
	wire_put_command(wire, 2);
	wire_put_text(wire, "GET");
	redis_put_key(redis, &redis->epoch_key);
}

// Reads "<epoch>.<connection number>".
static bool read_epoch(struct meow_bytes text, int64_t *ret_epoch)
{
	const char *point = text.size > 0 ? memchr(text.data, '.', text.size) : NULL;
	if (point == NULL || point + 1 == text.data + text.size)
		return false;
	for (const char *at = point + 1; at < text.data + text.size; at++)
		if (*at < '0' || *at > '9')
			return false;
	return text_to_int64((struct meow_bytes){text.data, (size_t)(point - text.data)}, ret_epoch) && *ret_epoch >= 0;
}

static bool check_epoch_found(struct redis *redis, const redisReply *reply)
{
	struct meow_error err;
	int64_t found;
	if (reply->type == REDIS_REPLY_NIL)
		return true;
	if (!read_epoch(redis_reply_bytes(reply), &found)) {
		redis_fail_key(redis, &redis->epoch_key, "holds something else than an epoch of meowmx: move it away");
		return false;
	}
	if (found <= redis->context.epoch)
		return true;
	error_set(&err, MEOW_CONFLICT,
		"Redis at %s: the route has a newer owner (epoch %lld, this one has %lld), and nothing was written; if there "
		"is none, because the store was restored: `redis-cli -n %d DEL %s`",
		redis->place, (long long)found, (long long)redis->context.epoch, redis->url.database, redis->epoch_key.data);
	return redis_fail(redis, &err);
}

static void claim(struct redis *redis)
{
	struct wire *wire = redis->wire;
	redis->step = START_MULTI;
	wire_put_command(wire, 1);
	wire_put_text(wire, "MULTI");
	wire_put_command(wire, 3);
	wire_put_text(wire, "SET");
	redis_put_key(redis, &redis->epoch_key);
	redis_put_key(redis, &redis->epoch);
	wire_put_command(wire, 1);
	wire_put_text(wire, "EXEC");
	if (redis->wait > 0)
		redis_put_wait(redis);
	wire_put_command(wire, 7);
	wire_put_text(wire, "HMGET");
	redis_put_key(redis, &redis->position_key);
	wire_put_text(wire, "delivered");
	wire_put_text(wire, "generation");
	wire_put_text(wire, "fingerprint");
	wire_put_text(wire, "streams");
	wire_put_text(wire, "entries");
}

static bool check_claim(struct redis *redis, const redisReply *reply)
{
	struct meow_error err;
	if (reply->type != REDIS_REPLY_NIL)
		return true;
	error_set(&err, MEOW_CONFLICT, "Redis at %s: another relay began with this route at the same moment", redis->place);
	return redis_fail(redis, &err);
}

void redis_put_wait(struct redis *redis)
{
	wire_put_command(redis->wire, 3);
	wire_put_text(redis->wire, "WAIT");
	wire_put_int(redis->wire, redis->wait);
	wire_put_int(redis->wire, redis->wait_ms);
}

bool redis_check_wait(struct redis *redis, const redisReply *reply, const char *what)
{
	struct meow_error err;
	if (reply->type == REDIS_REPLY_INTEGER && reply->integer >= redis->wait)
		return true;
	error_set(&err, MEOW_UNAVAILABLE,
		"Redis at %s: %lld of %lld replicas (`wait`) had %s after %lld ms; it stays in the stream, and counts as "
		"delivered once they have it",
		redis->place, reply->type == REDIS_REPLY_INTEGER ? reply->integer : 0, (long long)redis->wait, what,
		(long long)redis->wait_ms);
	return redis_fail(redis, &err);
}

// --- the position key

static bool take_position(struct redis *redis, const struct meow_bytes fields[5])
{
	struct connector_memory *memory = &redis->memory;
	if (!text_to_int64(fields[0], &memory->delivered) || memory->delivered < 0 ||
		(fields[1].data != NULL && (!text_to_int64(fields[1], &memory->generation) || memory->generation < 0))) {
		redis_fail_key(redis, &redis->position_key, "holds something else than a position of meowmx: move it away");
		return false;
	}
	if (memory->generation > redis->context.generation) {
		char what[300];
		snprintf(what, sizeof(what),
			"is of generation %lld, and the store knows the route in generation %lld: it was restored to a time before "
			"a rewind, or another store's relay writes here; see what is missing, then move the key away",
			(long long)memory->generation, (long long)redis->context.generation);
		redis_fail_key(redis, &redis->position_key, what);
		return false;
	}
	redis->left_any = true;
	redis->left_delivered = memory->delivered;
	redis->left_generation = memory->generation;
	return true;
}

static void fail_without_memory(struct redis *redis)
{
	struct meow_error err;
	error_no_memory(&err);
	redis_fail(redis, &err);
}

static void cannot_look_up(struct redis *redis)
{
	if (redis->proof.no_memory)
		fail_without_memory(redis);
	else
		redis_fail_key(
			redis, &redis->position_key, "has a field `streams` that is not from meowmx: delete the field (HDEL)");
}

static void on_position(struct redis *redis, const redisReply *reply)
{
	struct connector_memory *memory = &redis->memory;
	struct meow_bytes fields[5];
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 5) {
		redis_fail_key(redis, &redis->position_key, "cannot be read");
		return;
	}
	bool any = false;
	for (size_t i = 0; i < 5; i++) {
		fields[i] = redis_reply_bytes(reply->element[i]);
		any = any || fields[i].data != NULL;
	}
	memory->kind = MEMORY_EMPTY;
	if (!any) {
		redis_opened(redis);
		return;
	}
	if (!take_position(redis, fields))
		return;
	// What an older generation left is no position: the rewind that raised the generation decided where to go on.
	memory->kind = memory->generation < redis->context.generation ? MEMORY_NONE : MEMORY_HELD;
	buffer_put(&redis->fingerprint, fields[2].data, fields[2].size);
	if (redis->fingerprint.failed) // without it nobody would notice a store that is behind
		fail_without_memory(redis);
	else if (fields[3].data == NULL || fields[4].data == NULL || memory->kind == MEMORY_NONE)
		redis_opened(redis);
	else if (!proof_init(&redis->proof, fields[3], fields[4]))
		cannot_look_up(redis);
	else
		redis_lookup(redis);
}

// --- replies

// An error reply that ends the start. False if it does not.
static bool is_fatal(struct redis *redis, const redisReply *reply)
{
	static const char *const doing[] = {
		[START_AUTH] = "the password",
		[START_SELECT] = "the database",
		[START_WATCH] = "to watch the route's epoch key",
		[START_FOUND] = "to read the route's epoch key",
		[START_MULTI] = "to write the route's epoch key",
		[START_SET] = "to write the route's epoch key",
		[START_CLAIM] = "to write the route's epoch key",
		[START_WAIT] = "to wait for replicas",
		[START_POSITION] = "to read the route's position key",
	};
	bool optional = redis->step >= START_LOOKUP ||
					(redis->step >= START_ROLE && redis->step <= START_CONFIG); // a user may lack the right
	if (reply->type != REDIS_REPLY_ERROR || (optional && !redis_error_is(reply->str, "NOAUTH")))
		return false;
	bool ours = redis->step == START_FOUND || redis->step == START_POSITION;
	if (ours && redis_error_is(reply->str, "WRONGTYPE"))
		redis_fail_key(redis, redis->step == START_FOUND ? &redis->epoch_key : &redis->position_key,
			"is of another type than meowmx gives it: move it away");
	else
		redis_fail_reply(redis, optional ? "to talk" : doing[redis->step], reply->str);
	return true;
}

void redis_start_reply(struct redis *redis, const redisReply *reply)
{
	if (is_fatal(redis, reply))
		return;
	switch (redis->step) {
	case START_AUTH:
	case START_WATCH:
	case START_MULTI:
	case START_SET:
		redis->step++;
		break;
	case START_SELECT:
		redis->step = redis->url.master != NULL ? START_ROLE : START_INFO;
		break;
	case START_ROLE:
		if (check_role(redis, reply))
			redis->step = START_INFO;
		break;
	case START_INFO:
		if (check_info(redis, reply))
			redis->step = START_CONFIG;
		break;
	case START_CONFIG:
		ask_epoch(redis, reply);
		break;
	case START_FOUND:
		if (check_epoch_found(redis, reply))
			claim(redis);
		break;
	case START_CLAIM:
		if (check_claim(redis, reply))
			redis->step = redis->wait > 0 ? START_WAIT : START_POSITION;
		break;
	case START_WAIT:
		if (redis_check_wait(redis, reply, "what was written last"))
			redis->step = START_POSITION;
		break;
	case START_POSITION:
		on_position(redis, reply);
		break;
	case START_LOOKUP:
		redis_lookup_reply(redis, reply);
		break;
	case START_EXPLAIN:
		redis_explain_reply(redis, reply);
		break;
	case START_DONE:
		break;
	}
}
