// redis_reach.h: a connection to the Redis that a route's settings name, straight or through Sentinels, with TLS where
// the build has it.
#ifndef VERIFY_REDIS_REACH_H
#define VERIFY_REDIS_REACH_H

#include "config/config.h"

#include <hiredis/hiredis.h>

// Logged in, in the url's database. *ret_place is "host:port", for messages, which the caller frees. NULL: MEOW_UNAVAILABLE,
// MEOW_DENIED, MEOW_CONFIG. Blocks, for ten seconds a host at most.
MEOW_MUST_USE redisContext *redis_reach(
	const struct config_section *settings, char **ret_place, struct meow_error *err);

// Fills err with what an error reply means. Returns false.
bool redis_reach_refused(const char *place, const char *doing, const redisReply *reply, struct meow_error *err);

#endif
