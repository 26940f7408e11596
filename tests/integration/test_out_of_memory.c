// Every allocation of the library fails once, one after the other, on the way through its whole interface. The linker
// leads the calls of our own objects to refuse.h (--wrap); those inside other libraries are their own affair.
// Nothing may crash or leak (the sanitizers look on), the error must say what it was, and the same call must then work.
// With the argument `inside-sqlite` it is SQLite's allocations that fail, by its own hook: it gets over some of them, and
// what was refused must have left nothing behind.
#include "counter.h"
#include "database.h"
#include "refuse.h"

#include <sqlite3.h>
#include <string.h>

static bool on_postgres, inside_sqlite;

struct world {
	const char *url;
	struct meow_store *store;
	struct counter_context context;
	struct meow_aggregate_type type;
	int64_t handled;
	bool told; // what did not fail the call was told beside it
};

// --- SQLite's memory

static sqlite3_mem_methods sqlite_memory;
static _Atomic long sqlite_countdown;
static _Atomic bool sqlite_fired;

static bool sqlite_is_refused(void)
{
	if (sqlite_countdown <= 0 || --sqlite_countdown != 0)
		return false;
	sqlite_fired = true;
	return true;
}

static void *sqlite_malloc_or_not(int size)
{
	return sqlite_is_refused() ? NULL : sqlite_memory.xMalloc(size);
}

static void *sqlite_realloc_or_not(void *memory, int size)
{
	return sqlite_is_refused() ? NULL : sqlite_memory.xRealloc(memory, size);
}

// Before SQLite is used. Without its lookaside memory, which would hide the small ones.
static void hook_into_sqlite(void)
{
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &sqlite_memory), SQLITE_OK);
	sqlite3_mem_methods refusing = sqlite_memory;
	refusing.xMalloc = sqlite_malloc_or_not;
	refusing.xRealloc = sqlite_realloc_or_not;
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &refusing), SQLITE_OK);
	assert_int_equal(sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0), SQLITE_OK);
}

// --- the steps

// Each is one call, or a few; false with *err for the first that fails, and it can be repeated from the start.
typedef bool step_fn(struct world *w, struct meow_error *err);

static bool open_store(struct world *w, struct meow_error *err)
{
	meow_store_close(w->store);
	w->store = meow_store_open(w->url, err);
	return w->store != NULL;
}

static bool append_one(struct world *w, struct meow_error *err)
{
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = MEOW_BYTES("1"), .time_us = MEOW_NO_TIME};
	struct meow_append append = {
		.aggregate_type = "counter", .aggregate_id = "c1", .expected = MEOW_EXPECT_ANY, .events = &event, .count = 1};
	return meow_append(w->store, &append, NULL, NULL, err);
}

static bool append_many(struct world *w, struct meow_error *err)
{
	struct meow_new_event events[20];
	int64_t positions[20];
	for (size_t i = 0; i < 20; i++)
		events[i] = (struct meow_new_event){.type = MEOW_BYTES("added"),
			.data = MEOW_BYTES("2"),
			.metadata = i % 2 ? MEOW_BYTES("{}") : (struct meow_bytes){NULL, 0},
			.time_us = MEOW_NO_TIME};
	struct meow_append append = {.aggregate_type = "counter",
		.aggregate_id = "c1",
		.expected = MEOW_EXPECT_ANY,
		.events = events,
		.count = 20,
		.ret_positions = positions};
	return meow_append(w->store, &append, NULL, NULL, err);
}

static bool walk(struct world *w, const struct meow_query *query, struct meow_error *err)
{
	struct meow_cursor *cursor = meow_load(w->store, query, err);
	struct meow_event event;
	bool found = true, ok = cursor != NULL;
	while (ok && found)
		ok = meow_cursor_next(cursor, &event, &found, err);
	meow_cursor_close(cursor);
	return ok;
}

static bool load_events(struct world *w, struct meow_error *err)
{
	static const char *const types[] = {"added", "removed"};
	const struct meow_query queries[] = {
		{.aggregate_type = "counter", .aggregate_id = "c1", .from = 0, .to = INT64_MAX},
		{.aggregate_type = "counter",
			.from = INT64_MIN,
			.to = INT64_MAX,
			.event_types = types,
			.event_type_count = 2,
			.reverse = true},
		{.from = INT64_MIN, .to = INT64_MAX},
	};
	for (size_t i = 0; i < 3; i++)
		if (!walk(w, &queries[i], err))
			return false;
	return true;
}

static bool look_at_aggregates(struct world *w, struct meow_error *err)
{
	int64_t version;
	struct meow_aggregate_page page;
	if (!meow_version(w->store, "counter", "c1", &version, err) ||
		!meow_list_aggregates(w->store, "counter", NULL, 10, &page, err))
		return false;
	meow_aggregate_page_free(&page);
	return true;
}

static bool use_buffer(struct world *w, struct meow_error *err)
{
	struct counter counter = {.context = &w->context};
	struct meow_buffer *buffer = meow_buffer_create("counter", "c1", -1, counter_apply, &counter, err);
	struct meow_new_event event = {.type = MEOW_BYTES("added"), .data = MEOW_BYTES("1"), .time_us = MEOW_NO_TIME};
	bool ok = buffer != NULL;
	for (int64_t i = 0; ok && i < 10; i++) {
		ok = meow_buffer_emit(buffer, &event, err);
		assert_int_equal(counter.sum, i + ok); // an event that is not kept was not applied
		assert_int_equal(meow_buffer_version(buffer), i - !ok);
	}
	meow_buffer_destroy(buffer);
	return ok;
}

static bool emit_some(struct meow_aggregate *aggregate, struct meow_error *err)
{
	for (int i = 0; i < 5; i++)
		if (!counter_add(aggregate, i, err))
			return false;
	return true;
}

static void look_at_snapshot(struct world *w, const struct meow_saved *saved)
{
	if (saved->snapshot && saved->snapshot_error.kind == MEOW_ERROR_NONE)
		return;
	assert_int_equal(saved->snapshot_error.kind, MEOW_UNAVAILABLE);
	assert_says(saved->snapshot_error, "out of memory");
	w->told = true;
}

static bool save_aggregate(struct world *w, struct meow_error *err)
{
	struct meow_saved saved;
	struct meow_aggregate *aggregate = meow_aggregate_load(w->store, &w->type, "c1", INT64_MAX, err);
	bool ok = aggregate && emit_some(aggregate, err) && meow_aggregate_save(aggregate, &saved, err);
	meow_aggregate_destroy(aggregate);
	if (ok)
		look_at_snapshot(w, &saved);
	return ok;
}

static bool decide(void *arg, struct meow_aggregate *aggregate, struct meow_error *err)
{
	(void)arg;
	return emit_some(aggregate, err);
}

static bool execute(struct world *w, struct meow_error *err)
{
	struct meow_saved saved;
	if (!meow_execute(w->store, &w->type, "c1", 3, decide, NULL, &saved, err))
		return false;
	look_at_snapshot(w, &saved);
	return true;
}

static bool load_snapshot(struct world *w, struct meow_error *err)
{
	struct meow_snapshot *snapshot;
	if (!meow_snapshot_load(w->store, "counter", "c1", INT64_MAX, &snapshot, err))
		return false;
	bool ok = meow_snapshot_save(w->store, "counter", "c1", snapshot, err) &&
			  meow_snapshot_prune(w->store, "counter", "c1", 1, NULL, err);
	meow_snapshot_free(snapshot);
	return ok;
}

static bool within_a_transaction(struct world *w, struct meow_error *err)
{
	if (!on_postgres)
		return true;
	struct world inside = *w;
	sql_run(meow_store_postgres(w->store), "BEGIN");
	inside.store = meow_store_on_postgres(meow_store_postgres(w->store), err);
	bool ok = inside.store && execute(&inside, err);
	meow_store_close(inside.store);
	sql_run(meow_store_postgres(w->store), ok ? "COMMIT" : "ROLLBACK");
	w->context = inside.context;
	w->told = inside.told;
	return ok;
}

static bool handle(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct world *w = arg;
	(void)transaction, (void)err;
	w->handled = event->position;
	return true;
}

// It survives a lack of memory by itself, but for that of its first steps.
static bool subscribe(struct world *w, struct meow_error *err)
{
	static unsigned count;
	char name[16];
	snprintf(name, sizeof(name), "all-%u", ++count); // each begins at the first event
	struct meow_subscription_settings settings = {.name = name,
		.until_caught_up = true,
		.backoff_least_ms = 1,
		.backoff_most_ms = 1,
		.handler = handle,
		.arg = w};
	struct meow_subscription *subscription = meow_subscription_create(w->url, &settings, err);
	bool ok = subscription && meow_subscription_run(subscription, err);
	meow_subscription_destroy(subscription);
	assert_true(!ok || w->handled > 0);
	w->told |= ok && fired;
	return ok;
}

static bool delete_aggregate(struct world *w, struct meow_error *err)
{
	return meow_delete(w->store, "counter", "c1", 0, NULL, err);
}

static const struct {
	const char *name;
	step_fn *run;
} steps[] = {
	{"open", open_store},
	{"append one", append_one},
	{"append many", append_many},
	{"load", load_events},
	{"version and list", look_at_aggregates},
	{"buffer", use_buffer},
	{"aggregate", save_aggregate},
	{"execute", execute},
	{"snapshot", load_snapshot},
	{"transaction", within_a_transaction},
	{"delete", delete_aggregate},
	{"append anew", append_many},
	{"subscription", subscribe},
};

static int64_t version_of(struct world *w)
{
	struct meow_error err;
	int64_t version;
	assert_ok(meow_version(w->store, "counter", "c1", &version, &err), err);
	return version;
}

// The step with its n-th allocation failing, and then once more. False if it has fewer.
static bool run_with_failure_at(struct world *w, size_t step, long n)
{
	struct meow_error err = {0};
	bool appends = steps[step].run == append_one || steps[step].run == append_many;
	int64_t version = appends ? version_of(w) : 0;
	fired = sqlite_fired = w->told = false;
	*(inside_sqlite ? &sqlite_countdown : &countdown) = n;
	bool ok = steps[step].run(w, &err);
	countdown = sqlite_countdown = 0;
	if (ok && fired && !w->told)
		fail_msg("allocation %ld, in %s: failed, and nothing was said", n, steps[step].name);
	if (ok && !sqlite_fired)
		return fired;
	if (!ok && (!(fired || sqlite_fired) || err.kind != MEOW_UNAVAILABLE || !strstr(err.text, "out of memory")))
		fail_msg("allocation %ld, in %s: kind %d: %s", n, steps[step].name, err.kind, err.text);
	if (!ok && appends)
		assert_int_equal(version_of(w), version);
	if (!steps[step].run(w, &err))
		fail_msg("allocation %ld, in %s, repeated: %s", n, steps[step].name, err.text);
	return true;
}

// SQLite's are thousands. A statement's first use, which most of them are for, is more than seven.
static long step_behind(size_t step, long n)
{
	if (!inside_sqlite)
		return 1;
	return steps[step].run == subscribe ? 7 : 1 + n / 100;
}

// A subscription handles each one alone.
static void keep_few_events(struct world *w)
{
	struct meow_error err;
	assert_ok(meow_delete(w->store, "counter", "c1", version_of(w) - 20, NULL, &err), err);
}

static void check_database(const char *file)
{
	sqlite3 *database;
	sqlite3_stmt *statement;
	assert_int_equal(sqlite3_open(file, &database), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(database, "PRAGMA integrity_check", -1, &statement, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(statement, 0), "ok");
	sqlite3_finalize(statement);
	sqlite3_close(database);
}

static void each_allocation_may_fail(void **state)
{
	(void)state;
	struct world w = {0};
	struct meow_error err;
	char url[256];
	snprintf(url, sizeof(url), "sqlite:%s/store.db", scratch_folder());
	if (!on_postgres)
		assert_ok(meow_setup(url, NULL, NULL, NULL, &err), err);
	w.url = on_postgres ? database_create_store("TEXT") : url;
	w.type = counter_type(&w.context, 5, 2);
	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
		long n = 1;
		if (inside_sqlite && steps[i].run == subscribe)
			keep_few_events(&w);
		while (run_with_failure_at(&w, i, n))
			n += step_behind(i, n);
		print_message("%s: %ld allocations\n", steps[i].name, n - 1);
	}
	meow_store_close(w.store);
	assert_int_equal(w.context.created, w.context.destroyed);
	if (inside_sqlite)
		check_database(url + strlen("sqlite:"));
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	on_postgres = strcmp(argv[1], "postgres") == 0;
	inside_sqlite = strcmp(argv[1], "inside-sqlite") == 0;
	if (inside_sqlite)
		hook_into_sqlite();
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_may_fail)};
	return cmocka_run_group_tests(
		tests, on_postgres ? database_group_setup : NULL, on_postgres ? database_group_teardown : NULL);
}
