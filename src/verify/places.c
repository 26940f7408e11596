// places.c: see places.h.
#include "verify/places.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

// The slot of the name, or the free one where it would be.
static struct place **slot_of(const struct places *places, struct meow_bytes name)
{
	size_t at = (size_t)text_hash(TEXT_HASH_START, name) % places->capacity;
	while (places->slots[at] != NULL && !bytes_equal(bytes_of(places->slots[at]->name), name))
		at = (at + 1) % places->capacity;
	return &places->slots[at];
}

static bool grow(struct places *places)
{
	struct places larger = {.capacity = places->capacity == 0 ? 64 : 2 * places->capacity, .count = places->count};
	larger.slots = calloc(larger.capacity, sizeof(*larger.slots));
	if (larger.slots == NULL)
		return false;
	for (size_t i = 0; i < places->capacity; i++)
		if (places->slots[i] != NULL)
			*slot_of(&larger, bytes_of(places->slots[i]->name)) = places->slots[i];
	free(places->slots);
	larger.sequences = places->sequences;
	*places = larger;
	return true;
}

static void place_free(struct sink *sink, struct place *place)
{
	sink->impl->close_place(place);
	free(place->sequences);
	free(place->name);
	free(place);
}

static struct place *open_place(
	struct places *places, struct sink *sink, struct meow_bytes name, struct meow_error *err)
{
	struct place *place = calloc(1, sizeof(*place));
	if (place == NULL || (place->name = strndup(name.data, name.size)) == NULL) {
		free(place);
		error_no_memory(err);
		return NULL;
	}
	place->sink = sink;
	bool ok = sink->impl->open_place(sink, place, err);
	if (ok && places->sequences + place->count > PLACES_MOST)
		ok = error_set(err, MEOW_CONFIG,
			"the route writes to more than %d streams or partitions, which is more than can be compared at once",
			PLACES_MOST);
	if (ok)
		return place;
	place_free(sink, place);
	return NULL;
}

struct place *places_get(
	struct places *places, struct sink *sink, struct meow_bytes name, bool *ret_new, struct meow_error *err)
{
	if (2 * places->count >= places->capacity && !grow(places)) {
		error_no_memory(err);
		return NULL;
	}
	struct place **slot = slot_of(places, name);
	*ret_new = *slot == NULL;
	if (*slot != NULL)
		return *slot;
	*slot = open_place(places, sink, name, err);
	if (*slot == NULL)
		return NULL;
	places->count++;
	places->sequences += (*slot)->count > 0 ? (*slot)->count : 1;
	return *slot;
}

void places_finish(struct places *places, struct sink *sink)
{
	for (size_t i = 0; i < places->capacity; i++)
		if (places->slots[i] != NULL)
			place_free(sink, places->slots[i]);
	free(places->slots);
	*places = (struct places){0};
}
