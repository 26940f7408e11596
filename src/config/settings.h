// settings.h: the tables of all settings that are not a connector's.
#ifndef CONFIG_SETTINGS_H
#define CONFIG_SETTINGS_H

#include "config/config.h"

enum settings_fixed_section {
	SETTINGS_STORE,
	SETTINGS_TABLES,
	SETTINGS_RELAY,
	SETTINGS_HTTP,
	SETTINGS_LOG,
	SETTINGS_FIXED_COUNT
};

struct settings_section {
	const char *name; // its path: "store", or "store.tables", which stands behind the section it is in
	const char *help;
	const struct setting *settings; // ends with one without a name
};

// Sections whose path is fixed: each of their settings has an environment variable.
extern const struct settings_section settings_fixed[SETTINGS_FIXED_COUNT];

// What every route has beside its connector.
extern const struct setting settings_route[];

// The length of a table.
size_t settings_count(const struct setting *settings);

// The index of a setting, or the table's length.
size_t settings_find(const struct setting *settings, const char *name);

// MEOWMX_<SECTION>_<KEY>, with "_" for each dot, to be freed by the caller; NULL without memory.
char *settings_variable(const char *section, const char *key);

#endif
