// What only SQLite has: files that cannot be used, set-up, an application's own database, and the way that each statement
// takes. argv[1] is the folder of the statements.
#include "sqlite_case.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *folder;

// --- files ---

static void write_file(const char *text, size_t size)
{
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	fclose(file);
}

static void make_missing(void)
{
}

static void make_folder(void)
{
	assert_int_equal(mkdir(path, 0755), 0);
}

static void make_empty(void)
{
	write_file("", 0);
}

static void make_text(void)
{
	char text[4096];
	memset(text, 'x', sizeof(text));
	write_file(text, sizeof(text));
}

static void make_anothers(void)
{
	sqlite3 *database = open_database();
	run(database, "CREATE TABLE bookmarks (a)");
	sqlite3_close(database);
}

static void make_claimed(void)
{
	sqlite3 *database = open_database();
	run(database, "PRAGMA application_id = 252006675; CREATE TABLE a (b); DROP TABLE a");
	sqlite3_close(database);
}

static void make_pythons(void)
{
	sqlite3 *database = open_database();
	run(database, "CREATE TABLE es_aggregates (id CHAR(64)); CREATE TABLE es_events (id INTEGER PRIMARY KEY);"
				  "CREATE TABLE es_aggregate_snapshots (aggregate_id CHAR(64))");
	sqlite3_close(database);
}

static void make_alike(void)
{
	sqlite3 *database = open_database();
	run(database, "CREATE TABLE es_events (id INTEGER PRIMARY KEY)");
	sqlite3_close(database);
}

static void make_newer(void)
{
	set_up();
	sqlite3 *database = open_database();
	run(database, "UPDATE meowmx_meta SET schema_version = 99");
	sqlite3_close(database);
}

static void make_damaged(void)
{
	struct meow_error err;
	set_up();
	struct meow_store *store = meow_store_open(url, &err);
	assert_ok(append(store, "o", 1000, &err), err);
	meow_store_close(store); // the last one: all of the log is in the file now
	FILE *file = fopen(path, "r+");
	char garbage[512];
	memset(garbage, 0xa5, sizeof(garbage));
	fseek(file, 0, SEEK_END);
	for (long at = 100, end = ftell(file); at < end; at += 1024) {
		fseek(file, at, SEEK_SET);
		fwrite(garbage, 1, sizeof(garbage), file);
	}
	fclose(file);
}

static void a_file_that_cannot_be_used_says_why(void **state)
{
	(void)state;
	static const struct {
		void (*make)(void);
		enum meow_error_kind open;
		const char *open_words;
		enum meow_error_kind setup; // none: it works
		const char *setup_words;
	} cases[] = {
		{make_missing, MEOW_MISSING, "meowmx setup", MEOW_ERROR_NONE, NULL},
		{make_folder, MEOW_CONFIG, "is no file", MEOW_CONFIG, "is no file"},
		{make_empty, MEOW_CONFIG, "is not set up: run `meowmx setup`", MEOW_ERROR_NONE, NULL},
		{make_text, MEOW_CONFIG, "is no SQLite database", MEOW_CONFIG, "is no SQLite database"},
		{make_anothers, MEOW_CONFIG, "belongs to another program, it has a table bookmarks", MEOW_CONFIG,
			"name a file of its own"},
		{make_claimed, MEOW_CONFIG, "of application id 252006675", MEOW_CONFIG, "of application id 252006675"},
		{make_pythons, MEOW_CONFIG, "Python meowmx", MEOW_CONFIG, "Python meowmx"},
		{make_alike, MEOW_CONFIG, "that are not meowmx's", MEOW_CONFIG, "that are not meowmx's"},
		{make_newer, MEOW_CONFIG, "newer meowmx (schema 99, this one knows 4)", MEOW_CONFIG,
			"newer meowmx (schema 99, this one knows 4)"},
		{make_damaged, MEOW_IO, "is damaged", MEOW_IO, "is damaged"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct meow_error err = {0};
		fresh_path();
		cases[i].make();
		assert_null(meow_store_open(url, &err));
		assert_refused(err, cases[i].open, cases[i].open_words);
		assert_non_null(strstr(err.text, path));
		err = (struct meow_error){0};
		bool done = meow_setup(url, NULL, NULL, NULL, &err);
		if (done != (cases[i].setup == MEOW_ERROR_NONE))
			fail_msg("case %zu: set-up %s: %s", i, done ? "worked" : "failed", err.text);
		if (!done)
			assert_refused(err, cases[i].setup, cases[i].setup_words);
	}
	struct meow_error err;
	assert_null(meow_store_open("sqlite:", &err));
	assert_refused(err, MEOW_CONFIG, "names no file");
	snprintf(url, sizeof(url), "sqlite:%s/none/x.db", scratch_folder());
	assert_false(meow_setup(url, NULL, NULL, NULL, &err));
	assert_refused(err, MEOW_MISSING, "cannot be opened");
}

// In a child that is nobody, since root may write everything. Exit status: the kind.
static int kind_for_nobody(bool setup)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct meow_error err = {0};
		if (geteuid() == 0 && setuid(65534) != 0)
			_exit(99);
		if (setup)
			_exit(meow_setup(url, NULL, NULL, NULL, &err) ? 0 : (int)err.kind);
		struct meow_store *store = meow_store_open(url, &err);
		if (store && append(store, "o", 1, &err))
			_exit(0);
		_exit((int)err.kind);
	}
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	return WEXITSTATUS(status);
}

static void a_file_that_can_only_be_read_is_denied(void **state)
{
	(void)state;
	struct meow_error err;
	struct meow_store *store = fresh_store();
	assert_ok(append(store, "o", 1, &err), err);
	meow_store_close(store);
	assert_int_equal(chmod(path, 0444), 0);
	assert_int_equal(kind_for_nobody(false), MEOW_DENIED);
	assert_int_equal(kind_for_nobody(true), MEOW_DENIED);
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(kind_for_nobody(false), MEOW_DENIED);
	if (geteuid() != 0)
		return;
	// The folder must be writable, too: SQLite keeps its log there.
	assert_int_equal(chmod(path, 0666), 0);
	assert_int_equal(kind_for_nobody(false), MEOW_DENIED);
}

static void a_full_disk_leaves_nothing_half_done(void **state)
{
	(void)state;
	struct meow_error err;
	struct meow_store *store = fresh_store();
	sqlite3 *database = meow_store_sqlite(store);
	assert_non_null(database);
	assert_null(meow_store_postgres(store));
	assert_ok(append(store, "o", 3, &err), err);
	run(database, "PRAGMA max_page_count = 15"); // what SQLite says is what it says of a full disk
	assert_false(append(store, "o", 5000, &err));
	assert_refused(err, MEOW_IO, "disk is full");
	assert_int_equal(version_of(store, "o"), 2);
	run(database, "PRAGMA max_page_count = 1000000");
	assert_ok(append(store, "o", 1, &err), err);
	assert_int_equal(version_of(store, "o"), 3);
	meow_store_close(store);
}

static void what_is_missing_in_it_is_named(void **state)
{
	(void)state;
	struct meow_error err;
	const struct meow_query category = {.aggregate_type = "order", .from = INT64_MIN, .to = INT64_MAX};
	struct meow_store *store = fresh_store();
	run(meow_store_sqlite(store), "DROP INDEX meowmx_events_category");
	assert_null(meow_load(store, &category, &err));
	assert_refused(err, MEOW_CONFIG, "no such index: meowmx_events_category");
	run(meow_store_sqlite(store), "ALTER TABLE es_events RENAME COLUMN append_id TO other");
	assert_false(append(store, "o", 1, &err));
	assert_refused(err, MEOW_CONFIG, "append_id");
	meow_store_close(store);
}

// --- set-up ---

static void set_up_works_twice_and_makes_a_file_of_its_own(void **state)
{
	(void)state;
	struct meow_error err;
	struct meow_store *store = fresh_store();
	assert_ok(append(store, "o", 1, &err), err);
	set_up();
	assert_int_equal(version_of(store, "o"), 0);
	sqlite3 *database = open_database();
	assert_int_equal(number(database, "PRAGMA application_id"), 0x6d656f77);
	assert_int_equal(number(database, "PRAGMA user_version"), 4);
	assert_int_equal(number(database, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode = 'wal'"), 1);
	sqlite3_close(database);
	sqlite3 *own = meow_store_sqlite(store);
	assert_int_equal(number(own, "PRAGMA foreign_keys"), 1);
	assert_int_equal(number(own, "PRAGMA synchronous"), 2);
	meow_store_close(store);

	assert_ok(meow_setup(url, "text", NULL, NULL, &err), err);
	assert_false(meow_setup(url, "UUID", NULL, NULL, &err));
	assert_refused(err, MEOW_INVALID, "SQLite keeps ids as TEXT");
	const struct store_setup renamed = {.url = url, .tables = {.events = "es_event"}};
	assert_false(store_setup(&renamed, &err));
	assert_refused(err, MEOW_CONFIG, "only tables of PostgreSQL");
	char absolute[320];
	snprintf(absolute, sizeof(absolute), "sqlite://%s", path);
	store = meow_store_open(absolute, &err);
	assert_non_null(store);
	assert_int_equal(version_of(store, "o"), 0);
	meow_store_close(store);
}

static void *set_up_in_a_thread(void *arg)
{
	struct meow_error *err = arg;
	*err = (struct meow_error){0};
	if (!meow_setup(url, NULL, NULL, NULL, err))
		return NULL;
	struct meow_store *store = meow_store_open(url, err);
	if (store && append(store, "o", 1, err))
		meow_store_close(store);
	return NULL;
}

static void many_may_set_up_at_once(void **state)
{
	(void)state;
	pthread_t threads[8];
	struct meow_error errors[8];
	fresh_path();
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, set_up_in_a_thread, &errors[i]), 0);
	for (int i = 0; i < 8; i++) {
		pthread_join(threads[i], NULL);
		if (errors[i].kind)
			fail_msg("%s", errors[i].text);
	}
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	assert_int_equal(version_of(store, "o"), 7);
	meow_store_close(store);
}

static void a_store_in_memory_goes_with_its_handle(void **state)
{
	(void)state;
	struct meow_error err;
	struct session_source source;
	bool claimed = false;
	for (int i = 0; i < 2; i++) {
		struct meow_store *store = meow_store_open("sqlite::memory:", &err);
		if (!store)
			fail_msg("%s", err.text);
		assert_int_equal(version_of(store, "o"), -1);
		assert_ok(append(store, "o", 2, &err), err);
		assert_int_equal(version_of(store, "o"), 1);
		assert_ok(store_work_claim(store, "s", &claimed, &err), err);
		assert_true(claimed);
		meow_store_close(store);
	}
	assert_false(store_source_init(&source, "sqlite::memory:", &err));
	assert_refused(err, MEOW_INVALID, "cannot follow it");
	assert_false(meow_setup("sqlite::memory:", NULL, NULL, NULL, &err));
	assert_refused(err, MEOW_INVALID, "is set up when it is opened");
}

// --- an application's own database ---

static void the_tables_may_stand_beside_an_applications(void **state)
{
	(void)state;
	struct meow_error err;
	fresh_path();
	sqlite3 *database = open_database();
	run(database, "PRAGMA application_id = 77; PRAGMA user_version = 5; PRAGMA encoding = 'UTF-16le';"
				  "CREATE TABLE stock (item TEXT)");
	assert_null(meow_store_on_sqlite(database, &err));
	assert_refused(err, MEOW_CONFIG, "call meow_setup_on_sqlite");
	run(database, "BEGIN");
	assert_ok(meow_setup_on_sqlite(database, &err), err);
	run(database, "ROLLBACK");
	assert_null(meow_store_on_sqlite(database, &err));
	run(database, "BEGIN");
	assert_ok(meow_setup_on_sqlite(database, &err), err);
	run(database, "COMMIT");
	assert_ok(meow_setup_on_sqlite(database, &err), err);
	assert_int_equal(number(database, "PRAGMA application_id"), 77);
	assert_int_equal(number(database, "PRAGMA user_version"), 5);

	// Whatever the encoding of the database, bytes come back as they were.
	struct meow_store *store = meow_store_on_sqlite(database, &err);
	static const char data[] = "{\"é\":1.0, \"\\u0000\": \"\xf0\x9f\x90\xb1\"}";
	struct meow_new_event event = {.type = MEOW_BYTES("a"), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
	const struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "é", .expected = MEOW_EXPECT_NEW, .events = &event, .count = 1};
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	meow_store_close(store);
	store = meow_store_open(url, &err); // and others may open it by its name
	if (!store)
		fail_msg("%s", err.text);
	const struct meow_query query = {
		.aggregate_type = "order", .aggregate_id = "é", .from = INT64_MIN, .to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	struct meow_event loaded;
	bool found;
	assert_ok(meow_cursor_next(cursor, &loaded, &found, &err), err);
	assert_true(found && bytes_equal(loaded.data, bytes_of(data)));
	meow_cursor_close(cursor);
	meow_store_close(store);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void a_snapshot_that_is_too_old_to_write_is_a_conflict(void **state)
{
	(void)state;
	struct meow_error err;
	struct meow_store *other = fresh_store();
	sqlite3 *database = open_database();
	struct meow_store *store = meow_store_on_sqlite(database, &err);
	assert_non_null(store);
	run(database, "BEGIN"); // deferred: it reads, and others write meanwhile
	assert_int_equal(version_of(store, "o"), -1);
	assert_ok(append(other, "o", 1, &err), err);
	assert_false(append(store, "o", 1, &err));
	assert_refused(err, MEOW_CONFLICT, "BEGIN IMMEDIATE");
	assert_int_equal(version_of(store, "o"), -1);
	run(database, "ROLLBACK; BEGIN IMMEDIATE");
	assert_ok(append(store, "o", 1, &err), err);
	run(database, "COMMIT");
	assert_int_equal(version_of(other, "o"), 1);
	meow_store_close(store);
	assert_int_equal(sqlite3_close(database), SQLITE_OK);
	meow_store_close(other);
}

// --- statements ---

static char *read_whole(const char *name)
{
	char file_path[512];
	snprintf(file_path, sizeof(file_path), "%s/%s", folder, name);
	FILE *file = fopen(file_path, "r");
	assert_non_null(file);
	char *text = calloc(1, 65536);
	assert_non_null(text);
	assert_true(fread(text, 1, 65535, file) > 0);
	fclose(file);
	return text;
}

static void check_plan(sqlite3 *database, const char *name, const char *sql)
{
	char explain[8192];
	sqlite3_stmt *statement;
	snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", sql);
	assert_int_equal(sqlite3_prepare_v2(database, explain, -1, &statement, NULL), SQLITE_OK);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		const char *step = (const char *)sqlite3_column_text(statement, 3);
		bool sorts = strstr(step, "TEMP B-TREE") && strstr(sql, " es_events"); // what sorts a few partitions may
		if (strstr(step, "SCAN es_events") || strstr(step, "SCAN e ") || sorts)
			fail_msg("%s: %s", name, step);
	}
	sqlite3_finalize(statement);
}

static void each_statement_walks_an_index(void **state)
{
	(void)state;
	meow_store_close(fresh_store());
	sqlite3 *database = open_database();
	DIR *open = opendir(folder);
	assert_non_null(open);
	struct dirent *entry;
	int count = 0;
	while ((entry = readdir(open)) != NULL) {
		const char *end = strrchr(entry->d_name, '.'), *tail;
		if (!end || strcmp(end, ".sql") != 0)
			continue;
		char *sql = read_whole(entry->d_name);
		if (strncmp(sql, "-- ", 3) != 0)
			fail_msg("%s does not say what it is for", entry->d_name);
		sqlite3_stmt *statement;
		if (sqlite3_prepare_v2(database, sql, -1, &statement, &tail) != SQLITE_OK)
			fail_msg("%s: %s", entry->d_name, sqlite3_errmsg(database));
		sqlite3_finalize(statement);
		assert_true(strspn(tail, " \n") == strlen(tail));
		check_plan(database, entry->d_name, sql);
		free(sql);
		count++;
	}
	closedir(open);
	assert_true(count > 20);
	sqlite3_close(database);
}

int main(int argc, char **argv)
{
	folder = argc > 1 ? argv[1] : "src/store/sqlite/sql";
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_cannot_be_used_says_why),
		cmocka_unit_test(a_file_that_can_only_be_read_is_denied),
		cmocka_unit_test(a_full_disk_leaves_nothing_half_done),
		cmocka_unit_test(what_is_missing_in_it_is_named),
		cmocka_unit_test(set_up_works_twice_and_makes_a_file_of_its_own),
		cmocka_unit_test(many_may_set_up_at_once),
		cmocka_unit_test(a_store_in_memory_goes_with_its_handle),
		cmocka_unit_test(the_tables_may_stand_beside_an_applications),
		cmocka_unit_test(a_snapshot_that_is_too_old_to_write_is_a_conflict),
		cmocka_unit_test(each_statement_walks_an_index),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
