// sink_redis.c: streams, by XRANGE page after page up to the last id they had when they were opened. The next page of a
// stream is asked for as soon as the last one came, so that Redis works while we compare. Replies come in the order of
// the requests, so a queue of streams says whose each is.
//
// A page's entries are as many as fit the share of a stream in PAGES_BYTES, by the size of those that came before.
//
// Refused: a key that is no stream.
#include "verify/sink.h"

#include "base/text.h"
#include "verify/compare.h"
#include "verify/redis_reach.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGES_BYTES ((size_t)8 << 20) // of all streams
#define PAGE_FIRST 16
#define PAGE_MOST 256

struct entry_id {
	uint64_t first, second;
};

struct stream {
	const char *name;
	struct entry_id next, last; // of the next page, and where the stream ended
	redisReply *page, *coming;  // coming: answered, not begun
	size_t index;
	size_t rows;          // asked for
	bool asked;           // and not answered
	bool done;            // nothing more to ask for
	struct stream *after; // in the queue of those that asked
};

struct redis {
	redisContext *context;
	char *place; // host:port, for messages
	size_t streams;
	struct stream *asked, **asked_end;
};

// --- requests

static bool lost(const struct redis *redis, struct meow_error *err)
{
	return error_set(err, MEOW_UNAVAILABLE, "Redis at %s: %s", redis->place,
		redis->context->errstr[0] != '\0' ? redis->context->errstr : "no answer");
}

static bool refused(const struct redis *redis, const char *doing, const redisReply *reply, struct meow_error *err)
{
	return redis_reach_refused(redis->place, doing, reply, err);
}

static redisReply *take_reply(struct redis *redis, struct meow_error *err)
{
	void *reply = NULL;
	if (redisGetReply(redis->context, &reply) == REDIS_OK)
		return reply;
	lost(redis, err);
	return NULL;
}

// The oldest page that was asked for.
static bool take_page(struct redis *redis, struct meow_error *err)
{
	struct stream *stream = redis->asked;
	stream->coming = take_reply(redis, err);
	if (stream->coming == NULL)
		return false;
	redis->asked = stream->after;
	if (redis->asked == NULL)
		redis->asked_end = &redis->asked;
	stream->asked = false;
	if (stream->coming->type == REDIS_REPLY_ARRAY)
		return true;
	return refused(redis, stream->name, stream->coming, err);
}

// One request and its reply, behind those that are under way. NULL fills err.
static redisReply *ask(struct redis *redis, struct meow_error *err, size_t count, const char **words)
{
	while (redis->asked != NULL)
		if (!take_page(redis, err))
			return NULL;
	if (redisAppendCommandArgv(redis->context, (int)count, words, NULL) != REDIS_OK) {
		lost(redis, err);
		return NULL;
	}
	return take_reply(redis, err);
}

static void id_text(struct entry_id id, char text[48])
{
	snprintf(text, 48, "%llu-%llu", (unsigned long long)id.first, (unsigned long long)id.second);
}

static bool ask_page(struct redis *redis, struct stream *stream, struct meow_error *err)
{
	char start[48], end[48], rows[24];
	id_text(stream->next, start);
	id_text(stream->last, end);
	snprintf(rows, sizeof(rows), "%zu", stream->rows);
	const char *words[] = {"XRANGE", stream->name, start, end, "COUNT", rows};
	if (redisAppendCommandArgv(redis->context, 6, words, NULL) != REDIS_OK)
		return lost(redis, err);
	int written = 0;
	while (!written)
		if (redisBufferWrite(redis->context, &written) != REDIS_OK)
			return lost(redis, err);
	stream->asked = true;
	stream->after = NULL;
	*redis->asked_end = stream;
	redis->asked_end = &stream->after;
	return true;
}

// --- entries

static struct meow_bytes bytes_of_reply(const redisReply *reply)
{
	bool text = reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS;
	return text ? (struct meow_bytes){reply->str, (size_t)reply->len} : (struct meow_bytes){0};
}

static bool take_digits(const char **at, const char *end, uint64_t *ret_number)
{
	const char *start = *at;
	for (*ret_number = 0; *at < end && **at >= '0' && **at <= '9'; ++*at)
		*ret_number = *ret_number * 10 + (uint64_t)(**at - '0');
	return *at > start;
}

static bool parse_id(struct meow_bytes text, struct entry_id *ret_id)
{
	const char *at = text.data, *end = at + text.size;
	if (at == NULL || !take_digits(&at, end, &ret_id->first) || at == end || *at++ != '-')
		return false;
	return take_digits(&at, end, &ret_id->second) && at == end;
}

static void take_field(struct record *record, struct meow_bytes name, struct meow_bytes value)
{
	if (bytes_equal(name, MEOW_BYTES("type")))
		record->type = value;
	else if (bytes_equal(name, MEOW_BYTES("aggregate_type")))
		record->aggregate_type = value;
	else if (bytes_equal(name, MEOW_BYTES("aggregate_id")))
		record->aggregate_id = value;
	else if (bytes_equal(name, MEOW_BYTES("version")))
		record->version = value;
	else if (bytes_equal(name, MEOW_BYTES("time")))
		record->time = value;
	else if (bytes_equal(name, MEOW_BYTES("data")) || bytes_equal(name, MEOW_BYTES("event")))
		record->value = value;
	else if (bytes_equal(name, MEOW_BYTES("metadata")))
		record->metadata = value;
	else if (bytes_equal(name, MEOW_BYTES("generation")) && !text_to_int64(value, &record->generation))
		record->generation = -1;
	// A dead letter that came later than its turn says its own position; its id is that of the turn.
	else if (bytes_equal(name, MEOW_BYTES("position")) && !text_to_int64(value, &record->position))
		record->position = 0;
}

// Without a type and a value it is none of ours, whatever its id looks like.
static void read_entry(enum verify_format format, const redisReply *entry, struct record *record)
{
	struct entry_id id;
	*record = (struct record){.time_ms = -1, .id = bytes_of_reply(entry->element[0])};
	if (!parse_id(record->id, &id))
		return;
	if (id.second == 0 && id.first <= INT64_MAX)
		record->position = (int64_t)id.first;
	const redisReply *fields = entry->element[1];
	for (size_t i = 0; fields->type == REDIS_REPLY_ARRAY && i + 1 < fields->elements; i += 2)
		take_field(record, bytes_of_reply(fields->element[i]), bytes_of_reply(fields->element[i + 1]));
	if (record->position > 0 && id.second == 0 && (uint64_t)record->position != id.first)
		record->place = (int64_t)id.first;
	int64_t position, place;
	if (format == FORMAT_ENVELOPE && record->value.data != NULL &&
		!compare_line_ends(record->value, &position, &place, &record->generation))
		record->generation = 0;
	if (record->type.data == NULL || record->value.data == NULL)
		record->position = 0;
}

static size_t page_bytes(const redisReply *page)
{
	size_t bytes = 0;
	for (size_t i = 0; i < page->elements; i++) {
		const redisReply *fields = page->element[i]->element[1];
		for (size_t j = 0; fields->type == REDIS_REPLY_ARRAY && j < fields->elements; j++)
			bytes += (size_t)fields->element[j]->len + 64;
	}
	return bytes;
}

// What the page that came says of the one to ask for.
static bool plan_next(struct redis *redis, struct stream *stream, struct meow_error *err)
{
	const redisReply *page = stream->page;
	for (size_t i = 0; i < page->elements; i++)
		if (page->element[i]->type != REDIS_REPLY_ARRAY || page->element[i]->elements != 2)
			return refused(redis, stream->name, page, err);
	stream->done = page->elements < stream->rows;
	if (stream->done)
		return true;
	if (!parse_id(bytes_of_reply(page->element[page->elements - 1]->element[0]), &stream->next))
		return refused(redis, stream->name, page, err);
	stream->next.second++;
	stream->done = stream->next.second == 0; // the highest id there is
	size_t each = page_bytes(page) / page->elements + 1, fit = PAGES_BYTES / redis->streams / each;
	size_t most = fit < PAGE_MOST ? fit : PAGE_MOST;
	stream->rows = 2 * stream->rows < most ? 2 * stream->rows : most > 0 ? most : 1;
	return stream->done || ask_page(redis, stream, err);
}

static bool turn_page(struct redis *redis, struct stream *stream, struct meow_error *err)
{
	if (!stream->asked && stream->coming == NULL && !ask_page(redis, stream, err))
		return false;
	while (stream->coming == NULL)
		if (!take_page(redis, err))
			return false;
	freeReplyObject(stream->page);
	stream->page = stream->coming;
	stream->coming = NULL;
	stream->index = 0;
	return plan_next(redis, stream, err);
}

static bool redis_next(struct sequence *sequence, struct record *ret_record, bool *ret_found, struct meow_error *err)
{
	struct sink *sink = sequence->place->sink;
	struct stream *stream = sequence->reader;
	if ((stream->page == NULL || stream->index == stream->page->elements) && !stream->done &&
		(!sink->tick(sink->tick_arg) ? !sink_stopped(err) : !turn_page(sink->own, stream, err)))
		return false;
	*ret_found = stream->page != NULL && stream->index < stream->page->elements;
	if (*ret_found)
		read_entry(sink->format, stream->page->element[stream->index++], ret_record);
	return true;
}

// --- streams

static const redisReply *field_of(const redisReply *map, const char *name)
{
	for (size_t i = 0; i + 1 < map->elements; i += 2)
		if (bytes_equal(bytes_of_reply(map->element[i]), bytes_of(name)))
			return map->element[i + 1];
	return NULL;
}

// The position of the first entry, and whether something may have been taken from before it: Redis 7 counts what was
// added, older ones do not.
static void read_front(const redisReply *info, struct sequence *sequence)
{
	const redisReply *added = field_of(info, "entries-added"), *length = field_of(info, "length");
	const redisReply *entry = field_of(info, "first-entry");
	struct entry_id id;
	sequence->cut = added == NULL || length == NULL || added->integer != length->integer;
	sequence->first = INT64_MAX;
	if (entry != NULL && entry->type == REDIS_REPLY_ARRAY && entry->elements > 0 &&
		parse_id(bytes_of_reply(entry->element[0]), &id) && id.first <= INT64_MAX)
		sequence->first = (int64_t)id.first;
}

// Asks for a stream's state. *ret_info is NULL if there is no such key; the caller frees it.
static bool ask_info(struct redis *redis, const char *name, redisReply **ret_info, struct meow_error *err)
{
	const char *words[] = {"XINFO", "STREAM", name};
	redisReply *info = ask(redis, err, 3, words);
	if (info == NULL)
		return false;
	if (info->type == REDIS_REPLY_ERROR && strncmp(info->str, "ERR no such key", 15) == 0) {
		freeReplyObject(info);
		info = NULL;
	} else if (info->type != REDIS_REPLY_ARRAY) {
		refused(redis, name, info, err);
		freeReplyObject(info);
		return false;
	}
	*ret_info = info;
	return true;
}

static bool fill_place(struct redis *redis, struct place *place, const redisReply *info, struct meow_error *err)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	if (stream == NULL || !place_allocate(place, 1, err)) {
		free(stream);
		return error_no_memory(err);
	}
	place->opened = stream;
	place->sequences[0].reader = stream;
	const redisReply *last = field_of(info, "last-generated-id");
	stream->name = place->name;
	stream->rows = PAGE_FIRST;
	stream->next.first = place->sink->from > 0 ? (uint64_t)place->sink->from : 0;
	if (last == NULL || !parse_id(bytes_of_reply(last), &stream->last))
		return refused(redis, place->name, info, err);
	stream->done = stream->last.first < stream->next.first;
	read_front(info, &place->sequences[0]);
	redis->streams++;
	return true;
}

static bool redis_open_place(struct sink *sink, struct place *place, struct meow_error *err)
{
	redisReply *info;
	if (!ask_info(sink->own, place->name, &info, err))
		return false;
	bool ok = info == NULL || fill_place(sink->own, place, info, err);
	if (info != NULL)
		freeReplyObject(info);
	return ok;
}

static bool redis_look_again(struct sequence *sequence, struct meow_error *err)
{
	redisReply *info;
	if (!ask_info(sequence->place->sink->own, sequence->place->name, &info, err))
		return false;
	if (info == NULL)
		return error_set(err, MEOW_CONFIG, "stream \"%s\" was deleted while it was compared", sequence->place->name);
	read_front(info, sequence);
	freeReplyObject(info);
	return true;
}

static void redis_close_place(struct place *place)
{
	struct stream *stream = place->opened;
	if (stream == NULL)
		return;
	if (stream->page != NULL)
		freeReplyObject(stream->page);
	if (stream->coming != NULL)
		freeReplyObject(stream->coming);
	free(stream);
}

// --- comparing

static const char *differs_fields(struct sink *sink, const struct record *record, const struct meow_event *event)
{
	char text[TEXT_TIME_SIZE];
	struct meow_bytes time = {0};
	if (event->time_us != MEOW_NO_TIME) {
		text_time(event->time_us, text);
		time = bytes_of(text);
	}
	if (!bytes_equal(record->aggregate_type, event->aggregate_type))
		return "aggregate_type";
	if (!bytes_equal(record->aggregate_id, event->aggregate_id))
		return "aggregate_id";
	if (!compare_number(record->version, event->version))
		return "version";
	if (!bytes_equal(record->time, time))
		return "time";
	if (!bytes_equal(record->metadata, event->metadata))
		return "metadata";
	if (record->generation < 0)
		return "generation";
	return compare_value(FORMAT_DATA, record->value, event, 0, &sink->scratch);
}

static const char *redis_differs(struct sink *sink, const struct record *record, const struct meow_event *event)
{
	if (!bytes_equal(record->type, event->type))
		return "type";
	if (sink->format == FORMAT_DATA)
		return differs_fields(sink, record, event);
	int64_t generation = sink->format == FORMAT_MSGPACK ? -1 : record->generation;
	return compare_value(sink->format, record->value, event, generation, &sink->scratch);
}

static size_t redis_belongs(const struct place *place, const struct meow_event *event)
{
	(void)place;
	(void)event;
	return 0;
}

static void redis_where(
	const struct place *place, const struct sequence *sequence, const struct record *record, struct buffer *out)
{
	(void)sequence;
	buffer_put_text(out, place->name);
	if (record == NULL)
		return;
	buffer_put_char(out, ' ');
	buffer_put(out, record->id.data, record->id.size);
}

static bool redis_open(struct sink *sink, struct meow_error *err)
{
	struct redis *redis = calloc(1, sizeof(*redis));
	if (redis == NULL)
		return error_no_memory(err);
	sink->own = redis;
	redis->asked_end = &redis->asked;
	redis->context = redis_reach(sink->settings, &redis->place, err);
	return redis->context != NULL;
}

static void redis_close(struct sink *sink)
{
	struct redis *redis = sink->own;
	if (redis == NULL)
		return;
	if (redis->context != NULL)
		redisFree(redis->context);
	free(redis->place);
	free(redis);
}

const struct sink_impl verify_redis_sink = {
	.name = "redis",
	.name_setting = "stream",
	.map_setting = "streams",
	.open = redis_open,
	.open_place = redis_open_place,
	.next = redis_next,
	.look_again = redis_look_again,
	.belongs = redis_belongs,
	.differs = redis_differs,
	.where = redis_where,
	.close_place = redis_close_place,
	.close = redis_close,
};
