// show.c: `config show` and redaction. What is shown loads again, save for what was redacted.
#include "config/loader.h"

#include "base/text.h"

#include <ctype.h>
#include <string.h>

#define REDACTED "***"

// --- URLs

static void put_span(struct buffer *out, const char *from, const char *to)
{
	buffer_put(out, from, (size_t)(to - from));
}

// Behind "scheme://". NULL if the text does not begin so, and is libpq's "key=value ...".
static const char *behind_scheme(const char *url)
{
	const char *end = url;
	while (isalnum((unsigned char)*end) || (*end != '\0' && strchr("+-.", *end) != NULL))
		end++;
	return strncmp(end, "://", 3) == 0 ? end + 3 : NULL;
}

// password, sslpassword and alike. A name with an escape in it may be one of these, too.
static bool is_secret_name(const char *name, size_t size)
{
	static const char word[] = "password";
	for (size_t i = 0; i < size; i++)
		if (name[i] == '%' || (size - i >= strlen(word) && strncasecmp(name + i, word, strlen(word)) == 0))
			return true;
	return false;
}

// "?key=value&key=value"
static void put_query(struct buffer *out, const char *text)
{
	while (*text != '\0') {
		const char *end = text + strcspn(text, "&"), *value = memchr(text, '=', (size_t)(end - text));
		if (value != NULL && is_secret_name(text, (size_t)(value - text))) {
			put_span(out, text, value + 1);
			buffer_put_text(out, REDACTED);
			put_span(out, end, end + (*end != '\0'));
		} else {
			put_span(out, text, end + (*end != '\0'));
		}
		text = end + (*end != '\0');
	}
}

// The end of a value of "key=value key='value'", as libpq reads it: a backslash takes the next character.
static const char *value_end(const char *at)
{
	bool quoted = *at == '\'';
	for (at += quoted; *at != '\0' && (quoted ? *at != '\'' : !isspace((unsigned char)*at)); at++)
		if (*at == '\\' && at[1] != '\0')
			at++;
	return at + (*at == '\'');
}

static const char *behind_blanks(const char *at)
{
	while (isspace((unsigned char)*at))
		at++;
	return at;
}

// "key = value key=value": blanks may stand around the sign.
static void put_parameters(struct buffer *out, const char *text)
{
	while (*text != '\0') {
		const char *name = behind_blanks(text), *name_end = name;
		while (*name_end != '\0' && *name_end != '=' && !isspace((unsigned char)*name_end))
			name_end++;
		const char *end = behind_blanks(name_end);
		if (*end == '=') {
			const char *value = behind_blanks(end + 1);
			end = value_end(value);
			bool secret = is_secret_name(name, (size_t)(name_end - name));
			put_span(out, text, secret ? value : end);
			buffer_put_text(out, secret ? REDACTED : "");
		} else {
			put_span(out, text, end);
		}
		text = end;
	}
}

void config_redact_url(const char *url, struct buffer *out)
{
	const char *start = behind_scheme(url);
	if (start == NULL) {
		put_parameters(out, url);
		return;
	}
	// To libpq an "@" in front of any "/" ends the password, whatever else stands in it. A raw "/" or "@" may stand in one
	// that should have been escaped: the last "@" in front of the query counts.
	const char *first = start + strcspn(start, "@/"), *from = *first == '@' ? first : start;
	const char *query = from + strcspn(from, "?#");
	const char *at_sign = memrchr(start, '@', (size_t)(query - start));
	const char *colon = at_sign == NULL ? NULL : memchr(start, ':', (size_t)(at_sign - start));
	if (colon == NULL) {
		put_span(out, url, query);
	} else {
		put_span(out, url, colon + 1);
		buffer_put_text(out, REDACTED);
		put_span(out, at_sign, query);
	}
	put_query(out, query);
}

// --- config show

// Whether YAML reads the text back as it is, without quotes.
static bool is_plain(const char *text)
{
	static const char *const words[] = {"null", "~", "true", "false", "yes", "no", "on", "off"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcmp(text, words[i]) == 0)
			return i == 2 || i == 3; // the two that our settings have
	if (*text == '\0' || strchr("-?:,[]{}#&*!|>'\"%@` ", *text) != NULL || text[strlen(text) - 1] == ' ' ||
		text[strlen(text) - 1] == ':')
		return false;
	for (const char *at = text; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7F || *at == '\\' || *at == '"' || *at == '[' || *at == ']' ||
			*at == ',' || *at == '{' || *at == '}' || (*at == ':' && at[1] == ' ') || (*at == ' ' && at[1] == '#'))
			return false;
	return true;
}

// "${" was replaced once already and must not be again.
static void put_scalar(struct buffer *out, const char *text)
{
	struct buffer escaped;
	buffer_init(&escaped);
	for (const char *at = text; *at != '\0'; at++) {
		if (strncmp(at, "${", 2) == 0)
			buffer_put_char(&escaped, '$');
		buffer_put_char(&escaped, *at);
	}
	const char *shown = escaped.data == NULL ? "" : escaped.data;
	if (is_plain(shown))
		buffer_put_text(out, shown);
	else
		buffer_put_json(out, bytes_of(shown)); // a JSON string is a double-quoted YAML one
	buffer_finish(&escaped);
}

static void put_setting_text(struct buffer *out, enum setting_type type, const char *text)
{
	struct buffer shown;
	buffer_init(&shown);
	if (type == SETTING_SECRET)
		buffer_put_text(&shown, *text == '\0' ? "" : REDACTED);
	else if (type == SETTING_URL)
		config_redact_url(text, &shown);
	else
		buffer_put_text(&shown, text);
	put_scalar(out, shown.data == NULL ? "" : shown.data);
	buffer_finish(&shown);
}

static void put_indent(struct buffer *out, int depth)
{
	for (int i = 0; i < depth; i++)
		buffer_put_text(out, "  ");
}

static void put_origin(struct buffer *out, const struct section_value *value, const char *place)
{
	switch (value->origin) {
	case ORIGIN_NONE:
		break;
	case ORIGIN_DEFAULT:
		buffer_put_text(out, "  # default");
		break;
	case ORIGIN_FILE:
	case ORIGIN_ENVIRONMENT:
	case ORIGIN_FLAG:
		buffer_printf(out, "  # %s", place);
		break;
	}
}

static void put_end(struct buffer *out, bool origin, const struct section_value *value, const char *place)
{
	if (origin)
		put_origin(out, value, place);
	buffer_put_char(out, '\n');
}

static void put_item(struct buffer *out, const struct section_item *item, int depth)
{
	put_indent(out, depth);
	if (item->key != NULL) {
		put_scalar(out, item->key);
		buffer_put_text(out, ": ");
	} else {
		buffer_put_text(out, "- ");
	}
	put_scalar(out, item->secret ? REDACTED : item->text);
}

static void put_section(struct buffer *out, const struct config_section *section, int depth, bool origin)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct section_value *value = &section->values[i];
		if (value->origin == ORIGIN_NONE)
			continue;
		put_indent(out, depth);
		buffer_printf(out, "%s:", section->settings[i].name);
		if (value->items == NULL) {
			buffer_put_char(out, ' ');
			put_setting_text(out, section->settings[i].type, value->text);
			put_end(out, origin, value, value->place);
			continue;
		}
		buffer_put_text(out, value->count == 0 ? " {}\n" : "\n");
		for (size_t j = 0; j < value->count; j++) {
			put_item(out, &value->items[j], depth + 1);
			put_end(out, origin, value, value->items[j].place);
		}
	}
}

static bool has_values(const struct config_section *section)
{
	for (size_t i = 0; i < section->count; i++)
		if (section->values[i].origin != ORIGIN_NONE)
			return true;
	return false;
}

void config_show(const struct config *config, bool origin, struct buffer *out)
{
	for (size_t i = 0; i < SETTINGS_FIXED_COUNT; i++) {
		bool inner = i == SETTINGS_TABLES;
		if (!has_values(config->fixed[i]) && !(i == SETTINGS_STORE && has_values(config->fixed[SETTINGS_TABLES])))
			continue;
		buffer_printf(out, "%s:\n", inner ? "  tables" : settings_fixed[i].name);
		put_section(out, config->fixed[i], inner ? 2 : 1, origin);
	}
	if (config->route_count > 0)
		buffer_put_text(out, "routes:\n");
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];
		buffer_put_text(out, "  ");
		put_scalar(out, route->name);
		buffer_put_text(out, ":\n");
		put_section(out, route->settings, 2, origin);
		buffer_printf(out, "    %s:%s\n", route->connector->name, has_values(route->sink) ? "" : " {}");
		put_section(out, route->sink, 3, origin);
	}
}
