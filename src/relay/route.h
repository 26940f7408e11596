// route.h: a route as an executor runs it: the state machine from checkpoint to sink and back, with the one recovery
// path. It runs on one loop, takes time, randomness, store and sink through interfaces, and is what the simulator
// drives. It logs its changes of state.
//
//   UNASSIGNED -> (store open, lease taken, checkpoint loaded, connector opened, both compared) -> RUNNING
//   another relay has the lease, or took it over -> UNASSIGNED: waits for it
//   any failure -> RESTARTING: drop the connector (and the session, if it failed), back off, start again
//   poison, a store behind its sinks, a sink that forgot -> FAILED: stays, with the reason, until resume or skip
//   paused -> draining: what is in flight is finished, the checkpoint is written -> PAUSED: stays until resume
//   stop -> draining: what is in flight is finished, the checkpoint is written, the lease given back -> UNASSIGNED
#ifndef RELAY_ROUTE_H
#define RELAY_ROUTE_H

#include "metrics/metrics.h"
#include "relay/connector.h"
#include "store/session.h"

struct route;

struct route_settings {
	const char *name;
	int partition, partitions; // it publishes this one of so many; partitions is at least 1
	const char *relay;         // in whose name it takes the lease: no other process ever has it
	int64_t lease_ms;
	const char *publishes; // what and where to, for people: relays that say otherwise run another route of this name
	const char *const *categories;
	size_t category_count;
	bool set_aside;      // what the sink will never take goes to the dead letters; else the route stops there
	bool start_now;      // a new route starts at the settled position of now instead of the beginning
	size_t window_bytes; // the bound on batches in memory, a statement's result included
	size_t batch_rows;
	int64_t backoff_least_ms, backoff_most_ms;
	int64_t drain_ms;      // how long a stop waits for what is in flight
	int64_t checkpoint_ms; // at most this long between delivery and checkpoint while there is work
};

struct route_environment {
	struct loop *loop;
	const struct session_source *store;
	const struct connector_impl *connector;
	const struct config_section *sink;
	const struct encoder *encoder;
	struct route_metrics *metrics;
	void (*changed)(void *arg); // another state, or another reason: route_report has news; may be NULL
	void (*stopped)(void *arg); // after route_stop: everything is closed, the route may be destroyed
	void *arg;
};

// Everything in settings and environment is borrowed for the route's life. NULL without memory.
MEOW_MUST_USE struct route *route_create(
	const struct route_settings *settings, const struct route_environment *environment, struct meow_error *err);
void route_start(struct route *route);
void route_stop(struct route *route);   // drains, then calls environment.stopped
void route_reopen(struct route *route); // HUP
void route_pause(
	struct route *route, bool pause);    // USR1, USR2: it rests as when the store says so, and keeps its lease
void route_destroy(struct route *route); // at once; takes NULL

// For /status and the log: where it stands. Loop's thread only; valid until the route runs again.
struct route_report {
	enum route_state state;
	const char *reason; // NULL while all is well
	bool stands_still;  // it runs, is not caught up, and has not moved for long: reason says why
	const char *error_class;
	int64_t error_position;
	int64_t retry_in_ms;      // -1 if none is due
	const char *held_back_by; // who holds back the settled position, NULL if nobody
	const char *waits_for;    // the relay that has the lease, NULL if it is not another
	int64_t epoch;            // of the lease, 0 without one
};
void route_report(const struct route *route, struct route_report *ret_report);

#endif
