// kafka_helper.h: the thread beside an exactly-once producer. librdkafka's transactional calls block until a broker has
// answered, want no shorter time-out (-1), and need somebody else to serve the event queue meanwhile; so does the search
// for the position. The loop gives the thread one job at a time and is woken for its answer.
//
// A connector may be destroyed while its helper is blocked: the helper then keeps the producer, and destroys it when its
// call returns.
#ifndef CONNECTORS_KAFKA_KAFKA_HELPER_H
#define CONNECTORS_KAFKA_KAFKA_HELPER_H

#include "connectors/kafka/kafka_checkpoint.h"
#include "connectors/kafka/kafka_client.h"

struct kafka_helper;

enum kafka_job {
	JOB_NONE,
	JOB_START,  // checks the checkpoint topic, fences older producers and settles what they left
	JOB_READ,   // reads the position back and begins the first transaction
	JOB_COMMIT, // commits and begins the next
};

struct kafka_done {
	enum kafka_job job;
	struct meow_error err; // kind MEOW_ERROR_NONE: it went well
	// JOB_START:
	bool created; // the topic was missing
	int copies;   // of the topic
	// JOB_READ:
	bool found;
	struct kafka_record record; // its fingerprint is the caller's to free
	// JOB_COMMIT:
	bool committed;    // with err: what failed is the begin of the next
	unsigned requests; // EndTxn requests that were sent for this commit
};

// Takes what the checkpoint has allocated (its producer is filled in later) even when it fails. Counts the EndTxn
// requests of the producer that is made of conf. NULL without memory.
MEOW_MUST_USE struct kafka_helper *kafka_helper_create(
	const struct kafka_checkpoint *checkpoint, rd_kafka_conf_t *conf, struct meow_error *err);

// Starts the thread on the producer of that conf. On failure both are still the caller's to end.
MEOW_MUST_USE bool kafka_helper_run(struct kafka_helper *helper, struct kafka_client *client, struct meow_error *err);

// The last job's answer must have been taken.
void kafka_helper_do(struct kafka_helper *helper, enum kafka_job job);

// The answer, once. False if there is none now.
MEOW_MUST_USE bool kafka_helper_answer(struct kafka_helper *helper, struct kafka_done *ret_done);

// Takes both (either may be NULL). Never waits for a broker: a helper that is blocked ends the producer by itself, later.
// With `open` a transaction has messages and was not given to JOB_COMMIT: the helper aborts it, so that consumers need
// not wait for its time-out. librdkafka must have copies of all messages: their memory may go at once.
void kafka_helper_end(struct kafka_helper *helper, struct kafka_client *client, bool open);

#endif
