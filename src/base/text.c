// text.c: see text.h.
#include "base/text.h"

#include <string.h>

struct meow_bytes bytes_of(const char *text)
{
	return (struct meow_bytes){text, text == NULL ? 0 : strlen(text)};
}

bool bytes_equal(struct meow_bytes a, struct meow_bytes b)
{
	if ((a.data == NULL) != (b.data == NULL) || a.size != b.size)
		return false;
	return a.size == 0 || memcmp(a.data, b.data, a.size) == 0;
}

bool text_to_int64(struct meow_bytes text, int64_t *ret_number)
{
	size_t at = 0;
	bool negative = text.size > 0 && text.data[0] == '-';
	if (negative)
		at++;
	if (at == text.size)
		return false;
	uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;
	uint64_t number = 0;
	for (; at < text.size; at++) {
		if (text.data[at] < '0' || text.data[at] > '9')
			return false;
		uint64_t digit = (uint64_t)(text.data[at] - '0');
		if (number > (limit - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = negative ? (int64_t)(0 - number) : (int64_t)number;
	return true;
}

uint64_t text_hash(uint64_t hash, struct meow_bytes bytes)
{
	for (size_t at = 0; at < bytes.size; at++) {
		hash ^= (unsigned char)bytes.data[at];
		hash *= 1099511628211u;
	}
	return hash;
}

#define DAY_US ((int64_t)86400 * 1000000)

// Days since 1970-01-01 and back, for the proleptic Gregorian calendar (Howard Hinnant, "chrono-Compatible Low-Level
// Date Algorithms"), so that no time zone of the process can interfere and any year of PostgreSQL's passes.
static int64_t days_of_date(int64_t year, unsigned month, unsigned day)
{
	year -= month <= 2;
	int64_t era = (year >= 0 ? year : year - 399) / 400;
	unsigned year_of_era = (unsigned)(year - era * 400);
	unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
	unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
	return era * 146097 + (int64_t)day_of_era - 719468;
}

static void date_of_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
	days += 719468;
	int64_t era = (days >= 0 ? days : days - 146096) / 146097;
	unsigned day_of_era = (unsigned)(days - era * 146097);
	unsigned year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	unsigned shifted = (5 * day_of_year + 2) / 153;
	*ret_day = day_of_year - (153 * shifted + 2) / 5 + 1;
	*ret_month = shifted < 10 ? shifted + 3 : shifted - 9;
	*ret_year = (int64_t)year_of_era + era * 400 + (*ret_month <= 2);
}

static void put_digits(char *at, int64_t number, int digits)
{
	for (int place = digits - 1; place >= 0; place--) {
		at[place] = (char)('0' + number % 10);
		number /= 10;
	}
}

void text_time(int64_t time_us, char ret_text[TEXT_TIME_SIZE])
{
	int64_t days = time_us / DAY_US - (time_us % DAY_US < 0);
	int64_t rest = time_us - days * DAY_US;
	int64_t year;
	unsigned month, day;
	date_of_days(days, &year, &month, &day);
	if (year < 0 || year > 9999) // RFC 3339 has four digits; such a time was never an event's
		year = year < 0 ? 0 : 9999;
	memcpy(ret_text, "0000-00-00T00:00:00.000000Z", TEXT_TIME_SIZE);
	put_digits(ret_text, year, 4);
	put_digits(ret_text + 5, month, 2);
	put_digits(ret_text + 8, day, 2);
	put_digits(ret_text + 11, rest / 3600000000, 2);
	put_digits(ret_text + 14, rest / 60000000 % 60, 2);
	put_digits(ret_text + 17, rest / 1000000 % 60, 2);
	put_digits(ret_text + 20, rest % 1000000, 6);
}

static bool take_digits(struct meow_bytes *text, size_t digits, int64_t *ret_number)
{
	if (text->size < digits)
		return false;
	struct meow_bytes head = {text->data, digits};
	if (head.data[0] == '-' || !text_to_int64(head, ret_number))
		return false;
	text->data += digits;
	text->size -= digits;
	return true;
}

static bool take_char(struct meow_bytes *text, const char *choices)
{
	if (text->size == 0 || text->data[0] == '\0' || strchr(choices, text->data[0]) == NULL)
		return false;
	text->data++;
	text->size--;
	return true;
}

static bool take_fraction(struct meow_bytes *text, int64_t *ret_us)
{
	*ret_us = 0;
	if (!take_char(text, "."))
		return true;
	int64_t unit = 100000;
	size_t digits = 0;
	for (; text->size > 0 && text->data[0] >= '0' && text->data[0] <= '9' && digits < 6; digits++) {
		*ret_us += unit * (text->data[0] - '0');
		unit /= 10;
		text->data++;
		text->size--;
	}
	return digits > 0;
}

static bool take_offset(struct meow_bytes *text, int64_t *ret_minutes)
{
	*ret_minutes = 0;
	if (take_char(text, "Zz"))
		return true;
	int64_t sign = text->size > 0 && text->data[0] == '-' ? -1 : 1;
	int64_t hours, minutes;
	if (!take_char(text, "+-") || !take_digits(text, 2, &hours) || !take_char(text, ":") ||
		!take_digits(text, 2, &minutes) || hours > 23 || minutes > 59)
		return false;
	*ret_minutes = sign * (hours * 60 + minutes);
	return true;
}

bool text_to_time(struct meow_bytes text, int64_t *ret_time_us)
{
	int64_t year, month, day, hour, minute, second, fraction, offset;
	if (!take_digits(&text, 4, &year) || !take_char(&text, "-") || !take_digits(&text, 2, &month) ||
		!take_char(&text, "-") || !take_digits(&text, 2, &day) || !take_char(&text, "Tt ") ||
		!take_digits(&text, 2, &hour) || !take_char(&text, ":") || !take_digits(&text, 2, &minute) ||
		!take_char(&text, ":") || !take_digits(&text, 2, &second) || !take_fraction(&text, &fraction) ||
		!take_offset(&text, &offset) || text.size > 0)
		return false;
	if (month < 1 || month > 12 || day < 1 || hour > 23 || minute > 59 || second > 60)
		return false;
	int64_t days = days_of_date(year, (unsigned)month, (unsigned)day);
	int64_t back_year;
	unsigned back_month, back_day;
	date_of_days(days, &back_year, &back_month, &back_day);
	if (back_month != (unsigned)month || back_day != (unsigned)day) // 30 February
		return false;
	int64_t time_us = ((days * 1440 + hour * 60 + minute - offset) * 60 + second) * 1000000 + fraction;
	// An offset, or a leap second, may lead into a year that RFC 3339 cannot write.
	if (time_us < days_of_date(0, 1, 1) * DAY_US || time_us >= days_of_date(10000, 1, 1) * DAY_US)
		return false;
	*ret_time_us = time_us;
	return true;
}

void buffer_put_json(struct buffer *buffer, struct meow_bytes text)
{
	static const char hex[] = "0123456789abcdef";
	buffer_put_char(buffer, '"');
	size_t from = 0;
	for (size_t at = 0; at < text.size; at++) {
		unsigned char c = (unsigned char)text.data[at];
		if (c >= 0x20 && c != '"' && c != '\\')
			continue;
		buffer_put(buffer, text.data + from, at - from);
		from = at + 1;
		char escape[6] = {'\\', (char)c, '0', '0', hex[c >> 4], hex[c & 15]};
		size_t size = 2;
		if (c == '\n')
			escape[1] = 'n';
		else if (c == '\r')
			escape[1] = 'r';
		else if (c == '\t')
			escape[1] = 't';
		else if (c < 0x20) {
			escape[1] = 'u';
			size = 6;
		}
		buffer_put(buffer, escape, size);
	}
	buffer_put(buffer, text.data + from, text.size - from);
	buffer_put_char(buffer, '"');
}

void buffer_put_json_line(struct buffer *buffer, struct meow_bytes json)
{
	size_t start = buffer->size;
	buffer_put(buffer, json.data, json.size);
	if (buffer->failed)
		return;
	// Most data has no raw line break, and memchr sees that fastest.
	for (char *at = buffer->data + start; (at = memchr(at, '\n', (size_t)(buffer->data + buffer->size - at))) != NULL;)
		*at = ' ';
	for (char *at = buffer->data + start; (at = memchr(at, '\r', (size_t)(buffer->data + buffer->size - at))) != NULL;)
		*at = ' ';
}

// The length of the well-formed UTF-8 sequence at `at` (Unicode 15, table 3-7), 0 if there is none.
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
	unsigned char lead = at[0];
	size_t size = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
	if (size == 0 || size > left)
		return 0;
	for (size_t i = 1; i < size; i++)
		if ((at[i] & 0xC0) != 0x80)
			return 0;
	if ((lead == 0xE0 && at[1] < 0xA0) || (lead == 0xED && at[1] > 0x9F) || (lead == 0xF0 && at[1] < 0x90) ||
		(lead == 0xF4 && at[1] > 0x8F))
		return 0;
	return size;
}

bool text_is_utf8(struct meow_bytes text)
{
	const unsigned char *bytes = (const unsigned char *)text.data;
	for (size_t at = 0; at < text.size;) {
		size_t size = bytes[at] == '\0' ? 0 : utf8_sequence(bytes + at, text.size - at);
		if (size == 0)
			return false;
		at += size;
	}
	return true;
}
