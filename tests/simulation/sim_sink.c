// A sink in partitions, each of which applies its part of the batches one after the other, some time after it got them;
// a batch is answered some time after the last of its parts. It may fail before or after it applied one. With
// `remembers` it has one partition, applies a batch as a whole and keeps its position with its data, as Redis does, and
// a batch that does not follow it is a violation; without, it takes what comes and answers in any order, as Kafka does.
#include "sim.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIGHTS 512

struct entry {
	int64_t position, version;
	char aggregate[16];
	char *fingerprint; // of the last of a batch, NULL for the others
};

static struct {
	struct loop *loop;
	struct sim_sink_settings settings;
	struct entry *entries;
	size_t count, capacity;
	size_t batches;  // sent to it
	bool *has, *had; // by position: now, and ever
	size_t has_capacity;
	int64_t delivered;
	char *fingerprint;
	unsigned connectors, owner; // how many there were; the one that opened it last
	unsigned upheavals;         // an older connector notices
	struct sim_connector *open; // NULL if none is
} sink;

struct flight {
	struct batch *batch;
	unsigned applied; // a bit for each partition
	bool answered;
};

struct sim_connector {
	struct connector base;
	const struct connector_host *host;
	void *host_arg;
	struct loop *loop;
	unsigned number;
	struct flight flights[FLIGHTS];
	size_t first, count;
	unsigned upheavals;
	bool over, scheduled, destroyed, held;
};

static void work(void *arg);

void sim_sink_reset(struct loop *loop, const struct sim_sink_settings *settings)
{
	sim_sink_free();
	memset(&sink, 0, sizeof(sink));
	sink.loop = loop;
	sink.settings = *settings;
}

void sim_sink_calm(void)
{
	sink.settings.fail_percent = 0;
	sink.settings.silent = false;
	if (sink.open && !sink.open->scheduled) { // what it kept to itself is answered now
		sink.open->scheduled = true;
		sim_after(sink.open->loop, 0, work, sink.open);
	}
}

void sim_sink_free(void)
{
	for (size_t i = 0; i < sink.count; i++)
		free(sink.entries[i].fingerprint);
	free(sink.entries);
	free(sink.has);
	free(sink.had);
	free(sink.fingerprint);
	memset(&sink, 0, sizeof(sink));
}

bool sim_sink_has(int64_t position)
{
	return (size_t)position < sink.has_capacity && sink.has[position];
}

bool sim_sink_had(int64_t position)
{
	return (size_t)position < sink.has_capacity && sink.had[position];
}

size_t sim_sink_count(void)
{
	return sink.count;
}

size_t sim_sink_batches(void)
{
	return sink.batches;
}

int64_t sim_sink_entry(size_t index)
{
	return sink.entries[index].position;
}

const char *sim_sink_aggregate(size_t index)
{
	return sink.entries[index].aggregate;
}

int64_t sim_sink_version(size_t index)
{
	return sink.entries[index].version;
}

int64_t sim_sink_delivered(void)
{
	return sink.delivered;
}

// --- what befalls it ---

void sim_sink_forget(void)
{
	free(sink.fingerprint);
	sink.fingerprint = NULL;
	sink.delivered = 0;
	sink.upheavals++;
}

void sim_sink_lose_tail(void)
{
	size_t keep = sink.count ? (size_t)sim_between(0, (int64_t)sink.count - 1) : 0;
	while (keep > 0 && !sink.entries[keep - 1].fingerprint)
		keep--; // batches are there as a whole or not at all
	if (keep == 0)
		return; // that would be to forget
	for (size_t i = keep; i < sink.count; i++) {
		sink.has[sink.entries[i].position] = false;
		free(sink.entries[i].fingerprint);
	}
	sink.count = keep;
	free(sink.fingerprint);
	sink.fingerprint = strdup(sink.entries[keep - 1].fingerprint);
	sink.delivered = sink.entries[keep - 1].position;
	sink.upheavals++;
	if (sink.open && !sink.open->scheduled) { // its connection breaks
		sink.open->scheduled = true;
		sim_after(sink.open->loop, sim_between(30, 3000), work, sink.open);
	}
}

// --- applying ---

static void make_room(size_t position)
{
	if (sink.count == sink.capacity) {
		sink.capacity = sink.capacity ? sink.capacity * 2 : 256;
		sink.entries = realloc(sink.entries, sink.capacity * sizeof(*sink.entries));
	}
	if (position < sink.has_capacity)
		return;
	size_t capacity = position * 2 + 64;
	sink.has = realloc(sink.has, capacity);
	sink.had = realloc(sink.had, capacity);
	memset(sink.has + sink.has_capacity, 0, capacity - sink.has_capacity);
	memset(sink.had + sink.has_capacity, 0, capacity - sink.has_capacity);
	sink.has_capacity = capacity;
}

static void keep(const struct meow_event *event, const char *fingerprint)
{
	size_t position = (size_t)event->position;
	make_room(position);
	struct entry *entry = &sink.entries[sink.count++];
	*entry = (struct entry){.position = event->position,
		.version = event->version,
		.fingerprint = fingerprint ? strdup(fingerprint) : NULL};
	snprintf(entry->aggregate, sizeof(entry->aggregate), "%s", event->aggregate_id.data);
	sink.has[position] = sink.had[position] = true;
}

static int part_of(const struct meow_event *event)
{
	return event->aggregate_id.data[event->aggregate_id.size - 1] % sink.settings.partitions;
}

// Applies one partition's part of the batch, before position `end`.
static void apply(const struct batch *batch, int part, int64_t end)
{
	if (sink.settings.remembers && batch->events[0].position <= sink.delivered)
		sim_violation(
			"position %ld is sent to a sink that has %ld", (long)batch->events[0].position, (long)sink.delivered);
	for (size_t i = 0; i < batch->count && batch->events[i].position < end; i++)
		if (part_of(&batch->events[i]) == part)
			keep(&batch->events[i], i + 1 == batch->count ? batch->fingerprint : NULL);
	sink.delivered = batch->events[batch->count - 1].position;
	free(sink.fingerprint);
	sink.fingerprint = strdup(batch->fingerprint);
}

static void fail(struct sim_connector *connector, const char *text)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "%s", text);
	connector->over = true;
	connector->host->failed(connector->host_arg, &err);
}

static void refuse(struct sim_connector *connector, int64_t position)
{
	struct meow_error err;
	error_set(&err, MEOW_INVALID, "too large");
	connector->over = true;
	connector->host->refused(connector->host_arg, position, &err);
}

static void schedule(struct sim_connector *connector)
{
	if (sink.settings.silent || connector->scheduled || connector->over || connector->first == connector->count)
		return;
	connector->scheduled = true;
	sim_after(connector->loop, sim_between(30, 3000) / sink.settings.partitions, work, connector);
}

static struct flight *flight_at(struct sim_connector *connector, size_t index)
{
	return &connector->flights[index % FLIGHTS];
}

static bool all_applied(const struct flight *flight)
{
	return flight->applied + 1 == 1u << sink.settings.partitions;
}

// The event in this part of the batch that the sink will never take, if it says so only now.
static const struct meow_event *late_poison(const struct batch *batch, int part)
{
	for (size_t i = 0; sink.settings.poison_late && i < batch->count; i++)
		if (batch->events[i].position == sink.settings.poison && part_of(&batch->events[i]) == part)
			return &batch->events[i];
	return NULL;
}

// The next thing to do for one partition; false if it has nothing to do.
static bool work_on_part(struct sim_connector *connector, int part)
{
	for (size_t i = connector->first; i < connector->count; i++) {
		struct flight *flight = flight_at(connector, i);
		if (flight->applied & 1u << part)
			continue;
		const struct meow_event *poison = late_poison(flight->batch, part);
		bool fails = sim_chance(sink.settings.fail_percent);
		if (fails && sim_chance(50)) {
			fail(connector, "lost before it was applied");
			return true;
		}
		if (!poison || !sink.settings.remembers)
			apply(flight->batch, part, poison ? poison->position : INT64_MAX);
		flight->applied |= 1u << part;
		if (poison)
			refuse(connector, poison->position);
		else if (fails)
			fail(connector, "lost after it was applied");
		return true;
	}
	return false;
}

// Answers one batch that is applied: the first, or any if there is no order to keep.
static void answer_one(struct sim_connector *connector)
{
	for (size_t i = connector->first; i < connector->count; i++) {
		struct flight *flight = flight_at(connector, i);
		if (flight->answered || !all_applied(flight))
			continue;
		if (!sink.settings.remembers && sim_chance(30))
			continue;
		flight->answered = true;
		while (connector->first < connector->count && flight_at(connector, connector->first)->answered)
			connector->first++;
		connector->held = true;
		connector->host->delivered(connector->host_arg, flight->batch);
		connector->held = false;
		return;
	}
}

static void work(void *arg)
{
	struct sim_connector *connector = arg;
	connector->scheduled = false;
	if (connector->destroyed) {
		free(connector);
		return;
	}
	if (connector->over)
		return;
	if (connector->upheavals != sink.upheavals)
		fail(connector, "it is not what it was");
	else if (sink.settings.remembers && connector->number != sink.owner)
		fail(connector, "another executor has opened it"); // where nothing guards it, what was sent arrives
	else if (connector->first < connector->count &&
			 (sim_chance(40) || !work_on_part(connector, (int)sim_between(0, sink.settings.partitions - 1))))
		answer_one(connector);
	if (connector->destroyed)
		free(connector);
	else
		schedule(connector);
}

// --- the connector ---

static void confirmed(void *arg)
{
	struct sim_connector *connector = arg;
	struct connector_memory memory = {.kind = MEMORY_NONE};
	if (sink.settings.remembers)
		memory =
			(struct connector_memory){sink.delivered ? MEMORY_HELD : MEMORY_EMPTY, sink.delivered, 0, sink.fingerprint};
	connector->upheavals = sink.upheavals;
	sink.open = connector;
	connector->host->opened(connector->host_arg, &memory);
}

static void opened(void *arg)
{
	struct sim_connector *connector = arg;
	connector->scheduled = false;
	if (connector->destroyed) {
		free(connector);
		return;
	}
	if (sim_chance(sink.settings.fail_percent * 3)) {
		fail(connector, "cannot be reached");
		return;
	}
	sink.owner = connector->number; // which fences whoever was there before
	connector->host->confirm(connector->host_arg, confirmed, connector);
}

static struct connector *create(const struct connector_context *context, struct meow_error *err)
{
	struct sim_connector *connector = calloc(1, sizeof(*connector));
	(void)err;
	if (!connector)
		abort();
	connector->base.impl = &sim_sink_connector;
	connector->host = context->host;
	connector->host_arg = context->host_arg;
	connector->loop = context->loop;
	connector->number = ++sink.connectors;
	return &connector->base;
}

static void open_sink(struct connector *base, int64_t delivered)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	(void)delivered;
	connector->scheduled = true;
	sim_after(connector->loop, sim_between(100, 5000), opened, connector);
}

static void begin(struct connector *base, int64_t delivered, const char *fingerprint)
{
	bool same = ((struct sim_connector *)base)->upheavals == sink.upheavals;
	(void)fingerprint;
	if (sink.settings.remembers && same && delivered > sink.delivered)
		sink.delivered = delivered; // the operator's decision
}

static size_t admit(struct connector *base, const struct batch *batch, struct meow_error *err)
{
	(void)base;
	for (size_t i = 0; !sink.settings.poison_late && i < batch->count; i++)
		if (batch->events[i].position == sink.settings.poison) {
			error_set(err, MEOW_INVALID, "a name that cannot be");
			return i;
		}
	return batch->count;
}

static void send(struct connector *base, struct batch *batch)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (connector->count - connector->first == FLIGHTS)
		abort();
	*flight_at(connector, connector->count++) = (struct flight){.batch = batch};
	sink.batches++;
	schedule(connector);
}

static void destroy(struct connector *base)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (!connector)
		return;
	connector->destroyed = connector->over = true;
	if (sink.open == connector)
		sink.open = NULL;
	if (!connector->scheduled && !connector->held)
		free(connector);
}

const struct connector_impl sim_sink_connector = {.name = "sim",
	.when_behind = SINK_REWIND,
	.when_empty = SINK_STOP,
	.create = create,
	.open = open_sink,
	.begin = begin,
	.admit = admit,
	.send = send,
	.destroy = destroy};
