// executor.h: the thread that owns one partition of a route, or waits for its lease: its own loop, its own connection
// to the store, its own connector. It shares nothing but counters that others may read, and a copy of its report.
#ifndef RELAY_EXECUTOR_H
#define RELAY_EXECUTOR_H

#include "relay/route.h"

struct executor;

struct executor_report {
	enum route_state state;
	int64_t epoch;
	char waits_for[128];               // the relay that has the lease, empty if it is not another
	char reason[MEOW_ERROR_TEXT_SIZE]; // empty while all is well
	char error_class[32];
	bool stands_still;
	int64_t error_position;
	int64_t retry_in_ms;
	char held_back_by[160];
};

// Makes and starts the thread. Everything in settings and environment (whose loop, metrics, stopped and arg are filled
// in here) outlives the executor. `ended` runs on main_loop once the route has stopped and is closed.
MEOW_MUST_USE struct executor *executor_start(const struct route_settings *settings,
	const struct route_environment *environment, struct loop *main_loop, void (*ended)(void *arg), void *arg,
	struct meow_error *err);

void executor_stop(struct executor *executor);              // any thread: drains, then `ended`
void executor_reopen(struct executor *executor);            // any thread
void executor_pause(struct executor *executor, bool pause); // any thread
void executor_destroy(struct executor *executor);           // after `ended`; joins the thread; takes NULL

const char *executor_route(const struct executor *executor);
int executor_partition(const struct executor *executor);
struct route_metrics *executor_metrics(struct executor *executor);
void executor_report(struct executor *executor, struct executor_report *ret_report); // any thread

#endif
