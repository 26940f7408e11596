// contract.h: one suite for every connector. A connector's test brings a contract_sink (how to get a fresh, empty place
// in a real server, how to read everything back, how to take the server away), and contract_run drives the connector
// through a small relay of its own: a window of batches, a mark that moves over the delivered prefix, one recovery path.
//
// The events are made from their position alone (contract_event), so what is read back can be compared byte for byte:
// seven aggregates take turns, in two categories, the first event of each has version 0.
#ifndef CONTRACT_CONTRACT_H
#define CONTRACT_CONTRACT_H

#include "unit.h"

#include "relay/connector.h"

// Settings of a connector's section; the real loader reads them, and the connector's check sees them.
struct contract_settings;
struct contract_settings *contract_settings_create(const struct connector_impl *impl);
void contract_settings_destroy(struct contract_settings *settings); // takes NULL
void contract_set(struct contract_settings *settings, const char *name, const char *value);
void contract_set_item(struct contract_settings *settings, const char *map, const char *key, const char *value);

// Loads and checks what was set so far; nothing can be set afterwards. For tests of what is refused.
MEOW_MUST_USE bool contract_load(struct contract_settings *settings, struct meow_error *err);

// The same, asserting that nothing is refused. Lives as long as the settings.
const struct config_section *contract_section(struct contract_settings *settings);

// What was read back from a sink, in the sink's own order (for Kafka: any order between partitions).
struct contract_log;
struct contract_entry {
	int64_t position, version;
	struct meow_bytes aggregate_type, aggregate_id, type, data;
};
void contract_log_add(struct contract_log *log, const struct contract_entry *entry); // copies

struct contract_sink {
	const struct connector_impl *impl;
	void *arg; // of the functions below

	// Before each case: a place that holds nothing, and the settings that lead there. Asserts by itself.
	void (*fresh)(void *arg, struct contract_settings *settings);
	// Everything the place of the last `fresh` holds.
	void (*read)(void *arg, struct contract_log *log);
	// After each case: drops what `fresh` made. May be NULL.
	void (*clean)(void *arg);

	// The server goes away at once, and comes back at the same address with what it had acknowledged. NULL: no server.
	void (*stop)(void *arg);
	void (*start)(void *arg);
	// Turns an event into one that this sink will never take, and that admit knows. May be NULL.
	void (*spoil)(void *arg, struct meow_event *event);
	// Tears the last entry in two, as a power cut would. May be NULL.
	void (*tear)(void *arg);
	// Somebody else writes to the place, at or above `position`, while the connector is connected. May be NULL.
	void (*intrude)(void *arg, int64_t position);

	const char *store_id; // that the relay has; NULL: one for all cases. May point to what `fresh` writes
	bool keeps_memory;    // the sink remembers what was delivered: it is asked on each start, and nothing comes twice
	bool total_order;     // one sequence for all events, not one for each aggregate
};

// Runs all cases that apply to the sink; returns the number that failed.
int contract_run(const char *name, const struct contract_sink *sink);

// --- for cases of one connector alone ---

// The event of a position (1 and up). Its texts are written to `texts`, which must stay.
struct contract_texts {
	char aggregate_id[32], data[400], metadata[200];
};
struct meow_event contract_event(int64_t position, struct contract_texts *texts);

// The events first .. first + count - 1 as a batch that is ready to be sent. Asserts.
struct batch *contract_batch(int64_t first, size_t count);

// A fake host with a loop. It owns the batches that are in flight.
struct contract_relay {
	const struct contract_sink *sink;
	const struct config_section *section;
	struct loop *loop;
	struct loop_timer *timer;
	struct connector *connector;
	const char *format; // "data"
	const char *store_id;
	int64_t epoch, generation;
	int partition;
	size_t batch_events, window_batches; // of contract_publish: 25 and 4

	// What the host was told since contract_open.
	bool opened, failed, refused;
	int memory_kind;
	int64_t memory_delivered, memory_generation;
	char memory_fingerprint[200];
	int64_t refused_at;
	struct meow_error error; // of failed and refused
	int confirmed;           // how often the connector asked for the lease
	int notices;
	char notice[512];   // the last
	int64_t noticed_at; // the mark then
	size_t delivered_batches;

	int64_t mark;         // everything up to here was delivered, without a gap
	int64_t next;         // the first position that was not sent yet
	struct batch *flight; // in the order of sending
};

void contract_relay_init(
	struct contract_relay *relay, const struct contract_sink *sink, struct contract_settings *settings);
void contract_relay_finish(struct contract_relay *relay);

// Creates and opens the connector; it may fail later. False if create itself failed (relay->error).
bool contract_open(struct contract_relay *relay);
void contract_close(struct contract_relay *relay); // destroys the connector and the batches in flight

// Runs the loop until condition(relay) holds or the time is over; says which.
bool contract_wait(struct contract_relay *relay, bool (*condition)(const struct contract_relay *relay), int timeout_ms);
bool contract_is_open(const struct contract_relay *relay);
bool contract_is_over(const struct contract_relay *relay); // failed or refused
bool contract_is_idle(const struct contract_relay *relay); // nothing in flight, or over

// Admits and sends one batch (asserts that all of it is admitted). Takes the batch.
void contract_send(struct contract_relay *relay, struct batch *batch);

// As the real relay: opens, begins, sends, recovers from what may be retried, until everything up to `target` was
// delivered or the time is over. contract_publish_past stops as soon as `target` was delivered, with more in flight.
bool contract_publish(struct contract_relay *relay, int64_t target, int timeout_ms);
bool contract_publish_past(struct contract_relay *relay, int64_t target, int64_t last, int timeout_ms);

// Reads the sink and asserts: each event up to `last` is there, in order, unaltered, and none is twice unless the sink
// keeps no memory.
void contract_check(struct contract_relay *relay, int64_t last);

#endif
