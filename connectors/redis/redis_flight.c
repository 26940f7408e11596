// redis_flight.c: the guarded batches. Each flight is, on the wire,
//
//   WATCH keys and streams | HMGET position | GET epoch | XINFO or XRANGE per stream | MULTI | XADD ... | XTRIM ... |
//   HSET | EXEC | WAIT
//
// (XTRIM with `minid`, WAIT with `wait`)
// and EXEC alone waits: for the replies to the reads, which must show our own epoch, the position that we left, and no
// entry at or above our first. The next flight goes out right behind an EXEC, up to its own EXEC, so that Redis always
// has work. Replies come in the same order, so one flight is written and one is read at any time, and they are at most
// one apart. Whatever is not as it should be drops the connection, which discards what stands behind MULTI.
//
// A stream that is used for the first time on this connection is asked for its type and last-generated-id (XINFO), later
// only whether there is anything behind our own last entry (XRANGE): that nobody added to it between our last EXEC and
// this WATCH.
#include "connectors/redis/redis_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH_KEEP_BYTES ((size_t)256 * 1024)
#define TRIM_MOST 10000

struct use {
	struct stream *stream;
	int64_t first; // position of its first event in this batch
	bool fresh;    // asked by XINFO
};

enum writing { WRITE_GUARD, WRITE_EVENTS, WRITE_POSITION, WRITE_EXEC, WRITTEN };
enum reading { READ_WATCH, READ_POSITION, READ_EPOCH, READ_STREAMS, READ_MULTI, READ_QUEUED, READ_EXEC, READ_WAIT };

struct flight {
	struct batch *batch;
	uint64_t number; // from 1
	enum writing writing;
	enum reading reading;
	bool approved;        // the reads were as they should be
	size_t put, answered; // events put; replies of the present kind got
	size_t trims;         // XTRIMs behind the events
	int64_t previous;     // delivered before this batch
	struct use *uses;
	size_t use_count, use_capacity;
	size_t *use_of; // of each event
	struct proof_writer proof;
	struct flight *next;
};

static void flight_free(struct flight *flight)
{
	for (size_t i = 0; i < flight->use_count; i++)
		flight->uses[i].stream->uses--;
	free(flight->uses);
	free(flight->use_of);
	proof_writer_finish(&flight->proof);
	free(flight);
}

void redis_flight_drop(struct redis *redis)
{
	while (redis->reading != NULL) {
		struct flight *flight = redis->reading;
		redis->reading = flight->next;
		flight_free(flight);
	}
	redis->flights_end = &redis->reading;
	redis->writing = NULL;
}

bool redis_flight_in_doubt(const struct redis *redis)
{
	return redis->reading != NULL && redis->reading->writing == WRITTEN;
}

static bool fail_flight(struct redis *redis, enum meow_error_kind kind, const char *text)
{
	struct meow_error err;
	error_set(&err, kind, "Redis at %s: %s", redis->place, text);
	return redis_fail(redis, &err);
}

static bool add_use(struct flight *flight, struct stream *stream, int64_t first)
{
	if (flight->use_count == flight->use_capacity) {
		size_t capacity = flight->use_capacity == 0 ? 8 : 2 * flight->use_capacity;
		struct use *uses = realloc(flight->uses, capacity * sizeof(*uses));
		if (uses == NULL)
			return false;
		flight->uses = uses;
		flight->use_capacity = capacity;
	}
	stream->flight = flight->number;
	stream->index = flight->use_count;
	stream->uses++;
	flight->uses[flight->use_count++] = (struct use){stream, first, !stream->known};
	proof_add_stream(&flight->proof, stream->name);
	return true;
}

// The position that stands in the entry's id.
static int64_t place_of(const struct batch *batch, const struct meow_event *event)
{
	return batch->place ? batch->place : event->position;
}

// Finds out which stream each event goes to.
static bool plan(struct redis *redis, struct flight *flight)
{
	const struct batch *batch = flight->batch;
	flight->use_of = calloc(batch->count, sizeof(*flight->use_of));
	if (flight->use_of == NULL)
		return false;
	for (size_t i = 0; i < batch->count; i++) {
		const struct meow_event *event = &batch->events[i];
		struct stream *stream = redis_stream_of(redis, event);
		if (stream == NULL || (stream->flight != flight->number && !add_use(flight, stream, place_of(batch, event))))
			return false;
		flight->use_of[i] = stream->index;
		proof_add_entry(&flight->proof, stream->index, place_of(batch, event));
	}
	return !flight->proof.streams.failed && !flight->proof.entries.failed;
}

static void put_entry_id(struct redis *redis, int64_t position)
{
	char id[32], *at = id + sizeof(id);
	uint64_t left = (uint64_t)position;
	*--at = '0';
	*--at = '-';
	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	wire_put(redis->wire, (struct meow_bytes){at, (size_t)(id + sizeof(id) - at)});
}

static void ask_stream(struct redis *redis, const struct use *use)
{
	struct wire *wire = redis->wire;
	if (use->fresh) {
		wire_put_command(wire, 3);
		wire_put_text(wire, "XINFO");
		wire_put_text(wire, "STREAM");
		wire_put(wire, use->stream->name);
		return;
	}
	wire_put_command(wire, 6);
	wire_put_text(wire, "XRANGE");
	wire_put(wire, use->stream->name);
	put_entry_id(redis, use->stream->last + 1);
	wire_put_text(wire, "+");
	wire_put_text(wire, "COUNT");
	wire_put_text(wire, "1");
}

static void put_guard(struct redis *redis, const struct flight *flight)
{
	struct wire *wire = redis->wire;
	wire_put_command(wire, 3 + flight->use_count);
	wire_put_text(wire, "WATCH");
	redis_put_key(redis, &redis->epoch_key);
	redis_put_key(redis, &redis->position_key);
	for (size_t i = 0; i < flight->use_count; i++)
		wire_put(wire, flight->uses[i].stream->name);
	wire_put_command(wire, 4);
	wire_put_text(wire, "HMGET");
	redis_put_key(redis, &redis->position_key);
	wire_put_text(wire, "delivered");
	wire_put_text(wire, "generation");
	wire_put_command(wire, 2);
	wire_put_text(wire, "GET");
	redis_put_key(redis, &redis->epoch_key);
	for (size_t i = 0; i < flight->use_count; i++)
		ask_stream(redis, &flight->uses[i]);
	wire_put_command(wire, 1);
	wire_put_text(wire, "MULTI");
}

// Plans the flight and puts all that comes before its events.
static bool begin_writing(struct redis *redis, struct flight *flight)
{
	const struct batch *batch = flight->batch;
	struct meow_error err;
	streams_tidy(redis->streams);
	if (!plan(redis, flight)) {
		error_no_memory(&err);
		return redis_fail(redis, &err);
	}
	put_guard(redis, flight);
	for (size_t i = 0; i < batch->count; i++) {
		struct stream *stream = flight->uses[flight->use_of[i]].stream;
		stream->known = true;
		stream->last = place_of(batch, &batch->events[i]);
	}
	flight->previous = redis->put_delivered;
	redis->put_delivered = batch_last(batch);
	flight->writing = WRITE_EVENTS;
	return true;
}

static void put_field(struct redis *redis, const char *name, struct meow_bytes value)
{
	wire_put_text(redis->wire, name);
	wire_put(redis->wire, value);
}

// Of an event in another place than its own the position is a field.
static void put_add(
	struct redis *redis, const struct stream *stream, const struct meow_event *event, int64_t place, size_t fields)
{
	struct wire *wire = redis->wire;
	bool moved = place != event->position;
	wire_put_command(wire, stream->head_count + 1 + 2 * (fields + moved));
	wire_put_formatted(wire, (struct meow_bytes){stream->head.data, stream->head.size});
	put_entry_id(redis, place);
	if (moved) {
		wire_put_text(wire, "position");
		wire_put_int(wire, event->position);
	}
}

static void put_attributes(
	struct redis *redis, const struct stream *stream, const struct meow_event *event, int64_t place)
{
	struct wire *wire = redis->wire;
	bool has_time = event->time_us != MEOW_NO_TIME, has_metadata = event->metadata.data != NULL;
	bool has_generation = redis->context.generation > 0, has_type = event->aggregate_type.data != NULL;
	put_add(redis, stream, event, place, 4 + (size_t)has_type + has_time + has_metadata + has_generation);
	put_field(redis, "type", event->type);
	if (has_type)
		put_field(redis, "aggregate_type", event->aggregate_type);
	put_field(redis, "aggregate_id", event->aggregate_id);
	wire_put_text(wire, "version");
	wire_put_int(wire, event->version);
	if (has_time) {
		char time[TEXT_TIME_SIZE];
		text_time(event->time_us, time);
		put_field(redis, "time", (struct meow_bytes){time, strlen(time)});
	}
	put_field(redis, "data", event->data);
	if (has_metadata)
		put_field(redis, "metadata", event->metadata);
	if (has_generation) {
		wire_put_text(wire, "generation");
		wire_put_int(wire, redis->context.generation);
	}
}

static bool put_event(struct redis *redis, const struct stream *stream, const struct meow_event *event, int64_t place)
{
	struct meow_bytes value;
	struct meow_error err;
	if (redis->context.encoder->format == ENCODE_DATA) {
		put_attributes(redis, stream, event, place);
		return true;
	}
	buffer_clear(&redis->scratch, SCRATCH_KEEP_BYTES); // nothing on the wire borrows from it: see put_events
	if (!encoder_value(redis->context.encoder, event, redis->context.generation, &redis->scratch, &value, &err) ||
		!redis_size_fits(redis, event, value.size, &err)) {
		redis->refused = err.kind == MEOW_INVALID ? event->position : 0;
		return redis_fail(redis, &err);
	}
	put_add(redis, stream, event, place, 2);
	put_field(redis, "event", value);
	put_field(redis, "type", event->type);
	return true;
}

// Puts events until the wire has enough. A large value is borrowed and makes the wire full at once, so it is out before
// the next event is encoded.
static bool put_events(struct redis *redis, struct flight *flight)
{
	const struct batch *batch = flight->batch;
	while (flight->put < batch->count && !wire_is_full(redis->wire)) {
		const struct meow_event *event = &batch->events[flight->put];
		const struct stream *stream = flight->uses[flight->use_of[flight->put]].stream;
		if (!put_event(redis, stream, event, place_of(batch, event)))
			return false;
		flight->put++;
	}
	if (flight->put == batch->count)
		flight->writing = WRITE_POSITION;
	return true;
}

// Streams of a route reach back to the same position. What is approximate removes whole nodes, and only so many entries at
// once that an old stream does not hold Redis up for long, but more than this batch added.
static void put_trims(struct redis *redis, struct flight *flight)
{
	const struct batch *batch = flight->batch;
	struct wire *wire = redis->wire;
	int64_t last = batch_last(batch);
	if (redis->minid == 0 || last <= redis->minid)
		return;
	for (size_t i = 0; i < flight->use_count; i++) {
		wire_put_command(wire, redis->trim_exact ? 5 : 7);
		wire_put_text(wire, "XTRIM");
		wire_put(wire, flight->uses[i].stream->name);
		wire_put_text(wire, "MINID");
		wire_put_text(wire, redis->trim_exact ? "=" : "~");
		put_entry_id(redis, last - redis->minid);
		if (!redis->trim_exact) {
			wire_put_text(wire, "LIMIT");
			wire_put_int(wire, TRIM_MOST + (int64_t)batch->count);
		}
	}
	flight->trims = flight->use_count;
}

static void put_position(struct redis *redis, struct flight *flight)
{
	const struct batch *batch = flight->batch;
	struct wire *wire = redis->wire;
	wire_put_command(wire, 14);
	wire_put_text(wire, "HSET");
	redis_put_key(redis, &redis->position_key);
	wire_put_text(wire, "delivered");
	wire_put_int(wire, batch_last(batch));
	wire_put_text(wire, "previous");
	wire_put_int(wire, flight->previous);
	wire_put_text(wire, "generation");
	wire_put_int(wire, redis->context.generation);
	put_field(redis, "fingerprint", bytes_of(batch->fingerprint == NULL ? "" : batch->fingerprint));
	put_field(redis, "streams", (struct meow_bytes){flight->proof.streams.data, flight->proof.streams.size});
	put_field(redis, "entries", (struct meow_bytes){flight->proof.entries.data, flight->proof.entries.size});
	flight->writing = WRITE_EXEC;
}

// One step of the flight that is being written. False when there is nothing to do but wait.
static bool write_step(struct redis *redis)
{
	struct flight *flight = redis->writing;
	if (flight == NULL || wire_is_full(redis->wire))
		return false;
	switch (flight->writing) {
	case WRITE_GUARD:
		return begin_writing(redis, flight);
	case WRITE_EVENTS:
		return put_events(redis, flight);
	case WRITE_POSITION:
		put_trims(redis, flight);
		put_position(redis, flight);
		return true;
	case WRITE_EXEC:
		if (!flight->approved)
			return false;
		wire_put_command(redis->wire, 1);
		wire_put_text(redis->wire, "EXEC");
		if (redis->wait > 0)
			redis_put_wait(redis);
		flight->writing = WRITTEN;
		redis->writing = flight->next;
		return true;
	case WRITTEN:
		break;
	}
	return false;
}

void redis_flight_write(struct redis *redis)
{
	// After a failure nothing more is planned: what could not be may not be passed by.
	if (redis->step != START_DONE || wire_has_failed(redis->wire))
		return;
	do {
		while (write_step(redis))
			;
		wire_flush(redis->wire);
		// What the socket took at once makes room for more.
	} while (wire_is_empty(redis->wire) && redis->writing != NULL &&
			 (redis->writing->writing != WRITE_EXEC || redis->writing->approved) && !wire_has_failed(redis->wire));
}

bool redis_flight_add(struct redis *redis, struct batch *batch, struct meow_error *err)
{
	struct flight *flight = calloc(1, sizeof(*flight));
	if (flight == NULL)
		return error_no_memory(err);
	flight->batch = batch;
	flight->number = ++redis->flights;
	proof_writer_init(&flight->proof);
	*redis->flights_end = flight;
	redis->flights_end = &flight->next;
	if (redis->writing == NULL)
		redis->writing = flight;
	redis_flight_write(redis);
	return true;
}

// Whether the key still says what this connection left, or found.
static bool position_is_ours(const struct redis *redis, const redisReply *reply)
{
	int64_t delivered, generation = 0;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2)
		return false;
	struct meow_bytes first = redis_reply_bytes(reply->element[0]), second = redis_reply_bytes(reply->element[1]);
	if (first.data == NULL || !redis->left_any)
		return first.data == NULL && !redis->left_any;
	if (!text_to_int64(first, &delivered) || (second.data != NULL && !text_to_int64(second, &generation)))
		return false;
	return delivered == redis->left_delivered && generation == redis->left_generation;
}

static bool check_position(struct redis *redis, const redisReply *reply)
{
	struct meow_error err;
	if (position_is_ours(redis, reply))
		return true;
	error_set(&err, MEOW_CONFLICT,
		"Redis at %s: the position key \"%s\" was changed or deleted by somebody else; nothing was written",
		redis->place, redis->position_key.data);
	return redis_fail(redis, &err);
}

static bool check_epoch(struct redis *redis, const redisReply *reply)
{
	struct meow_bytes own = {redis->epoch.data, redis->epoch.size};
	if (bytes_equal(redis_reply_bytes(reply), own))
		return true;
	return fail_flight(redis, MEOW_CONFLICT,
		"another relay took this route over, and nothing was written: run it only "
		"once");
}

static bool fail_foreign(struct redis *redis, const struct use *use, uint64_t id, uint64_t sequence)
{
	struct meow_error err;
	error_set(&err, MEOW_CONFIG,
		"Redis at %s: stream \"%.*s\" has entries up to %llu-%llu, but %lld-0 comes next: somebody "
		"else writes to it, or the route went back; delete it, or set another `stream`",
		redis->place, (int)(use->stream->name.size > 100 ? 100 : use->stream->name.size), use->stream->name.data,
		(unsigned long long)id, (unsigned long long)sequence, (long long)use->first);
	return redis_fail(redis, &err);
}

// The stream must end below the first entry that we are about to add.
static bool check_stream(struct redis *redis, const struct use *use, const redisReply *reply)
{
	const redisReply *last = NULL;
	uint64_t id, sequence;
	if (reply->type == REDIS_REPLY_ERROR && use->fresh && strncmp(reply->str, "ERR no such key", 15) == 0)
		return true;
	if (reply->type == REDIS_REPLY_ERROR) {
		char doing[256];
		snprintf(doing, sizeof(doing), "to use \"%.*s\" as the stream of event %lld",
			(int)(use->stream->name.size > 100 ? 100 : use->stream->name.size), use->stream->name.data,
			(long long)use->first);
		return redis_fail_reply(redis, doing, reply->str);
	}
	if (reply->type == REDIS_REPLY_ARRAY && use->fresh)
		last = redis_reply_field(reply, "last-generated-id");
	else if (reply->type == REDIS_REPLY_ARRAY && reply->elements == 0)
		return true;
	else if (reply->type == REDIS_REPLY_ARRAY && reply->element[0]->elements > 0)
		last = reply->element[0]->element[0];
	if (last == NULL || !redis_entry_id(redis_reply_bytes(last), &id, &sequence))
		return fail_flight(redis, MEOW_UNAVAILABLE, "it says nothing of a stream that was understood");
	return (use->fresh && id < (uint64_t)use->first) || fail_foreign(redis, use, id, sequence);
}

// One of the commands between MULTI and EXEC was refused, and the others were not.
static bool fail_result(struct redis *redis, const struct flight *flight, size_t index, const char *reply)
{
	const struct batch *batch = flight->batch;
	struct meow_error err;
	if (index >= batch->count && index < batch->count + flight->trims)
		return redis_fail_reply(redis, "to trim a stream by `minid`", reply);
	// A part was applied. The next start looks the entries up and stops.
	error_set(&err, MEOW_UNKNOWN_OUTCOME, "Redis at %s applied a batch in part: entry %lld-0 was refused: %s",
		redis->place, (long long)batch->events[index < batch->count ? index : batch->count - 1].position, reply);
	return redis_fail(redis, &err);
}

static size_t queued(const struct flight *flight)
{
	return flight->batch->count + flight->trims + 1; // and the position
}

static bool check_results(struct redis *redis, const struct flight *flight, const redisReply *reply)
{
	if (reply->type == REDIS_REPLY_NIL)
		return fail_flight(redis, MEOW_CONFLICT,
			"somebody else wrote to the route's keys or streams while a batch was on "
			"its way; nothing of it was applied");
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != queued(flight))
		return fail_flight(redis, MEOW_UNKNOWN_OUTCOME, "EXEC was answered by something else than its results");
	for (size_t i = 0; i < reply->elements; i++)
		if (reply->element[i]->type == REDIS_REPLY_ERROR)
			return fail_result(redis, flight, i, reply->element[i]->str);
	return true;
}

static bool check_replicas(struct redis *redis, const struct flight *flight, const redisReply *reply)
{
	char what[64];
	const struct batch *batch = flight->batch;
	snprintf(what, sizeof(what), "the batch up to %lld", (long long)batch_last(batch));
	return redis_check_wait(redis, reply, what);
}

// The batch is there: its loan ends with the host's call, after which the connector may be gone.
static void land(struct redis *redis, struct flight *flight)
{
	struct batch *batch = flight->batch;
	redis->left_any = true;
	redis->left_delivered = batch_last(batch);
	redis->left_generation = redis->context.generation;
	redis->reading = flight->next;
	if (redis->reading == NULL)
		redis->flights_end = &redis->reading;
	flight_free(flight);
	redis->context.host->delivered(redis->context.host_arg, batch);
}

// Counts replies of one kind; true with the last of them.
static bool count_reply(struct flight *flight, size_t wanted)
{
	if (++flight->answered < wanted)
		return false;
	flight->answered = 0;
	return true;
}

static void read_step(struct redis *redis, struct flight *flight, const redisReply *reply)
{
	switch (flight->reading) {
	case READ_WATCH:
		flight->reading = READ_POSITION;
		break;
	case READ_POSITION:
		if (check_position(redis, reply))
			flight->reading = READ_EPOCH;
		break;
	case READ_EPOCH:
		if (check_epoch(redis, reply))
			flight->reading = READ_STREAMS;
		break;
	case READ_STREAMS:
		if (check_stream(redis, &flight->uses[flight->answered], reply) && count_reply(flight, flight->use_count))
			flight->reading = READ_MULTI;
		break;
	case READ_MULTI:
		flight->approved = true;
		flight->reading = READ_QUEUED;
		break;
	case READ_QUEUED:
		if (count_reply(flight, queued(flight)))
			flight->reading = READ_EXEC;
		break;
	case READ_EXEC:
		if (!check_results(redis, flight, reply))
			break;
		if (redis->wait > 0)
			flight->reading = READ_WAIT;
		else
			land(redis, flight);
		break;
	case READ_WAIT:
		if (check_replicas(redis, flight, reply))
			land(redis, flight);
		break;
	}
}

void redis_flight_reply(struct redis *redis, const redisReply *reply)
{
	struct flight *flight = redis->reading;
	if (flight == NULL) {
		fail_flight(redis, MEOW_UNAVAILABLE, "a reply came that nothing asked for");
		return;
	}
	if (reply->type == REDIS_REPLY_ERROR && flight->reading != READ_STREAMS) {
		// An error before EXEC makes EXEC apply nothing.
		redis_fail_reply(redis, "a batch", reply->str);
		return;
	}
	read_step(redis, flight, reply);
}
