// heap.h: the sequences that have a record, the one with the lowest turn and position first.
#ifndef VERIFY_HEAP_H
#define VERIFY_HEAP_H

#include "verify/sink.h"

struct heap {
	struct sequence **items;
	size_t count, capacity;
};

MEOW_MUST_USE bool heap_add(struct heap *heap, struct sequence *sequence, struct meow_error *err);
void heap_sink_first(struct heap *heap); // after the first one's record changed
void heap_remove_first(struct heap *heap);

#endif
