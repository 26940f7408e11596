// bare_sqlite PATH append|read SECONDS: the least code for the same work on a file that `meowmx setup` made: one event a
// transaction with the same durability, and all events read in the order of their ids. Prints a count and the seconds.
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DATA "{\"amount\": 12.50, \"currency\": \"EUR\", \"note\": \"as stored\"}"

static sqlite3 *database;

static void check(int result)
{
	if (result == SQLITE_OK || result == SQLITE_DONE || result == SQLITE_ROW)
		return;
	fprintf(stderr, "bare_sqlite: %s\n", sqlite3_errmsg(database));
	exit(1);
}

static double now(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static sqlite3_stmt *prepare(const char *sql)
{
	sqlite3_stmt *statement;
	check(sqlite3_prepare_v3(database, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL));
	return statement;
}

static void run(sqlite3_stmt *statement)
{
	check(sqlite3_step(statement));
	check(sqlite3_reset(statement));
}

static uint64_t append(double seconds)
{
	char id[64];
	snprintf(id, sizeof(id), "bare-%.0f", now() * 1e6);
	sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE"), *commit = prepare("COMMIT");
	sqlite3_stmt *create = prepare("INSERT INTO es_aggregates (id, version, aggregate_type) VALUES (?1, -1, 'bench')");
	sqlite3_stmt *move = prepare("UPDATE es_aggregates SET version = version + 1 WHERE id = ?1 AND version = ?2");
	sqlite3_stmt *insert = prepare("INSERT INTO es_events (aggregate_id, version, event_type, json_data, "
								   "aggregate_type) VALUES (?1, ?2, 'added', ?3, 'bench')");
	check(sqlite3_bind_text(create, 1, id, -1, SQLITE_STATIC));
	run(create);
	check(sqlite3_bind_text(move, 1, id, -1, SQLITE_STATIC));
	check(sqlite3_bind_text(insert, 1, id, -1, SQLITE_STATIC));
	check(sqlite3_bind_text(insert, 3, DATA, -1, SQLITE_STATIC));
	uint64_t total = 0;
	for (double began = now(); now() - began < seconds; total++) {
		run(begin);
		check(sqlite3_bind_int64(move, 2, (int64_t)total - 1));
		run(move);
		check(sqlite3_bind_int64(insert, 2, (int64_t)total));
		run(insert);
		run(commit);
	}
	sqlite3_stmt *all[] = {begin, commit, create, move, insert};
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
		sqlite3_finalize(all[i]);
	return total;
}

// A text as a program takes it: where it is and how long. Here its first byte and its length.
static int64_t text_of(sqlite3_stmt *statement, int column)
{
	const unsigned char *text = sqlite3_column_text(statement, column);
	return (text ? text[0] : 0) + sqlite3_column_bytes(statement, column);
}

static uint64_t read_all(double seconds)
{
	sqlite3_stmt *read = prepare("SELECT id, aggregate_type, aggregate_id, version, event_type, json_data, metadata, "
								 "created_at FROM es_events ORDER BY id");
	uint64_t total = 0;
	volatile int64_t sum = 0; // so that the rows are looked at
	for (double began = now(); now() - began < seconds;) {
		while (sqlite3_step(read) == SQLITE_ROW) {
			for (int column = 0; column < 8; column++)
				sum += column == 0 || column == 3 || column == 7 ? sqlite3_column_int64(read, column)
																 : text_of(read, column);
			total++;
		}
		check(sqlite3_reset(read));
	}
	(void)sum;
	sqlite3_finalize(read);
	return total;
}

int main(int argc, char **argv)
{
	if (argc != 4 || sqlite3_open_v2(argv[1], &database, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) {
		fprintf(stderr, "usage: bare_sqlite PATH append|read SECONDS\n");
		return 1;
	}
	check(sqlite3_exec(
		database, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON", NULL, NULL, NULL));
	double began = now();
	uint64_t total = strcmp(argv[2], "append") == 0 ? append(atof(argv[3])) : read_all(atof(argv[3]));
	printf("%llu %.4f\n", (unsigned long long)total, now() - began);
	sqlite3_close(database);
	return 0;
}
