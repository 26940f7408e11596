// read_events.c: prints events, of everything, of a category or of one aggregate.
//
//   cc read_events.c -o read_events $(pkg-config --cflags --libs meowmx)
//   ./read_events URL [-t AGGREGATE_TYPE [-i AGGREGATE_ID]] [-f FROM] [-l LIMIT] [-r]
//
// FROM is a version with -i, else a position; -r: newest first. To go on where one stopped, begin with the last
// position plus one: what is shown is settled, so that nothing can appear below it later. (worker.c follows.)
#include <meowmx.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool parse(int argc, char **argv, struct meow_query *query)
{
	int option;
	while ((option = getopt(argc, argv, "t:i:f:l:r")) != -1)
		switch (option) {
		case 't':
			query->aggregate_type = optarg;
			break;
		case 'i':
			query->aggregate_id = optarg;
			break;
		case 'f':
			query->from = atoll(optarg);
			break;
		case 'l':
			query->limit = atoll(optarg);
			break;
		case 'r':
			query->reverse = true;
			break;
		default:
			return false;
		}
	return true;
}

static bool print_events(struct meow_store *store, const struct meow_query *query, struct meow_error *err)
{
	struct meow_cursor *cursor = meow_load(store, query, err);
	struct meow_event event;
	bool found = true, done = cursor != NULL;
	while (done && (done = meow_cursor_next(cursor, &event, &found, err)) && found)
		printf("%" PRId64 " : %s / %s [%" PRId64 "] %s : %s\n", event.position, event.aggregate_type.data,
			event.aggregate_id.data, event.version, event.type.data, event.data.data);
	meow_cursor_close(cursor);
	return done;
}

int main(int argc, char **argv)
{
	struct meow_error err;
	struct meow_query query = {.from = INT64_MIN, .to = INT64_MAX};
	if (argc < 2 || !parse(argc - 1, argv + 1, &query)) {
		fprintf(stderr, "usage: read_events URL [-t AGGREGATE_TYPE [-i AGGREGATE_ID]] [-f FROM] [-l LIMIT] [-r]\n");
		return 64;
	}
	struct meow_store *store = meow_store_open(argv[1], &err);
	bool done = store && print_events(store, &query, &err);
	if (!done)
		fprintf(stderr, "%s\n", err.text);
	meow_store_close(store);
	return done ? 0 : 1;
}
