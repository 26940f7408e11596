// Runs the real route, window, follower and settled position by seeds, in a world without a clock or a socket.
//
//   simulate [--seeds N] [--seed N]
//
// Checked: no checkpoint stands above an event that is not in the sink or may still commit; a sink that keeps its position
// gets each event once, in order; one that does not gets each at least once, first sights in order per aggregate;
// no checkpoint goes back, though relays freeze, lose their lease and wake, and the store's clock jumps; a lease is taken
// over in time; poison stops the route exactly there, and what precedes it is there; a store that was restored to before what the
// sink or the executor knows stops the route, and keeps it stopped; and when faults end, everything arrives.
#include "sim.h"

#include "base/log.h"
#include "base/text.h"
#include "relay/route.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed_now;
static uint64_t state;

void sim_seed(uint64_t seed)
{
	seed_now = seed;
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
}

// splitmix64 (Steele, Lea, Flood 2014)
uint64_t sim_random(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t sim_between(int64_t least, int64_t most)
{
	return least + (int64_t)(sim_random() % (uint64_t)(most - least + 1));
}

bool sim_chance(unsigned percent)
{
	return sim_random() % 100 < percent;
}

void sim_violation(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "seed %llu: ", (unsigned long long)seed_now);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n");
	va_end(args);
	exit(1);
}

static const char *const orders[] = {"order"};
static bool filtered;

bool sim_sink_wants(const struct meow_event *event)
{
	return !filtered || strcmp(event->aggregate_type.data, "order") == 0;
}

// What befalls a run, at one moment of it.
enum trouble { NOTHING, SINK_FORGETS, SINK_LOSES_TAIL, GENERATION_RISES, PAUSED, STORE_RESTORED, TROUBLES };

static unsigned long long seen[TROUBLES], poisoned_runs, set_aside, behind_runs, frozen_runs,
	taken_over; // for the last line

// A process that runs the route, or waits for its lease.
struct relay {
	struct world *world;
	struct loop *loop; // its own, in the world's
	struct route *route;
	struct route_settings settings;
	struct route_metrics *metrics;
	char name[16];
	uint64_t events_before; // delivered by earlier lives
	bool stopped;
};
#define RELAYS 2

struct world {
	struct loop *loop;
	struct relay relays[RELAYS];
	int relay_count;
	int names;
	struct sim_store *store;
	struct session_source source;
	struct sim_sink_settings sink;
	struct sim_store_settings settings;
	struct route_settings route_settings;
	enum trouble trouble;
	bool freezes; // relays do, now and then
	bool happened;
	bool must_stop; // the store is behind what the sink or the executor knows
	int resumes;    // that the operator may still give
};

static void on_route_stopped(void *arg)
{
	((struct relay *)arg)->stopped = true;
}

static void start_relay(struct world *world, struct relay *relay)
{
	struct route_environment env = {.loop = relay->loop,
		.store = &world->source,
		.connector = &sim_sink_connector,
		.metrics = relay->metrics,
		.stopped = on_route_stopped,
		.arg = relay};
	struct meow_error err;
	snprintf(relay->name, sizeof(relay->name), "r%d", ++world->names % 1000000);
	relay->settings = world->route_settings;
	relay->settings.partitions = 1;
	relay->settings.relay = relay->name;
	relay->stopped = false;
	relay->events_before = atomic_load(&relay->metrics->events);
	relay->route = route_create(&relay->settings, &env, &err);
	if (!relay->route)
		abort();
	route_start(relay->route);
}

static void start(struct world *world)
{
	for (int i = 0; i < world->relay_count; i++)
		start_relay(world, &world->relays[i]);
}

static void thaw(struct world *world)
{
	for (int i = 0; i < world->relay_count; i++)
		sim_loop_freeze(world->relays[i].loop, false);
}

static void stop_gracefully(struct relay *relay)
{
	route_stop(relay->route);
	sim_run_until(relay->world->loop, sim_now(relay->world->loop) + 10000000);
	if (!relay->stopped)
		sim_violation("a graceful stop does not end");
	route_destroy(relay->route);
}

static void stop(struct world *world)
{
	thaw(world);
	for (int i = 0; i < world->relay_count; i++)
		if (sim_chance(50)) // a kill: whatever was under way is gone
			route_destroy(world->relays[i].route);
		else
			stop_gracefully(&world->relays[i]);
}

static void freeze_some(void *arg)
{
	struct world *world = arg;
	int64_t lease_us = world->route_settings.lease_ms * 1000;
	if (!world->freezes)
		return;
	for (int i = 0; i < world->relay_count; i++)
		sim_loop_freeze(world->relays[i].loop, sim_chance(40));
	if (sim_chance(10))
		sim_store_set_clock(world->store, sim_between(-2 * lease_us, 2 * lease_us));
	sim_after(world->loop, sim_between(0, 2 * lease_us), freeze_some, world);
}

// What executors that live have delivered.
static int64_t known_to_executors(const struct world *world)
{
	int64_t known = 0;
	for (int i = 0; i < world->relay_count; i++) {
		const struct relay *relay = &world->relays[i];
		if (atomic_load(&relay->metrics->events) > relay->events_before &&
			atomic_load(&relay->metrics->delivered) > known)
			known = atomic_load(&relay->metrics->delivered);
	}
	return known;
}

static void cause_trouble(void *arg)
{
	struct world *world = arg;
	int64_t known = world->sink.remembers ? sim_sink_delivered() : 0;
	if (!known)
		known = known_to_executors(world);
	world->happened = true;
	seen[world->trouble]++;
	switch (world->trouble) {
	case SINK_FORGETS:
		sim_sink_forget();
		world->resumes = 1;
		return;
	case SINK_LOSES_TAIL:
		sim_sink_lose_tail();
		return;
	case GENERATION_RISES:
		sim_store_raise_generation(world->store);
		return;
	case PAUSED:
		sim_store_pause(world->store, true);
		return;
	case STORE_RESTORED:
		sim_store_restore(world->store);
		world->must_stop = sim_store_head(world->store) < known;
		return;
	case NOTHING:
	case TROUBLES:
		return;
	}
}

// --- checks ---

// Whether this version of the aggregate is the one that was skipped.
static bool was_skipped(const struct sim_store *store, int64_t skipped, const char *aggregate, int64_t version)
{
	for (size_t i = 0; skipped && i < sim_store_count(store); i++) {
		const struct meow_event *event = sim_store_event(store, i);
		if (event->position == skipped)
			return strcmp(event->aggregate_id.data, aggregate) == 0 && event->version == version;
	}
	return false;
}

// The version that the aggregate's first event behind the route's start must have.
static int64_t first_version(const struct sim_store *store, const char *aggregate)
{
	int64_t version = 0;
	for (size_t i = 0; sim_store_start(store) && i < sim_store_count(store); i++) {
		const struct meow_event *event = sim_store_event(store, i);
		version += event->position <= sim_store_start(store) && strcmp(event->aggregate_id.data, aggregate) == 0;
	}
	return version;
}

static void check_order(const struct world *world)
{
	bool once = world->sink.remembers && world->trouble != SINK_FORGETS;
	for (size_t i = 1; once && i < sim_sink_count(); i++)
		if (sim_sink_entry(i) <= sim_sink_entry(i - 1))
			sim_violation("position %ld follows %ld in the sink", (long)sim_sink_entry(i), (long)sim_sink_entry(i - 1));
	for (int a = 0; a < 12; a++) {
		char name[16];
		snprintf(name, sizeof(name), "a%d", a);
		int64_t next = first_version(world->store, name);
		for (size_t i = 0; i < sim_sink_count(); i++) {
			if (strcmp(sim_sink_aggregate(i), name) != 0)
				continue;
			if (sim_sink_version(i) > next && was_skipped(world->store, world->sink.poison, name, next))
				next++;
			if (sim_sink_version(i) > next)
				sim_violation(
					"aggregate %s: version %ld where %ld must be", name, (long)sim_sink_version(i), (long)next);
			if (sim_sink_version(i) == next)
				next++;
		}
	}
}

static void check_all_there(const struct world *world)
{
	for (size_t i = 0; i < sim_store_count(world->store); i++) {
		const struct meow_event *event = sim_store_event(world->store, i);
		bool left_out = world->route_settings.set_aside ? sim_store_is_dead(world->store, event->position)
														: event->position == world->sink.poison;
		if (sim_sink_wants(event) && !sim_sink_has(event->position) && !left_out &&
			event->position > sim_store_start(world->store))
			sim_violation("position %ld was never delivered", (long)event->position);
	}
}

// What is set aside is what the sink will never take and later events of its aggregate, all of them, and the sink has none.
static void check_set_aside(const struct world *world)
{
	const struct meow_event *poison = NULL;
	for (size_t i = 0; i < sim_store_count(world->store); i++) {
		const struct meow_event *event = sim_store_event(world->store, i);
		if (event->position == world->sink.poison && sim_sink_wants(event) &&
			event->position > sim_store_start(world->store))
			poison = event;
		bool follows = poison && bytes_equal(poison->aggregate_id, event->aggregate_id) &&
					   bytes_equal(poison->aggregate_type, event->aggregate_type);
		bool dead = sim_store_is_dead(world->store, event->position);
		if (dead != follows)
			sim_violation("position %ld is %sset aside, and the sink will never take %ld", (long)event->position,
				dead ? "" : "not ", (long)world->sink.poison);
		if (dead && sim_sink_had(event->position))
			sim_violation("position %ld is set aside, and the sink has had it", (long)event->position);
		set_aside += dead;
	}
}

// --- an operator ---

static bool is_failed(const struct world *world)
{
	return strcmp(sim_store_state(world->store), "FAILED") == 0;
}

static void operate(struct world *world)
{
	int64_t position = sim_store_error_position(world->store);
	if (!is_failed(world))
		return;
	if (position && position == world->sink.poison) {
		poisoned_runs++;
		sim_store_skip(world->store, position);
	} else if (world->resumes > 0 && strstr(sim_store_reason(world->store), "has forgotten")) {
		world->resumes--;
		sim_store_resume(world->store);
	}
}

static bool says_behind(const struct world *world)
{
	return is_failed(world) && strstr(sim_store_reason(world->store), "behind its sinks");
}

static void let_it_catch_up(struct world *world)
{
	for (int i = 0; i < 600; i++) {
		sim_run_until(world->loop, sim_now(world->loop) + 100000);
		if (sim_store_position(world->store) >= sim_store_head(world->store))
			return;
		if (world->trouble == STORE_RESTORED && !world->must_stop && says_behind(world))
			return;       // by what was in flight in that moment
		if (i % 15 == 14) // after it could see what was decided last
			operate(world);
	}
	sim_violation("stuck at %ld of %ld, state %s: %s", (long)sim_store_position(world->store),
		(long)sim_store_head(world->store), sim_store_state(world->store), sim_store_reason(world->store));
}

// --- a store that is behind its sinks ---

static void wait_for_stop(struct world *world)
{
	for (int i = 0; i < 300 && !is_failed(world); i++)
		sim_run_until(world->loop, sim_now(world->loop) + 100000);
	if (!says_behind(world))
		sim_violation("the store was restored, and the route is %s: %s", sim_store_state(world->store),
			sim_store_reason(world->store));
	size_t count = sim_sink_count();
	sim_run_until(world->loop, sim_now(world->loop) + 5000000);
	if (!is_failed(world) || sim_sink_count() != count)
		sim_violation("the store was restored, and the route goes on");
}

// Stopped in this life and in the next, until a person has decided.
static void check_behind(struct world *world)
{
	behind_runs++;
	wait_for_stop(world);
	stop(world);
	if (!world->sink.remembers && !sim_store_stop_kept(world->store))
		sim_violation("what only the executor knew was not kept");
	start(world);
	wait_for_stop(world);
	if (!world->sink.remembers) { // one that remembers needs a new place
		sim_store_resume(world->store);
		let_it_catch_up(world);
	}
	stop(world);
}

// While the route dozes, writers wake it: nobody waits for the guard, which comes once a second.
static void check_wake_up(struct world *world)
{
	for (int i = 0; i < 4; i++) {
		sim_run_until(world->loop, sim_now(world->loop) + sim_between(0, 4000000));
		sim_store_write(world->store);
		sim_run_until(world->loop, sim_now(world->loop) + 150000);
		int64_t last = (int64_t)sim_store_count(world->store) - 1;
		const struct meow_event *event = sim_store_event(world->store, (size_t)last);
		if (sim_sink_wants(event) && !sim_sink_has(event->position))
			sim_violation("position %ld woke nobody", (long)event->position);
	}
}

// --- leases ---

static struct relay *owner(struct world *world)
{
	for (int i = 0; i < world->relay_count; i++)
		if (strcmp(sim_store_holder(world->store), world->relays[i].name) == 0)
			return &world->relays[i];
	return NULL;
}

// Everything that is there arrives within so long.
static void check_arrival(struct world *world, int64_t within_us, const char *what)
{
	int64_t last = (int64_t)sim_store_count(world->store) - 1;
	const struct meow_event *event = sim_store_event(world->store, (size_t)last);
	sim_run_until(world->loop, sim_now(world->loop) + within_us);
	if (sim_sink_wants(event) && !sim_sink_has(event->position))
		sim_violation("%s: after %ld ms position %ld is not there, %s has the lease", what, (long)within_us / 1000,
			(long)event->position, sim_store_holder(world->store));
	taken_over++;
}

static void write_and_commit(struct world *world)
{
	sim_store_write(world->store);
	sim_run_until(world->loop, sim_now(world->loop) + 5000);
}

// While one relay waits, the other dies, freezes, or ends as it should.
static void check_take_over(struct world *world)
{
	int64_t lease_us = world->route_settings.lease_ms * 1000;
	struct relay *first = owner(world);
	if (!first)
		sim_violation("nobody has the lease: %s", sim_store_holder(world->store));
	if (sim_chance(50)) {
		sim_loop_freeze(first->loop, true);
		write_and_commit(world);
		check_arrival(world, lease_us + 200000, "frozen");
		sim_loop_freeze(first->loop, false);
		sim_run_until(world->loop, sim_now(world->loop) + 1000000);
		if (owner(world) == first)
			sim_violation("one that woke has taken its lease back");
		first = owner(world);
	}
	route_stop(first->route);
	while (!first->stopped)
		sim_run_until(world->loop, sim_now(world->loop) + 1000);
	write_and_commit(world);
	check_arrival(world, 60000, "stopped");
	route_destroy(first->route);
	start_relay(world, first);
	sim_run_until(world->loop, sim_now(world->loop) + 100000);
	first = owner(world);
	route_destroy(first->route); // killed
	write_and_commit(world);
	check_arrival(world, lease_us + 100000, "killed");
	start_relay(world, first);
}

// --- one run ---

static void choose(struct world *world)
{
	filtered = sim_chance(40);
	bool remembers = sim_chance(50);
	world->sink = (struct sim_sink_settings){.remembers = remembers,
		.fail_percent = (unsigned)sim_between(0, 8),
		.partitions = remembers ? 1 : (int)sim_between(1, 4)};
	if (sim_chance(20)) {
		world->sink.poison = sim_between(5, 120);
		world->sink.poison_late = sim_chance(50);
	}
	world->settings = (struct sim_store_settings){.rollback_percent = (unsigned)sim_between(0, 25),
		.early_percent = (unsigned)sim_between(0, 30),
		.lost_percent = sim_chance(50) ? 0 : (unsigned)sim_between(0, 3),
		.writers = (int)sim_between(1, 6),
		.until_us = sim_between(200000, 3000000),
		.start_now = sim_chance(15)};
	world->route_settings = (struct route_settings){.name = "sim",
		.categories = filtered ? orders : NULL,
		.category_count = filtered ? 1 : 0,
		.window_bytes = (size_t)sim_between(2000, 200000),
		.set_aside = sim_chance(50),
		.start_now = world->settings.start_now,
		.batch_rows = (size_t)sim_between(1, 200),
		.backoff_least_ms = 10,
		.backoff_most_ms = 500,
		.drain_ms = 3000,
		.lease_ms = sim_between(50, 600),
		.checkpoint_ms = sim_between(1, 300)};
	world->trouble = sim_chance(40) ? NOTHING : (enum trouble)sim_between(1, TROUBLES - 1);
	bool needs_memory = world->trouble == SINK_FORGETS || world->trouble == SINK_LOSES_TAIL;
	if ((needs_memory && !remembers) || (world->trouble == GENERATION_RISES && remembers))
		world->trouble = NOTHING;
	if (world->trouble == STORE_RESTORED)
		world->sink.poison = 0; // one thing at a time
	world->relay_count = world->trouble == STORE_RESTORED || sim_chance(50) ? 1 : RELAYS;
	world->freezes = world->trouble != STORE_RESTORED && sim_chance(50);
	world->settings.steady = world->trouble == NOTHING;
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
		frozen_runs++;
		sim_after(world->loop, sim_between(0, span_us), freeze_some, world);
	}
	for (int life = 0; life < lives; life++) {
		start(world);
		if (life == fateful && world->trouble != NOTHING)
			sim_after(world->loop, sim_between(0, span_us), cause_trouble, world);
		for (int64_t end_us = sim_now(world->loop) + span_us; sim_now(world->loop) < end_us;) {
			sim_run_until(world->loop, sim_now(world->loop) + (span_us < 400000 ? span_us : 400000));
			if (!world->must_stop && sim_chance(50))
				operate(world);
		}
		if (world->must_stop) {
			sim_store_calm(world->store);
			sim_sink_calm();
			check_behind(world);
			return;
		}
		if (life == lives - 1) {
			world->freezes = false;
			thaw(world);
			sim_store_calm(world->store);
			sim_sink_calm();
			sim_store_pause(world->store, false);
			sim_run_until(world->loop, sim_now(world->loop) + 5000000);
			let_it_catch_up(world);
			if (world->trouble == NOTHING && !world->sink.poison)
				check_wake_up(world);
			if (world->trouble == NOTHING && !world->sink.poison && world->relay_count > 1)
				check_take_over(world);
		}
		stop(world);
	}
	if (world->trouble == STORE_RESTORED && world->happened)
		return; // what the store lost stays published
	check_order(world);
	check_all_there(world);
	if (world->route_settings.set_aside)
		check_set_aside(world);
}

// The world as it was chosen; its relays do not run yet.
static void make(struct world *world, uint64_t seed)
{
	sim_seed(seed);
	if (seed == 0)
		filtered = false;
	else
		choose(world);
	world->loop = sim_loop_create();
	sim_sink_reset(world->loop, &world->sink);
	world->store = sim_store_create(world->loop, &world->settings);
	world->source = sim_store_source(world->store);
	for (int i = 0; i < world->relay_count; i++) {
		world->relays[i] = (struct relay){.world = world,
			.loop = sim_loop_create_within(world->loop),
			.metrics = calloc(1, sizeof(struct route_metrics))};
		if (!world->relays[i].metrics)
			abort();
	}
}

static void finish(struct world *world)
{
	world->freezes = false;
	thaw(world);
	sim_run_until(world->loop, INT64_MAX - 1);
	sim_store_destroy(world->store);
	sim_sink_free();
	for (int i = 0; i < world->relay_count; i++) {
		loop_destroy(world->relays[i].loop);
		free(world->relays[i].metrics);
	}
	loop_destroy(world->loop);
}

static void run_seed(uint64_t seed)
{
	struct world world = {0};
	make(&world, seed);
	live(&world);
	finish(&world);
}

// A route that runs, has work and does not move says so and why; and no more once it moves again.
static void check_standstill(void)
{
	struct world world = {.sink = {.remembers = true, .partitions = 1, .silent = true},
		.settings = {.writers = 2, .until_us = 500000},
		.route_settings = {.name = "sim",
			.window_bytes = 100000,
			.batch_rows = 100,
			.backoff_least_ms = 10,
			.backoff_most_ms = 500,
			.drain_ms = 3000,
			.lease_ms = 10000,
			.checkpoint_ms = 100},
		.relay_count = 1};
	struct route_report report;
	make(&world, 0);
	start(&world);
	sim_run_until(world.loop, 25000000);
	route_report(world.relays[0].route, &report);
	if (report.stands_still || report.reason)
		sim_violation("25 s without an answer are no standstill yet: %s", report.reason);
	sim_run_until(world.loop, 40000000);
	route_report(world.relays[0].route, &report);
	if (!report.stands_still || !report.reason || !strstr(report.reason, "acknowledged nothing"))
		sim_violation("a sink that does not answer does not show");
	if (atomic_load(&world.relays[0].metrics->lag_seconds_us) < 38000000 ||
		atomic_load(&world.relays[0].metrics->eta_us) != METRICS_NEVER)
		sim_violation("the lag does not grow while the sink is silent");
	sim_sink_calm();
	sim_run_until(world.loop, 45000000);
	route_report(world.relays[0].route, &report);
	if (report.stands_still || report.reason || atomic_load(&world.relays[0].metrics->lag_seconds_us) != 0)
		sim_violation("what moves again is still said to stand: %s", report.reason);
	stop(&world);
	finish(&world);
}

// A backlog goes in batches of a quarter of the window, however late and in whatever pieces the sink makes room.
static void check_batches(void)
{
	struct world world = {.sink = {.partitions = 1},
		.settings = {.writers = 20, .until_us = 2000000},
		.route_settings = {.name = "sim",
			.window_bytes = 100000,
			.batch_rows = 2000,
			.backoff_least_ms = 10,
			.backoff_most_ms = 500,
			.drain_ms = 3000,
			.lease_ms = 10000,
			.checkpoint_ms = 100},
		.relay_count = 1};
	make(&world, 0);
	sim_run_until(world.loop, 5000000); // until the writers have ended
	start(&world);
	let_it_catch_up(&world);
	size_t events = sim_sink_count(), batches = sim_sink_batches();
	if (events < 800 || events / batches < 60)
		sim_violation("a backlog of %zu events went in %zu batches", events, batches);
	stop(&world);
	finish(&world);
}

static void say_seen(void)
{
	static const char *const names[TROUBLES] = {
		NULL, "sink forgets", "sink loses its tail", "generation rises", "paused", "store restored"};
	for (int i = 1; i < TROUBLES; i++)
		printf("%s %llu, ", names[i], seen[i]);
	printf("behind its sinks %llu, skipped %llu, set aside %llu, frozen now and then %llu, leases taken over %llu\n",
		behind_runs, poisoned_runs, set_aside, frozen_runs, taken_over);
}

int main(int argc, char **argv)
{
	uint64_t first = 1, count = 300;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seed") == 0) {
			first = strtoull(argv[i + 1], NULL, 10);
			count = 1;
		} else if (strcmp(argv[i], "--seeds") == 0) {
			count = strtoull(argv[i + 1], NULL, 10);
		}
	}
	if (count > 1)
		log_setup((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT); // one seed alone is told in full
	check_standstill();
	check_batches();
	for (uint64_t seed = first; seed < first + count; seed++)
		run_seed(seed);
	say_seen();
	printf("%llu seeds, 0 violations\n", (unsigned long long)count);
	return 0;
}
