// PostgreSQL for the suite: one private server a group, a database for each store.
#include "suite.h"

#include <libpq-fe.h>

static struct server *server;
static char *urls[4096];
static size_t url_count;

static int start(void **state)
{
	(void)state;
	server = server_start("postgres", "fsync=off", "log_min_messages=fatal", "max_connections=120", NULL);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	server_destroy(server);
	while (url_count)
		free(urls[--url_count]);
	return 0;
}

static void *connect(const char *url)
{
	PGconn *conn = PQconnectdb(url);
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	return conn;
}

static void disconnect(void *connection)
{
	PQfinish(connection);
}

static bool run(void *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);
	bool good = PQresultStatus(result) == PGRES_COMMAND_OK || PQresultStatus(result) == PGRES_TUPLES_OK;
	PQclear(result);
	return good;
}

static int64_t number(void *connection, const char *sql)
{
	PGresult *result = PQexec(connection, sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
		fail_msg("%s: %s", sql, PQerrorMessage(connection));
	int64_t found = strtoll(PQgetvalue(result, 0, 0), NULL, 10);
	PQclear(result);
	return found;
}

static const char *fresh(void)
{
	struct meow_error err;
	char *url, sql[64];
	void *connection = connect(server_url(server));
	snprintf(sql, sizeof(sql), "CREATE DATABASE store_%zu", url_count);
	run_or_fail(connection, sql);
	disconnect(connection);
	if (url_count == sizeof(urls) / sizeof(*urls) ||
		asprintf(&url, "postgresql://postgres@127.0.0.1:%u/store_%zu", server_port(server), url_count) < 0)
		abort();
	urls[url_count++] = url;
	assert_ok(meow_setup(url, "TEXT", NULL, NULL, &err), err);
	return url;
}

static struct meow_store *on(void *connection, struct meow_error *err)
{
	return meow_store_on_postgres(connection, err);
}

static void *connection_of(const struct meow_store *store)
{
	return meow_store_postgres(store);
}

const struct store_kind kind = {
	.name = "PostgreSQL",
	.start = start,
	.stop = stop,
	.fresh = fresh,
	.connect = connect,
	.disconnect = disconnect,
	.run = run,
	.number = number,
	.on = on,
	.connection_of = connection_of,
	.failure_aborts = true,
};
