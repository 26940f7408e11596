// kafka_record.h: the record that each transaction writes to the route's checkpoint topic, beside the events. JSON both,
// so that any consumer can show it:
//
//   key    {"partition":0,"generation":0}
//   value  {"delivered":1234,"fingerprint":"1 ...","epoch":0,"layout":0}
//
// Members that a later meowmx adds to the value are not looked at.
#ifndef CONNECTORS_KAFKA_KAFKA_RECORD_H
#define CONNECTORS_KAFKA_KAFKA_RECORD_H

#include "base/buffer.h"

struct kafka_record {
	int64_t partition, generation;
	int64_t delivered;
	char *fingerprint; // NULL if it has none; kafka_record_parse allocates it
	int64_t epoch, layout;
};

// Both add to the end of the buffer.
void kafka_record_key(const struct kafka_record *record, struct buffer *key);
void kafka_record_value(const struct kafka_record *record, struct buffer *value);

// False if this is no such record; then why says so in a clause, and *ret_record is untouched. False with why NULL where
// memory was missing to tell. The fingerprint is the caller's to free.
MEOW_MUST_USE bool kafka_record_parse(
	struct meow_bytes key, struct meow_bytes value, struct kafka_record *ret_record, const char **why);

#endif
