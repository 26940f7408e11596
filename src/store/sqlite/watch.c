// The kernel tells of writes to the database's file and to its write-ahead log (inotify). It does so while the writer is
// still about to commit: whoever is told polls for a while. Where the kernel has no watch left to give, the number that
// SQLite changes with each commit of another connection is compared every 10 ms.
#include "store/sqlite/watch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#define POLL_US INT64_C(10000)

struct watch {
	struct loop *loop;
	struct lite *lite;
	loop_fn *fn;
	void *arg;
	int fd; // of inotify, -1 if there is none
	struct loop_io *io;
	struct loop_timer *timer; // polls where there is none
	int64_t data_version;
	bool armed;
};

static bool read_version(struct watch *watch, int64_t *ret_version, struct meow_error *err)
{
	struct lite_call call = lite_call(watch->lite, LITE_DATA_VERSION);
	enum lite_step step = lite_step(&call, err);
	if (step == LITE_ROW)
		*ret_version = lite_int(&call, 0);
	lite_end(&call);
	return step == LITE_ROW;
}

static void tell(struct watch *watch)
{
	if (!watch->armed)
		return;
	watch->armed = false;
	loop_timer_stop(watch->timer);
	watch->fn(watch->arg); // may destroy it
}

// Takes in what the kernel has told. True if a file was written to.
static bool drain(struct watch *watch)
{
	char events[1024];
	struct inotify_event event;
	bool changed = false;
	ssize_t size;
	while ((size = read(watch->fd, events, sizeof(events))) > 0)
		for (const char *place = events; place < events + size; place += sizeof(event) + event.len) {
			memcpy(&event, place, sizeof(event));
			changed = changed || !(event.mask & IN_IGNORED);
		}
	return changed;
}

static void on_readable(void *arg, bool readable, bool writable)
{
	struct watch *watch = arg;
	(void)readable;
	(void)writable;
	if (drain(watch))
		tell(watch);
}

static void on_timer(void *arg)
{
	struct watch *watch = arg;
	struct meow_error ignored; // locked, or worse: the next statement says so
	int64_t version;
	if (!read_version(watch, &version, &ignored) || version != watch->data_version)
		tell(watch);
	else
		loop_timer_start(watch->timer, POLL_US);
}

struct watch *watch_create(struct loop *loop, struct lite *lite, loop_fn *fn, void *arg)
{
	struct watch *watch = calloc(1, sizeof(*watch));
	if (!watch)
		return NULL;
	*watch = (struct watch){.loop = loop, .lite = lite, .fn = fn, .arg = arg, .fd = -1};
	watch->timer = loop_timer_create(loop, on_timer, watch);
	if (!watch->timer) {
		free(watch);
		return NULL;
	}
	watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (watch->fd < 0)
		return watch;
	watch->io = loop_io_create(loop, watch->fd, on_readable, watch);
	if (watch->io) {
		loop_io_watch(watch->io, true, false);
	} else {
		close(watch->fd);
		watch->fd = -1;
	}
	return watch;
}

// One event of each file, so that a busy store does not fill the queue of a watch that nobody waits for.
static bool watch_file(struct watch *watch, const char *path)
{
	return inotify_add_watch(watch->fd, path, IN_MODIFY | IN_ONESHOT) >= 0;
}

static bool watch_files(struct watch *watch)
{
	const char *database = sqlite3_db_filename(watch->lite->db, "main");
	if (watch->fd < 0 || !database || !watch_file(watch, database))
		return false;
	// Without write-ahead log it is the file itself that changes.
	return watch_file(watch, sqlite3_filename_wal(database)) || errno == ENOENT;
}

bool watch_arm(struct watch *watch, struct meow_error *err)
{
	if (watch->fd >= 0)
		(void)drain(watch); // of an earlier time
	watch->armed = true;
	loop_timer_stop(watch->timer);
	if (watch_files(watch))
		return true;
	watch->armed = read_version(watch, &watch->data_version, err);
	if (watch->armed)
		loop_timer_start(watch->timer, POLL_US);
	return watch->armed;
}

void watch_destroy(struct watch *watch)
{
	if (!watch)
		return;
	loop_io_destroy(watch->io);
	loop_timer_destroy(watch->timer);
	if (watch->fd >= 0)
		close(watch->fd);
	free(watch);
}
