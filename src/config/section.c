// section.c: see section.h.
#include "config/section.h"

#include "base/text.h"
#include "config/settings.h"
#include "config/substitute.h"
#include "config/value.h"

#include <string.h>
#include <strings.h>

struct config_section *section_create(
	struct arena *arena, const char *path, const char *place, const struct setting *settings)
{
	struct config_section *section = arena_alloc(arena, sizeof(*section));
	if (section == NULL)
		return NULL;
	section->path = path;
	section->place = place;
	section->settings = settings;
	section->count = settings_count(settings);
	section->values = arena_alloc(arena, (section->count + 1) * sizeof(*section->values));
	return section->values == NULL ? NULL : section;
}

bool section_key_is_secret(const char *key)
{
	static const char *const words[] = {
		"password", "secret", "token", "credential", "private", "jaas", "key.pem", "oauthbearer.config"};
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasestr(key, words[i]) != NULL)
			return true;
	return false;
}

static void wrong(struct section_context *context, struct config_section *section, size_t index, const char *place,
	const struct meow_error *err)
{
	section->values[index].wrong = true;
	problem_add(
		context->problems, err->kind, place, "%s.%s: %s", section->path, section->settings[index].name, err->text);
}

static void wrong_shape(
	struct section_context *context, struct config_section *section, size_t index, const char *place, const char *text)
{
	struct meow_error err;
	error_set(&err, MEOW_CONFIG, "%s", text);
	wrong(context, section, index, place, &err);
}

// The scalar's text with everything replaced, NULL after a problem.
static const char *scalar_text(struct section_context *context, struct config_section *section, size_t index,
	const struct yaml_node *node, bool *ret_secret)
{
	if (node->kind != YAML_SCALAR) {
		wrong_shape(context, section, index, node->place, "must be one value, not a list or a map");
		return NULL;
	}
	if (node->empty) {
		wrong_shape(context, section, index, node->place, "has no value; give one or remove the line");
		return NULL;
	}
	struct substitution substitution = {.folder = context->folder};
	struct meow_error err;
	const char *text = substitute(context->arena, &substitution, node->text, &err);
	if (text == NULL)
		wrong(context, section, index, node->place, &err);
	*ret_secret = substitution.from_file;
	return text;
}

static void set_items(
	struct section_context *context, struct config_section *section, size_t index, const struct yaml_node *node)
{
	struct section_value *value = &section->values[index];
	struct section_item *items = arena_alloc(context->arena, (node->count + 1) * sizeof(*items));
	if (items == NULL)
		return;
	size_t count = 0;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		struct section_item *item = &items[count];
		item->key = child->key;
		item->place = child->place;
		item->text = scalar_text(context, section, index, child, &item->secret);
		if (item->text == NULL)
			continue;
		item->secret = item->secret || (item->key != NULL && section_key_is_secret(item->key));
		count++;
	}
	value->items = items;
	value->count = count;
	value->origin = ORIGIN_FILE;
	value->place = node->place;
}

// A list may be written as one value as well.
static void set_list(
	struct section_context *context, struct config_section *section, size_t index, const struct yaml_node *node)
{
	if (node->kind == YAML_MAP || node->empty || (node->kind == YAML_LIST && node->count == 0)) {
		wrong_shape(
			context, section, index, node->place, "must be a list with something in it, or not be there at all");
		return;
	}
	if (node->kind == YAML_LIST) {
		set_items(context, section, index, node);
		return;
	}
	struct yaml_node only = *node;
	only.key = NULL;
	only.next = NULL;
	struct yaml_node list = {.kind = YAML_LIST, .place = node->place, .first = &only, .last = &only, .count = 1};
	set_items(context, section, index, &list);
}

void section_set_node(
	struct section_context *context, struct config_section *section, size_t index, const struct yaml_node *node)
{
	enum setting_type type = section->settings[index].type;
	if (type == SETTING_LIST) {
		set_list(context, section, index, node);
		return;
	}
	if (type == SETTING_MAP) {
		if (node->kind == YAML_MAP)
			set_items(context, section, index, node);
		else
			wrong_shape(context, section, index, node->place, "must be a map: lines of \"key: value\"");
		return;
	}
	bool secret = false;
	const char *text = scalar_text(context, section, index, node, &secret);
	if (text != NULL)
		section_set_text(context, section, index, text, ORIGIN_FILE, node->place);
}

void section_set_text(struct section_context *context, struct config_section *section, size_t index, const char *text,
	enum origin origin, const char *place)
{
	struct meow_error err;
	int64_t number;
	if (section->settings[index].type == SETTING_LIST || section->settings[index].type == SETTING_MAP) {
		wrong_shape(context, section, index, place, "can only be set in the file");
		return;
	}
	if (!value_parse(&section->settings[index], text, &number, &err)) {
		wrong(context, section, index, place, &err);
		return;
	}
	struct section_value *value = &section->values[index];
	value->origin = origin;
	value->place = place;
	value->text = arena_copy(context->arena, bytes_of(text));
	value->number = number;
}

void section_set_defaults(struct section_context *context, struct config_section *section)
{
	for (size_t i = 0; i < section->count; i++) {
		const struct setting *setting = &section->settings[i];
		struct section_value *value = &section->values[i];
		if (value->origin != ORIGIN_NONE || value->wrong)
			continue;
		if (setting->initial != NULL)
			section_set_text(context, section, i, setting->initial, ORIGIN_DEFAULT, section->place);
		else if (setting->required)
			problem_add(
				context->problems, MEOW_CONFIG, section->place, "%s.%s is missing", section->path, setting->name);
	}
}

static const struct section_value *find(const struct config_section *section, const char *name)
{
	size_t index = settings_find(section->settings, name);
	return index == section->count ? NULL : &section->values[index];
}

bool config_has(const struct config_section *section, const char *name)
{
	const struct section_value *value = find(section, name);
	return value != NULL && value->origin != ORIGIN_NONE;
}

const char *config_text(const struct config_section *section, const char *name)
{
	const struct section_value *value = find(section, name);
	return value == NULL ? NULL : value->text;
}

int64_t config_number(const struct config_section *section, const char *name)
{
	const struct section_value *value = find(section, name);
	return value == NULL ? 0 : value->number;
}

bool config_bool(const struct config_section *section, const char *name)
{
	return config_number(section, name) != 0;
}

size_t config_count(const struct config_section *section, const char *name)
{
	const struct section_value *value = find(section, name);
	return value == NULL ? 0 : value->count;
}

const char *config_item(const struct config_section *section, const char *name, size_t index)
{
	const struct section_value *value = find(section, name);
	return value == NULL || index >= value->count ? NULL : value->items[index].text;
}

const char *config_item_key(const struct config_section *section, const char *name, size_t index)
{
	const struct section_value *value = find(section, name);
	return value == NULL || index >= value->count ? NULL : value->items[index].key;
}

const char *config_map_get(const struct config_section *section, const char *name, const char *key)
{
	const struct section_value *value = find(section, name);
	for (size_t i = 0; value != NULL && i < value->count; i++)
		if (value->items[i].key != NULL && strcmp(value->items[i].key, key) == 0)
			return value->items[i].text;
	return NULL;
}

const char *config_place(const struct config_section *section, const char *name)
{
	const struct section_value *value = find(section, name);
	return value == NULL || value->place == NULL ? section->place : value->place;
}
