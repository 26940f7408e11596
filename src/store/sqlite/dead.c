// What the command line shows and decides of dead letters.
#include "base/text.h"
#include "store/sqlite/lite.h"

static struct lite_call call_for(
	struct lite *lite, enum lite_statement statement, const struct store_dead_filter *filter)
{
	struct lite_call call = lite_call(lite, statement);
	lite_put_text(&call, bytes_of(filter->subscription));
	lite_put_int(&call, filter->position);
	lite_put_text(&call, bytes_of(filter->aggregate_type));
	lite_put_text(&call, bytes_of(filter->aggregate_id));
	return call;
}

bool lite_dead_letters(struct meow_store *base, const struct store_dead_filter *filter,
	bool (*fn)(void *arg, const struct store_dead_letter *letter), void *arg, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = call_for(lite, LITE_DEAD_LETTERS, filter);
	enum lite_step step = LITE_ROW;
	bool more = true, good = true;
	while (more && good && (step = lite_step(&call, err)) != LITE_DONE) {
		good = step == LITE_ROW;
		const struct store_dead_letter letter = {.generation = lite_int(&call, 0),
			.position = lite_int(&call, 1),
			.aggregate_type = lite_text(&call, 2).data,
			.aggregate_id = lite_text(&call, 3).data,
			.version = lite_int(&call, 4),
			.event_type = lite_text(&call, 5).data,
			.error = lite_text(&call, 6).data,
			.error_class = lite_text(&call, 7).data,
			.set_aside_at_us = lite_time(&call, 8),
			.retry_at = lite_int(&call, 9)};
		good = good && lite_good(&call, err);
		more = good && fn(arg, &letter);
	}
	lite_end(&call);
	return good;
}

bool lite_dead_positions(struct meow_store *base, const char *name, int64_t from, int64_t to,
	bool (*fn)(void *arg, const struct store_dead_position *dead), void *arg, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = lite_call(lite, LITE_DEAD_POSITIONS);
	lite_put_text(&call, bytes_of(name));
	lite_put_int(&call, from);
	lite_put_int(&call, to);
	enum lite_step step = LITE_ROW;
	bool more = true;
	while (more && (step = lite_step(&call, err)) == LITE_ROW) {
		const struct store_dead_position dead = {
			.position = lite_int(&call, 0), .retry_at = lite_int(&call, 1), .published = lite_int(&call, 2) > 0};
		more = fn(arg, &dead);
	}
	lite_end(&call);
	return step != LITE_FAILED;
}

static bool retry(
	struct lite *lite, const struct store_dead_filter *filter, uint64_t *ret_count, struct meow_error *err)
{
	struct lite_call call = call_for(lite, LITE_DEAD_RETRY, filter);
	if (!lite_run(&call, ret_count, err))
		return false;
	struct lite_call draw = lite_call(lite, LITE_DEAD_DRAW);
	return lite_run(&draw, NULL, err);
}

bool lite_dead_retry(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	struct lite_transaction transaction;
	uint64_t count = 0;
	if (!lite_ready(lite, err) || !lite_begin(lite, &transaction, err) ||
		!lite_finish(lite, &transaction, retry(lite, filter, &count, err), err))
		return false;
	*ret_count = (int64_t)count;
	return true;
}

bool lite_dead_discard(
	struct meow_store *base, const struct store_dead_filter *filter, int64_t *ret_count, struct meow_error *err)
{
	struct lite *lite = lite_of(base);
	uint64_t count = 0;
	if (!lite_ready(lite, err))
		return false;
	struct lite_call call = call_for(lite, LITE_DEAD_DISCARD, filter);
	lite_put_int(&call, lite_now_us());
	if (!lite_run(&call, &count, err))
		return false;
	*ret_count = (int64_t)count;
	return true;
}
