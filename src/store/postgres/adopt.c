// A subscription of Python meowmx becomes one of ours. Its checkpoint is a pair (transaction id, event id), in whose order
// it reads, and ours is a position: everything below it is dealt with. So ours begins below every event that Python's
// has not passed. An event that is still to commit may be such a one, so first the store is proven settled up to a
// position, and only then, in a later statement, are the events up to there looked through. Some of those behind the
// position Python has handled already: they come a second time, none is missing.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SETTLED_WAIT_US INT64_C(5000000)
#define LOCK_NOT_AVAILABLE "55P03"

static bool lock_pythons(
	struct pg_store *store, const char *name, struct store_adoption *adoption, struct meow_error *err)
{
	PGresult *result = pg_query(store, sql_adopt_lock, 1, &name, err);
	if (!result && strcmp(err->code, LOCK_NOT_AVAILABLE) == 0)
		return error_set(err, MEOW_UNAVAILABLE,
			"a worker of Python meowmx is at work on subscription %s: stop all of its workers first", name);
	if (!result)
		return false;
	bool known = PQntuples(result) == 1;
	if (known) {
		snprintf(adoption->transaction_id, sizeof(adoption->transaction_id), "%s", PQgetvalue(result, 0, 0));
		adoption->event_id = pg_signed64(result, 0, 1);
	}
	PQclear(result);
	return known || error_set(err, MEOW_MISSING, "there is no subscription %s of Python meowmx: %s has no such row",
						name, store->names.renames[PG_NAME_SUBSCRIPTIONS].to);
}

static bool prove_settled(struct pg_store *store, int64_t *ret_settled, struct meow_error *err)
{
	char held_back_by[STORE_HELD_SIZE] = "";
	if (!pg_wait_settled(store, SETTLED_WAIT_US, ret_settled, held_back_by, err))
		return false;
	return !*held_back_by ||
		   error_set(err, MEOW_UNAVAILABLE,
			   "%s has drawn an event's id and may still commit it: end it, or try again later", held_back_by);
}

// A statement about the checkpoint of Python's and a position, which answers with a number.
static bool ask(struct pg_store *store, const char *sql, const struct store_adoption *adoption, int64_t position,
	int64_t *ret_number, struct meow_error *err)
{
	char event[24], number[24];
	snprintf(event, sizeof(event), "%" PRId64, adoption->event_id);
	snprintf(number, sizeof(number), "%" PRId64, position);
	const char *values[3] = {adoption->transaction_id, event, number};
	PGresult *result = pg_query(store, sql, 3, values, err);
	if (!result)
		return false;
	*ret_number = pg_signed64(result, 0, 0);
	PQclear(result);
	return true;
}

static bool write_ours(struct pg_store *store, const char *as, int64_t position, struct meow_error *err)
{
	char number[24];
	snprintf(number, sizeof(number), "%" PRId64, position);
	const char *values[2] = {as, number};
	PGresult *result = pg_query(store, sql_adopt_checkpoint, 2, values, err);
	if (!result)
		return false;
	bool written = PQntuples(result) == 1;
	PQclear(result);
	return written || error_set(err, MEOW_INVALID,
						  "subscription %s has already moved (`meowmx subscription show %s`): adopt it under another "
						  "name with --as",
						  as, as);
}

static bool adopt(
	struct pg_store *store, const struct store_adopt *wanted, struct store_adoption *adoption, struct meow_error *err)
{
	int64_t settled = 0;
	return lock_pythons(store, wanted->name, adoption, err) && prove_settled(store, &settled, err) &&
		   ask(store, sql_adopt_bound, adoption, settled, &adoption->position, err) &&
		   ask(store, sql_adopt_again, adoption, adoption->position, &adoption->again, err) &&
		   write_ours(store, wanted->as, adoption->position, err);
}

bool pg_subscription_adopt(struct meow_store *base, const struct store_adopt *wanted,
	struct store_adoption *ret_adoption, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	struct store_adoption adoption = {0};
	// Read committed: each statement sees what has committed before it, so what comes behind the proof sees it all.
	if (!pg_reconnect(store, err) || !pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", err))
		return false;
	bool ok = adopt(store, wanted, &adoption, err);
	if (!ok || wanted->dry_run)
		pg_roll_back(store);
	else
		ok = pg_commit(store, err);
	if (ok)
		*ret_adoption = adoption;
	return ok;
}
