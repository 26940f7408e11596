// library URL WHAT [HOW] [SECONDS]: what the library's calls cost, each beside the least libpq or SQLite code for the same.
// Prints a count and the seconds it took.
//
//   append one|hundred     events appended one by one, or a hundred to a call
//   load bare|meowmx       events of the aggregate "long" loaded
//   all                    all events loaded
//   fill ID COUNT          events for an aggregate that keeps a snapshot every 50 of them
//   state ID               states of that aggregate made
//   category               events of the category "rare" loaded, once
//   subscribe              events handled by a subscription whose handler does nothing, until it has caught up
#include "bare.h"
#include "meowmx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA "{\"amount\": 12.50, \"currency\": \"EUR\", \"note\": \"as stored\"}"

static struct meow_store *open_store(const char *url)
{
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	if (!store)
		bare_fail("open", err.text);
	return store;
}

static uint64_t append(const char *url, const char *how, double seconds)
{
	size_t count = strcmp(how, "hundred") == 0 ? 100 : 1;
	struct meow_store *store = open_store(url);
	struct meow_new_event events[100];
	struct meow_error err;
	char id[64];
	snprintf(id, sizeof(id), "%s-%.0f", how, bare_seconds() * 1e6);
	for (size_t i = 0; i < count; i++)
		events[i] =
			(struct meow_new_event){.type = {"added", 5}, .data = {DATA, sizeof(DATA) - 1}, .time_us = MEOW_NO_TIME};
	struct meow_append call = {
		.aggregate_type = "bench", .aggregate_id = id, .expected = -1, .events = events, .count = count};
	uint64_t total = 0;
	for (double began = bare_seconds(); bare_seconds() - began < seconds; total += count) {
		if (!meow_append(store, &call, NULL, NULL, &err))
			bare_fail("append", err.text);
		call.expected += (int64_t)count;
	}
	meow_store_close(store);
	return total;
}

static uint64_t load_once(struct meow_store *store, const struct meow_query *query)
{
	struct meow_error err;
	struct meow_event event;
	uint64_t total = 0;
	struct meow_cursor *cursor = meow_load(store, query, &err);
	if (!cursor)
		bare_fail("load", err.text);
	for (bool found = true; found;) {
		if (!meow_cursor_next(cursor, &event, &found, &err))
			bare_fail("load", err.text);
		total += found;
	}
	meow_cursor_close(cursor);
	return total;
}

static uint64_t load_meowmx(const char *url, double seconds)
{
	struct meow_store *store = open_store(url);
	const struct meow_query query = {
		.aggregate_type = "bench", .aggregate_id = "long", .from = INT64_MIN, .to = INT64_MAX};
	uint64_t total = 0;
	for (double began = bare_seconds(); bare_seconds() - began < seconds;)
		total += load_once(store, &query);
	meow_store_close(store);
	return total;
}

static uint64_t load_bare(const char *url, double seconds)
{
	PGconn *conn = PQconnectdb(url);
	PGresult *result = PQprepare(conn, "load",
		"SELECT id, aggregate_type, aggregate_id::text, version, event_type, json_data, metadata, created_at "
		"FROM es_events WHERE aggregate_id = $1 ORDER BY version",
		0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		bare_fail("prepare", PQerrorMessage(conn));
	PQclear(result);
	const char *values[1] = {"long"};
	uint64_t total = 0;
	volatile int64_t versions = 0; // so that the rows are looked at
	for (double began = bare_seconds(); bare_seconds() - began < seconds;) {
		result = PQexecPrepared(conn, "load", 1, values, NULL, NULL, 1);
		if (PQresultStatus(result) != PGRES_TUPLES_OK)
			bare_fail("load", PQerrorMessage(conn));
		for (int row = 0; row < PQntuples(result); row++, total++)
			versions += bare_version(result, row) + PQgetvalue(result, row, BARE_DATA)[0];
		PQclear(result);
	}
	(void)versions;
	PQfinish(conn);
	return total;
}

static uint64_t load_all(const char *url, double seconds)
{
	struct meow_store *store = open_store(url);
	const struct meow_query everything = {.from = INT64_MIN, .to = INT64_MAX};
	uint64_t total = 0;
	for (double began = bare_seconds(); bare_seconds() - began < seconds;)
		total += load_once(store, &everything);
	meow_store_close(store);
	return total;
}

// --- an aggregate whose state is the number of its events ---

static void *create_state(void *context, const char *id, const struct meow_bytes *snapshot, struct meow_error *err)
{
	(void)context;
	(void)id;
	(void)err;
	uint64_t *count = calloc(1, sizeof(*count));
	if (count && snapshot)
		*count = strtoull(snapshot->data, NULL, 10);
	return count;
}

static bool apply(void *state, const struct meow_event *event, struct meow_error *err)
{
	(void)event;
	(void)err;
	++*(uint64_t *)state;
	return true;
}

static bool snapshot(const void *state, struct meow_bytes *ret_data, struct meow_error *err)
{
	(void)err;
	char *text = malloc(24);
	if (!text)
		return false;
	ret_data->size = (size_t)snprintf(text, 24, "%llu", (unsigned long long)*(const uint64_t *)state);
	ret_data->data = text;
	return true;
}

static const struct meow_aggregate_type with_snapshots = {.name = "bench",
	.create = create_state,
	.apply = apply,
	.snapshot = snapshot,
	.destroy = free,
	.snapshot_every = 50,
	.keep_snapshots = 3};

static uint64_t fill(const char *url, const char *id, uint64_t count)
{
	struct meow_store *store = open_store(url);
	struct meow_error err;
	const struct meow_new_event event = {
		.type = {"added", 5}, .data = {DATA, sizeof(DATA) - 1}, .time_us = MEOW_NO_TIME};
	struct meow_aggregate *aggregate = meow_aggregate_load(store, &with_snapshots, id, INT64_MAX, &err);
	for (uint64_t i = 0; aggregate && i < count; i++)
		if (!meow_aggregate_emit(aggregate, &event, &err) ||
			((i + 1) % 50 == 0 && !meow_aggregate_save(aggregate, NULL, &err)))
			bare_fail("fill", err.text);
	if (!aggregate || !meow_aggregate_save(aggregate, NULL, &err))
		bare_fail("fill", err.text);
	meow_aggregate_destroy(aggregate);
	meow_store_close(store);
	return count;
}

static uint64_t make_states(const char *url, const char *id, double seconds)
{
	struct meow_store *store = open_store(url);
	struct meow_error err;
	uint64_t total = 0;
	for (double began = bare_seconds(); bare_seconds() - began < seconds; total++) {
		struct meow_aggregate *aggregate = meow_aggregate_load(store, &with_snapshots, id, INT64_MAX, &err);
		if (!aggregate)
			bare_fail("state", err.text);
		meow_aggregate_destroy(aggregate);
	}
	meow_store_close(store);
	return total;
}

static uint64_t load_category(const char *url)
{
	struct meow_store *store = open_store(url);
	const struct meow_query query = {.aggregate_type = "rare", .from = INT64_MIN, .to = INT64_MAX};
	uint64_t total = load_once(store, &query);
	meow_store_close(store);
	return total;
}

static bool do_nothing(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	(void)transaction;
	(void)event;
	(void)err;
	++*(uint64_t *)arg;
	return true;
}

static uint64_t subscribe(const char *url)
{
	uint64_t total = 0;
	struct meow_error err;
	const struct meow_subscription_settings settings = {
		.name = "bench", .handler = do_nothing, .arg = &total, .until_caught_up = true};
	struct meow_subscription *subscription = meow_subscription_create(url, &settings, &err);
	if (!subscription || !meow_subscription_run(subscription, &err))
		bare_fail("subscribe", err.text);
	meow_subscription_destroy(subscription);
	return total;
}

int main(int argc, char **argv)
{
	if (argc < 3)
		bare_fail("usage", "library URL append|load|all|fill|state|category|subscribe [HOW] [SECONDS]");
	const char *what = argv[2], *how = argc > 3 ? argv[3] : "";
	double seconds = argc > 4 ? atof(argv[4]) : 3;
	double began = bare_seconds();
	uint64_t total;
	if (strcmp(what, "append") == 0)
		total = append(argv[1], how, seconds);
	else if (strcmp(what, "load") == 0)
		total = strcmp(how, "bare") == 0 ? load_bare(argv[1], seconds) : load_meowmx(argv[1], seconds);
	else if (strcmp(what, "all") == 0)
		total = load_all(argv[1], seconds);
	else if (strcmp(what, "fill") == 0)
		total = fill(argv[1], how, (uint64_t)seconds);
	else if (strcmp(what, "state") == 0)
		total = make_states(argv[1], how, seconds);
	else if (strcmp(what, "category") == 0)
		total = load_category(argv[1]);
	else
		total = subscribe(argv[1]);
	printf("%llu %.4f\n", (unsigned long long)total, bare_seconds() - began);
	return 0;
}
