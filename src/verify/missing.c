// missing.c: events that were passed without a record and never came. What was taken from the front of a sequence while
// it was read has expired; so every sequence is asked once more where it begins, and only then is anything called lost.
#include "verify/merge.h"

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
	if (!merge_place_of(merge, event, &place, &sequence, err))
		return false;
	if (sequence == NULL ? merge->sink->start_now
						 : (sequence->cut || merge->sink->start_now) && event->position < sequence->first)
		merge->result->expired++;
	else
		merge_note(merge, VERIFY_LOST, event, place, sequence, NULL, NULL);
	return true;
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
		if (!count_page(merge, from, last, err))
			return false;
		from = last + 1;
	} while (positions_next(&merge->missing, from, &from));
	return true;
}
