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
	((struct part *)arg)->stopped = true;
}

static void start_part(struct part *part, int partition)
{
	const struct relay *relay = part->relay;
	struct world *world = relay->world;
	struct route_environment env = {.loop = relay->loop,
		.store = &world->source,
		.connector = world->sink->connector,
		.sink = world->sink->section ? world->sink->section() : NULL,
		.encoder = encoder_find("data"),
		.metrics = part->metrics,
		.stopped = on_route_stopped,
		.arg = part};
	struct meow_error err;
	part->settings = world->route_settings;
	part->settings.partition = partition;
	part->settings.partitions = world->settings.partitions;
	part->settings.relay = relay->name;
	part->stopped = false;
	part->events_before = atomic_load(&part->metrics->events);
	part->route = route_create(&part->settings, &env, &err);
	if (!part->route)
		abort();
	route_start(part->route);
}

void world_start_relay(struct relay *relay)
{
	struct world *world = relay->world;
	snprintf(relay->name, sizeof(relay->name), "r%d", ++world->names % 1000000);
	sim_loop_revive(relay->loop);
	sim_loop_on_death(relay->loop, on_death, relay);
	relay->lives = true;
	relay->part_count = world->settings.partitions;
	for (int i = 0; i < relay->part_count; i++)
		start_part(&relay->parts[i], i);
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

static void destroy_parts(struct relay *relay)
{
	for (int i = 0; i < relay->part_count; i++) {
		route_destroy(relay->parts[i].route);
		relay->parts[i].route = NULL;
	}
	relay->lives = false;
}

// Whatever was under way is gone; its leases stay.
void world_kill(struct relay *relay)
{
	if (!relay->lives)
		return;
	sim_loop_on_death(relay->loop, NULL, NULL);
	destroy_parts(relay);
}

static void restart(void *arg)
{
	struct relay *relay = arg;
	if (!relay->lives && relay->world->running)
		world_start_relay(relay);
}

static void on_death(void *arg)
{
	struct relay *relay = arg;
	destroy_parts(relay);
	int64_t lease_us = relay->world->route_settings.lease_ms * 1000;
	sim_after(
		relay->world->loop, sim_chance(50) ? sim_between(0, 20000) : sim_between(0, 2 * lease_us), restart, relay);
}

void world_end(struct relay *relay)
{
	for (int i = 0; relay->lives && i < relay->part_count; i++)
		route_stop(relay->parts[i].route);
}

bool world_has_ended(const struct relay *relay)
{
	bool ended = true;
	for (int i = 0; relay->lives && i < relay->part_count; i++)
		ended &= relay->parts[i].stopped;
	return ended;
}

static void stop_gracefully(struct relay *relay)
{
	if (!relay->lives)
		return;
	world_end(relay);
	sim_run_until(relay->world->loop, sim_now(relay->world->loop) + 10000000);
	if (!world_has_ended(relay))
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
		const struct part *part = &world->relays[i].parts[0]; // the store is restored only where there is but one
		if (part->route && atomic_load(&part->metrics->events) > part->events_before &&
			atomic_load(&part->metrics->delivered) > known)
			known = atomic_load(&part->metrics->delivered);
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
	bool failed = false;
	for (int i = 0; i < world->settings.partitions; i++)
		failed |= strcmp(sim_store_state(world->store, i), "FAILED") == 0;
	return failed;
}

// What a sink that lost something makes a route say.
static bool says_lost(const char *reason)
{
	return strstr(reason, "has forgotten") || strstr(reason, "remembers less") || strstr(reason, "lacks the entry");
}

static void operate(struct world *world, int partition)
{
	int64_t position = sim_store_error_position(world->store, partition);
	const char *reason = sim_store_reason(world->store, partition);
	if (world->trouble == STORE_RESTORED && world->sink->accept && strstr(reason, "if there is none"))
		world->sink->accept();
	if (strcmp(sim_store_state(world->store, partition), "FAILED") != 0)
		return;
	if (position && position == world->sink_settings.poison[0]) {
		world_counts.skipped++;
		if (world->trouble == SINK_LOSES_TAIL)
			world_cause_trouble(world); // while the route stands
		sim_store_skip(world->store, partition, position);
	} else if (world->resumes > 0 && says_lost(reason)) {
		world->resumes--;
		world->gave_up = true;
		sim_store_resume(world->store);
	}
}

void world_operate(struct world *world)
{
	for (int i = 0; i < world->settings.partitions; i++)
		operate(world, i);
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
	if (sim_chance(25))
		world_counts.discarded += sim_store_discard(world->store, &filter);
	else
		world_counts.retried += sim_store_retry(world->store, &filter);
	sim_after(world->loop, sim_chance(40) ? sim_between(100, 20000) : sim_between(20000, 300000),
		world_operate_on_letters, world);
}

bool world_says_behind(const struct world *world)
{
	return world_is_failed(world) && strstr(sim_store_reason(world->store, 0), "behind its sinks");
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
		(long)sim_store_head(world->store), sim_store_state(world->store, 0), sim_store_reason(world->store, 0));
}

// The old partitions run up to where the first of them stands, while all goes on failing as before: that may take minutes.
static void run_to_cut(struct world *world)
{
	int64_t cut = sim_store_cut(world->store);
	world_start(world);
	for (int i = 0; i < 6000 && sim_store_position(world->store) < cut; i++) {
		sim_run_until(world->loop, sim_now(world->loop) + 100000);
		if (i % 15 == 14)
			world_operate(world);
	}
	if (sim_store_position(world->store) < cut)
		sim_violation("stuck at %ld on the way to the end of the layout at %ld: %s",
			(long)sim_store_position(world->store), (long)cut, sim_store_reason(world->store, 0));
	world_stop(world);
}

void world_repartition(struct world *world)
{
	sim_store_pause(world->store, false);
	for (int tries = 0; tries < 100; tries++)
		switch (sim_store_repartition(world->store, world->repartitions)) {
		case SIM_STILL_RUN:
			sim_run_until(world->loop, sim_now(world->loop) + 100000);
			break;
		case SIM_RUN_TO_CUT:
			run_to_cut(world);
			break;
		case SIM_REPARTITIONED:
			world->settings.partitions = world->repartitions;
			world->repartitions = 0;
			world_counts.repartitioned++;
			return;
		}
	sim_violation("a repartition never comes to its end");
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
		struct relay *relay = &world->relays[i];
		*relay = (struct relay){.world = world, .loop = sim_loop_create_within(world->loop)};
		for (int k = 0; k < SIM_PARTITIONS_MOST; k++) {
			relay->parts[k] = (struct part){.relay = relay, .metrics = calloc(1, sizeof(struct route_metrics))};
			if (!relay->parts[k].metrics)
				abort();
		}
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
		for (int k = 0; k < SIM_PARTITIONS_MOST; k++)
			free(world->relays[i].parts[k].metrics);
	}
	loop_destroy(world->loop);
}
