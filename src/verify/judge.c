// judge.c: records at which the walk does not stand. What a relay sends again after a crash, when it could not know what
// had arrived, is a run of positions that were there before; a record that was not there before is late, and out of
// order if a later event of its own aggregate came first.
#include "verify/merge.h"

#include "base/text.h"

// Whether a record of the event, which lies behind the walk or below it, was seen in this turn.
static bool was_seen(const struct merge *merge, const struct sequence *sequence, int64_t position)
{
	const struct positions *missing = merge->first_turn ? &merge->missing : &merge->turn_missing;
	int64_t start = merge->first_turn ? merge->sink->from : merge->turn_start;
	if (position < start || (merge->first_turn && merge_front_is_gone(merge, sequence, position)))
		return false;
	if (merge->walk.found && position >= merge->walk.event.position)
		return position == merge->walk.event.position && merge->matched;
	return position <= merge->sink->to && !positions_has(missing, position);
}

// Whether an event that another layout published had its turn before the record, which is a retry if so.
static bool was_before(const struct merge *merge, const struct record *record, const struct meow_event *event)
{
	const struct layouts *layouts = merge->walk.layouts;
	int64_t place = layouts_place(layouts, event->position), generation = merge->walk.generation;
	return place > 0 && layouts_at(layouts, place, generation)->layout <
							layouts_at(layouts, record_place(record), generation)->layout;
}

bool merge_find_later(struct merge *merge, const struct sequence *sequence, const struct meow_event *event,
	bool *ret_later, struct meow_error *err)
{
	const struct meow_query query = {.aggregate_type = event->aggregate_type.data,
		.aggregate_id = event->aggregate_id.data,
		.from = event->version + 1,
		.to = INT64_MAX};
	*ret_later = false;
	if (event->aggregate_type.data == NULL)
		return true;
	struct meow_cursor *cursor = meow_load(merge->request->store, &query, err);
	struct meow_event later;
	bool found = true, ok = cursor != NULL;
	while (ok && !*ret_later && (ok = meow_cursor_next(cursor, &later, &found, err)) && found &&
		   later.position <= merge->sink->to)
		*ret_later = later.position > event->position &&
					 (walk_expects(&merge->walk, &later) ? was_seen(merge, sequence, later.position)
														 : was_before(merge, &sequence->head, &later));
	meow_cursor_close(cursor);
	return ok;
}

static bool judge_late(
	struct merge *merge, const struct sequence *sequence, const struct meow_event *event, struct meow_error *err)
{
	bool later;
	if (!merge_find_later(merge, sequence, event, &later, err))
		return false;
	if (!later && sequence->head.place > 0) { // it was a dead letter
		merge->result->retried++;
		return true;
	}
	merge_note(
		merge, later ? VERIFY_OUT_OF_ORDER : VERIFY_LATE, event, sequence->place, sequence, &sequence->head, NULL);
	return true;
}

// A record that came behind its turn, and where it belongs.
static bool judge_known(
	struct merge *merge, const struct sequence *sequence, const struct meow_event *event, struct meow_error *err)
{
	int64_t position = event->position;
	bool late = positions_has(merge->first_turn ? &merge->missing : &merge->turn_missing, position);
	bool expired = merge->first_turn && merge_front_is_gone(merge, sequence, position);
	if (!merge->first_turn && late)
		positions_remove(&merge->turn_missing, position);
	if (positions_has(&merge->missing, position))
		positions_remove(&merge->missing, position);
	if (late)
		return judge_late(merge, sequence, event, err);
	if (!merge->first_turn && position < merge->turn_start)
		merge->result->replayed++;
	else if (!expired) // else the front that was cut off had it, and this is what was sent again
		merge_note(merge, VERIFY_TWICE, event, sequence->place, sequence, &sequence->head, NULL);
	return true;
}

static bool judge_event(
	struct merge *merge, const struct sequence *sequence, const struct meow_event *event, struct meow_error *err)
{
	struct place *place;
	struct sequence *belongs;
	if (!merge_place_of(merge, event, &place, &belongs, err))
		return false;
	const char *what = merge->sink->impl->differs(merge->sink, &sequence->head, event);
	if (what != NULL)
		merge_note(merge, VERIFY_CHANGED, event, sequence->place, sequence, &sequence->head, what);
	if (belongs != sequence)
		merge_note(merge, VERIFY_MISPLACED, event, sequence->place, sequence, &sequence->head, NULL);
	return place != sequence->place || judge_known(merge, sequence, event, err);
}

// MessagePack does not show its generation; then it is that of the walk.
static bool is_ours(const struct walk *walk, const struct meow_event *event, const struct record *record)
{
	return walk_is_ours(walk, event->aggregate_id, record_place(record), record->generation) ||
		   walk_is_ours(walk, event->aggregate_id, record_place(record), walk->generation);
}

// Whether it is a retry of which nothing was known at the start, so that nobody expects it here: it was asked for since, or
// a rewind has forgotten it.
static bool is_unknown_retry(const struct walk *walk, const struct record *record)
{
	if (record->place == 0)
		return false;
	const struct store_dead_position *letter = letters_find(&walk->layouts->letters, record->position);
	if (letter == NULL)
		return layouts_newest(walk->layouts)->generation > 0;
	return !letter->published && record->place > letter->retry_at;
}

bool merge_judge(struct merge *merge, struct sequence *sequence, struct meow_error *err)
{
	const struct record *record = &sequence->head;
	const struct meow_event *event = NULL;
	struct walk *walk = &merge->walk;
	if (record->aggregate_type.data != NULL && !walk_wants(walk, record->aggregate_type)) {
		merge->result->unwanted++;
		return true;
	}
	if (is_unknown_retry(walk, record))
		return true;
	bool all = walk->layouts->most == 1 && config_count(walk->route, "categories") == 0;
	bool between = all && record->position > walk->previous;
	if (!between && !walk_look_back(walk, record->position, &event, err))
		return false;
	if (event != NULL && !walk_wants(walk, event->aggregate_type))
		merge->result->unwanted++;
	else if (event != NULL && !is_ours(walk, event, record))
		merge_note(merge, VERIFY_MISPLACED, event, sequence->place, sequence, record, NULL);
	else if (event == NULL)
		merge_note(merge, VERIFY_NOT_IN_STORE, NULL, sequence->place, sequence, record, NULL);
	else
		return judge_event(merge, sequence, event, err);
	return true;
}
