// store.h: what the relay, subscriptions and the command line ask of a store beyond the public header. Blocking.
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "store/session.h"

#define STORE_SCHEMA_VERSION 5

// What meow_setup is told, and more that only the command line knows.
struct store_setup {
	const char *url;
	const char *id_type; // NULL: the default, or what is there
	// Names of PostgreSQL's tables, each without its schema; NULL: what set-up has recorded, else Python meowmx's.
	// MEOW_CONFIG if others are recorded.
	struct store_tables {
		const char *events, *aggregates, *snapshots, *subscriptions;
	} tables;
	void (*say)(void *arg, const char *line);
	void *arg;
};
// As meow_setup.
MEOW_MUST_USE bool store_setup(const struct store_setup *setup, struct meow_error *err);

// Sessions for routes, tail and subscriptions, by a url of its own copy. MEOW_CONFIG if the url cannot be understood; MEOW_INVALID
// for sqlite::memory:, which no second connection reaches. The source is freed with store_source_finish.
MEOW_MUST_USE bool store_source_init(struct session_source *source, const char *url, struct meow_error *err);
void store_source_finish(struct session_source *source);

// What `meowmx status` shows of the store itself.
struct store_status {
	const char *kind; // "PostgreSQL", "SQLite"
	char version[16]; // of the server, or of the library
	struct session_info info;
	int64_t head;
	int64_t settled; // -1 if something holds it back and nothing is known to be settled
	struct session_holder holders[16];
	size_t holder_count; // may be larger than 16: only the oldest 16 are listed
};
MEOW_MUST_USE bool store_status(struct meow_store *store, struct store_status *ret_status, struct meow_error *err);

// A subscription as the store knows it, for `subscription list|show` and `status`. Texts live until the list is freed.
struct store_subscription {
	struct checkpoint checkpoint;
	int64_t lag_events;       // events between its position and the head, by id
	int64_t lag_us;           // age of the first event beyond its position, 0 if none, -1 if without a time
	int64_t progressed_at_us; // time of the last progress, MEOW_NO_TIME if none
	int64_t since_us;         // when the state was written, MEOW_NO_TIME if unknown
	const char *relay;        // that has its lease, NULL if none has
	int64_t dead_letters;     // of the whole subscription, whatever its partition
};
struct store_subscriptions {
	struct store_subscription *items;
	size_t count;
	void *memory;
};
MEOW_MUST_USE bool store_subscriptions(
	struct meow_store *store, const char *name, struct store_subscriptions *ret_list, struct meow_error *err);
void store_subscriptions_free(struct store_subscriptions *list);

// `subscription resume`: ends a pause, or else a stop; the route then trusts `delivered` of the store once over a sink that
// knows less. MEOW_MISSING: no such one. MEOW_INVALID: it neither pauses nor has stopped.
MEOW_MUST_USE bool store_subscription_resume(struct meow_store *store, const char *name, struct meow_error *err);

// `subscription skip`: steps over the event at `position`, which must be the one it stopped at (the first event beyond
// its position that its stop names), else MEOW_INVALID.
MEOW_MUST_USE bool store_subscription_skip(
	struct meow_store *store, const char *name, int64_t position, struct meow_error *err);

// `subscription pause`: whoever works on it finishes what is in flight and rests until it is resumed. MEOW_MISSING.
MEOW_MUST_USE bool store_subscription_pause(struct meow_store *store, const char *name, struct meow_error *err);

// `subscription rewind`: everything beyond `position` (0: everything) is published again, in a new generation; what a sink
// remembers of an older one no longer counts. MEOW_MISSING; MEOW_INVALID: it is not that far, or position is negative.
MEOW_MUST_USE bool store_subscription_rewind(
	struct meow_store *store, const char *name, int64_t position, struct meow_error *err);

// `subscription delete`: forgets it and its position. MEOW_MISSING; MEOW_UNAVAILABLE: a relay has its lease, or a process its
// claim. (The claim of a handler's is then the store's until that is closed.)
MEOW_MUST_USE bool store_subscription_delete(struct meow_store *store, const char *name, struct meow_error *err);

// `subscription repartition`: another number of partitions. The old ones run exactly up to a cut, are fenced by a raised
// epoch, in the store and then by the caller at their sinks, and the new ones begin behind the cut.
//
//   begin    takes the leases of all old partitions, for a minute. MEOW_MISSING: no such subscription. MEOW_UNAVAILABLE: a
//            relay runs it
//   cut      gives them back; with a cut, relays run them up to there and no further
//   finish   the new layout begins behind the cut. MEOW_CONFLICT: somebody has taken a lease since
struct store_partition {
	int partition;
	int64_t delivered, position, generation, epoch;
	bool published; // it has delivered an event
};
struct store_repartition {
	const char *name;
	const char *relay; // in whose name, that no other process ever has
	int wanted;        // partitions of the new layout
	int64_t cut;       // 0: not known yet
	// Filled by begin:
	int layout, partitions;
	struct store_partition *items; // to be freed by the caller; fewer than partitions where some have never run
	size_t count;
};
MEOW_MUST_USE bool store_repartition_begin(
	struct meow_store *store, struct store_repartition *repartition, struct meow_error *err);
MEOW_MUST_USE bool store_repartition_cut(
	struct meow_store *store, const struct store_repartition *repartition, struct meow_error *err);
MEOW_MUST_USE bool store_repartition_finish(
	struct meow_store *store, const struct store_repartition *repartition, struct meow_error *err);

// How a subscription was split over time, the oldest layout first. The caller frees the items.
struct store_layout {
	int layout, partitions; // fewer than 0: it is a handler's
	int64_t cut;            // of all but the newest: it published up to here
	int64_t generation;     // the last in which it published
};
struct store_layouts {
	struct store_layout *items;
	size_t count; // 0: no relay ever ran it
};
MEOW_MUST_USE bool store_layouts(
	struct meow_store *store, const char *name, struct store_layouts *ret_list, struct meow_error *err);

// An event that was set aside for a subscription, and that nobody has discarded yet. Texts are borrowed by the callback.
struct store_dead_letter {
	int64_t generation, position, version;
	const char *aggregate_type, *aggregate_id, *event_type;
	const char *error, *error_class; // NULL: it follows one that was refused
	int64_t set_aside_at_us;
	int64_t retry_at; // the position at which it is to be published again, 0 if it is not
};
// Which: all of a subscription, that at a position, or those of an aggregate.
struct store_dead_filter {
	const char *subscription;
	int64_t position;                          // 0: all
	const char *aggregate_type, *aggregate_id; // NULL: all
};
// `dead list`: calls fn for each, in the order of positions, until it returns false.
MEOW_MUST_USE bool store_dead_letters(struct meow_store *store, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err);

struct store_dead_position {
	int64_t position;
	int64_t retry_at; // as in store_dead_letter; kept once it was published there
	bool published;   // there, by a retry
};
// Calls fn for each position from `from` to `to`, both inclusive, whose event was set aside for the subscription, in rising
// order, until it returns false: also for what was discarded, or published since. (A rewind to before one forgets it.)
MEOW_MUST_USE bool store_dead_positions(struct meow_store *store, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err);

// `dead discard`: their events will never be published, and what comes next of their aggregates is, once none is left. One
// that others of its aggregate stand before is MEOW_INVALID; none at all, MEOW_MISSING.
MEOW_MUST_USE bool store_dead_discard(
	struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);

// `dead retry`: they are to be published again, in their order, at positions that are drawn for them now and that no event will
// have. Fails as store_dead_discard; those that wait for a retry already are none.
MEOW_MUST_USE bool store_dead_retry(
	struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err);

// `subscription adopt`: a subscription of Python meowmx becomes one of ours, at the last position below every event that
// Python's has not passed. Python's stays as it is.
struct store_adopt {
	const char *name; // Python's
	const char *as;   // ours
	bool dry_run;     // find out and check everything, and write nothing
};
struct store_adoption {
	char transaction_id[24]; // where Python's stands
	int64_t event_id;
	int64_t position; // where ours begins: every event up to here Python has passed
	int64_t again;    // events behind it that Python has passed, too: they come a second time
};
// Waits up to five seconds for open transactions. MEOW_MISSING: Python meowmx has no such one. MEOW_INVALID: ours has moved
// already, or this kind of store has none of Python's. MEOW_UNAVAILABLE: a worker of Python's is at work on it, or a
// transaction that may still commit an event does not end.
MEOW_MUST_USE bool store_subscription_adopt(struct meow_store *store, const struct store_adopt *wanted,
	struct store_adoption *ret_adoption, struct meow_error *err);

// A subscription's handler works in one transaction with its checkpoint, over a blocking store of its own. But for claim none
// of these connects anew: the claim, and what the handler was lent, go with the connection.
//
//   claim    once a connection: true while no other process works on this subscription
//   own      the name is a handler's from now on; MEOW_INVALID if it is a route's, whose checkpoint means something else
//   begin    opens the transaction and locks the checkpoint, which is made if it is new
//   look     reads the checkpoint, outside of a transaction; all zero if there is none
//   commit   writes the checkpoint and commits: all of it or nothing. MEOW_UNKNOWN_OUTCOME when the connection broke
//   report   what status shows, in a transaction of its own
struct store_work {
	int64_t position; // everything up to here is dealt with
	int64_t handled;  // the last event that the handler was given, 0 if none yet
	int64_t generation;
	bool fresh; // begin: nothing was ever committed for it
	bool paused;
};
struct store_work_state {
	const char *state;                // "RUNNING", "RESTARTING", "UNASSIGNED"
	const char *reason, *error_class; // NULL if there is none
	int64_t error_position;           // 0 if there is none
};
MEOW_MUST_USE bool store_work_claim(
	struct meow_store *store, const char *subscription, bool *ret_claimed, struct meow_error *err);
MEOW_MUST_USE bool store_work_own(struct meow_store *store, const char *subscription, struct meow_error *err);
MEOW_MUST_USE bool store_work_begin(
	struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err);
MEOW_MUST_USE bool store_work_look(
	struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err);
MEOW_MUST_USE bool store_work_commit(
	struct meow_store *store, const char *subscription, const struct store_work *work, struct meow_error *err);
MEOW_MUST_USE bool store_work_roll_back(struct meow_store *store, struct meow_error *err);
MEOW_MUST_USE bool store_work_report(
	struct meow_store *store, const char *subscription, const struct store_work_state *state, struct meow_error *err);

// A bulk load (`append -` with whole lines): one transaction of many aggregates. `version` of a line without expect means
// the event must become that version; an equal event (type, data, metadata, time where given) already there is skipped.
struct store_bulk_line {
	uint64_t line; // for messages
	const char *aggregate_type, *aggregate_id;
	int64_t expected; // MEOW_EXPECT_*, a version, or MEOW_NO_VERSION: see version
	int64_t version;  // MEOW_NO_VERSION if the line has none
	struct meow_new_event event;
};
struct store_bulk_result {
	uint64_t appended, skipped;
};
// All lines or none. On failure *ret_line is the line at fault (0 if none is).
MEOW_MUST_USE bool store_bulk(struct meow_store *store, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err);

#endif
