// pg.h: what the blocking store and the session share: connection strings, and errors out of libpq's.
#ifndef STORE_POSTGRES_PG_H
#define STORE_POSTGRES_PG_H

#include "store/fingerprint.h"
#include "store/postgres/pg_names.h"
#include "store/session.h"
#include "store/store_impl.h"

#include <libpq-fe.h>

// Parsed connection parameters for PQconnectStartParams: those of url (empty: libpq's PG* variables and defaults), with
// our application name unless it names one. Freed with pg_conninfo_finish. MEOW_CONFIG if the url cannot be understood
// or is none of PostgreSQL's.
struct pg_conninfo {
	PQconninfoOption *options;
	const char **keywords;
	const char **values;
};
MEOW_MUST_USE bool pg_conninfo_init(struct pg_conninfo *conninfo, const char *url, struct meow_error *err);
void pg_conninfo_finish(struct pg_conninfo *conninfo);

struct pg_store;

// Keeps libpq from writing what a server says by the way ("terminating connection ...") to standard error.
void pg_silence(PGconn *conn);

// Fills err from a connection that failed or broke: MEOW_DENIED (password, rights), MEOW_CONFIG (no such database),
// else MEOW_UNAVAILABLE. Names host, port and database, never the password. Returns false.
bool pg_connection_error(PGconn *conn, const char *url, struct meow_error *err);

// Fills err from a statement that failed. result may be NULL (no memory, or a broken connection). Returns false.
bool pg_result_error(PGconn *conn, const PGresult *result, const char *url, struct meow_error *err);

// A blocking connection, checked and set up as ours. NULL on failure.
MEOW_MUST_USE PGconn *pg_connect(const char *url, struct meow_error *err);

// Checks what identity.sql returned and fills *ret_info and *ret_names. MEOW_CONFIG: not set up, newer, not UTF8;
// MEOW_DENIED: standby.
MEOW_MUST_USE bool pg_identity(PGconn *conn, const PGresult *result, struct session_info *ret_info,
	struct pg_names *ret_names, struct meow_error *err);

// Settings of every connection of ours that is not pooled: one simple query.
extern const char pg_session_settings[];

// Big-endian numbers for binary parameters.
struct pg_number {
	char bytes[8];
};
struct pg_number pg_put64(int64_t number);

// The array literal '{"a","b"}' for a text[] parameter.
void pg_put_array(struct buffer *out, const char *const *items, size_t count);

// Type oids of parameters.
enum { PG_INT8 = 20, PG_INT4 = 23, PG_TEXT = 25, PG_BOOL = 16 };

// A session on PostgreSQL (session.h).
struct session *pg_session_create(const char *url, struct loop *loop, struct meow_error *err);

// One row of holders.sql.
void pg_holder(const PGresult *result, int row, struct session_holder *ret_holder);

// A look: the candidate first (candidate.sql, or one in its place), then, in a statement of its own, who holds the
// sequence. The caller frees *ret_holders.
MEOW_MUST_USE bool pg_look(struct pg_store *store, const char *sql, int64_t *ret_candidate,
	struct session_holder **ret_holders, size_t *ret_count, struct meow_error *err);

// Looks until everything drawn by now is settled, for most_us at most; then *ret_settled is what is, and held_back_by
// (STORE_HELD_SIZE bytes, empty before) names who holds the rest back. To be used by later statements of a transaction
// of isolation read committed, or of none.
MEOW_MUST_USE bool pg_wait_settled(
	struct pg_store *store, int64_t most_us, int64_t *ret_settled, char *held_back_by, struct meow_error *err);

// The blocking store.
struct pg_store {
	struct meow_store store;
	PGconn *conn;
	char *url;
	struct session_info info;
	struct pg_names names;
	struct buffer text;        // the statement that was sent last, where names had to be put in
	uint64_t prepared;         // one bit a statement, by enum pg_statement
	bool unanswered;           // the last statement ended without a word of the server's
	uint64_t work_transaction; // that pg_work_begin has begun
	bool borrowed; // the connection is the application's: no statement is prepared on it, nothing begun or ended
};
static inline struct pg_store *pg_store_of(struct meow_store *store)
{
	return (struct pg_store *)store;
}

// The operations of struct store_impl, by file: append.c, load.c, aggregates.c, snapshots.c, work.c, status.c, bulk.c.
bool pg_append(struct meow_store *base, const struct meow_append *append, struct meow_appended *ret, int64_t *ret_found,
	struct meow_error *err);
bool pg_find_bound(struct meow_store *base, const struct meow_query *query, int64_t *ret_bound, char *held_back_by,
	struct meow_error *err);
bool pg_load_page(struct meow_store *base, const struct meow_query *query, const struct store_page *page,
	struct batch *batch, bool *ret_cut, struct meow_error *err);
bool pg_version(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err);
bool pg_list_aggregates(struct meow_store *base, const char *aggregate_type, const char *after, size_t limit,
	struct meow_aggregate_page *ret_page, struct meow_error *err);
bool pg_delete_events(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err);
bool pg_snapshot_save(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	const struct meow_snapshot *snapshot, struct meow_error *err);
bool pg_snapshot_load(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t version,
	struct meow_snapshot **ret_snapshot, struct meow_error *err);
bool pg_snapshot_prune(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, size_t keep,
	uint64_t *ret_count, struct meow_error *err);
bool pg_work_claim(struct meow_store *base, const char *subscription, bool *ret_claimed, struct meow_error *err);
bool pg_work_own(struct meow_store *base, const char *subscription, int64_t *ret_partitions, struct meow_error *err);
bool pg_work_begin(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err);
bool pg_work_look(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err);
bool pg_work_commit(
	struct meow_store *base, const char *subscription, const struct store_work *work, struct meow_error *err);
bool pg_work_roll_back(struct meow_store *base, struct meow_error *err);
bool pg_work_report(
	struct meow_store *base, const char *subscription, const struct store_work_state *state, struct meow_error *err);
bool pg_status(struct meow_store *base, struct store_status *ret_status, struct meow_error *err);
bool pg_subscriptions(
	struct meow_store *base, const char *name, struct store_subscriptions *ret_list, struct meow_error *err);
bool pg_subscription_resume(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool pg_layouts(struct meow_store *base, const char *name, struct store_layouts *ret_list, struct meow_error *err);
bool pg_repartition_begin(struct meow_store *base, struct store_repartition *repartition, struct meow_error *err);
bool pg_repartition_cut(struct meow_store *base, const struct store_repartition *repartition, struct meow_error *err);
bool pg_repartition_finish(
	struct meow_store *base, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err);
bool pg_subscription_pause(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool pg_subscription_rewind(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err);
bool pg_subscription_delete(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err);
bool pg_dead_letters(struct meow_store *base, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err);
bool pg_dead_positions(struct meow_store *base, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err);
bool pg_dead_retry(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
bool pg_dead_discard(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);
bool pg_subscription_skip(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err);
bool pg_subscription_adopt(struct meow_store *base, const struct store_adopt *wanted,
	struct store_adoption *ret_adoption, struct meow_error *err);
bool pg_bulk(struct meow_store *base, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err);

// struct store_backend's set-up (setup.c).
bool pg_setup(const struct store_setup *wanted, struct meow_error *err);

enum pg_statement {
	PG_APPEND_ONE,
	PG_APPEND_FIRST,
	PG_APPEND_MANY,
	PG_APPEND_FOUND,
	PG_APPEND_REPEATED,
	PG_LOAD_AGGREGATE,
	PG_LOAD_AGGREGATE_REVERSE,
	PG_READ,
	PG_READ_REVERSE,
	PG_READ_CATEGORIES,
	PG_READ_CATEGORIES_REVERSE,
	PG_SNAPSHOT_SAVE,
	PG_SNAPSHOT_LOAD,
	PG_STATEMENTS,
};

// Runs one of ours, prepared on first use unless a pooler is in between, with binary results. NULL and err on failure.
#define PG_PARAMS_MOST 20
struct pg_params {
	int count;
	const char *values[PG_PARAMS_MOST];
	int lengths[PG_PARAMS_MOST];
	int formats[PG_PARAMS_MOST]; // 1: binary
};
void pg_param_text(struct pg_params *params, struct meow_bytes text);         // absent: NULL
void pg_param_int8(struct pg_params *params, const struct pg_number *number); // NULL: NULL
MEOW_MUST_USE PGresult *pg_run(
	struct pg_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err);

// The same, but only sends it: its rows come one by one (PQgetResult until it returns NULL).
MEOW_MUST_USE bool pg_send_rows(
	struct pg_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err);

// Runs one of the files as it stands under the store's names, with binary results. NULL and err on failure.
MEOW_MUST_USE PGresult *pg_exec(
	struct pg_store *store, const char *sql, const struct pg_params *params, struct meow_error *err);

// Runs SQL without results (BEGIN and the like).
MEOW_MUST_USE bool pg_do(struct pg_store *store, const char *sql, struct meow_error *err);

// Ends the transaction. A commit whose answer never came is MEOW_UNKNOWN_OUTCOME.
MEOW_MUST_USE bool pg_commit(struct pg_store *store, struct meow_error *err);
void pg_roll_back(struct pg_store *store); // as far as the connection still can

// Connects anew when the connection is broken. One that is the application's is left as it is, and refused while a
// statement is under way on it.
MEOW_MUST_USE bool pg_reconnect(struct pg_store *store, struct meow_error *err);

// Whether a transaction is open on the connection.
bool pg_in_transaction(const struct pg_store *store);

// Runs a statement of text parameters that returns rows, in binary; NULL and err on failure.
MEOW_MUST_USE PGresult *pg_query(
	struct pg_store *store, const char *sql, int count, const char *const *values, struct meow_error *err);

#endif
