// relay.h: a process that runs routes: one executor thread a route; the main thread has the signals, the configuration
// and the HTTP endpoint.
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include "config/config.h"
#include "relay/connector.h"

// Runs all routes of the configuration until TERM or INT, and returns the process's exit status. Blocks. connectors: those
// that the configuration's routes may name. Logs what happens.
int relay_run(
	const struct config *config, const struct connector_impl *const *connectors, size_t count, const char *store_url);

#endif
