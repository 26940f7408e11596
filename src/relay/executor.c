#include "relay/executor.h"

#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPORT_US INT64_C(1000000) // for what changes with time alone; the rest is told at once

struct executor {
	struct route_settings settings;
	struct route_environment env;
	struct route_metrics metrics;
	struct loop *loop;
	struct loop *main_loop;
	struct route *route;
	struct loop_timer *report_timer;
	void (*ended)(void *arg);
	void *arg;
	pthread_t thread;
	pthread_mutex_t mutex; // guards the copy of the report
	struct executor_report report;
};

static void copy_text(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from ? from : "");
}

static void refresh_report(struct executor *executor)
{
	struct route_report now;
	route_report(executor->route, &now);
	pthread_mutex_lock(&executor->mutex);
	struct executor_report *copy = &executor->report;
	copy->state = now.state;
	copy->epoch = now.epoch;
	copy->stands_still = now.stands_still;
	copy->error_position = now.error_position;
	copy->retry_in_ms = now.retry_in_ms;
	copy_text(copy->reason, sizeof(copy->reason), now.reason);
	copy_text(copy->error_class, sizeof(copy->error_class), now.error_class);
	copy_text(copy->waits_for, sizeof(copy->waits_for), now.waits_for);
	copy_text(copy->held_back_by, sizeof(copy->held_back_by), now.held_back_by);
	pthread_mutex_unlock(&executor->mutex);
}

static void on_report_timer(void *arg)
{
	struct executor *executor = arg;
	refresh_report(executor);
	loop_timer_start(executor->report_timer, REPORT_US);
}

static void on_changed(void *arg)
{
	refresh_report(arg);
}

static void on_stopped(void *arg)
{
	loop_stop(((struct executor *)arg)->loop);
}

// Between threads. Without memory for one post nothing can end in order either, and what cannot be told could be a stop: as
// after a kill, the next start finds everything where it was.
static void post(struct loop *loop, loop_fn *fn, void *arg)
{
	if (loop_post(loop, fn, arg))
		return;
	LOG_LINE(LOG_ERROR, "out of memory: the process ends");
	_exit(error_exit_status(MEOW_UNAVAILABLE));
}

static void *run(void *arg)
{
	struct executor *executor = arg;
	route_start(executor->route);
	loop_timer_start(executor->report_timer, 0);
	loop_run(executor->loop);
	refresh_report(executor);
	post(executor->main_loop, executor->ended, executor->arg);
	return NULL;
}

static void free_executor(struct executor *executor)
{
	route_destroy(executor->route);
	loop_timer_destroy(executor->report_timer);
	loop_destroy(executor->loop);
	pthread_mutex_destroy(&executor->mutex);
	free(executor);
}

struct executor *executor_start(const struct route_settings *settings, const struct route_environment *environment,
	struct loop *main_loop, void (*ended)(void *arg), void *arg, struct meow_error *err)
{
	struct executor *executor = calloc(1, sizeof(*executor));
	if (!executor) {
		error_no_memory(err);
		return NULL;
	}
	pthread_mutex_init(&executor->mutex, NULL);
	executor->settings = *settings;
	executor->env = *environment;
	executor->main_loop = main_loop;
	executor->ended = ended;
	executor->arg = arg;
	executor->report.retry_in_ms = -1;
	executor->loop = loop_create(err);
	if (!executor->loop)
		goto failed;
	executor->env.loop = executor->loop;
	executor->env.metrics = &executor->metrics;
	executor->env.changed = on_changed;
	executor->env.stopped = on_stopped;
	executor->env.arg = executor;
	executor->report_timer = loop_timer_create(executor->loop, on_report_timer, executor);
	if (!executor->report_timer) {
		error_no_memory(err);
		goto failed;
	}
	executor->route = route_create(&executor->settings, &executor->env, err);
	if (!executor->route)
		goto failed;
	if (pthread_create(&executor->thread, NULL, run, executor) == 0)
		return executor;
	error_set(err, MEOW_UNAVAILABLE, "no thread for route %s", settings->name);
failed:
	free_executor(executor);
	return NULL;
}

static void stop_route(void *arg)
{
	route_stop(((struct executor *)arg)->route);
}

static void reopen_route(void *arg)
{
	route_reopen(((struct executor *)arg)->route);
}

static void pause_route(void *arg)
{
	route_pause(((struct executor *)arg)->route, true);
}

static void resume_route(void *arg)
{
	route_pause(((struct executor *)arg)->route, false);
}

void executor_pause(struct executor *executor, bool pause)
{
	post(executor->loop, pause ? pause_route : resume_route, executor);
}

void executor_stop(struct executor *executor)
{
	post(executor->loop, stop_route, executor);
}

void executor_reopen(struct executor *executor)
{
	post(executor->loop, reopen_route, executor);
}

void executor_destroy(struct executor *executor)
{
	if (!executor)
		return;
	pthread_join(executor->thread, NULL);
	free_executor(executor);
}

const char *executor_route(const struct executor *executor)
{
	return executor->settings.name;
}

int executor_partition(const struct executor *executor)
{
	return executor->settings.partition;
}

struct route_metrics *executor_metrics(struct executor *executor)
{
	return &executor->metrics;
}

void executor_report(struct executor *executor, struct executor_report *ret_report)
{
	pthread_mutex_lock(&executor->mutex);
	*ret_report = executor->report;
	pthread_mutex_unlock(&executor->mutex);
}
