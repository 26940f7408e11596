// Where a new subscription starts that shall begin behind what is there: at the id that was drawn last when it first
// looked, once everything up to it is settled. Whoever was writing then must have ended: before that it cannot be told
// which of their ids lie below.
#ifndef APP_START_H
#define APP_START_H

#include "loop/loop.h"
#include "store/session.h"

struct start;

struct start_listener {
	void (*found)(void *arg, int64_t position);
	void (*held)(void *arg, const struct meow_error *why); // once, after a second: who has not ended
	void (*lost)(void *arg, const struct meow_error *err); // the session failed
	void *arg;
};

// Looks over the session, which it borrows and which nobody else uses meanwhile. *wanted is -1, or what an earlier start
// of this subscription has left there. NULL and err without memory. Does not block. The listener must not destroy it.
MEOW_MUST_USE struct start *start_create(struct loop *loop, struct session *session,
	const struct start_listener *listener, int64_t *wanted, struct meow_error *err);

// Before the session. Takes NULL.
void start_destroy(struct start *start);

#endif
