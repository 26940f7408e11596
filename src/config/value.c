// value.c: see value.h. Sizes count in steps of 1024, as PostgreSQL's settings do; durations are whole numbers with a unit.
#include "config/value.h"

#include "base/text.h"
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

struct unit {
	const char *name;
	int64_t factor;
};

// Largest first, so that a number is shown in the largest unit that divides it.
static const struct unit byte_units[] = {{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"GiB", 1 << 30},
	{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}, {NULL, 0}};
static const struct unit time_units[] = {
	{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};

static bool parse_number(const char *text, const struct unit *units, int64_t *ret_number)
{
	size_t digits = strspn(text, "0123456789");
	int64_t number;
	if (!text_to_int64((struct meow_bytes){text, digits}, &number))
		return false;
	const char *unit = text + digits + strspn(text + digits, " ");
	for (; units->name != NULL; units++)
		if (strcmp(units->name, unit) == 0)
			return !__builtin_mul_overflow(number, units->factor, ret_number);
	return false;
}

static void put_number(struct buffer *out, const struct setting *setting, int64_t number)
{
	const struct unit *unit = setting->type == SETTING_BYTES ? byte_units : time_units;
	if (setting->type == SETTING_INTEGER || number == 0) {
		buffer_put_int(out, number);
		return;
	}
	while (number % unit->factor != 0)
		unit++;
	buffer_put_int(out, number / unit->factor);
	buffer_put_text(out, unit->name);
}

static void put_range(struct buffer *out, const struct setting *setting)
{
	put_number(out, setting, setting->least);
	buffer_put_text(out, " to ");
	put_number(out, setting, setting->most);
}

static bool in_range(const struct setting *setting, int64_t number)
{
	return (setting->least == 0 && setting->most == 0) || (number >= setting->least && number <= setting->most);
}

static bool range_error(const struct setting *setting, const char *text, struct meow_error *err)
{
	struct buffer range;
	buffer_init(&range);
	put_range(&range, setting);
	error_set(err, MEOW_CONFIG, "\"%s\" is out of range: %s", text, range.failed ? "?" : range.data);
	buffer_finish(&range);
	return false;
}

static bool parse_choice(const struct setting *setting, const char *text, struct meow_error *err)
{
	struct suggest suggest = suggest_start(text);
	for (const char *at = setting->choices; *at != '\0';) {
		char word[SUGGEST_LONGEST + 1];
		size_t size = strcspn(at, "|");
		snprintf(word, sizeof(word), "%.*s", (int)size, at);
		if (strcmp(word, text) == 0)
			return true;
		suggest_try(&suggest, word);
		at += size + (at[size] == '|');
	}
	char advice[SUGGEST_TEXT_SIZE];
	return error_set(
		err, MEOW_CONFIG, "\"%s\" is none of %s%s", text, setting->choices, suggest_text(&suggest, advice));
}

bool value_parse(const struct setting *setting, const char *text, int64_t *ret_number, struct meow_error *err)
{
	int64_t number = 0;
	switch (setting->type) {
	case SETTING_TEXT:
	case SETTING_SECRET:
	case SETTING_URL:
	case SETTING_LIST:
	case SETTING_MAP:
		break;
	case SETTING_BOOL:
		number = strcmp(text, "true") == 0;
		if (!number && strcmp(text, "false") != 0)
			return error_set(err, MEOW_CONFIG, "\"%s\" is neither true nor false", text);
		break;
	case SETTING_INTEGER:
		if (!text_to_int64(bytes_of(text), &number))
			return error_set(err, MEOW_CONFIG, "\"%s\" is no whole number", text);
		break;
	case SETTING_BYTES:
		if (!parse_number(text, byte_units, &number))
			return error_set(err, MEOW_CONFIG, "\"%s\" is no size; write 512KB, 16MB, 1GB or plain bytes", text);
		break;
	case SETTING_DURATION:
		if (strcmp(text, "0") != 0 && !parse_number(text, time_units, &number))
			return error_set(err, MEOW_CONFIG, "\"%s\" is no duration; write 500ms, 10s, 5m, 2h or 1d", text);
		break;
	case SETTING_CHOICE:
		if (!parse_choice(setting, text, err))
			return false;
		break;
	}
	if (!in_range(setting, number))
		return range_error(setting, text, err);
	*ret_number = number;
	return true;
}

static const char *type_name(enum setting_type type)
{
	switch (type) {
	case SETTING_TEXT:
		return "text";
	case SETTING_SECRET:
		return "text (secret)";
	case SETTING_URL:
		return "URL";
	case SETTING_BOOL:
		return "true or false";
	case SETTING_INTEGER:
		return "number";
	case SETTING_BYTES:
		return "size";
	case SETTING_DURATION:
		return "duration";
	case SETTING_CHOICE:
		return "one of";
	case SETTING_LIST:
		return "list";
	case SETTING_MAP:
		return "map";
	}
	return "";
}

void value_describe(const struct setting *setting, struct buffer *out)
{
	buffer_put_text(out, type_name(setting->type));
	if (setting->type == SETTING_CHOICE) {
		buffer_put_char(out, ' ');
		for (const char *at = setting->choices; *at != '\0'; at++) {
			if (*at == '|')
				buffer_put_text(out, ", ");
			else
				buffer_put_char(out, *at);
		}
	}
	if (setting->least != 0 || setting->most != 0) {
		buffer_put_text(out, ", ");
		put_range(out, setting);
	}
}
