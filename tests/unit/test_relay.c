// The window, back-off and metrics.
#include "unit.h"

#include "base/backoff.h"
#include "base/text.h"
#include "metrics/metrics.h"
#include "relay/holds.h"
#include "relay/window.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct batch *a_batch(int64_t first, int count, const char *fingerprint)
{
	struct batch *batch = batch_create();
	for (int i = 0; i < count; i++) {
		struct meow_event event = {.position = first + i, .data = MEOW_BYTES("{}")};
		assert_true(batch_add(batch, &event));
	}
	batch->position = first + count - 1;
	batch->fingerprint = strdup(fingerprint);
	return batch;
}

static void delivered_moves_over_the_finished_prefix_alone(void **state)
{
	(void)state;
	struct window *window = window_create(1 << 20);
	window_reset(window, 5, 7, "old");
	struct batch *a = a_batch(10, 3, "a"), *b = a_batch(20, 2, "b"), *c = a_batch(30, 1, "c");
	window_push(window, a);
	window_push(window, b);
	window_push(window, c);
	assert_int_equal(window_events(window), 6);
	window_deliver(window, b);
	assert_int_equal(window_mark(window).delivered, 5);
	assert_int_equal(window_mark(window).position, 7);
	assert_string_equal(window_mark(window).fingerprint, "old");
	window_deliver(window, a);
	assert_int_equal(window_mark(window).delivered, 21);
	assert_string_equal(window_mark(window).fingerprint, "b");
	assert_int_equal(window_events(window), 1);
	window_deliver(window, c);
	assert_int_equal(window_mark(window).position, 30);
	assert_true(window_empty(window));
	assert_int_equal(window_bytes(window), 0);
	window_destroy(window);
}

static void position_runs_ahead_only_behind_what_is_in_flight(void **state)
{
	(void)state;
	struct window *window = window_create(1 << 20);
	window_reset(window, 0, 0, NULL);
	window_advance(window, 9); // nothing in flight: at once
	assert_int_equal(window_mark(window).position, 9);
	assert_int_equal(window_mark(window).delivered, 0);
	struct batch *batch = a_batch(10, 1, "x");
	window_push(window, batch);
	window_advance(window, 50);
	assert_int_equal(window_mark(window).position, 9);
	window_deliver(window, batch);
	assert_int_equal(window_mark(window).position, 50);
	assert_int_equal(window_mark(window).delivered, 10);
	window_destroy(window);
}

static void an_empty_window_has_room_and_a_full_one_has_none(void **state)
{
	(void)state;
	struct window *window = window_create(100);
	assert_int_equal(window_room(window), 100);
	struct batch *batch = a_batch(1, 5, "x");
	assert_true(batch->bytes > 100); // larger than the window: it passes alone
	window_push(window, batch);
	assert_int_equal(window_room(window), 0);
	window_deliver(window, batch);
	assert_int_equal(window_room(window), 100);
	window_push(window, a_batch(10, 1, "y"));
	window_reset(window, 3, 4, NULL); // drops what is in flight
	assert_true(window_empty(window));
	assert_null(window_mark(window).fingerprint);
	window_destroy(window);
}

static void backoff_doubles_with_jitter_up_to_its_bound(void **state)
{
	(void)state;
	struct backoff backoff = {100, 3000, 0};
	int64_t bound = 100;
	for (int i = 0; i < 40; i++) {
		int64_t delay = backoff_next_ms(&backoff, (uint64_t)i * UINT64_C(0x9e3779b97f4a7c15));
		assert_true(delay >= bound / 2 && delay <= bound);
		bound = bound * 2 < 3000 ? bound * 2 : 3000;
	}
	backoff_reset(&backoff);
	assert_true(backoff_next_ms(&backoff, 7) <= 100);
}

static void every_route_has_every_series_from_the_start(void **state)
{
	(void)state;
	struct route_metrics *values = calloc(2, sizeof(*values));
	struct metrics_route routes[] = {{"orders", &values[0]}, {"注文 \"x\"", &values[1]}};
	struct buffer out;
	buffer_init(&out);
	metrics_observe(&values[0].latency, 1500);
	metrics_write(routes, 2, false, &out);
	assert_true(buffer_ok(&out, NULL));
	for (size_t i = 0; metrics_names[i]; i++) {
		char type[128];
		snprintf(type, sizeof(type), "# TYPE %s ", metrics_names[i]);
		assert_non_null(strstr(out.data, type));
	}
	size_t families = 0, names = 0;
	for (const char *at = out.data; (at = strstr(at, "# TYPE ")) != NULL; at++)
		families++;
	while (metrics_names[names])
		names++;
	assert_int_equal(families, names);
	assert_non_null(strstr(out.data, "meowmx_route_latency_seconds_bucket{route=\"orders\",le=\"0.002\"} 1\n"));
	assert_non_null(strstr(out.data, "meowmx_route_state{route=\"注文 \\\"x\\\"\",state=\"UNASSIGNED\"} 1\n"));
	buffer_clear(&out, 0);
	metrics_write(routes, 2, true, &out);
	assert_string_equal(out.data + out.size - 6, "# EOF\n");
	assert_non_null(strstr(out.data, "# TYPE meowmx_route_events counter\n"));
	buffer_finish(&out);
	free(values);
}

static void an_aggregate_is_held_from_its_first_dead_letter_on(void **state)
{
	(void)state;
	struct holds holds = {0};
	struct meow_bytes order = bytes_of("order"), a = bytes_of("a"), b = bytes_of("1:b");
	assert_true(holds_read(&holds, "7:0:5:order1:a12:20:5:order3:1:b"));
	assert_int_equal(holds.count, 2);
	assert_true(holds_has(&holds, order, a, 7));
	assert_false(holds_has(&holds, order, a, 6)); // which may have to be sent again
	assert_true(holds_has(&holds, order, b, 13));
	assert_false(holds_has(&holds, order, b, 21)); // behind its retry
	assert_true(holds_end(&holds, order, b));
	assert_true(holds_has(&holds, order, a, 21));
	assert_int_equal(holds_beyond(&holds, 19), 2);
	assert_int_equal(holds_beyond(&holds, 20), 1);
	assert_false(holds_end(&holds, order, a));
	assert_false(holds_has(&holds, bytes_of("orde"), bytes_of("ra"), 7));
	assert_true(holds_add(&holds, order, a, 9));
	assert_true(holds_has(&holds, order, a, 7));
	assert_true(holds_add(&holds, order, a, 3));
	assert_true(holds_has(&holds, order, a, 3));
	assert_int_equal(holds.count, 2);
	static const char *const broken[] = {"7", "7:", "7:5:orde", "7:5:order", "7:5:order9:a", "x:1:a1:b", "7:-1:"};
	for (size_t i = 0; i < sizeof(broken) / sizeof(*broken); i++)
		assert_false(holds_read(&holds, broken[i]));
	assert_true(holds_read(&holds, NULL));
	assert_int_equal(holds.count, 0);
	for (int i = 0; i < 200; i++) {
		char id[8];
		snprintf(id, sizeof(id), "%d", i * 7919 % 200);
		assert_true(holds_add(&holds, order, bytes_of(id), i));
		assert_true(holds_has(&holds, order, bytes_of(id), i));
	}
	assert_int_equal(holds.count, 200);
	assert_true(holds_has(&holds, order, bytes_of("0"), 0));
	holds_finish(&holds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(delivered_moves_over_the_finished_prefix_alone),
		cmocka_unit_test(position_runs_ahead_only_behind_what_is_in_flight),
		cmocka_unit_test(an_empty_window_has_room_and_a_full_one_has_none),
		cmocka_unit_test(an_aggregate_is_held_from_its_first_dead_letter_on),
		cmocka_unit_test(backoff_doubles_with_jitter_up_to_its_bound),
		cmocka_unit_test(every_route_has_every_series_from_the_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
