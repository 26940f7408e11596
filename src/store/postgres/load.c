// What cursors ask: how far a category or everything may be shown, and pages. A page's rows come one by one; where they turn
// out larger than was asked for, the statement is cancelled. A writer that stays open is waited for one second, then the
// load ends below it and says so.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store/settled.h"
#include "store_postgres_sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define HELD_MOST_US INT64_C(1000000)
#define HELD_PAUSE_US INT64_C(5000)
#define HELD_LOOK_SHARE 19 // a look walks all locks of the cluster: a twentieth of the time

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool ask_number(
	struct pg_store *store, const char *sql, const int64_t *param, int64_t *ret_number, struct meow_error *err)
{
	struct pg_number number = pg_put64(param ? *param : 0);
	struct pg_params params = {0};
	if (param)
		pg_param_int8(&params, &number);
	PGresult *result = pg_exec(store, sql, &params, err);
	if (!result)
		return false;
	*ret_number = pg_signed64(result, 0, 0);
	PQclear(result);
	return true;
}

bool pg_look(struct pg_store *store, const char *sql, int64_t *ret_candidate, struct session_holder **ret_holders,
	size_t *ret_count, struct meow_error *err)
{
	int64_t candidate;
	if (!ask_number(store, sql, NULL, &candidate, err))
		return false;
	PGresult *result = pg_query(store, sql_holders, 0, NULL, err);
	if (!result)
		return false;
	size_t count = (size_t)PQntuples(result);
	struct session_holder *holders = calloc(count + 1, sizeof(*holders));
	if (!holders) {
		PQclear(result);
		return error_no_memory(err);
	}
	for (size_t i = 0; i < count; i++)
		pg_holder(result, (int)i, &holders[i]);
	PQclear(result);
	*ret_candidate = candidate;
	*ret_holders = holders;
	*ret_count = count;
	return true;
}

static void name_holder(char *text, const struct session_holder *holder)
{
	if (holder->prepared)
		snprintf(text, STORE_HELD_SIZE, "prepared transaction %s", holder->name);
	else
		snprintf(text, STORE_HELD_SIZE, "the open transaction of pid %d (%s)", holder->pid,
			*holder->name ? holder->name : "no application name");
}

bool pg_wait_settled(
	struct pg_store *store, int64_t most_us, int64_t *ret_settled, char *held_back_by, struct meow_error *err)
{
	struct settled *settled = settled_create();
	if (!settled)
		return error_no_memory(err);
	int64_t began = now_us(), wanted = -1;
	bool ok = true;
	for (;;) {
		struct session_look look;
		struct session_holder *holders;
		int64_t look_began = now_us();
		ok = pg_look(store, sql_load_candidate, &look.candidate, &holders, &look.count, err);
		if (!ok)
			break;
		look.holders = holders;
		ok = settled_look(settled, &look) || error_no_memory(err);
		free(holders);
		if (wanted < 0)
			wanted = look.candidate;
		if (!ok || settled_position(settled) >= wanted)
			break;
		int64_t now = now_us(), pause = (now - look_began) * HELD_LOOK_SHARE;
		if (pause < HELD_PAUSE_US)
			pause = HELD_PAUSE_US;
		if (now + pause - began > most_us) {
			name_holder(held_back_by, settled_oldest_holder(settled));
			break;
		}
		usleep((useconds_t)pause);
	}
	*ret_settled = settled_position(settled);
	settled_destroy(settled);
	return ok;
}

// A proof is worth nothing to a snapshot that is older than it: an event may have committed in between.
static bool check_isolation(struct pg_store *store, struct meow_error *err)
{
	if (!store->borrowed || !pg_in_transaction(store))
		return true;
	PGresult *result = pg_query(store, "SELECT current_setting('transaction_isolation')", 0, NULL, err);
	if (!result)
		return false;
	bool ok = strcmp(PQgetvalue(result, 0, 0), "read committed") == 0;
	if (!ok)
		error_set(err, MEOW_INVALID,
			"a category, or everything, cannot be loaded in a transaction of isolation %s, whose snapshot is older "
			"than "
			"the proof that nothing is missing: use read committed",
			PQgetvalue(result, 0, 0));
	PQclear(result);
	return ok;
}

bool pg_find_bound(struct meow_store *base, const struct meow_query *query, int64_t *ret_bound, char *held_back_by,
	struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	int64_t settled = 0, proven = 0;
	if (!pg_reconnect(store, err) || !check_isolation(store, err) ||
		!ask_number(store, sql_load_bound, NULL, &proven, err))
		return false;
	if (query->to <= proven) {
		*ret_bound = query->to;
		return true;
	}
	if (!pg_wait_settled(store, HELD_MOST_US, &settled, held_back_by, err))
		return false;
	int64_t bound = settled > proven ? settled : proven;
	while (*held_back_by) {
		int64_t before = bound;
		if (!ask_number(store, sql_load_contiguous, &before, &bound, err))
			return false;
		if (bound == before)
			break;
	}
	if (query->to <= bound)
		held_back_by[0] = '\0';
	*ret_bound = bound < query->to ? bound : query->to;
	return true;
}

static enum pg_statement statement_of(const struct meow_query *query, bool reverse)
{
	if (query->aggregate_id)
		return reverse ? PG_LOAD_AGGREGATE_REVERSE : PG_LOAD_AGGREGATE;
	if (query->aggregate_type)
		return reverse ? PG_READ_CATEGORIES_REVERSE : PG_READ_CATEGORIES;
	return reverse ? PG_READ_REVERSE : PG_READ;
}

static void cancel(PGconn *conn)
{
	char reason[256];
	PGcancel *cancel = PQgetCancel(conn);
	if (cancel)
		(void)PQcancel(cancel, reason, sizeof(reason)); // if it fails the rest comes, and is dropped
	PQfreeCancel(cancel);
}

// Takes in the rows of the statement that was sent, up to most_bytes. *ret_cut: there are more of them.
static bool take_rows(
	struct pg_store *store, struct batch *batch, size_t most_bytes, bool *ret_cut, struct meow_error *err)
{
	bool ok = true, cut = false;
	PGresult *result;
	while ((result = PQgetResult(store->conn)) != NULL) {
		ExecStatusType status = PQresultStatus(result);
		if (status == PGRES_SINGLE_TUPLE && ok && !cut && batch->bytes < most_bytes) {
			ok = pg_event_add(batch, result, err);
			continue;
		}
		if (status == PGRES_SINGLE_TUPLE && ok && !cut) {
			cut = true;
			// What a pooler makes of it might hit the next statement; a transaction of the application's it would abort.
			if (!store->info.pooled && !store->borrowed)
				cancel(store->conn);
		} else if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && ok && !cut) {
			ok = pg_result_error(store->conn, result, store->url, err);
		}
		PQclear(result);
	}
	if (ok && PQstatus(store->conn) == CONNECTION_BAD)
		ok = pg_connection_error(store->conn, store->url, err);
	*ret_cut = cut;
	return ok;
}

bool pg_load_page(struct meow_store *base, const struct meow_query *query, const struct store_page *page,
	struct batch *batch, bool *ret_cut, struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	int64_t from = page->from;
	if (!query->aggregate_id && from > INT64_MIN)
		from--; // the statements that read by position take what lies behind it
	struct pg_number from_number = pg_put64(from), to_number = pg_put64(page->to), limit = pg_put64(page->rows);
	struct buffer types, category;
	struct pg_params params = {0};
	buffer_init(&types);
	buffer_init(&category);
	if (query->aggregate_id) {
		params.values[params.count++] = query->aggregate_type;
		params.values[params.count++] = query->aggregate_id;
	}
	pg_param_int8(&params, &from_number);
	pg_param_int8(&params, &to_number);
	pg_param_int8(&params, &limit);
	if (!query->aggregate_id && query->aggregate_type) {
		pg_put_array(&category, &query->aggregate_type, 1);
		params.values[params.count++] = category.data;
	}
	if (query->event_types)
		pg_put_array(&types, query->event_types, query->event_type_count);
	params.values[params.count++] = types.data;
	bool ok = buffer_ok(&types, err) && buffer_ok(&category, err) && pg_reconnect(store, err) &&
			  pg_send_rows(store, statement_of(query, page->reverse), &params, err) &&
			  take_rows(store, batch, page->bytes, ret_cut, err);
	for (size_t i = 0; ok && query->aggregate_id && i < batch->count; i++)
		batch->events[i].aggregate_type = bytes_of(query->aggregate_type);
	buffer_finish(&types);
	buffer_finish(&category);
	return ok;
}
