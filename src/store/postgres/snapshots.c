// Snapshots of aggregates. Each is bound to the event that it was made of, by version and position. Inside a transaction
// what writes them has a savepoint: a snapshot is a convenience, and one that fails must not take along the events that
// the transaction has appended.
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static bool guard(struct pg_store *store, bool *ret_guarded, struct meow_error *err)
{
	*ret_guarded = pg_in_transaction(store);
	return !*ret_guarded || pg_do(store, "SAVEPOINT meowmx_snapshot", err);
}

// Ends the savepoint; where the change failed, the transaction goes on as it was before.
static bool unguard(struct pg_store *store, bool guarded, bool done, struct meow_error *err)
{
	struct meow_error ignored; // the reason of the failure counts
	if (!guarded)
		return done;
	return pg_do(store, done ? "RELEASE meowmx_snapshot" : "ROLLBACK TO meowmx_snapshot; RELEASE meowmx_snapshot",
			   done ? err : &ignored) &&
		   done;
}

bool pg_snapshot_save(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	const struct meow_snapshot *snapshot, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	struct pg_number version = pg_put64(snapshot->version), position = pg_put64(snapshot->position);
	struct pg_params params = {2, {aggregate_type, aggregate_id}, {0}, {0}};
	pg_param_int8(&params, &version);
	pg_param_int8(&params, &position);
	pg_param_text(&params, snapshot->data);
	bool guarded;
	if (!pg_reconnect(store, err) || !guard(store, &guarded, err))
		return false;
	PGresult *result = pg_run(store, PG_SNAPSHOT_SAVE, &params, err);
	bool refused = result && PQntuples(result) != 1;
	PQclear(result);
	if (!unguard(store, guarded, result != NULL, err))
		return false;
	return !refused ||
		   error_set(err, MEOW_INVALID,
			   "a snapshot of %s %s at version %" PRId64 ": it has no event of that version at position %" PRId64,
			   aggregate_type, aggregate_id, snapshot->version, snapshot->position);
}

bool pg_snapshot_load(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t version,
	struct meow_snapshot **ret_snapshot, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	struct pg_number most = pg_put64(version);
	struct pg_params params = {2, {aggregate_type, aggregate_id}, {0}, {0}};
	pg_param_int8(&params, &most);
	PGresult *result = pg_reconnect(store, err) ? pg_run(store, PG_SNAPSHOT_LOAD, &params, err) : NULL;
	if (!result)
		return false;
	bool there = PQntuples(result) == 1;
	struct meow_snapshot *snapshot =
		there ? store_snapshot_create(pg_signed64(result, 0, 0), pg_signed64(result, 0, 1), pg_bytes(result, 0, 2))
			  : NULL;
	PQclear(result);
	if (there && !snapshot)
		return error_no_memory(err);
	*ret_snapshot = snapshot;
	return true;
}

bool pg_snapshot_prune(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, size_t keep,
	uint64_t *ret_count, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	char number[24];
	snprintf(number, sizeof(number), "%" PRIu64, (uint64_t)(keep < INT32_MAX ? keep : INT32_MAX));
	const char *values[3] = {aggregate_type, aggregate_id, number};
	bool guarded;
	if (!pg_reconnect(store, err) || !guard(store, &guarded, err))
		return false;
	PGresult *result = pg_query(store, sql_snapshot_prune, 3, values, err);
	uint64_t count = result ? strtoull(PQcmdTuples(result), NULL, 10) : 0;
	PQclear(result);
	if (!unguard(store, guarded, result != NULL, err))
		return false;
	*ret_count = count;
	return true;
}
