// substitute.h: ${NAME}, ${NAME:-default}, ${NAME:?message} and ${file:PATH} inside of one scalar. What comes in is not
// looked at again, so a value can neither add structure nor name another variable. "$${" stands for "${".
#ifndef CONFIG_SUBSTITUTE_H
#define CONFIG_SUBSTITUTE_H

#include "config/arena.h"

struct substitution {
	const char *folder; // of the configuration file: ${file:PATH} starts there; NULL: the current folder
	bool from_file;     // set when ${file:...} was used, which is how secrets come in
};

// The text with everything replaced, in the arena. NULL: *err (MEOW_CONFIG, MEOW_MISSING, MEOW_DENIED, MEOW_IO) says why.
MEOW_MUST_USE const char *substitute(
	struct arena *arena, struct substitution *substitution, const char *text, struct meow_error *err);

// A whole small text file, UTF-8, without the line breaks at its end.
MEOW_MUST_USE bool substitute_read_file(const char *path, struct buffer *out, struct meow_error *err);

#endif
