// sim_sink.h: what every simulated sink offers to the run, and the ledger of what they hold, which the checker reads.
#ifndef SIMULATION_SIM_SINK_H
#define SIMULATION_SIM_SINK_H

#include "relay/connector.h"
#include "sim.h"

#define SIM_POISONS 3

struct sim_sink_settings {
	unsigned fail_percent;       // of what it does
	int partitions;              // of the plain sink that keeps no position
	int64_t poison[SIM_POISONS]; // it will not take these positions; 0 none
	bool poison_late;            // and says so only when it gets one
	bool silent;                 // takes batches and never answers
};

// A kind of sink. One at a time: what it holds survives its connectors.
struct sim_sink {
	const char *name;
	const struct connector_impl *connector;
	enum sim_step first_step, last_step;
	bool remembers;                                // keeps its position with its data: each event once
	bool ordered;                                  // and all of them in the store's order
	bool locks;                                    // whoever has it open keeps others out, frozen or not
	bool early;                                    // may have poison, and says so when it is asked
	bool late;                                     // same, when it gets it
	bool rewinds;                                  // takes what it has again after the generation was raised
	const struct config_section *(*section)(void); // NULL: it has no settings
	void (*reset)(struct loop *world, const struct sim_sink_settings *settings);
	void (*calm)(void); // no more faults, and no more silence
	void (*free)(void);
	int64_t (*delivered)(void);
	void (*forget)(void);    // NULL: it has nothing to forget
	void (*lose_tail)(void); // back to what it durably had a while ago; NULL: cannot be
	void (*accept)(void);    // a person puts right what a restored store needs; NULL: nothing to do
};

extern const struct sim_sink sim_plain_once; // sim_plain.c: remembers
extern const struct sim_sink sim_plain_parts;
extern const struct sim_sink sim_file;
extern const struct sim_sink sim_redis;         // sim_redis.c, sim_wire.c under the real connector
extern const struct sim_sink sim_kafka;         // sim_kafka.c, sim_kafka_client.c under the real connector
extern const struct sim_sink sim_kafka_exactly; // with sim_kafka_helper.c

// Text of a connector's section, as it stands in a configuration, read once by the real loader.
const struct config_section *sim_section(const struct connector_impl *connector, const char *yaml);
void sim_sections_free(void);

// --- poison (sim_poison.c)
void sim_poison_set(const int64_t positions[SIM_POISONS]); // of the run that begins
void sim_poison_correct(void);                             // the sink takes it from now on
bool sim_is_poison(int64_t position);                      // now
bool sim_was_poison(int64_t position);                     // at any time

// --- the ledger (sim_ledger.c): what consumers of the sink can see, in the order in which they see it ---
void sim_ledger_reset(struct loop *world);
void sim_ledger_free(void);
// place: of one that is published again, 0 if there is none, or the sink does not show it. fingerprint: of the last event of
// a batch, else NULL; copied.
void sim_ledger_add(
	int64_t position, int64_t place, struct meow_bytes aggregate, int64_t version, const char *fingerprint);
void sim_ledger_cut(size_t count);     // what is behind is lost
void sim_ledger_lose_all(void);        // nothing is there any more; the order of what was seen stays
bool sim_ledger_has(int64_t position); // now
bool sim_ledger_had(int64_t position); // at any time
size_t sim_ledger_count(void);
int64_t sim_ledger_position(size_t index);
int64_t sim_ledger_place(size_t index); // its position where it has no place of its own
int64_t sim_ledger_time_us(size_t index);
const char *sim_ledger_aggregate(size_t index);
int64_t sim_ledger_version(size_t index);
const char *sim_ledger_fingerprint(size_t index);
void sim_ledger_note_batch(void); // that the relay sent one
size_t sim_ledger_batches(void);

#endif
