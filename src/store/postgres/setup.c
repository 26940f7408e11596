// Set-up: numbered files of schemas/postgres, each of which looks first and changes only what is missing, so that it can
// run again, and go on where it was killed. One at a time: an advisory lock, asked for again and again (a session that
// waited in it would deadlock with CREATE INDEX CONCURRENTLY). Locks on tables are waited for with a short time-out,
// so that writers never queue behind us for long; whom we wait for is looked up over a second connection. The row of
// meowmx_meta is written last: until then nobody takes the store for complete.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store/postgres/pg_names.h"
#include "store_postgres_schema.h"
#include "store_postgres_sql.h"

#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOCK_KEY "7236837711285" // "meowmx", as a number of our own
#define LOCK_PATIENCE "500ms"    // for a lock that makes writers queue behind us
#define LOOK_MS 200              // then it is looked up for whom we wait
#define PAUSE_US 500000          // between two tries, in which the writers pass
#define SAY_AGAIN_US 10000000    // while we wait for the same transaction

#define LOCK_TIMED_OUT "55P03" // SQLSTATEs that mean: again
#define DEADLOCK "40P01"

struct setup {
	PGconn *conn;
	PGconn *observer; // made when first needed
	const char *url;
	void (*say)(void *arg, const char *line);
	void *arg;
	char waited_for[160]; // said last, without the age
	int64_t said_us;
	const char *tables[PG_NAME_SEQUENCE]; // as they are called
	char recorded[PG_NAME_SEQUENCE][64];  // the same, of a store that was there
	struct pg_names names;                // the same, as SQL takes them
	char schema[PG_NAME_SIZE / 2];        // quoted
	char sequence[PG_NAME_SIZE];          // with its schema, quoted
	char id_type[48];
};

static void BASE_PRINTF(2, 3) say(struct setup *setup, const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (setup->say)
		setup->say(setup->arg, line);
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// For whom we wait: said at once, and again, with the age it has by then, every ten seconds.
static void say_waiting(struct setup *setup, const char *whom, const char *age)
{
	if (strcmp(setup->waited_for, whom) == 0 && now_us() - setup->said_us < SAY_AGAIN_US)
		return;
	snprintf(setup->waited_for, sizeof(setup->waited_for), "%s", whom);
	setup->said_us = now_us();
	say(setup, "waiting for %s%s", whom, age);
}

static void say_blocker(struct setup *setup)
{
	if (!setup->observer && !(setup->observer = pg_connect(setup->url, NULL)))
		return;
	char pid[16];
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(setup->conn));
	const char *values[1] = {pid};
	PGresult *result = PQexecParams(setup->observer, sql_setup_blockers, 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
		char whom[160], age[80] = "";
		if (*PQgetvalue(result, 0, 4) == 't')
			snprintf(whom, sizeof(whom), "the prepared transaction \"%s\"", PQgetvalue(result, 0, 1));
		else
			snprintf(whom, sizeof(whom), "the transaction of pid %s (%s)", PQgetvalue(result, 0, 0),
				PQgetvalue(result, 0, 1));
		if (!PQgetisnull(result, 0, 3))
			snprintf(age, sizeof(age), ", %s, open for %s s", PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3));
		say_waiting(setup, whom, age);
	}
	PQclear(result);
}

// Runs SQL while watching whom it waits for. The last result is returned; NULL and err when it failed.
static PGresult *run_watched(struct setup *setup, const char *sql, struct meow_error *err)
{
	PGresult *last = NULL;
	if (!PQsendQuery(setup->conn, sql)) {
		pg_connection_error(setup->conn, setup->url, err);
		return NULL;
	}
	for (;;) {
		struct pollfd wait = {.fd = PQsocket(setup->conn), .events = POLLIN};
		if (PQisBusy(setup->conn)) {
			if (poll(&wait, 1, LOOK_MS) == 0)
				say_blocker(setup);
			else if (!PQconsumeInput(setup->conn))
				break;
			continue;
		}
		PGresult *result = PQgetResult(setup->conn);
		if (!result)
			break;
		if (last && PQresultStatus(last) == PGRES_FATAL_ERROR) {
			PQclear(result);
			continue;
		}
		PQclear(last);
		last = result;
	}
	ExecStatusType status = PQresultStatus(last);
	if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
		return last;
	pg_result_error(setup->conn, last, setup->url, err);
	PQclear(last);
	return NULL;
}

static bool run(struct setup *setup, const char *sql, struct meow_error *err)
{
	PGresult *result = run_watched(setup, sql, err);
	PQclear(result);
	return result != NULL;
}

// A statement of ours under the store's names; NULL and err when it failed.
static PGresult *run_named(struct setup *setup, const char *sql, struct meow_error *err)
{
	struct buffer scratch;
	buffer_init(&scratch);
	const char *text = pg_names_apply(&setup->names, sql, &scratch);
	PGresult *result = text ? run_watched(setup, text, err) : NULL;
	if (!text)
		error_no_memory(err);
	buffer_finish(&scratch);
	return result;
}

// One file in one transaction, again and again until it gets its locks.
static bool apply(
	struct setup *setup, const char *sql, const struct pg_rename *renames, size_t count, struct meow_error *err)
{
	struct buffer text;
	buffer_init(&text);
	buffer_put_text(&text, "BEGIN; SET LOCAL lock_timeout = '" LOCK_PATIENCE "'; ");
	pg_render(&text, sql, renames, count);
	buffer_put_text(&text, "; COMMIT");
	bool ok = buffer_ok(&text, err);
	while (ok) {
		struct meow_error failure;
		if (run(setup, text.data, &failure))
			break;
		bool locked = strcmp(failure.code, LOCK_TIMED_OUT) == 0 || strcmp(failure.code, DEADLOCK) == 0;
		ok = run(setup, "ROLLBACK", err) && locked;
		if (!locked) {
			if (err)
				*err = failure;
			break;
		}
		usleep(PAUSE_US);
	}
	buffer_finish(&text);
	return ok;
}

static bool index_state(struct setup *setup, const char *name, bool *ret_there, bool *ret_valid, struct meow_error *err)
{
	const char *values[1] = {name};
	PGresult *result = PQexecParams(setup->conn, "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)",
		1, NULL, values, NULL, NULL, 0);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK || pg_result_error(setup->conn, result, setup->url, err);
	if (ok) {
		*ret_there = PQntuples(result) == 1;
		*ret_valid = *ret_there && *PQgetvalue(result, 0, 0) == 't';
	}
	PQclear(result);
	return ok;
}

// An index that exists and is whole is left alone; one whose build was interrupted is built anew.
static bool apply_index(struct setup *setup, const char *name, const char *sql, struct meow_error *err)
{
	char drop[128];
	snprintf(drop, sizeof(drop), "DROP INDEX CONCURRENTLY %s", name);
	for (;;) {
		struct meow_error failure;
		bool there, valid;
		if (!index_state(setup, name, &there, &valid, err))
			return false;
		if (valid)
			return true;
		if (there)
			say(setup, "index %s was left unfinished: building it anew", name);
		else
			say(setup, "building index %s", name);
		PGresult *built = !there || run(setup, drop, &failure) ? run_named(setup, sql, &failure) : NULL;
		PQclear(built);
		if (built)
			return true;
		if (strcmp(failure.code, DEADLOCK) != 0) {
			if (err)
				*err = failure;
			return false;
		}
	}
}

// --- the type of aggregate ids ---

static bool with_length(const char *type, const char *name)
{
	size_t length = strlen(name);
	if (strncmp(type, name, length) != 0 || type[length] != '(')
		return false;
	char *end;
	long size = strtol(type + length + 1, &end, 10);
	return isdigit((unsigned char)type[length + 1]) && size >= 1 && size <= 1000 && strcmp(end, ")") == 0;
}

// The types that ids may have: as --id-type takes them, and as the catalogue prints them.
static const char *const id_types[][2] = {
	{"UUID", "uuid"}, {"TEXT", "text"}, {"BIGINT", "bigint"}, {"INTEGER", "integer"}, {"VARCHAR", "character varying"}};

static bool print_id_type(const char *wanted, char *ret_printed, size_t size)
{
	char type[40];
	size_t length = 0;
	for (const char *c = wanted; *c && length < sizeof(type) - 1; c++)
		if (*c != ' ')
			type[length++] = (char)toupper((unsigned char)*c);
	type[length] = '\0';
	for (size_t i = 0; i < sizeof(id_types) / sizeof(*id_types); i++)
		if (strcmp(type, id_types[i][0]) == 0)
			return snprintf(ret_printed, size, "%s", id_types[i][1]) > 0;
	if (with_length(type, "CHAR"))
		return snprintf(ret_printed, size, "character%s", strchr(type, '(')) > 0;
	return with_length(type, "VARCHAR") && snprintf(ret_printed, size, "character varying%s", strchr(type, '(')) > 0;
}

static bool is_id_type(const char *printed)
{
	for (size_t i = 0; i < sizeof(id_types) / sizeof(*id_types); i++)
		if (strcmp(printed, id_types[i][1]) == 0)
			return true;
	return with_length(printed, "character") || with_length(printed, "character varying");
}

static bool choose_id_type(struct setup *setup, const char *wanted, const char *there, struct meow_error *err)
{
	char printed[48] = "uuid";
	if (there && !is_id_type(there))
		return error_set(err, MEOW_CONFIG,
			"the ids of es_aggregates are of type %s, and must be of "
			"UUID, TEXT, CHAR(n), VARCHAR(n), BIGINT or INTEGER",
			there);
	if (wanted && !print_id_type(wanted, printed, sizeof(printed)))
		return error_set(
			err, MEOW_INVALID, "id type %s: give UUID, TEXT, CHAR(n), VARCHAR(n), BIGINT or INTEGER", wanted);
	if (wanted && there && strcmp(there, printed) != 0)
		return error_set(
			err, MEOW_CONFIG, "id type %s: es_aggregates is there already, and its ids are of type %s", wanted, there);
	snprintf(setup->id_type, sizeof(setup->id_type), "%s", there ? there : printed);
	return true;
}

// --- what the tables are called ---

static bool check_names(struct setup *setup, struct meow_error *err)
{
	for (size_t i = 0; i < PG_NAME_SEQUENCE; i++) {
		if (!pg_name_is_good(setup->tables[i]))
			return error_set(err, MEOW_CONFIG,
				"store.tables: \"%s\" cannot be the name of a table: give letters, digits and \"_\", at most 63, "
				"without "
				"a schema (that is the first of the search_path)",
				setup->tables[i]);
		for (size_t j = 0; j < i; j++)
			if (strcmp(setup->tables[i], setup->tables[j]) == 0)
				return error_set(err, MEOW_CONFIG, "store.tables: two tables called %s", setup->tables[i]);
	}
	return true;
}

// Those of a store that is there hold; else what is wanted, or Python meowmx's.
static bool choose_names(struct setup *setup, const struct store_tables *wanted, struct meow_error *err)
{
	static const char *const what[] = {"events", "aggregates", "snapshots", "subscriptions"};
	const char *const names[] = {wanted->events, wanted->aggregates, wanted->snapshots, wanted->subscriptions};
	PGresult *result = PQexec(setup->conn, sql_setup_recorded);
	bool there = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1, ok = true;
	for (size_t i = 0; ok && i < PG_NAME_SEQUENCE; i++) {
		setup->tables[i] = names[i] ? names[i] : pg_names_default.renames[i].from;
		if (!there)
			continue;
		snprintf(setup->recorded[i], sizeof(setup->recorded[i]), "%s", PQgetvalue(result, 0, (int)i));
		setup->tables[i] = setup->recorded[i];
		if (names[i] && strcmp(names[i], setup->recorded[i]) != 0)
			ok = error_set(err, MEOW_CONFIG,
				"store.tables.%s is %s, and the store was set up with %s: what its tables are called cannot change",
				what[i], names[i], setup->recorded[i]);
	}
	PQclear(result);
	return ok && check_names(setup, err);
}

// Now that nobody else sets up.
static bool still_so_named(struct setup *setup, const struct store_tables *wanted, struct meow_error *err)
{
	char before[PG_NAME_SEQUENCE][64];
	for (size_t i = 0; i < PG_NAME_SEQUENCE; i++)
		snprintf(before[i], sizeof(before[i]), "%s", setup->tables[i]);
	if (!choose_names(setup, wanted, err))
		return false;
	for (size_t i = 0; i < PG_NAME_SEQUENCE; i++)
		if (strcmp(before[i], setup->tables[i]) != 0)
			return error_set(
				err, MEOW_CONFIG, "another `meowmx setup` has just given the tables other names: run it again");
	return true;
}

// The names as SQL takes them.
static bool take_names(struct setup *setup, const struct store_tables *wanted, struct meow_error *err)
{
	if (!choose_names(setup, wanted, err))
		return false;
	PGresult *result = PQexecParams(setup->conn, sql_setup_names, PG_NAME_SEQUENCE, NULL, setup->tables, NULL, NULL, 0);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK || pg_result_error(setup->conn, result, setup->url, err);
	struct pg_names names = pg_names_default;
	for (int i = 0; ok && i < PG_NAME_SEQUENCE; i++)
		pg_names_set(&names, (size_t)i, PQgetvalue(result, 0, i));
	if (ok && !names.other && *PQgetvalue(result, 0, PG_NAME_SEQUENCE) == 't')
		say(setup, "the tables of postgresql-event-sourcing are here, and left alone: store.tables adopts them");
	PQclear(result);
	setup->names = names;
	return ok;
}

// --- the steps ---

// The columns of setup_check.sql.
enum {
	CHECK_VERSION,
	CHECK_ENCODING,
	CHECK_STANDBY,
	CHECK_SCHEMA,
	CHECK_ID_TYPE,
	CHECK_TWO_PHASE,
	CHECK_FSYNC_OFF,
	CHECK_COMMIT_OFF,
	CHECK_PID,
	CHECK_PYTHON_TRIGGER,
};

// A whole number of the server's answer in text.
static bool number_of(const PGresult *result, int column, const char *what, int64_t *ret_number, struct meow_error *err)
{
	const char *text = PQgetvalue(result, 0, column);
	return text_to_int64(bytes_of(text), ret_number) ||
		   error_set(err, MEOW_CONFIG, "the server's %s is no number: \"%s\"", what, text);
}

static bool refuse(const struct setup *setup, const PGresult *check, struct meow_error *err)
{
	if (*PQgetvalue(check, 0, CHECK_STANDBY) == 't')
		return error_set(err, MEOW_DENIED, "PostgreSQL at %s:%s is a read-only standby; connect to the primary",
			PQhost(setup->conn), PQport(setup->conn));
	int64_t version, pid;
	if (!number_of(check, CHECK_VERSION, "server_version_num", &version, err) ||
		!number_of(check, CHECK_PID, "pg_backend_pid()", &pid, err))
		return false;
	if (version < 130000)
		return error_set(err, MEOW_CONFIG, "PostgreSQL %" PRId64 " is too old: 13 or later is needed", version / 10000);
	if (strcmp(PQgetvalue(check, 0, CHECK_ENCODING), "UTF8") != 0)
		return error_set(err, MEOW_CONFIG,
			"the encoding of database %s is %s, and must be UTF8: "
			"create it with ENCODING 'UTF8' TEMPLATE template0",
			PQdb(setup->conn), PQgetvalue(check, 0, CHECK_ENCODING));
	if (PQgetisnull(check, 0, CHECK_SCHEMA))
		return error_set(err, MEOW_CONFIG, "the search_path names no schema that exists: where are the tables to be?");
	if (pid != PQbackendPID(setup->conn))
		return error_set(err, MEOW_CONFIG,
			"a pooler stands between here and PostgreSQL: "
			"set up over a direct connection");
	return true;
}

static bool say_settings(struct setup *setup, const PGresult *check, struct meow_error *err)
{
	int64_t prepared;
	if (!number_of(check, CHECK_TWO_PHASE, "max_prepared_transactions", &prepared, err))
		return false;
	if (prepared > 0)
		say(setup, "max_prepared_transactions is above 0: writers that use PREPARE TRANSACTION must "
				   "SET meowmx.notify = off");
	if (*PQgetvalue(check, 0, CHECK_FSYNC_OFF) == 't')
		say(setup, "fsync is off: after a crash this store may forget events that were already published");
	if (*PQgetvalue(check, 0, CHECK_COMMIT_OFF) == 't')
		say(setup, "synchronous_commit is off: after a crash this store may forget events that were published");
	if (!PQgetisnull(check, 0, CHECK_PYTHON_TRIGGER))
		say(setup,
			"the trigger of Python meowmx and postgresql-event-sourcing makes all commits wait for each other, which "
			"halves appends; when nobody listens to it any more: DROP TRIGGER channel_event_notify_trg ON %s",
			setup->names.renames[PG_NAME_EVENTS].to);
	return true;
}

static bool check_server(struct setup *setup, const char *id_type, struct meow_error *err)
{
	PGresult *check = run_named(setup, sql_setup_check, err);
	if (!check)
		return false;
	const char *there = PQgetisnull(check, 0, CHECK_ID_TYPE) ? NULL : PQgetvalue(check, 0, CHECK_ID_TYPE);
	bool ok =
		refuse(setup, check, err) && choose_id_type(setup, id_type, there, err) && say_settings(setup, check, err);
	if (ok) {
		char settings[400];
		snprintf(setup->schema, sizeof(setup->schema), "%s", PQgetvalue(check, 0, CHECK_SCHEMA));
		snprintf(settings, sizeof(settings),
			"SET search_path = %s, pg_temp; SET statement_timeout = 0; "
			"SET lock_timeout = 0; SET default_transaction_isolation = 'read committed'; "
			"SET client_min_messages = warning",
			setup->schema);
		ok = run(setup, settings, err);
	}
	PQclear(check);
	return ok;
}

static bool lock(struct setup *setup, struct meow_error *err)
{
	for (int tries = 0;; tries++) {
		PGresult *result = run_watched(setup, "SELECT pg_try_advisory_lock(" LOCK_KEY ")", err);
		if (!result)
			return false;
		bool locked = *PQgetvalue(result, 0, 0) == 't';
		PQclear(result);
		if (locked)
			return true;
		if (tries >= 5)
			say_waiting(setup, "another `meowmx setup` of this database", "");
		usleep(100000);
	}
}

static bool check_sequence(struct setup *setup, struct meow_error *err)
{
	PGresult *result = run_named(setup, sql_setup_sequence, err);
	if (!result)
		return false;
	bool ok = true;
	if (PQntuples(result) != 1)
		ok = error_set(err, MEOW_CONFIG, "%s.id does not take its values from a sequence of its own",
			setup->names.renames[PG_NAME_EVENTS].to);
	else if (strcmp(PQgetvalue(result, 0, 0), "1") != 0 || strcmp(PQgetvalue(result, 0, 1), "1") != 0 ||
			 *PQgetvalue(result, 0, 2) == 't')
		ok = error_set(err, MEOW_CONFIG, "the order of events needs ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE",
			PQgetvalue(result, 0, 4));
	if (ok) {
		snprintf(setup->sequence, sizeof(setup->sequence), "%s", PQgetvalue(result, 0, 3));
		pg_names_set(&setup->names, PG_NAME_SEQUENCE, PQgetvalue(result, 0, 4));
	}
	PQclear(result);
	return ok;
}

// Tables that were there may look otherwise than those we make.
static bool check_shape(struct setup *setup, struct meow_error *err)
{
	PGresult *result = run_named(setup, sql_setup_shape, err);
	if (!result)
		return false;
	bool ok = PQntuples(result) == 0;
	if (!ok)
		error_set(err, MEOW_CONFIG, "%s.%s must be of type %s, and is %s", PQgetvalue(result, 0, 0),
			PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2), PQgetvalue(result, 0, 3));
	PQclear(result);
	return ok;
}

// The tables, as their columns were looked at and completed.
static bool apply_tables(struct setup *setup, struct meow_error *err)
{
	static const char *const files[] = {schema_001_tables, schema_002_bookkeeping, schema_003_columns,
		schema_004_snapshots, schema_005_snapshots_valid, schema_011_leases, schema_012_dead_letters,
		schema_013_dead_retry};
	struct pg_rename renames[1 + PG_NAMES] = {{.from = "AGGREGATE_ID_TYPE"}};
	snprintf(renames[0].to, sizeof(renames[0].to), "%s", setup->id_type);
	memcpy(renames + 1, setup->names.renames, sizeof(setup->names.renames));
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (!apply(setup, files[i], renames, 1 + PG_NAMES, err))
			return false;
		if (i == 0 && (!check_shape(setup, err) || !check_sequence(setup, err)))
			return false;
	}
	return true;
}

static void qualify(char ret_name[PG_NAME_SIZE], const char *schema, const char *name)
{
	snprintf(ret_name, PG_NAME_SIZE, "%s.%.130s", schema, name);
}

// Functions name everything with its schema: those of the triggers, and those that others call.
static bool apply_functions(struct setup *setup, const char *const *files, size_t file_count, struct meow_error *err)
{
	static const char *const ours[] = {"meowmx_meta", "meowmx_doze", "meowmx_checkpoints", "meowmx_check_store",
		"meowmx_parse_events", "meowmx_appended", "meowmx_append", "meowmx_load", "meowmx_holders", "meowmx_outwait",
		"meowmx_proven", "meowmx_read"};
	struct pg_rename renames[1 + PG_NAMES + sizeof(ours) / sizeof(*ours)] = {{.from = "AGGREGATE_ID_TYPE"}};
	snprintf(renames[0].to, sizeof(renames[0].to), "%s", setup->id_type);
	size_t count = 1;
	for (size_t i = 0; i < PG_NAME_SEQUENCE; i++) {
		renames[count].from = setup->names.renames[i].from;
		qualify(renames[count++].to, setup->schema, setup->names.renames[i].to);
	}
	renames[count].from = setup->names.renames[PG_NAME_SEQUENCE].from;
	snprintf(renames[count++].to, PG_NAME_SIZE, "%s", setup->sequence);
	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++) {
		renames[count].from = ours[i];
		qualify(renames[count++].to, setup->schema, ours[i]);
	}
	for (size_t i = 0; i < file_count; i++)
		if (!apply(setup, files[i], renames, count, err))
			return false;
	return true;
}

static bool apply_all(struct setup *setup, struct meow_error *err)
{
	static const char *const triggers[] = {schema_006_triggers};
	static const char *const functions[] = {schema_009_append, schema_010_read};
	return apply_tables(setup, err) && apply_functions(setup, triggers, 1, err) &&
		   apply_index(setup, "meowmx_events_category", schema_007_index_category, err) &&
		   apply_index(setup, "meowmx_events_untyped", schema_008_index_untyped, err) &&
		   apply_functions(setup, functions, 2, err);
}

static bool finish(struct setup *setup, struct meow_error *err)
{
	char version[16];
	snprintf(version, sizeof(version), "%d", STORE_SCHEMA_VERSION);
	const char *values[1 + PG_NAME_SEQUENCE] = {version};
	memcpy(values + 1, setup->tables, sizeof(setup->tables));
	PGresult *result = PQexecParams(setup->conn, sql_setup_finish, 1 + PG_NAME_SEQUENCE, NULL, values, NULL, NULL, 0);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK || pg_result_error(setup->conn, result, setup->url, err);
	PQclear(result);
	return ok;
}

// A newer meowmx has been here: its tables are not for us to touch.
static bool check_version(struct setup *setup, struct meow_error *err)
{
	PGresult *result = PQexec(setup->conn, "SELECT schema_version FROM meowmx_meta");
	int64_t version = 0; // there is no such table yet, or nothing in it
	bool ok = PQresultStatus(result) != PGRES_TUPLES_OK || PQntuples(result) != 1 ||
			  number_of(result, 0, "meowmx_meta.schema_version", &version, err);
	PQclear(result);
	if (!ok)
		return false;
	return version <= STORE_SCHEMA_VERSION ||
		   error_set(err, MEOW_CONFIG,
			   "the store was set up by a newer meowmx (schema %" PRId64 ", this one knows %d): upgrade this program",
			   version, STORE_SCHEMA_VERSION);
}

bool pg_setup(const struct store_setup *wanted, struct meow_error *err)
{
	struct setup setup = {.url = wanted->url, .say = wanted->say, .arg = wanted->arg};
	setup.conn = pg_connect(setup.url, err);
	bool ok = setup.conn && take_names(&setup, &wanted->tables, err) && check_server(&setup, wanted->id_type, err) &&
			  lock(&setup, err) && check_version(&setup, err) && still_so_named(&setup, &wanted->tables, err) &&
			  apply_all(&setup, err) && finish(&setup, err);
	PQfinish(setup.observer);
	PQfinish(setup.conn);
	return ok;
}
