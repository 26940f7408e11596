// events.c: the events of the contract suite, and the comparison of what came back with what was sent.
#include "log.h"

#include "base/text.h"
#include "store/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGGREGATES 7

struct meow_event contract_event(int64_t position, struct contract_texts *texts)
{
	int64_t index = position - 1;
	int aggregate = (int)(index % AGGREGATES);
	snprintf(texts->aggregate_id, sizeof(texts->aggregate_id), "%s %d", aggregate % 2 == 0 ? "o" : "ü", aggregate);
	// Odd but valid: what a decoder would change, and a raw line break.
	snprintf(texts->data, sizeof(texts->data),
		"{\"position\": %" PRId64
		",%s\"amount\":1.0, \"big\" : 12345678901234567890,\"amount\":1e400,\"text\":\"a\\u0000 ü\"}",
		position, index % 5 == 0 ? "\n" : " ");
	snprintf(texts->metadata, sizeof(texts->metadata),
		"{\"traceparent\":\"00-%032" PRIx64 "-00f067aa0ba902b7-01\", \"user\":\"cat\"}", position);
	return (struct meow_event){
		.position = position,
		.version = index / AGGREGATES,
		.time_us = 1790000000000000 + index * 1000,
		.transaction_id = (uint64_t)(700 + index),
		.aggregate_type = aggregate < 4 ? MEOW_BYTES("order") : MEOW_BYTES("payment"),
		.aggregate_id = bytes_of(texts->aggregate_id),
		.type = index < AGGREGATES ? MEOW_BYTES("Placed") : MEOW_BYTES("Changed"),
		.data = bytes_of(texts->data),
		.metadata = index % 3 == 0 ? bytes_of(texts->metadata) : (struct meow_bytes){0},
	};
}

struct batch *contract_batch(int64_t first, size_t count)
{
	struct batch *batch = batch_create();
	assert_non_null(batch);
	for (size_t i = 0; i < count; i++) {
		struct contract_texts texts;
		struct meow_event event = contract_event(first + (int64_t)i, &texts);
		assert_true(batch_add(batch, &event));
	}
	contract_batch_seal(batch);
	return batch;
}

void contract_batch_seal(struct batch *batch)
{
	static const struct store_identity store = {
		.store_id = "0b5b5d4e-6a7f-4f0e-9d3e-2f6f6f3c1a55", .system_identifier = 7, .timeline = 1};
	free(batch->fingerprint);
	const struct meow_event *last = &batch->events[batch->count - 1];
	batch->fingerprint = fingerprint_text(&store, last);
	assert_non_null(batch->fingerprint);
	batch->position = last->position;
}

static struct meow_bytes keep(struct meow_bytes bytes)
{
	char *copy = malloc(bytes.size + 1);
	assert_non_null(copy);
	if (bytes.size > 0)
		memcpy(copy, bytes.data, bytes.size);
	copy[bytes.size] = '\0';
	return (struct meow_bytes){copy, bytes.size};
}

void contract_log_add(struct contract_log *log, const struct contract_entry *entry)
{
	if (log->count == log->capacity) {
		log->capacity = log->capacity == 0 ? 1024 : log->capacity * 2;
		log->entries = realloc(log->entries, log->capacity * sizeof(*log->entries));
		assert_non_null(log->entries);
	}
	struct contract_entry *added = &log->entries[log->count++];
	*added = *entry;
	added->aggregate_type = keep(entry->aggregate_type);
	added->aggregate_id = keep(entry->aggregate_id);
	added->type = keep(entry->type);
	added->data = keep(entry->data);
}

static void drop(struct meow_bytes bytes)
{
	// Ours, made by keep.
	free((void *)(uintptr_t)bytes.data);
}

void contract_log_finish(struct contract_log *log)
{
	for (size_t i = 0; i < log->count; i++) {
		drop(log->entries[i].aggregate_type);
		drop(log->entries[i].aggregate_id);
		drop(log->entries[i].type);
		drop(log->entries[i].data);
	}
	free(log->entries);
	*log = (struct contract_log){0};
}

// A sink that prints events on lines turns raw line breaks into spaces.
static bool same_data(struct meow_bytes sent, struct meow_bytes got)
{
	if (sent.size != got.size)
		return false;
	for (size_t i = 0; i < sent.size; i++)
		if (sent.data[i] != got.data[i] && !(sent.data[i] == '\n' && got.data[i] == ' '))
			return false;
	return true;
}

static void compare(const struct contract_entry *entry)
{
	struct contract_texts texts;
	struct meow_event event = contract_event(entry->position, &texts);
	if (entry->version != event.version || !bytes_equal(entry->aggregate_type, event.aggregate_type) ||
		!bytes_equal(entry->aggregate_id, event.aggregate_id) || !bytes_equal(entry->type, event.type) ||
		!same_data(event.data, entry->data))
		fail_msg("event %" PRId64 " came back altered: %s %s version %" PRId64 " %s %s", entry->position,
			entry->aggregate_type.data, entry->aggregate_id.data, entry->version, entry->type.data, entry->data.data);
}

static bool has_version(const struct contract_log *log, const struct contract_entry *of, int64_t version)
{
	for (size_t i = 0; i < log->count; i++)
		if (log->entries[i].version == version && bytes_equal(log->entries[i].aggregate_id, of->aggregate_id))
			return true;
	return false;
}

void contract_log_check(const struct contract_log *log, int64_t last, bool total_order, bool repeats_allowed)
{
	int64_t versions[AGGREGATES];
	memset(versions, 0xFF, sizeof(versions)); // -1
	int64_t highest = 0;
	for (size_t i = 0; i < log->count; i++) {
		const struct contract_entry *entry = &log->entries[i];
		if (entry->position < 1 || entry->position > last)
			fail_msg("event %" PRId64 " was never sent (the last is %" PRId64 ")", entry->position, last);
		compare(entry);
		int64_t *version = &versions[(entry->position - 1) % AGGREGATES];
		bool repeat = entry->version <= *version;
		if (repeat && !repeats_allowed)
			fail_msg("event %" PRId64 " is there twice, or out of order", entry->position);
		if (!repeat && entry->version != *version + 1)
			fail_msg("event %" PRId64 ", entry %zu of %zu, overtook version %" PRId64 " of its aggregate, which %s",
				entry->position, i, log->count, *version + 1,
				has_version(log, entry, *version + 1) ? "comes later" : "is nowhere");
		if (total_order && !repeat && entry->position < highest)
			fail_msg("event %" PRId64 " comes behind event %" PRId64, entry->position, highest);
		if (!repeat) {
			*version = entry->version;
			highest = entry->position > highest ? entry->position : highest;
		}
	}
	// Versions are complete per aggregate, so the last of each proves that all are there.
	for (int64_t i = 0; i < AGGREGATES; i++) {
		int64_t expected = last > i ? (last - i - 1) / AGGREGATES : -1;
		if (versions[i] != expected)
			fail_msg("aggregate %" PRId64 " ends at version %" PRId64 " instead of %" PRId64, i, versions[i], expected);
	}
}
