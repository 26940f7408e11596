// routes.c: routes and their connectors. A route's keys are those of settings_route and exactly one connector's name.
//
// A route's name becomes part of Redis keys, Kafka ids, metric labels and URL paths, and people type it: so letters and
// digits of any language, ".", "_" and "-", but nothing invisible and nothing that separates elsewhere.
#include "config/loader.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define MOST_ROUTE_NAME 100 // bytes
#define MOST_CONNECTORS 16

// Decodes one character of valid UTF-8 and steps over it.
static unsigned next_character(const char **at)
{
	const unsigned char *bytes = (const unsigned char *)*at;
	unsigned lead = bytes[0];
	size_t size = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
	unsigned character = size == 1 ? lead : lead & (0xFFu >> (size + 1));
	for (size_t i = 1; i < size; i++)
		character = character << 6 | (bytes[i] & 0x3Fu);
	*at += size;
	return character;
}

// Beyond ASCII: spaces, controls, marks of direction, private use and what is no character are out.
static bool allowed(unsigned c)
{
	if (c < 0x80)
		return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || c == '.' || c == '_' || c == '-';
	return c > 0xA0 && c != 0xAD && !(c >= 0x2000 && c <= 0x206F) && c != 0x1680 && c != 0x3000 && c != 0xFEFF &&
		   !(c >= 0xE000 && c <= 0xF8FF) && !(c >= 0xFFF0 && c <= 0xFFFF) && c < 0xE0000;
}

static bool route_name_is_good(const char *name)
{
	size_t size = strlen(name);
	if (size == 0 || size > MOST_ROUTE_NAME || *name == '.' || *name == '-' || !text_is_utf8(bytes_of(name)))
		return false;
	for (const char *at = name; *at != '\0';)
		if (!allowed(next_character(&at)))
			return false;
	return true;
}

static const struct config_connector *find_connector(const struct loader *loader, const char *name)
{
	for (size_t i = 0; i < loader->request->connector_count; i++)
		if (strcmp(loader->request->connectors[i].name, name) == 0)
			return &loader->request->connectors[i];
	return NULL;
}

static bool is_connector(const struct loader *loader, const char *key)
{
	return find_connector(loader, key) != NULL;
}

// "kafka, redis, file"
static const char *connector_list(struct loader *loader, const char *separator)
{
	const char *list = "";
	for (size_t i = 0; i < loader->request->connector_count && list != NULL; i++)
		list = arena_printf(
			&loader->config->arena, "%s%s%s", list, i == 0 ? "" : separator, loader->request->connectors[i].name);
	return list;
}

static void read_connector(struct loader *loader, struct config_route *route, const char *path,
	const struct config_connector *connector, const struct yaml_node *node)
{
	const char *sink_path = arena_printf(&loader->config->arena, "%s.%s", path, connector->name);
	if (sink_path == NULL)
		return;
	if (route->connector != NULL) {
		problem_add(&loader->problems, MEOW_CONFIG, node->key_place,
			"%s has a second connector; %s is there already, and "
			"each sink is a route of its own",
			path, route->connector->name);
		return;
	}
	route->connector = connector;
	if (!connector->built) {
		problem_add(&loader->problems, MEOW_CONFIG, node->key_place,
			"%s: this meowmx was built without the connector "
			"%s; build it where its library is installed",
			sink_path, connector->name);
		return;
	}
	struct config_section *sink =
		section_create(&loader->config->arena, sink_path, node->key_place, connector->settings);
	if (sink == NULL || !loader_is_map(loader, sink_path, node))
		return;
	loader_fill_section(loader, sink, node, NULL, NULL);
	section_set_defaults(&loader->context, sink);
	route->sink = sink;
}

static void check_categories(struct loader *loader, const struct config_section *section)
{
	const struct section_value *value = &section->values[settings_find(section->settings, "categories")];
	for (size_t i = 0; i < value->count; i++) {
		if (*value->items[i].text == '\0')
			problem_add(
				&loader->problems, MEOW_CONFIG, value->items[i].place, "%s.categories: an empty name", section->path);
		for (size_t j = 0; j < i; j++)
			if (strcmp(value->items[i].text, value->items[j].text) == 0)
				problem_add(&loader->problems, MEOW_CONFIG, value->items[i].place,
					"%s.categories: \"%s\" is there twice", section->path, value->items[i].text);
	}
}

static void read_route(struct loader *loader, struct config_route *route, const struct yaml_node *node)
{
	const char *path = arena_printf(&loader->config->arena, "routes.%s", node->key);
	if (path == NULL)
		return;
	route->name = node->key;
	if (!route_name_is_good(node->key))
		problem_add(&loader->problems, MEOW_CONFIG, node->key_place,
			"\"%s\" cannot be a route's name; it may have letters "
			"and digits of any language, \".\", \"_\" and \"-\", does not begin with \".\" or \"-\", and has at most "
			"%d bytes",
			node->key, MOST_ROUTE_NAME);
	struct config_section *section = section_create(&loader->config->arena, path, node->key_place, settings_route);
	if (section == NULL || !loader_is_map(loader, path, node))
		return;
	const char *names[MOST_CONNECTORS + 1] = {0};
	for (size_t i = 0; i < loader->request->connector_count && i < MOST_CONNECTORS; i++)
		names[i] = loader->request->connectors[i].name;
	loader_fill_section(loader, section, node, is_connector, names);
	section_set_defaults(&loader->context, section);
	check_categories(loader, section);
	route->settings = section;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next)
		if (is_connector(loader, child->key))
			read_connector(loader, route, path, find_connector(loader, child->key), child);
	if (route->connector == NULL)
		problem_add(&loader->problems, MEOW_CONFIG, node->key_place, "%s has no connector; it needs one of %s", path,
			connector_list(loader, ", "));
}

void loader_read_routes(struct loader *loader, const struct yaml_node *node)
{
	struct config *config = loader->config;
	config->routes = arena_alloc(&config->arena, (node->count + 1) * sizeof(*config->routes));
	if (config->routes == NULL || !loader_is_map(loader, "routes", node))
		return;
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		struct config_route *route = &config->routes[config->route_count];
		read_route(loader, route, child);
		// A route that is not whole is left out: its problem is reported, and nobody looks at it any more.
		if (route->settings != NULL && route->sink != NULL)
			config->route_count++;
		else
			*route = (struct config_route){0};
	}
}

// A connector's message begins with the setting it is about; then that is the place, else the connector's section.
// "client.linger.ms: ...": of a map the item that the text goes on with.
static const char *place_of_item(const struct config_section *sink, size_t index, const char *text)
{
	const struct section_value *value = &sink->values[index];
	for (size_t i = 0; i < value->count; i++) {
		size_t size = value->items[i].key == NULL ? 0 : strlen(value->items[i].key);
		if (size > 0 && strncmp(text, value->items[i].key, size) == 0 && text[size] == ':')
			return value->items[i].place;
	}
	return config_place(sink, sink->settings[index].name);
}

static const char *place_of_message(const struct config_section *sink, const char *text)
{
	for (size_t i = 0; i < sink->count; i++) {
		size_t size = strlen(sink->settings[i].name);
		if (strncmp(text, sink->settings[i].name, size) == 0 && strchr(":. ", text[size]) != NULL)
			return place_of_item(sink, i, text[size] == '\0' ? text : text + size + 1);
	}
	return sink->place;
}

void config_tell(const struct config_report *report, const struct meow_error *err)
{
	report->problem(report->arg, err);
}

// A connector's problem with its section.
struct sink_check {
	struct loader *loader;
	const struct config_section *sink;
};

static void add_sink_problem(void *arg, const struct meow_error *err)
{
	const struct sink_check *check = arg;
	problem_add(&check->loader->problems, err->kind, place_of_message(check->sink, err->text), "%s.%s",
		check->sink->path, err->text);
}

// True if the connector has nothing to say.
static bool check_sink(struct loader *loader, const struct config_route *route)
{
	struct sink_check check = {loader, route->sink};
	const struct config_report report = {add_sink_problem, &check};
	struct meow_error err;
	size_t before = loader->problems.count;
	if (route->connector->check != NULL)
		route->connector->check(route->sink, &report);
	if (loader->problems.count == before && config_number(route->settings, "partitions") > 1 &&
		route->connector->divisible != NULL && !route->connector->divisible(route->sink, &err))
		config_tell(&report, &err);
	return loader->problems.count == before;
}

static bool has_wrong_values(const struct config_section *section)
{
	for (size_t i = 0; i < section->count; i++)
		if (section->values[i].wrong || (section->settings[i].required && section->values[i].origin == ORIGIN_NONE))
			return true;
	return false;
}

static void check_shared_sinks(struct loader *loader, size_t index, char **sinks)
{
	const struct config_route *route = &loader->config->routes[index];
	if (route->connector->exclusive == NULL)
		return;
	sinks[index] = route->connector->exclusive(route->sink);
	for (size_t i = 0; sinks[index] != NULL && i < index; i++) {
		const struct config_route *other = &loader->config->routes[i];
		if (other->connector == route->connector && sinks[i] != NULL && strcmp(sinks[i], sinks[index]) == 0)
			problem_add(&loader->problems, MEOW_CONFIG, route->sink->place,
				"%s publishes to %s, as the route %s (%s) does; "
				"two routes may not share it",
				route->sink->path, sinks[index], other->name, other->sink->place);
	}
}

void loader_check_routes(struct loader *loader)
{
	struct config *config = loader->config;
	char **sinks = calloc(config->route_count + 1, sizeof(*sinks));
	if (sinks == NULL) {
		config->arena.failed = true;
		return;
	}
	for (size_t i = 0; i < config->route_count; i++) {
		const struct config_route *route = &config->routes[i];
		// What follows from a value that is wrong, which was reported, would only confuse.
		if (!has_wrong_values(route->sink) && check_sink(loader, route))
			check_shared_sinks(loader, i, sinks);
	}
	for (size_t i = 0; i < config->route_count; i++)
		free(sinks[i]);
	free(sinks);
}
