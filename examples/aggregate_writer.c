// aggregate_writer.c: writes events to new and known aggregates at random, loading each before it appends, and says how
// many a second that makes.
//
//   cc aggregate_writer.c -o aggregate_writer $(pkg-config --cflags --libs meowmx)
//   ./aggregate_writer URL AGGREGATE_TYPE EVENT_TYPE MAX_LENGTH PERCENT_NEW COUNT
//
// Aggregates that have MAX_LENGTH events get no more; of 100 events PERCENT_NEW begin a new one.
#include <meowmx.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KNOWN_MOST 1000

// The state is the number of events: an aggregate can be as small as that.
static void *create(void *context, const char *id, const struct meow_bytes *snapshot, struct meow_error *err)
{
	(void)context, (void)id, (void)snapshot, (void)err;
	return calloc(1, sizeof(int));
}

static bool apply(void *state, const struct meow_event *event, struct meow_error *err)
{
	(void)event, (void)err;
	++*(int *)state;
	return true;
}

struct writer {
	struct meow_aggregate_type type;
	const char *event_type;
	int length; // after this event
};

static bool write_next(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	struct writer *writer = arg;
	char data[64];
	writer->length = *(int *)meow_aggregate_state(aggregate) + 1;
	int size = snprintf(data, sizeof(data), "{\"version\": %" PRId64 "}", meow_aggregate_version(aggregate) + 1);
	const struct meow_new_event event = {.type = {writer->event_type, strlen(writer->event_type)},
		.data = {data, (size_t)size},
		.time_us = MEOW_NO_TIME};
	return meow_aggregate_emit(aggregate, &event, err);
}

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void new_id(char id[37])
{
	snprintf(id, 37, "%08x-%04x-4%03x-8%03x-%06x%06x", (unsigned)random(), (unsigned)random() & 0xffff,
		(unsigned)random() & 0xfff, (unsigned)random() & 0xfff, (unsigned)random() & 0xffffff,
		(unsigned)random() & 0xffffff);
}

int main(int argc, char **argv)
{
	static char known[KNOWN_MOST][37];
	struct meow_error err;
	if (argc != 7) {
		fprintf(stderr, "usage: aggregate_writer URL AGGREGATE_TYPE EVENT_TYPE MAX_LENGTH PERCENT_NEW COUNT\n");
		return 64;
	}
	struct writer writer = {
		.type = {.name = argv[2], .create = create, .apply = apply, .destroy = free}, .event_type = argv[3]};
	int max_length = atoi(argv[4]), percent_new = atoi(argv[5]), count = atoi(argv[6]), ids = 0, written = 0;
	struct meow_store *store = meow_store_open(argv[1], &err);
	bool done = store != NULL;
	double began = seconds();
	srandom((unsigned)time(NULL));
	for (; done && written < count; written++) {
		int id = ids > 0 ? (int)(random() % ids) : 0;
		if (ids == 0 || (ids < KNOWN_MOST && random() % 100 < percent_new))
			new_id(known[id = ids++]);
		done = meow_execute(store, &writer.type, known[id], 10, write_next, &writer, NULL, &err);
		if (done && writer.length >= max_length)
			memmove(known[id], known[--ids], sizeof(known[id])); // no more to this one
	}
	if (!done)
		fprintf(stderr, "%s\n", err.text);
	printf("saved %d events, %.0f a second\n", done ? written : written - 1, written / (seconds() - began));
	meow_store_close(store);
	return done ? 0 : 1;
}
