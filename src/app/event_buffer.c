// An event counts only once everything that can fail has been done: a new one is copied first, then applied, and only
// then pending, so that a refusal or a lack of memory leaves state and buffer as they were. A copy is one block: type,
// data and metadata, each with a NUL behind it; the block begins with the type.
#include "base/text.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum activity { ACTIVITY_NONE, ACTIVITY_APPLY, ACTIVITY_SAVE };

struct meow_buffer {
	char *aggregate_type, *aggregate_id;
	meow_apply_fn *apply;
	void *state; // the application's
	int64_t stored_version;
	struct meow_new_event *pending;
	size_t count, capacity;
	size_t bytes; // of the copies
	enum activity activity;
};

struct meow_buffer *meow_buffer_create(const char *aggregate_type, const char *aggregate_id, int64_t version,
	meow_apply_fn *apply, void *state, struct meow_error *err)
{
	if (!aggregate_type || !*aggregate_type || !aggregate_id || !*aggregate_id) {
		error_set(err, MEOW_INVALID, "an aggregate is named by its type and its id");
		return NULL;
	}
	if (version < -1) {
		error_set(err, MEOW_INVALID, "%s %s cannot be at version %" PRId64, aggregate_type, aggregate_id, version);
		return NULL;
	}
	struct meow_buffer *buffer = calloc(1, sizeof(*buffer));
	if (buffer) {
		buffer->aggregate_type = strdup(aggregate_type);
		buffer->aggregate_id = strdup(aggregate_id);
	}
	if (!buffer || !buffer->aggregate_type || !buffer->aggregate_id) {
		meow_buffer_destroy(buffer);
		error_no_memory(err);
		return NULL;
	}
	buffer->apply = apply;
	buffer->state = state;
	buffer->stored_version = version;
	return buffer;
}

static void free_copy(const struct meow_new_event *event)
{
	free((void *)(uintptr_t)event->type.data);
}

static void forget_pending(struct meow_buffer *buffer)
{
	for (size_t i = 0; i < buffer->count; i++)
		free_copy(&buffer->pending[i]);
	buffer->count = buffer->bytes = 0;
}

void meow_buffer_destroy(struct meow_buffer *buffer)
{
	if (!buffer)
		return;
	forget_pending(buffer);
	free(buffer->pending);
	free(buffer->aggregate_type);
	free(buffer->aggregate_id);
	free(buffer);
}

static bool check_idle(const struct meow_buffer *buffer, struct meow_error *err)
{
	if (buffer->activity == ACTIVITY_NONE)
		return true;
	return error_set(err, MEOW_INVALID,
		buffer->activity == ACTIVITY_SAVE ? "%s %s is being saved: it can be changed once that has ended"
										  : "%s %s is applying an event: it can be changed once that has ended",
		buffer->aggregate_type, buffer->aggregate_id);
}

static bool apply_event(struct meow_buffer *buffer, const struct meow_event *event, struct meow_error *ret_reason)
{
	*ret_reason = (struct meow_error){.kind = MEOW_INVALID};
	buffer->activity = ACTIVITY_APPLY;
	bool applied = buffer->apply(buffer->state, event, ret_reason);
	buffer->activity = ACTIVITY_NONE;
	if (!applied && !*ret_reason->text)
		error_set(ret_reason, MEOW_INVALID, "%.*s was refused", (int)event->type.size, event->type.data);
	return applied;
}

bool meow_buffer_load(struct meow_buffer *buffer, const struct meow_event *event, struct meow_error *err)
{
	struct meow_error reason;
	if (!check_idle(buffer, err))
		return false;
	if (buffer->count)
		return error_set(err, MEOW_INVALID, "%s %s has %zu events that are not saved: none can be loaded behind them",
			buffer->aggregate_type, buffer->aggregate_id, buffer->count);
	if (event->version != buffer->stored_version + 1)
		return error_set(err, MEOW_INVALID,
			"%s %s is at version %" PRId64 " and was given the event of version %" PRId64, buffer->aggregate_type,
			buffer->aggregate_id, buffer->stored_version, event->version);
	if (!apply_event(buffer, event, &reason))
		return error_set_code(err, reason.kind, reason.code, "%s %s, version %" PRId64 ": %s", buffer->aggregate_type,
			buffer->aggregate_id, event->version, reason.text);
	buffer->stored_version++;
	return true;
}

// --- new events ---

static struct meow_bytes copy_bytes(char **place, struct meow_bytes bytes)
{
	if (!bytes.data)
		return bytes;
	struct meow_bytes copied = {*place, bytes.size};
	memcpy(*place, bytes.data, bytes.size);
	(*place)[bytes.size] = '\0';
	*place += bytes.size + 1;
	return copied;
}

static size_t copy_size(const struct meow_new_event *event)
{
	return event->type.size + event->data.size + event->metadata.size + 3;
}

// A copy of the event behind the pending ones, which does not count yet.
static struct meow_new_event *add_copy(struct meow_buffer *buffer, const struct meow_new_event *event)
{
	if (buffer->count == buffer->capacity) {
		size_t capacity = buffer->capacity ? buffer->capacity * 2 : 4;
		struct meow_new_event *pending = realloc(buffer->pending, capacity * sizeof(*pending));
		if (!pending)
			return NULL;
		buffer->pending = pending;
		buffer->capacity = capacity;
	}
	char *memory = malloc(copy_size(event)), *place = memory;
	if (!memory)
		return NULL;
	struct meow_new_event *copy = &buffer->pending[buffer->count];
	copy->type = copy_bytes(&place, event->type);
	copy->type.data = memory; // as it is already: there is a type, and free_copy relies on it
	copy->data = copy_bytes(&place, event->data);
	copy->metadata = copy_bytes(&place, event->metadata);
	copy->time_us = event->time_us;
	return copy;
}

static bool check_new(const struct meow_buffer *buffer, const struct meow_new_event *event, struct meow_error *err)
{
	struct meow_error reason;
	if (!store_check_event(event, &reason))
		return error_set(err, reason.kind, "the event %s", reason.text);
	if (buffer->count && buffer->bytes + copy_size(event) > MEOW_PENDING_BYTES_MOST)
		return error_set(err, MEOW_INVALID, "%s %s has %zu events of %zu bytes pending: save them first",
			buffer->aggregate_type, buffer->aggregate_id, buffer->count, buffer->bytes);
	return true;
}

bool meow_buffer_emit(struct meow_buffer *buffer, const struct meow_new_event *event, struct meow_error *err)
{
	if (!check_idle(buffer, err) || !check_new(buffer, event, err))
		return false;
	struct meow_new_event *copy = add_copy(buffer, event);
	if (!copy)
		return error_no_memory(err);
	const struct meow_event applied = {
		.version = meow_buffer_version(buffer) + 1,
		.time_us = copy->time_us,
		.aggregate_type = bytes_of(buffer->aggregate_type),
		.aggregate_id = bytes_of(buffer->aggregate_id),
		.type = copy->type,
		.data = copy->data,
		.metadata = copy->metadata,
	};
	struct meow_error reason;
	if (!apply_event(buffer, &applied, &reason)) {
		free_copy(copy);
		return error_set_code(err, reason.kind, reason.code, "%s", reason.text);
	}
	buffer->count++;
	buffer->bytes += copy_size(copy);
	return true;
}

// --- saving ---

int64_t meow_buffer_version(const struct meow_buffer *buffer)
{
	return buffer->stored_version + (int64_t)buffer->count;
}

int64_t meow_buffer_stored_version(const struct meow_buffer *buffer)
{
	return buffer->stored_version;
}

const struct meow_new_event *meow_buffer_pending(const struct meow_buffer *buffer, size_t *ret_count)
{
	*ret_count = buffer->count;
	return buffer->pending;
}

bool meow_buffer_begin_save(struct meow_buffer *buffer, struct meow_error *err)
{
	if (!check_idle(buffer, err))
		return false;
	buffer->activity = ACTIVITY_SAVE;
	return true;
}

void meow_buffer_end_save(struct meow_buffer *buffer, bool saved)
{
	if (buffer->activity != ACTIVITY_SAVE)
		return;
	buffer->activity = ACTIVITY_NONE;
	if (!saved)
		return;
	buffer->stored_version = meow_buffer_version(buffer);
	forget_pending(buffer);
}
