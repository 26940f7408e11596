// walk.c: two cursors. One category is the store's to select; of several, everything is read and the rest dropped.
// Looking back keeps its cursor as long as it goes forward in small steps, as it does over what a relay sent again.
#include "verify/walk.h"

#include "base/text.h"
#include "verify/names.h"

#define BACK_STEPS 5000 // positions over which reading on is cheaper than asking anew

bool walk_wants(const struct walk *walk, struct meow_bytes aggregate_type)
{
	size_t count = config_count(walk->route, "categories");
	if (count == 0)
		return true;
	for (size_t i = 0; i < count; i++)
		if (bytes_equal(bytes_of(config_item(walk->route, "categories", i)), aggregate_type))
			return true;
	return false;
}

bool walk_is_ours(const struct walk *walk, struct meow_bytes aggregate_id, int64_t place, int64_t generation)
{
	int partitions = layouts_at(walk->layouts, place, generation)->partitions;
	return (partitions == 1 ? 0 : names_partition(aggregate_id, partitions)) == walk->partition;
}

// One that was set aside for good is counted where it would have been.
bool walk_expects(const struct walk *walk, const struct meow_event *event)
{
	int64_t place = layouts_place(walk->layouts, event->position);
	return walk_is_ours(walk, event->aggregate_id, place > 0 ? place : event->position, walk->generation);
}

bool walk_next(struct walk *walk, struct meow_error *err)
{
	if (walk->found)
		walk->previous = walk->event.position;
	do {
		if (!meow_cursor_next(walk->cursor, &walk->event, &walk->found, err))
			return false;
	} while (walk->found && (!walk_wants(walk, walk->event.aggregate_type) || !walk_expects(walk, &walk->event)));
	return true;
}

bool walk_start(struct walk *walk, int64_t from, struct meow_error *err)
{
	struct meow_query query = {.from = from, .to = walk->to};
	if (config_count(walk->route, "categories") == 1)
		query.aggregate_type = config_item(walk->route, "categories", 0);
	meow_cursor_close(walk->cursor);
	walk->cursor = meow_load(walk->store, &query, err);
	walk->found = false;
	walk->previous = from - 1;
	return walk->cursor != NULL && walk_next(walk, err);
}

static bool back_to(struct walk *walk, int64_t position, struct meow_error *err)
{
	struct meow_query query = {.from = position, .to = walk->to};
	meow_cursor_close(walk->back);
	walk->back = meow_load(walk->store, &query, err);
	return walk->back != NULL && meow_cursor_next(walk->back, &walk->back_event, &walk->back_found, err);
}

bool walk_look_back(struct walk *walk, int64_t position, const struct meow_event **ret_event, struct meow_error *err)
{
	bool near = walk->back != NULL && position >= walk->back_asked && position - walk->back_asked < BACK_STEPS;
	if (!near && !back_to(walk, position, err))
		return false;
	walk->back_asked = position;
	while (walk->back_found && walk->back_event.position < position)
		if (!meow_cursor_next(walk->back, &walk->back_event, &walk->back_found, err))
			return false;
	*ret_event = walk->back_found && walk->back_event.position == position ? &walk->back_event : NULL;
	return true;
}

void walk_finish(struct walk *walk)
{
	meow_cursor_close(walk->cursor);
	meow_cursor_close(walk->back);
	walk->cursor = walk->back = NULL;
}
