// value.h: the text of a value to what it means, by the setting's type.
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include "config/config.h"

// Checks a scalar: type, range, choice. *ret_number is the number (bytes, milliseconds, 0 or 1 of a bool; 0 for texts).
// MEOW_CONFIG: the text says what the value must be, without the setting's name.
MEOW_MUST_USE bool value_parse(
	const struct setting *setting, const char *text, int64_t *ret_number, struct meow_error *err);

// For the manual: "text", "one of data, envelope, msgpack", "bytes, 1KB to 1GB".
void value_describe(const struct setting *setting, struct buffer *out);

#endif
