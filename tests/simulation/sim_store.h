// sim_store.h: a simulated store with writers. A transaction draws ids, for some aggregates after it locked them and for some
// ids that it never uses, waits, and commits or rolls back; its events become visible all at once, so ids appear in any
// order, with holes. Until it has ended it holds the sequence. Requests take effect at some moment between question and
// answer; a connection may break before or after that, and what a process sent before it died may take effect later.
#ifndef SIMULATION_SIM_STORE_H
#define SIMULATION_SIM_STORE_H

#include "sim.h"
#include "store/session.h"

#define SIM_AGGREGATES 12 // "a0" to "a11"
#define SIM_PARTITIONS_MOST 3
#define SIM_LAYOUTS_MOST 2

struct sim_store;

// What the store must know of the route to judge its checkpoints.
struct sim_store_watch {
	bool (*wants)(const struct meow_event *event);
	bool (*had)(int64_t position); // the sink, at any time
};

struct sim_store_settings {
	unsigned rollback_percent, early_percent, lost_percent; // of transactions; of requests
	unsigned prepared_percent;
	int writers;
	int partitions;   // of the route, at first
	int64_t until_us; // when writers end
	bool start_now;   // the route skips what was there before
	bool steady;      // nothing befalls it: what was delivered never gets less
};

struct sim_store *sim_store_create(
	struct loop *loop, const struct sim_store_settings *settings, const struct sim_store_watch *watch);
void sim_store_destroy(struct sim_store *store);
struct session_source sim_store_source(struct sim_store *store);
void sim_store_calm(struct sim_store *store); // no more faults

// Committed events, in the order of their ids.
size_t sim_store_count(const struct sim_store *store);
int64_t sim_store_head(const struct sim_store *store);
// The event at this position, NULL if none is committed there.
const struct meow_event *sim_store_at(const struct sim_store *store, int64_t position);
const struct meow_event *sim_store_last(const struct sim_store *store);

// The checkpoint's rows.
int64_t sim_store_position(const struct sim_store *store); // the lowest of all partitions
int64_t sim_store_error_position(const struct sim_store *store, int partition);
const char *sim_store_state(const struct sim_store *store, int partition);
const char *sim_store_reason(const struct sim_store *store, int partition);
const char *sim_store_holder(const struct sim_store *store, int partition); // of the lease, "" if it is free
bool sim_store_stop_kept(const struct sim_store *store);
void sim_store_note_start(struct sim_store *store);     // a route is started for the first time
int64_t sim_store_start(const struct sim_store *store); // where the first checkpoint stood, 0 unless start: now

// Dead letters that are open: how many, the position of one, where it is to be published again (0: nowhere).
size_t sim_store_letters(const struct sim_store *store);
int64_t sim_store_letter(const struct sim_store *store, size_t index);
int64_t sim_store_letter_place(const struct sim_store *store, int64_t position);
bool sim_store_is_set_aside(const struct sim_store *store, int64_t position);
// Whether an operator has discarded it; and when that was first, 0 if never, though a rewind brought it again.
bool sim_store_gave_up(const struct sim_store *store, int64_t position);
int64_t sim_store_gave_up_us(const struct sim_store *store, int aggregate, int64_t version);

// One transaction more, which commits within some milliseconds.
void sim_store_write(struct sim_store *store);
// The same, right before the next doze takes effect: so it notifies nobody. False until then.
void sim_store_write_before_doze(struct sim_store *store);
bool sim_store_wrote_before_doze(const struct sim_store *store);

// As the operator's commands.
void sim_store_skip(struct sim_store *store, int partition, int64_t position);
void sim_store_resume(struct sim_store *store); // all partitions, as the others
void sim_store_pause(struct sim_store *store, bool paused);
int64_t sim_store_rewind(struct sim_store *store); // behind which position; -1: there is no checkpoint yet
// Gives it so many partitions, if nobody runs it and all that it has stand at one position; else they are to run up to the
// highest, and it has to be asked for again.
enum sim_repartition { SIM_STILL_RUN, SIM_RUN_TO_CUT, SIM_REPARTITIONED };
enum sim_repartition sim_store_repartition(struct sim_store *store, int partitions);
int64_t sim_store_cut(const struct sim_store *store);
struct sim_letters {
	int aggregate;    // -1: of any
	int64_t position; // 0: at any
};
bool sim_store_retry(struct sim_store *store, const struct sim_letters *filter);   // false: it finds none
bool sim_store_discard(struct sim_store *store, const struct sim_letters *filter); // same

// What befalls it. Restored from a copy of some time ago, or failed over to a standby without the tail: what was
// committed since is gone, its ids are drawn again, connections are lost.
void sim_store_restore(struct sim_store *store);
// It crashes: connections and open transactions are lost, prepared ones stay under other names, and the sequence stands
// further on, or back at the last id that anything durable shows.
void sim_store_crash(struct sim_store *store);
// Its clock jumps: leases count by it.
void sim_store_set_clock(struct sim_store *store, int64_t ahead_us);

#endif
