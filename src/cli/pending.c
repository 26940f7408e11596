// pending.c: see pending.h. The text buffer moves while it grows, so items hold offsets until they are asked for.
#include "cli/pending.h"

#include "base/text.h"

#include <string.h>

#define KEEP_BYTES ((size_t)4 << 20)

struct span {
	size_t at;
	size_t size;
	bool present;
};

struct pending_item {
	uint64_t line;
	int64_t expected, version, time_us;
	struct span aggregate_type, aggregate_id, type, data, metadata;
};

void pending_init(struct pending *pending)
{
	*pending = (struct pending){0};
}

void pending_finish(struct pending *pending)
{
	buffer_finish(&pending->items);
	buffer_finish(&pending->text);
	buffer_finish(&pending->out);
	buffer_finish(&pending->scratch);
}

void pending_clear(struct pending *pending)
{
	buffer_clear(&pending->items, KEEP_BYTES);
	buffer_clear(&pending->text, KEEP_BYTES);
	buffer_clear(&pending->out, KEEP_BYTES);
	pending->count = 0;
}

size_t pending_bytes(const struct pending *pending)
{
	return pending->text.size;
}

static struct span keep(struct pending *pending, struct meow_bytes bytes)
{
	struct span span = {pending->text.size, bytes.size, bytes.data != NULL};
	if (!span.present)
		return span;
	buffer_put(&pending->text, bytes.data, bytes.size);
	buffer_put_char(&pending->text, '\0');
	return span;
}

static bool wrong(struct meow_error *err, const char *text)
{
	return error_set(err, MEOW_INVALID, "%s", text);
}

static bool check_keys(const struct envelope_line *line, bool whole, struct meow_error *err)
{
	if (line->type.data == NULL)
		return wrong(err, "\"type\" is missing");
	if (line->data.data == NULL)
		return wrong(err, "\"data\" is missing");
	if (whole && line->aggregate_type.data == NULL)
		return wrong(err, "\"aggregate_type\" is missing");
	if (whole && line->aggregate_id.data == NULL)
		return wrong(err, "\"aggregate_id\" is missing");
	if (!whole && (line->aggregate_type.data != NULL || line->aggregate_id.data != NULL || line->expect.data != NULL))
		return wrong(err,
			"\"aggregate_type\", \"aggregate_id\" and \"expect\" are given on the command line here; only "
			"`meowmx append -` takes them in lines");
	return true;
}

static bool read_time(const struct envelope_line *line, int64_t *ret_time_us, struct meow_error *err)
{
	*ret_time_us = MEOW_NO_TIME;
	if (line->time.data == NULL || text_to_time(line->time, ret_time_us))
		return true;
	return error_set(
		err, MEOW_INVALID, "\"time\" must be as in 2026-11-23T08:09:10.123456Z, not \"%.40s\"", line->time.data);
}

static int64_t expected_version(const struct envelope_line *line)
{
	int64_t version = MEOW_EXPECT_ANY;
	if (line->expect.data == NULL)
		return line->has_version ? MEOW_NO_VERSION : MEOW_EXPECT_ANY;
	if (bytes_equal(line->expect, MEOW_BYTES("new")))
		return MEOW_EXPECT_NEW;
	return text_to_int64(line->expect, &version) ? version : MEOW_EXPECT_ANY;
}

bool pending_add(struct pending *pending, struct meow_bytes text, uint64_t line, bool whole, struct meow_error *err)
{
	struct envelope_line read;
	struct meow_error cause;
	struct pending_item item = {.line = line};
	buffer_clear(&pending->scratch, KEEP_BYTES);
	if (!envelope_read(text, &pending->scratch, &read, &cause))
		return error_set(err, cause.kind, "line %llu, %s", (unsigned long long)line, cause.text);
	if (!check_keys(&read, whole, &cause) || !read_time(&read, &item.time_us, &cause))
		return error_set(err, cause.kind, "line %llu: %s", (unsigned long long)line, cause.text);
	item.expected = expected_version(&read);
	item.version = read.has_version ? read.version : MEOW_NO_VERSION;
	item.aggregate_type = keep(pending, read.aggregate_type);
	item.aggregate_id = keep(pending, read.aggregate_id);
	item.type = keep(pending, read.type);
	item.data = keep(pending, read.data);
	item.metadata = keep(pending, read.metadata);
	buffer_put(&pending->items, &item, sizeof(item));
	if (!buffer_ok(&pending->items, err) || !buffer_ok(&pending->text, err))
		return false;
	pending->unversioned = pending->unversioned || item.expected == MEOW_EXPECT_ANY;
	pending->count++;
	return true;
}

static struct meow_bytes bytes_at(const struct pending *pending, struct span span)
{
	if (!span.present)
		return (struct meow_bytes){0};
	return (struct meow_bytes){pending->text.data + span.at, span.size};
}

static struct meow_new_event event_of(const struct pending *pending, const struct pending_item *item)
{
	return (struct meow_new_event){
		bytes_at(pending, item->type), bytes_at(pending, item->data), bytes_at(pending, item->metadata), item->time_us};
}

static struct pending_item item_at(const struct pending *pending, size_t index)
{
	struct pending_item item;
	memcpy(&item, pending->items.data + index * sizeof(item), sizeof(item));
	return item;
}

const struct store_bulk_line *pending_lines(struct pending *pending)
{
	buffer_clear(&pending->out, KEEP_BYTES);
	for (size_t i = 0; i < pending->count; i++) {
		struct pending_item item = item_at(pending, i);
		struct store_bulk_line line = {.line = item.line,
			.aggregate_type = bytes_at(pending, item.aggregate_type).data,
			.aggregate_id = bytes_at(pending, item.aggregate_id).data,
			.expected = item.expected,
			.version = item.version,
			.event = event_of(pending, &item)};
		buffer_put(&pending->out, &line, sizeof(line));
	}
	return pending->out.failed ? NULL : (const struct store_bulk_line *)(const void *)pending->out.data;
}

const struct meow_new_event *pending_events(struct pending *pending)
{
	buffer_clear(&pending->out, KEEP_BYTES);
	for (size_t i = 0; i < pending->count; i++) {
		struct pending_item item = item_at(pending, i);
		struct meow_new_event event = event_of(pending, &item);
		buffer_put(&pending->out, &event, sizeof(event));
	}
	return pending->out.failed ? NULL : (const struct meow_new_event *)(const void *)pending->out.data;
}
