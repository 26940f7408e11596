// kafka_error.h: what librdkafka's error codes mean to the relay.
#ifndef CONNECTORS_KAFKA_KAFKA_ERROR_H
#define CONNECTORS_KAFKA_KAFKA_ERROR_H

#include "base/error.h"

#include <librdkafka/rdkafka.h>

// MEOW_INVALID: about the message alone, which will never be taken. MEOW_DENIED, MEOW_CONFIG: a person has to act.
// MEOW_UNAVAILABLE: everything else, the new codes of later brokers included.
enum meow_error_kind kafka_error_kind(rd_kafka_resp_err_t code);

// A clause behind the error, what decides it; "" where there is nothing to say.
const char *kafka_error_advice(rd_kafka_resp_err_t code);

// True for what merely follows from another error or from our own purge.
bool kafka_error_follows(rd_kafka_resp_err_t code);

#endif
