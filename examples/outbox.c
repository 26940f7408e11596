// outbox.c: a row of the application's own and the event that tells of it commit together, or not at all: the event is
// appended over the application's connection, inside its transaction. The relay publishes what was committed.
//
//   cc outbox.c -o outbox $(pkg-config --cflags --libs meowmx libpq)
//   ./outbox URL INVOICE CENTS [fail]      with `fail` the transaction is rolled back at the end
#include <meowmx.h>

#include <libpq-fe.h>

#include <stdio.h>
#include <string.h>

static bool sql(PGconn *conn, const char *text, int count, const char *const *values)
{
	PGresult *result = PQexecParams(conn, text, count, NULL, values, NULL, NULL, 0);
	bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
	if (!done)
		fprintf(stderr, "%s", PQerrorMessage(conn));
	PQclear(result);
	return done;
}

static bool write_invoice(PGconn *conn, struct meow_store *store, const char *id, const char *cents)
{
	struct meow_error err;
	const char *values[] = {id, cents};
	if (!sql(conn, "INSERT INTO invoices (id, cents) VALUES ($1, $2)", 2, values))
		return false;
	char data[64];
	int size = snprintf(data, sizeof(data), "{\"cents\": %.20s}", cents);
	const struct meow_new_event event = {
		.type = {"InvoiceWritten", strlen("InvoiceWritten")}, .data = {data, (size_t)size}, .time_us = MEOW_NO_TIME};
	const struct meow_append append = {
		.aggregate_type = "invoice", .aggregate_id = id, .expected = MEOW_EXPECT_NEW, .events = &event, .count = 1};
	bool done = meow_append(store, &append, NULL, NULL, &err);
	if (!done)
		fprintf(stderr, "%s\n", err.text);
	return done;
}

int main(int argc, char **argv)
{
	struct meow_error err;
	if (argc < 4)
		return 64;
	PGconn *conn = PQconnectdb(argv[1]);
	bool done = PQstatus(conn) == CONNECTION_OK &&
				sql(conn, "CREATE TABLE IF NOT EXISTS invoices (id uuid PRIMARY KEY, cents int)", 0, NULL);
	struct meow_store *store = done ? meow_store_on_postgres(conn, &err) : NULL; // borrows the connection
	if (done && !store)
		fprintf(stderr, "%s\n", err.text);
	done = store && sql(conn, "BEGIN", 0, NULL) && write_invoice(conn, store, argv[2], argv[3]) && argc == 4 &&
		   sql(conn, "COMMIT", 0, NULL);
	meow_store_close(store); // before the connection
	PQfinish(conn);          // rolls back what was not committed
	return done ? 0 : 1;
}
