// pg_array.h: events as four binary arrays, for statements that take many: types, data, metadata, times.
#ifndef STORE_POSTGRES_PG_ARRAY_H
#define STORE_POSTGRES_PG_ARRAY_H

#include "base/buffer.h"
#include "store/postgres/pg.h"

enum { PG_ARRAY_TYPES, PG_ARRAY_DATA, PG_ARRAY_METADATA, PG_ARRAY_TIMES, PG_ARRAYS };

struct pg_arrays {
	struct buffer columns[PG_ARRAYS];
};

void pg_arrays_init(struct pg_arrays *arrays, size_t count);
void pg_arrays_finish(struct pg_arrays *arrays);
void pg_arrays_put(struct pg_arrays *arrays, const struct meow_new_event *event);
MEOW_MUST_USE bool pg_arrays_ok(const struct pg_arrays *arrays, struct meow_error *err);
void pg_arrays_param(const struct pg_arrays *arrays, struct pg_params *params); // borrows

#endif
