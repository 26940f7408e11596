// route_private.h: a route from the inside: route.c has its life and the one recovery path, route_lease.c the
// lease without which nothing is done, route_open.c the way from the checkpoint to a sink that was compared, route_run.c
// what happens while it runs, route_watch.c what it shows.
#ifndef RELAY_ROUTE_PRIVATE_H
#define RELAY_ROUTE_PRIVATE_H

#include "base/backoff.h"
#include "base/log.h"
#include "relay/holds.h"
#include "relay/lease.h"
#include "relay/route.h"
#include "relay/window.h"
#include "store/follow.h"
#include "store/settled.h"

enum phase {
	PHASE_IDLE,      // not started, or everything is closed
	PHASE_OPENING,   // store, lease, checkpoint, sink, comparison
	PHASE_CANDIDATE, // another relay has the lease
	PHASE_RUNNING,
	PHASE_FALLING,   // something failed: the next turn drops what must go
	PHASE_WAITING,   // for the next try
	PHASE_HALTED,    // FAILED or PAUSED: asks the checkpoint once a second whether to go on
	PHASE_DRAINING,  // a stop was asked for, or another relay is to have it: what is in flight is finished
	PHASE_SAVING,    // the last checkpoint before that
	PHASE_RELEASING, // the lease is given back
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
	bool looking;         // at the row, while the route runs
	char held_by[160];    // who holds the settled position back, empty if nobody
	char standstill[200]; // why it does not move although it runs, empty while it does
};

// What is set aside (route_aside.c).
struct route_aside {
	struct holds holds;
	struct batch *first, *end; // the first waits for its dead letters to be committed, the others behind it
	struct buffer letters;     // JSON
	int64_t open;              // dead letters in the store, as loaded last
	int64_t looked;            // retries up to this place are dealt with
	int64_t loaded;            // and had been up to this one when the holds were loaded
	int64_t retried;           // the position whose event the first batch is for
	bool stale;                // the holds are to be loaded again
	bool waiting;              // for room in the window
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
	bool session_ready; // the store has answered
	bool store_lost;    // since the last comparison: go on from delivered, what was filtered is read again
	bool store_told;    // its warnings were said once

	struct lease lease;
	struct lease_view lease_view; // of another's
	int64_t lease_view_length_us; // its length
	struct loop_timer *lease_timer;
	int64_t lease_asked_us; // when the acquisition or renewal under way was asked for
	int64_t save_asked_us;  // the save under way, which renews, too
	int64_t lease_free_us;  // since when the lease has been free for relays that own fewer, -1 if it is not
	char waits_for[128];    // who has it, empty if nobody else
	bool acquiring, renewing;
	void (*confirmed)(void *arg); // the connector waits for a renewal, NULL: it does not
	void *confirmed_arg;
	bool confirming; // the renewal under way was asked for after its question
	bool giving_up;  // to a relay that owns fewer
	int layout;
	int64_t cut; // where the layout ends: it runs up to here and no further; 0: it does not
	bool at_cut; // it has read up to there

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
	bool loading_waits; // for the save under way: the checkpoint is loaded only when nothing is left to save
	bool row_moved;     // the row is somebody else's, or an operator moved it: it must be loaded before it is saved
	bool session_failed;
	bool stopping;
	bool pausing;     // it drains because an operator paused it
	bool paused_here; // by route_pause, which the store knows nothing of
	bool started_once;
	int64_t run_since_us;
	bool say_back; // that it runs again is said once that has lasted

	struct route_aside aside;
	int64_t poison; // the event that the sink will never take, 0 if none; what precedes it is still sent
	struct meow_error poison_err;
	int64_t refused;       // as told by the sink in an earlier life of the connector
	int64_t refused_place; // if it was published again, its place
	struct meow_error refused_err;

	struct meow_error err; // why it is not running
	bool keep_stop;
	int64_t error_position;
	int64_t retry_at_us;
	char logged[MEOW_ERROR_TEXT_SIZE];

	struct route_watch watch;
};

extern const struct connector_host route_host;

// Whose log line it is.
#define ROUTE_FIELDS(route) LOG_TEXT("route", (route)->settings.name), route_partition_field(route)
struct log_field route_partition_field(const struct route *route); // left out of the line where there is but one

// The lease. First: goes on with the checkpoint if it is held, else asks for it. Check: whether it is held at this moment;
// if not, it is lost, and the try with it.
void route_lease_first(struct route *route);
void route_lease_ask(struct route *route);
bool route_lease_check(struct route *route);
void route_lease_confirm(void *route, void (*done)(void *done_arg), void *done_arg); // of connector_host
void route_lease_due(void *route);          // the timer's: renews, or finds that it is lost
void route_lease_plan(struct route *route); // the next of these
bool route_may_save(const struct route *route);

// Everything is saved, or there is nothing to save: drops the sink, gives the lease back, and then route_released.
void route_release(struct route *route);
void route_released(struct route *route); // closes, or waits for the lease again if it was given up

// At the start of every answer on the way to the sink: the route, or NULL if that way has ended.
struct route *route_answered(void *opening, const struct meow_error *err);
void route_load_checkpoint(struct route *route);
void route_drop_sink(struct route *route);
void route_drain(struct route *route); // reads no more, finishes what is in flight, saves and releases

// Starts a try: store, checkpoint, sink.
void route_open(struct route *route);
void route_look_for_start(struct route *route); // of a new route with start: now
void route_opened(struct route *route, const struct connector_memory *memory);

// The comparison is done: publishing begins.
void route_run(struct route *route);
void route_delivered(struct route *route, struct batch *batch);
void route_publish(struct route *route, struct batch *batch); // takes it; what is left of it goes to the sink
void route_publish_up_to_poison(struct route *route, struct batch *batch); // takes it; the route stops there
size_t route_admitted(
	struct route *route, const struct batch *batch); // of its events; notes the one that never will be
void route_make_room(struct route *route);
void route_go_on(struct route *route);   // reads on, or drains where its layout ends
void route_is_back(struct route *route); // it runs, and that has lasted

// Takes a batch: what the sink will never take of it, and what is held, is set aside; the rest is published.
void route_aside_take(struct route *route, struct batch *batch);
MEOW_MUST_USE bool route_aside_refresh(
	struct route *route, const struct checkpoint *loaded, struct meow_error *err); // MEOW_CONFIG: a person must decide
void route_aside_start(struct route *route);                                       // publishing begins
void route_aside_room(struct route *route);                                        // there is room in the window
void route_aside_delivered(struct route *route, const struct batch *batch);        // closes what was published again
void route_aside_drop(struct route *route);                                        // the batches that wait
void route_aside_finish(struct route *route);

void route_watch_start(struct route *route);
void route_watch_delivered(struct route *route, const struct batch *batch);
void route_watch_unfollow(struct route *route);                                    // before the follower goes
void route_watch_holder(struct route *route, const struct session_holder *oldest); // NULL: nobody
void route_watch_tick(struct route *route);                                        // once a second
void route_update_metrics(struct route *route);

// Once a second while it runs: has an operator paused it, or moved it?
void route_look(struct route *route);

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
void route_rest(struct route *route); // PAUSED: asks once a second whether to go on

#endif
