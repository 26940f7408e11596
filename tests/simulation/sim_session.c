// The connections: a queue of requests each. A request takes effect some time after it was asked for and is answered some
// time later; the connection may break before, between and after. What was sent is done, or not, whatever became of the
// process that sent it: at times much later.
#include "sim_store_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct note {
	struct sim_store *store;
	uint64_t session;
};

static void notify_one(void *arg)
{
	struct note *note = arg;
	for (struct sim_session *session = note->store->sessions; session; session = session->next)
		if (session->number == note->session && session->notify && !session->dead && !session->destroyed) {
			session->notify(session->notify_arg);
			break; // it may be gone now
		}
	free(note);
}

void sessions_notify(struct sim_store *store)
{
	for (struct sim_session *session = store->sessions; session; session = session->next) {
		struct note *note = session->notify ? malloc(sizeof(*note)) : NULL;
		if (!note)
			continue;
		*note = (struct note){store, session->number};
		sim_after(session->loop, sim_between(10, 300), notify_one, note);
	}
}

static void pop_and_answer(struct sim_session *session, const struct meow_error *err)
{
	struct request *request = session->first;
	session->first = request->next;
	session->inside = true;
	if (!request->forgotten)
		serve_answer(request, err);
	session->inside = false;
	serve_free(request);
}

static void free_session(struct sim_session *session)
{
	for (struct sim_session **at = &session->store->sessions; *at; at = &(*at)->next)
		if (*at == session) {
			*at = session->next;
			break;
		}
	while (session->first) {
		struct request *request = session->first;
		session->first = request->next;
		serve_free(request);
	}
	free(session);
}

static void work(void *arg);

static void schedule(struct sim_session *session)
{
	if (session->scheduled || !session->first)
		return;
	session->scheduled = true; // what was sent is done, whatever became of who sent it
	bool stalls = sim_chance(session->store->settings.lost_percent);
	int64_t delay_us = stalls ? sim_between(1000, 1500000) : sim_between(20, 400);
	sim_after(session->first->done ? session->loop : session->store->loop, delay_us, work, session);
}

static void do_it(struct sim_session *session, struct request *request)
{
	serve(session->store, request);
	sim_step(session->loop, (enum sim_step)(STORE_DID_OPEN + (unsigned)request->kind));
}

// Of a session that was destroyed: what had been sent may still be read and done by the server, one after the other.
static void work_on_what_is_left(struct sim_session *session)
{
	struct request *request = session->first;
	if (request && !session->dead && !request->unsent && sim_chance(60)) {
		if (!request->done && request->kind != OPEN)
			serve(session->store, request);
		session->first = request->next;
		serve_free(request);
		session->scheduled = true;
		sim_after(
			session->store->loop, sim_chance(90) ? sim_between(20, 400) : sim_between(1000, 1500000), work, session);
		return;
	}
	free_session(session);
}

static void work(void *arg)
{
	struct sim_session *session = arg;
	session->scheduled = false;
	if (session->destroyed) {
		work_on_what_is_left(session);
		return;
	}
	struct request *request = session->first;
	if (!session->dead && sim_chance(session->store->settings.lost_percent)) {
		if (sim_chance(50) && !request->done)
			do_it(session, request); // it was done, and the answer is lost
		session->dead = true;
	}
	if (session->dead && !request->done) {
		request->done = true; // whoever waits for it hears of that when he is awake
	} else if (session->dead) {
		struct meow_error err;
		error_set(&err, MEOW_UNAVAILABLE, "the connection was lost");
		while (session->first && !session->destroyed)
			pop_and_answer(session, &err);
	} else if (!request->done) {
		do_it(session, request);
		request->done = true; // the answer, or a look's second statement, is a moment later
	} else {
		if (request->kind == LOOK)
			serve_holders(session->store, request);
		pop_and_answer(session, NULL);
	}
	if (session->destroyed)
		work_on_what_is_left(session);
	else
		schedule(session);
}

// --- the calls ---

static struct request *enqueue(struct session *base, enum kind kind, void *arg)
{
	struct sim_session *session = (struct sim_session *)base;
	struct request *request = calloc(1, sizeof(*request));
	if (!request)
		abort();
	request->session = session;
	request->kind = kind;
	request->arg = arg;
	request->unsent = !sim_step(session->loop, (enum sim_step)(STORE_ASKS_OPEN + (unsigned)kind));
	struct request **at = &session->first;
	while (*at)
		at = &(*at)->next;
	*at = request;
	schedule(session);
	return request;
}

static void call_open(struct session *base, int64_t patience_us, session_open_fn *fn, void *arg)
{
	(void)patience_us; // a connection that is lost says so by itself here
	enqueue(base, OPEN, arg)->fn.open = fn;
}

static void call_read(struct session *base, const struct session_read *read, session_rows_fn *fn, void *arg)
{
	struct request *request = enqueue(base, READ, arg);
	request->read = *read;
	request->fn.rows = fn;
}

static void call_head(struct session *base, session_head_fn *fn, void *arg)
{
	enqueue(base, HEAD, arg)->fn.head = fn;
}

static void call_look(struct session *base, session_look_fn *fn, void *arg)
{
	enqueue(base, LOOK, arg)->fn.look = fn;
}

static void call_doze(struct session *base, session_done_fn *fn, void *arg)
{
	enqueue(base, DOZE, arg)->fn.done = fn;
}

static void call_find(struct session *base, int64_t position, session_event_fn *fn, void *arg)
{
	struct request *request = enqueue(base, FIND, arg);
	request->number = position;
	request->fn.event = fn;
}

static void call_load(
	struct session *base, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg)
{
	struct request *request = enqueue(base, LOAD, arg);
	(void)subscription;
	request->layout = layout;
	request->partition = partition;
	request->fn.checkpoint = fn;
}

static void call_save(struct session *base, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg)
{
	struct request *request = enqueue(base, SAVE, arg);
	request->layout = checkpoint->layout;
	request->partition = checkpoint->partition;
	request->save = *checkpoint;
	request->fingerprint = checkpoint->fingerprint ? strdup(checkpoint->fingerprint) : NULL;
	if (checkpoint->state)
		snprintf(request->state, sizeof(request->state), "%s", checkpoint->state);
	if (checkpoint->reason)
		snprintf(request->reason, sizeof(request->reason), "%s", checkpoint->reason);
	request->fn.done = fn;
}

static void enqueue_letters(
	struct session *base, enum kind kind, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	struct request *request = enqueue(base, kind, arg);
	request->layout = letters->layout;
	request->partition = letters->partition;
	request->aside = *letters;
	request->letters = strdup(letters->json);
	request->fn.done = fn;
}

static void call_aside(struct session *base, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	enqueue_letters(base, ASIDE, letters, fn, arg);
}

static void call_retry_end(struct session *base, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	enqueue_letters(base, RETRY_END, letters, fn, arg);
}

static void call_retry_next(
	struct session *base, const struct session_retry_query *query, session_retry_fn *fn, void *arg)
{
	struct request *request = enqueue(base, RETRY, arg);
	request->retries = *query;
	request->fn.retry = fn;
}

static struct request *enqueue_lease(struct session *base, enum kind kind, const struct session_lease *lease, void *arg)
{
	struct request *request = enqueue(base, kind, arg);
	request->layout = lease->layout;
	request->partition = lease->partition;
	request->lease = *lease;
	snprintf(request->relay, sizeof(request->relay), "%s", lease->relay);
	request->lease.relay = request->relay;
	return request;
}

static void call_acquire(struct session *base, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	enqueue_lease(base, ACQUIRE, lease, arg)->fn.lease = fn;
}

static void call_renew(struct session *base, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	enqueue_lease(base, RENEW, lease, arg)->fn.lease = fn;
}

static void call_release(struct session *base, const struct session_lease *lease, session_done_fn *fn, void *arg)
{
	enqueue_lease(base, RELEASE, lease, arg)->fn.done = fn;
}

static void call_forget(struct session *base, void *arg)
{
	for (struct request *request = ((struct sim_session *)base)->first; request; request = request->next)
		request->forgotten |= request->arg == arg;
}

static void call_on_notify(struct session *base, loop_fn *fn, void *arg)
{
	struct sim_session *session = (struct sim_session *)base;
	session->notify = fn;
	session->notify_arg = arg;
}

static void call_destroy(struct session *base)
{
	struct sim_session *session = (struct sim_session *)base;
	session->notify = NULL;
	session->destroyed = true;
	if (!session->inside && !session->scheduled)
		work_on_what_is_left(session);
}

static const struct session_impl impl = {.destroy = call_destroy,
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
	.set_aside = call_aside,
	.retry_next = call_retry_next,
	.retry_end = call_retry_end,
	.lease_acquire = call_acquire,
	.lease_renew = call_renew,
	.lease_release = call_release};

static struct session *create_session(void *arg, struct loop *loop, struct meow_error *err)
{
	struct sim_store *store = arg;
	struct sim_session *session = calloc(1, sizeof(*session));
	(void)err;
	if (!session)
		abort();
	*session = (struct sim_session){
		.base.impl = &impl, .next = store->sessions, .store = store, .loop = loop, .number = ++store->session_count};
	store->sessions = session;
	return &session->base;
}

struct session_source sim_store_source(struct sim_store *store)
{
	return (struct session_source){create_session, store};
}

void sessions_break(struct sim_store *store)
{
	for (struct sim_session *session = store->sessions; session; session = session->next)
		session->dead = true;
}

void sessions_free(struct sim_store *store)
{
	while (store->sessions)
		free_session(store->sessions);
}
