// kafka.h: the Kafka connector. The relay knows it by this one name.
#ifndef CONNECTORS_KAFKA_KAFKA_H
#define CONNECTORS_KAFKA_KAFKA_H

#include "relay/connector.h"

extern const struct connector_impl kafka_connector;

#endif
