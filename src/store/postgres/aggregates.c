// Aggregates as the store knows them: their versions, pages of them, and deleting their events. The types of ids are the
// database's to compare, so whatever is asked of an id goes as text and comes back as it prints it.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Takes the row (version, type) that a statement found of the aggregate; -1 and true if there is none.
static bool take_version(PGresult *result, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err)
{
	bool known = PQntuples(result) == 1;
	bool agrees = !known || strcmp(PQgetvalue(result, 0, 1), aggregate_type) == 0;
	if (agrees)
		*ret_version = known ? pg_signed64(result, 0, 0) : -1;
	else
		store_type_mismatch(aggregate_id, PQgetvalue(result, 0, 1), aggregate_type, err);
	PQclear(result);
	return agrees;
}

bool pg_version(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	struct pg_params params = {1, {aggregate_id}, {0}, {0}};
	PGresult *result = pg_reconnect(store, err) ? pg_run(store, PG_APPEND_FOUND, &params, err) : NULL;
	return result && take_version(result, aggregate_type, aggregate_id, ret_version, err);
}

// --- pages ---

static struct meow_bytes copy(char **place, const PGresult *result, int row, int column)
{
	size_t size = (size_t)PQgetlength(result, row, column);
	struct meow_bytes copied = {*place, size};
	memcpy(*place, PQgetvalue(result, row, column), size + 1); // libpq's NUL, too
	*place += size + 1;
	return copied;
}

static bool take_page(const PGresult *result, struct meow_aggregate_page *ret_page, struct meow_error *err)
{
	size_t count = (size_t)PQntuples(result), size = 1;
	for (int row = 0; row < PQntuples(result); row++)
		size += (size_t)PQgetlength(result, row, 0) + (size_t)PQgetlength(result, row, 1) + 2;
	struct meow_aggregate_page page = {
		.items = calloc(count + 1, sizeof(*page.items)), .count = count, .memory = malloc(size)};
	if (!page.items || !page.memory) {
		meow_aggregate_page_free(&page);
		return error_no_memory(err);
	}
	char *place = page.memory;
	for (size_t i = 0; i < count; i++) {
		page.items[i].type = copy(&place, result, (int)i, 0);
		page.items[i].id = copy(&place, result, (int)i, 1);
		page.items[i].version = pg_signed64(result, (int)i, 2);
	}
	*ret_page = page;
	return true;
}

bool pg_list_aggregates(struct meow_store *base, const char *aggregate_type, const char *after, size_t limit,
	struct meow_aggregate_page *ret_page, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	char number[24];
	snprintf(number, sizeof(number), "%zu", limit);
	const char *values[3] = {aggregate_type, number, after};
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, after ? sql_aggregates_after : sql_aggregates_first,
													  after ? 3 : 2, values, err)
												: NULL;
	bool ok = result && take_page(result, ret_page, err);
	PQclear(result);
	return ok;
}

// --- delete ---

static bool delete_from(
	struct pg_store *store, const char *aggregate_id, int64_t from_version, uint64_t *ret_count, struct meow_error *err)
{
	char from[24];
	snprintf(from, sizeof(from), "%" PRId64, from_version);
	const char *values[2] = {aggregate_id, from};
	PGresult *result = pg_query(store, sql_delete_snapshots, 2, values, err);
	PQclear(result);
	if (!result || !(result = pg_query(store, sql_delete_events, 2, values, err)))
		return false;
	uint64_t count = strtoull(PQcmdTuples(result), NULL, 10);
	PQclear(result);
	if (from_version > 0)
		result = pg_query(store, sql_delete_version, 2, values, err);
	else
		result = pg_query(store, sql_delete_aggregate, 1, values, err);
	PQclear(result);
	*ret_count = count;
	return result != NULL;
}

static bool delete_locked(struct pg_store *store, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err)
{
	const char *values[1] = {aggregate_id};
	PGresult *result = pg_query(store, sql_delete_lock, 1, values, err);
	bool known = result && PQntuples(result) == 1;
	int64_t version;
	if (!result || !take_version(result, aggregate_type, aggregate_id, &version, err))
		return false;
	*ret_count = 0;
	if (!known || (version < from_version && from_version > 0))
		return true;
	return delete_from(store, aggregate_id, from_version, ret_count, err);
}

bool pg_delete_events(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	if (store->borrowed) {
		if (!pg_reconnect(store, err))
			return false;
		if (!pg_in_transaction(store))
			return error_set(err, MEOW_INVALID,
				"deleting takes several statements: begin a transaction on the connection, and commit it");
		return delete_locked(store, aggregate_type, aggregate_id, from_version, ret_count, err);
	}
	if (!pg_reconnect(store, err) || !pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", err))
		return false;
	if (delete_locked(store, aggregate_type, aggregate_id, from_version, ret_count, err))
		return pg_commit(store, err);
	pg_roll_back(store);
	return false;
}
