// Sessions: each request is answered once, later, on the loop.
#include "desk.h"

static void who_it_is_and_how_far(void **state)
{
	(void)state;
	struct desk desk;
	struct store_status status;
	struct meow_error err;
	desk_start(&desk);
	assert_ok(store_status(desk.store, &status, &err), err);
	assert_string_equal(desk.info.store.store_id, status.info.store.store_id);
	ASK_OK(&desk, session_head(desk.session, on_head, &desk));
	assert_int_equal(desk.number, 0);
	append_many(desk.store, "order", "o", 3);
	ASK_OK(&desk, session_head(desk.session, on_head, &desk));
	assert_int_equal(desk.number, 3);
	assert_ok(meow_delete(desk.store, "order", "o", 0, NULL, &err), err);
	ASK_OK(&desk, session_look(desk.session, on_look, &desk));
	assert_int_equal(desk.number, 3);
	ASK_OK(&desk, session_doze(desk.session, on_done, &desk));
	desk_end(&desk);
}

static void reads_within_their_bounds(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	for (int i = 0; i < 4; i++) {
		append_or_fail(desk.store, "order", "o", i - 1);   // 1 4 7 10
		append_or_fail(desk.store, "payment", "p", i - 1); // 2 5 8 11
		append_or_fail(desk.store, "other", "q", i - 1);   // 3 6 9 12
	}
	struct session_read read = {.to = INT64_MAX, .limit_rows = 100, .limit_bytes = (size_t)1 << 20};
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 12);
	assert_true(desk.rows.complete);
	assert_int_equal(desk.rows.last, 12);
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.contiguous_events, 12);
	read.limit_rows = 5;
	read.after = 2;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 5);
	assert_false(desk.rows.complete);
	assert_int_equal(desk.batch->events[0].position, 3);
	assert_int_equal(desk.rows.last, 7);
	assert_int_equal(desk.rows.contiguous_to, 7);
	read.limit_rows = 100;
	read.limit_bytes = 1;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 1); // the first always comes
	assert_false(desk.rows.complete);
	assert_int_equal(desk.rows.last, 3);
	read.limit_bytes = (size_t)1 << 20;
	read.to = 4;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 2);
	assert_true(desk.rows.complete);
	read.after = 12;
	read.to = INT64_MAX;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 0);
	assert_true(desk.rows.complete);
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.last, 12);
	desk_end(&desk);
}

static void reads_of_categories_in_the_order_of_positions(void **state)
{
	(void)state;
	struct desk desk;
	static const char *const categories[] = {"payment", "order", "nothing", "order"};
	desk_start(&desk);
	for (int i = 0; i < 4; i++) {
		append_or_fail(desk.store, "order", "o", i - 1);   // 1 4 7 10
		append_or_fail(desk.store, "payment", "p", i - 1); // 2 5 8 11
		append_or_fail(desk.store, "other", "q", i - 1);   // 3 6 9 12
	}
	struct session_read read = {.after = 1,
		.to = INT64_MAX,
		.limit_rows = 100,
		.limit_bytes = (size_t)1 << 20,
		.categories = categories,
		.category_count = 4};
	static const int64_t wanted[] = {2, 4, 5, 7, 8, 10, 11};
	for (int dropped = 0; dropped < 2; dropped++) {
		read.show_dropped = dropped;
		ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
		assert_int_equal(desk.batch->count, 7);
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(desk.batch->events[i].position, wanted[i]);
		assert_true(desk.rows.complete);
	}
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.contiguous_events, 7);
	read.show_dropped = false;
	read.to = 8;
	read.limit_rows = 3;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 3);
	assert_false(desk.rows.complete);
	assert_int_equal(desk.rows.last, 5);
	read.category_count = 1;
	read.after = 0;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 3);
	assert_int_equal(desk.batch->events[2].position, 8);
	desk_end(&desk);
}

static void the_event_at_a_position(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	append_many(desk.store, "order", "o", 3);
	ASK_OK(&desk, session_find(desk.session, 2, on_event, &desk));
	assert_true(desk.found);
	assert_int_equal(desk.number, 1);
	ASK_OK(&desk, session_find(desk.session, 4, on_event, &desk));
	assert_false(desk.found);
	desk_end(&desk);
}

// --- checkpoints ---

static void checkpoints_are_kept(void **state)
{
	(void)state;
	struct desk desk;
	desk_start(&desk);
	desk_load_checkpoint(&desk);
	assert_null(desk.checkpoint.state);
	assert_int_equal(desk.checkpoint.position, 0);
	struct checkpoint save = {.subscription = "route",
		.delivered = 4,
		.fingerprint = "a fingerprint",
		.position = 6,
		.state = "FAILED",
		.reason = "it's \"so\"",
		.error_class = "invalid",
		.error_position = 7,
		.keep_stop = true};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.delivered, 4);
	assert_int_equal(desk.checkpoint.position, 6);
	assert_string_equal(desk.checkpoint.fingerprint, "a fingerprint");
	assert_string_equal(desk.checkpoint.state, "FAILED");
	assert_string_equal(desk.checkpoint.reason, "it's \"so\"");
	assert_string_equal(desk.checkpoint.error_class, "invalid");
	assert_int_equal(desk.checkpoint.error_position, 7);
	assert_true(desk.checkpoint.stop_kept);
	// No state keeps what there is.
	const struct checkpoint moved = {.subscription = "route", .delivered = 8, .position = 9};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &moved, on_done, &desk));
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.position, 9);
	assert_null(desk.checkpoint.fingerprint);
	assert_string_equal(desk.checkpoint.state, "FAILED");
	assert_int_equal(desk.checkpoint.error_position, 7);
	save = moved;
	save.state = "RUNNING";
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	desk_load_checkpoint(&desk);
	assert_string_equal(desk.checkpoint.state, "RUNNING");
	assert_null(desk.checkpoint.reason);
	assert_int_equal(desk.checkpoint.error_position, 0);
	assert_true(desk.checkpoint.stop_kept);
	ASK_OK(&desk, session_checkpoint_load(desk.session, "route", 1, 0, on_checkpoint, &desk));
	assert_int_equal(desk.checkpoint.position, 0);
	desk_end(&desk);
}

static void a_checkpoint_that_is_anothers_is_a_conflict(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	desk_start(&desk);
	struct checkpoint save = {.subscription = "route", .delivered = 1, .position = 1, .epoch = 3, .generation = 2};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	save.position = 2;
	for (int i = 0; i < 2; i++) {
		struct checkpoint other = save;
		other.epoch += i == 0;
		other.generation += i == 1;
		ASK(&desk, session_checkpoint_save(desk.session, &other, on_done, &desk));
		assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	}
	desk_load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.position, 1);

	// An operator's decision must have been seen, and is used up once.
	save.state = "FAILED";
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_ok(store_subscription_resume(desk.store, "route", &err), err);
	ASK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	desk_load_checkpoint(&desk);
	assert_true(desk.checkpoint.resume_from_store);
	save.decision_known = true;
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	save.decision_used = true;
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	desk_load_checkpoint(&desk);
	assert_false(desk.checkpoint.resume_from_store);
	desk_end(&desk);
}

// --- the queue ---

static char order[8];
static void note(struct desk *desk, char letter)
{
	assert_false(desk->inside);
	size_t length = strlen(order);
	order[length] = letter;
	order[length + 1] = '\0';
}

static void note_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	(void)last_position;
	assert_null(err);
	note(arg, 'h');
}

static void note_find(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	(void)event;
	assert_null(err);
	struct desk *desk = arg;
	note(desk, 'f');
	session_head(desk->session, note_head, desk); // behind what waits
}

static void never(void *arg, int64_t last_position, const struct meow_error *err)
{
	(void)arg;
	(void)last_position;
	(void)err;
	fail_msg("a forgotten request was answered");
}

static void last_of_all(void *arg, const struct meow_error *err)
{
	struct desk *desk = arg;
	note(desk, 'd');
	session_head(desk->session, never, desk);
	session_destroy(desk->session); // from within a callback
	desk->session = NULL;
	desk_answer(desk, err);
}

static void answers_come_in_order_and_later(void **state)
{
	(void)state;
	struct desk desk;
	int forgotten;
	desk_start(&desk);
	order[0] = '\0';
	desk.inside = true;
	desk.answered = false;
	session_head(desk.session, note_head, &desk);
	session_head(desk.session, never, &forgotten);
	session_find(desk.session, 1, note_find, &desk);
	session_head(desk.session, note_head, &desk);
	session_doze(desk.session, last_of_all, &desk);
	session_forget(desk.session, &forgotten);
	desk.inside = false;
	loop_run(desk.loop);
	assert_string_equal(order, "hfhd");
	desk_end(&desk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(who_it_is_and_how_far),
	cmocka_unit_test(reads_within_their_bounds),
	cmocka_unit_test(reads_of_categories_in_the_order_of_positions),
	cmocka_unit_test(the_event_at_a_position),
	cmocka_unit_test(checkpoints_are_kept),
	cmocka_unit_test(a_checkpoint_that_is_anothers_is_a_conflict),
	cmocka_unit_test(answers_come_in_order_and_later),
};
SUITE(suite_session, tests);
