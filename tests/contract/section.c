// section.c: the settings of one connector, written to a file and read by the real loader, its check included.
#include "contract.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_ITEMS 32

struct item {
	char *name, *key, *value;
};

struct contract_settings {
	const struct connector_impl *impl;
	struct item items[MOST_ITEMS];
	size_t count;
	struct config *config; // made on first use
};

static char *copy(const char *text)
{
	char *copied = text == NULL ? NULL : strdup(text);
	assert_true(text == NULL || copied != NULL);
	return copied;
}

struct contract_settings *contract_settings_create(const struct connector_impl *impl)
{
	struct contract_settings *settings = calloc(1, sizeof(*settings));
	assert_non_null(settings);
	settings->impl = impl;
	return settings;
}

void contract_settings_destroy(struct contract_settings *settings)
{
	if (settings == NULL)
		return;
	for (size_t i = 0; i < settings->count; i++) {
		free(settings->items[i].name);
		free(settings->items[i].key);
		free(settings->items[i].value);
	}
	config_destroy(settings->config);
	free(settings);
}

void contract_set_item(struct contract_settings *settings, const char *map, const char *key, const char *value)
{
	assert_null(settings->config); // too late otherwise
	for (size_t i = 0; i < settings->count; i++) {
		struct item *item = &settings->items[i];
		if (strcmp(item->name, map) != 0 || (key != NULL && strcmp(item->key, key) != 0))
			continue;
		free(item->value);
		item->value = copy(value);
		return;
	}
	assert_true(settings->count < MOST_ITEMS);
	settings->items[settings->count++] = (struct item){copy(map), copy(key), copy(value)};
}

void contract_set(struct contract_settings *settings, const char *name, const char *value)
{
	contract_set_item(settings, name, NULL, value);
}

static enum setting_type type_of(const struct contract_settings *settings, const char *name)
{
	const struct setting *setting = settings->impl->settings;
	while (setting->name != NULL && strcmp(setting->name, name) != 0)
		setting++;
	return setting->name == NULL ? SETTING_TEXT : setting->type;
}

// A JSON string is a YAML string. Numbers and booleans stand plain.
static void put_value(struct buffer *yaml, enum setting_type type, const char *value)
{
	if (type == SETTING_TEXT || type == SETTING_SECRET || type == SETTING_URL || type == SETTING_MAP)
		buffer_put_json(yaml, bytes_of(value));
	else
		buffer_put_text(yaml, value);
	buffer_put_char(yaml, '\n');
}

static void put_setting(const struct contract_settings *settings, size_t index, struct buffer *yaml)
{
	const struct item *item = &settings->items[index];
	enum setting_type type = type_of(settings, item->name);
	if (item->key == NULL) {
		buffer_printf(yaml, "      %s: ", item->name);
		put_value(yaml, type, item->value);
		return;
	}
	for (size_t i = 0; i < index; i++)
		if (strcmp(settings->items[i].name, item->name) == 0)
			return; // the map stands there already
	buffer_printf(yaml, "      %s:\n", item->name);
	for (size_t i = index; i < settings->count; i++) {
		if (strcmp(settings->items[i].name, item->name) != 0)
			continue;
		buffer_put_text(yaml, "        ");
		buffer_put_json(yaml, bytes_of(settings->items[i].key));
		buffer_put_text(yaml, ": ");
		put_value(yaml, type, settings->items[i].value);
	}
}

static void write_yaml(const struct contract_settings *settings, int fd)
{
	struct buffer yaml;
	buffer_init(&yaml);
	buffer_printf(
		&yaml, "store:\n  url: postgresql://127.0.0.1/none\nroutes:\n  contract:\n    %s:\n", settings->impl->name);
	for (size_t i = 0; i < settings->count; i++)
		put_setting(settings, i, &yaml);
	assert_false(yaml.failed);
	assert_int_equal(write(fd, yaml.data, yaml.size), (ssize_t)yaml.size);
	buffer_finish(&yaml);
}

bool contract_load(struct contract_settings *settings, struct meow_error *err)
{
	if (settings->config != NULL)
		return true;
	char path[] = "/tmp/meowmx-contract-XXXXXX";
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	write_yaml(settings, fd);
	const struct connector_impl *impl = settings->impl;
	const struct config_connector connector = {
		impl->name, impl->settings, impl->check, impl->exclusive, impl->divisible, true};
	const struct config_request request = {.file = path, .connectors = &connector, .connector_count = 1};
	settings->config = config_load(&request, NULL, NULL, err);
	close(fd);
	unlink(path);
	return settings->config != NULL;
}

const struct config_section *contract_section(struct contract_settings *settings)
{
	struct meow_error err = {0};
	if (!contract_load(settings, &err))
		fail_msg("%s", err.text);
	return config_route(settings->config, 0)->sink;
}
