// redis_sentinel.h: asks Sentinels, one after the other, where the master of a name is now.
#ifndef CONNECTORS_REDIS_REDIS_SENTINEL_H
#define CONNECTORS_REDIS_REDIS_SENTINEL_H

#include "connectors/redis/redis_url.h"
#include "connectors/redis/redis_wire.h"

struct sentinel;

// One of the two, once, never from within sentinel_create. Both may destroy the sentinel.
struct sentinel_events {
	void (*found)(void *arg, const struct redis_host *master); // borrowed until it returns
	void (*failed)(void *arg, const struct meow_error *err);   // none of them knows: MEOW_UNAVAILABLE
};

// All of it outlives the sentinel.
struct sentinel_target {
	const struct redis_url *url; // with a master
	const struct tls *tls;       // NULL: none
	const char *user, *password; // of the Sentinels, NULL: none
};

// NULL without memory.
MEOW_MUST_USE struct sentinel *sentinel_create(struct loop *loop, const struct sentinel_target *target,
	const struct sentinel_events *events, void *arg, struct meow_error *err);
void sentinel_destroy(struct sentinel *sentinel); // takes NULL

#endif
