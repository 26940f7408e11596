#include "bare.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PAGE "5000"

void bare_fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s\n", what, why);
	exit(1);
}

double bare_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int64_t bare_id(const PGresult *page, int row)
{
	uint64_t big;
	memcpy(&big, PQgetvalue(page, row, BARE_ID), 8);
	return (int64_t)be64toh(big);
}

int32_t bare_version(const PGresult *page, int row)
{
	uint32_t big;
	memcpy(&big, PQgetvalue(page, row, BARE_VERSION), 4);
	return (int32_t)be32toh(big);
}

static void ask(PGconn *conn, int64_t after)
{
	uint64_t big = htobe64((uint64_t)after);
	const char *values[1] = {(const char *)&big};
	const int lengths[1] = {8}, formats[1] = {1};
	if (!PQsendQueryPrepared(conn, "page", 1, values, lengths, formats, 1))
		bare_fail("page", PQerrorMessage(conn));
}

static PGresult *take(PGconn *conn)
{
	PGresult *page = PQgetResult(conn), *end;
	if (PQresultStatus(page) != PGRES_TUPLES_OK)
		bare_fail("page", PQerrorMessage(conn));
	while ((end = PQgetResult(conn)) != NULL)
		PQclear(end);
	return page;
}

int64_t bare_read(const char *url, void (*fn)(void *arg, const PGresult *page), void *arg)
{
	PGconn *conn = PQconnectdb(url);
	if (PQstatus(conn) != CONNECTION_OK)
		bare_fail("connect", PQerrorMessage(conn));
	PGresult *prepared = PQprepare(conn, "page",
		"SELECT id, aggregate_type, aggregate_id::text, version, event_type, json_data FROM es_events "
		"WHERE id > $1::bigint ORDER BY id LIMIT " PAGE,
		0, NULL);
	if (PQresultStatus(prepared) != PGRES_COMMAND_OK)
		bare_fail("prepare", PQerrorMessage(conn));
	PQclear(prepared);
	int64_t total = 0;
	ask(conn, 0);
	for (;;) {
		PGresult *page = take(conn);
		int rows = PQntuples(page);
		if (rows > 0) {
			ask(conn, bare_id(page, rows - 1));
			fn(arg, page);
			total += rows;
		}
		PQclear(page);
		if (rows == 0)
			break;
	}
	PQfinish(conn);
	return total;
}
