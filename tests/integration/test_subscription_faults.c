// Subscriptions with a handler: its work and the checkpoint are one, whatever competes, fails or misbehaves.
#include "subscription_case.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// --- others ---

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
	WAIT_FOR(model.calls == 10 && position_of("idle") == head()); // committed, else it would be handled again
	for (int round = 1; round < 4; round++) {
		int before = model.states[MEOW_SUBSCRIPTION_RETRYING];
		sql_run(conn(), "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'");
		WAIT_FOR(model.states[MEOW_SUBSCRIPTION_RETRYING] > before); // at the next look at its checkpoint
		append_events("order", round * 10, 10);
		WAIT_FOR(position_of("idle") == head());
		assert_int_equal(model.calls, round * 10 + 10);
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
	WAIT_FOR(model.calls == 10 && position_of("patient") == head()); // committed, else it would be handled again
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

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, each_setup, each_teardown)
	const struct CMUnitTest tests[] = {
		EACH(a_subscription_that_starts_now_waits_for_whoever_is_writing),
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
	};
	return cmocka_run_group_tests(tests, database_group_setup, database_group_teardown);
}
