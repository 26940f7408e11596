// problems.c: see problems.h.
#include "config/problems.h"

#include <stdarg.h>
#include <stdio.h>

void problem_add(struct problems *problems, enum meow_error_kind kind, const char *place, const char *format, ...)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	struct meow_error err;
	error_set(&err, kind, "%s%s%s", place == NULL ? "" : place, place == NULL ? "" : ": ", text);
	if (problems->count++ == 0)
		problems->first = err;
	if (problems->report != NULL)
		problems->report(problems->arg, err.text);
}
