// The connection of a session: libpq without blocking, on the loop. Requests go out one at a time;
// a statement whose rows are still arriving is never left waiting for the sink, since its limits were chosen so that
// they fit. (Looking up the server's name may block, as libpq says of PQconnectStart: that stalls this executor alone.)
#include "store/postgres/session_pg.h"

#include "store_postgres_sql.h"

#include <stdlib.h>
#include <string.h>

#define CONNECT_TIMEOUT_US INT64_C(10000000)

static const struct {
	const char *name;
	const char *sql;
} statements[SQL_COUNT] = {
	[SQL_READ] = {"meowmx_read", sql_read},
	[SQL_READ_TAIL] = {"meowmx_read_tail", sql_read_tail},
	[SQL_READ_CATEGORIES] = {"meowmx_read_categories", sql_read_categories},
	[SQL_HEAD] = {"meowmx_head", sql_head},
	[SQL_CANDIDATE] = {"meowmx_candidate", sql_candidate},
	[SQL_HOLDERS] = {"meowmx_holders", sql_holders},
	[SQL_DOZE] = {"meowmx_doze_now", sql_doze},
	[SQL_FIND] = {"meowmx_find", sql_find},
	[SQL_CHECKPOINT_LOAD] = {"meowmx_checkpoint_load", sql_checkpoint_load},
	[SQL_CHECKPOINT_SAVE] = {"meowmx_checkpoint_save", sql_checkpoint_save},
	[SQL_LEASE_ACQUIRE] = {"meowmx_lease_acquire", sql_lease_acquire},
	[SQL_LEASE_RENEW] = {"meowmx_lease_renew", sql_lease_renew},
	[SQL_LEASE_RELEASE] = {"meowmx_lease_release", sql_lease_release},
	[SQL_SET_ASIDE] = {"meowmx_set_aside", sql_set_aside},
	[SQL_RETRY_NEXT] = {"meowmx_retry_next", sql_retry_next},
	[SQL_RETRY_END] = {"meowmx_retry_end", sql_retry_end},
};

static void pump(struct pg_session *session);

static void finish(struct requests *requests)
{
	struct pg_session *session = (struct pg_session *)requests;
	requests_finish(requests);
	loop_io_destroy(session->io);
	PQclear(session->turn.result);
	PQfinish(session->conn);
	pg_conninfo_finish(&session->conninfo);
	buffer_finish(&session->text);
	free(session->url);
	free(session);
}

static void stop(struct requests *requests)
{
	struct pg_session *session = (struct pg_session *)requests;
	loop_io_destroy(session->io);
	session->io = NULL;
}

static void answer(struct requests *requests, struct request *request, void *found)
{
	request_answer((struct pg_session *)requests, request, found);
}

// What the callback asks for begins a turn of its own. False: the session is gone.
static bool answer_first(struct pg_session *session)
{
	struct turn turn = session->turn;
	session->turn = (struct turn){0};
	session->sent = false;
	bool alive = requests_answer(&session->requests, turn.failed ? &turn.err : NULL, &turn);
	PQclear(turn.result);
	return alive;
}

static void die_of_connection(struct pg_session *session)
{
	struct meow_error err;
	pg_connection_error(session->conn, session->url, &err);
	if (session->connected && err.kind != MEOW_DENIED)
		err.kind = MEOW_UNAVAILABLE;
	requests_die(&session->requests, &err);
}

static void watch(struct pg_session *session)
{
	int flushed = PQflush(session->conn);
	if (flushed < 0)
		die_of_connection(session);
	else
		loop_io_watch(session->io, true, flushed > 0);
}

static bool statement_over(struct pg_session *session)
{
	session->sent = false;
	if (session->preparing) {
		if (session->turn.failed)
			session->prepared &= ~(UINT64_C(1) << (session->preparing - 1));
		session->preparing = 0;
		return session->turn.failed ? answer_first(session) : true;
	}
	return request_step(session, session->requests.first) ? answer_first(session) : true;
}

// Takes in what has arrived. False if the session is gone.
static bool take_results(struct pg_session *session)
{
	while (session->sent && !PQisBusy(session->conn)) {
		PGresult *result = PQgetResult(session->conn);
		if (result)
			request_result(session, session->requests.first, result);
		else if (!statement_over(session))
			return false;
		else if (!session->requests.dead)
			pump(session);
		if (session->requests.dead)
			return true;
	}
	return true;
}

static void take_notifications(struct pg_session *session)
{
	bool any = false;
	PGnotify *notification;
	while ((notification = PQnotifies(session->conn)) != NULL) {
		any = true;
		PQfreemem(notification);
	}
	if (any && !requests_notify(&session->requests))
		return; // it is gone
}

static void on_socket(void *arg, bool readable, bool writable)
{
	struct pg_session *session = arg;
	(void)writable;
	if (readable)
		session->heard_us = loop_now_us(session->requests.loop);
	if (readable && !PQconsumeInput(session->conn)) {
		// A last result may say why: an administrator's command, a restart.
		PGresult *result = PQgetResult(session->conn);
		struct meow_error err;
		pg_result_error(session->conn, result, session->url, &err);
		PQclear(result);
		if (err.kind != MEOW_DENIED)
			err.kind = MEOW_UNAVAILABLE;
		requests_die(&session->requests, &err);
		return;
	}
	if (!take_results(session))
		return;
	if (session->requests.dead)
		return;
	if (PQstatus(session->conn) == CONNECTION_BAD) {
		die_of_connection(session);
		return;
	}
	watch(session);
	take_notifications(session);
}

static void on_connecting(void *arg, bool readable, bool writable);

static bool watch_connecting(struct pg_session *session, PostgresPollingStatusType status)
{
	int fd = PQsocket(session->conn); // may change from one poll to the next: a second address, or TLS given up
	loop_io_destroy(session->io);
	session->io = loop_io_create(session->requests.loop, fd, on_connecting, session);
	if (!session->io)
		return false;
	loop_io_watch(session->io, status == PGRES_POLLING_READING, status == PGRES_POLLING_WRITING);
	return true;
}

static void connected(struct pg_session *session)
{
	loop_timer_stop(session->requests.timer);
	session->connected = true;
	loop_io_destroy(session->io);
	session->io = loop_io_create(session->requests.loop, PQsocket(session->conn), on_socket, session);
	if (!session->io || PQsetnonblocking(session->conn, 1) != 0) {
		requests_out_of_memory(&session->requests);
		return;
	}
	pump(session);
	if (!session->requests.dead)
		watch(session);
}

static void on_connecting(void *arg, bool readable, bool writable)
{
	struct pg_session *session = arg;
	(void)readable;
	(void)writable;
	PostgresPollingStatusType status = PQconnectPoll(session->conn);
	if (status == PGRES_POLLING_OK) {
		connected(session);
	} else if (status == PGRES_POLLING_FAILED) {
		die_of_connection(session);
	} else if (!watch_connecting(session, status)) {
		requests_out_of_memory(&session->requests);
	}
}

static void die_of_silence(struct pg_session *session, int64_t silent_us)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "PostgreSQL at %s:%s did not answer within %g s", PQhost(session->conn),
		PQport(session->conn), 1e-6 * (double)silent_us);
	requests_die(&session->requests, &err);
}

static void on_timer(void *arg)
{
	struct pg_session *session = arg;
	struct requests *requests = &session->requests;
	if (requests->dead) {
		requests_fail(requests);
	} else if (!session->connected) {
		die_of_silence(session, CONNECT_TIMEOUT_US);
	} else if (session->sent) {
		int64_t left_us = session->heard_us + requests->patience_us - loop_now_us(requests->loop);
		if (left_us > 0)
			loop_timer_start(requests->timer, left_us);
		else
			die_of_silence(session, requests->patience_us);
	}
}

static void expect_answer(struct pg_session *session)
{
	session->sent = true;
	session->heard_us = loop_now_us(session->requests.loop);
	if (!loop_timer_running(session->requests.timer))
		loop_timer_start(session->requests.timer, session->requests.patience_us);
}

static bool start_connecting(struct pg_session *session)
{
	session->conn = PQconnectStartParams(session->conninfo.keywords, session->conninfo.values, 0);
	if (!session->conn || PQstatus(session->conn) == CONNECTION_BAD)
		return false;
	pg_silence(session->conn);
	loop_timer_start(session->requests.timer, CONNECT_TIMEOUT_US);
	return watch_connecting(session, PGRES_POLLING_WRITING);
}

// Sends the first request's statement if nothing is under way.
static void pump(struct pg_session *session)
{
	if (session->requests.dead || session->sent || !session->requests.first)
		return;
	if (!session->connected) {
		if (!session->conn && !start_connecting(session))
			die_of_connection(session);
		return;
	}
	expect_answer(session);
	if (!request_send(session, session->requests.first))
		die_of_connection(session);
}

bool session_send(struct pg_session *session, int statement, const struct pg_params *params, bool single)
{
	bool known = session->prepared & (UINT64_C(1) << statement);
	const char *sql = NULL;
	if ((session->info.pooled || !known) &&
		!(sql = pg_names_apply(&session->names, statements[statement].sql, &session->text))) {
		requests_out_of_memory(&session->requests);
		return true; // it fails with the session
	}
	if (!session->info.pooled && !known) {
		session->prepared |= UINT64_C(1) << statement;
		session->preparing = statement + 1;
		return PQsendPrepare(session->conn, statements[statement].name, sql, 0, NULL) == 1;
	}
	int sent = session->info.pooled ? PQsendQueryParams(session->conn, sql, params->count, NULL, params->values,
										  params->lengths, params->formats, 1)
									: PQsendQueryPrepared(session->conn, statements[statement].name, params->count,
										  params->values, params->lengths, params->formats, 1);
	return sent == 1 && (!single || PQsetSingleRowMode(session->conn) == 1);
}

static void start(struct requests *requests)
{
	struct pg_session *session = (struct pg_session *)requests;
	pump(session);
	if (session->connected && !requests->dead && session->io)
		watch(session);
}

static const struct requests_impl impl = {.start = start, .answer = answer, .stop = stop, .finish = finish};

struct session *pg_session_create(const char *url, struct loop *loop, struct meow_error *err)
{
	struct pg_session *session = calloc(1, sizeof(*session));
	if (!session) {
		error_no_memory(err);
		return NULL;
	}
	session->url = strdup(url);
	bool ok = requests_init(&session->requests, &impl, loop, on_timer) && session->url;
	if (!ok)
		error_no_memory(err);
	if (!ok || !pg_conninfo_init(&session->conninfo, url, err)) {
		finish(&session->requests);
		return NULL;
	}
	return &session->requests.session;
}
