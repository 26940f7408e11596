// Dead letters that are published again. `dead retry` draws a position for each, a place that no event will ever have, in
// their order. The reader comes by there as by any gap in the positions, and cannot before the command has committed; so
// the store is asked for places before a batch is published that passes by, as long as any aggregate is held. The letter's
// event is then a batch of its own between what lies before the place and what lies behind it, and the sink's position is
// the place: so whatever a sink promises of events holds for it, too, over a crash at any step. Its aggregate is held
// up to the place of its last letter. The letter is closed when the sink has it, or else at the next start; if the
// sink, which is opened anew for that, will not take it this time either, it stays open, as do those behind it, without
// a place, before the route goes by.
#include "relay/route_aside.h"

#include "base/text.h"
#include "relay/partition.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void put_end(struct buffer *out, int64_t place, const struct meow_event *event, const struct meow_error *err)
{
	buffer_printf(out, "[{\"retry_at\":%" PRId64, place);
	if (event) {
		buffer_put_text(out, ",\"aggregate_type\":");
		buffer_put_json(out, event->aggregate_type.data ? event->aggregate_type : bytes_of(""));
		buffer_put_text(out, ",\"aggregate_id\":");
		buffer_put_json(out, event->aggregate_id);
	}
	if (err) {
		buffer_put_text(out, ",\"error\":");
		buffer_put_json(out, bytes_of(err->text));
		buffer_printf(out, ",\"error_class\":\"%s\"", error_kind_name(err->kind));
	}
	buffer_put_text(out, "}]");
}

// The retry is over; err: it failed.
static bool end_retry(struct route *route, int64_t place, const struct meow_event *event, const struct meow_error *err,
	session_done_fn *fn)
{
	struct buffer json;
	struct meow_error failed;
	buffer_init(&json);
	put_end(&json, place, event, err);
	bool ok = buffer_ok(&json, &failed);
	if (ok) {
		const struct session_letters letters = route_aside_letters(route, json.data);
		session_retry_end(route->session, &letters, fn, &route->opening);
	} else {
		route_fail(route, &failed, false);
	}
	buffer_finish(&json);
	return ok;
}

static bool is_ours(const struct route *route, const struct session_retry *retry)
{
	return partition_of(retry->aggregate_id, route->settings.partitions) == route->settings.partition;
}

// --- at the start: what the sink has already

static void sweep(struct route *route, int64_t after);

static void on_swept(void *arg, const struct meow_error *err)
{
	(void)route_aside_answered(arg, err, true);
}

static void on_left_open(void *arg, const struct session_retry *retry, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, false);
	if (!route || !retry)
		return;
	int64_t place = retry->place;
	if (!is_ours(route, retry) || end_retry(route, place, NULL, NULL, on_swept))
		sweep(route, place);
}

static void sweep(struct route *route, int64_t after)
{
	const struct session_retry_query query = {.subscription = route->settings.name,
		.after = after,
		.to = route->chosen_delivered,
		.delivered = route->chosen_delivered};
	session_retry_next(route->session, &query, on_left_open, &route->opening);
}

void route_aside_start(struct route *route)
{
	route->aside.looked = route->aside.loaded = route->chosen_position;
	if (route->settings.set_aside && route->aside.holds.count)
		sweep(route, 0);
}

// --- on the way

struct batch *route_retry_split(struct batch *batch, size_t index)
{
	struct batch *rest = batch_create();
	for (size_t i = index; rest && i < batch->count; i++)
		if (!batch_add(rest, &batch->events[i])) {
			batch_destroy(rest);
			rest = NULL;
		}
	if (!rest)
		return NULL;
	rest->position = batch->position;
	rest->next = batch->next;
	batch_cut(batch, index);
	return rest;
}

// Cuts the first batch at the place, and puts one for the retry between; or before it, if none of its events come first.
static bool make_place(struct route *route, int64_t place)
{
	struct route_aside *aside = &route->aside;
	struct batch *batch = aside->first, *retry = batch_create();
	size_t before = 0;
	while (before < batch->count && batch->events[before].position < place)
		before++;
	if (retry)
		retry->place = retry->position = place;
	if (retry && before == 0 && batch->count > 0) {
		retry->next = batch;
		aside->first = retry;
		return true;
	}
	struct batch *rest = retry ? route_retry_split(batch, before) : NULL;
	if (!rest) {
		batch_destroy(retry);
		return false;
	}
	retry->next = rest;
	batch->next = retry;
	batch->position = place - 1;
	if (aside->end == batch)
		aside->end = rest;
	return true;
}

static void on_next(void *arg, const struct session_retry *retry, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, false);
	struct meow_error failed;
	if (!route || !route->aside.first)
		return;
	struct route_aside *aside = &route->aside;
	aside->looked = retry ? retry->place : aside->first->position;
	if (retry && is_ours(route, retry)) {
		aside->retried = retry->position;
		aside->stale = true; // until which place they are held was decided since
		if (!make_place(route, retry->place)) {
			error_no_memory(&failed);
			route_fail(route, &failed, false);
			return;
		}
	}
	route_aside_go_on(route);
}

void route_retry_look(struct route *route, struct batch *batch)
{
	const struct session_retry_query query = {
		.subscription = route->settings.name, .after = route->aside.looked, .to = batch->position};
	session_retry_next(route->session, &query, on_next, &route->opening);
}

// --- in its place

static void drop_first(struct route *route)
{
	struct batch *batch = route->aside.first;
	route->aside.first = batch->next;
	window_advance(route->window, batch->position);
	batch_destroy(batch);
	route_touch(route);
}

static void on_ended(void *arg, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, true);
	if (!route || !route->aside.first)
		return;
	route->aside.stale = true;
	drop_first(route);
	route_aside_go_on(route);
}

static void on_event(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, false);
	struct meow_error failed;
	if (!route || !route->aside.first)
		return;
	struct batch *batch = route->aside.first;
	if (!event) {
		LOG(LOG_WARN, "an event that was to be published again was deleted meanwhile", ROUTE_FIELDS(route),
			LOG_NUMBER("position", route->aside.retried));
		(void)end_retry(route, batch->place, NULL, NULL, on_ended);
	} else if (batch_add(batch, event)) {
		route_aside_go_on(route);
	} else {
		error_no_memory(&failed);
		route_fail(route, &failed, false);
	}
}

bool route_retry(struct route *route, struct batch *batch)
{
	struct route_aside *aside = &route->aside;
	aside->waiting = !window_empty(route->window) && window_room(route->window) == 0;
	if (aside->waiting)
		return true;
	if (batch->count == 0) {
		session_find(route->session, aside->retried, on_event, &route->opening);
		return true;
	}
	bool admitted = route_admitted(route, batch) > 0;
	if (!admitted && batch->place > route->info.store.last_position) { // it was asked for since the sink was opened
		struct meow_error again;
		error_set(&again, MEOW_UNAVAILABLE, "event %" PRId64 " is to be published again: opening the sink anew",
			batch->events[0].position);
		route_fail(route, &again, false);
		return true;
	}
	if (!admitted) {
		const struct meow_error reason = route->poison_err;
		const struct meow_event event = batch->events[0];
		route->poison = 0;
		LOG(LOG_WARN, "an event stays set aside: the sink does not take it this time either", ROUTE_FIELDS(route),
			LOG_NUMBER("position", event.position), LOG_TEXT("err", reason.text));
		// Twice: while the first waits for a `dead retry` of later letters, it cannot see their places yet.
		if (end_retry(route, batch->place, &event, &reason, on_swept))
			(void)end_retry(route, batch->place, &event, &reason, on_ended);
		return true;
	}
	LOG(LOG_INFO, "an event that was set aside is published again", ROUTE_FIELDS(route),
		LOG_NUMBER("position", batch->events[0].position), LOG_NUMBER("place", batch->place));
	route_aside_publish(route);
	return false;
}

void route_aside_room(struct route *route)
{
	if (route->aside.waiting && (window_empty(route->window) || window_room(route->window) > 0)) {
		route->aside.waiting = false;
		route_aside_go_on(route);
	}
}

void route_aside_delivered(struct route *route, const struct batch *batch)
{
	if (batch->place)
		(void)end_retry(route, batch->place, NULL, NULL, on_swept);
}
