// Another number of partitions: each step happens as a whole or not at all. And which numbers there were.
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

// The columns of repartition_find.sql.
enum { LAYOUT, PARTITIONS, PARTITION, DELIVERED, POSITION, GENERATION, PUBLISHED, HOLDER };

static bool note_found(const PGresult *result, struct store_repartition *repartition, struct meow_error *err)
{
	size_t count = (size_t)PQntuples(result);
	for (int row = 0; row < (int)count; row++)
		if (!PQgetisnull(result, row, HOLDER))
			return store_still_run(repartition->name, PQgetvalue(result, row, HOLDER), err);
	if (count && (int)pg_number32(result, 0, PARTITIONS) < 0)
		return store_of_handler(repartition->name, err);
	struct store_partition *items = calloc(count + 1, sizeof(*items));
	if (!items)
		return error_no_memory(err);
	for (int row = 0; row < (int)count; row++) {
		repartition->layout = (int)pg_number32(result, row, LAYOUT);
		repartition->partitions = (int)pg_number32(result, row, PARTITIONS);
		items[row] = (struct store_partition){.partition = (int)pg_number32(result, row, PARTITION),
			.delivered = pg_signed64(result, row, DELIVERED),
			.position = pg_signed64(result, row, POSITION),
			.generation = pg_signed64(result, row, GENERATION),
			.published = *PQgetvalue(result, row, PUBLISHED) != 0};
	}
	repartition->items = items;
	repartition->count = count;
	return true;
}

static bool find(struct pg_store *store, struct store_repartition *repartition, struct meow_error *err)
{
	const char *values[2] = {repartition->name, repartition->relay};
	PGresult *result = pg_query(store, sql_repartition_find, 2, values, err);
	bool ok = result && note_found(result, repartition, err);
	PQclear(result);
	return ok;
}

static bool take(struct pg_store *store, struct store_repartition *repartition, struct meow_error *err)
{
	char layout[16];
	snprintf(layout, sizeof(layout), "%d", repartition->layout);
	const char *values[3] = {repartition->name, repartition->relay, layout};
	PGresult *result = pg_query(store, sql_repartition_take, 3, values, err);
	for (int row = 0; result && row < PQntuples(result); row++)
		for (size_t i = 0; i < repartition->count; i++)
			if (repartition->items[i].partition == (int)pg_number32(result, row, 0))
				repartition->items[i].epoch = pg_signed64(result, row, 1);
	PQclear(result);
	return result != NULL;
}

bool pg_repartition_begin(struct meow_store *base, struct store_repartition *repartition, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	if (!pg_reconnect(store, err) || !pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", err))
		return false;
	if (find(store, repartition, err) && take(store, repartition, err))
		if (pg_commit(store, err))
			return true;
	pg_roll_back(store);
	free(repartition->items);
	repartition->items = NULL;
	repartition->count = 0;
	return false;
}

// The parameters that both of the others begin with, and the number of rows.
static bool change(struct pg_store *store, const char *sql, int count, const struct store_repartition *repartition,
	int *ret_rows, struct meow_error *err)
{
	char layout[16], partitions[16], cut[24], wanted[16];
	snprintf(layout, sizeof(layout), "%d", repartition->layout);
	snprintf(partitions, sizeof(partitions), "%d", repartition->partitions);
	snprintf(cut, sizeof(cut), "%" PRId64, repartition->cut);
	snprintf(wanted, sizeof(wanted), "%d", repartition->wanted);
	const char *values[6] = {repartition->name, layout, partitions, repartition->relay, cut, wanted};
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, sql, count, values, err) : NULL;
	if (result && ret_rows)
		*ret_rows = PQntuples(result);
	PQclear(result);
	return result != NULL;
}

bool pg_repartition_cut(struct meow_store *base, const struct store_repartition *repartition, struct meow_error *err)
{
	return change(pg_store_of(base), sql_repartition_cut, 5, repartition, NULL, err);
}

bool pg_repartition_finish(
	struct meow_store *base, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err)
{
	int rows;
	if (!change(pg_store_of(base), sql_repartition_finish, 6, repartition, &rows, err))
		return false;
	*ret_done = rows > 0;
	return true;
}

bool pg_layouts(struct meow_store *base, const char *name, struct store_layouts *ret_list, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	const char *values[1] = {name};
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, sql_layouts, 1, values, err) : NULL;
	if (!result)
		return false;
	size_t count = (size_t)PQntuples(result);
	struct store_layout *items = calloc(count + 1, sizeof(*items));
	for (int row = 0; items && row < (int)count; row++)
		items[row] = (struct store_layout){.layout = (int)pg_number32(result, row, 0),
			.partitions = (int)pg_number32(result, row, 1),
			.cut = pg_signed64(result, row, 2),
			.generation = pg_signed64(result, row, 3)};
	PQclear(result);
	if (!items)
		return error_no_memory(err);
	*ret_list = (struct store_layouts){items, count};
	return true;
}
