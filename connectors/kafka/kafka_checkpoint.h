// kafka_checkpoint.h: the route's checkpoint topic, as the helper thread sees it. Everything here blocks, and gives up
// soon once `closing` is set.
#ifndef CONNECTORS_KAFKA_KAFKA_CHECKPOINT_H
#define CONNECTORS_KAFKA_KAFKA_CHECKPOINT_H

#include "connectors/kafka/kafka_record.h"

#include <librdkafka/rdkafka.h>
#include <stdatomic.h>

struct kafka_checkpoint {
	rd_kafka_t *producer; // borrowed
	char *topic;
	int partition, partitions; // of the route, and so of the topic
	int layout;
	int replication;         // of a topic that is created and of one that is there; -1: the broker's own
	bool create;             // if it is missing, and more partitions if there are too few
	rd_kafka_conf_t *reader; // of the consumer that reads the position back
	atomic_bool closing;
};

// The topic is there and set as it must be; if need be it is created, or given more partitions. Tells how many copies
// of it the brokers keep.
MEOW_MUST_USE bool kafka_checkpoint_check(
	struct kafka_checkpoint *checkpoint, bool *ret_created, int *ret_copies, struct meow_error *err);

// The last record of this partition and layout, read back from the true end: nothing that was committed before the call
// is missed. *ret_found false: there is none. MEOW_CONFIG for records that are not ours.
MEOW_MUST_USE bool kafka_checkpoint_read(
	struct kafka_checkpoint *checkpoint, struct kafka_record *ret_record, bool *ret_found, struct meow_error *err);

#endif
