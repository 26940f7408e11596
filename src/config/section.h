// section.h: a section and its values. The accessors of config.h are in section.c.
#ifndef CONFIG_SECTION_H
#define CONFIG_SECTION_H

#include "config/arena.h"
#include "config/config.h"
#include "config/problems.h"
#include "config/yaml_tree.h"

enum origin { ORIGIN_NONE, ORIGIN_DEFAULT, ORIGIN_FILE, ORIGIN_ENVIRONMENT, ORIGIN_FLAG };

struct section_item {
	const char *key; // of a map
	const char *text;
	const char *place;
	bool secret; // of a map: a key that says so, or a value out of a file of its own
};

struct section_value {
	enum origin origin;
	const char *place; // "FILE:LINE:COLUMN", the variable, the flag, or where the section stands
	const char *text;
	int64_t number;
	struct section_item *items;
	size_t count;
	bool wrong; // an error was reported: no second one for it
};

struct config_section {
	const char *path;  // "routes.orders.kafka"
	const char *place; // of the section's key; the file's name, or NULL, if it has none
	const struct setting *settings;
	size_t count;
	struct section_value *values;
};

// What setting values needs.
struct section_context {
	struct arena *arena;
	struct problems *problems;
	const char *folder; // for ${file:...}
};

// A section without values. NULL without memory.
struct config_section *section_create(
	struct arena *arena, const char *path, const char *place, const struct setting *settings);

// A setting from the file. Substitutes, checks and keeps it, or reports a problem.
void section_set_node(
	struct section_context *context, struct config_section *section, size_t index, const struct yaml_node *node);

// A scalar from elsewhere, as it is. `place` names it in problems.
void section_set_text(struct section_context *context, struct config_section *section, size_t index, const char *text,
	enum origin origin, const char *place);

// Fills what is still absent with the defaults, and reports what is required and absent.
void section_set_defaults(struct section_context *context, struct config_section *section);

// Whether a key of a user's map holds something to keep to oneself.
bool section_key_is_secret(const char *key);

#endif
