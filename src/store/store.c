// What is the same for every kind of store: checks of what is passed, and errors in one set of words. The rest goes to the
// implementation that the store was opened with.
#include "base/text.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

// What PostgreSQL's clock and an RFC 3339 time can both say: the years 1 to 9999.
#define TIME_FIRST_US INT64_C(-62135596800000000)
#define TIME_LAST_US INT64_C(253402300799999999)

#define PAGE_MOST 100000
#define EACH_SIZE 300 // what is said of each partition, as far as a message has room for it

// Implementations may look at *err, which callers may leave out.
#define WITH_ERROR(err)                                                                                                \
	struct meow_error own_error;                                                                                       \
	struct meow_error *error = (err) ? (err) : &own_error

void meow_store_close(struct meow_store *store)
{
	if (store)
		store->impl->close(store);
}

// --- checks ---

bool store_random_uuid(char ret_text[STORE_UUID_SIZE], struct meow_error *err)
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return error_set(err, MEOW_UNAVAILABLE, "no random numbers from the system");
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret_text, STORE_UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
		b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return true;
}

bool store_check_event(const struct meow_new_event *event, struct meow_error *err)
{
	if (!event->type.data || !event->data.data)
		return error_set(err, MEOW_INVALID, "has no %s", event->type.data ? "data" : "type");
	if (!text_is_utf8(event->data) || !text_is_utf8(event->type) || !text_is_utf8(event->metadata))
		return error_set(err, MEOW_INVALID, "is not valid UTF-8, or has a raw NUL byte");
	if (event->time_us != MEOW_NO_TIME && (event->time_us < TIME_FIRST_US || event->time_us > TIME_LAST_US))
		return error_set(err, MEOW_INVALID, "has a time that is not within the years 1 to 9999");
	return true;
}

static bool check_append(const struct meow_append *append, struct meow_error *err)
{
	if (!append->aggregate_type || !*append->aggregate_type)
		return error_set(err, MEOW_INVALID, "an append needs an aggregate type");
	if (!append->aggregate_id || !*append->aggregate_id)
		return error_set(err, MEOW_INVALID, "an append needs an aggregate id");
	if (!text_is_utf8(bytes_of(append->aggregate_type)) || !text_is_utf8(bytes_of(append->aggregate_id)))
		return error_set(err, MEOW_INVALID, "the aggregate's type or id is not valid UTF-8");
	if (append->expected < MEOW_EXPECT_ANY || append->expected > INT32_MAX)
		return error_set(err, MEOW_INVALID, "expected version %" PRId64 " cannot be", append->expected);
	for (size_t i = 0; i < append->count; i++) {
		struct meow_error reason;
		if (!store_check_event(&append->events[i], &reason))
			return error_set(err, reason.kind, "event %zu %s", i + 1, reason.text);
	}
	return true;
}

static bool check_aggregate(const char *aggregate_type, const char *aggregate_id, struct meow_error *err)
{
	return (aggregate_type && *aggregate_type && aggregate_id && *aggregate_id) ||
		   error_set(err, MEOW_INVALID, "an aggregate is named by its type and its id");
}

bool store_conflict(const struct meow_append *append, int64_t found, struct meow_error *err)
{
	char expected[32] = "no event yet";
	if (append->expected >= 0)
		snprintf(expected, sizeof(expected), "version %" PRId64, append->expected);
	if (found < 0)
		return error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, and it has no event",
			append->aggregate_type, append->aggregate_id, expected);
	return error_set(err, MEOW_CONFLICT,
		"version conflict: %s %s: expected %s, found version %" PRId64 ": load again and repeat",
		append->aggregate_type, append->aggregate_id, expected, found);
}

bool store_type_mismatch(const char *aggregate_id, const char *known_type, const char *type, struct meow_error *err)
{
	return error_set(err, MEOW_INVALID, "aggregate %s is known as type %s, not %s", aggregate_id, known_type, type);
}

// --- events and aggregates ---

bool meow_append(struct meow_store *store, const struct meow_append *append, struct meow_appended *ret,
	int64_t *ret_found, struct meow_error *err)
{
	WITH_ERROR(err);
	return append->count == 0 ||
		   (check_append(append, error) && store->impl->append(store, append, ret, ret_found, error));
}

bool meow_version(struct meow_store *store, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err)
{
	WITH_ERROR(err);
	return check_aggregate(aggregate_type, aggregate_id, error) &&
		   store->impl->version(store, aggregate_type, aggregate_id, ret_version, error);
}

bool meow_list_aggregates(struct meow_store *store, const char *aggregate_type, const char *after, size_t limit,
	struct meow_aggregate_page *ret_page, struct meow_error *err)
{
	WITH_ERROR(err);
	if (limit == 0 || limit > PAGE_MOST)
		return error_set(error, MEOW_INVALID, "a page has 1 to %d aggregates, not %zu", PAGE_MOST, limit);
	return store->impl->list_aggregates(store, aggregate_type, after, limit, ret_page, error);
}

void meow_aggregate_page_free(struct meow_aggregate_page *page)
{
	free(page->items);
	free(page->memory);
	*page = (struct meow_aggregate_page){0};
}

bool meow_delete(struct meow_store *store, const char *aggregate_type, const char *aggregate_id, int64_t from_version,
	uint64_t *ret_count, struct meow_error *err)
{
	WITH_ERROR(err);
	uint64_t count;
	if (!check_aggregate(aggregate_type, aggregate_id, error))
		return false;
	if (from_version < 0)
		return error_set(error, MEOW_INVALID, "an aggregate has no version %" PRId64, from_version);
	if (!store->impl->delete_events(store, aggregate_type, aggregate_id, from_version, &count, error))
		return false;
	if (ret_count)
		*ret_count = count;
	return true;
}

// --- snapshots ---

struct meow_snapshot *store_snapshot_create(int64_t version, int64_t position, struct meow_bytes data)
{
	struct meow_snapshot *snapshot = malloc(sizeof(*snapshot) + data.size + 1);
	if (!snapshot)
		return NULL;
	char *copy = (char *)(snapshot + 1);
	memcpy(copy, data.data, data.size);
	copy[data.size] = '\0';
	*snapshot = (struct meow_snapshot){version, position, {copy, data.size}};
	return snapshot;
}

void meow_snapshot_free(struct meow_snapshot *snapshot)
{
	free(snapshot);
}

bool meow_snapshot_save(struct meow_store *store, const char *aggregate_type, const char *aggregate_id,
	const struct meow_snapshot *snapshot, struct meow_error *err)
{
	WITH_ERROR(err);
	if (!check_aggregate(aggregate_type, aggregate_id, error))
		return false;
	if (!snapshot->data.data || !text_is_utf8(snapshot->data))
		return error_set(error, MEOW_INVALID, "the snapshot of %s is not valid UTF-8", aggregate_id);
	return store->impl->snapshot_save(store, aggregate_type, aggregate_id, snapshot, error);
}

bool meow_snapshot_load(struct meow_store *store, const char *aggregate_type, const char *aggregate_id, int64_t version,
	struct meow_snapshot **ret_snapshot, struct meow_error *err)
{
	WITH_ERROR(err);
	return check_aggregate(aggregate_type, aggregate_id, error) &&
		   store->impl->snapshot_load(store, aggregate_type, aggregate_id, version, ret_snapshot, error);
}

bool meow_snapshot_prune(struct meow_store *store, const char *aggregate_type, const char *aggregate_id, size_t keep,
	uint64_t *ret_count, struct meow_error *err)
{
	WITH_ERROR(err);
	uint64_t count;
	if (!check_aggregate(aggregate_type, aggregate_id, error) ||
		!store->impl->snapshot_prune(store, aggregate_type, aggregate_id, keep, &count, error))
		return false;
	if (ret_count)
		*ret_count = count;
	return true;
}

// --- a subscription's work ---

bool store_work_claim(struct meow_store *store, const char *subscription, bool *ret_claimed, struct meow_error *err)
{
	return store->impl->work_claim(store, subscription, ret_claimed, err);
}

bool store_of_handler(const char *subscription, struct meow_error *err)
{
	return error_set(err, MEOW_INVALID, "%s is a subscription with a handler: it has no partitions", subscription);
}

bool store_work_own(struct meow_store *store, const char *subscription, struct meow_error *err)
{
	int64_t partitions;
	if (!store->impl->work_own(store, subscription, &partitions, err))
		return false;
	return partitions < 0 ||
		   error_set(err, MEOW_INVALID, "subscription %s is a route of the relay: a handler needs a name of its own",
			   subscription);
}

bool store_work_begin(
	struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	return store->impl->work_begin(store, subscription, ret_work, err);
}

bool store_work_look(
	struct meow_store *store, const char *subscription, struct store_work *ret_work, struct meow_error *err)
{
	return store->impl->work_look(store, subscription, ret_work, err);
}

bool store_work_commit(
	struct meow_store *store, const char *subscription, const struct store_work *work, struct meow_error *err)
{
	return store->impl->work_commit(store, subscription, work, err);
}

bool store_work_roll_back(struct meow_store *store, struct meow_error *err)
{
	return store->impl->work_roll_back(store, err);
}

bool store_work_report(
	struct meow_store *store, const char *subscription, const struct store_work_state *state, struct meow_error *err)
{
	return store->impl->work_report(store, subscription, state, err);
}

// --- what the command line shows and changes ---

bool store_status(struct meow_store *store, struct store_status *ret_status, struct meow_error *err)
{
	WITH_ERROR(err);
	if (!store->impl->status(store, ret_status, error))
		return false;
	ret_status->kind = store->impl->name;
	return true;
}

bool store_subscriptions(
	struct meow_store *store, const char *name, struct store_subscriptions *ret_list, struct meow_error *err)
{
	WITH_ERROR(err);
	return store->impl->subscriptions(store, name, ret_list, error);
}

void store_subscriptions_free(struct store_subscriptions *list)
{
	free(list->items);
	free(list->memory);
	*list = (struct store_subscriptions){0};
}

static bool missing(const char *name, struct meow_error *err)
{
	return error_set(err, MEOW_MISSING, "there is no subscription %s: see `meowmx subscription list`", name);
}

// What is to be said of each partition, "RUNNING" of the only one, else "partition 0 RUNNING, partition 1 FAILED"; NULL leaves
// it out.
static void say_each(const struct store_subscriptions *list, char *text, size_t size,
	const char *(*describe)(const struct checkpoint *checkpoint, char word[32]))
{
	size_t length = 0;
	text[0] = '\0';
	for (size_t i = 0; i < list->count && length < size; i++) {
		char word[32], partition[32] = "";
		const struct checkpoint *checkpoint = &list->items[i].checkpoint;
		const char *what = describe(checkpoint, word);
		if (!what)
			continue;
		if (list->count > 1)
			snprintf(partition, sizeof(partition), "partition %d ", checkpoint->partition);
		length += (size_t)snprintf(text + length, size - length, "%s%s%s", length ? ", " : "", partition, what);
	}
}

static const char *state_of(const struct checkpoint *checkpoint, char word[32])
{
	(void)word;
	return checkpoint->state ? checkpoint->state : "new";
}

static const char *stop_of(const struct checkpoint *checkpoint, char word[32])
{
	if (!checkpoint->state || strcmp(checkpoint->state, "FAILED") != 0 || !checkpoint->error_position)
		return NULL;
	snprintf(word, 32, "at position %" PRId64, checkpoint->error_position);
	return word;
}

bool store_subscription_resume(struct meow_store *store, const char *name, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done;
	struct store_subscriptions list;
	char states[EACH_SIZE];
	if (!store->impl->subscription_resume(store, name, &done, error))
		return false;
	if (done)
		return true;
	if (!store->impl->subscriptions(store, name, &list, error))
		return false;
	bool known = list.count > 0;
	say_each(&list, states, sizeof(states), state_of);
	store_subscriptions_free(&list);
	if (!known)
		return missing(name, error);
	return error_set(
		error, MEOW_INVALID, "%s neither pauses nor has stopped (it is %s): there is nothing to resume", name, states);
}

bool store_subscription_skip(struct meow_store *store, const char *name, int64_t position, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done;
	struct store_subscriptions list;
	char stops[EACH_SIZE];
	if (!store->impl->subscription_skip(store, name, position, &done, error))
		return false;
	if (done)
		return true;
	if (!store->impl->subscriptions(store, name, &list, error))
		return false;
	bool known = list.count > 0;
	say_each(&list, stops, sizeof(stops), stop_of);
	store_subscriptions_free(&list);
	if (!known)
		return missing(name, error);
	if (!*stops)
		return error_set(error, MEOW_INVALID, "%s has not stopped at an event: there is nothing to skip", name);
	return error_set(error, MEOW_INVALID, "%s has stopped %s, not at %" PRId64, name, stops, position);
}

bool store_still_run(const char *subscription, const char *relay, struct meow_error *err)
{
	return error_set(err, MEOW_UNAVAILABLE,
		"%s is run by %s: stop all relays that run it, or wait until the lease of a dead one has run out", subscription,
		relay);
}

bool store_repartition_begin(struct meow_store *store, struct store_repartition *repartition, struct meow_error *err)
{
	WITH_ERROR(err);
	repartition->items = NULL;
	repartition->count = 0;
	if (!store->impl->repartition_begin(store, repartition, error))
		return false;
	return repartition->count > 0 || missing(repartition->name, error);
}

bool store_repartition_cut(
	struct meow_store *store, const struct store_repartition *repartition, struct meow_error *err)
{
	WITH_ERROR(err);
	return store->impl->repartition_cut(store, repartition, error);
}

bool store_repartition_finish(
	struct meow_store *store, const struct store_repartition *repartition, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done;
	return store->impl->repartition_finish(store, repartition, &done, error) &&
		   (done || error_set(error, MEOW_CONFLICT,
						"a partition of %s was taken by somebody else meanwhile, and nothing was changed: run it again",
						repartition->name));
}

bool store_layouts(struct meow_store *store, const char *name, struct store_layouts *ret_list, struct meow_error *err)
{
	WITH_ERROR(err);
	return store->impl->layouts(store, name, ret_list, error);
}

bool store_subscription_pause(struct meow_store *store, const char *name, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done;
	return store->impl->subscription_pause(store, name, &done, error) && (done || missing(name, error));
}

bool store_subscription_rewind(struct meow_store *store, const char *name, int64_t position, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done = false;
	struct store_subscriptions list;
	if (position >= 0 && !store->impl->subscription_rewind(store, name, position, &done, error))
		return false;
	if (done)
		return true;
	if (!store->impl->subscriptions(store, name, &list, error))
		return false;
	bool known = list.count > 0;
	int64_t at = 0, head = 0;
	for (size_t i = 0; i < list.count; i++) {
		const struct store_subscription *item = &list.items[i];
		at = item->checkpoint.position > at ? item->checkpoint.position : at;
		head =
			item->checkpoint.position + item->lag_events > head ? item->checkpoint.position + item->lag_events : head;
	}
	store_subscriptions_free(&list);
	if (!known)
		return missing(name, error);
	if (position > head)
		return error_set(error, MEOW_INVALID,
			"position %" PRId64 " lies beyond the end: %s stands at %" PRId64 ", and the store at %" PRId64, position,
			name, at, head);
	return error_set(error, MEOW_INVALID,
		"%s stands at position %" PRId64 ": a rewind to %" PRId64 " would pass by events that were not delivered", name,
		at, position);
}

// Whether somebody works on it: a handler's process has its claim, a relay the lease.
static bool check_claim(struct meow_store *store, const char *name, struct meow_error *err)
{
	struct store_layouts layouts;
	bool claimed = true;
	if (!store->impl->layouts(store, name, &layouts, err))
		return false;
	bool routes = layouts.count > 0 && layouts.items[layouts.count - 1].partitions > 0;
	free(layouts.items);
	if (!routes && !store->impl->work_claim(store, name, &claimed, err))
		return false;
	return claimed || error_set(err, MEOW_UNAVAILABLE, "a process works on %s with its handler: stop it first", name);
}

bool store_subscription_delete(struct meow_store *store, const char *name, struct meow_error *err)
{
	WITH_ERROR(err);
	bool done;
	struct store_subscriptions list;
	if (!check_claim(store, name, error) || !store->impl->subscription_delete(store, name, &done, error))
		return false;
	if (done)
		return true;
	if (!store->impl->subscriptions(store, name, &list, error))
		return false;
	const char *relay = NULL;
	for (size_t i = 0; i < list.count && !relay; i++)
		relay = list.items[i].relay;
	if (list.count == 0)
		missing(name, error);
	else
		store_still_run(name, relay ? relay : "a relay that gives it up at this moment", error);
	store_subscriptions_free(&list);
	return false;
}

bool store_dead_letters(struct meow_store *store, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err)
{
	WITH_ERROR(err);
	return store->impl->dead_letters(store, filter, fn, arg, error);
}

bool store_dead_positions(struct meow_store *store, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err)
{
	WITH_ERROR(err);
	return store->impl->dead_positions(store, name, from, to, fn, arg, error);
}

// What stands before a dead letter.
struct before {
	int64_t position;
	char *aggregate_type, *aggregate_id; // of the one at the position, NULL until it was found
	bool retried;                        // it waits for its retry already
	char earlier[200];
	size_t length;
};

static bool note_there(void *arg, const struct store_dead_letter *letter)
{
	struct before *before = arg;
	free(before->aggregate_type);
	free(before->aggregate_id);
	before->aggregate_type = strdup(letter->aggregate_type);
	before->aggregate_id = strdup(letter->aggregate_id);
	before->retried = letter->retry_at > 0;
	return true;
}

static bool note_earlier(void *arg, const struct store_dead_letter *letter)
{
	struct before *before = arg;
	if (letter->position >= before->position || before->length >= sizeof(before->earlier))
		return false;
	before->length += (size_t)snprintf(before->earlier + before->length, sizeof(before->earlier) - before->length,
		"%s%" PRId64, before->length ? ", " : "", letter->position);
	return true;
}

// Why nothing was done about what the filter finds.
static bool say_why_not(
	struct meow_store *store, const struct store_dead_filter *filter, const char *verb, struct meow_error *err)
{
	struct before before = {.position = filter->position};
	bool ok = store->impl->dead_letters(store, filter, note_there, &before, err);
	bool there = before.aggregate_type != NULL;
	if (ok && there && filter->position && before.aggregate_id) {
		const struct store_dead_filter aggregate = {.subscription = filter->subscription,
			.aggregate_type = before.aggregate_type,
			.aggregate_id = before.aggregate_id};
		ok = store->impl->dead_letters(store, &aggregate, note_earlier, &before, err);
	}
	free(before.aggregate_type);
	free(before.aggregate_id);
	if (!ok)
		return false;
	if (!there)
		return error_set(err, MEOW_MISSING, "there is no such dead letter of %s: see `meowmx dead list %s`",
			filter->subscription, filter->subscription);
	if (before.length && !before.retried)
		return error_set(err, MEOW_INVALID,
			"others of the same aggregate stand before the dead letter at %" PRId64 ", at %s: %s them first",
			filter->position, before.earlier, verb);
	return error_set(
		err, MEOW_INVALID, "what was named waits for its retry already: a relay has to run %s", filter->subscription);
}

// Says why if there was nothing to change.
static bool dead_changed(struct meow_store *store, const struct store_dead_filter *filter, const char *verb,
	int64_t count, int64_t *ret_count, struct meow_error *err)
{
	if (count == 0)
		return say_why_not(store, filter, verb, err);
	*ret_count = count;
	return true;
}

bool store_dead_discard(
	struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	WITH_ERROR(err);
	int64_t count;
	return store->impl->dead_discard(store, filter, &count, error) &&
		   dead_changed(store, filter, "discard", count, ret_count, error);
}

bool store_dead_retry(
	struct meow_store *store, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	WITH_ERROR(err);
	int64_t count;
	return store->impl->dead_retry(store, filter, &count, error) &&
		   dead_changed(store, filter, "retry", count, ret_count, error);
}

bool store_subscription_adopt(struct meow_store *store, const struct store_adopt *wanted,
	struct store_adoption *ret_adoption, struct meow_error *err)
{
	WITH_ERROR(err);
	if (!store->impl->subscription_adopt)
		return error_set(error, MEOW_INVALID,
			"Python meowmx has no subscriptions in a store of %s that could be adopted", store->impl->name);
	return store->impl->subscription_adopt(store, wanted, ret_adoption, error);
}

bool store_bulk(struct meow_store *store, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err)
{
	WITH_ERROR(err);
	*ret_line = 0;
	if (count == 0) {
		*ret_result = (struct store_bulk_result){0, 0};
		return true;
	}
	return store->impl->bulk(store, lines, count, ret_result, ret_line, error);
}
