// A bulk load: one transaction, line by line. Each line is checked against the version that its aggregate has reached by
// then; a line whose version is there already must be equal to what is stored.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

struct bulk {
	struct lite *lite;
	int64_t transaction_id, now_us;
	struct store_bulk_result result;
	uint64_t fault; // the line at fault
};

static bool check_line(const struct store_bulk_line *line, struct meow_error *err)
{
	struct meow_error reason;
	if (!text_is_utf8(bytes_of(line->aggregate_type)) || !text_is_utf8(bytes_of(line->aggregate_id)))
		return error_set(err, MEOW_INVALID, "the aggregate's type or id is not valid UTF-8");
	return store_check_event(&line->event, &reason) || error_set(err, reason.kind, "the event %s", reason.text);
}

static bool conflict(const struct store_bulk_line *line, const char *wanted, int64_t found, struct meow_error *err)
{
	if (found < 0)
		return error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, and it has no event",
			line->aggregate_type, line->aggregate_id, wanted);
	return error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, found version %" PRId64,
		line->aggregate_type, line->aggregate_id, wanted, found);
}

// A JSON line has a space where the stored document has a line break.
static bool same_json(struct meow_bytes a, struct meow_bytes b)
{
	if (!a.data || !b.data)
		return !a.data && !b.data;
	if (a.size != b.size)
		return false;
	for (size_t i = 0; i < a.size; i++) {
		char left = a.data[i] == '\r' || a.data[i] == '\n' ? ' ' : a.data[i];
		char right = b.data[i] == '\r' || b.data[i] == '\n' ? ' ' : b.data[i];
		if (left != right)
			return false;
	}
	return true;
}

static bool same_event(struct lite_call *call, const struct meow_new_event *event)
{
	return bytes_equal(lite_text(call, 0), event->type) && same_json(lite_text(call, 1), event->data) &&
		   same_json(lite_text(call, 2), event->metadata) &&
		   (event->time_us == MEOW_NO_TIME || lite_is_null(call, 3) || lite_int(call, 3) == event->time_us);
}

static bool compare(struct bulk *bulk, const struct store_bulk_line *line, struct meow_error *err)
{
	struct lite_call call = lite_call(bulk->lite, LITE_BULK_EVENT);
	lite_put_text(&call, bytes_of(line->aggregate_id));
	lite_put_int(&call, line->version);
	enum lite_step step = lite_step(&call, err);
	bool same = step == LITE_ROW && same_event(&call, &line->event);
	bool read = step != LITE_FAILED && lite_good(&call, err);
	if (read && !same)
		error_set(err, MEOW_CONFLICT, "version conflict: %s %s has another event at version %" PRId64,
			line->aggregate_type, line->aggregate_id, line->version);
	lite_end(&call);
	bulk->result.skipped += read && same;
	return read && same;
}

static bool add(struct bulk *bulk, const struct store_bulk_line *line, int64_t version, struct meow_error *err)
{
	const struct lite_new_events common = {.aggregate_type = line->aggregate_type,
		.aggregate_id = line->aggregate_id,
		.transaction_id = bulk->transaction_id,
		.now_us = bulk->now_us};
	int64_t position;
	if (version > INT32_MAX)
		return error_set(err, MEOW_INVALID, "aggregate %s has too many events", line->aggregate_id);
	if (!lite_set_version(bulk->lite, line->aggregate_type, line->aggregate_id, version, err) ||
		!lite_insert_event(bulk->lite, &common, &line->event, version, &position, err))
		return false;
	bulk->result.appended++;
	return true;
}

static bool take_line(struct bulk *bulk, const struct store_bulk_line *line, struct meow_error *err)
{
	int64_t version;
	char wanted[40];
	if (!lite_find_version(bulk->lite, line->aggregate_type, line->aggregate_id, &version, NULL, err))
		return false;
	bool by_version = line->expected == MEOW_NO_VERSION && line->version != MEOW_NO_VERSION;
	if (by_version && line->version >= 0 && line->version <= version)
		return compare(bulk, line, err);
	int64_t expected = by_version                          ? line->version - 1
					   : line->expected == MEOW_NO_VERSION ? MEOW_EXPECT_ANY
														   : line->expected;
	if (expected == MEOW_EXPECT_NEW && version >= 0)
		return conflict(line, "no event yet", version, err);
	if (expected >= 0 && expected != version) {
		snprintf(wanted, sizeof(wanted), "version %" PRId64, expected);
		return conflict(line, wanted, version, err);
	}
	return add(bulk, line, version + 1, err);
}

static bool load(struct bulk *bulk, const struct store_bulk_line *lines, size_t count, struct meow_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!take_line(bulk, &lines[i], err)) {
			bool its_own = err->kind == MEOW_INVALID || err->kind == MEOW_CONFLICT;
			bulk->fault = its_own ? lines[i].line : 0;
			return false;
		}
	return true;
}

bool lite_bulk(struct meow_store *base, const struct store_bulk_line *lines, size_t count,
	struct store_bulk_result *ret_result, uint64_t *ret_line, struct meow_error *err)
{
	struct bulk bulk = {.lite = lite_of(base), .now_us = lite_now_us()};
	struct lite_transaction transaction;
	for (size_t i = 0; i < count; i++)
		if (!check_line(&lines[i], err)) {
			*ret_line = lines[i].line;
			return false;
		}
	bool done = lite_draw_transaction(&bulk.transaction_id, err) && lite_ready(bulk.lite, err) &&
				lite_begin(bulk.lite, &transaction, err) &&
				lite_finish(bulk.lite, &transaction, load(&bulk, lines, count, err), err);
	if (done)
		*ret_result = bulk.result;
	*ret_line = bulk.fault;
	return done;
}
