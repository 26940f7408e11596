// The world of one run: its processes, how they start, freeze, die and stop, what befalls them, and the operator.
#include "sim_world.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world_counts world_counts;

static bool filtered;

void world_filter(bool orders_alone)
{
	filtered = orders_alone;
}

bool world_wants(const struct meow_event *event)
{
	return !filtered || strcmp(event->aggregate_type.data, "order") == 0;
}

static void on_death(void *arg);

static void on_route_stopped(void *arg)
{
	((struct relay *)arg)->stopped = true;
}

void world_start_relay(struct relay *relay)
{
	struct world *world = relay->world;
	struct route_environment env = {.loop = relay->loop,
		.store = &world->source,
		.connector = world->sink->connector,
		.sink = world->sink->section ? world->sink->section() : NULL,
		.encoder = encoder_find("data"),
		.metrics = relay->metrics,
		.stopped = on_route_stopped,
		.arg = relay};
	struct meow_error err;
	snprintf(relay->name, sizeof(relay->name), "r%d", ++world->names % 1000000);
	relay->settings = world->route_settings;
	relay->settings.partitions = 1;
	relay->settings.relay = relay->name;
	sim_loop_revive(relay->loop);
	relay->stopped = false;
	sim_loop_on_death(relay->loop, on_death, relay);
	relay->events_before = atomic_load(&relay->metrics->events);
	relay->route = route_create(&relay->settings, &env, &err);
	if (!relay->route)
		abort();
	route_start(relay->route);
}

void world_start(struct world *world)
{
	world->running = true;
	for (int i = 0; i < world->relay_count; i++)
		world_start_relay(&world->relays[i]);
}

void world_thaw(struct world *world)
{
	for (int i = 0; i < world->relay_count; i++)
		sim_loop_freeze(world->relays[i].loop, false);
}

// Whatever was under way is gone; its lease stays.
void world_kill(struct relay *relay)
{
	if (!relay->route)
		return;
	sim_loop_on_death(relay->loop, NULL, NULL);
	route_destroy(relay->route);
	relay->route = NULL;
}

static void restart(void *arg)
{
	struct relay *relay = arg;
	if (!relay->route && relay->world->running)
		world_start_relay(relay);
}

static void on_death(void *arg)
{
	struct relay *relay = arg;
	route_destroy(relay->route);
	relay->route = NULL;
	int64_t lease_us = relay->world->route_settings.lease_ms * 1000;
	sim_after(
		relay->world->loop, sim_chance(50) ? sim_between(0, 20000) : sim_between(0, 2 * lease_us), restart, relay);
}

static void stop_gracefully(struct relay *relay)
{
	if (!relay->route)
		return;
	route_stop(relay->route);
	sim_run_until(relay->world->loop, sim_now(relay->world->loop) + 10000000);
	if (relay->route && !relay->stopped)
		sim_violation("a graceful stop does not end");
	world_kill(relay);
}

void world_stop(struct world *world)
{
	world->running = false;
	world_thaw(world);
	for (int i = 0; i < world->relay_count; i++)
		if (sim_chance(50))
			world_kill(&world->relays[i]);
		else
			stop_gracefully(&world->relays[i]);
}

void world_freeze_some(void *arg)
{
	struct world *world = arg;
	int64_t lease_us = world->route_settings.lease_ms * 1000;
	if (!world->freezes)
		return;
	for (int i = 0; i < world->relay_count; i++)
		sim_loop_freeze(world->relays[i].loop, sim_chance(40));
	if (sim_chance(10))
		sim_store_set_clock(world->store, sim_between(-2 * lease_us, 2 * lease_us));
	sim_after(world->loop, sim_between(0, 2 * lease_us), world_freeze_some, world);
}

// What executors that live have delivered.
static int64_t known_to_executors(const struct world *world)
{
	int64_t known = 0;
	for (int i = 0; i < world->relay_count; i++) {
		const struct relay *relay = &world->relays[i];
		if (relay->route && atomic_load(&relay->metrics->events) > relay->events_before &&
			atomic_load(&relay->metrics->delivered) > known)
			known = atomic_load(&relay->metrics->delivered);
	}
	return known;
}

void world_cause_trouble(void *arg)
{
	struct world *world = arg;
	int64_t known = world->sink->remembers ? world->sink->delivered() : 0;
	if (!known)
		known = known_to_executors(world);
	if (world->happened)
		return;
	world->happened = true;
	world_counts.troubles[world->trouble]++;
	switch (world->trouble) {
	case SINK_FORGETS:
		world->sink->forget();
		world->resumes = 10;
		return;
	case SINK_LOSES_TAIL:
		world->sink->lose_tail();
		world->resumes = 10; // to before its first batch
		return;
	case GENERATION_RISES:
		world->rewound_to = sim_store_rewind(world->store);
		world->rewound = world->rewound_to >= 0;
		world->rewound_at = sim_ledger_count();
		return;
	case PAUSED:
		sim_store_pause(world->store, true);
		return;
	case STORE_RESTORED:
		sim_store_restore(world->store);
		world->must_stop = sim_store_head(world->store) < known;
		sim_steps_disarm(); // what an executor knows must be kept
		return;
	case STORE_CRASHES:
		sim_store_crash(world->store);
		return;
	case NOTHING:
	case TROUBLES:
		return;
	}
}

bool world_is_failed(const struct world *world)
{
	return strcmp(sim_store_state(world->store), "FAILED") == 0;
}

// What a sink that lost something makes a route say.
static bool says_lost(const char *reason)
{
	return strstr(reason, "has forgotten") || strstr(reason, "remembers less") || strstr(reason, "lacks the entry");
}

void world_operate(struct world *world)
{
	int64_t position = sim_store_error_position(world->store);
	const char *reason = sim_store_reason(world->store);
	if (world->trouble == STORE_RESTORED && world->sink->accept && strstr(reason, "if there is none"))
		world->sink->accept();
	if (!world_is_failed(world))
		return;
	if (position && position == world->sink_settings.poison[0]) {
		world_counts.skipped++;
		if (world->trouble == SINK_LOSES_TAIL)
			world_cause_trouble(world); // while the route stands
		sim_store_skip(world->store, position);
	} else if (world->resumes > 0 && says_lost(reason)) {
		world->resumes--;
		world->gave_up = true;
		sim_store_resume(world->store);
	}
}

// Of all, of an aggregate, or of one position.
static struct sim_letters choose_letters(const struct sim_store *store)
{
	struct sim_letters filter = {.aggregate = -1};
	int64_t open = (int64_t)sim_store_letters(store), kind = sim_between(0, 3); // which is all again
	if (kind == 1)
		filter.aggregate = (int)sim_between(0, SIM_AGGREGATES - 1);
	else if (kind == 2 && open)
		filter.position = sim_store_letter(store, (size_t)sim_between(0, open < 6 ? open - 1 : 5));
	return filter;
}

void world_operate_on_letters(void *arg)
{
	struct world *world = arg;
	if (!world->operates)
		return;
	struct sim_letters filter = choose_letters(world->store);
	if (sim_chance(10))
		sim_poison_correct();
	if (sim_chance(15))
		world_counts.discarded += sim_store_discard(world->store, &filter);
	else
		world_counts.retried += sim_store_retry(world->store, &filter);
	sim_after(world->loop, sim_chance(40) ? sim_between(100, 20000) : sim_between(20000, 300000),
		world_operate_on_letters, world);
}

bool world_says_behind(const struct world *world)
{
	return world_is_failed(world) && strstr(sim_store_reason(world->store), "behind its sinks");
}

void world_catch_up(struct world *world)
{
	for (int i = 0; i < 600; i++) {
		sim_run_until(world->loop, sim_now(world->loop) + 100000);
		if (sim_store_position(world->store) >= sim_store_head(world->store) && !world_is_failed(world))
			return;
		if (world->trouble == STORE_RESTORED && !world->must_stop && world_says_behind(world))
			return;       // by what was in flight in that moment
		if (i % 15 == 14) // after it could see what was decided last
			world_operate(world);
	}
	sim_violation("stuck at %ld of %ld, state %s: %s", (long)sim_store_position(world->store),
		(long)sim_store_head(world->store), sim_store_state(world->store), sim_store_reason(world->store));
}

void world_make(struct world *world)
{
	static const struct sim_store_watch watch = {world_wants, sim_ledger_had};
	world->loop = sim_loop_create();
	sim_ledger_reset(world->loop);
	sim_poison_set(world->sink_settings.poison);
	world->sink->reset(world->loop, &world->sink_settings);
	world->store = sim_store_create(world->loop, &world->settings, &watch);
	world->source = sim_store_source(world->store);
	for (int i = 0; i < world->relay_count; i++) {
		world->relays[i] = (struct relay){.world = world,
			.loop = sim_loop_create_within(world->loop),
			.metrics = calloc(1, sizeof(struct route_metrics))};
		if (!world->relays[i].metrics)
			abort();
	}
}

void world_finish(struct world *world)
{
	world->freezes = world->operates = false;
	world_thaw(world);
	sim_run_until(world->loop, INT64_MAX - 1);
	sim_store_destroy(world->store);
	world->sink->free();
	sim_ledger_free();
	for (int i = 0; i < world->relay_count; i++) {
		loop_destroy(world->relays[i].loop);
		free(world->relays[i].metrics);
	}
	loop_destroy(world->loop);
}
