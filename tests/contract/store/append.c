// Append: versions, conflicts, tokens, and what can never be taken.
#include "suite.h"

#define TOKEN "11111111-1111-4111-8111-111111111111"

static bool try_one(struct meow_store *store, const char *type, const char *id, int64_t expected,
	struct meow_new_event event, int64_t *ret_found, struct meow_error *err)
{
	struct meow_append append = {
		.aggregate_type = type, .aggregate_id = id, .expected = expected, .events = &event, .count = 1};
	return meow_append(store, &append, NULL, ret_found, err);
}

static void versions_follow_what_is_expected(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct meow_appended appended = {.version = 77};
	struct meow_new_event event = an_event("happened", "{}");
	int64_t found = 77;
	assert_fails(try_one(store, "order", "o1", 0, event, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, -1);
	assert_says(err, "expected version 0, and it has no event");
	assert_ok(append_one(store, "order", "o1", MEOW_EXPECT_NEW, &appended, &err), err);
	assert_int_equal(appended.version, 0);
	assert_false(appended.repeated);
	assert_fails(try_one(store, "order", "o1", MEOW_EXPECT_NEW, event, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 0);
	assert_says(err, "expected no event yet, found version 0");
	int64_t before = appended.position;
	assert_ok(append_one(store, "order", "o1", 0, &appended, &err), err);
	assert_int_equal(appended.version, 1);
	assert_true(appended.position > before);
	assert_fails(try_one(store, "order", "o1", 0, event, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 1);
	assert_fails(try_one(store, "order", "o1", INT32_MAX, event, &found, &err), err, MEOW_CONFLICT);
	assert_ok(append_one(store, "order", "o1", MEOW_EXPECT_ANY, &appended, &err), err);
	assert_int_equal(appended.version, 2);
	assert_ok(append_one(store, "order", "o2", MEOW_EXPECT_ANY, &appended, &err), err);
	assert_int_equal(appended.version, 0);
	assert_int_equal(version_of(store, "order", "o1"), 2);
	meow_store_close(store);
}

static void a_caller_need_not_want_to_know(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_new_event event = an_event("happened", "{}");
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o", .expected = MEOW_EXPECT_NEW, .events = &event, .count = 1};
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	assert_false(meow_append(store, &append, NULL, NULL, NULL));
	append.expected = MEOW_EXPECT_ANY;
	append.token = TOKEN;
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	assert_true(meow_append(store, &append, NULL, NULL, NULL));
	event.data = MEOW_BYTES("{");
	append.token = NULL;
	assert_false(meow_append(store, &append, NULL, NULL, NULL));
	assert_int_equal(version_of(store, "order", "o"), 1);
	meow_store_close(store);
}

static void no_events_are_no_append(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct meow_append nothing = {.aggregate_type = "order", .aggregate_id = "o", .expected = 99};
	assert_ok(meow_append(store, &nothing, NULL, NULL, &err), err);
	assert_int_equal(version_of(store, "order", "o"), -1);
	meow_store_close(store);
}

static void several_events_are_one_append(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct meow_appended appended;
	int64_t positions[4] = {0, 0, 0, 77}, found;
	struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{}")};
	struct meow_append append = {.aggregate_type = "order",
		.aggregate_id = "o",
		.expected = MEOW_EXPECT_NEW,
		.events = events,
		.count = 3,
		.ret_positions = positions};
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 2);
	assert_int_equal(positions[2], appended.position);
	assert_true(positions[0] < positions[1] && positions[1] < positions[2]);
	assert_int_equal(positions[3], 77);
	append.expected = 2;
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 5);
	append.expected = MEOW_EXPECT_ANY;
	assert_ok(meow_append(store, &append, &appended, &found, &err), err);
	assert_int_equal(appended.version, 8);
	int64_t before = positions[0];
	append.expected = 5;
	assert_fails(meow_append(store, &append, &appended, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 8);
	assert_int_equal(appended.version, 8); // outputs are untouched
	assert_int_equal(positions[0], before);
	assert_string_equal(numbers(store, an_aggregate("order", "o")), "0 1 2 3 4 5 6 7 8");
	meow_store_close(store);
}

static void json_is_kept_byte_for_byte(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	static const char *const documents[] = {"1.0", "1e400", "12345678901234567890.10", "{\"k\":1,\"k\":\"\\u0000\"}\n",
		" {\r\n\t\"é\" : [ ] }", "\"\\ud83d\\ude00 \xf0\x9f\x98\x80\"", "null", "-0", "\"\"", "[\"\x7f\"]"};
	enum { COUNT = sizeof(documents) / sizeof(*documents) };
	struct meow_new_event events[COUNT];
	for (size_t i = 0; i < COUNT; i++) {
		events[i] = an_event("a", documents[i]);
		if (i % 2)
			events[i].metadata = bytes_of(documents[i]);
		events[i].time_us = (int64_t)i * 1000000 - 1;
	}
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o", .expected = MEOW_EXPECT_NEW, .events = events, .count = COUNT};
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	const struct meow_query query = an_aggregate("order", "o");
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	assert_non_null(cursor);
	for (size_t i = 0; i < COUNT; i++) {
		struct meow_event event;
		bool found;
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		assert_true(found);
		assert_true(bytes_equal(event.data, bytes_of(documents[i])));
		assert_int_equal(event.data.data[event.data.size], '\0');
		assert_true(i % 2 ? bytes_equal(event.metadata, bytes_of(documents[i])) : !event.metadata.data);
		assert_int_equal(event.time_us, (int64_t)i * 1000000 - 1);
		assert_true(bytes_equal(event.aggregate_type, MEOW_BYTES("order")));
		assert_true(bytes_equal(event.aggregate_id, MEOW_BYTES("o")));
	}
	meow_cursor_close(cursor);
	meow_store_close(store);
}

static void ids_may_look_odd(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	char long_id[1001];
	memset(long_id, 'x', 1000);
	long_id[1000] = '\0';
	const char *const ids[] = {"with space", " leading and trailing ", "it's \"quoted\"", "100%_sure\\",
		"日本語 \xf0\x9f\x90\xb1", "line\nbreak\ttab", "O1", "o1", "{}", "NULL", long_id};
	for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
		append_or_fail(store, "ty pe'\"", ids[i], MEOW_EXPECT_NEW);
		append_or_fail(store, "ty pe'\"", ids[i], 0);
		assert_string_equal(numbers(store, an_aggregate("ty pe'\"", ids[i])), "0 1");
	}
	meow_store_close(store);
}

static void a_known_id_under_another_type_is_invalid(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	append_or_fail(store, "order", "o", MEOW_EXPECT_NEW);
	static const int64_t expectations[] = {MEOW_EXPECT_NEW, MEOW_EXPECT_ANY, 0, 5};
	for (size_t i = 0; i < 4; i++) {
		assert_fails(append_one(store, "payment", "o", expectations[i], NULL, &err), err, MEOW_INVALID);
		assert_says(err, "is known as type order, not payment");
	}
	int64_t version;
	assert_fails(meow_version(store, "payment", "o", &version, &err), err, MEOW_INVALID);
	assert_int_equal(version_of(store, "order", "o"), 0);
	meow_store_close(store);
}

static void an_aggregate_without_events_is_new(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	void *connection = kind.connect(url);
	run_or_fail(connection, "INSERT INTO es_aggregates (id, version, aggregate_type) VALUES ('o', -1, 'order')");
	struct meow_error err;
	struct meow_appended appended;
	assert_fails(append_one(store, "payment", "o", MEOW_EXPECT_NEW, &appended, &err), err, MEOW_INVALID);
	assert_ok(append_one(store, "order", "o", MEOW_EXPECT_NEW, &appended, &err), err);
	assert_int_equal(appended.version, 0);
	kind.disconnect(connection);
	meow_store_close(store);
}

static void what_can_never_be_taken_is_invalid(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	struct meow_error err;
	static const char *const bad[] = {"", " ", "{", "{\"a\":1}x", "nul", "'a'", "{a:1}", "{\"a\":01}", "[1,]", "+1",
		".5", "5.", "0x10", "NaN", "Infinity", "/**/1", "//\n1", "\"\\ud800x", "\xff", "\"\xc3\"", "\"\xed\xa0\x80\"",
		"\"line\nbreak\"", "\"\\x41\"", "\xef\xbb\xbf{}", "\f1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		struct meow_new_event event = an_event("a", bad[i]);
		assert_fails(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
		event = an_event("a", "{}");
		event.metadata = bytes_of(bad[i]);
		assert_fails(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	}
	struct meow_new_event event = {.type = MEOW_BYTES("a"), .data = {"\"a\0b\"", 5}, .time_us = MEOW_NO_TIME};
	assert_fails(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "NUL");
	event = an_event("\xff", "{}");
	assert_fails(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	event = an_event("a", "{}");
	assert_fails(try_one(store, "order", "", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_fails(try_one(store, "", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_fails(try_one(store, "order", "\xff", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_fails(try_one(store, "\xff", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_fails(try_one(store, "order", "o", -3, event, NULL, &err), err, MEOW_INVALID);
	event.time_us = INT64_MAX;
	assert_fails(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "time");

	// Of several, the one at fault is named, and none is added.
	struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{x}")};
	struct meow_append append = {
		.aggregate_type = "order", .aggregate_id = "o", .expected = MEOW_EXPECT_NEW, .events = events, .count = 3};
	assert_fails(meow_append(store, &append, NULL, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "event 3: ");
	void *connection = kind.connect(url);
	assert_int_equal(
		kind.number(connection, "SELECT (SELECT count(*) FROM es_events) + (SELECT count(*) FROM es_aggregates)"), 0);
	kind.disconnect(connection);
	append_or_fail(store, "order", "o", MEOW_EXPECT_NEW); // and the handle is as good as before
	meow_store_close(store);
}

static void a_token_makes_an_append_repeatable(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct meow_appended first, again;
	int64_t found, positions[2] = {0, 0}, repeated[2] = {0, 0};
	struct meow_new_event events[2] = {an_event("a", "{}"), an_event("b", "{}")};
	struct meow_append append = {.aggregate_type = "order",
		.aggregate_id = "o",
		.expected = MEOW_EXPECT_NEW,
		.events = events,
		.count = 2,
		.token = TOKEN,
		.ret_positions = positions};
	assert_ok(meow_append(store, &append, &first, &found, &err), err);
	append.ret_positions = repeated;
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	assert_int_equal(again.version, first.version);
	assert_int_equal(again.position, first.position);
	assert_memory_equal(positions, repeated, sizeof(positions));
	append_or_fail(store, "order", "o", 1);
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	append.expected = 0; // the token's events began at version 0, not 1
	assert_fails(meow_append(store, &append, &again, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 2);
	append.expected = MEOW_EXPECT_ANY;
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	assert_int_equal(again.version, 1);
	append.token = "22222222-2222-4222-8222-222222222222";
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_false(again.repeated);
	assert_int_equal(again.version, 4);
	// Two spellings of one token.
	append.token = "{11111111-1111-4111-8111-111111111111}";
	assert_ok(meow_append(store, &append, &again, &found, &err), err);
	assert_true(again.repeated);
	append.token = "no uuid";
	assert_fails(meow_append(store, &append, &again, &found, &err), err, MEOW_INVALID);
	assert_int_equal(version_of(store, "order", "o"), 4);
	meow_store_close(store);
}

static void equal_events_of_another_call_are_a_conflict(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *one = open_or_fail(url), *other = open_or_fail(url);
	struct meow_error err;
	append_or_fail(one, "counter", "c", MEOW_EXPECT_NEW);
	assert_fails(append_one(other, "counter", "c", MEOW_EXPECT_NEW, NULL, &err), err, MEOW_CONFLICT);
	meow_store_close(one);
	meow_store_close(other);
}

static void a_large_event(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	size_t size = (size_t)5 << 20;
	char *data = malloc(size + 1);
	assert_non_null(data);
	memset(data, 'x', size);
	data[0] = data[size - 1] = '"';
	data[size] = '\0';
	struct meow_new_event event = an_event("a", data);
	assert_ok(try_one(store, "order", "o", MEOW_EXPECT_NEW, event, NULL, &err), err);
	const struct meow_query query = an_aggregate("order", "o");
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	struct meow_event loaded;
	bool found;
	assert_ok(meow_cursor_next(cursor, &loaded, &found, &err), err);
	assert_true(found && bytes_equal(loaded.data, event.data));
	meow_cursor_close(cursor);
	free(data);
	meow_store_close(store);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(versions_follow_what_is_expected),
	cmocka_unit_test(a_caller_need_not_want_to_know),
	cmocka_unit_test(no_events_are_no_append),
	cmocka_unit_test(several_events_are_one_append),
	cmocka_unit_test(json_is_kept_byte_for_byte),
	cmocka_unit_test(ids_may_look_odd),
	cmocka_unit_test(a_known_id_under_another_type_is_invalid),
	cmocka_unit_test(an_aggregate_without_events_is_new),
	cmocka_unit_test(what_can_never_be_taken_is_invalid),
	cmocka_unit_test(a_token_makes_an_append_repeatable),
	cmocka_unit_test(equal_events_of_another_call_are_a_conflict),
	cmocka_unit_test(a_large_event),
};
SUITE(suite_append, tests);
