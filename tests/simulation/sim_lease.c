// Leases, as both real stores give them (sql/lease_acquire.sql of PostgreSQL, lease_*.sql of SQLite): a partition each, and
// fair shares among the relays that run the subscription.
#include "sim_store_part.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int64_t lease_clock_us(const struct sim_store *store)
{
	return sim_now(store->loop) + store->clock_ahead_us;
}

static bool is_within(const struct sim_store *store, int64_t until_us, int64_t length_us)
{
	int64_t now_us = lease_clock_us(store);
	return until_us > now_us && until_us <= now_us + length_us;
}

bool lease_lives(const struct sim_store *store, const struct row *row)
{
	return *row->holder && is_within(store, row->until_us, row->length_us);
}

static bool is_taken(struct sim_store *store, const struct request *request)
{
	const struct row *row = store_row(store, request);
	const struct session_lease *lease = &request->lease;
	return *row->holder && strcmp(row->holder, request->relay) != 0 &&
		   is_within(store, row->until_us, row->length_us) &&
		   !(row->epoch == lease->stale_epoch && row->until_us == lease->stale_until_us);
}

static struct alive *alive_of(struct sim_store *store, const char *relay)
{
	return &store->alive[atoi(relay + 1) % ALIVE_MOST]; // "r17"
}

static void count_in(struct sim_store *store, const struct request *request)
{
	struct alive *alive = alive_of(store, request->relay);
	int64_t length_us = request->lease.length_ms * 1000, left_us = alive->until_us - lease_clock_us(store);
	if (strcmp(alive->relay, request->relay) == 0 && left_us >= length_us / 10 * 7 && left_us <= length_us)
		return;
	*alive = (struct alive){.until_us = lease_clock_us(store) + length_us, .length_us = length_us};
	snprintf(alive->relay, sizeof(alive->relay), "%s", request->relay);
}

// How many partitions the relay owns, those above this one counted apart.
static int owned(const struct sim_store *store, const char *relay, int partition, int *ret_above)
{
	int count = 0;
	*ret_above = 0;
	for (int i = 0; i < store->newest->partitions; i++) {
		const struct row *row = &store->newest->rows[i];
		bool its = strcmp(row->holder, relay) == 0 && is_within(store, row->until_us, row->length_us);
		count += its;
		*ret_above += its && i > partition;
	}
	return count;
}

static void share(const struct sim_store *store, const struct request *request, struct session_lease_state *state)
{
	int above;
	state->partitions = store->newest->partitions;
	state->mine = owned(store, request->relay, request->partition, &state->above);
	state->least = INT_MAX;
	for (size_t i = 0; i < ALIVE_MOST; i++) {
		const struct alive *alive = &store->alive[i];
		if (!*alive->relay || strcmp(alive->relay, request->relay) == 0 ||
			!is_within(store, alive->until_us, alive->length_us))
			continue;
		int its = owned(store, alive->relay, 0, &above);
		state->least = its < state->least ? its : state->least;
	}
}

void lease_acquire(struct sim_store *store, struct request *request)
{
	struct row *row = store_row(store, request);
	struct session_lease_state *state = &request->leased;
	*state = (struct session_lease_state){.layout = (int)(store->newest - store->layouts), .cut = store->newest->cut};
	share(store, request, state);
	count_in(store, request);
	bool ours = strcmp(row->holder, request->relay) == 0;
	if (is_taken(store, request)) {
		state->until_us = row->until_us;
		state->length_ms = row->length_us / 1000;
		state->left_us = row->until_us - lease_clock_us(store);
		snprintf(request->holder, sizeof(request->holder), "%s", row->holder);
		state->holder = request->holder;
	} else if (request->lease.partitions == state->partitions && (!state->cut || row->position < state->cut) &&
			   (request->lease.even_unfair || ours || state->mine <= state->least)) {
		row->epoch++;
		row->length_us = request->lease.length_ms * 1000;
		row->until_us = lease_clock_us(store) + row->length_us;
		snprintf(row->holder, sizeof(row->holder), "%s", request->relay);
		state->held = true;
	}
	state->epoch = row->epoch;
}

void lease_give_more(struct sim_store *store, struct request *request)
{
	struct row *row = store_row(store, request);
	struct session_lease_state *state = &request->leased;
	*state = (struct session_lease_state){.epoch = request->lease.epoch,
		.layout = request->layout,
		.held = row->epoch == request->lease.epoch && strcmp(row->holder, request->relay) == 0};
	if (state->held) {
		row->length_us = request->lease.length_ms * 1000;
		row->until_us = lease_clock_us(store) + row->length_us;
	}
	share(store, request, state);
	count_in(store, request);
}

void lease_give_back(struct sim_store *store, const struct request *request)
{
	struct row *row = store_row(store, request);
	bool any = request->lease.epoch == 0 || request->lease.epoch == row->epoch;
	if (request->lease.leaving && strcmp(alive_of(store, request->relay)->relay, request->relay) == 0)
		*alive_of(store, request->relay) = (struct alive){.until_us = 0};
	if (!any || strcmp(row->holder, request->relay) != 0)
		return;
	row->holder[0] = '\0';
	sessions_notify(store);
}
