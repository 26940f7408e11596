// The turns of a session: each request has one turn of the loop of its own, in which it reads or writes a bounded amount,
// and is then answered. A database that somebody else has locked is never waited for here: the turn is tried again, for
// up to ten seconds. (A checkpoint's turn takes as long as the disk takes to make it durable: that stalls this executor
// alone.)
#include "store/sqlite/session_lite.h"

#include <stdlib.h>
#include <string.h>

#define LOCKED_MOST_US INT64_C(10000000)
#define PAUSE_LEAST_US INT64_C(1000)
#define PAUSE_MOST_US INT64_C(10000)

static void finish(struct requests *requests)
{
	struct lite_session *session = (struct lite_session *)requests;
	requests_finish(requests);
	watch_destroy(session->watch);
	lite_session_finish_sources(session);
	lite_close(&session->lite);
	buffer_finish(&session->texts);
	free(session->path);
	free(session);
}

static void answer(struct requests *requests, struct request *request, void *found)
{
	(void)found;
	lite_request_answer((struct lite_session *)requests, request);
}

// The request met a lock. True if it is to be tried again.
static bool wait_for_lock(struct lite_session *session)
{
	int64_t now = loop_now_us(session->requests.loop);
	if (!session->locked_since_us) {
		session->locked_since_us = now;
		session->pause_us = PAUSE_LEAST_US;
	}
	if (now - session->locked_since_us > LOCKED_MOST_US)
		return false;
	loop_timer_start(session->requests.timer, session->pause_us);
	session->pause_us += session->pause_us / 2;
	if (session->pause_us > PAUSE_MOST_US)
		session->pause_us = PAUSE_MOST_US;
	return true;
}

static void on_turn(void *arg)
{
	struct lite_session *session = arg;
	struct requests *requests = &session->requests;
	struct meow_error err;
	if (requests->dead) {
		requests_fail(requests);
		return;
	}
	if (!requests->first)
		return;
	session->lite.busy = false;
	bool done = lite_request_perform(session, requests->first, &err);
	if (!done && session->lite.busy && wait_for_lock(session))
		return;
	session->locked_since_us = 0;
	if (!done && (err.kind == MEOW_UNAVAILABLE || err.kind == MEOW_UNKNOWN_OUTCOME)) {
		requests_die(requests, &err);
		return;
	}
	if (requests_answer(requests, done ? NULL : &err, NULL) && requests->first)
		loop_timer_start(requests->timer, 0);
}

static void start(struct requests *requests)
{
	if (!requests->first->next && !requests->inside)
		loop_timer_start(requests->timer, 0);
}

void lite_session_changed(void *arg)
{
	struct requests *requests = arg;
	if (requests->dead || !requests_notify(requests))
		return;
	if (requests->first && !loop_timer_running(requests->timer))
		loop_timer_start(requests->timer, 0);
}

static const struct requests_impl impl = {.start = start, .answer = answer, .finish = finish};

struct session *lite_session_create(const char *url, struct loop *loop, struct meow_error *err)
{
	const char *path = NULL;
	if (!lite_url_path(url, &path, err))
		return NULL;
	struct lite_session *session = calloc(1, sizeof(*session));
	if (session) {
		buffer_init(&session->texts);
		session->path = strdup(path);
		if (requests_init(&session->requests, &impl, loop, on_turn) && session->path)
			return &session->requests.session;
		finish(&session->requests);
	}
	error_no_memory(err);
	return NULL;
}
