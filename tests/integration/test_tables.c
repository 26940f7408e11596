// Tables under names of their own: those of postgresql-event-sourcing, adopted with their events, and others. Everything
// that a store can do is done under them.
#include "database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// As its migrations V1 and V2 make them.
static const char singular_tables[] =
	"CREATE TABLE ES_AGGREGATE (ID UUID PRIMARY KEY, VERSION INTEGER NOT NULL, AGGREGATE_TYPE TEXT NOT NULL);"
	"CREATE INDEX IDX_ES_AGGREGATE_AGGREGATE_TYPE ON ES_AGGREGATE (AGGREGATE_TYPE);"
	"CREATE TABLE ES_EVENT (ID BIGSERIAL PRIMARY KEY, TRANSACTION_ID XID8 NOT NULL,"
	" AGGREGATE_ID UUID NOT NULL REFERENCES ES_AGGREGATE (ID), VERSION INTEGER NOT NULL, EVENT_TYPE TEXT NOT NULL,"
	" JSON_DATA JSON NOT NULL, UNIQUE (AGGREGATE_ID, VERSION));"
	"CREATE INDEX IDX_ES_EVENT_TRANSACTION_ID_ID ON ES_EVENT (TRANSACTION_ID, ID);"
	"CREATE TABLE ES_AGGREGATE_SNAPSHOT (AGGREGATE_ID UUID NOT NULL REFERENCES ES_AGGREGATE (ID),"
	" VERSION INTEGER NOT NULL, JSON_DATA JSON NOT NULL, PRIMARY KEY (AGGREGATE_ID, VERSION));"
	"CREATE TABLE ES_EVENT_SUBSCRIPTION (SUBSCRIPTION_NAME TEXT PRIMARY KEY, LAST_TRANSACTION_ID XID8 NOT NULL,"
	" LAST_EVENT_ID BIGINT NOT NULL);"
	"CREATE FUNCTION CHANNEL_EVENT_NOTIFY_FCT() RETURNS TRIGGER AS $BODY$ DECLARE aggregate_type TEXT;"
	" BEGIN SELECT a.AGGREGATE_TYPE INTO aggregate_type FROM ES_AGGREGATE a WHERE a.ID = NEW.AGGREGATE_ID;"
	" PERFORM pg_notify('channel_event_notify', aggregate_type); RETURN NEW; END; $BODY$ LANGUAGE PLPGSQL;"
	"CREATE TRIGGER CHANNEL_EVENT_NOTIFY_TRG AFTER INSERT ON ES_EVENT FOR EACH ROW"
	" EXECUTE PROCEDURE CHANNEL_EVENT_NOTIFY_FCT();";
static const struct store_tables singular = {
	"es_event", "es_aggregate", "es_aggregate_snapshot", "es_event_subscription"};

// Its repositories' statements for an aggregate's first event, whose version there is 1.
static const char singular_first[] =
	"INSERT INTO ES_AGGREGATE (ID, VERSION, AGGREGATE_TYPE) VALUES ('%s', 0, 'order') ON CONFLICT DO NOTHING;"
	"UPDATE ES_AGGREGATE SET VERSION = 1 WHERE ID = '%s' AND VERSION = 0;"
	"INSERT INTO ES_EVENT (TRANSACTION_ID, AGGREGATE_ID, VERSION, EVENT_TYPE, JSON_DATA)"
	" VALUES (pg_current_xact_id(), '%s', 1, 'ORDER_PLACED', '{\"n\": 0}') RETURNING ID";

static bool set_up(const char *url, const struct store_tables *tables, struct meow_error *err)
{
	const struct store_setup setup = {.url = url, .tables = *tables};
	return store_setup(&setup, err);
}

static int64_t count(struct meow_store *store, const char *type, const char *id, bool reverse)
{
	struct meow_query query = {
		.aggregate_type = type, .aggregate_id = id, .from = INT64_MIN, .to = INT64_MAX, .reverse = reverse};
	struct meow_error err;
	struct meow_event event;
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	if (!cursor)
		fail_msg("%s", err.text);
	int64_t events = 0;
	for (bool found = true; found; events += found) {
		assert_ok(meow_cursor_next(cursor, &event, &found, &err), err);
		if (found)
			assert_true(bytes_equal(event.aggregate_type, MEOW_BYTES("order")));
	}
	meow_cursor_close(cursor);
	return events;
}

static void append_in_each_way(struct meow_store *store, const char *id)
{
	struct meow_new_event events[2] = {{MEOW_BYTES("a"), MEOW_BYTES("1.0"), {0}, MEOW_NO_TIME},
		{MEOW_BYTES("b"), MEOW_BYTES("2"), MEOW_BYTES("{}"), MEOW_NO_TIME}};
	struct meow_append append = {.aggregate_type = "order", .aggregate_id = id, .events = events, .count = 2};
	struct meow_error err;
	struct meow_appended appended;
	int64_t found;
	append.expected = MEOW_EXPECT_NEW;
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	assert_fails(meow_append(store, &append, NULL, &found, &err), err, MEOW_CONFLICT);
	assert_int_equal(found, 1);
	append.expected = 1;
	append.token = "11111111-0000-4000-8000-000000000001";
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	assert_ok(meow_append(store, &append, &appended, NULL, &err), err);
	assert_true(appended.repeated);
	append_or_fail(store, "order", id, 3, "{}");
	append_or_fail(store, "order", id, MEOW_EXPECT_ANY, "{}");
	const struct store_bulk_line line = {.line = 1,
		.aggregate_type = "order",
		.aggregate_id = id,
		.expected = 5,
		.version = MEOW_NO_VERSION,
		.event = events[0]};
	struct store_bulk_result result;
	uint64_t at_fault;
	assert_ok(store_bulk(store, &line, 1, &result, &at_fault, &err), err);
}

static bool take(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	(void)transaction;
	(void)event;
	(void)err;
	++*(int *)arg;
	return true;
}

// Seven events are there, of the aggregate id, and more of others.
static void do_everything_else(struct meow_store *store, const char *url, const char *id)
{
	struct meow_error err;
	struct meow_aggregate_page page;
	struct meow_snapshot *found;
	struct store_status status;
	struct store_subscriptions list;
	int64_t version;
	int handled = 0;
	assert_ok(meow_version(store, "order", id, &version, &err), err);
	assert_int_equal(version, 6);
	assert_int_equal(count(store, "order", id, false), 7);
	assert_int_equal(count(store, "order", id, true), 7);
	assert_true(count(store, "order", NULL, false) >= 7 && count(store, "order", NULL, true) >= 7);
	assert_int_equal(count(store, NULL, NULL, false), count(store, NULL, NULL, true));
	assert_ok(meow_list_aggregates(store, NULL, NULL, 10, &page, &err), err);
	assert_true(page.count > 0);
	meow_aggregate_page_free(&page);
	int64_t position = append_or_fail(store, "order", id, 6, "{}");
	const struct meow_snapshot snapshot = {7, position, MEOW_BYTES("{\"s\": 1}")};
	assert_ok(meow_snapshot_save(store, "order", id, &snapshot, &err), err);
	assert_ok(meow_snapshot_load(store, "order", id, INT64_MAX, &found, &err), err);
	assert_non_null(found);
	meow_snapshot_free(found);
	assert_ok(meow_snapshot_prune(store, "order", id, 0, NULL, &err), err);
	assert_ok(store_status(store, &status, &err), err);
	assert_int_equal(status.head, position);
	struct meow_subscription_settings settings = {
		.name = "model", .handler = take, .arg = &handled, .until_caught_up = true};
	struct meow_subscription *subscription = meow_subscription_create(url, &settings, &err);
	assert_non_null(subscription);
	assert_ok(meow_subscription_run(subscription, &err), err);
	meow_subscription_destroy(subscription);
	assert_int_equal(handled, count(store, NULL, NULL, false));
	assert_ok(store_subscriptions(store, NULL, &list, &err), err);
	assert_int_equal(list.count, 1);
	store_subscriptions_free(&list);
	uint64_t deleted;
	assert_ok(meow_delete(store, "order", id, 6, &deleted, &err), err);
	assert_int_equal(deleted, 2);
	assert_ok(meow_delete(store, "order", id, 0, &deleted, &err), err);
	assert_int_equal(deleted, 6);
}

static void adopts_the_tables_of_postgresql_event_sourcing(void **state)
{
	(void)state;
	const char *url = database_create(), *old = new_uuid(), *id = new_uuid();
	PGconn *conn = sql_open(url);
	struct meow_error err;
	sql_run(conn, "%s", singular_tables);
	sql_run(conn, singular_first, old, old, old);
	sql_run(conn, "INSERT INTO es_aggregate_snapshot VALUES ('%s', 1, '{}')", old);
	char *filenode = sql_text(conn, "SELECT pg_relation_filenode('es_event')");
	assert_ok(set_up(url, &singular, &err), err);
	sql_assert_text(conn, filenode, "SELECT pg_relation_filenode('es_event')"); // no row was written anew
	free(filenode);
	sql_assert_text(conn, "", "SELECT coalesce(to_regclass('es_events'), to_regclass('es_aggregates'))");

	struct meow_store *store = store_open_or_fail(url);
	assert_int_equal(count(store, "order", old, false), 1);
	assert_int_equal(count(store, "order", NULL, false), 1);
	append_in_each_way(store, id);
	append_or_fail(store, "order", old, 1, "{}");
	do_everything_else(store, url, id);
	// An aggregate that its programs are to read begins as theirs do.
	const char *shared = new_uuid();
	sql_run(conn, "INSERT INTO es_aggregate VALUES ('%s', 0, 'order')", shared);
	append_or_fail(store, "order", shared, 0, "{}");
	assert_int_equal(sql_number(conn, "SELECT version FROM es_event WHERE aggregate_id = '%s'", shared), 1);
	sql_run(conn, "DELETE FROM es_event WHERE aggregate_id = '%s'; DELETE FROM es_aggregate WHERE id = '%s'", shared,
		shared);
	// Its own writers go on, and get what ours have, and the other way round.
	sql_run(conn, singular_first, id, id, id);
	assert_int_equal(count(store, "order", id, false), 1);
	sql_assert_text(conn, "order", "SELECT aggregate_type FROM es_event ORDER BY id DESC LIMIT 1");
	sql_run(conn, "DELETE FROM es_event WHERE aggregate_id = '%s'; DELETE FROM es_aggregate WHERE id = '%s'", old, old);
	sql_assert_text(conn, "0", "SELECT count(*) FROM es_aggregate_snapshot");

	sql_run(conn, "SELECT * FROM meowmx_append('order', '%s', 1, '[{\"type\": \"paid\", \"data\": 1}]')", id);
	sql_assert_text(conn, "2", "SELECT count(*) FROM meowmx_read()");
	assert_int_equal(sql_number(conn, "SELECT count(*) FROM meowmx_load('order', '%s')", id), 2);
	sql_run(conn, "ALTER SEQUENCE es_event_id_seq CACHE 2");
	assert_null(meow_store_open(url, &err));
	assert_says(err, "ALTER SEQUENCE es_event_id_seq CACHE 1");
	assert_fails(set_up(url, &singular, &err), err, MEOW_CONFIG);
	assert_says(err, "ALTER SEQUENCE es_event_id_seq CACHE 1");
	meow_store_close(store);
	PQfinish(conn);
}

static void names_that_need_quotes_are_names_too(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	const struct store_tables tables = {"My Events", "order", "Ereignis-Schnappschüsse", NULL};
	struct meow_error err;
	assert_ok(set_up(url, &tables, &err), err);
	struct meow_store *store = store_open_or_fail(url);
	append_in_each_way(store, id);
	do_everything_else(store, url, id);
	meow_store_close(store);
	PGconn *conn = sql_open(url);
	sql_run(conn, "SELECT * FROM meowmx_append('order', '%s', -1, '[{\"type\": \"paid\", \"data\": 1}]')", id);
	sql_assert_text(conn, "1", "SELECT count(*) FROM \"My Events\"");
	sql_assert_text(conn, "es_event_subscriptions", "SELECT to_regclass('es_event_subscriptions')");
	PQfinish(conn);
}

static void what_was_recorded_holds(void **state)
{
	(void)state;
	const char *url = database_create();
	const struct store_tables none = {0}, others = {.events = "events"}, pythons = {.events = "es_events"};
	struct meow_error err;
	assert_ok(set_up(url, &singular, &err), err);
	assert_ok(set_up(url, &singular, &err), err);
	assert_ok(set_up(url, &none, &err), err);
	assert_fails(set_up(url, &pythons, &err), err, MEOW_CONFIG);
	assert_says(err, "store.tables.events is es_events, and the store was set up with es_event");
	PGconn *conn = sql_open(url);
	sql_assert_text(conn, "0", "SELECT count(*) FROM pg_class WHERE relname ~ '^es_(events|aggregates)'");
	PQfinish(conn);

	url = database_create_store(NULL);
	assert_fails(set_up(url, &others, &err), err, MEOW_CONFIG);
	assert_says(err, "store.tables.events is events, and the store was set up with es_events");
	assert_ok(set_up(url, &pythons, &err), err);
	// One of the first schema said nothing of names.
	conn = sql_open(url);
	sql_run(conn, "ALTER TABLE meowmx_meta DROP events, DROP aggregates, DROP snapshots, DROP subscriptions;"
				  "UPDATE meowmx_meta SET schema_version = 1");
	assert_null(meow_store_open(url, &err));
	assert_says(err, "the store's schema is 1, this program needs 5: run `meowmx setup`");
	assert_fails(set_up(url, &others, &err), err, MEOW_CONFIG);
	assert_ok(set_up(url, &none, &err), err);
	sql_assert_text(conn, "es_events es_aggregates es_aggregate_snapshot es_event_subscriptions",
		"SELECT concat_ws(' ', events, aggregates, snapshots, subscriptions) FROM meowmx_meta");
	meow_store_close(store_open_or_fail(url));
	PQfinish(conn);
}

static void tables_that_were_renamed_keep_their_sequence(void **state)
{
	(void)state;
	const char *url = database_create(), *id = new_uuid();
	PGconn *conn = sql_open(url);
	struct meow_error err;
	sql_run(conn, "%s", singular_tables);
	sql_run(conn, "DROP TRIGGER channel_event_notify_trg ON es_event; ALTER TABLE es_event RENAME TO es_events;"
				  "ALTER TABLE es_aggregate RENAME TO es_aggregates");
	const struct store_tables none = {0};
	assert_ok(set_up(url, &none, &err), err);
	sql_assert_text(conn, "es_event_id_seq", "SELECT pg_get_serial_sequence('es_events', 'id')::regclass");
	struct meow_store *store = store_open_or_fail(url);
	append_in_each_way(store, id);
	do_everything_else(store, url, id);
	meow_store_close(store);
	PQfinish(conn);
}

static void what_can_be_no_name_is_refused(void **state)
{
	(void)state;
	const char *url = database_create();
	static const struct store_tables wrong[] = {{.events = ""}, {.events = "shop.events"}, {.aggregates = "it's"},
		{.snapshots = "a\"b"}, {.subscriptions = "50%"},
		{.events = "a234567890123456789012345678901234567890123456789012345678901234"}};
	struct meow_error err;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		assert_fails(set_up(url, &wrong[i], &err), err, MEOW_CONFIG);
		assert_says(err, "cannot be the name of a table");
	}
	const struct store_tables twice = {.events = "es_aggregates"};
	assert_fails(set_up(url, &twice, &err), err, MEOW_CONFIG);
	assert_says(err, "two tables called es_aggregates");
	PGconn *conn = sql_open(url);
	sql_assert_text(conn, "0", "SELECT count(*) FROM pg_class WHERE relname ~ '^(es_|meowmx_)'");
	PQfinish(conn);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(adopts_the_tables_of_postgresql_event_sourcing),
		cmocka_unit_test(names_that_need_quotes_are_names_too),
		cmocka_unit_test(what_was_recorded_holds),
		cmocka_unit_test(tables_that_were_renamed_keep_their_sequence),
		cmocka_unit_test(what_can_be_no_name_is_refused),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
