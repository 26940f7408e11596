// verify.h: compares what a route's sink holds with the store. It is there to find what the delivery path did wrong, so
// it shares no code with it: names, the partitioner, the encodings and the clients of the sinks are its own (and
// tests/layering keeps src/relay and connectors/ out of reach).
//
// The comparison ends at the checkpoint as it stands at the start, so it runs beside a working relay. Memory does not
// grow with the number of events: both sides are read in pages and merged by position; what grows is a bitmap of the
// events that are missing, a bit each.
#ifndef VERIFY_VERIFY_H
#define VERIFY_VERIFY_H

#include "config/config.h"

enum verify_fault {
	VERIFY_LOST,         // in the store, delivered by the checkpoint's word, and not in the sink
	VERIFY_TWICE,        // in the sink again after it was there
	VERIFY_OUT_OF_ORDER, // behind a later event of its aggregate
	VERIFY_LATE,         // behind an event of a higher position, but not of its own aggregate
	VERIFY_CHANGED,      // bytes that are not the store's
	VERIFY_MISPLACED,    // in a stream, topic or partition where its name or key does not belong
	VERIFY_FOREIGN,      // nothing that meowmx wrote, or of a position that the store never drew
	VERIFY_NOT_IN_STORE, // deleted from the store since, or never there: the two cannot be told apart
	VERIFY_FAULTS
};

// "lost", "twice", "out_of_order", ...: as JSON has them.
const char *verify_fault_name(enum verify_fault fault);

#define VERIFY_SAMPLES 10

struct verify_sample {
	int64_t position;     // 0: unknown
	int64_t version;      // MEOW_NO_VERSION: unknown
	char *aggregate_type; // NULL: unknown, as are the following
	char *aggregate_id;
	char *where; // in the sink, for people
	char *what;  // of VERIFY_CHANGED: which part
};

struct verify_finding {
	uint64_t count;
	bool breaks; // whether one of them breaks the promise of this route
	size_t shown;
	struct verify_sample first[VERIFY_SAMPLES];
};

struct verify_result {
	const char *delivery; // "at-least-once", "exactly-once"; a constant
	int64_t from, to;     // positions compared, inclusive; to below from: nothing
	int64_t checkpoint;   // as read at the start
	uint64_t events;      // of the store
	uint64_t records;     // of the sink
	uint64_t expired;     // taken by retention, trimming or rotation: below the first one still there
	uint64_t unwanted;    // of categories that are not this route's
	uint64_t replayed;    // published again, as a rewind asked for
	uint64_t retried;     // there by a retry, once they were dead letters
	uint64_t set_aside;   // not in the sink, but among the route's dead letters, or discarded from there
	struct verify_finding findings[VERIFY_FAULTS];
	bool holds; // the promise of the route
};

void verify_result_finish(struct verify_result *result);

struct verify_progress {
	int64_t done, total; // positions
	uint64_t events;
};

struct verify_request {
	struct meow_store *store; // borrowed
	const struct config_route *route;
	int64_t from; // inclusive; INT64_MIN: from the first
	int64_t to;   // inclusive; INT64_MAX: up to the checkpoint
	// Called often; false ends the comparison with MEOW_UNAVAILABLE and the code VERIFY_STOPPED.
	bool (*progress)(void *arg, const struct verify_progress *progress);
	void (*notice)(void *arg, const char *text); // something a person should know
	void *arg;
};

#define VERIFY_STOPPED "stopped"

// Blocks until all is compared. The caller finishes *ret_result. Fails when the comparison could not be made:
// MEOW_UNAVAILABLE (store or sink), MEOW_MISSING (no such file), MEOW_DENIED, MEOW_CONFIG (a sink that cannot be
// compared: standard output, a compacted topic, too many streams), MEOW_IO.
MEOW_MUST_USE bool verify_route(
	const struct verify_request *request, struct verify_result *ret_result, struct meow_error *err);

#endif
