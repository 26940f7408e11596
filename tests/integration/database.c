#include "database.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URLS_MOST 65536

static struct server *server;
static char *urls[URLS_MOST]; // kept until the end, so that tests need not free them
static size_t url_count;

static const char *keep(char *text)
{
	if (!text || url_count == URLS_MOST)
		abort();
	urls[url_count++] = text;
	return text;
}

int database_group_setup(void **state)
{
	(void)state;
	server = server_start("postgres", "fsync=off", "log_min_messages=fatal", NULL);
	return 0;
}

int database_group_teardown(void **state)
{
	(void)state;
	server_destroy(server);
	while (url_count)
		free(urls[--url_count]);
	return 0;
}

struct server *database_server(void)
{
	return server;
}

PGconn *sql_open(const char *url)
{
	PGconn *conn = PQconnectdb(url);
	if (PQstatus(conn) != CONNECTION_OK)
		fail_msg("%s", PQerrorMessage(conn));
	return conn;
}

static PGresult *query(PGconn *conn, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static PGresult *query(PGconn *conn, const char *format, va_list args)
{
	char *text;
	if (vasprintf(&text, format, args) < 0)
		abort();
	PGresult *result = PQexec(conn, text);
	ExecStatusType status = PQresultStatus(result);
	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		fail_msg("%s: %s", text, PQerrorMessage(conn));
	free(text);
	return result;
}

void sql_run(PGconn *conn, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	PQclear(query(conn, format, args));
	va_end(args);
}

int64_t sql_number(PGconn *conn, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	PGresult *result = query(conn, format, args);
	va_end(args);
	int64_t number = PQntuples(result) ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : -1;
	PQclear(result);
	return number;
}

char *sql_text(PGconn *conn, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	PGresult *result = query(conn, format, args);
	va_end(args);
	char *text = strdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	if (!text)
		abort();
	return text;
}

void sql_assert_text(PGconn *conn, const char *expected, const char *statement)
{
	char *text = sql_text(conn, "%s", statement);
	if (strcmp(text, expected) != 0)
		fail_msg("%s: \"%s\", not \"%s\"", statement, text, expected);
	free(text);
}

const char *database_create(void)
{
	static unsigned count;
	char *url;
	PGconn *conn = sql_open(server_url(server));
	sql_run(conn, "CREATE DATABASE test_%u", ++count);
	PQfinish(conn);
	if (asprintf(&url, "postgresql://postgres@127.0.0.1:%u/test_%u", server_port(server), count) < 0)
		abort();
	return keep(url);
}

const char *database_url_with(const char *url, const char *parameters)
{
	char *made;
	if (asprintf(&made, "%s%c%s", url, strchr(url, '?') ? '&' : '?', parameters) < 0)
		abort();
	return keep(made);
}

void database_setup(const char *url)
{
	struct meow_error err;
	assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
}

const char *database_create_store(const char *id_type)
{
	const char *url = database_create();
	struct meow_error err;
	assert_ok(meow_setup(url, id_type, NULL, NULL, &err), err);
	return url;
}

struct meow_store *store_open_or_fail(const char *url)
{
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	if (!store)
		fail_msg("%s", err.text);
	return store;
}

int64_t append_or_fail(struct meow_store *store, const char *type, const char *id, int64_t expected, const char *data)
{
	struct meow_error err;
	struct meow_appended appended;
	struct meow_new_event event = {.type = MEOW_BYTES("happened"), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
	struct meow_append append = {
		.aggregate_type = type, .aggregate_id = id, .expected = expected, .events = &event, .count = 1};
	assert_ok(meow_append(store, &append, &appended, NULL, &err), err);
	return appended.position;
}

const char *new_uuid(void)
{
	static uint64_t count;
	char *text;
	count++;
	if (asprintf(&text, "00000000-0000-4000-8000-%012" PRIx64, count) < 0)
		abort();
	return keep(text);
}
