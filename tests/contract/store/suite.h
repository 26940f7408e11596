// suite.h: what every kind of store must do, as tests. A kind brings a struct store_kind; the suite does the rest.
#ifndef CONTRACT_STORE_SUITE_H
#define CONTRACT_STORE_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "store/store.h"
#include "support/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct store_kind {
	const char *name; // as `meowmx status` shows it
	int (*start)(void **state);
	int (*stop)(void **state);
	// The url of a store that nobody has used, set up with text ids; good until the program ends.
	const char *(*fresh)(void);
	// A connection of the application's own, and statements over it.
	void *(*connect)(const char *url);
	void (*disconnect)(void *connection);
	bool (*run)(void *connection, const char *sql); // false if it was refused
	int64_t (*number)(void *connection, const char *sql);
	struct meow_store *(*on)(void *connection, struct meow_error *err);
	void *(*connection_of)(const struct meow_store *store);
	bool failure_aborts; // whatever fails in a transaction takes the whole of it with it
};
extern const struct store_kind kind;

#define assert_ok(call, err)                                                                                           \
	do {                                                                                                               \
		if (!(call))                                                                                                   \
			fail_msg("%s: %s", #call, (err).text);                                                                     \
	} while (0)
#define assert_fails(call, err, wanted)                                                                                \
	do {                                                                                                               \
		if (call)                                                                                                      \
			fail_msg("%s succeeded", #call);                                                                           \
		if ((err).kind != (wanted))                                                                                    \
			fail_msg("%s: kind %d, not %d: %s", #call, (err).kind, wanted, (err).text);                                \
	} while (0)
#define assert_says(err, words)                                                                                        \
	do {                                                                                                               \
		if (!strstr((err).text, words))                                                                                \
			fail_msg("\"%s\" does not say \"%s\"", (err).text, words);                                                 \
	} while (0)

struct meow_store *open_or_fail(const char *url);
struct meow_store *fresh_store(void); // of a fresh url
void run_or_fail(void *connection, const char *sql);

struct meow_new_event an_event(const char *type, const char *data);
// Appends one event {} of type "happened".
bool append_one(struct meow_store *store, const char *type, const char *id, int64_t expected, struct meow_appended *ret,
	struct meow_error *err);
// The same, must succeed; returns its position.
int64_t append_or_fail(struct meow_store *store, const char *type, const char *id, int64_t expected);
// n events in one append behind what is there.
void append_many(struct meow_store *store, const char *type, const char *id, int n);

int64_t version_of(struct meow_store *store, const char *type, const char *id);

// What a query gives: versions of an aggregate, else positions, "0 1 2"; good until the next call.
const char *numbers(struct meow_store *store, struct meow_query query);
struct meow_query an_aggregate(const char *type, const char *id);

struct CMUnitTest;
struct suite {
	const char *name;
	const struct CMUnitTest *tests;
	size_t count;
};
extern const struct suite suite_append, suite_load, suite_aggregates, suite_borrowed, suite_work, suite_session,
	suite_leases, suite_follower, suite_letters, suite_subscription, suite_many;
#define SUITE(variable, list) const struct suite variable = {#variable, list, sizeof(list) / sizeof(*(list))}

#endif
