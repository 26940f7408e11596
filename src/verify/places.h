// places.h: the places of a sink that were opened so far, by name.
#ifndef VERIFY_PLACES_H
#define VERIFY_PLACES_H

#include "verify/sink.h"

#define PLACES_MOST 4096 // sequences: each holds records in memory

struct places {
	struct place **slots; // a hash table, open addressing
	size_t capacity, count;
	size_t sequences;
};

// The place of that name, opened if it was not yet (then *ret_new is set). NULL fills err, with MEOW_CONFIG if there
// are too many.
MEOW_MUST_USE struct place *places_get(
	struct places *places, struct sink *sink, struct meow_bytes name, bool *ret_new, struct meow_error *err);

void places_finish(struct places *places, struct sink *sink);

#endif
