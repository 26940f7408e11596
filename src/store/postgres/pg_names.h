// pg_names.h: our SQL under the names that a store's tables have. The files name es_events and so on, so that each can be
// run in psql as it stands; where a table is called otherwise, its name is put in before the text is sent.
#ifndef STORE_POSTGRES_PG_NAMES_H
#define STORE_POSTGRES_PG_NAMES_H

#include "base/buffer.h"

// A schema and a name, both quoted.
#define PG_NAME_SIZE 272

struct pg_rename {
	const char *from; // an identifier of lower-case letters, digits and underscores
	char to[PG_NAME_SIZE];
};

// Appends sql to out with each identifier that a rename names replaced, in literals and bodies of functions too (doubling
// quotes there), but not in comments or behind a dot. Fails only for want of memory, which buffer_ok tells.
void pg_render(struct buffer *out, const char *sql, const struct pg_rename *renames, size_t count);

#endif
