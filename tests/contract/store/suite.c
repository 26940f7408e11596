// What the suites share, and their program: each runs by itself, so that the name of one as argument runs it alone.
#include "suite.h"

struct meow_store *open_or_fail(const char *url)
{
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	if (!store)
		fail_msg("%s", err.text);
	return store;
}

struct meow_store *fresh_store(void)
{
	return open_or_fail(kind.fresh());
}

void run_or_fail(void *connection, const char *sql)
{
	if (!kind.run(connection, sql))
		fail_msg("%s was refused", sql);
}

struct meow_new_event an_event(const char *type, const char *data)
{
	return (struct meow_new_event){.type = bytes_of(type), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
}

bool append_one(struct meow_store *store, const char *type, const char *id, int64_t expected, struct meow_appended *ret,
	struct meow_error *err)
{
	struct meow_new_event event = an_event("happened", "{}");
	struct meow_append append = {
		.aggregate_type = type, .aggregate_id = id, .expected = expected, .events = &event, .count = 1};
	return meow_append(store, &append, ret, NULL, err);
}

int64_t append_or_fail(struct meow_store *store, const char *type, const char *id, int64_t expected)
{
	struct meow_error err;
	struct meow_appended appended;
	assert_ok(append_one(store, type, id, expected, &appended, &err), err);
	return appended.position;
}

void append_many(struct meow_store *store, const char *type, const char *id, int n)
{
	struct meow_error err;
	struct meow_new_event *events = calloc((size_t)n, sizeof(*events));
	assert_non_null(events);
	for (int i = 0; i < n; i++)
		events[i] = an_event(i % 2 ? "odd" : "even", "{}");
	struct meow_append append = {
		.aggregate_type = type, .aggregate_id = id, .expected = MEOW_EXPECT_ANY, .events = events, .count = (size_t)n};
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	free(events);
}

int64_t version_of(struct meow_store *store, const char *type, const char *id)
{
	struct meow_error err;
	int64_t version = 77;
	assert_ok(meow_version(store, type, id, &version, &err), err);
	return version;
}

const char *numbers(struct meow_store *store, struct meow_query query)
{
	static char line[8192];
	struct meow_error err;
	struct meow_event event;
	bool found;
	size_t used = 0;
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	if (!cursor)
		fail_msg("%s", err.text);
	line[0] = '\0';
	for (;;) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		if (!found)
			break;
		used += (size_t)snprintf(line + used, sizeof(line) - used, "%s%" PRId64, used ? " " : "",
			query.aggregate_id ? event.version : event.position);
		assert_true(used < sizeof(line));
	}
	assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
	assert_false(found); // the end stays the end
	meow_cursor_close(cursor);
	return line;
}

struct meow_query an_aggregate(const char *type, const char *id)
{
	return (struct meow_query){.aggregate_type = type, .aggregate_id = id, .from = INT64_MIN, .to = INT64_MAX};
}

int main(int argc, char **argv)
{
	static const struct suite *const suites[] = {&suite_append, &suite_load, &suite_aggregates, &suite_borrowed,
		&suite_work, &suite_session, &suite_leases, &suite_follower, &suite_letters, &suite_subscription, &suite_many};
	int failed = 0;
	for (size_t i = 0; i < sizeof(suites) / sizeof(*suites); i++)
		if (argc < 2 || strcmp(argv[1], suites[i]->name) == 0)
			failed |=
				_cmocka_run_group_tests(suites[i]->name, suites[i]->tests, suites[i]->count, kind.start, kind.stop);
	return failed;
}
