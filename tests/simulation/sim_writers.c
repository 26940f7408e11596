// The writers: concurrent transactions, of which some draw ids early, some roll back, some are prepared (two-phase).
#include "sim_store_part.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct stored *writers_draw(struct sim_store *store)
{
	if ((size_t)store->last == store->capacity) {
		store->capacity = store->capacity ? store->capacity * 2 : 256;
		store->events = realloc(store->events, store->capacity * sizeof(*store->events));
	}
	struct stored *stored = calloc(1, sizeof(*stored));
	if (!store->events || !stored)
		abort();
	store->events[store->last++] = stored;
	return stored;
}

static void insert(struct sim_store *store, struct transaction *transaction, int aggregate)
{
	struct stored *stored = writers_draw(store);
	int64_t id = store->last;
	snprintf(stored->id, sizeof(stored->id), "a%d", aggregate);
	snprintf(stored->data, sizeof(stored->data), "{\"n\":%d,\"by\":%d}", (int)id, (int)transaction->number);
	stored->aggregate = aggregate;
	stored->event = (struct meow_event){.position = id,
		.time_us = MEOW_NO_TIME,
		.transaction_id = transaction->number,
		.aggregate_type = aggregate % 3 ? MEOW_BYTES("order") : MEOW_BYTES("other"),
		.aggregate_id = bytes_of(stored->id),
		.type = MEOW_BYTES("e"),
		.data = bytes_of(stored->data)};
	transaction->ids[transaction->count] = id;
	transaction->aggregates[transaction->count++] = aggregate;
	transaction->drawn = id;
	transaction->holds = true;
}

static void close_transaction(struct sim_store *store, struct transaction *transaction)
{
	for (struct transaction **at = &store->open; *at; at = &(*at)->next)
		if (*at == transaction) {
			*at = transaction->next;
			return;
		}
}

static void end_transaction(void *arg)
{
	struct transaction *transaction = arg;
	struct sim_store *store = transaction->store;
	if (transaction->dead) {
		free(transaction);
		return;
	}
	bool commit = transaction->lasting || !sim_chance(store->settings.rollback_percent);
	for (size_t i = 0; i < transaction->count; i++) {
		struct stored *stored = store->events[transaction->ids[i] - 1];
		int aggregate = transaction->aggregates[i];
		store->locked[aggregate] = false;
		if (!commit)
			continue;
		stored->event.version = store->versions[aggregate]++;
		stored->committed = true;
		stored->committed_us = sim_now(store->loop);
		store->committed++;
		if (transaction->ids[i] <= store_highest(store))
			sim_violation("event %ld commits below the checkpoint's position %ld", (long)transaction->ids[i],
				(long)store_highest(store));
	}
	close_transaction(store, transaction);
	if (commit && transaction->notifies)
		sessions_notify(store);
	free(transaction);
}

static void write_events(void *arg)
{
	struct transaction *transaction = arg;
	struct sim_store *store = transaction->store;
	if (transaction->dead) {
		free(transaction);
		return;
	}
	int wanted = (int)sim_between(1, TX_EVENTS - 1);
	for (int i = 0; i < wanted; i++) {
		int aggregate = (int)sim_between(0, SIM_AGGREGATES - 1);
		bool ours = false;
		for (size_t k = 0; k < transaction->count; k++)
			ours |= transaction->aggregates[k] == aggregate;
		if (store->locked[aggregate] && !ours)
			continue; // another writer would wait here
		store->locked[aggregate] = true;
		insert(store, transaction, aggregate);
	}
	transaction->notifies = store->doze_until_us > sim_now(store->loop);
	int64_t open_us = !transaction->lasting && sim_chance(5) ? sim_between(50000, 900000) : sim_between(50, 4000);
	if (!transaction->lasting && sim_chance(store->settings.prepared_percent)) {
		transaction->prepared = transaction->count > 0;
		transaction->notifies = false; // PREPARE TRANSACTION is refused after a NOTIFY
		open_us = sim_between(1000, 900000);
	}
	sim_after(store->loop, open_us, end_transaction, transaction);
}

static struct transaction *make_transaction(struct sim_store *store)
{
	struct transaction *transaction = calloc(1, sizeof(*transaction));
	if (!transaction)
		abort();
	*transaction = (struct transaction){.store = store, .next = store->open, .number = ++store->transactions};
	store->open = transaction;
	return transaction;
}

static void end_retry(void *arg)
{
	struct transaction *transaction = arg;
	if (!transaction->dead) {
		letters_end_retry(transaction->store, transaction->number, true);
		close_transaction(transaction->store, transaction);
	}
	free(transaction);
}

struct transaction *writers_begin_retry(struct sim_store *store)
{
	struct transaction *transaction = make_transaction(store);
	transaction->holds = true;
	sim_after(store->loop, sim_chance(80) ? sim_between(50, 4000) : sim_between(4000, 400000), end_retry, transaction);
	return transaction;
}

void writers_end_retries(struct sim_store *store)
{
	for (struct transaction *open = store->open, *next; open; open = next) {
		next = open->next;
		if (!open->first_place)
			continue;
		letters_end_retry(store, open->number, true);
		close_transaction(store, open);
		open->dead = true; // it frees itself
	}
}

void sim_store_write(struct sim_store *store)
{
	struct transaction *transaction = make_transaction(store);
	transaction->lasting = true;
	write_events(transaction);
}

static void begin_transaction(void *arg)
{
	struct sim_store *store = arg;
	if (sim_now(store->loop) >= store->settings.until_us)
		return;
	struct transaction *transaction = make_transaction(store);
	if (sim_chance(store->settings.early_percent)) { // an id long before its insert, which then draws another
		writers_draw(store);
		transaction->drawn = store->last;
		transaction->holds = true;
		sim_after(store->loop, sim_between(100, 30000), write_events, transaction);
	} else {
		write_events(transaction);
	}
	int64_t pause = sim_chance(3) ? sim_between(300000, 2500000) : sim_between(100, 12000);
	sim_after(store->loop, pause, begin_transaction, store);
}

void writers_start(struct sim_store *store)
{
	for (int i = 0; i < store->settings.writers; i++)
		sim_after(store->loop, sim_between(0, 50000), begin_transaction, store);
}

void writers_end(struct sim_store *store, bool all)
{
	struct transaction *kept = NULL;
	memset(store->locked, 0, sizeof(store->locked));
	for (struct transaction *open = store->open, *next; open; open = next) {
		next = open->next;
		open->dead = all || !open->prepared; // those free themselves
		open->next = open->dead ? NULL : kept;
		open->renamed = true;
		if (open->first_place)
			letters_end_retry(store, open->number, false);
		if (open->dead)
			continue;
		kept = open;
		for (size_t i = 0; i < open->count; i++)
			store->locked[open->aggregates[i]] = true;
	}
	store->open = kept;
}
