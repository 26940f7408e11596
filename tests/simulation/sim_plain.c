// The plain sinks: no client library in between, just what connector.h lets a sink do. In partitions, each of which applies
// its part of the batches one after the other, some time after it got them; a batch is answered some time after the last
// of its parts. It may fail before or after it applied one. The one that remembers has one partition, applies a batch as
// a whole and keeps its position with its data, and a batch that does not follow it is a violation; the other takes what
// comes and answers in any order.
#include "sim_sink.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLIGHTS 512

static struct {
	struct loop *loop;
	struct sim_sink_settings settings;
	bool remembers;
	int partitions;
	int64_t delivered;
	char *fingerprint;
	unsigned connectors, owner; // how many there were; the one that opened it last
	unsigned upheavals;         // an older connector notices
	struct sim_connector *open; // those that are, the newest first: an idle one may not know yet that it lost its lease
} sink;

struct flight {
	struct batch *batch;
	unsigned applied; // a bit for each partition
	bool answered;
};

struct sim_connector {
	struct connector base;
	struct sim_connector *next_open;
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
static const struct connector_impl plain_connector;

static void free_sink(void)
{
	free(sink.fingerprint);
	memset(&sink, 0, sizeof(sink));
}

static void reset(struct loop *loop, const struct sim_sink_settings *settings, bool remembers)
{
	free_sink();
	sink.loop = loop;
	sink.settings = *settings;
	sink.remembers = remembers;
	sink.partitions = remembers || settings->partitions < 1 ? 1 : settings->partitions;
}

static void reset_once(struct loop *loop, const struct sim_sink_settings *settings)
{
	reset(loop, settings, true);
}

static void reset_parts(struct loop *loop, const struct sim_sink_settings *settings)
{
	reset(loop, settings, false);
}

static int64_t delivered(void)
{
	return sink.delivered;
}

static void look_soon(struct sim_connector *connector, int64_t delay_us)
{
	if (connector->scheduled)
		return;
	connector->scheduled = true;
	sim_after(connector->loop, delay_us, work, connector);
}

static void calm(void)
{
	sink.settings.fail_percent = 0;
	sink.settings.silent = false;
	for (struct sim_connector *open = sink.open; open; open = open->next_open)
		look_soon(open, 0); // what it kept to itself is answered now
}

// --- what befalls it ---

static void forget(void)
{
	free(sink.fingerprint);
	sink.fingerprint = NULL;
	sink.delivered = 0;
	sink.upheavals++;
}

static void lose_tail(void)
{
	size_t count = sim_ledger_count(), keep = count ? (size_t)sim_between(0, (int64_t)count - 1) : 0;
	while (keep > 0 && !sim_ledger_fingerprint(keep - 1))
		keep--; // batches are there as a whole or not at all
	if (keep == 0)
		return; // that would be to forget
	sim_ledger_cut(keep);
	free(sink.fingerprint);
	sink.fingerprint = strdup(sim_ledger_fingerprint(keep - 1));
	sink.delivered = sim_ledger_place(keep - 1);
	sink.upheavals++;
	for (struct sim_connector *open = sink.open; open; open = open->next_open)
		look_soon(open, sim_between(30, 3000)); // its connection breaks
}

// --- applying ---

static int part_of(const struct meow_event *event)
{
	return event->aggregate_id.data[event->aggregate_id.size - 1] % sink.partitions;
}

// Applies one partition's part of the batch, before position `end`.
static void apply(const struct batch *batch, int part, int64_t end)
{
	int64_t first = batch->place ? batch->place : batch->events[0].position;
	if (sink.remembers && first <= sink.delivered)
		sim_violation("position %ld is sent to a sink that has %ld", (long)first, (long)sink.delivered);
	for (size_t i = 0; i < batch->count && batch->events[i].position < end; i++)
		if (part_of(&batch->events[i]) == part)
			sim_ledger_add(batch->events[i].position, batch->place, batch->events[i].aggregate_id,
				batch->events[i].version, i + 1 == batch->count ? batch->fingerprint : NULL);
	sink.delivered = batch_last(batch);
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
	sim_after(connector->loop, sim_between(30, 3000) / sink.partitions, work, connector);
}

static struct flight *flight_at(struct sim_connector *connector, size_t index)
{
	return &connector->flights[index % FLIGHTS];
}

static bool all_applied(const struct flight *flight)
{
	return flight->applied + 1 == 1u << sink.partitions;
}

// The event in this part of the batch that the sink will never take, if it says so only now.
static const struct meow_event *late_poison(const struct batch *batch, int part)
{
	for (size_t i = 0; sink.settings.poison_late && i < batch->count; i++)
		if (sim_is_poison(batch->events[i].position) && part_of(&batch->events[i]) == part)
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
		if (!poison || !sink.remembers)
			apply(flight->batch, part, poison ? poison->position : INT64_MAX);
		flight->applied |= 1u << part;
		if (!sim_step(connector->loop, PLAIN_DID_APPLY))
			return true;
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
		if (!sink.remembers && sim_chance(30))
			continue;
		flight->answered = true;
		while (connector->first < connector->count && flight_at(connector, connector->first)->answered)
			connector->first++;
		if (!sim_step(connector->loop, PLAIN_ANSWERS))
			return;
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
	else if (sink.remembers && connector->number != sink.owner)
		fail(connector, "another executor has opened it"); // where nothing guards it, what was sent arrives
	else if (connector->first < connector->count &&
			 (sim_chance(40) || !work_on_part(connector, (int)sim_between(0, sink.partitions - 1))))
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
	if (sink.remembers)
		memory =
			(struct connector_memory){sink.delivered ? MEMORY_HELD : MEMORY_EMPTY, sink.delivered, 0, sink.fingerprint};
	connector->upheavals = sink.upheavals;
	connector->next_open = sink.open;
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
	connector->base.impl = &plain_connector;
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
	if (!sim_step(connector->loop, PLAIN_OPENS))
		return;
	connector->scheduled = true;
	sim_after(connector->loop, sim_between(100, 5000), opened, connector);
}

static void begin(struct connector *base, int64_t delivered, const char *fingerprint)
{
	bool same = ((struct sim_connector *)base)->upheavals == sink.upheavals;
	if (sink.remembers && same && fingerprint && delivered > sink.delivered)
		sink.delivered = delivered; // the operator's decision; without a fingerprint nothing was delivered yet
}

static size_t admit(struct connector *base, const struct batch *batch, struct meow_error *err)
{
	(void)base;
	for (size_t i = 0; !sink.settings.poison_late && i < batch->count; i++)
		if (sim_is_poison(batch->events[i].position)) {
			error_set(err, MEOW_INVALID, "a name that cannot be");
			return i;
		}
	return batch->count;
}

static bool send(struct connector *base, struct batch *batch, struct meow_error *err)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (connector->count - connector->first == FLIGHTS)
		abort();
	if (!sim_step(connector->loop, PLAIN_SENDS))
		return true; // nobody will know
	if (sim_chance(sink.settings.fail_percent))
		return error_no_memory(err);
	*flight_at(connector, connector->count++) = (struct flight){.batch = batch};
	sim_ledger_note_batch();
	schedule(connector);
	return true;
}

static void destroy(struct connector *base)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (!connector)
		return;
	connector->destroyed = connector->over = true;
	struct sim_connector **at = &sink.open;
	while (*at && *at != connector)
		at = &(*at)->next_open;
	if (*at)
		*at = connector->next_open;
	if (!connector->scheduled && !connector->held)
		free(connector);
}

static const struct connector_impl plain_connector = {.name = "sim",
	.when_behind = SINK_REWIND,
	.when_empty = SINK_STOP,
	.create = create,
	.open = open_sink,
	.begin = begin,
	.admit = admit,
	.send = send,
	.destroy = destroy};

const struct sim_sink sim_plain_once = {.name = "plain, once",
	.connector = &plain_connector,
	.first_step = PLAIN_OPENS,
	.last_step = PLAIN_ANSWERS,
	.remembers = true,
	.ordered = true,
	.early = true,
	.late = true,
	.reset = reset_once,
	.calm = calm,
	.free = free_sink,
	.delivered = delivered,
	.forget = forget,
	.lose_tail = lose_tail};

const struct sim_sink sim_plain_parts = {.name = "plain, in partitions",
	.connector = &plain_connector,
	.first_step = PLAIN_OPENS,
	.last_step = PLAIN_ANSWERS,
	.early = true,
	.late = true,
	.rewinds = true,
	.reset = reset_parts,
	.calm = calm,
	.free = free_sink,
	.delivered = delivered};
