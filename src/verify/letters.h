// letters.h: the events that were set aside for a route, as the store has them when the comparison starts.
#ifndef VERIFY_LETTERS_H
#define VERIFY_LETTERS_H

#include "store/store.h"

struct letters {
	struct store_dead_position *items; // by rising position
	size_t count, capacity;
};

// Reads all of the route. Starts with all zeros.
MEOW_MUST_USE bool letters_read(
	struct letters *letters, struct meow_store *store, const char *route, struct meow_error *err);
void letters_finish(struct letters *letters); // takes one that is all zeros

// That of the event at the position, NULL if it was not set aside.
const struct store_dead_position *letters_find(const struct letters *letters, int64_t position);

#endif
