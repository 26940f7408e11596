// A loop whose time is a number: what is due next runs next, at its time, and nothing waits. Due at the same time: in the
// order in which it was asked for, as in the real one. Each process has a loop of its own in the world's; a process that
// dies is buried as soon as what ran has returned: until then nothing that it asks for reaches the outside (sim_step).
#include "loop/loop_impl.h"
#include "sim.h"

#include <stdlib.h>

#define STANDSTILL 100000

struct due {
	struct due *next;
	int64_t at_us;
	loop_fn *fn;
	void *arg;
	struct sim_loop *loop;   // whose it is
	struct sim_timer *timer; // NULL: it is none
	bool post;               // of the code that runs there
};

struct sim_timer {
	struct loop_timer base;
	loop_fn *fn;
	void *arg;
	struct due *due; // NULL while it does not run
};

struct sim_loop {
	struct loop base;
	struct sim_loop *world; // whose clock and list count; itself for the world's own
	bool frozen;
	bool dead; // a process that was killed
	loop_fn *on_death;
	void *on_death_arg;
	struct due *first;
	struct sim_loop *killed; // the world's: those that are to be buried
	struct sim_loop *next_killed;
	int64_t now_us;
	bool stopped;
};

static struct sim_loop *of(struct loop *loop)
{
	return (struct sim_loop *)loop;
}

static struct due *add(struct loop *loop, int64_t delay_us, loop_fn *fn, void *arg, struct sim_timer *timer)
{
	struct due *due = calloc(1, sizeof(*due));
	if (!due)
		abort();
	struct sim_loop *world = of(loop)->world;
	*due = (struct due){NULL, world->now_us + (delay_us > 0 ? delay_us : 0), fn, arg, of(loop), timer, false};
	struct due **at = &world->first;
	while (*at && (*at)->at_us <= due->at_us)
		at = &(*at)->next;
	due->next = *at;
	*at = due;
	return due;
}

static void drop(struct sim_loop *loop, struct due *due)
{
	struct due **at = &loop->world->first;
	while (*at != due)
		at = &(*at)->next;
	*at = due->next;
	free(due);
}

static void destroy(struct loop *loop)
{
	for (struct due *due = of(loop)->world->first, *next; due; due = next) {
		next = due->next;
		if (due->loop == of(loop))
			drop(of(loop), due);
	}
	free(loop);
}

static void stop(struct loop *loop)
{
	of(loop)->stopped = true;
}

// The next that is due; what belongs to a frozen loop waits until it thaws.
static struct due *take_next(struct sim_loop *world, int64_t until_us)
{
	struct due **at = &world->first;
	while (*at && (*at)->loop->frozen)
		at = &(*at)->next;
	struct due *due = *at;
	if (!due || due->at_us > until_us)
		return NULL;
	*at = due->next;
	return due;
}

static void bury(struct sim_loop *world)
{
	struct sim_loop *killed;
	while ((killed = world->killed) != NULL) {
		world->killed = killed->next_killed;
		if (killed->on_death)
			killed->on_death(killed->on_death_arg);
	}
}

void sim_run_until(struct loop *loop, int64_t until_us)
{
	struct sim_loop *self = of(loop);
	struct due *due;
	int ran = 0; // at this moment
	self->stopped = false;
	while (!self->stopped && (due = take_next(self, until_us)) != NULL) {
		ran = due->at_us > self->now_us ? 0 : ran + 1;
		if (ran > STANDSTILL)
			sim_violation("time stands still: what runs asks again and again to run at once");
		if (due->at_us > self->now_us)
			self->now_us = due->at_us;
		if (due->timer)
			due->timer->due = NULL;
		loop_fn *fn = due->fn;
		void *arg = due->arg;
		free(due);
		sim_trace((uint64_t)self->now_us);
		fn(arg);
		bury(self);
	}
	if (!self->stopped && self->now_us < until_us)
		self->now_us = until_us;
}

static void run(struct loop *loop)
{
	sim_run_until(loop, INT64_MAX - 1);
}

static bool post(struct loop *loop, loop_fn *fn, void *arg)
{
	add(loop, 0, fn, arg, NULL)->post = true;
	return true;
}

static int64_t now_us(struct loop *loop)
{
	return of(loop)->world->now_us;
}

static int64_t wall_us(struct loop *loop)
{
	return of(loop)->world->now_us + INT64_C(1700000000000000);
}

static uint64_t chance(struct loop *loop)
{
	(void)loop;
	return sim_random();
}

static int64_t longest_turn_us(struct loop *loop)
{
	(void)loop;
	return 0;
}

static struct loop_timer *timer_create_(struct loop *loop, loop_fn *fn, void *arg)
{
	struct sim_timer *timer = calloc(1, sizeof(*timer));
	if (!timer)
		abort();
	*timer = (struct sim_timer){{loop}, fn, arg, NULL};
	return &timer->base;
}

static void timer_stop(struct loop_timer *base)
{
	struct sim_timer *timer = (struct sim_timer *)base;
	if (timer->due)
		drop(of(base->loop), timer->due);
	timer->due = NULL;
}

static void timer_start(struct loop_timer *base, int64_t delay_us)
{
	struct sim_timer *timer = (struct sim_timer *)base;
	timer_stop(base);
	timer->due = add(base->loop, delay_us, timer->fn, timer->arg, timer);
}

static bool timer_running(const struct loop_timer *base)
{
	return ((const struct sim_timer *)base)->due != NULL;
}

static void timer_destroy(struct loop_timer *base)
{
	timer_stop(base);
	free(base);
}

static const struct loop_impl impl = {.destroy = destroy,
	.run = run,
	.stop = stop,
	.post = post,
	.now_us = now_us,
	.wall_us = wall_us,
	.random = chance,
	.longest_turn_us = longest_turn_us,
	.timer_create = timer_create_,
	.timer_start = timer_start,
	.timer_stop = timer_stop,
	.timer_running = timer_running,
	.timer_destroy = timer_destroy};

struct loop *sim_loop_create(void)
{
	struct sim_loop *loop = calloc(1, sizeof(*loop));
	if (!loop)
		abort();
	loop->base.impl = &impl;
	loop->world = loop;
	return &loop->base;
}

struct loop *sim_loop_create_within(struct loop *world)
{
	struct loop *loop = sim_loop_create();
	of(loop)->world = of(world);
	return loop;
}

void sim_loop_freeze(struct loop *loop, bool frozen)
{
	of(loop)->frozen = frozen;
}

void sim_loop_on_death(struct loop *loop, loop_fn *fn, void *arg)
{
	of(loop)->on_death = fn;
	of(loop)->on_death_arg = arg;
}

void sim_loop_kill(struct loop *loop)
{
	struct sim_loop *self = of(loop);
	if (self->dead || !self->on_death)
		return;
	self->dead = true;
	self->next_killed = self->world->killed;
	self->world->killed = self;
}

bool sim_loop_is_dead(const struct loop *loop)
{
	return ((const struct sim_loop *)loop)->dead;
}

void sim_loop_revive(struct loop *loop)
{
	struct sim_loop *self = of(loop), **at = &self->world->killed;
	while (*at && *at != self)
		at = &(*at)->next_killed;
	if (*at)
		*at = self->next_killed;
	for (struct due *due = self->world->first, *next; due; due = next) {
		next = due->next;
		if (due->loop == self && due->post)
			drop(self, due);
	}
	self->dead = self->frozen = false;
}

void sim_after(struct loop *loop, int64_t delay_us, loop_fn *fn, void *arg)
{
	add(loop, delay_us, fn, arg, NULL);
}

int64_t sim_now(struct loop *loop)
{
	return of(loop)->world->now_us;
}
