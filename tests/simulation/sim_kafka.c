// The simulated broker. Without transactions what it appends is there at once; with them when they are committed, and an
// EndTxn that arrives late ends whatever transaction of the same epoch is open then (that is what KIP-890 is about). It may
// be down for a while, and an unclean election may cost it its tail.
#include "sim_kafka.h"

#include "base/text.h"
#include "connectors/kafka/kafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct committed {
	size_t ledger; // how much of it there was then
	int64_t delivered;
	char *key, *value;
};

static struct {
	struct loop *world;
	struct sim_sink_settings settings;
	int64_t epoch; // of the transactional id
	struct kafka_message *pending;
	size_t pending_count, pending_capacity;
	struct committed *commits; // records of the checkpoint topic
	size_t commit_count, commit_capacity;
	int64_t down_until_us;
	unsigned upheavals;
} broker;

unsigned sim_kafka_fail_percent(void)
{
	return broker.settings.fail_percent;
}

struct loop *sim_kafka_world(void)
{
	return broker.world;
}

unsigned sim_kafka_upheavals(void)
{
	return broker.upheavals;
}

// --- down

bool sim_kafka_is_down(void)
{
	if (sim_now(broker.world) < broker.down_until_us)
		return true;
	if (sim_random() % 5000 >= broker.settings.fail_percent)
		return false;
	broker.down_until_us = sim_now(broker.world) + sim_between(1000, sim_chance(80) ? 300000 : 8000000);
	sim_kafka_tell_down();
	return true;
}

// --- transactions

static void free_message(struct kafka_message *message)
{
	free(message->key);
	free(message->value);
}

static void drop_pending(void)
{
	for (size_t i = 0; i < broker.pending_count; i++)
		free_message(&broker.pending[i]);
	broker.pending_count = 0;
}

static void append_pending(const struct kafka_message *message)
{
	if (broker.pending_count == broker.pending_capacity) {
		broker.pending_capacity = broker.pending_capacity ? broker.pending_capacity * 2 : 64;
		broker.pending = realloc(broker.pending, broker.pending_capacity * sizeof(*broker.pending));
		if (!broker.pending)
			abort();
	}
	struct kafka_message *pending = &broker.pending[broker.pending_count++];
	*pending = *message;
	pending->key = message->key ? strdup(message->key) : NULL;
	pending->value = message->value ? strdup(message->value) : NULL;
}

static int64_t delivered_in(const char *value)
{
	const char *found = strstr(value, "\"delivered\":");
	return found ? strtoll(found + strlen("\"delivered\":"), NULL, 10) : 0;
}

static void keep_record(struct kafka_message *record)
{
	if (broker.commit_count == broker.commit_capacity) {
		broker.commit_capacity = broker.commit_capacity ? broker.commit_capacity * 2 : 64;
		broker.commits = realloc(broker.commits, broker.commit_capacity * sizeof(*broker.commits));
		if (!broker.commits)
			abort();
	}
	broker.commits[broker.commit_count++] = (struct committed){.ledger = sim_ledger_count(),
		.delivered = delivered_in(record->value),
		.key = record->key,
		.value = record->value};
	record->key = record->value = NULL; // taken
}

static void drop_commits(size_t keep)
{
	while (broker.commit_count > keep) {
		free(broker.commits[--broker.commit_count].key);
		free(broker.commits[broker.commit_count].value);
	}
}

// Consumers see all of a transaction, the position among it.
static void commit(void)
{
	struct kafka_message *record = NULL;
	for (size_t i = 0; i < broker.pending_count; i++) {
		struct kafka_message *message = &broker.pending[i];
		if (message->value)
			record = message;
		else
			sim_ledger_add(message->position, 0, bytes_of(message->aggregate), message->version, NULL);
	}
	if (broker.pending_count && !record)
		sim_violation("a transaction ends before its position is in it: a late EndTxn has ended it");
	if (record)
		keep_record(record);
	drop_pending();
}

int64_t sim_kafka_init(void)
{
	drop_pending();
	return ++broker.epoch;
}

bool sim_kafka_end(int64_t epoch, bool commits)
{
	if (epoch != broker.epoch)
		return false;
	if (commits)
		commit();
	else
		drop_pending();
	return true;
}

struct ghost {
	int64_t epoch;
};

static void arrive(void *arg)
{
	struct ghost *ghost = arg;
	sim_kafka_end(ghost->epoch, true);
	free(ghost);
}

void sim_kafka_end_late(int64_t epoch)
{
	struct ghost *ghost = malloc(sizeof(*ghost));
	if (!ghost)
		abort();
	ghost->epoch = epoch;
	sim_after(broker.world, sim_chance(70) ? sim_between(100, 10000) : sim_between(100, 2000000), arrive, ghost);
}

// --- appending

bool sim_kafka_is_poison(const struct kafka_message *message)
{
	return message->opaque && sim_is_poison(message->position);
}

enum kafka_verdict sim_kafka_append(const struct kafka_message *messages, size_t count, int64_t epoch)
{
	if (epoch && epoch != broker.epoch)
		return KAFKA_FENCES;
	for (size_t i = 0; i < count; i++)
		if (sim_kafka_is_poison(&messages[i]))
			return KAFKA_REFUSES; // all of the request
	for (size_t i = 0; i < count; i++) {
		const struct kafka_message *message = &messages[i];
		if (epoch)
			append_pending(message);
		else
			sim_ledger_add(message->position, 0, bytes_of(message->aggregate), message->version, NULL);
	}
	return KAFKA_TAKES;
}

bool sim_kafka_record(char **ret_key, char **ret_value)
{
	if (!broker.commit_count)
		return false;
	*ret_key = strdup(broker.commits[broker.commit_count - 1].key);
	*ret_value = strdup(broker.commits[broker.commit_count - 1].value);
	return true;
}

// --- as a sink

static void reset(struct loop *world, const struct sim_sink_settings *settings)
{
	broker.world = world;
	broker.settings = *settings;
}

static void calm(void)
{
	broker.settings.fail_percent = 0;
	broker.down_until_us = 0;
}

static void free_all(void)
{
	sim_kafka_clients_free();
	drop_pending();
	drop_commits(0);
	free(broker.pending);
	free(broker.commits);
	memset(&broker, 0, sizeof(broker));
}

static int64_t delivered(void)
{
	return broker.commit_count ? broker.commits[broker.commit_count - 1].delivered : 0;
}

static int64_t nothing(void)
{
	return 0;
}

// The checkpoint topic was deleted.
static void forget(void)
{
	drop_commits(0);
	broker.upheavals++;
	sim_kafka_tell_lost();
}

static void lose_tail(void)
{
	if (!broker.commit_count)
		return;
	size_t keep = (size_t)sim_between(1, (int64_t)broker.commit_count);
	drop_commits(keep);
	drop_pending();
	sim_ledger_cut(broker.commits[keep - 1].ledger);
	broker.upheavals++;
	sim_kafka_tell_lost();
}

static const struct config_section *section(void)
{
	return sim_section(
		&kafka_connector, "topic: \"t.{aggregate_type}\"\n      client:\n        bootstrap.servers: sim:9092\n");
}

static const struct config_section *section_exactly(void)
{
	return sim_section(&kafka_connector,
		"delivery: exactly-once\n      topic: \"t.{aggregate_type}\"\n      client:\n        bootstrap.servers: "
		"sim:9092\n");
}

const struct sim_sink sim_kafka = {.name = "kafka",
	.connector = &kafka_connector,
	.first_step = KAFKA_PRODUCES,
	.last_step = KAFKA_REPORTS,
	.late = true,
	.rewinds = true,
	.section = section,
	.reset = reset,
	.calm = calm,
	.free = free_all,
	.delivered = nothing};

const struct sim_sink sim_kafka_exactly = {.name = "kafka, exactly once",
	.connector = &kafka_connector,
	.first_step = KAFKA_PRODUCES,
	.last_step = EXACTLY_ANSWERS,
	.remembers = true,
	.late = true,
	.rewinds = true,
	.section = section_exactly,
	.reset = reset,
	.calm = calm,
	.free = free_all,
	.delivered = delivered,
	.forget = forget,
	.lose_tail = lose_tail};
