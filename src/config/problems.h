// problems.h: all that is wrong with a configuration, one line each. The first one becomes the error.
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include "base/error.h"

struct problems {
	void (*report)(void *arg, const char *line); // may be NULL
	void *arg;
	struct meow_error first; // kind MEOW_ERROR_NONE while there is none
	size_t count;
};

// place: "FILE:LINE:COLUMN", a variable's or a flag's name; NULL for none.
void problem_add(struct problems *problems, enum meow_error_kind kind, const char *place, const char *format, ...)
	BASE_PRINTF(4, 5);

#endif
