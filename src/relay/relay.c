// The main thread of a relay: signals, HTTP, and one executor for each partition of a route. It does no work of a route
// itself.
#include "relay/relay.h"

#include "base/log.h"
#include "base/text.h"
#include "loop/http.h"
#include "relay/endpoint.h"
#include "store/store.h"

#include <inttypes.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SIGNALS 6
#define MS INT64_C(1000)
#define PROGRESS_EVENTS 10000
#define PROGRESS_SECONDS 3

struct relay {
	const struct config *config;
	struct loop *loop;
	struct session_source source;
	struct endpoint endpoint;
	struct http_server *http;
	struct loop_signal *signals[SIGNALS];
	struct loop_timer *timer; // once a second: have all routes stopped? During a stop: its limit
	char name[112];           // in which it takes leases: machine, process, and a number that no other process draws
	size_t running;
	int64_t shutdown_ms;
	bool stopping;
	bool told_all_stopped;
	bool on_terminal;
	unsigned seconds;
	char **publishes; // of each route
};

// glibc raises its threshold for mmap with each large block that is freed, and then keeps such blocks: a fixed one
// gives a large event's memory back. Two arenas are enough for threads that mostly wait.
static void set_up_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
	mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
	mallopt(M_ARENA_MAX, 2);
}

static void stop_now(struct relay *relay, int number)
{
	(void)relay;
	LOG_LINE(LOG_WARN, "stopping now: what was in flight is sent again at the next start");
	_exit(128 + number);
}

static void begin_stop(struct relay *relay, int number)
{
	if (relay->stopping)
		stop_now(relay, number);
	relay->stopping = true;
	LOG_LINE(LOG_INFO, "stopping: finishing what is in flight");
	for (size_t i = 0; i < relay->endpoint.count; i++)
		executor_stop(relay->endpoint.executors[i]);
	loop_timer_start(relay->timer, (relay->shutdown_ms + 5000) * MS);
}

static void on_term(void *arg)
{
	begin_stop(arg, SIGTERM);
}

static void on_int(void *arg)
{
	begin_stop(arg, SIGINT);
}

static void on_quit(void *arg)
{
	stop_now(arg, SIGQUIT);
}

static void on_hup(void *arg)
{
	struct relay *relay = arg;
	LOG_LINE(LOG_INFO, "reopening files");
	for (size_t i = 0; i < relay->endpoint.count; i++)
		executor_reopen(relay->endpoint.executors[i]);
}

static void pause_all(struct relay *relay, bool pause)
{
	LOG_LINE(LOG_INFO, pause ? "pausing all routes until SIGUSR2" : "all routes go on");
	for (size_t i = 0; i < relay->endpoint.count; i++)
		executor_pause(relay->endpoint.executors[i], pause);
}

static void on_usr1(void *arg)
{
	pause_all(arg, true);
}

static void on_usr2(void *arg)
{
	pause_all(arg, false);
}

static void on_ended(void *arg)
{
	struct relay *relay = arg;
	if (--relay->running == 0)
		loop_stop(relay->loop);
}

// On a terminal: how a route that is far behind gets on.
static void show_progress(struct executor *executor)
{
	const struct route_metrics *values = executor_metrics(executor);
	int64_t left = atomic_load(&values->head) - atomic_load(&values->position), eta_us = atomic_load(&values->eta_us);
	if (left < PROGRESS_EVENTS || eta_us <= 0 || eta_us == METRICS_NEVER)
		return;
	LOG(LOG_INFO, "catching up", LOG_TEXT("route", executor_route(executor)),
		executor_partition(executor) > 0 ? LOG_NUMBER("partition", executor_partition(executor))
										 : (struct log_field){0},
		LOG_NUMBER("position", atomic_load(&values->position)), LOG_NUMBER("left", left),
		LOG_NUMBER("per_second", (int64_t)((double)left * 1e6 / (double)eta_us)),
		LOG_NUMBER("seconds_left", eta_us / 1000000));
}

static void on_timer(void *arg)
{
	struct relay *relay = arg;
	if (relay->stopping) {
		LOG_LINE(LOG_WARN, "a route did not stop in time: ending anyway, nothing is lost");
		_exit(128 + SIGTERM);
	}
	size_t stopped = 0;
	for (size_t i = 0; i < relay->endpoint.count; i++) {
		struct executor_report report;
		executor_report(relay->endpoint.executors[i], &report);
		stopped += report.state == ROUTE_FAILED;
	}
	bool all = stopped == relay->endpoint.count;
	if (all && !relay->told_all_stopped)
		LOG_LINE(LOG_ERROR,
			"all routes have stopped; the relay stays up and waits for `meowmx subscription resume` or `skip`");
	relay->told_all_stopped = all;
	if (relay->on_terminal && ++relay->seconds % PROGRESS_SECONDS == 0)
		for (size_t i = 0; i < relay->endpoint.count; i++)
			show_progress(relay->endpoint.executors[i]);
	loop_timer_start(relay->timer, 1000 * MS);
}

// --- start ---

static void make_name(struct relay *relay)
{
	char machine[65] = "";
	gethostname(machine, sizeof(machine) - 1);
	snprintf(relay->name, sizeof(relay->name), "%s:%ld:%08" PRIx32, *machine ? machine : "?", (long)getpid(),
		(uint32_t)loop_random(relay->loop));
}

// What a person must set right is said at once; a server that is away is waited for.
static bool check_store(const char *url, struct meow_error *err)
{
	struct meow_store *store = meow_store_open(url, err);
	if (store) {
		meow_store_close(store);
		return true;
	}
	if (!error_may_retry(err->kind))
		return false;
	LOG(LOG_WARN, "the store cannot be reached yet", LOG_TEXT("err", err->text));
	return true;
}

static const struct connector_impl *find_connector(
	const struct connector_impl *const *connectors, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (connectors[i] && strcmp(connectors[i]->name, name) == 0)
			return connectors[i];
	return NULL;
}

static const char **categories_of(const struct config_section *settings, size_t count)
{
	const char **categories = calloc(count + 1, sizeof(*categories));
	for (size_t i = 0; categories && i < count; i++)
		categories[i] = config_item(settings, "categories", i);
	return categories;
}

// Without the place of the server, which may be called otherwise on another machine, and what only concerns speed.
static char *publishes_of(const struct config_route *route)
{
	static const char *const names[] = {"path", "stream", "topic", "delivery"};
	struct buffer out;
	buffer_init(&out);
	buffer_put_text(&out, route->connector->name);
	for (const struct setting *setting = route->connector->settings; setting->name; setting++)
		for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
			if (strcmp(setting->name, names[i]) == 0 && config_text(route->sink, setting->name))
				buffer_printf(&out, " %s %s", setting->name, config_text(route->sink, setting->name));
	buffer_printf(&out, " as %s, of", config_text(route->settings, "format"));
	for (size_t i = 0; i < config_count(route->settings, "categories"); i++)
		buffer_printf(&out, "%s %s", i ? "," : "", config_item(route->settings, "categories", i));
	if (!config_count(route->settings, "categories"))
		buffer_put_text(&out, " all");
	buffer_put_char(&out, '\0');
	if (buffer_ok(&out, NULL))
		return out.data; // the caller's now
	buffer_finish(&out);
	return NULL;
}

static bool start_executor(struct relay *relay, const struct route_settings *settings,
	const struct route_environment *env, struct meow_error *err)
{
	struct executor *executor = executor_start(settings, env, relay->loop, on_ended, relay, err);
	if (!executor)
		return false;
	relay->endpoint.executors[relay->endpoint.count++] = executor;
	relay->running++;
	return true;
}

static bool start_route(struct relay *relay, size_t index, const struct connector_impl *const *connectors, size_t count,
	const char ***ret_categories, struct meow_error *err)
{
	const struct config_route *route = config_route(relay->config, index);
	const struct config_section *common = config_relay(relay->config);
	size_t category_count = config_count(route->settings, "categories");
	if (category_count && !(*ret_categories = categories_of(route->settings, category_count)))
		return error_no_memory(err);
	relay->publishes[index] = publishes_of(route);
	if (!relay->publishes[index])
		return error_no_memory(err);
	struct route_settings settings = {
		.name = route->name,
		.partitions = (int)config_number(route->settings, "partitions"),
		.relay = relay->name,
		.lease_ms = config_number(common, "lease"),
		.publishes = relay->publishes[index],
		.categories = *ret_categories,
		.category_count = category_count,
		.set_aside = strcmp(config_text(route->settings, "on_poison"), "set-aside") == 0,
		.start_now = strcmp(config_text(route->settings, "start"), "now") == 0,
		.window_bytes = (size_t)config_number(route->settings, "window"),
		.batch_rows = (size_t)config_number(route->settings, "batch_rows"),
		.backoff_least_ms = config_number(common, "backoff_initial"),
		.backoff_most_ms = config_number(common, "backoff_max"),
		.drain_ms = config_number(common, "shutdown_timeout"),
		.checkpoint_ms = config_number(route->settings, "checkpoint_interval"),
	};
	struct route_environment env = {
		.store = &relay->source,
		.connector = find_connector(connectors, count, route->connector->name),
		.sink = route->sink,
		.encoder = encoder_find(config_text(route->settings, "format")),
	};
	if (!env.connector || !env.encoder)
		return error_set(err, MEOW_BUG, "route %s: no connector %s", route->name, route->connector->name);
	for (settings.partition = 0; settings.partition < settings.partitions; settings.partition++)
		if (!start_executor(relay, &settings, &env, err))
			return false;
	return true;
}

static bool start_http(struct relay *relay, struct meow_error *err)
{
	const char *listen = config_text(config_http(relay->config), "listen");
	if (!listen || !*listen)
		return true;
	relay->http = http_server_create(relay->loop, listen, endpoint_answer, &relay->endpoint, err);
	if (!relay->http)
		return false;
	LOG(LOG_INFO, "listening", LOG_NUMBER("port", http_server_port(relay->http)));
	return true;
}

// Signals reach the main thread alone: executors inherit a mask that blocks them.
static bool start_signals(struct relay *relay, struct meow_error *err)
{
	static const struct {
		int number;
		loop_fn *fn;
	} watched[] = {{SIGTERM, on_term}, {SIGINT, on_int}, {SIGQUIT, on_quit}, {SIGHUP, on_hup}, {SIGUSR1, on_usr1},
		{SIGUSR2, on_usr2}};
	for (size_t i = 0; i < SIGNALS; i++) {
		relay->signals[i] = loop_signal_create(relay->loop, watched[i].number, watched[i].fn, relay);
		if (!relay->signals[i])
			return error_no_memory(err);
	}
	return true;
}

static void mask_signals(int how)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGQUIT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(how, &set, NULL);
}

static size_t count_partitions(const struct config *config)
{
	size_t count = 0;
	for (size_t i = 0; i < config_route_count(config); i++)
		count += (size_t)config_number(config_route(config, i)->settings, "partitions");
	return count;
}

static bool start_all(struct relay *relay, const struct connector_impl *const *connectors, size_t count,
	const char *store_url, const char ***categories, struct meow_error *err)
{
	size_t routes = config_route_count(relay->config);
	relay->loop = loop_create(err);
	if (relay->loop)
		make_name(relay);
	if (!relay->loop || !check_store(store_url, err) || !store_source_init(&relay->source, store_url, err))
		return false;
	relay->timer = loop_timer_create(relay->loop, on_timer, relay);
	relay->publishes = calloc(routes, sizeof(*relay->publishes));
	relay->endpoint.executors = calloc(count_partitions(relay->config), sizeof(*relay->endpoint.executors));
	if (!relay->timer || !relay->publishes || !relay->endpoint.executors)
		return error_no_memory(err);
	if (!start_http(relay, err) || !start_signals(relay, err))
		return false;
	mask_signals(SIG_BLOCK);
	bool ok = true;
	for (size_t i = 0; ok && i < routes; i++)
		ok = start_route(relay, i, connectors, count, &categories[i], err);
	mask_signals(SIG_UNBLOCK);
	if (!ok && relay->running) { // what has started must end first
		begin_stop(relay, SIGTERM);
		loop_run(relay->loop);
	}
	return ok;
}

static void finish(struct relay *relay, const char ***categories)
{
	for (size_t i = 0; i < relay->endpoint.count; i++)
		executor_destroy(relay->endpoint.executors[i]);
	free(relay->endpoint.executors);
	for (size_t i = 0; i < config_route_count(relay->config); i++)
		free(categories[i]);
	for (size_t i = 0; relay->publishes && i < config_route_count(relay->config); i++)
		free(relay->publishes[i]);
	free(relay->publishes);
	for (size_t i = 0; i < SIGNALS; i++)
		loop_signal_destroy(relay->signals[i]);
	http_server_destroy(relay->http);
	loop_timer_destroy(relay->timer);
	if (relay->source.create)
		store_source_finish(&relay->source);
	loop_destroy(relay->loop);
}

int relay_run(
	const struct config *config, const struct connector_impl *const *connectors, size_t count, const char *store_url)
{
	struct meow_error err;
	struct relay relay = {.config = config, .shutdown_ms = config_number(config_relay(config), "shutdown_timeout")};
	size_t routes = config_route_count(config);
	if (routes == 0) {
		LOG_LINE(LOG_ERROR, "the configuration has no routes: there is nothing to do");
		return error_exit_status(MEOW_CONFIG);
	}
	const char ***categories = calloc(routes, sizeof(*categories));
	if (!categories)
		return error_exit_status(MEOW_UNAVAILABLE);
	relay.on_terminal = isatty(STDERR_FILENO);
	set_up_memory();
	signal(SIGPIPE, SIG_IGN);
	int status = 0;
	if (start_all(&relay, connectors, count, store_url, categories, &err)) {
		loop_timer_start(relay.timer, 1000 * MS);
		loop_run(relay.loop);
		LOG_LINE(LOG_INFO, "stopped");
	} else {
		LOG(LOG_ERROR, "the relay cannot start", LOG_TEXT("err", err.text));
		status = error_exit_status(err.kind);
	}
	finish(&relay, categories);
	free(categories);
	return status;
}
