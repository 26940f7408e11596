// Pages of events. Only one transaction writes at a time, and its ids become visible all at once: the highest id that
// was given out is settled.
#include "base/text.h"
#include "store/sqlite/lite.h"

bool lite_find_bound(struct meow_store *base, const struct meow_query *query, int64_t *ret_bound, char *held_back_by,
	struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	int64_t head;
	(void)held_back_by; // nobody can
	if (!lite_ready(lite, err) || !lite_head(lite, &head, err))
		return false;
	*ret_bound = head < query->to ? head : query->to;
	return true;
}

static enum lite_statement statement_of(const struct meow_query *query, bool reverse)
{
	if (query->aggregate_id)
		return reverse ? LITE_LOAD_AGGREGATE_REVERSE : LITE_LOAD_AGGREGATE;
	if (query->aggregate_type)
		return reverse ? LITE_READ_CATEGORY_REVERSE : LITE_READ_CATEGORY;
	return reverse ? LITE_READ_REVERSE : LITE_READ;
}

static bool take_page(
	struct lite_call *call, size_t most_bytes, struct batch *batch, bool *ret_cut, struct meow_error *err)
{
	enum lite_step step;
	while ((step = lite_step(call, err)) == LITE_ROW && batch->bytes < most_bytes)
		if (!lite_add_event(batch, call, err))
			return false;
	*ret_cut = step == LITE_ROW;
	return step != LITE_FAILED;
}

bool lite_load_page(struct meow_store *base, const struct meow_query *query, const struct store_page *page,
	struct batch *batch, bool *ret_cut, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct buffer types;
	buffer_init(&types);
	if (query->event_types)
		lite_put_list(&types, query->event_types, query->event_type_count);
	bool ok = buffer_ok(&types, err) && lite_ready(lite, err);
	if (ok) {
		struct lite_call call = lite_call(lite, statement_of(query, page->reverse));
		if (query->aggregate_id) {
			lite_put_text(&call, bytes_of(query->aggregate_type));
			lite_put_text(&call, bytes_of(query->aggregate_id));
		}
		lite_put_int(&call, page->from);
		lite_put_int(&call, page->to);
		lite_put_int(&call, page->rows);
		if (!query->aggregate_id && query->aggregate_type)
			lite_put_text(&call, bytes_of(query->aggregate_type));
		lite_put_text(&call, (struct meow_bytes){types.data, types.size});
		ok = take_page(&call, page->bytes, batch, ret_cut, err);
		lite_end(&call);
	}
	buffer_finish(&types);
	return ok;
}
