// fence.h: outlaws, at a route's sink, whoever published one partition under an older epoch, and learns how far he came.
// To open a connector is all that it takes; for sinks that guard nothing it does nothing.
#ifndef RELAY_FENCE_H
#define RELAY_FENCE_H

#include "relay/connector.h"

// Blocks, at most half a minute. `context` needs neither loop nor host; `delivered` is the store's checkpoint. Of what the
// sink remembers the fingerprint is left out.
MEOW_MUST_USE bool fence_partition(const struct connector_impl *impl, const struct connector_context *context,
	int64_t delivered, struct connector_memory *ret_memory, struct meow_error *err);

#endif
