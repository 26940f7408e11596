// follow.h: a reader that follows the settled position of a store: backlog and tail, gap proofs, polling, doze and
// wake-up. The relay, `tail` and subscriptions are all driven by it. It never holds more than it was given room for.
#ifndef STORE_FOLLOW_H
#define STORE_FOLLOW_H

#include "store/session.h"

struct follow;

struct follow_settings {
	int64_t after;                 // start behind this position
	bool trust_after;              // ids at or below `after` need no look (a checkpoint); always true today
	const char *const *categories; // borrowed for the follower's life; NULL for all
	size_t category_count;
	size_t batch_rows;  // at most so many events a batch, e.g. 2000
	size_t batch_bytes; // and about so many bytes
	bool poll_only;     // no doze: behind a pooler
};

struct follow_stats { // filled at each call of follow_stats; plain values
	int64_t position; // as last handed out
	int64_t settled;
	int64_t head;                 // last known head of the sequence
	size_t holders;               // transactions that hold the settled position back
	struct session_holder oldest; // its age counts from when we first saw it if the server does not tell
	uint64_t looks;               // listings of pg_locks so far
	uint64_t filtered;            // events dropped by the filter so far
	bool dozing;
	bool caught_up; // position has reached the head as last seen
};

// The batch's own position field is set. A batch without events only moves the position on. The callee takes it.
typedef void follow_batch_fn(void *arg, struct batch *batch);
typedef void follow_lost_fn(void *arg, const struct meow_error *err); // the follower is stopped then

// session must be open and outlive the follower; both share it with the owner's checkpoint requests. It sets
// session_on_notify. NULL without memory.
MEOW_MUST_USE struct follow *follow_create(struct loop *loop, struct session *session,
	const struct follow_settings *settings, follow_batch_fn *on_batch, follow_lost_fn *on_lost, void *arg,
	struct meow_error *err);

// Lets it read while `room_bytes` is above 0; the owner calls it again whenever room changes (0 stops reading after
// the statement under way, whose batch still comes). It starts with 0.
void follow_room(struct follow *follow, size_t room_bytes);

void follow_stats(const struct follow *follow, struct follow_stats *ret_stats);
void follow_destroy(struct follow *follow); // answers still under way are dropped; takes NULL

#endif
