// database.h: a private PostgreSQL for one test program, a fresh database for each test, and SQL that must work.
#ifndef INTEGRATION_DATABASE_H
#define INTEGRATION_DATABASE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/text.h"
#include "store/store.h"
#include "support/server.h"

#include <libpq-fe.h>

// For cmocka_run_group_tests: starts and ends the server.
int database_group_setup(void **state);
int database_group_teardown(void **state);
struct server *database_server(void);

// An empty database of its own; the url is good until the program ends.
const char *database_create(void);

// The same database as another user or with further parameters ("user=reader", "application_name=x").
const char *database_url_with(const char *url, const char *parameters);

// A fresh database that store_setup has set up, with ids of this type (NULL: UUID).
const char *database_create_store(const char *id_type);

// Set-up that must succeed; what it says is thrown away.
void database_setup(const char *url);

PGconn *sql_open(const char *url);
void sql_run(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
int64_t sql_number(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The first value, "" for NULL or no row; the caller frees it.
char *sql_text(PGconn *conn, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sql_assert_text(PGconn *conn, const char *expected, const char *query);

// Opens a store that must open.
struct meow_store *store_open_or_fail(const char *url);

// One event; must succeed. Returns its position.
int64_t append_or_fail(struct meow_store *store, const char *type, const char *id, int64_t expected, const char *data);

// A fresh UUID in text; good until the program ends.
const char *new_uuid(void);

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

#endif
