// error.h: filling a struct meow_error. Every internal function that fails fills one, or passes NULL on.
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "meowmx.h"

#define BASE_PRINTF(text, first) __attribute__((format(printf, text, first)))

// Fills err (which may be NULL) and returns false, so that a caller can say `return error_set(...)`. Line breaks in
// the text become spaces; a text that is too long is cut at a whole UTF-8 character.
bool error_set(struct meow_error *err, enum meow_error_kind kind, const char *format, ...) BASE_PRINTF(3, 4);

// The same, with a code (a SQLSTATE, or a client library's own).
bool error_set_code(struct meow_error *err, enum meow_error_kind kind, const char *code, const char *format, ...)
	BASE_PRINTF(4, 5);

// MEOW_UNAVAILABLE "out of memory". Returns false.
bool error_no_memory(struct meow_error *err);

// The kind's name for logs and metrics: "unavailable", "unknown_outcome", "conflict", ...
const char *error_kind_name(enum meow_error_kind kind);

// Whether the same call, repeated later, may succeed without anybody's help.
bool error_may_retry(enum meow_error_kind kind);

// The exit status of sysexits(3) that belongs to the kind.
int error_exit_status(enum meow_error_kind kind);

#endif
