// positions.h: a set of positions, added in rising order and removed in any. An empty one takes nothing, a dense one a
// bit for each position: 8 KB for each 65,536 positions among which there is one.
#ifndef VERIFY_POSITIONS_H
#define VERIFY_POSITIONS_H

#include "base/error.h"

struct positions_page;
struct positions {
	struct positions_page **pages; // by rising number
	size_t count, capacity;
};

MEOW_MUST_USE bool positions_add(struct positions *positions, int64_t position, struct meow_error *err);
bool positions_has(const struct positions *positions, int64_t position);
void positions_remove(struct positions *positions, int64_t position); // one that is there

// The first one at or above `from` within its page of 65,536. False if there is none at or above it at all.
bool positions_next(const struct positions *positions, int64_t from, int64_t *ret_position);

// The last one in the page of this one.
int64_t positions_last_near(const struct positions *positions, int64_t position);

void positions_clear(struct positions *positions); // keeps nothing

#endif
