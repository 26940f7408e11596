// Set-up: numbered files of schemas/postgres, each of which looks first and changes only what is missing, so that it can
// run again, and go on where it was killed. One at a time: an advisory lock, asked for again and again (a session that
// waited in it would deadlock with CREATE INDEX CONCURRENTLY). Locks on tables are waited for with a short time-out,
// so that writers never queue behind us for long; whom we wait for is looked up over a second connection. The row of
// meowmx_meta is written last: until then nobody takes the store for complete.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_schema.h"
#include "store_postgres_sql.h"

#include <ctype.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOCK_KEY "7236837711285" // "meowmx", as a number of our own
#define PATIENCE_MS 500          // then it is said for whom we wait

struct setup {
	PGconn *conn;
	PGconn *observer; // made when first needed
	const char *url;
	void (*say)(void *arg, const char *line);
	void *arg;
	char said[256];
	char id_type[40];
	int server_version;
};

static void BASE_PRINTF(2, 3) say(struct setup *setup, const char *format, ...)
{
	char line[256];
	va_list args;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (setup->say && strcmp(line, setup->said) != 0) // what did not change is not said again
		setup->say(setup->arg, line);
	memcpy(setup->said, line, sizeof(line));
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
		if (PQgetisnull(result, 0, 0))
			say(setup, "waiting for a prepared transaction (see pg_prepared_xacts)");
		else
			say(setup, "waiting for the transaction of pid %s (%s, %s)", PQgetvalue(result, 0, 0),
				PQgetvalue(result, 0, 1), PQgetvalue(result, 0, 2));
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
			if (poll(&wait, 1, PATIENCE_MS) == 0)
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

// One file in one transaction, again and again until it gets its locks.
static bool apply(struct setup *setup, const char *sql, struct meow_error *err)
{
	struct buffer text;
	buffer_init(&text);
	buffer_put_text(&text, "BEGIN; SET LOCAL lock_timeout = '2s'; ");
	for (const char *rest = sql;;) {
		const char *mark = strstr(rest, "{AGGREGATE_ID_TYPE}");
		buffer_put(&text, rest, mark ? (size_t)(mark - rest) : strlen(rest));
		if (!mark)
			break;
		buffer_put_text(&text, setup->id_type);
		rest = mark + strlen("{AGGREGATE_ID_TYPE}");
	}
	buffer_put_text(&text, "; COMMIT");
	bool ok = buffer_ok(&text, err);
	while (ok) {
		struct meow_error failure;
		if (run(setup, text.data, &failure))
			break;
		bool locked = strcmp(failure.code, "55P03") == 0 || strcmp(failure.code, "40P01") == 0;
		ok = run(setup, "ROLLBACK", err) && locked;
		if (!locked) {
			if (err)
				*err = failure;
			break;
		}
		usleep(500000); // let writers pass
	}
	buffer_finish(&text);
	return ok;
}

// An index that exists and is whole is left alone; one whose build was interrupted is built anew.
static bool apply_index(struct setup *setup, const char *name, const char *sql, struct meow_error *err)
{
	const char *values[1] = {name};
	PGresult *result = PQexecParams(setup->conn,
		"SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", 1, NULL, values, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		pg_result_error(setup->conn, result, setup->url, err);
		PQclear(result);
		return false;
	}
	bool there = PQntuples(result) == 1, valid = there && *PQgetvalue(result, 0, 0) == 't';
	PQclear(result);
	if (valid)
		return true;
	char drop[128];
	snprintf(drop, sizeof(drop), "DROP INDEX CONCURRENTLY %s", name);
	if (there)
		say(setup, "index %s was left unfinished: building it anew", name);
	if (there && !run(setup, drop, err))
		return false;
	return run(setup, sql, err);
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

static bool choose_id_type(struct setup *setup, const char *wanted, const char *there, struct meow_error *err)
{
	static const char *const names[][2] = {{"UUID", "uuid"}, {"TEXT", "text"}, {"BIGINT", "bigint"},
		{"INTEGER", "integer"}};
	char type[40] = "UUID", printed[48] = "";
	if (!wanted && there) {
		snprintf(setup->id_type, sizeof(setup->id_type), "%s", "UUID"); // not used: the tables exist
		return true;
	}
	if (wanted) {
		size_t size = 0;
		for (const char *c = wanted; *c && size < sizeof(type) - 1; c++)
			if (*c != ' ')
				type[size++] = (char)toupper((unsigned char)*c);
		type[size] = '\0';
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(type, names[i][0]) == 0)
			snprintf(printed, sizeof(printed), "%s", names[i][1]);
	if (with_length(type, "CHAR"))
		snprintf(printed, sizeof(printed), "character%s", strchr(type, '('));
	else if (with_length(type, "VARCHAR"))
		snprintf(printed, sizeof(printed), "character varying%s", strchr(type, '('));
	if (!*printed)
		return error_set(err, MEOW_INVALID,
			"id type %s: give UUID, TEXT, CHAR(n), VARCHAR(n), BIGINT or INTEGER", wanted);
	if (there && strcmp(there, printed) != 0)
		return error_set(err, MEOW_CONFIG,
			"id type %s: es_aggregates is there already, and its ids are of type %s", wanted, there);
	snprintf(setup->id_type, sizeof(setup->id_type), "%s", type);
	return true;
}

// --- the steps ---

static bool check_server(struct setup *setup, const char *id_type, struct meow_error *err)
{
	PGresult *result = PQexec(setup->conn, sql_setup_check);
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		pg_result_error(setup->conn, result, setup->url, err);
		PQclear(result);
		return false;
	}
	bool ok = true;
	char path[300];
	setup->server_version = atoi(PQgetvalue(result, 0, 0));
	if (*PQgetvalue(result, 0, 2) == 't')
		ok = error_set(err, MEOW_DENIED, "this server is a read-only standby; connect to the primary");
	else if (setup->server_version < 130000)
		ok = error_set(err, MEOW_CONFIG, "PostgreSQL %d is too old: 13 or later is needed",
			setup->server_version / 10000);
	else if (strcmp(PQgetvalue(result, 0, 1), "UTF8") != 0)
		ok = error_set(err, MEOW_CONFIG, "the database's encoding is %s, and must be UTF8: "
			"create it with ENCODING 'UTF8' TEMPLATE template0", PQgetvalue(result, 0, 1));
	else if (PQgetisnull(result, 0, 3))
		ok = error_set(err, MEOW_CONFIG, "the search_path names no schema that exists");
	else
		ok = choose_id_type(
			setup, id_type, PQgetisnull(result, 0, 4) ? NULL : PQgetvalue(result, 0, 4), err);
	if (ok && atoi(PQgetvalue(result, 0, 5)) > 0)
		say(setup, "max_prepared_transactions is above 0: writers that use PREPARE TRANSACTION must "
			"SET meowmx.notify = off");
	if (ok && *PQgetvalue(result, 0, 6) == 't')
		say(setup, "fsync is off: after a crash this store may forget events that were already published");
	if (ok && *PQgetvalue(result, 0, 7) == 't')
		say(setup, "synchronous_commit is off: after a crash this store may forget events that were published");
	snprintf(path, sizeof(path), "SET search_path = %s, pg_temp; SET statement_timeout = 0; "
		"SET client_min_messages = warning", PQgetvalue(result, 0, 3));
	PQclear(result);
	return ok && run(setup, path, err);
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
		if (tries == 5)
			say(setup, "waiting for another `meowmx setup` of this database");
		usleep(100000);
	}
}

static bool check_sequence(struct setup *setup, struct meow_error *err)
{
	PGresult *result = run_watched(setup, sql_setup_sequence, err);
	if (!result)
		return false;
	bool ok = true;
	if (PQntuples(result) != 1 || *PQgetvalue(result, 0, 3) != 't')
		ok = error_set(err, MEOW_CONFIG, "es_events.id does not take its values from the sequence es_events_id_seq");
	else if (strcmp(PQgetvalue(result, 0, 0), "1") != 0 || strcmp(PQgetvalue(result, 0, 1), "1") != 0 ||
		*PQgetvalue(result, 0, 2) == 't')
		ok = error_set(err, MEOW_CONFIG,
			"the order of events needs ALTER SEQUENCE es_events_id_seq CACHE 1 INCREMENT 1 NO CYCLE");
	PQclear(result);
	return ok;
}

static bool apply_all(struct setup *setup, struct meow_error *err)
{
	static const char *const files[] = {schema_001_tables, schema_002_bookkeeping, schema_003_columns,
		schema_004_snapshots, schema_005_triggers};
	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++) {
		if (!apply(setup, files[i], err))
			return false;
		if (i == 0 && !check_sequence(setup, err))
			return false;
	}
	return apply_index(setup, "meowmx_events_category", schema_006_index_category, err) &&
		apply_index(setup, "meowmx_events_untyped", schema_007_index_untyped, err);
}

static bool finish(struct setup *setup, struct meow_error *err)
{
	char sql[256];
	snprintf(sql, sizeof(sql),
		"INSERT INTO meowmx_meta AS m (schema_version, store_id) VALUES (%d, gen_random_uuid()) "
		"ON CONFLICT (one) DO UPDATE SET schema_version = excluded.schema_version "
		"WHERE m.schema_version < excluded.schema_version", STORE_SCHEMA_VERSION);
	return run(setup, sql, err);
}

// A newer meowmx has been here: its tables are not for us to touch.
static bool check_version(struct setup *setup, struct meow_error *err)
{
	PGresult *result = PQexec(setup->conn, "SELECT schema_version FROM meowmx_meta");
	int version = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1 ? atoi(PQgetvalue(result, 0, 0)) : 0;
	PQclear(result);
	return version <= STORE_SCHEMA_VERSION || error_set(err, MEOW_CONFIG,
		"the store was set up by a newer meowmx (schema %d, this one knows %d): upgrade this program", version,
		STORE_SCHEMA_VERSION);
}

bool store_setup(const char *url, const char *id_type, void (*say_line)(void *arg, const char *line), void *arg,
	struct meow_error *err)
{
	struct setup setup = {.url = url ? url : "", .say = say_line, .arg = arg};
	setup.conn = pg_connect(setup.url, err);
	bool ok = setup.conn && check_server(&setup, id_type, err) && lock(&setup, err) && check_version(&setup, err) &&
		apply_all(&setup, err) && finish(&setup, err);
	PQfinish(setup.observer);
	PQfinish(setup.conn);
	return ok;
}
