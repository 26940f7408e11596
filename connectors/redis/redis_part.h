// redis_part.h: what the files of the Redis connector share. redis.c has its life, redis_start.c the way from connecting
// to what Redis remembers, redis_lookup.c the proof that the last batch is there, redis_flight.c the guarded batches.
#ifndef CONNECTORS_REDIS_REDIS_PART_H
#define CONNECTORS_REDIS_REDIS_PART_H

#include "base/text.h"
#include "connectors/redis/redis.h"
#include "connectors/redis/redis_error.h"
#include "connectors/redis/redis_proof.h"
#include "connectors/redis/redis_sentinel.h"
#include "connectors/redis/redis_streams.h"
#include "connectors/redis/redis_url.h"
#include "connectors/redis/redis_wire.h"
#include "relay/template.h"

struct flight;

// What the next reply answers, until the batches begin.
enum start_step {
	START_AUTH,
	START_SELECT,
	START_ROLE,
	START_INFO,
	START_CONFIG,
	START_WATCH,
	START_FOUND, // the epoch that stands there
	START_MULTI,
	START_SET,
	START_CLAIM, // EXEC: the epoch key is ours
	START_WAIT,
	START_POSITION,
	START_LOOKUP,  // of the last batch's entries
	START_EXPLAIN, // of streams where some are missing
	START_DONE,
};

struct redis {
	struct connector connector;
	struct connector_context context;
	struct redis_url url;
	struct tls *tls;           // NULL: none
	struct sentinel *sentinel; // while it is asked
	struct redis_host master;  // what it said
	struct buffer master_place;
	const char *place; // for messages: of the url, or of the master
	struct template *stream_name;
	struct buffer position_key, epoch_key, epoch; // epoch: "<epoch>.<connection number>"
	struct streams *streams;
	struct wire *wire;
	struct loop_timer *fail; // before there is a wire
	struct meow_error error;
	int64_t refused;   // the position that the failure is about, 0 for none
	size_t most_bytes; // of one argument

	int64_t wait, wait_ms; // replicas that must have a batch before it counts; 0: none
	int64_t minid;         // how many positions streams reach back; 0: all
	bool trim_exact;

	enum start_step step;
	struct connector_memory memory;
	struct buffer fingerprint;
	struct proof proof;
	size_t lookups, looked; // asked for and answered in this slice
	struct {
		size_t stream;
		int64_t position;
	} lookup[64];

	// The position key as this connection left it, and as it will be once what was put is applied.
	bool left_any;
	int64_t left_delivered, left_generation;
	int64_t put_delivered;

	struct flight *reading, **flights_end; // lent batches, oldest first
	struct flight *writing;                // the first of them that is not sent whole; NULL if there is none
	uint64_t flights;                      // so far
	struct buffer name, scratch;
};

// Fails with this error; from anywhere. Returns false.
bool redis_fail(struct redis *redis, const struct meow_error *err);

// The same for an error reply to what was being done.
bool redis_fail_reply(struct redis *redis, const char *doing, const char *reply);

// The stream of an event by its template or the map. NULL without memory.
MEOW_MUST_USE struct stream *redis_stream_of(struct redis *redis, const struct meow_event *event);

// Whether an argument of so many bytes can be sent for this event. False with MEOW_INVALID.
MEOW_MUST_USE bool redis_size_fits(
	const struct redis *redis, const struct meow_event *event, size_t size, struct meow_error *err);

void redis_start(struct redis *redis); // connected
void redis_start_reply(struct redis *redis, const redisReply *reply);
void redis_opened(struct redis *redis); // all is checked

// Looks up each entry of the last batch; ends in redis_opened or redis_fail.
void redis_lookup(struct redis *redis);
void redis_lookup_reply(struct redis *redis, const redisReply *reply);
void redis_explain_reply(struct redis *redis, const redisReply *reply);

// MEOW_CONFIG: key "..." and what is wrong with it.
void redis_fail_key(struct redis *redis, const struct buffer *key, const char *what);

void redis_put_key(struct redis *redis, const struct buffer *key);
void redis_put_wait(struct redis *redis);
// Whether enough replicas answered to WAIT; else it has failed. what: "the batch up to 7".
bool redis_check_wait(struct redis *redis, const redisReply *reply, const char *what);

bool redis_flight_add(struct redis *redis, struct batch *batch, struct meow_error *err); // false without memory
void redis_flight_reply(struct redis *redis, const redisReply *reply);
void redis_flight_write(struct redis *redis);          // all that may be sent now
bool redis_flight_in_doubt(const struct redis *redis); // EXEC is out and not answered
void redis_flight_drop(struct redis *redis);

// Reads "<number>-<number>". False for anything else.
MEOW_MUST_USE bool redis_entry_id(struct meow_bytes text, uint64_t *ret_first, uint64_t *ret_second);
struct meow_bytes redis_reply_bytes(const redisReply *reply); // absent if it is no string
// The value behind a name in a flat list of names and values. NULL if it is not there.
const redisReply *redis_reply_field(const redisReply *reply, const char *name);

#endif
