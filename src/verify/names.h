// names.h: the names of topics and streams, out of the configuration's templates: "shop.{aggregate_type}".
#ifndef VERIFY_NAMES_H
#define VERIFY_NAMES_H

#include "config/config.h"

struct names {
	const struct config_section *settings;
	const char *template; // its attributes were checked with the configuration
	const char *map;      // the setting with names by aggregate type, NULL: there is none
	int partition;
	int64_t generation;
};

// The partition of a route of so many that an aggregate belongs to, as docs/how-it-works.md has it.
int names_partition(struct meow_bytes aggregate_id, int partitions);

// Puts the name for an event.
void names_put(const struct names *names, const struct meow_event *event, struct buffer *out);

// Whether every event of a type has the same name, and whether all events have.
bool names_by_type(const struct names *names);
bool names_constant(const struct names *names);

// Whether each generation has names of its own.
bool names_by_generation(const struct names *names);

#endif
