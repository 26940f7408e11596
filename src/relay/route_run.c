// A running route: batches come from the follower, go through admission into the window and on to the connector; what is
// delivered moves the window's mark, and the mark becomes the checkpoint a moment later. An event that the sink will
// never take ends the reading; what precedes it is finished, and then the route halts at it.
#include "relay/partition.h"
#include "relay/route_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_batch(void *arg, struct batch *batch);
static void on_lost(void *arg, const struct meow_error *err);

static size_t batch_bytes(const struct route *route)
{
	return route->settings.window_bytes / 4 + 1;
}

// Lets the follower read: a whole batch, or nothing yet. Given each bit of room as it comes, it would fill it with a
// small batch, which would leave as small a room again: batches that once are small would stay so for a whole backlog.
void route_make_room(struct route *route)
{
	if (route->phase != PHASE_RUNNING)
		return;
	route_aside_room(route);
	if (route->phase != PHASE_RUNNING)
		return;
	size_t room = route->poison || route->at_cut || route->aside.first ? 0 : window_room(route->window);
	follow_room(route->follow, room < batch_bytes(route) ? 0 : room);
}

void route_run(struct route *route)
{
	struct meow_error err;
	if (!route_lease_check(route))
		return;
	// A sink that fell back lacks what was published again since; which letters those are, the store says once it has the
	// checkpoint that is saved below.
	route->aside.stale = route->chosen_delivered < route->checkpoint.delivered;
	// A sink may know less of the same event than the store's checkpoint does.
	bool known = route->loaded_fingerprint && route->chosen_delivered == route->checkpoint.delivered;
	window_reset(route->window, route->chosen_delivered, route->chosen_position,
		known ? route->loaded_fingerprint : route->chosen_fingerprint);
	struct follow_settings settings = {.after = route->chosen_position,
		.trust_after = true,
		.categories = route->settings.categories,
		.category_count = route->settings.category_count,
		.batch_rows = route->settings.batch_rows,
		.batch_bytes = batch_bytes(route),
		.poll_only = route->info.pooled};
	route->env.connector->begin(route->connector, route->chosen_delivered, route->chosen_fingerprint);
	route->follow = follow_create(route->env.loop, route->session, &settings, on_batch, on_lost, route, &err);
	if (!route->follow) {
		route_fail(route, &err, false);
		return;
	}
	route->phase = PHASE_RUNNING;
	route->at_cut = false;
	route->run_since_us = route->watch.moved_us = loop_now_us(route->env.loop);
	route->store_lost = false;
	route_set_state(route, ROUTE_RUNNING);
	route_save(route);
	route_aside_start(route);
	route_make_room(route);
}

static void on_lost(void *arg, const struct meow_error *err)
{
	route_fail(arg, err, true);
}

static void on_failed(void *arg, const struct meow_error *err)
{
	struct route *route = arg;
	struct meow_error told = *err;
	if (!error_may_retry(err->kind))
		error_set(&told, err->kind, "%.380s; then `meowmx subscription resume %s`", err->text, route->settings.name);
	route_fail(route, &told, false);
}

static void on_refused(void *arg, int64_t position, const struct meow_error *err)
{
	struct route *route = arg;
	struct meow_error again;
	route->refused = position;
	route->refused_place = window_retry(route->window, position);
	route->refused_err = *err;
	error_set(
		&again, MEOW_UNAVAILABLE, "the sink refused the event at %" PRId64 ": sending what precedes it", position);
	route_fail(route, &again, false);
}

static void on_notice(void *arg, const char *text)
{
	struct route *route = arg;
	LOG(LOG_WARN, text, ROUTE_FIELDS(route));
}

static void on_opened(void *arg, const struct connector_memory *memory)
{
	route_opened(arg, memory);
}

static void on_delivered(void *arg, struct batch *batch)
{
	route_delivered(arg, batch);
}

const struct connector_host route_host = {.opened = on_opened,
	.delivered = on_delivered,
	.failed = on_failed,
	.refused = on_refused,
	.notice = on_notice,
	.confirm = route_lease_confirm};

// --- poison ---

static void halt_at_poison(struct route *route)
{
	struct meow_error err;
	error_set(&err, route->poison_err.kind,
		"%.320s; correct the sink and `meowmx subscription resume %s`, or `meowmx subscription skip %s %" PRId64 "`",
		route->poison_err.text, route->settings.name, route->settings.name, route->poison);
	route_halt(route, &err, route->poison, false);
}

// How many of the batch's events may be sent; notes the one that never will be.
size_t route_admitted(struct route *route, const struct batch *batch)
{
	size_t count = route->env.connector->admit(route->connector, batch, &route->poison_err);
	if (count < batch->count)
		route->poison = batch->events[count].position;
	for (size_t i = 0; route->refused && i < count; i++) {
		if (batch->events[i].position != route->refused || batch->place != route->refused_place)
			continue;
		route->poison = route->refused;
		route->poison_err = route->refused_err;
		count = i;
	}
	return count;
}

// --- batches ---

static void send(struct route *route, struct batch *batch)
{
	struct meow_event last = batch->events[batch->count - 1];
	last.position = batch_last(batch);
	batch->fingerprint = fingerprint_text(&route->info.store, &last);
	struct meow_error err;
	if (!batch->fingerprint) {
		error_no_memory(&err);
		batch_destroy(batch);
		route_fail(route, &err, false);
		return;
	}
	batch->sent_us = loop_now_us(route->env.loop);
	window_push(route->window, batch);
	if (!route->env.connector->send(route->connector, batch, &err))
		route_fail(route, &err, false);
}

// Where the layout ends, nothing behind is this partition's any more.
static void end_at_cut(struct route *route, struct batch *batch)
{
	size_t count = batch->count;
	if (!route->cut || batch->position < route->cut)
		return;
	while (count > 0 && batch->events[count - 1].position > route->cut)
		count--;
	batch_cut(batch, count);
	batch->position = route->cut;
	route->at_cut = true;
}

void route_publish(struct route *route, struct batch *batch)
{
	if (batch->count) {
		send(route, batch);
	} else {
		window_advance(route->window, batch->position);
		batch_destroy(batch);
		route_touch(route);
	}
}

void route_publish_up_to_poison(struct route *route, struct batch *batch)
{
	size_t count = batch->count ? route_admitted(route, batch) : 0;
	if (route->poison) {
		batch->position = count ? batch->events[count - 1].position : route->poison - 1;
		batch_cut(batch, count);
	}
	route_publish(route, batch);
	if (route->poison && window_empty(route->window))
		halt_at_poison(route);
	else
		route_go_on(route);
}

void route_go_on(struct route *route)
{
	if (route->at_cut && !route->poison && !route->aside.first && route->phase == PHASE_RUNNING)
		route_drain(route);
	else
		route_make_room(route);
}

static void on_batch(void *arg, struct batch *batch)
{
	struct route *route = arg;
	if (route->phase != PHASE_RUNNING || route->poison || route->at_cut || !route_lease_check(route)) {
		batch_destroy(batch);
		return;
	}
	end_at_cut(route, batch);
	route->watch.filtered += partition_keep(batch, route->settings.partition, route->settings.partitions);
	if (route->settings.set_aside || route->aside.stale || route->aside.first)
		route_aside_take(route, batch);
	else
		route_publish_up_to_poison(route, batch);
	route_update_metrics(route);
}

void route_delivered(struct route *route, struct batch *batch)
{
	if (route->phase != PHASE_RUNNING && route->phase != PHASE_DRAINING)
		return;
	route_watch_delivered(route, batch);
	route_aside_delivered(route, batch);
	if (route->phase != PHASE_RUNNING && route->phase != PHASE_DRAINING)
		return;
	window_deliver(route->window, batch);
	route_is_back(route);
	route_touch(route);
	if (window_empty(route->window)) {
		if (route->phase == PHASE_DRAINING)
			route_saved_last(route);
		else if (route->poison)
			halt_at_poison(route);
	}
	route_make_room(route);
	route_update_metrics(route);
}
