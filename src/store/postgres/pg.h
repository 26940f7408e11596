// pg.h: what the blocking store and the session share: connection strings, and errors out of libpq's.
#ifndef STORE_POSTGRES_PG_H
#define STORE_POSTGRES_PG_H

#include "store/fingerprint.h"
#include "store/session.h"
#include "store/store.h"

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

// Keeps libpq from writing what a server says by the way ("terminating connection ...") to standard error.
void pg_silence(PGconn *conn);

// Fills err from a connection that failed or broke: MEOW_DENIED (password, rights), MEOW_CONFIG (no such database),
// else MEOW_UNAVAILABLE. Names host, port and database, never the password. Returns false.
bool pg_connection_error(PGconn *conn, const char *url, struct meow_error *err);

// Fills err from a statement that failed. result may be NULL (no memory, or a broken connection). Returns false.
bool pg_result_error(PGconn *conn, const PGresult *result, const char *url, struct meow_error *err);

// A blocking connection, checked and set up as ours. NULL on failure.
MEOW_MUST_USE PGconn *pg_connect(const char *url, struct meow_error *err);

// Checks what identity.sql returned and fills *ret_info. MEOW_CONFIG: not set up, newer, not UTF8; MEOW_DENIED: standby.
MEOW_MUST_USE bool pg_identity(
	PGconn *conn, const PGresult *result, struct session_info *ret_info, struct meow_error *err);

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

// A look: the sequence first, then, in a statement of its own, who holds it. The caller frees *ret_holders.
MEOW_MUST_USE bool pg_look(struct meow_store *store, int64_t *ret_head, struct session_holder **ret_holders,
	size_t *ret_count, struct meow_error *err);

// Inside the blocking store.
struct meow_store {
	PGconn *conn;
	char *url;
	struct session_info info;
	uint64_t prepared; // one bit a statement, by enum pg_statement
};

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
	struct meow_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err);

// The same, but only sends it: its rows come one by one (PQgetResult until it returns NULL).
MEOW_MUST_USE bool pg_send_rows(
	struct meow_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err);

// What can be said of an event without asking the server. The text goes on after "event 3" or "the event".
MEOW_MUST_USE bool pg_check_event(const struct meow_new_event *event, struct meow_error *err);

// Runs SQL without results (BEGIN and the like), or text parameters.
MEOW_MUST_USE bool pg_do(struct meow_store *store, const char *sql, struct meow_error *err);

// Connects anew when the connection is broken.
MEOW_MUST_USE bool pg_reconnect(struct meow_store *store, struct meow_error *err);

#endif
