// The ledger: what is in the sink, and what ever was.
#include "sim_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct entry {
	int64_t position, place, version, time_us;
	char aggregate[16];
	char *fingerprint; // of the last of a batch, NULL for the others
};

static struct {
	struct entry *entries;
	size_t count, capacity;
	size_t batches;
	bool *has, *had; // by position
	size_t has_capacity;
	struct loop *world;
} ledger;

void sim_ledger_free(void)
{
	for (size_t i = 0; i < ledger.count; i++)
		free(ledger.entries[i].fingerprint);
	free(ledger.entries);
	free(ledger.has);
	free(ledger.had);
	memset(&ledger, 0, sizeof(ledger));
}

void sim_ledger_reset(struct loop *world)
{
	sim_ledger_free();
	ledger.world = world;
}

static void make_room(size_t position)
{
	if (ledger.count == ledger.capacity) {
		ledger.capacity = ledger.capacity ? ledger.capacity * 2 : 256;
		ledger.entries = realloc(ledger.entries, ledger.capacity * sizeof(*ledger.entries));
	}
	if (!ledger.entries)
		abort();
	if (position < ledger.has_capacity)
		return;
	size_t capacity = position * 2 + 64;
	ledger.has = realloc(ledger.has, capacity);
	ledger.had = realloc(ledger.had, capacity);
	if (!ledger.has || !ledger.had)
		abort();
	memset(ledger.has + ledger.has_capacity, 0, capacity - ledger.has_capacity);
	memset(ledger.had + ledger.has_capacity, 0, capacity - ledger.has_capacity);
	ledger.has_capacity = capacity;
}

void sim_ledger_add(
	int64_t position, int64_t place, struct meow_bytes aggregate, int64_t version, const char *fingerprint)
{
	make_room((size_t)position);
	struct entry *entry = &ledger.entries[ledger.count++];
	*entry = (struct entry){.position = position,
		.place = place ? place : position,
		.version = version,
		.time_us = sim_now(ledger.world),
		.fingerprint = fingerprint ? strdup(fingerprint) : NULL};
	snprintf(entry->aggregate, sizeof(entry->aggregate), "%.*s", (int)aggregate.size, aggregate.data);
	ledger.has[position] = ledger.had[position] = true;
	sim_trace((uint64_t)position);
}

void sim_ledger_cut(size_t count)
{
	for (size_t i = count; i < ledger.count; i++) {
		ledger.has[ledger.entries[i].position] = false;
		free(ledger.entries[i].fingerprint);
	}
	for (size_t i = 0; i < count; i++) // what was there twice
		ledger.has[ledger.entries[i].position] = true;
	ledger.count = count;
}

void sim_ledger_lose_all(void)
{
	if (ledger.has)
		memset(ledger.has, 0, ledger.has_capacity);
}

bool sim_ledger_has(int64_t position)
{
	return (size_t)position < ledger.has_capacity && ledger.has[position];
}

bool sim_ledger_had(int64_t position)
{
	return (size_t)position < ledger.has_capacity && ledger.had[position];
}

size_t sim_ledger_count(void)
{
	return ledger.count;
}

int64_t sim_ledger_position(size_t index)
{
	return ledger.entries[index].position;
}

int64_t sim_ledger_place(size_t index)
{
	return ledger.entries[index].place;
}

int64_t sim_ledger_time_us(size_t index)
{
	return ledger.entries[index].time_us;
}

const char *sim_ledger_aggregate(size_t index)
{
	return ledger.entries[index].aggregate;
}

int64_t sim_ledger_version(size_t index)
{
	return ledger.entries[index].version;
}

const char *sim_ledger_fingerprint(size_t index)
{
	return ledger.entries[index].fingerprint;
}

void sim_ledger_note_batch(void)
{
	ledger.batches++;
}

size_t sim_ledger_batches(void)
{
	return ledger.batches;
}
