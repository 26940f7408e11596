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

static bool send_read(struct pg_session *session, struct request *request)
{
	const struct session_read *read = &request->read;
	struct pg_number after = pg_put64(read->after), to = pg_put64(read->to), rows = pg_put64((int64_t)read->limit_rows);
	struct pg_params params = {0};
	pg_param_int8(&params, &after);
	pg_param_int8(&params, &to);
	pg_param_int8(&params, &rows);
	int statement = SQL_READ;
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

bool request_send(struct pg_session *session, struct request *request)
{
	static const struct pg_params none;
	struct pg_number number = pg_put64(request->number);
	struct pg_params one = {0};
	pg_param_int8(&one, &number);
	switch (request->kind) {
	case REQUEST_OPEN:
		if (request->step == 0)
			return PQsendQueryParams(session->conn, sql_identity, 0, NULL, NULL, NULL, NULL, 1) == 1;
		return PQsendQuery(session->conn, pg_session_settings) == 1;
	case REQUEST_READ:
		return send_read(session, request);
	case REQUEST_HEAD:
		return session_send(session, SQL_HEAD, &none, false);
	case REQUEST_LOOK:
		return session_send(session, request->step == 0 ? SQL_HEAD : SQL_HOLDERS, &none, false);
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
		return aside_send(session, request);
	}
	return false;
}

// --- results ---

static void take_row(struct request *request, PGresult *row)
{
	struct session_rows *rows = &request->rows;
	if (request->failed || request->full) {
		rows->complete = false;
		PQclear(row);
		return;
	}
	int64_t id = pg_signed64(row, 0, PG_EVENT_ID);
	if (PQgetisnull(row, 0, PG_EVENT_VERSION)) {
		rows->dropped++;
		PQclear(row);
	} else if (!pg_event_add(rows->batch, row, &request->err)) {
		request->failed = true;
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
		request->full = true;
}

void request_result(struct pg_session *session, struct request *request, PGresult *result)
{
	switch (PQresultStatus(result)) {
	case PGRES_SINGLE_TUPLE:
		take_row(request, result);
		return;
	case PGRES_TUPLES_OK:
	case PGRES_COMMAND_OK:
		PQclear(request->result);
		request->result = result;
		return;
	default:
		request->failed = true;
		pg_result_error(session->conn, result, session->url, &request->err);
		PQclear(result);
	}
}

// --- steps ---

static bool step_open(struct pg_session *session, struct request *request)
{
	if (request->step++ > 0)
		return true;
	if (!pg_identity(session->conn, request->result, &session->info, &session->names, &request->err)) {
		request->failed = true;
		return true;
	}
	session->info.wakes_waiting = !session->info.pooled;
	return session->info.pooled;
}

static bool step_look(struct request *request)
{
	if (request->step++ > 0)
		return true;
	request->number = pg_signed64(request->result, 0, 0);
	return false;
}

bool request_step(struct pg_session *session, struct request *request)
{
	if (request->failed)
		return true;
	if (request->kind == REQUEST_OPEN)
		return step_open(session, request);
	if (request->kind == REQUEST_LOOK)
		return step_look(request);
	return true;
}

// --- answers ---

static void answer_look(struct request *request)
{
	const PGresult *result = request->result;
	size_t count = (size_t)PQntuples(result);
	struct session_holder *holders = count ? calloc(count, sizeof(*holders)) : NULL;
	if (count && !holders) {
		error_no_memory(&request->err);
		request->fn.look(request->arg, NULL, &request->err);
		return;
	}
	for (size_t i = 0; i < count; i++)
		pg_holder(result, (int)i, &holders[i]);
	request->fn.look(request->arg, &(struct session_look){request->number, holders, count}, NULL);
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

static void answer_load(struct request *request)
{
	const PGresult *result = request->result;
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

static void answer_save(struct request *request)
{
	if (PQntuples(request->result) == 1) {
		request->fn.done(request->arg, NULL);
		return;
	}
	struct meow_error err;
	error_set(&err, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved: nothing was written",
		request->checkpoint.subscription);
	request->fn.done(request->arg, &err);
}

static void answer_find(struct request *request)
{
	struct meow_event event;
	if (PQntuples(request->result) == 0)
		request->fn.event(request->arg, NULL, NULL);
	else if (pg_event_decode(request->result, 0, &event, &request->err))
		request->fn.event(request->arg, &event, NULL);
	else
		request->fn.event(request->arg, NULL, &request->err);
}

static void answer_rows(struct request *request)
{
	struct session_rows rows = request->rows;
	request->rows.batch = NULL; // the callback's now
	request->fn.rows(request->arg, &rows, NULL);
}

static void answer_failure(struct request *request, const struct meow_error *err)
{
	switch (request->kind) {
	case REQUEST_OPEN:
		request->fn.open(request->arg, NULL, err);
		return;
	case REQUEST_READ:
		request->fn.rows(request->arg, NULL, err);
		return;
	case REQUEST_HEAD:
		request->fn.head(request->arg, 0, err);
		return;
	case REQUEST_LOOK:
		request->fn.look(request->arg, NULL, err);
		return;
	case REQUEST_DOZE:
	case REQUEST_SAVE:
	case REQUEST_LEASE_RELEASE:
	case REQUEST_SET_ASIDE:
		request->fn.done(request->arg, err);
		return;
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
		request->fn.lease(request->arg, NULL, err);
		return;
	case REQUEST_FIND:
		request->fn.event(request->arg, NULL, err);
		return;
	case REQUEST_LOAD:
		request->fn.checkpoint(request->arg, NULL, err);
		return;
	}
}

static void answer_success(struct pg_session *session, struct request *request)
{
	switch (request->kind) {
	case REQUEST_OPEN:
		request->fn.open(request->arg, &session->info, NULL);
		return;
	case REQUEST_READ:
		answer_rows(request);
		return;
	case REQUEST_HEAD:
		request->fn.head(request->arg, pg_signed64(request->result, 0, 0), NULL);
		return;
	case REQUEST_LOOK:
		answer_look(request);
		return;
	case REQUEST_DOZE:
		request->fn.done(request->arg, NULL);
		return;
	case REQUEST_SAVE:
		answer_save(request);
		return;
	case REQUEST_FIND:
		answer_find(request);
		return;
	case REQUEST_LOAD:
		answer_load(request);
		return;
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
	case REQUEST_LEASE_RELEASE:
		lease_answer(request);
		return;
	case REQUEST_SET_ASIDE:
		aside_answer(request);
		return;
	}
}

void request_answer(struct pg_session *session, struct request *request, const struct meow_error *err)
{
	if (!request->forgotten) {
		if (err || request->failed)
			answer_failure(request, err ? err : &request->err);
		else
			answer_success(session, request);
	}
	request_free(request);
}

void request_free(struct request *request)
{
	if (!request)
		return;
	PQclear(request->result);
	batch_destroy(request->rows.batch);
	buffer_finish(&request->memory);
	if (request->pooled)
		request->used = false;
	else
		free(request);
}

// --- the calls of session.h ---

struct request *request_create(struct session *base, enum request_kind kind, void *arg)
{
	struct pg_session *session = (struct pg_session *)base;
	struct request *request = NULL;
	for (size_t i = 0; i < REQUEST_POOL && !request; i++)
		if (!session->pool[i].used)
			request = &session->pool[i];
	bool pooled = request != NULL;
	if (!pooled && !(request = malloc(sizeof(*request))))
		return NULL;
	*request = (struct request){.kind = kind, .arg = arg, .pooled = pooled, .used = true};
	buffer_init(&request->memory);
	return request;
}

static void call_open(struct session *session, session_open_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_OPEN, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.open = fn;
	session_enqueue((struct pg_session *)session, request);
}

static void call_read(struct session *session, const struct session_read *read, session_rows_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_READ, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.rows = fn;
	request->read = *read;
	if (read->categories)
		pg_put_array(&request->memory, read->categories, read->category_count);
	request->rows = (struct session_rows){
		.batch = batch_create(), .contiguous_to = read->after, .last = read->after, .complete = true};
	bool ok = request->rows.batch && buffer_ok(&request->memory, NULL);
	if (!ok)
		session_out_of_memory((struct pg_session *)session); // which answers this one, too
	session_enqueue((struct pg_session *)session, request);
}

static void call_head(struct session *session, session_head_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_HEAD, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.head = fn;
	session_enqueue((struct pg_session *)session, request);
}

static void call_look(struct session *session, session_look_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_LOOK, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.look = fn;
	session_enqueue((struct pg_session *)session, request);
}

static void call_doze(struct session *session, session_done_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_DOZE, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.done = fn;
	session_enqueue((struct pg_session *)session, request);
}

static void call_find(struct session *session, int64_t position, session_event_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_FIND, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.event = fn;
	request->number = position;
	session_enqueue((struct pg_session *)session, request);
}

const char *request_keep(struct request *request, const char *text)
{
	if (!text)
		return NULL;
	size_t place = request->memory.size;
	buffer_put(&request->memory, text, strlen(text) + 1);
	return request->memory.data + place;
}

static size_t kept_size(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

static bool keep_checkpoint(struct request *request, const struct checkpoint *from)
{
	size_t size = kept_size(from->subscription) + kept_size(from->fingerprint) + kept_size(from->state) +
				  kept_size(from->reason) + kept_size(from->error_class);
	if (!buffer_room(&request->memory, size + 1))
		return false;
	request->checkpoint = *from;
	request->checkpoint.subscription = request_keep(request, from->subscription);
	request->checkpoint.fingerprint = request_keep(request, from->fingerprint);
	request->checkpoint.state = request_keep(request, from->state);
	request->checkpoint.reason = request_keep(request, from->reason);
	request->checkpoint.error_class = request_keep(request, from->error_class);
	return true;
}

static void call_load(
	struct session *session, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_LOAD, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.checkpoint = fn;
	const struct checkpoint wanted = {.subscription = subscription, .layout = layout, .partition = partition};
	if (!keep_checkpoint(request, &wanted))
		session_out_of_memory((struct pg_session *)session);
	session_enqueue((struct pg_session *)session, request);
}

static void call_save(struct session *session, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg)
{
	struct request *request = request_create(session, REQUEST_SAVE, arg);
	if (!request) {
		session_out_of_memory((struct pg_session *)session);
		return;
	}
	request->fn.done = fn;
	if (!keep_checkpoint(request, checkpoint))
		session_out_of_memory((struct pg_session *)session);
	session_enqueue((struct pg_session *)session, request);
}

const struct session_impl pg_session_impl = {
	.destroy = pg_session_destroy,
	.open = call_open,
	.forget = pg_session_forget,
	.on_notify = pg_session_on_notify,
	.read = call_read,
	.head = call_head,
	.look = call_look,
	.doze = call_doze,
	.find = call_find,
	.checkpoint_load = call_load,
	.checkpoint_save = call_save,
	.set_aside = pg_session_set_aside,
	.lease_acquire = pg_session_lease_acquire,
	.lease_renew = pg_session_lease_renew,
	.lease_release = pg_session_lease_release,
};
