// layouts.c: a layout publishes up to its cut, and the next one what lies behind. After a rewind the newest publishes all
// over again, what lies before its own beginning included: a generation above the last one of a layout is not its. What
// was set aside by one layout and asked for again when another had taken over is published by that one, for its place is
// a position like any other.
#include "verify/layouts.h"

#include <inttypes.h>
#include <stdlib.h>

const struct store_layout *layouts_newest(const struct layouts *layouts)
{
	return &layouts->items[layouts->count - 1];
}

static bool read_items(
	struct layouts *layouts, struct meow_store *store, const char *route, int configured, struct meow_error *err)
{
	struct store_layouts list;
	if (!store_layouts(store, route, &list, err))
		return false;
	*layouts = (struct layouts){.items = list.items, .count = list.count};
	if (layouts->count > 0)
		return true;
	layouts_finish(layouts);
	layouts->items = calloc(1, sizeof(*layouts->items)); // it never ran
	if (layouts->items == NULL)
		return error_no_memory(err);
	layouts->items[layouts->count++].partitions = configured;
	return true;
}

bool layouts_read(
	struct layouts *layouts, struct meow_store *store, const char *route, int configured, struct meow_error *err)
{
	if (!read_items(layouts, store, route, configured, err))
		return false;
	int newest = layouts_newest(layouts)->partitions;
	if (newest == configured) {
		for (size_t i = 0; i < layouts->count; i++)
			layouts->most = layouts->items[i].partitions > layouts->most ? layouts->items[i].partitions : layouts->most;
		if (letters_read(&layouts->letters, store, route, err))
			return true;
		layouts_finish(layouts);
		return false;
	}
	layouts_finish(layouts);
	if (newest < 0)
		return error_set(err, MEOW_CONFIG, "%s is a subscription with a handler: it has no sink", route);
	return error_set(err, MEOW_CONFIG,
		"the store has %s in %d partition%s, the configuration in %d: compare with the configuration that published",
		route, newest, newest == 1 ? "" : "s", configured);
}

void layouts_finish(struct layouts *layouts)
{
	free(layouts->items);
	letters_finish(&layouts->letters);
	*layouts = (struct layouts){0};
}

const struct store_layout *layouts_at(const struct layouts *layouts, int64_t position, int64_t generation)
{
	const struct store_layout *newest = layouts_newest(layouts);
	const struct store_layout *layout = layouts->items;
	while (layout < newest && (layout->generation < generation || layout->cut < position))
		layout++;
	return layout;
}

int64_t layouts_place(const struct layouts *layouts, int64_t position)
{
	const struct store_dead_position *letter = letters_find(&layouts->letters, position);
	return letter == NULL ? position : letter->retry_at;
}

int64_t layouts_end(const struct layouts *layouts, int partition)
{
	int64_t end = 0;
	for (size_t i = 0; i + 1 < layouts->count; i++)
		if (layouts->items[i].partitions > partition)
			end = layouts->items[i].cut;
	return end;
}
