// A file as the file connector makes it, at the interface of connector.h (the real one blocks on a thread of its own). A
// batch counts after a flush; what was written without one survives its process, but not a power cut; the end may be
// torn, and is cut off when the file is opened. A lock keeps a second writer out for as long as the first one lives, frozen
// or not. Rotated, it is empty, and the route goes on from the store's checkpoint.
#include "sim_sink.h"
#include "store/fingerprint.h"

#include <stdlib.h>
#include <string.h>

#define QUEUE_MOST 512

struct sim_file_connector {
	struct connector base;
	const struct connector_host *host;
	void *host_arg;
	struct loop *loop;
	int64_t generation;
	struct batch *queue[QUEUE_MOST];
	size_t first, count;
	size_t written; // events of the first batch
	bool over, scheduled, destroyed, held;
};

static struct {
	struct sim_sink_settings settings;
	size_t begins; // in the ledger: before that it was rotated away
	size_t flushed;
	bool torn;
	int64_t generation;               // of the last line
	struct sim_file_connector *owner; // has the lock
} file;

static const struct connector_impl file_impl;
static void work(void *arg);

static void reset(struct loop *world, const struct sim_sink_settings *settings)
{
	(void)world;
	memset(&file, 0, sizeof(file));
	file.settings = *settings;
}

static void calm(void)
{
	file.settings.fail_percent = 0;
}

static void free_file(void)
{
	memset(&file, 0, sizeof(file));
}

static bool is_empty(void)
{
	return sim_ledger_count() == file.begins;
}

static int64_t delivered(void)
{
	return is_empty() ? 0 : sim_ledger_place(sim_ledger_count() - 1);
}

static void rotate(void)
{
	file.begins = file.flushed = sim_ledger_count();
	file.torn = false;
}

static void cut_power(void)
{
	size_t count = sim_ledger_count();
	if (file.flushed < count)
		sim_ledger_cut((size_t)sim_between((int64_t)file.flushed, (int64_t)count));
	file.torn = sim_chance(50);
	if (file.owner)
		sim_loop_kill(file.owner->loop); // it went with the machine
}

// --- the connector

static void schedule(struct sim_file_connector *connector, int64_t delay_us)
{
	if (connector->scheduled || connector->over)
		return;
	connector->scheduled = true;
	sim_after(connector->loop, delay_us, work, connector);
}

static void fail(struct sim_file_connector *connector, const char *text)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "%s", text);
	connector->over = true;
	connector->host->failed(connector->host_arg, &err);
}

// Some lines of the first batch. False if the process is gone or the disk is full.
static bool write_lines(struct sim_file_connector *connector, const struct batch *batch)
{
	int64_t most = sim_between(1, (int64_t)(batch->count - connector->written));
	for (int64_t i = 0; i < most; i++) {
		const struct meow_event *event = &batch->events[connector->written++];
		char line[FINGERPRINT_LINE_SIZE]; // what it will show of its event
		fingerprint_line_text(event, line);
		sim_ledger_add(event->position, batch->place, event->aggregate_id, event->version, line);
		file.generation = connector->generation;
		if (sim_step(connector->loop, FILE_DID_WRITE))
			continue;
		file.torn = sim_chance(50); // in the middle of the next line
		return false;
	}
	if (!sim_chance(file.settings.fail_percent))
		return true;
	file.torn = sim_chance(50);
	fail(connector, "No space left on device");
	return false;
}

static void flush(struct sim_file_connector *connector, struct batch *batch)
{
	file.flushed = sim_ledger_count();
	connector->written = 0;
	connector->first++;
	if (!sim_step(connector->loop, FILE_DID_FLUSH))
		return;
	connector->held = true;
	connector->host->delivered(connector->host_arg, batch);
	connector->held = false;
}

static void work(void *arg)
{
	struct sim_file_connector *connector = arg;
	connector->scheduled = false;
	if (!connector->destroyed && !connector->over && connector->first < connector->count) {
		struct batch *batch = connector->queue[connector->first % QUEUE_MOST];
		if (connector->written == batch->count)
			flush(connector, batch);
		else if (write_lines(connector, batch) && !connector->destroyed)
			schedule(connector, sim_between(10, 500));
	}
	if (connector->destroyed)
		free(connector);
	else if (connector->first < connector->count)
		schedule(connector, sim_between(20, 1000));
}

static void scan(void *arg)
{
	struct sim_file_connector *connector = arg;
	connector->scheduled = false;
	if (connector->destroyed) {
		free(connector);
		return;
	}
	if (file.owner) {
		fail(connector, "another process has the lock of the file");
		return;
	}
	if (file.torn && !sim_step(connector->loop, FILE_DID_CUT))
		return;
	file.torn = false;
	file.flushed = sim_ledger_count(); // lines that a killed writer left may be in memory alone
	file.owner = connector;
	struct connector_memory memory = {.kind = is_empty() ? MEMORY_EMPTY : MEMORY_HELD,
		.delivered = delivered(),
		.generation = file.generation,
		.fingerprint = is_empty() ? NULL : sim_ledger_fingerprint(sim_ledger_count() - 1)};
	if (!is_empty() && file.generation < connector->generation)
		memory = (struct connector_memory){.kind = MEMORY_NONE};
	connector->host->opened(connector->host_arg, &memory);
	if (connector->destroyed)
		free(connector);
}

static struct connector *create(const struct connector_context *context, struct meow_error *err)
{
	struct sim_file_connector *connector = calloc(1, sizeof(*connector));
	(void)err;
	if (!connector)
		abort();
	connector->base.impl = &file_impl;
	connector->host = context->host;
	connector->host_arg = context->host_arg;
	connector->loop = context->loop;
	connector->generation = context->generation;
	return &connector->base;
}

static void open_file(struct connector *base, int64_t delivered_before)
{
	struct sim_file_connector *connector = (struct sim_file_connector *)base;
	(void)delivered_before;
	if (!sim_step(connector->loop, FILE_OPENS))
		return;
	connector->scheduled = true;
	sim_after(connector->loop, sim_between(100, 5000), scan, connector);
}

static void begin(struct connector *base, int64_t behind, const char *fingerprint)
{
	(void)base;
	(void)behind;
	(void)fingerprint;
}

static size_t admit(struct connector *base, const struct batch *batch, struct meow_error *err)
{
	(void)base;
	for (size_t i = 0; i < batch->count; i++)
		if (sim_is_poison(batch->events[i].position)) {
			error_set(err, MEOW_INVALID, "a name that cannot be");
			return i;
		}
	return batch->count;
}

static bool send(struct connector *base, struct batch *batch, struct meow_error *err)
{
	struct sim_file_connector *connector = (struct sim_file_connector *)base;
	if (connector->count - connector->first == QUEUE_MOST)
		abort();
	if (!sim_step(connector->loop, FILE_WRITES))
		return true; // nobody will know
	if (sim_chance(file.settings.fail_percent))
		return error_no_memory(err);
	connector->queue[connector->count++ % QUEUE_MOST] = batch;
	sim_ledger_note_batch();
	schedule(connector, sim_between(20, 1000));
	return true;
}

static void destroy(struct connector *base)
{
	struct sim_file_connector *connector = (struct sim_file_connector *)base;
	if (!connector)
		return;
	connector->destroyed = connector->over = true;
	if (file.owner == connector)
		file.owner = NULL;
	if (!connector->scheduled && !connector->held)
		free(connector);
}

static const struct connector_impl file_impl = {.name = "sim",
	.when_behind = SINK_GO_ON,
	.when_empty = SINK_GO_ON,
	.create = create,
	.open = open_file,
	.begin = begin,
	.admit = admit,
	.send = send,
	.destroy = destroy};

const struct sim_sink sim_file = {.name = "file",
	.connector = &file_impl,
	.first_step = FILE_OPENS,
	.last_step = FILE_DID_FLUSH,
	.remembers = true,
	.ordered = true,
	.locks = true,
	.early = true,
	.rewinds = true,
	.reset = reset,
	.calm = calm,
	.free = free_file,
	.delivered = delivered,
	.forget = rotate,
	.lose_tail = cut_power};
