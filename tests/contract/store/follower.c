// The follower over a session, among writers.
#include "desk.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#define WRITERS 4
#define APPENDS 60
#define AGGREGATES 5

struct writer {
	pthread_t thread;
	const char *url;
	unsigned seed;
	atomic_int *running;
	char failure[MEOW_ERROR_TEXT_SIZE];
};

static const char *const types[] = {"order", "payment", "other"};

// Appends of one to three events to aggregates that others write to as well, and deletes now and then.
static void *write_events(void *arg)
{
	struct writer *writer = arg;
	struct meow_error err = {0};
	struct meow_store *store = meow_store_open(writer->url, &err);
	for (int i = 0; store && i < APPENDS; i++) {
		struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{}")};
		unsigned which = (unsigned)rand_r(&writer->seed) % AGGREGATES;
		char id[16];
		snprintf(id, sizeof(id), "a%u", which);
		struct meow_append append = {.aggregate_type = types[which % 3],
			.aggregate_id = id,
			.expected = MEOW_EXPECT_ANY,
			.events = events,
			.count = 1 + (size_t)rand_r(&writer->seed) % 3};
		if (!meow_append(store, &append, NULL, NULL, &err))
			break;
		if (i % 10 == 0 && !meow_delete(store, "order", "nobody", 0, NULL, &err))
			break;
	}
	meow_store_close(store);
	snprintf(writer->failure, sizeof(writer->failure), "%s", err.kind ? err.text : "");
	atomic_fetch_sub(writer->running, 1);
	return NULL;
}

struct reader {
	struct desk *desk;
	struct follow *follow;
	struct loop_timer *timer;
	atomic_int *running; // NULL: until it dozes
	int64_t versions[AGGREGATES];
	int64_t position, count;
	int64_t woken_us;
	bool waiting;
	struct meow_error lost;
};

static void on_batch(void *arg, struct batch *batch)
{
	struct reader *reader = arg;
	for (size_t i = 0; i < batch->count; i++) {
		const struct meow_event *event = &batch->events[i];
		int which = event->aggregate_id.data[1] - '0';
		if (event->position <= reader->position || event->version != reader->versions[which] + 1)
			fail_msg("position %" PRId64 " behind %" PRId64 ": version %" PRId64 " of a%d behind %" PRId64,
				event->position, reader->position, event->version, which, reader->versions[which]);
		reader->position = event->position;
		reader->versions[which] = event->version;
		reader->count++;
	}
	if (batch->count && reader->waiting) {
		reader->woken_us = loop_now_us(reader->desk->loop);
		loop_stop(reader->desk->loop);
	}
	batch_destroy(batch);
}

static void on_lost(void *arg, const struct meow_error *err)
{
	struct reader *reader = arg;
	reader->lost = *err;
	loop_stop(reader->desk->loop);
}

static void look_whether_done(void *arg)
{
	struct reader *reader = arg;
	struct follow_stats stats;
	follow_stats(reader->follow, &stats);
	bool done = stats.dozing && stats.caught_up && (!reader->running || atomic_load(reader->running) == 0);
	if (done)
		loop_stop(reader->desk->loop);
	else
		loop_timer_start(reader->timer, 1000);
}

static void start_reader(struct reader *reader, struct desk *desk, const char *const *categories, size_t count)
{
	struct meow_error err;
	const struct follow_settings settings = {.trust_after = true,
		.categories = categories,
		.category_count = count,
		.batch_rows = 50,
		.batch_bytes = (size_t)1 << 20};
	*reader = (struct reader){.desk = desk};
	for (size_t i = 0; i < AGGREGATES; i++)
		reader->versions[i] = -1;
	reader->timer = loop_timer_create(desk->loop, look_whether_done, reader);
	reader->follow = follow_create(desk->loop, desk->session, &settings, on_batch, on_lost, reader, &err);
	assert_non_null(reader->timer);
	assert_non_null(reader->follow);
	follow_room(reader->follow, (size_t)1 << 20);
}

static void run_reader(struct reader *reader)
{
	loop_timer_start(reader->timer, 0);
	loop_run(reader->desk->loop);
	if (reader->lost.kind)
		fail_msg("%s", reader->lost.text);
}

static void end_reader(struct reader *reader)
{
	loop_timer_destroy(reader->timer);
	follow_destroy(reader->follow);
}

static void follow_among_writers(const char *const *categories, size_t category_count)
{
	struct desk desk;
	struct reader reader;
	struct writer writers[WRITERS];
	atomic_int running = WRITERS;
	desk_start(&desk);
	start_reader(&reader, &desk, categories, category_count);
	reader.running = &running;
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.url = desk.url, .seed = i + 1, .running = &running};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_events, &writers[i]), 0);
	}
	run_reader(&reader);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_string_equal(writers[i].failure, "");
	}
	int64_t wanted = 0;
	for (unsigned i = 0; i < AGGREGATES; i++) {
		char id[16];
		snprintf(id, sizeof(id), "a%u", i);
		int64_t version = version_of(desk.store, types[i % 3], id);
		if (categories && i % 3 == 2)
			version = -1;
		assert_int_equal(reader.versions[i], version);
		wanted += version + 1;
	}
	assert_int_equal(reader.count, wanted);
	end_reader(&reader);
	desk_end(&desk);
}

static void every_event_once_and_in_order_among_writers(void **state)
{
	(void)state;
	follow_among_writers(NULL, 0);
}

static void every_event_of_two_categories_among_writers(void **state)
{
	(void)state;
	follow_among_writers(types, 2);
}

static void one_that_dozes_is_woken(void **state)
{
	(void)state;
	struct desk desk;
	struct reader reader;
	int64_t least = INT64_MAX, most = 0;
	desk_start(&desk);
	start_reader(&reader, &desk, NULL, 0);
	for (int i = 0; i < 8; i++) {
		reader.waiting = false;
		run_reader(&reader); // until it dozes
		reader.waiting = true;
		int64_t before = loop_now_us(desk.loop);
		append_or_fail(desk.store, "order", "a0", MEOW_EXPECT_ANY);
		loop_run(desk.loop);
		if (reader.lost.kind)
			fail_msg("%s", reader.lost.text);
		int64_t took = reader.woken_us - before;
		least = took < least ? took : least;
		most = took > most ? took : most;
	}
	print_message("woken after %" PRId64 " to %" PRId64 " us\n", least, most);
	assert_int_equal(reader.count, 8);
	assert_true(least < 10000);
	assert_true(most < 900000); // never by the guard of each second
	end_reader(&reader);
	desk_end(&desk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_event_once_and_in_order_among_writers),
	cmocka_unit_test(every_event_of_two_categories_among_writers),
	cmocka_unit_test(one_that_dozes_is_woken),
};
SUITE(suite_follower, tests);
