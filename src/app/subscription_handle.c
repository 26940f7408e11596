// What a subscription does with events: one transaction for each batch, with the handler's work and the checkpoint; what is
// refused again and alone; and what only moves on. See subscription.c for the whole.
#include "app/subscription_private.h"
#include "base/text.h"

#define PAUSED_AGAIN_US (1000 * MS)
#define PASSED_SAVE_US (1000 * MS) // a position that only moved over what nobody wants is written so late
#define CAUGHT_UP_US (5 * MS)

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

bool subscription_commit(struct meow_subscription *subscription, const struct store_work *work, struct meow_error *err)
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
	for (; i < to && !subscription_is_stopping(subscription); i++) {
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
	if (subscription_commit(subscription, &work, err))
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
	int64_t position = subscription->batch->events[subscription->next].position,
			pause_ms = subscription_next_pause_ms(subscription);
	subscription->phase = PHASE_REFUSED;
	subscription->alone = true;
	subscription_show_state(subscription, "RESTARTING", err, position);
	subscription_tell(subscription, MEOW_SUBSCRIPTION_RETRYING, err, position, pause_ms);
	loop_timer_start(subscription->timer, pause_ms * MS);
}

static void tell_paused(struct meow_subscription *subscription)
{
	if (subscription->told_state != MEOW_SUBSCRIPTION_PAUSED)
		subscription_show_state(subscription, "PAUSED", NULL, 0);
	subscription_tell(subscription, MEOW_SUBSCRIPTION_PAUSED, NULL, 0, 0);
}

static void wait_paused(struct meow_subscription *subscription)
{
	subscription->phase = PHASE_REFUSED;
	tell_paused(subscription);
	loop_timer_start(subscription->timer, PAUSED_AGAIN_US);
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
		subscription_tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
		return true;
	case OUTCOME_REFUSED:
		wait_with_refused(subscription, err);
		return false;
	case OUTCOME_PAUSED:
		wait_paused(subscription);
		return false;
	case OUTCOME_MOVED:
		subscription_start_again(subscription);
		return false;
	case OUTCOME_LOST:
		subscription_recover(subscription, err);
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

void subscription_handle(struct meow_subscription *subscription)
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

void subscription_take_batch(void *arg, struct batch *batch)
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
	return subscription_commit(subscription, &work, err) ? OUTCOME_DONE : OUTCOME_LOST;
}

// While nothing comes: has an operator paused it, resumed it, or moved it?
static enum outcome look(struct meow_subscription *subscription, struct meow_error *err)
{
	struct store_work found;
	if (!store_work_look(subscription->store, subscription->settings.name, &found, err))
		return OUTCOME_LOST;
	if (found.generation != subscription->work.generation)
		return OUTCOME_MOVED;
	return found.paused ? OUTCOME_PAUSED : OUTCOME_DONE;
}

static void tell_running(struct meow_subscription *subscription)
{
	if (subscription->told_state == MEOW_SUBSCRIPTION_PAUSED)
		subscription_show_state(subscription, "RUNNING", NULL, 0);
	subscription_tell(subscription, MEOW_SUBSCRIPTION_RUNNING, NULL, 0, 0);
}

static bool has_caught_up(const struct meow_subscription *subscription)
{
	struct follow_stats stats;
	follow_stats(subscription->follow, &stats);
	return stats.caught_up && !subscription->batch;
}

void subscription_look_after(void *arg)
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
		subscription_recover(subscription, &err);
	else if (outcome == OUTCOME_MOVED)
		subscription_start_again(subscription);
	else if (caught_up)
		subscription_end(subscription);
	else
		outcome == OUTCOME_PAUSED ? tell_paused(subscription) : tell_running(subscription);
}

bool subscription_save_position(struct meow_subscription *subscription, struct meow_error *err)
{
	return save_position(subscription, err) == OUTCOME_DONE;
}
