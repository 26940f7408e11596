// pg_names.h: our SQL under the names that a store's tables have. The files name es_events and so on, so that each can be
// run in psql as it stands; where a table is called otherwise, its name is put in before the text is sent. The names are
// the store's: set-up records them in meowmx_meta, and each connection learns them there (identity.sql).
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

// What the tables of a store are called, and the sequence of the events' ids.
enum { PG_NAME_EVENTS, PG_NAME_AGGREGATES, PG_NAME_SNAPSHOTS, PG_NAME_SUBSCRIPTIONS, PG_NAME_SEQUENCE, PG_NAMES };
struct pg_names {
	bool other; // than the files say
	struct pg_rename renames[PG_NAMES];
};

// As the files say.
extern const struct pg_names pg_names_default;

// Takes a name as SQL has it, quoted where needed.
void pg_names_set(struct pg_names *names, size_t which, const char *to);

// sql itself where nothing is to be put in; else what it became, in scratch, until that is used again. NULL: no memory.
const char *pg_names_apply(const struct pg_names *names, const char *sql, struct buffer *scratch);

// Whether set-up takes it as the name of a table.
bool pg_name_is_good(const char *name);

#endif
