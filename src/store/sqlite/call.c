// Statements of a connection: prepared when first used and kept; and transactions, which join one that is open.
#include "base/text.h"
#include "store/sqlite/lite.h"
#include "store_sqlite_sql.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const statements[LITE_STATEMENTS] = {
	[LITE_BEGIN] = "BEGIN IMMEDIATE",
	[LITE_COMMIT] = "COMMIT",
	[LITE_ROLL_BACK] = "ROLLBACK",
	[LITE_SAVEPOINT] = "SAVEPOINT meowmx",
	[LITE_RELEASE] = "RELEASE meowmx",
	[LITE_ROLL_BACK_TO] = "ROLLBACK TO meowmx",
	[LITE_READ_BEGIN] = "BEGIN",
	[LITE_WORK_SAVEPOINT] = "SAVEPOINT meowmx_work",
	[LITE_WORK_RELEASE] = "RELEASE meowmx_work",
	[LITE_AGGREGATE] = sql_aggregate,
	[LITE_AGGREGATES_FIRST] = sql_aggregates_first,
	[LITE_AGGREGATES_AFTER] = sql_aggregates_after,
	[LITE_APPEND_AGGREGATE] = sql_append_aggregate,
	[LITE_APPEND_EVENT] = sql_append_event,
	[LITE_APPEND_MOVE] = sql_append_move,
	[LITE_APPEND_REPEATED] = sql_append_repeated,
	[LITE_BULK_EVENT] = sql_bulk_event,
	[LITE_CHECKPOINT_LOAD] = sql_checkpoint_load,
	[LITE_CHECKPOINT_SAVE] = sql_checkpoint_save,
	[LITE_DATA_VERSION] = "PRAGMA data_version",
	[LITE_DEAD_DISCARD] = sql_dead_discard,
	[LITE_DEAD_DRAW] = sql_dead_draw,
	[LITE_DEAD_FORGET] = sql_dead_forget,
	[LITE_DEAD_LETTERS] = sql_dead_letters,
	[LITE_DEAD_POSITIONS] = sql_dead_positions,
	[LITE_DEAD_RETRY] = sql_dead_retry,
	[LITE_DEAD_RETRY_FORGET] = sql_dead_retry_forget,
	[LITE_DELETE_AGGREGATE] = sql_delete_aggregate,
	[LITE_DELETE_EVENTS] = sql_delete_events,
	[LITE_DELETE_SNAPSHOTS] = sql_delete_snapshots,
	[LITE_DELETE_VERSION] = sql_delete_version,
	[LITE_FIND] = sql_find,
	[LITE_HEAD] = sql_head,
	[LITE_IDENTITY] = sql_identity,
	[LITE_JSON] = sql_json,
	[LITE_LAYOUTS] = sql_layouts,
	[LITE_LEASE_ALIVE] = sql_lease_alive,
	[LITE_LEASE_FIND] = sql_lease_find,
	[LITE_LEASE_FORGET] = sql_lease_forget,
	[LITE_LEASE_LAYOUT] = sql_lease_layout,
	[LITE_LEASE_LEAVE] = sql_lease_leave,
	[LITE_LEASE_RELEASE] = sql_lease_release,
	[LITE_LEASE_RENEW] = sql_lease_renew,
	[LITE_LEASE_TAKE] = sql_lease_take,
	[LITE_LOAD_AGGREGATE] = sql_load_aggregate,
	[LITE_LOAD_AGGREGATE_REVERSE] = sql_load_aggregate_reverse,
	[LITE_READ] = sql_read,
	[LITE_READ_REVERSE] = sql_read_reverse,
	[LITE_READ_CATEGORY] = sql_read_category,
	[LITE_READ_CATEGORY_REVERSE] = sql_read_category_reverse,
	[LITE_REPARTITION_BEGUN] = sql_repartition_begun,
	[LITE_REPARTITION_FIND] = sql_repartition_find,
	[LITE_REPARTITION_LAYOUT] = sql_repartition_layout,
	[LITE_REPARTITION_RELEASE] = sql_repartition_release,
	[LITE_RETRY_END] = sql_retry_end,
	[LITE_RETRY_NEXT] = sql_retry_next,
	[LITE_SET_ASIDE] = sql_set_aside,
	[LITE_SET_ASIDE_OWNER] = sql_set_aside_owner,
	[LITE_SETUP_CHECK] = sql_setup_check,
	[LITE_SETUP_META] = sql_setup_meta,
	[LITE_SNAPSHOT_LOAD] = sql_snapshot_load,
	[LITE_SNAPSHOT_PRUNE] = sql_snapshot_prune,
	[LITE_SNAPSHOT_SAVE] = sql_snapshot_save,
	[LITE_SUBSCRIPTION_DELETE] = sql_subscription_delete,
	[LITE_SUBSCRIPTION_DELETE_LAYOUTS] = sql_subscription_delete_layouts,
	[LITE_SUBSCRIPTION_DELETE_RELAYS] = sql_subscription_delete_relays,
	[LITE_SUBSCRIPTION_PAUSE] = sql_subscription_pause,
	[LITE_SUBSCRIPTION_RESUME] = sql_subscription_resume,
	[LITE_SUBSCRIPTION_REWIND] = sql_subscription_rewind,
	[LITE_SUBSCRIPTION_SKIP] = sql_subscription_skip,
	[LITE_SUBSCRIPTIONS] = sql_subscriptions,
	[LITE_WORK_BEGIN] = sql_work_begin,
	[LITE_WORK_COMMIT] = sql_work_commit,
	[LITE_WORK_CREATE] = sql_work_create,
	[LITE_WORK_LAYOUT] = sql_work_layout,
	[LITE_WORK_PARTITIONS] = sql_work_partitions,
	[LITE_WORK_REPORT] = sql_work_report,
};

struct lite_call lite_call(struct lite *lite, enum lite_statement which)
{
	struct lite_call call = {.lite = lite};
	if (!lite->statements[which]) {
		call.failed = sqlite3_prepare_v3(
			lite->db, statements[which], -1, SQLITE_PREPARE_PERSISTENT, &lite->statements[which], NULL);
		if (call.failed != SQLITE_OK)
			call.failed = sqlite3_extended_errcode(lite->db);
	}
	call.statement = lite->statements[which];
	return call;
}

static void note(struct lite_call *call, int code)
{
	if (call->failed == SQLITE_OK)
		call->failed = code;
}

void lite_put_text(struct lite_call *call, struct meow_bytes text)
{
	call->params++;
	if (text.data && call->statement)
		note(
			call, sqlite3_bind_text64(call->statement, call->params, text.data, text.size, SQLITE_STATIC, SQLITE_UTF8));
}

void lite_put_int(struct lite_call *call, int64_t number)
{
	call->params++;
	if (call->statement)
		note(call, sqlite3_bind_int64(call->statement, call->params, number));
}

void lite_put_null(struct lite_call *call)
{
	call->params++; // ended calls leave none of their values
}

enum lite_step lite_step(struct lite_call *call, struct meow_error *err)
{
	int code = call->failed;
	if (code == SQLITE_OK) {
		code = sqlite3_step(call->statement);
		if (code == SQLITE_ROW)
			return LITE_ROW;
		if (code == SQLITE_DONE)
			return LITE_DONE;
		code = sqlite3_extended_errcode(call->lite->db);
	}
	call->failed = code;
	lite_error(call->lite, code, err);
	return LITE_FAILED;
}

void lite_end(struct lite_call *call)
{
	if (!call->statement)
		return;
	sqlite3_reset(call->statement); // repeats the error of the last step, if there was one
	sqlite3_clear_bindings(call->statement);
}

bool lite_run(struct lite_call *call, uint64_t *ret_changed, struct meow_error *err)
{
	enum lite_step step;
	while ((step = lite_step(call, err)) == LITE_ROW)
		;
	if (step == LITE_DONE && ret_changed)
		*ret_changed = (uint64_t)sqlite3_changes(call->lite->db);
	lite_end(call);
	return step == LITE_DONE;
}

struct meow_bytes lite_text(struct lite_call *call, int column)
{
	const char *text = (const char *)sqlite3_column_text(call->statement, column);
	if (!text && !lite_is_null(call, column))
		note(call, SQLITE_NOMEM);
	return (struct meow_bytes){text, text ? (size_t)sqlite3_column_bytes(call->statement, column) : 0};
}

// A text without a NUL behind it, which would cost a copy: as it stands in the file, where that keeps UTF-8.
static struct meow_bytes raw_text(struct lite_call *call, int column)
{
	if (!call->lite->is_utf8)
		return lite_text(call, column);
	const char *text = sqlite3_column_blob(call->statement, column);
	if (!text && sqlite3_errcode(call->lite->db) == SQLITE_NOMEM)
		note(call, SQLITE_NOMEM);
	else if (!text && !lite_is_null(call, column))
		text = ""; // that is what an empty one is
	return (struct meow_bytes){text, text ? (size_t)sqlite3_column_bytes(call->statement, column) : 0};
}

bool lite_good(struct lite_call *call, struct meow_error *err)
{
	return call->failed == SQLITE_OK || lite_error(call->lite, call->failed, err);
}

int64_t lite_int(const struct lite_call *call, int column)
{
	return sqlite3_column_int64(call->statement, column);
}

int64_t lite_time(const struct lite_call *call, int column)
{
	return lite_is_null(call, column) ? MEOW_NO_TIME : lite_int(call, column);
}

bool lite_is_null(const struct lite_call *call, int column)
{
	return sqlite3_column_type(call->statement, column) == SQLITE_NULL;
}

bool lite_lacked_memory(struct lite *lite, struct meow_bytes json, struct meow_error *err)
{
	struct meow_error asked = {0};
	struct lite_call call = lite_call(lite, LITE_JSON);
	lite_put_text(&call, json);
	bool parsed = lite_step(&call, &asked) == LITE_ROW;
	lite_end(&call);
	if (!parsed && asked.kind != MEOW_UNAVAILABLE)
		return false;
	error_no_memory(err);
	return true;
}

bool lite_add_event(struct batch *batch, struct lite_call *call, struct meow_error *err)
{
	const struct meow_event event = {
		.position = lite_int(call, 0),
		.aggregate_type = raw_text(call, 1),
		.aggregate_id = raw_text(call, 2),
		.version = lite_int(call, 3),
		.type = raw_text(call, 4),
		.data = raw_text(call, 5),
		.metadata = raw_text(call, 6),
		.time_us = lite_time(call, 7),
		.transaction_id = (uint64_t)lite_int(call, 8),
	};
	return lite_good(call, err) && (batch_add(batch, &event) || error_no_memory(err));
}

// --- transactions ---

static bool run(struct lite *lite, enum lite_statement which, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, which);
	return lite_run(&call, NULL, err);
}

bool lite_in_transaction(const struct lite *lite)
{
	return !sqlite3_get_autocommit(lite->db);
}

bool lite_begin(struct lite *lite, struct lite_transaction *ret_transaction, struct meow_error *err)
{
	ret_transaction->nested = lite_in_transaction(lite);
	return run(lite, ret_transaction->nested ? LITE_SAVEPOINT : LITE_BEGIN, err);
}

static void roll_back(struct lite *lite, bool nested)
{
	struct meow_error ignored; // of a transaction that SQLite has rolled back itself: the first error says why
	if (!lite_in_transaction(lite))
		return;
	if (!nested)
		(void)!run(lite, LITE_ROLL_BACK, &ignored);
	else if (run(lite, LITE_ROLL_BACK_TO, &ignored))
		(void)!run(lite, LITE_RELEASE, &ignored);
}

bool lite_finish(struct lite *lite, const struct lite_transaction *transaction, bool good, struct meow_error *err)
{
	if (good && run(lite, transaction->nested ? LITE_RELEASE : LITE_COMMIT, err))
		return true;
	// A commit that the disk failed may be in the write-ahead log all the same, and come back with it.
	if (good && !transaction->nested && err->kind == MEOW_IO &&
		(sqlite3_extended_errcode(lite->db) & 0xff) == SQLITE_IOERR)
		err->kind = MEOW_UNKNOWN_OUTCOME;
	roll_back(lite, transaction->nested);
	return false;
}

// --- small things ---

bool lite_head(struct lite *lite, int64_t *ret_head, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_HEAD);
	enum lite_step step = lite_step(&call, err);
	if (step != LITE_FAILED)
		*ret_head = step == LITE_ROW ? lite_int(&call, 0) : 0;
	lite_end(&call);
	return step != LITE_FAILED;
}

int64_t lite_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void lite_put_list(struct buffer *out, const char *const *items, size_t count)
{
	buffer_put_char(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (i)
			buffer_put_char(out, ',');
		buffer_put_json(out, bytes_of(items[i]));
	}
	buffer_put_char(out, ']');
}
