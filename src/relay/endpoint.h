// endpoint.h: what the relay answers over HTTP: /livez /readyz /healthz /metrics /status /version.
#ifndef RELAY_ENDPOINT_H
#define RELAY_ENDPOINT_H

#include "loop/http.h"
#include "relay/executor.h"

struct endpoint {
	struct executor **executors;
	size_t count;
};

// An http_fn; arg is a struct endpoint.
void endpoint_answer(void *arg, const char *path, const char *query, const char *accept, struct http_reply *reply);

#endif
