// From nothing to a sink that was compared: open the store, load the checkpoint, open the sink, and decide behind which
// event to go on. What a sink remembers goes with its data, so it wins over the store's checkpoint where it is ahead;
// where it is behind, or forgot, the rule of that sink decides. A fingerprint that comes from outside the store (the
// sink's, or what this executor delivered last) must still be that event: else the store is behind its sinks.
#include "base/text.h"
#include "relay/route_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000)
#define LOOK_PAUSE_US (20 * MS)

static void on_open(void *arg, const struct session_info *info, const struct meow_error *err);
static void on_checkpoint(void *arg, const struct checkpoint *checkpoint, const struct meow_error *err);
static void open_sink(struct route *route);
static void choose(struct route *route, int64_t delivered, const char *fingerprint);

// What was asked on the way has its own name, so that the answers can be dropped when the sink fails meanwhile.
struct route *route_answered(void *arg, const struct meow_error *err)
{
	struct route *route = ((struct opening *)arg)->route;
	if (err)
		route_fail(route, err, true);
	else if (route->phase == PHASE_OPENING || route->phase == PHASE_HALTED || route->phase == PHASE_CANDIDATE)
		return route;
	return NULL;
}

void route_open(struct route *route)
{
	struct meow_error err;
	bool halted = route->phase == PHASE_HALTED;
	route->phase = halted ? PHASE_HALTED : PHASE_OPENING;
	if (route->session && route->session_ready) {
		route_lease_first(route);
		return;
	}
	// While the store says nothing the lease runs out.
	int64_t patience_us = route->lease.length_us < SESSION_PATIENCE_US ? route->lease.length_us : SESSION_PATIENCE_US;
	route->session = route->env.store->create(route->env.store->arg, route->env.loop, &err);
	if (route->session)
		session_open(route->session, patience_us, on_open, &route->opening);
	else
		route_fail(route, &err, true);
}

static void tell_about_store(struct route *route)
{
	if (route->store_told)
		return;
	route->store_told = true;
	if (route->info.pooled)
		LOG(LOG_WARN, "a pooler stands before PostgreSQL: this route polls instead of sleeping until it is woken",
			ROUTE_FIELDS(route));
	if (route->info.fsync_off || route->info.synchronous_commit_off)
		LOG(LOG_WARN,
			route->info.fsync_off
				? "fsync is off: after a crash the store may forget events that were already published"
				: "synchronous_commit is off: after a crash the store may forget events that were already published",
			ROUTE_FIELDS(route));
}

static void on_open(void *arg, const struct session_info *info, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	if (!route)
		return;
	route->info = *info;
	atomic_store(&route->env.metrics->store_up, true);
	tell_about_store(route);
	route->session_ready = true;
	route_lease_first(route);
}

// --- the checkpoint ---

// What this executor noted last and could not save yet goes first: else the row would say less than it did, and the
// checkpoint would go back.
void route_load_checkpoint(struct route *route)
{
	route->loading_waits = route->saving;
	if (route->saving)
		return;
	if (route->dirty && route_may_save(route))
		route_save(route);
	route->dirty = false;
	session_checkpoint_load(
		route->session, route->settings.name, route->layout, route->settings.partition, on_checkpoint, &route->opening);
}

static bool may_go_on(struct route *route, const struct checkpoint *loaded)
{
	if (route->phase == PHASE_HALTED && route->state == ROUTE_FAILED)
		return loaded->resume_from_store || loaded->position > route->checkpoint.position ||
			   loaded->generation != route->checkpoint.generation;
	return true;
}

static void stay_stopped(struct route *route, const struct checkpoint *loaded)
{
	route->phase = PHASE_HALTED;
	if (route->state != ROUTE_FAILED) {
		error_set(&route->err, MEOW_CONFIG, "%s", loaded->reason ? loaded->reason : "stopped");
		route->error_position = loaded->error_position;
		route->checkpoint.position = loaded->position;
		route->checkpoint.generation = loaded->generation;
		route->checkpoint.delivered = loaded->delivered;
		LOG(LOG_ERROR, "route stays stopped", ROUTE_FIELDS(route), LOG_TEXT("err", route->err.text));
		route_show_state(route, ROUTE_FAILED);
	}
	loop_timer_start(route->timer, 1000 * MS);
}

static void take_checkpoint(struct route *route, const struct checkpoint *loaded)
{
	free(route->loaded_fingerprint);
	route->loaded_fingerprint = loaded->fingerprint ? strdup(loaded->fingerprint) : NULL;
	route->checkpoint = *loaded;
	route->checkpoint.subscription = route->settings.name;
	route->checkpoint.fingerprint = route->checkpoint.state = route->checkpoint.reason = NULL;
	route->checkpoint.error_class = NULL;
	route->phase = PHASE_OPENING;
	route->poison = 0;
	route->row_moved = false;
	route->chosen_delivered = INT64_MAX;
	bool known = route->decision;
	route->decision = loaded->resume_from_store;
	if (!route->decision || known)
		return;
	route->refused = 0;                // tried anew
	free(route->executor_fingerprint); // and what was known of the store before counts no more
	route->executor_fingerprint = NULL;
	route->executor_delivered = 0;
}

// The row keeps a stop and its reason: a pause ends without deciding anything.
static void rest_here(struct route *route, const struct checkpoint *loaded)
{
	bool shows_other = loaded->state && strcmp(loaded->state, route_state_name(ROUTE_FAILED)) != 0 &&
					   strcmp(loaded->state, route_state_name(ROUTE_PAUSED)) != 0;
	take_checkpoint(route, loaded);
	route_rest(route);
	if (!shows_other)
		return;
	route->save_state = true;
	route_save(route);
}

static void on_checkpoint(void *arg, const struct checkpoint *loaded, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	if (!route)
		return;
	if (loaded->epoch != route->lease.epoch) { // taken by another relay since
		lease_drop(&route->lease);
		route_lease_ask(route);
		return;
	}
	if (!may_go_on(route, loaded)) {
		loop_timer_start(route->timer, 1000 * MS);
		return;
	}
	if (loaded->paused || route->paused_here) {
		rest_here(route, loaded);
		return;
	}
	if (loaded->stop_kept && !loaded->resume_from_store) {
		stay_stopped(route, loaded);
		return;
	}
	struct meow_error reason;
	if (!route_aside_refresh(route, loaded, &reason)) {
		route_halt(route, &reason, 0, false);
		return;
	}
	bool fresh = !loaded->state && loaded->position == 0 && loaded->delivered == 0;
	take_checkpoint(route, loaded);
	route->start_wanted = -1;
	if (fresh && route->settings.start_now)
		route_look_for_start(route);
	else
		open_sink(route);
}

// --- start: now ---

static void on_start_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	if (!route)
		return;
	if (route->start_wanted < 0)
		route->start_wanted = look->candidate;
	if (!settled_look(route->start_proof, look)) {
		struct meow_error no_memory;
		error_no_memory(&no_memory);
		route_fail(route, &no_memory, false);
		return;
	}
	bool settled = settled_position(route->start_proof) >= route->start_wanted;
	route_watch_holder(route, settled ? NULL : settled_oldest_holder(route->start_proof));
	if (!settled) { // whoever was writing at the start must have ended
		loop_timer_start(route->timer, LOOK_PAUSE_US);
		return;
	}
	// `delivered` starts there as well: where it decides, nothing older may come.
	route->checkpoint.delivered = route->checkpoint.position = settled_position(route->start_proof);
	settled_destroy(route->start_proof);
	route->start_proof = NULL;
	open_sink(route);
}

void route_look_for_start(struct route *route)
{
	struct meow_error err;
	if (!route->start_proof)
		route->start_proof = settled_create();
	if (route->start_proof) {
		session_look(route->session, on_start_look, &route->opening);
	} else {
		error_no_memory(&err);
		route_fail(route, &err, false);
	}
}

// --- the sink ---

static void open_sink(struct route *route)
{
	struct meow_error err;
	struct connector_context context = {.loop = route->env.loop,
		.settings = route->env.sink,
		.encoder = route->env.encoder,
		.store_id = route->info.store.store_id,
		.route = route->settings.name,
		.layout = route->layout,
		.partition = route->settings.partition,
		.partitions = route->settings.partitions,
		.epoch = route->lease.epoch,
		.generation = route->checkpoint.generation,
		.host = &route_host,
		.host_arg = route};
	route->connector = route->env.connector->create(&context, &err);
	if (route->connector)
		route->env.connector->open(route->connector, route->checkpoint.delivered);
	else
		route_fail(route, &err, false);
}

// The decision: go on behind `delivered`, whose fingerprint may be known.
static void choose(struct route *route, int64_t delivered, const char *fingerprint)
{
	const struct checkpoint *stored = &route->checkpoint;
	struct fingerprint known;
	bool moved = route->loaded_fingerprint && fingerprint_parse(bytes_of(route->loaded_fingerprint), &known) &&
				 !known.of_line && known.timeline != route->info.store.timeline;
	char *copy = fingerprint ? strdup(fingerprint) : NULL;
	free(route->chosen_fingerprint);
	route->chosen_fingerprint = copy;
	route->chosen_delivered = delivered;
	route->chosen_position = delivered;
	bool same = delivered == stored->delivered && !route->store_lost && !moved;
	bool skipped = route->decision && delivered >= stored->delivered; // `subscription skip` moves the position alone
	if (stored->position > delivered && (same || skipped))
		route->chosen_position = stored->position;
}

static void stop_at_rule(struct route *route, const char *what)
{
	struct meow_error err;
	const char *advice = route->env.connector->stop_advice;
	error_set(&err, MEOW_CONFIG,
		"%s, although %" PRId64
		" was delivered: %s; else `meowmx verify` says what it lacks, `meowmx subscription rewind` "
		"publishes that again, and `meowmx subscription resume %s` goes on behind the checkpoint without it",
		what, route->checkpoint.delivered, advice ? advice : "bring its data back", route->settings.name);
	route_halt(route, &err, 0, false);
}

static void say_choice(struct route *route, const char *message, int64_t sink, int64_t store)
{
	LOG(LOG_WARN, message, ROUTE_FIELDS(route), LOG_NUMBER("sink", sink), LOG_NUMBER("store", store));
}

// The sink remembers less than the store, or nothing. False if the route stops there.
static bool follow_rule(
	struct route *route, enum connector_rule rule, int64_t sink, const char *fingerprint, bool empty)
{
	int64_t store = route->checkpoint.delivered;
	switch (rule) {
	case SINK_REWIND:
		say_choice(route, "the sink remembers less than the store: rewinding to what it remembers", sink, store);
		choose(route, sink, fingerprint);
		route->from_outside = true;
		return true;
	case SINK_GO_ON:
		say_choice(route, "the sink remembers less than the store: going on from the store's checkpoint", sink, store);
		choose(route, store, route->loaded_fingerprint);
		return true;
	case SINK_STOP:
		// A person who dealt with an event has not decided about a sink that lost something behind it.
		if (route->decision && !route->checkpoint.error_position) {
			choose(route, store, route->loaded_fingerprint);
			return true;
		}
		stop_at_rule(route, empty ? "the sink has forgotten its position" : "the sink remembers less than the store");
		return false;
	}
	return false;
}

static bool decide(struct route *route, const struct connector_memory *memory)
{
	int64_t stored = route->checkpoint.delivered;
	bool held = memory->kind == MEMORY_HELD && memory->generation >= route->checkpoint.generation;
	bool outdated = memory->kind == MEMORY_HELD && !held;
	// Without a fingerprint nothing was delivered yet: `delivered` is where the route was told to start.
	bool never = !route->loaded_fingerprint || stored == 0;
	route->from_outside = held && memory->delivered >= stored;
	if (route->from_outside)
		choose(route, memory->delivered, memory->fingerprint);
	else if (memory->kind == MEMORY_NONE || outdated || (!held && never))
		choose(route, stored, route->loaded_fingerprint);
	else if (!held)
		return follow_rule(route, route->env.connector->when_empty, 0, NULL, true);
	else
		return follow_rule(route, route->env.connector->when_behind, memory->delivered, memory->fingerprint, false);
	return true;
}

// --- the comparison ---

static void behind(struct route *route, const struct meow_error *err, bool keep)
{
	struct meow_error told;
	error_set(&told, MEOW_CONFIG, "%.380s; see what is missing, then `meowmx subscription resume %s`", err->text,
		route->settings.name);
	route_halt(route, &told, 0, keep);
}

static void compare_next(struct route *route);

// The operator has seen that the store is behind, and decided.
static void go_on_from_store(struct route *route)
{
	int64_t stored = route->checkpoint.delivered, last = route->info.store.last_position;
	route->from_outside = false;
	choose(route, stored < last ? stored : last, stored <= last ? route->loaded_fingerprint : NULL);
	compare_next(route);
}

static const char *compared_text(const struct route *route)
{
	return route->compared_own ? route->executor_fingerprint : route->chosen_fingerprint;
}

static void on_found(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	struct fingerprint remembered;
	struct meow_error reason;
	if (!route)
		return;
	if (!fingerprint_parse(bytes_of(compared_text(route)), &remembered) ||
		fingerprint_compare(&remembered, &route->info.store, event, &reason) == FINGERPRINT_SAME)
		compare_next(route);
	else if (route->decision)
		go_on_from_store(route);
	else // what only this executor knew is gone when it ends: the stop is kept in the store
		behind(route, &reason, route->compared_own);
}

// First what the sink says, then what this executor delivered before it lost the store.
static void compare_next(struct route *route)
{
	struct fingerprint remembered;
	if (route->compared_own || !route->store_lost || !route->executor_fingerprint) {
		route_run(route);
		return;
	}
	route->compared_own = true;
	if (fingerprint_parse(bytes_of(route->executor_fingerprint), &remembered))
		session_find(route->session, remembered.position, on_found, &route->opening);
	else
		route_run(route);
}

// How far the store is now, exactly: the session may have been open for long.
static void on_head(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct route *route = route_answered(arg, err);
	struct fingerprint remembered;
	struct meow_error reason;
	if (!route)
		return;
	int64_t last_position = route->info.store.last_position = look->candidate;
	bool never = !route->from_outside && !route->chosen_fingerprint;
	if (route->chosen_delivered <= last_position) {
		if (route->from_outside && route->chosen_fingerprint &&
			fingerprint_parse(bytes_of(route->chosen_fingerprint), &remembered))
			session_find(route->session, remembered.position, on_found, &route->opening);
		else
			compare_next(route);
	} else if (never) { // a crash took an unflushed sequence back: nothing was published, so nothing is behind
		choose(route, last_position, NULL);
		compare_next(route);
	} else if (route->decision) {
		go_on_from_store(route);
	} else {
		error_set(&reason, MEOW_CONFIG,
			"the store is behind its sinks: position %" PRId64 " was published, and its last position is %" PRId64,
			route->chosen_delivered, last_position);
		behind(route, &reason, false);
	}
}

void route_opened(struct route *route, const struct connector_memory *memory)
{
	if (route->phase != PHASE_OPENING || !route_lease_check(route))
		return;
	route->compared_own = false;
	if (decide(route, memory))
		session_look(route->session, on_head, &route->opening);
}
