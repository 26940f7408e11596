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
#include "app/start.h"
#include "base/backoff.h"
#include "base/text.h"
#include "store/follow.h"
#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS INT64_C(1000)
#define BATCH_EVENTS 500
#define ROOM_BYTES ((size_t)4 << 20)
#define BACKOFF_LEAST_MS 100
#define BACKOFF_MOST_MS 30000
#define CLAIM_AGAIN_US (200 * MS) // how long a subscription lies idle when whoever had it died
#define PAUSED_AGAIN_US (1000 * MS)
#define PASSED_SAVE_US (1000 * MS) // a position that only moved over what nobody wants is written so late
#define CAUGHT_UP_US (5 * MS)

enum phase {
	PHASE_CONNECTING,
	PHASE_FOLLOWING, // the follower reads
	PHASE_REFUSED,   // an event of the batch was refused, or is to be handled once nobody pauses it
};

struct meow_subscription {
	struct meow_subscription_settings settings;
	struct session_source source;
	char *url;
	int stop_fd; // readable once it is to stop

	// While it runs:
	struct loop *loop;
	struct loop_io *stop_io;
	struct loop_timer *timer;      // the next try, of whatever the phase is about
	struct loop_timer *pass_timer; // writes a position that only moved on; looks whether it has caught up
	enum phase phase;
	bool stopping;
	bool failed; // err says why run ends
	struct meow_error err;
	struct backoff backoff;

	struct meow_store *store; // where the handler works
	struct meow_store *lent;  // the same connection, as the handler gets it
	struct session *session;
	bool pooled;         // a pooler stands before it
	struct start *start; // while a new one looks for where now is,
	int64_t start_at;    // which this is, -1 until it has looked
	struct follow *follow;
	struct store_work work; // as committed last, but for a position that only moved on
	int64_t saved_position;
	struct batch *batch; // being handled
	size_t next;         // of its events
	bool alone;          // the next event was refused: it is tried in a transaction of its own
	bool told;
	enum meow_subscription_state told_state;
};

static void connect_store(struct meow_subscription *subscription);
static void handle(struct meow_subscription *subscription);

// --- telling ---

static void tell(struct meow_subscription *subscription, enum meow_subscription_state state,
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

// What `meowmx status` shows. It is only shown, so a store that cannot take it now is no further trouble.
static void show_state(
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

static void end(struct meow_subscription *subscription)
{
	loop_timer_stop(subscription->timer);
	loop_stop(subscription->loop);
}

static int64_t next_pause_ms(struct meow_subscription *subscription)
{
	return backoff_next_ms(&subscription->backoff, loop_random(subscription->loop));
}

// Never from within a callback of the follower, which may not be destroyed twice: the timer does the rest.
static void recover(struct meow_subscription *subscription, const struct meow_error *err)
{
	subscription->phase = PHASE_CONNECTING;
	if (subscription->follow)
		follow_room(subscription->follow, 0);
	if (!error_may_retry(err->kind)) {
		subscription->failed = true;
		subscription->err = *err;
		end(subscription);
		return;
	}
	int64_t pause_ms = next_pause_ms(subscription);
	tell(subscription, MEOW_SUBSCRIPTION_RETRYING, err, 0, pause_ms);
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
		handle(subscription);
		return;
	}
}

// A stop that came while the handler worked is only in the descriptor yet.
static bool is_stopping(struct meow_subscription *subscription)
{
	uint64_t count;
	if (!subscription->stopping && read(subscription->stop_fd, &count, sizeof(count)) == (ssize_t)sizeof(count)) {
		subscription->stopping = true;
		end(subscription);
	}
	return subscription->stopping;
}

static void on_stop(void *arg, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	(void)is_stopping(arg);
}

// --- handling ---

static bool is_wanted(const struct meow_subscription_settings *settings, const struct meow_event *event)
{
	for (size_t i = 0; settings->event_types && i < settings->event_type_count; i++)
		if (bytes_equal(event->type, bytes_of(settings->event_types[i])))
			return true;
	return !settings->event_types;
}

enum outcome {
	OUTCOME_DONE,
	OUTCOME_REFUSED, // the handler refused the event at *ret_done; nothing was committed
	OUTCOME_PAUSED,
	OUTCOME_MOVED, // somebody else has moved the checkpoint
	OUTCOME_LOST,  // the store failed
};

// Opens the transaction and makes sure that the checkpoint is where we left it.
static enum outcome begin(struct meow_subscription *subscription, struct meow_error *err)
{
	struct store_work found;
	if (!store_work_begin(subscription->store, subscription->settings.name, &found, err))
		return OUTCOME_LOST;
	bool moved = found.position != subscription->saved_position || found.generation != subscription->work.generation;
	if (!moved && !found.paused)
		return OUTCOME_DONE;
	if (!store_work_roll_back(subscription->store, err))
		return OUTCOME_LOST;
	return moved ? OUTCOME_MOVED : OUTCOME_PAUSED;
}

static bool commit(struct meow_subscription *subscription, const struct store_work *work, struct meow_error *err)
{
	if (!store_work_commit(subscription->store, subscription->settings.name, work, err))
		return false;
	subscription->work = *work;
	subscription->saved_position = work->position;
	return true;
}

// The handler returned false.
static enum outcome refuse(struct meow_subscription *subscription, struct meow_error *err)
{
	struct meow_error lost;
	if (err->kind == MEOW_ERROR_NONE)
		error_set(err, MEOW_INVALID, "the handler refused the event, and did not say why");
	if (store_work_roll_back(subscription->store, &lost))
		return OUTCOME_REFUSED;
	*err = lost;
	return OUTCOME_LOST;
}

// One transaction over the batch's events from `next` up to `to`; a stop ends it behind the event under way. *ret_done
// is the event behind the last one handled.
static enum outcome attempt(struct meow_subscription *subscription, size_t to, size_t *ret_done, struct meow_error *err)
{
	const struct meow_subscription_settings *settings = &subscription->settings;
	const struct batch *batch = subscription->batch;
	struct store_work work = subscription->work;
	enum outcome outcome = begin(subscription, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	size_t i = subscription->next;
	for (; i < to && !is_stopping(subscription); i++) {
		const struct meow_event *event = &batch->events[i];
		work.position = event->position;
		if (!is_wanted(settings, event))
			continue;
		work.handled = event->position;
		err->kind = MEOW_ERROR_NONE;
		if (settings->handler(settings->arg, subscription->lent, event, err))
			continue;
		*ret_done = i;
		return refuse(subscription, err);
	}
	*ret_done = i;
	if (i == batch->count && work.position < batch->position)
		work.position = batch->position;
	if (commit(subscription, &work, err))
		return OUTCOME_DONE;
	if (err->kind != MEOW_INVALID || !*err->code)
		return OUTCOME_LOST;
	// A constraint that is looked at when all is committed. Of several events it may be any: half of them are tried first.
	*ret_done = subscription->next + (i - subscription->next) / 2;
	return OUTCOME_REFUSED;
}

static void finish_batch(struct meow_subscription *subscription)
{
	if (subscription->work.position < subscription->batch->position)
		subscription->work.position = subscription->batch->position;
	batch_destroy(subscription->batch);
	subscription->batch = NULL;
	subscription->phase = PHASE_FOLLOWING;
	follow_room(subscription->follow, ROOM_BYTES);
}

// The event at `next` was refused: again later.
static void wait_with_refused(struct meow_subscription *subscription, const struct meow_error *err)
{
	int64_t position = subscription->batch->events[subscription->next].position, pause_ms = next_pause_ms(subscription);
	subscription->phase = PHASE_REFUSED;
	subscription->alone = true;
	show_state(subscription, "RESTARTING", err, position);
	tell(subscription, MEOW_SUBSCRIPTION_RETRYING, err, position, pause_ms);
	loop_timer_start(subscription->timer, pause_ms * MS);
}

static void tell_paused(struct meow_subscription *subscription)
{
	if (subscription->told_state != MEOW_SUBSCRIPTION_PAUSED)
		show_state(subscription, "PAUSED", NULL, 0);
	tell(subscription, MEOW_SUBSCRIPTION_PAUSED, NULL, 0, 0);
}

static void wait_paused(struct meow_subscription *subscription)
{
	subscription->phase = PHASE_REFUSED;
	tell_paused(subscription);
	loop_timer_start(subscription->timer, PAUSED_AGAIN_US);
}

static void start_again(struct meow_subscription *subscription)
{
	subscription->phase = PHASE_CONNECTING;
	loop_timer_start(subscription->timer, 0);
}

// True if there is more of the batch to handle now.
static bool take_outcome(
	struct meow_subscription *subscription, enum outcome outcome, size_t done, struct meow_error *err)
{
	switch (outcome) {
	case OUTCOME_DONE:
		subscription->next = done;
		subscription->alone = false;
		backoff_reset(&subscription->backoff);
		tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
		return true;
	case OUTCOME_REFUSED:
		wait_with_refused(subscription, err);
		return false;
	case OUTCOME_PAUSED:
		wait_paused(subscription);
		return false;
	case OUTCOME_MOVED:
		start_again(subscription);
		return false;
	case OUTCOME_LOST:
		recover(subscription, err);
		return false;
	}
	return false;
}

// The handler refused the event at `refused`: those before it, which were rolled back with it, run again and commit. It may
// refuse an earlier one now; then that one is what is tried again.
static enum outcome handle_those_before(struct meow_subscription *subscription, size_t refused, struct meow_error *err)
{
	size_t to = refused, done;
	while (to > subscription->next) {
		struct meow_error reason;
		enum outcome outcome = attempt(subscription, to, &done, &reason);
		if (outcome == OUTCOME_DONE) {
			subscription->next = done;
			break;
		}
		*err = reason;
		if (outcome != OUTCOME_REFUSED)
			return outcome;
		to = done;
	}
	return OUTCOME_REFUSED;
}

static void handle(struct meow_subscription *subscription)
{
	struct meow_error err;
	size_t done = subscription->next;
	bool more = true;
	while (more && subscription->next < subscription->batch->count) {
		size_t to = subscription->alone ? subscription->next + 1 : subscription->batch->count;
		enum outcome outcome = attempt(subscription, to, &done, &err);
		if (outcome == OUTCOME_REFUSED)
			outcome = handle_those_before(subscription, done, &err);
		if (subscription->stopping && outcome != OUTCOME_LOST)
			return; // what was handled is committed
		more = take_outcome(subscription, outcome, done, &err);
	}
	if (more)
		finish_batch(subscription);
}

static bool wants_any(const struct meow_subscription *subscription, const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (is_wanted(&subscription->settings, &batch->events[i]))
			return true;
	return false;
}

static void on_batch(void *arg, struct batch *batch)
{
	struct meow_subscription *subscription = arg;
	if (subscription->phase == PHASE_CONNECTING) { // it was under way when the rest failed
		batch_destroy(batch);
		return;
	}
	if (!wants_any(subscription, batch)) {
		subscription->work.position = batch->position;
		batch_destroy(batch);
		return;
	}
	follow_room(subscription->follow, 0); // until it is handled
	subscription->batch = batch;
	subscription->next = 0;
	subscription->alone = false;
	subscription->phase = PHASE_REFUSED;
	loop_timer_start(subscription->timer, 0); // not from within the follower, which a failure destroys
}

static void on_lost(void *arg, const struct meow_error *err)
{
	recover(arg, err);
}

// --- what only moves on ---

// Writes the position if it moved over events that nobody wanted.
static enum outcome save_position(struct meow_subscription *subscription, struct meow_error *err)
{
	if (subscription->work.position == subscription->saved_position)
		return OUTCOME_DONE;
	enum outcome outcome = begin(subscription, err);
	if (outcome != OUTCOME_DONE)
		return outcome;
	struct store_work work = subscription->work;
	return commit(subscription, &work, err) ? OUTCOME_DONE : OUTCOME_LOST;
}

// While nothing comes: has an operator paused it, resumed it, or moved it?
static enum outcome look(struct meow_subscription *subscription, struct meow_error *err)
{
	struct store_subscriptions list;
	if (!store_subscriptions(subscription->store, subscription->settings.name, &list, err))
		return OUTCOME_LOST;
	struct checkpoint found = list.count ? list.items[0].checkpoint : (struct checkpoint){0};
	store_subscriptions_free(&list);
	if (found.generation != subscription->work.generation)
		return OUTCOME_MOVED;
	return found.paused ? OUTCOME_PAUSED : OUTCOME_DONE;
}

static void tell_running(struct meow_subscription *subscription)
{
	if (subscription->told_state == MEOW_SUBSCRIPTION_PAUSED)
		show_state(subscription, "RUNNING", NULL, 0);
	tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
}

static bool has_caught_up(const struct meow_subscription *subscription)
{
	struct follow_stats stats;
	follow_stats(subscription->follow, &stats);
	return stats.caught_up && !subscription->batch;
}

static void on_pass_timer(void *arg)
{
	struct meow_subscription *subscription = arg;
	struct meow_error err;
	bool until_caught_up = subscription->settings.until_caught_up;
	loop_timer_start(subscription->pass_timer, until_caught_up ? CAUGHT_UP_US : PASSED_SAVE_US);
	if (subscription->phase != PHASE_FOLLOWING)
		return;
	bool caught_up = until_caught_up && has_caught_up(subscription);
	if (until_caught_up && !caught_up)
		return;
	bool moved_on = subscription->work.position != subscription->saved_position;
	enum outcome outcome = moved_on || caught_up ? save_position(subscription, &err) : look(subscription, &err);
	if (outcome == OUTCOME_LOST)
		recover(subscription, &err);
	else if (outcome == OUTCOME_MOVED)
		start_again(subscription);
	else if (caught_up)
		end(subscription);
	else
		outcome == OUTCOME_PAUSED ? tell_paused(subscription) : tell_running(subscription);
}

// --- connecting ---

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
	subscription->follow =
		follow_create(subscription->loop, subscription->session, &settings, on_batch, on_lost, subscription, &err);
	if (!subscription->follow) {
		recover(subscription, &err);
		return;
	}
	subscription->phase = PHASE_FOLLOWING;
	follow_room(subscription->follow, ROOM_BYTES);
	loop_timer_start(subscription->pass_timer, 0);
	tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
}

static void on_start_found(void *arg, int64_t position)
{
	struct meow_subscription *subscription = arg;
	struct meow_error err;
	struct store_work work;
	bool ok = store_work_begin(subscription->store, subscription->settings.name, &work, &err);
	if (ok && work.fresh)
		work.position = position;
	if (ok && commit(subscription, &work, &err))
		start_follow(subscription);
	else
		recover(subscription, &err);
}

static void on_start_held(void *arg, const struct meow_error *why)
{
	tell(arg, MEOW_SUBSCRIPTION_RETRYING, why, 0, 0);
}

static void on_open(void *arg, const struct session_info *info, const struct meow_error *failure)
{
	struct meow_subscription *subscription = arg;
	struct meow_error err;
	if (failure) {
		recover(subscription, failure);
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
		recover(subscription, &err);
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
	return commit(subscription, &work, err);
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
		recover(subscription, &err);
	} else if (!claimed) { // the connection is kept, to ask again
		tell(subscription, MEOW_SUBSCRIPTION_WAITING, NULL, 0, 0);
		loop_timer_start(subscription->timer, CLAIM_AGAIN_US);
	} else {
		backoff_reset(&subscription->backoff);
		session_open(subscription->session, on_open, subscription);
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
	if (subscription->phase == PHASE_FOLLOWING && save_position(subscription, &ignored) != OUTCOME_DONE)
		return;
	show_state(subscription, "UNASSIGNED", NULL, 0);
}

static bool start(struct meow_subscription *subscription, struct meow_error *err)
{
	subscription->loop = loop_create(err);
	if (!subscription->loop)
		return false;
	subscription->timer = loop_timer_create(subscription->loop, on_timer, subscription);
	subscription->pass_timer = loop_timer_create(subscription->loop, on_pass_timer, subscription);
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
	subscription->failed = subscription->stopping = subscription->told = false;
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
