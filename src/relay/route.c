// The life of a route and its one recovery path: whatever fails, start-up included, ends in route_fail, and from there
// the next turn of the loop drops the connector (and the session, if it was that), waits with back-off, and opens
// everything again from what the sink and the store remember. Only what a retry cannot change halts it.
#include "relay/route_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000)
#define HALTED_POLL_US (1000 * MS)
#define GIVEN_UP_US (200 * MS) // until it asks for a lease again that it gave to another relay

static void on_timer(void *arg);
static void on_save_timer(void *arg);
static void on_stats_timer(void *arg);

struct route *route_create(
	const struct route_settings *settings, const struct route_environment *environment, struct meow_error *err)
{
	struct route *route = calloc(1, sizeof(*route));
	if (!route) {
		error_no_memory(err);
		return NULL;
	}
	route->settings = *settings;
	route->env = *environment;
	route->backoff = (struct backoff){settings->backoff_least_ms, settings->backoff_most_ms, 0};
	route->opening.route = route;
	buffer_init(&route->aside.letters);
	route->retry_at_us = route->lease_free_us = -1;
	route->lease.length_us = settings->lease_ms * MS;
	route->window = window_create(settings->window_bytes);
	route->timer = loop_timer_create(environment->loop, on_timer, route);
	route->save_timer = loop_timer_create(environment->loop, on_save_timer, route);
	route->stats_timer = loop_timer_create(environment->loop, on_stats_timer, route);
	route->lease_timer = loop_timer_create(environment->loop, route_lease_due, route);
	if (route->window && route->timer && route->save_timer && route->stats_timer && route->lease_timer)
		return route;
	route_destroy(route);
	error_no_memory(err);
	return NULL;
}

void route_drop_sink(struct route *route)
{
	if (route->session)
		session_forget(route->session, &route->opening);
	route->acquiring = route->loading_waits = false;
	route_watch_unfollow(route);
	follow_destroy(route->follow);
	route->follow = NULL;
	route->confirmed = NULL;
	if (route->connector)
		route->env.connector->destroy(route->connector);
	route->connector = NULL;
	settled_destroy(route->start_proof);
	route->start_proof = NULL;
	struct window_mark mark = window_mark(route->window);
	if (mark.fingerprint && mark.delivered >= route->executor_delivered) { // a restart may have begun further back
		char *fingerprint = strdup(mark.fingerprint);
		if (fingerprint) { // without memory the older one still proves something
			free(route->executor_fingerprint);
			route->executor_fingerprint = fingerprint;
			route->executor_delivered = mark.delivered;
		}
	}
	window_reset(route->window, 0, 0, NULL);
	route->watch.looking = route->pausing = false;
	route_aside_drop(route);
	loop_timer_stop(route->save_timer);
}

static void drop_session(struct route *route)
{
	session_destroy(route->session);
	route->session = NULL;
	route->saving = route->watch.asking = route->renewing = route->session_ready = false;
	lease_drop(&route->lease); // taken anew, its higher epoch outlaws what may still come over the old connection
	atomic_store(&route->env.metrics->store_up, false);
}

static void lose_session_if_failed(struct route *route)
{
	if (!route->session_failed)
		return;
	drop_session(route);
	route->session_failed = false;
	route->store_lost = true;
}

void route_destroy(struct route *route)
{
	if (!route)
		return;
	if (route->window && route->save_timer) // else it is half-built, and has none
		route_drop_sink(route);
	if (route->session)
		drop_session(route);
	window_destroy(route->window);
	route_aside_finish(route);
	loop_timer_destroy(route->timer);
	loop_timer_destroy(route->save_timer);
	loop_timer_destroy(route->stats_timer);
	loop_timer_destroy(route->lease_timer);
	free(route->loaded_fingerprint);
	free(route->chosen_fingerprint);
	free(route->executor_fingerprint);
	free(route);
}

void route_show_state(struct route *route, enum route_state state)
{
	route->state = state;
	atomic_store(&route->env.metrics->state, (int)state);
	if (route->env.changed)
		route->env.changed(route->env.arg);
}

void route_set_state(struct route *route, enum route_state state)
{
	if (route->state != state && state == ROUTE_RUNNING) {
		if (!route->started_once)
			LOG(LOG_INFO, "route is running", ROUTE_FIELDS(route), LOG_NUMBER("position", route->chosen_position));
		route->say_back = route->started_once;
		route->started_once = true;
	}
	route->save_state = true;
	route_show_state(route, state);
}

// Not at the first sign: a sink that opens and fails again each time would fill the log, and never be backed off from.
void route_is_back(struct route *route)
{
	backoff_reset(&route->backoff);
	route->logged[0] = '\0';
	if (route->say_back)
		LOG(LOG_INFO, "route is running again", ROUTE_FIELDS(route),
			LOG_NUMBER("position", window_mark(route->window).position));
	route->say_back = false;
}

// One line for each change of reason, not for each try.
static void log_failure(struct route *route, enum log_level level, const char *message, int64_t retry_ms)
{
	if (strcmp(route->logged, route->err.text) == 0)
		return;
	memcpy(route->logged, route->err.text, sizeof(route->logged));
	struct log_field fields[7] = {ROUTE_FIELDS(route)};
	size_t count = 2;
	if (route->error_position)
		fields[count++] = LOG_NUMBER("position", route->error_position);
	fields[count++] = LOG_TEXT("err", route->err.text);
	fields[count++] = LOG_TEXT("class", error_kind_name(route->err.kind));
	if (retry_ms >= 0)
		fields[count++] = LOG_NUMBER("retry_in", retry_ms);
	log_write(level, message, fields, count);
}

void route_fail(struct route *route, const struct meow_error *err, bool from_store)
{
	route->session_failed |= from_store;
	if (route->phase == PHASE_FALLING || route->phase == PHASE_IDLE)
		return;
	route->err = *err;
	route->error_position = 0;
	route->keep_stop = false;
	atomic_fetch_add(&route->env.metrics->errors[err->kind], 1);
	route->phase = PHASE_FALLING;
	loop_timer_start(route->timer, 0); // not from inside whatever has failed
}

void route_halt(struct route *route, const struct meow_error *err, int64_t position, bool keep_stop)
{
	if (route->phase == PHASE_FALLING || route->phase == PHASE_IDLE)
		return; // for another reason, which comes first
	route_fail(route, err, false);
	route->err.kind = err->kind == MEOW_UNAVAILABLE || err->kind == MEOW_UNKNOWN_OUTCOME ? MEOW_CONFIG : err->kind;
	route->error_position = position;
	route->keep_stop = keep_stop;
}

// What a store says when it is opened may change without us: a promotion, a set-up, a password. It is asked again.
static bool worth_a_retry(const struct route *route)
{
	return route->session_failed || error_may_retry(route->err.kind) || route->err.kind == MEOW_CONFLICT;
}

static void enter_halted(struct route *route)
{
	route->phase = PHASE_HALTED;
	route_set_state(route, ROUTE_FAILED);
	log_failure(route, LOG_ERROR, "route has stopped", -1);
	if (route_may_save(route))
		route_save(route);
	loop_timer_start(route->timer, HALTED_POLL_US);
}

// While it runs, what it has reached is what the next checkpoint says.
static void note_mark(struct route *route)
{
	if (!route->follow)
		return;
	struct window_mark mark = window_mark(route->window);
	route->checkpoint.delivered = mark.delivered;
	route->checkpoint.position = mark.position;
	free(route->loaded_fingerprint);
	route->loaded_fingerprint = mark.fingerprint ? strdup(mark.fingerprint) : NULL;
}

static void wait_for_next_try(struct route *route)
{
	atomic_fetch_add(&route->env.metrics->restarts, 1);
	int64_t delay = backoff_next_ms(&route->backoff, loop_random(route->env.loop));
	route->phase = PHASE_WAITING;
	route->retry_at_us = loop_now_us(route->env.loop) + delay * MS;
	route_set_state(route, ROUTE_RESTARTING);
	log_failure(route, LOG_WARN, "route waits", delay);
	if (route_may_save(route))
		route_save(route);
	loop_timer_start(route->timer, delay * MS);
}

static void fall(struct route *route)
{
	note_mark(route);
	route_drop_sink(route);
	bool retry = worth_a_retry(route);
	route->giving_up = false;
	lose_session_if_failed(route);
	route_update_metrics(route);
	if (route->stopping && route_may_save(route))
		route_saved_last(route);
	else if (route->stopping)
		route_release(route);
	else if (retry)
		wait_for_next_try(route);
	else
		enter_halted(route);
}

static void drain_is_over(struct route *route)
{
	LOG(LOG_WARN, "the time to finish what was in flight is over: it will be sent again at the next start",
		ROUTE_FIELDS(route));
	route_saved_last(route);
}

// The store does not answer: the next start learns the rest from the sink or sends it again.
static void last_save_is_late(struct route *route)
{
	struct meow_error err;
	if (route->stopping || !route->pausing) {
		route_release(route);
		return;
	}
	error_set(&err, MEOW_UNAVAILABLE, "the store does not answer");
	route_fail(route, &err, true);
}

static void on_timer(void *arg)
{
	struct route *route = arg;
	route->retry_at_us = -1;
	switch (route->phase) {
	case PHASE_FALLING:
		fall(route);
		return;
	case PHASE_WAITING:
	case PHASE_HALTED:
		route_open(route);
		return;
	case PHASE_DRAINING:
		drain_is_over(route);
		return;
	case PHASE_CANDIDATE:
		if (!route->acquiring)
			route_lease_ask(route);
		return;
	case PHASE_SAVING:
		last_save_is_late(route);
		return;
	case PHASE_RELEASING: // it expires by itself
		route->session_failed = true;
		route_released(route);
		return;
	case PHASE_OPENING:
		route_look_for_start(route);
		return;
	case PHASE_IDLE:
	case PHASE_RUNNING:
		return;
	}
}

// --- checkpoints ---

static void rest_after_drain(struct route *route)
{
	route_drop_sink(route);
	route_rest(route);
}

static void on_saved(void *arg, const struct meow_error *err)
{
	struct route *route = arg;
	route->saving = false;
	if (route->phase == PHASE_RELEASING)
		return;
	if (err) {
		route->row_moved = err->kind == MEOW_CONFLICT;
		if (route->row_moved) // perhaps by another relay: the next try asks whose it is
			lease_drop(&route->lease);
		route_fail(route, err, !route->row_moved);
		return;
	}
	lease_renew(&route->lease, route->save_asked_us);
	if (route->saving_decision)
		route->decision = false;
	if (route->loading_waits)
		route_load_checkpoint(route);
	else if (route->phase == PHASE_SAVING && !route->dirty)
		route->pausing && !route->stopping ? rest_after_drain(route) : route_release(route);
	else if (route->phase == PHASE_SAVING)
		route_save(route);
	else if (route->dirty)
		route_save_later(route);
}

static const char *state_to_save(const struct route *route)
{
	if (route->phase == PHASE_SAVING)
		return route_state_name(route->pausing && !route->stopping ? ROUTE_PAUSED : ROUTE_UNASSIGNED);
	return route->save_state ? route_state_name(route->state) : NULL;
}

void route_save(struct route *route)
{
	if (!route->session || route->saving) {
		route->dirty = true;
		return;
	}
	if (!route_lease_check(route))
		return;
	note_mark(route);
	bool sound = route->state == ROUTE_RUNNING || route->state == ROUTE_PAUSED || route->phase == PHASE_SAVING;
	// A decision stays until it has led somewhere (a sink that is away for a moment does not undo it), and so does what it
	// was about.
	bool led_on = route->checkpoint.delivered > route->chosen_delivered ||
				  (route->phase == PHASE_HALTED && route->state == ROUTE_FAILED);
	int64_t decided_at = route->decision && !led_on ? route->checkpoint.error_position : 0;
	struct checkpoint save = {.subscription = route->settings.name,
		.layout = route->layout,
		.partition = route->settings.partition,
		.delivered = route->checkpoint.delivered,
		.position = route->checkpoint.position,
		.fingerprint = route->loaded_fingerprint,
		.generation = route->checkpoint.generation,
		.epoch = route->lease.epoch,
		.lease_ms = route->settings.lease_ms,
		.state = state_to_save(route),
		.reason = sound ? NULL : route->err.text,
		.error_class = sound ? NULL : error_kind_name(route->err.kind),
		.error_position = decided_at || sound ? decided_at : route->error_position,
		.keep_stop = !sound && route->keep_stop,
		.decision_known = route->decision};
	save.decision_used = route->saving_decision = route->decision && led_on;
	route->dirty = route->save_state = false;
	route->saving = true;
	route->save_asked_us = loop_now_us(route->env.loop);
	session_checkpoint_save(route->session, &save, on_saved, route);
}

void route_save_later(struct route *route)
{
	if (!loop_timer_running(route->save_timer))
		loop_timer_start(route->save_timer, route->settings.checkpoint_ms * MS);
}

void route_touch(struct route *route)
{
	route->dirty = true;
	if (!route->saving)
		route_save_later(route);
}

static void on_save_timer(void *arg)
{
	struct route *route = arg;
	if (route->dirty && route->phase != PHASE_FALLING)
		route_save(route);
}

static void on_stats_timer(void *arg)
{
	struct route *route = arg;
	route_watch_tick(route);
	loop_timer_start(route->stats_timer, 1000 * MS);
}

// --- what the owner asks for ---

void route_start(struct route *route)
{
	loop_timer_start(route->stats_timer, 1000 * MS);
	route_watch_start(route);
	route->state = ROUTE_UNASSIGNED;
	route_open(route);
}

void route_saved_last(struct route *route)
{
	note_mark(route);
	route_watch_unfollow(route);
	follow_destroy(route->follow);
	route->follow = NULL;
	route->phase = PHASE_SAVING;
	loop_timer_start(route->timer, 2000 * MS);
	route->dirty = route->saving; // one that is under way is followed by the last one
	if (!route->saving)
		route_save(route);
}

void route_drain(struct route *route)
{
	follow_room(route->follow, 0);
	route->phase = PHASE_DRAINING;
	loop_timer_start(route->timer, route->settings.drain_ms * MS);
	if (window_empty(route->window))
		route_saved_last(route);
}

void route_stop(struct route *route)
{
	route->stopping = true;
	switch (route->phase) {
	case PHASE_RUNNING:
		route_drain(route);
		return;
	case PHASE_OPENING:
	case PHASE_CANDIDATE:
	case PHASE_WAITING:
	case PHASE_HALTED:
		route_release(route);
		return;
	case PHASE_IDLE:
	case PHASE_FALLING: // it closes from there, as from the others
	case PHASE_DRAINING:
	case PHASE_SAVING:
	case PHASE_RELEASING:
		return;
	}
}

void route_released(struct route *route)
{
	if (route->stopping) {
		route_close(route);
		return;
	}
	route->giving_up = false;
	route->lease_free_us = loop_now_us(route->env.loop); // for the other one, at first
	route_show_state(route, ROUTE_UNASSIGNED);
	route->phase = PHASE_WAITING;
	lose_session_if_failed(route);
	loop_timer_start(route->timer, GIVEN_UP_US);
}

// --- what an operator does meanwhile ---

void route_rest(struct route *route)
{
	struct meow_error why;
	if (route->paused_here)
		error_set(&why, MEOW_CONFIG, "paused by SIGUSR1: SIGUSR2 lets this relay's routes go on");
	else
		error_set(&why, MEOW_CONFIG, "paused: `meowmx subscription resume %s` lets it go on", route->settings.name);
	route->phase = PHASE_HALTED;
	if (route->state != ROUTE_PAUSED || strcmp(why.text, route->err.text) != 0) {
		route->err = why;
		route->error_position = 0;
		LOG(LOG_INFO, "route is paused", ROUTE_FIELDS(route), LOG_NUMBER("position", route->checkpoint.position));
		route_show_state(route, ROUTE_PAUSED);
	}
	loop_timer_start(route->timer, HALTED_POLL_US);
}

static void pause_now(struct route *route)
{
	route->pausing = true;
	route_drain(route);
}

void route_pause(struct route *route, bool pause)
{
	route->paused_here = pause;
	if (pause && route->phase == PHASE_RUNNING)
		pause_now(route);
	else if (!pause && route->phase == PHASE_HALTED && route->state == ROUTE_PAUSED)
		loop_timer_start(route->timer, 0); // unless the store says so, too
}

static void on_look(void *arg, const struct checkpoint *found, const struct meow_error *err)
{
	struct route *route = ((struct opening *)arg)->route;
	struct meow_error moved;
	route->watch.looking = false;
	if (err) {
		route_fail(route, err, true);
	} else if (found->epoch != route->lease.epoch) {
		return; // another relay has it now: the next renewal says so
	} else if (route->phase == PHASE_RUNNING && found->generation != route->checkpoint.generation) {
		error_set(&moved, MEOW_CONFLICT, "the checkpoint of %s was moved by an operator", route->settings.name);
		route->row_moved = true;
		route_fail(route, &moved, false);
	} else if (route->phase == PHASE_RUNNING && (found->paused || route->paused_here)) {
		pause_now(route);
	} else if (route->phase == PHASE_RUNNING && !route_aside_refresh(route, found, &moved)) {
		route_fail(route, &moved, false);
	}
}

void route_look(struct route *route)
{
	if (route->watch.looking)
		return;
	route->watch.looking = true;
	session_checkpoint_load(
		route->session, route->settings.name, route->layout, route->settings.partition, on_look, &route->opening);
}

static void tell_stopped(void *arg)
{
	struct route *route = arg;
	route->env.stopped(route->env.arg);
}

void route_close(struct route *route)
{
	if (route->phase == PHASE_IDLE)
		return;
	route->phase = PHASE_IDLE;
	loop_timer_stop(route->timer);
	loop_timer_stop(route->stats_timer);
	loop_timer_stop(route->lease_timer);
	route_drop_sink(route);
	if (route->session)
		drop_session(route);
	route_show_state(route, ROUTE_UNASSIGNED);
	if (!loop_post(route->env.loop, tell_stopped, route))
		tell_stopped(route);
}

void route_reopen(struct route *route)
{
	if (route->connector && route->phase == PHASE_RUNNING && route->env.connector->reopen)
		route->env.connector->reopen(route->connector);
}

void route_report(const struct route *route, struct route_report *ret_report)
{
	bool sound = route->state == ROUTE_RUNNING || route->state == ROUTE_UNASSIGNED;
	bool failing = !sound && route->state != ROUTE_PAUSED;
	bool stands_still = *route->watch.standstill != '\0';
	*ret_report = (struct route_report){.state = route->state,
		.reason = !sound         ? route->err.text
				  : stands_still ? route->watch.standstill
								 : NULL,
		.error_class = failing ? error_kind_name(route->err.kind) : NULL,
		.error_position = failing ? route->error_position : 0,
		.stands_still = stands_still,
		.retry_in_ms = -1,
		.held_back_by = *route->watch.held_by ? route->watch.held_by : NULL,
		.waits_for = *route->waits_for && route->state == ROUTE_UNASSIGNED ? route->waits_for : NULL,
		.epoch = route->lease.epoch};
	if (route->retry_at_us >= 0)
		ret_report->retry_in_ms = (route->retry_at_us - loop_now_us(route->env.loop)) / MS;
}
