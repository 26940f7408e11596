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

bool pg_status(struct meow_store *base, struct store_status *ret_status, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	struct session_holder *holders;
	struct store_status status = {0};
	if (!pg_reconnect(store, err) || !pg_look(store, sql_candidate, &status.head, &holders, &status.holder_count, err))
		return false;
	status.info = store->info;
	status.settled = status.holder_count ? -1 : status.head;
	snprintf(status.version, sizeof(status.version), "%d.%d", store->info.server_version / 10000,
		store->info.server_version % 10000);
	size_t shown = sizeof(status.holders) / sizeof(*status.holders);
	if (shown > status.holder_count)
		shown = status.holder_count;
	qsort(holders, status.holder_count, sizeof(*holders), oldest_first);
	memcpy(status.holders, holders, shown * sizeof(*holders));
	free(holders);
	*ret_status = status;
	return true;
}

// Copies of a result's texts: the list outlives libpq's memory, and every kind of store frees it alike.
static const char *copy_text(struct buffer *memory, const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return NULL;
	char *place = memory->data + memory->size;
	buffer_put(memory, PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column) + 1);
	return place;
}

static size_t text_sizes(const PGresult *result)
{
	size_t size = 1;
	for (int row = 0; row < PQntuples(result); row++)
		for (int column = 0; column < PQnfields(result); column++)
			size += (size_t)PQgetlength(result, row, column) + 1;
	return size;
}

static bool flag(const PGresult *result, int row, int column)
{
	return *PQgetvalue(result, row, column) != 0;
}

static void take_subscription(
	const PGresult *result, int row, struct buffer *memory, struct store_subscription *ret_item)
{
	*ret_item = (struct store_subscription){
		.checkpoint = {.subscription = copy_text(memory, result, row, 0),
			.layout = (int)pg_number32(result, row, 1),
			.partition = (int)pg_number32(result, row, 2),
			.delivered = pg_signed64(result, row, 3),
			.fingerprint = copy_text(memory, result, row, 4),
			.position = pg_signed64(result, row, 5),
			.generation = pg_signed64(result, row, 6),
			.epoch = pg_signed64(result, row, 7),
			.state = copy_text(memory, result, row, 8),
			.reason = copy_text(memory, result, row, 9),
			.error_class = copy_text(memory, result, row, 10),
			.error_position = pg_signed64(result, row, 11),
			.paused = flag(result, row, 12),
			.stop_kept = flag(result, row, 13),
			.resume_from_store = flag(result, row, 14)},
		.lag_events = pg_signed64(result, row, 15),
		.lag_us = pg_signed64(result, row, 16),
		.progressed_at_us = pg_time(result, row, 17),
		.since_us = pg_time(result, row, 18),
		.relay = copy_text(memory, result, row, 19),
		.dead_letters = pg_signed64(result, row, 20),
	};
}

bool pg_subscriptions(
	struct meow_store *base, const char *name, struct store_subscriptions *ret_list, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	const char *values[1] = {name};
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, sql_subscriptions, 1, values, err) : NULL;
	if (!result)
		return false;
	size_t count = (size_t)PQntuples(result);
	struct buffer memory;
	buffer_init(&memory);
	struct store_subscription *items = calloc(count + 1, sizeof(*items));
	if (!items || !buffer_room(&memory, text_sizes(result))) { // room for all: what was copied stays where it is
		free(items);
		buffer_finish(&memory);
		PQclear(result);
		return error_no_memory(err);
	}
	for (size_t i = 0; i < count; i++)
		take_subscription(result, (int)i, &memory, &items[i]);
	PQclear(result);
	*ret_list = (struct store_subscriptions){items, count, memory.data};
	return true;
}

static bool change(struct meow_store *base, const char *sql, int count, const char *const *values, bool *ret_done,
	struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	PGresult *result = pg_reconnect(store, err) ? pg_query(store, sql, count, values, err) : NULL;
	if (!result)
		return false;
	*ret_done = PQntuples(result) > 0;
	PQclear(result);
	return true;
}

bool pg_subscription_resume(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	const char *values[1] = {name};
	return change(base, sql_subscription_resume, 1, values, ret_done, err);
}

// One of those that are told a position.
static bool change_at(struct meow_store *base, const char *sql, const char *name, int64_t position, bool *ret_done,
	struct meow_error *err)
{
	char number[24];
	snprintf(number, sizeof(number), "%" PRId64, position);
	const char *values[2] = {name, number};
	return change(base, sql, 2, values, ret_done, err);
}

bool pg_subscription_skip(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err)
{
	return change_at(base, sql_subscription_skip, name, position, ret_done, err);
}

bool pg_subscription_rewind(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err)
{
	return change_at(base, sql_subscription_rewind, name, position, ret_done, err);
}

bool pg_subscription_pause(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	const char *values[1] = {name};
	return change(base, sql_subscription_pause, 1, values, ret_done, err);
}

bool pg_subscription_delete(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	const char *values[1] = {name};
	return change(base, sql_subscription_delete, 1, values, ret_done, err);
}
