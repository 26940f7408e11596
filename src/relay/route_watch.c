// What a route shows of itself: its counters, its lag, who holds it back, whether it stands still. Counters of a follower
// are added up over its successors. Lag is measured against the store's head, so while nobody follows the store, because
// the sink is away or the route has stopped, the head is asked for once a second.
#include "relay/route_private.h"

#include <inttypes.h>
#include <stdio.h>

#define MS INT64_C(1000)
#define STANDSTILL_US (30 * 1000 * MS)
#define BACK_US (1000 * MS) // a route that has run for so long is back
#define RATE_SHARE 5        // of the last second in the rate: one part in so many

void route_watch_start(struct route *route)
{
	route->watch = (struct route_watch){.started_us = loop_wall_us(route->env.loop),
		.delivered_time_us = MEOW_NO_TIME,
		.caught_up_us = MEOW_NO_TIME,
		.moved_us = loop_now_us(route->env.loop)};
}

void route_watch_unfollow(struct route *route)
{
	struct follow_stats stats;
	if (!route->follow)
		return;
	follow_stats(route->follow, &stats);
	route->watch.filtered += stats.filtered;
	route->watch.looks += stats.looks;
	route_watch_holder(route, NULL);
}

void route_watch_delivered(struct route *route, const struct batch *batch)
{
	struct route_metrics *metrics = route->env.metrics;
	int64_t wall = loop_wall_us(route->env.loop);
	uint64_t bytes = 0;
	for (size_t i = 0; i < batch->count; i++)
		bytes += batch->events[i].data.size;
	const struct meow_event *last = &batch->events[batch->count - 1];
	metrics_observe(&metrics->publish, loop_now_us(route->env.loop) - batch->sent_us);
	if (last->time_us != MEOW_NO_TIME) {
		metrics_observe(&metrics->latency, wall - last->time_us);
		route->watch.delivered_time_us = last->time_us;
	}
	route->watch.moved_us = loop_now_us(route->env.loop);
	atomic_fetch_add(&metrics->events, batch->count);
	atomic_fetch_add(&metrics->bytes, bytes);
	atomic_store(&metrics->last_progress_us, wall);
}

void route_watch_holder(struct route *route, const struct session_holder *oldest)
{
	struct route_watch *watch = &route->watch;
	char age[40] = "";
	if (!oldest) {
		watch->held_by[0] = '\0';
		return;
	}
	if (oldest->age_us >= 0)
		snprintf(age, sizeof(age), ", open for %" PRId64 " s", oldest->age_us / (1000 * MS));
	if (oldest->prepared)
		snprintf(watch->held_by, sizeof(watch->held_by), "prepared transaction %s%s", oldest->name, age);
	else
		snprintf(watch->held_by, sizeof(watch->held_by), "pid %d (%s)%s", oldest->pid,
			*oldest->name ? oldest->name : "no application name", age);
}

// The age of the oldest event that is not delivered: that of the first in flight, or, if none is, at most the time since
// the last one was delivered or nothing was left.
static int64_t lag_us(const struct route *route)
{
	const struct route_watch *watch = &route->watch;
	int64_t since = watch->started_us;
	const struct batch *oldest = window_oldest(route->window);
	if (oldest && oldest->events[0].time_us != MEOW_NO_TIME)
		since = oldest->events[0].time_us;
	else if (watch->delivered_time_us != MEOW_NO_TIME || watch->caught_up_us != MEOW_NO_TIME)
		since = watch->delivered_time_us > watch->caught_up_us ? watch->delivered_time_us : watch->caught_up_us;
	int64_t lag = loop_wall_us(route->env.loop) - since;
	return lag > 0 ? lag : 0;
}

static void show_follower(struct route *route)
{
	struct route_metrics *metrics = route->env.metrics;
	struct follow_stats stats;
	follow_stats(route->follow, &stats);
	struct window_mark mark = window_mark(route->window);
	atomic_store(&metrics->position, mark.position);
	atomic_store(&metrics->delivered, mark.delivered);
	atomic_store(&metrics->head, stats.head);
	atomic_store(&metrics->settled, stats.settled);
	atomic_store(&metrics->filtered, route->watch.filtered + stats.filtered);
	atomic_store(&metrics->looks, route->watch.looks + stats.looks);
	atomic_store(&metrics->unsettled_transactions, stats.holders);
	atomic_store(&metrics->oldest_unsettled_us, stats.holders ? stats.oldest.age_us : 0);
	route_watch_holder(route, stats.holders ? &stats.oldest : NULL);
	atomic_store(&metrics->caught_up, stats.caught_up && window_empty(route->window));
}

static void show_checkpoint(struct route *route)
{
	struct route_metrics *metrics = route->env.metrics;
	int64_t position = route->checkpoint.position;
	if (atomic_load(&metrics->head) < position || route->phase == PHASE_CANDIDATE) // another relay's matter
		atomic_store(&metrics->head, position);
	atomic_store(&metrics->position, position);
	atomic_store(&metrics->delivered, route->checkpoint.delivered);
	atomic_store(&metrics->unsettled_transactions, 0);
	atomic_store(&metrics->oldest_unsettled_us, 0);
	atomic_store(&metrics->caught_up, false);
}

void route_update_metrics(struct route *route)
{
	struct route_metrics *metrics = route->env.metrics;
	atomic_store(&metrics->inflight_events, window_events(route->window));
	atomic_store(&metrics->buffer_bytes, window_bytes(route->window));
	atomic_store(&metrics->longest_turn_us, loop_longest_turn_us(route->env.loop));
	if (route->follow)
		show_follower(route);
	else
		show_checkpoint(route);
	bool nothing_waits =
		route->follow ? atomic_load(&metrics->caught_up) : atomic_load(&metrics->head) == route->checkpoint.position;
	if (nothing_waits) {
		route->watch.caught_up_us = loop_wall_us(route->env.loop);
		route->watch.moved_us = loop_now_us(route->env.loop);
		route->watch.standstill[0] = '\0';
	}
	atomic_store(&metrics->lag_seconds_us, nothing_waits ? 0 : lag_us(route));
}

// --- once a second ---

static void see_standstill(struct route *route)
{
	struct route_watch *watch = &route->watch;
	int64_t still_us = loop_now_us(route->env.loop) - watch->moved_us;
	watch->standstill[0] = '\0';
	if (route->phase != PHASE_RUNNING || still_us < STANDSTILL_US)
		return;
	int64_t still_s = still_us / (1000 * MS);
	if (!window_empty(route->window))
		snprintf(watch->standstill, sizeof(watch->standstill), "the sink has acknowledged nothing for %" PRId64 " s",
			still_s);
	else if (*watch->held_by)
		snprintf(watch->standstill, sizeof(watch->standstill), "held back by %s", watch->held_by);
	else
		snprintf(watch->standstill, sizeof(watch->standstill), "nothing has moved for %" PRId64 " s", still_s);
}

static void rate(struct route *route)
{
	struct route_metrics *metrics = route->env.metrics;
	struct route_watch *watch = &route->watch;
	int64_t position = atomic_load(&metrics->position), lag = atomic_load(&metrics->head) - position;
	int64_t moved = position > watch->rated_position && watch->rated_position ? position - watch->rated_position : 0;
	if (moved)
		watch->moved_us = loop_now_us(route->env.loop);
	watch->rated_position = position;
	watch->rate_milli += (moved * 1000 - watch->rate_milli) / RATE_SHARE;
	if (lag <= 0)
		atomic_store(&metrics->eta_us, 0);
	else if (watch->rate_milli <= 0)
		atomic_store(&metrics->eta_us, METRICS_NEVER);
	else
		atomic_store(&metrics->eta_us, (int64_t)((double)lag * 1e9 / (double)watch->rate_milli));
}

static void on_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	struct route *route = arg;
	route->watch.asking = false;
	if (err)
		route_fail(route, err, true);
	else
		atomic_store(&route->env.metrics->head, last_position);
}

void route_watch_tick(struct route *route)
{
	bool idle = route->phase == PHASE_WAITING || route->phase == PHASE_HALTED;
	if (idle && route->session && !route->watch.asking) {
		route->watch.asking = true;
		session_head(route->session, on_head, route);
	}
	if (route->phase == PHASE_RUNNING)
		route_look(route);
	if (route->phase == PHASE_RUNNING && loop_now_us(route->env.loop) - route->run_since_us >= BACK_US)
		route_is_back(route);
	route_update_metrics(route);
	rate(route);
	see_standstill(route);
}
