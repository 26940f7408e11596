// SQLite for the suite: a file for each store.
#include "suite.h"

#include <sqlite3.h>

static char *urls[4096];
static size_t url_count;

static int start(void **state)
{
	(void)state;
	return 0;
}

static int stop(void **state)
{
	(void)state;
	return 0; // the files go with the folder, the urls with the program: another group goes on counting
}

static const char *path_of(const char *url)
{
	return url + strlen("sqlite:");
}

static void *connect(const char *url)
{
	sqlite3 *database;
	if (sqlite3_open_v2(path_of(url), &database, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(database));
	sqlite3_busy_timeout(database, 10000);
	return database;
}

static void disconnect(void *connection)
{
	if (sqlite3_close(connection) != SQLITE_OK)
		fail_msg("%s", sqlite3_errmsg(connection));
}

static bool run(void *connection, const char *sql)
{
	return sqlite3_exec(connection, sql, NULL, NULL, NULL) == SQLITE_OK;
}

static int64_t number(void *connection, const char *sql)
{
	sqlite3_stmt *statement;
	if (sqlite3_prepare_v2(connection, sql, -1, &statement, NULL) != SQLITE_OK || sqlite3_step(statement) != SQLITE_ROW)
		fail_msg("%s: %s", sql, sqlite3_errmsg(connection));
	int64_t found = sqlite3_column_int64(statement, 0);
	sqlite3_finalize(statement);
	return found;
}

static const char *fresh(void)
{
	struct meow_error err;
	char *url;
	if (url_count == sizeof(urls) / sizeof(*urls) ||
		asprintf(&url, "sqlite:%s/store_%zu.db", scratch_folder(), url_count) < 0)
		abort();
	urls[url_count++] = url;
	assert_ok(meow_setup(url, "TEXT", NULL, NULL, &err), err);
	return url;
}

static struct meow_store *on(void *connection, struct meow_error *err)
{
	return meow_store_on_sqlite(connection, err);
}

static void *connection_of(const struct meow_store *store)
{
	return meow_store_sqlite(store);
}

const struct store_kind kind = {
	.name = "SQLite",
	.start = start,
	.stop = stop,
	.fresh = fresh,
	.connect = connect,
	.disconnect = disconnect,
	.run = run,
	.number = number,
	.on = on,
	.connection_of = connection_of,
};
