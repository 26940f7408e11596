// loop.h: time, timers, file descriptors, posts between threads and randomness, behind an interface of our own.
//
// One loop belongs to one thread; only loop_post may be called from another. The core knows nothing but this header,
// so a simulator can implement it (struct loop_impl) with a clock and a seed of its own: src/loop/loop_impl.h.
// Callbacks run on the loop's thread, never inside the call that caused them. A callback may destroy its own timer,
// descriptor watch or owner.
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include "base/error.h"

struct loop;
struct loop_timer;
struct loop_io;

typedef void loop_fn(void *arg);

// A loop on libevent. NULL without memory or descriptors.
MEOW_MUST_USE struct loop *loop_create(struct meow_error *err);
void loop_destroy(struct loop *loop); // all timers and watches must be gone; takes NULL

void loop_run(struct loop *loop);  // blocks until loop_stop
void loop_stop(struct loop *loop); // from the loop's own thread

// Runs fn(arg) on the loop's thread, in the order of the posts. Any thread. False without memory.
MEOW_MUST_USE bool loop_post(struct loop *loop, loop_fn *fn, void *arg);

int64_t loop_now_us(struct loop *loop);  // monotonic, for intervals
int64_t loop_wall_us(struct loop *loop); // since 1970 UTC, for display only
uint64_t loop_random(struct loop *loop);

// The longest time that one turn of the loop took, since the loop began: shows what blocked.
int64_t loop_longest_turn_us(struct loop *loop); // any thread

// A timer fires once per start. NULL without memory.
MEOW_MUST_USE struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *fn, void *arg);
void loop_timer_start(struct loop_timer *timer, int64_t delay_us); // moves a running timer; 0: the next turn
void loop_timer_stop(struct loop_timer *timer);
bool loop_timer_running(const struct loop_timer *timer);
void loop_timer_destroy(struct loop_timer *timer); // takes NULL

// Watches a descriptor, level-triggered; it starts watching nothing. The descriptor stays the caller's.
typedef void loop_io_fn(void *arg, bool readable, bool writable);
MEOW_MUST_USE struct loop_io *loop_io_create(struct loop *loop, int fd, loop_io_fn *fn, void *arg);
void loop_io_watch(struct loop_io *io, bool readable, bool writable);
void loop_io_destroy(struct loop_io *io); // takes NULL

// Runs fn when the process gets the signal. Only one loop of the process may watch signals.
struct loop_signal;
MEOW_MUST_USE struct loop_signal *loop_signal_create(struct loop *loop, int number, loop_fn *fn, void *arg);
void loop_signal_destroy(struct loop_signal *watch); // takes NULL

#endif
