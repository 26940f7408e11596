// What is asked over a session: how each request becomes statements, and their rows its answer.
#include "base/text.h"
#include "store/postgres/pg_event.h"
#include "store/postgres/session_pg.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- sending ---

// Once, though the statement may have to be prepared first.
static bool begin_read(struct request *request)
{
	const struct session_read *read = &request->read;
	if (read->categories)
		pg_put_array(&request->memory, read->categories, read->category_count);
	request->rows = (struct session_rows){
		.batch = batch_create(), .contiguous_to = read->after, .last = read->after, .complete = true};
	return request->rows.batch && buffer_ok(&request->memory, NULL);
}

static bool send_read(struct pg_session *session, struct request *request)
{
	const struct session_read *read = &request->read;
	struct pg_number after = pg_put64(read->after), to = pg_put64(read->to), rows = pg_put64((int64_t)read->limit_rows);
	struct pg_params params = {0};
	pg_param_int8(&params, &after);
	pg_param_int8(&params, &to);
	pg_param_int8(&params, &rows);
	int statement = SQL_READ;
	if (!request->rows.batch && !begin_read(request)) {
		requests_out_of_memory(&session->requests);
		return true; // it fails with the session
	}
	if (read->categories) {
		statement = read->show_dropped ? SQL_READ_TAIL : SQL_READ_CATEGORIES;
		params.values[params.count++] = request->memory.data; // the array, as text
	}
	if (statement != SQL_READ_TAIL)
		params.values[params.count++] = NULL; // event types: all
	return session_send(session, statement, &params, true);
}

static bool send_load(struct pg_session *session, struct request *request)
{
	char layout[16], partition[16];
	snprintf(layout, sizeof(layout), "%d", request->checkpoint.layout);
	snprintf(partition, sizeof(partition), "%d", request->checkpoint.partition);
	struct pg_params params = {3, {request->checkpoint.subscription, layout, partition}, {0}, {0}};
	return session_send(session, SQL_CHECKPOINT_LOAD, &params, false);
}

static bool send_save(struct pg_session *session, struct request *request)
{
	const struct checkpoint *save = &request->checkpoint;
	const int64_t numbers[] = {save->layout, save->partition, save->delivered, save->position, save->generation,
		save->epoch, save->error_position, save->lease_ms};
	char text[8][24];
	for (size_t i = 0; i < 8; i++)
		snprintf(text[i], sizeof(text[i]), "%" PRId64, numbers[i]);
	const char *values[16] = {save->subscription, text[0], text[1], text[2], save->fingerprint, text[3], text[4],
		text[5], save->state, save->reason, save->error_class, save->error_position ? text[6] : NULL,
		save->keep_stop ? "t" : "f", save->decision_used ? "t" : "f", save->decision_known ? "t" : "f", text[7]};
	struct pg_params params = {.count = 16};
	memcpy(params.values, values, sizeof(values));
	return session_send(session, SQL_CHECKPOINT_SAVE, &params, false);
}

// A statement that waits for a lock ends by itself before we give the connection up: behind that it would wait on, one more
// for each connection.
static bool send_settings(struct pg_session *session)
{
	buffer_clear(&session->text, SIZE_MAX);
	buffer_printf(&session->text, "%s; SET lock_timeout = %" PRId64, pg_session_settings,
		session->requests.patience_us / 1000 * 3 / 4);
	if (!buffer_ok(&session->text, NULL)) {
		requests_out_of_memory(&session->requests);
		return true; // it fails with the session
	}
	return PQsendQuery(session->conn, session->text.data) == 1;
}

bool request_send(struct pg_session *session, struct request *request)
{
	static const struct pg_params none;
	struct pg_number number = pg_put64(request->number);
	struct pg_params one = {0};
	pg_param_int8(&one, &number);
	switch (request->kind) {
	case REQUEST_OPEN:
		if (session->turn.step == 0)
			return PQsendQueryParams(session->conn, sql_identity, 0, NULL, NULL, NULL, NULL, 1) == 1;
		return send_settings(session);
	case REQUEST_READ:
		return send_read(session, request);
	case REQUEST_HEAD:
		return session_send(session, SQL_HEAD, &none, false);
	case REQUEST_LOOK:
		return session_send(session, session->turn.step == 0 ? SQL_CANDIDATE : SQL_HOLDERS, &none, false);
	case REQUEST_DOZE:
		return session_send(session, SQL_DOZE, &none, false);
	case REQUEST_FIND:
		return session_send(session, SQL_FIND, &one, false);
	case REQUEST_LOAD:
		return send_load(session, request);
	case REQUEST_SAVE:
		return send_save(session, request);
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
	case REQUEST_LEASE_RELEASE:
		return lease_send(session, request);
	case REQUEST_SET_ASIDE:
	case REQUEST_RETRY_END:
		return aside_send(session, request);
	case REQUEST_RETRY_NEXT:
		return retry_send(session, request);
	}
	return false;
}

// --- results ---

static void take_row(struct turn *turn, struct request *request, PGresult *row)
{
	struct session_rows *rows = &request->rows;
	if (turn->failed || turn->full) {
		rows->complete = false;
		PQclear(row);
		return;
	}
	int64_t id = pg_signed64(row, 0, PG_EVENT_ID);
	if (PQgetisnull(row, 0, PG_EVENT_VERSION)) {
		rows->dropped++;
		PQclear(row);
	} else if (!pg_event_add(rows->batch, row, &turn->err)) {
		turn->failed = true;
		return;
	}
	if (rows->contiguous_to == id - 1) {
		rows->contiguous_to = id;
		rows->contiguous_events = rows->batch->count;
	}
	rows->last = id;
	if (rows->batch->count + rows->dropped >= request->read.limit_rows)
		rows->complete = false;
	if (rows->batch->bytes >= request->read.limit_bytes)
		turn->full = true;
}

void request_result(struct pg_session *session, struct request *request, PGresult *result)
{
	struct turn *turn = &session->turn;
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
		take_row(turn, request, result);
		return;
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		PQclear(turn->result);
		turn->result = result;
		return;
	default:
		turn->failed = true;
		pg_result_error(session->conn, result, session->url, &turn->err);
		PQclear(result);
	}
}

// --- steps ---

static bool step_open(struct pg_session *session, struct turn *turn)
{
	if (turn->step++ > 0)
		return true;
	if (!pg_identity(session->conn, turn->result, &session->info, &session->names, &turn->err)) {
		turn->failed = true;
		return true;
	}
	session->info.wakes_waiting = !session->info.pooled;
	return session->info.pooled;
}

static bool step_look(struct turn *turn)
{
	if (turn->step++ > 0)
		return true;
	turn->candidate = pg_signed64(turn->result, 0, 0);
	return false;
}

bool request_step(struct pg_session *session, struct request *request)
{
	struct turn *turn = &session->turn;
	if (turn->failed)
		return true;
	if (request->kind == REQUEST_OPEN)
		return step_open(session, turn);
	if (request->kind == REQUEST_LOOK)
		return step_look(turn);
	return true;
}

// --- answers ---

static void answer_look(struct request *request, struct turn *turn)
{
	const PGresult *result = turn->result;
	size_t count = (size_t)PQntuples(result);
	struct session_holder *holders = count ? calloc(count, sizeof(*holders)) : NULL;
	if (count && !holders) {
		error_no_memory(&turn->err);
		request->fn.look(request->arg, NULL, &turn->err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		pg_holder(result, (int)i, &holders[i]);
	request->fn.look(request->arg, &(struct session_look){turn->candidate, holders, count}, NULL);
	free(holders);
}

static const char *text_or_null(const PGresult *result, int column)
{
	return PQgetisnull(result, 0, column) ? NULL : PQgetvalue(result, 0, column);
}

static bool is_true(const PGresult *result, int column)
{
	return !PQgetisnull(result, 0, column) && *PQgetvalue(result, 0, column) != 0;
}

static void answer_load(struct request *request, const PGresult *result)
{
	struct checkpoint loaded = {.subscription = request->checkpoint.subscription,
		.layout = request->checkpoint.layout,
		.partition = request->checkpoint.partition};
	if (PQntuples(result) == 1) {
		loaded.delivered = pg_signed64(result, 0, 0);
		loaded.fingerprint = text_or_null(result, 1);
		loaded.position = pg_signed64(result, 0, 2);
		loaded.generation = pg_signed64(result, 0, 3);
		loaded.epoch = pg_signed64(result, 0, 4);
		loaded.state = text_or_null(result, 5);
		loaded.reason = text_or_null(result, 6);
		loaded.error_class = text_or_null(result, 7);
		loaded.error_position = PQgetisnull(result, 0, 8) ? 0 : pg_signed64(result, 0, 8);
		loaded.paused = is_true(result, 9);
		loaded.stop_kept = is_true(result, 10);
		loaded.resume_from_store = is_true(result, 11);
		loaded.dead_letters = pg_signed64(result, 0, 12);
		loaded.dead_letter_age_us = PQgetisnull(result, 0, 13) ? 0 : pg_signed64(result, 0, 13);
		loaded.held = text_or_null(result, 14);
	}
	request->fn.checkpoint(request->arg, &loaded, NULL);
}

static void answer_save(struct request *request, const PGresult *result)
{
	if (PQntuples(result) == 1) {
		request->fn.done(request->arg, NULL);
		return;
	}
	struct meow_error err;
	error_set(&err, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved: nothing was written",
		request->checkpoint.subscription);
	request->fn.done(request->arg, &err);
}

static void answer_find(struct request *request, struct turn *turn)
{
	struct meow_event event;
	if (PQntuples(turn->result) == 0)
		request->fn.event(request->arg, NULL, NULL);
	else if (pg_event_decode(turn->result, 0, &event, &turn->err))
		request->fn.event(request->arg, &event, NULL);
	else
		request->fn.event(request->arg, NULL, &turn->err);
}

void request_answer(struct pg_session *session, struct request *request, struct turn *turn)
{
	switch (request->kind) {
	case REQUEST_OPEN:
		request->fn.open(request->arg, &session->info, NULL);
		return;
	case REQUEST_READ: // answered with its rows, by the queue
		return;
	case REQUEST_HEAD:
		request->fn.head(request->arg, pg_signed64(turn->result, 0, 0), NULL);
		return;
	case REQUEST_LOOK:
		answer_look(request, turn);
		return;
	case REQUEST_DOZE:
		request->fn.done(request->arg, NULL);
		return;
	case REQUEST_SAVE:
		answer_save(request, turn->result);
		return;
	case REQUEST_FIND:
		answer_find(request, turn);
		return;
	case REQUEST_LOAD:
		answer_load(request, turn->result);
		return;
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
	case REQUEST_LEASE_RELEASE:
		lease_answer(request, turn->result);
		return;
	case REQUEST_SET_ASIDE:
	case REQUEST_RETRY_END:
		aside_answer(request, turn->result);
		return;
	case REQUEST_RETRY_NEXT:
		retry_answer(request, turn->result);
		return;
	}
}
