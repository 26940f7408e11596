// lite.h: what the blocking store and the session on SQLite share: a connection with its statements, transactions that
// join one which is open, and errors out of SQLite's.
#ifndef STORE_SQLITE_LITE_H
#define STORE_SQLITE_LITE_H

#include "store/session.h"
#include "store/store_impl.h"

#include <sqlite3.h>

enum lite_statement {
	LITE_BEGIN,
	LITE_COMMIT,
	LITE_ROLL_BACK,
	LITE_SAVEPOINT,
	LITE_RELEASE,
	LITE_ROLL_BACK_TO,
	LITE_READ_BEGIN,
	LITE_WORK_SAVEPOINT,
	LITE_WORK_RELEASE,
	LITE_AGGREGATE,
	LITE_AGGREGATES_FIRST,
	LITE_AGGREGATES_AFTER,
	LITE_APPEND_AGGREGATE,
	LITE_APPEND_EVENT,
	LITE_APPEND_MOVE,
	LITE_APPEND_REPEATED,
	LITE_BULK_EVENT,
	LITE_CHECKPOINT_LOAD,
	LITE_CHECKPOINT_SAVE,
	LITE_DATA_VERSION,
	LITE_DEAD_DISCARD,
	LITE_DEAD_DRAW,
	LITE_DEAD_FORGET,
	LITE_DEAD_LETTERS,
	LITE_DEAD_POSITIONS,
	LITE_DEAD_RETRY,
	LITE_DEAD_RETRY_FORGET,
	LITE_DELETE_AGGREGATE,
	LITE_DELETE_EVENTS,
	LITE_DELETE_SNAPSHOTS,
	LITE_DELETE_VERSION,
	LITE_FIND,
	LITE_HEAD,
	LITE_IDENTITY,
	LITE_JSON,
	LITE_LAYOUTS,
	LITE_LEASE_ALIVE,
	LITE_LEASE_FIND,
	LITE_LEASE_FORGET,
	LITE_LEASE_LAYOUT,
	LITE_LEASE_LEAVE,
	LITE_LEASE_RELEASE,
	LITE_LEASE_RENEW,
	LITE_LEASE_TAKE,
	LITE_LOAD_AGGREGATE,
	LITE_LOAD_AGGREGATE_REVERSE,
	LITE_READ,
	LITE_READ_REVERSE,
	LITE_READ_CATEGORY,
	LITE_READ_CATEGORY_REVERSE,
	LITE_REPARTITION_BEGUN,
	LITE_REPARTITION_FIND,
	LITE_REPARTITION_LAYOUT,
	LITE_REPARTITION_RELEASE,
	LITE_RETRY_END,
	LITE_RETRY_NEXT,
	LITE_SET_ASIDE,
	LITE_SET_ASIDE_OWNER,
	LITE_SETUP_CHECK,
	LITE_SETUP_META,
	LITE_SNAPSHOT_LOAD,
	LITE_SNAPSHOT_PRUNE,
	LITE_SNAPSHOT_SAVE,
	LITE_SUBSCRIPTION_DELETE,
	LITE_SUBSCRIPTION_DELETE_LAYOUTS,
	LITE_SUBSCRIPTION_DELETE_RELAYS,
	LITE_SUBSCRIPTION_PAUSE,
	LITE_SUBSCRIPTION_RESUME,
	LITE_SUBSCRIPTION_REWIND,
	LITE_SUBSCRIPTION_SKIP,
	LITE_SUBSCRIPTIONS,
	LITE_WORK_BEGIN,
	LITE_WORK_COMMIT,
	LITE_WORK_CREATE,
	LITE_WORK_LAYOUT,
	LITE_WORK_PARTITIONS,
	LITE_WORK_REPORT,
	LITE_STATEMENTS,
};

// A connection. Zeroed before it is opened; lite_close takes any state.
struct lite {
	sqlite3 *db;
	char *path;    // as named by the url; NULL for a connection of the application's
	bool borrowed; // the application's: left open, and nothing of it is set
	bool is_utf8;  // how the file keeps text
	bool busy;     // what failed last failed because somebody else has the database locked
	int64_t busy_until_us;
	sqlite3_stmt *statements[LITE_STATEMENTS];
	struct session_info info;
};

// How lite_open opens.
enum lite_open {
	LITE_WAIT,   // as a store: waits for locks, up to ten seconds
	LITE_RETRY,  // as a session: a lock fails the statement, with lite->busy set
	LITE_CREATE, // as set-up: waits, and creates the file
};

// The path that a url names, borrowed from it: "sqlite:PATH" or "sqlite:///PATH". MEOW_CONFIG if it names none.
MEOW_MUST_USE bool lite_url_path(const char *url, const char **ret_path, struct meow_error *err);
bool lite_is_memory(const char *path);

// Opens a file (":memory:" too) and sets the connection up as ours; whether meowmx's tables are there is not looked at.
// MEOW_MISSING, MEOW_DENIED (also a file that can only be read), MEOW_CONFIG, MEOW_IO, MEOW_UNAVAILABLE.
MEOW_MUST_USE bool lite_open(struct lite *lite, const char *path, enum lite_open how, struct meow_error *err);
void lite_close(struct lite *lite);

// Checks the tables and fills lite->info. MEOW_CONFIG: not set up, another program's, of a newer meowmx.
MEOW_MUST_USE bool lite_identify(struct lite *lite, struct meow_error *err);

// What stands in a database.
#define LITE_SCHEMA_VERSION 4          // counts by itself: the schemas of PostgreSQL are others
#define LITE_APPLICATION_ID 0x6d656f77 // "meow", in the files that are meowmx's alone
struct lite_contents {
	bool set_up, python, some_of_ours;
	char table[64];         // the first table, empty if there is none
	int64_t application_id; // 0 if nobody has claimed it
};
MEOW_MUST_USE bool lite_contents(struct lite *lite, struct lite_contents *ret_contents, struct meow_error *err);

// Whether the file is somebody else's: fills err with what shows it, and returns false.
MEOW_MUST_USE bool lite_check_owner(struct lite *lite, const struct lite_contents *contents, struct meow_error *err);

// Creates the tables in the transaction that is open.
MEOW_MUST_USE bool lite_create_tables(struct lite *lite, struct meow_error *err);

// Brings tables that an older meowmx has made up to date, in the transaction that is open.
MEOW_MUST_USE bool lite_upgrade_tables(struct lite *lite, struct meow_error *err);

// Whether the file was moved, removed or replaced since it was opened: what is written to it would be lost.
bool lite_has_moved(const struct lite *lite);

// Runs SQL without parameters and results.
MEOW_MUST_USE bool lite_exec(struct lite *lite, const char *sql, struct meow_error *err);

// Fills err from a result code and the connection's message. Returns false.
bool lite_error(struct lite *lite, int code, struct meow_error *err);

// --- calls: a statement with its parameters in their order, stepped row by row ---

enum lite_step { LITE_FAILED = -1, LITE_DONE, LITE_ROW };

// What is put is borrowed until lite_end, which every call ends with, whatever became of it.
struct lite_call {
	struct lite *lite;
	sqlite3_stmt *statement; // NULL: it could not be prepared
	int params;
	int failed; // the first result code that was none of success
};
struct lite_call lite_call(struct lite *lite, enum lite_statement which);
void lite_put_text(struct lite_call *call, struct meow_bytes text); // absent: NULL
void lite_put_int(struct lite_call *call, int64_t number);
void lite_put_null(struct lite_call *call);
enum lite_step lite_step(struct lite_call *call, struct meow_error *err);
void lite_end(struct lite_call *call);

// Steps to the end and ends the call. *ret_changed (may be NULL) is the number of rows changed.
MEOW_MUST_USE bool lite_run(struct lite_call *call, uint64_t *ret_changed, struct meow_error *err);

// Columns of the row. Texts are valid until the next step; absent for NULL, and without memory: then the call has failed,
// which the next step says, or lite_good.
struct meow_bytes lite_text(struct lite_call *call, int column);
int64_t lite_int(const struct lite_call *call, int column);
int64_t lite_time(const struct lite_call *call, int column); // MEOW_NO_TIME for NULL
bool lite_is_null(const struct lite_call *call, int column);

// Of a text that a constraint refused as no JSON: whether that was for want of memory, when json_valid() says no, too. Then
// err says so.
bool lite_lacked_memory(struct lite *lite, struct meow_bytes json, struct meow_error *err);

// Whether all of the row could be read.
MEOW_MUST_USE bool lite_good(struct lite_call *call, struct meow_error *err);

// Adds the row of find.sql, read.sql and the like to the batch.
MEOW_MUST_USE bool lite_add_event(struct batch *batch, struct lite_call *call, struct meow_error *err);

// A transaction that writes; where one is open already, a savepoint in it, so that a failure leaves nothing half done and
// the rest as it was.
struct lite_transaction {
	bool nested;
};
MEOW_MUST_USE bool lite_begin(struct lite *lite, struct lite_transaction *ret_transaction, struct meow_error *err);
// Commits if `good`, else rolls back. False when it was not committed; err is then filled (by whoever set good to false).
MEOW_MUST_USE bool lite_finish(
	struct lite *lite, const struct lite_transaction *transaction, bool good, struct meow_error *err);
bool lite_in_transaction(const struct lite *lite);

// The highest id that was given out.
MEOW_MUST_USE bool lite_head(struct lite *lite, int64_t *ret_head, struct meow_error *err);

int64_t lite_now_us(void); // since 1970: the database's clock is the machine's

// A text list as a JSON array for json_each.
void lite_put_list(struct buffer *out, const char *const *items, size_t count);

// --- the store ---

struct lite_store {
	struct meow_store store;
	struct lite lite;
	int lock; // the file of claims (work.c), -1 if it is not open
};
static inline struct lite *lite_of(struct meow_store *store)
{
	return &((struct lite_store *)store)->lite;
}

// Opens the file anew if it is not the one that the url names any more, unless the connection is the application's.
MEOW_MUST_USE bool lite_ready(struct lite *lite, struct meow_error *err);

// Reads what is known of the aggregate: -1 if there is no event; MEOW_INVALID if it has another type.
MEOW_MUST_USE bool lite_find_version(struct lite *lite, const char *aggregate_type, const char *aggregate_id,
	int64_t *ret_version, bool *ret_known, struct meow_error *err);

// What the events of one append have in common.
struct lite_new_events {
	const char *aggregate_type, *aggregate_id;
	const char *token; // NULL: none
	int64_t transaction_id;
	int64_t now_us;
};
MEOW_MUST_USE bool lite_draw_transaction(int64_t *ret_transaction_id, struct meow_error *err);
MEOW_MUST_USE bool lite_insert_event(struct lite *lite, const struct lite_new_events *common,
	const struct meow_new_event *event, int64_t version, int64_t *ret_position, struct meow_error *err);
MEOW_MUST_USE bool lite_set_version(
	struct lite *lite, const char *aggregate_type, const char *aggregate_id, int64_t version, struct meow_error *err);

// The operations of struct store_impl, by file: append.c, load.c, aggregates.c, snapshots.c, work.c, status.c, bulk.c.
bool lite_append(struct meow_store *base, const struct meow_append *append, struct meow_appended *ret,
	int64_t *ret_found, struct meow_error *err);
bool lite_find_bound(struct meow_store *base, const struct meow_query *query, int64_t *ret_bound, char *held_back_by,
	struct meow_error *err);
bool lite_load_page(struct meow_store *base, const struct meow_query *query, const struct store_page *page,
	struct batch *batch, bool *ret_cut, struct meow_error *err);
bool lite_version(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err);
bool lite_list_aggregates(struct meow_store *base, const char *aggregate_type, const char *after, size_t limit,
	struct meow_aggregate_page *ret_page, struct meow_error *err);
bool lite_delete_events(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err);
bool lite_snapshot_save(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	const struct meow_snapshot *snapshot, struct meow_error *err);
bool lite_snapshot_load(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t version,
	struct meow_snapshot **ret_snapshot, struct meow_error *err);
bool lite_snapshot_prune(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, size_t keep,
	uint64_t *ret_count, struct meow_error *err);
void lite_work_close(struct lite_store *store);
bool lite_work_claim(struct meow_store *base, const char *subscription, bool *ret_claimed, struct meow_error *err);
bool lite_work_own(struct meow_store *base, const char *subscription, int64_t *ret_partitions, struct meow_error *err);
bool lite_work_begin(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err);
bool lite_work_look(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err);
bool lite_work_commit(
	struct meow_store *base, const char *subscription, const struct store_work *work, struct meow_error *err);
bool lite_work_roll_back(struct meow_store *base, struct meow_error *err);
bool lite_work_report(
	struct meow_store *base, const char *subscription, const struct store_work_state *state, struct meow_error *err);
bool lite_status(struct meow_store *base, struct store_status *ret_status, struct meow_error *err);
bool lite_subscriptions(
	struct meow_store *base, const char *name, struct store_subscriptions *ret_list, struct meow_error *err);
bool lite_subscription_resume(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool lite_layouts(struct meow_store *base, const char *name, struct store_layouts *ret_list, struct meow_error *err);
bool lite_repartition_begin(struct meow_store *base, struct store_repartition *repartition, struct meow_error *err);
bool lite_repartition_cut(struct meow_store *base, const struct store_repartition *repartition, struct meow_error *err);
bool lite_repartition_finish(
	struct meow_store *base, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err);
bool lite_subscription_pause(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool lite_subscription_rewind(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err);
bool lite_subscription_delete(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool lite_dead_letters(struct meow_store *base, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err);
bool lite_dead_positions(struct meow_store *base, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err);
bool lite_dead_retry(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
bool lite_dead_discard(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
bool lite_subscription_skip(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err);
bool lite_bulk(struct meow_store *base, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err);

// struct store_backend's (setup.c, session_lite.c).
bool lite_setup(const struct store_setup *wanted, struct meow_error *err);
struct session *lite_session_create(const char *url, struct loop *loop, struct meow_error *err);

#endif
