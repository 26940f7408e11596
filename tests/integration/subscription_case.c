// subscription_case.c: see subscription_case.h.
#include "subscription_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGGREGATES 7

const char *url;
struct meow_store *store;

int each_setup(void **state)
{
	(void)state;
	url = database_create_store("TEXT");
	store = store_open_or_fail(url);
	PGconn *conn = meow_store_postgres(store);
	sql_run(conn, "CREATE TABLE seen (n bigserial, subscription text, position bigint, id text, version int)");
	return 0;
}

int each_teardown(void **state)
{
	(void)state;
	meow_store_close(store);
	return 0;
}

PGconn *conn(void)
{
	return meow_store_postgres(store);
}

void append_events(const char *type, int from, int count)
{
	for (int i = from; i < from + count; i++) {
		char id[32], data[32];
		snprintf(id, sizeof(id), "%s-%d", type, i % AGGREGATES);
		snprintf(data, sizeof(data), "%d", i);
		append_or_fail(store, type, id, MEOW_EXPECT_ANY, data);
	}
}

bool record(void *arg, struct meow_store *transaction, const struct meow_event *event, struct meow_error *err)
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

void take_report(void *arg, const struct meow_subscription_report *report)
{
	struct model *model = arg;
	model->reports++;
	model->states[report->state]++;
	if (report->position)
		model->reported_position = report->position;
	if (report->err)
		snprintf(model->reason, sizeof(model->reason), "%s", report->err->text);
}

struct meow_subscription_settings settings_of(struct model *model)
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

struct meow_subscription *create(struct model *model, const struct meow_subscription_settings *settings)
{
	struct meow_error err;
	struct meow_subscription *subscription = meow_subscription_create(url, settings, &err);
	if (!subscription)
		fail_msg("%s", err.text);
	model->subscription = subscription;
	return subscription;
}

void run_whole(struct model *model, const struct meow_subscription_settings *settings)
{
	struct meow_error err;
	struct meow_subscription *subscription = create(model, settings);
	assert_ok(meow_subscription_run(subscription, &err), err);
	meow_subscription_destroy(subscription);
}

void assert_seen(const char *name, const char *types)
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

int64_t position_of(const char *name)
{
	return sql_number(conn(), "SELECT position FROM meowmx_checkpoints WHERE subscription = '%s'", name);
}

int64_t head(void)
{
	return sql_number(conn(), "SELECT last_value FROM es_events_id_seq");
}

static void *run_in_thread(void *arg)
{
	struct meow_error err;
	return meow_subscription_run(arg, &err) ? NULL : strdup(err.text);
}

pthread_t start_thread(struct meow_subscription *subscription)
{
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, run_in_thread, subscription), 0);
	return thread;
}

void join(pthread_t thread)
{
	void *reason;
	pthread_join(thread, &reason);
	if (reason)
		fail_msg("%s", (char *)reason);
}
