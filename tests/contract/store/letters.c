// Dead letters over a session: set aside, held, discarded, and published again.
#include "desk.h"

static bool count_letter(void *arg, const struct store_dead_letter *letter)
{
	(void)letter;
	++*(int *)arg;
	return true;
}

// Those that were published are of the other sign.
static bool note_position(void *arg, const struct store_dead_position *dead)
{
	int64_t *at = arg;
	while (*at)
		at++;
	*at = dead->published ? -dead->position : dead->position;
	return true;
}

// Two of an aggregate, at 5 and 7.
static const struct session_letters two_letters = {.subscription = "route",
	.epoch = 3,
	.generation = 2,
	.json = "[{\"position\":5,\"version\":0,\"aggregate_type\":\"order\",\"aggregate_id\":\"\u00e9\",\"event_type\":"
			"\"made\",\"error\":\"too \\\"large\\\"\",\"error_class\":\"invalid\"},{\"position\":7,\"version\":1,"
			"\"aggregate_type\":\"order\",\"aggregate_id\":\"\u00e9\",\"event_type\":\"sent\"}]"};
#define HELD_SINCE_5 "5:0:5:order2:\u00e9"

// Its route has come to `delivered`, and to position 9.
static void start_owner(struct desk *desk, int64_t delivered, int64_t generation)
{
	desk_start(desk);
	const struct checkpoint save = {
		.subscription = "route", .delivered = delivered, .position = 9, .epoch = 3, .generation = generation};
	ASK_OK(desk, session_checkpoint_save(desk->session, &save, on_done, desk));
}

static void start_with_two_letters(struct desk *desk)
{
	start_owner(desk, 1, 2);
	for (int i = 0; i < 2; i++) // the second time changes nothing
		ASK_OK(desk, session_set_aside(desk->session, &two_letters, on_done, desk));
}

static void discard_first(struct desk *desk)
{
	const struct store_dead_filter filter = {.subscription = "route", .position = 5};
	struct meow_error err;
	int64_t discarded;
	assert_ok(store_dead_discard(desk->store, &filter, &discarded, &err), err);
	assert_int_equal(discarded, 1);
}

static void dead_letters_are_set_aside_by_the_owner_alone(void **state)
{
	(void)state;
	struct desk desk;
	struct session_letters others = two_letters;
	start_owner(&desk, 1, 2);
	others.epoch = 2;
	ASK(&desk, session_set_aside(desk.session, &others, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	others.epoch = 3;
	others.generation = 1;
	ASK(&desk, session_set_aside(desk.session, &others, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 0);
	assert_null(desk.checkpoint.held);
	desk_end(&desk);

	start_with_two_letters(&desk);
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 2);
	assert_in_range(desk.checkpoint.dead_letter_age_us, 0, 60000000);
	assert_string_equal(desk.checkpoint.held, HELD_SINCE_5);
	desk_end(&desk);
}

static void dead_letters_are_discarded_in_order_and_stay_discarded(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t discarded, positions[3] = {0};
	start_with_two_letters(&desk);
	struct store_dead_filter filter = {.subscription = "route", .position = 7};
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_INVALID);
	discard_first(&desk);
	filter.position = 5;
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_MISSING);
	ASK_OK(&desk, session_set_aside(desk.session, &two_letters, on_done, &desk)); // does not open it again
	desk_load_checkpoint(&desk);
	assert_string_equal(desk.checkpoint.held, HELD_SINCE_5); // the discarded one lies behind what was delivered
	assert_ok(store_dead_positions(desk.store, "route", 1, 7, note_position, positions, &err), err);
	assert_true(positions[0] == 5 && positions[1] == 7 && positions[2] == 0); // the discarded one, too
	assert_ok(store_dead_positions(desk.store, "route", 6, 6, note_position, &positions[2], &err), err);
	assert_int_equal(positions[2], 0);
	desk_end(&desk);
}

static void a_rewind_takes_the_dead_letters_behind_it(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t discarded, positions[3] = {0};
	int count = 0;
	start_with_two_letters(&desk);
	discard_first(&desk);
	const struct store_dead_filter filter = {
		.subscription = "route", .aggregate_type = "order", .aggregate_id = "\u00e9"};
	assert_ok(store_subscription_rewind(desk.store, "route", 7, &err), err); // it stays, and holds
	assert_ok(store_dead_letters(desk.store, &filter, count_letter, &count, &err), err);
	assert_int_equal(count, 1);
	assert_ok(store_subscription_rewind(desk.store, "route", 6, &err), err); // it comes again
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_MISSING);
	assert_ok(store_subscription_rewind(desk.store, "route", 1, &err), err); // so does what was discarded
	assert_ok(store_dead_positions(desk.store, "route", 1, INT64_MAX, note_position, positions, &err), err);
	assert_int_equal(positions[0], 0);
	desk_end(&desk);
}

static void on_retry(void *arg, const struct session_retry *retry, const struct meow_error *err)
{
	struct desk *desk = arg;
	char *id = desk->aggregate_id;
	desk->retry = (struct session_retry){0};
	if (retry) {
		desk->retry = *retry;
		snprintf(id, sizeof(desk->aggregate_id), "%.*s", (int)retry->aggregate_id.size, retry->aggregate_id.data);
		assert_true(bytes_equal(retry->aggregate_type, MEOW_BYTES("order")));
	}
	desk_answer(desk, err);
}

static int64_t next_retry(struct desk *desk, int64_t after, int64_t to, int64_t delivered)
{
	const struct session_retry_query query = {"route", after, to, delivered};
	ASK_OK(desk, session_retry_next(desk->session, &query, on_retry, desk));
	return desk->retry.place;
}

// Dead letters at 2, 4 and 6, of which the first two are of one aggregate, and the store ends at 9.
static void start_with_three_letters(struct desk *desk)
{
	const struct session_letters letters = {.subscription = "route",
		.epoch = 3,
		.json =
			"[{\"position\":2,\"version\":1,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"event_type\":\"e\"},"
			"{\"position\":4,\"version\":3,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"event_type\":\"e\"},"
			"{\"position\":6,\"version\":0,\"aggregate_type\":\"order\",\"aggregate_id\":\"b\",\"event_type\":\"e\"}]"};
	start_owner(desk, 9, 0);
	append_many(desk->store, "order", "a", 9);
	ASK_OK(desk, session_set_aside(desk->session, &letters, on_done, desk));
	assert_int_equal(next_retry(desk, 0, INT64_MAX, 0), 0);
}

// They get the places 10, 11 and 12.
static void retry_all(struct desk *desk)
{
	const struct store_dead_filter all = {.subscription = "route"};
	struct meow_error err;
	int64_t count;
	assert_ok(store_dead_retry(desk->store, &all, &count, &err), err);
	assert_int_equal(count, 3);
}

static void retries_have_places_of_their_own(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t count;
	start_with_three_letters(&desk);
	struct store_dead_filter filter = {.subscription = "route", .position = 4};
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_INVALID);
	assert_says(err, "before the dead letter at 4, at 2: retry them first");
	filter.position = 3;
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_MISSING);
	retry_all(&desk);
	filter.position = 0;
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_INVALID);
	assert_says(err, "waits for its retry already");
	// No event gets their places.
	assert_int_equal(append_or_fail(desk.store, "order", "c", MEOW_EXPECT_NEW), 13);
	assert_int_equal(next_retry(&desk, 9, 13, 9), 10);
	assert_int_equal(desk.retry.position, 2);
	assert_string_equal(desk.aggregate_id, "a");
	assert_int_equal(next_retry(&desk, 10, 10, 9), 0);
	assert_int_equal(next_retry(&desk, 11, 13, 9), 12);
	assert_string_equal(desk.aggregate_id, "b");
	desk_load_checkpoint(&desk);
	assert_non_null(strstr(desk.checkpoint.held, "2:11:5:order1:a"));
	desk_end(&desk);
}

static void retries_end_as_published_or_as_dead_letters_again(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t count, positions[4] = {0};
	start_with_three_letters(&desk);
	retry_all(&desk);

	// The first is published; the second is refused again.
	struct session_letters ends = {.subscription = "route", .epoch = 2, .json = "[{\"retry_at\":10}]"};
	ASK(&desk, session_retry_end(desk.session, &ends, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	ends.epoch = 3;
	ASK_OK(&desk, session_retry_end(desk.session, &ends, on_done, &desk));
	ends.json = "[{\"retry_at\":11,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"error\":\"no\","
				"\"error_class\":\"invalid\"}]";
	ASK_OK(&desk, session_retry_end(desk.session, &ends, on_done, &desk));
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 10), 12); // nothing of what was delivered is open
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 0), 10);  // a sink that fell back gets it again
	assert_ok(store_dead_positions(desk.store, "route", 1, 9, note_position, positions, &err), err);
	assert_true(positions[0] == -2 && positions[1] == 4 && positions[2] == 6 && positions[3] == 0);
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 2);
	assert_non_null(strstr(desk.checkpoint.held, "2:0:5:order1:a"));
	const struct store_dead_filter filter = {.subscription = "route", .position = 4};
	assert_ok(store_dead_discard(desk.store, &filter, &count, &err), err); // the one before is no more
	assert_ok(store_subscription_rewind(desk.store, "route", 7, &err), err);
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 0), 0); // a rewind takes the places back
	desk_end(&desk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(dead_letters_are_set_aside_by_the_owner_alone),
	cmocka_unit_test(dead_letters_are_discarded_in_order_and_stay_discarded),
	cmocka_unit_test(a_rewind_takes_the_dead_letters_behind_it),
	cmocka_unit_test(retries_have_places_of_their_own),
	cmocka_unit_test(retries_end_as_published_or_as_dead_letters_again),
};
SUITE(suite_letters, tests);
