// Connection strings, the blocking connection of the store, and running its statements.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <assert.h>
#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Statements are planned once, on tables that may then be near empty: they must use the indexes from the start.
#define SETTINGS                                                                                                       \
	"SET default_transaction_isolation = 'read committed'; SET enable_seqscan = off; SET enable_bitmapscan = off;"     \
	" SET jit = off"
const char pg_session_settings[] = SETTINGS "; LISTEN meowmx";
static const char store_settings[] = SETTINGS; // nobody would take in what a blocking connection is notified of

// Those of the url come later and win. A server that vanished without a word is noticed within seconds, and while
// connecting the next host of a list gets its turn.
static const struct {
	const char *keyword, *value, *variable;
} connection_defaults[] = {
	{"fallback_application_name", "meowmx", NULL},
	{"client_encoding", "UTF8", NULL},              // and no other
	{"connect_timeout", "10", "PGCONNECT_TIMEOUT"}, // for blocking connections
	{"tcp_user_timeout", "8000", NULL},
	{"keepalives_idle", "10", NULL},
	{"keepalives_interval", "5", NULL},
	{"keepalives_count", "3", NULL},
};

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool accepts(const char *url)
{
	bool has_scheme = strstr(url, "://") != NULL;
	return !*url || starts(url, "postgresql://") || starts(url, "postgres://") || (!has_scheme && strchr(url, '='));
}

// libpq's reason up to where it quotes from the url.
static bool refuse_url(const char *message, struct meow_error *err)
{
	const char *quote = strstr(message, ": \"");
	const char *missing = strstr(message, "missing \"=\"");
	if (missing)
		return error_set(err, MEOW_CONFIG, "the store's url: missing \"=\" after a word of the connection string");
	bool harmless = starts(message, "invalid URI query parameter") || starts(message, "invalid connection option");
	return error_set(err, MEOW_CONFIG, "the store's url: %.*s",
		quote && !harmless ? (int)(quote - message) : (int)strlen(message), message);
}

bool pg_conninfo_init(struct pg_conninfo *conninfo, const char *url, struct meow_error *err)
{
	*conninfo = (struct pg_conninfo){0};
	char *message = NULL;
	conninfo->options = PQconninfoParse(url, &message);
	if (!conninfo->options) {
		bool no_memory = !message || starts(message, "out of memory");
		bool refused = no_memory ? error_no_memory(err) : refuse_url(message, err);
		PQfreemem(message);
		return refused;
	}
	size_t count = 0;
	while (conninfo->options[count].keyword)
		count++;
	size_t defaults = sizeof(connection_defaults) / sizeof(*connection_defaults);
	conninfo->keywords = calloc(count + defaults + 1, sizeof(char *));
	conninfo->values = calloc(count + defaults + 1, sizeof(char *));
	if (!conninfo->keywords || !conninfo->values) {
		pg_conninfo_finish(conninfo);
		return error_no_memory(err);
	}
	size_t used = 0;
	for (size_t i = 0; i < defaults; i++) {
		if (connection_defaults[i].variable && getenv(connection_defaults[i].variable))
			continue;
		conninfo->keywords[used] = connection_defaults[i].keyword;
		conninfo->values[used++] = connection_defaults[i].value;
	}
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

// The columns of identity.sql from this one on are names, in the order of enum PG_NAME_*.
#define IDENTITY_NAMES 11

bool pg_identity(PGconn *conn, const PGresult *result, struct session_info *ret_info, struct pg_names *ret_names,
	struct meow_error *err)
{
	if (PQntuples(result) != 1)
		return error_set(err, MEOW_CONFIG, "the store is not set up: run `meowmx setup`");
	if (*PQgetvalue(result, 0, 5))
		return error_set(err, MEOW_DENIED, "PostgreSQL at %s:%s is a read-only standby; connect to the primary",
			PQhost(conn), PQport(conn));
	uint32_t schema = pg_number32(result, 0, 1);
	if (schema != STORE_SCHEMA_VERSION)
		return error_set(err, MEOW_CONFIG,
			schema > STORE_SCHEMA_VERSION
				? "the store was set up by a newer meowmx (schema %u, this one knows %u): upgrade this program"
				: "the store's schema is %u, this program needs %u: run `meowmx setup`",
			schema, (unsigned)STORE_SCHEMA_VERSION);
	struct meow_bytes encoding = pg_bytes(result, 0, 9);
	if (!bytes_equal(encoding, MEOW_BYTES("UTF8")))
		return error_set(err, MEOW_CONFIG, "the database's encoding is %s, and must be UTF8", encoding.data);
	if (!*PQgetvalue(result, 0, 10))
		return error_set(err, MEOW_CONFIG, "the order of events needs ALTER SEQUENCE %s CACHE 1 INCREMENT 1 NO CYCLE",
			PQgetvalue(result, 0, IDENTITY_NAMES + PG_NAME_SEQUENCE));
	struct session_info info = {
		.store.system_identifier = pg_number64(result, 0, 2),
		.store.timeline = (uint32_t)pg_number64(result, 0, 3),
		.pooled = (int)pg_number32(result, 0, 4) != PQbackendPID(conn),
		.fsync_off = *PQgetvalue(result, 0, 6) != 0,
		.synchronous_commit_off = *PQgetvalue(result, 0, 7) != 0,
		.sees_ages = *PQgetvalue(result, 0, 8) != 0,
		.server_version = PQserverVersion(conn),
	};
	snprintf(info.store.store_id, sizeof(info.store.store_id), "%s", PQgetvalue(result, 0, 0));
	*ret_info = info;
	*ret_names = pg_names_default;
	for (size_t i = 0; i < PG_NAMES; i++)
		pg_names_set(ret_names, i, PQgetvalue(result, 0, IDENTITY_NAMES + (int)i));
	return true;
}

void pg_holder(const PGresult *result, int row, struct session_holder *ret_holder)
{
	*ret_holder = (struct session_holder){.pid = (int)pg_number32(result, row, 1),
		.prepared = *PQgetvalue(result, row, 2) != 0,
		.age_us = pg_signed64(result, row, 4)};
	snprintf(ret_holder->id, sizeof(ret_holder->id), "%s", PQgetvalue(result, row, 0));
	snprintf(ret_holder->name, sizeof(ret_holder->name), "%s", PQgetvalue(result, row, 3));
}

static void drop_notice(void *arg, const char *message)
{
	(void)arg;
	(void)message;
}

void pg_silence(PGconn *conn)
{
	PQsetNoticeProcessor(conn, drop_notice, NULL);
}

PGconn *pg_connect(const char *url, struct meow_error *err)
{
	struct pg_conninfo conninfo;
	if (!pg_conninfo_init(&conninfo, url, err))
		return NULL;
	PGconn *conn = PQconnectdbParams(conninfo.keywords, conninfo.values, 0);
	pg_conninfo_finish(&conninfo);
	pg_silence(conn);
	if (PQstatus(conn) == CONNECTION_OK)
		return conn;
	pg_connection_error(conn, url, err);
	PQfinish(conn);
	return NULL;
}

static bool identify(struct pg_store *store, struct meow_error *err)
{
	PGresult *result = PQexecParams(store->conn, sql_identity, 0, NULL, NULL, NULL, NULL, 1);
	bool ok = PQresultStatus(result) == PGRES_TUPLES_OK
				  ? pg_identity(store->conn, result, &store->info, &store->names, err)
				  : pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return ok && (store->borrowed || store->info.pooled || pg_do(store, store_settings, err));
}

// Whether the connection is there still, as far as this side has heard: a server that went away while nothing was asked
// of it is noticed before something is sent whose outcome would then be unknown.
static bool is_alive(PGconn *conn)
{
	for (;;) {
		struct pollfd wait = {.fd = PQsocket(conn), .events = POLLIN};
		if (PQstatus(conn) != CONNECTION_OK)
			return false;
		if (poll(&wait, 1, 0) <= 0)
			return true;
		if (!PQconsumeInput(conn))
			return false;
		(void)PQisBusy(conn); // takes in notices, and the last words of a server that ends the connection
	}
}

bool pg_in_transaction(const struct pg_store *store)
{
	PGTransactionStatusType status = PQtransactionStatus(store->conn);
	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

// libpq ends a COPY, and throws away the rows of a statement, when another statement is sent.
static bool check_borrowed(struct pg_store *store, struct meow_error *err)
{
	if (PQtransactionStatus(store->conn) == PQTRANS_ACTIVE)
		return error_set(err, MEOW_INVALID,
			"a statement of the application's is under way on the connection: take in its results to the end first");
	return is_alive(store->conn) || pg_connection_error(store->conn, store->url, err);
}

bool pg_reconnect(struct pg_store *store, struct meow_error *err)
{
	if (store->borrowed)
		return check_borrowed(store, err);
	if (store->conn && is_alive(store->conn))
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

static void close_store(struct meow_store *base)
{
	struct pg_store *store = pg_store_of(base);
	if (!store->borrowed)
		PQfinish(store->conn);
	buffer_finish(&store->text);
	free(store->url);
	free(store);
}

static const struct store_impl impl = {
	.name = "PostgreSQL",
	.close = close_store,
	.append = pg_append,
	.find_bound = pg_find_bound,
	.load_page = pg_load_page,
	.version = pg_version,
	.list_aggregates = pg_list_aggregates,
	.delete_events = pg_delete_events,
	.snapshot_save = pg_snapshot_save,
	.snapshot_load = pg_snapshot_load,
	.snapshot_prune = pg_snapshot_prune,
	.work_claim = pg_work_claim,
	.work_own = pg_work_own,
	.work_begin = pg_work_begin,
	.work_look = pg_work_look,
	.work_commit = pg_work_commit,
	.work_roll_back = pg_work_roll_back,
	.work_report = pg_work_report,
	.status = pg_status,
	.subscriptions = pg_subscriptions,
	.subscription_resume = pg_subscription_resume,
	.subscription_skip = pg_subscription_skip,
	.layouts = pg_layouts,
	.repartition_begin = pg_repartition_begin,
	.repartition_cut = pg_repartition_cut,
	.repartition_finish = pg_repartition_finish,
	.subscription_pause = pg_subscription_pause,
	.subscription_rewind = pg_subscription_rewind,
	.subscription_delete = pg_subscription_delete,
	.dead_letters = pg_dead_letters,
	.dead_positions = pg_dead_positions,
	.dead_discard = pg_dead_discard,
	.dead_retry = pg_dead_retry,
	.subscription_adopt = pg_subscription_adopt,
	.bulk = pg_bulk,
};

static struct pg_store *create_store(const char *url, struct meow_error *err)
{
	struct pg_store *store = calloc(1, sizeof(*store));
	if (store)
		store->url = strdup(url);
	if (!store || !store->url) {
		free(store);
		error_no_memory(err);
		return NULL;
	}
	store->store.impl = &impl;
	return store;
}

static struct meow_store *open_store(const char *url, struct meow_error *err)
{
	struct pg_store *store = create_store(url, err);
	if (!store)
		return NULL;
	if (pg_reconnect(store, err))
		return &store->store;
	close_store(&store->store);
	return NULL;
}

struct meow_store *meow_store_on_postgres(struct pg_conn *connection, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	if (PQisnonblocking(connection) || PQpipelineStatus(connection) != PQ_PIPELINE_OFF) {
		error_set(error, MEOW_INVALID, "the connection is in libpq's %s mode: a store needs a plain one",
			PQisnonblocking(connection) ? "non-blocking" : "pipeline");
		return NULL;
	}
	struct pg_store *store = create_store("", error);
	if (!store)
		return NULL;
	store->conn = connection;
	store->borrowed = true;
	if (check_borrowed(store, error) && identify(store, error))
		return &store->store;
	close_store(&store->store);
	return NULL;
}

struct pg_conn *meow_store_postgres(const struct meow_store *store)
{
	return store->impl == &impl ? ((const struct pg_store *)store)->conn : NULL;
}

static bool check_url(const char *url, struct meow_error *err)
{
	struct pg_conninfo conninfo;
	bool ok = pg_conninfo_init(&conninfo, url, err);
	pg_conninfo_finish(&conninfo);
	return ok;
}

const struct store_backend store_postgres = {
	.accepts = accepts,
	.check_url = check_url,
	.open = open_store,
	.session_create = pg_session_create,
	.setup = pg_setup,
};

void pg_param_text(struct pg_params *params, struct meow_bytes text)
{
	assert(params->count < PG_PARAMS_MOST);
	params->values[params->count] = text.data;
	params->lengths[params->count] = (int)text.size;
	params->formats[params->count++] = 1; // text and json are their own bytes in binary: nothing needs a NUL
}

void pg_param_int8(struct pg_params *params, const struct pg_number *number)
{
	assert(params->count < PG_PARAMS_MOST);
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
	[PG_SNAPSHOT_SAVE] = {"meowmx_snapshot_save", sql_snapshot_save},
	[PG_SNAPSHOT_LOAD] = {"meowmx_snapshot_load", sql_snapshot_load},
};

// An earlier try was carried out, but libpq had no memory for the answer. The names are ours alone on this connection.
static bool is_prepared_already(const PGresult *result)
{
	const char *code = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	return code && strcmp(code, "42P05") == 0;
}

static bool prepare(struct pg_store *store, enum pg_statement statement, struct meow_error *err)
{
	if (store->prepared & (UINT64_C(1) << statement))
		return true;
	const char *sql = pg_names_apply(&store->names, statements[statement].sql, &store->text);
	if (!sql)
		return error_no_memory(err);
	PGresult *result = PQprepare(store->conn, statements[statement].name, sql, 0, NULL);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK || is_prepared_already(result) ||
			  pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	if (ok)
		store->prepared |= UINT64_C(1) << statement;
	return ok;
}

// Takes result; NULL and err if it is a failure.
static PGresult *checked(struct pg_store *store, PGresult *result, struct meow_error *err)
{
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
	store->unanswered = !ok && !PQresultErrorField(result, PG_DIAG_SQLSTATE);
	if (ok)
		return result;
	pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return NULL;
}

PGresult *pg_exec(struct pg_store *store, const char *sql, const struct pg_params *params, struct meow_error *err)
{
	const char *text = pg_names_apply(&store->names, sql, &store->text);
	if (!text) {
		error_no_memory(err);
		return NULL;
	}
	return checked(store,
		PQexecParams(store->conn, text, params->count, NULL, params->values, params->lengths, params->formats, 1), err);
}

PGresult *pg_run(
	struct pg_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err)
{
	if (store->info.pooled || store->borrowed)
		return pg_exec(store, statements[statement].sql, params, err);
	if (!prepare(store, statement, err))
		return NULL;
	return checked(store,
		PQexecPrepared(store->conn, statements[statement].name, params->count, params->values, params->lengths,
			params->formats, 1),
		err);
}

bool pg_send_rows(
	struct pg_store *store, enum pg_statement statement, const struct pg_params *params, struct meow_error *err)
{
	int sent;
	if (store->info.pooled || store->borrowed) {
		const char *sql = pg_names_apply(&store->names, statements[statement].sql, &store->text);
		if (!sql)
			return error_no_memory(err);
		sent = PQsendQueryParams(
			store->conn, sql, params->count, NULL, params->values, params->lengths, params->formats, 1);
	} else {
		if (!prepare(store, statement, err))
			return false;
		sent = PQsendQueryPrepared(store->conn, statements[statement].name, params->count, params->values,
			params->lengths, params->formats, 1);
	}
	return (sent == 1 && PQsetSingleRowMode(store->conn) == 1) || pg_connection_error(store->conn, store->url, err);
}

bool pg_do(struct pg_store *store, const char *sql, struct meow_error *err)
{
	PGresult *result = PQexec(store->conn, sql);
	ExecStatusType status = PQresultStatus(result);
	bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK ||
			  pg_result_error(store->conn, result, store->url, err);
	PQclear(result);
	return ok;
}

bool pg_commit(struct pg_store *store, struct meow_error *err)
{
	if (pg_do(store, "COMMIT", err))
		return true;
	if (PQstatus(store->conn) == CONNECTION_BAD || !*err->code)
		err->kind = MEOW_UNKNOWN_OUTCOME;
	return false;
}

void pg_roll_back(struct pg_store *store)
{
	struct meow_error ignored;
	bool open = PQstatus(store->conn) == CONNECTION_OK && pg_in_transaction(store);
	if (open && !pg_do(store, "ROLLBACK", &ignored))
		return; // the server rolls back what it has lost
}

PGresult *pg_query(
	struct pg_store *store, const char *sql, int count, const char *const *values, struct meow_error *err)
{
	struct pg_params params = {.count = count};
	assert(count <= PG_PARAMS_MOST);
	for (int i = 0; i < count; i++)
		params.values[i] = values[i];
	return pg_exec(store, sql, &params, err);
}
