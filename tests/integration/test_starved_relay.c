// Every allocation of the relay's own objects fails once, from the start of an executor until everything is in the sink, and
// then each n-th one four times, so that recovery lacks memory, too. It may refuse to start, with an error that says so;
// once it runs it gets on by itself, and the sink has each event once, in order. The linker leads the calls of our own
// objects to refuse.h (--wrap); a sanitizer sees what leaks. With tests/support/starve.c loaded before the C library
// it is a client library's allocations that fail. Those of a relay that drains fail once each, too: it may end
// as if it were killed, and the next one finds everything in order.
#include "counter.h"
#include "database.h"
#include "refuse.h"

#include "base/log.h"
#include "connectors/file/file.h"
#include "relay/executor.h"
#ifdef HAVE_REDIS
#include "connectors/redis/redis.h"

#include <hiredis/hiredis.h>
#endif

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 12
#define LONGEST_MS 20000
#define LEAST_ALLOCATIONS 10
#define LEAST_OF_A_DRAIN 3
#define FIRED 3 // exit status

extern _Atomic long starve_countdown __attribute__((weak)), starve_period __attribute__((weak));
extern _Atomic int starve_left __attribute__((weak));
extern _Atomic bool starve_fired __attribute__((weak));

static void arm(long n, int times)
{
	bool library = &starve_countdown != NULL;
	*(library ? &starve_fired : &fired) = false;
	*(library ? &starve_left : &left) = times;
	*(library ? &starve_period : &period) = n;
	*(library ? &starve_countdown : &countdown) = n;
}

static bool disarm(void)
{
	bool library = &starve_countdown != NULL;
	*(library ? &starve_countdown : &countdown) = 0;
	return library ? starve_fired : fired;
}

static bool on_postgres, to_redis;
#ifdef HAVE_REDIS
static struct server *redis;
#endif

// One relay with one route that did not exist before.
struct world {
	const char *url;
	struct meow_store *store;
	struct session_source source;
	struct config *config;
	char name[32], path[512];
	int lease_ms;
	struct loop *loop;
	struct executor *executor;
};

static const struct connector_impl *connector(void)
{
#ifdef HAVE_REDIS
	if (to_redis)
		return &redis_connector;
#endif
	return &file_connector;
}

static void put_sink(FILE *out, const struct world *w)
{
#ifdef HAVE_REDIS
	if (to_redis) {
		fprintf(out, "{url: \"%s\", stream: %s}\n", server_url(redis), w->name);
		return;
	}
#endif
	fprintf(out, "{path: \"%s\"}\n", w->path);
}

static void load_config(struct world *w)
{
	struct meow_error err;
	char file[600];
	const struct connector_impl *impl = connector();
	const struct config_connector known = {
		impl->name, impl->settings, impl->check, impl->exclusive, impl->divisible, true};
	snprintf(w->path, sizeof(w->path), "%s/%s.jsonl", scratch_folder(), w->name);
	snprintf(file, sizeof(file), "%s/meowmx.yaml", scratch_folder());
	const struct config_request request = {.file = file, .connectors = &known, .connector_count = 1};
	FILE *out = fopen(file, "we");
	assert_non_null(out);
	fprintf(out, "store: {url: \"sqlite:none\"}\nroutes:\n  %s:\n    %s: ", w->name, impl->name);
	put_sink(out, w);
	fclose(out);
	w->config = config_load(&request, NULL, NULL, &err);
	if (w->config == NULL)
		fail_msg("%s", err.text);
}

static void on_ended(void *arg)
{
	loop_stop(((struct world *)arg)->loop);
}

static bool start(struct world *w, struct meow_error *err)
{
	const struct route_settings settings = {.name = w->name,
		.partitions = 1,
		.relay = "starved",
		.lease_ms = w->lease_ms,
		.window_bytes = (size_t)1 << 20,
		.batch_rows = 5,
		.backoff_least_ms = 1,
		.backoff_most_ms = 5,
		.drain_ms = 5000,
		.checkpoint_ms = 5};
	const struct route_environment environment = {.store = &w->source,
		.connector = connector(),
		.sink = config_route(w->config, 0)->sink,
		.encoder = encoder_find("envelope")};
	w->executor = executor_start(&settings, &environment, w->loop, on_ended, w, err);
	return w->executor != NULL;
}

static int64_t now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool is_delivered(const struct world *w)
{
	return executor_metrics(w->executor)->delivered >= EVENTS;
}

static bool is_running(const struct world *w)
{
	const struct route_metrics *metrics = executor_metrics(w->executor);
	return is_delivered(w) && metrics->state == ROUTE_RUNNING && metrics->caught_up;
}

// By itself, before it is told to stop: the save that lacked memory may just have cost it its connection, while it still
// shows RUNNING, and a relay that is stopped in that moment leaves without another try. The sink has the rest.
static bool is_saved(const struct world *w)
{
	struct store_subscriptions list;
	struct meow_error err;
	assert_ok(store_subscriptions(w->store, w->name, &list, &err), err);
	bool saved = list.count == 1 && list.items[0].checkpoint.delivered == EVENTS;
	store_subscriptions_free(&list);
	return saved;
}

static void wait_until(bool (*condition)(const struct world *w), const struct world *w, long n)
{
	int64_t end_ms = now_ms() + LONGEST_MS;
	while (!condition(w)) {
		struct executor_report report;
		executor_report(w->executor, &report);
		if (report.state == ROUTE_FAILED || report.state == ROUTE_STOPPED || now_ms() > end_ms) {
			disarm();
			fail_msg("allocation %ld: %s at %d: %s", n, route_state_name(report.state),
				(int)executor_metrics(w->executor)->delivered, report.reason);
		}
		usleep(500);
	}
}

static void check_file(const struct world *w, long n)
{
	char *line = NULL;
	size_t size = 0;
	int position, count = 0;
	FILE *file = fopen(w->path, "re");
	assert_non_null(file);
	while (getline(&line, &size, file) > 0)
		if (sscanf(line, "{\"position\":%d,", &position) != 1 || position != ++count)
			fail_msg("allocation %ld: line %d is %s", n, count, line);
	free(line);
	fclose(file);
	unlink(w->path);
	if (count != EVENTS)
		fail_msg("allocation %ld: %d lines", n, count);
}

#ifdef HAVE_REDIS
static void check_stream(const struct world *w, long n)
{
	redisContext *context = redisConnect("127.0.0.1", server_port(redis));
	assert_true(context != NULL && context->err == 0);
	redisReply *reply = redisCommand(context, "XRANGE %s - +", w->name);
	assert_true(reply != NULL && reply->type == REDIS_REPLY_ARRAY);
	for (size_t i = 0; i < reply->elements; i++)
		if (strtoul(reply->element[i]->element[0]->str, NULL, 10) != i + 1)
			fail_msg("allocation %ld: entry %zu is %s", n, i, reply->element[i]->element[0]->str);
	if (reply->elements != EVENTS)
		fail_msg("allocation %ld: %zu entries", n, reply->elements);
	freeReplyObject(reply);
	freeReplyObject(redisCommand(context, "DEL %s", w->name));
	redisFree(context);
}
#endif

static void check_sink(const struct world *w, long n)
{
#ifdef HAVE_REDIS
	if (to_redis) {
		check_stream(w, n);
		return;
	}
#endif
	check_file(w, n);
}

static void open_world(struct world *w, const char *url, int lease_ms)
{
	static unsigned count;
	struct meow_error err;
	*w = (struct world){.url = url, .lease_ms = lease_ms};
	snprintf(w->name, sizeof(w->name), "r%u", ++count);
	load_config(w);
	assert_ok(store_source_init(&w->source, url, &err), err);
	w->loop = loop_create(&err);
	assert_non_null(w->loop);
}

static void close_world(struct world *w)
{
	loop_destroy(w->loop);
	store_source_finish(&w->source);
	config_destroy(w->config);
}

static void finish_and_check(struct world *w, long n)
{
	wait_until(is_running, w, n);
	wait_until(is_saved, w, n);
	executor_stop(w->executor);
	loop_run(w->loop);
	executor_destroy(w->executor);
	check_sink(w, n);
	if (!is_saved(w))
		fail_msg("allocation %ld: the stop moved the checkpoint", n);
}

// False if there are fewer allocations.
static bool run_with_failure_at(const char *url, struct meow_store *store, long n, int times)
{
	struct world w;
	struct meow_error err = {0};
	open_world(&w, url, 10000);
	w.store = store;
	arm(n, times);
	while (!start(&w, &err))
		if (err.kind != MEOW_UNAVAILABLE || !(strstr(err.text, "out of memory") || &starve_countdown != NULL))
			fail_msg("allocation %ld: kind %d: %s", n, err.kind, err.text);
	wait_until(is_delivered, &w, n);
	bool any = disarm();
	finish_and_check(&w, n);
	close_world(&w);
	return any;
}

// --- while it drains

// In a process of its own, which may end for want of memory. It is stopped as soon as it runs, with all the way before it.
static void drain_with_failure_at(struct world *w, long n)
{
	struct meow_error err;
	alarm(LONGEST_MS / 1000);
	if (!start(w, &err))
		_exit(error_exit_status(MEOW_BUG));
	while (executor_metrics(w->executor)->state != ROUTE_RUNNING)
		usleep(100);
	arm(n, 1);
	executor_stop(w->executor);
	loop_run(w->loop);
	executor_destroy(w->executor);
	_exit(disarm() ? FIRED : 0);
}

// Whatever became of the one that drained, the next one finds everything in order. False if there are fewer allocations.
static bool drain_and_go_on(const char *url, long n)
{
	struct world w;
	struct meow_error err;
	int status;
	open_world(&w, url, 1000);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		drain_with_failure_at(&w, n);
	assert_int_equal(waitpid(child, &status, 0), child);
	int ended = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	if (ended != 0 && ended != FIRED && ended != error_exit_status(MEOW_UNAVAILABLE))
		fail_msg("allocation %ld: the relay that drained ended with status %#x", n, (unsigned)status);
	w.store = store_open_or_fail(url);
	assert_ok(start(&w, &err), err);
	finish_and_check(&w, n);
	meow_store_close(w.store);
	close_world(&w);
	return ended != 0;
}

static void append_events(struct meow_store *store)
{
	for (int i = 0; i < EVENTS; i++) {
		char id[16];
		snprintf(id, sizeof(id), "c%d", i % 3);
		append_or_fail(store, "counter", id, MEOW_EXPECT_ANY, "{\"a\":1}");
	}
}

static const char *create_filled_store(void)
{
	static char file[600];
	static int count;
	struct meow_error err;
	snprintf(file, sizeof(file), "sqlite:%s/store-%d.db", scratch_folder(), ++count);
	const char *url = on_postgres ? database_create_store("TEXT") : file;
	if (!on_postgres)
		assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
	struct meow_store *store = store_open_or_fail(url);
	append_events(store);
	meow_store_close(store);
	return url;
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	const char *url = create_filled_store();
	struct meow_store *store = store_open_or_fail(url);
	// Those of a client library are many, and once is enough for what it does without memory.
	for (int times = 1; times <= (&starve_countdown != NULL ? 1 : 4); times += 3) {
		long n = 1;
		while (run_with_failure_at(url, store, n, times))
			n++;
		print_message("%ld allocations, failing %d times\n", n - 1, times);
		assert_true(n > LEAST_ALLOCATIONS);
	}
	meow_store_close(store);
}

static void each_allocation_of_a_drain_may_fail(void **state)
{
	(void)state;
	const char *url = create_filled_store();
	long n = 1;
	if (&starve_countdown != NULL) // the library's, and the process has all of them
		return;
	while (drain_and_go_on(url, n))
		n++;
	print_message("%ld allocations of a drain\n", n - 1);
	assert_true(n > LEAST_OF_A_DRAIN);
}

static int start_servers(void **state)
{
#ifdef HAVE_REDIS
	if (to_redis)
		redis = server_start("redis", NULL);
#endif
	return on_postgres ? database_group_setup(state) : 0;
}

static int end_servers(void **state)
{
#ifdef HAVE_REDIS
	server_destroy(redis);
#endif
	return on_postgres ? database_group_teardown(state) : 0;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 64;
	on_postgres = strcmp(argv[1], "postgres") == 0;
	to_redis = strcmp(argv[2], "redis") == 0;
	unsetenv("LD_PRELOAD"); // the servers have memory
	log_setup(LOG_ERROR, LOG_LOGFMT);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_allocation_may_fail), cmocka_unit_test(each_allocation_of_a_drain_may_fail)};
	return cmocka_run_group_tests(tests, start_servers, end_servers);
}
