// Aggregates as the store knows them: versions, pages, deleting; and their snapshots.
#include "suite.h"

static void a_version_is_that_of_the_last_event(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	int64_t version = 77;
	assert_int_equal(version_of(store, "order", "o"), -1);
	append_many(store, "order", "o", 3);
	assert_int_equal(version_of(store, "order", "o"), 2);
	assert_fails(meow_version(store, "payment", "o", &version, &err), err, MEOW_INVALID);
	assert_int_equal(version, 77);
	assert_fails(meow_version(store, "order", "", &version, &err), err, MEOW_INVALID);
	meow_store_close(store);
}

static void pages_of_aggregates(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	struct meow_aggregate_page page;
	char id[16], after[16] = "";
	for (int i = 0; i < 250; i++) {
		snprintf(id, sizeof(id), "a%03d", (i * 7) % 250);
		append_many(store, i % 5 ? "order" : "payment", id, 1 + i % 3);
	}
	size_t seen = 0;
	do {
		assert_ok(meow_list_aggregates(store, NULL, *after ? after : NULL, 60, &page, &err), err);
		for (size_t i = 0; i < page.count; i++) {
			snprintf(id, sizeof(id), "a%03zu", seen++);
			assert_true(bytes_equal(page.items[i].id, bytes_of(id)));
			assert_int_equal(page.items[i].id.data[page.items[i].id.size], '\0');
			assert_int_equal(page.items[i].version, version_of(store, page.items[i].type.data, id));
		}
		if (page.count)
			snprintf(after, sizeof(after), "%s", page.items[page.count - 1].id.data);
		size_t count = page.count;
		meow_aggregate_page_free(&page);
		assert_true(count == 60 || seen == 250);
	} while (seen < 250);
	assert_ok(meow_list_aggregates(store, NULL, after, 60, &page, &err), err);
	assert_int_equal(page.count, 0);
	meow_aggregate_page_free(&page);
	assert_ok(meow_list_aggregates(store, "payment", NULL, 1000, &page, &err), err);
	assert_int_equal(page.count, 50);
	meow_aggregate_page_free(&page);
	assert_ok(meow_list_aggregates(store, "nothing", NULL, 1, &page, &err), err);
	assert_int_equal(page.count, 0);
	meow_aggregate_page_free(&page);
	assert_fails(meow_list_aggregates(store, NULL, NULL, 0, &page, &err), err, MEOW_INVALID);
	meow_store_close(store);
}

// --- delete ---

static void deleted_versions_are_used_again_under_new_positions(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	uint64_t count;
	append_many(store, "order", "o", 3);
	assert_ok(meow_delete(store, "order", "o", 1, &count, &err), err);
	assert_int_equal(count, 2);
	assert_int_equal(version_of(store, "order", "o"), 0);
	assert_int_equal(append_or_fail(store, "order", "o", 0), 4);
	assert_string_equal(numbers(store, an_aggregate("order", "o")), "0 1");
	assert_ok(meow_delete(store, "order", "o", 2, &count, &err), err);
	assert_int_equal(count, 0);
	assert_int_equal(version_of(store, "order", "o"), 1);

	assert_ok(meow_delete(store, "order", "o", 0, &count, &err), err);
	assert_int_equal(count, 2);
	assert_int_equal(version_of(store, "order", "o"), -1);
	// The highest position was deleted, and is not given out again; the id may come back under another type.
	assert_int_equal(append_or_fail(store, "payment", "o", MEOW_EXPECT_NEW), 5);
	assert_ok(meow_delete(store, "order", "unknown", 0, &count, &err), err);
	assert_int_equal(count, 0);
	assert_fails(meow_delete(store, "order", "o", 0, &count, &err), err, MEOW_INVALID);
	assert_fails(meow_delete(store, "payment", "o", -1, &count, &err), err, MEOW_INVALID);
	assert_ok(meow_delete(store, "payment", "o", 0, NULL, &err), err);
	const struct meow_query all = {.from = INT64_MIN, .to = INT64_MAX};
	assert_string_equal(numbers(store, all), "");
	assert_int_equal(append_or_fail(store, "payment", "o", MEOW_EXPECT_NEW), 6);
	meow_store_close(store);
}

// --- snapshots ---

static bool save(struct meow_store *store, int64_t version, int64_t position, const char *data, struct meow_error *err)
{
	const struct meow_snapshot snapshot = {version, position, bytes_of(data)};
	return meow_snapshot_save(store, "order", "o", &snapshot, err);
}

// The version of the newest that counts at or below `version`, -1 if there is none.
static int64_t load(struct meow_store *store, int64_t version, const char *ret_data)
{
	struct meow_error err;
	struct meow_snapshot *snapshot;
	assert_ok(meow_snapshot_load(store, "order", "o", version, &snapshot, &err), err);
	int64_t found = snapshot ? snapshot->version : -1;
	if (snapshot && ret_data)
		assert_true(bytes_equal(snapshot->data, bytes_of(ret_data)));
	meow_snapshot_free(snapshot);
	return found;
}

static void the_newest_snapshot_that_counts(void **state)
{
	(void)state;
	struct meow_store *store = fresh_store();
	struct meow_error err;
	assert_int_equal(load(store, INT64_MAX, NULL), -1);
	append_many(store, "order", "o", 5); // version v at position v + 1
	for (int64_t version = 0; version < 5; version += 2)
		assert_ok(save(store, version, version + 1, "{\"old\":  1.0}", &err), err);
	assert_int_equal(load(store, INT64_MAX, "{\"old\":  1.0}"), 4);
	assert_int_equal(load(store, 3, NULL), 2);
	assert_int_equal(load(store, 0, NULL), 0);
	assert_ok(save(store, 2, 3, "{\"new\": 2}", &err), err);
	assert_int_equal(load(store, 2, "{\"new\": 2}"), 2);

	assert_fails(save(store, 5, 6, "{}", &err), err, MEOW_INVALID); // newer than the aggregate
	assert_says(err, "no event of that version");
	assert_fails(save(store, 3, 3, "{}", &err), err, MEOW_INVALID); // of another event
	assert_fails(save(store, 3, 4, "{", &err), err, MEOW_INVALID);
	assert_fails(save(store, 3, 4, "\xff", &err), err, MEOW_INVALID);
	assert_int_equal(load(store, 3, NULL), 2);

	uint64_t count;
	assert_ok(meow_snapshot_prune(store, "order", "o", 1, &count, &err), err);
	assert_int_equal(count, 2);
	assert_int_equal(load(store, 3, NULL), -1);
	assert_int_equal(load(store, 4, NULL), 4);
	assert_ok(meow_snapshot_prune(store, "payment", "o", 0, &count, &err), err);
	assert_int_equal(count, 0);
	assert_ok(meow_snapshot_prune(store, "order", "o", 0, NULL, &err), err);
	assert_int_equal(load(store, 4, NULL), -1);
	meow_snapshot_free(NULL);
	meow_store_close(store);
}

static void a_history_that_was_cut_takes_its_snapshots_along(void **state)
{
	(void)state;
	const char *url = kind.fresh();
	struct meow_store *store = open_or_fail(url);
	void *connection = kind.connect(url);
	struct meow_error err;
	append_many(store, "order", "o", 5);
	for (int64_t version = 0; version < 5; version++)
		assert_ok(save(store, version, version + 1, "{}", &err), err);
	assert_ok(meow_delete(store, "order", "o", 3, NULL, &err), err);
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM es_aggregate_snapshot"), 3);

	// Somebody else cuts it, leaves the snapshots, and the versions come back as other events.
	run_or_fail(connection, "DELETE FROM es_events WHERE version >= 1");
	run_or_fail(connection, "UPDATE es_aggregates SET version = 0");
	append_many(store, "order", "o", 4);
	assert_int_equal(load(store, INT64_MAX, NULL), 0);
	assert_ok(meow_delete(store, "order", "o", 0, NULL, &err), err);
	assert_int_equal(kind.number(connection, "SELECT count(*) FROM es_aggregate_snapshot"), 0);
	kind.disconnect(connection);
	meow_store_close(store);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(a_version_is_that_of_the_last_event),
	cmocka_unit_test(pages_of_aggregates),
	cmocka_unit_test(deleted_versions_are_used_again_under_new_positions),
	cmocka_unit_test(the_newest_snapshot_that_counts),
	cmocka_unit_test(a_history_that_was_cut_takes_its_snapshots_along),
};
SUITE(suite_aggregates, tests);
