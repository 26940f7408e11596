// Loading takes two reads, the snapshot and the events behind it, between which somebody may cut the history and write it
// anew. So the second read begins with the snapshot's own event: only if it still has the position that the snapshot was
// made at do they belong together; else the next older snapshot is tried, and in the end none. A save keeps its token, and
// the buffer stays closed, for as long as its outcome is unknown. Snapshots are a convenience: nothing fails because of
// them once the events are stored.
#include "app/aggregate.h"
#include "base/text.h"
#include "store/store_impl.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct meow_aggregate {
	struct meow_store *store;               // borrowed
	const struct meow_aggregate_type *type; // borrowed
	char *id;
	void *state;
	struct meow_buffer *buffer;
	int64_t position;            // of the last stored event, 0 if there is none
	bool past;                   // loaded at a version, to be looked at
	char token[STORE_UUID_SIZE]; // of the save whose outcome is unknown, else empty
};

// What came of a try to load from one snapshot, or from none.
enum loaded { LOADED, LOADED_FAILED, LOADED_NOT_FROM_THIS };

// --- load ---

static void forget_state(struct meow_aggregate *aggregate)
{
	meow_buffer_destroy(aggregate->buffer);
	if (aggregate->state)
		aggregate->type->destroy(aggregate->state);
	aggregate->buffer = NULL;
	aggregate->state = NULL;
	aggregate->position = 0;
}

static enum loaded make_state(
	struct meow_aggregate *aggregate, const struct meow_snapshot *snapshot, struct meow_error *err)
{
	const struct meow_aggregate_type *type = aggregate->type;
	struct meow_error reason = {.kind = MEOW_INVALID};
	aggregate->state = type->create(type->context, aggregate->id, snapshot ? &snapshot->data : NULL, &reason);
	if (!aggregate->state) {
		if (snapshot && reason.kind == MEOW_INVALID)
			return LOADED_NOT_FROM_THIS;
		error_set_code(err, reason.kind, reason.code, "%s %s: %s", type->name, aggregate->id,
			*reason.text ? reason.text : "no state could be made");
		return LOADED_FAILED;
	}
	// The snapshot's own event is loaded too, and not applied.
	aggregate->buffer = meow_buffer_create(
		type->name, aggregate->id, snapshot ? snapshot->version : -1, type->apply, aggregate->state, err);
	return aggregate->buffer ? LOADED : LOADED_FAILED;
}

// The buffer, which is empty, behind a version 0 that never had an event.
static bool begin_at_one(struct meow_aggregate *aggregate, struct meow_error *err)
{
	const struct meow_aggregate_type *type = aggregate->type;
	meow_buffer_destroy(aggregate->buffer);
	aggregate->buffer = meow_buffer_create(type->name, aggregate->id, 0, type->apply, aggregate->state, err);
	return aggregate->buffer != NULL;
}

static enum loaded replay(struct meow_aggregate *aggregate, struct meow_cursor *cursor,
	const struct meow_snapshot *snapshot, struct meow_error *err)
{
	struct meow_event event;
	bool found;
	if (snapshot) {
		if (!meow_cursor_next(cursor, &event, &found, err))
			return LOADED_FAILED;
		if (!found || event.version != snapshot->version || event.position != snapshot->position)
			return LOADED_NOT_FROM_THIS;
		aggregate->position = event.position;
	}
	for (;;) {
		if (!meow_cursor_next(cursor, &event, &found, err))
			return LOADED_FAILED;
		if (!found)
			return LOADED;
		if (aggregate->type->from_one && meow_aggregate_version(aggregate) < 0 && event.version == 1 &&
			!begin_at_one(aggregate, err))
			return LOADED_FAILED;
		if (!meow_buffer_load(aggregate->buffer, &event, err))
			return LOADED_FAILED;
		aggregate->position = event.position;
	}
}

static enum loaded load_from(
	struct meow_aggregate *aggregate, const struct meow_snapshot *snapshot, int64_t version, struct meow_error *err)
{
	forget_state(aggregate);
	enum loaded made = make_state(aggregate, snapshot, err);
	if (made != LOADED)
		return made;
	const struct meow_query query = {
		.aggregate_type = aggregate->type->name,
		.aggregate_id = aggregate->id,
		.from = snapshot ? snapshot->version : INT64_MIN,
		.to = version,
	};
	struct meow_cursor *cursor = meow_load(aggregate->store, &query, err);
	if (!cursor)
		return LOADED_FAILED;
	enum loaded loaded = replay(aggregate, cursor, snapshot, err);
	meow_cursor_close(cursor);
	return loaded;
}

// From the newest snapshot that serves, or from the beginning.
static bool load(struct meow_aggregate *aggregate, int64_t version, struct meow_error *err)
{
	int64_t most = version;
	while (aggregate->type->snapshot && most >= 0) {
		struct meow_snapshot *snapshot;
		if (!meow_snapshot_load(aggregate->store, aggregate->type->name, aggregate->id, most, &snapshot, err))
			return false;
		if (!snapshot)
			break;
		most = snapshot->version - 1;
		enum loaded loaded = load_from(aggregate, snapshot, version, err);
		meow_snapshot_free(snapshot);
		if (loaded != LOADED_NOT_FROM_THIS)
			return loaded == LOADED;
	}
	return load_from(aggregate, NULL, version, err) == LOADED;
}

static struct meow_aggregate *create(
	struct meow_store *store, const struct meow_aggregate_type *type, const char *id, struct meow_error *err)
{
	struct meow_aggregate *aggregate = calloc(1, sizeof(*aggregate));
	if (aggregate)
		aggregate->id = strdup(id);
	if (!aggregate || !aggregate->id) {
		free(aggregate);
		error_no_memory(err);
		return NULL;
	}
	aggregate->store = store;
	aggregate->type = type;
	return aggregate;
}

static bool reached(const struct meow_aggregate *aggregate, int64_t version, struct meow_error *err)
{
	int64_t last = meow_aggregate_version(aggregate);
	if (version == INT64_MAX || version == last)
		return true;
	if (last < 0)
		return error_set(err, MEOW_INVALID, "%s %s has no version %" PRId64 ": it has no event", aggregate->type->name,
			aggregate->id, version);
	return error_set(err, MEOW_INVALID, "%s %s has no version %" PRId64 ": its last is %" PRId64, aggregate->type->name,
		aggregate->id, version, last);
}

struct meow_aggregate *meow_aggregate_load(struct meow_store *store, const struct meow_aggregate_type *type,
	const char *id, int64_t version, struct meow_error *err)
{
	if (!type->name || !*type->name || !id || !*id) {
		error_set(err, MEOW_INVALID, "an aggregate is named by its type and its id");
		return NULL;
	}
	if (version < 0) {
		error_set(err, MEOW_INVALID, "%s %s has no version %" PRId64 ": the first is 0", type->name, id, version);
		return NULL;
	}
	struct meow_aggregate *aggregate = create(store, type, id, err);
	if (!aggregate)
		return NULL;
	aggregate->past = version != INT64_MAX;
	if (load(aggregate, version, err) && reached(aggregate, version, err))
		return aggregate;
	meow_aggregate_destroy(aggregate);
	return NULL;
}

void meow_aggregate_destroy(struct meow_aggregate *aggregate)
{
	if (!aggregate)
		return;
	forget_state(aggregate);
	free(aggregate->id);
	free(aggregate);
}

// --- look and emit ---

void *meow_aggregate_state(const struct meow_aggregate *aggregate)
{
	return aggregate->state;
}

const char *meow_aggregate_id(const struct meow_aggregate *aggregate)
{
	return aggregate->id;
}

int64_t meow_aggregate_version(const struct meow_aggregate *aggregate)
{
	return meow_buffer_version(aggregate->buffer);
}

int64_t meow_aggregate_stored_version(const struct meow_aggregate *aggregate)
{
	return meow_buffer_stored_version(aggregate->buffer);
}

int64_t aggregate_position(const struct meow_aggregate *aggregate)
{
	return aggregate->position;
}

bool meow_aggregate_emit(struct meow_aggregate *aggregate, const struct meow_new_event *event, struct meow_error *err)
{
	if (*aggregate->token)
		return error_set(err, MEOW_INVALID, "%s %s: the outcome of its save is unknown: save again first",
			aggregate->type->name, aggregate->id);
	return meow_buffer_emit(aggregate->buffer, event, err);
}

// --- save ---

// Appends what is pending. A token whose append may have been made is kept until it is known what became of it.
static bool append_pending(
	struct meow_aggregate *aggregate, struct meow_appended *ret, int64_t *ret_found, struct meow_error *err)
{
	bool was_unknown = *aggregate->token != '\0';
	if (!was_unknown &&
		(!store_random_uuid(aggregate->token, err) || !meow_buffer_begin_save(aggregate->buffer, err))) {
		aggregate->token[0] = '\0';
		return false;
	}
	struct meow_append append = {
		.aggregate_type = aggregate->type->name,
		.aggregate_id = aggregate->id,
		.expected = meow_buffer_stored_version(aggregate->buffer),
		.token = aggregate->token,
	};
	append.events = meow_buffer_pending(aggregate->buffer, &append.count);
	bool appended = meow_append(aggregate->store, &append, ret, ret_found, err);
	// A later try that did not get through says nothing about the first.
	if (!appended && was_unknown && err->kind != MEOW_CONFLICT && err->kind != MEOW_INVALID)
		err->kind = MEOW_UNKNOWN_OUTCOME;
	if (!appended && err->kind == MEOW_UNKNOWN_OUTCOME)
		return false;
	aggregate->token[0] = '\0';
	meow_buffer_end_save(aggregate->buffer, appended);
	return appended;
}

static bool store_snapshot(struct meow_aggregate *aggregate, struct meow_error *err)
{
	const struct meow_aggregate_type *type = aggregate->type;
	struct meow_snapshot snapshot = {
		.version = meow_aggregate_stored_version(aggregate),
		.position = aggregate->position,
	};
	struct meow_error reason = {.kind = MEOW_INVALID};
	if (!type->snapshot(aggregate->state, &snapshot.data, &reason))
		return error_set_code(err, reason.kind, reason.code, "%s %s: %s", type->name, aggregate->id,
			*reason.text ? reason.text : "no snapshot could be made");
	bool stored = meow_snapshot_save(aggregate->store, type->name, aggregate->id, &snapshot, err);
	free((void *)(uintptr_t)snapshot.data.data);
	return stored;
}

// A save that passes a multiple stores one snapshot, of the version it ends at.
static bool snapshot_is_due(const struct meow_aggregate *aggregate, size_t count)
{
	int64_t every = aggregate->type->snapshot_every, after = meow_aggregate_stored_version(aggregate) + 1;
	return aggregate->type->snapshot && every > 0 && (after - (int64_t)count) / every < after / every;
}

static void keep_snapshot(struct meow_aggregate *aggregate, struct meow_saved *saved)
{
	const struct meow_aggregate_type *type = aggregate->type;
	if (!snapshot_is_due(aggregate, saved->count))
		return;
	saved->snapshot = store_snapshot(aggregate, &saved->snapshot_error);
	if (saved->snapshot && type->keep_snapshots > 0 &&
		!meow_snapshot_prune(
			aggregate->store, type->name, aggregate->id, type->keep_snapshots, NULL, &saved->snapshot_error))
		return; // the reason is told, and the next snapshot prunes again
}

bool aggregate_save(struct meow_aggregate *aggregate, struct meow_saved *ret, bool *ret_refused, struct meow_error *err)
{
	int64_t before = meow_aggregate_stored_version(aggregate), found = 0;
	struct meow_appended appended = {.version = before, .position = aggregate->position};
	*ret_refused = false;
	if (meow_aggregate_version(aggregate) > before && aggregate->past)
		return error_set(err, MEOW_INVALID, "%s %s was loaded at version %" PRId64 ", to be looked at: load the newest",
			aggregate->type->name, aggregate->id, before);
	if (meow_aggregate_version(aggregate) > before && !append_pending(aggregate, &appended, &found, err)) {
		*ret_refused = found == MEOW_NO_VERSION;
		return false;
	}
	aggregate->position = appended.position;
	struct meow_saved saved = {
		.count = (size_t)(appended.version - before),
		.version = appended.version,
		.position = appended.position,
		.repeated = appended.repeated,
	};
	keep_snapshot(aggregate, &saved);
	if (ret)
		*ret = saved;
	return true;
}

bool meow_aggregate_save(struct meow_aggregate *aggregate, struct meow_saved *ret, struct meow_error *err)
{
	struct meow_error own;
	bool refused;
	return aggregate_save(aggregate, ret, &refused, err ? err : &own);
}
