// route_private.h: a route from the inside: route.c has its life and the one recovery path, route_open.c the way from
// the checkpoint to a sink that was compared, route_run.c what happens while it runs.
#ifndef RELAY_ROUTE_PRIVATE_H
#define RELAY_ROUTE_PRIVATE_H

#include "relay/backoff.h"
#include "relay/route.h"
#include "relay/window.h"
#include "store/follow.h"
#include "store/settled.h"

enum phase {
	PHASE_IDLE,     // not started, or everything is closed
	PHASE_OPENING,  // store, checkpoint, sink, comparison
	PHASE_RUNNING,
	PHASE_FALLING,  // something failed: the next turn drops what must go
	PHASE_WAITING,  // for the next try
	PHASE_HALTED,   // FAILED or PAUSED: asks the checkpoint once a second whether to go on
	PHASE_DRAINING, // a stop was asked for: what is in flight is finished
	PHASE_SAVING,   // the last checkpoint of a stop
};

struct route {
	struct route_settings settings;
	struct route_environment env;
	enum phase phase;
	enum route_state state;
	struct backoff backoff;

	struct session *session;
	struct session_info info;
	bool store_lost; // since the last comparison: go on from delivered, what was filtered is read again
	bool store_told; // its warnings were said once

	struct checkpoint checkpoint; // as loaded; its fingerprint is owned
	char *loaded_fingerprint;
	bool decision_used; // the operator's resume was followed: the next durable step clears it
	struct settled *start_proof; // while a new route with start: now looks for its place
	int64_t start_wanted;

	struct connector *connector;
	char *chosen_fingerprint; // of the event the route goes on behind
	int64_t chosen_delivered;
	int64_t chosen_position;
	char *executor_fingerprint; // what this executor delivered last: proves the store over a reconnect
	bool from_outside; // chosen_fingerprint is the sink's
	bool compared_own;

	struct follow *follow;
	struct window *window;
	struct loop_timer *timer;      // the next step: a try, a look at the checkpoint, the end of a drain
	struct loop_timer *save_timer; // the next checkpoint
	struct loop_timer *stats_timer;
	bool dirty;
	bool saving;
	bool save_state;
	bool session_failed;
	bool stopping;
	bool started_once;

	int64_t poison; // the event that the sink will never take, 0 if none; what precedes it is still sent
	struct meow_error poison_err;
	int64_t refused; // as told by the sink in an earlier life of the connector
	struct meow_error refused_err;

	struct meow_error err; // why it is not running
	bool keep_stop;
	int64_t error_position;
	int64_t retry_at_us;
	char logged[MEOW_ERROR_TEXT_SIZE];
	char held_by[160];
	int64_t delivered_time_us;
};

extern const struct connector_host route_host;

// Starts a try: store, checkpoint, sink.
void route_open(struct route *route);
void route_opened(struct route *route, const struct connector_memory *memory);

// The comparison is done: publishing begins.
void route_run(struct route *route);
void route_delivered(struct route *route, struct batch *batch);
void route_update_metrics(struct route *route);

// Something failed. From the store: the session goes as well.
void route_fail(struct route *route, const struct meow_error *err, bool from_store);

// It must not go on without a person: state FAILED. The text of err is completed with `advice`.
void route_halt(struct route *route, const struct meow_error *err, int64_t position, bool keep_stop);

void route_set_state(struct route *route, enum route_state state);
void route_save(struct route *route);  // now, unless one is under way
void route_touch(struct route *route); // soon
void route_save_later(struct route *route);
void route_close(struct route *route); // everything is dropped; then environment.stopped
void route_saved_last(struct route *route);

#endif
