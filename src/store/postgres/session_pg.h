// session_pg.h: inside the session on PostgreSQL: the connection (session_pg.c) and what is asked over it
// (session_requests.c).
#ifndef STORE_POSTGRES_SESSION_PG_H
#define STORE_POSTGRES_SESSION_PG_H

#include "store/postgres/pg.h"
#include "store/requests.h"

// How far the first request is: each takes one or more steps, each a statement whose results all arrive before the next.
struct turn {
	int step;
	bool failed; // the statement under way failed: err says how
	bool full;   // a limit of a read was reached: the rest of its rows is dropped
	struct meow_error err;
	PGresult *result;  // of a statement that returns at most a few rows; owned
	int64_t candidate; // of a look
};

// The statements, by their place in a table with name and text.
enum {
	SQL_READ,
	SQL_READ_TAIL,
	SQL_READ_CATEGORIES,
	SQL_HEAD,
	SQL_CANDIDATE,
	SQL_HOLDERS,
	SQL_DOZE,
	SQL_FIND,
	SQL_CHECKPOINT_LOAD,
	SQL_CHECKPOINT_SAVE,
	SQL_LEASE_ACQUIRE,
	SQL_LEASE_RENEW,
	SQL_LEASE_RELEASE,
	SQL_SET_ASIDE,
	SQL_RETRY_NEXT,
	SQL_RETRY_END,
	SQL_COUNT,
};

struct pg_session {
	struct requests requests;
	PGconn *conn;
	char *url;
	struct pg_conninfo conninfo;
	struct loop_io *io;
	bool connected;
	bool sent;        // the first request's statement is under way
	int64_t heard_us; // when anything last came, or that was sent
	int preparing;    // what is under way is the PREPARE of this statement, plus one; 0: none
	struct turn turn;
	uint64_t prepared;
	struct session_info info;
	struct pg_names names;
	struct buffer text; // the statement that was sent last, where names had to be put in
};

// Sends the statement of the first request's step. False: the connection failed.
MEOW_MUST_USE bool request_send(struct pg_session *session, struct request *request);

// Takes a result of the first request (owned from now on).
void request_result(struct pg_session *session, struct request *request, PGresult *result);

// The statement is over. True if the request is complete, false if it has another step.
bool request_step(struct pg_session *session, struct request *request);

// Calls back with what its statements returned.
void request_answer(struct pg_session *session, struct request *request, struct turn *turn);

// Sends one of the statements above. single: row by row.
MEOW_MUST_USE bool session_send(struct pg_session *session, int statement, const struct pg_params *params, bool single);

// Dead letters (session_aside.c) and leases (session_lease.c).
MEOW_MUST_USE bool aside_send(struct pg_session *session, const struct request *request);
void aside_answer(struct request *request, const PGresult *result);
MEOW_MUST_USE bool retry_send(struct pg_session *session, const struct request *request);
void retry_answer(struct request *request, const PGresult *result);
MEOW_MUST_USE bool lease_send(struct pg_session *session, const struct request *request);
void lease_answer(struct request *request, const PGresult *result);

#endif
