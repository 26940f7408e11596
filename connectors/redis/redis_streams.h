// redis_streams.h: the streams that were used on one connection: what is known of each, so that it is asked for in full
// only once. Bounded: streams that no flight uses are forgotten when there are too many, and then asked for anew.
#ifndef CONNECTORS_REDIS_REDIS_STREAMS_H
#define CONNECTORS_REDIS_REDIS_STREAMS_H

#include "base/buffer.h"

struct stream {
	struct meow_bytes name;
	struct buffer head; // formatted arguments of XADD: the command, the name and how to trim
	size_t head_count;  // how many arguments these are
	bool known;         // `last` is right
	int64_t last;       // no entry of the stream is above this
	uint64_t flight;    // the number of the flight that saw it last, and
	size_t index;       // its own number there
	size_t uses;        // by flights
	uint64_t hash;
	struct stream *next; // of the same bucket
};

struct streams;

// maxlen: 0 for streams whose length is not limited. exact: to the entry, at a price.
MEOW_MUST_USE struct streams *streams_create(int64_t maxlen, bool exact);
void streams_destroy(struct streams *streams); // takes NULL

// The stream of this name, made if it is new. NULL without memory. It stays as long as uses is above 0.
MEOW_MUST_USE struct stream *streams_get(struct streams *streams, struct meow_bytes name);

// Between batches: forgets what nobody uses if there is too much.
void streams_tidy(struct streams *streams);

#endif
