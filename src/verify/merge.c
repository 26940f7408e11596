// merge.c: both sides go forward by position together. The record with the lowest position of all sequences meets the
// event that the walk stands at: the same position is a match; a lower one is a record that comes again, or late, or has
// no event (judge.c); a higher one leaves the event without its record so far, and the walk goes on.
//
// A rewind by an operator starts a new generation, which publishes from an earlier position on. Its records are taken as
// a turn of their own, after those of the turn before: the walk then starts again at the lowest of them.
#include "verify/merge.h"

#include "base/text.h"
#include "store/store.h"

#include <stdlib.h>

#define TICK_STEPS 512

static bool tick(struct merge *merge, struct meow_error *err)
{
	if (++merge->steps % TICK_STEPS != 0)
		return true;
	return merge->sink->tick(merge->sink->tick_arg) || sink_stopped(err);
}

// Whether the store ever drew this position. Its head moves while we read, so a new look is taken where the last one
// does not explain it.
static bool was_drawn(struct merge *merge, int64_t position, bool *ret_drawn, struct meow_error *err)
{
	if (position > merge->head) {
		struct store_status status;
		if (!store_status(merge->request->store, &status, err))
			return false;
		merge->head = status.head;
	}
	*ret_drawn = position <= merge->head;
	return true;
}

// A record that the comparison does not look at, but for its place in the world. *ret_wanted: it does.
static bool sift(struct merge *merge, struct sequence *sequence, bool *ret_wanted, struct meow_error *err)
{
	const struct record *record = &sequence->head;
	bool drawn = record->position > 0;
	// Partitions share a topic; each looks at its own records alone, and the first at those of nobody.
	bool others = !merge->sink->exclusive &&
				  (drawn ? !walk_is_ours(&merge->walk, record->aggregate_id, record_place(record), record->generation)
						 : merge->walk.partition > 0);
	*ret_wanted = false;
	if (others)
		return true;
	if (drawn && sequence->first == INT64_MAX)
		sequence->first = record->position;
	if (drawn && record->position > merge->sink->to && !was_drawn(merge, record->position, &drawn, err))
		return false;
	if (!drawn)
		merge_note(merge, VERIFY_FOREIGN, NULL, sequence->place, sequence, record, NULL);
	*ret_wanted = drawn && record->position >= merge->sink->from && record->position <= merge->sink->to;
	return true;
}

// Reads on to the next record that counts.
static bool read_on(struct merge *merge, struct sequence *sequence, struct meow_error *err)
{
	bool wanted = false;
	do {
		if (!tick(merge, err) || !merge->sink->impl->next(sequence, &sequence->head, &sequence->has_head, err))
			return false;
		if (sequence->has_head && !sift(merge, sequence, &wanted, err))
			return false;
	} while (sequence->has_head && !wanted);
	merge->result->records += sequence->has_head;
	return true;
}

static bool take_part(struct merge *merge, struct place *place, struct meow_error *err)
{
	for (size_t i = 0; i < place->count; i++) {
		struct sequence *sequence = &place->sequences[i];
		sequence->cut = sequence->cut || merge->sink->start_now;
		if (!read_on(merge, sequence, err) || (sequence->has_head && !heap_add(&merge->heap, sequence, err)))
			return false;
	}
	return true;
}

// Names are seldom of more than the type, and events of one type often follow each other.
static struct place *same_place(const struct merge *merge, const struct meow_event *event)
{
	bool same = merge->last_place != NULL && event->aggregate_type.data != NULL &&
				bytes_equal(event->aggregate_type, (struct meow_bytes){merge->last_type.data, merge->last_type.size});
	return same ? merge->last_place : NULL;
}

static void remember_place(struct merge *merge, const struct meow_event *event, struct place *place)
{
	buffer_clear(&merge->last_type, SIZE_MAX);
	buffer_put(&merge->last_type, event->aggregate_type.data, event->aggregate_type.size);
	merge->last_place = names_by_type(&merge->names) && !merge->last_type.failed ? place : NULL;
}

static struct place *find_place(struct merge *merge, const struct meow_event *event, struct meow_error *err)
{
	bool fresh;
	buffer_clear(&merge->text, SIZE_MAX);
	names_put(&merge->names, event, &merge->text);
	if (!buffer_ok(&merge->text, err))
		return NULL;
	struct meow_bytes name = {merge->text.data == NULL ? "" : merge->text.data, merge->text.size};
	struct place *place = places_get(&merge->places, merge->sink, name, &fresh, err);
	if (place == NULL || (fresh && !take_part(merge, place, err)))
		return NULL;
	remember_place(merge, event, place);
	return place;
}

bool merge_place_of(struct merge *merge, const struct meow_event *event, struct place **ret_place,
	struct sequence **ret_sequence, struct meow_error *err)
{
	struct place *place = same_place(merge, event);
	if (place == NULL && (place = find_place(merge, event, err)) == NULL)
		return false;
	*ret_place = place;
	*ret_sequence = place->count == 0 ? NULL : &place->sequences[merge->sink->impl->belongs(place, event)];
	return true;
}

// --- the walk

bool merge_front_is_gone(const struct merge *merge, const struct sequence *sequence, int64_t position)
{
	if (merge->sink->impl->any_order) // then lines of the front may still come
		return false;
	return sequence == NULL ? merge->sink->start_now : sequence->cut && position < sequence->first;
}

static bool stand(struct merge *merge, struct meow_error *err)
{
	merge->matched = false;
	if (!merge->walk.found)
		return true;
	merge->result->events += merge->first_turn;
	return merge_place_of(merge, &merge->walk.event, &merge->place, &merge->sequence, err);
}

// Leaves the event; without its record it is missing, unless it lies below what is still there.
static bool walk_on(struct merge *merge, struct meow_error *err)
{
	int64_t position = merge->walk.event.position;
	const struct sequence *sequence = merge->sequence;
	if (!merge->matched && !merge->first_turn) {
		if (!positions_add(&merge->turn_missing, position, err))
			return false;
	} else if (!merge->matched) {
		bool expired = merge_front_is_gone(merge, sequence, position);
		merge->result->expired += expired;
		if (!expired && !positions_add(&merge->missing, position, err))
			return false;
	}
	return walk_next(&merge->walk, err) && stand(merge, err);
}

static bool begin_turn(struct merge *merge, const struct record *record, struct meow_error *err)
{
	// Places may still come into sight along the walk, with records of this turn.
	if (merge->first_turn && merge->walk.found)
		return walk_on(merge, err);
	merge->first_turn = false;
	merge->turn = record->turn;
	merge->turn_start = record->position;
	merge->walk.generation = record->generation;
	positions_clear(&merge->turn_missing);
	return walk_start(&merge->walk, record->position, err) && stand(merge, err);
}

// --- records

// A retry that nothing stands before here; what the old partitions published of its aggregate may.
static bool match_retry(struct merge *merge, const struct sequence *sequence, struct meow_error *err)
{
	bool later;
	if (!merge_find_later(merge, sequence, &merge->walk.event, &later, err))
		return false;
	if (later)
		merge_note(merge, VERIFY_OUT_OF_ORDER, &merge->walk.event, sequence->place, sequence, &sequence->head, NULL);
	merge->result->retried += !later;
	return true;
}

static bool match(struct merge *merge, const struct sequence *sequence, struct meow_error *err)
{
	const struct record *record = &sequence->head;
	const struct meow_event *event = &merge->walk.event;
	const char *what = merge->sink->impl->differs(merge->sink, record, event);
	if (what != NULL)
		merge_note(merge, VERIFY_CHANGED, event, sequence->place, sequence, record, what);
	if (merge->sequence != sequence)
		merge_note(merge, VERIFY_MISPLACED, event, sequence->place, sequence, record, NULL);
	if (merge->place != sequence->place)
		return true; // who reads where it belongs will not find it
	if (merge->matched)
		merge_note(merge, VERIFY_TWICE, event, sequence->place, sequence, record, NULL);
	bool missed = positions_has(&merge->missing, event->position), retried = record->place > 0;
	if (missed)
		positions_remove(&merge->missing, event->position);
	bool ok = merge->matched || !retried || match_retry(merge, sequence, err);
	merge->result->replayed += !merge->matched && !retried && !missed && !merge->first_turn;
	merge->matched = true;
	return ok;
}

static bool drop_first(struct merge *merge, struct meow_error *err)
{
	struct sequence *sequence = merge->heap.items[0];
	if (!read_on(merge, sequence, err))
		return false;
	if (sequence->has_head)
		heap_sink_first(&merge->heap);
	else
		heap_remove_first(&merge->heap);
	return true;
}

// Judging may open places, which then stand before this one.
static bool judge_first(struct merge *merge, struct meow_error *err)
{
	struct sequence *sequence = merge->heap.items[0];
	heap_remove_first(&merge->heap);
	return merge_judge(merge, sequence, err) && read_on(merge, sequence, err) &&
		   (!sequence->has_head || heap_add(&merge->heap, sequence, err));
}

static bool step(struct merge *merge, struct meow_error *err)
{
	struct sequence *sequence = merge->heap.count > 0 ? merge->heap.items[0] : NULL;
	const struct record *record = sequence == NULL ? NULL : &sequence->head;
	const struct meow_event *event = merge->walk.found ? &merge->walk.event : NULL;
	if (record != NULL && record->turn > merge->turn)
		return begin_turn(merge, record, err);
	if (record == NULL || (event != NULL && event->position < record->position))
		return walk_on(merge, err);
	if (event == NULL || event->position > record->position)
		return judge_first(merge, err);
	return match(merge, sequence, err) && drop_first(merge, err);
}

// Places that are known before any event is: what stands in them belongs to the events, or to nobody.
static bool open_named(struct merge *merge, struct meow_error *err)
{
	const struct config_section *route = merge->request->route->settings;
	const char *map = merge->names.map;
	struct place *place;
	struct sequence *sequence;
	size_t categories = config_count(route, "categories");
	struct meow_event event = {.aggregate_id = MEOW_BYTES(""), .type = MEOW_BYTES("")};
	if (names_constant(&merge->names) && !merge_place_of(merge, &event, &place, &sequence, err))
		return false;
	for (size_t i = 0; i < categories && names_by_type(&merge->names); i++) {
		event.aggregate_type = bytes_of(config_item(route, "categories", i));
		if (!merge_place_of(merge, &event, &place, &sequence, err))
			return false;
	}
	for (size_t i = 0; categories == 0 && map != NULL && i < config_count(merge->sink->settings, map); i++) {
		event.aggregate_type = bytes_of(config_item_key(merge->sink->settings, map, i));
		if (!merge_place_of(merge, &event, &place, &sequence, err))
			return false;
	}
	return true;
}

// Of which generation the first turn is decides who published its events. Where retention took the older ones, the first
// record says it.
static bool start_walk(struct merge *merge, struct meow_error *err)
{
	struct walk *walk = &merge->walk;
	bool oldest = merge->sink->impl->turns && !names_by_generation(&merge->names);
	walk->generation = oldest ? walk->layouts->items[0].generation : merge->names.generation;
	if (!open_named(merge, err) || !walk_start(walk, merge->sink->from, err) || !stand(merge, err))
		return false;
	const struct record *first = merge->heap.count > 0 ? &merge->heap.items[0]->head : NULL;
	merge->turn = first == NULL ? 0 : first->turn;
	if (first == NULL || first->generation <= walk->generation)
		return true;
	walk->generation = first->generation;
	merge->result->events -= walk->found;
	return walk_start(walk, merge->sink->from, err) && stand(merge, err);
}

bool merge_run(struct merge *merge, struct meow_error *err)
{
	merge->head = -1;
	merge->first_turn = true;
	if (!start_walk(merge, err))
		return false;
	while (merge->heap.count > 0 || (merge->first_turn && merge->walk.found))
		if (!tick(merge, err) || !step(merge, err))
			return false;
	return merge_count_missing(merge, err);
}

void merge_finish(struct merge *merge)
{
	walk_finish(&merge->walk);
	places_finish(&merge->places, merge->sink);
	positions_clear(&merge->missing);
	positions_clear(&merge->turn_missing);
	positions_clear(&merge->aside);
	free(merge->heap.items);
	buffer_finish(&merge->text);
	buffer_finish(&merge->last_type);
}
