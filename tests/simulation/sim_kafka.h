// sim_kafka.h: between the simulated broker (sim_kafka.c), librdkafka's producer as the connector sees it
// (sim_kafka_client.c, sim_kafka_message.c), and the helper of exactly-once delivery (sim_kafka_helper.c).
#ifndef SIMULATION_SIM_KAFKA_H
#define SIMULATION_SIM_KAFKA_H

#include "connectors/kafka/kafka_client.h"
#include "sim_sink.h"

#define KAFKA_PARTITIONS 3

struct kafka_message {
	void *opaque; // as it was produced; NULL: the record with the position
	rd_kafka_topic_t *topic;
	int partition; // of the topic and of the others: one number for both
	int64_t position, version;
	char aggregate[16];
	size_t size;
	char *key, *value; // of the record
};

// Fills it with what is produced; the headers are its own from now on.
void sim_kafka_message_take(struct kafka_message *message, const rd_kafka_vu_t *parts, size_t count);

// --- the broker
enum kafka_verdict { KAFKA_TAKES, KAFKA_REFUSES, KAFKA_FENCES };
// epoch 0: a producer without transactions, which nothing fences. taken: it must know of the losses since.
enum kafka_verdict sim_kafka_append(const struct kafka_message *messages, size_t count, int64_t epoch);
int64_t sim_kafka_init(void);                            // the epoch; settles what older producers left
bool sim_kafka_end(int64_t epoch, bool commit);          // EndTxn: false if it is fenced
void sim_kafka_end_late(int64_t epoch);                  // an EndTxn that was given up, and arrives all the same, later
bool sim_kafka_record(char **ret_key, char **ret_value); // the last committed, copied
bool sim_kafka_is_down(void);
bool sim_kafka_is_poison(const struct kafka_message *message);
unsigned sim_kafka_upheavals(void); // losses so far: a producer from before one is no longer understood
unsigned sim_kafka_fail_percent(void);
struct loop *sim_kafka_world(void);

// --- the producer
struct kafka_producer_state {
	struct loop *process;
	int64_t epoch;
	bool idle;   // nothing is on its way to the broker
	bool failed; // the transaction must be aborted, or the producer is of no use any more
};
struct kafka_producer_state sim_kafka_client_state(const struct kafka_client *client);
void sim_kafka_client_begin(struct kafka_client *client, int64_t epoch); // a transaction
void sim_kafka_client_fence(struct kafka_client *client);
void sim_kafka_tell_down(void); // every producer: no broker answers
void sim_kafka_tell_lost(void); // and: the broker does not know it any more
void sim_kafka_clients_free(void);

#endif
