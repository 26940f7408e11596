// ride.c: orders of a ride-hailing service. An aggregate (what may happen to an order), a read model (a table that a
// subscription keeps), and, with ride.yaml and `meowmx relay`, events for everybody else.
//
//   cc ride.c -o ride $(pkg-config --cflags --libs meowmx libpq)
//   ./ride URL place ORDER RIDER CENTS | accept ORDER DRIVER | complete ORDER | cancel ORDER
//   ./ride URL show ORDER [VERSION]    the order as it is, or as it was
//   ./ride URL project                 brings the table `rides` up to date
#include <meowmx.h>

#include <libpq-fe.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- the aggregate ---

struct order {
	char status[16]; // "" before it was placed
	char rider[40], driver[40];
	int cents;
};

// A snapshot is whatever `snapshot` below has written. The formats fit what this program writes; others want a JSON parser.
static void *create(void *context, const char *id, const struct meow_bytes *snapshot, struct meow_error *err)
{
	struct order *order = calloc(1, sizeof(*order));
	(void)context, (void)id, (void)err;
	if (order && snapshot &&
		sscanf(snapshot->data, "{\"status\":\"%15[^\"]\",\"rider\":\"%39[^\"]\",\"driver\":\"%39[^\"]\",\"cents\":%d}",
			order->status, order->rider, order->driver, &order->cents) != 4) {
		free(order); // another version of this program wrote it: an older one is tried, then the events alone
		return NULL;
	}
	return order;
}

static bool is(const struct meow_event *event, const char *type)
{
	return strcmp(event->type.data, type) == 0;
}

static bool apply(void *state, const struct meow_event *event, struct meow_error *err)
{
	struct order *order = state;
	(void)err; // left alone, the error is that this event was refused
	if (is(event, "ORDER_PLACED")) {
		strcpy(order->status, "PLACED");
		strcpy(order->driver, "-");
		return sscanf(event->data.data, "{\"rider\":\"%39[^\"]\",\"cents\":%d}", order->rider, &order->cents) == 2;
	}
	if (is(event, "ORDER_ACCEPTED")) {
		strcpy(order->status, "ACCEPTED");
		return sscanf(event->data.data, "{\"driver\":\"%39[^\"]\"}", order->driver) == 1;
	}
	if (!is(event, "ORDER_COMPLETED") && !is(event, "ORDER_CANCELLED"))
		return false;
	strcpy(order->status, is(event, "ORDER_COMPLETED") ? "COMPLETED" : "CANCELLED");
	return true;
}

static bool snapshot(const void *state, struct meow_bytes *ret_data, struct meow_error *err)
{
	const struct order *order = state;
	char *text = malloc(256);
	(void)err;
	if (!text)
		return false;
	int size = snprintf(text, 256, "{\"status\":\"%s\",\"rider\":\"%s\",\"driver\":\"%s\",\"cents\":%d}", order->status,
		order->rider, order->driver, order->cents);
	*ret_data = (struct meow_bytes){text, (size_t)size};
	return true;
}

static const struct meow_aggregate_type order_type = {.name = "order",
	.create = create,
	.apply = apply,
	.snapshot = snapshot,
	.destroy = free,
	.snapshot_every = 2,
	.keep_snapshots = 3};

// --- commands: each is allowed in some states, and emits one event ---

struct command {
	const char *word, *event_type;
	const char *allowed; // the states it is allowed in
	char **arguments;
};

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	const struct command *command = arg;
	const struct order *order = meow_aggregate_state(aggregate);
	const char *status = *order->status ? order->status : "NEW";
	char data[200];
	if (!strstr(command->allowed, status)) {
		*err = (struct meow_error){.kind = MEOW_INVALID};
		snprintf(err->text, sizeof(err->text), "order in status %s: %s is not possible", status, command->word);
		return false;
	}
	if (strcmp(command->word, "place") == 0)
		snprintf(data, sizeof(data), "{\"rider\":\"%.39s\",\"cents\":%d}", command->arguments[0],
			atoi(command->arguments[1]));
	else if (strcmp(command->word, "accept") == 0)
		snprintf(data, sizeof(data), "{\"driver\":\"%.39s\"}", command->arguments[0]);
	else
		strcpy(data, "{}");
	const struct meow_new_event event = {
		.type = {command->event_type, strlen(command->event_type)},
		.data = {data, strlen(data)},
		.time_us = MEOW_NO_TIME,
	};
	return meow_aggregate_emit(aggregate, &event, err);
}

static bool run(struct meow_store *store, const char *word, char **arguments, int count, struct meow_error *err)
{
	static const struct {
		struct command command;
		int arguments;
	} commands[] = {
		{{.word = "place", .event_type = "ORDER_PLACED", .allowed = "NEW"}, 3},
		{{.word = "accept", .event_type = "ORDER_ACCEPTED", .allowed = "PLACED"}, 2},
		{{.word = "complete", .event_type = "ORDER_COMPLETED", .allowed = "ACCEPTED"}, 1},
		{{.word = "cancel", .event_type = "ORDER_CANCELLED", .allowed = "PLACED ACCEPTED"}, 1},
	};
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		struct command command = commands[i].command;
		command.arguments = arguments + 1;
		if (strcmp(command.word, word) == 0 && count == commands[i].arguments)
			return meow_execute(store, &order_type, arguments[0], 10, decide, &command, NULL, err);
	}
	*err = (struct meow_error){.kind = MEOW_INVALID, .text = "see the beginning of ride.c for what can be said"};
	return false;
}

static bool show(struct meow_store *store, const char *id, const char *version, struct meow_error *err)
{
	struct meow_aggregate *aggregate =
		meow_aggregate_load(store, &order_type, id, version ? atoll(version) : INT64_MAX, err);
	if (!aggregate)
		return false;
	const struct order *order = meow_aggregate_state(aggregate);
	printf("%s version %" PRId64 ": %s, rider %s, driver %s, %d cents\n", id, meow_aggregate_version(aggregate),
		order->status, order->rider, order->driver, order->cents);
	meow_aggregate_destroy(aggregate);
	return true;
}

// --- the read model: its rows and the subscription's checkpoint commit together, so that it has each event once ---

static bool project_event(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	const char *values[] = {event->aggregate_id.data, event->type.data, event->data.data};
	PGresult *result = PQexecParams(meow_store_postgres(transaction),
		"INSERT INTO rides (id, status, rider) VALUES ($1, lower(substr($2, 7)), $3::json->>'rider') "
		"ON CONFLICT (id) DO UPDATE SET status = excluded.status",
		3, NULL, values, NULL, NULL, 0);
	bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
	(void)arg;
	if (!done) {
		*err = (struct meow_error){.kind = MEOW_UNAVAILABLE};
		snprintf(err->text, sizeof(err->text), "%s", PQresultErrorMessage(result));
	}
	PQclear(result);
	return done;
}

static bool project(struct meow_store *store, const char *url, struct meow_error *err)
{
	const char *categories[] = {"order"};
	const struct meow_subscription_settings settings = {.name = "rides",
		.categories = categories,
		.category_count = 1,
		.until_caught_up = true, // a service leaves this out, and runs until meow_subscription_stop
		.handler = project_event};
	PQclear(PQexec(
		meow_store_postgres(store), "CREATE TABLE IF NOT EXISTS rides (id text PRIMARY KEY, status text, rider text)"));
	struct meow_subscription *subscription = meow_subscription_create(url, &settings, err);
	bool done = subscription && meow_subscription_run(subscription, err);
	meow_subscription_destroy(subscription);
	return done;
}

int main(int argc, char **argv)
{
	struct meow_error err;
	if (argc < 3) {
		fprintf(stderr, "see the beginning of ride.c for what can be said\n");
		return 64;
	}
	struct meow_store *store = meow_store_open(argv[1], &err);
	bool done = store != NULL;
	if (done && strcmp(argv[2], "project") == 0)
		done = project(store, argv[1], &err);
	else if (done && strcmp(argv[2], "show") == 0 && argc >= 4)
		done = show(store, argv[3], argv[4], &err);
	else if (done)
		done = run(store, argv[2], argv + 3, argc - 3, &err);
	if (!done)
		fprintf(stderr, "%s\n", err.text);
	meow_store_close(store);
	return done ? 0 : 1;
}
