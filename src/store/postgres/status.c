// What the command line shows and changes of a store's subscriptions.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int oldest_first(const void *a, const void *b)
{
	int64_t left = ((const struct session_holder *)a)->age_us, right = ((const struct session_holder *)b)->age_us;
	return left > right ? -1 : left < right;
}

bool store_status(struct meow_store *store, struct store_status *ret_status, struct meow_error *err)
{
	struct session_holder *holders;
	struct store_status status = {0};
	if (!pg_reconnect(store, err) || !pg_look(store, &status.head, &holders, &status.holder_count, err))
		return false;
	status.info = store->info;
	status.settled = status.holder_count ? -1 : status.head;
	size_t shown = sizeof(status.holders) / sizeof(*status.holders);
	if (shown > status.holder_count)
		shown = status.holder_count;
	qsort(holders, status.holder_count, sizeof(*holders), oldest_first);
	memcpy(status.holders, holders, shown * sizeof(*holders));
	free(holders);
	*ret_status = status;
	return true;
}

static const char *text_or_null(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

static bool flag(const PGresult *result, int row, int column)
{
	return *PQgetvalue(result, row, column) != 0;
}

static void take_subscription(const PGresult *result, int row, struct store_subscription *ret_item)
{
	*ret_item = (struct store_subscription){
		.checkpoint = {.subscription = PQgetvalue(result, row, 0),
			.layout = (int)pg_number32(result, row, 1),
			.partition = (int)pg_number32(result, row, 2),
			.delivered = pg_signed64(result, row, 3),
			.fingerprint = text_or_null(result, row, 4),
			.position = pg_signed64(result, row, 5),
			.generation = pg_signed64(result, row, 6),
			.epoch = pg_signed64(result, row, 7),
			.state = text_or_null(result, row, 8),
			.reason = text_or_null(result, row, 9),
			.error_class = text_or_null(result, row, 10),
			.error_position = pg_signed64(result, row, 11),
			.paused = flag(result, row, 12),
			.stop_kept = flag(result, row, 13),
			.resume_from_store = flag(result, row, 14)},
		.lag_events = pg_signed64(result, row, 15),
		.lag_us = pg_signed64(result, row, 16),
		.progressed_at_us = pg_time(result, row, 17),
		.since_us = pg_time(result, row, 18),
	};
}

static PGresult *query(
	struct meow_store *store, const char *sql, int count, const char *const *values, struct meow_error *err)
{
	if (!pg_reconnect(store, err))
		return NULL;
	PGresult *result = PQexecParams(store->conn, sql, count, NULL, values, NULL, NULL, 1);
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return NULL;
}

bool store_subscriptions(
	struct meow_store *store, const char *name, struct store_subscriptions *ret_list, struct meow_error *err)
{
	const char *values[1] = {name};
	PGresult *result = query(store, sql_subscriptions, 1, values, err);
	if (!result)
		return false;
	size_t count = (size_t)PQntuples(result);
	struct store_subscription *items = calloc(count + 1, sizeof(*items));
	if (!items) {
		PQclear(result);
		return error_no_memory(err);
	}
	for (size_t i = 0; i < count; i++)
		take_subscription(result, (int)i, &items[i]);
	*ret_list = (struct store_subscriptions){items, count, result};
	return true;
}

void store_subscriptions_free(struct store_subscriptions *list)
{
	free(list->items);
	PQclear(list->memory);
	*list = (struct store_subscriptions){0};
}

static bool missing(const char *name, struct meow_error *err)
{
	return error_set(err, MEOW_MISSING, "there is no subscription %s: see `meowmx subscription list`", name);
}

bool store_subscription_resume(struct meow_store *store, const char *name, struct meow_error *err)
{
	const char *values[1] = {name};
	PGresult *result = query(store, sql_subscription_resume, 1, values, err);
	if (!result)
		return false;
	bool found = PQntuples(result) > 0;
	PQclear(result);
	if (found)
		return true;
	struct store_subscriptions list;
	if (!store_subscriptions(store, name, &list, err))
		return false;
	bool known = list.count > 0;
	const char *state = known ? list.items[0].checkpoint.state : NULL;
	error_set(
		err, MEOW_INVALID, "%s has not stopped (it is %s): there is nothing to resume", name, state ? state : "new");
	store_subscriptions_free(&list);
	return known ? false : missing(name, err);
}

bool store_subscription_skip(struct meow_store *store, const char *name, int64_t position, struct meow_error *err)
{
	char number[24];
	snprintf(number, sizeof(number), "%" PRId64, position);
	const char *values[2] = {name, number};
	PGresult *result = query(store, sql_subscription_skip, 2, values, err);
	if (!result)
		return false;
	bool skipped = PQntuples(result) > 0;
	PQclear(result);
	if (skipped)
		return true;
	struct store_subscriptions list;
	if (!store_subscriptions(store, name, &list, err))
		return false;
	bool known = list.count > 0;
	const struct checkpoint *checkpoint = &list.items[0].checkpoint;
	bool stopped = known && checkpoint->state && strcmp(checkpoint->state, "FAILED") == 0;
	int64_t stopped_at = stopped ? checkpoint->error_position : 0;
	store_subscriptions_free(&list);
	if (!known)
		return missing(name, err);
	if (!stopped_at)
		return error_set(err, MEOW_INVALID, "%s has not stopped at an event: there is nothing to skip", name);
	return error_set(
		err, MEOW_INVALID, "%s has stopped at position %" PRId64 ", not at %" PRId64, name, stopped_at, position);
}
