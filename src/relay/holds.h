// holds.h: the aggregates that dead letters hold: a set in memory, as the store has it. Pure.
#ifndef RELAY_HOLDS_H
#define RELAY_HOLDS_H

#include "base/error.h"

struct holds {
	struct hold **items; // sorted
	size_t count, room;
};

// No route goes on with more: so many fit into a few megabytes, and somebody should look.
#define HOLDS_MOST 10000

void holds_finish(struct holds *holds); // and may be used again; takes one that is all zeros
// Whether the aggregate is held at this position. What lies before its first dead letter is not: it may have to be sent
// again. Nor is what lies behind the retry of its last one.
bool holds_has(const struct holds *holds, struct meow_bytes type, struct meow_bytes id, int64_t position);

// From this position on, unless it is held from before, and for ever. False without memory.
MEOW_MUST_USE bool holds_add(struct holds *holds, struct meow_bytes type, struct meow_bytes id, int64_t position);

// Behind which place the aggregate is not held any more; 0 if it is held for ever, or not at all.
int64_t holds_end(const struct holds *holds, struct meow_bytes type, struct meow_bytes id);

// How many are held beyond this position.
size_t holds_beyond(const struct holds *holds, int64_t position);

// Replaces all by what struct checkpoint has of them (NULL: none). False without memory, or for anything else.
MEOW_MUST_USE bool holds_read(struct holds *holds, const char *text);

#endif
