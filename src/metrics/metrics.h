// metrics.h: counters and their text form. An executor alone writes its route's numbers; any thread may read them.
// Every configured route exposes every series from the start.
#ifndef METRICS_METRICS_H
#define METRICS_METRICS_H

#include "base/buffer.h"

#include <stdatomic.h>

enum route_state { ROUTE_UNASSIGNED, ROUTE_RUNNING, ROUTE_PAUSED, ROUTE_STOPPED, ROUTE_FAILED, ROUTE_RESTARTING };
#define ROUTE_STATES 6
const char *route_state_name(enum route_state state); // "RUNNING": Kafka Connect's words

#define METRICS_BUCKETS 16
struct metrics_histogram {
	_Atomic uint64_t counts[METRICS_BUCKETS + 1]; // the last one: above all bounds
	_Atomic uint64_t sum_us;
};
void metrics_observe(struct metrics_histogram *histogram, int64_t duration_us);

#define METRICS_ERROR_KINDS 10 // by enum meow_error_kind
#define METRICS_NEVER INT64_MAX

struct route_metrics {
	_Atomic int state; // enum route_state
	_Atomic bool caught_up;
	_Atomic int64_t position, delivered, head, settled;
	_Atomic int64_t lag_seconds_us;   // age of the oldest event not yet delivered, 0 if none
	_Atomic int64_t eta_us;           // until caught up at the pace of late, METRICS_NEVER while it stands
	_Atomic int64_t last_progress_us; // wall clock
	_Atomic uint64_t events, bytes, filtered, restarts, duplicates_skipped;
	_Atomic uint64_t errors[METRICS_ERROR_KINDS];
	_Atomic uint64_t inflight_events, buffer_bytes;
	_Atomic uint64_t unsettled_transactions;
	_Atomic uint64_t dead_letters, held_aggregates; // of the whole subscription
	_Atomic int64_t dead_letter_age_us;             // of the oldest
	_Atomic int64_t oldest_unsettled_us;
	_Atomic int64_t epoch;
	_Atomic int64_t longest_turn_us;
	_Atomic uint64_t looks; // listings of pg_locks
	_Atomic bool store_up;
	struct metrics_histogram publish, latency;
};

// Adds what one partition of a route has to the route's sum, which begins zeroed: counters of all; levels, the lowest
// position, the longest lag and the worst state of those that this process owns, which are not UNASSIGNED.
void metrics_add(struct route_metrics *sum, const struct route_metrics *part);

struct metrics_route {
	const char *name;
	struct route_metrics *values;
};

// Prometheus text 0.0.4, or OpenMetrics 1.0. Includes meowmx_build_info and the standard process_* series.
void metrics_write(const struct metrics_route *routes, size_t count, bool openmetrics, struct buffer *out);

// The names of all series this build exposes, for the test that compares them with the list in the repository.
extern const char *const metrics_names[]; // ends with NULL

#endif
