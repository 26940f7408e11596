// The store itself, its checkpoint's rows, and what befalls it.
#include "sim_store_part.h"

#include "relay/partition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sim_store *sim_store_create(
	struct loop *loop, const struct sim_store_settings *settings, const struct sim_store_watch *watch)
{
	struct sim_store *store = calloc(1, sizeof(*store));
	if (!store)
		abort();
	store->loop = loop;
	store->settings = *settings;
	store->watch = watch;
	store->timeline = 1;
	store->newest = &store->layouts[0];
	store->newest->partitions = settings->partitions;
	writers_start(store);
	return store;
}

static void drop_copies(struct sim_store *store)
{
	for (size_t i = 0; i < store->copy_count; i++)
		free(store->copies[i].row.fingerprint);
	store->copy_count = 0;
}

void sim_store_destroy(struct sim_store *store)
{
	sessions_free(store);
	while (store->open) {
		struct transaction *next = store->open->next;
		free(store->open);
		store->open = next;
	}
	for (int64_t i = 0; i < store->last; i++)
		free(store->events[i]);
	free(store->events);
	for (int i = 0; i < SIM_LAYOUTS_MOST * SIM_PARTITIONS_MOST; i++)
		free(store->layouts[i / SIM_PARTITIONS_MOST].rows[i % SIM_PARTITIONS_MOST].fingerprint);
	drop_copies(store);
	letters_free(store);
	free(store);
}

void sim_store_calm(struct sim_store *store)
{
	store->settings.lost_percent = 0;
}

size_t sim_store_count(const struct sim_store *store)
{
	return store->committed;
}

const struct meow_event *sim_store_at(const struct sim_store *store, int64_t position)
{
	bool there = position >= 1 && position <= store->last && store->events[position - 1]->committed;
	return there ? &store->events[position - 1]->event : NULL;
}

const struct meow_event *sim_store_last(const struct sim_store *store)
{
	for (int64_t id = store->last; id > 0; id--)
		if (store->events[id - 1]->committed)
			return &store->events[id - 1]->event;
	return NULL;
}

int64_t sim_store_position(const struct sim_store *store)
{
	int64_t lowest = store->newest->rows[0].position;
	for (int i = 1; i < store->newest->partitions; i++)
		if (store->newest->rows[i].position < lowest)
			lowest = store->newest->rows[i].position;
	return lowest;
}

int64_t store_highest(const struct sim_store *store)
{
	int64_t highest = 0;
	for (int i = 0; i < store->newest->partitions; i++)
		if (store->newest->rows[i].position > highest)
			highest = store->newest->rows[i].position;
	return highest;
}

struct row *store_row(struct sim_store *store, const struct request *request)
{
	struct layout *layout = request->kind == ACQUIRE ? store->newest : &store->layouts[request->layout];
	return &layout->rows[request->partition];
}

bool store_is_of(const struct sim_store *store, const struct meow_event *event, const struct request *request)
{
	return partition_of(event->aggregate_id, store->layouts[request->layout].partitions) == request->partition;
}

int64_t sim_store_head(const struct sim_store *store)
{
	return store->last;
}

int64_t sim_store_error_position(const struct sim_store *store, int partition)
{
	return store->newest->rows[partition].error_position;
}

const char *sim_store_state(const struct sim_store *store, int partition)
{
	return store->newest->rows[partition].state;
}

const char *sim_store_reason(const struct sim_store *store, int partition)
{
	return store->newest->rows[partition].reason;
}

bool sim_store_stop_kept(const struct sim_store *store)
{
	return store->newest->rows[0].stop_kept;
}

int64_t sim_store_start(const struct sim_store *store)
{
	return store->start;
}

void sim_store_note_start(struct sim_store *store)
{
	store->started_at = store->last;
}

// --- what befalls it ---

void sim_store_write_before_doze(struct sim_store *store)
{
	store->write_before_doze = true;
}

bool sim_store_wrote_before_doze(const struct sim_store *store)
{
	return !store->write_before_doze;
}

void sim_store_resume(struct sim_store *store)
{
	for (int i = 0; i < store->newest->partitions; i++) {
		store->newest->rows[i].stop_kept = false;
		store->newest->rows[i].resume = true;
	}
}

void sim_store_pause(struct sim_store *store, bool paused)
{
	for (int i = 0; i < store->newest->partitions; i++)
		store->newest->rows[i].paused = paused;
}

static void rewind_row(struct row *row, int64_t behind)
{
	row->generation++;
	row->error_position = 0;
	row->stop_kept = row->resume = false;
	row->position = row->position < behind ? row->position : behind;
	if (row->delivered <= behind)
		return;
	row->delivered = behind;
	free(row->fingerprint);
	row->fingerprint = NULL;
}

int64_t sim_store_rewind(struct sim_store *store)
{
	bool there = false;
	for (int i = 0; i < store->newest->partitions; i++)
		there |= store->newest->rows[i].there;
	if (!there)
		return -1;
	writers_end_retries(store); // it waits for what they have locked
	int64_t behind = sim_chance(50) ? store->start : sim_between(store->start, store_highest(store));
	for (int i = 0; i < store->newest->partitions; i++)
		rewind_row(&store->newest->rows[i], behind);
	letters_rewind(store, behind);
	return behind;
}

void sim_store_restore(struct sim_store *store)
{
	if (store->copy_count == 0)
		return;
	struct copy *copy = &store->copies[sim_between(0, (int64_t)store->copy_count - 1)];
	sessions_break(store);
	writers_end(store, true);
	memset(store->versions, 0, sizeof(store->versions));
	store->committed = 0;
	for (int64_t i = 0; i < store->last; i++) {
		struct stored *stored = store->events[i];
		if (i >= copy->last) {
			free(stored);
			continue;
		}
		stored->committed &= stored->committed_us <= copy->at_us;
		if (!stored->committed)
			continue;
		store->committed++;
		store->versions[stored->aggregate]++;
	}
	letters_free(store); // there are none: no such run has poison
	store->last = copy->last;
	free(store->newest->rows[0].fingerprint);
	store->newest->rows[0] = copy->row;
	copy->row.fingerprint = NULL;
	drop_copies(store);
	store->timeline++;
}

// The last id that durable data shows: a crash takes an unflushed sequence no further back, since the write-ahead log is
// flushed in order.
static int64_t durable_last(const struct sim_store *store)
{
	int64_t last = store_highest(store) > store->last_place ? store_highest(store) : store->last_place;
	for (int64_t id = store->last; id > last; id--)
		if (store->events[id - 1]->committed)
			last = id;
	for (const struct transaction *open = store->open; open; open = open->next)
		if (open->drawn > last)
			last = open->drawn;
	return last;
}

void sim_store_crash(struct sim_store *store)
{
	sessions_break(store);
	writers_end(store, false);
	drop_copies(store);
	store->doze_until_us = 0;
	if (sim_chance(50)) {
		for (int64_t ahead = sim_between(0, 33); ahead > 0; ahead--)
			writers_draw(store);
		return;
	}
	for (int64_t last = durable_last(store); store->last > last; store->last--)
		free(store->events[store->last - 1]);
	if (store->started_at > store->last)
		store->started_at = store->last;
}

void sim_store_skip(struct sim_store *store, int partition, int64_t position)
{
	struct row *row = &store->newest->rows[partition];
	row->position = store->skipped = position;
	row->resume = true;
	row->stop_kept = false;
}

void sim_store_set_clock(struct sim_store *store, int64_t ahead_us)
{
	store->clock_ahead_us = ahead_us;
}

const char *sim_store_holder(const struct sim_store *store, int partition)
{
	return store->newest->rows[partition].holder;
}

// --- another number of partitions (sql/repartition_*.sql of both stores, and the command, over sinks that need no fence)

static bool take_all(struct sim_store *store)
{
	for (int i = 0; i < store->newest->partitions; i++)
		if (lease_lives(store, &store->newest->rows[i]))
			return false;
	for (int i = 0; i < store->newest->partitions; i++)
		store->newest->rows[i].epoch++;
	return true;
}

static void begin_layout(struct sim_store *store, int partitions, int64_t cut)
{
	struct layout *old = store->newest, *made = ++store->newest;
	old->cut = cut;
	made->partitions = partitions;
	for (int i = 0; i < partitions; i++) {
		struct row *row = &made->rows[i];
		*row = (struct row){.there = true, .delivered = cut, .position = cut, .generation = old->rows[0].generation};
		snprintf(row->state, sizeof(row->state), "UNASSIGNED");
	}
}

enum sim_repartition sim_store_repartition(struct sim_store *store, int partitions)
{
	struct layout *layout = store->newest;
	int64_t cut = store_highest(store);
	if (!take_all(store))
		return SIM_STILL_RUN;
	for (int i = 0; i < layout->partitions; i++)
		layout->rows[i].holder[0] = '\0'; // at the end, in either case
	if (sim_store_position(store) < cut) {
		layout->cut = cut;
		return SIM_RUN_TO_CUT;
	}
	begin_layout(store, partitions, cut);
	return SIM_REPARTITIONED;
}

int64_t sim_store_cut(const struct sim_store *store)
{
	return store->newest->cut;
}
