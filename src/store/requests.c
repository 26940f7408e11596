// requests.c: see requests.h; and the calls of session.h, each of which becomes a request.
#include "store/requests.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const struct session_impl calls;

// --- the queue ---

bool requests_init(struct requests *requests, const struct requests_impl *impl, struct loop *loop, loop_fn *on_timer)
{
	requests->session.impl = &calls;
	requests->impl = impl;
	requests->loop = loop;
	requests->end = &requests->first;
	requests->timer = loop_timer_create(loop, on_timer, requests);
	return requests->timer != NULL;
}

static void request_free(struct request *request)
{
	batch_destroy(request->rows.batch);
	buffer_finish(&request->memory);
	if (request->pooled)
		request->used = false;
	else
		free(request);
}

void requests_finish(struct requests *requests)
{
	while (requests->first) {
		struct request *request = requests->first;
		requests->first = request->next;
		request_free(request);
	}
	loop_timer_destroy(requests->timer);
}

// A callback has returned, during which the session could not go away underneath. False: it is gone now.
static bool leave(struct requests *requests)
{
	requests->inside = false;
	if (!requests->destroyed)
		return true;
	requests->impl->finish(requests);
	return false;
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
	case REQUEST_RETRY_END:
		request->fn.done(request->arg, err);
		return;
	case REQUEST_RETRY_NEXT:
		request->fn.retry(request->arg, NULL, err);
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

static void answer_rows(struct request *request)
{
	struct session_rows rows = request->rows;
	request->rows.batch = NULL; // the callback's now
	request->fn.rows(request->arg, &rows, NULL);
}

bool requests_answer(struct requests *requests, const struct meow_error *err, void *found)
{
	struct request *request = requests->first;
	requests->first = request->next;
	if (!requests->first)
		requests->end = &requests->first;
	requests->inside = true;
	if (request->forgotten)
		;
	else if (err)
		answer_failure(request, err);
	else if (request->kind == REQUEST_READ)
		answer_rows(request);
	else
		requests->impl->answer(requests, request, found);
	request_free(request);
	return leave(requests);
}

void requests_die(struct requests *requests, const struct meow_error *err)
{
	if (!requests->dead) {
		requests->dead = true;
		requests->err = *err;
		if (requests->impl->stop)
			requests->impl->stop(requests);
	}
	loop_timer_start(requests->timer, 0); // the callbacks come from there
}

void requests_out_of_memory(struct requests *requests)
{
	struct meow_error err;
	error_no_memory(&err);
	requests_die(requests, &err);
}

void requests_fail(struct requests *requests)
{
	while (requests->first) {
		struct meow_error err = requests->err;
		if (!requests_answer(requests, &err, NULL))
			return;
	}
}

bool requests_notify(struct requests *requests)
{
	if (!requests->notify)
		return true;
	requests->inside = true;
	requests->notify(requests->notify_arg);
	return leave(requests);
}

// --- making requests ---

// NULL: the session has ended for want of memory.
static struct request *create(struct session *session, enum request_kind kind, void *arg)
{
	struct requests *requests = (struct requests *)session;
	struct request *request = NULL;
	for (size_t i = 0; i < REQUEST_POOL && !request; i++)
		if (!requests->pool[i].used)
			request = &requests->pool[i];
	bool pooled = request != NULL;
	if (!pooled && !(request = malloc(sizeof(*request)))) {
		requests_out_of_memory(requests);
		return NULL;
	}
	*request = (struct request){.kind = kind, .arg = arg, .pooled = pooled, .used = true};
	buffer_init(&request->memory);
	return request;
}

static void add(struct session *session, struct request *request)
{
	struct requests *requests = (struct requests *)session;
	request->next = NULL;
	*requests->end = request;
	requests->end = &request->next;
	if (requests->dead)
		loop_timer_start(requests->timer, 0);
	else
		requests->impl->start(requests);
}

static size_t size_of(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

// Room for so much in the request's memory, so that the texts that are kept there do not move. False: the session has
// ended, and with it, once it is added, the request.
static bool make_room(struct session *session, struct request *request, size_t size)
{
	if (buffer_room(&request->memory, size + 1))
		return true;
	requests_out_of_memory((struct requests *)session);
	return false;
}

static const char *keep(struct request *request, const char *text)
{
	if (!text)
		return NULL;
	size_t place = request->memory.size;
	buffer_put(&request->memory, text, strlen(text) + 1);
	return request->memory.data + place;
}

static void keep_checkpoint(struct session *session, struct request *request, const struct checkpoint *from)
{
	struct checkpoint *kept = &request->checkpoint;
	if (!make_room(session, request,
			size_of(from->subscription) + size_of(from->fingerprint) + size_of(from->state) + size_of(from->reason) +
				size_of(from->error_class)))
		return;
	*kept = *from;
	kept->subscription = keep(request, from->subscription);
	kept->fingerprint = keep(request, from->fingerprint);
	kept->state = keep(request, from->state);
	kept->reason = keep(request, from->reason);
	kept->error_class = keep(request, from->error_class);
}

static void keep_lease(struct session *session, struct request *request, const struct session_lease *from)
{
	if (!make_room(session, request, size_of(from->subscription) + size_of(from->relay) + size_of(from->publishes)))
		return;
	request->lease = *from;
	request->lease.subscription = keep(request, from->subscription);
	request->lease.relay = keep(request, from->relay);
	request->lease.publishes = keep(request, from->publishes);
}

static void keep_letters(struct session *session, struct request *request, const struct session_letters *from)
{
	if (!make_room(session, request, size_of(from->subscription) + size_of(from->json)))
		return;
	request->letters = *from;
	request->letters.subscription = keep(request, from->subscription);
	request->letters.json = keep(request, from->json);
}

// --- the calls of session.h ---

static void call_destroy(struct session *session)
{
	struct requests *requests = (struct requests *)session;
	if (requests->inside)
		requests->destroyed = true;
	else
		requests->impl->finish(requests);
}

static void call_forget(struct session *session, void *arg)
{
	for (struct request *request = ((struct requests *)session)->first; request; request = request->next)
		if (request->arg == arg)
			request->forgotten = true;
}

static void call_on_notify(struct session *session, loop_fn *fn, void *arg)
{
	struct requests *requests = (struct requests *)session;
	requests->notify = fn;
	requests->notify_arg = arg;
}

static void call_open(struct session *session, int64_t patience_us, session_open_fn *fn, void *arg)
{
	((struct requests *)session)->patience_us = patience_us;
	struct request *request = create(session, REQUEST_OPEN, arg);
	if (!request)
		return;
	request->fn.open = fn;
	add(session, request);
}

static void call_read(struct session *session, const struct session_read *read, session_rows_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_READ, arg);
	if (!request)
		return;
	request->fn.rows = fn;
	request->read = *read;
	add(session, request);
}

static void call_head(struct session *session, session_head_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_HEAD, arg);
	if (!request)
		return;
	request->fn.head = fn;
	add(session, request);
}

static void call_look(struct session *session, session_look_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LOOK, arg);
	if (!request)
		return;
	request->fn.look = fn;
	add(session, request);
}

static void call_doze(struct session *session, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_DOZE, arg);
	if (!request)
		return;
	request->fn.done = fn;
	add(session, request);
}

static void call_find(struct session *session, int64_t position, session_event_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_FIND, arg);
	if (!request)
		return;
	request->fn.event = fn;
	request->number = position;
	add(session, request);
}

static void call_load(
	struct session *session, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LOAD, arg);
	if (!request)
		return;
	request->fn.checkpoint = fn;
	keep_checkpoint(
		session, request, &(struct checkpoint){.subscription = subscription, .layout = layout, .partition = partition});
	add(session, request);
}

static void call_save(struct session *session, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_SAVE, arg);
	if (!request)
		return;
	request->fn.done = fn;
	keep_checkpoint(session, request, checkpoint);
	add(session, request);
}

static void call_set_aside(
	struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_SET_ASIDE, arg);
	if (!request)
		return;
	request->fn.done = fn;
	keep_letters(session, request, letters);
	add(session, request);
}

static void call_retry_end(
	struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_RETRY_END, arg);
	if (!request)
		return;
	request->fn.done = fn;
	keep_letters(session, request, letters);
	add(session, request);
}

static void call_retry_next(
	struct session *session, const struct session_retry_query *query, session_retry_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_RETRY_NEXT, arg);
	if (!request)
		return;
	request->fn.retry = fn;
	if (make_room(session, request, size_of(query->subscription))) {
		request->retries = *query;
		request->retries.subscription = keep(request, query->subscription);
	}
	add(session, request);
}

static void call_lease_acquire(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_ACQUIRE, arg);
	if (!request)
		return;
	request->fn.lease = fn;
	keep_lease(session, request, lease);
	add(session, request);
}

static void call_lease_renew(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_RENEW, arg);
	if (!request)
		return;
	request->fn.lease = fn;
	keep_lease(session, request, lease);
	add(session, request);
}

static void call_lease_release(
	struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_RELEASE, arg);
	if (!request)
		return;
	request->fn.done = fn;
	keep_lease(session, request, lease);
	add(session, request);
}

static const struct session_impl calls = {
	.destroy = call_destroy,
	.open = call_open,
	.forget = call_forget,
	.on_notify = call_on_notify,
	.read = call_read,
	.head = call_head,
	.look = call_look,
	.doze = call_doze,
	.find = call_find,
	.checkpoint_load = call_load,
	.checkpoint_save = call_save,
	.set_aside = call_set_aside,
	.retry_next = call_retry_next,
	.retry_end = call_retry_end,
	.lease_acquire = call_lease_acquire,
	.lease_renew = call_lease_renew,
	.lease_release = call_lease_release,
};
