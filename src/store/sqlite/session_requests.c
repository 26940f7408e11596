// What is asked over a session, and how it is answered. Everything that a request reads, it reads in one snapshot, in
// which no id at or below the highest can be missing and still come: what a read returns, and the gaps in it, are
// settled by that alone.
#include "base/text.h"
#include "store/sqlite/session_lite.h"
#include "store_sqlite_sql.h"

#include <stdlib.h>
#include <string.h>

#define KEEP_BYTES 4096 // of a checkpoint's texts

// --- reading ---

void lite_session_finish_sources(struct lite_session *session)
{
	for (size_t i = 0; i < session->source_count; i++)
		sqlite3_finalize(session->sources[i].statement);
	free(session->sources);
	session->sources = NULL;
	session->source_count = 0;
}

// One statement for each category; they are kept for the next read.
static bool make_sources(struct lite_session *session, size_t count, struct meow_error *err)
{
	if (session->source_count >= count)
		return true;
	struct source *sources = realloc(session->sources, count * sizeof(*sources));
	if (!sources)
		return error_no_memory(err);
	session->sources = sources;
	for (; session->source_count < count; session->source_count++) {
		struct source *source = &sources[session->source_count];
		*source = (struct source){.row = false};
		if (sqlite3_prepare_v3(session->lite.db, sql_read_category, -1, SQLITE_PREPARE_PERSISTENT, &source->statement,
				NULL) != SQLITE_OK)
			return lite_error(&session->lite, sqlite3_extended_errcode(session->lite.db), err);
	}
	return true;
}

// Adds the row. False once a limit is reached, or, with err filled, without memory.
static bool take_row(struct request *request, struct lite_call *call, bool *ret_ok, struct meow_error *err)
{
	struct session_rows *rows = &request->rows;
	*ret_ok = lite_add_event(rows->batch, call, err);
	if (!*ret_ok)
		return false;
	rows->last = lite_int(call, 0);
	if (rows->batch->count < request->read.limit_rows && rows->batch->bytes < request->read.limit_bytes)
		return true;
	rows->complete = false;
	return false;
}

static bool read_all(struct lite_session *session, struct request *request, struct meow_error *err)
{
	struct lite_call call = lite_call(&session->lite, LITE_READ);
	lite_put_int(&call, request->read.after + 1);
	lite_put_int(&call, request->read.to);
	lite_put_int(&call, (int64_t)request->read.limit_rows);
	lite_put_null(&call);
	bool ok = true;
	enum lite_step step;
	while ((step = lite_step(&call, err)) == LITE_ROW)
		if (!take_row(request, &call, &ok, err))
			break;
	lite_end(&call);
	return ok && step != LITE_FAILED;
}

static bool step_source(struct source *source, struct meow_error *err)
{
	enum lite_step step = lite_step(&source->call, err);
	source->row = step == LITE_ROW;
	if (source->row)
		source->id = lite_int(&source->call, 0);
	return step != LITE_FAILED;
}

static bool start_source(struct lite_session *session, struct source *source, const struct request *request,
	size_t category, struct meow_error *err)
{
	source->call = (struct lite_call){.lite = &session->lite, .statement = source->statement};
	lite_put_int(&source->call, request->read.after + 1);
	lite_put_int(&source->call, request->read.to);
	lite_put_int(&source->call, (int64_t)request->read.limit_rows);
	lite_put_text(&source->call, bytes_of(request->read.categories[category]));
	lite_put_null(&source->call);
	return step_source(source, err);
}

static struct source *lowest(struct source *sources, size_t count)
{
	struct source *lowest = NULL;
	for (size_t i = 0; i < count; i++)
		if (sources[i].row && (!lowest || sources[i].id < lowest->id))
			lowest = &sources[i];
	return lowest;
}

// Takes the rows of all sources in the order of their positions; a category that was named twice gives each once.
static bool merge(struct lite_session *session, struct request *request, size_t count, struct meow_error *err)
{
	bool ok = true;
	struct source *next;
	while (ok && (next = lowest(session->sources, count)) != NULL) {
		int64_t id = next->id;
		if (!take_row(request, &next->call, &ok, err))
			return ok;
		for (size_t i = 0; ok && i < count; i++)
			if (session->sources[i].row && session->sources[i].id == id)
				ok = step_source(&session->sources[i], err);
	}
	return ok;
}

static bool read_categories(struct lite_session *session, struct request *request, struct meow_error *err)
{
	size_t count = request->read.category_count, started = 0;
	bool ok = make_sources(session, count, err);
	while (ok && started < count) {
		ok = start_source(session, &session->sources[started], request, started, err);
		started++;
	}
	ok = ok && merge(session, request, count, err);
	for (size_t i = 0; i < started; i++)
		lite_end(&session->sources[i].call);
	return ok;
}

static bool read_rows(struct lite_session *session, struct request *request, struct meow_error *err)
{
	struct session_rows *rows = &request->rows;
	int64_t head;
	if (!lite_head(&session->lite, &head, err) ||
		!(request->read.categories ? read_categories(session, request, err) : read_all(session, request, err)))
		return false;
	int64_t end = head < request->read.to ? head : request->read.to;
	rows->contiguous_to = rows->complete && end > rows->last ? end : rows->last;
	rows->contiguous_events = rows->batch->count;
	return true;
}

static bool perform_read(struct lite_session *session, struct request *request, struct meow_error *err)
{
	static const struct lite_transaction whole = {.nested = false};
	int64_t after = request->read.after;
	batch_destroy(request->rows.batch); // of a try that met a lock
	request->rows =
		(struct session_rows){.batch = batch_create(), .contiguous_to = after, .last = after, .complete = true};
	if (!request->rows.batch)
		return error_no_memory(err);
	struct lite_call begin = lite_call(&session->lite, LITE_READ_BEGIN);
	return lite_run(&begin, NULL, err) && lite_finish(&session->lite, &whole, read_rows(session, request, err), err);
}

static bool perform_find(struct lite_session *session, struct request *request, struct meow_error *err)
{
	batch_destroy(request->rows.batch);
	request->rows.batch = batch_create();
	if (!request->rows.batch)
		return error_no_memory(err);
	struct lite_call call = lite_call(&session->lite, LITE_FIND);
	lite_put_int(&call, request->number);
	enum lite_step step = lite_step(&call, err);
	bool ok = step == LITE_ROW ? lite_add_event(request->rows.batch, &call, err) : step == LITE_DONE;
	lite_end(&call);
	return ok;
}

// --- checkpoints ---

const char *lite_keep(struct lite_session *session, struct meow_bytes text)
{
	if (!text.data)
		return NULL;
	size_t place = session->texts.size;
	buffer_put(&session->texts, text.data, text.size + 1);
	return session->texts.data + place;
}

static bool take_checkpoint(struct lite_session *session, struct lite_call *call, struct meow_error *err)
{
	struct checkpoint *loaded = &session->loaded;
	struct meow_bytes fingerprint = lite_text(call, 1), state = lite_text(call, 5), reason = lite_text(call, 6),
					  error_class = lite_text(call, 7), held = lite_text(call, 14);
	if (!lite_good(call, err))
		return false;
	if (!buffer_room(&session->texts, fingerprint.size + state.size + reason.size + error_class.size + held.size + 6))
		return error_no_memory(err);
	loaded->delivered = lite_int(call, 0);
	loaded->fingerprint = lite_keep(session, fingerprint);
	loaded->position = lite_int(call, 2);
	loaded->generation = lite_int(call, 3);
	loaded->epoch = lite_int(call, 4);
	loaded->state = lite_keep(session, state);
	loaded->reason = lite_keep(session, reason);
	loaded->error_class = lite_keep(session, error_class);
	loaded->error_position = lite_int(call, 8);
	loaded->paused = lite_int(call, 9) != 0;
	loaded->stop_kept = lite_int(call, 10) != 0;
	loaded->resume_from_store = lite_int(call, 11) != 0;
	loaded->dead_letters = lite_int(call, 12);
	loaded->dead_letter_age_us = lite_int(call, 13);
	loaded->held = lite_keep(session, held);
	return true;
}

static bool perform_load(struct lite_session *session, const struct request *request, struct meow_error *err)
{
	struct lite_call call = lite_call(&session->lite, LITE_CHECKPOINT_LOAD);
	const struct checkpoint *wanted = &request->checkpoint;
	lite_put_text(&call, bytes_of(wanted->subscription));
	lite_put_int(&call, wanted->layout);
	lite_put_int(&call, wanted->partition);
	lite_put_int(&call, lite_now_us());
	buffer_clear(&session->texts, KEEP_BYTES);
	session->loaded = *wanted;
	enum lite_step step = lite_step(&call, err);
	bool ok = step == LITE_ROW ? take_checkpoint(session, &call, err) : step == LITE_DONE;
	lite_end(&call);
	return ok;
}

static bool perform_save(struct lite_session *session, struct request *request, struct meow_error *err)
{
	const struct checkpoint *save = &request->checkpoint;
	struct lite_call call = lite_call(&session->lite, LITE_CHECKPOINT_SAVE);
	lite_put_text(&call, bytes_of(save->subscription));
	lite_put_int(&call, save->layout);
	lite_put_int(&call, save->partition);
	lite_put_int(&call, save->delivered);
	lite_put_text(&call, bytes_of(save->fingerprint));
	lite_put_int(&call, save->position);
	lite_put_int(&call, save->generation);
	lite_put_int(&call, save->epoch);
	lite_put_text(&call, bytes_of(save->state));
	lite_put_text(&call, bytes_of(save->reason));
	lite_put_text(&call, bytes_of(save->error_class));
	if (save->error_position)
		lite_put_int(&call, save->error_position);
	else
		lite_put_null(&call);
	lite_put_int(&call, save->keep_stop);
	lite_put_int(&call, save->decision_used);
	lite_put_int(&call, save->decision_known);
	lite_put_int(&call, lite_now_us());
	lite_put_int(&call, save->lease_ms);
	enum lite_step step = lite_step(&call, err);
	bool saved = step == LITE_ROW;
	if (saved) // it commits with its last step
		saved = lite_step(&call, err) == LITE_DONE;
	else if (step == LITE_DONE)
		error_set(err, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved: nothing was written",
			save->subscription);
	lite_end(&call);
	return saved;
}

// --- the rest ---

static bool perform_open(struct lite_session *session, struct meow_error *err)
{
	lite_session_finish_sources(session);
	lite_close(&session->lite);
	return lite_open(&session->lite, session->path, LITE_RETRY, err) && lite_identify(&session->lite, err);
}

static bool perform_doze(struct lite_session *session, struct meow_error *err)
{
	if (!session->watch &&
		!(session->watch = watch_create(session->requests.loop, &session->lite, lite_session_changed, session)))
		return error_no_memory(err);
	return watch_arm(session->watch, err);
}

bool lite_request_perform(struct lite_session *session, struct request *request, struct meow_error *err)
{
	struct lite *lite = &session->lite;
	if (request->kind == REQUEST_OPEN)
		return perform_open(session, err);
	if (!lite->db)
		return error_set(err, MEOW_UNAVAILABLE, "SQLite file %s is not open", session->path);
	if (request->kind != REQUEST_READ && lite_has_moved(lite))
		return error_set(err, MEOW_UNAVAILABLE, "SQLite file %s was moved, removed or replaced", session->path);
	switch (request->kind) {
	case REQUEST_OPEN:
		break;
	case REQUEST_READ:
		return perform_read(session, request, err);
	case REQUEST_HEAD:
	case REQUEST_LOOK:
		return lite_head(lite, &request->number, err);
	case REQUEST_DOZE:
		return perform_doze(session, err);
	case REQUEST_FIND:
		return perform_find(session, request, err);
	case REQUEST_LOAD:
		return perform_load(session, request, err);
	case REQUEST_SAVE:
		return perform_save(session, request, err);
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
	case REQUEST_LEASE_RELEASE:
		return lite_lease_perform(session, request, err);
	case REQUEST_SET_ASIDE:
	case REQUEST_RETRY_END:
		return lite_aside_perform(lite, request, err);
	case REQUEST_RETRY_NEXT:
		return lite_retry_perform(session, request, err);
	}
	return false;
}

// --- answers ---

void lite_request_answer(struct lite_session *session, struct request *request)
{
	const struct batch *batch = request->rows.batch;
	switch (request->kind) {
	case REQUEST_OPEN:
		request->fn.open(request->arg, &session->lite.info, NULL);
		return;
	case REQUEST_READ: // answered with its rows, by the queue
		return;
	case REQUEST_HEAD:
		request->fn.head(request->arg, request->number, NULL);
		return;
	case REQUEST_LOOK:
		request->fn.look(request->arg, &(struct session_look){.candidate = request->number}, NULL);
		return;
	case REQUEST_DOZE:
	case REQUEST_SAVE:
	case REQUEST_LEASE_RELEASE:
	case REQUEST_SET_ASIDE:
	case REQUEST_RETRY_END:
		request->fn.done(request->arg, NULL);
		return;
	case REQUEST_RETRY_NEXT:
		request->fn.retry(request->arg, session->retry.place ? &session->retry : NULL, NULL);
		return;
	case REQUEST_LEASE_ACQUIRE:
	case REQUEST_LEASE_RENEW:
		request->fn.lease(request->arg, &session->leased, NULL);
		return;
	case REQUEST_FIND:
		request->fn.event(request->arg, batch->count ? batch->events : NULL, NULL);
		return;
	case REQUEST_LOAD:
		request->fn.checkpoint(request->arg, &session->loaded, NULL);
		return;
	}
}
