// layouts.h: how a route was split into partitions over time, as the store has it.
#ifndef VERIFY_LAYOUTS_H
#define VERIFY_LAYOUTS_H

#include "store/store.h"

struct layouts {
	struct store_layout *items; // by their age, the newest last; at least one
	size_t count;
	int most; // partitions of any of them
};

// Reads those of the route, which the configuration has in so many partitions. MEOW_CONFIG if the store has it otherwise,
// or the name is a handler's.
MEOW_MUST_USE bool layouts_read(
	struct layouts *layouts, struct meow_store *store, const char *route, int configured, struct meow_error *err);
void layouts_finish(struct layouts *layouts); // takes one that is all zeros

const struct store_layout *layouts_newest(const struct layouts *layouts);

// The layout that published the position in the generation.
const struct store_layout *layouts_at(const struct layouts *layouts, int64_t position, int64_t generation);

// Where the partition ended that the newest layout does not have.
int64_t layouts_end(const struct layouts *layouts, int partition);

#endif
