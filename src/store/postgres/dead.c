// What the command line shows and decides of dead letters.
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>

static PGresult *query(
	struct pg_store *store, const char *sql, const struct store_dead_filter *filter, struct meow_error *err)
{
	char position[24];
	snprintf(position, sizeof(position), "%" PRId64, filter->position);
	const char *values[4] = {filter->subscription, position, filter->aggregate_type, filter->aggregate_id};
	return pg_query(store, sql, 4, values, err);
}

static PGresult *ask(
	struct meow_store *base, const char *sql, const struct store_dead_filter *filter, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	return pg_reconnect(store, err) ? query(store, sql, filter, err) : NULL;
}

static const char *text(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

bool pg_dead_letters(struct meow_store *base, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err)
{
	PGresult *result = ask(base, sql_dead_letters, filter, err);
	if (!result)
		return false;
	for (int row = 0; row < PQntuples(result); row++) {
		const struct store_dead_letter letter = {.generation = pg_signed64(result, row, 0),
			.position = pg_signed64(result, row, 1),
			.aggregate_type = text(result, row, 2),
			.aggregate_id = text(result, row, 3),
			.version = pg_signed64(result, row, 4),
			.event_type = text(result, row, 5),
			.error = text(result, row, 6),
			.error_class = text(result, row, 7),
			.set_aside_at_us = pg_time(result, row, 8),
			.retry_at = pg_signed64(result, row, 9)};
		if (!fn(arg, &letter))
			break;
	}
	PQclear(result);
	return true;
}

bool pg_dead_positions(struct meow_store *base, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	char first[24], last[24];
	snprintf(first, sizeof(first), "%" PRId64, from);
	snprintf(last, sizeof(last), "%" PRId64, to);
	const char *values[3] = {name, first, last};
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, sql_dead_positions, 3, values, err) : NULL;
	if (!result)
		return false;
	bool more = true;
	for (int row = 0; more && row < PQntuples(result); row++) {
		const struct store_dead_position dead = {.position = pg_signed64(result, row, 0),
			.retry_at = pg_signed64(result, row, 1),
			.published = pg_signed64(result, row, 2) > 0};
		more = fn(arg, &dead);
	}
	PQclear(result);
	return true;
}

static bool lock(struct pg_store *store, const char *subscription, struct meow_error *err)
{
	PGresult *result = pg_query(store, sql_dead_lock, 1, &subscription, err);
	PQclear(result);
	return result != NULL;
}

// An earlier letter's retry that fails meanwhile takes back those of later ones, and must know of all.
bool pg_dead_retry(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	if (!pg_reconnect(store, err) || !pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", err))
		return false;
	PGresult *result = lock(store, filter->subscription, err) ? query(store, sql_dead_retry, filter, err) : NULL;
	if (result)
		*ret_count = pg_signed64(result, 0, 0);
	PQclear(result);
	if (result && pg_commit(store, err))
		return true;
	pg_roll_back(store);
	return false;
}

bool pg_dead_discard(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	PGresult *result = ask(base, sql_dead_discard, filter, err);
	if (!result)
		return false;
	*ret_count = PQntuples(result);
	PQclear(result);
	return true;
}
