// Runs the real code of the relay by seeds, in a world of one thread without a socket or a clock: what a seed brings about
// is always the same, so that every failure can be repeated from one number.
//
//   simulate [--seeds N] [--from N] [--sink NAME] [--steps]     so many seeds, from 1 on
//   simulate --seed N [--sink NAME] [--trace]                   this one, told in full
//
// Real are route, window, follower, settled position, lease and recovery (src/relay, src/store), and all that decides in the
// connectors for Redis and Kafka.
// Simulated, each in files of its own:
//
//   sim_chance.c sim_steps.c      chance by the seed, the trace's hash; the steps at which a process may die
//   sim_loop.c                    the loop with the clock, one within it for each process
//   sim_store.c sim_writers.c     the store and what befalls it; its writers
//   sim_serve.c sim_session.c     what requests do to it; the connections they come over
//   sim_letters.c sim_lease.c     dead letters: what routes and operators do with them; leases and shares
//   sim_ledger.c sim_poison.c     the ledger of what sinks hold; what they will not take
//   sim_plain.c sim_file.c        sinks as connector.h lets them be; a file, at the same interface
//   sim_redis.c sim_wire.c        Redis and the connections to it, under the real connector
//   sim_kafka.c                   the broker, under the real connector, at least once and exactly once,
//   sim_kafka_client.c              with librdkafka's producer as the connector sees it,
//   sim_kafka_message.c             its topics and messages,
//   sim_kafka_helper.c              and what the thread beside a transactional producer does
//   sim_world.c sim_run.c         a run: processes, operator, trouble; what a seed decides
//   sim_check.c sim_cases.c       what must be so; worlds without chance, each for one promise
//
// Checked: no checkpoint stands above an event that is not in the sink or may still commit; a sink that keeps its position
// gets each event once, in order; one that does not gets each at least once, first sights in order per aggregate;
// nothing that was rolled back is seen; no checkpoint goes back, though relays freeze, lose their lease and wake, die at any
// step, and the store's clock jumps; a lease is taken over in time, and partitions are shared; poison stops the route exactly
// there, and what precedes it is there; or, set aside, it leaves no gap in its aggregate, is published again in order when
// a person asks for that, and is left out only where one discards it; a store that was restored to before what the sink or
// the executor knows stops the route, and keeps it stopped; and when faults end, everything arrives. mutants/ holds seeded
// bugs that all this must see.
#include "sim_world.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS_AFTER 20000 // so many seeds must have reached every step

struct arguments {
	uint64_t first, count;
	const struct sim_sink *only;
	bool steps, trace;
};

static void say_seen(void)
{
	static const char *const names[TROUBLES] = {
		NULL, "sink forgets", "sink loses its tail", "generation rises", "paused", "store restored", "store crashes"};
	for (int i = 1; i < TROUBLES; i++)
		printf("%s %llu, ", names[i], world_counts.troubles[i]);
	printf("behind its sinks %llu, in partitions %llu, repartitioned %llu, skipped %llu, set aside %llu, retries %llu, "
		   "discarded %llu, "
		   "frozen now and then "
		   "%llu, leases taken over %llu\n",
		world_counts.behind, world_counts.divided, world_counts.repartitioned, world_counts.skipped,
		world_counts.set_aside, world_counts.retried, world_counts.discarded, world_counts.frozen,
		world_counts.taken_over);
}

static const struct sim_sink *find_sink(const char *name)
{
	for (size_t i = 0; i < sim_sink_count; i++)
		if (strcmp(sim_sinks[i]->name, name) == 0)
			return sim_sinks[i];
	fprintf(stderr, "no sink \"%s\"; there are:", name);
	for (size_t i = 0; i < sim_sink_count; i++)
		fprintf(stderr, " \"%s\"", sim_sinks[i]->name);
	fprintf(stderr, "\n");
	exit(64);
}

static struct arguments read_arguments(int argc, char **argv)
{
	struct arguments found = {.first = 1, .count = 300};
	for (int i = 1; i < argc; i++) {
		const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
		if (strcmp(name, "--steps") == 0) {
			found.steps = true;
			continue;
		}
		if (strcmp(name, "--trace") == 0) {
			found.trace = true;
			continue;
		}
		if (value && strcmp(name, "--seed") == 0) {
			found.first = strtoull(value, NULL, 10);
			found.count = 1;
		} else if (value && strcmp(name, "--seeds") == 0) {
			found.count = strtoull(value, NULL, 10);
		} else if (value && strcmp(name, "--from") == 0) {
			found.first = strtoull(value, NULL, 10);
		} else if (value && strcmp(name, "--sink") == 0) {
			found.only = find_sink(value);
		} else {
			fprintf(stderr, "usage: simulate [--seeds N | --seed N] [--from N] [--sink NAME] [--steps] [--trace]\n");
			exit(64);
		}
		i++;
	}
	return found;
}

// The same seed, the same world: else no failure could be repeated.
static void check_repeatable(uint64_t seed, const struct sim_sink *only)
{
	run_seed(seed, only);
	uint64_t hash = sim_trace_hash();
	run_seed(seed, only);
	if (sim_trace_hash() != hash)
		sim_violation("it went another way the second time");
}

// Of one core, however many others share it.
static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int finish(const struct arguments *arguments, double spent)
{
	say_seen();
	bool complete = sim_steps_say(arguments->steps);
	sim_sections_free();
	printf("%llu seeds, 0 violations, %.0f a minute of one core\n", (unsigned long long)arguments->count,
		(double)arguments->count * 60 / spent);
	if (complete || arguments->only || arguments->count < STEPS_AFTER)
		return 0;
	fprintf(stderr, "no process ever died at some of the steps: see above\n");
	return 1;
}

int main(int argc, char **argv)
{
	struct arguments arguments = read_arguments(argc, argv);
	if (arguments.count == 1) { // one seed alone is told in full
		sim_tell_steps(arguments.trace);
		run_seed(arguments.first, arguments.only);
		printf("seed %llu, trace %016llx\n", (unsigned long long)arguments.first, (unsigned long long)sim_trace_hash());
		return 0;
	}
	log_setup((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
#ifndef HAVE_REDIS
	sim_steps_leave_out(REDIS_CONNECTS, REDIS_ANSWERS);
#endif
#ifndef HAVE_KAFKA
	sim_steps_leave_out(KAFKA_PRODUCES, EXACTLY_ANSWERS);
#endif
	double began = seconds();
	case_standstill();
	case_batches();
	for (uint64_t seed = arguments.first; seed < arguments.first + 20; seed++)
		check_repeatable(seed, arguments.only);
	for (uint64_t seed = arguments.first; seed < arguments.first + arguments.count; seed++)
		run_seed(seed, arguments.only);
	return finish(&arguments, seconds() - began);
}
