// kafka_part.h: what the files of the Kafka connector share. kafka.c has its life, kafka_topics.c the way from an event
// to a topic that is there, kafka_first.c the first message to a partition, kafka_flight.c the batches, kafka_message.c one
// event's message, kafka_exactly.c the transactions of exactly-once delivery.
#ifndef CONNECTORS_KAFKA_KAFKA_PART_H
#define CONNECTORS_KAFKA_KAFKA_PART_H

#include "base/text.h"
#include "connectors/kafka/kafka.h"
#include "connectors/kafka/kafka_client.h"
#include "connectors/kafka/kafka_error.h"
#include "connectors/kafka/kafka_helper.h"
#include "connectors/kafka/kafka_settings.h"
#include "relay/template.h"

enum topic_state {
	TOPIC_BAD,      // its name cannot be
	TOPIC_ASKED,    // is it there?
	TOPIC_CREATING, // it was not
	TOPIC_LATER,    // to be asked for again at again_us
	TOPIC_READY,
};

struct topic {
	struct topic *next; // in its bucket
	struct topic *next_of_all;
	// What of an event leads here; absent where the name does not depend on it.
	struct meow_bytes aggregate_type, aggregate_id, type;
	enum topic_state state;
	rd_kafka_topic_t *handle;
	int64_t again_us;
	bool noticed;           // that it is not there
	size_t partitions;      // that keys are spread over, while it is ready
	size_t grown;           // more of them, to be taken when nothing is on its way; 0: no news
	struct topic *namesake; // the oldest with this name, itself if no other has it; `topics` may give one to several
	int64_t *heard_us;      // the oldest's, for each partition: when it last took a message of this producer
	size_t heard_count;
	const char *fault; // of TOPIC_BAD
	char *name;
	char memory[];
};

#define TOPIC_BUCKETS 256

struct topics {
	struct topic *buckets[TOPIC_BUCKETS];
	struct topic *all;
	struct topic *recent;
	size_t partitions; // of all that are ready
	int grown;         // topics with more partitions than before
	bool by_aggregate_type, by_aggregate_id, by_type;
};

// A batch under way.
struct flight {
	struct flight *next;
	struct batch *batch;
	size_t produced;       // of its events, from the first on: given to librdkafka, or acknowledged already
	size_t left;           // of all that librdkafka was given, not acknowledged
	uint8_t *acknowledged; // a bit for each event
	uint8_t *given;        // the same: to librdkafka, or acknowledged already
	size_t room;           // bytes of each
	bool committed;        // exactly once: its transaction is over
};

enum exactly_state {
	EXACTLY_STARTING,   // checkpoint topic, init_transactions
	EXACTLY_CONFIRMING, // the lease
	EXACTLY_READING,    // the position
	EXACTLY_OPENED,     // the relay decides where to begin
	EXACTLY_READY,      // in a transaction, which may be empty
	EXACTLY_COMMITTING,
};

struct exactly {
	bool on;
	enum exactly_state state;
	struct kafka_helper *helper;
	char topic[300]; // the checkpoint topic
	char id[300];    // transactional.id
	rd_kafka_topic_t *record_topic;
	int copies; // of the checkpoint topic
	bool found;
	struct kafka_record memory; // what was found
	int64_t delivered;          // of the last transaction that is known to be over, or where the relay began
	bool wrote;                 // a transaction of this connector is over
	int64_t began_us;           // when the transaction got its first flight
	struct flight *last;        // the last whole flight in the transaction, NULL if there is none yet
	bool sealed;                // its record is in it
	bool asked;                 // for the lease, since the last start
	bool replace;               // the producer, in the next turn
	bool noticed;               // that it was replaced
};

struct kafka {
	struct connector connector;
	struct connector_context context;
	struct template *topic_name;
	struct kafka_client *client;
	struct kafka_care care;
	struct loop_timer *turn;     // what is left for the loop's next turn
	struct loop_timer *patience; // while no broker answers
	struct loop_timer *again;    // for topics to be asked for again
	struct loop_timer *grace;    // between a fatal error and the report that explains it
	struct buffer notices;       // to be told, each with its NUL
	struct buffer scratch;       // one event's value and trace
	size_t most_bytes;           // message.max.bytes
	size_t request_bytes;        // batch.size: of one request to one partition
	int refresh_ms;              // topic.metadata.refresh.interval.ms

	bool opened, over, fatal;
	int64_t open_us;                   // when it was asked to open
	int64_t lost_us;                   // since when no broker answers, 0: they do
	bool asking;                       // whether any does
	char reason[MEOW_ERROR_TEXT_SIZE]; // the last that librdkafka said about a broker

	struct exactly exactly;
	struct topics topics;
	struct flight *flights, *last_flight, *producing, *spare;
	struct flight *reporting; // the flight of the last delivery report, which the next is likely to belong to
	size_t outstanding;       // messages that librdkafka has
	size_t outstanding_bytes; // and about how large they are

	// The first thing that went wrong and was not told yet.
	struct meow_error trouble;
	int64_t refused;    // what it is about, 0: not about one event
	bool inspect;       // the producer is made anew in the next turn, to learn which message it is
	bool lost_messages; // librdkafka gave some up because of an error that it reports by itself
	size_t refused_events, largest_refused;
	bool refused_for_size;
	int64_t inspected; // up to here messages are sent in smaller requests to find out; 0: nothing is to be found out
	char refusing_topic[250];

	bool *gone; // set by destroy, for whoever is in a host call
};

// Notes trouble (the first counts); it is told in the next turn. Returns false.
bool kafka_trouble(struct kafka *kafka, enum meow_error_kind kind, const char *format, ...) BASE_PRINTF(3, 4);

// Notes something to be told in the next turn.
void kafka_notice(struct kafka *kafka, const char *text);

// --- kafka_topics.c

bool kafka_topics_init(struct kafka *kafka, struct meow_error *err);
void kafka_topics_finish(struct kafka *kafka);
void kafka_topics_drop_handles(struct kafka *kafka); // before the client goes; all are asked for anew

// The event's topic; a new one is asked for at once. NULL without memory.
MEOW_MUST_USE struct topic *kafka_topic_of(struct kafka *kafka, const struct meow_event *event);
void kafka_topic_answered(struct kafka *kafka, struct topic *topic, const struct kafka_answer *answer);
void kafka_topic_created(struct kafka *kafka, rd_kafka_event_t *event);
void kafka_topic_gone(struct kafka *kafka, struct topic *topic);
void kafka_topics_ask_again(void *kafka);

// New numbers of partitions, if there are any, count from now on: nothing is on its way.
void kafka_topics_grow(struct kafka *kafka);

// --- kafka_first.c: at least once

// False while the partition's first message is under way, or with trouble noted. Before kafka_first_sent.
MEOW_MUST_USE bool kafka_first_lets_pass(struct kafka *kafka, struct topic *topic, int32_t partition);
void kafka_first_sent(struct kafka *kafka, struct topic *topic, int32_t partition);
void kafka_first_acknowledged(const struct kafka *kafka, struct topic *topic, int32_t partition, int64_t now_us);
void kafka_first_doubt(struct topic *topic);  // it may be another topic from now on
void kafka_first_forget(struct topic *topic); // another producer begins, which has nothing under way

// --- kafka_message.c

// Where Java's producers put the event, too. The topic is ready.
int32_t kafka_partition_of(const struct topic *topic, const struct meow_event *event);

enum put_result { PUT_DONE, PUT_FULL, PUT_LATER, PUT_NO_TOPIC, PUT_TROUBLE };
enum put_result kafka_put(struct kafka *kafka, struct topic *topic, int32_t partition, const struct meow_event *event);

// The record with the position, behind the events of its transaction. False: not now, or there is trouble.
MEOW_MUST_USE bool kafka_put_record(struct kafka *kafka, const struct buffer *key, const struct buffer *value);

// What surely is more than librdkafka takes (message.max.bytes); false with err filled.
MEOW_MUST_USE bool kafka_fits(struct kafka *kafka, const struct meow_event *event, struct meow_error *err);

// "event 17 (order o-1, version 3)"
#define DESCRIPTION_SIZE 200
void kafka_describe(const struct meow_event *event, char *text, size_t size);

// --- kafka_flight.c

bool kafka_flight_add(struct kafka *kafka, struct batch *batch);       // false without memory
void kafka_produce(struct kafka *kafka);                               // all that may go now
bool kafka_produce_flight(struct kafka *kafka, struct flight *flight); // true once all of it is on its way
void kafka_reports(struct kafka *kafka, rd_kafka_event_t *event);      // delivery reports
struct batch *kafka_flight_done(struct kafka *kafka);                  // the next batch that is durable, NULL: none
void kafka_flight_rewind(struct kafka *kafka);                         // what is not acknowledged is produced again
void kafka_flight_finish(struct kafka *kafka);

// --- kafka_exactly.c: exactly-once delivery

bool kafka_exactly_init(struct kafka *kafka, struct meow_error *err);
void kafka_exactly_finish(struct kafka *kafka);

// Of each producer: before it is made, when it is there, when it shall start, and its end (the client's, too).
bool kafka_exactly_prepare(struct kafka *kafka, rd_kafka_conf_t *conf, struct meow_error *err);
bool kafka_exactly_run(struct kafka *kafka, struct meow_error *err);
void kafka_exactly_start(struct kafka *kafka);
void kafka_exactly_drop(struct kafka *kafka);

void kafka_exactly_answers(struct kafka *kafka);
void kafka_exactly_confirmed(void *kafka); // the lease is still ours
struct connector_memory kafka_exactly_memory(const struct kafka *kafka);
void kafka_exactly_begin(struct kafka *kafka, int64_t delivered);
bool kafka_exactly_replace(struct kafka *kafka); // whether another producer must take over now
void kafka_exactly_produce(struct kafka *kafka);

#endif
