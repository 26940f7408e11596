// What a seed decides, and the run that follows from it.
#include "sim_world.h"

const struct sim_sink *const sim_sinks[] = {
	&sim_plain_once,
	&sim_plain_parts,
	&sim_file,
#ifdef HAVE_REDIS
	&sim_redis,
#endif
#ifdef HAVE_KAFKA
	&sim_kafka,
	&sim_kafka_exactly,
#endif
};
const size_t sim_sink_count = sizeof(sim_sinks) / sizeof(*sim_sinks);

static const char *const orders[] = {"order"};

static void choose_sink(struct world *world, const struct sim_sink *only)
{
	const struct sim_sink *chosen = sim_sinks[sim_between(0, (int64_t)sim_sink_count - 1)];
	world->sink = only ? only : chosen;
	world->sink_settings =
		(struct sim_sink_settings){.fail_percent = (unsigned)sim_between(0, 8), .partitions = (int)sim_between(1, 4)};
	bool late = sim_chance(50);
	if (!sim_chance(40))
		return;
	world->sink_settings.poison[0] = sim_between(5, 120);
	world->sink_settings.poison_late = world->sink->late && (late || !world->sink->early);
}

static void choose_store(struct world *world)
{
	world->settings = (struct sim_store_settings){.rollback_percent = (unsigned)sim_between(0, 25),
		.early_percent = (unsigned)sim_between(0, 30),
		.lost_percent = sim_chance(50) ? 0 : (unsigned)sim_between(0, 3),
		.prepared_percent = sim_chance(70) ? 0 : (unsigned)sim_between(1, 10),
		.writers = (int)sim_between(1, 6),
		.until_us = sim_between(200000, 3000000),
		.start_now = sim_chance(15)};
}

static void choose_route(struct world *world)
{
	bool filtered = sim_chance(40);
	world_filter(filtered);
	world->route_settings = (struct route_settings){.name = "sim",
		.categories = filtered ? orders : NULL,
		.category_count = filtered ? 1 : 0,
		.window_bytes = (size_t)sim_between(2000, 200000),
		.set_aside = sim_chance(world->sink_settings.poison[0] ? 75 : 50),
		.start_now = world->settings.start_now,
		.batch_rows = (size_t)sim_between(1, 200),
		.backoff_least_ms = 10,
		.backoff_most_ms = 500,
		.drain_ms = 3000,
		.lease_ms = sim_between(50, 600),
		.checkpoint_ms = sim_chance(30) ? 1 : sim_between(1, 300)};
}

static bool can_befall(const struct world *world, enum trouble trouble)
{
	switch (trouble) {
	case SINK_FORGETS:
		return world->sink->forget != NULL;
	case SINK_LOSES_TAIL:
		return world->sink->lose_tail != NULL;
	case GENERATION_RISES:
		return world->sink->rewinds;
	case STORE_RESTORED:
		return !world->sink->locks; // a file's last line proves nothing where the store has no such row any more
	case NOTHING:
	case PAUSED:
	case STORE_CRASHES:
	case TROUBLES:
		break;
	}
	return true;
}

// A sink that will not take some events more, and a person who deals with what is set aside for that.
static void choose_letters(struct world *world)
{
	if (!world->sink_settings.poison[0] || !world->route_settings.set_aside)
		return;
	for (int i = 1; i < SIM_POISONS; i++)
		world->sink_settings.poison[i] = sim_chance(40) ? 0 : sim_between(5, 200);
	world->operates = sim_chance(70);
	world->corrects = sim_chance(60);
}

static void choose(struct world *world, const struct sim_sink *only)
{
	choose_sink(world, only);
	choose_store(world);
	choose_route(world);
	world->trouble = sim_chance(40) ? NOTHING : (enum trouble)sim_between(1, TROUBLES - 1);
	if (world->sink_settings.poison[0] && sim_chance(25))
		world->trouble = SINK_LOSES_TAIL; // while it stands at the poison
	if (!can_befall(world, world->trouble))
		world->trouble = NOTHING;
	if (world->trouble == STORE_RESTORED)
		world->sink_settings.poison[0] = 0; // one thing at a time
	world->relay_count = world->trouble == STORE_RESTORED || sim_chance(50) ? 1 : RELAYS;
	world->freezes = world->trouble != STORE_RESTORED && sim_chance(50);
	choose_letters(world);
	world->settings.partitions = 1;
	if (!world->sink->remembers && world->trouble != STORE_RESTORED && sim_chance(50)) {
		world->settings.partitions = (int)sim_between(2, SIM_PARTITIONS_MOST);
		world->settings.start_now = world->route_settings.start_now = false;
		world_counts.divided++;
		if (sim_chance(50))
			world->repartitions = (int)sim_between(1, SIM_PARTITIONS_MOST);
	}
	world->deaths = sim_chance(40) ? 0 : (unsigned)sim_between(1, 6);
	world->settings.steady = world->trouble == NOTHING || world->trouble == PAUSED || world->trouble == STORE_CRASHES;
}

// Whatever befell it is over: from now on everything must go well.
static void calm(struct world *world)
{
	world->freezes = world->operates = false;
	world_thaw(world);
	sim_steps_disarm();
	sim_store_calm(world->store);
	world->sink->calm();
	sim_store_pause(world->store, false);
}

static void check_calm(struct world *world)
{
	calm(world);
	sim_run_until(world->loop, sim_now(world->loop) + 5000000);
	world_catch_up(world);
	if (world->corrects)
		check_corrected(world);
	if (world->trouble != NOTHING || world->sink_settings.poison[0])
		return;
	check_wake_up(world);
	if (world->relay_count > 1)
		check_take_over(world);
}

// One life of the processes; false if the run ends with it.
static bool live_once(struct world *world, int64_t span_us, bool fateful)
{
	world_start(world);
	if (fateful && world->trouble != NOTHING)
		sim_after(world->loop, sim_between(0, span_us), world_cause_trouble, world);
	for (int64_t end_us = sim_now(world->loop) + span_us; sim_now(world->loop) < end_us;) {
		sim_run_until(world->loop, sim_now(world->loop) + (span_us < 400000 ? span_us : 400000));
		if (!world->must_stop && sim_chance(50))
			world_operate(world);
	}
	if (!world->must_stop)
		return true;
	calm(world);
	check_behind(world);
	return false;
}

static void live(struct world *world)
{
	int lives = (int)sim_between(1, 4);
	int64_t span_us = world->settings.until_us / lives;
	int fateful = (int)sim_between(0, lives - 1);
	if (world->settings.start_now)
		sim_run_until(world->loop, sim_between(0, 300000));
	sim_store_note_start(world->store);
	if (world->freezes) {
		world_counts.frozen++;
		sim_after(world->loop, sim_between(0, span_us), world_freeze_some, world);
	}
	if (world->operates)
		sim_after(world->loop, sim_between(0, span_us), world_operate_on_letters, world);
	sim_steps_arm(world->deaths, world->sink->first_step, world->sink->last_step, world->operates);
	for (int life = 0; life < lives; life++) {
		if (!live_once(world, span_us, life == fateful))
			return;
		if (life == lives - 1)
			check_calm(world);
		world_stop(world);
		if (world->repartitions && life < lives - 1 && sim_chance(60))
			world_repartition(world);
	}
	check_end(world);
}

void run_seed(uint64_t seed, const struct sim_sink *only)
{
	struct world world = {0};
	sim_seed(seed);
	choose(&world, only);
	world_make(&world);
	live(&world);
	sim_steps_disarm();
	world_finish(&world);
}
