// session.h: what an executor asks of a store, without blocking its loop. PostgreSQL implements it on libpq's
// non-blocking calls, SQLite in bounded slices, the simulator on a model (struct session_impl below).
//
// One session is one connection and belongs to one loop. Requests are answered in the order they were made, each
// exactly once, by its callback on the loop, never from inside the request. A failure that ends the connection
// (MEOW_UNAVAILABLE, MEOW_UNKNOWN_OUTCOME) fails all requests that wait; the session is then good for nothing but
// session_destroy, which drops requests without an answer and may be called from within a callback.
#ifndef STORE_SESSION_H
#define STORE_SESSION_H

#include "loop/loop.h"
#include "store/batch.h"
#include "store/fingerprint.h"

struct session;

// What a session learns when it connects.
struct session_info {
	struct store_identity store;
	bool pooled;        // a pooler stands in between: no LISTEN, no prepared statements; poll instead of dozing
	bool wakes_waiting; // session_on_notify runs when a lease is released; without it, look often
	bool fsync_off;     // after a crash this store may forget events that were already published
	bool synchronous_commit_off;
	bool sees_ages;     // pg_read_all_stats: the age of other transactions is known
	int server_version; // as PQserverVersion, or sqlite3_libversion_number
};

// A transaction that has drawn an id and not ended.
#define SESSION_HOLDER_SIZE 64
struct session_holder {
	char id[24];                    // its virtual transaction: how it is known
	char name[SESSION_HOLDER_SIZE]; // application name, or the prepared transaction's name
	int pid;                        // 0 for a prepared one
	bool prepared;
	int64_t age_us; // since its transaction began, -1 if unknown
};

struct session_look {
	int64_t candidate;                    // read first; 0 if no id was ever drawn
	const struct session_holder *holders; // read second
	size_t count;
};

struct session_read {
	int64_t after;                 // exclusive
	int64_t to;                    // inclusive: the settled position, or INT64_MAX at the tail
	size_t limit_rows;             // at least 1
	size_t limit_bytes;            // stops adding rows beyond this, but the first row always comes
	const char *const *categories; // borrowed until the answer; NULL for all
	size_t category_count;
	bool show_dropped; // at the tail: rows that the filter drops count for contiguity (they come without data)
};

struct session_rows {
	struct batch *batch;      // taken by the callback, never NULL; may hold no event
	int64_t contiguous_to;    // after+1 .. contiguous_to were all there (dropped ones included), or what is missing
							  // cannot come any more, as in SQLite; `after` if none
	size_t contiguous_events; // how many of the batch's events lie at or below contiguous_to
	int64_t last;             // the highest id seen, `after` if none
	bool complete;            // false if a limit ended it: there may be more rows up to `to`
	size_t dropped;           // rows seen that the filter dropped
};

// The checkpoint of one partition of a subscription. Texts of a loaded one are borrowed until the callback returns.
struct checkpoint {
	const char *subscription;
	int layout, partition;   // 0, 0 until a route is split
	int64_t delivered;       // the id of the last event its sink acknowledged for good; 0 if none
	const char *fingerprint; // of that event, NULL if none
	int64_t position;        // up to here nothing else was for it
	int64_t generation;
	int64_t epoch;
	const char *state;       // "RUNNING", "STOPPED", "FAILED", ...: what status shows; NULL keeps what is there
	const char *reason;      // why, NULL if none
	const char *error_class; // error_kind_name, NULL if none
	int64_t error_position;  // 0 if none
	// Loaded only:
	bool paused;
	bool stop_kept;             // a stop that only `subscription resume` or `skip` ends: the facts no longer show it
	bool resume_from_store;     // the operator decided: trust `delivered` of the store over the sink, once
	int64_t dead_letters;       // of the whole subscription
	int64_t dead_letter_age_us; // of the oldest, 0 if there is none
	const char *held; // the aggregates they hold, at most 10,001: from which position on, behind which one no more (0:
					  // for ever), type and id behind their sizes, with a colon behind each number; NULL if none
	// Saved only:
	bool keep_stop;      // sets stop_kept
	bool decision_known; // resume_from_store was loaded: without it a row that has it set is MEOW_CONFLICT
	bool decision_used;  // clears resume_from_store
	int64_t lease_ms;    // above 0: renews the lease for so long
};

// The lease of one partition of a subscription: who owns it, by the store's clock.
struct session_lease {
	const char *subscription;
	const char *relay; // who asks: a name that no other process ever has
	int layout;        // renew and release: as it was acquired
	int partition;
	int partitions; // acquire: how many the configuration wants
	int64_t length_ms;
	int64_t epoch;          // renew and release: as it was acquired; release: 0 for whichever this relay has
	int64_t stale_epoch;    // acquire: this one has expired, whatever the clock says; 0: none
	int64_t stale_until_us; // acquire: and stood there
	bool even_unfair;       // acquire: although other relays own fewer
	const char *publishes;  // acquire: what and where to, by the relay's configuration; NULL: whatever others say
	bool leaving;           // release: the relay ends, and counts no more
};

// What the store says of it.
struct session_lease_state {
	bool held;         // acquired, or renewed
	int64_t epoch;     // one more with each acquisition
	int layout;        // acquire: the newest
	int64_t cut;       // acquire: its partitions run up to here and no further, and are not had behind it; 0: for ever
	int partitions;    // acquire: its number of partitions; 0 if somebody else makes the first layout at this moment
	const char *rival; // acquire: a relay that owns a partition and publishes something else, NULL if there is none
	const char *rival_publishes;
	const char *holder;     // acquire, of another's that has not expired: who, NULL if it is free
	int64_t until_us;       // of another's: until when, by the store's clock
	int64_t length_ms;      // of another's
	int64_t left_us;        // of another's
	int mine, least, above; // see lease.h; least is INT_MAX where no other relay runs this subscription
};

// A dead letter that is to be published again, at a place among the positions that no event has.
struct session_retry {
	int64_t place, position;
	struct meow_bytes aggregate_type, aggregate_id;
};
struct session_retry_query {
	const char *subscription;
	int64_t after, to; // places: exclusive, inclusive
	int64_t delivered; // up to here only those that are still open
};

// Events to be set aside for a partition that this epoch owns; or retries that are over.
struct session_letters {
	const char *subscription;
	int layout, partition;
	int64_t epoch, generation;
	const char *
		json; // an array of objects: position, aggregate_type, aggregate_id, version, event_type, error, error_class; of
			  // retries: retry_at, aggregate_type, aggregate_id, and error, error_class if it failed
};

// Answers. Exactly one of result and err is NULL; what they point to is gone when the callback returns.
typedef void session_open_fn(void *arg, const struct session_info *info, const struct meow_error *err);
typedef void session_rows_fn(void *arg, const struct session_rows *rows, const struct meow_error *err);
typedef void session_look_fn(void *arg, const struct session_look *look, const struct meow_error *err);
typedef void session_head_fn(void *arg, int64_t last_position, const struct meow_error *err);
typedef void session_event_fn(
	void *arg, const struct meow_event *event, const struct meow_error *err); // both NULL: no row
typedef void session_checkpoint_fn(void *arg, const struct checkpoint *checkpoint, const struct meow_error *err);
typedef void session_lease_fn(void *arg, const struct session_lease_state *state, const struct meow_error *err);
typedef void session_retry_fn(
	void *arg, const struct session_retry *retry, const struct meow_error *err); // both NULL: there is none
typedef void session_done_fn(void *arg, const struct meow_error *err);           // NULL: done

struct session_impl {
	void (*destroy)(struct session *session);
	void (*open)(struct session *session, int64_t patience_us, session_open_fn *fn, void *arg);
	void (*forget)(struct session *session, void *arg);
	void (*on_notify)(struct session *session, loop_fn *fn, void *arg);
	void (*read)(struct session *session, const struct session_read *read, session_rows_fn *fn, void *arg);
	void (*head)(struct session *session, session_head_fn *fn, void *arg);
	void (*look)(struct session *session, session_look_fn *fn, void *arg);
	void (*doze)(struct session *session, session_done_fn *fn, void *arg);
	void (*find)(struct session *session, int64_t position, session_event_fn *fn, void *arg);
	void (*checkpoint_load)(struct session *session, const char *subscription, int layout, int partition,
		session_checkpoint_fn *fn, void *arg);
	void (*checkpoint_save)(
		struct session *session, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg);
	void (*set_aside)(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);
	void (*retry_next)(
		struct session *session, const struct session_retry_query *query, session_retry_fn *fn, void *arg);
	void (*retry_end)(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);
	void (*lease_acquire)(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
	void (*lease_renew)(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
	void (*lease_release)(struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg);
};

// Every implementation's session begins with this.
struct session {
	const struct session_impl *impl;
};

// Makes sessions: what a route is given, so that it can connect again. Borrowed by the route for its whole life.
struct session_source {
	struct session *(*create)(void *arg, struct loop *loop, struct meow_error *err); // does not block
	void *arg;
};

void session_destroy(struct session *session); // takes NULL

// Connects (and checks that the store is set up, UTF8, a primary, and its sequence sane): MEOW_UNAVAILABLE, MEOW_DENIED,
// MEOW_CONFIG. The first request of a session. Where nothing is heard of the store for patience_us while it has something
// to answer, the connection counts as lost: what lies between may have forgotten it, and then no answer ever comes.
#define SESSION_PATIENCE_US INT64_C(60000000) // for whoever has nothing to lose by waiting
void session_open(struct session *session, int64_t patience_us, session_open_fn *fn, void *arg);

// Whoever made requests with this arg is going away: their answers are dropped.
void session_forget(struct session *session, void *arg);

// From now on fn runs whenever a writer's notification arrives. fn NULL ends it.
void session_on_notify(struct session *session, loop_fn *fn, void *arg);

// Reads events in the order of their positions, in a snapshot of its own.
void session_read(struct session *session, const struct session_read *read, session_rows_fn *fn, void *arg);

// The highest id drawn so far, 0 if none ever was; for a moment it may be up to 32 more (SQLite: exactly, and committed).
// Cheap: it says whether there may be news.
void session_head(struct session *session, session_head_fn *fn, void *arg);

// The sequence first, exactly, then, in a snapshot of its own, who holds its lock.
void session_look(struct session *session, session_look_fn *fn, void *arg);

// Tells writers to notify for the next two seconds; SQLite: waits for the next change of the file.
void session_doze(struct session *session, session_done_fn *fn, void *arg);

// The event at this position, if it is still there.
void session_find(struct session *session, int64_t position, session_event_fn *fn, void *arg);

// The checkpoint; delivered 0, position 0, and no state if there is no row yet.
void session_checkpoint_load(
	struct session *session, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg);

// Writes it durably (synchronous_commit = on). MEOW_CONFLICT when the row carries another epoch or generation, or a decision
// that was not loaded: somebody else owns the partition or an operator moved it, and nothing was written. Texts are
// copied before it returns.
void session_checkpoint_save(
	struct session *session, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg);

// Commits dead letters, durably; one that is there already stays as it is. MEOW_CONFLICT when the row of the checkpoint
// carries another epoch or generation: nothing was written. Texts are copied before it returns.
void session_set_aside(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);

// The first retry of a dead letter behind `after`, whichever partition's. Texts are copied before it returns.
void session_retry_next(
	struct session *session, const struct session_retry_query *query, session_retry_fn *fn, void *arg);

// Closes dead letters that were published, or leaves those open whose retry failed, without one, as are then those behind
// them of the same aggregate. Durably, and MEOW_CONFLICT as session_set_aside.
void session_retry_end(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);

// Takes the lease of a partition in the newest layout, durably, where it is free, released, expired or this relay's own,
// the layout has the wanted number of partitions, no other relay that runs this subscription owns fewer, and none that owns
// any publishes something else. Makes the
// first layout where there is none. Every call counts this relay among those that run the subscription for as long as a
// lease lasts. Texts are copied before it returns, as in the next two.
void session_lease_acquire(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);

// Not held in the answer: somebody else has taken it, or it was released.
void session_lease_renew(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);

// Gives it back, if it is this relay's still, and wakes those that wait (session_on_notify).
void session_lease_release(struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg);

#endif
