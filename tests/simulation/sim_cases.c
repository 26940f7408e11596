// Worlds without chance, each for one promise.
#include "sim_world.h"

#include <string.h>

// A route that runs, has work and does not move says so and why; and no more once it moves again.
void case_standstill(void)
{
	struct world world = {.sink = &sim_plain_once,
		.sink_settings = {.silent = true},
		.settings = {.partitions = 1, .writers = 2, .until_us = 500000},
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
	sim_seed(0);
	world_filter(false);
	world_make(&world);
	world_start(&world);
	sim_run_until(world.loop, 25000000);
	route_report(world.relays[0].parts[0].route, &report);
	if (report.stands_still || report.reason)
		sim_violation("25 s without an answer are no standstill yet: %s", report.reason);
	sim_run_until(world.loop, 40000000);
	route_report(world.relays[0].parts[0].route, &report);
	if (!report.stands_still || !report.reason || !strstr(report.reason, "acknowledged nothing"))
		sim_violation("a sink that does not answer does not show");
	if (atomic_load(&world.relays[0].parts[0].metrics->lag_seconds_us) < 38000000 ||
		atomic_load(&world.relays[0].parts[0].metrics->eta_us) != METRICS_NEVER)
		sim_violation("the lag does not grow while the sink is silent");
	world.sink->calm();
	sim_run_until(world.loop, 45000000);
	route_report(world.relays[0].parts[0].route, &report);
	if (report.stands_still || report.reason || atomic_load(&world.relays[0].parts[0].metrics->lag_seconds_us) != 0)
		sim_violation("what moves again is still said to stand: %s", report.reason);
	world_stop(&world);
	world_finish(&world);
}

// A backlog goes in batches of a quarter of the window, however late and in whatever pieces the sink makes room.
void case_batches(void)
{
	struct world world = {.sink = &sim_plain_parts,
		.sink_settings = {.partitions = 1},
		.settings = {.partitions = 1, .writers = 20, .until_us = 2000000},
		.route_settings = {.name = "sim",
			.window_bytes = 100000,
			.batch_rows = 2000,
			.backoff_least_ms = 10,
			.backoff_most_ms = 500,
			.drain_ms = 3000,
			.lease_ms = 10000,
			.checkpoint_ms = 100},
		.relay_count = 1};
	sim_seed(0);
	world_filter(false);
	world_make(&world);
	sim_run_until(world.loop, 5000000); // until the writers have ended
	world_start(&world);
	world_catch_up(&world);
	size_t events = sim_ledger_count(), batches = sim_ledger_batches();
	if (events < 600 || events / batches < 60)
		sim_violation("a backlog of %zu events went in %zu batches", events, batches);
	world_stop(&world);
	world_finish(&world);
}
