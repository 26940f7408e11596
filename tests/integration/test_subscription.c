// Subscriptions with a handler: its work and the checkpoint are one, whatever refuses, fails or competes.
#include "database.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AGGREGATES 7

static const char *url;
static struct meow_store *store;

static int each_setup(void **state)
{
	(void)state;
	url = database_create_store("TEXT");
	store = store_open_or_fail(url);
	PGconn *conn = meow_store_postgres(store);
	sql_run(conn, "CREATE TABLE seen (n bigserial, subscription text, position bigint, id text, version int)");
	return 0;
}

static int each_teardown(void **state)
{
	(void)state;
	meow_store_close(store);
	return 0;
}

static PGconn *conn(void)
{
	return meow_store_postgres(store);
}

// `count` events over a few aggregates; each with its number as data.
static void append_events(const char *type, int from, int count)
{
	for (int i = from; i < from + count; i++) {
		char id[32], data[32];
		snprintf(id, sizeof(id), "%s-%d", type, i % AGGREGATES);
		snprintf(data, sizeof(data), "%d", i);
		append_or_fail(store, type, id, MEOW_EXPECT_ANY, data);
	}
}

// A read model in the same database: a row for each event.
struct model {
	const char *name;
	struct meow_subscription *subscription;
	_Atomic int calls;
	_Atomic int reports;
	int refuse_data; // refuses the event with this number,
	int refusals;    // so many times
	int stop_after;  // calls meow_subscription_stop at this call
	int64_t reported_position;
	_Atomic int states[4]; // how often each was reported
	char reason[MEOW_ERROR_TEXT_SIZE];
};

static bool record(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct model *model = arg;
	model->calls++;
	char sql[300];
	snprintf(sql, sizeof(sql), "INSERT INTO seen (subscription, position, id, version) VALUES ('%s', %lld, '%s', %lld)",
		model->name, (long long)event->position, event->aggregate_id.data, (long long)event->version);
	PGresult *result = PQexec(meow_store_postgres(transaction), sql);
	bool ok = PQresultStatus(result) == PGRES_COMMAND_OK;
	if (!ok)
		error_set(err, MEOW_UNAVAILABLE, "%s", PQresultErrorMessage(result));
	PQclear(result);
	if (model->stop_after && model->calls == model->stop_after)
		meow_subscription_stop(model->subscription);
	if (ok && model->refusals > 0 && atoi(event->data.data) == model->refuse_data) {
		model->refusals--;
		return error_set(err, MEOW_INVALID, "number %d is not to my taste", model->refuse_data);
	}
	return ok;
}

static void take_report(void *arg, const struct meow_subscription_report *report)
{
	struct model *model = arg;
	model->reports++;
	model->states[report->state]++;
	if (report->position)
		model->reported_position = report->position;
	if (report->err)
		snprintf(model->reason, sizeof(model->reason), "%s", report->err->text);
}

static struct meow_subscription_settings settings_of(struct model *model)
{
	return (struct meow_subscription_settings){.name = model->name,
		.handler = record,
		.arg = model,
		.report = take_report,
		.batch_events = 50,
		.backoff_least_ms = 5,
		.backoff_most_ms = 20,
		.until_caught_up = true};
}

static struct meow_subscription *create(struct model *model, const struct meow_subscription_settings *settings)
{
	struct meow_error err;
	struct meow_subscription *subscription = meow_subscription_create(url, settings, &err);
	if (!subscription)
		fail_msg("%s", err.text);
	model->subscription = subscription;
	return subscription;
}

static void run_whole(struct model *model, const struct meow_subscription_settings *settings)
{
	struct meow_error err;
	struct meow_subscription *subscription = create(model, settings);
	assert_ok(meow_subscription_run(subscription, &err), err);
	meow_subscription_destroy(subscription);
}

// All events of these types were seen once, in the order of the store.
static void assert_seen(const char *name, const char *types)
{
	char *missing = sql_text(conn(),
		"SELECT string_agg(e.id::text, ' ') FROM es_events e LEFT JOIN seen s ON s.position = e.id AND "
		"s.subscription = '%s' WHERE s.n IS NULL AND e.aggregate_type = ANY ('{%s}')",
		name, types);
	assert_string_equal(missing, "");
	free(missing);
	assert_int_equal(
		sql_number(conn(), "SELECT count(*) - count(DISTINCT position) FROM seen WHERE subscription = '%s'", name), 0);
	assert_int_equal(sql_number(conn(),
						 "SELECT count(*) FROM (SELECT position, lag(position) OVER (ORDER BY n) AS before FROM seen "
						 "WHERE subscription = '%s') o WHERE o.position < o.before",
						 name),
		0);
	assert_int_equal(
		sql_number(conn(),
			"SELECT count(*) FROM seen s JOIN es_events e ON e.id = s.position WHERE s.subscription = '%s' "
			"AND e.aggregate_type <> ALL ('{%s}')",
			name, types),
		0);
}

static int64_t position_of(const char *name)
{
	return sql_number(conn(), "SELECT position FROM meowmx_checkpoints WHERE subscription = '%s'", name);
}

static int64_t head(void)
{
	return sql_number(conn(), "SELECT last_value FROM es_events_id_seq");
}

static void every_event_is_handled_once_and_in_order(void **state)
{
	(void)state;
	struct model model = {.name = "all"};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 120);
	run_whole(&model, &settings);
	assert_seen("all", "order");
	assert_int_equal(model.calls, 120);
	append_events("order", 120, 30);
	run_whole(&model, &settings);
	assert_seen("all", "order");
	assert_int_equal(model.calls, 150);
	assert_int_equal(position_of("all"), head());
	sql_assert_text(conn(), "UNASSIGNED", "SELECT state FROM meowmx_checkpoints");
}

static void an_empty_store_is_caught_up_at_once(void **state)
{
	(void)state;
	struct model model = {.name = "nothing"};
	struct meow_subscription_settings settings = settings_of(&model);
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 0);
	assert_int_equal(position_of("nothing"), 0);
}

static void filters_drop_what_is_not_wanted_and_the_position_passes_it(void **state)
{
	(void)state;
	struct model model = {.name = "payments"}, typed = {.name = "typed"};
	struct meow_subscription_settings settings = settings_of(&model);
	const char *categories[] = {"payment", "refund"}, *types[] = {"b"};
	append_events("payment", 0, 20);
	append_events("order", 0, 200);
	append_events("refund", 0, 5);
	append_events("order", 200, 10);
	settings.categories = categories;
	settings.category_count = 2;
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 25);
	assert_seen("payments", "payment,refund");
	assert_int_equal(position_of("payments"), head());
	struct meow_subscription_settings by_type = settings_of(&typed);
	by_type.event_types = types;
	by_type.event_type_count = 1;
	struct meow_new_event event = {.type = MEOW_BYTES("b"), .data = MEOW_BYTES("7"), .time_us = MEOW_NO_TIME};
	struct meow_append append = {"order", "odd", MEOW_EXPECT_NEW, &event, 1, NULL, NULL};
	struct meow_error err;
	assert_ok(meow_append(store, &append, NULL, NULL, &err), err);
	append_events("order", 210, 3);
	run_whole(&typed, &by_type);
	assert_int_equal(typed.calls, 1);
	sql_assert_text(conn(), "odd", "SELECT id FROM seen WHERE subscription = 'typed'");
	assert_int_equal(position_of("typed"), head());
}

// Python's checkpoints: that of a subscription which has handled nothing, and of one that stands at the second event.
static void one_that_was_pythons_goes_on_where_it_stood(void **state)
{
	(void)state;
	static const struct {
		const char *name;
		int calls;
	} cases[] = {{"nothing", 5}, {"two", 3}};
	append_events("order", 0, 5);
	sql_run(conn(), "INSERT INTO es_event_subscriptions VALUES ('nothing', '0', 0);"
					"INSERT INTO es_event_subscriptions SELECT 'two', transaction_id, id FROM es_events WHERE id = 2");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct model model = {.name = cases[i].name};
		struct meow_subscription_settings settings = settings_of(&model);
		const struct store_adopt wanted = {.name = model.name, .as = model.name};
		struct store_adoption adoption;
		struct meow_error err;
		settings.start_now = true; // it is not a new one
		assert_ok(store_subscription_adopt(store, &wanted, &adoption, &err), err);
		assert_int_equal(adoption.position, 5 - cases[i].calls);
		assert_int_equal(adoption.again, 0);
		run_whole(&model, &settings);
		assert_int_equal(model.calls, cases[i].calls);
		assert_int_equal(position_of(model.name), 5);
	}
}

static void a_new_subscription_may_start_now(void **state)
{
	(void)state;
	struct model model = {.name = "late"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.start_now = true;
	append_events("order", 0, 10);
	run_whole(&model, &settings);
	assert_int_equal(model.calls, 0);
	append_events("order", 10, 3);
	run_whole(&model, &settings); // known by now: it goes on where it was
	assert_int_equal(model.calls, 3);
}

static void a_refused_event_keeps_those_before_it_and_is_tried_again_alone(void **state)
{
	(void)state;
	struct model model = {.name = "picky", .refuse_data = 30, .refusals = 3};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 60);
	run_whole(&model, &settings);
	assert_seen("picky", "order");
	// 31 in the batch, 30 of them again, the refused one twice more and then for good, and the other 29.
	assert_int_equal(model.calls, 31 + 30 + 3 + 29);
	assert_int_equal(model.states[MEOW_SUBSCRIPTION_RETRYING], 3);
	assert_int_equal(
		model.reported_position, sql_number(conn(), "SELECT id FROM es_events WHERE json_data::text = '30'"));
	assert_non_null(strstr(model.reason, "not to my taste"));
}

static void what_is_refused_shows_and_what_was_done_before_stays(void **state)
{
	(void)state;
	struct model model = {.name = "stuck", .refuse_data = 5, .refusals = 1000000, .stop_after = 12};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 10);
	run_whole(&model, &settings);
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM seen"), 5);
	assert_int_equal(position_of("stuck"), sql_number(conn(), "SELECT id FROM es_events WHERE json_data::text = '4'"));
	model.refusals = 0;
	model.stop_after = 0;
	run_whole(&model, &settings);
	assert_seen("stuck", "order");
}

static void a_stop_keeps_what_was_handled(void **state)
{
	(void)state;
	struct model model = {.name = "stopped", .stop_after = 17};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	append_events("order", 0, 60);
	run_whole(&model, &settings);
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM seen"), 17);
	settings.until_caught_up = true;
	model.stop_after = 0;
	run_whole(&model, &settings);
	assert_seen("stopped", "order");
	assert_int_equal(model.calls, 60);
}

static struct meow_subscription *signalled;

static void on_alarm(int number)
{
	(void)number;
	meow_subscription_stop(signalled);
}

static void a_signal_handler_may_stop_it_while_it_waits(void **state)
{
	(void)state;
	struct model model = {.name = "alarmed"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	struct meow_error err;
	struct sigaction action = {.sa_handler = on_alarm};
	append_events("order", 0, 3);
	signalled = create(&model, &settings);
	sigaction(SIGALRM, &action, NULL);
	ualarm(300000, 0);
	assert_ok(meow_subscription_run(signalled, &err), err);
	assert_int_equal(model.calls, 3);
	meow_subscription_stop(signalled); // before it runs: the next run ends at once
	assert_ok(meow_subscription_run(signalled, &err), err);
	meow_subscription_destroy(signalled);
}

// --- others ---

static void *run_in_thread(void *arg)
{
	struct meow_error err;
	return meow_subscription_run(arg, &err) ? NULL : strdup(err.text);
}

static pthread_t start_thread(struct meow_subscription *subscription)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, run_in_thread, subscription), 0);
	return thread;
}

static void join(pthread_t thread)
{
	void *reason;
	pthread_join(thread, &reason);
	if (reason)
		fail_msg("%s", (char *)reason);
}

#define WAIT_FOR(condition)                                                                                            \
	do {                                                                                                               \
		int waited_ms = 0;                                                                                             \
		while (!(condition)) {                                                                                         \
			if (waited_ms++ > 20000)                                                                                   \
				fail_msg("waited in vain for %s", #condition);                                                         \
			usleep(1000);                                                                                              \
		}                                                                                                              \
	} while (0)

static void only_one_at_a_time_works_and_another_takes_over(void **state)
{
	(void)state;
	struct model models[2] = {{.name = "shared"}, {.name = "shared"}};
	struct meow_subscription *subscriptions[2];
	pthread_t threads[2];
	for (int i = 0; i < 2; i++) {
		struct meow_subscription_settings settings = settings_of(&models[i]);
		settings.until_caught_up = false;
		subscriptions[i] = create(&models[i], &settings);
	}
	threads[0] = start_thread(subscriptions[0]);
	WAIT_FOR(models[0].states[MEOW_SUBSCRIPTION_RUNNING]);
	threads[1] = start_thread(subscriptions[1]);
	WAIT_FOR(models[1].states[MEOW_SUBSCRIPTION_WAITING]);
	append_events("order", 0, 100);
	WAIT_FOR(models[0].calls == 100);
	assert_int_equal(models[1].calls, 0);
	meow_subscription_stop(subscriptions[0]);
	join(threads[0]);
	append_events("order", 100, 100);
	WAIT_FOR(models[1].calls == 100);
	meow_subscription_stop(subscriptions[1]);
	join(threads[1]);
	for (int i = 0; i < 2; i++)
		meow_subscription_destroy(subscriptions[i]);
	assert_seen("shared", "order");
}

// Its ids may lie anywhere: nothing below them is skipped by guessing, and nothing that was there before is handled.
static void a_subscription_that_starts_now_waits_for_whoever_is_writing(void **state)
{
	(void)state;
	struct model model = {.name = "late"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.start_now = true;
	settings.until_caught_up = false;
	PGconn *writer = sql_open(url);
	sql_run(writer, "BEGIN; SELECT nextval('es_events_id_seq'); ROLLBACK"); // a gap before the first event
	append_events("order", 0, 10);
	sql_run(writer, "BEGIN; SELECT nextval('es_events_id_seq')");
	append_events("order", 10, 10);
	struct meow_subscription *subscription = create(&model, &settings);
	pthread_t thread = start_thread(subscription);
	WAIT_FOR(model.states[MEOW_SUBSCRIPTION_RETRYING] > 0);
	assert_non_null(strstr(model.reason, "the open transaction of pid"));
	append_events("order", 20, 10);
	assert_int_equal(model.calls, 0);
	sql_run(writer, "COMMIT");
	WAIT_FOR(position_of("late") == head());
	meow_subscription_stop(subscription);
	join(thread);
	meow_subscription_destroy(subscription);
	assert_int_equal(model.calls, 10);
	PQfinish(writer);
}

static void a_connection_that_is_ended_in_the_middle_loses_and_repeats_nothing(void **state)
{
	(void)state;
	struct model model = {.name = "shaken"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	struct meow_subscription *subscription = create(&model, &settings);
	pthread_t thread = start_thread(subscription);
	for (int round = 0; round < 8; round++) {
		append_events("order", round * 50, 50);
		WAIT_FOR(model.calls > round * 40);
		sql_run(conn(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
						"pid <> pg_backend_pid()");
	}
	WAIT_FOR(position_of("shaken") == head());
	meow_subscription_stop(subscription);
	join(thread);
	meow_subscription_destroy(subscription);
	assert_seen("shaken", "order");
	assert_true(model.states[MEOW_SUBSCRIPTION_RETRYING] > 0);
}

// Behind a pooler that is another process, which may be frozen; anywhere it may be somebody with psql.
static void whoever_has_its_checkpoint_locked_cannot_keep_it_from_stopping(void **state)
{
	(void)state;
	struct model model = {.name = "locked"};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 10);
	run_whole(&model, &settings);
	append_events("order", 10, 10);
	settings.until_caught_up = false;
	sql_run(conn(), "BEGIN; SELECT FROM meowmx_checkpoints WHERE subscription = 'locked' FOR UPDATE");
	for (int i = 0; i < 2; i++) {
		struct meow_subscription *subscription = create(&model, &settings);
		pthread_t thread = start_thread(subscription);
		if (i == 0)
			WAIT_FOR(model.states[MEOW_SUBSCRIPTION_RETRYING] > 0);
		else
			WAIT_FOR(position_of("locked") == head());
		meow_subscription_stop(subscription);
		join(thread);
		meow_subscription_destroy(subscription);
		if (i == 0)
			sql_run(conn(), "ROLLBACK");
	}
	assert_seen("locked", "order");
}

static void an_idle_one_whose_claim_is_gone_claims_anew(void **state)
{
	(void)state;
	struct model model = {.name = "idle"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	append_events("order", 0, 10);
	struct meow_subscription *subscription = create(&model, &settings);
	pthread_t thread = start_thread(subscription);
	WAIT_FOR(model.calls == 10);
	for (int round = 1; round < 4; round++) {
		int before = model.states[MEOW_SUBSCRIPTION_RETRYING];
		sql_run(conn(), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
		WAIT_FOR(model.states[MEOW_SUBSCRIPTION_RETRYING] > before); // at the next look at its checkpoint
		append_events("order", round * 10, 10);
		WAIT_FOR(model.calls == round * 10 + 10);
		assert_int_equal(sql_number(conn(), "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"), 1);
	}
	meow_subscription_stop(subscription);
	join(thread);
	meow_subscription_destroy(subscription);
	assert_seen("idle", "order");
}

static void once_it_has_worked_a_store_that_cannot_be_opened_is_waited_for(void **state)
{
	(void)state;
	struct model model = {.name = "patient"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.until_caught_up = false;
	append_events("order", 0, 10);
	struct meow_subscription *subscription = create(&model, &settings);
	pthread_t thread = start_thread(subscription);
	WAIT_FOR(model.calls == 10);
	sql_run(conn(), "ALTER TABLE meowmx_meta RENAME TO elsewhere");
	sql_run(conn(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND "
					"pid <> pg_backend_pid()");
	int before = model.states[MEOW_SUBSCRIPTION_RETRYING];
	WAIT_FOR(model.states[MEOW_SUBSCRIPTION_RETRYING] > before + 2);
	sql_run(conn(), "ALTER TABLE elsewhere RENAME TO meowmx_meta");
	append_events("order", 10, 10);
	WAIT_FOR(model.calls == 20);
	meow_subscription_stop(subscription);
	join(thread);
	meow_subscription_destroy(subscription);
	assert_seen("patient", "order");
}

// --- what handlers do ---

// Each order is answered, once, by an event of an aggregate of its own.
static bool answer(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct model *model = arg;
	model->calls++;
	if (bytes_equal(event->aggregate_type, MEOW_BYTES("answer")))
		return true;
	char id[64];
	snprintf(id, sizeof(id), "to %s", event->aggregate_id.data);
	struct meow_new_event reply = {.type = MEOW_BYTES("answered"), .data = event->data, .time_us = MEOW_NO_TIME};
	struct meow_append append = {"answer", id, MEOW_EXPECT_ANY, &reply, 1, NULL, NULL};
	bool ok = meow_append(transaction, &append, NULL, NULL, err);
	if (ok && model->refusals > 0 && atoi(event->data.data) == model->refuse_data) {
		model->refusals--;
		return false;
	}
	return ok;
}

static void a_handler_may_append_in_its_transaction(void **state)
{
	(void)state;
	struct model model = {.name = "answers", .refuse_data = 20, .refusals = 1};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.handler = answer;
	append_events("order", 0, 60);
	run_whole(&model, &settings); // its own events come back to it
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM es_events WHERE aggregate_type = 'answer'"), 60);
	assert_int_equal(sql_number(conn(), "SELECT count(DISTINCT json_data::text) FROM es_events WHERE aggregate_type = "
										"'answer'"),
		60);
	assert_non_null(strstr(model.reason, "did not say why"));
	assert_int_equal(position_of("answers"), head());
}

static bool throw_away(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	(void)event;
	(void)err;
	PQclear(PQexec(meow_store_postgres(transaction), arg ? "COMMIT" : "ROLLBACK"));
	return true;
}

static void a_handler_that_ends_the_transaction_is_told_so(void **state)
{
	(void)state;
	struct meow_error err;
	append_events("order", 0, 3);
	for (int i = 0; i < 2; i++) {
		struct meow_subscription_settings settings = {.name = "thrower", .handler = throw_away, .arg = i ? &err : NULL};
		struct meow_subscription *subscription = meow_subscription_create(url, &settings, &err);
		assert_non_null(subscription);
		assert_fails(meow_subscription_run(subscription, &err), err, MEOW_INVALID);
		assert_says(err, "must neither commit nor roll back");
		meow_subscription_destroy(subscription);
	}
	assert_int_equal(position_of("thrower"), 0);
}

// The store looks at a deferred constraint when the whole batch is committed.
static void what_only_the_commit_refuses_is_found_and_tried_again_alone(void **state)
{
	(void)state;
	struct model model = {.name = "deferred"};
	struct meow_subscription_settings settings = settings_of(&model);
	append_events("order", 0, 40);
	int64_t culprit = sql_number(conn(), "SELECT id FROM es_events WHERE json_data::text = '23'");
	sql_run(conn(),
		"CREATE TABLE barred AS SELECT %lld::bigint AS position; "
		"CREATE FUNCTION check_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
		"IF EXISTS (SELECT FROM barred b WHERE b.position = NEW.position) THEN "
		"RAISE 'too late' USING ERRCODE = 'check_violation'; END IF; RETURN NULL; END $$; "
		"CREATE CONSTRAINT TRIGGER late AFTER INSERT ON seen DEFERRABLE INITIALLY DEFERRED "
		"FOR EACH ROW EXECUTE FUNCTION check_late()",
		(long long)culprit);
	settings.until_caught_up = false;
	struct meow_subscription *subscription = create(&model, &settings);
	pthread_t thread = start_thread(subscription);
	WAIT_FOR(model.reported_position == culprit);
	assert_int_equal(position_of("deferred"), culprit - 1);
	sql_run(conn(), "DELETE FROM barred");
	WAIT_FOR(position_of("deferred") == head());
	meow_subscription_stop(subscription);
	join(thread);
	meow_subscription_destroy(subscription);
	assert_seen("deferred", "order");
	assert_non_null(strstr(model.reason, "too late"));
}

static bool begin_anew(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	PQclear(PQexec(meow_store_postgres(transaction), "ROLLBACK; BEGIN"));
	return record(arg, transaction, event, err);
}

static void a_handler_that_begins_a_transaction_of_its_own_is_told_so(void **state)
{
	(void)state;
	struct meow_error err;
	struct model model = {.name = "beginner"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.handler = begin_anew;
	append_events("order", 0, 3);
	struct meow_subscription *subscription = create(&model, &settings);
	assert_fails(meow_subscription_run(subscription, &err), err, MEOW_INVALID);
	assert_says(err, "must neither commit nor roll back");
	meow_subscription_destroy(subscription);
	assert_int_equal(position_of("beginner"), 0);
	assert_int_equal(sql_number(conn(), "SELECT count(*) FROM seen"), 0);
}

// Its connection ends in the middle, and it takes no notice: it returns true, or says that it refuses.
struct careless {
	struct model model;
	bool returns;
	bool waits; // longer than the server lets a transaction be idle
};

static bool lose_connection(
	void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
{
	struct careless *careless = arg;
	PGconn *own = meow_store_postgres(transaction);
	if (!record(&careless->model, transaction, event, err))
		return false;
	if (atoi(event->data.data) != 19 || careless->model.calls > 20) // the last one
		return true;
	if (careless->waits) {
		PQclear(PQexec(own, "SET LOCAL idle_in_transaction_session_timeout = 1"));
		struct pollfd ended = {.fd = PQsocket(own), .events = POLLIN};
		assert_int_equal(poll(&ended, 1, 10000), 1);
		return true;
	}
	PQclear(PQexec(own, "SELECT pg_terminate_backend(pg_backend_pid())"));
	return careless->returns;
}

static void a_connection_that_ends_within_the_handler_is_not_the_handlers_fault(void **state)
{
	(void)state;
	append_events("order", 0, 20);
	for (int i = 0; i < 3; i++) {
		struct careless careless = {.model = {.name = i == 0   ? "true"
													  : i == 1 ? "false"
															   : "idle"},
			.returns = i == 0,
			.waits = i == 2};
		struct meow_subscription_settings settings = settings_of(&careless.model);
		settings.handler = lose_connection;
		settings.arg = &careless;
		settings.report = NULL;
		run_whole(&careless.model, &settings);
		assert_seen(careless.model.name, "order");
	}
}

static void settings_that_cannot_be_are_refused(void **state)
{
	(void)state;
	struct meow_error err;
	struct model model = {.name = "x"};
	struct meow_subscription_settings settings = settings_of(&model);
	settings.name = "";
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	settings = settings_of(&model);
	settings.handler = NULL;
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_says(err, "no handler");
	settings = settings_of(&model);
	const char *none[] = {NULL};
	settings.categories = none;
	assert_null(meow_subscription_create(url, &settings, &err));
	assert_says(err, "NULL means all");
	settings = settings_of(&model);
	assert_null(meow_subscription_create("mysql://host/x", &settings, &err));
	assert_int_equal(err.kind, MEOW_CONFIG);
	struct meow_subscription *subscription = meow_subscription_create(database_create(), &settings, &err);
	assert_non_null(subscription);
	assert_fails(meow_subscription_run(subscription, &err), err, MEOW_CONFIG);
	assert_says(err, "meowmx setup");
	meow_subscription_destroy(subscription);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		EACH(every_event_is_handled_once_and_in_order),
		EACH(an_empty_store_is_caught_up_at_once),
		EACH(filters_drop_what_is_not_wanted_and_the_position_passes_it),
		EACH(one_that_was_pythons_goes_on_where_it_stood),
		EACH(a_new_subscription_may_start_now),
		EACH(a_subscription_that_starts_now_waits_for_whoever_is_writing),
		EACH(a_refused_event_keeps_those_before_it_and_is_tried_again_alone),
		EACH(what_is_refused_shows_and_what_was_done_before_stays),
		EACH(a_stop_keeps_what_was_handled),
		EACH(a_signal_handler_may_stop_it_while_it_waits),
		EACH(only_one_at_a_time_works_and_another_takes_over),
		EACH(a_connection_that_is_ended_in_the_middle_loses_and_repeats_nothing),
		EACH(whoever_has_its_checkpoint_locked_cannot_keep_it_from_stopping),
		EACH(an_idle_one_whose_claim_is_gone_claims_anew),
		EACH(once_it_has_worked_a_store_that_cannot_be_opened_is_waited_for),
		EACH(a_handler_may_append_in_its_transaction),
		EACH(a_handler_that_ends_the_transaction_is_told_so),
		EACH(what_only_the_commit_refuses_is_found_and_tried_again_alone),
		EACH(a_handler_that_begins_a_transaction_of_its_own_is_told_so),
		EACH(a_connection_that_ends_within_the_handler_is_not_the_handlers_fault),
		EACH(settings_that_cannot_be_are_refused),
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
