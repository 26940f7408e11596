#include "relay/endpoint.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// The executors of one route stand next to each other: how many, from this one on.
static size_t partitions_from(const struct endpoint *endpoint, size_t first)
{
	size_t count = 1;
	const char *route = executor_route(endpoint->executors[first]);
	while (first + count < endpoint->count && strcmp(executor_route(endpoint->executors[first + count]), route) == 0)
		count++;
	return count;
}

// Ready: the route progresses, is caught up, or is another relay's. A pause is an operator's will.
static bool is_ready(const struct executor_report *report)
{
	return (report->state == ROUTE_RUNNING && !report->stands_still) || report->state == ROUTE_PAUSED ||
		   (report->state == ROUTE_UNASSIGNED && *report->waits_for);
}

static void put_ready(
	struct executor *executor, size_t partitions, const struct executor_report *report, struct buffer *out)
{
	buffer_printf(out, "[%c] route %s", is_ready(report) ? '+' : '-', executor_route(executor));
	if (partitions > 1)
		buffer_printf(out, " partition %d", executor_partition(executor));
	buffer_printf(out, ": %s", route_state_name(report->state));
	if (*report->reason)
		buffer_printf(out, ": %s", report->reason);
	else if (*report->waits_for)
		buffer_printf(out, ": %s has the lease", report->waits_for);
	buffer_put_char(out, '\n');
}

static void answer_ready(struct endpoint *endpoint, bool verbose, struct http_reply *reply)
{
	bool ready = true;
	for (size_t i = 0, count; i < endpoint->count; i += count) {
		count = partitions_from(endpoint, i);
		for (size_t j = i; j < i + count; j++) {
			struct executor_report report;
			executor_report(endpoint->executors[j], &report);
			ready &= is_ready(&report);
			if (!is_ready(&report) || verbose)
				put_ready(endpoint->executors[j], count, &report, &reply->body);
		}
	}
	if (!ready)
		reply->status = 503;
	buffer_put_text(&reply->body, ready ? "ok\n" : "not ready\n");
}

static void sum_up(const struct endpoint *endpoint, size_t first, size_t count, struct route_metrics *sum)
{
	for (size_t i = first; i < first + count; i++)
		metrics_add(sum, executor_metrics(endpoint->executors[i]));
}

static void answer_metrics(struct endpoint *endpoint, const char *accept, struct http_reply *reply)
{
	bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
	struct metrics_route *routes = calloc(endpoint->count + 1, sizeof(*routes));
	struct route_metrics *sums = calloc(endpoint->count + 1, sizeof(*sums));
	size_t route_count = 0;
	if (routes && sums) {
		for (size_t i = 0, count; i < endpoint->count; i += count) {
			count = partitions_from(endpoint, i);
			sum_up(endpoint, i, count, &sums[route_count]);
			routes[route_count] = (struct metrics_route){executor_route(endpoint->executors[i]), &sums[route_count]};
			route_count++;
		}
		reply->content_type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
										  : "text/plain; version=0.0.4; charset=utf-8";
		metrics_write(routes, route_count, openmetrics, &reply->body);
	} else {
		reply->status = 503;
	}
	free(routes);
	free(sums);
}

static void put_text(struct buffer *out, const char *key, const char *text)
{
	if (!*text)
		return;
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, bytes_of(text));
}

static int64_t lag_events(const struct route_metrics *values)
{
	int64_t position = atomic_load(&values->position), head = atomic_load(&values->head);
	return head > position ? head - position : 0;
}

static void put_trouble(const struct executor_report *report, struct buffer *out)
{
	put_text(out, "reason", report->reason);
	put_text(out, "error_class", report->error_class);
	if (report->error_position)
		buffer_printf(out, ",\"error_position\":%" PRId64, report->error_position);
	if (report->retry_in_ms >= 0)
		buffer_printf(out, ",\"retry_in_ms\":%" PRId64, report->retry_in_ms);
	put_text(out, "held_back_by", report->held_back_by);
}

static void put_partition(struct executor *executor, const struct executor_report *report, struct buffer *out)
{
	const struct route_metrics *values = executor_metrics(executor);
	buffer_printf(
		out, "{\"partition\":%d,\"state\":\"%s\"", executor_partition(executor), route_state_name(report->state));
	if (report->epoch)
		buffer_printf(out,
			",\"epoch\":%" PRId64 ",\"position\":%" PRId64 ",\"delivered\":%" PRId64 ",\"lag_events\":%" PRId64,
			report->epoch, atomic_load(&values->position), atomic_load(&values->delivered), lag_events(values));
	put_text(out, "waits_for", report->waits_for);
	put_trouble(report, out);
	buffer_put_char(out, '}');
}

static void put_partitions(const struct endpoint *endpoint, size_t first, size_t count, struct buffer *out)
{
	buffer_put_text(out, ",\"partitions\":[");
	for (size_t i = first; i < first + count; i++) {
		struct executor_report report;
		executor_report(endpoint->executors[i], &report);
		if (i > first)
			buffer_put_char(out, ',');
		put_partition(endpoint->executors[i], &report, out);
	}
	buffer_put_char(out, ']');
}

// Of a route's partitions the one whose trouble is the route's: the first in the route's state that gives a reason.
static void find_trouble(const struct endpoint *endpoint, size_t first, size_t count, enum route_state state,
	struct executor_report *ret_report)
{
	executor_report(endpoint->executors[first], ret_report);
	for (size_t i = first; i < first + count; i++) {
		struct executor_report report;
		executor_report(endpoint->executors[i], &report);
		bool better = report.state == state && (ret_report->state != state || !*ret_report->reason);
		if (better)
			*ret_report = report;
	}
}

static void put_route(const struct endpoint *endpoint, size_t first, size_t count, struct buffer *out)
{
	struct route_metrics *sum = calloc(1, sizeof(*sum));
	struct executor_report report;
	if (!sum) {
		out->failed = true;
		return;
	}
	sum_up(endpoint, first, count, sum);
	enum route_state state = (enum route_state)atomic_load(&sum->state);
	find_trouble(endpoint, first, count, state, &report);
	buffer_put_text(out, "{\"name\":");
	buffer_put_json(out, bytes_of(executor_route(endpoint->executors[first])));
	buffer_printf(out,
		",\"state\":\"%s\",\"position\":%" PRId64 ",\"delivered\":%" PRId64 ",\"head\":%" PRId64 ",\"settled\":%" PRId64
		",\"lag_events\":%" PRId64 ",\"lag_seconds\":%.3f,\"caught_up\":%s,\"events\":%" PRIu64
		",\"inflight_events\":%" PRIu64 ",\"restarts\":%" PRIu64,
		route_state_name(state), atomic_load(&sum->position), atomic_load(&sum->delivered), atomic_load(&sum->head),
		atomic_load(&sum->settled), lag_events(sum), (double)atomic_load(&sum->lag_seconds_us) / 1e6,
		atomic_load(&sum->caught_up) ? "true" : "false", atomic_load(&sum->events), atomic_load(&sum->inflight_events),
		atomic_load(&sum->restarts));
	free(sum);
	put_trouble(&report, out);
	put_partitions(endpoint, first, count, out);
	buffer_put_char(out, '}');
}

static void answer_status(struct endpoint *endpoint, struct http_reply *reply)
{
	reply->content_type = "application/json";
	buffer_put_text(&reply->body, "{\"version\":\"" MEOWMX_VERSION "\",\"routes\":[");
	for (size_t i = 0, count; i < endpoint->count; i += count) {
		count = partitions_from(endpoint, i);
		if (i)
			buffer_put_char(&reply->body, ',');
		put_route(endpoint, i, count, &reply->body);
	}
	buffer_put_text(&reply->body, "]}\n");
}

void endpoint_answer(void *arg, const char *path, const char *query, const char *accept, struct http_reply *reply)
{
	struct endpoint *endpoint = arg;
	if (strcmp(path, "/livez") == 0) {
		buffer_put_text(&reply->body, "ok\n");
	} else if (strcmp(path, "/readyz") == 0 || strcmp(path, "/healthz") == 0) {
		answer_ready(endpoint, query && strstr(query, "verbose"), reply);
	} else if (strcmp(path, "/metrics") == 0) {
		answer_metrics(endpoint, accept, reply);
	} else if (strcmp(path, "/status") == 0) {
		answer_status(endpoint, reply);
	} else if (strcmp(path, "/version") == 0) {
		reply->content_type = "application/json";
		buffer_put_text(&reply->body, "{\"version\":\"" MEOWMX_VERSION "\"}\n");
	} else {
		reply->status = 404;
		buffer_put_text(&reply->body, "there are /livez /readyz /healthz /metrics /status /version\n");
	}
}
