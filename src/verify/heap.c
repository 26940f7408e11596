// heap.c: a binary heap.
#include "verify/heap.h"

#include <stdlib.h>

static bool before(const struct sequence *a, const struct sequence *b)
{
	return a->head.turn != b->head.turn ? a->head.turn < b->head.turn : a->head.position < b->head.position;
}

static void swap(struct heap *heap, size_t a, size_t b)
{
	struct sequence *sequence = heap->items[a];
	heap->items[a] = heap->items[b];
	heap->items[b] = sequence;
}

bool heap_add(struct heap *heap, struct sequence *sequence, struct meow_error *err)
{
	if (heap->count == heap->capacity) {
		size_t capacity = heap->capacity == 0 ? 16 : 2 * heap->capacity;
		struct sequence **items = realloc(heap->items, capacity * sizeof(struct sequence *));
		if (items == NULL)
			return error_no_memory(err);
		heap->items = items;
		heap->capacity = capacity;
	}
	size_t at = heap->count++;
	heap->items[at] = sequence;
	for (; at > 0 && before(heap->items[at], heap->items[(at - 1) / 2]); at = (at - 1) / 2)
		swap(heap, at, (at - 1) / 2);
	return true;
}

void heap_sink_first(struct heap *heap)
{
	for (size_t at = 0;;) {
		size_t least = at;
		for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < heap->count; child++)
			if (before(heap->items[child], heap->items[least]))
				least = child;
		if (least == at)
			return;
		swap(heap, at, least);
		at = least;
	}
}

void heap_remove_first(struct heap *heap)
{
	heap->items[0] = heap->items[--heap->count];
	heap_sink_first(heap);
}
