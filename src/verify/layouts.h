// layouts.h: how a route was split into partitions over time, as the store has it.
#ifndef VERIFY_LAYOUTS_H
#define VERIFY_LAYOUTS_H

#include "verify/letters.h"

struct layouts {
	struct store_layout *items; // by their age, the newest last; at least one
	size_t count;
	int most;               // partitions of any of them
	struct letters letters; // a retry is published by the layout of its place
};

// Reads those of the route, which the configuration has in so many partitions. MEOW_CONFIG if the store has it otherwise,
// or the name is a handler's.
MEOW_MUST_USE bool layouts_read(
	struct layouts *layouts, struct meow_store *store, const char *route, int configured, struct meow_error *err);
void layouts_finish(struct layouts *layouts); // takes one that is all zeros

const struct store_layout *layouts_newest(const struct layouts *layouts);

// The layout that published the position in the generation.
const struct store_layout *layouts_at(const struct layouts *layouts, int64_t position, int64_t generation);

// The position in whose turn the event is published: its own, or where a retry of it is. 0: it was set aside, and there is
// none.
int64_t layouts_place(const struct layouts *layouts, int64_t position);

// Where the partition ended that the newest layout does not have.
int64_t layouts_end(const struct layouts *layouts, int partition);

#endif
