// storm.c: writers that do to the order of events what real applications do at their worst.
//
//   storm URL WRITERS SECONDS SEED [PAUSE_MS [RATE]]      SECONDS may be -: until standard input ends
//
// RATE: at most so many events a second, of all writers together; 0, as many as they can.
//
// Each writer is a thread with a connection of its own, in SQL that knows nothing of the library. It mixes: single
// statements; transactions that stay open a while; transactions that take their id early and append late; roll-backs,
// whole and to a savepoint; ids drawn long before their insert; REPEATABLE READ; prepared transactions; inserts as an
// older program makes them, without the aggregate's type. A lost connection is made again, and prepared transactions
// that a lost server left behind are rolled back at the end. Aggregate ids are texts. What the store holds at the end
// is what readers must have got.
#include <libpq-fe.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WRITERS_MOST 64
#define AGGREGATES 40
#define NAME_SIZE 48

struct writer {
	pthread_t thread;
	const char *url;
	PGconn *session;
	unsigned number;
	uint64_t random;
	uint64_t serial; // of what belongs to this writer alone
	uint64_t done, undone, failed;
	uint64_t appended; // events, whatever became of them
	struct timespec began;
};

static atomic_bool over;
static useconds_t pause_us = 2000;
static double rate; // events a second of one writer, 0: any

// xorshift64*: the same seed gives the same storm, as far as the server's timing lets it.
static uint64_t draw(struct writer *writer, uint64_t below)
{
	writer->random ^= writer->random >> 12;
	writer->random ^= writer->random << 25;
	writer->random ^= writer->random >> 27;
	return (writer->random * 2685821657736338717u >> 33) % below;
}

static void linger(struct writer *writer)
{
	usleep((useconds_t)draw(writer, pause_us + 1));
}

static bool run(struct writer *writer, const char *statement)
{
	PGresult *result = PQexec(writer->session, statement);
	ExecStatusType status = PQresultStatus(result);
	bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
	PQclear(result);
	return good;
}

// Appends `count` events to an aggregate as the version check wants it: the row is locked before the ids are drawn.
static bool append(struct writer *writer, const char *type, const char *id, unsigned count, bool old_fashioned)
{
	char statement[1200];
	snprintf(statement, sizeof(statement),
		"WITH moved AS (INSERT INTO es_aggregates AS a (id, version, aggregate_type) VALUES ('%s', %u - 1, '%s') "
		"ON CONFLICT (id) DO UPDATE SET version = a.version + %u RETURNING version) "
		"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data%s) "
		"SELECT pg_current_xact_id(), '%s', version - %u + n, 'Happened', "
		"format('{\"writer\": %u,  \"n\": 1.0, \"v\": %%s}', version - %u + n)::json%s%s%s "
		"FROM moved, generate_series(1, %u) n ORDER BY n",
		id, count, type, count, old_fashioned ? "" : ", aggregate_type", id, count, writer->number, count,
		old_fashioned ? "" : ", '", old_fashioned ? "" : type, old_fashioned ? "" : "'", count);
	writer->appended += count;
	return run(writer, statement);
}

// Waits until that many events may have been appended since the start.
static void pace(struct writer *writer)
{
	struct timespec now;
	if (rate <= 0)
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	double elapsed = (double)(now.tv_sec - writer->began.tv_sec) + 1e-9 * (double)(now.tv_nsec - writer->began.tv_nsec);
	double ahead = (double)writer->appended / rate - elapsed;
	if (ahead > 0)
		usleep((useconds_t)(1e6 * (ahead < 0.5 ? ahead : 0.5)));
}

static const char *some_type(struct writer *writer)
{
	static const char *const types[] = {"order", "payment", "注文"};
	return types[draw(writer, 3)];
}

// One of those that all writers fight for.
static void shared_aggregate(struct writer *writer, const char **ret_type, char id[NAME_SIZE])
{
	*ret_type = some_type(writer);
	snprintf(id, NAME_SIZE, "%s-%u", *ret_type, (unsigned)draw(writer, AGGREGATES));
}

static void own_aggregate(struct writer *writer, const char **ret_type, char id[NAME_SIZE])
{
	*ret_type = some_type(writer);
	snprintf(
		id, NAME_SIZE, "%s-%u-%d-%llu", *ret_type, writer->number, (int)getpid(), (unsigned long long)writer->serial++);
}

static bool alone(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	shared_aggregate(writer, &type, id);
	return append(writer, type, id, 1 + (unsigned)draw(writer, 3), draw(writer, 4) == 0);
}

static bool stays_open(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	shared_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN") && append(writer, type, id, 1, false);
	linger(writer);
	return good && run(writer, "COMMIT");
}

// The transaction's id is older than those of transactions that append before it.
static bool early_transaction(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	shared_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN; SELECT pg_current_xact_id()");
	linger(writer);
	return good && append(writer, type, id, 2, false) && run(writer, "COMMIT");
}

static bool rolls_back(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	shared_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN") && append(writer, type, id, 1 + (unsigned)draw(writer, 5), false);
	linger(writer);
	writer->undone++;
	return run(writer, "ROLLBACK") && good;
}

static bool savepoints(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	shared_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN") && append(writer, type, id, 1, false) && run(writer, "SAVEPOINT s") &&
				append(writer, type, id, 3, false) && run(writer, "ROLLBACK TO s") && append(writer, type, id, 1, true);
	linger(writer);
	return good && run(writer, "COMMIT");
}

// Of an aggregate that nobody else has, since its version is not checked before the id is drawn.
static bool early_id(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE], statement[600];
	own_aggregate(writer, &type, id);
	snprintf(statement, sizeof(statement),
		"INSERT INTO es_aggregates (id, version, aggregate_type) VALUES ('%s', 0, '%s'); "
		"INSERT INTO es_events (id, transaction_id, aggregate_id, version, event_type, json_data) "
		"VALUES (currval(pg_get_serial_sequence('es_events', 'id')), pg_current_xact_id(), '%s', 0, 'Late', '{}')",
		id, type, id);
	bool good = run(writer, "BEGIN; SELECT nextval(pg_get_serial_sequence('es_events', 'id'))");
	linger(writer);
	return good && run(writer, statement) && run(writer, "COMMIT");
}

static bool repeatable_read(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE];
	own_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM meowmx_meta");
	linger(writer);
	return good && append(writer, type, id, 2, false) && run(writer, "COMMIT");
}

static bool prepared(struct writer *writer)
{
	const char *type;
	char id[NAME_SIZE], statement[160];
	bool commit = draw(writer, 3) != 0;
	own_aggregate(writer, &type, id);
	bool good = run(writer, "BEGIN; SET LOCAL meowmx.notify = off") && append(writer, type, id, 1, false);
	snprintf(statement, sizeof(statement), "PREPARE TRANSACTION '%s'", id);
	if (!good || !run(writer, statement))
		return false;
	linger(writer);
	snprintf(statement, sizeof(statement), "%s PREPARED '%s'", commit ? "COMMIT" : "ROLLBACK", id);
	writer->undone += !commit;
	return run(writer, statement);
}

static bool (*const ways[])(struct writer *writer) = {alone, alone, alone, alone, stays_open, stays_open,
	early_transaction, rolls_back, savepoints, early_id, repeatable_read, prepared};

static bool reconnect(struct writer *writer)
{
	PQfinish(writer->session);
	writer->session = PQconnectdb(writer->url);
	if (PQstatus(writer->session) == CONNECTION_OK)
		return true;
	usleep(100000);
	return false;
}

static void *work(void *arg)
{
	struct writer *writer = arg;
	clock_gettime(CLOCK_MONOTONIC, &writer->began);
	while (!atomic_load(&over)) {
		pace(writer);
		if (PQstatus(writer->session) != CONNECTION_OK && !reconnect(writer))
			continue;
		if (ways[draw(writer, sizeof(ways) / sizeof(*ways))](writer))
			writer->done++;
		else
			writer->failed += run(writer, "ROLLBACK"); // with its server gone none is counted
	}
	PQfinish(writer->session);
	return NULL;
}

// Notices belong to the storm, too.
static void keep_quiet(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

static bool start(struct writer *writer, const char *url, unsigned number, uint64_t seed)
{
	*writer = (struct writer){.url = url, .number = number, .random = (seed + number + 1) * 0x9e3779b97f4a7c15u};
	writer->session = PQconnectdb(url);
	if (PQstatus(writer->session) != CONNECTION_OK) {
		fprintf(stderr, "storm: %s", PQerrorMessage(writer->session));
		return false;
	}
	PQsetNoticeProcessor(writer->session, keep_quiet, NULL);
	return pthread_create(&writer->thread, NULL, work, writer) == 0;
}

static void last(const char *seconds)
{
	char byte;
	if (strcmp(seconds, "-") != 0)
		usleep((useconds_t)(1e6 * atof(seconds)));
	else
		while (read(STDIN_FILENO, &byte, 1) > 0) {
		}
}

// As a transaction manager does after a crash.
static void settle_prepared(const char *url)
{
	PGconn *session = PQconnectdb(url);
	PGresult *left = PQexec(session, "SELECT 'ROLLBACK PREPARED ' || quote_literal(gid) FROM pg_prepared_xacts");
	for (int row = 0; row < PQntuples(left); row++)
		PQclear(PQexec(session, PQgetvalue(left, row, 0)));
	PQclear(left);
	PQfinish(session);
}

int main(int count, char **arguments)
{
	static struct writer writers[WRITERS_MOST];
	uint64_t done = 0, undone = 0, failed = 0;
	if (count < 5) {
		fprintf(stderr, "usage: storm URL WRITERS SECONDS SEED [PAUSE_MS [RATE]]\n");
		return 64;
	}
	unsigned number = (unsigned)atoi(arguments[2]);
	if (count > 5)
		pause_us = 1000 * (useconds_t)atoi(arguments[5]);
	if (count > 6 && number > 0)
		rate = atof(arguments[6]) / number;
	for (unsigned at = 0; at < number && at < WRITERS_MOST; at++) {
		if (!start(&writers[at], arguments[1], at, strtoull(arguments[4], NULL, 10)))
			return 1;
	}
	last(arguments[3]);
	atomic_store(&over, true);
	for (unsigned at = 0; at < number && at < WRITERS_MOST; at++) {
		pthread_join(writers[at].thread, NULL);
		done += writers[at].done;
		undone += writers[at].undone;
		failed += writers[at].failed;
	}
	settle_prepared(arguments[1]);
	printf("%llu transactions, %llu of them rolled back, %llu failed\n", (unsigned long long)done,
		(unsigned long long)undone, (unsigned long long)failed);
	return done == 0;
}
