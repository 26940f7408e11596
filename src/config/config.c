// config.c: the loader: find the file, read it as a tree, put it into sections, lay environment and flags over it, fill in
// the defaults, check. It goes on after each problem, so that one run names them all.
#include "config/loader.h"

#include "base/text.h"
#include "config/substitute.h"
#include "config/suggest.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_FILE_BYTES ((size_t)16 << 20)

void loader_unknown_key(struct loader *loader, const char *path, const struct yaml_node *node,
	const struct setting *settings, const char *const *more)
{
	struct suggest suggest = suggest_start(node->key);
	for (; settings->name != NULL; settings++)
		suggest_try(&suggest, settings->name);
	for (; more != NULL && *more != NULL; more++)
		suggest_try(&suggest, *more);
	char advice[SUGGEST_TEXT_SIZE];
	problem_add(&loader->problems, MEOW_CONFIG, node->key_place, "unknown setting %s%s%s%s", path,
		*path == '\0' ? "" : ".", node->key, suggest_text(&suggest, advice));
}

bool loader_is_map(struct loader *loader, const char *path, const struct yaml_node *node)
{
	if (node->kind == YAML_MAP || node->empty)
		return true;
	problem_add(&loader->problems, MEOW_CONFIG, node->place, "%s must be a map: lines of \"key: value\"", path);
	return false;
}

void loader_fill_section(struct loader *loader, struct config_section *section, const struct yaml_node *node,
	bool (*other)(const struct loader *loader, const char *key), const char *const *more)
{
	for (const struct yaml_node *child = node->first; child != NULL; child = child->next) {
		size_t index = settings_find(section->settings, child->key);
		if (index < section->count)
			section_set_node(&loader->context, section, index, child);
		else if (other == NULL || !other(loader, child->key))
			loader_unknown_key(loader, section->path, child, section->settings, more);
	}
}

static bool read_file(const char *path, struct buffer *out, struct meow_error *err)
{
	FILE *file = fopen(path, "rbe");
	if (file == NULL)
		return error_set(err,
			errno == ENOENT   ? MEOW_MISSING
			: errno == EACCES ? MEOW_DENIED
							  : MEOW_IO,
			"%s cannot be opened: %s", path, strerror(errno));
	char piece[8192];
	size_t size;
	while ((size = fread(piece, 1, sizeof(piece), file)) > 0 && out->size <= MOST_FILE_BYTES)
		buffer_put(out, piece, size);
	bool broken = ferror(file);
	int cause = errno;
	fclose(file);
	if (broken)
		return error_set(err, MEOW_IO, "%s cannot be read: %s", path, strerror(cause));
	if (out->size > MOST_FILE_BYTES)
		return error_set(err, MEOW_CONFIG, "%s is larger than 16 MB, which no configuration is", path);
	return buffer_ok(out, err);
}

// The file to read, NULL for none.
static const char *choose_file(const struct config_request *request)
{
	const char *variable = getenv("MEOWMX_CONFIG");
	if (request->file != NULL)
		return request->file;
	if (variable != NULL && *variable != '\0')
		return variable;
	static const char *const places[] = {"meowmx.yaml", "/etc/meowmx/meowmx.yaml"};
	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++)
		if (access(places[i], F_OK) == 0)
			return places[i];
	return NULL;
}

static const char *folder_of(struct arena *arena, const char *file)
{
	const char *slash = strrchr(file, '/');
	if (slash == NULL)
		return NULL;
	return slash == file ? "/" : arena_copy(arena, (struct meow_bytes){file, (size_t)(slash - file)});
}

static size_t find_fixed(const char *path)
{
	size_t index = 0;
	while (index < SETTINGS_FIXED_COUNT && strcmp(settings_fixed[index].name, path) != 0)
		index++;
	return index;
}

static bool is_tables(const struct loader *loader, const char *key)
{
	(void)loader;
	return strcmp(key, "tables") == 0;
}

// A section with a fixed name, and the one in it.
static void read_fixed(struct loader *loader, size_t index, const struct yaml_node *node)
{
	static const char *const inner[] = {"tables", NULL};
	struct config_section *section = loader->config->fixed[index];
	if (!loader_is_map(loader, section->path, node))
		return;
	section->place = node->key_place;
	bool store = index == SETTINGS_STORE;
	loader_fill_section(loader, section, node, store ? is_tables : NULL, store ? inner : NULL);
	for (const struct yaml_node *child = node->first; store && child != NULL; child = child->next)
		if (is_tables(loader, child->key))
			read_fixed(loader, SETTINGS_TABLES, child);
}

static void read_root(struct loader *loader, const struct yaml_node *root)
{
	if (root->kind != YAML_MAP) {
		if (!root->empty)
			problem_add(
				&loader->problems, MEOW_CONFIG, root->place, "a configuration is a map: lines of \"key: value\"");
		return;
	}
	static const struct setting none[] = {{0}};
	static const char *const names[] = {"store", "relay", "http", "log", "routes", NULL};
	for (const struct yaml_node *node = root->first; node != NULL; node = node->next) {
		size_t index = strchr(node->key, '.') ? SETTINGS_FIXED_COUNT : find_fixed(node->key);
		if (strcmp(node->key, "routes") == 0)
			loader_read_routes(loader, node);
		else if (index == SETTINGS_FIXED_COUNT)
			loader_unknown_key(loader, "", node, none, names);
		else
			read_fixed(loader, index, node);
	}
}

static void read_configuration(struct loader *loader)
{
	if (loader->request->no_file)
		return;
	const char *file = choose_file(loader->request);
	if (file == NULL) {
		if (!loader->request->file_optional)
			problem_add(&loader->problems, MEOW_MISSING, NULL,
				"no configuration: neither -c FILE nor MEOWMX_CONFIG is given, "
				"and there is no ./meowmx.yaml and no /etc/meowmx/meowmx.yaml");
		return;
	}
	struct arena *arena = &loader->config->arena;
	struct buffer text;
	buffer_init(&text);
	struct meow_error err;
	if (!read_file(file, &text, &err)) {
		problem_add(&loader->problems, err.kind, NULL, "%s", err.text);
	} else {
		loader->config->file = arena_copy(arena, bytes_of(file));
		loader->context.folder = folder_of(arena, file);
		struct yaml_node *root =
			yaml_tree_read(arena, file, (struct meow_bytes){text.data, text.size}, &loader->problems);
		if (root != NULL)
			read_root(loader, root);
	}
	buffer_finish(&text);
}

// MEOWMX_<SECTION>_<KEY>, or the same with _FILE. An empty one counts as absent, as compose files like to pass them.
static const char *variable_value(const char *name)
{
	const char *value = getenv(name);
	return value == NULL || *value == '\0' ? NULL : value;
}

static void set_from_variable(
	struct loader *loader, struct config_section *section, size_t index, const char *name, const char *name_of_file)
{
	const char *value = variable_value(name), *path = variable_value(name_of_file);
	if (value != NULL && path != NULL) {
		problem_add(
			&loader->problems, MEOW_CONFIG, name, "given together with %s; only one of them can count", name_of_file);
		return;
	}
	if (value != NULL && !text_is_utf8(bytes_of(value)))
		problem_add(&loader->problems, MEOW_CONFIG, name, "its value is not UTF-8");
	else if (value != NULL)
		section_set_text(&loader->context, section, index, value, ORIGIN_ENVIRONMENT, name);
	if (path == NULL)
		return;
	struct buffer text;
	buffer_init(&text);
	struct meow_error err;
	if (!substitute_read_file(path, &text, &err))
		problem_add(&loader->problems, err.kind, name_of_file, "%s", err.text);
	else
		section_set_text(
			&loader->context, section, index, text.data == NULL ? "" : text.data, ORIGIN_ENVIRONMENT, name_of_file);
	buffer_finish(&text);
}

static void read_environment(struct loader *loader)
{
	struct arena *arena = &loader->config->arena;
	for (size_t s = 0; s < SETTINGS_FIXED_COUNT; s++) {
		struct config_section *section = loader->config->fixed[s];
		for (size_t i = 0; i < section->count; i++) {
			char *variable = settings_variable(section->path, section->settings[i].name);
			const char *name = variable == NULL ? NULL : arena_copy(arena, bytes_of(variable));
			const char *name_of_file = variable == NULL ? NULL : arena_printf(arena, "%s_FILE", variable);
			free(variable);
			if (name == NULL || name_of_file == NULL)
				arena->failed = true;
			else
				set_from_variable(loader, section, i, name, name_of_file);
		}
	}
}

static void read_override(struct loader *loader, const struct config_override *override)
{
	for (size_t s = 0; s < SETTINGS_FIXED_COUNT; s++) {
		struct config_section *section = loader->config->fixed[s];
		size_t size = strlen(section->path);
		if (strncmp(section->path, override->path, size) != 0 || override->path[size] != '.')
			continue;
		size_t index = settings_find(section->settings, override->path + size + 1);
		if (index == section->count)
			continue;
		section_set_text(&loader->context, section, index, override->value, ORIGIN_FLAG, override->flag);
		return;
	}
	problem_add(&loader->problems, MEOW_BUG, override->flag, "there is no setting %s", override->path);
}

static void check_url(struct loader *loader)
{
	const struct config_section *store = loader->config->fixed[SETTINGS_STORE];
	const char *url = config_text(store, "url");
	if (url == NULL || strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0 ||
		strncmp(url, "sqlite:", 7) == 0)
		return;
	problem_add(&loader->problems, MEOW_CONFIG, config_place(store, "url"),
		"store.url: must begin with postgresql://, as in postgresql://USER@HOST:PORT/DATABASE, or with sqlite:, as in "
		"sqlite:PATH");
}

static void check_relay(struct loader *loader)
{
	const struct config_section *relay = loader->config->fixed[SETTINGS_RELAY];
	if (config_number(relay, "backoff_initial") > config_number(relay, "backoff_max") &&
		config_has(relay, "backoff_max"))
		problem_add(&loader->problems, MEOW_CONFIG, config_place(relay, "backoff_initial"),
			"relay.backoff_initial: %s is more than relay.backoff_max, %s", config_text(relay, "backoff_initial"),
			config_text(relay, "backoff_max"));
}

static void check_listen(struct loader *loader)
{
	const struct config_section *http = loader->config->fixed[SETTINGS_HTTP];
	const char *listen = config_text(http, "listen");
	if (listen == NULL || *listen == '\0') // no server
		return;
	const char *colon = strrchr(listen, ':');
	int64_t port;
	bool good =
		colon != NULL && colon > listen && text_to_int64(bytes_of(colon + 1), &port) && port >= 0 && port <= 65535;
	if (good && memchr(listen, ':', (size_t)(colon - listen)) != NULL)
		good = listen[0] == '[' && colon[-1] == ']';
	if (!good)
		problem_add(&loader->problems, MEOW_CONFIG, config_place(http, "listen"),
			"http.listen: \"%s\" is not ADDRESS:PORT, as in 127.0.0.1:9187 or [::1]:9187", listen);
}

static void load(struct loader *loader)
{
	struct config *config = loader->config;
	for (size_t i = 0; i < SETTINGS_FIXED_COUNT; i++) {
		config->fixed[i] = section_create(&config->arena, settings_fixed[i].name, NULL, settings_fixed[i].settings);
		if (config->fixed[i] == NULL)
			return;
	}
	read_configuration(loader);
	read_environment(loader);
	for (size_t i = 0; i < loader->request->override_count; i++)
		read_override(loader, &loader->request->overrides[i]);
	for (size_t i = 0; i < SETTINGS_FIXED_COUNT; i++)
		section_set_defaults(&loader->context, config->fixed[i]);
	check_url(loader);
	check_relay(loader);
	check_listen(loader);
	loader_check_routes(loader);
}

struct config *config_load(const struct config_request *request, void (*report)(void *arg, const char *line), void *arg,
	struct meow_error *err)
{
	struct config *config = calloc(1, sizeof(*config));
	if (config == NULL) {
		error_no_memory(err);
		return NULL;
	}
	struct loader loader = {.config = config, .request = request, .problems = {.report = report, .arg = arg}};
	loader.context = (struct section_context){&config->arena, &loader.problems, NULL};
	load(&loader);
	if (loader.problems.count == 0 && !config->arena.failed)
		return config;
	if (config->arena.failed)
		error_no_memory(err);
	else if (err != NULL)
		*err = loader.problems.first;
	config_destroy(config);
	return NULL;
}

void config_destroy(struct config *config)
{
	if (config == NULL)
		return;
	arena_finish(&config->arena);
	free(config);
}

const char *config_file(const struct config *config)
{
	return config->file;
}

const struct config_section *config_store(const struct config *config)
{
	return config->fixed[SETTINGS_STORE];
}

const struct config_section *config_tables(const struct config *config)
{
	return config->fixed[SETTINGS_TABLES];
}

const struct config_section *config_http(const struct config *config)
{
	return config->fixed[SETTINGS_HTTP];
}

const struct config_section *config_log(const struct config *config)
{
	return config->fixed[SETTINGS_LOG];
}

const struct config_section *config_relay(const struct config *config)
{
	return config->fixed[SETTINGS_RELAY];
}

size_t config_route_count(const struct config *config)
{
	return config->route_count;
}

const struct config_route *config_route(const struct config *config, size_t index)
{
	return &config->routes[index];
}
