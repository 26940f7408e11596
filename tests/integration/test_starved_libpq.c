// Allocations inside libpq fail, one after the other, on the way through open, commands with snapshots, and a load: each
// call then succeeds or says so, repeated it works, and nothing was ever stored twice. tests/support/starve.c must be
// loaded before the C library.
#include "counter.h"
#include "database.h"

#include <string.h>

extern _Atomic long starve_countdown __attribute__((weak));
extern _Atomic bool starve_fired __attribute__((weak));

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	(void)arg;
	return counter_add(aggregate, 1, err) && counter_add(aggregate, 1, err);
}

static void assert_starved(const struct meow_error *err, const char *call)
{
	bool said = err->kind == MEOW_UNAVAILABLE && strstr(err->text, "out of memory");
	if (!starve_fired || !said)
		fail_msg("%s: kind %d: %s", call, err->kind, err->text);
}

// As a program would: once more where the error says that nothing was done.
static struct meow_store *open_store(const char *url)
{
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	if (store)
		return store;
	assert_starved(&err, "open");
	return store_open_or_fail(url);
}

static void execute(struct meow_store *store, const struct meow_aggregate_type *type, const char *id)
{
	struct meow_error err;
	struct meow_saved saved;
	if (!meow_execute(store, type, id, 3, decide, NULL, &saved, &err)) {
		assert_starved(&err, "execute");
		assert_ok(meow_execute(store, type, id, 3, decide, NULL, &saved, &err), err);
	}
	if (saved.snapshot_error.kind)
		assert_starved(&saved.snapshot_error, "snapshot");
}

static void load_category(struct meow_store *store)
{
	const struct meow_query query = {.aggregate_type = "counter", .from = INT64_MIN, .to = INT64_MAX, .limit = 3};
	struct meow_error err;
	struct meow_event event;
	bool found = true;
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	if (!cursor)
		assert_starved(&err, "load");
	while (cursor && found)
		if (!meow_cursor_next(cursor, &event, &found, &err)) {
			assert_starved(&err, "next");
			break;
		}
	meow_cursor_close(cursor);
}

// False if there are fewer allocations.
static bool walk_with_failure_at(const char *url, long n)
{
	struct counter_context context = {0};
	struct meow_aggregate_type type = counter_type(&context, 2, 2);
	struct meow_error err;
	const char *id = new_uuid();
	starve_fired = false;
	starve_countdown = n;
	struct meow_store *store = open_store(url);
	execute(store, &type, id);
	execute(store, &type, id);
	load_category(store);
	starve_countdown = 0;
	struct meow_aggregate *aggregate = meow_aggregate_load(store, &type, id, INT64_MAX, &err);
	assert_non_null(aggregate);
	if (counter_of(aggregate)->sum != 4 || meow_aggregate_version(aggregate) != 3)
		fail_msg("allocation %ld: sum %" PRId64, n, counter_of(aggregate)->sum);
	meow_aggregate_destroy(aggregate);
	meow_store_close(store);
	return starve_fired;
}

static void each_allocation_of_libpq_may_fail(void **state)
{
	(void)state;
	const char *url = database_create_store(NULL);
	long n = 1;
	assert_non_null(&starve_countdown);
	while (walk_with_failure_at(url, n))
		n++;
	print_message("%ld allocations\n", n - 1);
	assert_true(n > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_of_libpq_may_fail)};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
