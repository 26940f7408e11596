// meowmx.h: the public interface of libmeowmx, an append-only event store with optimistic version checks.
//
// Threads: a store handle and everything made from it belong to one thread at a time; two handles share nothing.
// Every function here may block on the network unless its comment says otherwise. The library never logs, never
// exits and keeps no global state.
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

struct meow_store;

// Opens the store that url names (postgresql://...; an empty url takes libpq's PG* variables). Fails with
// MEOW_CONFIG when the tables are missing or of a newer meowmx, MEOW_DENIED, MEOW_UNAVAILABLE. The caller closes it.
MEOW_API MEOW_MUST_USE struct meow_store *meow_store_open(const char *url, struct meow_error *err);

// Closes the connection and frees the handle and all it lent. Takes NULL.
MEOW_API void meow_store_close(struct meow_store *store);

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
	const char *token; // a UUID that makes the call repeatable (an idempotency key); NULL draws a random one
};

struct meow_appended {
	int64_t version;  // of the last event
	int64_t position; // of the last event
	bool repeated;    // these events were there already, appended by an earlier call with this token
};

// Appends all events with consecutive versions after the expected one, or none, in one round trip. When the
// connection breaks at an unknown moment the call reconnects and repeats once itself, safely, by its token; if that
// fails as well the kind is MEOW_UNKNOWN_OUTCOME. MEOW_CONFLICT: *ret_found (may be NULL) is the version that is
// there, -1 if none, MEOW_NO_VERSION if unknown. MEOW_INVALID: bad JSON, an id that does not fit, another aggregate
// type. No events: nothing is done or checked, success. ret may be NULL.
MEOW_API MEOW_MUST_USE bool meow_append(struct meow_store *store, const struct meow_append *append,
	struct meow_appended *ret, int64_t *ret_found, struct meow_error *err);

// What to load. With aggregate_id (which needs aggregate_type): one aggregate, from and to are versions. With
// aggregate_type alone: a category; with neither: everything; from and to are positions, and nothing beyond the
// settled position is returned, so that "what comes after position N" never misses an event.
struct meow_query {
	const char *aggregate_type;
	const char *aggregate_id;
	int64_t from;  // inclusive; INT64_MIN for the first
	int64_t to;    // inclusive; INT64_MAX for the last
	int64_t limit; // at most so many events; 0 means no limit
	bool reverse;  // newest first
};

struct meow_cursor;

// Starts loading. The events come in pages, in bounded memory. The caller closes the cursor before the store, and
// makes no other call on the store in between. An unknown aggregate is no error: the cursor is empty.
MEOW_API MEOW_MUST_USE struct meow_cursor *meow_load(
	struct meow_store *store, const struct meow_query *query, struct meow_error *err);

// Fills *ret_event and sets *ret_found, or clears it behind the last event. The event is valid until the next call.
MEOW_API MEOW_MUST_USE bool meow_cursor_next(
	struct meow_cursor *cursor, struct meow_event *ret_event, bool *ret_found, struct meow_error *err);

MEOW_API void meow_cursor_close(struct meow_cursor *cursor);

// The library's version, "MAJOR.MINOR.PATCH". Does not block.
MEOW_API const char *meow_version(void);

#ifdef __cplusplus
}
#endif
#endif
