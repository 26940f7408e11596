// sqlite_case.h: what the tests of the store in a SQLite file share: a file of its own for each, and calls that must not
// fail.
#ifndef TESTS_INTEGRATION_SQLITE_CASE_H
#define TESTS_INTEGRATION_SQLITE_CASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "store/store.h"
#include "support/server.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_ok(call, err)                                                                                           \
	do {                                                                                                               \
		if (!(call))                                                                                                   \
			fail_msg("%s: %s", #call, (err).text);                                                                     \
	} while (0)
#define assert_refused(err, wanted, words)                                                                             \
	do {                                                                                                               \
		if ((err).kind != (wanted) || !strstr((err).text, words) || strchr((err).text, '\n'))                          \
			fail_msg("kind %d, not %d, or not \"%s\": %s", (err).kind, wanted, words, (err).text);                     \
	} while (0)

static char path[300], url[320];

// A path for a file that is not there yet, in `path` and `url`.
static inline void fresh_path(void)
{
	static int count;
	snprintf(path, sizeof(path), "%s/file %d.db", scratch_folder(), ++count);
	snprintf(url, sizeof(url), "sqlite:%s", path);
}

static inline sqlite3 *open_database(void)
{
	sqlite3 *database;
	assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
	return database;
}

static inline void run(sqlite3 *database, const char *sql)
{
	if (sqlite3_exec(database, sql, NULL, NULL, NULL) != SQLITE_OK)
		fail_msg("%s: %s", sql, sqlite3_errmsg(database));
}

static inline int64_t number(sqlite3 *database, const char *sql)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(database));
	int64_t found = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return found;
}

static inline void set_up(void)
{
	struct meow_error err;
	assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
}

static inline struct meow_store *fresh_store(void)
{
	struct meow_error err;
	fresh_path();
	set_up();
	struct meow_store *store = meow_store_open(url, &err);
	if (!store)
		fail_msg("%s", err.text);
	return store;
}

static inline bool append(struct meow_store *store, const char *id, size_t count, struct meow_error *err)
{
	struct meow_new_event *events = calloc(count, sizeof(*events));
	assert_non_null(events);
	for (size_t i = 0; i < count; i++)
		events[i] = (struct meow_new_event){.type = MEOW_BYTES("a"), .data = MEOW_BYTES("{}"), .time_us = MEOW_NO_TIME};
	const struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = id, .expected = MEOW_EXPECT_ANY, .events = events, .count = count};
	bool done = meow_append(store, &append, NULL, NULL, err);
	free(events);
	return done;
}

static inline int64_t version_of(struct meow_store *store, const char *id)
{
	struct meow_error err;
	int64_t version;
	assert_ok(meow_version(store, "order", id, &version, &err), err);
	return version;
}

#endif
