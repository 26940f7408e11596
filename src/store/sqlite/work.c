// The transactions of a subscription's handler: its work and its checkpoint commit together. That no two processes work on
// one subscription is a lock on one byte of a file beside the database, at a place that the name decides. It belongs to
// the open file, so it ends with the handle or the process; and it is not the database's own file, since closing any
// descriptor of that would drop the locks of SQLite.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void lite_work_close(struct lite_store *store)
{
	if (store->lock >= 0)
		close(store->lock);
}

// Whoever may write the database may claim.
static int open_lock(const char *database, struct meow_error *err)
{
	struct stat info;
	char *path;
	if (asprintf(&path, "%s-meowmx-lock", database) < 0) {
		error_no_memory(err);
		return -1;
	}
	bool known = stat(database, &info) == 0;
	bool fresh = access(path, F_OK) != 0;
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		error_set(err, errno == EACCES || errno == EROFS ? MEOW_DENIED : MEOW_IO, "%s: %s", path, strerror(errno));
	else if (fresh && known && fchmod(fd, info.st_mode & 0666) == 0 && geteuid() == 0)
		(void)!fchown(fd, info.st_uid, info.st_gid); // as SQLite does with its own files
	free(path);
	return fd;
}

bool lite_work_claim(struct meow_store *base, const char *subscription, bool *ret_claimed, struct meow_error *err)
{
	struct lite_store *store = (struct lite_store *)base;
	if (!lite_ready(&store->lite, err))
		return false;
	const char *database = sqlite3_db_filename(store->lite.db, "main"); // with symbolic links resolved
	if (!database || !*database) {                                      // in memory: nobody else can reach it
		*ret_claimed = true;
		return true;
	}
	if (store->lock < 0 && (store->lock = open_lock(database, err)) < 0)
		return false;
	struct flock lock = {.l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)(text_hash(TEXT_HASH_START, bytes_of(subscription)) >> 2),
		.l_len = 1};
	if (fcntl(store->lock, F_OFD_SETLK, &lock) == 0)
		*ret_claimed = true;
	else if (errno == EAGAIN || errno == EACCES)
		*ret_claimed = false;
	else
		return error_set(err, MEOW_IO, "%s-meowmx-lock cannot be locked: %s", database, strerror(errno));
	return true;
}

static bool run(struct lite *lite, enum lite_statement which, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, which);
	return lite_run(&call, NULL, err);
}

static bool create_checkpoint(struct lite *lite, const char *subscription, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_WORK_CREATE);
	lite_put_text(&call, bytes_of(subscription));
	return lite_run(&call, NULL, err);
}

bool lite_work_own(struct meow_store *base, const char *subscription, int64_t *ret_partitions, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_call call = lite_call(lite, LITE_WORK_LAYOUT);
	lite_put_text(&call, bytes_of(subscription));
	if (!lite_run(&call, NULL, err))
		return false;
	call = lite_call(lite, LITE_WORK_PARTITIONS);
	lite_put_text(&call, bytes_of(subscription));
	enum lite_step step = lite_step(&call, err);
	if (step == LITE_ROW)
		*ret_partitions = lite_int(&call, 0);
	else if (step == LITE_DONE)
		error_set(err, MEOW_UNAVAILABLE, "the layout of subscription %s was deleted", subscription);
	lite_end(&call);
	return step == LITE_ROW;
}

bool lite_work_look(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	struct lite_call call = lite_call(lite_of(base), LITE_WORK_BEGIN);
	lite_put_text(&call, bytes_of(subscription));
	enum lite_step step = lite_step(&call, err);
	if (step == LITE_ROW)
		*ret_work = (struct store_work){.position = lite_int(&call, 0),
			.handled = lite_int(&call, 1),
			.generation = lite_int(&call, 2),
			.fresh = lite_int(&call, 3) != 0,
			.paused = lite_int(&call, 4) != 0};
	else if (step == LITE_DONE)
		*ret_work = (struct store_work){0};
	lite_end(&call);
	return step != LITE_FAILED;
}

bool lite_work_roll_back(struct meow_store *base, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	return !lite_in_transaction(lite) || run(lite, LITE_ROLL_BACK, err);
}

// The file is not opened anew behind a claim: whoever works on a subscription has lent the connection to its handler.
static bool check_file(const struct lite *lite, struct meow_error *err)
{
	return lite->borrowed || !lite_has_moved(lite) ||
		   error_set(err, MEOW_UNAVAILABLE, "SQLite file %s was moved, removed or replaced", lite->path);
}

bool lite_work_begin(
	struct meow_store *base, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct meow_error ignored;
	if (!check_file(lite, err) || !run(lite, LITE_BEGIN, err))
		return false;
	// The savepoint shows at the end whether this transaction is still the one that was begun.
	if (create_checkpoint(lite, subscription, err) && lite_work_look(base, subscription, ret_work, err) &&
		run(lite, LITE_WORK_SAVEPOINT, err))
		return true;
	(void)!lite_work_roll_back(base, &ignored);
	return false;
}

static bool write_checkpoint(
	struct lite *lite, const char *subscription, const struct store_work *work, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_WORK_COMMIT);
	lite_put_text(&call, bytes_of(subscription));
	lite_put_int(&call, work->position);
	lite_put_int(&call, work->handled);
	lite_put_int(&call, lite_now_us());
	return lite_run(&call, NULL, err);
}

bool lite_work_commit(
	struct meow_store *base, const char *subscription, const struct store_work *work, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct meow_error ignored;
	bool open = lite_in_transaction(lite);
	if (!open || !run(lite, LITE_WORK_RELEASE, err)) {
		bool ended = !open || err->kind == MEOW_CONFIG; // there is no such savepoint; else it lacks memory
		(void)!lite_work_roll_back(base, &ignored);
		return ended && error_set(err, MEOW_INVALID,
							"subscription %s: the handler ended the transaction: it must neither commit nor roll back",
							subscription);
	}
	const struct lite_transaction whole = {.nested = false};
	return lite_finish(lite, &whole, write_checkpoint(lite, subscription, work, err), err);
}

bool lite_work_report(
	struct meow_store *base, const char *subscription, const struct store_work_state *state, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!check_file(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_WORK_REPORT);
	lite_put_text(&call, bytes_of(subscription));
	lite_put_text(&call, bytes_of(state->state));
	lite_put_text(&call, bytes_of(state->reason));
	lite_put_text(&call, bytes_of(state->error_class));
	if (state->error_position)
		lite_put_int(&call, state->error_position);
	else
		lite_put_null(&call);
	lite_put_int(&call, lite_now_us());
	return lite_run(&call, NULL, err);
}
