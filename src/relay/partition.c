// The lowest bit of FNV-1a is the parity of the lowest bits of what was hashed, and ids often agree there: so its bits are
// mixed once more before the remainder is taken (Appleby's 64-bit finalizer).
#include "relay/partition.h"

#include "base/text.h"

int partition_of(struct meow_bytes aggregate_id, int partitions)
{
	uint64_t hash = text_hash(TEXT_HASH_START, aggregate_id);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xff51afd7ed558ccd);
	hash ^= hash >> 33;
	hash *= UINT64_C(0xc4ceb9fe1a85ec53);
	hash ^= hash >> 33;
	return (int)(hash % (uint64_t)partitions);
}

size_t partition_keep(struct batch *batch, int partition, int partitions)
{
	size_t kept = 0, count = batch->count;
	if (partitions <= 1)
		return 0;
	for (size_t i = 0; i < count; i++)
		if (partition_of(batch->events[i].aggregate_id, partitions) == partition)
			batch->events[kept++] = batch->events[i];
	batch_cut(batch, kept);
	return count - kept;
}
