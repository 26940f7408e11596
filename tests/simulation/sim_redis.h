// sim_redis.h: between the simulated Redis (sim_redis.c) and the connections to it (sim_wire.c).
#ifndef SIMULATION_SIM_REDIS_H
#define SIMULATION_SIM_REDIS_H

#include "base/buffer.h"
#include "sim_sink.h"

#define REDIS_WATCHES 16

// The server's side of one connection.
struct redis_client {
	struct loop *process; // whose connection it is, for its steps
	struct {
		const uint64_t *counter; // of the key's changes
		uint64_t version;        // where it stood
	} watches[REDIS_WATCHES];
	size_t watch_count;
	char claimed[64];    // the epoch key as it set it
	bool multi, aborted; // between MULTI and EXEC; a command was refused there
	struct buffer queued;
	size_t queued_count;
};

// One command, of which it reads as much as it is long. 0: more is to come.
size_t sim_redis_command(struct redis_client *client, struct meow_bytes input, struct buffer *reply);
void sim_redis_client_finish(struct redis_client *client);

unsigned sim_redis_fail_percent(void);
struct loop *sim_redis_world(void);

// --- sim_wire.c
void sim_wire_break_all(void); // the server has gone: connections are lost, and what was on its way, too
void sim_wire_free_all(void);

#endif
