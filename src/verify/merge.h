// merge.h: the comparison itself: the records of all sequences, merged by position, beside the events of the store.
#ifndef VERIFY_MERGE_H
#define VERIFY_MERGE_H

#include "verify/heap.h"
#include "verify/names.h"
#include "verify/places.h"
#include "verify/positions.h"
#include "verify/verify.h"
#include "verify/walk.h"

struct merge {
	const struct verify_request *request;
	struct verify_result *result;
	struct sink *sink;
	struct names names;
	struct places places;
	struct heap heap;
	struct walk walk;
	struct buffer text;      // of names
	struct buffer last_type; // whose place was asked for last, where the type alone decides
	struct place *last_place;

	int64_t head; // of the store as last asked, -1: not yet
	int64_t turn; // of the records that are looked at now
	bool first_turn;
	int64_t turn_start; // the position at which a later turn began

	// The event that the walk stands at:
	struct place *place;       // where it belongs
	struct sequence *sequence; // NULL: there is no such topic or stream
	bool matched;              // its record was there, in this turn

	struct positions missing;      // passed by the walk and in no turn so far; what had expired is left out
	struct positions turn_missing; // the same in this turn, if it is not the first
	struct positions aside;        // those of the page of missing ones that is counted which were set aside
	uint64_t steps;
};

// Compares all. The sink is open, `walk` has store, route and bound, `names` is filled. Fails as verify_route does.
MEOW_MUST_USE bool merge_run(struct merge *merge, struct meow_error *err);

void merge_finish(struct merge *merge);

// Where an event belongs; opens that place, whose sequences then take part. *ret_sequence is NULL if it has none.
MEOW_MUST_USE bool merge_place_of(struct merge *merge, const struct meow_event *event, struct place **ret_place,
	struct sequence **ret_sequence, struct meow_error *err);

// Whether the position lies in the front of the sequence that was taken away, so that its record cannot come any more.
// sequence NULL: a place that is not there.
bool merge_front_is_gone(const struct merge *merge, const struct sequence *sequence, int64_t position);

// findings.c: notes one of them; event, sequence and record may be NULL where they are unknown, `what` for all but
// VERIFY_CHANGED.
void merge_note(struct merge *merge, enum verify_fault fault, const struct meow_event *event, const struct place *place,
	const struct sequence *sequence, const struct record *record, const char *what);

// judge.c: a record whose event is not the one that the walk stands at: sent again, late, deleted since, or of another
// category.
MEOW_MUST_USE bool merge_judge(struct merge *merge, struct sequence *sequence, struct meow_error *err);

// The same file: whether an event of the same aggregate, with a later version, was there before the sequence's record.
MEOW_MUST_USE bool merge_find_later(struct merge *merge, const struct sequence *sequence,
	const struct meow_event *event, bool *ret_later, struct meow_error *err);

// missing.c: tells what has expired meanwhile from what is lost, at the end.
MEOW_MUST_USE bool merge_count_missing(struct merge *merge, struct meow_error *err);

#endif
