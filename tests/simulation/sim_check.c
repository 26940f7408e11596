// What must be so: order and completeness at the end, a store that is behind its sinks, wake-ups, take-overs.
#include "sim_world.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number_of(const char *aggregate)
{
	return atoi(aggregate + 1) % SIM_AGGREGATES;
}

// The version that each aggregate's first event behind the route's start must have.
static void first_versions(const struct sim_store *store, int64_t versions[SIM_AGGREGATES])
{
	memset(versions, 0, SIM_AGGREGATES * sizeof(*versions));
	for (int64_t id = 1; id <= sim_store_start(store); id++) {
		const struct meow_event *event = sim_store_at(store, id);
		if (event)
			versions[number_of(event->aggregate_id.data)]++;
	}
}

// What consumers see is what was committed.
static void check_truth(const struct world *world)
{
	for (size_t i = 0; i < sim_ledger_count(); i++) {
		const struct meow_event *event = sim_store_at(world->store, sim_ledger_position(i));
		if (!event || strcmp(event->aggregate_id.data, sim_ledger_aggregate(i)) != 0 ||
			event->version != sim_ledger_version(i))
			sim_violation("the sink has %s version %ld at position %ld, and the store has not", sim_ledger_aggregate(i),
				(long)sim_ledger_version(i), (long)sim_ledger_position(i));
		int64_t place = sim_ledger_place(i);
		if (place < event->position || (place > event->position && sim_store_at(world->store, place)))
			sim_violation("position %ld is in the sink at %ld", (long)event->position, (long)place);
	}
}

static void check_once(const struct world *world)
{
	bool *seen = calloc((size_t)sim_store_head(world->store) + 1, sizeof(*seen));
	if (!seen)
		abort();
	for (size_t i = 0; i < sim_ledger_count(); i++) {
		int64_t position = sim_ledger_position(i);
		if (seen[position])
			sim_violation("position %ld is in the sink twice", (long)position);
		seen[position] = true;
		if (world->sink->ordered && i && sim_ledger_place(i) <= sim_ledger_place(i - 1))
			sim_violation(
				"place %ld follows %ld in the sink", (long)sim_ledger_place(i), (long)sim_ledger_place(i - 1));
	}
	free(seen);
}

// What was skipped, and what an operator had discarded by then, leaves a hole.
static bool may_lack(const struct world *world, const char *aggregate, int64_t version, int64_t time_us)
{
	if (world->route_settings.set_aside) {
		int64_t gone_us = sim_store_gave_up_us(world->store, number_of(aggregate), version);
		return gone_us && gone_us <= time_us;
	}
	const struct meow_event *skipped = sim_store_at(world->store, world->sink_settings.poison[0]);
	return skipped && strcmp(skipped->aggregate_id.data, aggregate) == 0 && skipped->version == version;
}

// First sights, per aggregate, without a hole.
static void check_order(const struct world *world)
{
	int64_t next[SIM_AGGREGATES];
	first_versions(world->store, next);
	for (size_t i = 0; i < sim_ledger_count(); i++) {
		const char *aggregate = sim_ledger_aggregate(i);
		int64_t version = sim_ledger_version(i), *wanted = &next[number_of(aggregate)];
		while (version > *wanted && may_lack(world, aggregate, *wanted, sim_ledger_time_us(i)))
			++*wanted;
		if (version > *wanted)
			sim_violation("aggregate %s: version %ld where %ld must be", aggregate, (long)version, (long)*wanted);
		if (version == *wanted)
			++*wanted;
	}
}

static bool is_left_out(const struct world *world, int64_t position)
{
	return world->route_settings.set_aside
			   ? sim_store_is_set_aside(world->store, position) || sim_store_gave_up(world->store, position)
			   : position == world->sink_settings.poison[0];
}

// A sink that lost what it had and a person who let the route go on behind that: then it was there once.
static void check_all_there(const struct world *world)
{
	bool lost = world->trouble == SINK_FORGETS || world->gave_up;
	for (int64_t id = sim_store_start(world->store) + 1; id <= sim_store_head(world->store); id++) {
		const struct meow_event *event = sim_store_at(world->store, id);
		bool there = lost ? sim_ledger_had(id) : sim_ledger_has(id);
		if (event && world_wants(event) && !there && !is_left_out(world, id))
			sim_violation("position %ld was never delivered", (long)id);
	}
}

// What is set aside has a reason, the sink has none of it, and no retry is left over. A sink that keeps no position may have
// been corrected and have taken an event under one owner, whose checkpoint was lost with it, and the next sets aside what it
// had seen refused before: the event is published again with its retry, as at least once allows.
static void check_set_aside(const struct world *world)
{
	bool follows[SIM_AGGREGATES] = {false};
	for (int64_t id = sim_store_start(world->store) + 1; id <= sim_store_head(world->store); id++) {
		const struct meow_event *event = sim_store_at(world->store, id);
		if (!event || !world_wants(event))
			continue;
		bool *reason = &follows[number_of(event->aggregate_id.data)];
		*reason |= sim_was_poison(id);
		if (!sim_store_is_set_aside(world->store, id))
			continue;
		world_counts.set_aside++;
		if (!*reason)
			sim_violation("position %ld is set aside, and nothing before it in its aggregate is poison", (long)id);
		if (sim_store_letter_place(world->store, id))
			sim_violation("position %ld is still to be published again", (long)id);
		if (sim_ledger_had(id) && world->sink->remembers && !world->rewound) // which forgets retries
			sim_violation("position %ld is set aside, and the sink has had it", (long)id);
	}
}

// A rewind: all of it once more.
static void check_rewound(const struct world *world)
{
	bool *again = calloc((size_t)sim_store_head(world->store) + 1, sizeof(*again));
	if (!again)
		abort();
	for (size_t i = world->rewound_at; i < sim_ledger_count(); i++)
		again[sim_ledger_position(i)] = true;
	for (int64_t id = world->rewound_to + 1; id <= sim_store_head(world->store); id++) {
		const struct meow_event *event = sim_store_at(world->store, id);
		if (event && world_wants(event) && !again[id] && !is_left_out(world, id))
			sim_violation("position %ld was not published again after the rewind", (long)id);
	}
	free(again);
}

void check_end(const struct world *world)
{
	if (world->trouble == STORE_RESTORED && world->happened)
		return; // what the store lost stays published
	check_truth(world);
	bool again = world->trouble == SINK_FORGETS || world->trouble == GENERATION_RISES || world->gave_up;
	if (world->sink->remembers && !again)
		check_once(world);
	if (!world->gave_up)
		check_order(world);
	check_all_there(world);
	if (world->rewound)
		check_rewound(world);
	if (world->route_settings.set_aside)
		check_set_aside(world);
}

// A person corrects the sink, and asks for all letters to be published again: then none is left.
void check_corrected(struct world *world)
{
	const struct sim_letters all = {.aggregate = -1};
	sim_poison_correct();
	sim_store_retry(world->store, &all);
	sim_run_until(world->loop, sim_now(world->loop) + 1000000);
	world_catch_up(world);
	sim_run_until(world->loop, sim_now(world->loop) + 1000000);
	if (sim_store_letters(world->store))
		sim_violation("the sink takes everything, and %ld is still set aside", (long)sim_store_letter(world->store, 0));
}

// --- a store that is behind its sinks ---

static void wait_for_stop(struct world *world)
{
	for (int i = 0; i < 300 && !world_is_failed(world); i++) {
		sim_run_until(world->loop, sim_now(world->loop) + 100000);
		world_operate(world);
	}
	if (!world_says_behind(world))
		sim_violation("the store was restored, and the route is %s: %s", sim_store_state(world->store, 0),
			sim_store_reason(world->store, 0));
	sim_run_until(world->loop, sim_now(world->loop) + 3000000); // what had left before may still arrive
	size_t count = sim_ledger_count();
	sim_run_until(world->loop, sim_now(world->loop) + 5000000);
	if (!world_is_failed(world) || sim_ledger_count() != count)
		sim_violation("the store was restored, and the route goes on");
}

// Stopped in this life and in the next, until a person has decided.
void check_behind(struct world *world)
{
	world_counts.behind++;
	wait_for_stop(world);
	world_stop(world);
	if (!world->sink->remembers && !sim_store_stop_kept(world->store))
		sim_violation("what only the executor knew was not kept");
	world_start(world);
	wait_for_stop(world);
	if (!world->sink->remembers) { // one that remembers needs a new place
		sim_store_resume(world->store);
		world_catch_up(world);
	}
	world_stop(world);
}

static void check_woken(const struct world *world)
{
	sim_run_until(world->loop, sim_now(world->loop) + 150000);
	const struct meow_event *event = sim_store_last(world->store);
	if (world_wants(event) && !sim_ledger_has(event->position))
		sim_violation("position %ld woke nobody", (long)event->position);
}

// While the route dozes, writers wake it: nobody waits for the guard, which comes once a second. One that wrote just before
// the doze is seen by the second look.
void check_wake_up(struct world *world)
{
	for (int i = 0; i < 4; i++) {
		sim_run_until(world->loop, sim_now(world->loop) + sim_between(0, 4000000));
		sim_store_write(world->store);
		check_woken(world);
	}
	sim_store_write_before_doze(world->store);
	for (int i = 0; i < 300 && !sim_store_wrote_before_doze(world->store); i++)
		sim_run_until(world->loop, sim_now(world->loop) + 10000);
	if (!sim_store_wrote_before_doze(world->store))
		sim_violation("the route does not go to sleep");
	check_woken(world);
}

// --- leases ---

static struct relay *owner(struct world *world)
{
	for (int i = 0; i < world->relay_count; i++)
		if (strcmp(sim_store_holder(world->store, 0), world->relays[i].name) == 0)
			return &world->relays[i];
	return NULL;
}

// Everything that is there arrives within so long.
static void check_arrival(struct world *world, int64_t within_us, const char *what)
{
	const struct meow_event *event = sim_store_last(world->store);
	sim_run_until(world->loop, sim_now(world->loop) + within_us);
	if (world_wants(event) && !sim_ledger_has(event->position))
		sim_violation("%s: after %ld ms position %ld is not there, %s has the lease", what, (long)within_us / 1000,
			(long)event->position, sim_store_holder(world->store, 0));
	world_counts.taken_over++;
}

// Both live: none owns two partitions more than the other.
static void check_shares(const struct world *world)
{
	int owned[RELAYS] = {0};
	for (int k = 0; k < world->settings.partitions; k++)
		for (int i = 0; i < world->relay_count; i++)
			owned[i] += strcmp(sim_store_holder(world->store, k), world->relays[i].name) == 0;
	if (abs(owned[0] - owned[1]) > 1 || owned[0] + owned[1] != world->settings.partitions)
		sim_violation("one relay has %d partitions, and the other %d", owned[0], owned[1]);
}

static void write_and_commit(struct world *world)
{
	sim_store_write(world->store);
	sim_run_until(world->loop, sim_now(world->loop) + 5000);
}

// While one relay waits, the other dies, freezes, or ends as it should.
void check_take_over(struct world *world)
{
	// Where there are shares, one that has more than another leaves it a second.
	int64_t lease_us = world->route_settings.lease_ms * 1000 + (world->settings.partitions > 1 ? 1000000 : 0);
	check_shares(world);
	struct relay *first = owner(world);
	if (!first)
		sim_violation("nobody has the lease: %s", sim_store_holder(world->store, 0));
	if (!world->sink->locks && sim_chance(50)) {
		sim_loop_freeze(first->loop, true);
		write_and_commit(world);
		check_arrival(world, lease_us + 200000, "frozen");
		sim_loop_freeze(first->loop, false);
		sim_run_until(world->loop, sim_now(world->loop) + 1000000);
		if (owner(world) == first && world->settings.partitions == 1) // else it may get its share
			sim_violation("one that woke has taken its lease back");
		first = owner(world);
	}
	world_end(first);
	while (!world_has_ended(first))
		sim_run_until(world->loop, sim_now(world->loop) + 1000);
	write_and_commit(world);
	check_arrival(world, 60000, "stopped");
	world_kill(first);
	world_start_relay(first);
	sim_run_until(world->loop, sim_now(world->loop) + 100000);
	first = owner(world);
	world_kill(first);
	write_and_commit(world);
	check_arrival(world, lease_us + 100000, "killed");
	world_start_relay(first);
}
