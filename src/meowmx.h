// meowmx.h: the public interface of libmeowmx, an append-only event store with optimistic version checks.
//
// Threads: a store handle and everything made from it belong to one thread at a time; two handles share nothing. What
// may be called from elsewhere says so (meow_subscription_stop). Every function here may block on the network or the
// disk unless its comment says otherwise. The library never logs, never exits and keeps no global state.
//
// Errors: a function that can fail returns false (or NULL) and fills *err, which may be NULL if the caller does not
// care; its other outputs are then untouched. Code branches on err->kind alone; err->text is one line for people.
#ifndef MEOWMX_H
#define MEOWMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MEOW_API __attribute__((visibility("default")))
#define MEOW_MUST_USE __attribute__((warn_unused_result))

// What went wrong, as far as a program must tell apart. Whether the call may be repeated follows from it.
enum meow_error_kind {
	MEOW_ERROR_NONE = 0,
	MEOW_UNAVAILABLE,     // a server or memory cannot be had now; repeating later may succeed; nothing was done
	MEOW_UNKNOWN_OUTCOME, // the connection broke at a moment when the change may or may not have been made
	MEOW_CONFLICT,        // the aggregate is at another version: load again and repeat
	MEOW_INVALID,         // what was passed can never be accepted (bad JSON, an id that does not fit, another type)
	MEOW_MISSING,         // an input that must exist does not
	MEOW_DENIED,          // password, rights, or a server that only reads
	MEOW_CONFIG,          // a setting, or a store that is not set up or of a newer meowmx
	MEOW_IO,              // reading or writing a file failed
	MEOW_BUG,             // should not happen: please report
};

#define MEOW_ERROR_TEXT_SIZE 512

struct meow_error {
	enum meow_error_kind kind;
	char code[8];                    // SQLSTATE or the client library's own code; empty if there is none
	char text[MEOW_ERROR_TEXT_SIZE]; // one line without a line break: names the thing and says what to do
};

// A run of bytes. What the library hands out has a NUL byte behind its end that size does not count.
struct meow_bytes {
	const char *data; // NULL means absent (no metadata, no type), which is not the same as empty
	size_t size;
};

#define MEOW_NO_TIME INT64_MIN
#define MEOW_NO_VERSION INT64_MIN

// One immutable fact. All pointers are borrowed from whatever handed the event out.
struct meow_event {
	int64_t position; // es_events.id: its place in the store's total order
	int64_t version;  // its place among its aggregate's events, the first is 0
	int64_t time_us;  // microseconds since 1970-01-01 UTC, or MEOW_NO_TIME
	uint64_t transaction_id;
	struct meow_bytes aggregate_type;
	struct meow_bytes aggregate_id; // as the database prints it, CHAR(n) without its trailing blanks
	struct meow_bytes type;
	struct meow_bytes data;     // JSON, byte for byte as stored
	struct meow_bytes metadata; // JSON, byte for byte as stored, or absent
};

// --- the store ---

struct meow_store;

// Opens the store that url names: postgresql://... (an empty url takes libpq's PG* variables), sqlite:PATH, or
// sqlite::memory:, a store of its own that is set up already and goes with the handle. Fails with MEOW_CONFIG when the
// tables are missing or of a newer meowmx, MEOW_MISSING (no such file), MEOW_DENIED, MEOW_UNAVAILABLE. The caller
// closes it.
MEOW_API MEOW_MUST_USE struct meow_store *meow_store_open(const char *url, struct meow_error *err);

// A store on a connection that the application already has (PGconn * and sqlite3 *), borrowed until the handle is
// closed. meowmx then never begins, commits or rolls back (but to a savepoint of its own, around a snapshot that fails):
// what it writes belongs to the transaction that is open there, together with the application's own tables. Nothing is
// repeated and the connection is never made anew; a statement that PostgreSQL refuses leaves its transaction aborted,
// as any other would. The connection must not be in libpq's non-blocking or pipeline mode, and while a statement of the
// application's is under way on it (a COPY, rows that come one by one) every call fails with MEOW_INVALID. Fails as
// meow_store_open does.
struct pg_conn;
struct sqlite3;
MEOW_API MEOW_MUST_USE struct meow_store *meow_store_on_postgres(struct pg_conn *connection, struct meow_error *err);
MEOW_API MEOW_MUST_USE struct meow_store *meow_store_on_sqlite(struct sqlite3 *database, struct meow_error *err);

// The connection of a handle, for the application's own statements (a subscription's handler writes its read model
// over it); NULL if the store is of the other kind. The handle keeps it. Does not block.
MEOW_API struct pg_conn *meow_store_postgres(const struct meow_store *store);
MEOW_API struct sqlite3 *meow_store_sqlite(const struct meow_store *store);

// Closes the connection (unless it is the application's) and frees the handle. What was made from it must have been
// closed before. Takes NULL.
MEOW_API void meow_store_close(struct meow_store *store);

// Creates or adopts the tables, as `meowmx setup` does: works on an empty database, on the tables of Python meowmx,
// and twice in a row. id_type NULL: UUID for new tables in PostgreSQL, what is there for adopted ones; else UUID, TEXT,
// CHAR(n), VARCHAR(n), BIGINT, INTEGER (SQLite keeps ids as text and takes TEXT alone). say (may be NULL) gets one line
// for people at each step, and for what set-up waits for.
MEOW_API MEOW_MUST_USE bool meow_setup(
	const char *url, const char *id_type, void (*say)(void *arg, const char *line), void *arg, struct meow_error *err);

// The same for a database that the application has open, in a transaction of its own or in the one that is open there.
MEOW_API MEOW_MUST_USE bool meow_setup_on_sqlite(struct sqlite3 *database, struct meow_error *err);

// --- append ---

// The expected version of an append is a version number, or one of these.
#define MEOW_EXPECT_NEW ((int64_t)-1) // the aggregate has no event yet
#define MEOW_EXPECT_ANY ((int64_t)-2) // whatever is there

struct meow_new_event {
	struct meow_bytes type;
	struct meow_bytes data;     // valid JSON; it is stored byte for byte
	struct meow_bytes metadata; // valid JSON or absent
	int64_t time_us;            // MEOW_NO_TIME means: now, by the database's clock
};

struct meow_append {
	const char *aggregate_type;
	const char *aggregate_id;
	int64_t expected;
	const struct meow_new_event *events;
	size_t count;
	const char *token;      // a UUID that makes the call repeatable (an idempotency key); NULL draws a random one
	int64_t *ret_positions; // NULL, or room for one position for each event, filled on success
};

struct meow_appended {
	int64_t version;  // of the last event
	int64_t position; // of the last event
	bool repeated;    // these events were there already, appended by an earlier call with this token
};

// Appends all events with consecutive versions after the expected one, or none, in one round trip. When the
// connection breaks at an unknown moment the call reconnects and repeats once itself, safely, by its token; if that
// fails as well the kind is MEOW_UNKNOWN_OUTCOME. (On a connection of the application's nothing is repeated, and nobody
// but the application knows what its commit did.) MEOW_CONFLICT: *ret_found (may be NULL) is the version that is
// there, -1 if none, MEOW_NO_VERSION if unknown. MEOW_INVALID: bad JSON, an id that does not fit, another aggregate
// type. No events: nothing is done or checked, success. ret may be NULL.
MEOW_API MEOW_MUST_USE bool meow_append(struct meow_store *store, const struct meow_append *append,
	struct meow_appended *ret, int64_t *ret_found, struct meow_error *err);

// --- load ---

// What to load. With aggregate_id (which needs aggregate_type): one aggregate, from and to are versions. With
// aggregate_type alone: a category; with neither: everything; from and to are positions, and nothing beyond the
// settled position is returned, so that "what comes after position N" never misses an event.
struct meow_query {
	const char *aggregate_type;
	const char *aggregate_id;
	int64_t from;                   // inclusive; INT64_MIN for the first
	int64_t to;                     // inclusive; INT64_MAX for the last
	int64_t limit;                  // at most so many events; 0 means no limit
	bool reverse;                   // newest first
	const char *const *event_types; // only events of these types; NULL for all
	size_t event_type_count;
};

struct meow_cursor;

// Starts loading. The events come in pages, in bounded memory. The caller closes the cursor before the store. An
// unknown aggregate is no error: the cursor is empty. A category, or everything, over a connection of the application's
// wants a transaction of isolation read committed, or none: an older snapshot would miss events (MEOW_INVALID).
MEOW_API MEOW_MUST_USE struct meow_cursor *meow_load(
	struct meow_store *store, const struct meow_query *query, struct meow_error *err);

// Fills *ret_event and sets *ret_found, or clears it behind the last event. The event is valid until the next call.
// MEOW_CONFLICT: the history of the aggregate was cut, below what was shown already, while it was loaded.
MEOW_API MEOW_MUST_USE bool meow_cursor_next(
	struct meow_cursor *cursor, struct meow_event *ret_event, bool *ret_found, struct meow_error *err);

// A category, or everything, ends at what is settled. Where a transaction that has drawn a position stayed open for longer
// than a second, that may be below events that are there: its text for people, NULL if nobody held the load back.
// Borrowed until the cursor is closed. Does not block.
MEOW_API const char *meow_cursor_held_back_by(const struct meow_cursor *cursor);

MEOW_API void meow_cursor_close(struct meow_cursor *cursor);

// --- aggregates as the store knows them ---

// *ret_version is that of the aggregate's last event, -1 if it has none: whether it exists. MEOW_INVALID: it is known
// under another type.
MEOW_API MEOW_MUST_USE bool meow_version(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
	int64_t *ret_version, struct meow_error *err);

struct meow_aggregate_info {
	struct meow_bytes type;
	struct meow_bytes id;
	int64_t version; // of its last event, -1 if it has none
};

struct meow_aggregate_page {
	struct meow_aggregate_info *items; // in the order of their ids
	size_t count;                      // less than the limit: it was the last page
	void *memory;                      // what the items point into
};

// A page of at most `limit` aggregates, all or those of one type (NULL: all), behind the id `after` (NULL: from the
// first). The next page begins after the last item's id. The caller frees it with meow_aggregate_page_free.
MEOW_API MEOW_MUST_USE bool meow_list_aggregates(struct meow_store *store, const char *aggregate_type,
	const char *after, size_t limit, struct meow_aggregate_page *ret_page, struct meow_error *err);
MEOW_API void meow_aggregate_page_free(struct meow_aggregate_page *page);

// Deletes the aggregate's events from a version on, and its snapshots of those versions; from 0 on the aggregate itself
// goes. Versions are then used again under new positions, and what a sink has already got stays there. *ret_count (may
// be NULL) is the number of events deleted; an unknown aggregate, or a version above its last, is no error. On a
// PostgreSQL connection of the application's it needs a transaction to be open (MEOW_INVALID).
MEOW_API MEOW_MUST_USE bool meow_delete(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err);

// --- snapshots ---

// A state of an aggregate, as JSON. It counts only while the event at its version still has that position: a history
// that somebody cut and wrote anew never yields a stale state.
struct meow_snapshot {
	int64_t version;
	int64_t position; // of the event at that version
	struct meow_bytes data;
};

// Stores it, in place of one of that version. MEOW_INVALID: no JSON, or the aggregate has no event of that version at
// that position.
MEOW_API MEOW_MUST_USE bool meow_snapshot_save(struct meow_store *store, const char *aggregate_type,
	const char *aggregate_id, const struct meow_snapshot *snapshot, struct meow_error *err);

// The newest one that counts, at or below `version`. *ret_snapshot is NULL if there is none; the caller frees it, which
// takes NULL.
MEOW_API MEOW_MUST_USE bool meow_snapshot_load(struct meow_store *store, const char *aggregate_type,
	const char *aggregate_id, int64_t version, struct meow_snapshot **ret_snapshot, struct meow_error *err);
MEOW_API void meow_snapshot_free(struct meow_snapshot *snapshot);

// Deletes all but the newest `keep` of the aggregate's snapshots. *ret_count (may be NULL) is the number deleted.
MEOW_API MEOW_MUST_USE bool meow_snapshot_prune(struct meow_store *store, const char *aggregate_type,
	const char *aggregate_id, size_t keep, uint64_t *ret_count, struct meow_error *err);

// --- aggregates in memory ---
//
// An aggregate's state is what its events, applied one after the other, made of it. `apply` changes the state by one
// event, both for events that were loaded and for new ones. It may rely on type, data, metadata and version; of a new
// event position and transaction id are 0 and the time is what it was emitted with: a state that keeps times must emit
// them (time_us), else it would differ from the same state loaded again. Where `apply` returns false it fills *err and
// leaves the state as it was.
typedef bool meow_apply_fn(void *state, const struct meow_event *event, struct meow_error *err);

// The events of one aggregate, applied to a state that the application keeps: those loaded, then new ones, which stay
// pending until they were saved, whatever happens in between. On its own it needs no store and never blocks.
struct meow_buffer;

// What is pending may take so many bytes, unless it is a single event.
#define MEOW_PENDING_BYTES_MOST ((size_t)64 * 1024 * 1024)

// `version` is that of the state already: -1 before the first event, or that of the snapshot it was made of. Copies the
// texts, borrows the state until it is destroyed. NULL: MEOW_UNAVAILABLE (no memory), MEOW_INVALID (an empty name, a
// version below -1).
MEOW_API MEOW_MUST_USE struct meow_buffer *meow_buffer_create(const char *aggregate_type, const char *aggregate_id,
	int64_t version, meow_apply_fn *apply, void *state, struct meow_error *err);

// What is pending goes with it. Takes NULL.
MEOW_API void meow_buffer_destroy(struct meow_buffer *buffer);

// Applies the next stored event. MEOW_INVALID: it is not the one after the current version, events are pending, the
// buffer is being saved, or this is called out of `apply`. Else as `apply` says; the buffer then stays as it was.
MEOW_API MEOW_MUST_USE bool meow_buffer_load(
	struct meow_buffer *buffer, const struct meow_event *event, struct meow_error *err);

// Applies a new event and keeps a copy of it as pending. MEOW_INVALID: no event (as meow_append says), too many bytes
// pending, the buffer is being saved, or this is called out of `apply`. MEOW_UNAVAILABLE: no memory. Else as `apply` says.
// After a failure neither state nor buffer have changed.
MEOW_API MEOW_MUST_USE bool meow_buffer_emit(
	struct meow_buffer *buffer, const struct meow_new_event *event, struct meow_error *err);

MEOW_API int64_t meow_buffer_version(const struct meow_buffer *buffer);        // of the state, pending events included
MEOW_API int64_t meow_buffer_stored_version(const struct meow_buffer *buffer); // without them: what to expect at append

// The pending events in order, the first of stored version + 1: what to append. Borrowed until the buffer changes.
MEOW_API const struct meow_new_event *meow_buffer_pending(const struct meow_buffer *buffer, size_t *ret_count);

// While it is being saved the buffer refuses to be changed, so that what is appended is what counts as saved.
// MEOW_INVALID: it is being saved already, or this is called out of `apply`.
MEOW_API MEOW_MUST_USE bool meow_buffer_begin_save(struct meow_buffer *buffer, struct meow_error *err);

// Ends that: with `saved` what was pending is stored now; without, it is pending still. Nothing without a begun save.
MEOW_API void meow_buffer_end_save(struct meow_buffer *buffer, bool saved);

// A kind of aggregates: how a state is made, changed, kept and freed. The callbacks run in the thread of the call that
// needs them. Each may leave *err alone when it fails; the kind is then MEOW_INVALID.
struct meow_aggregate_type {
	const char *name; // the aggregate type in the store
	void *context;    // for create

	// A state before the first event, or, with a snapshot (NUL behind its end), what `snapshot` once made it of. NULL on
	// failure. MEOW_INVALID with a snapshot: it cannot be read; an older one is taken, or none.
	void *(*create)(void *context, const char *id, const struct meow_bytes *snapshot, struct meow_error *err);

	meow_apply_fn *apply;

	// JSON that `create` makes the same state of, in memory from malloc, which the library frees. NULL: this type has no
	// snapshots, and none is looked for.
	bool (*snapshot)(const void *state, struct meow_bytes *ret_data, struct meow_error *err);

	void (*destroy)(void *state);

	uint32_t snapshot_every; // a snapshot with every so-manieth event; 0: none is stored
	uint32_t keep_snapshots; // so many are kept of an aggregate, the newest; 0: all

	// Its aggregates may begin at version 1, as postgresql-event-sourcing's do. Otherwise that is a gap: event 0 is missing.
	bool from_one;
};

struct meow_aggregate;

// The aggregate as it is at `version` (INT64_MAX: the newest), out of the newest snapshot at or below it that can be read
// and still stands for the stored history, and the events behind it. An unknown aggregate is a new one, at version -1.
// Borrows store and type until it is destroyed, copies id. MEOW_INVALID: it has no such version, or an event was refused
// (named). MEOW_CONFLICT: its history was cut while it was loaded. Else as meow_load.
MEOW_API MEOW_MUST_USE struct meow_aggregate *meow_aggregate_load(struct meow_store *store,
	const struct meow_aggregate_type *type, const char *id, int64_t version, struct meow_error *err);

// Its state goes with it, and what was not saved. Before the store is closed. Takes NULL.
MEOW_API void meow_aggregate_destroy(struct meow_aggregate *aggregate);

// None of these blocks.
MEOW_API void *meow_aggregate_state(
	const struct meow_aggregate *aggregate); // what `create` made; goes with the aggregate
MEOW_API const char *meow_aggregate_id(const struct meow_aggregate *aggregate);
MEOW_API int64_t meow_aggregate_version(
	const struct meow_aggregate *aggregate); // of the state, pending events included
MEOW_API int64_t meow_aggregate_stored_version(const struct meow_aggregate *aggregate);

// As meow_buffer_emit; does not block. While the outcome of a save is unknown nothing can be emitted (MEOW_INVALID).
MEOW_API MEOW_MUST_USE bool meow_aggregate_emit(
	struct meow_aggregate *aggregate, const struct meow_new_event *event, struct meow_error *err);

// What a save did. A snapshot that could not be stored, or older ones that could not be pruned, never fail the save,
// whose events are stored by then: the reason is here, and the next one is tried with the next multiple.
struct meow_saved {
	size_t count;     // events appended; 0: nothing was pending
	int64_t version;  // of the aggregate now, -1 if it has no event
	int64_t position; // of its last event, 0 if it has none
	bool repeated;    // they were there already: an earlier save, whose outcome was unknown, had appended them
	bool snapshot;    // one was stored
	struct meow_error snapshot_error; // its kind is MEOW_ERROR_NONE if all went well, or none was due
};

// Appends what is pending, all or nothing, behind the stored version; then, where snapshot_every says so, stores a
// snapshot. After a failure all of it is pending still. MEOW_UNKNOWN_OUTCOME: save again until there is another answer;
// it is the same append by its token, so that nothing is stored twice. MEOW_INVALID: it was loaded at a version, to be
// looked at. Else as meow_append. ret may be NULL.
MEOW_API MEOW_MUST_USE bool meow_aggregate_save(
	struct meow_aggregate *aggregate, struct meow_saved *ret, struct meow_error *err);

// Emits what shall happen, seeing the aggregate's state; or refuses: false, with *err filled.
typedef bool meow_decide_fn(void *arg, struct meow_aggregate *aggregate, struct meow_error *err);

// Loads the aggregate, has `decide` emit what shall happen, and saves it; on a conflict all of that again, `tries` times in
// all at most, each time with a new state. `decide` may emit nothing: success, nothing is appended. Its refusal ends it, as
// does every error but a conflict. The conflict of the last try is MEOW_CONFLICT. ret may be NULL.
//
// In a transaction of the application's: in read committed a repetition sees what the other has committed meanwhile and
// may succeed. In repeatable read or serializable PostgreSQL aborts the transaction with the conflict, and in SQLite one
// that has read before it writes (BEGIN IMMEDIATE helps) never sees what others wrote: there the first conflict ends it,
// and the application repeats its whole transaction.
MEOW_API MEOW_MUST_USE bool meow_execute(struct meow_store *store, const struct meow_aggregate_type *type,
	const char *id, unsigned tries, meow_decide_fn *decide, void *arg, struct meow_saved *ret, struct meow_error *err);
// --- subscriptions with a handler ---

// A handler gets each event once, in the order of the store: what it does through `transaction` commits together with the
// subscription's checkpoint, or not at all. `transaction` is a store on the connection whose transaction is open: append
// through it, or use meow_store_postgres and meow_store_sqlite for statements of your own; it must neither commit nor
// roll back, and use nothing of it after it returned. To refuse an event it returns false and fills err: the
// transaction is rolled back, the events before it are handled once more and committed, and the refused one is tried
// again alone, after a pause that grows, until it is taken. (What must never be handled it takes and does nothing.)
// What the store refuses at the commit alone (a deferred constraint) is found among the events by trying fewer of them.
typedef bool meow_handler_fn(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err);

enum meow_subscription_state {
	MEOW_SUBSCRIPTION_RUNNING,  // handles events, or waits for the next
	MEOW_SUBSCRIPTION_WAITING,  // another process, or thread, works on this subscription
	MEOW_SUBSCRIPTION_RETRYING, // the handler refused an event, or the store is away: err says why
	MEOW_SUBSCRIPTION_PAUSED,   // by an operator
};

struct meow_subscription_report {
	enum meow_subscription_state state;
	const struct meow_error *err; // RETRYING: why; else NULL
	int64_t position;             // of the event that was refused, 0 if it is none's
	int64_t retry_in_ms;          // RETRYING: when it is tried again
};

// Texts and arrays are borrowed until the subscription is destroyed. Zero and NULL take the defaults.
struct meow_subscription_settings {
	const char *name;              // unique in the store; its checkpoint is kept under it
	const char *const *categories; // only events of these aggregate types; NULL for all
	size_t category_count;
	const char *const *event_types; // and of these event types; NULL for all
	size_t event_type_count;
	size_t batch_events;  // at most so many events in one transaction: 500
	bool start_now;       // a new one begins behind what is there (when whoever writes then has ended)
	bool until_caught_up; // end when everything is handled that was there
	int64_t backoff_least_ms, backoff_most_ms; // pauses before another try: 100 and 30000
	meow_handler_fn *handler;
	void *arg; // of handler and report
	// Told of each change of state and each try that failed, from within meow_subscription_run; NULL: nobody.
	void (*report)(void *arg, const struct meow_subscription_report *report);
};

struct meow_subscription;

// Makes a subscription of the store that url names (its own connections, made by run). MEOW_INVALID: settings that cannot
// be, or sqlite::memory:, which no second connection reaches. Does not connect.
MEOW_API MEOW_MUST_USE struct meow_subscription *meow_subscription_create(
	const char *url, const struct meow_subscription_settings *settings, struct meow_error *err);

// Handles events until it is told to stop, or has caught up; then true. It follows the settled position, as the relay
// does, and survives a store that goes away. Any number of processes may run the same subscription: one of them works,
// and when it ends another takes over. False for what no repetition cures (a store that is not set up, rights).
MEOW_API MEOW_MUST_USE bool meow_subscription_run(struct meow_subscription *subscription, struct meow_error *err);

// Lets run return after the event that is being handled, or the next run at once. From any thread, or a signal handler,
// while the subscription exists. Does not block.
MEOW_API void meow_subscription_stop(struct meow_subscription *subscription);

// Not while run is under way. Takes NULL.
MEOW_API void meow_subscription_destroy(struct meow_subscription *subscription);

// The library's version, "MAJOR.MINOR.PATCH". Does not block.
MEOW_API const char *meow_library_version(void);

#ifdef __cplusplus
}
#endif
#endif
