// sim.h: a world in one thread: a loop with a clock of its own, a store with writers, a sink. One seed decides all of it.
#ifndef SIMULATION_SIM_H
#define SIMULATION_SIM_H

#include "loop/loop.h"
#include "relay/connector.h"
#include "store/session.h"

// --- chance ---
uint64_t sim_random(void);
int64_t sim_between(int64_t least, int64_t most);
bool sim_chance(unsigned percent);
void sim_seed(uint64_t seed);

// Ends the run: prints the seed and what was violated.
_Noreturn void sim_violation(const char *format, ...) BASE_PRINTF(1, 2);

// --- the loop (sim_loop.c) ---
struct loop *sim_loop_create(void);
// The loop of one process in that world: it may freeze while the others go on. What was due meanwhile comes when it thaws.
struct loop *sim_loop_create_within(struct loop *world);
void sim_loop_freeze(struct loop *loop, bool frozen);
// Runs fn(arg) after so long. Each call frees itself.
void sim_after(struct loop *loop, int64_t delay_us, loop_fn *fn, void *arg);
int64_t sim_now(struct loop *loop);
// Runs what is due until `until_us`, or until nothing is left.
void sim_run_until(struct loop *loop, int64_t until_us);

// --- the store (sim_store.c) ---
struct sim_store;
struct sim_store_settings {
	unsigned rollback_percent, early_percent, lost_percent; // of transactions; of requests
	int writers;
	int64_t until_us; // when writers end
	bool start_now;   // the route skips what was there before
	bool steady;      // nothing befalls it: what was delivered never gets less
};
struct sim_store *sim_store_create(struct loop *loop, const struct sim_store_settings *settings);
void sim_store_destroy(struct sim_store *store);
struct session_source sim_store_source(struct sim_store *store);
void sim_store_calm(struct sim_store *store); // no more faults
// Committed events, in the order of their ids.
size_t sim_store_count(const struct sim_store *store);
const struct meow_event *sim_store_event(const struct sim_store *store, size_t index);
int64_t sim_store_position(const struct sim_store *store); // of the checkpoint
int64_t sim_store_head(const struct sim_store *store);
int64_t sim_store_error_position(const struct sim_store *store);
const char *sim_store_state(const struct sim_store *store);
void sim_store_note_start(struct sim_store *store); // a route is started for the first time
const char *sim_store_reason(const struct sim_store *store);
bool sim_store_stop_kept(const struct sim_store *store);
int64_t sim_store_start(const struct sim_store *store); // where the first checkpoint stood, 0 unless start: now
bool sim_store_is_dead(const struct sim_store *store, int64_t position); // set aside
bool sim_store_has(const struct sim_store *store, int64_t position);

// One transaction more, which commits within some milliseconds.
void sim_store_write(struct sim_store *store);

// As the operator's commands.
void sim_store_skip(struct sim_store *store, int64_t position);
void sim_store_resume(struct sim_store *store);
void sim_store_pause(struct sim_store *store, bool paused);
void sim_store_raise_generation(struct sim_store *store);

// Restored from a copy of some time ago: what was committed since is gone, its ids are drawn again, connections are lost.
void sim_store_restore(struct sim_store *store);
// Its clock jumps: leases count by it.
void sim_store_set_clock(struct sim_store *store, int64_t ahead_us);
const char *sim_store_holder(const struct sim_store *store); // of the lease, "" if it is free
uint64_t sim_store_looks(const struct sim_store *store);

// --- the sink (sim_sink.c) ---
// One sink at a time: what it holds survives its connectors.
struct sim_sink_settings {
	bool remembers;        // keeps its position with its data
	int partitions;        // 1 if it remembers
	unsigned fail_percent; // of what it does
	int64_t poison;        // it will never take this position; 0 none
	bool poison_late;      // and says so only when it gets it
	bool silent;           // takes batches and never answers
};
void sim_sink_reset(struct loop *loop, const struct sim_sink_settings *settings);
void sim_sink_calm(void); // no more faults, and no more silence
void sim_sink_free(void);
extern const struct connector_impl sim_sink_connector;
bool sim_sink_wants(const struct meow_event *event); // by the filter of this run
bool sim_sink_has(int64_t position);                 // now
bool sim_sink_had(int64_t position);                 // at any time
int64_t sim_sink_delivered(void);                    // as it remembers
void sim_sink_forget(void);                          // its position, not its entries
void sim_sink_lose_tail(void);                       // a failover: what it held some batches ago
size_t sim_sink_count(void);                         // entries, doubles included
size_t sim_sink_batches(void);                       // that it was given
int64_t sim_sink_entry(size_t index);                // position
const char *sim_sink_aggregate(size_t index);
int64_t sim_sink_version(size_t index);

#endif
