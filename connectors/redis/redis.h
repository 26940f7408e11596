// redis.h: the Redis Streams connector. The relay knows it by this one name.
#ifndef CONNECTORS_REDIS_REDIS_H
#define CONNECTORS_REDIS_REDIS_H

#include "relay/connector.h"

extern const struct connector_impl redis_connector;

#endif
