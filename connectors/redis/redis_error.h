// redis_error.h: what an error reply of Redis means for a route.
#ifndef CONNECTORS_REDIS_REDIS_ERROR_H
#define CONNECTORS_REDIS_REDIS_ERROR_H

#include "base/error.h"

#define REDIS_NO_CLUSTER "Redis Cluster is not supported: set `url` to a server that is none"

// Fills err from an error reply ("OOM command not allowed ..."). place: "host:port". doing: what was asked for. Returns
// false.
bool redis_error(struct meow_error *err, const char *place, const char *doing, const char *reply);

// Whether the reply begins with this code, also inside of an EXECABORT.
bool redis_error_is(const char *reply, const char *code);

#endif
