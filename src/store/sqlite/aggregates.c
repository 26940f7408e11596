// Aggregates as the store knows them: their versions, pages of them, and deleting their events.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <stdlib.h>

bool lite_version(struct meow_store *base, const char *aggregate_type, const char *aggregate_id, int64_t *ret_version,
	struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	return lite_ready(lite, err) && lite_find_version(lite, aggregate_type, aggregate_id, ret_version, NULL, err);
}

// --- pages ---

// While the rows come, texts are places in `texts`, which may still move.
static void take_item(struct lite_call *call, struct buffer *texts, struct meow_aggregate_info *ret_item)
{
	struct meow_bytes type = lite_text(call, 0), id = lite_text(call, 1);
	*ret_item =
		(struct meow_aggregate_info){.type = {NULL, type.size}, .id = {NULL, id.size}, .version = lite_int(call, 2)};
	if (!type.data || !id.data)
		return; // the next step fails
	buffer_put(texts, type.data, type.size + 1);
	buffer_put(texts, id.data, id.size + 1);
}

static void place_texts(struct meow_aggregate_page *page)
{
	const char *place = page->memory;
	for (size_t i = 0; i < page->count; i++) {
		struct meow_aggregate_info *item = &page->items[i];
		item->type.data = place;
		item->id.data = place + item->type.size + 1;
		place = item->id.data + item->id.size + 1;
	}
}

static bool take_page(
	struct lite_call *call, size_t limit, struct meow_aggregate_page *ret_page, struct meow_error *err)
{
	struct meow_aggregate_page page = {.items = NULL};
	struct buffer texts;
	size_t room = 0;
	enum lite_step step;
	buffer_init(&texts);
	while ((step = lite_step(call, err)) == LITE_ROW && page.count < limit && !texts.failed) {
		if (page.count == room) {
			room = room ? room * 2 : 64;
			struct meow_aggregate_info *items = realloc(page.items, room * sizeof(*items));
			if (!items) {
				texts.failed = true;
				break;
			}
			page.items = items;
		}
		take_item(call, &texts, &page.items[page.count++]);
	}
	bool ok = step != LITE_FAILED && buffer_ok(&texts, err);
	page.memory = texts.data;
	if (!ok) {
		meow_aggregate_page_free(&page);
		return false;
	}
	place_texts(&page);
	*ret_page = page;
	return true;
}

bool lite_list_aggregates(struct meow_store *base, const char *aggregate_type, const char *after, size_t limit,
	struct meow_aggregate_page *ret_page, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, after ? LITE_AGGREGATES_AFTER : LITE_AGGREGATES_FIRST);
	lite_put_text(&call, bytes_of(aggregate_type));
	lite_put_int(&call, (int64_t)limit);
	if (after)
		lite_put_text(&call, bytes_of(after));
	bool ok = take_page(&call, limit, ret_page, err);
	lite_end(&call);
	return ok;
}

// --- delete ---

static bool run(struct lite *lite, enum lite_statement which, const char *aggregate_id, const int64_t *from_version,
	uint64_t *ret_changed, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, which);
	lite_put_text(&call, bytes_of(aggregate_id));
	if (from_version)
		lite_put_int(&call, *from_version);
	return lite_run(&call, ret_changed, err);
}

static bool delete_locked(struct lite *lite, const char *aggregate_type, const char *aggregate_id, int64_t from_version,
	uint64_t *ret_count, struct meow_error *err)
{
	int64_t version;
	bool known;
	if (!lite_find_version(lite, aggregate_type, aggregate_id, &version, &known, err))
		return false;
	*ret_count = 0;
	if (!known || (version < from_version && from_version > 0))
		return true;
	return run(lite, LITE_DELETE_SNAPSHOTS, aggregate_id, &from_version, NULL, err) &&
		   run(lite, LITE_DELETE_EVENTS, aggregate_id, &from_version, ret_count, err) &&
		   (from_version > 0 ? run(lite, LITE_DELETE_VERSION, aggregate_id, &from_version, NULL, err)
							 : run(lite, LITE_DELETE_AGGREGATE, aggregate_id, NULL, NULL, err));
}

bool lite_delete_events(struct meow_store *base, const char *aggregate_type, const char *aggregate_id,
	int64_t from_version, uint64_t *ret_count, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	if (!lite_ready(lite, err) || !lite_begin(lite, &transaction, err))
		return false;
	return lite_finish(
		lite, &transaction, delete_locked(lite, aggregate_type, aggregate_id, from_version, ret_count, err), err);
}
