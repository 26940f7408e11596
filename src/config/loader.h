// loader.h: inside src/config: the configuration and what is shared while it is loaded.
#ifndef CONFIG_LOADER_H
#define CONFIG_LOADER_H

#include "config/section.h"
#include "config/settings.h"

struct config {
	struct arena arena;
	const char *file; // NULL if none was read
	struct config_section *fixed[SETTINGS_FIXED_COUNT];
	struct config_route *routes;
	size_t route_count;
};

struct loader {
	struct config *config;
	const struct config_request *request;
	struct problems problems;
	struct section_context context;
};

// Reads what stands under `routes:` (node), each with its connector, and checks it.
void loader_read_routes(struct loader *loader, const struct yaml_node *node);

// What spans several routes: sinks that may not be shared, and each connector's own check.
void loader_check_routes(struct loader *loader);

// Reports an unknown key, with the nearest one of a table (and of `more`, names that end with NULL; may be NULL).
void loader_unknown_key(struct loader *loader, const char *path, const struct yaml_node *node,
	const struct setting *settings, const char *const *more);

// Whether the section's node is a mapping or empty; reports it otherwise.
bool loader_is_map(struct loader *loader, const char *path, const struct yaml_node *node);

// Puts the keys of a mapping into a section. Keys for which `other` (may be NULL) is true are left alone.
void loader_fill_section(struct loader *loader, struct config_section *section, const struct yaml_node *node,
	bool (*other)(const struct loader *loader, const char *key), const char *const *more);

#endif
