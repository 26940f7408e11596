// Another number of partitions: each step is one transaction. And which numbers there were.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <stdlib.h>

#define MINUTE_US INT64_C(60000000)

static bool add(struct store_repartition *repartition, struct lite_call *call, struct meow_error *err)
{
	struct meow_bytes holder = lite_text(call, 8);
	if (holder.data)
		return store_still_run(repartition->name, holder.data, err);
	if (lite_int(call, 1) < 0)
		return store_of_handler(repartition->name, err);
	struct store_partition *items = realloc(repartition->items, (repartition->count + 1) * sizeof(*items));
	if (!items)
		return error_no_memory(err);
	repartition->items = items;
	repartition->layout = (int)lite_int(call, 0);
	repartition->partitions = (int)lite_int(call, 1);
	items[repartition->count++] = (struct store_partition){.partition = (int)lite_int(call, 2),
		.delivered = lite_int(call, 3),
		.position = lite_int(call, 4),
		.generation = lite_int(call, 5),
		.epoch = lite_int(call, 6),
		.published = lite_int(call, 7) != 0};
	return lite_good(call, err);
}

static bool find(struct lite *lite, struct store_repartition *repartition, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_REPARTITION_FIND);
	lite_put_text(&call, bytes_of(repartition->name));
	lite_put_text(&call, bytes_of(repartition->relay));
	lite_put_int(&call, lite_now_us());
	bool ok = true;
	enum lite_step step = LITE_DONE;
	while (ok && (step = lite_step(&call, err)) == LITE_ROW)
		ok = add(repartition, &call, err);
	lite_end(&call);
	return ok && step == LITE_DONE;
}

static bool take(struct lite *lite, const struct store_repartition *repartition, struct store_partition *item,
	struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_LEASE_TAKE);
	lite_put_text(&call, bytes_of(repartition->name));
	lite_put_int(&call, repartition->layout);
	lite_put_int(&call, item->partition);
	lite_put_text(&call, bytes_of(repartition->relay));
	lite_put_int(&call, lite_now_us() + MINUTE_US);
	lite_put_int(&call, MINUTE_US);
	bool ok = lite_step(&call, err) == LITE_ROW;
	if (ok)
		item->epoch = lite_int(&call, 0);
	ok = ok && lite_step(&call, err) == LITE_DONE;
	lite_end(&call);
	return ok;
}

static bool begin(struct lite *lite, struct store_repartition *repartition, struct meow_error *err)
{
	bool ok = find(lite, repartition, err);
	for (size_t i = 0; ok && i < repartition->count; i++)
		ok = take(lite, repartition, &repartition->items[i], err);
	return ok;
}

bool lite_repartition_begin(struct meow_store *base, struct store_repartition *repartition, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	if (lite_ready(lite, err) && lite_begin(lite, &transaction, err) &&
		lite_finish(lite, &transaction, begin(lite, repartition, err), err))
		return true;
	free(repartition->items);
	repartition->items = NULL;
	repartition->count = 0;
	return false;
}

static bool release(
	struct lite *lite, const struct store_repartition *repartition, uint64_t *ret_count, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_REPARTITION_RELEASE);
	lite_put_text(&call, bytes_of(repartition->name));
	lite_put_int(&call, repartition->layout);
	lite_put_text(&call, bytes_of(repartition->relay));
	return lite_run(&call, ret_count, err);
}

static bool set_layout(struct lite *lite, const struct store_repartition *repartition, int layout, int partitions,
	int64_t cut, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_REPARTITION_LAYOUT);
	lite_put_text(&call, bytes_of(repartition->name));
	lite_put_int(&call, layout);
	lite_put_int(&call, partitions);
	if (cut)
		lite_put_int(&call, cut);
	else
		lite_put_null(&call);
	return lite_run(&call, NULL, err);
}

static bool cut(struct lite *lite, const struct store_repartition *repartition, struct meow_error *err)
{
	uint64_t count;
	return release(lite, repartition, &count, err) &&
		   (!repartition->cut ||
			   set_layout(lite, repartition, repartition->layout, repartition->partitions, repartition->cut, err));
}

bool lite_repartition_cut(struct meow_store *base, const struct store_repartition *repartition, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	return lite_ready(lite, err) && lite_begin(lite, &transaction, err) &&
		   lite_finish(lite, &transaction, cut(lite, repartition, err), err);
}

static bool begin_partition(struct lite *lite, const struct store_repartition *repartition, int partition,
	int64_t generation, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_REPARTITION_BEGUN);
	lite_put_text(&call, bytes_of(repartition->name));
	lite_put_int(&call, repartition->layout + 1);
	lite_put_int(&call, partition);
	lite_put_int(&call, repartition->cut);
	lite_put_int(&call, generation);
	lite_put_int(&call, lite_now_us());
	return lite_run(&call, NULL, err);
}

static bool finish(
	struct lite *lite, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err)
{
	uint64_t ours;
	int64_t generation = 0;
	if (!release(lite, repartition, &ours, err))
		return false;
	*ret_done = ours == (uint64_t)repartition->partitions;
	if (!*ret_done)
		return true;
	for (size_t i = 0; i < repartition->count; i++)
		if (repartition->items[i].generation > generation)
			generation = repartition->items[i].generation;
	bool ok = set_layout(lite, repartition, repartition->layout, repartition->partitions, repartition->cut, err) &&
			  set_layout(lite, repartition, repartition->layout + 1, repartition->wanted, 0, err);
	for (int i = 0; ok && i < repartition->wanted; i++)
		ok = begin_partition(lite, repartition, i, generation, err);
	return ok;
}

bool lite_repartition_finish(
	struct meow_store *base, const struct store_repartition *repartition, bool *ret_done, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	return lite_ready(lite, err) && lite_begin(lite, &transaction, err) &&
		   lite_finish(lite, &transaction, finish(lite, repartition, ret_done, err), err);
}

static bool add_layout(struct store_layouts *list, struct lite_call *call, struct meow_error *err)
{
	struct store_layout *items = realloc(list->items, (list->count + 1) * sizeof(*items));
	if (!items)
		return error_no_memory(err);
	list->items = items;
	items[list->count++] = (struct store_layout){.layout = (int)lite_int(call, 0),
		.partitions = (int)lite_int(call, 1),
		.cut = lite_int(call, 2),
		.generation = lite_int(call, 3)};
	return lite_good(call, err);
}

bool lite_layouts(struct meow_store *base, const char *name, struct store_layouts *ret_list, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct store_layouts list = {0};
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_LAYOUTS);
	lite_put_text(&call, bytes_of(name));
	bool ok = true;
	enum lite_step step = LITE_DONE;
	while (ok && (step = lite_step(&call, err)) == LITE_ROW)
		ok = add_layout(&list, &call, err);
	lite_end(&call);
	if (ok && step == LITE_DONE)
		*ret_list = list;
	else
		free(list.items);
	return ok && step == LITE_DONE;
}
