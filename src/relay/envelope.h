// envelope.h: an event as one JSON object on one line, without the line break: what `load` and `tail` print, the file
// connector writes and `append -` takes. Keys in this order: position, aggregate_type, aggregate_id, version, type, time,
// data, metadata (the last two as stored, each raw line break turned into one space; time and metadata only where
// there are some), generation (above 0). aggregate_id is always a JSON string. schemas/event.schema.json describes it.
#ifndef RELAY_ENVELOPE_H
#define RELAY_ENVELOPE_H

#include "base/buffer.h"

void envelope_write(struct buffer *buffer, const struct meow_event *event, int64_t generation);

// The same with `retry` before the generation where place is above 0: the event, a dead letter until now, stands in
// that place.
void envelope_write_again(struct buffer *buffer, const struct meow_event *event, int64_t place, int64_t generation);

// One line read back (yajl), for `append -` and the file connector: where each value stands in the line. Spans borrow
// from the line; texts are unescaped into scratch. Absent keys are absent bytes or have their flag clear.
struct envelope_line {
	struct meow_bytes aggregate_type, aggregate_id, type, time; // unescaped
	struct meow_bytes data, metadata;                           // raw spans of the line
	struct meow_bytes expect;                                   // raw span: a number, "new" or "any" (unescaped)
	bool has_position, has_version;
	int64_t position, version, generation, retry;
};

// MEOW_INVALID with column and cause (not JSON, not an object, a key twice, an unknown key, a wrong type, a raw NUL,
// bad UTF-8). `data` itself is checked for well-formedness alone, its numbers and repeated keys pass untouched.
MEOW_MUST_USE bool envelope_read(
	struct meow_bytes line, struct buffer *scratch, struct envelope_line *ret_line, struct meow_error *err);

#endif
