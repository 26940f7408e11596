// Prints the names that this build exposes, one a line, as docs/names.txt has them: out of the code that uses them.
#include "base/error.h"
#include "metrics/metrics.h"
#include "relay/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_metrics(void)
{
	struct route_metrics *values = calloc(1, sizeof(*values));
	struct metrics_route route = {"r", values};
	struct buffer text;
	char name[128], type[32];
	buffer_init(&text);
	if (!values)
		exit(1);
	metrics_write(&route, 1, false, &text);
	for (const char *at = text.data; (at = strstr(at, "# TYPE ")) != NULL; at++)
		if (sscanf(at, "# TYPE %127s %31s", name, type) == 2)
			printf("metric %s %s\n", name, type);
	buffer_finish(&text);
	free(values);
}

static void print_paths(void)
{
	static const char *const tried[] = {
		"/livez", "/readyz", "/healthz", "/metrics", "/status", "/version", "/routes", "/"};
	struct endpoint endpoint = {0};
	for (size_t i = 0; i < sizeof(tried) / sizeof(*tried); i++) {
		struct http_reply reply = {.status = 200};
		buffer_init(&reply.body);
		endpoint_answer(&endpoint, tried[i], NULL, NULL, &reply);
		if (reply.status != 404)
			printf("path %s\n", tried[i]);
		buffer_finish(&reply.body);
	}
}

int main(void)
{
	print_metrics();
	print_paths();
	for (int state = 0; state < ROUTE_STATES; state++)
		printf("state %s\n", route_state_name((enum route_state)state));
	for (int kind = MEOW_ERROR_NONE + 1; kind < METRICS_ERROR_KINDS; kind++)
		printf("class %s %d\n", error_kind_name((enum meow_error_kind)kind),
			error_exit_status((enum meow_error_kind)kind));
	return 0;
}
