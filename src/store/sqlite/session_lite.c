// The queue of a session: each request has a turn of the loop of its own, in which it reads or writes a bounded amount,
// and is then answered. A database that somebody else has locked is never waited for here: the turn is tried again, for
// up to ten seconds. (A checkpoint's turn takes as long as the disk takes to make it durable: that stalls this executor
// alone.)
#include "store/sqlite/session_lite.h"

#include <stdlib.h>
#include <string.h>

#define LOCKED_MOST_US INT64_C(10000000)
#define PAUSE_LEAST_US INT64_C(1000)
#define PAUSE_MOST_US INT64_C(10000)

static void free_session(struct lite_session *session)
{
	while (session->first) {
		struct request *request = session->first;
		session->first = request->next;
		lite_request_free(request);
	}
	watch_destroy(session->watch);
	loop_timer_destroy(session->timer);
	lite_session_finish_sources(session);
	lite_close(&session->lite);
	free(session->path);
	free(session);
}

// Calls back while the session cannot go away underneath; false if the callback destroyed it.
static bool answer_first(struct lite_session *session, const struct meow_error *err)
{
	struct request *request = session->first;
	session->first = request->next;
	if (!session->first)
		session->end = &session->first;
	session->inside = true;
	lite_request_answer(session, request, err);
	session->inside = false;
	if (!session->destroyed)
		return true;
	free_session(session);
	return false;
}

static void die(struct lite_session *session, const struct meow_error *err)
{
	if (!session->dead) {
		session->dead = true;
		session->err = *err;
	}
	loop_timer_start(session->timer, 0); // the callbacks come from there
}

void lite_session_out_of_memory(struct lite_session *session)
{
	struct meow_error err;
	error_no_memory(&err);
	die(session, &err);
}

static void fail_all(struct lite_session *session)
{
	while (session->first) {
		struct meow_error err = session->err;
		if (!answer_first(session, &err))
			return;
	}
}

// The request met a lock. True if it is to be tried again.
static bool wait_for_lock(struct lite_session *session)
{
	int64_t now = loop_now_us(session->loop);
	if (!session->locked_since_us) {
		session->locked_since_us = now;
		session->pause_us = PAUSE_LEAST_US;
	}
	if (now - session->locked_since_us > LOCKED_MOST_US)
		return false;
	loop_timer_start(session->timer, session->pause_us);
	session->pause_us += session->pause_us / 2;
	if (session->pause_us > PAUSE_MOST_US)
		session->pause_us = PAUSE_MOST_US;
	return true;
}

static void on_turn(void *arg)
{
	struct lite_session *session = arg;
	struct meow_error err;
	if (session->dead) {
		fail_all(session);
		return;
	}
	if (!session->first)
		return;
	session->lite.busy = false;
	bool done = lite_request_perform(session, session->first, &err);
	if (!done && session->lite.busy && wait_for_lock(session))
		return;
	session->locked_since_us = 0;
	if (!done && (err.kind == MEOW_UNAVAILABLE || err.kind == MEOW_UNKNOWN_OUTCOME)) {
		die(session, &err);
		return;
	}
	if (answer_first(session, done ? NULL : &err) && session->first)
		loop_timer_start(session->timer, 0);
}

void lite_session_enqueue(struct lite_session *session, struct request *request)
{
	request->next = NULL;
	*session->end = request;
	session->end = &request->next;
	if (session->first == request && !session->inside)
		loop_timer_start(session->timer, 0);
}

void lite_session_changed(void *arg)
{
	struct lite_session *session = arg;
	if (!session->notify || session->dead)
		return;
	session->inside = true;
	session->notify(session->notify_arg);
	session->inside = false;
	if (session->destroyed)
		free_session(session);
	else if (session->first && !loop_timer_running(session->timer))
		loop_timer_start(session->timer, 0);
}

void lite_session_destroy(struct session *base)
{
	struct lite_session *session = (struct lite_session *)base;
	if (session->inside)
		session->destroyed = true;
	else
		free_session(session);
}

void lite_session_forget(struct session *base, void *arg)
{
	for (struct request *request = ((struct lite_session *)base)->first; request; request = request->next)
		if (request->arg == arg)
			request->forgotten = true;
}

void lite_session_on_notify(struct session *base, loop_fn *fn, void *arg)
{
	struct lite_session *session = (struct lite_session *)base;
	session->notify = fn;
	session->notify_arg = arg;
}

struct session *lite_session_create(const char *url, struct loop *loop, struct meow_error *err)
{
	const char *path = NULL;
	if (!lite_url_path(url, &path, err))
		return NULL;
	struct lite_session *session = calloc(1, sizeof(*session));
	if (session) {
		session->session.impl = &lite_session_impl;
		session->loop = loop;
		session->end = &session->first;
		session->path = strdup(path);
		session->timer = loop_timer_create(loop, on_turn, session);
		if (session->path && session->timer)
			return &session->session;
		free_session(session);
	}
	error_no_memory(err);
	return NULL;
}
