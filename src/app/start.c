// Looks again and again, as the relay does for its routes, until all that was drawn at the first look is settled.
#include "app/start.h"

#include "store/settled.h"

#include <stdlib.h>

#define LOOK_PAUSE_US INT64_C(20000)
#define LOOK_SHARE 20 // looks take at most one part in so many of the time
#define HELD_US INT64_C(1000000)

struct start {
	struct loop *loop;
	struct session *session;
	struct start_listener listener;
	struct settled *settled;
	struct loop_timer *timer;
	int64_t *wanted;
	int64_t began_us, look_began_us;
	bool busy; // a look is under way
	bool told;
};

static void on_look(void *arg, const struct session_look *look, const struct meow_error *err);

static void look_again(void *arg)
{
	struct start *start = arg;
	start->busy = true;
	start->look_began_us = loop_now_us(start->loop);
	session_look(start->session, on_look, start);
}

static void tell_held(struct start *start)
{
	const struct session_holder *holder = settled_oldest_holder(start->settled);
	struct meow_error why;
	if (!holder || start->told || loop_now_us(start->loop) - start->began_us < HELD_US)
		return;
	start->told = true;
	if (holder->prepared)
		error_set(&why, MEOW_UNAVAILABLE, "it begins when prepared transaction %s has ended", holder->name);
	else
		error_set(&why, MEOW_UNAVAILABLE, "it begins when the open transaction of pid %d (%s) has ended", holder->pid,
			*holder->name ? holder->name : "no application name");
	start->listener.held(start->listener.arg, &why);
}

static void on_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct start *start = arg;
	struct meow_error no_memory;
	start->busy = false;
	if (!err && !settled_look(start->settled, look)) {
		error_no_memory(&no_memory);
		err = &no_memory;
	}
	if (err) {
		start->listener.lost(start->listener.arg, err);
		return;
	}
	if (*start->wanted < 0)
		*start->wanted = look->candidate;
	if (settled_position(start->settled) >= *start->wanted) {
		start->listener.found(start->listener.arg, *start->wanted);
		return;
	}
	tell_held(start);
	int64_t pause = (loop_now_us(start->loop) - start->look_began_us) * LOOK_SHARE;
	loop_timer_start(start->timer, pause > LOOK_PAUSE_US ? pause : LOOK_PAUSE_US);
}

struct start *start_create(struct loop *loop, struct session *session, const struct start_listener *listener,
	int64_t *wanted, struct meow_error *err)
{
	struct start *start = calloc(1, sizeof(*start));
	if (!start) {
		error_no_memory(err);
		return NULL;
	}
	*start = (struct start){.loop = loop,
		.session = session,
		.listener = *listener,
		.settled = settled_create(),
		.timer = loop_timer_create(loop, look_again, start),
		.wanted = wanted,
		.began_us = loop_now_us(loop)};
	if (!start->settled || !start->timer) {
		start_destroy(start);
		error_no_memory(err);
		return NULL;
	}
	look_again(start);
	return start;
}

void start_destroy(struct start *start)
{
	if (!start)
		return;
	if (start->busy)
		session_forget(start->session, start);
	loop_timer_destroy(start->timer);
	settled_destroy(start->settled);
	free(start);
}
