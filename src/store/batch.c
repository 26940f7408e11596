// A batch keeps its events in an array and their bytes in chunks that double in size up to CHUNK_MOST, so that a batch
// of one event stays small and one of thousands takes few allocations. What is too large to copy is left in its owner.
#include "store/batch.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_LEAST 1024
#define CHUNK_MOST ((size_t)64 * 1024)

struct chunk {
	struct chunk *next;
	size_t size;
	size_t used;
	char data[];
};

struct owned {
	struct owned *next;
	void *owner;
	void (*free_owner)(void *);
};

struct batch_memory {
	struct batch batch; // first: what the others see
	size_t capacity;    // of batch.events
	struct chunk *chunks;
	struct owned *owned;
};

static struct batch_memory *memory_of(struct batch *batch)
{
	return (struct batch_memory *)batch;
}

struct batch *batch_create(void)
{
	struct batch_memory *memory = calloc(1, sizeof(*memory));
	if (!memory)
		return NULL;
	memory->batch.bytes = sizeof(*memory);
	return &memory->batch;
}

// `size` bytes that live as long as the batch, aligned for any struct.
static char *take(struct batch_memory *memory, size_t size)
{
	size = (size + 15) & ~(size_t)15;
	struct chunk *chunk = memory->chunks;
	if (!chunk || chunk->size - chunk->used < size) {
		size_t room = chunk ? chunk->size * 2 : CHUNK_LEAST;
		if (room > CHUNK_MOST)
			room = CHUNK_MOST;
		if (room < size)
			room = size;
		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		*chunk = (struct chunk){.next = memory->chunks, .size = room};
		memory->chunks = chunk;
		memory->batch.bytes += sizeof(*chunk) + room;
	}
	char *place = chunk->data + chunk->used;
	chunk->used += size;
	return place;
}

static bool make_place(struct batch_memory *memory)
{
	if (memory->batch.count < memory->capacity)
		return true;
	size_t capacity = memory->capacity ? memory->capacity * 2 : 8;
	struct meow_event *events = realloc(memory->batch.events, capacity * sizeof(*events));
	if (!events)
		return false;
	memory->batch.bytes += (capacity - memory->capacity) * sizeof(*events);
	memory->batch.events = events;
	memory->capacity = capacity;
	return true;
}

static size_t copy_size(struct meow_bytes bytes)
{
	return bytes.data ? bytes.size + 1 : 0;
}

static struct meow_bytes copy(char **place, struct meow_bytes bytes)
{
	if (!bytes.data)
		return bytes;
	struct meow_bytes copied = {*place, bytes.size};
	memcpy(*place, bytes.data, bytes.size);
	(*place)[bytes.size] = '\0';
	*place += bytes.size + 1;
	return copied;
}

bool batch_add(struct batch *batch, const struct meow_event *event)
{
	struct batch_memory *memory = memory_of(batch);
	size_t size = copy_size(event->aggregate_type) + copy_size(event->aggregate_id) + copy_size(event->type) +
				  copy_size(event->data) + copy_size(event->metadata);
	char *place;
	if (!make_place(memory) || !(place = take(memory, size)))
		return false;
	struct meow_event *added = &batch->events[batch->count++];
	*added = *event;
	added->aggregate_type = copy(&place, event->aggregate_type);
	added->aggregate_id = copy(&place, event->aggregate_id);
	added->type = copy(&place, event->type);
	added->data = copy(&place, event->data);
	added->metadata = copy(&place, event->metadata);
	return true;
}

bool batch_add_owned(
	struct batch *batch, const struct meow_event *event, void *owner, size_t owner_bytes, void (*free_owner)(void *))
{
	struct batch_memory *memory = memory_of(batch);
	struct owned *owned = (struct owned *)(void *)take(memory, sizeof(*owned));
	struct meow_event small = *event;
	small.data = small.metadata = (struct meow_bytes){NULL, 0};
	if (!owned || !batch_add(batch, &small))
		return false;
	batch->events[batch->count - 1].data = event->data;
	batch->events[batch->count - 1].metadata = event->metadata;
	*owned = (struct owned){.next = memory->owned, .owner = owner, .free_owner = free_owner};
	memory->owned = owned;
	batch->bytes += owner_bytes;
	return true;
}

void batch_cut(struct batch *batch, size_t count)
{
	if (count < batch->count)
		batch->count = count;
}

void batch_destroy(struct batch *batch)
{
	if (!batch)
		return;
	struct batch_memory *memory = memory_of(batch);
	for (struct owned *owned = memory->owned; owned; owned = owned->next)
		owned->free_owner(owned->owner);
	while (memory->chunks) {
		struct chunk *next = memory->chunks->next;
		free(memory->chunks);
		memory->chunks = next;
	}
	free(batch->events);
	free(batch->fingerprint);
	free(memory);
}
