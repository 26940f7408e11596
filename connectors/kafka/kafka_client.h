// kafka_client.h: a librdkafka producer on the loop: its events wake a descriptor that the loop watches, and the one
// question that librdkafka only answers by blocking (is this topic there?) is asked by a thread beside it.
#ifndef CONNECTORS_KAFKA_KAFKA_CLIENT_H
#define CONNECTORS_KAFKA_KAFKA_CLIENT_H

#include "loop/loop.h"

#include <librdkafka/rdkafka.h>

struct kafka_client;

// Takes conf. NULL: MEOW_CONFIG where librdkafka refuses the configuration as a whole, MEOW_UNAVAILABLE where it cannot
// start its threads now. Does not wait for any broker.
MEOW_MUST_USE rd_kafka_t *kafka_client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct meow_error *err);

// Takes conf. wake runs on the loop when there may be events or answers to poll. Fails as kafka_client_new
// does, and without memory.
MEOW_MUST_USE struct kafka_client *kafka_client_create(
	rd_kafka_conf_t *conf, struct loop *loop, loop_fn *wake, void *arg, struct meow_error *err);

// Drops all messages without waiting for the broker. On return librdkafka reads no message's memory any more. Blocks
// while its threads end, which takes milliseconds, but up to ASK_MS when a broker is silent just then, or as long as a
// name server that does not answer. All topic handles and events must be gone. Takes NULL.
void kafka_client_destroy(struct kafka_client *client);

// Leaves the loop: wake is not called any more, what librdkafka reports is dropped (a commit under way waits for that), and
// from now on any one thread may use and destroy the client.
void kafka_client_detach(struct kafka_client *client);

// Wakes the loop as librdkafka's own events do. Any thread.
void kafka_client_wake(struct kafka_client *client);

rd_kafka_t *kafka_client_handle(const struct kafka_client *client);
rd_kafka_queue_t *kafka_client_queue(const struct kafka_client *client);

// The next event, NULL if there is none now; the caller destroys it.
rd_kafka_event_t *kafka_client_poll(struct kafka_client *client);

#define ASK_MS 1000

struct kafka_answer {
	void *topic;                // as given to kafka_client_ask
	rd_kafka_resp_err_t failed; // nobody answered
	rd_kafka_resp_err_t state;  // of the topic
	rd_kafka_topic_t *handle;   // the caller's to destroy, if not NULL
	size_t partitions;          // of the topic, if it is there
	int copies;                 // of it
};

// Asks for the topic of this name (copied); with NULL, whether any broker answers. False without memory.
MEOW_MUST_USE bool kafka_client_ask(struct kafka_client *client, const char *name, void *topic);

// The next answer. False if there is none now.
MEOW_MUST_USE bool kafka_client_answer(struct kafka_client *client, struct kafka_answer *ret_answer);

#endif
