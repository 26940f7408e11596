// Opening a file, and the store on it. Whatever is told of a file that cannot be used says which file, and what to do.
#include "base/text.h"
#include "store/sqlite/lite.h"
#include "store_sqlite_schema.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SCHEME "sqlite:"
#define WAIT_US INT64_C(10000000) // for a lock
#define PAUSE_LEAST_US 100
#define PAUSE_MOST_US 3200

static bool accepts(const char *url)
{
	return strncmp(url, SCHEME, strlen(SCHEME)) == 0;
}

bool lite_url_path(const char *url, const char **ret_path, struct meow_error *err)
{
	const char *path = url + strlen(SCHEME);
	if (strncmp(path, "///", 3) == 0)
		path += 2;
	else if (strncmp(path, "//", 2) == 0)
		return error_set(err, MEOW_CONFIG, "the store's url: sqlite: has no host: give sqlite:PATH or sqlite:///PATH");
	if (!*path)
		return error_set(err, MEOW_CONFIG, "the store's url names no file: give sqlite:PATH");
	*ret_path = path;
	return true;
}

bool lite_is_memory(const char *path)
{
	return strcmp(path, ":memory:") == 0;
}

// --- the file ---

// SQLite says no more than that it could not open the file, or opens it for reading alone.
static bool check_file(const char *path, bool create, struct meow_error *err)
{
	struct stat info;
	if (lite_is_memory(path))
		return true;
	if (stat(path, &info) != 0) {
		if (errno == ENOENT && create)
			return true;
		if (errno == ENOENT)
			return error_set(
				err, MEOW_MISSING, "there is no file %s: `meowmx setup --store sqlite:%s` creates it", path, path);
		return error_set(err, errno == EACCES ? MEOW_DENIED : MEOW_IO, "SQLite file %s: %s", path, strerror(errno));
	}
	if (!S_ISREG(info.st_mode))
		return error_set(err, MEOW_CONFIG, "%s is no file: sqlite:PATH names a file", path);
	if (access(path, R_OK | W_OK) != 0)
		return error_set(err, errno == EACCES || errno == EROFS ? MEOW_DENIED : MEOW_IO, "SQLite file %s: %s", path,
			errno == EROFS ? "it can only be read" : strerror(errno));
	return true;
}

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

// SQLite's own handler sleeps for up to 100 ms at a time, many times as long as a commit takes.
static int wait_for_lock(void *arg, int tries)
{
	struct lite *lite = arg;
	int64_t now = now_us();
	if (tries == 0)
		lite->busy_until_us = now + WAIT_US;
	if (now >= lite->busy_until_us)
		return 0;
	int64_t pause = PAUSE_LEAST_US << (tries < 5 ? tries : 5);
	pause = pause / 2 + now % pause; // those who wait for the same lock come back at different times
	usleep((useconds_t)(pause < PAUSE_MOST_US ? pause : PAUSE_MOST_US));
	return 1;
}

bool lite_exec(struct lite *lite, const char *sql, struct meow_error *err)
{
	return sqlite3_exec(lite->db, sql, NULL, NULL, NULL) == SQLITE_OK ||
		   lite_error(lite, sqlite3_extended_errcode(lite->db), err);
}

static bool set_up_connection(struct lite *lite, enum lite_open how, struct meow_error *err)
{
	if (how != LITE_RETRY)
		sqlite3_busy_handler(lite->db, wait_for_lock, lite);
	if (sqlite3_db_readonly(lite->db, "main") == 1)
		return lite_error(lite, SQLITE_READONLY, err);
	return lite_exec(lite, "PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL", err);
}

bool lite_open(struct lite *lite, const char *path, enum lite_open how, struct meow_error *err)
{
	bool create = how == LITE_CREATE || lite_is_memory(path);
	if (!check_file(path, create, err))
		return false;
	char *copy = strdup(path);
	if (!copy)
		return error_no_memory(err);
	lite->path = copy;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
	int code = sqlite3_open_v2(path, &lite->db, create ? flags | SQLITE_OPEN_CREATE : flags, NULL);
	int reason = code == SQLITE_OK ? 0 : sqlite3_system_errno(lite->db);
	bool ok = code == SQLITE_OK ? set_up_connection(lite, how, err) : lite_error(lite, code, err);
	if (reason && err->kind == MEOW_IO)
		error_set(err,
			reason == EACCES || reason == EROFS ? MEOW_DENIED
			: reason == ENOENT                  ? MEOW_MISSING
												: MEOW_IO,
			"SQLite file %s cannot be opened: %s", path, strerror(reason));
	if (!ok)
		lite_close(lite);
	return ok;
}

void lite_close(struct lite *lite)
{
	for (size_t i = 0; i < LITE_STATEMENTS; i++)
		sqlite3_finalize(lite->statements[i]);
	memset(lite->statements, 0, sizeof(lite->statements));
	if (!lite->borrowed)
		sqlite3_close_v2(lite->db); // closes when the last statement goes, should somebody still have one
	lite->db = NULL;
	free(lite->path);
	lite->path = NULL;
}

bool lite_has_moved(const struct lite *lite)
{
	int moved = 0;
	sqlite3_file_control(lite->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
	return moved != 0;
}

// --- what is in it ---

static const char *name_of(const struct lite *lite)
{
	return lite->path ? lite->path : "the application's database";
}

bool lite_contents(struct lite *lite, struct lite_contents *ret_contents, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_SETUP_CHECK);
	enum lite_step step = lite_step(&call, err);
	if (step == LITE_ROW) {
		struct meow_bytes table = lite_text(&call, 3);
		*ret_contents = (struct lite_contents){
			.set_up = lite_int(&call, 0) > 0, .python = lite_int(&call, 1) > 0, .some_of_ours = lite_int(&call, 2) > 0};
		ret_contents->application_id = lite_int(&call, 4);
		lite->is_utf8 = bytes_equal(lite_text(&call, 5), MEOW_BYTES("UTF-8"));
		snprintf(ret_contents->table, sizeof(ret_contents->table), "%s", table.data ? table.data : "");
	}
	bool ok = step == LITE_ROW && lite_good(&call, err);
	lite_end(&call);
	return ok;
}

bool lite_check_owner(struct lite *lite, const struct lite_contents *contents, struct meow_error *err)
{
	if (contents->python)
		return error_set(err, MEOW_CONFIG,
			"%s is a SQLite file of Python meowmx, whose tables are others: name a file of its own", name_of(lite));
	if (contents->some_of_ours)
		return error_set(err, MEOW_CONFIG,
			"%s has tables with the names of meowmx's that are not meowmx's: name a file of its own", name_of(lite));
	if (lite->borrowed)
		return true;
	if (*contents->table)
		return error_set(err, MEOW_CONFIG,
			"%s belongs to another program, it has a table %s and none of meowmx's: name a file of its own (an "
			"application sets its own database up with meow_setup_on_sqlite)",
			name_of(lite), contents->table);
	if (contents->application_id && contents->application_id != LITE_APPLICATION_ID)
		return error_set(err, MEOW_CONFIG,
			"%s belongs to another program, of application id %lld: name a file of its own", name_of(lite),
			(long long)contents->application_id);
	return true;
}

static bool not_set_up(struct lite *lite, const struct lite_contents *contents, struct meow_error *err)
{
	return lite_check_owner(lite, contents, err) &&
		   error_set(err, MEOW_CONFIG, "%s is not set up: %s", name_of(lite),
			   lite->borrowed ? "call meow_setup_on_sqlite" : "run `meowmx setup`");
}

static bool check_schema(struct lite *lite, int64_t schema, struct meow_error *err)
{
	if (schema == LITE_SCHEMA_VERSION)
		return true;
	if (schema > LITE_SCHEMA_VERSION)
		return error_set(err, MEOW_CONFIG,
			"%s was set up by a newer meowmx (schema %lld, this one knows %d): upgrade this program", name_of(lite),
			(long long)schema, LITE_SCHEMA_VERSION);
	return error_set(err, MEOW_CONFIG, "the schema of %s is %lld, this program needs %d: run `meowmx setup`",
		name_of(lite), (long long)schema, LITE_SCHEMA_VERSION);
}

bool lite_identify(struct lite *lite, struct meow_error *err)
{
	struct lite_contents contents;
	if (!lite_contents(lite, &contents, err))
		return false;
	if (!contents.set_up)
		return not_set_up(lite, &contents, err);
	struct lite_call call = lite_call(lite, LITE_IDENTITY);
	enum lite_step step = lite_step(&call, err);
	bool ok = step == LITE_ROW;
	if (step == LITE_DONE)
		error_set(
			err, MEOW_CONFIG, "%s: the table meowmx_meta is empty: bring the file back from a copy", name_of(lite));
	if (ok && (ok = check_schema(lite, lite_int(&call, 1), err))) {
		struct meow_bytes id = lite_text(&call, 0);
		lite->info = (struct session_info){.store = {.timeline = 1}, .server_version = sqlite3_libversion_number()};
		ok = lite_good(&call, err);
		snprintf(lite->info.store.store_id, STORE_ID_SIZE, "%s", id.data ? id.data : "");
	}
	lite_end(&call);
	return ok;
}

bool lite_create_tables(struct lite *lite, struct meow_error *err)
{
	char store_id[STORE_UUID_SIZE];
	if (!store_random_uuid(store_id, err) || !lite_exec(lite, schema_001_tables, err) ||
		!lite_exec(lite, schema_002_bookkeeping, err) || !lite_exec(lite, schema_003_leases, err) ||
		!lite_exec(lite, schema_004_dead_letters, err) || !lite_exec(lite, schema_005_dead_retry, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_SETUP_META);
	lite_put_int(&call, LITE_SCHEMA_VERSION);
	lite_put_text(&call, bytes_of(store_id));
	return lite_run(&call, NULL, err);
}

bool lite_upgrade_tables(struct lite *lite, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_IDENTITY);
	int64_t schema = lite_step(&call, err) == LITE_ROW ? lite_int(&call, 1) : LITE_SCHEMA_VERSION;
	lite_end(&call);
	if (schema < 1 || schema >= LITE_SCHEMA_VERSION) // of a newer meowmx: found out by whoever identifies it
		return true;
	return (schema > 1 || lite_exec(lite, schema_003_leases, err)) &&
		   (schema > 2 || lite_exec(lite, schema_004_dead_letters, err)) &&
		   lite_exec(lite, schema_005_dead_retry, err) &&
		   lite_exec(lite, "UPDATE meowmx_meta SET schema_version = 4", err);
}

// --- the store ---

bool lite_ready(struct lite *lite, struct meow_error *err)
{
	if (lite->borrowed || (lite->db && (lite_in_transaction(lite) || !lite_has_moved(lite))))
		return true;
	struct lite opened = {0};
	if (!lite_open(&opened, lite->path, LITE_WAIT, err))
		return false;
	if (!lite_identify(&opened, err)) {
		lite_close(&opened);
		return false;
	}
	lite_close(lite);
	*lite = opened;
	sqlite3_busy_handler(lite->db, wait_for_lock, lite);
	return true;
}

static void close_store(struct meow_store *base)
{
	struct lite_store *store = (struct lite_store *)base;
	lite_work_close(store);
	lite_close(&store->lite);
	free(store);
}

static const struct store_impl impl = {
	.name = "SQLite",
	.close = close_store,
	.append = lite_append,
	.find_bound = lite_find_bound,
	.load_page = lite_load_page,
	.version = lite_version,
	.list_aggregates = lite_list_aggregates,
	.delete_events = lite_delete_events,
	.snapshot_save = lite_snapshot_save,
	.snapshot_load = lite_snapshot_load,
	.snapshot_prune = lite_snapshot_prune,
	.work_claim = lite_work_claim,
	.work_own = lite_work_own,
	.work_begin = lite_work_begin,
	.work_look = lite_work_look,
	.work_commit = lite_work_commit,
	.work_roll_back = lite_work_roll_back,
	.work_report = lite_work_report,
	.status = lite_status,
	.subscriptions = lite_subscriptions,
	.subscription_resume = lite_subscription_resume,
	.subscription_skip = lite_subscription_skip,
	.layouts = lite_layouts,
	.repartition_begin = lite_repartition_begin,
	.repartition_cut = lite_repartition_cut,
	.repartition_finish = lite_repartition_finish,
	.subscription_pause = lite_subscription_pause,
	.subscription_rewind = lite_subscription_rewind,
	.subscription_delete = lite_subscription_delete,
	.dead_letters = lite_dead_letters,
	.dead_positions = lite_dead_positions,
	.dead_discard = lite_dead_discard,
	.dead_retry = lite_dead_retry,
	.bulk = lite_bulk,
};

static struct lite_store *create_store(struct meow_error *err)
{
	struct lite_store *store = calloc(1, sizeof(*store));
	if (!store) {
		error_no_memory(err);
		return NULL;
	}
	store->store.impl = &impl;
	store->lock = -1;
	return store;
}

static struct meow_store *open_store(const char *url, struct meow_error *err)
{
	const char *path = NULL;
	if (!lite_url_path(url, &path, err))
		return NULL;
	struct lite_store *store = create_store(err);
	if (!store)
		return NULL;
	struct lite *lite = &store->lite;
	if (lite_open(lite, path, LITE_WAIT, err) && (!lite_is_memory(path) || lite_create_tables(lite, err)) &&
		lite_identify(lite, err))
		return &store->store;
	close_store(&store->store);
	return NULL;
}

struct meow_store *meow_store_on_sqlite(struct sqlite3 *database, struct meow_error *err)
{
	struct meow_error own;
	struct lite_store *store = create_store(err ? err : &own);
	if (!store)
		return NULL;
	store->lite.db = database;
	store->lite.borrowed = true;
	if (lite_identify(&store->lite, err ? err : &own))
		return &store->store;
	close_store(&store->store);
	return NULL;
}

struct sqlite3 *meow_store_sqlite(const struct meow_store *store)
{
	return store->impl == &impl ? ((const struct lite_store *)store)->lite.db : NULL;
}

static bool check_url(const char *url, struct meow_error *err)
{
	const char *path = NULL;
	if (!lite_url_path(url, &path, err))
		return false;
	return !lite_is_memory(path) || error_set(err, MEOW_INVALID,
										"sqlite::memory: lives inside one handle: relay, tail and subscriptions cannot "
										"follow it; give sqlite:PATH");
}

static struct session *create_session(const char *url, struct loop *loop, struct meow_error *err)
{
	return check_url(url, err) ? lite_session_create(url, loop, err) : NULL;
}

const struct store_backend store_sqlite = {
	.accepts = accepts,
	.check_url = check_url,
	.open = open_store,
	.session_create = create_session,
	.setup = lite_setup,
};
