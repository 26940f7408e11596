// partition.h: which partition of a route an aggregate belongs to. The numbers are part of the interface, on every store
// and for good: an aggregate that moved would be published out of order. Pure.
#ifndef RELAY_PARTITION_H
#define RELAY_PARTITION_H

#include "store/batch.h"

// FNV-1a with 64 bits over the aggregate id as the store prints it, then the finalizer of MurmurHash3, modulo
// `partitions` (at least 1).
int partition_of(struct meow_bytes aggregate_id, int partitions);

// Leaves only the partition's own events in the batch; returns how many were dropped.
size_t partition_keep(struct batch *batch, int partition, int partitions);

#endif
