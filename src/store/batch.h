// batch.h: what one statement of the reader returned, ready to publish. Made by a store session, then immutable: owned
// by the relay, lent to a connector, which may point into it until it has reported it delivered.
#ifndef STORE_BATCH_H
#define STORE_BATCH_H

#include "base/error.h"

struct batch {
	struct meow_event *events; // rising positions; only those that the filter lets through
	size_t count;
	size_t bytes; // memory held, everything included: what the window counts
	// Kept by whoever owns the batch at the moment, unused by the store:
	int64_t position;  // everything up to here is dealt with once this batch is delivered (at or above its last event)
	char *fingerprint; // of the last event (store/fingerprint.h), freed with the batch; NULL if count is 0
	int64_t sent_us;   // loop_now_us when it was handed to the connector
	bool delivered;
	int64_t place;      // above 0: its one event, of an earlier position, is published again in this place
	struct batch *next; // for a list of the owner's
};

// An empty batch whose events and bytes are then added one by one. NULL without memory.
MEOW_MUST_USE struct batch *batch_create(void);

// Adds a copy of the event (all its bytes, each followed by a NUL) in memory of the batch's own, taken in large pieces.
MEOW_MUST_USE bool batch_add(struct batch *batch, const struct meow_event *event);

// Adds the event; `data` and `metadata` stay where they are, inside `owner`, which free_owner(owner) releases together
// with the batch. For large rows, so that they are not copied.
MEOW_MUST_USE bool batch_add_owned(
	struct batch *batch, const struct meow_event *event, void *owner, size_t owner_bytes, void (*free_owner)(void *));

// Drops the events from index `count` on (their memory stays until the batch goes).
void batch_cut(struct batch *batch, size_t count);

// Behind which position the sink stands once the batch is delivered. count is above 0.
static inline int64_t batch_last(const struct batch *batch)
{
	return batch->place ? batch->place : batch->events[batch->count - 1].position;
}

void batch_destroy(struct batch *batch); // takes NULL

#endif
