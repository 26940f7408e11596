// kafka_flight.c: the batches under way. librdkafka hands each message's report back with a pointer to its event, which
// lies in the batch's array: that tells the flight, and the bit of the event in it. A batch is done when all its events
// are acknowledged.
//
// A broker refuses a whole request for the sake of one message in it, and a topic may take less in a request than we put
// there. So a refusal of several messages is looked into: the producer is made anew, first with requests no larger than
// the largest of the refused messages, then with one message each, and what is not acknowledged goes again.
#include "connectors/kafka/kafka_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Of a message, beside what comes from the event: names of headers and the lengths of all parts.
#define MESSAGE_OVERHEAD 160

static void flight_free(struct flight *flight)
{
	if (flight == NULL)
		return;
	free(flight->acknowledged); // and what is given, behind it
	free(flight);
}

// The last flight that ended is kept for the next batch, with its bits where they are enough.
static struct flight *take_flight(struct kafka *kafka, size_t count)
{
	size_t size = (count + 7) / 8;
	struct flight *flight = kafka->spare;
	kafka->spare = NULL;
	if (flight == NULL || flight->room < size) {
		flight_free(flight);
		flight = calloc(1, sizeof(*flight));
		if (flight == NULL)
			return NULL;
		flight->room = size < 256 ? 256 : size;
		flight->acknowledged = malloc(2 * flight->room);
		if (flight->acknowledged == NULL) {
			free(flight);
			return NULL;
		}
		flight->given = flight->acknowledged + flight->room;
	}
	memset(flight->acknowledged, 0, size);
	memset(flight->given, 0, size);
	flight->next = NULL;
	flight->produced = flight->left = 0;
	flight->committed = false;
	return flight;
}

// About as large as the message is in a request.
static size_t size_of(const struct meow_event *event)
{
	return MESSAGE_OVERHEAD + event->data.size + event->metadata.size + 2 * event->aggregate_id.size +
		   event->aggregate_type.size + event->type.size;
}

// librdkafka is given what fits into one request to each partition, and more as that is acknowledged. Its idempotent
// producer has one request to a partition under way (it compares the number of messages in flight with 5), and while the
// queue behind that is full or old enough to be sent, its thread does not sleep: 265,000 polls were counted for 780
// requests. So more would wait no less, and cost a core. Each message also takes a kilobyte of librdkafka's memory beside
// the event's own.
static bool has_enough(const struct kafka *kafka)
{
	size_t partitions = kafka->topics.partitions > 0 ? kafka->topics.partitions : 1;
	return kafka->outstanding > 0 && kafka->outstanding_bytes / partitions >= kafka->request_bytes;
}

bool kafka_flight_add(struct kafka *kafka, struct batch *batch)
{
	struct flight *flight = take_flight(kafka, batch->count);
	if (flight == NULL)
		return false;
	flight->batch = batch;
	if (kafka->flights == NULL)
		kafka->flights = flight;
	else
		kafka->last_flight->next = flight;
	kafka->last_flight = flight;
	if (kafka->producing == NULL)
		kafka->producing = flight;
	return true;
}

static bool has_bit(const uint8_t *bits, size_t index)
{
	return bits[index / 8] >> (index % 8) & 1;
}

static void set_bit(uint8_t *bits, size_t index)
{
	bits[index / 8] = (uint8_t)(bits[index / 8] | 1u << (index % 8));
}

// False if nothing more may go now, or there is trouble. An event whose partition waits is left out, and taken up again
// from the first of them on.
static bool produce_one(struct kafka *kafka, struct flight *flight, size_t index)
{
	const struct meow_event *event = &flight->batch->events[index];
	struct topic *topic = kafka_topic_of(kafka, event);
	if (topic == NULL)
		return kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
	if (topic->state != TOPIC_READY)
		return false;
	int32_t partition = kafka_partition_of(topic, event);
	if (!kafka_first_lets_pass(kafka, topic, partition))
		return kafka->trouble.kind == MEOW_ERROR_NONE; // goes with its report
	switch (kafka_put(kafka, topic, partition, event)) {
	case PUT_DONE:
		kafka_first_sent(kafka, topic, partition);
		set_bit(flight->given, index);
		flight->left++;
		kafka->outstanding++;
		kafka->outstanding_bytes += size_of(event);
		return true;
	case PUT_NO_TOPIC:
		if (kafka->exactly.on)
			kafka_trouble(kafka, MEOW_UNAVAILABLE, "topic %s has gone, or has lost partitions", topic->name);
		else
			kafka_topic_gone(kafka, topic);
		return false;
	case PUT_FULL:
		if (kafka->outstanding == 0)
			kafka_trouble(kafka, MEOW_CONFIG,
				"client: queue.buffering.max.kbytes or queue.buffering.max.messages leaves no room for one event; "
				"raise it");
		return false; // goes on when reports come in
	case PUT_LATER:
	case PUT_TROUBLE:
		return false;
	}
	return false;
}

// Within a flight other partitions' events pass those that wait; the next flight begins once all of this one is given.
bool kafka_produce_flight(struct kafka *kafka, struct flight *flight)
{
	size_t count = flight->batch->count;
	bool more = true;
	for (size_t i = flight->produced; more && i < count; i++)
		if (!has_bit(flight->given, i))
			more = !has_enough(kafka) && produce_one(kafka, flight, i);
	while (flight->produced < count && has_bit(flight->given, flight->produced))
		flight->produced++;
	return flight->produced == count;
}

void kafka_produce(struct kafka *kafka)
{
	if (kafka->over || kafka->trouble.kind != MEOW_ERROR_NONE || kafka->inspect || kafka->lost_messages)
		return;
	if (kafka->exactly.on) {
		kafka_exactly_produce(kafka);
		return;
	}
	if (kafka->topics.grown > 0 && kafka->outstanding > 0)
		return; // goes on when the last report comes in
	kafka_topics_grow(kafka);
	while (kafka->producing != NULL && kafka_produce_flight(kafka, kafka->producing))
		kafka->producing = kafka->producing->next;
}

static bool holds(const struct flight *flight, const struct meow_event *event)
{
	return event >= flight->batch->events && event < flight->batch->events + flight->batch->count;
}

static struct flight *flight_of(struct kafka *kafka, const struct meow_event *event)
{
	if (kafka->reporting != NULL && holds(kafka->reporting, event))
		return kafka->reporting;
	struct flight *flight = kafka->flights;
	while (flight != NULL && !holds(flight, event))
		flight = flight->next;
	return kafka->reporting = flight;
}

static void note_failure(struct kafka *kafka, const rd_kafka_message_t *message, const struct meow_event *event)
{
	char what[DESCRIPTION_SIZE];
	const char *topic = rd_kafka_topic_name(message->rkt);
	enum meow_error_kind kind = kafka_error_kind(message->err);
	if (kind == MEOW_INVALID) {
		size_t size = event->data.size + event->metadata.size + 2 * event->aggregate_id.size + event->type.size +
					  event->aggregate_type.size;
		kafka->refused_events++;
		if (size > kafka->largest_refused)
			kafka->largest_refused = size;
		snprintf(kafka->refusing_topic, sizeof(kafka->refusing_topic), "%s", topic);
		kafka->refused_for_size |= message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
		if (kafka->refused != 0 && kafka->refused <= event->position)
			return;
		kafka->refused = event->position; // the first of them is the one to tell, if it stays alone
		kafka->trouble.kind = MEOW_ERROR_NONE;
	} else if (kafka->refused != 0) {
		return; // what else failed follows from that
	}
	kafka_describe(event, what, sizeof(what));
	kafka_trouble(kafka, kind, "%s: topic %s did not take it: %s%s", what, topic, rd_kafka_err2str(message->err),
		kafka_error_advice(message->err));
}

static void note_record_failure(struct kafka *kafka, const rd_kafka_message_t *message)
{
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		return;
	enum meow_error_kind kind = kafka_error_kind(message->err);
	if (kafka_error_follows(message->err))
		kafka->lost_messages = true;
	else
		kafka_trouble(kafka, kind == MEOW_INVALID ? MEOW_CONFIG : kind,
			"checkpoint topic %s did not take the position: %s%s", kafka->exactly.topic, rd_kafka_err2str(message->err),
			kafka_error_advice(message->err));
}

void kafka_reports(struct kafka *kafka, rd_kafka_event_t *event)
{
	const rd_kafka_message_t *message;
	int64_t now_us = loop_now_us(kafka->context.loop);
	while ((message = rd_kafka_event_message_next(event)) != NULL) {
		const struct meow_event *about = message->_private;
		struct flight *flight = flight_of(kafka, about);
		kafka->outstanding--;
		if (flight == NULL) { // the record with the position: a batch stays until the last of its reports
			note_record_failure(kafka, message);
			continue;
		}
		kafka->outstanding_bytes -= size_of(about);
		if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
			size_t index = (size_t)(about - flight->batch->events);
			set_bit(flight->acknowledged, index);
			flight->left--;
			kafka_first_acknowledged(kafka, kafka_topic_of(kafka, about), message->partition, now_us);
		} else if (!kafka_error_follows(message->err)) {
			note_failure(kafka, message, about);
		} else {
			kafka->lost_messages = true;
		}
	}
}

struct batch *kafka_flight_done(struct kafka *kafka)
{
	struct flight *before = NULL;
	for (struct flight *flight = kafka->flights; flight != NULL; before = flight, flight = flight->next) {
		if (kafka->exactly.on ? !flight->committed : flight->left > 0 || flight->produced < flight->batch->count)
			continue;
		struct batch *batch = flight->batch;
		*(before == NULL ? &kafka->flights : &before->next) = flight->next;
		if (kafka->last_flight == flight)
			kafka->last_flight = before;
		if (kafka->producing == flight)
			kafka->producing = flight->next;
		if (kafka->reporting == flight)
			kafka->reporting = NULL;
		flight_free(kafka->spare);
		kafka->spare = flight;
		return batch;
	}
	return NULL;
}

void kafka_flight_rewind(struct kafka *kafka)
{
	for (struct flight *flight = kafka->flights; flight != NULL; flight = flight->next) {
		flight->produced = flight->left = 0;
		size_t size = (flight->batch->count + 7) / 8;
		if (kafka->exactly.on) // what its transaction had is aborted, or all of it is there
			memset(flight->acknowledged, 0, size);
		memcpy(flight->given, flight->acknowledged, size);
	}
	kafka->producing = kafka->flights;
	kafka->reporting = NULL;
	kafka->outstanding = kafka->outstanding_bytes = 0;
}

void kafka_flight_finish(struct kafka *kafka)
{
	while (kafka->flights != NULL) {
		struct flight *next = kafka->flights->next;
		flight_free(kafka->flights);
		kafka->flights = next;
	}
	flight_free(kafka->spare);
}
