// Set-up: all in one transaction, on a file that is new or empty; on one that is set up there is nothing to do. A file
// that belongs to somebody else is left alone: only the application itself may put meowmx's tables beside its own.
#include "store/sqlite/lite.h"

#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#define PAUSE_US 10000
#define TRIES_MOST 1000 // ten seconds

// `own`: a file of meowmx's alone.
static bool create(struct lite *lite, bool own, struct meow_error *err)
{
	struct lite_contents contents;
	char sql[96];
	if (!lite_contents(lite, &contents, err))
		return false;
	if (contents.set_up)
		return lite_upgrade_tables(lite, err) && lite_identify(lite, err);
	if (!lite_check_owner(lite, &contents, err) || !lite_create_tables(lite, err))
		return false;
	snprintf(sql, sizeof(sql), "PRAGMA application_id = %d; PRAGMA user_version = %d", LITE_APPLICATION_ID,
		LITE_SCHEMA_VERSION);
	return !own || lite_exec(lite, sql, err);
}

static bool create_in_transaction(struct lite *lite, bool own, struct meow_error *err)
{
	struct lite_transaction transaction;
	return lite_begin(lite, &transaction, err) && lite_finish(lite, &transaction, create(lite, own, err), err);
}

// The one change of a file that SQLite does not wait for: somebody else may have just opened it.
static bool use_write_ahead_log(struct lite *lite, struct meow_error *err)
{
	for (int tries = 0;; tries++) {
		lite->busy = false;
		if (lite_exec(lite, "PRAGMA journal_mode = WAL", err))
			return true;
		if (!lite->busy || tries == TRIES_MOST)
			return false;
		usleep(PAUSE_US);
	}
}

bool lite_setup(const struct store_setup *wanted, struct meow_error *err)
{
	const char *path = NULL;
	if (!lite_url_path(wanted->url, &path, err))
		return false;
	if (wanted->id_type && strcasecmp(wanted->id_type, "TEXT") != 0)
		return error_set(
			err, MEOW_INVALID, "id type %s: SQLite keeps ids as TEXT, and takes no other", wanted->id_type);
	if (wanted->tables.events || wanted->tables.aggregates || wanted->tables.snapshots || wanted->tables.subscriptions)
		return error_set(err, MEOW_CONFIG, "store.tables: only tables of PostgreSQL can have other names");
	if (lite_is_memory(path))
		return error_set(err, MEOW_INVALID,
			"sqlite::memory: is set up when it is opened, and goes when it is closed: give sqlite:PATH");
	struct lite lite = {0};
	bool ok = lite_open(&lite, path, LITE_CREATE, err) && create_in_transaction(&lite, true, err) &&
			  use_write_ahead_log(&lite, err);
	lite_close(&lite);
	return ok;
}

bool meow_setup_on_sqlite(struct sqlite3 *database, struct meow_error *err)
{
	struct meow_error own;
	struct lite lite = {.db = database, .borrowed = true};
	bool ok = create_in_transaction(&lite, false, err ? err : &own);
	lite_close(&lite);
	return ok;
}
