// sim_store_part.h: what the files of the simulated store share. sim_store.c has the store and what befalls it,
// sim_writers.c its writers, sim_letters.c dead letters, sim_serve.c what else requests do to it, sim_session.c the connections
// over which they come.
#ifndef SIMULATION_SIM_STORE_PART_H
#define SIMULATION_SIM_STORE_PART_H

#include "sim_store.h"

#define TX_EVENTS 6
#define HOLDERS_MOST 64
#define ALIVE_MOST 64

struct stored {
	struct meow_event event;
	char id[16];
	char data[64];
	bool committed;
	int64_t committed_us;
	int aggregate;
	bool dead;           // it was set aside
	bool given_up;       // an operator has discarded its dead letter
	int64_t given_up_us; // or had, before a rewind; 0: never
};

// A dead letter.
struct letter {
	int64_t generation, position;
	int64_t retry_at; // 0: it has none
	int64_t drawn;    // while the retry of this transaction is not committed
	uint64_t asked_by;
	int aggregate;
	bool closed; // discarded, or published
};

struct transaction {
	struct sim_store *store;
	struct transaction *next;
	int64_t ids[TX_EVENTS];
	int aggregates[TX_EVENTS];
	size_t count;
	int64_t drawn; // the highest id, used or not
	uint64_t number;
	bool holds;    // has drawn an id
	bool dead;     // its server has gone
	bool notifies; // the relay dozed when it inserted
	bool lasting;  // it commits, soon
	bool prepared; // it survives its server, under another name
	bool renamed;
	int64_t first_place; // above 0: it asks for retries, and has drawn this place first
};

struct row {
	char holder[16]; // of the lease, empty if it is free
	int64_t until_us, length_us;
	bool there, paused, stop_kept, resume;
	int64_t delivered, position, generation, epoch, error_position;
	char *fingerprint;
	char state[16], reason[MEOW_ERROR_TEXT_SIZE];
};

// Of a number of partitions.
struct layout {
	int partitions;
	int64_t cut;                          // they run up to here, 0: for ever
	struct row rows[SIM_PARTITIONS_MOST]; // their checkpoints
};

// A relay that runs the subscription, until it counts no more.
struct alive {
	char relay[16];
	int64_t until_us, length_us;
};

// What a copy of the store would hold, of a route in one partition.
struct copy {
	int64_t at_us, last;
	struct row row;
};

struct sim_store {
	struct loop *loop;
	struct sim_store_settings settings;
	const struct sim_store_watch *watch;
	struct stored **events; // by id - 1
	size_t capacity;
	int64_t last;
	int64_t versions[SIM_AGGREGATES];
	bool locked[SIM_AGGREGATES];
	struct transaction *open;
	uint64_t transactions;
	int64_t doze_until_us;
	bool write_before_doze;
	struct layout layouts[SIM_LAYOUTS_MOST], *newest;
	struct alive alive[ALIVE_MOST]; // by the relay's number
	struct sim_session *sessions;
	uint64_t session_count;
	int64_t clock_ahead_us;
	int64_t skipped; // an operator's decision
	size_t committed;
	uint32_t timeline;
	int64_t started_at; // the head when it was made
	int64_t start;
	struct copy copies[64];
	size_t copy_count;
	struct letter *letters;
	size_t letter_count, letter_capacity;
	int64_t last_place; // of all retries that were committed
};

enum kind { OPEN, READ, HEAD, LOOK, DOZE, FIND, LOAD, SAVE, ACQUIRE, RENEW, RELEASE, ASIDE, RETRY, RETRY_END };

struct request {
	struct request *next;
	struct sim_session *session;
	enum kind kind;
	void *arg;
	bool forgotten, done;
	bool unsent; // the process was dead when it asked
	union {
		session_open_fn *open;
		session_rows_fn *rows;
		session_head_fn *head;
		session_look_fn *look;
		session_done_fn *done;
		session_event_fn *event;
		session_checkpoint_fn *checkpoint;
		session_lease_fn *lease;
		session_retry_fn *retry;
	} fn;
	int layout, partition;
	struct session_read read;
	struct session_rows rows;
	int64_t number;
	struct session_holder holders[HOLDERS_MOST];
	size_t holder_count;
	struct checkpoint save;
	char state[16], reason[MEOW_ERROR_TEXT_SIZE];
	char *fingerprint;
	bool conflict;
	char *letters;
	struct session_letters aside;
	struct session_retry_query retries;
	struct session_retry retry;
	struct session_lease lease;
	struct session_lease_state leased;
	char relay[16], holder[16];
};

struct sim_session {
	struct session base;
	struct sim_session *next;
	struct sim_store *store;
	struct loop *loop; // of the process whose session it is
	uint64_t number;
	struct request *first;
	loop_fn *notify;
	void *notify_arg;
	bool dead, destroyed, inside, scheduled;
};

// --- sim_store.c
struct row *store_row(struct sim_store *store, const struct request *request); // that it is about
bool store_is_of(const struct sim_store *store, const struct meow_event *event, const struct request *request);
int64_t store_highest(const struct sim_store *store); // of the positions of all checkpoints

// --- sim_lease.c
void lease_acquire(struct sim_store *store, struct request *request);
void lease_give_more(struct sim_store *store, struct request *request); // renews it
void lease_give_back(struct sim_store *store, const struct request *request);
int64_t lease_clock_us(const struct sim_store *store); // the store's
bool lease_lives(const struct sim_store *store, const struct row *row);

// --- sim_writers.c
void writers_start(struct sim_store *store);
struct stored *writers_draw(struct sim_store *store); // an id that nobody uses yet
void writers_end(struct sim_store *store, bool all);  // their server goes; without `all` prepared transactions stay
struct transaction *writers_begin_retry(struct sim_store *store); // which commits within some milliseconds,
void writers_end_retries(struct sim_store *store);                // or now

// --- sim_letters.c
void letters_free(struct sim_store *store);
void letters_set_aside(struct sim_store *store, struct request *request);
void letters_next(const struct sim_store *store, struct request *request);
void letters_end(struct sim_store *store, struct request *request);
// Which aggregates are held, as the store writes it, and how many letters are open. Good until the next call.
const char *letters_held(const struct sim_store *store, const struct row *row, int64_t *ret_open);
void letters_end_retry(struct sim_store *store, uint64_t transaction, bool commit);
void letters_rewind(struct sim_store *store, int64_t position);
void letters_check_checkpoint(const struct sim_store *store, const struct request *request); // that is saved

// --- sim_serve.c
void serve(struct sim_store *store, struct request *request);         // at one moment
void serve_holders(struct sim_store *store, struct request *request); // of a look: its second statement
void serve_answer(struct request *request, const struct meow_error *err);
void serve_free(struct request *request);

// --- sim_session.c
void sessions_notify(struct sim_store *store); // all of them, soon
void sessions_break(struct sim_store *store);
void sessions_free(struct sim_store *store);

#endif
