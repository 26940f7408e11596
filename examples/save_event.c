// save_event.c: appends one event.
//
//   cc save_event.c -o save_event $(pkg-config --cflags --libs meowmx)
//   ./save_event URL AGGREGATE_TYPE AGGREGATE_ID EVENT_TYPE DATA EXPECTED      EXPECTED: a version, `new` or `any`
#include <meowmx.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int64_t expected_version(const char *text)
{
	if (strcmp(text, "new") == 0)
		return MEOW_EXPECT_NEW;
	return strcmp(text, "any") == 0 ? MEOW_EXPECT_ANY : atoll(text);
}

int main(int argc, char **argv)
{
	struct meow_error err;
	if (argc != 7) {
		fprintf(stderr, "usage: save_event URL AGGREGATE_TYPE AGGREGATE_ID EVENT_TYPE DATA EXPECTED\n");
		return 64;
	}
	const struct meow_new_event event = {
		.type = {argv[4], strlen(argv[4])}, .data = {argv[5], strlen(argv[5])}, .time_us = MEOW_NO_TIME};
	const struct meow_append append = {.aggregate_type = argv[2],
		.aggregate_id = argv[3],
		.expected = expected_version(argv[6]),
		.events = &event,
		.count = 1};
	struct meow_appended appended;
	struct meow_store *store = meow_store_open(argv[1], &err);
	bool done = store && meow_append(store, &append, &appended, NULL, &err);
	if (done)
		printf("version %" PRId64 " at position %" PRId64 "\n", appended.version, appended.position);
	else
		fprintf(stderr, "%s\n", err.text);
	meow_store_close(store);
	return done ? 0 : err.kind == MEOW_CONFLICT ? 75 : 1; // 75: load again, and decide again
}
