// redis_wire.h: one connection to Redis on the executor's loop: commands out, replies in, in order. hiredis resolves,
// connects and parses; what goes out is formatted here, so that an event is copied once at most and a large value never.
//
// Nothing here calls back from within wire_put_..., wire_flush, wire_fail or wire_destroy.
#ifndef CONNECTORS_REDIS_REDIS_WIRE_H
#define CONNECTORS_REDIS_REDIS_WIRE_H

#include "base/buffer.h"
#include "connectors/redis/redis_tls.h"
#include "loop/loop.h"

#include <hiredis/hiredis.h>

struct wire;

struct wire_events {
	void (*connected)(void *arg);
	// One reply for each command, in order. Borrowed until it returns.
	void (*reply)(void *arg, const redisReply *reply);
	// Replies were handled or bytes went out: look whether there is something to send.
	void (*turn)(void *arg);
	// Once, and nothing after it. lost: the connection broke, so what became of commands without a reply is unknown.
	void (*failed)(void *arg, bool lost, const struct meow_error *err);
};

// Where to; all of it outlives the wire.
struct wire_target {
	const char *host;
	int port;
	const char *place;     // for messages
	const struct tls *tls; // NULL: none
	int silence_limit_s;   // how long an answer may take before the connection counts as lost
};

// Begins to connect. NULL without memory, or where the host cannot be found.
MEOW_MUST_USE struct wire *wire_create(struct loop *loop, const struct wire_target *target,
	const struct wire_events *events, void *arg, struct meow_error *err);

// Closes at once. May be called from an event. Takes NULL.
void wire_destroy(struct wire *wire);

// A command is its number of arguments and then each of them. A large argument is not copied but borrowed until
// wire_is_empty.
void wire_put_command(struct wire *wire, size_t arguments);
void wire_put(struct wire *wire, struct meow_bytes argument);
void wire_put_text(struct wire *wire, const char *argument);
void wire_put_int(struct wire *wire, int64_t argument);
void wire_put_auth(struct wire *wire, const char *user, const char *password); // the whole command; user may be NULL
// Several arguments that were formatted before by wire_format.
void wire_put_formatted(struct wire *wire, struct meow_bytes formatted);
void wire_format(struct buffer *buffer, struct meow_bytes argument);

// Enough was put for one write: flush, and go on in the next turn in which the wire is empty.
bool wire_is_full(const struct wire *wire);
bool wire_is_empty(const struct wire *wire);
bool wire_has_failed(const struct wire *wire);

// Sends what the socket takes; the rest follows by itself.
void wire_flush(struct wire *wire);

// Reports this failure, later. The first one counts.
void wire_fail(struct wire *wire, const struct meow_error *err);

#endif
