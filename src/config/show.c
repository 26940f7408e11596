// show.c: `config show` and redaction. What is shown loads again, save for what was redacted.
#include "config/loader.h"

#include "base/text.h"

#include <string.h>

#define REDACTED "***"

// --- URLs

static void put_span(struct buffer *out, const char *from, const char *to)
{
	buffer_put(out, from, (size_t)(to - from));
}

// The end of "scheme://", or the text's start if it has none.
static const char *behind_scheme(const char *url)
{
	const char *mark = strstr(url, "://");
	return mark == NULL ? url : mark + 3;
}

// password=, sslpassword= and alike, in a query or in libpq's "key=value" text.
static void put_parameters(struct buffer *out, const char *text)
{
	for (const char *at = text; *at != '\0';) {
		const char *mark = strcasestr(at, "password=");
		if (mark == NULL) {
			buffer_put_text(out, at);
			return;
		}
		const char *value = mark + strlen("password=");
		put_span(out, at, value);
		buffer_put_text(out, REDACTED);
		if (*value == '\'') { // quoted, with \' inside
			for (value++; *value != '\0' && *value != '\''; value++)
				if (*value == '\\' && value[1] != '\0')
					value++;
			at = *value == '\0' ? value : value + 1;
		} else {
			at = value + strcspn(value, "& ");
		}
	}
}

void config_redact_url(const char *url, struct buffer *out)
{
	const char *start = behind_scheme(url);
	if (start == url) {
		put_parameters(out, url);
		return;
	}
	// A raw "/" or "@" may stand in a password that should have been escaped: the last "@" in front of the query counts.
	const char *query = start + strcspn(start, "?#");
	const char *at_sign = memrchr(start, '@', (size_t)(query - start));
	const char *colon = at_sign == NULL ? NULL : memchr(start, ':', (size_t)(at_sign - start));
	if (colon == NULL) {
		put_span(out, url, query);
	} else {
		put_span(out, url, colon + 1);
		buffer_put_text(out, REDACTED);
		put_span(out, at_sign, query);
	}
	put_parameters(out, query);
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
