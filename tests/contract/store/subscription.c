// Subscriptions with a handler: what it does commits with the checkpoint, so a read model is built exactly once, however
// often it refuses and however many work on it.
#include "suite.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct model {
	const char *url;
	struct meow_subscription *subscription;
	pthread_t thread;
	int refuse_every; // 0: never
	int calls;
	atomic_int *handled; // by whoever
	char failure[MEOW_ERROR_TEXT_SIZE];
};

static bool handle(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct model *model = arg;
	char sql[128];
	snprintf(sql, sizeof(sql), "INSERT INTO model VALUES (%" PRId64 ")", event->position);
	run_or_fail(kind.connection_of(transaction), sql);
	if (!append_one(transaction, "copy", "c", MEOW_EXPECT_ANY, NULL, err))
		return false;
	if (model->handled)
		atomic_fetch_add(model->handled, 1);
	return !model->refuse_every || ++model->calls % model->refuse_every != 0;
}

static void make(struct model *model, const char *url, bool until_caught_up)
{
	static const char *const categories[] = {"order"};
	struct meow_error err;
	const struct meow_subscription_settings settings = {.name = "model",
		.categories = categories,
		.category_count = 1,
		.batch_events = 20,
		.until_caught_up = until_caught_up,
		.backoff_least_ms = 1,
		.backoff_most_ms = 5,
		.handler = handle,
		.arg = model};
	model->url = url;
	model->subscription = meow_subscription_create(url, &settings, &err);
	if (!model->subscription)
		fail_msg("%s", err.text);
}

static const char *fresh_with_model(void)
{
	const char *url = kind.fresh();
	void *connection = kind.connect(url);
	run_or_fail(connection, "CREATE TABLE model (position bigint PRIMARY KEY)"); // twice would be refused
	kind.disconnect(connection);
	return url;
}

static int64_t count_model(const char *url)
{
	void *connection = kind.connect(url);
	int64_t count = kind.number(connection, "SELECT count(*) FROM model");
	kind.disconnect(connection);
	return count;
}

static void a_read_model_is_built_exactly_once(void **state)
{
	(void)state;
	const char *url = fresh_with_model();
	struct meow_store *store = open_or_fail(url);
	struct model model = {.refuse_every = 7};
	struct meow_error err;
	for (int i = 0; i < 10; i++) {
		append_many(store, "order", "o", 10);
		append_or_fail(store, "payment", "p", MEOW_EXPECT_ANY);
	}
	make(&model, url, true);
	assert_ok(meow_subscription_run(model.subscription, &err), err);
	assert_int_equal(count_model(url), 100);
	assert_true(model.calls > 100); // it was refused now and then
	assert_int_equal(version_of(store, "copy", "c"), 99);
	meow_subscription_destroy(model.subscription);
	meow_store_close(store);
}

static void *run_model(void *arg)
{
	struct model *model = arg;
	struct meow_error err;
	bool good = meow_subscription_run(model->subscription, &err);
	snprintf(model->failure, sizeof(model->failure), "%s", good ? "" : err.text);
	return NULL;
}

static void of_several_one_works_and_another_takes_over(void **state)
{
	(void)state;
	const char *url = fresh_with_model();
	struct meow_store *store = open_or_fail(url);
	struct model models[3] = {{.refuse_every = 0}};
	atomic_int handled = 0;
	for (int i = 0; i < 3; i++) {
		models[i].handled = &handled;
		make(&models[i], url, false);
		assert_int_equal(pthread_create(&models[i].thread, NULL, run_model, &models[i]), 0);
	}
	for (int i = 0; i < 3; i++) { // each time the others have to take over
		int before = atomic_load(&handled);
		append_many(store, "order", "o", 50);
		while (atomic_load(&handled) < before + 50)
			sched_yield();
		meow_subscription_stop(models[i].subscription);
		pthread_join(models[i].thread, NULL);
		assert_string_equal(models[i].failure, "");
		meow_subscription_destroy(models[i].subscription);
	}
	assert_int_equal(count_model(url), 150);
	meow_store_close(store);
}

static bool is_in_state(struct meow_store *store, const char *state)
{
	struct store_subscriptions list;
	struct meow_error err;
	assert_ok(store_subscriptions(store, "model", &list, &err), err);
	const char *found = list.count ? list.items[0].checkpoint.state : NULL;
	bool is = found && strcmp(found, state) == 0;
	store_subscriptions_free(&list);
	return is;
}

static void wait_for(const atomic_int *handled, int count)
{
	while (atomic_load(handled) < count)
		sched_yield();
}

static void an_idle_one_notices_a_pause_and_a_rewind(void **state)
{
	(void)state;
	const char *url = fresh_with_model();
	struct meow_store *store = open_or_fail(url);
	void *connection = kind.connect(url);
	atomic_int handled = 0;
	struct model model = {.handled = &handled};
	struct meow_error err;
	append_many(store, "order", "o", 3);
	make(&model, url, false);
	assert_int_equal(pthread_create(&model.thread, NULL, run_model, &model), 0);
	wait_for(&handled, 3);
	assert_ok(store_subscription_pause(store, "model", &err), err);
	while (!is_in_state(store, "PAUSED"))
		sched_yield();
	append_many(store, "order", "o", 2);
	assert_ok(store_subscription_resume(store, "model", &err), err);
	wait_for(&handled, 5);
	while (!is_in_state(store, "RUNNING"))
		sched_yield();
	run_or_fail(connection, "DELETE FROM model");
	assert_ok(store_subscription_rewind(store, "model", 1, &err), err);
	wait_for(&handled, 5 + 4);
	meow_subscription_stop(model.subscription);
	pthread_join(model.thread, NULL);
	assert_string_equal(model.failure, "");
	meow_subscription_destroy(model.subscription);
	assert_int_equal(kind.number(connection, "SELECT min(position) FROM model"), 2);
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM model"), 4);
	kind.disconnect(connection);
	meow_store_close(store);
}

// Their checkpoints mean different things: one of the two would begin where the other has come to.
static void a_name_is_a_routes_or_a_handlers(void **state)
{
	(void)state;
	struct meow_error err;
	const char *url = fresh_with_model();
	struct model model = {0};
	void *connection = kind.connect(url);
	run_or_fail(connection, "INSERT INTO meowmx_layouts (subscription, layout, partitions) VALUES ('model', 0, 1)");
	make(&model, url, true);
	assert_fails(meow_subscription_run(model.subscription, &err), err, MEOW_INVALID);
	assert_says(err, "a route of the relay");
	run_or_fail(connection, "DELETE FROM meowmx_layouts");
	for (int i = 0; i < 2; i++) // from now on it is the handler's
		assert_ok(meow_subscription_run(model.subscription, &err), err);
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM meowmx_layouts WHERE partitions < 0"), 1);
	meow_subscription_destroy(model.subscription);
	kind.disconnect(connection);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_name_is_a_routes_or_a_handlers),
	cmocka_unit_test(a_read_model_is_built_exactly_once),
	cmocka_unit_test(an_idle_one_notices_a_pause_and_a_rewind),
	cmocka_unit_test(of_several_one_works_and_another_takes_over),
};
SUITE(suite_subscription, tests);
