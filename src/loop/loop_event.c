// loop_event.c: the loop on libevent. Posts from other threads go into a list under a mutex and wake the loop through
// an eventfd; libevent itself is then used from one thread alone and needs no locks of its own. A turn is measured from
// the moment the wait ended to the next wait (the prepare and check watchers of libevent 2.2 do not exist in 2.1, so
// each callback of ours measures itself: what blocks is always one callback).
#include "loop/loop_event.h"
#include "loop/loop_impl.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

struct post {
	loop_fn *fn;
	void *arg;
	struct post *next;
};

struct event_loop {
	struct loop loop;
	struct event_base *base;
	struct event *wake;
	int wake_fd;
	pthread_mutex_t mutex; // guards the posts alone
	struct post *first, **end;
	uint64_t random[2];
	_Atomic int64_t longest_turn_us;
};

struct event_timer {
	struct loop_timer timer;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

struct event_io {
	struct loop_io io;
	struct event *event;
	int fd;
	short watched;
	bool unwatched; // libevent had no memory to watch it: every turn takes it for ready, and tries again
	loop_io_fn *fn;
	void *arg;
};

struct event_signal {
	struct loop_signal watch;
	struct event *event;
	loop_fn *fn;
	void *arg;
};

static struct event_loop *of_loop(struct loop *loop)
{
	return (struct event_loop *)(void *)loop;
}

static int64_t clock_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void turn_ended(struct event_loop *loop, int64_t began_us)
{
	int64_t took = clock_us(CLOCK_MONOTONIC) - began_us;
	if (took > loop->longest_turn_us)
		loop->longest_turn_us = took;
}

static struct event_base *make_base(void)
{
	// Timers in microseconds: without the precise flag libevent rounds to a coarse clock of some milliseconds.
	struct event_config *config = event_config_new();
	if (config == NULL)
		return NULL;
	event_config_set_flag(config, EVENT_BASE_FLAG_PRECISE_TIMER);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	struct event_base *base = event_base_new_with_config(config);
	event_config_free(config);
	return base;
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	(void)what;
	struct event_loop *loop = arg;
	uint64_t count;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
		return;
	pthread_mutex_lock(&loop->mutex);
	struct post *post = loop->first;
	loop->first = NULL;
	loop->end = &loop->first;
	pthread_mutex_unlock(&loop->mutex);
	while (post != NULL) {
		struct post *next = post->next;
		int64_t began_us = clock_us(CLOCK_MONOTONIC);
		post->fn(post->arg);
		turn_ended(loop, began_us);
		free(post);
		post = next;
	}
}

static void event_loop_destroy(struct loop *base)
{
	struct event_loop *loop = of_loop(base);
	if (loop->wake != NULL)
		event_free(loop->wake);
	if (loop->wake_fd >= 0)
		close(loop->wake_fd);
	if (loop->base != NULL)
		event_base_free(loop->base);
	while (loop->first != NULL) {
		struct post *post = loop->first;
		loop->first = post->next;
		free(post);
	}
	pthread_mutex_destroy(&loop->mutex);
	free(loop);
}

static void event_loop_run(struct loop *base)
{
	event_base_loop(of_loop(base)->base, EVLOOP_NO_EXIT_ON_EMPTY);
}

static void event_loop_stop(struct loop *base)
{
	event_base_loopbreak(of_loop(base)->base);
}

static bool event_loop_post(struct loop *base, loop_fn *fn, void *arg)
{
	struct event_loop *loop = of_loop(base);
	struct post *post = malloc(sizeof(*post));
	if (post == NULL)
		return false;
	*post = (struct post){fn, arg, NULL};
	pthread_mutex_lock(&loop->mutex);
	*loop->end = post;
	loop->end = &post->next;
	pthread_mutex_unlock(&loop->mutex);
	// The counter cannot overflow before the loop has read it, so the write does not fail.
	uint64_t one = 1;
	while (write(loop->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
	return true;
}

static int64_t event_loop_now(struct loop *base)
{
	(void)base;
	return clock_us(CLOCK_MONOTONIC);
}

static int64_t event_loop_wall(struct loop *base)
{
	(void)base;
	return clock_us(CLOCK_REALTIME);
}

// xoroshiro128+ (Blackman, Vigna): jitter and connection numbers, never secrets.
static uint64_t event_loop_random(struct loop *base)
{
	uint64_t *state = of_loop(base)->random;
	uint64_t a = state[0], b = state[1], result = a + b;
	b ^= a;
	state[0] = ((a << 24) | (a >> 40)) ^ b ^ (b << 16);
	state[1] = (b << 37) | (b >> 27);
	return result;
}

static int64_t event_loop_longest_turn(struct loop *base)
{
	return of_loop(base)->longest_turn_us;
}

static struct event_timer *of_timer(struct loop_timer *timer)
{
	return (struct event_timer *)(void *)timer;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	struct event_timer *timer = arg;
	struct event_loop *loop = of_loop(timer->timer.loop); // the callback may destroy the timer
	int64_t began_us = clock_us(CLOCK_MONOTONIC);
	timer->fn(timer->arg);
	turn_ended(loop, began_us);
}

static struct loop_timer *event_timer_create(struct loop *base, loop_fn *fn, void *arg)
{
	struct event_timer *timer = calloc(1, sizeof(*timer));
	if (timer == NULL)
		return NULL;
	*timer = (struct event_timer){.timer = {base}, .fn = fn, .arg = arg};
	timer->event = event_new(of_loop(base)->base, -1, 0, on_timer, timer);
	if (timer->event == NULL) {
		free(timer);
		return NULL;
	}
	return &timer->timer;
}

static void event_timer_start(struct loop_timer *base, int64_t delay_us)
{
	if (delay_us < 0)
		delay_us = 0;
	struct timeval delay = {.tv_sec = delay_us / 1000000, .tv_usec = delay_us % 1000000};
	// Without memory for it, it fires at once: too early is better than never.
	if (event_add(of_timer(base)->event, &delay) != 0)
		event_active(of_timer(base)->event, EV_TIMEOUT, 0);
}

static void event_timer_stop(struct loop_timer *base)
{
	event_del(of_timer(base)->event);
}

static bool event_timer_running(const struct loop_timer *base)
{
	const struct event_timer *timer = (const struct event_timer *)(const void *)base;
	return event_pending(timer->event, EV_TIMEOUT, NULL) != 0;
}

static void event_timer_destroy(struct loop_timer *base)
{
	struct event_timer *timer = of_timer(base);
	event_free(timer->event);
	free(timer);
}

static struct event_io *of_io(struct loop_io *io)
{
	return (struct event_io *)(void *)io;
}

static void add_io(struct event_io *io)
{
	io->unwatched = event_add(io->event, NULL) != 0;
	if (io->unwatched)
		event_active(io->event, io->watched, 0);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	struct event_io *io = arg;
	if (io->unwatched)
		add_io(io);
	struct event_loop *loop = of_loop(io->io.loop); // the callback may destroy the watch
	int64_t began_us = clock_us(CLOCK_MONOTONIC);
	io->fn(io->arg, (what & EV_READ) != 0, (what & EV_WRITE) != 0);
	turn_ended(loop, began_us);
}

static struct loop_io *event_io_create(struct loop *base, int fd, loop_io_fn *fn, void *arg)
{
	struct event_io *io = calloc(1, sizeof(*io));
	if (io == NULL)
		return NULL;
	*io = (struct event_io){.io = {base}, .fd = fd, .fn = fn, .arg = arg};
	io->event = event_new(of_loop(base)->base, fd, EV_READ | EV_PERSIST, on_io, io);
	if (io->event == NULL) {
		free(io);
		return NULL;
	}
	return &io->io;
}

static void event_io_watch(struct loop_io *base, bool readable, bool writable)
{
	struct event_io *io = of_io(base);
	short wanted = (short)((readable ? EV_READ : 0) | (writable ? EV_WRITE : 0));
	if (wanted == io->watched)
		return;
	if (io->watched != 0)
		event_del(io->event);
	io->watched = wanted;
	if (wanted == 0)
		return;
	event_assign(io->event, of_loop(io->io.loop)->base, io->fd, (short)(wanted | EV_PERSIST), on_io, io);
	add_io(io);
}

static void event_io_destroy(struct loop_io *base)
{
	struct event_io *io = of_io(base);
	event_free(io->event);
	free(io);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
	(void)number;
	(void)what;
	struct event_signal *watch = arg;
	watch->fn(watch->arg);
}

static struct loop_signal *event_signal_create(struct loop *base, int number, loop_fn *fn, void *arg)
{
	struct event_signal *watch = calloc(1, sizeof(*watch));
	if (watch == NULL)
		return NULL;
	*watch = (struct event_signal){.watch = {base}, .fn = fn, .arg = arg};
	watch->event = evsignal_new(of_loop(base)->base, number, on_signal, watch);
	if (watch->event == NULL || event_add(watch->event, NULL) != 0) {
		if (watch->event != NULL)
			event_free(watch->event);
		free(watch);
		return NULL;
	}
	return &watch->watch;
}

static void event_signal_destroy(struct loop_signal *base)
{
	struct event_signal *watch = (struct event_signal *)(void *)base;
	event_free(watch->event);
	free(watch);
}

static const struct loop_impl event_loop_impl = {
	.destroy = event_loop_destroy,
	.run = event_loop_run,
	.stop = event_loop_stop,
	.post = event_loop_post,
	.now_us = event_loop_now,
	.wall_us = event_loop_wall,
	.random = event_loop_random,
	.longest_turn_us = event_loop_longest_turn,
	.timer_create = event_timer_create,
	.timer_start = event_timer_start,
	.timer_stop = event_timer_stop,
	.timer_running = event_timer_running,
	.timer_destroy = event_timer_destroy,
	.io_create = event_io_create,
	.io_watch = event_io_watch,
	.io_destroy = event_io_destroy,
	.signal_create = event_signal_create,
	.signal_destroy = event_signal_destroy,
};

struct event_base *loop_event_base(struct loop *loop)
{
	return loop->impl == &event_loop_impl ? of_loop(loop)->base : NULL;
}

struct loop *loop_create(struct meow_error *err)
{
	struct event_loop *loop = calloc(1, sizeof(*loop));
	if (loop == NULL) {
		error_no_memory(err);
		return NULL;
	}
	loop->loop.impl = &event_loop_impl;
	loop->end = &loop->first;
	pthread_mutex_init(&loop->mutex, NULL);
	loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	loop->base = make_base();
	if (loop->wake_fd >= 0 && loop->base != NULL)
		loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
	if (loop->wake == NULL || event_add(loop->wake, NULL) != 0) {
		error_set(err, MEOW_UNAVAILABLE, "cannot make an event loop: %s", strerror(errno));
		event_loop_destroy(&loop->loop);
		return NULL;
	}
	if (getrandom(loop->random, sizeof(loop->random), 0) != (ssize_t)sizeof(loop->random) || loop->random[0] == 0)
		loop->random[0] = (uint64_t)clock_us(CLOCK_MONOTONIC) | 1;
	return &loop->loop;
}
