// A session on a SQLite file: locks, a file that is replaced under its handle, and how a change is noticed.
#include "sqlite_case.h"

#include "store/follow.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

// --- locks ---

struct waiter {
	pthread_t thread;
	struct meow_error err;
	bool done;
};

static void *append_in_a_thread(void *arg)
{
	struct waiter *waiter = arg;
	struct meow_store *store = meow_store_open(url, &waiter->err);
	waiter->done = store && append(store, "o", 1, &waiter->err);
	meow_store_close(store);
	return NULL;
}

struct session_wait {
	struct loop *loop;
	struct session *session;
	struct loop_timer *timer;
	int64_t longest_us, last_us;
	int answers;
	struct meow_error err;
	void (*on_turn)(struct session_wait *wait);
	sqlite3 *holder;
};

// Counts how long the loop stood still.
static void on_turn(void *arg)
{
	struct session_wait *wait = arg;
	int64_t now = loop_now_us(wait->loop);
	if (wait->last_us && now - wait->last_us > wait->longest_us)
		wait->longest_us = now - wait->last_us;
	wait->last_us = now;
	if (wait->on_turn)
		wait->on_turn(wait);
	loop_timer_start(wait->timer, 1000);
}

static void on_answer(struct session_wait *wait, const struct meow_error *err)
{
	wait->answers++;
	wait->err = err ? *err : (struct meow_error){0};
	loop_stop(wait->loop);
}

static void on_open(void *arg, const struct session_info *info, const struct meow_error *err)
{
	(void)info;
	on_answer(arg, err);
}

static void on_saved(void *arg, const struct meow_error *err)
{
	on_answer(arg, err);
}

static void on_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	(void)last_position;
	on_answer(arg, err);
}

static void start_session(struct session_wait *wait, struct session_source *source)
{
	struct meow_error err;
	*wait = (struct session_wait){.loop = loop_create(&err)};
	assert_non_null(wait->loop);
	assert_ok(store_source_init(source, url, &err), err);
	wait->session = source->create(source->arg, wait->loop, &err);
	wait->timer = loop_timer_create(wait->loop, on_turn, wait);
	assert_non_null(wait->session);
	assert_non_null(wait->timer);
	session_open(wait->session, SESSION_PATIENCE_US, on_open, wait);
	loop_run(wait->loop);
	if (wait->err.kind)
		fail_msg("%s", wait->err.text);
}

static void end_session(struct session_wait *wait, struct session_source *source)
{
	loop_timer_destroy(wait->timer);
	session_destroy(wait->session);
	store_source_finish(source);
	loop_destroy(wait->loop);
}

static void release_after_a_while(struct session_wait *wait)
{
	static int turns;
	if (++turns == 200)
		run(wait->holder, "COMMIT");
}

static const struct checkpoint checkpoint = {.subscription = "s", .delivered = 1, .position = 1, .state = "RUNNING"};

static void a_lock_is_waited_for_without_blocking_the_loop(void **state)
{
	(void)state;
	struct session_wait wait;
	struct session_source source;
	struct waiter waiter = {.done = false};
	meow_store_close(fresh_store());
	start_session(&wait, &source);
	wait.holder = open_database();
	run(wait.holder, "BEGIN IMMEDIATE");
	assert_int_equal(pthread_create(&waiter.thread, NULL, append_in_a_thread, &waiter), 0);
	wait.on_turn = release_after_a_while;
	loop_timer_start(wait.timer, 0);
	session_checkpoint_save(wait.session, &checkpoint, on_saved, &wait);
	loop_run(wait.loop);
	if (wait.err.kind)
		fail_msg("%s", wait.err.text);
	pthread_join(waiter.thread, NULL);
	if (!waiter.done)
		fail_msg("%s", waiter.err.text);
	assert_true(wait.longest_us < 1000000);
	sqlite3_close(wait.holder);
	end_session(&wait, &source);
}

static void a_lock_that_stays_ends_after_ten_seconds(void **state)
{
	(void)state;
	struct session_wait wait;
	struct session_source source;
	struct waiter waiter = {.done = false};
	meow_store_close(fresh_store());
	start_session(&wait, &source);
	sqlite3 *holder = open_database();
	run(holder, "BEGIN IMMEDIATE");
	assert_int_equal(pthread_create(&waiter.thread, NULL, append_in_a_thread, &waiter), 0);
	loop_timer_start(wait.timer, 0);
	wait.answers = 0;
	session_checkpoint_save(wait.session, &checkpoint, on_saved, &wait);
	session_head(wait.session, on_head, &wait); // waits behind it, and fails with it
	loop_run(wait.loop);
	assert_refused(wait.err, MEOW_UNAVAILABLE, "locked");
	assert_int_equal(wait.answers, 2);
	pthread_join(waiter.thread, NULL);
	assert_false(waiter.done);
	assert_refused(waiter.err, MEOW_UNAVAILABLE, "locked");
	run(holder, "ROLLBACK");
	sqlite3_close(holder);
	end_session(&wait, &source);
}

// --- a file that is not the one any more ---

// As somebody does who brings a copy back: the old one's log goes, and the new one takes its place.
static void put_in_place(const char *place)
{
	static const char *const logs[] = {"-wal", "-shm"};
	char log[sizeof(path) + 8];
	for (size_t i = 0; i < 2; i++) {
		snprintf(log, sizeof(log), "%s%s", place, logs[i]);
		assert_int_equal(unlink(log), 0);
	}
	assert_int_equal(rename(path, place), 0);
}

static void a_file_that_was_replaced_is_opened_anew(void **state)
{
	(void)state;
	struct meow_error err;
	struct session_wait wait;
	struct session_source source;
	char first[sizeof(path)];
	struct meow_store *store = fresh_store();
	assert_ok(append(store, "o", 5, &err), err);
	start_session(&wait, &source);
	memcpy(first, path, sizeof(path));
	meow_store_close(fresh_store());
	put_in_place(first);
	memcpy(path, first, sizeof(path));
	assert_int_equal(version_of(store, "o"), -1);
	assert_ok(append(store, "o", 1, &err), err);
	sqlite3 *database = open_database();
	assert_int_equal(number(database, "SELECT count(*) FROM es_events"), 1);
	sqlite3_close(database);
	session_head(wait.session, on_head, &wait);
	loop_run(wait.loop);
	assert_refused(wait.err, MEOW_UNAVAILABLE, "moved, removed or replaced");
	end_session(&wait, &source);

	assert_int_equal(unlink(path), 0);
	assert_false(append(store, "o", 1, &err));
	assert_refused(err, MEOW_MISSING, "there is no file");
	meow_store_close(store);
}

// --- noticing a change ---

struct watcher {
	struct session_wait wait;
	struct session_source source;
	bool notified;
};

static void on_notify(void *arg)
{
	struct watcher *watcher = arg;
	watcher->notified = true;
	loop_stop(watcher->wait.loop);
}

static void doze(struct watcher *watcher)
{
	session_doze(watcher->wait.session, on_saved, &watcher->wait);
	loop_run(watcher->wait.loop);
	if (watcher->wait.err.kind)
		fail_msg("%s", watcher->wait.err.text);
}

static void notices(struct watcher *watcher, struct meow_store *store)
{
	struct meow_error err;
	for (int i = 0; i < 3; i++) {
		doze(watcher);
		watcher->notified = false;
		assert_ok(append(store, "o", 1, &err), err);
		loop_run(watcher->wait.loop);
		assert_true(watcher->notified);
	}
}

static void a_change_is_noticed(bool without_inotify, const char *journal_mode)
{
	struct watcher watcher = {.notified = false};
	struct rlimit before, tight;
	struct meow_store *store = fresh_store();
	run(meow_store_sqlite(store), journal_mode);
	start_session(&watcher.wait, &watcher.source);
	session_on_notify(watcher.wait.session, on_notify, &watcher);
	session_head(watcher.wait.session, on_head, &watcher.wait);
	loop_run(watcher.wait.loop);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
	assert_true(next >= 0);
	close(next);
	tight = before;
	tight.rlim_cur = (rlim_t)next; // no descriptor more
	if (without_inotify)
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
	doze(&watcher);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	notices(&watcher, store);
	end_session(&watcher.wait, &watcher.source);
	meow_store_close(store);
}

static void a_change_is_noticed_in_every_way(void **state)
{
	(void)state;
	a_change_is_noticed(false, "PRAGMA journal_mode = WAL");
	a_change_is_noticed(false, "PRAGMA journal_mode = DELETE");
	a_change_is_noticed(true, "PRAGMA journal_mode = WAL");
	a_change_is_noticed(true, "PRAGMA journal_mode = DELETE");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_lock_is_waited_for_without_blocking_the_loop),
		cmocka_unit_test(a_lock_that_stays_ends_after_ten_seconds),
		cmocka_unit_test(a_file_that_was_replaced_is_opened_anew),
		cmocka_unit_test(a_change_is_noticed_in_every_way),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
