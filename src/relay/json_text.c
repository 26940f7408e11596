// json_text.c: see json_text.h.
#include "relay/json_text.h"

#include "base/text.h"

#include <string.h>

size_t json_text_column(struct meow_bytes text, size_t offset)
{
	size_t column = 1;
	for (size_t at = 0; at < offset && at < text.size; at++)
		if (((unsigned char)text.data[at] & 0xC0) != 0x80)
			column++;
	return column;
}

// The first offset at which no whole character stands. Only for texts that are known to have one: each step halves.
static size_t first_bad_byte(struct meow_bytes text)
{
	size_t good = 0, bad = text.size;
	while (bad - good > 1) {
		size_t middle = good + (bad - good) / 2;
		while (middle > good && ((unsigned char)text.data[middle] & 0xC0) == 0x80)
			middle--; // never inside of a character
		if (middle == good)
			break;
		if (text_is_utf8((struct meow_bytes){text.data + good, middle - good}))
			good = middle;
		else
			bad = middle;
	}
	while (good < bad && text_is_utf8((struct meow_bytes){text.data + good, 1}))
		good++;
	return good;
}

bool json_text_check(struct meow_bytes text, struct meow_error *err)
{
	if (text_is_utf8(text))
		return true;
	size_t at = first_bad_byte(text);
	if (text.data[at] == '\0')
		return error_set(
			err, MEOW_INVALID, "column %zu: a raw NUL byte; JSON writes it as \\u0000", json_text_column(text, at));
	return error_set(err, MEOW_INVALID, "column %zu: byte 0x%02X is not UTF-8; convert the text to UTF-8 first",
		json_text_column(text, at), (unsigned)(unsigned char)text.data[at]);
}

// Whether yajl 2.1 stands before the character at fault when it gives this message; else it has consumed it.
static bool stands_before(const char *message)
{
	if (strncmp(message, "lexical error", strlen("lexical error")) == 0)
		return strstr(message, "invalid char in json text") == NULL;
	return strstr(message, "inside map, I expect") != NULL;
}

static bool parse_error(yajl_handle handle, struct meow_bytes text, bool at_end, struct meow_error *err)
{
	unsigned char *message = yajl_get_error(handle, 0, NULL, 0);
	bool before = message != NULL && stands_before((const char *)message);
	size_t consumed = yajl_get_bytes_consumed(handle);
	size_t offset = at_end ? text.size : consumed > 0 && !before ? consumed - 1 : consumed;
	error_set(err, MEOW_INVALID, "column %zu: not JSON: %s", json_text_column(text, offset),
		message == NULL ? "unknown error" : (const char *)message);
	if (message != NULL)
		yajl_free_error(handle, message);
	return false;
}

// yajl 2.1 takes vertical tabs and form feeds for blanks, which JSON does not.
static bool check_blanks(struct meow_bytes text, struct meow_error *err)
{
	static const char foreign[] = "\v\f";
	for (const char *c = foreign; *c != '\0'; c++) {
		const char *at = text.size == 0 ? NULL : memchr(text.data, *c, text.size);
		if (at != NULL)
			return error_set(err, MEOW_INVALID, "column %zu: not JSON: byte 0x%02X is none of its blanks",
				json_text_column(text, (size_t)(at - text.data)), (unsigned)*c);
	}
	return true;
}

bool json_text_parse(yajl_handle handle, struct meow_bytes text, struct meow_error *err)
{
	if (!check_blanks(text, err))
		return false;
	yajl_status status = yajl_parse(handle, (const unsigned char *)text.data, text.size);
	if (status == yajl_status_client_canceled)
		return false;
	if (status != yajl_status_ok)
		return parse_error(handle, text, false, err);
	status = yajl_complete_parse(handle);
	if (status == yajl_status_client_canceled)
		return false;
	return status == yajl_status_ok || parse_error(handle, text, true, err);
}

// The value of "\uXXXX" at this place, -1 if none stands there.
static int escape_at(struct meow_bytes text, size_t at)
{
	if (text.size - at < 6 || text.data[at] != '\\' || text.data[at + 1] != 'u')
		return -1;
	int value = 0;
	for (size_t i = at + 2; i < at + 6; i++) {
		int c = text.data[i];
		int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

size_t json_text_lone_surrogate(struct meow_bytes text)
{
	const char *end = text.data + text.size;
	for (const char *at = text.data; at != NULL && (at = memchr(at, '\\', (size_t)(end - at))) != NULL;) {
		size_t offset = (size_t)(at - text.data);
		int first = escape_at(text, offset);
		if (first < 0xD800 || first > 0xDFFF) {
			at += end - at < 2 ? 1 : 2; // also steps over the second of two backslashes
			continue;
		}
		int second = first < 0xDC00 ? escape_at(text, offset + 6) : -1;
		if (second < 0xDC00 || second > 0xDFFF)
			return offset;
		at += 12;
	}
	return text.size;
}
