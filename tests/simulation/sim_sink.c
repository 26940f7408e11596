// A sink that applies batches one after the other, each as a whole, some time after it got them, and answers some time
// after that. It may fail before or after it applied one. With `remembers` it keeps its position with its data, as
// Redis does, and a batch that does not follow it is a violation; without, it takes what comes, as Kafka does.
#include "sim.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	int64_t position, version;
	char aggregate[16];
};

static struct {
	struct loop *loop;
	struct sim_sink_settings settings;
	struct entry *entries;
	size_t count, capacity;
	bool *has; // by position
	size_t has_capacity;
	int64_t delivered;
	char *fingerprint;
} sink;

struct sim_connector {
	struct connector base;
	const struct connector_host *host;
	void *host_arg;
	struct batch *batches[512];
	bool applied[512]; // applied, and the answer is on its way
	size_t first, count;
	bool over, scheduled, destroyed, held;
};

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
}

void sim_sink_free(void)
{
	free(sink.entries);
	free(sink.has);
	free(sink.fingerprint);
	sink.entries = NULL;
	sink.has = NULL;
	sink.fingerprint = NULL;
}

bool sim_sink_has(int64_t position)
{
	return (size_t)position < sink.has_capacity && sink.has[position];
}

size_t sim_sink_count(void)
{
	return sink.count;
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

static void keep(const struct meow_event *event)
{
	if (sink.count == sink.capacity) {
		sink.capacity = sink.capacity ? sink.capacity * 2 : 256;
		sink.entries = realloc(sink.entries, sink.capacity * sizeof(*sink.entries));
	}
	size_t position = (size_t)event->position;
	if (position >= sink.has_capacity) {
		size_t capacity = position * 2 + 64;
		sink.has = realloc(sink.has, capacity);
		memset(sink.has + sink.has_capacity, 0, capacity - sink.has_capacity);
		sink.has_capacity = capacity;
	}
	struct entry *entry = &sink.entries[sink.count++];
	*entry = (struct entry){.position = event->position, .version = event->version};
	snprintf(entry->aggregate, sizeof(entry->aggregate), "%s", event->aggregate_id.data);
	sink.has[position] = true;
}

static void apply(const struct batch *batch)
{
	if (sink.settings.remembers && batch->events[0].position <= sink.delivered)
		sim_violation("position %ld is sent to a sink that has %ld", (long)batch->events[0].position,
			(long)sink.delivered);
	for (size_t i = 0; i < batch->count; i++)
		keep(&batch->events[i]);
	sink.delivered = batch->events[batch->count - 1].position;
	free(sink.fingerprint);
	sink.fingerprint = strdup(batch->fingerprint);
}

static void finish_connector(struct sim_connector *connector)
{
	free(connector);
}

static void fail(struct sim_connector *connector, const char *text)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "%s", text);
	connector->over = true;
	connector->host->failed(connector->host_arg, &err);
}

static void work(void *arg);

static void schedule(struct sim_connector *connector)
{
	if (connector->scheduled || connector->over || connector->first == connector->count)
		return;
	connector->scheduled = true;
	sim_after(sink.loop, sim_between(30, 3000), work, connector);
}

// The position of the poison in this batch, 0 if it is not there.
static int64_t poison_in(const struct batch *batch)
{
	for (size_t i = 0; i < batch->count; i++)
		if (batch->events[i].position == sink.settings.poison)
			return sink.settings.poison;
	return 0;
}

static void work(void *arg)
{
	struct sim_connector *connector = arg;
	connector->scheduled = false;
	if (connector->destroyed) {
		finish_connector(connector);
		return;
	}
	size_t at = connector->first;
	struct batch *batch = connector->batches[at % 512];
	bool fails = sim_chance(sink.settings.fail_percent);
	if (!connector->applied[at % 512]) {
		if (sink.settings.poison_late && poison_in(batch)) {
			struct meow_error err;
			error_set(&err, MEOW_INVALID, "too large");
			connector->over = true;
			connector->host->refused(connector->host_arg, poison_in(batch), &err);
			return;
		}
		if (fails && sim_chance(50)) {
			fail(connector, "lost before it was applied");
			return;
		}
		apply(batch);
		if (fails) {
			fail(connector, "lost after it was applied");
			return;
		}
		connector->applied[at % 512] = true;
	} else {
		connector->first++;
		connector->held = true;
		connector->host->delivered(connector->host_arg, batch);
		connector->held = false;
		if (connector->destroyed) {
			finish_connector(connector);
			return;
		}
	}
	schedule(connector);
}

static void opened(void *arg)
{
	struct sim_connector *connector = arg;
	connector->scheduled = false;
	if (connector->destroyed) {
		finish_connector(connector);
		return;
	}
	if (sim_chance(sink.settings.fail_percent)) {
		fail(connector, "cannot be reached");
		return;
	}
	struct connector_memory memory = {.kind = MEMORY_NONE};
	if (sink.settings.remembers)
		memory = (struct connector_memory){sink.delivered ? MEMORY_HELD : MEMORY_EMPTY, sink.delivered, 0,
			sink.fingerprint};
	connector->host->opened(connector->host_arg, &memory);
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
	return &connector->base;
}

static void open_sink(struct connector *base, int64_t delivered)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	(void)delivered;
	connector->scheduled = true;
	sim_after(sink.loop, sim_between(100, 5000), opened, connector);
}

static void begin(struct connector *base, int64_t delivered, const char *fingerprint)
{
	(void)base;
	(void)fingerprint;
	if (sink.settings.remembers && delivered > sink.delivered)
		sink.delivered = delivered; // the operator's decision
}

static size_t admit(struct connector *base, const struct batch *batch, struct meow_error *err)
{
	(void)base;
	if (!sink.settings.poison || sink.settings.poison_late || !poison_in(batch))
		return batch->count;
	error_set(err, MEOW_INVALID, "a name that cannot be");
	size_t count = 0;
	while (batch->events[count].position != sink.settings.poison)
		count++;
	return count;
}

static void send(struct connector *base, struct batch *batch)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (connector->count - connector->first == 512)
		abort();
	connector->applied[connector->count % 512] = false;
	connector->batches[connector->count++ % 512] = batch;
	schedule(connector);
}

static void destroy(struct connector *base)
{
	struct sim_connector *connector = (struct sim_connector *)base;
	if (!connector)
		return;
	connector->destroyed = connector->over = true;
	if (!connector->scheduled && !connector->held)
		finish_connector(connector);
}

const struct connector_impl sim_sink_connector = {.name = "sim", .when_behind = SINK_REWIND, .when_empty = SINK_STOP,
	.create = create, .open = open_sink, .begin = begin, .admit = admit, .send = send, .destroy = destroy};
