// sink.h: what the comparison reads of a sink. A sink has places (a topic, a stream, the file), a place has sequences (a
// topic's partitions; else one), and a sequence has records in the order in which a consumer sees them.
#ifndef VERIFY_SINK_H
#define VERIFY_SINK_H

#include "base/buffer.h"
#include "config/config.h"

struct sink;
struct place;

enum verify_format { FORMAT_DATA, FORMAT_ENVELOPE, FORMAT_MSGPACK };

// What a consumer gets. Bytes that a record of this sink and format does not have are absent. All of it is borrowed
// from the sequence, until the next one is asked for.
struct record {
	int64_t position; // 0: it has none that can be understood
	int64_t generation;
	int64_t place;        // above 0: it was a dead letter, and stands where this position would
	int64_t turn;         // which run through the events it belongs to: a later one begins where a rewind went to
	int64_t number;       // offset or line, for people
	int64_t time_ms;      // of Kafka's timestamp if the producer set it; -1
	struct meow_bytes id; // of a Redis entry
	struct meow_bytes key, aggregate_type, aggregate_id, type, version, time, content_type, metadata;
	struct meow_bytes value;
};

// The position in whose turn it was published.
static inline int64_t record_place(const struct record *record)
{
	return record->place > 0 ? record->place : record->position;
}

struct sequence {
	struct place *place;
	int32_t partition;
	int64_t first; // position of the first record that is there, INT64_MAX if there is none
	bool cut;      // its front was taken away, or may have been: what is below `first` has expired
	void *reader;  // the sink's own
	// Of the merge:
	struct record head;
	bool has_head;
};

struct place {
	struct sink *sink;
	char *name;
	struct sequence *sequences;
	size_t count;
	void *opened; // the sink's own
};

struct sink_impl {
	const char *name;
	const char *name_setting; // of its section: the template of names
	bool any_order;           // somebody may have put its records into any order
	bool turns;               // what a rewind publishes again stands behind what was there, as a turn of its own
	const char *map_setting;  // names by aggregate type; NULL: it has none

	// Connects and checks. MEOW_UNAVAILABLE, MEOW_DENIED, MEOW_CONFIG, ...
	bool (*open)(struct sink *sink, struct meow_error *err);
	// Fills the place (its name is set) with sequences, at their beginning; none if there is no such place.
	bool (*open_place)(struct sink *sink, struct place *place, struct meow_error *err);
	bool (*next)(struct sequence *sequence, struct record *ret_record, bool *ret_found, struct meow_error *err);
	// Once all was read: sets `first` and `cut` anew, since retention and trimming go on while we read.
	bool (*look_again)(struct sequence *sequence, struct meow_error *err);
	// Which sequence of the place an event belongs to; place->count is above 0.
	size_t (*belongs)(const struct place *place, const struct meow_event *event);
	// What differs between record and event, NULL if nothing does; a constant.
	const char *(*differs)(struct sink *sink, const struct record *record, const struct meow_event *event);
	// For people: the place, the sequence (NULL: unknown), and the record in it (NULL: none).
	void (*where)(
		const struct place *place, const struct sequence *sequence, const struct record *record, struct buffer *out);
	void (*close_place)(struct place *place);
	void (*close)(struct sink *sink);
};

struct sink {
	const struct sink_impl *impl;
	const struct config_section *settings;
	enum verify_format format;
	bool exclusive;            // nobody else may write there
	bool may_repeat;           // at least once: what was in flight at a crash comes again
	bool start_now;            // it did not begin with the first event
	int partition, partitions; // of the route
	int64_t from, to;          // positions that are wanted; records outside need not be read
	struct buffer scratch;     // for `differs`
	void *own;
	bool (*tick)(void *arg); // to be called while waiting; false: stop
	void *tick_arg;
	void (*notice)(void *arg, const char *text);
	void *notice_arg;
};

// Room for a place's sequences. False without memory.
MEOW_MUST_USE bool place_allocate(struct place *place, size_t count, struct meow_error *err);

// "stopped by a signal". Returns false.
bool sink_stopped(struct meow_error *err);

extern const struct sink_impl verify_file_sink;
#ifdef HAVE_REDIS
extern const struct sink_impl verify_redis_sink;
#endif
#ifdef HAVE_KAFKA
extern const struct sink_impl verify_kafka_sink;
#endif

#endif
