// The interface from several threads, as its thread rules have it: a handle and what was made of it to each thread, which
// share nothing but the store itself; a subscription that is stopped from another thread. Built with the thread
// sanitizer as well.
#include "counter.h"
#include "database.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#define WRITERS 4
#define ROUNDS 12

static bool on_postgres;

struct shared {
	const char *url;
	struct meow_subscription *subscription;
	_Atomic int64_t handled; // position of the last event
};

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	(void)arg;
	return counter_add(aggregate, 1, err) && counter_add(aggregate, 1, err);
}

static bool walk(struct meow_store *store, struct meow_error *err)
{
	const struct meow_query everything = {.from = INT64_MIN, .to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(store, &everything, err);
	struct meow_event event;
	bool found = true, ok = cursor != NULL;
	while (ok && found)
		ok = meow_cursor_next(cursor, &event, &found, err);
	meow_cursor_close(cursor);
	return ok;
}

// Opens and closes a handle of its own each time, so that this is tried side by side, too.
static void *write_and_read(void *arg)
{
	struct shared *shared = arg;
	struct counter_context context = {0};
	struct meow_aggregate_type type = counter_type(&context, 5, 2);
	struct meow_error err;
	bool ok = true;
	for (int i = 0; ok && i < ROUNDS; i++) {
		struct meow_store *store = meow_store_open(shared->url, &err);
		ok = store && meow_execute(store, &type, "c1", 1000, decide, NULL, NULL, &err) && walk(store, &err);
		meow_store_close(store);
	}
	if (!ok)
		print_error("%s\n", err.text);
	return ok ? arg : NULL;
}

static bool handle(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct shared *shared = arg;
	int64_t version;
	if (!meow_version(transaction, event->aggregate_type.data, event->aggregate_id.data, &version, err))
		return false;
	shared->handled = event->position;
	return true;
}

static void *subscribe(void *arg)
{
	struct shared *shared = arg;
	struct meow_error err;
	bool ok = meow_subscription_run(shared->subscription, &err);
	if (!ok)
		print_error("%s\n", err.text);
	return ok ? arg : NULL;
}

static const char *create_store(void)
{
	static char url[256];
	struct meow_error err;
	if (on_postgres)
		return database_create_store("TEXT");
	snprintf(url, sizeof(url), "sqlite:%s/store.db", scratch_folder());
	assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
	return url;
}

static int64_t head_of(const char *url)
{
	struct meow_store *store = store_open_or_fail(url);
	struct meow_error err;
	const struct meow_query last = {.from = INT64_MIN, .to = INT64_MAX, .limit = 1, .reverse = true};
	struct meow_cursor *cursor = meow_load(store, &last, &err);
	struct meow_event event;
	bool found;
	assert_non_null(cursor);
	assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
	assert_true(found);
	int64_t position = event.position;
	meow_cursor_close(cursor);
	meow_store_close(store);
	return position;
}

static void handles_share_nothing(void **state)
{
	(void)state;
	struct shared shared = {.url = create_store()};
	struct meow_error err;
	struct meow_subscription_settings settings = {.name = "all", .handler = handle, .arg = &shared};
	pthread_t threads[WRITERS + 1];
	shared.subscription = meow_subscription_create(shared.url, &settings, &err);
	assert_non_null(shared.subscription);
	for (size_t i = 0; i <= WRITERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i < WRITERS ? write_and_read : subscribe, &shared), 0);
	void *result;
	for (size_t i = 0; i < WRITERS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_non_null(result);
	}
	int64_t head = head_of(shared.url);
	while (shared.handled < head)
		sched_yield();
	meow_subscription_stop(shared.subscription);
	assert_int_equal(pthread_join(threads[WRITERS], &result), 0);
	assert_non_null(result);
	meow_subscription_destroy(shared.subscription);

	struct counter_context context = {0};
	struct meow_aggregate_type type = counter_type(&context, 0, 0);
	struct meow_store *store = store_open_or_fail(shared.url);
	struct meow_aggregate *aggregate = meow_aggregate_load(store, &type, "c1", INT64_MAX, &err);
	assert_non_null(aggregate);
	assert_int_equal(counter_of(aggregate)->sum, WRITERS * ROUNDS * 2);
	meow_aggregate_destroy(aggregate);
	meow_store_close(store);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	on_postgres = strcmp(argv[1], "postgres") == 0;
	const struct CMUnitTest tests[] = {cmocka_unit_test(handles_share_nothing)};
	return cmocka_run_group_tests(
		tests, on_postgres ? database_group_setup : NULL, on_postgres ? database_group_teardown : NULL);
}
