// Runs the real route, window, follower and settled position by seeds, in a world without a clock or a socket.
//
//   simulate [--seeds N] [--seed N]
//
// Checked: no checkpoint stands above an event that is not in the sink or may still commit; a sink that keeps its position
// gets each event once, in order; one that does not gets each at least once, first sights in order per aggregate;
// poison stops the route exactly there, and what precedes it is there; and when faults end, everything arrives.
#include "sim.h"

#include "base/log.h"
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

static void on_stopped(void *arg)
{
	*(bool *)arg = true;
}

static struct route *start(struct loop *loop, const struct session_source *source, struct route_metrics *metrics,
	bool *stopped)
{
	struct route_settings settings = {.name = "sim", .categories = filtered ? orders : NULL,
		.category_count = filtered ? 1 : 0, .window_bytes = (size_t)sim_between(2000, 200000),
		.batch_rows = (size_t)sim_between(1, 200), .backoff_least_ms = 10, .backoff_most_ms = 500, .drain_ms = 3000,
		.checkpoint_ms = sim_between(1, 300)};
	struct route_environment env = {.loop = loop, .store = source, .connector = &sim_sink_connector,
		.metrics = metrics, .stopped = on_stopped, .arg = stopped};
	struct meow_error err;
	struct route *route = route_create(&settings, &env, &err);
	if (!route)
		abort();
	route_start(route);
	return route;
}

static void stop(struct loop *loop, struct route *route, bool *stopped)
{
	if (sim_chance(50)) { // a kill: whatever was under way is gone
		route_destroy(route);
		return;
	}
	route_stop(route);
	sim_run_until(loop, sim_now(loop) + 10000000);
	if (!*stopped)
		sim_violation("a graceful stop does not end");
	route_destroy(route);
}

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

static void check_order(const struct sim_store *store, bool remembers, int64_t skipped)
{
	for (size_t i = 0; i < sim_sink_count(); i++) {
		if (remembers && i && sim_sink_entry(i) <= sim_sink_entry(i - 1))
			sim_violation("position %ld follows %ld in the sink", (long)sim_sink_entry(i), (long)sim_sink_entry(i - 1));
	}
	for (int a = 0; a < 12; a++) {
		char name[16];
		int64_t next = 0;
		snprintf(name, sizeof(name), "a%d", a);
		for (size_t i = 0; i < sim_sink_count(); i++) {
			if (strcmp(sim_sink_aggregate(i), name) != 0)
				continue;
			if (sim_sink_version(i) > next && was_skipped(store, skipped, name, next))
				next++;
			if (sim_sink_version(i) > next)
				sim_violation("aggregate %s: version %ld where %ld must be", name, (long)sim_sink_version(i), (long)next);
			if (sim_sink_version(i) == next)
				next++;
		}
	}
}

static void check_all_there(const struct sim_store *store, int64_t skipped)
{
	for (size_t i = 0; i < sim_store_count(store); i++) {
		const struct meow_event *event = sim_store_event(store, i);
		if (sim_sink_wants(event) && !sim_sink_has(event->position) && event->position != skipped)
			sim_violation("position %ld was never delivered", (long)event->position);
	}
}

static void let_it_catch_up(struct loop *loop, struct sim_store *store, int64_t poison)
{
	for (int i = 0; i < 600; i++) {
		sim_run_until(loop, sim_now(loop) + 100000);
		if (sim_store_position(store) >= sim_store_head(store))
			return;
		if (poison && strcmp(sim_store_state(store), "FAILED") == 0 && sim_store_error_position(store) == poison) {
			sim_store_skip(store, poison); // as an operator would
			poison = 0;
		}
	}
	sim_violation("stuck at %ld of %ld, state %s", (long)sim_store_position(store), (long)sim_store_head(store),
		sim_store_state(store));
}

static void run_seed(uint64_t seed)
{
	sim_seed(seed);
	filtered = sim_chance(40);
	struct loop *loop = sim_loop_create();
	struct sim_sink_settings sink = {.remembers = sim_chance(50), .fail_percent = (unsigned)sim_between(0, 8)};
	bool poisoned = sim_chance(20);
	if (poisoned) {
		sink.poison = sim_between(5, 120);
		sink.poison_late = sim_chance(50);
	}
	sim_sink_reset(loop, &sink);
	struct sim_store_settings settings = {.rollback_percent = (unsigned)sim_between(0, 25),
		.early_percent = (unsigned)sim_between(0, 30), .lost_percent = sim_chance(50) ? 0 : (unsigned)sim_between(0, 3),
		.writers = (int)sim_between(1, 6), .until_us = sim_between(200000, 3000000)};
	struct sim_store *store = sim_store_create(loop, &settings);
	struct session_source source = sim_store_source(store);
	struct route_metrics *metrics = calloc(1, sizeof(*metrics));
	int lives = (int)sim_between(1, 4);
	for (int life = 0; life < lives; life++) {
		bool stopped = false;
		bool last = life == lives - 1;
		struct route *route = start(loop, &source, metrics, &stopped);
		sim_run_until(loop, sim_now(loop) + settings.until_us / lives);
		if (last) {
			sim_store_calm(store);
			sim_sink_calm();
			sim_run_until(loop, sim_now(loop) + 5000000);
			let_it_catch_up(loop, store, sink.poison);
		}
		stop(loop, route, &stopped);
	}
	check_order(store, sink.remembers, sink.poison);
	check_all_there(store, sink.poison);
	sim_run_until(loop, INT64_MAX - 1);
	sim_store_destroy(store);
	sim_sink_free();
	loop_destroy(loop);
	free(metrics);
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
	for (uint64_t seed = first; seed < first + count; seed++)
		run_seed(seed);
	printf("%llu seeds, 0 violations\n", (unsigned long long)count);
	return 0;
}
