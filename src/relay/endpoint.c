#include "relay/endpoint.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// Ready: the route progresses or is caught up. A pause is an operator's will.
static bool is_ready(const struct executor_report *report)
{
	return (report->state == ROUTE_RUNNING && !report->stands_still) || report->state == ROUTE_PAUSED;
}

static void answer_ready(struct endpoint *endpoint, bool verbose, struct http_reply *reply)
{
	bool ready = true;
	for (size_t i = 0; i < endpoint->count; i++) {
		struct executor_report report;
		executor_report(endpoint->executors[i], &report);
		bool ok = is_ready(&report);
		ready &= ok;
		if (!ok || verbose)
			buffer_printf(&reply->body, "[%c] route %s: %s%s%s\n", ok ? '+' : '-',
				executor_route(endpoint->executors[i]), route_state_name(report.state), *report.reason ? ": " : "",
				report.reason);
	}
	if (!ready)
		reply->status = 503;
	buffer_put_text(&reply->body, ready ? "ok\n" : "not ready\n");
}

static void answer_metrics(struct endpoint *endpoint, const char *accept, struct http_reply *reply)
{
	bool openmetrics = accept && strstr(accept, "application/openmetrics-text");
	struct metrics_route *routes = calloc(endpoint->count + 1, sizeof(*routes));
	if (!routes) {
		reply->status = 503;
		return;
	}
	for (size_t i = 0; i < endpoint->count; i++)
		routes[i] =
			(struct metrics_route){executor_route(endpoint->executors[i]), executor_metrics(endpoint->executors[i])};
	reply->content_type = openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
									  : "text/plain; version=0.0.4; charset=utf-8";
	metrics_write(routes, endpoint->count, openmetrics, &reply->body);
	free(routes);
}

static void put_text(struct buffer *out, const char *key, const char *text)
{
	if (!*text)
		return;
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, bytes_of(text));
}

static void put_route(struct executor *executor, struct buffer *out)
{
	const struct route_metrics *values = executor_metrics(executor);
	struct executor_report report;
	executor_report(executor, &report);
	int64_t position = atomic_load(&values->position), head = atomic_load(&values->head);
	buffer_put_text(out, "{\"name\":");
	buffer_put_json(out, bytes_of(executor_route(executor)));
	buffer_printf(out,
		",\"state\":\"%s\",\"position\":%" PRId64 ",\"delivered\":%" PRId64 ",\"head\":%" PRId64 ",\"settled\":%" PRId64
		",\"lag_events\":%" PRId64 ",\"lag_seconds\":%.3f,\"caught_up\":%s,\"events\":%" PRIu64
		",\"inflight_events\":%" PRIu64 ",\"restarts\":%" PRIu64,
		route_state_name(report.state), position, atomic_load(&values->delivered), head, atomic_load(&values->settled),
		head > position ? head - position : 0, (double)atomic_load(&values->lag_seconds_us) / 1e6,
		atomic_load(&values->caught_up) ? "true" : "false", atomic_load(&values->events),
		atomic_load(&values->inflight_events), atomic_load(&values->restarts));
	put_text(out, "reason", report.reason);
	put_text(out, "error_class", report.error_class);
	if (report.error_position)
		buffer_printf(out, ",\"error_position\":%" PRId64, report.error_position);
	if (report.retry_in_ms >= 0)
		buffer_printf(out, ",\"retry_in_ms\":%" PRId64, report.retry_in_ms);
	put_text(out, "held_back_by", report.held_back_by);
	buffer_put_char(out, '}');
}

static void answer_status(struct endpoint *endpoint, struct http_reply *reply)
{
	reply->content_type = "application/json";
	buffer_put_text(&reply->body, "{\"version\":\"" MEOWMX_VERSION "\",\"routes\":[");
	for (size_t i = 0; i < endpoint->count; i++) {
		if (i)
			buffer_put_char(&reply->body, ',');
		put_route(endpoint->executors[i], &reply->body);
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
