// append PGURL bare|meowmx CONNECTIONS SECONDS: appends a second, one event each, every connection on aggregates of its own.
// bare: the one-round-trip statement, prepared, and nothing else.
#include "bare.h"
#include "meowmx.h"

#include <endian.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DATA "{\"amount\": 12.50, \"currency\": \"EUR\", \"note\": \"as stored\"}"

struct worker {
	pthread_t thread;
	const char *url;
	int number;
	uint64_t count;
};

static atomic_bool over;

static void *run_bare(void *arg)
{
	struct worker *worker = arg;
	PGconn *conn = PQconnectdb(worker->url);
	if (PQstatus(conn) != CONNECTION_OK)
		bare_fail("connect", PQerrorMessage(conn));
	PGresult *result = PQprepare(conn, "append",
		"WITH moved AS (UPDATE es_aggregates SET version = version + 1 WHERE id = $1 AND version = $2::int "
		"AND aggregate_type = 'bench' RETURNING id, version) "
		"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data, aggregate_type) "
		"SELECT pg_current_xact_id(), id, version, 'added', $3::json, 'bench' FROM moved RETURNING id",
		0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		bare_fail("prepare", PQerrorMessage(conn));
	PQclear(result);
	char id[64], version[16], create[256];
	snprintf(id, sizeof(id), "bare-%d-%d", (int)getpid(), worker->number);
	snprintf(create, sizeof(create), "INSERT INTO es_aggregates VALUES ('%s', -1, 'bench')", id);
	PQclear(PQexec(conn, create));
	for (int n = -1; !atomic_load(&over); n++) {
		snprintf(version, sizeof(version), "%d", n);
		const char *values[3] = {id, version, DATA};
		result = PQexecPrepared(conn, "append", 3, values, NULL, NULL, 1);
		if (PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1)
			bare_fail("append", PQerrorMessage(conn));
		PQclear(result);
		worker->count++;
	}
	PQfinish(conn);
	return NULL;
}

static void *run_meowmx(void *arg)
{
	struct worker *worker = arg;
	struct meow_error err;
	struct meow_store *store = meow_store_open(worker->url, &err);
	if (!store)
		bare_fail("open", err.text);
	char id[64];
	snprintf(id, sizeof(id), "meow-%d-%d", (int)getpid(), worker->number);
	const struct meow_new_event event = {
		.type = {"added", 5}, .data = {DATA, sizeof(DATA) - 1}, .time_us = MEOW_NO_TIME};
	for (int64_t n = -1; !atomic_load(&over); n++) {
		const struct meow_append append = {
			.aggregate_type = "bench", .aggregate_id = id, .expected = n, .events = &event, .count = 1};
		if (!meow_append(store, &append, NULL, NULL, &err))
			bare_fail("append", err.text);
		worker->count++;
	}
	meow_store_close(store);
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		bare_fail("usage", "append PGURL bare|meowmx CONNECTIONS SECONDS");
	int connections = atoi(argv[3]);
	void *(*run)(void *) = strcmp(argv[2], "bare") == 0 ? run_bare : run_meowmx;
	struct worker *workers = calloc((size_t)connections, sizeof(*workers));
	if (!workers)
		bare_fail("workers", "no memory");
	double began = bare_seconds();
	for (int i = 0; i < connections; i++) {
		workers[i] = (struct worker){.url = argv[1], .number = i};
		if (pthread_create(&workers[i].thread, NULL, run, &workers[i]) != 0)
			bare_fail("thread", "cannot be started");
	}
	usleep((useconds_t)(atof(argv[4]) * 1e6));
	atomic_store(&over, true);
	uint64_t total = 0;
	for (int i = 0; i < connections; i++) {
		pthread_join(workers[i].thread, NULL);
		total += workers[i].count;
	}
	printf("%llu %.3f\n", (unsigned long long)total, bare_seconds() - began);
	free(workers);
	return 0;
}
