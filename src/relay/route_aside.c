// Setting aside: with on_poison: set-aside an event that the sink will never take goes to the dead letters, and so do later
// events of its aggregate, as long as a dead letter holds that. They are committed before what steps over them is sent,
// so a batch with such events waits until the store has them, and what is read meanwhile waits behind it. Which aggregates
// are held is loaded with the checkpoint, and again once a second, since an operator may discard what holds them. Dead
// letters that an operator wants to be published again have places for that, which were drawn as positions are, so that
// the reader comes by; route_retry.c has them.
#include "relay/route_aside.h"
#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static void show_held(const struct route *route, int64_t position)
{
	atomic_store(&route->env.metrics->held_aggregates, holds_beyond(&route->aside.holds, position));
}

bool route_aside_refresh(struct route *route, const struct checkpoint *loaded, struct meow_error *err)
{
	struct route_metrics *metrics = route->env.metrics;
	struct route_aside *aside = &route->aside;
	if (aside->first) // letters are on their way that this row may not show yet
		return true;
	if (!holds_read(&aside->holds, loaded->held))
		return error_no_memory(err);
	aside->loaded = aside->looked;
	aside->open = loaded->dead_letters;
	atomic_store(&metrics->dead_letters, (uint64_t)loaded->dead_letters);
	atomic_store(&metrics->dead_letter_age_us, loaded->dead_letter_age_us);
	show_held(route, loaded->position);
	if (!route->settings.set_aside && loaded->dead_letters)
		return error_set(err, MEOW_CONFIG,
			"%" PRId64
			" dead letters hold their aggregates, and on_poison is stop: set it to set-aside, or discard them "
			"(`meowmx dead list %s`), then `meowmx subscription resume %s`",
			loaded->dead_letters, route->settings.name, route->settings.name);
	return aside->holds.count <= HOLDS_MOST ||
		   error_set(err, MEOW_CONFIG,
			   "more than %d aggregates are held by dead letters: see `meowmx dead list %s`, discard what can go, then "
			   "`meowmx subscription resume %s`",
			   HOLDS_MOST, route->settings.name, route->settings.name);
}

void route_aside_drop(struct route *route)
{
	struct batch *batch = route->aside.first;
	while (batch) {
		struct batch *next = batch->next;
		batch_destroy(batch);
		batch = next;
	}
	route->aside.first = NULL;
	route->aside.end = NULL;
	route->aside.stale = route->aside.waiting = false;
}

void route_aside_finish(struct route *route)
{
	route_aside_drop(route);
	holds_finish(&route->aside.holds);
	buffer_finish(&route->aside.letters);
}

static void put_text(struct buffer *out, const char *key, struct meow_bytes text)
{
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, text);
}

static bool is_held(const struct route *route, const struct meow_event *event)
{
	return holds_has(&route->aside.holds, event->aggregate_type, event->aggregate_id, event->position);
}

// Takes the event out of the batch and writes its dead letter. err NULL: it follows one that was refused.
static bool take_out(struct route *route, struct batch *batch, size_t index, const struct meow_error *err)
{
	struct route_aside *aside = &route->aside;
	struct buffer *out = &aside->letters;
	const struct meow_event event = batch->events[index];
	buffer_put_text(out, out->size ? ",{" : "[{");
	buffer_printf(out, "\"position\":%" PRId64 ",\"version\":%" PRId64, event.position, (int64_t)event.version);
	put_text(out, "aggregate_type", event.aggregate_type.data ? event.aggregate_type : bytes_of(""));
	put_text(out, "aggregate_id", event.aggregate_id);
	put_text(out, "event_type", event.type);
	if (err) {
		put_text(out, "error", bytes_of(err->text));
		put_text(out, "error_class", bytes_of(error_kind_name(err->kind)));
	}
	buffer_put_char(out, '}');
	memmove(&batch->events[index], &batch->events[index + 1], (batch->count - index - 1) * sizeof(event));
	batch_cut(batch, batch->count - 1);
	// Where its aggregate is held up to a certain place, it may have been set aside before: the store knows how long for.
	bool ends = is_held(route, &event) && holds_end(&aside->holds, event.aggregate_type, event.aggregate_id);
	aside->stale |= ends;
	return !out->failed && (ends || holds_add(&aside->holds, event.aggregate_type, event.aggregate_id, event.position));
}

// Events of the batch from this one on wait until it is known whether their aggregate is held.
static bool put_off(struct route *route, struct batch *batch, size_t index)
{
	route->aside.stale = true;
	struct batch *rest = route_retry_split(batch, index);
	if (!rest)
		return false;
	batch->position = rest->events[0].position - 1;
	batch->next = rest;
	if (route->aside.end == batch)
		route->aside.end = rest;
	return true;
}

// Behind the place up to which an aggregate was held, and either that place did not cut the batch, so that its retry is off
// (it was discarded, or the route was rewound), or an event before it was taken out, which may be a new dead letter.
static bool is_doubtful(const struct route *route, const struct meow_event *event)
{
	const struct route_aside *aside = &route->aside;
	int64_t end = holds_end(&aside->holds, event->aggregate_type, event->aggregate_id);
	return end && event->position > end && (aside->stale || end > aside->loaded);
}

// Writes the dead letters of the batch, which is left with what the sink will take.
static bool pick(struct route *route, struct batch *batch, struct meow_error *err)
{
	size_t good = 0; // leading events that go to the sink
	bool ok = true;
	buffer_clear(&route->aside.letters, 64 * 1024);
	while (ok && good < batch->count) {
		const struct meow_event *event = &batch->events[good];
		if (is_held(route, event))
			ok = take_out(route, batch, good, NULL);
		else if (is_doubtful(route, event))
			ok = put_off(route, batch, good);
		else
			good++;
	}
	while (ok && (good = route_admitted(route, batch)) < batch->count) {
		const struct meow_error reason = route->poison_err;
		LOG(LOG_WARN, "an event is set aside, and what follows it of its aggregate", ROUTE_FIELDS(route),
			LOG_NUMBER("position", batch->events[good].position), LOG_TEXT("err", reason.text),
			LOG_TEXT("class", error_kind_name(reason.kind)));
		ok = take_out(route, batch, good, &reason);
		for (size_t i = good; ok && i < batch->count;)
			if (is_held(route, &batch->events[i]))
				ok = take_out(route, batch, i, NULL);
			else
				i++;
	}
	route->poison = 0;
	if (ok && route->aside.letters.size)
		buffer_put_char(&route->aside.letters, ']');
	return (ok && !route->aside.letters.failed) || error_no_memory(err);
}

struct route *route_aside_answered(void *arg, const struct meow_error *err, bool of_owner)
{
	struct route *route = ((struct opening *)arg)->route;
	if (route->phase != PHASE_RUNNING && route->phase != PHASE_DRAINING)
		return NULL;
	if (!err)
		return route;
	route->row_moved = of_owner && err->kind == MEOW_CONFLICT;
	if (route->row_moved)
		lease_drop(&route->lease);
	route_fail(route, err, !route->row_moved);
	return NULL;
}

void route_aside_publish(struct route *route)
{
	struct batch *batch = route->aside.first;
	route->aside.first = batch->next;
	route_publish(route, batch);
}

static void on_aside(void *arg, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, true);
	if (!route)
		return;
	show_held(route, window_mark(route->window).position);
	route_aside_publish(route);
	route_aside_go_on(route);
}

struct session_letters route_aside_letters(const struct route *route, const char *json)
{
	return (struct session_letters){.subscription = route->settings.name,
		.layout = route->layout,
		.partition = route->settings.partition,
		.epoch = route->lease.epoch,
		.generation = route->checkpoint.generation,
		.json = json};
}

static void on_loaded(void *arg, const struct checkpoint *loaded, const struct meow_error *err)
{
	struct route *route = route_aside_answered(arg, err, false);
	struct meow_error reason;
	if (!route)
		return;
	if (loaded->epoch != route->lease.epoch || loaded->generation != route->checkpoint.generation) {
		error_set(&reason, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved", route->settings.name);
		route->row_moved = true;
		route_fail(route, &reason, false);
		return;
	}
	route->aside.loaded = route->aside.looked;
	bool ok = holds_read(&route->aside.holds, loaded->held) || error_no_memory(&reason);
	if (ok && route->aside.holds.count && !route->settings.set_aside)
		ok = error_set(&reason, MEOW_CONFIG,
			"the sink lost events that were dead letters and are to be published again, and on_poison is stop: set it "
			"to set-aside, then `meowmx subscription resume %s`",
			route->settings.name);
	if (ok)
		route_aside_go_on(route);
	else
		route_fail(route, &reason, false);
}

// Whether it has to wait for the store.
static bool begin(struct route *route, struct batch *batch)
{
	struct route_aside *aside = &route->aside;
	struct meow_error err;
	if (aside->stale) {
		aside->stale = false;
		session_checkpoint_load(
			route->session, route->settings.name, route->layout, route->settings.partition, on_loaded, &route->opening);
		return true;
	}
	if (!route->settings.set_aside) { // it only waited for that
		aside->first = batch->next;
		if (route->poison)
			batch_destroy(batch);
		else
			route_publish_up_to_poison(route, batch);
		return false;
	}
	if (batch->place)
		return route_retry(route, batch);
	if (aside->holds.count && aside->looked < batch->position) {
		route_retry_look(route, batch);
		return true;
	}
	if (!pick(route, batch, &err)) {
		route_fail(route, &err, false);
		return true;
	}
	if (!aside->letters.size) {
		route_aside_publish(route);
		return false;
	}
	const struct session_letters letters = route_aside_letters(route, aside->letters.data);
	session_set_aside(route->session, &letters, on_aside, &route->opening);
	return true;
}

void route_aside_go_on(struct route *route)
{
	while (route->aside.first && route->phase == PHASE_RUNNING)
		if (begin(route, route->aside.first))
			return;
	if (!route->aside.first)
		route->aside.end = NULL;
	route_go_on(route);
}

void route_aside_take(struct route *route, struct batch *batch)
{
	bool idle = !route->aside.first;
	batch->next = NULL;
	if (idle)
		route->aside.first = batch;
	else
		route->aside.end->next = batch;
	route->aside.end = batch;
	if (idle)
		route_aside_go_on(route);
}
