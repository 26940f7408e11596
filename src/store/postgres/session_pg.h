// session_pg.h: inside the session on PostgreSQL: the connection (session_pg.c) and what is asked over it
// (session_requests.c).
#ifndef STORE_POSTGRES_SESSION_PG_H
#define STORE_POSTGRES_SESSION_PG_H

#include "store/postgres/pg.h"

struct pg_session;

enum request_kind {
	REQUEST_OPEN,
	REQUEST_READ,
	REQUEST_HEAD,
	REQUEST_LOOK,
	REQUEST_DOZE,
	REQUEST_FIND,
	REQUEST_LOAD,
	REQUEST_SAVE,
	REQUEST_LEASE_ACQUIRE,
	REQUEST_LEASE_RENEW,
	REQUEST_LEASE_RELEASE,
	REQUEST_SET_ASIDE,
};

// One request: sent in one or more steps, each a statement whose results all arrive before the next step.
struct request {
	enum request_kind kind;
	int step;
	struct request *next;
	bool pooled; // one of the session's own
	bool used;
	union {
		session_open_fn *open;
		session_rows_fn *rows;
		session_look_fn *look;
		session_head_fn *head;
		session_done_fn *done;
		session_event_fn *event;
		session_checkpoint_fn *checkpoint;
		session_lease_fn *lease;
	} fn;
	void *arg;
	bool forgotten; // nobody waits for the answer any more
	bool failed;    // the statement under way failed: err says how
	struct meow_error err;
	PGresult *result;         // of a statement that returns at most a few rows
	struct session_read read; // REQUEST_READ
	struct session_rows rows;
	bool full;                      // a limit was reached: the rest of the rows is dropped
	int64_t number;                 // the position to find, the candidate of a look
	struct checkpoint checkpoint;   // REQUEST_LOAD and REQUEST_SAVE; its texts point into memory
	struct session_lease lease;     // REQUEST_LEASE_...: as well
	struct session_letters letters; // REQUEST_SET_ASIDE: as well
	struct buffer memory;
};

// The statements, by their place in a table with name and text.
enum {
	SQL_READ,
	SQL_READ_TAIL,
	SQL_READ_CATEGORIES,
	SQL_HEAD,
	SQL_HOLDERS,
	SQL_DOZE,
	SQL_FIND,
	SQL_CHECKPOINT_LOAD,
	SQL_CHECKPOINT_SAVE,
	SQL_LEASE_ACQUIRE,
	SQL_LEASE_RENEW,
	SQL_LEASE_RELEASE,
	SQL_SET_ASIDE,
	SQL_COUNT,
};

// So many requests are there without asking for memory. Nobody has more of them under way; should it happen where
// there is no memory either, the session ends, and with it all that were under way.
#define REQUEST_POOL 8

struct pg_session {
	struct session session;
	struct loop *loop;
	PGconn *conn;
	char *url;
	struct pg_conninfo conninfo;
	struct loop_io *io;
	int fd;
	struct loop_timer *timer; // the connection's time-out; once dead: answers what waits
	struct request pool[REQUEST_POOL];
	struct request *first, **end;
	bool connected;
	bool sent;      // the first request's statement is under way
	int preparing;  // what is under way is the PREPARE of this statement, plus one; 0: none
	bool dead;      // err says why: all requests fail
	bool inside;    // a callback is running
	bool destroyed; // to be freed when the callback returns
	struct meow_error err;
	uint64_t prepared;
	struct session_info info;
	struct pg_names names;
	struct buffer text; // the statement that was sent last, where names had to be put in
	loop_fn *notify;
	void *notify_arg;
};

// Dead letters (session_aside.c).
MEOW_MUST_USE bool aside_send(struct pg_session *session, struct request *request);
void aside_answer(struct request *request);
void pg_session_set_aside(
	struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);

// Sends the statement of the first request's step. False: the connection failed.
MEOW_MUST_USE bool request_send(struct pg_session *session, struct request *request);

// Takes a result of the first request (owned from now on).
void request_result(struct pg_session *session, struct request *request, PGresult *result);

// The statement is over. True if the request is complete, false if it has another step.
bool request_step(struct pg_session *session, struct request *request);

// Calls back, with the request's own failure or with err, and frees the request.
void request_answer(struct pg_session *session, struct request *request, const struct meow_error *err);
void request_free(struct request *request);

// Sends one of the statements above. single: row by row.
MEOW_MUST_USE bool session_send(struct pg_session *session, int statement, const struct pg_params *params, bool single);

extern const struct session_impl pg_session_impl;
void pg_session_destroy(struct session *base);
void pg_session_forget(struct session *base, void *arg);
void pg_session_on_notify(struct session *base, loop_fn *fn, void *arg);

// Ends the session for want of memory: every request fails.
void session_out_of_memory(struct pg_session *session);

void session_enqueue(struct pg_session *session, struct request *request); // takes

// A request that is not enqueued yet; NULL without memory. Texts that it needs are copied into its memory, for which room
// is made beforehand, so that they do not move.
struct request *request_create(struct session *base, enum request_kind kind, void *arg);
const char *request_keep(struct request *request, const char *text);

// Leases (session_lease.c).
MEOW_MUST_USE bool lease_send(struct pg_session *session, struct request *request);
void lease_answer(struct request *request);
void pg_session_lease_acquire(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
void pg_session_lease_renew(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
void pg_session_lease_release(
	struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg);

#endif
