// hold PGURL TRANSACTIONS LOCKS: so many open transactions, each of which holds the locks of the tables held1 to heldLOCKS.
// Prints how many locks pg_locks lists, and ends them when its standard input does.
#include "bare.h"

#include <stdio.h>
#include <stdlib.h>

static PGconn *connect_to(const char *url)
{
	PGconn *conn = PQconnectdb(url);
	if (PQstatus(conn) != CONNECTION_OK)
		bare_fail("connect", PQerrorMessage(conn));
	return conn;
}

static void run(PGconn *conn, const char *command)
{
	PGresult *result = PQexec(conn, command);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		bare_fail(command, PQerrorMessage(conn));
	PQclear(result);
}

static void hold(PGconn *conn, int locks)
{
	char command[64];
	run(conn, "BEGIN");
	for (int i = 1; i <= locks; i++) {
		snprintf(command, sizeof(command), "LOCK TABLE held%d IN ROW EXCLUSIVE MODE", i);
		run(conn, command);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		bare_fail("usage", "hold PGURL TRANSACTIONS LOCKS");
	int count = atoi(argv[2]), locks = atoi(argv[3]);
	PGconn **holders = calloc((size_t)count, sizeof(PGconn *));
	if (!holders)
		bare_fail("holders", "no memory");
	for (int i = 0; i < count; i++)
		hold(holders[i] = connect_to(argv[1]), locks);
	PGconn *conn = connect_to(argv[1]);
	PGresult *result = PQexec(conn, "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock'");
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		bare_fail("count", PQerrorMessage(conn));
	printf("%s\n", PQgetvalue(result, 0, 0));
	fflush(stdout);
	PQclear(result);
	PQfinish(conn);
	while (getchar() != EOF)
		continue;
	for (int i = 0; i < count; i++)
		PQfinish(holders[i]);
	free(holders);
	return 0;
}
