// Load: ranges, directions, limits, filters, and pages.
#include "suite.h"

static void an_aggregate_by_versions(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	for (int i = 0; i < 6; i++) {
		append_or_fail(store, "order", "o1", i - 1);
		append_or_fail(store, "order", "o2", i - 1);
	}
	struct meow_query query = an_aggregate("order", "o1");
	assert_string_equal(numbers(store, query), "0 1 2 3 4 5");
	query.reverse = true;
	assert_string_equal(numbers(store, query), "5 4 3 2 1 0");
	query.limit = 2;
	assert_string_equal(numbers(store, query), "5 4");
	query.from = 1;
	query.to = 3;
	assert_string_equal(numbers(store, query), "3 2");
	query.reverse = false;
	assert_string_equal(numbers(store, query), "1 2");
	query.limit = 0;
	assert_string_equal(numbers(store, query), "1 2 3");
	query.from = 4;
	assert_string_equal(numbers(store, query), "");
	assert_string_equal(numbers(store, an_aggregate("order", "nobody")), "");
	assert_string_equal(numbers(store, an_aggregate("payment", "o1")), "");
	struct meow_error err;
	const struct meow_query nameless = {.aggregate_id = "o1", .from = INT64_MIN, .to = INT64_MAX};
	assert_null(meow_load(store, &nameless, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	meow_store_close(store);
}

static void categories_and_everything_by_positions(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	for (int i = 0; i < 3; i++) {
		append_or_fail(store, "order", "o", i - 1);   // 1 3 5
		append_or_fail(store, "payment", "p", i - 1); // 2 4 6
	}
	struct meow_query query = {.from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, query), "1 2 3 4 5 6");
	query.reverse = true;
	assert_string_equal(numbers(store, query), "6 5 4 3 2 1");
	query.from = 2;
	query.to = 5;
	assert_string_equal(numbers(store, query), "5 4 3 2");
	query.limit = 3;
	assert_string_equal(numbers(store, query), "5 4 3");
	query.aggregate_type = "order";
	query.limit = 0;
	assert_string_equal(numbers(store, query), "5 3");
	query.reverse = false;
	assert_string_equal(numbers(store, query), "3 5");
	query.from = INT64_MIN;
	query.to = INT64_MAX;
	query.limit = 2;
	assert_string_equal(numbers(store, query), "1 3");
	query.aggregate_type = "nothing";
	assert_string_equal(numbers(store, query), "");
	meow_store_close(store);
}

static void only_the_event_types_that_are_wanted(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	static const char *const types[] = {"even", "it's \"odd\""};
	append_many(store, "order", "o", 6); // even odd even odd even odd
	struct meow_query query = an_aggregate("order", "o");
	query.event_types = types;
	query.event_type_count = 2;
	assert_string_equal(numbers(store, query), "0 2 4");
	query.reverse = true;
	query.limit = 2;
	assert_string_equal(numbers(store, query), "4 2");
	query.event_type_count = 0;
	assert_string_equal(numbers(store, query), "");
	struct meow_query category = {
		.aggregate_type = "order", .from = 2, .to = INT64_MAX, .event_types = types, .event_type_count = 1};
	assert_string_equal(numbers(store, category), "3 5");
	category.aggregate_type = NULL;
	category.reverse = true;
	assert_string_equal(numbers(store, category), "5 3");
	meow_store_close(store);
}

static int64_t count_all(struct meow_store *store, struct meow_query query, bool *ret_gapless)
{
	struct meow_error err;
	struct meow_event event;
	bool found;
	int64_t count = 0, last = -1;
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	assert_non_null(cursor);
	*ret_gapless = true;
	for (;;) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		if (!found)
			break;
		int64_t step = query.reverse ? last - event.version : event.version - last;
		*ret_gapless = *ret_gapless && (count == 0 || step == 1);
		last = event.version;
		count++;
	}
	meow_cursor_close(cursor);
	return count;
}

static void more_than_a_page(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	bool gapless;
	for (int i = 0; i < 5; i++)
		append_many(store, "order", "o", 1500);
	struct meow_query query = an_aggregate("order", "o");
	for (int reverse = 0; reverse < 2; reverse++) {
		query.reverse = reverse;
		query.limit = 0;
		assert_int_equal(count_all(store, query, &gapless), 7500);
		assert_true(gapless);
		query.limit = 7001;
		assert_int_equal(count_all(store, query, &gapless), 7001);
		assert_true(gapless);
	}
	struct meow_query all = {.from = INT64_MIN, .to = INT64_MAX};
	assert_int_equal(count_all(store, all, &gapless), 7500);
	assert_true(gapless);
	all.aggregate_type = "order";
	all.reverse = true;
	assert_int_equal(count_all(store, all, &gapless), 7500);
	assert_true(gapless);
	meow_store_close(store);
}

static void pages_of_large_events(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	bool gapless;
	size_t size = 300 * 1024;
	char *data = malloc(size + 1);
	assert_non_null(data);
	memset(data, 'y', size);
	data[0] = data[size - 1] = '"';
	data[size] = '\0';
	struct meow_new_event events[10];
	for (size_t i = 0; i < 10; i++)
		events[i] = an_event("large", data);
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o", .expected = MEOW_EXPECT_ANY, .events = events, .count = 10};
	for (int i = 0; i < 3; i++)
		assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	struct meow_query query = an_aggregate("order", "o");
	assert_int_equal(count_all(store, query, &gapless), 30);
	assert_true(gapless);
	query.reverse = true;
	query.limit = 29;
	assert_int_equal(count_all(store, query, &gapless), 29);
	assert_true(gapless);
	free(data);
	meow_store_close(store);
}

static void a_cursor_goes_on_while_others_append(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url), *writer = open_or_fail(url);
	struct meow_error err;
	struct meow_event event;
	bool found;
	append_many(store, "order", "o", 500);
	const struct meow_query query = {.from = INT64_MIN, .to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	assert_non_null(cursor);
	int64_t count = 0;
	for (;; count++) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		if (!found)
			break;
		if (count % 50 == 0)
			append_or_fail(writer, "payment", "p", MEOW_EXPECT_ANY);
		if (count % 70 == 0)
			append_or_fail(store, "other", "q", MEOW_EXPECT_ANY);
	}
	assert_int_equal(count, 500); // what was settled when it began
	meow_cursor_close(cursor);
	meow_store_close(writer);
	meow_store_close(store);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(an_aggregate_by_versions),
	cmocka_unit_test(categories_and_everything_by_positions),
	cmocka_unit_test(only_the_event_types_that_are_wanted),
	cmocka_unit_test(more_than_a_page),
	cmocka_unit_test(pages_of_large_events),
	cmocka_unit_test(a_cursor_goes_on_while_others_append),
};
SUITE(suite_load, tests);
