// Many writers at once: threads with handles of their own, processes, and processes that are killed in the middle.
#include "suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 64
#define SUCCESSES 10
#define AGGREGATES 8

struct thread {
	pthread_t thread;
	const char *url;
	unsigned seed;
	int64_t conflicts;
	char failure[MEOW_ERROR_TEXT_SIZE];
};

// Appends behind the version that it believes in, and on a conflict behind the one that was found.
static void *append_in_competition(void *arg)
{
	struct thread *thread = arg;
	struct meow_error err = {0};
	struct meow_store *store = meow_store_open(thread->url, &err);
	for (int done = 0; store && done < SUCCESSES;) {
		struct meow_new_event event = an_event("happened", "{}");
		char id[16];
		snprintf(id, sizeof(id), "a%u", (unsigned)rand_r(&thread->seed) % AGGREGATES);
		struct meow_append append = {
			.aggregate_type = "order", .aggregate_id = id, .expected = -1, .events = &event, .count = 1};
		int64_t found = MEOW_NO_VERSION;
		while (!meow_append(store, &append, NULL, &found, &err) && err.kind == MEOW_CONFLICT) {
			thread->conflicts++;
			append.expected = found == MEOW_NO_VERSION ? append.expected : found;
			err = (struct meow_error){0};
		}
		if (err.kind)
			break;
		done++;
	}
	meow_store_close(store);
	snprintf(thread->failure, sizeof(thread->failure), "%s", err.kind ? err.text : "");
	return NULL;
}

// All events of all aggregates a0, a1, ... have the versions 0, 1, 2, ...; returns how many events there are.
static int64_t count_gapless(struct meow_store *store)
{
	struct meow_error err;
	struct meow_event event;
	bool found;
	int64_t versions[AGGREGATES], count = 0, position = 0;
	memset(versions, -1, sizeof(versions));
	const struct meow_query all = {.from = INT64_MIN, .to = INT64_MAX};
	struct meow_cursor *cursor = meow_load(store, &all, &err);
	assert_non_null(cursor);
	for (;; count++) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		if (!found)
			break;
		int which = event.aggregate_id.data[1] - '0';
		assert_true(event.position > position);
		assert_int_equal(event.version, ++versions[which]);
		position = event.position;
	}
	meow_cursor_close(cursor);
	for (int i = 0; i < AGGREGATES; i++) {
		char id[16];
		snprintf(id, sizeof(id), "a%d", i);
		assert_int_equal(version_of(store, "order", id), versions[i]);
	}
	return count;
}

static void sixty_four_threads(void **state)
{
	(void)state;
	static struct thread threads[THREADS];
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	int64_t conflicts = 0;
	for (unsigned i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){.url = url, .seed = i};
		assert_int_equal(pthread_create(&threads[i].thread, NULL, append_in_competition, &threads[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_join(threads[i].thread, NULL);
		assert_string_equal(threads[i].failure, "");
		conflicts += threads[i].conflicts;
	}
	assert_int_equal(count_gapless(store), THREADS * SUCCESSES);
	assert_true(conflicts >= THREADS * SUCCESSES - AGGREGATES); // each begins with a belief that is wrong but once
	print_message("%d appends, %" PRId64 " conflicts\n", THREADS * SUCCESSES, conflicts);
	meow_store_close(store);
}

// In a child: appends of ten events to whatever is there, `count` times; 0 means without end.
static void append_tens(const char *url, unsigned seed, int count)
{
	struct meow_error err;
	struct meow_store *store = meow_store_open(url, &err);
	struct meow_new_event events[10];
	for (int i = 0; i < 10; i++)
		events[i] = an_event("happened", "{\"some\": \"bytes, so that a page is soon full\"}");
	for (int done = 0; store && (!count || done < count); done++) {
		char id[16];
		snprintf(id, sizeof(id), "a%u", (unsigned)rand_r(&seed) % AGGREGATES);
		struct meow_append append = {
			.aggregate_type = "order", .aggregate_id = id, .expected = MEOW_EXPECT_ANY, .events = events, .count = 10};
		if (!meow_append(store, &append, NULL, NULL, &err)) {
			fprintf(stderr, "%s\n", err.text);
			_exit(1);
		}
	}
	meow_store_close(store);
	_exit(store ? 0 : 1);
}

static pid_t start_child(const char *url, unsigned seed, int count)
{
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0)
		append_tens(url, seed, count);
	return child;
}

static void several_processes(void **state)
{
	(void)state;
	pid_t children[5];
	int status;
	const char *url = kind.fresh();
	for (unsigned i = 0; i < 5; i++)
		children[i] = start_child(url, i, 30);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(waitpid(children[i], &status, 0), children[i]);
		assert_int_equal(status, 0);
	}
	struct meow_store *store = open_or_fail(url);
	assert_int_equal(count_gapless(store), 5 * 30 * 10);
	meow_store_close(store);
}

// In one statement each, since a server may still commit what a dead client has sent.
#define TORN                                                                                                           \
	"SELECT count(*) FROM es_aggregates a WHERE a.version % 10 <> 9 OR a.version + 1 <> "                              \
	"(SELECT count(*) FROM es_events e WHERE e.aggregate_id = a.id AND e.version BETWEEN 0 AND a.version)"
#define LOOSE "SELECT count(*) % 10 FROM es_events"

static void of_a_killed_writers_append_all_is_there_or_nothing(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	void *connection = kind.connect(url);
	struct store_status status;
	struct meow_error err;
	int64_t before = 0;
	for (unsigned round = 0; round < 12; round++) {
		pid_t children[2] = {start_child(url, round, 0), start_child(url, round + 100, 0)};
		do
			assert_ok(store_status(store, &status, &err), err);
		while (status.head < before + 100 + round * 7);
		for (int i = 0; i < 2; i++) {
			kill(children[i], SIGKILL);
			assert_int_equal(waitpid(children[i], NULL, 0), children[i]);
		}
		assert_int_equal(kind.number(connection, TORN), 0);
		assert_int_equal(kind.number(connection, LOOSE), 0);
		before = status.head;
		append_many(store, "order", "a0", 10); // the next one is not hindered
	}
	kind.disconnect(connection);
	meow_store_close(store);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(sixty_four_threads),
	cmocka_unit_test(several_processes),
	cmocka_unit_test(of_a_killed_writers_append_all_is_there_or_nothing),
};
SUITE(suite_many, tests);
