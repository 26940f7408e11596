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

// A kafka_each_fn for a contract_log.
void kafka_log_message(void *log, const rd_kafka_message_t *message);

int kafka_partition_count(const char *servers, const char *topic); // 0: there is no such topic
void kafka_create_topic(const char *servers, const char *name, const char *config, const char *value); // config or NULL
void kafka_grow_topic(const char *servers, const char *name, size_t partitions);
void kafka_write(const char *servers, const char *topic, const char *key, const char *value); // into partition 0

// `count` records in partition 0 in a transaction of somebody else, which is aborted or, in a client that the caller
// destroys, left open.
void kafka_abort_records(const char *servers, const char *topic, size_t count);
rd_kafka_t *kafka_leave_open(const char *servers, const char *topic, size_t count);

#endif
