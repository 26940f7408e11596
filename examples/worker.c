// worker.c: follows a category, each event once. Start several: one works, and another takes over when it ends.
//
//   cc worker.c -o worker $(pkg-config --cflags --libs meowmx)
//   ./worker URL SUBSCRIPTION AGGREGATE_TYPE      until it is interrupted
#include <meowmx.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static struct meow_subscription *subscription;

static void stop(int signal_number)
{
	(void)signal_number;
	meow_subscription_stop(subscription); // may be called in a signal handler
}

// How many events the aggregate has, counted through the transaction that the checkpoint commits with. What is written
// through `transaction` commits together with it, too.
static bool handle(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	const struct meow_query query = {.aggregate_type = event->aggregate_type.data,
		.aggregate_id = event->aggregate_id.data,
		.from = INT64_MIN,
		.to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(transaction, &query, err);
	struct meow_event loaded;
	bool found = true, done = cursor != NULL;
	int count = 0;
	(void)arg;
	while (done && (done = meow_cursor_next(cursor, &loaded, &found, err)) && found)
		count++;
	meow_cursor_close(cursor);
	if (done)
		printf("%s at position %" PRId64 ": %s / %s has %d event(s)\n", event->type.data, event->position,
			event->aggregate_type.data, event->aggregate_id.data, count);
	fflush(stdout);
	return done;
}

static void report(void *arg, const struct meow_subscription_report *report)
{
	(void)arg;
	if (report->err)
		fprintf(stderr, "%s; again in %" PRId64 " ms\n", report->err->text, report->retry_in_ms);
}

int main(int argc, char **argv)
{
	struct meow_error err;
	if (argc != 4) {
		fprintf(stderr, "usage: worker URL SUBSCRIPTION AGGREGATE_TYPE\n");
		return 64;
	}
	const char *categories[] = {argv[3]};
	const struct meow_subscription_settings settings = {.name = argv[2],
		.categories = categories,
		.category_count = 1,
		.batch_events = 200,
		.backoff_most_ms = 10000,
		.handler = handle,
		.report = report};
	subscription = meow_subscription_create(argv[1], &settings, &err);
	if (subscription) {
		signal(SIGINT, stop);
		signal(SIGTERM, stop);
	}
	bool done = subscription && meow_subscription_run(subscription, &err);
	if (!done)
		fprintf(stderr, "%s\n", err.text);
	meow_subscription_destroy(subscription);
	return done ? 0 : 1;
}
