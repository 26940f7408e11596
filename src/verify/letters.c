// letters.c: 24 bytes for each event that was set aside.
#include "verify/letters.h"

#include <stdlib.h>

struct reading {
	struct letters *letters;
	bool failed;
};

static bool add(void *arg, const struct store_dead_position *dead)
{
	struct reading *reading = arg;
	struct letters *letters = reading->letters;
	if (letters->count == letters->capacity) {
		size_t capacity = letters->capacity == 0 ? 64 : 2 * letters->capacity;
		struct store_dead_position *items = realloc(letters->items, capacity * sizeof(*items));
		reading->failed = items == NULL;
		if (reading->failed)
			return false;
		letters->items = items;
		letters->capacity = capacity;
	}
	letters->items[letters->count++] = *dead;
	return true;
}

bool letters_read(struct letters *letters, struct meow_store *store, const char *route, struct meow_error *err)
{
	struct reading reading = {.letters = letters};
	if (!store_dead_positions(store, route, 0, INT64_MAX, add, &reading, err))
		return false;
	return !reading.failed || error_no_memory(err);
}

void letters_finish(struct letters *letters)
{
	free(letters->items);
	*letters = (struct letters){0};
}

static int compare_positions(const void *key, const void *item)
{
	int64_t position = *(const int64_t *)key;
	const struct store_dead_position *dead = item;
	return position < dead->position ? -1 : position > dead->position;
}

const struct store_dead_position *letters_find(const struct letters *letters, int64_t position)
{
	if (letters->count == 0)
		return NULL;
	return bsearch(&position, letters->items, letters->count, sizeof(*letters->items), compare_positions);
}
