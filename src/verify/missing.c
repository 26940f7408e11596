// missing.c: events that were passed without a record and never came. What was taken from the front of a sequence while
// it was read has expired; so every sequence is asked once more where it begins. What is among the dead letters was set
// aside. Only what is neither is called lost.
#include "verify/merge.h"

#include "store/store.h"

static bool look_again(struct merge *merge, struct meow_error *err)
{
	for (size_t i = 0; i < merge->places.capacity; i++) {
		struct place *place = merge->places.slots[i];
		for (size_t j = 0; place != NULL && j < place->count; j++)
			if (!merge->sink->impl->look_again(&place->sequences[j], err))
				return false;
	}
	return true;
}

static bool count_one(struct merge *merge, const struct meow_event *event, struct meow_error *err)
{
	struct place *place;
	struct sequence *sequence;
	if (positions_has(&merge->aside, event->position)) {
		merge->result->set_aside++;
		return true;
	}
	if (!merge_place_of(merge, event, &place, &sequence, err))
		return false;
	if (sequence == NULL ? merge->sink->start_now
						 : (sequence->cut || merge->sink->start_now) && event->position < sequence->first)
		merge->result->expired++;
	else
		merge_note(merge, VERIFY_LOST, event, place, sequence, NULL, NULL);
	return true;
}

struct asking {
	struct merge *merge;
	struct meow_error err;
	bool failed;
};

// What was published since we began may stand where we had been before.
static bool note_aside(void *arg, const struct store_dead_position *dead)
{
	struct asking *asking = arg;
	struct merge *merge = asking->merge;
	const struct store_dead_position *before = letters_find(&merge->walk.layouts->letters, dead->position);
	bool published = dead->published && before != NULL && before->published;
	asking->failed = !published && positions_has(&merge->missing, dead->position) &&
					 !positions_add(&merge->aside, dead->position, &asking->err);
	return !asking->failed;
}

// Which events of a page were set aside.
static bool find_aside(struct merge *merge, int64_t from, int64_t to, struct meow_error *err)
{
	struct asking asking = {.merge = merge};
	positions_clear(&merge->aside);
	if (!store_dead_positions(merge->request->store, merge->request->route->name, from, to, note_aside, &asking, err))
		return false;
	if (asking.failed)
		*err = asking.err;
	return !asking.failed;
}

// The events of one page of missing positions. Those that were deleted meanwhile are nobody's loss.
static bool count_page(struct merge *merge, int64_t from, int64_t to, struct meow_error *err)
{
	const struct meow_query query = {.from = from, .to = to};
	struct meow_cursor *cursor = meow_load(merge->request->store, &query, err);
	struct meow_event event;
	bool found = true, ok = cursor != NULL;
	while (ok && (ok = meow_cursor_next(cursor, &event, &found, err)) && found)
		if (positions_has(&merge->missing, event.position))
			ok = (merge->sink->tick(merge->sink->tick_arg) || sink_stopped(err)) && count_one(merge, &event, err);
	meow_cursor_close(cursor);
	return ok;
}

bool merge_count_missing(struct merge *merge, struct meow_error *err)
{
	int64_t from = 0;
	if (!positions_next(&merge->missing, from, &from))
		return true;
	if (!look_again(merge, err))
		return false;
	do {
		int64_t last = positions_last_near(&merge->missing, from);
		if (!find_aside(merge, from, last, err) || !count_page(merge, from, last, err))
			return false;
		from = last + 1;
	} while (positions_next(&merge->missing, from, &from));
	return true;
}
