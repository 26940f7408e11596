// kafka_look.h: a broker seen from outside, by clients of the tests' own. All of it asserts.
#ifndef CONTRACT_KAFKA_LOOK_H
#define CONTRACT_KAFKA_LOOK_H

#include "contract.h"

#include <librdkafka/rdkafka.h>

// Runs `each` on every message of the topics whose names begin with prefix; within a partition in order.
typedef void kafka_each_fn(void *arg, const rd_kafka_message_t *message);
void kafka_consume(const char *servers, const char *prefix, kafka_each_fn *each, void *arg);

struct meow_bytes kafka_header(const rd_kafka_message_t *message, const char *name); // absent if there is none
int64_t kafka_header_number(const rd_kafka_message_t *message, const char *name);

int kafka_partition_count(const char *servers, const char *topic); // 0: there is no such topic
void kafka_create_topic(const char *servers, const char *name, const char *config, const char *value); // config or NULL

#endif
