// A bulk load: one transaction of many aggregates in a handful of statements. Their rows are created and locked first, in
// the order of their ids; then each line is checked against the version that its aggregate has reached by then, in
// this process; then all events go in at once. A line whose version is there already must be equal to what is stored.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_array.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct aggregate {
	size_t line; // the first that names it
	size_t same; // itself, or the one that is this one under another spelling of the id
	int64_t version;
	bool changed;
};

struct planned {
	size_t line;
	int64_t version;
};

struct bulk {
	struct pg_store *store;
	const struct store_bulk_line *lines;
	size_t count;
	size_t *order;     // lines by aggregate id
	size_t *aggregate; // of each line
	struct aggregate *aggregates;
	size_t aggregate_count;
	struct planned *add, *skip;
	size_t add_count, skip_count;
	uint64_t fault; // the line at fault
};

static int compare_lines(const void *a, const void *b, void *arg)
{
	const struct store_bulk_line *lines = arg;
	size_t left = *(const size_t *)a, right = *(const size_t *)b;
	int order = strcmp(lines[left].aggregate_id, lines[right].aggregate_id);
	return order ? order : left < right ? -1 : left > right;
}

static bool fail_at(struct bulk *bulk, size_t line)
{
	bulk->fault = bulk->lines[line].line;
	return false;
}

static bool allocate(struct bulk *bulk, struct meow_error *err)
{
	bulk->order = calloc(bulk->count, sizeof(*bulk->order));
	bulk->aggregate = calloc(bulk->count, sizeof(*bulk->aggregate));
	bulk->aggregates = calloc(bulk->count, sizeof(*bulk->aggregates));
	bulk->add = calloc(bulk->count, sizeof(*bulk->add));
	bulk->skip = calloc(bulk->count, sizeof(*bulk->skip));
	return (bulk->order && bulk->aggregate && bulk->aggregates && bulk->add && bulk->skip) || error_no_memory(err);
}

static void add_aggregate(struct bulk *bulk, size_t line)
{
	size_t place = bulk->aggregate_count++;
	bulk->aggregates[place] = (struct aggregate){.line = line, .same = place};
}

static bool check_lines(struct bulk *bulk, struct meow_error *err)
{
	for (size_t i = 0; i < bulk->count; i++) {
		const struct store_bulk_line *line = &bulk->lines[i];
		struct meow_error reason;
		bool ok = text_is_utf8(bytes_of(line->aggregate_type)) && text_is_utf8(bytes_of(line->aggregate_id));
		if (!ok)
			error_set(err, MEOW_INVALID, "the aggregate's type or id is not valid UTF-8");
		else if (!(ok = store_check_event(&line->event, &reason)))
			error_set(err, reason.kind, "the event %s", reason.text);
		if (!ok)
			return fail_at(bulk, i);
	}
	return true;
}

static bool group(struct bulk *bulk, struct meow_error *err)
{
	for (size_t i = 0; i < bulk->count; i++)
		bulk->order[i] = i;
	qsort_r(bulk->order, bulk->count, sizeof(*bulk->order), compare_lines, (void *)(uintptr_t)bulk->lines);
	for (size_t i = 0; i < bulk->count; i++) {
		size_t line = bulk->order[i];
		const struct store_bulk_line *this = &bulk->lines[line];
		const struct store_bulk_line *before = i ? &bulk->lines[bulk->order[i - 1]] : NULL;
		bool same = before && strcmp(before->aggregate_id, this->aggregate_id) == 0;
		if (same && strcmp(before->aggregate_type, this->aggregate_type) != 0) {
			error_set(err, MEOW_INVALID, "aggregate %s has two types: %s and %s", this->aggregate_id,
				before->aggregate_type, this->aggregate_type);
			return fail_at(bulk, line);
		}
		if (!same)
			add_aggregate(bulk, line);
		bulk->aggregate[line] = bulk->aggregate_count - 1;
	}
	return true;
}

static void put_record(struct buffer *out, const struct store_bulk_line *line, int64_t version, bool first)
{
	buffer_put_text(out, first ? "[{\"id\":" : ",{\"id\":");
	buffer_put_json(out, bytes_of(line->aggregate_id));
	buffer_printf(out, ",\"version\":%" PRId64 ",\"aggregate_type\":", version);
	buffer_put_json(out, bytes_of(line->aggregate_type));
	buffer_put_char(out, '}');
}

static bool run(
	struct bulk *bulk, const char *sql, const struct pg_params *params, PGresult **ret_result, struct meow_error *err)
{
	PGresult *result = pg_exec(bulk->store, sql, params, err);
	if (!result)
		return false;
	if (ret_result)
		*ret_result = result;
	else
		PQclear(result);
	return true;
}

// --- versions ---

static size_t place_of(const PGresult *result, int row)
{
	return (size_t)pg_signed64(result, row, 0) - 1;
}

static bool take_aggregate(struct bulk *bulk, const PGresult *result, int row, struct meow_error *err)
{
	size_t place = place_of(result, row);
	struct aggregate *aggregate = &bulk->aggregates[place];
	const struct store_bulk_line *line = &bulk->lines[aggregate->line];
	aggregate->version = pg_signed64(result, row, 1);
	if (row && strcmp(PQgetvalue(result, row - 1, 3), PQgetvalue(result, row, 3)) == 0)
		aggregate->same = bulk->aggregates[place_of(result, row - 1)].same;
	if (strcmp(PQgetvalue(result, row, 2), line->aggregate_type) == 0)
		return true;
	store_type_mismatch(line->aggregate_id, PQgetvalue(result, row, 2), line->aggregate_type, err);
	return fail_at(bulk, aggregate->line);
}

static bool lock_aggregates(struct bulk *bulk, struct meow_error *err)
{
	struct buffer list;
	buffer_init(&list);
	for (size_t i = 0; i < bulk->aggregate_count; i++)
		put_record(&list, &bulk->lines[bulk->aggregates[i].line], -1, i == 0);
	buffer_put_char(&list, ']');
	struct pg_params params = {0};
	PGresult *result = NULL;
	bool ok = buffer_ok(&list, err);
	if (ok) {
		pg_param_text(&params, (struct meow_bytes){list.data, list.size});
		ok = run(bulk, sql_bulk_aggregates, &params, NULL, err) && run(bulk, sql_bulk_lock, &params, &result, err);
	}
	buffer_finish(&list);
	for (int row = 0; ok && row < PQntuples(result); row++)
		ok = take_aggregate(bulk, result, row, err);
	PQclear(result);
	return ok;
}

static bool conflict(struct bulk *bulk, size_t index, const char *wanted, int64_t found, struct meow_error *err)
{
	const struct store_bulk_line *line = &bulk->lines[index];
	if (found < 0)
		error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, and it has no event", line->aggregate_type,
			line->aggregate_id, wanted);
	else
		error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, found version %" PRId64,
			line->aggregate_type, line->aggregate_id, wanted, found);
	return fail_at(bulk, index);
}

// Decides what becomes of one line: added with the next version, or compared with what is there.
static bool plan_line(struct bulk *bulk, size_t index, struct meow_error *err)
{
	const struct store_bulk_line *line = &bulk->lines[index];
	struct aggregate *aggregate = &bulk->aggregates[bulk->aggregates[bulk->aggregate[index]].same];
	char wanted[40];
	bool by_version = line->expected == MEOW_NO_VERSION && line->version != MEOW_NO_VERSION;
	if (by_version && line->version >= 0 && line->version <= aggregate->version) {
		bulk->skip[bulk->skip_count++] = (struct planned){index, line->version};
		return true;
	}
	int64_t expected = by_version                          ? line->version - 1
					   : line->expected == MEOW_NO_VERSION ? MEOW_EXPECT_ANY
														   : line->expected;
	if (expected == MEOW_EXPECT_NEW && aggregate->version >= 0)
		return conflict(bulk, index, "no event yet", aggregate->version, err);
	if (expected >= 0 && expected != aggregate->version) {
		snprintf(wanted, sizeof(wanted), "version %" PRId64, expected);
		return conflict(bulk, index, wanted, aggregate->version, err);
	}
	aggregate->changed = true;
	bulk->add[bulk->add_count++] = (struct planned){index, ++aggregate->version};
	return true;
}

// --- events ---

static bool run_events(struct bulk *bulk, const char *sql, const struct planned *planned, size_t count,
	PGresult **ret_result, struct meow_error *err)
{
	struct buffer records;
	struct pg_arrays arrays;
	buffer_init(&records);
	pg_arrays_init(&arrays, count);
	for (size_t i = 0; i < count; i++) {
		put_record(&records, &bulk->lines[planned[i].line], planned[i].version, i == 0);
		pg_arrays_put(&arrays, &bulk->lines[planned[i].line].event);
	}
	buffer_put_char(&records, ']');
	bool ok = buffer_ok(&records, err) && pg_arrays_ok(&arrays, err);
	if (ok) {
		struct pg_params params = {0};
		pg_param_text(&params, (struct meow_bytes){records.data, records.size});
		pg_arrays_param(&arrays, &params);
		ok = run(bulk, sql, &params, ret_result, err);
	}
	buffer_finish(&records);
	pg_arrays_finish(&arrays);
	return ok;
}

static bool compare_skipped(struct bulk *bulk, struct meow_error *err)
{
	PGresult *result;
	if (bulk->skip_count == 0)
		return true;
	if (!run_events(bulk, sql_bulk_different, bulk->skip, bulk->skip_count, &result, err))
		return false;
	bool ok = PQntuples(result) == 0;
	if (!ok) {
		const struct planned *planned = &bulk->skip[pg_signed64(result, 0, 0) - 1];
		const struct store_bulk_line *line = &bulk->lines[planned->line];
		error_set(err, MEOW_CONFLICT, "version conflict: %s %s has another event at version %" PRId64,
			line->aggregate_type, line->aggregate_id, planned->version);
		fail_at(bulk, planned->line);
	}
	PQclear(result);
	return ok;
}

static bool write_versions(struct bulk *bulk, struct meow_error *err)
{
	struct buffer list;
	bool first = true;
	buffer_init(&list);
	for (size_t i = 0; i < bulk->aggregate_count; i++) {
		const struct aggregate *aggregate = &bulk->aggregates[i];
		if (!aggregate->changed)
			continue;
		put_record(&list, &bulk->lines[aggregate->line], aggregate->version, first);
		first = false;
	}
	buffer_put_char(&list, ']');
	struct pg_params params = {0};
	bool ok = buffer_ok(&list, err);
	if (ok) {
		pg_param_text(&params, (struct meow_bytes){list.data, list.size});
		ok = run(bulk, sql_bulk_versions, &params, NULL, err);
	}
	buffer_finish(&list);
	return ok;
}

static bool load(struct bulk *bulk, struct meow_error *err)
{
	if (!check_lines(bulk, err) || !allocate(bulk, err) || !group(bulk, err) || !lock_aggregates(bulk, err))
		return false;
	for (size_t i = 0; i < bulk->count; i++)
		if (!plan_line(bulk, i, err))
			return false;
	if (bulk->add_count &&
		(!run_events(bulk, sql_bulk_insert, bulk->add, bulk->add_count, NULL, err) || !write_versions(bulk, err)))
		return false;
	return compare_skipped(bulk, err);
}

// The server refused something of many lines: finds out which.
static void find_fault(struct bulk *bulk, struct meow_error *err)
{
	for (size_t i = 0; i < bulk->count && !bulk->fault; i++) {
		const struct store_bulk_line *line = &bulk->lines[i];
		struct buffer record;
		struct pg_params params = {0};
		struct meow_error reason;
		buffer_init(&record);
		put_record(&record, line, 0, true);
		buffer_put_char(&record, ']');
		if (!buffer_ok(&record, NULL))
			return;
		pg_param_text(&params, (struct meow_bytes){record.data, record.size});
		pg_param_text(&params, line->event.data);
		pg_param_text(&params, line->event.metadata);
		if (!run(bulk, sql_bulk_check, &params, NULL, &reason) && reason.kind == MEOW_INVALID) {
			fail_at(bulk, i);
			if (err)
				*err = reason;
		}
		buffer_finish(&record);
	}
}

bool pg_bulk(struct meow_store *base, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *error)
{
	struct pg_store *store = pg_store_of(base);
	struct bulk bulk = {.store = store, .lines = lines, .count = count};
	if (!pg_reconnect(store, error) || !pg_do(store, "BEGIN ISOLATION LEVEL READ COMMITTED", error))
		return false;
	bool ok = load(&bulk, error) && pg_commit(store, error);
	if (ok) {
		*ret_result = (struct store_bulk_result){bulk.add_count, bulk.skip_count};
	} else if (PQstatus(store->conn) == CONNECTION_OK) {
		struct meow_error ignored;
		if (pg_do(store, "ROLLBACK", &ignored) && error->kind == MEOW_INVALID && !bulk.fault)
			find_fault(&bulk, error);
	}
	*ret_line = bulk.fault;
	free(bulk.order);
	free(bulk.aggregate);
	free(bulk.aggregates);
	free(bulk.add);
	free(bulk.skip);
	return ok;
}
