// The transactions of a subscription's handler: its work and its checkpoint commit together, on one connection. That no
// two processes work on one subscription is an advisory lock of that connection, so it ends with it. (Behind a pooler
// it cannot be had: there one begins while nobody has the checkpoint locked. There, and whatever happens, that lock and
// the position that it guards keep the work single.)
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LOCKED "55P03" // SQLSTATE of a row that somebody else has locked

static bool run(struct pg_store *store, const char *sql, int count, const char *const *values, struct meow_error *err)
{
	PGresult *result = pg_query(store, sql, count, values, err);
	PQclear(result);
	return result != NULL;
}

static bool claim_pooled(struct pg_store *store, const char *subscription, bool *ret_claimed, struct meow_error *err)
{
	if (run(store, sql_work_begin, 1, &subscription, err))
		*ret_claimed = true;
	else if (strcmp(err->code, LOCKED) == 0)
		*ret_claimed = false;
	else
		return false;
	return true;
}

bool pg_work_claim(struct meow_store *base, const char *subscription, bool *ret_claimed, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	if (!pg_reconnect(store, err))
		return false;
	if (store->info.pooled)
		return claim_pooled(store, subscription, ret_claimed, err);
	PGresult *result = pg_query(store, sql_work_claim, 1, &subscription, err);
	if (!result)
		return false;
	*ret_claimed = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) != 0;
	PQclear(result);
	return true;
}

bool pg_work_own(struct meow_store *base, const char *subscription, int64_t *ret_partitions, struct meow_error *err)
{
	PGresult *result = pg_query(pg_store_of(base), sql_work_layout, 1, &subscription, err);
	if (!result)
		return false;
	bool known = PQntuples(result) == 1;
	if (known)
		*ret_partitions = pg_signed64(result, 0, 0);
	PQclear(result);
	return known || error_set(err, MEOW_UNAVAILABLE, "subscription %s begins elsewhere at this moment", subscription);
}

static struct store_work take_work(const PGresult *result)
{
	if (PQntuples(result) != 1)
		return (struct store_work){0};
	return (struct store_work){.position = pg_signed64(result, 0, 0),
		.handled = pg_signed64(result, 0, 1),
		.generation = pg_signed64(result, 0, 2),
		.fresh = *PQgetvalue(result, 0, 3) != 0,
		.paused = *PQgetvalue(result, 0, 4) != 0};
}

bool pg_work_look(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	PGresult *result = pg_query(pg_store_of(base), sql_work_look, 1, &subscription, err);
	if (!result)
		return false;
	*ret_work = take_work(result);
	PQclear(result);
	return true;
}

static bool lock_checkpoint(
	struct pg_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	PGresult *result = pg_query(store, sql_work_begin, 1, &subscription, err);
	if (result && PQntuples(result) == 0) {
		PQclear(result);
		result = run(store, sql_work_create, 1, &subscription, err)
					 ? pg_query(store, sql_work_begin, 1, &subscription, err)
					 : NULL;
	}
	if (!result)
		return false;
	bool there = PQntuples(result) == 1;
	if (there) {
		*ret_work = take_work(result);
		store->work_transaction = pg_number64(result, 0, 5);
	}
	PQclear(result);
	return there || error_set(err, MEOW_UNAVAILABLE, "the checkpoint of subscription %s was deleted", subscription);
}

bool pg_work_begin(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	// A connection that broke is not made anew in here: the claim went with it.
	if (!pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", err))
		return false;
	if (lock_checkpoint(store, subscription, ret_work, err))
		return true;
	pg_roll_back(store);
	return false;
}

static bool thrown_away(const char *subscription, struct meow_error *err)
{
	return error_set(err, MEOW_INVALID,
		"subscription %s: the handler ended the transaction: it must neither commit nor roll back", subscription);
}

// *ret_same: the transaction that is open is the one that was begun, whose checkpoint has moved now.
static bool move_checkpoint(struct pg_store *store, const char *subscription, const struct store_work *work,
	bool *ret_same, struct meow_error *err)
{
	char position[24], handled[24], transaction[24];
	snprintf(position, sizeof(position), "%" PRId64, work->position);
	snprintf(handled, sizeof(handled), "%" PRId64, work->handled);
	snprintf(transaction, sizeof(transaction), "%" PRIu64, store->work_transaction);
	const char *values[4] = {subscription, position, handled, transaction};
	PGresult *result = pg_query(store, sql_work_commit, 4, values, err);
	if (!result)
		return false;
	*ret_same = strcmp(PQcmdTuples(result), "1") == 0;
	PQclear(result);
	return true;
}

bool pg_work_commit(
	struct meow_store *base, const char *subscription, const struct store_work *work, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	bool same = false;
	if (PQstatus(store->conn) == CONNECTION_BAD) // the handler met it, and did not mind
		return pg_connection_error(store->conn, store->url, err);
	if (PQtransactionStatus(store->conn) == PQTRANS_INERROR)
		return error_set(err, MEOW_INVALID,
			"subscription %s: a statement of the handler failed, and with it the transaction: it must return false",
			subscription);
	if (!pg_in_transaction(store))
		return thrown_away(subscription, err);
	if (move_checkpoint(store, subscription, work, &same, err) && (same || thrown_away(subscription, err)))
		return pg_commit(store, err);
	pg_roll_back(store);
	return false;
}

bool pg_work_roll_back(struct meow_store *base, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	if (PQstatus(store->conn) == CONNECTION_BAD)
		return pg_connection_error(store->conn, store->url, err);
	return !pg_in_transaction(store) || pg_do(store, "ROLLBACK", err);
}

bool pg_work_report(
	struct meow_store *base, const char *subscription, const struct store_work_state *state, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	char position[24];
	snprintf(position, sizeof(position), "%" PRId64, state->error_position);
	const char *values[5] = {
		subscription, state->state, state->reason, state->error_class, state->error_position ? position : NULL};
	return run(store, sql_work_report, 5, values, err);
}
