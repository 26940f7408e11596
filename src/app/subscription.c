// A subscription with a handler: the follower reads what is settled (the code that the relay is driven by), and each batch
// is handled in one transaction, over a blocking connection of its own, that also writes the checkpoint. So there is
// nothing to compare and nothing to repeat: what the store says was handled was.
//
//   connect    open the store, claim the subscription (or wait until whoever has it ends), read the checkpoint
//   follow     a session beside it hands out batches
//   handle     begin, the handler for each event, commit. A batch runs without savepoints, each of which would cost a
//              transaction id. When the handler refuses an event all is rolled back, those before it run again and
//              commit, and the refused one is tried alone, with growing pauses
//   recover    whatever else fails drops both connections and starts again at connect, with growing pauses
//
// Everything happens on the thread of meow_subscription_run, on a loop of its own; only the stop comes from elsewhere,
// through a descriptor, since a signal handler may write to one.
#include "app/subscription_private.h"
#include "base/text.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH_EVENTS 500
#define BACKOFF_LEAST_MS 100
#define BACKOFF_MOST_MS 30000
#define CLAIM_AGAIN_US (200 * MS) // how long a subscription lies idle when whoever had it died

static void connect_store(struct meow_subscription *subscription);

// --- telling ---

void subscription_tell(struct meow_subscription *subscription, enum meow_subscription_state state,
	const struct meow_error *err, int64_t position, int64_t retry_in_ms)
{
	bool news = !subscription->told || subscription->told_state != state;
	subscription->told = true;
	subscription->told_state = state;
	if ((!news && state != MEOW_SUBSCRIPTION_RETRYING) || !subscription->settings.report)
		return;
	const struct meow_subscription_report report = {state, err, position, retry_in_ms};
	subscription->settings.report(subscription->settings.arg, &report);
}

void subscription_show_state(
	struct meow_subscription *subscription, const char *state, const struct meow_error *err, int64_t error_position)
{
	struct meow_error ignored;
	const struct store_work_state shown = {.state = state,
		.reason = err ? err->text : NULL,
		.error_class = err ? error_kind_name(err->kind) : NULL,
		.error_position = error_position};
	if (!store_work_report(subscription->store, subscription->settings.name, &shown, &ignored))
		return;
}

// --- ending and recovering ---

static void disconnect(struct meow_subscription *subscription)
{
	follow_destroy(subscription->follow);
	subscription->follow = NULL;
	start_destroy(subscription->start);
	subscription->start = NULL;
	session_destroy(subscription->session);
	subscription->session = NULL;
	batch_destroy(subscription->batch);
	subscription->batch = NULL;
	meow_store_close(subscription->lent);
	subscription->lent = NULL;
	meow_store_close(subscription->store);
	subscription->store = NULL;
	loop_timer_stop(subscription->pass_timer);
}

void subscription_end(struct meow_subscription *subscription)
{
	loop_timer_stop(subscription->timer);
	loop_stop(subscription->loop);
}

int64_t subscription_next_pause_ms(struct meow_subscription *subscription)
{
	return backoff_next_ms(&subscription->backoff, loop_random(subscription->loop));
}

// What a store says when it is opened anew may pass without us: a promotion, a set-up, a password. Before it has worked
// once it is a fault of whoever started it.
static bool may_pass(const struct meow_subscription *subscription, const struct meow_error *err)
{
	bool of_opening = err->kind == MEOW_DENIED || err->kind == MEOW_CONFIG || err->kind == MEOW_MISSING;
	return error_may_retry(err->kind) || (of_opening && subscription->ran);
}

// Never from within a callback of the follower, which may not be destroyed twice: the timer does the rest.
void subscription_recover(struct meow_subscription *subscription, const struct meow_error *err)
{
	subscription->phase = PHASE_CONNECTING;
	if (subscription->follow)
		follow_room(subscription->follow, 0);
	if (!may_pass(subscription, err)) {
		subscription->failed = true;
		subscription->err = *err;
		subscription_end(subscription);
		return;
	}
	int64_t pause_ms = subscription_next_pause_ms(subscription);
	subscription_tell(subscription, MEOW_SUBSCRIPTION_RETRYING, err, 0, pause_ms);
	loop_timer_start(subscription->timer, pause_ms * MS);
}

static void on_timer(void *arg)
{
	struct meow_subscription *subscription = arg;
	switch (subscription->phase) {
	case PHASE_CONNECTING:
		connect_store(subscription);
		return;
	case PHASE_REFUSED:
	case PHASE_FOLLOWING:
		subscription_handle(subscription);
		return;
	}
}

// A stop that came while the handler worked is only in the descriptor yet.
bool subscription_is_stopping(struct meow_subscription *subscription)
{
	uint64_t count;
	if (!subscription->stopping && read(subscription->stop_fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
		subscription->stopping = true;
		subscription_end(subscription);
	}
	return subscription->stopping;
}

static void on_stop(void *arg, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	(void)subscription_is_stopping(arg);
}

void subscription_start_again(struct meow_subscription *subscription)
{
	subscription->phase = PHASE_CONNECTING;
	loop_timer_start(subscription->timer, 0);
}

// --- connecting ---

static void on_lost(void *arg, const struct meow_error *err)
{
	subscription_recover(arg, err);
}

static void start_follow(struct meow_subscription *subscription)
{
	struct meow_error err;
	const struct follow_settings settings = {.after = subscription->work.position,
		.trust_after = true,
		.categories = subscription->settings.categories,
		.category_count = subscription->settings.category_count,
		.batch_rows = subscription->settings.batch_events,
		.batch_bytes = ROOM_BYTES,
		.poll_only = subscription->pooled};
	subscription->follow = follow_create(
		subscription->loop, subscription->session, &settings, subscription_take_batch, on_lost, subscription, &err);
	if (!subscription->follow) {
		subscription_recover(subscription, &err);
		return;
	}
	subscription->phase = PHASE_FOLLOWING;
	subscription->ran = true;
	follow_room(subscription->follow, ROOM_BYTES);
	loop_timer_start(subscription->pass_timer, 0);
	subscription_tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
}

static void on_start_found(void *arg, int64_t position)
{
	struct meow_subscription *subscription = arg;
	struct meow_error err;
	struct store_work work;
	bool ok = store_work_begin(subscription->store, subscription->settings.name, &work, &err);
	if (ok && work.fresh)
		work.position = position;
	if (ok && subscription_commit(subscription, &work, &err))
		start_follow(subscription);
	else
		subscription_recover(subscription, &err);
}

static void on_start_held(void *arg, const struct meow_error *why)
{
	subscription_tell(arg, MEOW_SUBSCRIPTION_RETRYING, why, 0, 0);
}

static void on_open(void *arg, const struct session_info *info, const struct meow_error *failure)
{
	struct meow_subscription *subscription = arg;
	struct meow_error err;
	if (failure) {
		subscription_recover(subscription, failure);
		return;
	}
	subscription->pooled = info->pooled;
	if (!subscription->settings.start_now || !subscription->work.fresh) {
		start_follow(subscription);
		return;
	}
	const struct start_listener listener = {on_start_found, on_start_held, on_lost, subscription};
	subscription->start =
		start_create(subscription->loop, subscription->session, &listener, &subscription->start_at, &err);
	if (!subscription->start)
		subscription_recover(subscription, &err);
}

static struct meow_store *lend(struct meow_store *store, struct meow_error *err)
{
	struct pg_conn *connection = meow_store_postgres(store);
	return connection ? meow_store_on_postgres(connection, err) : meow_store_on_sqlite(meow_store_sqlite(store), err);
}

// Reads the checkpoint, and makes it if it is new; but for one that begins now, which must be found first.
static bool learn_position(struct meow_subscription *subscription, struct meow_error *err)
{
	struct store_work work;
	if (!store_work_begin(subscription->store, subscription->settings.name, &work, err))
		return false;
	subscription->work = work;
	subscription->saved_position = work.position;
	if (!work.fresh || subscription->settings.start_now)
		return store_work_roll_back(subscription->store, err);
	return subscription_commit(subscription, &work, err);
}

// Everything up to the session, which opens without blocking. False: *err says why.
static bool open_all(struct meow_subscription *subscription, bool *ret_claimed, struct meow_error *err)
{
	if (!subscription->store && !(subscription->store = meow_store_open(subscription->url, err)))
		return false;
	if (!store_work_claim(subscription->store, subscription->settings.name, ret_claimed, err))
		return false;
	if (!*ret_claimed)
		return true;
	if (!store_work_own(subscription->store, subscription->settings.name, err))
		return false;
	subscription->lent = lend(subscription->store, err);
	if (!subscription->lent || !learn_position(subscription, err))
		return false;
	subscription->session = subscription->source.create(subscription->source.arg, subscription->loop, err);
	return subscription->session != NULL;
}

static void connect_store(struct meow_subscription *subscription)
{
	struct meow_error err;
	bool claimed = false;
	if (subscription->session || subscription->lent)
		disconnect(subscription);
	if (!open_all(subscription, &claimed, &err)) {
		disconnect(subscription);
		subscription_recover(subscription, &err);
	} else if (!claimed) { // the connection is kept, to ask again
		subscription_tell(subscription, MEOW_SUBSCRIPTION_WAITING, NULL, 0, 0);
		loop_timer_start(subscription->timer, CLAIM_AGAIN_US);
	} else {
		backoff_reset(&subscription->backoff);
		session_open(subscription->session, SESSION_PATIENCE_US, on_open, subscription);
	}
}

// --- the application's side ---

static bool check(const struct meow_subscription_settings *settings, struct meow_error *err)
{
	if (!settings->name || !*settings->name || !text_is_utf8(bytes_of(settings->name)))
		return error_set(err, MEOW_INVALID, "a subscription needs a name, in UTF-8");
	if (!settings->handler)
		return error_set(err, MEOW_INVALID, "subscription %s has no handler", settings->name);
	if ((settings->categories && !settings->category_count) || (settings->event_types && !settings->event_type_count))
		return error_set(err, MEOW_INVALID, "subscription %s has a list of %s that is empty: NULL means all",
			settings->name, settings->categories && !settings->category_count ? "categories" : "event types");
	if (settings->backoff_least_ms < 0 || settings->backoff_most_ms < 0)
		return error_set(err, MEOW_INVALID, "subscription %s: a pause cannot be negative", settings->name);
	return true;
}

struct meow_subscription *meow_subscription_create(
	const char *url, const struct meow_subscription_settings *settings, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	if (!check(settings, error))
		return NULL;
	struct meow_subscription *subscription = calloc(1, sizeof(*subscription));
	if (!subscription) {
		error_no_memory(error);
		return NULL;
	}
	subscription->settings = *settings;
	if (!settings->batch_events)
		subscription->settings.batch_events = BATCH_EVENTS;
	subscription->backoff.least_ms = settings->backoff_least_ms ? settings->backoff_least_ms : BACKOFF_LEAST_MS;
	subscription->backoff.most_ms = settings->backoff_most_ms ? settings->backoff_most_ms : BACKOFF_MOST_MS;
	subscription->stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	subscription->url = strdup(url ? url : "");
	bool ok = subscription->url || error_no_memory(error);
	if (ok && subscription->stop_fd < 0)
		ok = error_set(
			error, MEOW_UNAVAILABLE, "no descriptor for subscription %s: %s", settings->name, strerror(errno));
	if (ok && store_source_init(&subscription->source, url, error))
		return subscription;
	meow_subscription_destroy(subscription);
	return NULL;
}

// What is left to write when it ends in order.
static void leave(struct meow_subscription *subscription)
{
	struct meow_error ignored;
	if (!subscription->lent || subscription->phase == PHASE_CONNECTING)
		return;
	if (subscription->phase == PHASE_FOLLOWING && !subscription_save_position(subscription, &ignored))
		return;
	subscription_show_state(subscription, "UNASSIGNED", NULL, 0);
}

static bool start(struct meow_subscription *subscription, struct meow_error *err)
{
	subscription->loop = loop_create(err);
	if (!subscription->loop)
		return false;
	subscription->timer = loop_timer_create(subscription->loop, on_timer, subscription);
	subscription->pass_timer = loop_timer_create(subscription->loop, subscription_look_after, subscription);
	subscription->stop_io = loop_io_create(subscription->loop, subscription->stop_fd, on_stop, subscription);
	if (!subscription->timer || !subscription->pass_timer || !subscription->stop_io)
		return error_no_memory(err);
	loop_io_watch(subscription->stop_io, true, false);
	loop_timer_start(subscription->timer, 0);
	return true;
}

bool meow_subscription_run(struct meow_subscription *subscription, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	subscription->phase = PHASE_CONNECTING;
	subscription->start_at = -1;
	subscription->failed = subscription->stopping = subscription->told = subscription->ran = false;
	backoff_reset(&subscription->backoff);
	bool ok = start(subscription, error);
	if (ok) {
		loop_run(subscription->loop);
		if (subscription->failed)
			*error = subscription->err;
		else
			leave(subscription);
		ok = !subscription->failed;
		disconnect(subscription);
	}
	loop_io_destroy(subscription->stop_io);
	loop_timer_destroy(subscription->timer);
	loop_timer_destroy(subscription->pass_timer);
	loop_destroy(subscription->loop);
	subscription->loop = NULL;
	subscription->timer = subscription->pass_timer = NULL;
	subscription->stop_io = NULL;
	return ok;
}

void meow_subscription_stop(struct meow_subscription *subscription)
{
	int saved = errno;
	uint64_t one = 1;
	ssize_t written = write(subscription->stop_fd, &one, sizeof(one));
	(void)written; // full means that it is set
	errno = saved;
}

void meow_subscription_destroy(struct meow_subscription *subscription)
{
	if (!subscription)
		return;
	if (subscription->source.create)
		store_source_finish(&subscription->source);
	if (subscription->stop_fd >= 0)
		close(subscription->stop_fd);
	free(subscription->url);
	free(subscription);
}
