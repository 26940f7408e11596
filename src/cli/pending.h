// pending.h: events that were read from lines and wait for their transaction. Their bytes are copied.
#ifndef CLI_PENDING_H
#define CLI_PENDING_H

#include "relay/envelope.h"
#include "store/store.h"

struct pending {
	struct buffer items; // struct pending_item
	struct buffer text;
	struct buffer out; // what pending_lines or pending_events returned last
	struct buffer scratch;
	size_t count;
	bool unversioned; // a line had neither version nor expect: nothing can tell whether it is there already
};

void pending_init(struct pending *pending);
void pending_finish(struct pending *pending);
void pending_clear(struct pending *pending); // keeps memory of a usual size, and `unversioned`
size_t pending_bytes(const struct pending *pending);

// Reads one JSON line and keeps it. With `whole` it must name its aggregate, without it must not. MEOW_INVALID: "line N,
// column M: ...".
MEOW_MUST_USE bool pending_add(
	struct pending *pending, struct meow_bytes text, uint64_t line, bool whole, struct meow_error *err);

// All of them, valid until the next call; NULL without memory.
const struct store_bulk_line *pending_lines(struct pending *pending);
const struct meow_new_event *pending_events(struct pending *pending);

#endif
