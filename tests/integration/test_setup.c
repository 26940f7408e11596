// Set-up on a real server: on nothing, on Python meowmx's tables, twice, two at once, after one that was killed, and
// while somebody's transaction is in the way.
#include "database.h"
#include "python_tables.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// What a set-up said.
struct words {
	pthread_mutex_t lock;
	char text[4096];
	int lines;
};

static void hear(void *arg, const char *line)
{
	struct words *words = arg;
	pthread_mutex_lock(&words->lock);
	size_t used = strlen(words->text);
	snprintf(words->text + used, sizeof(words->text) - used, "%s\n", line);
	words->lines++;
	pthread_mutex_unlock(&words->lock);
}

static bool heard(struct words *words, const char *text)
{
	pthread_mutex_lock(&words->lock);
	bool found = strstr(words->text, text) != NULL;
	pthread_mutex_unlock(&words->lock);
	return found;
}

static void assert_heard(struct words *words, const char *text)
{
	for (int i = 0; i < 200 && !heard(words, text); i++)
		usleep(50000);
	if (!heard(words, text))
		fail_msg("\"%s\" was not said, but: %s", text, words->text);
}

// A set-up in a thread of its own.
struct setup_run {
	const char *url;
	struct words words;
	pthread_t thread;
	bool ok;
	struct meow_error err;
};

static void *run_setup(void *arg)
{
	struct setup_run *run = arg;
	run->ok = meow_setup(run->url, NULL, hear, &run->words, &run->err);
	return NULL;
}

static void setup_begin(struct setup_run *run, const char *url)
{
	*run = (struct setup_run){.url = url, .words = {.lock = PTHREAD_MUTEX_INITIALIZER}};
	assert_int_equal(pthread_create(&run->thread, NULL, run_setup, run), 0);
}

static void setup_end(struct setup_run *run)
{
	pthread_join(run->thread, NULL);
	if (!run->ok)
		fail_msg("%s", run->err.text);
}

static void works_on_an_empty_database_and_twice(void **state)
{
	(void)state;
	const char *url = database_create();
	database_setup(url);
	PGconn *conn = sql_open(url);
	char *first = sql_text(conn, "SELECT store_id FROM meowmx_meta");
	char *shape =
		sql_text(conn, "SELECT string_agg(c.relname || '.' || a.attname, ' ' ORDER BY 1) FROM pg_class c "
					   "JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attnum > 0 AND c.relname ~ '^(es_|meowmx_)'");
	// Nothing is left to do, so nothing may wait for a writer that is at work.
	PGconn *writer = sql_open(url);
	sql_run(writer, "BEGIN; SELECT nextval('es_events_id_seq'); LOCK es_events, es_aggregates, es_aggregate_snapshot "
					"IN ROW EXCLUSIVE MODE");
	struct words words = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct meow_error err;
	assert_ok(meow_setup(url, "uuid", hear, &words, &err), err);
	assert_false(heard(&words, "waiting"));
	assert_false(heard(&words, "building"));
	sql_assert_text(conn, first, "SELECT store_id FROM meowmx_meta");
	sql_assert_text(conn, shape,
		"SELECT string_agg(c.relname || '.' || a.attname, ' ' ORDER BY 1) FROM pg_class c "
		"JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attnum > 0 AND c.relname ~ '^(es_|meowmx_)'");
	sql_assert_text(conn, "u", "SELECT relpersistence FROM pg_class WHERE relname = 'meowmx_doze'");
	free(first);
	free(shape);
	PQfinish(writer);
	PQfinish(conn);
}

static void adopts_tables_with_events_in_them(void **state)
{
	(void)state;
	const char *url = database_create(), *old = new_uuid(), *new = new_uuid(), *ours = new_uuid();
	PGconn *conn = sql_open(url);
	sql_run(conn, "%s", python_tables);
	sql_run(conn, python_first, old, old);
	sql_run(conn, "INSERT INTO es_aggregate_snapshot VALUES ('%s', 0, '{}')", old);
	char *filenode = sql_text(conn, "SELECT pg_relation_filenode('es_events')");
	struct words words = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct meow_error err;
	assert_ok(meow_setup(url, NULL, hear, &words, &err), err);
	assert_heard(&words, "DROP TRIGGER channel_event_notify_trg");

	// No row was written anew; the old event has no type and no time.
	sql_assert_text(conn, filenode, "SELECT pg_relation_filenode('es_events')");
	free(filenode);
	sql_assert_text(conn, "1", "SELECT count(*) FROM es_events WHERE aggregate_type IS NULL AND created_at IS NULL");
	sql_run(conn, python_first, new, new);
	sql_assert_text(conn, "order", "SELECT aggregate_type FROM es_events ORDER BY id DESC LIMIT 1");
	sql_assert_text(conn, "t",
		"SELECT created_at = now() OR created_at > now() - interval '1 minute' FROM es_events "
		"ORDER BY id DESC LIMIT 1");
	struct meow_store *store = store_open_or_fail(url);
	append_or_fail(store, "order", old, 0, "{}");
	append_or_fail(store, "order", ours, MEOW_EXPECT_NEW, "{}");
	meow_store_close(store);

	// A snapshot goes with its aggregate, and the constraint was checked.
	sql_run(
		conn, "DELETE FROM es_events WHERE aggregate_id = '%s'; DELETE FROM es_aggregates WHERE id = '%s'", old, old);
	sql_assert_text(conn, "0", "SELECT count(*) FROM es_aggregate_snapshot");
	sql_assert_text(conn, "t", "SELECT bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'");
	PQfinish(conn);
}

static void whoever_could_insert_before_still_can(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	PGconn *conn = sql_open(url);
	sql_run(conn, "%s", python_tables);
	sql_run(conn, "INSERT INTO es_aggregates VALUES ('%s', -1, 'order')", id);
	sql_run(conn, "CREATE ROLE inserter LOGIN; GRANT INSERT ON es_events TO inserter;"
				  "GRANT USAGE ON es_events_id_seq TO inserter;"
				  "ALTER FUNCTION channel_event_notify_fct() SECURITY DEFINER");
	database_setup(url);
	PGconn *inserter = sql_open(database_url_with(url, "user=inserter"));
	static const char insert[] = "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
								 "VALUES (pg_current_xact_id(), '%s', %d, 'placed', '{}')";
	sql_run(inserter, insert, id, 0);
	sql_run(conn, "SELECT setval('meowmx_doze', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint + 9000000)");
	sql_run(inserter, insert, id, 1);
	// A path of its own must not lead the functions astray.
	sql_run(inserter, "CREATE TEMP TABLE es_aggregates (id uuid, aggregate_type text);"
					  "CREATE TEMP TABLE meowmx_doze (last_value bigint); SET search_path = pg_temp, public");
	sql_run(inserter, insert, id, 2);
	sql_assert_text(conn, "3", "SELECT count(*) FROM es_events WHERE aggregate_type = 'order'");
	PQfinish(inserter);
	sql_run(conn, "DROP OWNED BY inserter; DROP ROLE inserter");
	PQfinish(conn);
}

// Who may create in the tables' schema makes an operator that fits the triggers' types better than PostgreSQL's own.
static void the_triggers_run_nobodys_operators_with_their_owners_rights(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	PGconn *conn = sql_open(url);
	sql_run(conn, "CREATE ROLE guest LOGIN; GRANT CREATE, USAGE ON SCHEMA public TO guest;"
				  "GRANT INSERT ON es_aggregates, es_events TO guest; GRANT USAGE ON es_events_id_seq TO guest");
	PGconn *guest = sql_open(database_url_with(url, "user=guest"));
	sql_run(guest, "CREATE FUNCTION trap(bigint, numeric) RETURNS boolean LANGUAGE plpgsql AS "
				   "$$ BEGIN RAISE 'run by %%', current_user; END $$;"
				   "CREATE OPERATOR > (LEFTARG = bigint, RIGHTARG = numeric, FUNCTION = trap)");
	sql_run(guest, "INSERT INTO es_aggregates VALUES ('%s', 0, 'order')", id);
	sql_run(guest,
		"INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
		"VALUES (pg_current_xact_id(), '%s', 0, 'placed', '{}')",
		id);
	sql_assert_text(conn, "order", "SELECT aggregate_type FROM es_events");
	PQfinish(guest);
	sql_run(conn, "DROP OWNED BY guest; DROP ROLE guest");
	PQfinish(conn);
}

static int notifications(PGconn *listener)
{
	int count = 0;
	PGnotify *notification;
	sql_run(listener, "SELECT 1");
	while ((notification = PQnotifies(listener)) != NULL) {
		assert_string_equal(notification->relname, "meowmx");
		PQfreemem(notification);
		count++;
	}
	return count;
}

static void writers_notify_only_while_a_relay_dozes(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	PGconn *conn = sql_open(url), *listener = sql_open(url);
	static const char insert[] = "INSERT INTO es_events (transaction_id, aggregate_id, version, event_type, json_data) "
								 "VALUES (pg_current_xact_id(), '%s', %d, 'placed', '{}')";
	static const char doze[] = "SELECT setval('meowmx_doze', "
							   "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint + %d)";
	sql_run(conn, "INSERT INTO es_aggregates VALUES ('%s', -1, 'order')", id);
	sql_run(listener, "LISTEN meowmx");
	sql_run(conn, insert, id, 0);
	assert_int_equal(notifications(listener), 0);
	sql_run(conn, doze, 20000000);
	sql_run(conn, insert, id, 1);
	assert_int_equal(notifications(listener), 1);

	// A writer whose snapshot is older than the doze sees it all the same.
	sql_run(conn, doze, -1000000);
	sql_run(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM es_events");
	sql_run(listener, doze, 20000000);
	sql_run(conn, insert, id, 2);
	sql_run(conn, "COMMIT");
	assert_int_equal(notifications(listener), 1);

	// Two-phase writers ask not to be made to notify.
	sql_run(conn, "BEGIN; SET LOCAL meowmx.notify = off");
	sql_run(conn, insert, id, 3);
	sql_run(conn, "PREPARE TRANSACTION 'setup_two_phase'");
	sql_run(conn, "COMMIT PREPARED 'setup_two_phase'");
	assert_int_equal(notifications(listener), 0);
	sql_run(conn, doze, -1000000);
	sql_run(conn, insert, id, 4);
	assert_int_equal(notifications(listener), 0);
	PQfinish(listener);
	PQfinish(conn);
}

static void two_at_once_do_not_collide(void **state)
{
	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		const char *url = database_create();
		PGconn *conn = sql_open(url);
		sql_run(conn, "%s", python_tables);
		struct setup_run runs[3];
		for (int i = 0; i < 3; i++)
			setup_begin(&runs[i], url);
		for (int i = 0; i < 3; i++)
			setup_end(&runs[i]);
		sql_assert_text(conn, "1", "SELECT count(*) FROM meowmx_meta");
		sql_assert_text(conn, "2",
			"SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text ~ "
			"'^meowmx_events'");
		PQfinish(conn);
	}
}

static void says_for_whose_transaction_it_waits_and_lets_writers_pass(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	PGconn *slow = sql_open(database_url_with(url, "application_name=night-job")), *writer = sql_open(url);
	sql_run(writer, "%s", python_tables);
	sql_run(slow, "BEGIN; SELECT count(*) FROM es_events");
	struct setup_run run;
	char pid[64];
	snprintf(pid, sizeof(pid), "the transaction of pid %d (night-job), idle in transaction", PQbackendPID(slow));
	setup_begin(&run, url);
	assert_heard(&run.words, pid);
	sql_run(writer, "SET statement_timeout = '3s'"); // they queue behind us, but never for long
	sql_run(writer, python_first, id, id);
	sql_run(slow, "COMMIT");
	setup_end(&run);
	PQfinish(slow);
	PQfinish(writer);
}

static void says_for_whom_the_build_of_an_index_waits(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL), *id = new_uuid();
	PGconn *conn = sql_open(url), *slow = sql_open(database_url_with(url, "application_name=slow-writer"));
	sql_run(conn, "DROP INDEX meowmx_events_category");
	sql_run(slow, "BEGIN");
	sql_run(slow, python_first, id, id);
	struct setup_run run;
	setup_begin(&run, url);
	assert_heard(&run.words, "(slow-writer), idle in transaction");
	sql_run(slow, "COMMIT");
	setup_end(&run);

	sql_run(conn, "DROP INDEX meowmx_events_untyped");
	sql_run(slow,
		"BEGIN; SET LOCAL meowmx.notify = off; INSERT INTO es_aggregates VALUES ('%s', -1, 'order'); "
		"LOCK es_events IN ROW EXCLUSIVE MODE; PREPARE TRANSACTION 'left behind'",
		new_uuid());
	setup_begin(&run, url);
	assert_heard(&run.words, "the prepared transaction \"left behind\"");
	sql_run(slow, "COMMIT PREPARED 'left behind'");
	setup_end(&run);
	PQfinish(slow);
	PQfinish(conn);
}

static void goes_on_where_one_was_killed(void **state)
{
	(void)state;
	static const char *const damages[] = {
		"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'meowmx_events_untyped'::regclass",
		"DROP INDEX meowmx_events_category",
		"DROP TRIGGER meowmx_wake ON es_events",
		"DROP SEQUENCE meowmx_doze",
		"ALTER TABLE es_events DROP COLUMN append_id; ALTER TABLE es_aggregate_snapshot DROP COLUMN position",
		"ALTER TABLE es_events ALTER created_at DROP DEFAULT",
		"DROP TABLE meowmx_checkpoints",
		"ALTER TABLE es_aggregate_snapshot DROP CONSTRAINT es_aggregate_snapshot_aggregate_id_fkey, "
		"ADD CONSTRAINT es_aggregate_snapshot_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES es_aggregates "
		"(id) "
		"ON DELETE CASCADE NOT VALID",
	};
	const char *url = database_create_store(NULL);
	PGconn *conn = sql_open(url);
	for (size_t i = 0; i < sizeof(damages) / sizeof(*damages); i++) {
		struct meow_error err;
		sql_run(conn, "DELETE FROM meowmx_meta; %s", damages[i]);
		struct meow_store *store = meow_store_open(url, &err);
		assert_null(store);
		assert_int_equal(err.kind, MEOW_CONFIG);
		assert_says(err, "meowmx setup");
		database_setup(url);
		sql_assert_text(conn, "2 2 t t 4 1 1 t",
			"SELECT "
			"(SELECT count(*) FROM pg_index WHERE indisvalid AND indexrelid::regclass::text ~ '^meowmx_events') || ' ' "
			"||"
			"(SELECT count(*) FROM pg_trigger WHERE tgname ~ '^meowmx_') || ' ' ||"
			"(SELECT bool_and(convalidated)::text::char FROM pg_constraint WHERE contype = 'f') || ' ' ||"
			"(to_regclass('meowmx_doze') IS NOT NULL)::text::char || ' ' ||"
			"(SELECT count(*) FROM pg_attribute WHERE attrelid = 'es_events'::regclass AND NOT attisdropped AND "
			"attname IN "
			" ('aggregate_type', 'metadata', 'append_id', 'created_at')) || ' ' ||"
			"(SELECT count(*) FROM pg_attribute WHERE attrelid = 'es_aggregate_snapshot'::regclass AND NOT "
			"attisdropped "
			" AND attname = 'position') || ' ' || (SELECT count(*) FROM meowmx_meta) || ' ' ||"
			"(to_regclass('meowmx_checkpoints') IS NOT NULL)::text::char");
	}
	sql_run(conn, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'meowmx_events_untyped'::regclass");
	struct words words = {.lock = PTHREAD_MUTEX_INITIALIZER};
	struct meow_error err;
	assert_ok(meow_setup(url, NULL, hear, &words, &err), err);
	assert_heard(&words, "meowmx_events_untyped was left unfinished");
	PQfinish(conn);
}

// Kills the session of a set-up at whatever it is doing, again and again.
static void survives_being_killed_at_any_moment(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	PGconn *conn = sql_open(url);
	sql_run(conn, "%s", python_tables);
	sql_run(conn, python_first, id, id);
	int killed = 0;
	for (int turn = 0; turn < 12; turn++) {
		struct setup_run run;
		setup_begin(&run, url);
		usleep((useconds_t)(turn * 4000));
		sql_run(conn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'meowmx' "
					  "AND datname = current_database()");
		pthread_join(run.thread, NULL);
		if (!run.ok) {
			killed++;
			assert_int_equal(run.err.kind, MEOW_UNAVAILABLE);
		}
	}
	assert_true(killed > 0);
	database_setup(url);
	meow_store_close(store_open_or_fail(url));
	PQfinish(conn);
}

static void takes_ids_of_each_type(void **state)
{
	(void)state;
	static const struct {
		const char *given, *printed, *id;
	} types[] = {{"UUID", "uuid", "6f1c0f0e-0000-4000-8000-000000000001"}, {"text", "text", "o 'ö\" 1"},
		{"Char(20)", "character(20)", "short"}, {"VARCHAR(7)", "character varying(7)", "seven77"},
		{"bigint", "bigint", "-9223372036854775808"}, {"INTEGER", "integer", "7"}};
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
		const char *url = database_create_store(types[i].given);
		PGconn *conn = sql_open(url);
		sql_assert_text(conn, types[i].printed,
			"SELECT format_type(atttypid, atttypmod) FROM pg_attribute "
			"WHERE attrelid = 'es_events'::regclass AND attname = 'aggregate_id'");
		struct meow_store *store = store_open_or_fail(url);
		append_or_fail(store, "order", types[i].id, MEOW_EXPECT_NEW, "{}");
		append_or_fail(store, "order", types[i].id, 0, "{}");
		append_or_fail(store, "order", types[i].id, MEOW_EXPECT_ANY, "{}");
		struct meow_error err;
		struct meow_query query = {.aggregate_type = "order", .aggregate_id = types[i].id, .from = 2, .to = INT64_MAX};
		struct meow_cursor *cursor = meow_load(store, &query, &err);
		if (!cursor)
			fail_msg("%s", err.text);
		struct meow_event event;
		bool found;
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		assert_true(found);
		assert_string_equal(event.aggregate_id.data, types[i].id); // CHAR(n) without its blanks
		assert_int_equal(event.version, 2);
		meow_cursor_close(cursor);
		meow_store_close(store);
		database_setup(url);
		PQfinish(conn);
	}
}

static void refuses(const char *url, const char *id_type, enum meow_error_kind kind, const char *words)
{
	struct meow_error err = {0};
	assert_fails(meow_setup(url, id_type, NULL, NULL, &err), err, kind);
	assert_says(err, words);
}

static void refuses_what_it_cannot_work_with(void **state)
{
	(void)state;
	const char *url = database_create();
	refuses(url, "uuid; DROP TABLE x", MEOW_INVALID, "give UUID, TEXT");
	refuses(url, "CHAR(x)", MEOW_INVALID, "give UUID, TEXT");
	refuses(url, "CHAR(20) x", MEOW_INVALID, "give UUID, TEXT");
	refuses(database_url_with(url, "options=-csearch_path%3Dnowhere"), NULL, MEOW_CONFIG, "search_path");
	refuses(database_url_with(url, "options=-cdefault_transaction_read_only%3Don"), NULL, MEOW_DENIED, "read-only");
	PGconn *conn = sql_open(url);
	sql_assert_text(conn, "0", "SELECT count(*) FROM pg_class WHERE relname ~ '^(es_|meowmx_)'");

	database_setup(url);
	refuses(url, "TEXT", MEOW_CONFIG, "of type uuid");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 20");
	refuses(url, NULL, MEOW_CONFIG, "ALTER SEQUENCE es_events_id_seq CACHE 1");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq CACHE 1 INCREMENT 2");
	refuses(url, NULL, MEOW_CONFIG, "INCREMENT 1");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq INCREMENT 1 CYCLE");
	refuses(url, NULL, MEOW_CONFIG, "NO CYCLE");
	sql_run(conn, "ALTER SEQUENCE es_events_id_seq NO CYCLE; UPDATE meowmx_meta SET schema_version = 99");
	refuses(url, NULL, MEOW_CONFIG, "newer meowmx");
	struct meow_error err;
	assert_null(meow_store_open(url, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	assert_says(err, "newer meowmx");

	sql_run(conn, "CREATE DATABASE ascii ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'");
	char ascii[128];
	snprintf(ascii, sizeof(ascii), "postgresql://postgres@127.0.0.1:%u/ascii", server_port(database_server()));
	refuses(ascii, NULL, MEOW_CONFIG, "UTF8");
	PQfinish(conn);
}

static void refuses_tables_of_another_shape(void **state)
{
	(void)state;
	const char *url = database_create();
	PGconn *conn = sql_open(url);
	sql_run(conn, "%s", python_tables);
	sql_run(conn, "ALTER TABLE es_events ALTER json_data TYPE jsonb");
	refuses(url, NULL, MEOW_CONFIG, "es_events.json_data must be of type json, and is jsonb");
	sql_assert_text(conn, "0", "SELECT count(*) FROM pg_attribute WHERE attname = 'append_id'");
	PQfinish(conn);
}

// The tables are where the search_path finds them, which need not be its first schema.
static void adopts_tables_in_another_schema_of_the_path(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	PGconn *conn = sql_open(url);
	sql_run(conn, "%s", python_tables);
	sql_run(conn, "CREATE SCHEMA app");
	const char *path = database_url_with(url, "options=-csearch_path%3Dapp,public");
	database_setup(path);
	sql_assert_text(conn, "0", "SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace");
	struct meow_store *store = store_open_or_fail(path);
	append_or_fail(store, "order", id, MEOW_EXPECT_NEW, "{}");
	meow_store_close(store);
	PQfinish(conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(works_on_an_empty_database_and_twice),
		cmocka_unit_test(adopts_tables_with_events_in_them),
		cmocka_unit_test(whoever_could_insert_before_still_can),
		cmocka_unit_test(the_triggers_run_nobodys_operators_with_their_owners_rights),
		cmocka_unit_test(writers_notify_only_while_a_relay_dozes),
		cmocka_unit_test(two_at_once_do_not_collide),
		cmocka_unit_test(says_for_whose_transaction_it_waits_and_lets_writers_pass),
		cmocka_unit_test(says_for_whom_the_build_of_an_index_waits),
		cmocka_unit_test(goes_on_where_one_was_killed),
		cmocka_unit_test(survives_being_killed_at_any_moment),
		cmocka_unit_test(takes_ids_of_each_type),
		cmocka_unit_test(refuses_what_it_cannot_work_with),
		cmocka_unit_test(refuses_tables_of_another_shape),
		cmocka_unit_test(adopts_tables_in_another_schema_of_the_path),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
