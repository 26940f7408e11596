// arena.h: memory that lives as long as the configuration and goes all at once. When there is none left it turns
// `failed`, and whoever built something checks once, at the end.
#ifndef CONFIG_ARENA_H
#define CONFIG_ARENA_H

#include "base/buffer.h"

struct arena {
	struct arena_piece *pieces;
	bool failed;
};

void arena_finish(struct arena *arena);

// Zeroed memory, NULL without any.
void *arena_alloc(struct arena *arena, size_t size);

// A copy with a NUL behind it, NULL without memory.
const char *arena_copy(struct arena *arena, struct meow_bytes text);
const char *arena_printf(struct arena *arena, const char *format, ...) BASE_PRINTF(2, 3);

#endif
