// log.h: the program's log, on standard error: logfmt, or JSON with LOG_JSON. One line per change of state. Safe from
// any thread; a line is one write. The library itself never logs.
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/error.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON };

void log_setup(enum log_level least, enum log_format format);

struct log_field {
	const char *key;
	const char *text; // NULL: the number counts
	int64_t number;
};

#define LOG_TEXT(key, value) ((struct log_field){(key), (value), 0})
#define LOG_NUMBER(key, value) ((struct log_field){(key), NULL, (value)})

// A field without a key is left out. Keys in the order: ts level msg route partition position epoch err class retry_in,
// then others.
void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t count);

// A line without fields.
#define LOG_LINE(level, message) log_write((level), (message), NULL, 0)

#define LOG(level, message, ...)                                                                                       \
	log_write((level), (message), (const struct log_field[]){__VA_ARGS__},                                             \
		sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

#endif
