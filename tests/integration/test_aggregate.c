// Aggregates: load, emit, save, snapshots and commands, on the kind of store that the argument names (postgres, sqlite).
#include "counter.h"
#include "database.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static bool on_postgres;
static unsigned seed;

static const char *store_create(void)
{
	static unsigned count;
	static char url[256];
	struct meow_error err;
	if (on_postgres)
		return database_create_store("TEXT");
	snprintf(url, sizeof(url), "sqlite:%s/store-%u.db", scratch_folder(), ++count);
	assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
	return url;
}

struct fixture {
	const char *url;
	struct meow_store *store, *other; // two clients
	struct counter_context context;
	struct meow_aggregate_type type, plain; // plain: without snapshots
};

static int each_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	f->url = store_create();
	f->store = store_open_or_fail(f->url);
	f->other = store_open_or_fail(f->url);
	f->type = counter_type(&f->context, 0, 0);
	f->plain = f->type;
	f->plain.snapshot = NULL;
	*state = f;
	return 0;
}

static int each_teardown(void **state)
{
	struct fixture *f = *state;
	int64_t left = f->context.created - f->context.destroyed;
	meow_store_close(f->store);
	meow_store_close(f->other);
	free(f);
	return left == 0 ? 0 : -1;
}

static struct meow_aggregate *load(struct fixture *f, const struct meow_aggregate_type *type, int64_t version)
{
	struct meow_error err;
	struct meow_aggregate *aggregate = meow_aggregate_load(f->store, type, "c1", version, &err);
	if (!aggregate)
		fail_msg("%s", err.text);
	return aggregate;
}

static struct meow_saved save(struct meow_aggregate *aggregate)
{
	struct meow_error err;
	struct meow_saved saved;
	assert_ok(meow_aggregate_save(aggregate, &saved, &err), err);
	return saved;
}

// Adds the numbers first, first + 1, ... and saves them as one.
static struct meow_saved add_saved(struct meow_aggregate *aggregate, int64_t first, int64_t count)
{
	struct meow_error err;
	for (int64_t i = 0; i < count; i++)
		assert_ok(counter_add(aggregate, first + i, &err), err);
	return save(aggregate);
}

// A history of so many events, saved in pieces; one snapshot at each version that is named, -1 ends.
static void build(struct fixture *f, int64_t events, const int64_t *snapshots)
{
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	for (; *snapshots >= 0; snapshots++) {
		(void)add_saved(
			aggregate, meow_aggregate_version(aggregate), *snapshots - meow_aggregate_version(aggregate) - 1);
		f->type.snapshot_every = 1;
		assert_true(add_saved(aggregate, *snapshots, 1).snapshot);
		f->type.snapshot_every = 0;
	}
	(void)add_saved(aggregate, 0, events - 1 - meow_aggregate_version(aggregate));
	meow_aggregate_destroy(aggregate);
	f->context.applied = f->context.created = f->context.destroyed = f->context.from_snapshots = 0;
}

// Versions of the snapshots that count, newest first, as text.
static const char *snapshots_of(struct fixture *f)
{
	static char text[400];
	struct meow_error err;
	struct meow_snapshot *snapshot;
	size_t used = 0;
	text[0] = '\0';
	for (int64_t most = INT64_MAX; most >= 0;) {
		assert_ok(meow_snapshot_load(f->store, "counter", "c1", most, &snapshot, &err), err);
		if (!snapshot)
			break;
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRId64, used ? " " : "", snapshot->version);
		most = snapshot->version - 1;
		meow_snapshot_free(snapshot);
	}
	return text;
}

static void assert_same(const struct meow_aggregate *a, const struct meow_aggregate *b)
{
	assert_int_equal(meow_aggregate_version(a), meow_aggregate_version(b));
	assert_int_equal(counter_of(a)->sum, counter_of(b)->sum);
	assert_int_equal(counter_of(a)->count, counter_of(b)->count);
	assert_true(counter_of(a)->hash == counter_of(b)->hash);
}

// The newest state with snapshots is the one by replay.
static void assert_true_state(struct fixture *f)
{
	struct meow_aggregate *quick = load(f, &f->type, INT64_MAX), *replayed = load(f, &f->plain, INT64_MAX);
	assert_same(quick, replayed);
	meow_aggregate_destroy(quick);
	meow_aggregate_destroy(replayed);
}

// --- load, emit, save ---

static void an_unknown_aggregate_is_a_new_one(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	assert_int_equal(meow_aggregate_version(aggregate), -1);
	assert_string_equal(meow_aggregate_id(aggregate), "c1");
	struct meow_saved saved = save(aggregate);
	assert_int_equal(saved.count, 0);
	assert_int_equal(saved.version, -1);
	assert_int_equal(saved.position, 0);
	assert_ok(counter_add(aggregate, 5, &err), err);
	assert_ok(counter_add(aggregate, 7, &err), err);
	assert_int_equal(counter_of(aggregate)->sum, 12);
	assert_int_equal(meow_aggregate_version(aggregate), 1);
	assert_int_equal(meow_aggregate_stored_version(aggregate), -1);
	saved = save(aggregate);
	assert_int_equal(saved.count, 2);
	assert_int_equal(saved.version, 1);
	assert_true(saved.position > 0);
	assert_false(saved.repeated);
	assert_int_equal(meow_aggregate_stored_version(aggregate), 1);
	struct meow_aggregate *again = load(f, &f->type, INT64_MAX);
	assert_same(aggregate, again);
	struct meow_saved nothing = save(again);
	assert_int_equal(nothing.count, 0);
	assert_int_equal(nothing.position, saved.position);
	assert_int_equal(add_saved(again, 1, 1).version, 2);
	meow_aggregate_destroy(again);
	meow_aggregate_destroy(aggregate);
	meow_aggregate_destroy(NULL);
}

static void a_save_that_fails_loses_nothing(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_aggregate *mine = load(f, &f->type, INT64_MAX), *theirs = load(f, &f->type, INT64_MAX);
	(void)add_saved(theirs, 100, 1);
	assert_ok(counter_add(mine, 1, &err), err);
	for (int i = 0; i < 2; i++)
		assert_fails(meow_aggregate_save(mine, NULL, &err), err, MEOW_CONFLICT);
	assert_int_equal(meow_aggregate_version(mine), 0);
	assert_int_equal(meow_aggregate_stored_version(mine), -1);
	assert_ok(counter_add(mine, 2, &err), err); // it is not closed
	assert_int_equal(counter_of(mine)->sum, 3);
	meow_aggregate_destroy(mine);
	meow_aggregate_destroy(theirs);
}

static void two_clients_with_the_same_bytes_conflict(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_aggregate *a = load(f, &f->type, INT64_MAX);
	struct meow_aggregate *b = meow_aggregate_load(f->other, &f->type, "c1", INT64_MAX, &err);
	assert_non_null(b);
	assert_ok(counter_add(a, 1, &err), err);
	assert_ok(counter_add(b, 1, &err), err);
	assert_int_equal(save(a).version, 0);
	assert_fails(meow_aggregate_save(b, NULL, &err), err, MEOW_CONFLICT);
	meow_aggregate_destroy(a);
	meow_aggregate_destroy(b);
}

static void what_cannot_be_loaded_is_named(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	build(f, 3, (const int64_t[]){1, -1});
	assert_null(meow_aggregate_load(f->store, &f->type, "c1", 3, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_string_equal(err.text, "counter c1 has no version 3: its last is 2");
	assert_null(meow_aggregate_load(f->store, &f->type, "c1", -1, &err));
	assert_string_equal(err.text, "counter c1 has no version -1: the first is 0");
	assert_null(meow_aggregate_load(f->store, &f->type, "c2", 0, &err));
	assert_string_equal(err.text, "counter c2 has no version 0: it has no event");
	assert_null(meow_aggregate_load(f->store, &f->type, "", 0, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	(void)append_or_fail(f->store, "counter", "c1", 2, "{}");
	assert_null(meow_aggregate_load(f->store, &f->type, "c1", INT64_MAX, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_string_equal(err.text, "counter c1, version 3: a counter knows no happened");
}

static void a_past_version_is_to_be_looked_at(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	build(f, 4, (const int64_t[]){-1});
	struct meow_aggregate *past = load(f, &f->type, 1);
	assert_int_equal(counter_of(past)->count, 2);
	assert_ok(counter_add(past, 9, &err), err); // what would be if
	assert_fails(meow_aggregate_save(past, NULL, &err), err, MEOW_INVALID);
	assert_string_equal(err.text, "counter c1 was loaded at version 1, to be looked at: load the newest");
	meow_aggregate_destroy(past);
}

static void another_type_shows_when_it_is_saved(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	(void)append_or_fail(f->store, "order", "c1", MEOW_EXPECT_NEW, "{}");
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	assert_ok(counter_add(aggregate, 1, &err), err);
	assert_fails(meow_aggregate_save(aggregate, NULL, &err), err, MEOW_INVALID);
	assert_says(err, "is known as type order");
	meow_aggregate_destroy(aggregate);
}

// --- snapshots ---

static void a_snapshot_is_stored_with_every_nth_event(void **state)
{
	struct fixture *f = *state;
	f->type.snapshot_every = 5;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	static const struct {
		int64_t count;
		const char *snapshots;
	} steps[] = {{4, ""}, {1, "4"}, {4, "4"}, {3, "11 4"}, {2, "11 4"}, {1, "14 11 4"}, {11, "25 14 11 4"}};
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		int64_t before = meow_aggregate_version(aggregate) + 1;
		struct meow_saved saved = add_saved(aggregate, 1, steps[i].count);
		assert_int_equal(saved.snapshot, before / 5 < (saved.version + 1) / 5);
		assert_int_equal(saved.snapshot_error.kind, MEOW_ERROR_NONE);
		assert_string_equal(snapshots_of(f), steps[i].snapshots);
	}
	meow_aggregate_destroy(aggregate);
	f->context.applied = 0;
	aggregate = load(f, &f->type, INT64_MAX);
	assert_int_equal(f->context.applied, 0); // it ended at a snapshot
	assert_int_equal(counter_of(aggregate)->count, 26);
	meow_aggregate_destroy(aggregate);
	assert_true_state(f);
}

static void old_snapshots_are_pruned(void **state)
{
	struct fixture *f = *state;
	f->type.snapshot_every = 2;
	f->type.keep_snapshots = 2;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	for (int i = 0; i < 10; i++)
		(void)add_saved(aggregate, i, 1);
	assert_string_equal(snapshots_of(f), "9 7");
	meow_aggregate_destroy(aggregate);
}

static void any_version_is_the_same_with_snapshots_and_without(void **state)
{
	struct fixture *f = *state;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	int64_t events = 0;
	while (events < 260) { // more than a page
		int64_t count = 1 + rand_r(&seed) % 12;
		f->type.snapshot_every = 1 + (uint32_t)rand_r(&seed) % 30;
		f->type.keep_snapshots = events > 60 || rand_r(&seed) % 5 ? 0 : 3;
		(void)add_saved(aggregate, rand_r(&seed) % 1000, count);
		events += count;
	}
	meow_aggregate_destroy(aggregate);
	f->context.unreadable_kind = MEOW_INVALID;
	for (int64_t version = 0; version < events; version += 1 + rand_r(&seed) % 3) {
		f->context.unreadable_from = rand_r(&seed) % 4 ? 0 : 1 + rand_r(&seed) % (int)events;
		struct meow_aggregate *quick = load(f, &f->type, version), *replayed = load(f, &f->plain, version);
		assert_int_equal(meow_aggregate_version(quick), version);
		assert_same(quick, replayed);
		meow_aggregate_destroy(quick);
		meow_aggregate_destroy(replayed);
	}
	assert_true(f->context.from_snapshots > 10);
}

static void an_unreadable_snapshot_is_passed_over(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	build(f, 10, (const int64_t[]){2, 5, 8, -1});
	f->context.unreadable_kind = MEOW_INVALID;
	static const struct {
		int64_t unreadable_from, applied;
	} steps[] = {{0, 1}, {9, 4}, {6, 7}, {1, 10}};
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		f->context.unreadable_from = steps[i].unreadable_from;
		f->context.applied = 0;
		struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
		assert_int_equal(f->context.applied, steps[i].applied);
		assert_int_equal(counter_of(aggregate)->count, 10);
		meow_aggregate_destroy(aggregate);
		assert_true_state(f);
	}
	f->context.unreadable_kind = MEOW_UNAVAILABLE; // that is no word about the snapshot
	assert_null(meow_aggregate_load(f->store, &f->type, "c1", INT64_MAX, &err));
	assert_int_equal(err.kind, MEOW_UNAVAILABLE);
}

static void cut_and_write_anew(struct meow_store *store, int64_t from, int64_t events)
{
	struct meow_error err;
	char data[24];
	assert_ok(meow_delete(store, "counter", "c1", from, NULL, &err), err);
	for (int64_t version = from; version < events; version++) {
		snprintf(data, sizeof(data), "%" PRId64, 1000 + version);
		struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = bytes_of(data), .time_us = MEOW_NO_TIME};
		struct meow_append append = {
			.aggregate_type = "counter", .aggregate_id = "c1", .expected = version - 1, .events = &event, .count = 1};
		assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	}
}

static void a_history_that_was_cut_yields_no_stale_state(void **state)
{
	struct fixture *f = *state;
	build(f, 10, (const int64_t[]){2, 5, 8, -1});
	cut_and_write_anew(f->other, 4, 12);
	assert_string_equal(snapshots_of(f), "2");
	assert_true_state(f);
	cut_and_write_anew(f->other, 0, 10);
	assert_string_equal(snapshots_of(f), "");
	assert_true_state(f);
}

// As above, between the load of the snapshot and that of the events: the state that `create` made is thrown away.
static void cut_between(void *arg, bool from_snapshot)
{
	struct fixture *f = arg;
	if (from_snapshot && f->context.from_snapshots == 1)
		cut_and_write_anew(f->other, 4, 10);
}

static void delete_between(void *arg, bool from_snapshot)
{
	struct fixture *f = arg;
	struct meow_error err;
	if (from_snapshot && f->context.from_snapshots == 1)
		assert_ok(meow_delete(f->other, "counter", "c1", 0, NULL, &err), err);
}

static void a_history_that_is_cut_while_it_is_loaded_yields_no_stale_state(void **state)
{
	struct fixture *f = *state;
	build(f, 10, (const int64_t[]){2, 5, 8, -1});
	f->context.on_create_arg = f;
	f->context.on_create = cut_between;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	f->context.on_create = NULL;
	assert_int_equal(f->context.from_snapshots, 2); // 8 does not stand any more, 2 does
	struct meow_aggregate *replayed = load(f, &f->plain, INT64_MAX);
	assert_same(aggregate, replayed);
	meow_aggregate_destroy(aggregate);
	meow_aggregate_destroy(replayed);

	f->context.on_create = delete_between;
	f->context.from_snapshots = 0;
	aggregate = load(f, &f->type, INT64_MAX);
	assert_int_equal(meow_aggregate_version(aggregate), -1);
	assert_int_equal(counter_of(aggregate)->sum, 0);
	meow_aggregate_destroy(aggregate);
}

static void a_snapshot_that_fails_does_not_fail_the_save(void **state)
{
	struct fixture *f = *state;
	f->type.snapshot_every = 1;
	f->context.no_snapshot = true;
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	struct meow_saved saved = add_saved(aggregate, 1, 1);
	assert_false(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_INVALID);
	assert_string_equal(saved.snapshot_error.text, "counter c1: the film is full");
	f->context.no_snapshot = false;
	f->context.bad_snapshot = "{no json";
	saved = add_saved(aggregate, 1, 1);
	assert_int_equal(saved.version, 1);
	assert_false(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_INVALID);
	assert_string_equal(snapshots_of(f), "");
	f->context.bad_snapshot = NULL;
	saved = add_saved(aggregate, 1, 1);
	assert_true(saved.snapshot);
	assert_int_equal(saved.snapshot_error.kind, MEOW_ERROR_NONE);
	assert_string_equal(snapshots_of(f), "2");
	meow_aggregate_destroy(aggregate);
}

// --- commands ---

struct command {
	struct fixture *f;
	int64_t number;
	int intruders; // so many calls are overtaken by another client
	bool nothing;
	enum meow_error_kind refuse;
	int calls;
};

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	struct command *command = arg;
	command->calls++;
	if (command->intruders > 0) {
		struct meow_error own;
		struct meow_aggregate *other = meow_aggregate_load(command->f->other, &command->f->type, "c1", INT64_MAX, &own);
		assert_non_null(other);
		assert_ok(counter_add(other, 100, &own), own);
		assert_ok(meow_aggregate_save(other, NULL, &own), own);
		meow_aggregate_destroy(other);
		command->intruders--;
	}
	if (command->refuse)
		return error_set(err, command->refuse, "the counter is full at %" PRId64, counter_of(aggregate)->sum);
	return command->nothing || counter_add(aggregate, command->number, err);
}

static void a_command_is_repeated_on_a_conflict(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_saved saved;
	struct command command = {.f = f, .number = 1, .intruders = 2};
	assert_ok(meow_execute(f->store, &f->type, "c1", 3, decide, &command, &saved, &err), err);
	assert_int_equal(command.calls, 3);
	assert_int_equal(saved.version, 2);
	assert_int_equal(saved.count, 1);
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	assert_int_equal(counter_of(aggregate)->sum, 201);
	meow_aggregate_destroy(aggregate);

	command = (struct command){.f = f, .number = 1, .intruders = 5};
	assert_fails(meow_execute(f->store, &f->type, "c1", 3, decide, &command, NULL, &err), err, MEOW_CONFLICT);
	assert_says(err, "expected version 4, found version 5");
	assert_int_equal(command.calls, 3);
}

static void a_command_ends_with_a_decision(void **state)
{
	struct fixture *f = *state;
	struct meow_error err;
	struct meow_saved saved;
	struct command command = {.f = f, .nothing = true};
	assert_ok(meow_execute(f->store, &f->type, "c1", 3, decide, &command, &saved, &err), err);
	assert_int_equal(saved.count, 0);
	assert_int_equal(saved.version, -1);
	command = (struct command){.f = f, .refuse = MEOW_INVALID};
	assert_fails(meow_execute(f->store, &f->type, "c1", 3, decide, &command, NULL, &err), err, MEOW_INVALID);
	assert_string_equal(err.text, "the counter is full at 0");
	command = (struct command){.f = f, .refuse = MEOW_CONFLICT}; // its own, which nothing is repeated for
	assert_fails(meow_execute(f->store, &f->type, "c1", 3, decide, &command, NULL, &err), err, MEOW_CONFLICT);
	assert_int_equal(command.calls, 1);
	assert_fails(meow_execute(f->store, &f->type, "c1", 0, decide, &command, NULL, &err), err, MEOW_INVALID);
	assert_int_equal(command.calls, 1);
}

#define THREADS 8
#define INCREMENTS 40

static void *increment_many(void *arg)
{
	struct fixture *f = arg;
	struct counter_context context = {0};
	struct meow_aggregate_type type = counter_type(&context, 7, 2);
	struct command command = {.f = f, .number = 1};
	struct meow_store *store = store_open_or_fail(f->url);
	intptr_t repeated = 0;
	for (int i = 0; i < INCREMENTS; i++) {
		struct meow_error err;
		command.calls = 0;
		if (!meow_execute(store, &type, "c1", 1000, decide, &command, NULL, &err)) {
			print_error("%s\n", err.text);
			repeated = -1;
			break;
		}
		repeated += command.calls - 1;
	}
	meow_store_close(store);
	return (void *)repeated;
}

static void eight_threads_add_up_exactly(void **state)
{
	struct fixture *f = *state;
	pthread_t threads[THREADS];
	intptr_t repeated = 0;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, increment_many, f), 0);
	for (size_t i = 0; i < THREADS; i++) {
		void *result;
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_true((intptr_t)result >= 0);
		repeated += (intptr_t)result;
	}
	assert_true(repeated > 0);
	struct meow_aggregate *aggregate = load(f, &f->type, INT64_MAX);
	assert_int_equal(counter_of(aggregate)->sum, THREADS * INCREMENTS);
	assert_int_equal(meow_aggregate_version(aggregate), THREADS * INCREMENTS - 1);
	meow_aggregate_destroy(aggregate);
	assert_true_state(f);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	on_postgres = strcmp(argv[1], "postgres") == 0;
	seed = (unsigned)time(NULL);
	print_message("seed %u\n", seed);
#define TEST(name) cmocka_unit_test_setup_teardown(name, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		TEST(an_unknown_aggregate_is_a_new_one),
		TEST(a_save_that_fails_loses_nothing),
		TEST(two_clients_with_the_same_bytes_conflict),
		TEST(what_cannot_be_loaded_is_named),
		TEST(a_past_version_is_to_be_looked_at),
		TEST(another_type_shows_when_it_is_saved),
		TEST(a_snapshot_is_stored_with_every_nth_event),
		TEST(old_snapshots_are_pruned),
		TEST(any_version_is_the_same_with_snapshots_and_without),
		TEST(an_unreadable_snapshot_is_passed_over),
		TEST(a_history_that_was_cut_yields_no_stale_state),
		TEST(a_history_that_is_cut_while_it_is_loaded_yields_no_stale_state),
		TEST(a_snapshot_that_fails_does_not_fail_the_save),
		TEST(a_command_is_repeated_on_a_conflict),
		TEST(a_command_ends_with_a_decision),
		TEST(eight_threads_add_up_exactly),
	};
	return cmocka_run_group_tests(
		tests, on_postgres ? database_group_setup : NULL, on_postgres ? database_group_teardown : NULL);
}
