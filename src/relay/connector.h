// connector.h: the one interface between the relay and a sink. Whoever writes a connector reads this file and needs
// nothing else of the relay. A connector publishes batches in order and says when they are durable. It never retries,
// keeps no window and writes no checkpoint: on any trouble it reports `failed` once and waits to be destroyed; the
// relay backs off, makes a new one, and starts again from what the sink (or the store) remembers.
//
// The life of a connector, all on the executor's loop:
//
//   create -> open -> (host.opened) -> begin -> send, send, ... (host.delivered ...) -> destroy
//
// host.failed or host.refused may come at any time after open; after either, nothing but destroy. Host calls never
// come from within open, begin, send or destroy: post them, or make them from an I/O callback. Nothing may block.
#ifndef RELAY_CONNECTOR_H
#define RELAY_CONNECTOR_H

#include "config/config.h"
#include "loop/loop.h"
#include "relay/encoder.h"
#include "store/batch.h"

struct connector;

// What the sink itself remembers of this route.
struct connector_memory {
	enum {
		MEMORY_NONE,  // this sink keeps no position: the store's checkpoint decides
		MEMORY_EMPTY, // it could, and has none
		MEMORY_HELD,
	} kind;
	int64_t delivered;
	int64_t generation;
	const char *fingerprint; // NULL if it keeps none
};

struct connector_host {
	// The sink is reached and checked. memory is borrowed until the call returns.
	void (*opened)(void *arg, const struct connector_memory *memory);
	// All of this batch is durable in the sink. Batches may finish out of order. The loan of the batch ends here.
	void (*delivered)(void *arg, struct batch *batch);
	// The sink is lost or doubtful. The kind says how: with one that may be retried (error_may_retry) the route backs
	// off and recovers; with any other it stops, and waits for a person.
	void (*failed)(void *arg, const struct meow_error *err);
	// The sink will never take the event at this position; nothing behind it was applied. The relay recovers, sends
	// what comes before it, and stops there.
	void (*refused)(void *arg, int64_t position, const struct meow_error *err);
	// Something a person should know, once, that stops nothing.
	void (*notice)(void *arg, const char *text);
	// Is the executor's lease still its own? For a connector that has fenced at the sink whoever was there before, and
	// is about to read what they left. If it is, done(done_arg) is called, within this call or later on the loop; if not,
	// the connector is destroyed. After destroy done is not called any more. NULL where there are no leases.
	void (*confirm)(void *arg, void (*done)(void *done_arg), void *done_arg);
};

struct connector_context {
	struct loop *loop;
	const struct config_section *settings; // the connector's own section of the route; outlives the connector
	const struct encoder *encoder;         // of the route's format; outlives the connector
	const char *store_id;                  // a UUID
	const char *route;
	int layout, partition;
	int partitions; // of the layout
	int64_t epoch;  // of the lease: rises with each take-over
	int64_t generation;
	const struct connector_host *host;
	void *host_arg;
};

// What the relay does when the sink remembers less than the store's checkpoint, or nothing although something was
// delivered: go back to what the sink knows, go on from the store's `delivered`, or stop and ask.
enum connector_rule { SINK_REWIND, SINK_GO_ON, SINK_STOP };

struct connector_impl {
	const char *name;               // the key of its section in a route: "kafka"
	const struct setting *settings; // ends with a setting without a name
	enum connector_rule when_behind;
	enum connector_rule when_empty;
	const char *stop_advice; // for SINK_STOP: what else than `subscription resume` helps: "bring its data back"

	// What can be checked without a connection: names, combinations. Tells of each problem that there is.
	void (*check)(const struct config_section *settings, const struct config_report *report);

	// Two routes may not share a sink: the text that must differ between routes (e.g. a path, "redis url stream"),
	// to be freed by the caller; NULL if sharing is fine. May be NULL.
	char *(*exclusive)(const struct config_section *settings);

	// Whether several partitions can be published with these settings, each by a connector of its own. MEOW_CONFIG as
	// check: what has to change. NULL: always.
	bool (*divisible)(const struct config_section *settings, struct meow_error *err);

	struct connector *(*create)(const struct connector_context *context, struct meow_error *err);

	// Connects and learns what the sink remembers. `delivered` is the store's checkpoint.
	void (*open)(struct connector *connector, int64_t delivered);

	// Publishing starts behind `delivered`, the event that the relay decided on (fingerprint may be NULL).
	void (*begin)(struct connector *connector, int64_t delivered, const char *fingerprint);

	// How many of the batch's leading events the sink can take. Fewer than count: err says why the next one never
	// will be taken (MEOW_INVALID; the text names event and cause). Called once before each send. Must be cheap.
	size_t (*admit)(struct connector *connector, const struct batch *batch, struct meow_error *err);

	// Starts publishing. The batch (count above 0, fingerprint set) is lent until host.delivered or destroy returns.
	// False: it was not taken, and nothing but destroy follows, since no other batch may pass it by.
	MEOW_MUST_USE bool (*send)(struct connector *connector, struct batch *batch, struct meow_error *err);

	// HUP: open files anew. May be NULL.
	void (*reopen)(struct connector *connector);

	// Drops everything at once, without waiting for the sink; loans end. Takes NULL and half-opened ones.
	void (*destroy)(struct connector *connector);
};

// Every connector begins with this.
struct connector {
	const struct connector_impl *impl;
};

#endif
