// counter.h: the aggregate that tests build. It adds up numbers, and hashes all that was applied, so that an event that is
// missing, there twice or out of order shows; its context says what its callbacks do wrong, and counts their calls.
#ifndef INTEGRATION_COUNTER_H
#define INTEGRATION_COUNTER_H

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct counter {
	int64_t sum, count;
	uint64_t hash;
	struct counter_context *context;
};

struct counter_context {
	int64_t unreadable_from; // snapshots of so many events and more cannot be read; 0: all can
	enum meow_error_kind unreadable_kind;
	bool no_snapshot;         // none can be made,
	const char *bad_snapshot; // or it is this
	void (*on_create)(void *arg, bool from_snapshot);
	void *on_create_arg;
	int64_t created, from_snapshots, applied, destroyed;
};

static inline void *counter_create(void *arg, const char *id, const struct meow_bytes *snapshot, struct meow_error *err)
{
	struct counter_context *context = arg;
	struct counter read = {.hash = TEXT_HASH_START};
	(void)id;
	if (snapshot && sscanf(snapshot->data, "{\"sum\":%" SCNd64 ",\"count\":%" SCNd64 ",\"hash\":\"%" SCNx64 "\"}",
						&read.sum, &read.count, &read.hash) != 3) {
		error_set(err, MEOW_INVALID, "no snapshot of a counter");
		return NULL;
	}
	if (snapshot && context->unreadable_from && read.count >= context->unreadable_from) {
		error_set(err, context->unreadable_kind, "a snapshot of another program");
		return NULL;
	}
	struct counter *counter = malloc(sizeof(*counter));
	if (!counter) {
		error_no_memory(err);
		return NULL;
	}
	*counter = read;
	counter->context = context;
	context->created++;
	context->from_snapshots += snapshot != NULL;
	if (context->on_create)
		context->on_create(context->on_create_arg, snapshot != NULL);
	return counter;
}

static inline bool counter_apply(void *state, const struct meow_event *event, struct meow_error *err)
{
	struct counter *counter = state;
	int64_t number;
	if (!bytes_equal(event->type, MEOW_BYTES("added")))
		return error_set(err, MEOW_INVALID, "a counter knows no %.*s", (int)event->type.size, event->type.data);
	if (!text_to_int64(event->data, &number))
		return error_set(err, MEOW_INVALID, "no number");
	counter->sum += number;
	counter->count++;
	counter->hash = text_hash(counter->hash, event->data);
	counter->hash =
		text_hash(counter->hash, (struct meow_bytes){(const char *)&event->version, sizeof(event->version)});
	counter->context->applied++;
	return true;
}

static inline bool counter_snapshot(const void *state, struct meow_bytes *ret_data, struct meow_error *err)
{
	const struct counter *counter = state;
	char *text = NULL;
	if (counter->context->no_snapshot)
		return error_set(err, MEOW_INVALID, "the film is full");
	int size = counter->context->bad_snapshot
				   ? asprintf(&text, "%s", counter->context->bad_snapshot)
				   : asprintf(&text, "{\"sum\":%" PRId64 ",\"count\":%" PRId64 ",\"hash\":\"%" PRIx64 "\"}",
						 counter->sum, counter->count, counter->hash);
	if (size < 0)
		return error_no_memory(err);
	*ret_data = (struct meow_bytes){text, (size_t)size};
	return true;
}

static inline void counter_destroy(void *state)
{
	struct counter *counter = state;
	counter->context->destroyed++;
	free(counter);
}

static inline struct meow_aggregate_type counter_type(struct counter_context *context, uint32_t every, uint32_t keep)
{
	return (struct meow_aggregate_type){.name = "counter",
		.context = context,
		.create = counter_create,
		.apply = counter_apply,
		.snapshot = counter_snapshot,
		.destroy = counter_destroy,
		.snapshot_every = every,
		.keep_snapshots = keep};
}

static inline const struct counter *counter_of(const struct meow_aggregate *aggregate)
{
	return meow_aggregate_state(aggregate);
}

static inline bool counter_add(struct meow_aggregate *aggregate, int64_t number, struct meow_error *err)
{
	char data[24];
	snprintf(data, sizeof(data), "%" PRId64, number);
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
	return meow_aggregate_emit(aggregate, &event, err);
}

#endif
