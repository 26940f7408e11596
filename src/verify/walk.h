// walk.h: the store's side of the comparison: the route's events in the order of their positions, and a second view
// that looks back at events that were passed.
#ifndef VERIFY_WALK_H
#define VERIFY_WALK_H

#include "config/config.h"
#include "verify/layouts.h"

struct walk {
	struct meow_store *store;
	const struct config_section *route; // its categories
	int partition;                      // of the route; the others' events are passed over
	const struct layouts *layouts;      // borrowed
	int64_t generation;                 // that published what is looked for
	int64_t to;                         // inclusive
	struct meow_cursor *cursor;
	struct meow_event event; // the current one, while found
	bool found;
	int64_t previous; // position of the one before it; nothing of the route lies between the two
	struct meow_cursor *back;
	struct meow_event back_event;
	bool back_found;
	int64_t back_asked; // the last position that was looked for, so that the next may lie behind it
};

// Goes to the first event at or above `from`. The store is borrowed.
MEOW_MUST_USE bool walk_start(struct walk *walk, int64_t from, struct meow_error *err);
MEOW_MUST_USE bool walk_next(struct walk *walk, struct meow_error *err);

// The event at the position, of whatever category; NULL if there is none. Valid until the next call. Cheap where the
// positions rise.
MEOW_MUST_USE bool walk_look_back(
	struct walk *walk, int64_t position, const struct meow_event **ret_event, struct meow_error *err);

// Whether the route publishes events of this type.
bool walk_wants(const struct walk *walk, struct meow_bytes aggregate_type);

// Whether it is the partition's, if the route publishes it at all, as it was split when it published in the generation
// what stands at the place: the event's own position, or that of its retry.
bool walk_is_ours(const struct walk *walk, struct meow_bytes aggregate_id, int64_t place, int64_t generation);

// The same for an event that has no record yet.
bool walk_expects(const struct walk *walk, const struct meow_event *event);

void walk_finish(struct walk *walk);

#endif
