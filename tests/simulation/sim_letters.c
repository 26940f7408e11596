// Dead letters, as both real stores keep them (sql/set_aside.sql, dead_retry.sql, dead_discard.sql, retry_next.sql,
// retry_end.sql, checkpoint_load.sql and subscription_rewind.sql of either). A retry draws its places from the sequence of
// the events: in PostgreSQL in a transaction that others look at and wait for meanwhile, in SQLite at one moment.
#include "sim_store_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void letters_free(struct sim_store *store)
{
	free(store->letters);
	store->letters = NULL;
	store->letter_count = store->letter_capacity = 0;
}

static void add(struct sim_store *store, int64_t generation, int64_t position)
{
	for (size_t i = 0; i < store->letter_count; i++)
		if (store->letters[i].position == position && store->letters[i].generation == generation)
			return; // what was set aside before stays as it is
	if (store->letter_count == store->letter_capacity) {
		store->letter_capacity = store->letter_capacity ? store->letter_capacity * 2 : 64;
		store->letters = realloc(store->letters, store->letter_capacity * sizeof(*store->letters));
		if (!store->letters)
			abort();
	}
	struct stored *stored = store->events[position - 1];
	stored->dead = true;
	store->letters[store->letter_count++] =
		(struct letter){.generation = generation, .position = position, .aggregate = stored->aggregate};
}

// --- what a route asks for

static bool is_owner(struct sim_store *store, const struct request *request)
{
	const struct row *row = store_row(store, request);
	return row->epoch == request->aside.epoch && row->generation == request->aside.generation;
}

void letters_set_aside(struct sim_store *store, struct request *request)
{
	static const char key[] = "\"position\":";
	request->conflict = !is_owner(store, request);
	for (const char *at = request->letters; !request->conflict && (at = strstr(at, key)) != NULL;) {
		at += sizeof(key) - 1;
		add(store, request->aside.generation, strtol(at, NULL, 10));
	}
}

const char *letters_held(const struct sim_store *store, const struct row *row, int64_t *ret_open)
{
	static char text[SIM_AGGREGATES * 80];
	int64_t first[SIM_AGGREGATES] = {0}, behind[SIM_AGGREGATES] = {0};
	bool ever[SIM_AGGREGATES] = {false};
	size_t size = 0;
	*ret_open = 0;
	for (size_t i = 0; i < store->letter_count; i++) {
		const struct letter *letter = &store->letters[i];
		int64_t last = letter->retry_at ? letter->retry_at : letter->position;
		bool again = letter->generation == row->generation && letter->position > row->delivered;
		*ret_open += !letter->closed;
		if (letter->closed && letter->retry_at <= row->delivered && !again)
			continue; // what was discarded is held behind what was delivered: it may be read again
		if (!first[letter->aggregate] || letter->position < first[letter->aggregate])
			first[letter->aggregate] = letter->position;
		if (last > behind[letter->aggregate])
			behind[letter->aggregate] = last;
		ever[letter->aggregate] |= !letter->closed && !letter->retry_at;
	}
	for (int i = 0; i < SIM_AGGREGATES; i++) {
		if (!first[i])
			continue;
		const struct meow_event *event = &store->events[first[i] - 1]->event;
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%ld:%ld:%zu:%s%zu:%s", (long)first[i],
			(long)(ever[i] ? 0 : behind[i]), event->aggregate_type.size, event->aggregate_type.data,
			event->aggregate_id.size, event->aggregate_id.data);
	}
	return size ? text : NULL;
}

void letters_next(const struct sim_store *store, struct request *request)
{
	const struct session_retry_query *query = &request->retries;
	request->retry = (struct session_retry){.place = 0};
	for (size_t i = 0; i < store->letter_count; i++) {
		const struct letter *letter = &store->letters[i];
		if (letter->retry_at <= query->after || letter->retry_at > query->to ||
			(letter->retry_at <= query->delivered && letter->closed) ||
			(request->retry.place && letter->retry_at > request->retry.place))
			continue;
		const struct meow_event *event = &store->events[letter->position - 1]->event;
		request->retry =
			(struct session_retry){letter->retry_at, letter->position, event->aggregate_type, event->aggregate_id};
	}
}

static int64_t number_behind(const char *text, const char *key)
{
	const char *at = strstr(text, key);
	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

void letters_end(struct sim_store *store, struct request *request)
{
	int64_t place = number_behind(request->letters, "\"retry_at\":");
	int64_t aggregate = number_behind(request->letters, "\"aggregate_id\":\"a");
	bool failed = strstr(request->letters, "\"error\":") != NULL;
	request->conflict = !is_owner(store, request);
	if (failed)
		writers_end_retries(store); // those behind it that are asked for at this moment are not modelled
	for (size_t i = 0; !request->conflict && i < store->letter_count; i++) {
		struct letter *letter = &store->letters[i];
		bool follows = failed && letter->retry_at > place && letter->aggregate == aggregate;
		if (letter->closed || (letter->retry_at != place && !follows))
			continue;
		if (!failed && !store->watch->had(letter->position))
			sim_violation("the dead letter of %ld is closed, and the sink never had it", (long)letter->position);
		letter->closed = !failed;
		letter->retry_at = failed ? 0 : letter->retry_at;
	}
}

void letters_check_checkpoint(const struct sim_store *store, const struct request *request)
{
	int64_t position = request->save.position;
	for (size_t i = 0; i < store->letter_count; i++) {
		const struct letter *letter = &store->letters[i];
		if (letter->retry_at && letter->retry_at <= position && !store->watch->had(letter->position) &&
			store_is_of(store, &store->events[letter->position - 1]->event, request))
			sim_violation("the checkpoint stands at %ld, and %ld, to be published again at %ld, is not in the sink",
				(long)position, (long)letter->position, (long)letter->retry_at);
	}
}

// --- what an operator asks for

static bool stands_before(const struct letter *before, const struct letter *letter)
{
	return !before->closed && before->aggregate == letter->aggregate && before->position < letter->position;
}

// Whether the filter finds it; of one position only the first of its aggregate. retry: those to be retried stand before none.
static bool is_found(
	const struct sim_store *store, const struct sim_letters *filter, const struct letter *letter, bool retry)
{
	if (letter->closed || (filter->position && filter->position != letter->position) ||
		(filter->aggregate >= 0 && filter->aggregate != letter->aggregate))
		return false;
	for (size_t i = 0; filter->position && i < store->letter_count; i++)
		if (stands_before(&store->letters[i], letter) && !(retry && store->letters[i].retry_at))
			return false;
	return true;
}

void letters_end_retry(struct sim_store *store, uint64_t transaction, bool commit)
{
	for (size_t i = 0; i < store->letter_count; i++) {
		struct letter *letter = &store->letters[i];
		if (letter->asked_by != transaction)
			continue;
		letter->asked_by = 0;
		if (!commit)
			continue;
		if (letter->drawn <= store_highest(store))
			sim_violation("a retry at %ld commits below the checkpoint's position %ld", (long)letter->drawn,
				(long)store_highest(store));
		letter->retry_at = letter->drawn;
		if (letter->drawn > store->last_place)
			store->last_place = letter->drawn;
	}
	if (commit)
		sessions_notify(store);
}

// In the order of their positions, although an older generation's may have been set aside later.
static struct letter *next_to_draw(struct sim_store *store, const struct sim_letters *filter, uint64_t transaction)
{
	struct letter *next = NULL;
	for (size_t i = 0; i < store->letter_count; i++) {
		struct letter *letter = &store->letters[i];
		if (letter->retry_at || letter->asked_by == transaction || (next && next->position < letter->position) ||
			!is_found(store, filter, letter, true))
			continue;
		next = letter;
	}
	return next;
}

bool sim_store_retry(struct sim_store *store, const struct sim_letters *filter)
{
	struct transaction *transaction = NULL;
	writers_end_retries(store); // it waits for another one
	uint64_t number = store->transactions + 1;
	for (struct letter *letter; (letter = next_to_draw(store, filter, number)) != NULL;) {
		if (!transaction)
			transaction = writers_begin_retry(store);
		writers_draw(store);
		letter->asked_by = number;
		letter->drawn = transaction->drawn = store->last;
		if (!transaction->first_place)
			transaction->first_place = store->last;
	}
	if (transaction && sim_chance(50))
		writers_end_retries(store); // as in SQLite
	return transaction != NULL;
}

bool sim_store_discard(struct sim_store *store, const struct sim_letters *filter)
{
	bool any = false;
	writers_end_retries(store);
	for (size_t i = 0; i < store->letter_count; i++) {
		struct letter *letter = &store->letters[i];
		struct stored *stored = store->events[letter->position - 1];
		if (!is_found(store, filter, letter, false))
			continue;
		any = letter->closed = stored->given_up = true;
		letter->retry_at = 0;
		if (!stored->given_up_us)
			stored->given_up_us = sim_now(store->loop);
	}
	return any;
}

void letters_rewind(struct sim_store *store, int64_t position)
{
	size_t kept = 0;
	for (size_t i = 0; i < store->letter_count; i++) {
		struct letter *letter = &store->letters[i];
		struct stored *stored = store->events[letter->position - 1];
		if (letter->position > position) { // it comes again
			stored->dead = stored->given_up = false;
			continue;
		}
		letter->retry_at = 0;
		store->letters[kept++] = *letter;
	}
	store->letter_count = kept;
}

// --- for whoever looks

size_t sim_store_letters(const struct sim_store *store)
{
	size_t open = 0;
	for (size_t i = 0; i < store->letter_count; i++)
		open += !store->letters[i].closed;
	return open;
}

int64_t sim_store_letter(const struct sim_store *store, size_t index)
{
	for (size_t i = 0; i < store->letter_count; i++)
		if (!store->letters[i].closed && index-- == 0)
			return store->letters[i].position;
	return 0;
}

int64_t sim_store_letter_place(const struct sim_store *store, int64_t position)
{
	for (size_t i = 0; i < store->letter_count; i++)
		if (!store->letters[i].closed && store->letters[i].position == position)
			return store->letters[i].retry_at;
	return 0;
}

bool sim_store_is_set_aside(const struct sim_store *store, int64_t position)
{
	for (size_t i = 0; i < store->letter_count; i++)
		if (!store->letters[i].closed && store->letters[i].position == position)
			return true;
	return false;
}

bool sim_store_gave_up(const struct sim_store *store, int64_t position)
{
	return position >= 1 && position <= store->last && store->events[position - 1]->given_up;
}

int64_t sim_store_gave_up_us(const struct sim_store *store, int aggregate, int64_t version)
{
	for (int64_t id = 1; id <= store->last; id++) {
		const struct stored *stored = store->events[id - 1];
		if (stored->committed && stored->aggregate == aggregate && stored->event.version == version)
			return stored->given_up_us;
	}
	return 0;
}
