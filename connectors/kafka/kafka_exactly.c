// kafka_exactly.c: exactly-once delivery, on the loop. What waits when a transaction begins, and what comes while its
// messages go out, belongs to it; when all of that is with librdkafka, the record with the position follows, and the
// helper commits. What comes meanwhile waits for the next. So transactions are as small as single events while little
// happens, and grow to what the relay's window holds under load.
//
//   STARTING (checkpoint topic, init_transactions) -> CONFIRMING (the lease) -> READING (the position) -> OPENED
//   -> begin -> READY -> COMMITTING -> READY ...
//
// A producer may be replaced in the middle: to look into a refusal, and when a commit was asked for more than once (a
// late request could end a later transaction: KIP-890). Then the same way is gone again, and the position that is read
// back says which batches are in the topics. Any other doubt is told to the relay, which starts anew.
//
#include "connectors/kafka/kafka_part.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define YOUNG_US 1000000
#define MUCH_BYTES ((size_t)4 * 1024 * 1024)

// --- names

static bool make_names(struct exactly *exactly, const struct connector_context *context, struct meow_error *err)
{
	int size = snprintf(
		exactly->topic, sizeof(exactly->topic), "meowmx.checkpoint.%.8s.%s", context->store_id, context->route);
	if (size < 0 || (size_t)size >= sizeof(exactly->topic))
		return error_set(err, MEOW_CONFIG, "the route's name is too long for a checkpoint topic of its own");
	const char *fault = kafka_name_fault(bytes_of(exactly->topic));
	if (fault != NULL)
		return error_set(err, MEOW_CONFIG,
			"\"%s\" cannot be the name of the route's checkpoint topic: %s; give the route another name",
			exactly->topic, fault);
	snprintf(exactly->id, sizeof(exactly->id), "meowmx.%.8s.%s.%d.%d", context->store_id, context->route,
		context->layout, context->partition);
	return true;
}

bool kafka_exactly_init(struct kafka *kafka, struct meow_error *err)
{
	kafka->exactly.on = kafka_is_exactly_once(kafka->context.settings);
	return !kafka->exactly.on || make_names(&kafka->exactly, &kafka->context, err);
}

// --- the producer's start

bool kafka_exactly_prepare(struct kafka *kafka, rd_kafka_conf_t *conf, struct meow_error *err)
{
	const struct config_section *settings = kafka->context.settings;
	struct kafka_checkpoint checkpoint = {.topic = strdup(kafka->exactly.topic),
		.partition = kafka->context.partition,
		.partitions = kafka->context.partitions,
		.layout = kafka->context.layout,
		.replication = config_has(settings, "replication") ? (int)config_number(settings, "replication") : -1,
		.create = config_bool(settings, "create")};
	if (checkpoint.topic == NULL)
		return error_no_memory(err);
	checkpoint.reader = kafka_reader_conf_create(settings, err);
	if (checkpoint.reader == NULL) {
		free(checkpoint.topic);
		return false;
	}
	kafka->exactly.helper = kafka_helper_create(&checkpoint, conf, err);
	return kafka->exactly.helper != NULL;
}

bool kafka_exactly_run(struct kafka *kafka, struct meow_error *err)
{
	struct exactly *exactly = &kafka->exactly;
	exactly->record_topic = rd_kafka_topic_new(kafka_client_handle(kafka->client), exactly->topic, NULL);
	if (exactly->record_topic == NULL)
		return error_no_memory(err);
	return kafka_helper_run(exactly->helper, kafka->client, err);
}

void kafka_exactly_start(struct kafka *kafka)
{
	kafka->exactly.state = EXACTLY_STARTING;
	kafka->exactly.asked = false;
	kafka_helper_do(kafka->exactly.helper, JOB_START);
}

void kafka_exactly_drop(struct kafka *kafka)
{
	struct exactly *exactly = &kafka->exactly;
	bool begun = exactly->last != NULL || (kafka->producing != NULL && kafka->producing->produced > 0);
	if (exactly->record_topic != NULL)
		rd_kafka_topic_destroy(exactly->record_topic);
	exactly->record_topic = NULL;
	kafka_helper_end(exactly->helper, kafka->client, exactly->state == EXACTLY_READY && begun);
	exactly->helper = NULL;
	exactly->last = NULL;
	exactly->sealed = false;
}

void kafka_exactly_finish(struct kafka *kafka)
{
	free(kafka->exactly.memory.fingerprint);
}

// --- the helper's answers

static void started(struct kafka *kafka, const struct kafka_done *done)
{
	struct exactly *exactly = &kafka->exactly;
	exactly->copies = done->copies;
	exactly->state = EXACTLY_CONFIRMING;
	if (!done->created)
		return;
	char text[MEOW_ERROR_TEXT_SIZE];
	snprintf(text, sizeof(text), "checkpoint topic %s did not exist and was created", exactly->topic);
	kafka_notice(kafka, text);
}

// True if the position stands at the end of a flight, or before all of them. Those up to there are marked as committed.
static bool mark_committed(struct kafka *kafka, int64_t delivered)
{
	bool boundary = delivered == kafka->exactly.delivered;
	for (struct flight *flight = kafka->flights; flight != NULL; flight = flight->next) {
		int64_t last = batch_last(flight->batch);
		flight->committed = last <= delivered;
		boundary |= last == delivered;
		if (flight->committed)
			kafka->producing = flight->next;
	}
	return boundary;
}

// A producer that took over in the middle has found out how far the one before it came.
static void go_on(struct kafka *kafka, const struct kafka_record *memory)
{
	struct exactly *exactly = &kafka->exactly;
	bool counts = exactly->found && memory->generation >= kafka->context.generation;
	int64_t delivered = counts ? memory->delivered : exactly->delivered;
	if (!exactly->wrote && delivered < exactly->delivered)
		delivered = exactly->delivered; // the relay has decided to begin behind what the topic knew
	if ((exactly->wrote && !counts) || !mark_committed(kafka, delivered)) {
		kafka_trouble(kafka, MEOW_UNKNOWN_OUTCOME,
			"checkpoint topic %s says %" PRId64 " where %" PRId64 " or the end of a batch was expected", exactly->topic,
			delivered, exactly->delivered);
		return;
	}
	exactly->wrote |= delivered > exactly->delivered;
	exactly->delivered = delivered;
	exactly->state = EXACTLY_READY;
}

static void was_read(struct kafka *kafka, const struct kafka_done *done)
{
	struct exactly *exactly = &kafka->exactly;
	free(exactly->memory.fingerprint);
	exactly->memory = done->record;
	exactly->found = done->found;
	if (kafka->opened)
		go_on(kafka, &exactly->memory);
	else
		exactly->state = EXACTLY_OPENED;
}

static void committed(struct kafka *kafka, const struct kafka_done *done)
{
	struct exactly *exactly = &kafka->exactly;
	if (!done->committed)
		return;
	if (done->requests > 1) {
		exactly->replace = true;
		return;
	}
	const struct batch *last = exactly->last->batch;
	exactly->delivered = batch_last(last);
	for (struct flight *flight = kafka->flights; flight != exactly->last; flight = flight->next)
		flight->committed = true;
	exactly->last->committed = exactly->wrote = true;
	exactly->last = NULL;
	exactly->sealed = false;
	exactly->state = EXACTLY_READY;
}

void kafka_exactly_answers(struct kafka *kafka)
{
	struct kafka_done done;
	if (!kafka->exactly.on || !kafka_helper_answer(kafka->exactly.helper, &done))
		return;
	if (done.job == JOB_COMMIT)
		committed(kafka, &done);
	if (done.err.kind != MEOW_ERROR_NONE && !kafka->exactly.replace) {
		free(done.record.fingerprint);
		kafka_trouble(kafka, done.err.kind, "%s", done.err.text);
		return;
	}
	if (done.job == JOB_START)
		started(kafka, &done);
	else if (done.job == JOB_READ)
		was_read(kafka, &done);
}

void kafka_exactly_confirmed(void *arg)
{
	struct kafka *kafka = arg;
	kafka->exactly.state = EXACTLY_READING;
	kafka_helper_do(kafka->exactly.helper, JOB_READ);
}

struct connector_memory kafka_exactly_memory(const struct kafka *kafka)
{
	const struct exactly *exactly = &kafka->exactly;
	if (!exactly->found)
		return (struct connector_memory){.kind = MEMORY_EMPTY};
	return (struct connector_memory){.kind = MEMORY_HELD,
		.delivered = exactly->memory.delivered,
		.generation = exactly->memory.generation,
		.fingerprint = exactly->memory.fingerprint};
}

void kafka_exactly_begin(struct kafka *kafka, int64_t delivered)
{
	struct exactly *exactly = &kafka->exactly;
	exactly->delivered = delivered;
	exactly->state = EXACTLY_READY;
	if (exactly->found && exactly->memory.generation >= kafka->context.generation &&
		exactly->memory.delivered > delivered) // the store is behind, and an operator has let the route go on
		kafka_trouble(kafka, MEOW_CONFIG,
			"checkpoint topic %s has %" PRId64 ", and the store goes on behind %" PRId64
			": begin a new generation there with `meowmx subscription rewind %s %" PRId64 "`",
			exactly->topic, exactly->memory.delivered, delivered, kafka->context.route, delivered);
}

bool kafka_exactly_replace(struct kafka *kafka)
{
	struct exactly *exactly = &kafka->exactly;
	bool replace = exactly->replace;
	exactly->replace = false;
	if (replace && !exactly->noticed) {
		exactly->noticed = true;
		kafka_notice(kafka,
			"the broker was slow to answer a commit, which was therefore asked for more than once: a new "
			"producer takes over, so that a late request cannot end a later transaction");
	}
	return replace;
}

// --- transactions

// A transaction that waits for a topic would run into its time-out.
static bool topics_ready(struct kafka *kafka, const struct flight *flight)
{
	for (size_t i = 0; i < flight->batch->count; i++) {
		const struct topic *topic = kafka_topic_of(kafka, &flight->batch->events[i]);
		if (topic == NULL)
			return kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
		if (topic->state != TOPIC_READY)
			return false;
	}
	return true;
}

// Over a slow link what waits in a large window could take longer than a transaction may. So one that is not young any
// more, or has much that is not acknowledged, takes no further flight.
static bool is_full(struct kafka *kafka)
{
	struct exactly *exactly = &kafka->exactly;
	int64_t now_us = loop_now_us(kafka->context.loop);
	if (exactly->last == NULL) {
		exactly->began_us = now_us;
		return false;
	}
	return now_us - exactly->began_us > YOUNG_US || kafka->outstanding_bytes > MUCH_BYTES;
}

// Whether a message more is on its way; the rest may have to wait for reports, or there is trouble.
static bool put_record(struct kafka *kafka)
{
	struct exactly *exactly = &kafka->exactly;
	const struct batch *batch = exactly->last->batch;
	const struct kafka_record record = {.partition = kafka->context.partition,
		.generation = kafka->context.generation,
		.delivered = batch_last(batch),
		.fingerprint = batch->fingerprint,
		.epoch = kafka->context.epoch,
		.layout = kafka->context.layout};
	struct buffer key, value;
	buffer_init(&key);
	buffer_init(&value);
	kafka_record_key(&record, &key);
	kafka_record_value(&record, &value);
	bool put = false;
	if (key.failed || value.failed)
		kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
	else
		put = kafka_put_record(kafka, &key, &value);
	buffer_finish(&key);
	buffer_finish(&value);
	return put;
}

void kafka_exactly_produce(struct kafka *kafka)
{
	struct exactly *exactly = &kafka->exactly;
	if (exactly->state != EXACTLY_READY)
		return;
	if (exactly->last == NULL && kafka->producing != NULL && kafka->producing->produced == 0)
		kafka_topics_grow(kafka); // between two transactions
	while (!exactly->sealed && kafka->producing != NULL) {
		struct flight *flight = kafka->producing;
		if (flight->produced == 0 && (is_full(kafka) || !topics_ready(kafka, flight)))
			break;
		if (!kafka_produce_flight(kafka, flight))
			return;
		exactly->last = flight;
		kafka->producing = flight->next;
	}
	if (exactly->last == NULL || kafka->trouble.kind != MEOW_ERROR_NONE)
		return;
	exactly->sealed = exactly->sealed || put_record(kafka);
	if (!exactly->sealed)
		return;
	exactly->state = EXACTLY_COMMITTING;
	kafka_helper_do(exactly->helper, JOB_COMMIT);
}
