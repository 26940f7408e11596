// window.h: the bounded ring of batches in flight (after Bottled Water's transaction list). Batches are delivered in any
// order; `delivered` moves over the contiguous finished prefix only. Pure: no clock, no I/O.
#ifndef RELAY_WINDOW_H
#define RELAY_WINDOW_H

#include "store/batch.h"

struct window;

MEOW_MUST_USE struct window *window_create(size_t limit_bytes);
void window_destroy(struct window *window); // and the batches in it; takes NULL

// Takes a batch with events, whose positions lie above all before it.
void window_push(struct window *window, struct batch *batch);

// Marks a batch of the window delivered, and frees the finished prefix. *batch may be gone afterwards.
void window_deliver(struct window *window, struct batch *batch);

// Nothing was for us up to this position: position moves there once all that is in flight is delivered.
void window_advance(struct window *window, int64_t position);

// Where the checkpoint may stand: last delivered event of the finished prefix, its fingerprint (NULL if none yet; valid
// until the next call that changes the window), and the position.
struct window_mark {
	int64_t delivered;
	int64_t position;
	const char *fingerprint;
};
void window_reset(struct window *window, int64_t delivered, int64_t position, const char *fingerprint); // drops all
struct window_mark window_mark(const struct window *window);

// How many bytes may still come in. An empty window always has room for one batch, however large.
size_t window_room(const struct window *window);
size_t window_bytes(const struct window *window);
size_t window_events(const struct window *window); // in flight
bool window_empty(const struct window *window);
// The place in which the event at this position is in flight for a second time, 0 if it is not.
int64_t window_retry(const struct window *window, int64_t position);
const struct batch *window_oldest(const struct window *window); // in flight, NULL if none is

#endif
