// Load: pages of a keyset, so that a cursor takes bounded memory whatever it walks over. A category or everything ends
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
#define PAGE_ROWS_FIRST 4
#define PAGE_ROWS_MOST 1000
#define HELD_MOST_US INT64_C(1000000)
#define HELD_PAUSE_US 5000

struct meow_cursor {
	struct meow_store *store;
	struct meow_query query;
	struct buffer categories; // the array of one, as text
	char *aggregate_type;
	char *aggregate_id;
	int64_t next; // bound of the next page
	int64_t left; // events, by the limit
	int64_t page_rows;
	PGresult *page;
	int row;
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
		if (now_us() - began > HELD_MOST_US) {
			name_holder(cursor, settled_oldest_holder(settled));
			break;
		}
		usleep(HELD_PAUSE_US);
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
	PGresult *page = pg_run(cursor->store, statement_of(cursor), &params, err);
	if (!page)
		return false;
	PQclear(cursor->page);
	cursor->page = page;
	cursor->row = 0;
	cursor->last_page = PQntuples(page) < rows || rows == cursor->left;
	size_t bytes = PQresultMemorySize(page);
	if (bytes > PAGE_BYTES && cursor->page_rows > 1)
		cursor->page_rows /= 2;
	else if (bytes < PAGE_BYTES / 2 && cursor->page_rows < PAGE_ROWS_MOST)
		cursor->page_rows *= 2;
	return true;
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

bool meow_cursor_next(
	struct meow_cursor *cursor, struct meow_event *ret_event, bool *ret_found, struct meow_error *err)
{
	if (cursor->row >= PQntuples(cursor->page)) {
		if (cursor->last_page) {
			*ret_found = false;
			return true;
		}
		if (!load_page(cursor, err))
			return false;
		if (PQntuples(cursor->page) == 0) {
			*ret_found = false;
			return true;
		}
	}
	struct meow_event event;
	if (!pg_event_decode(cursor->page, cursor->row, &event, err))
		return false;
	cursor->row++;
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
	PQclear(cursor->page);
	buffer_finish(&cursor->categories);
	free(cursor->aggregate_type);
	free(cursor->aggregate_id);
	free(cursor);
}

const char *store_cursor_held_back_by(const struct meow_cursor *cursor)
{
	return *cursor->held_back_by ? cursor->held_back_by : NULL;
}
