// sim_world.h: one run: a store, a sink, one or two processes that run the route, an operator, and what befalls them.
#ifndef SIMULATION_SIM_WORLD_H
#define SIMULATION_SIM_WORLD_H

#include "relay/route.h"
#include "sim_sink.h"
#include "sim_store.h"

#define RELAYS 2

// What befalls a run, at one moment of it.
enum trouble {
	NOTHING,
	SINK_FORGETS,
	SINK_LOSES_TAIL,
	GENERATION_RISES,
	PAUSED,
	STORE_RESTORED,
	STORE_CRASHES,
	TROUBLES
};

struct world;

// What a process has for one partition of the route.
struct part {
	struct relay *relay;
	struct route *route;
	struct route_settings settings;
	struct route_metrics *metrics;
	uint64_t events_before; // delivered by earlier lives
	bool stopped;
};

// A process that runs the partitions of the route, or waits for their leases.
struct relay {
	struct world *world;
	struct loop *loop; // its own, in the world's
	struct part parts[SIM_PARTITIONS_MOST];
	int part_count;
	bool lives;
	char name[16];
};

struct world {
	struct loop *loop;
	struct relay relays[RELAYS];
	int relay_count;
	int names;
	struct sim_store *store;
	struct session_source source;
	const struct sim_sink *sink;
	struct sim_sink_settings sink_settings;
	struct sim_store_settings settings;
	struct route_settings route_settings;
	enum trouble trouble;
	bool freezes;    // relays do, now and then
	unsigned deaths; // of processes, at steps
	bool running;    // else nobody starts a process that died
	bool happened;
	bool rewound;       // and then everything must be published again,
	size_t rewound_at;  // behind this entry of the ledger,
	int64_t rewound_to; // that lies behind this position
	bool must_stop;     // the store is behind what the sink or the executor knows
	int resumes;        // that the operator may still give
	bool gave_up;       // a person let the route go on without what a sink had lost
	bool operates;      // a person deals with dead letters, now and then,
	bool corrects;      // and has the sink corrected at the end
	int repartitions;   // between two lives it gets so many partitions; 0: it does not
};

// For the last lines: what the seeds brought about.
struct world_counts {
	unsigned long long troubles[TROUBLES];
	unsigned long long divided, repartitioned, skipped, set_aside, retried, discarded, behind, frozen, taken_over;
};
extern struct world_counts world_counts;

// --- sim_world.c
void world_make(struct world *world); // its settings are filled in; its relays do not run yet
void world_finish(struct world *world);
void world_start(struct world *world); // all relays
void world_stop(struct world *world);  // all relays, killed or gracefully
void world_start_relay(struct relay *relay);
void world_kill(struct relay *relay);
void world_end(struct relay *relay); // asks it to; it takes its time
bool world_has_ended(const struct relay *relay);
void world_thaw(struct world *world);
void world_freeze_some(void *world);
void world_cause_trouble(void *world);
void world_operate(struct world *world);     // as a person would who reads the route's reason
void world_operate_on_letters(void *world);  // now and then, as long as it has to
void world_repartition(struct world *world); // while no relay lives
void world_catch_up(struct world *world);
bool world_is_failed(const struct world *world); // any of its partitions
bool world_says_behind(const struct world *world);
bool world_wants(const struct meow_event *event); // by the filter of this run
void world_filter(bool orders_alone);

// --- sim_run.c: what a seed decides
extern const struct sim_sink *const sim_sinks[];
extern const size_t sim_sink_count;
void run_seed(uint64_t seed, const struct sim_sink *only); // only: NULL for whichever the seed decides

// --- sim_check.c: what must be so at the end
void check_end(const struct world *world);
void check_behind(struct world *world);
void check_corrected(struct world *world);
void check_wake_up(struct world *world);
void check_take_over(struct world *world);

// --- sim_cases.c: worlds without chance
void case_standstill(void);
void case_batches(void);

#endif
