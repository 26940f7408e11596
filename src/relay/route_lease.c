// The lease of a route's partition: it is taken before the checkpoint is loaded, renewed while the route lives, and given
// back when it ends. Whoever does not have it waits, looks now and then, and is woken when it is released. All writes
// carry the lease's epoch, so one that lost it can move nothing; that it also stops publishing before its lease runs out
// is by its own monotonic clock, and needs no answer from anybody.
#include "base/log.h"
#include "relay/route_private.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define MS INT64_C(1000)
#define LOOK_US (1000 * MS)         // at another's lease, where a release wakes us
#define LOOK_OFTEN_US (100 * MS)    // where it does not
#define LOOK_FREE_US (200 * MS)     // at one that a relay with fewer partitions ought to take
#define UNFAIR_AFTER_US (1000 * MS) // and if none does for so long, we do

struct log_field route_partition_field(const struct route *route)
{
	return route->settings.partitions > 1 ? LOG_NUMBER("partition", route->settings.partition) : (struct log_field){0};
}

static int64_t now_us(const struct route *route)
{
	return loop_now_us(route->env.loop);
}

static struct session_lease lease_of(const struct route *route)
{
	return (struct session_lease){.subscription = route->settings.name,
		.relay = route->settings.relay,
		.layout = route->layout,
		.partition = route->settings.partition,
		.partitions = route->settings.partitions,
		.length_ms = route->settings.lease_ms,
		.epoch = route->lease.epoch,
		.publishes = route->settings.publishes,
		.leaving = route->stopping};
}

bool route_may_save(const struct route *route)
{
	return route->session && !route->row_moved && lease_is_held(&route->lease, now_us(route));
}

// --- keeping it ---

static void lose(struct route *route, enum meow_error_kind kind, const char *text)
{
	struct meow_error err;
	lease_drop(&route->lease);
	error_set(&err, kind, "%s", text);
	bool busy = route->phase == PHASE_OPENING || route->phase == PHASE_RUNNING || route->phase == PHASE_DRAINING ||
				route->phase == PHASE_SAVING;
	if (busy) // the others ask for it when they are due
		route_fail(route, &err, false);
}

bool route_lease_check(struct route *route)
{
	if (lease_is_held(&route->lease, now_us(route)))
		return true;
	lose(route, MEOW_UNAVAILABLE, "the lease could not be renewed in time: another relay may have it");
	return false;
}

void route_lease_plan(struct route *route)
{
	int64_t at_us = lease_end_us(&route->lease), due_us = route->lease_asked_us + lease_pause_us(&route->lease);
	if (!route->renewing && route->session_ready && due_us < at_us)
		at_us = due_us;
	loop_timer_start(route->lease_timer, at_us - now_us(route));
}

static void on_renewed(void *arg, const struct session_lease_state *state, const struct meow_error *err);

static void renew(struct route *route)
{
	struct session_lease lease = lease_of(route);
	route->renewing = true;
	route->confirming = route->confirmed != NULL;
	route->lease_asked_us = now_us(route);
	session_lease_renew(route->session, &lease, on_renewed, route);
}

// What was asked before the connector's question proves nothing about the time since.
static void answer_connector(struct route *route)
{
	void (*confirmed)(void *arg) = route->confirmed;
	if (!confirmed || route->renewing)
		return;
	if (!route->confirming) {
		renew(route);
		return;
	}
	route->confirmed = NULL;
	confirmed(route->confirmed_arg);
}

void route_lease_confirm(void *arg, void (*done)(void *done_arg), void *done_arg)
{
	struct route *route = arg;
	if (!route_lease_check(route))
		return;
	route->confirmed = done;
	route->confirmed_arg = done_arg;
	route->confirming = false;
	answer_connector(route);
}

static void on_renewed(void *arg, const struct session_lease_state *state, const struct meow_error *err)
{
	struct route *route = arg;
	route->renewing = false;
	if (err) {
		route_fail(route, err, true);
	} else if (state->epoch != route->lease.epoch) {
		answer_connector(route); // it was lost, or taken anew, meanwhile
	} else if (!state->held) {
		lose(route, MEOW_CONFLICT, "another relay has taken the lease");
	} else {
		lease_renew(&route->lease, route->lease_asked_us);
		answer_connector(route);
		route_lease_plan(route);
		if (route->phase != PHASE_RUNNING || !lease_gives_up(state->mine, state->least, state->above))
			return;
		LOG(LOG_INFO, "giving the partition to a relay that has fewer", ROUTE_FIELDS(route));
		route->giving_up = true;
		route_drain(route);
	}
}

void route_lease_due(void *arg)
{
	struct route *route = arg;
	if (!route->lease.epoch || !route_lease_check(route))
		return;
	if (!route->renewing && route->session_ready)
		renew(route);
	route_lease_plan(route);
}

// --- getting it ---

static void on_wake(void *arg)
{
	struct route *route = arg;
	if (route->phase == PHASE_CANDIDATE && !route->acquiring)
		loop_timer_start(route->timer, 0);
}

// True if it is another than before.
static bool note_holder(struct route *route, const char *holder)
{
	bool other = strncmp(route->waits_for, holder ? holder : "", sizeof(route->waits_for) - 1) != 0;
	if (other && route->cut)
		LOG(LOG_INFO, "the partition has run to the end of its layout: waiting for `meowmx subscription repartition`",
			ROUTE_FIELDS(route), LOG_NUMBER("position", route->cut));
	else if (other && holder)
		LOG(LOG_INFO, "another relay has the lease: waiting for it", ROUTE_FIELDS(route), LOG_TEXT("holder", holder));
	snprintf(route->waits_for, sizeof(route->waits_for), "%s", holder ? holder : "");
	return other;
}

// When to look at another's lease again.
static int64_t look_after_us(struct route *route, const struct session_lease_state *state)
{
	int64_t now = now_us(route), pause = route->info.wakes_waiting ? LOOK_US : LOOK_OFTEN_US;
	lease_see(&route->lease_view, state->epoch, state->until_us, now);
	route->lease_view_length_us = state->length_ms * MS;
	int64_t stale_us = route->lease_view.since_us + route->lease_view_length_us - now;
	if (state->left_us < pause)
		pause = state->left_us;
	if (stale_us < pause)
		pause = stale_us;
	return pause > MS ? pause : MS;
}

static void wait_for_lease(struct route *route, const struct session_lease_state *state)
{
	int64_t pause_us = LOOK_FREE_US;
	route->phase = PHASE_CANDIDATE;
	bool over = state->cut && !state->holder;
	route->cut = over ? state->cut : 0;
	bool other = note_holder(route, over ? "`meowmx subscription repartition`" : state->holder);
	if (other || route->state != ROUTE_UNASSIGNED)
		route_show_state(route, ROUTE_UNASSIGNED);
	if (state->holder) {
		pause_us = look_after_us(route, state);
		route->lease_free_us = -1;
	} else if (over) {
		pause_us = LOOK_US;
	} else if (route->lease_free_us < 0) {
		route->lease_free_us = now_us(route);
	}
	session_on_notify(route->session, on_wake, route);
	loop_timer_start(route->timer, pause_us);
}

static void take(struct route *route, const struct session_lease_state *state)
{
	bool waited = *route->waits_for != '\0';
	lease_take(&route->lease, state->epoch, route->lease_asked_us);
	route->layout = state->layout;
	route->cut = state->cut;
	route->waits_for[0] = '\0';
	route->lease_free_us = -1;
	route->dirty = false; // what was noted under the lease before: another relay may have gone further since
	loop_timer_stop(route->save_timer);
	route->phase = PHASE_OPENING;
	atomic_store(&route->env.metrics->epoch, state->epoch);
	session_on_notify(route->session, NULL, NULL);
	if (waited)
		LOG(LOG_INFO, "took the lease", ROUTE_FIELDS(route), LOG_NUMBER("epoch", state->epoch));
	route_lease_plan(route);
	route_load_checkpoint(route);
}

static void stay_refused(struct route *route, const struct meow_error *err)
{
	if (route->phase == PHASE_HALTED && strcmp(route->err.text, err->text) == 0)
		loop_timer_start(route->timer, LOOK_US);
	else
		route_halt(route, err, 0, false);
}

// The store counts other partitions than the configuration: going on would publish events twice, or not at all.
static void refuse_layout(struct route *route, int partitions)
{
	struct meow_error err;
	const char *name = route->settings.name;
	if (partitions < 0)
		error_set(&err, MEOW_CONFIG, "%s is a subscription with a handler: give the route a name of its own", name);
	else
		error_set(&err, MEOW_CONFIG,
			"the store has %s in %d partition%s, the configuration in %d: set partitions: %d again, or `meowmx "
			"subscription repartition %s %d`",
			name, partitions, partitions == 1 ? "" : "s", route->settings.partitions, partitions, name,
			route->settings.partitions);
	stay_refused(route, &err);
}

// Two configurations that mean different things by one name would each get a part of the events.
static void refuse_rival(struct route *route, const struct session_lease_state *state)
{
	struct meow_error err;
	error_set(&err, MEOW_CONFIG,
		"%.100s runs a route of this name that publishes %.120s, and this one publishes %.120s: give one of them "
		"another name, or stop that relay first",
		state->rival, state->rival_publishes, route->settings.publishes);
	stay_refused(route, &err);
}

static void on_acquired(void *arg, const struct session_lease_state *state, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	if (!route)
		return;
	route->acquiring = false;
	if (state->held)
		take(route, state);
	else if (state->partitions && state->partitions != route->settings.partitions)
		refuse_layout(route, state->partitions);
	else if (state->rival)
		refuse_rival(route, state);
	else
		wait_for_lease(route, state);
}

void route_lease_ask(struct route *route)
{
	struct session_lease lease = lease_of(route);
	int64_t now = now_us(route);
	lease.epoch = 0;
	if (*route->waits_for && lease_is_stale(&route->lease_view, route->lease_view_length_us, now)) {
		lease.stale_epoch = route->lease_view.epoch;
		lease.stale_until_us = route->lease_view.until_us;
	}
	lease.even_unfair = route->lease_free_us >= 0 && now - route->lease_free_us >= UNFAIR_AFTER_US;
	route->acquiring = true;
	route->lease_asked_us = now;
	session_lease_acquire(route->session, &lease, on_acquired, &route->opening);
}

void route_lease_first(struct route *route)
{
	if (lease_is_held(&route->lease, now_us(route)))
		route_load_checkpoint(route);
	else
		route_lease_ask(route);
}

// --- giving it back ---

static void on_released(void *arg, const struct meow_error *err)
{
	struct route *route = arg;
	if (err)
		route->session_failed = true; // it expires by itself
	if (route->phase == PHASE_RELEASING)
		route_released(route);
}

void route_release(struct route *route)
{
	struct session_lease lease = lease_of(route);
	if (route->phase == PHASE_IDLE)
		return;
	route_drop_sink(route); // before another relay opens it
	route->phase = PHASE_RELEASING;
	lease_drop(&route->lease);
	if (route->session && route->session_ready) {
		loop_timer_start(route->timer, 2000 * MS);
		session_lease_release(route->session, &lease, on_released, route);
	} else {
		route_released(route);
	}
}
