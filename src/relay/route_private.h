// route_private.h: a route from the inside: route.c has its life and the one recovery path, route_open.c the way from
// the checkpoint to a sink that was compared, route_run.c what happens while it runs, route_watch.c what it shows.
#ifndef RELAY_ROUTE_PRIVATE_H
#define RELAY_ROUTE_PRIVATE_H

#include "base/backoff.h"
#include "relay/route.h"
#include "relay/window.h"
#include "store/follow.h"
#include "store/settled.h"

enum phase {
	PHASE_IDLE,    // not started, or everything is closed
	PHASE_OPENING, // store, checkpoint, sink, comparison
	PHASE_RUNNING,
	PHASE_FALLING,  // something failed: the next turn drops what must go
	PHASE_WAITING,  // for the next try
	PHASE_HALTED,   // FAILED or PAUSED: asks the checkpoint once a second whether to go on
	PHASE_DRAINING, // a stop was asked for: what is in flight is finished
	PHASE_SAVING,   // the last checkpoint of a stop
};

// What it shows of itself (route_watch.c).
struct route_watch {
	uint64_t filtered, looks;  // of followers that are gone
	int64_t started_us;        // wall clock, as the next two
	int64_t delivered_time_us; // of the last event delivered, MEOW_NO_TIME if none
	int64_t caught_up_us;      // when it was last caught up, MEOW_NO_TIME if never
	int64_t moved_us;          // monotonic: when it last moved or was caught up
	int64_t rate_milli;        // positions a second, in thousandths, smoothed
	int64_t rated_position;
	bool asking;          // for the store's head, while nobody follows it
	char held_by[160];    // who holds the settled position back, empty if nobody
	char standstill[200]; // why it does not move although it runs, empty while it does
};

struct opening {
	struct route *route;
};

struct route {
	struct route_settings settings;
	struct route_environment env;
	enum phase phase;
	enum route_state state;
	struct backoff backoff;

	struct session *session;
	struct opening opening; // the arg of what is asked of the session on the way to the sink
	struct session_info info;
	bool store_lost; // since the last comparison: go on from delivered, what was filtered is read again
	bool store_told; // its warnings were said once

	struct checkpoint checkpoint; // as loaded; its fingerprint is owned
	char *loaded_fingerprint;
	bool decision;               // the row carries an operator's resume, which this try follows
	struct settled *start_proof; // while a new route with start: now looks for its place
	int64_t start_wanted;        // the first candidate seen, -1 before that

	struct connector *connector;
	char *chosen_fingerprint; // of the event the route goes on behind
	int64_t chosen_delivered; // INT64_MAX until this try has chosen
	int64_t chosen_position;
	char *executor_fingerprint; // of the highest event this executor delivered: proves the store over a reconnect
	int64_t executor_delivered;
	bool from_outside; // chosen_fingerprint is the sink's
	bool compared_own;

	struct follow *follow;
	struct window *window;
	struct loop_timer *timer;      // the next step: a try, a look at the checkpoint, the end of a drain
	struct loop_timer *save_timer; // the next checkpoint
	struct loop_timer *stats_timer;
	bool dirty;
	bool saving;
	bool saving_decision; // the save under way ends the operator's decision
	bool save_state;
	bool row_moved; // the row is somebody else's, or an operator moved it: it must be loaded before it is saved
	bool session_failed;
	bool stopping;
	bool started_once;
	int64_t run_since_us;
	bool say_back; // that it runs again is said once that has lasted

	int64_t poison; // the event that the sink will never take, 0 if none; what precedes it is still sent
	struct meow_error poison_err;
	int64_t refused; // as told by the sink in an earlier life of the connector
	struct meow_error refused_err;

	struct meow_error err; // why it is not running
	bool keep_stop;
	int64_t error_position;
	int64_t retry_at_us;
	char logged[MEOW_ERROR_TEXT_SIZE];

	struct route_watch watch;
};

extern const struct connector_host route_host;

// Starts a try: store, checkpoint, sink.
void route_open(struct route *route);
void route_look_for_start(struct route *route); // of a new route with start: now
void route_opened(struct route *route, const struct connector_memory *memory);

// The comparison is done: publishing begins.
void route_run(struct route *route);
void route_delivered(struct route *route, struct batch *batch);
void route_is_back(struct route *route); // it runs, and that has lasted

void route_watch_start(struct route *route);
void route_watch_delivered(struct route *route, const struct batch *batch);
void route_watch_unfollow(struct route *route);                                    // before the follower goes
void route_watch_holder(struct route *route, const struct session_holder *oldest); // NULL: nobody
void route_watch_tick(struct route *route);                                        // once a second
void route_update_metrics(struct route *route);

// Something failed. From the store: the session goes as well.
void route_fail(struct route *route, const struct meow_error *err, bool from_store);

// It must not go on without a person: state FAILED. The text of err is completed with `advice`.
void route_halt(struct route *route, const struct meow_error *err, int64_t position, bool keep_stop);

void route_set_state(struct route *route, enum route_state state);  // and saves it with the next checkpoint
void route_show_state(struct route *route, enum route_state state); // as it stands in the row already
void route_save(struct route *route);                               // now, unless one is under way
void route_touch(struct route *route);                              // soon
void route_save_later(struct route *route);
void route_close(struct route *route); // everything is dropped; then environment.stopped
void route_saved_last(struct route *route);

#endif
