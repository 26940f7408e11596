// Snapshots of aggregates. Each is bound to the event that it was made of, by version and position.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <inttypes.h>
#include <string.h>

bool lite_snapshot_save(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	const struct meow_snapshot *snapshot, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_SNAPSHOT_SAVE);
	lite_put_text(&call, bytes_of(aggregate_type));
	lite_put_text(&call, bytes_of(aggregate_id));
	lite_put_int(&call, snapshot->version);
	lite_put_int(&call, snapshot->position);
	lite_put_text(&call, snapshot->data);
	enum lite_step step = lite_step(&call, err);
	bool saved = step == LITE_ROW;
	if (saved)
		saved = lite_step(&call, err) == LITE_DONE;
	else if (step == LITE_DONE)
		error_set(err, MEOW_INVALID,
			"a snapshot of %s %s at version %" PRId64 ": it has no event of that version at position %" PRId64,
			aggregate_type, aggregate_id, snapshot->version, snapshot->position);
	else if (err->kind == MEOW_INVALID && strstr(sqlite3_errmsg(lite->db), "data_is_json") &&
			 !lite_lacked_memory(lite, snapshot->data, err))
		error_set_code(err, MEOW_INVALID, err->code, "the snapshot of %s is not valid JSON", aggregate_id);
	lite_end(&call);
	return saved;
}

bool lite_snapshot_load(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t version,
	struct meow_snapshot **ret_snapshot, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_SNAPSHOT_LOAD);
	lite_put_text(&call, bytes_of(aggregate_type));
	lite_put_text(&call, bytes_of(aggregate_id));
	lite_put_int(&call, version);
	enum lite_step step = lite_step(&call, err);
	struct meow_snapshot *snapshot = NULL;
	if (step == LITE_ROW) {
		struct meow_bytes data = lite_text(&call, 2);
		if (lite_good(&call, err) && !(snapshot = store_snapshot_create(lite_int(&call, 0), lite_int(&call, 1), data)))
			error_no_memory(err);
	}
	lite_end(&call);
	if (step == LITE_FAILED || (step == LITE_ROW && !snapshot))
		return false;
	*ret_snapshot = snapshot;
	return true;
}

bool lite_snapshot_prune(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, size_t keep,
	uint64_t *ret_count, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_SNAPSHOT_PRUNE);
	lite_put_text(&call, bytes_of(aggregate_type));
	lite_put_text(&call, bytes_of(aggregate_id));
	lite_put_int(&call, keep < INT32_MAX ? (int64_t)keep : INT32_MAX);
	return lite_run(&call, ret_count, err);
}
