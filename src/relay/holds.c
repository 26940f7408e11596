#include "relay/holds.h"

#include <stdlib.h>
#include <string.h>

struct hold {
	int64_t from;
	int64_t behind; // and no more behind this one; 0: for ever
	size_t type_size, id_size;
	char text[]; // type and id
};

void holds_finish(struct holds *holds)
{
	for (size_t i = 0; i < holds->count; i++)
		free(holds->items[i]);
	free(holds->items);
	*holds = (struct holds){0};
}

static int compare(const struct hold *hold, struct meow_bytes type, struct meow_bytes id)
{
	if (hold->type_size != type.size)
		return hold->type_size < type.size ? -1 : 1;
	if (hold->id_size != id.size)
		return hold->id_size < id.size ? -1 : 1;
	int order = type.size ? memcmp(hold->text, type.data, type.size) : 0;
	return order || !id.size ? order : memcmp(hold->text + type.size, id.data, id.size);
}

// Where it is, or would be.
static size_t place(const struct holds *holds, struct meow_bytes type, struct meow_bytes id, bool *ret_there)
{
	size_t low = 0, high = holds->count;
	*ret_there = false;
	while (low < high && !*ret_there) {
		size_t middle = low + (high - low) / 2;
		int order = compare(holds->items[middle], type, id);
		*ret_there = order == 0;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return *ret_there ? high : low;
}

bool holds_has(const struct holds *holds, struct meow_bytes type, struct meow_bytes id, int64_t position)
{
	bool there;
	size_t at = place(holds, type, id, &there);
	const struct hold *hold = there ? holds->items[at] : NULL;
	return hold && hold->from <= position && (!hold->behind || position <= hold->behind);
}

int64_t holds_end(const struct holds *holds, struct meow_bytes type, struct meow_bytes id)
{
	bool there;
	size_t at = place(holds, type, id, &there);
	return there ? holds->items[at]->behind : 0;
}

size_t holds_beyond(const struct holds *holds, int64_t position)
{
	size_t count = 0;
	for (size_t i = 0; i < holds->count; i++)
		count += !holds->items[i]->behind || holds->items[i]->behind > position;
	return count;
}

static struct hold *add(struct holds *holds, struct meow_bytes type, struct meow_bytes id, int64_t from)
{
	bool there;
	size_t at = place(holds, type, id, &there);
	if (there) {
		if (from < holds->items[at]->from)
			holds->items[at]->from = from;
		return holds->items[at];
	}
	if (holds->count == holds->room) {
		size_t room = holds->room ? holds->room * 2 : 16;
		struct hold **items = realloc(holds->items, room * sizeof(*items));
		if (!items)
			return NULL;
		holds->items = items;
		holds->room = room;
	}
	struct hold *hold = malloc(sizeof(*hold) + type.size + id.size);
	if (!hold)
		return NULL;
	hold->from = from;
	hold->type_size = type.size;
	hold->id_size = id.size;
	if (type.size)
		memcpy(hold->text, type.data, type.size);
	if (id.size)
		memcpy(hold->text + type.size, id.data, id.size);
	memmove(&holds->items[at + 1], &holds->items[at], (holds->count - at) * sizeof(struct hold *));
	holds->items[at] = hold;
	holds->count++;
	return hold;
}

bool holds_add(struct holds *holds, struct meow_bytes type, struct meow_bytes id, int64_t position)
{
	struct hold *hold = add(holds, type, id, position);
	if (hold)
		hold->behind = 0;
	return hold != NULL;
}

// "<number>:" at *text, which moves behind it.
static bool take_number(const char **text, size_t *left, int64_t *ret)
{
	char *end;
	long long number = strtoll(*text, &end, 10);
	size_t size = (size_t)(end - *text) + 1;
	if (end == *text || *end != ':' || number < 0 || size > *left)
		return false;
	*ret = number;
	*text += size;
	*left -= size;
	return true;
}

// "<size>:<bytes>" at *text, which moves behind it.
static bool take(const char **text, size_t *left, struct meow_bytes *ret)
{
	int64_t size;
	if (!take_number(text, left, &size) || (uint64_t)size > *left)
		return false;
	*ret = (struct meow_bytes){*text, (size_t)size};
	*text += size;
	*left -= (size_t)size;
	return true;
}

bool holds_read(struct holds *holds, const char *text)
{
	size_t left = text ? strlen(text) : 0;
	holds_finish(holds);
	while (left) {
		int64_t from, behind;
		struct meow_bytes type, id;
		if (!take_number(&text, &left, &from) || !take_number(&text, &left, &behind) || !take(&text, &left, &type) ||
			!take(&text, &left, &id))
			return false;
		struct hold *hold = add(holds, type, id, from);
		if (!hold)
			return false;
		hold->behind = behind;
	}
	return true;
}
