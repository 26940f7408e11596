// What the command line shows and changes of a store's subscriptions.
#include "base/text.h"
#include "store/sqlite/lite.h"

#include <stdio.h>
#include <stdlib.h>

bool lite_status(struct meow_store *base, struct store_status *ret_status, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct store_status status = {0};
	if (!lite_ready(lite, err) || !lite_head(lite, &status.head, err))
		return false;
	status.info = lite->info;
	status.settled = status.head;
	snprintf(status.version, sizeof(status.version), "%s", sqlite3_libversion());
	*ret_status = status;
	return true;
}

// The texts of an item, in the order of their columns.
#define TEXTS 6
static const char **text_place(struct store_subscription *item, size_t which)
{
	const char **places[TEXTS] = {&item->checkpoint.subscription, &item->checkpoint.fingerprint,
		&item->checkpoint.state, &item->checkpoint.reason, &item->checkpoint.error_class, &item->relay};
	return places[which];
}
static const int text_columns[TEXTS] = {0, 4, 8, 9, 10, 19};

static void take_subscription(struct lite_call *call, struct store_subscription *ret_item)
{
	*ret_item = (struct store_subscription){
		.checkpoint = {.layout = (int)lite_int(call, 1),
			.partition = (int)lite_int(call, 2),
			.delivered = lite_int(call, 3),
			.position = lite_int(call, 5),
			.generation = lite_int(call, 6),
			.epoch = lite_int(call, 7),
			.error_position = lite_int(call, 11),
			.paused = lite_int(call, 12) != 0,
			.stop_kept = lite_int(call, 13) != 0,
			.resume_from_store = lite_int(call, 14) != 0},
		.dead_letters = lite_int(call, 20),
		.lag_events = lite_int(call, 15),
		.lag_us = lite_int(call, 16),
		.progressed_at_us = lite_time(call, 17),
		.since_us = lite_time(call, 18),
	};
}

// Rows and, one behind the other, their texts, each with a byte before it that says whether there is one.
struct taken {
	struct store_subscription *items;
	size_t count, room;
	struct buffer texts;
};

static bool take_row(struct taken *taken, struct lite_call *call)
{
	if (taken->count == taken->room) {
		taken->room = taken->room ? taken->room * 2 : 16;
		struct store_subscription *items = realloc(taken->items, taken->room * sizeof(*items));
		if (!items)
			return false;
		taken->items = items;
	}
	take_subscription(call, &taken->items[taken->count++]);
	for (size_t i = 0; i < TEXTS; i++) {
		struct meow_bytes text = lite_text(call, text_columns[i]);
		buffer_put_char(&taken->texts, text.data ? '+' : '-');
		if (text.data)
			buffer_put(&taken->texts, text.data, text.size + 1);
	}
	return !taken->texts.failed;
}

static void place_texts(struct taken *taken)
{
	const char *place = taken->texts.data;
	for (size_t row = 0; row < taken->count; row++)
		for (size_t i = 0; i < TEXTS; i++) {
			if (*place++ == '-')
				continue;
			*text_place(&taken->items[row], i) = place;
			while (*place++)
				;
		}
}

bool lite_subscriptions(
	struct meow_store *base, const char *name, struct store_subscriptions *ret_list, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct taken taken = {.items = NULL};
	if (!lite_ready(lite, err))
		return false;
	buffer_init(&taken.texts);
	struct lite_call call = lite_call(lite, LITE_SUBSCRIPTIONS);
	lite_put_text(&call, bytes_of(name));
	lite_put_int(&call, lite_now_us());
	bool ok = true;
	enum lite_step step = LITE_DONE;
	while (ok && (step = lite_step(&call, err)) == LITE_ROW)
		ok = take_row(&taken, &call) || error_no_memory(err);
	lite_end(&call);
	if (!ok || step == LITE_FAILED) {
		free(taken.items);
		buffer_finish(&taken.texts);
		return false;
	}
	place_texts(&taken);
	*ret_list = (struct store_subscriptions){taken.items, taken.count, taken.texts.data};
	return true;
}

static bool change(struct lite_call *call, bool *ret_done, struct meow_error *err)
{
	enum lite_step step = lite_step(call, err);
	bool there = step == LITE_ROW;
	while (step == LITE_ROW)
		step = lite_step(call, err);
	lite_end(call);
	if (step == LITE_FAILED)
		return false;
	*ret_done = there;
	return true;
}

// Runs a statement about the subscription, with a number behind its name if the statement takes one.
static bool change_one(struct meow_store *base, enum lite_statement statement, const char *name, const int64_t *number,
	bool *ret_done, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, statement);
	lite_put_text(&call, bytes_of(name));
	if (number)
		lite_put_int(&call, *number);
	return change(&call, ret_done, err);
}

bool lite_subscription_resume(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	return change_one(base, LITE_SUBSCRIPTION_RESUME, name, NULL, ret_done, err);
}

bool lite_subscription_skip(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err)
{
	return change_one(base, LITE_SUBSCRIPTION_SKIP, name, &position, ret_done, err);
}

bool lite_subscription_pause(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	return change_one(base, LITE_SUBSCRIPTION_PAUSE, name, NULL, ret_done, err);
}

bool lite_subscription_rewind(
	struct meow_store *base, const char *name, int64_t position, bool *ret_done, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	bool ignored;
	if (!lite_ready(lite, err) || !lite_begin(lite, &transaction, err))
		return false;
	bool ok = change_one(base, LITE_SUBSCRIPTION_REWIND, name, &position, ret_done, err) &&
			  (!*ret_done || (change_one(base, LITE_DEAD_FORGET, name, &position, &ignored, err) &&
								 change_one(base, LITE_DEAD_RETRY_FORGET, name, &position, &ignored, err)));
	return lite_finish(lite, &transaction, ok, err);
}

bool lite_subscription_delete(struct meow_store *base, const char *name, bool *ret_done, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	const int64_t all = -1;
	bool ignored;
	if (!lite_ready(lite, err) || !lite_begin(lite, &transaction, err))
		return false;
	const int64_t now_us = lite_now_us();
	bool ok = change_one(base, LITE_SUBSCRIPTION_DELETE, name, &now_us, ret_done, err) &&
			  (!*ret_done || (change_one(base, LITE_DEAD_FORGET, name, &all, &ignored, err) &&
								 change_one(base, LITE_SUBSCRIPTION_DELETE_LAYOUTS, name, NULL, &ignored, err) &&
								 change_one(base, LITE_SUBSCRIPTION_DELETE_RELAYS, name, NULL, &ignored, err)));
	return lite_finish(lite, &transaction, ok, err);
}
