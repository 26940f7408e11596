// sim.h: what all of the simulation shares: chance, the trace, the steps at which a process may die, and the loop with the
// clock. One seed decides everything; a run is one thread, and nothing in it waits.
#ifndef SIMULATION_SIM_H
#define SIMULATION_SIM_H

#include "loop/loop.h"

#include "base/error.h"

// --- chance and trace (sim_chance.c) ---
void sim_seed(uint64_t seed);
uint64_t sim_random(void);
int64_t sim_between(int64_t least, int64_t most);
bool sim_chance(unsigned percent);

// Adds to the run's hash: two runs with one seed must come to the same. With sim_tell_steps each step is printed, too.
void sim_trace(uint64_t what);
uint64_t sim_trace_hash(void);
void sim_tell_steps(bool tell);

// Ends the program: prints the seed and what was violated.
_Noreturn void sim_violation(const char *format, ...) BASE_PRINTF(1, 2);

// --- steps (sim_steps.c) ---
// Wherever a process talks to the outside, or the outside does what it asked for, there is a step with a name, and the
// process may die there. At a step of "asks" and "sends" what was asked for is not even sent then; at one of "did" the
// other side has done it, and the process never learns. Production code knows nothing of steps: they stand in the
// simulated sides of its interfaces.
#define SIM_STORE_STEPS(STEP)                                                                                          \
	STEP(STORE_ASKS_OPEN, "asks the store: open")                                                                      \
	STEP(STORE_ASKS_READ, "asks the store: read")                                                                      \
	STEP(STORE_ASKS_HEAD, "asks the store: head")                                                                      \
	STEP(STORE_ASKS_LOOK, "asks the store: look")                                                                      \
	STEP(STORE_ASKS_DOZE, "asks the store: doze")                                                                      \
	STEP(STORE_ASKS_FIND, "asks the store: find")                                                                      \
	STEP(STORE_ASKS_LOAD, "asks the store: load checkpoint")                                                           \
	STEP(STORE_ASKS_SAVE, "asks the store: save checkpoint")                                                           \
	STEP(STORE_ASKS_ACQUIRE, "asks the store: acquire lease")                                                          \
	STEP(STORE_ASKS_RENEW, "asks the store: renew lease")                                                              \
	STEP(STORE_ASKS_RELEASE, "asks the store: release lease")                                                          \
	STEP(STORE_ASKS_ASIDE, "asks the store: set aside")                                                                \
	STEP(STORE_ASKS_RETRY, "asks the store: next retry")                                                               \
	STEP(STORE_ASKS_RETRY_END, "asks the store: end a retry")                                                          \
	STEP(STORE_DID_OPEN, "store did: open")                                                                            \
	STEP(STORE_DID_READ, "store did: read")                                                                            \
	STEP(STORE_DID_HEAD, "store did: head")                                                                            \
	STEP(STORE_DID_LOOK, "store did: look")                                                                            \
	STEP(STORE_DID_DOZE, "store did: doze")                                                                            \
	STEP(STORE_DID_FIND, "store did: find")                                                                            \
	STEP(STORE_DID_LOAD, "store did: load checkpoint")                                                                 \
	STEP(STORE_DID_SAVE, "store did: save checkpoint")                                                                 \
	STEP(STORE_DID_ACQUIRE, "store did: acquire lease")                                                                \
	STEP(STORE_DID_RENEW, "store did: renew lease")                                                                    \
	STEP(STORE_DID_RELEASE, "store did: release lease")                                                                \
	STEP(STORE_DID_ASIDE, "store did: set aside")                                                                      \
	STEP(STORE_DID_RETRY, "store did: next retry")                                                                     \
	STEP(STORE_DID_RETRY_END, "store did: end a retry")
#define SIM_PLAIN_STEPS(STEP)                                                                                          \
	STEP(PLAIN_OPENS, "opens a plain sink")                                                                            \
	STEP(PLAIN_SENDS, "sends to a plain sink")                                                                         \
	STEP(PLAIN_DID_APPLY, "plain sink did: apply")                                                                     \
	STEP(PLAIN_ANSWERS, "hears from a plain sink")
#define SIM_FILE_STEPS(STEP)                                                                                           \
	STEP(FILE_OPENS, "opens the file")                                                                                 \
	STEP(FILE_DID_CUT, "file did: cut a torn end")                                                                     \
	STEP(FILE_WRITES, "writes lines")                                                                                  \
	STEP(FILE_DID_WRITE, "file did: write, unflushed")                                                                 \
	STEP(FILE_DID_FLUSH, "file did: flush")
#define SIM_REDIS_STEPS(STEP)                                                                                          \
	STEP(REDIS_CONNECTS, "connects to Redis")                                                                          \
	STEP(REDIS_SENDS, "sends to Redis")                                                                                \
	STEP(REDIS_DID_CLAIM, "Redis did: set the epoch")                                                                  \
	STEP(REDIS_DID_QUEUE, "Redis did: queue a command")                                                                \
	STEP(REDIS_DID_EXEC, "Redis did: EXEC of a batch")                                                                 \
	STEP(REDIS_ANSWERS, "hears from Redis")
#define SIM_KAFKA_STEPS(STEP)                                                                                          \
	STEP(KAFKA_PRODUCES, "produces to Kafka")                                                                          \
	STEP(KAFKA_DID_APPEND, "Kafka did: append")                                                                        \
	STEP(KAFKA_REPORTS, "hears of a delivery")
#define SIM_EXACTLY_STEPS(STEP)                                                                                        \
	STEP(EXACTLY_ASKS_INIT, "asks Kafka: init_transactions")                                                           \
	STEP(EXACTLY_DID_INIT, "Kafka did: fence older producers")                                                         \
	STEP(EXACTLY_ASKS_READ, "asks Kafka: read the position")                                                           \
	STEP(EXACTLY_DID_READ, "Kafka did: read the position")                                                             \
	STEP(EXACTLY_RECORDS, "produces the position")                                                                     \
	STEP(EXACTLY_ASKS_COMMIT, "asks Kafka: commit")                                                                    \
	STEP(EXACTLY_DID_COMMIT, "Kafka did: commit")                                                                      \
	STEP(EXACTLY_ANSWERS, "hears of a commit")
#define SIM_STEPS(STEP)                                                                                                \
	SIM_STORE_STEPS(STEP)                                                                                              \
	SIM_PLAIN_STEPS(STEP)                                                                                              \
	SIM_FILE_STEPS(STEP)                                                                                               \
	SIM_REDIS_STEPS(STEP)                                                                                              \
	SIM_KAFKA_STEPS(STEP)                                                                                              \
	SIM_EXACTLY_STEPS(STEP)

#define STEP_ENUM(name, text) name,
enum sim_step { SIM_STEPS(STEP_ENUM) SIM_STEP_COUNT };
#undef STEP_ENUM

// Of this process (its loop): false if it dies here, or is dead already.
bool sim_step(struct loop *process, enum sim_step step);

// So many processes of the run to come die, each at a step of the store or between these two, which are the sink's.
// letters: often at one that has to do with dead letters.
void sim_steps_arm(unsigned deaths, enum sim_step first, enum sim_step last, bool letters);
void sim_steps_disarm(void);

// One line a step: how often it was passed, and how often a process died there. False if one that must be was never both.
bool sim_steps_say(bool all);
void sim_steps_leave_out(enum sim_step first, enum sim_step last); // no sink of this build has them

// --- the loop (sim_loop.c) ---
struct loop *sim_loop_create(void);
// The loop of one process in that world: it may freeze while the others go on. What was due meanwhile comes when it thaws.
struct loop *sim_loop_create_within(struct loop *world);
void sim_loop_freeze(struct loop *loop, bool frozen);
// When the process has died: called from the world, after whatever ran when it did. It must end all that it had there.
void sim_loop_on_death(struct loop *loop, loop_fn *fn, void *arg);
void sim_loop_kill(struct loop *loop);
bool sim_loop_is_dead(const struct loop *loop);
void sim_loop_revive(struct loop *loop); // the next process; posts of the one before are dropped
// Runs fn(arg) after so long. Each call frees itself.
void sim_after(struct loop *loop, int64_t delay_us, loop_fn *fn, void *arg);
int64_t sim_now(struct loop *loop);
// Runs what is due until `until_us`, or until nothing is left.
void sim_run_until(struct loop *loop, int64_t until_us);

#endif
