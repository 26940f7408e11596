// Each statement of src/store/postgres/sql is taken by a real server, alone and as it stands. argv[1] is the folder.
#include "database.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *folder;

static char *read_whole(const char *name)
{
	char path[512];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *file = fopen(path, "r");
	assert_non_null(file);
	char *text = calloc(1, 65536);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void each_is_one_statement_that_the_server_takes(void **state)
{
	(void)state;
	PGconn *conn = sql_open(database_create_store("CHAR(20)"));
	DIR *open = opendir(folder);
	assert_non_null(open);
	struct dirent *entry;
	int count = 0;
	while ((entry = readdir(open)) != NULL) {
		const char *end = strrchr(entry->d_name, '.');
		if (!end || strcmp(end, ".sql") != 0)
			continue;
		char *sql = read_whole(entry->d_name);
		if (strncmp(sql, "-- ", 3) != 0)
			fail_msg("%s does not say what it is for", entry->d_name);
		PGresult *result = PQprepare(conn, "", sql, 0, NULL);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			fail_msg("%s: %s", entry->d_name, PQerrorMessage(conn));
		PQclear(result);
		free(sql);
		count++;
	}
	closedir(open);
	assert_true(count > 20);
	PQfinish(conn);
}

// What reads by position must use an index however small or large the tables are.
static void readers_walk_an_index(void **state)
{
	(void)state;
	static const char *const names[] = {"read.sql", "read_reverse.sql", "read_categories.sql",
		"read_categories_reverse.sql", "read_tail.sql", "load_aggregate.sql", "find.sql"};
	const char *url = database_create_store("TEXT");
	PGconn *conn = sql_open(url);
	sql_run(conn, "INSERT INTO es_aggregates SELECT n, 9, 'type' || n %% 10 FROM generate_series(1, 2000) n;"
				  "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) SELECT "
				  "pg_current_xact_id(), "
				  "n, v, 'a', '{}' FROM generate_series(0, 9) v, generate_series(1, 2000) n; ANALYZE");
	sql_run(conn, "SET enable_seqscan = off; SET enable_bitmapscan = off; SET plan_cache_mode = force_generic_plan");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		char *sql = read_whole(names[i]);
		sql_run(conn, "PREPARE statement AS %s", sql);
		PGresult *result = PQdescribePrepared(conn, "statement");
		int params = PQnparams(result);
		PQclear(result);
		char arguments[64] = "NULL";
		for (int p = 1; p < params; p++)
			strcat(arguments, ", NULL");
		char explain[128];
		snprintf(explain, sizeof(explain), "EXPLAIN EXECUTE statement(%s)", arguments);
		result = PQexec(conn, explain);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			fail_msg("%s: %s", names[i], PQerrorMessage(conn));
		for (int row = 0; row < PQntuples(result); row++)
			if (strstr(PQgetvalue(result, row, 0), "Seq Scan"))
				fail_msg("%s: %s", names[i], PQgetvalue(result, row, 0));
		PQclear(result);
		sql_run(conn, "DEALLOCATE statement");
		free(sql);
	}
	PQfinish(conn);
}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "src/store/postgres/sql";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_is_one_statement_that_the_server_takes),
		cmocka_unit_test(readers_walk_an_index),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
