// Connection strings, the blocking connection of the store, and running its statements.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Statements are planned once, on tables that may then be near empty: they must use the indexes from the start.
const char pg_session_settings[] =
	"SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; SET enable_bitmapscan = off;"
	" SET jit = off; LISTEN meowmx";

bool pg_conninfo_init(struct pg_conninfo *conninfo, const char *url, struct meow_error *err)
{
	*conninfo = (struct pg_conninfo){0};
	if (strncmp(url, "sqlite:", 7) == 0)
		return error_set(err, MEOW_CONFIG, "store url %s: this build keeps events in PostgreSQL alone; "
			"give postgresql://USER@HOST/DATABASE", url);
	if (*url && !strstr(url, "://") && !strchr(url, '='))
		return error_set(err, MEOW_CONFIG, "store url %s: give postgresql://USER@HOST:PORT/DATABASE", url);
	char *message = NULL;
	conninfo->options = PQconninfoParse(url, &message);
	if (!conninfo->options) {
		error_set(err, MEOW_CONFIG, "store url: %s", message ? message : "out of memory");
		PQfreemem(message);
		return false;
	}
	size_t count = 0;
	while (conninfo->options[count].keyword)
		count++;
	conninfo->keywords = calloc(count + 4, sizeof(char *));
	conninfo->values = calloc(count + 4, sizeof(char *));
	if (!conninfo->keywords || !conninfo->values) {
		pg_conninfo_finish(conninfo);
		return error_no_memory(err);
	}
	size_t used = 0;
	conninfo->keywords[used] = "fallback_application_name";
	conninfo->values[used++] = "meowmx";
	conninfo->keywords[used] = "client_encoding";
	conninfo->values[used++] = "UTF8";
	conninfo->keywords[used] = "connect_timeout"; // for blocking connections; one of the url comes later and wins
	conninfo->values[used++] = "10";
	for (size_t i = 0; i < count; i++) {
		if (!conninfo->options[i].val || strcmp(conninfo->options[i].keyword, "client_encoding") == 0)
			continue;
		conninfo->keywords[used] = conninfo->options[i].keyword;
		conninfo->values[used++] = conninfo->options[i].val;
	}
	return true;
}

void pg_conninfo_finish(struct pg_conninfo *conninfo)
{
	PQconninfoFree(conninfo->options);
	free(conninfo->keywords);
	free(conninfo->values);
	*conninfo = (struct pg_conninfo){0};
}

struct pg_number pg_put64(int64_t number)
{
	struct pg_number put;
	uint64_t big = htobe64((uint64_t)number);
	memcpy(put.bytes, &big, sizeof(big));
	return put;
}

void pg_put_array(struct buffer *out, const char *const *items, size_t count)
{
	buffer_put_char(out, '{');
	for (size_t i = 0; i < count; i++) {
		buffer_put_text(out, i ? ",\"" : "\"");
		for (const char *c = items[i]; *c; c++) {
			if (*c == '"' || *c == '\\')
				buffer_put_char(out, '\\');
			buffer_put_char(out, *c);
		}
		buffer_put_char(out, '"');
	}
	buffer_put_char(out, '}');
}

bool pg_identity(PGconn *conn, const PGresult *result, struct session_info *ret_info, struct meow_error *err)
{
	if (PQntuples(result) != 1)
		return error_set(err, MEOW_CONFIG, "the store is not set up: run `meowmx setup`");
	if (*PQgetvalue(result, 0, 6))
		return error_set(err, MEOW_DENIED, "PostgreSQL at %s:%s is a read-only standby; connect to the primary",
			PQhost(conn), PQport(conn));
	uint32_t schema = pg_number32(result, 0, 1);
	if (schema != STORE_SCHEMA_VERSION)
		return error_set(err, MEOW_CONFIG, schema > STORE_SCHEMA_VERSION
			? "the store was set up by a newer meowmx (schema %u, this one knows %u): upgrade this program"
			: "the store's schema is %u, this program needs %u: run `meowmx setup`",
			schema, (unsigned)STORE_SCHEMA_VERSION);
	struct meow_bytes encoding = pg_bytes(result, 0, 10);
	if (!bytes_equal(encoding, MEOW_BYTES("UTF8")))
		return error_set(err, MEOW_CONFIG, "the database's encoding is %s, and must be UTF8", encoding.data);
	struct session_info info = {
		.store.system_identifier = pg_number64(result, 0, 2),
		.store.timeline = (uint32_t)pg_number64(result, 0, 3),
		.store.last_position = pg_signed64(result, 0, 4),
		.pooled = (int)pg_number32(result, 0, 5) != PQbackendPID(conn),
		.fsync_off = *PQgetvalue(result, 0, 7) != 0,
		.synchronous_commit_off = *PQgetvalue(result, 0, 8) != 0,
		.sees_ages = *PQgetvalue(result, 0, 9) != 0,
		.server_version = PQserverVersion(conn),
	};
	snprintf(info.store.store_id, sizeof(info.store.store_id), "%s", PQgetvalue(result, 0, 0));
	*ret_info = info;
	return true;
}

void pg_holder(const PGresult *result, int row, struct session_holder *ret_holder)
{
	*ret_holder = (struct session_holder){.pid = (int)pg_number32(result, row, 1),
		.prepared = *PQgetvalue(result, row, 2) != 0, .age_us = pg_signed64(result, row, 4)};
	snprintf(ret_holder->id, sizeof(ret_holder->id), "%s", PQgetvalue(result, row, 0));
	snprintf(ret_holder->name, sizeof(ret_holder->name), "%s", PQgetvalue(result, row, 3));
}

PGconn *pg_connect(const char *url, struct meow_error *err)
{
	struct pg_conninfo conninfo;
	if (!pg_conninfo_init(&conninfo, url, err))
		return NULL;
	PGconn *conn = PQconnectdbParams(conninfo.keywords, conninfo.values, 0);
	pg_conninfo_finish(&conninfo);
	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	pg_connection_error(conn, url, err);
	PQfinish(conn);
	return NULL;
}

static bool identify(struct meow_store *store, struct meow_error *err)
{
	PGresult *result = PQexecParams(store->conn, sql_identity, 0, NULL, NULL, NULL, NULL, 1);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK ? pg_identity(store->conn, result, &store->info, err)
														: pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return ok && (store->info.pooled || pg_do(store, pg_session_settings, err));
}

bool pg_reconnect(struct meow_store *store, struct meow_error *err)
{
	if (store->conn && PQstatus(store->conn) == CONNECTION_OK)
		return true;
	PGconn *conn = pg_connect(store->url, err);
	if (!conn)
		return false;
	PQfinish(store->conn);
	store->conn = conn;
	store->prepared = 0;
	if (identify(store, err))
		return true;
	PQfinish(store->conn);
	store->conn = NULL;
	return false;
}

struct meow_store *meow_store_open(const char *url, struct meow_error *err)
{
	struct meow_store *store = calloc(1, sizeof(*store));
	if (store)
		store->url = strdup(url ? url : "");
	if (!store || !store->url) {
		free(store);
		error_no_memory(err);
		return NULL;
	}
	if (pg_reconnect(store, err))
		return store;
	meow_store_close(store);
	return NULL;
}

void meow_store_close(struct meow_store *store)
{
	if (!store)
		return;
	PQfinish(store->conn);
	free(store->url);
	free(store);
}

void pg_param_text(struct pg_params *params, struct meow_bytes text)
{
	params->values[params->count] = text.data;
	params->lengths[params->count] = (int)text.size;
	params->formats[params->count++] = 1; // text and json are their own bytes in binary: nothing needs a NUL
}

void pg_param_int8(struct pg_params *params, const struct pg_number *number)
{
	params->values[params->count] = number ? number->bytes : NULL;
	params->lengths[params->count] = 8;
	params->formats[params->count++] = 1;
}

static const struct {
	const char *name;
	const char *sql;
} statements[PG_STATEMENTS] = {
	[PG_APPEND_ONE] = {"meowmx_append_one", sql_append_one},
	[PG_APPEND_FIRST] = {"meowmx_append_first", sql_append_first},
	[PG_APPEND_MANY] = {"meowmx_append_many", sql_append_many},
	[PG_APPEND_FOUND] = {"meowmx_append_found", sql_append_found},
	[PG_APPEND_REPEATED] = {"meowmx_append_repeated", sql_append_repeated},
	[PG_LOAD_AGGREGATE] = {"meowmx_load_aggregate", sql_load_aggregate},
	[PG_LOAD_AGGREGATE_REVERSE] = {"meowmx_load_aggregate_reverse", sql_load_aggregate_reverse},
	[PG_READ] = {"meowmx_read", sql_read},
	[PG_READ_REVERSE] = {"meowmx_read_reverse", sql_read_reverse},
	[PG_READ_CATEGORIES] = {"meowmx_read_categories", sql_read_categories},
	[PG_READ_CATEGORIES_REVERSE] = {"meowmx_read_categories_reverse", sql_read_categories_reverse},
};

static bool prepare(struct meow_store *store, enum pg_statement statement, struct meow_error *err)
{
	if (store->prepared & (UINT64_C(1) << statement))
		return true;
	PGresult *result = PQprepare(store->conn, statements[statement].name, statements[statement].sql, 0, NULL);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK || pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	if (ok)
		store->prepared |= UINT64_C(1) << statement;
	return ok;
}

PGresult *pg_run(
	struct meow_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err)
{
	PGresult *result;
	if (store->info.pooled) {
		result = PQexecParams(store->conn, statements[statement].sql, params->count, NULL, params->values,
			params->lengths, params->formats, 1);
	} else {
		if (!prepare(store, statement, err))
			return NULL;
		result = PQexecPrepared(store->conn, statements[statement].name, params->count, params->values,
			params->lengths, params->formats, 1);
	}
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		return result;
	pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return NULL;
}

bool pg_do(struct meow_store *store, const char *sql, struct meow_error *err)
{
	PGresult *result = PQexec(store->conn, sql);
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
		pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return ok;
}

static struct session *create_session(void *arg, struct loop *loop, struct meow_error *err)
{
	return pg_session_create(arg, loop, err);
}

bool store_source_init(struct session_source *source, const char *url, struct meow_error *err)
{
	struct pg_conninfo conninfo;
	if (!pg_conninfo_init(&conninfo, url ? url : "", err)) // so that a bad url shows at once
		return false;
	pg_conninfo_finish(&conninfo);
	char *copy = strdup(url ? url : "");
	if (!copy)
		return error_no_memory(err);
	*source = (struct session_source){.create = create_session, .arg = copy};
	return true;
}

void store_source_finish(struct session_source *source)
{
	free(source->arg);
	*source = (struct session_source){0};
}
