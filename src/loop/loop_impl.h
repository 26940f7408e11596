// loop_impl.h: what an implementation of the loop provides. Users include loop.h alone.
#ifndef LOOP_LOOP_IMPL_H
#define LOOP_LOOP_IMPL_H

#include "loop/loop.h"

// Every operation is mandatory but io_* and signal_*, which a loop without descriptors leaves NULL.
struct loop_impl {
	void (*destroy)(struct loop *loop);
	void (*run)(struct loop *loop);
	void (*stop)(struct loop *loop);
	bool (*post)(struct loop *loop, loop_fn *fn, void *arg);
	int64_t (*now_us)(struct loop *loop);
	int64_t (*wall_us)(struct loop *loop);
	uint64_t (*random)(struct loop *loop);
	int64_t (*longest_turn_us)(struct loop *loop);
	struct loop_timer *(*timer_create)(struct loop *loop, loop_fn *fn, void *arg);
	void (*timer_start)(struct loop_timer *timer, int64_t delay_us);
	void (*timer_stop)(struct loop_timer *timer);
	bool (*timer_running)(const struct loop_timer *timer);
	void (*timer_destroy)(struct loop_timer *timer);
	struct loop_io *(*io_create)(struct loop *loop, int fd, loop_io_fn *fn, void *arg);
	void (*io_watch)(struct loop_io *io, bool readable, bool writable);
	void (*io_destroy)(struct loop_io *io);
	struct loop_signal *(*signal_create)(struct loop *loop, int number, loop_fn *fn, void *arg);
	void (*signal_destroy)(struct loop_signal *watch);
};

// Each implementation's structs begin with these.
struct loop {
	const struct loop_impl *impl;
};
struct loop_timer {
	struct loop *loop;
};
struct loop_io {
	struct loop *loop;
};
struct loop_signal {
	struct loop *loop;
};

#endif
