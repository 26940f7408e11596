// Load: pages of a keyset, so that a cursor takes bounded memory whatever it walks over, and holds no snapshot while its
// caller thinks. A page's rows come one by one; where they turn out larger than those before, the statement is
// cancelled, and the next page goes on behind the last one taken. A category or everything ends
// at the settled position: whoever asks for "what comes after N" must not be shown an event above one that may still
// commit. A writer that stays open is waited for one second, then the load ends below it and says so.
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

#define PAGE_BYTES ((size_t)1024 * 1024)
#define PAGE_ROWS_FIRST 100
#define PAGE_ROWS_MOST 2000
#define HELD_MOST_US INT64_C(1000000)
#define HELD_PAUSE_US INT64_C(5000)
#define HELD_LOOK_SHARE 19 // a look walks all locks of the cluster: a twentieth of the time

struct meow_cursor {
	struct meow_store *store;
	struct meow_query query;
	struct buffer categories; // the array of one, as text
	char *aggregate_type;
	char *aggregate_id;
	int64_t next; // bound of the next page
	int64_t left; // events, by the limit
	int64_t page_rows;
	struct batch *page;
	size_t row;
	bool last_page;
	char held_back_by[160];
};

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static bool ask_number(
	struct meow_store *store, const char *sql, const int64_t *param, int64_t *ret_number, struct meow_error *err)
{
	struct pg_number number = pg_put64(param ? *param : 0);
	const char *value = number.bytes;
	int length = 8, format = 1;
	PGresult *result = PQexecParams(store->conn, sql, param ? 1 : 0, NULL, &value, &length, &format, 1);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK || pg_result_error(store->conn, result, store->url, err);
	if (ok)
		*ret_number = pg_signed64(result, 0, 0);
	PQclear(result);
	return ok;
}

bool pg_look(struct meow_store *store, int64_t *ret_head, struct session_holder **ret_holders, size_t *ret_count,
	struct meow_error *err)
{
	int64_t head;
	if (!ask_number(store, sql_head, NULL, &head, err))
		return false;
	PGresult *result = PQexecParams(store->conn, sql_holders, 0, NULL, NULL, NULL, NULL, 1);
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		pg_result_error(store->conn, result, store->url, err);
		PQclear(result);
		return false;
	}
	size_t count = (size_t)PQntuples(result);
	struct session_holder *holders = calloc(count + 1, sizeof(*holders));
	if (!holders) {
		PQclear(result);
		return error_no_memory(err);
	}
	for (size_t i = 0; i < count; i++)
		pg_holder(result, (int)i, &holders[i]);
	PQclear(result);
	*ret_head = head;
	*ret_holders = holders;
	*ret_count = count;
	return true;
}

static void name_holder(struct meow_cursor *cursor, const struct session_holder *holder)
{
	if (holder->prepared)
		snprintf(cursor->held_back_by, sizeof(cursor->held_back_by), "prepared transaction %s", holder->name);
	else
		snprintf(cursor->held_back_by, sizeof(cursor->held_back_by), "the open transaction of pid %d (%s)", holder->pid,
			*holder->name ? holder->name : "no application name");
}

// Looks until everything drawn by now is settled, for a second at most.
static bool wait_settled(struct meow_cursor *cursor, int64_t *ret_settled, struct meow_error *err)
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
		ok = pg_look(cursor->store, &look.candidate, &holders, &look.count, err);
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
		if (now + pause - began > HELD_MOST_US) {
			name_holder(cursor, settled_oldest_holder(settled));
			break;
		}
		usleep((useconds_t)pause);
	}
	*ret_settled = settled_position(settled);
	settled_destroy(settled);
	return ok;
}

// The highest position that may be shown.
static bool find_bound(struct meow_cursor *cursor, int64_t *ret_bound, struct meow_error *err)
{
	int64_t settled = 0, proven = 0;
	if (!ask_number(cursor->store, sql_load_bound, NULL, &proven, err))
		return false;
	if (cursor->query.to <= proven) {
		*ret_bound = cursor->query.to;
		return true;
	}
	if (!wait_settled(cursor, &settled, err))
		return false;
	int64_t bound = settled > proven ? settled : proven;
	while (*cursor->held_back_by) {
		int64_t before = bound;
		if (!ask_number(cursor->store, sql_load_contiguous, &before, &bound, err))
			return false;
		if (bound == before)
			break;
	}
	if (cursor->query.to <= bound)
		cursor->held_back_by[0] = '\0';
	*ret_bound = bound < cursor->query.to ? bound : cursor->query.to;
	return true;
}

static enum pg_statement statement_of(const struct meow_cursor *cursor)
{
	bool reverse = cursor->query.reverse;
	if (cursor->aggregate_id)
		return reverse ? PG_LOAD_AGGREGATE_REVERSE : PG_LOAD_AGGREGATE;
	if (cursor->aggregate_type)
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

// Takes in the rows of the statement that was sent, up to PAGE_BYTES. *ret_cut: there are more of them.
static bool take_rows(struct meow_store *store, struct batch *batch, bool *ret_cut, struct meow_error *err)
{
	bool ok = true, cut = false;
	PGresult *result;
	while ((result = PQgetResult(store->conn)) != NULL) {
		ExecStatusType status = PQresultStatus(result);
		if (status == PGRES_SINGLE_TUPLE && ok && !cut && batch->bytes < PAGE_BYTES) {
			ok = pg_event_add(batch, result, err);
			continue;
		}
		if (status == PGRES_SINGLE_TUPLE && ok && !cut) {
			cut = true;
			if (!store->info.pooled) // what a pooler makes of it might hit the next statement
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

static bool fetch(struct meow_cursor *cursor, const struct pg_params *params, int64_t rows, struct meow_error *err)
{
	bool cut;
	struct batch *page = batch_create();
	if (!page)
		return error_no_memory(err);
	if (!pg_send_rows(cursor->store, statement_of(cursor), params, err) || !take_rows(cursor->store, page, &cut, err)) {
		batch_destroy(page);
		return false;
	}
	batch_destroy(cursor->page);
	cursor->page = page;
	cursor->row = 0;
	cursor->last_page = !cut && ((int64_t)page->count < rows || rows == cursor->left);
	if (cut)
		cursor->page_rows = (int64_t)page->count;
	else if (page->bytes < PAGE_BYTES / 2 && cursor->page_rows < PAGE_ROWS_MOST)
		cursor->page_rows *= 2;
	return true;
}

static bool load_page(struct meow_cursor *cursor, struct meow_error *err)
{
	int64_t from = cursor->query.reverse ? cursor->query.from : cursor->next;
	int64_t to = cursor->query.reverse ? cursor->next : cursor->query.to;
	int64_t rows = cursor->page_rows < cursor->left ? cursor->page_rows : cursor->left;
	if (!cursor->aggregate_id && from > INT64_MIN)
		from--; // the statements that read by position take what lies behind `after`
	struct pg_number from_number = pg_put64(from), to_number = pg_put64(to), limit = pg_put64(rows);
	struct pg_params params = {0};
	if (cursor->aggregate_id) {
		params.values[params.count++] = cursor->aggregate_type;
		params.values[params.count++] = cursor->aggregate_id;
	}
	pg_param_int8(&params, &from_number);
	pg_param_int8(&params, &to_number);
	pg_param_int8(&params, &limit);
	if (!cursor->aggregate_id && cursor->aggregate_type)
		params.values[params.count++] = cursor->categories.data;
	return fetch(cursor, &params, rows, err);
}

struct meow_cursor *meow_load(struct meow_store *store, const struct meow_query *query, struct meow_error *err)
{
	struct meow_cursor *cursor = calloc(1, sizeof(*cursor));
	if (!cursor || (query->aggregate_type && !(cursor->aggregate_type = strdup(query->aggregate_type))) ||
		(query->aggregate_id && !(cursor->aggregate_id = strdup(query->aggregate_id)))) {
		meow_cursor_close(cursor);
		error_no_memory(err);
		return NULL;
	}
	cursor->store = store;
	cursor->query = *query;
	cursor->left = query->limit > 0 ? query->limit : INT64_MAX;
	cursor->page_rows = PAGE_ROWS_FIRST;
	buffer_init(&cursor->categories);
	bool ok = (!query->aggregate_id || query->aggregate_type ||
				  error_set(err, MEOW_INVALID, "an aggregate is named by its type and its id")) &&
			  pg_reconnect(store, err);
	if (ok && !query->aggregate_id) {
		if (query->aggregate_type)
			pg_put_array(&cursor->categories, &query->aggregate_type, 1);
		ok = buffer_ok(&cursor->categories, err) && find_bound(cursor, &cursor->query.to, err);
	}
	cursor->next = query->reverse ? cursor->query.to : cursor->query.from;
	if (ok && load_page(cursor, err))
		return cursor;
	meow_cursor_close(cursor);
	return NULL;
}

bool meow_cursor_next(struct meow_cursor *cursor, struct meow_event *ret_event, bool *ret_found, struct meow_error *err)
{
	if (cursor->row >= cursor->page->count && !cursor->last_page && !load_page(cursor, err))
		return false;
	if (cursor->row >= cursor->page->count) {
		*ret_found = false;
		return true;
	}
	struct meow_event event = cursor->page->events[cursor->row++];
	cursor->left--;
	int64_t key = cursor->aggregate_id ? event.version : event.position;
	cursor->next = cursor->query.reverse ? key - 1 : key + 1;
	*ret_event = event;
	*ret_found = true;
	return true;
}

void meow_cursor_close(struct meow_cursor *cursor)
{
	if (!cursor)
		return;
	batch_destroy(cursor->page);
	buffer_finish(&cursor->categories);
	free(cursor->aggregate_type);
	free(cursor->aggregate_id);
	free(cursor);
}

const char *store_cursor_held_back_by(const struct meow_cursor *cursor)
{
	return *cursor->held_back_by ? cursor->held_back_by : NULL;
}
