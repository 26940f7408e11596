// arena.c: one allocation a piece, in a list. A configuration has some hundred of them, so nothing cleverer is needed.
#include "config/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arena_piece {
	struct arena_piece *next;
	alignas(max_align_t) char data[];
};

void arena_finish(struct arena *arena)
{
	while (arena->pieces != NULL) {
		struct arena_piece *piece = arena->pieces;
		arena->pieces = piece->next;
		free(piece);
	}
}

void *arena_alloc(struct arena *arena, size_t size)
{
	struct arena_piece *piece = calloc(1, sizeof(*piece) + size);
	if (piece == NULL) {
		arena->failed = true;
		return NULL;
	}
	piece->next = arena->pieces;
	arena->pieces = piece;
	return piece->data;
}

const char *arena_copy(struct arena *arena, struct meow_bytes text)
{
	char *copy = arena_alloc(arena, text.size + 1);
	if (copy != NULL && text.size > 0)
		memcpy(copy, text.data, text.size);
	return copy;
}

const char *arena_printf(struct arena *arena, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	char *text = length < 0 ? NULL : arena_alloc(arena, (size_t)length + 1);
	if (text != NULL)
		vsnprintf(text, (size_t)length + 1, format, again);
	va_end(again);
	va_end(args);
	return text;
}
