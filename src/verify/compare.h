// compare.h: whether a value in a sink is what docs/formats.md says that it must be for an event of the store. Written
// after that page, not after the encoders.
#ifndef VERIFY_COMPARE_H
#define VERIFY_COMPARE_H

#include "verify/sink.h"

// Which part of the value differs, NULL if nothing does; a constant. The generation is the record's own. Without memory
// in scratch: "memory".
const char *compare_value(enum verify_format format, struct meow_bytes value, const struct meow_event *event,
	int64_t generation, struct buffer *scratch);

// The same of a line of a file, where `retry` stands before the generation if place is above 0.
const char *compare_line(
	struct meow_bytes line, const struct meow_event *event, int64_t place, int64_t generation, struct buffer *scratch);

// A decimal number in a header or field.
bool compare_number(struct meow_bytes text, int64_t number);

// Position, place and generation (0 if it has none) as the two ends of a line of format envelope give them. False if it does
// not begin as such a line.
MEOW_MUST_USE bool compare_line_ends(
	struct meow_bytes line, int64_t *ret_position, int64_t *ret_place, int64_t *ret_generation);

// compare_msgpack.c. A generation below 0: whichever it has.
const char *compare_msgpack(struct meow_bytes value, const struct meow_event *event, int64_t generation);

#endif
