// loop.c: from the loop's interface to its implementation.
#include "loop/loop_impl.h"

void loop_destroy(struct loop *loop)
{
	if (loop != NULL)
		loop->impl->destroy(loop);
}

void loop_run(struct loop *loop)
{
	loop->impl->run(loop);
}

void loop_stop(struct loop *loop)
{
	loop->impl->stop(loop);
}

bool loop_post(struct loop *loop, loop_fn *fn, void *arg)
{
	return loop->impl->post(loop, fn, arg);
}

int64_t loop_now_us(struct loop *loop)
{
	return loop->impl->now_us(loop);
}

int64_t loop_wall_us(struct loop *loop)
{
	return loop->impl->wall_us(loop);
}

uint64_t loop_random(struct loop *loop)
{
	return loop->impl->random(loop);
}

int64_t loop_longest_turn_us(struct loop *loop)
{
	return loop->impl->longest_turn_us(loop);
}

struct loop_timer *loop_timer_create(struct loop *loop, loop_fn *fn, void *arg)
{
	return loop->impl->timer_create(loop, fn, arg);
}

void loop_timer_start(struct loop_timer *timer, int64_t delay_us)
{
	timer->loop->impl->timer_start(timer, delay_us);
}

void loop_timer_stop(struct loop_timer *timer)
{
	timer->loop->impl->timer_stop(timer);
}

bool loop_timer_running(const struct loop_timer *timer)
{
	return timer->loop->impl->timer_running(timer);
}

void loop_timer_destroy(struct loop_timer *timer)
{
	if (timer != NULL)
		timer->loop->impl->timer_destroy(timer);
}

struct loop_io *loop_io_create(struct loop *loop, int fd, loop_io_fn *fn, void *arg)
{
	return loop->impl->io_create(loop, fd, fn, arg);
}

void loop_io_watch(struct loop_io *io, bool readable, bool writable)
{
	io->loop->impl->io_watch(io, readable, writable);
}

void loop_io_destroy(struct loop_io *io)
{
	if (io != NULL)
		io->loop->impl->io_destroy(io);
}

struct loop_signal *loop_signal_create(struct loop *loop, int number, loop_fn *fn, void *arg)
{
	return loop->impl->signal_create(loop, number, fn, arg);
}

void loop_signal_destroy(struct loop_signal *watch)
{
	if (watch != NULL)
		watch->loop->impl->signal_destroy(watch);
}
