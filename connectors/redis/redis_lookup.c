// redis_lookup.c: before anything is written, each entry of the last batch is looked up in its stream: EXEC does not roll
// back, and a standby may have been promoted that got a part.
//
// An entry may rightly be missing: it was trimmed (it is below the stream's first entry, or the stream was emptied), or
// deleted by a consumer (at or below max-deleted-entry-id, known from Redis 7 on).
#include "connectors/redis/redis_part.h"

#define LOOKUPS_MOST (sizeof(((struct redis *)0)->lookup) / sizeof(((struct redis *)0)->lookup[0]))

// Asks for the next entries of the last batch; once there are none, why some were not there.
void redis_lookup(struct redis *redis)
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
		redis_fail_key(
			redis, &redis->position_key, "has a field `entries` that is not from meowmx: delete the field (HDEL)");
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
		redis_opened(redis);
}

void redis_lookup_reply(struct redis *redis, const redisReply *reply)
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
		redis_lookup(redis);
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

void redis_explain_reply(struct redis *redis, const redisReply *reply)
{
	const struct proof_stream *stream = next_missing(redis);
	if (reply->type != REDIS_REPLY_ARRAY || !explained(reply, stream->missing)) {
		struct meow_error err;
		// The relay adds how to resume.
		error_set(&err, MEOW_CONFIG,
			"Redis at %s: stream \"%.*s\" lacks the entry %lld-0, which was delivered, and trimming does not explain "
			"it; "
			"to go on without it: `redis-cli -n %d HDEL %s entries`",
			redis->place, (int)(stream->name.size > 100 ? 100 : stream->name.size), stream->name.data,
			(long long)stream->missing, redis->url.database, redis->position_key.data);
		redis_fail(redis, &err);
		return;
	}
	if (redis->looked == redis->lookups)
		redis_opened(redis);
}
