// error.c: the error value. The texts are for people and go on one line, so whatever a server said is flattened here,
// in one place, and cut at a whole character.
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define EXIT_DONE 0
#define EXIT_DATA 65
#define EXIT_NO_INPUT 66
#define EXIT_UNAVAILABLE 69
#define EXIT_BUG 70
#define EXIT_IO 74
#define EXIT_CONFLICT 75
#define EXIT_DENIED 77
#define EXIT_CONFIG 78

// Cuts the text where a UTF-8 character that did not fit whole begins.
static void cut_at_character(char *text, size_t size)
{
	size_t start = size;
	while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
		start--;
	if (start == 0)
		return;
	unsigned char lead = (unsigned char)text[start - 1];
	size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
	if (size - (start - 1) < need)
		text[start - 1] = '\0';
}

// Line breaks become one space each, runs of blanks collapse, and none is left at the end.
static void flatten(char *text)
{
	char *to = text;
	for (const char *from = text; *from != '\0'; from++) {
		bool blank = *from == '\n' || *from == '\r' || *from == '\t' || *from == ' ';
		if (blank && (to == text || to[-1] == ' '))
			continue;
		*to++ = blank ? ' ' : *from;
	}
	while (to > text && to[-1] == ' ')
		to--;
	*to = '\0';
}

static void fill(struct meow_error *err, enum meow_error_kind kind, const char *code, const char *format, va_list args)
	__attribute__((format(printf, 4, 0)));

static void fill(struct meow_error *err, enum meow_error_kind kind, const char *code, const char *format, va_list args)
{
	// The arguments may point into *err itself ("%s: ..." around an earlier text), so it is written last.
	struct meow_error made = {.kind = kind};
	snprintf(made.code, sizeof(made.code), "%s", code == NULL ? "" : code);
	int length = vsnprintf(made.text, sizeof(made.text), format, args);
	if (length >= (int)sizeof(made.text))
		cut_at_character(made.text, sizeof(made.text) - 1);
	flatten(made.text);
	*err = made;
}

bool error_set(struct meow_error *err, enum meow_error_kind kind, const char *format, ...)
{
	if (err == NULL)
		return false;
	va_list args;
	va_start(args, format);
	fill(err, kind, NULL, format, args);
	va_end(args);
	return false;
}

bool error_set_code(struct meow_error *err, enum meow_error_kind kind, const char *code, const char *format, ...)
{
	if (err == NULL)
		return false;
	va_list args;
	va_start(args, format);
	fill(err, kind, code, format, args);
	va_end(args);
	return false;
}

bool error_no_memory(struct meow_error *err)
{
	return error_set(err, MEOW_UNAVAILABLE, "out of memory");
}

// What follows from each kind, in the order of the enum.
static const struct {
	const char *name;
	bool may_retry;
	int exit_status;
} kinds[] = {
	[MEOW_ERROR_NONE] = {"none", false, EXIT_DONE},
	[MEOW_UNAVAILABLE] = {"unavailable", true, EXIT_UNAVAILABLE},
	[MEOW_UNKNOWN_OUTCOME] = {"unknown_outcome", true, EXIT_UNAVAILABLE},
	[MEOW_CONFLICT] = {"conflict", true, EXIT_CONFLICT},
	[MEOW_INVALID] = {"invalid", false, EXIT_DATA},
	[MEOW_MISSING] = {"missing", false, EXIT_NO_INPUT},
	[MEOW_DENIED] = {"denied", false, EXIT_DENIED},
	[MEOW_CONFIG] = {"config", false, EXIT_CONFIG},
	[MEOW_IO] = {"io", true, EXIT_IO},
	[MEOW_BUG] = {"bug", false, EXIT_BUG},
};

const char *error_kind_name(enum meow_error_kind kind)
{
	return kinds[kind].name;
}

bool error_may_retry(enum meow_error_kind kind)
{
	return kinds[kind].may_retry;
}

int error_exit_status(enum meow_error_kind kind)
{
	return kinds[kind].exit_status;
}
