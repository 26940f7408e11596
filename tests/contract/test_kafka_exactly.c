// Exactly-once delivery to a real broker: the suite of all connectors a second time, and what transactions alone promise.
// What is read back is what a read_committed consumer sees.
#include "kafka_case.h"
#include "log.h"

#include "connectors/kafka/kafka.h"
#include "connectors/kafka/kafka_record.h"
#include "support/proxy.h"
#include "support/server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct contract_sink kafka = {
	.impl = &kafka_connector,
	.fresh = kafka_case_fresh,
	.read = kafka_case_read,
	.stop = kafka_case_stop, // brokers that are killed have a case of their own
	.start = kafka_case_start,
	.spoil = kafka_case_spoil,
	.store_id = broker.store_id,
	.keeps_memory = true,
};

// --- cases of its own

static struct contract_relay *make_relay(struct fixture *fixture)
{
	contract_relay_init(&fixture->relay, &kafka, fixture->settings);
	return &fixture->relay;
}

// Opens it, without begin. False if it failed.
static bool try_open(struct contract_relay *relay)
{
	if (!contract_open(relay))
		fail_msg("create: %s", relay->error.text);
	assert_true(contract_wait(relay, contract_is_open, LONG_MS));
	return relay->opened;
}

static void expect_error(struct contract_relay *relay, enum meow_error_kind kind, const char *const texts[])
{
	assert_true(relay->failed);
	if (relay->error.kind != kind)
		fail_msg("kind %s: %s", error_kind_name(relay->error.kind), relay->error.text);
	for (; *texts != NULL; texts++)
		expect_text(relay, *texts);
}
#define TEXTS(...) ((const char *const[]){__VA_ARGS__, NULL})

static bool never(const struct contract_relay *relay)
{
	(void)relay;
	return false;
}

// --- the record

struct last_record {
	struct kafka_record record;
	size_t count;
};

static void note_record(void *arg, const rd_kafka_message_t *message)
{
	struct last_record *last = arg;
	const char *why;
	free(last->record.fingerprint);
	last->record.fingerprint = NULL;
	if (!kafka_record_parse((struct meow_bytes){message->key, message->key_len},
			(struct meow_bytes){message->payload, message->len}, &last->record, &why))
		fail_msg("offset %" PRId64 ": %s", message->offset, why);
	last->count++;
}

static void test_each_transaction_writes_the_position(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	relay->epoch = 4;
	assert_true(contract_publish(relay, 100, LONG_MS));
	assert_int_equal(relay->confirmed, 1);
	struct last_record last = {0};
	kafka_consume(servers(), broker.checkpoint, note_record, &last);
	assert_true(last.count >= 1 && last.count <= 4);
	assert_int_equal(last.record.delivered, 100);
	assert_int_equal(last.record.epoch, 4);
	assert_int_equal(last.record.layout, 0);
	assert_int_equal(last.record.partition, 0);
	assert_int_equal(last.record.generation, 0);

	contract_close(relay);
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_kind, MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 100);
	assert_string_equal(relay->memory_fingerprint, last.record.fingerprint);
	free(last.record.fingerprint);
}

// What waits while a commit is under way goes together in the next transaction; alone, each is one of its own.
static void test_transactions_grow_under_load_and_are_small_without(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	relay->batch_events = 10;
	relay->window_batches = 64;
	assert_true(contract_publish(relay, 5000, LONG_MS));
	struct last_record last = {0};
	kafka_consume(servers(), broker.checkpoint, note_record, &last);
	if (last.count > 250) // of 500 batches
		fail_msg("%zu transactions", last.count);
	size_t before = last.count;
	relay->window_batches = 1;
	assert_true(contract_publish(relay, 5100, LONG_MS));
	last.count = 0;
	kafka_consume(servers(), broker.checkpoint, note_record, &last);
	assert_int_equal(last.count, before + 10);
	free(last.record.fingerprint);
	contract_check(relay, 5100);
}

static void test_an_older_generation_does_not_count(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_close(relay);
	relay->generation = 1; // as `subscription rewind` does
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_delivered, 100);
	assert_int_equal(relay->memory_generation, 0); // so the relay knows
	relay->mark = 50;
	relay->next = 51;
	kafka_connector.begin(relay->connector, 50, NULL);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 60);
	contract_close(relay);
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_delivered, 60);
	assert_int_equal(relay->memory_generation, 1);
}

// --- ends and beginnings

static void resume(struct contract_relay *relay)
{
	assert_true(try_open(relay));
	int64_t known = relay->memory_kind == MEMORY_HELD ? relay->memory_delivered : 0;
	assert_true(known >= relay->mark);
	relay->mark = known;
	relay->next = known + 1;
	kafka_connector.begin(relay->connector, known, NULL);
}

static void test_a_route_that_is_let_go_on_below_the_position_is_told_to_rewind(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	assert_true(try_open(relay));
	relay->sink->impl->begin(relay->connector, 30, NULL);
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	expect_error(relay, MEOW_CONFIG, TEXTS("has 50", "behind 30", "`meowmx subscription rewind contract 30`"));
}

static void test_a_connector_that_goes_at_any_step_leaves_whole_transactions(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	for (int step = 0; step < 40; step++) {
		resume(relay);
		for (int i = 0; i < 3; i++)
			contract_send(relay, contract_batch(relay->next, 20));
		contract_wait(relay, never, step % 20);
		contract_close(relay);
	}
	int64_t target = relay->mark + 200;
	assert_true(contract_publish(relay, target, LONG_MS));
	contract_check(relay, target);
}

static void test_an_older_connector_is_fenced_and_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *older = make_relay(fixture), newer;
	assert_true(contract_publish(older, 50, LONG_MS));
	contract_relay_init(&newer, &kafka, fixture->settings);
	assert_true(contract_publish(&newer, 100, LONG_MS));
	contract_send(older, contract_batch(51, 25));
	assert_true(contract_wait(older, contract_is_over, LONG_MS));
	expect_error(older, MEOW_UNAVAILABLE, TEXTS("another producer of this route has taken over"));
	assert_int_equal(older->mark, 50);
	assert_true(contract_publish(&newer, 150, LONG_MS));
	contract_check(&newer, 150);
	contract_relay_finish(&newer);
}

// Fenced with its messages already in the topics.
static void test_a_connector_that_is_fenced_in_a_transaction_changes_nothing(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *older = make_relay(fixture), newer;
	assert_true(contract_publish(older, 50, LONG_MS));
	contract_relay_init(&newer, &kafka, fixture->settings);
	for (int turn = 0; turn < 10; turn++) {
		int64_t from = older->mark + 1;
		contract_send(older, contract_batch(from, 20));
		contract_wait(older, never, turn);
		newer.mark = older->mark;
		resume(&newer);
		int64_t target = newer.mark + 20;
		contract_wait(older, contract_is_idle, LONG_MS);
		assert_true(contract_publish(&newer, target, LONG_MS));
		contract_close(&newer);
		contract_close(older);
		older->mark = target;
		resume(older);
	}
	contract_check(older, older->mark);
	contract_relay_finish(&newer);
}

static void test_a_broker_that_is_killed_again_and_again_repeats_and_loses_nothing(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	relay->window_batches = 16;
	for (int64_t target = 100; target <= 500; target += 400) {
		assert_true(contract_publish_past(relay, target, 6000, LONG_MS));
		server_kill(broker.server);
		contract_publish(relay, 6000, 300);
		server_again(broker.server);
	}
	assert_true(contract_publish(relay, 6000, LONG_MS));
	contract_check(relay, 6000);
}

// --- the checkpoint topic

static void test_the_position_is_found_behind_many_aborted_records(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_close(relay);
	kafka_abort_records(servers(), broker.checkpoint, 1500);
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_kind, MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 100);
}

static void test_a_transaction_of_somebody_else_is_said_and_waited_for(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_close(relay);
	rd_kafka_t *foreign = kafka_leave_open(servers(), broker.checkpoint, 3);
	bool opened = try_open(relay);
	rd_kafka_error_t *error = rd_kafka_abort_transaction(foreign, LONG_MS);
	rd_kafka_destroy(foreign);
	assert_null(error);
	assert_false(opened);
	expect_error(relay, MEOW_UNAVAILABLE, TEXTS(broker.checkpoint, "transaction of somebody else"));
	contract_close(relay);
	assert_true(contract_publish(relay, 200, LONG_MS));
	contract_check(relay, 200);
}

static void test_records_of_somebody_else_are_named_and_refused(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_close(relay);
	kafka_write(servers(), broker.checkpoint, "what is that", "{}");
	assert_false(try_open(relay));
	expect_error(relay, MEOW_CONFIG, TEXTS(broker.checkpoint, "partition 0", "offset ", "\"what is that\""));
}

static void test_a_checkpoint_topic_that_forgets_is_refused(void **state)
{
	struct contract_relay *relay = make_relay(*state);
	kafka_create_topic(servers(), broker.checkpoint, "cleanup.policy", "delete");
	assert_false(try_open(relay));
	expect_error(relay, MEOW_CONFIG, TEXTS(broker.checkpoint, "cleanup.policy=delete", "compact"));
}

static void test_a_checkpoint_topic_gets_a_partition_for_each_of_the_route(void **state)
{
	struct fixture *fixture = *state;
	struct contract_relay *relay = make_relay(fixture);
	kafka_create_topic(servers(), broker.checkpoint, "cleanup.policy", "compact"); // with two
	relay->partition = 2;
	assert_true(contract_publish(relay, 50, LONG_MS));
	assert_int_equal(kafka_partition_count(servers(), broker.checkpoint), 3);
	contract_close(relay);
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_delivered, 50);
	contract_close(relay);
	relay->partition = 1; // has its own position
	assert_true(try_open(relay));
	assert_int_equal(relay->memory_kind, MEMORY_EMPTY);
	contract_relay_finish(relay);

	start_settings(fixture, servers());
	contract_set(fixture->settings, "create", "false");
	relay = make_relay(fixture);
	relay->partition = 3;
	assert_false(try_open(relay));
	expect_error(relay, MEOW_CONFIG, TEXTS(broker.checkpoint, "has 3 partitions", "give it 4"));
}

static void test_a_checkpoint_topic_with_too_few_copies_is_refused(void **state)
{
	struct fixture *fixture = *state;
	kafka_create_topic(servers(), broker.checkpoint, "cleanup.policy", "compact");
	contract_set(fixture->settings, "replication", "3");
	struct contract_relay *relay = make_relay(fixture);
	assert_false(try_open(relay));
	expect_error(relay, MEOW_CONFIG, TEXTS(broker.checkpoint, "replication factor 1", "3"));
}

static void test_with_create_false_the_checkpoint_topic_is_not_created(void **state)
{
	struct fixture *fixture = *state;
	start_settings(fixture, servers());
	contract_set(fixture->settings, "create", "false");
	struct contract_relay *relay = make_relay(fixture);
	assert_false(try_open(relay));
	expect_error(relay, MEOW_UNAVAILABLE, TEXTS(broker.checkpoint, "does not exist", "cleanup.policy=compact"));
	assert_int_equal(kafka_partition_count(servers(), broker.checkpoint), 0);
	contract_close(relay);
	kafka_create_topic(servers(), broker.checkpoint, "cleanup.policy", "compact");
	assert_true(try_open(relay));

	// A transaction does not stay open while its topic is missing.
	kafka_connector.begin(relay->connector, 0, NULL);
	contract_send(relay, contract_batch(1, 1));
	assert_true(contract_wait(relay, was_noticed, LONG_MS));
	assert_non_null(strstr(relay->notice, fixture->topic));
	kafka_create_topic(servers(), fixture->topic, NULL, NULL);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 1);
	contract_check(relay, 1);
}

// --- what a broker refuses

static void test_an_event_too_large_for_the_topic_is_refused_alone(void **state)
{
	struct fixture *fixture = *state;
	kafka_create_topic(servers(), fixture->topic, "max.message.bytes", "30000");
	struct contract_relay *relay = make_relay(fixture);
	assert_true(contract_publish(relay, 40, LONG_MS));
	contract_send(relay, padded_batch(41, 40, 300, 64, 50000));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	if (!relay->refused)
		fail_msg("failed: %s", relay->error.text);
	assert_int_equal(relay->refused_at, 64);
	assert_int_equal(relay->error.kind, MEOW_INVALID);
	assert_non_null(strstr(relay->error.text, "event 64 "));
	assert_int_equal(relay->mark, 40);

	// As the relay does then: what comes before it is sent, and nothing behind it.
	contract_close(relay);
	relay->refused = false;
	assert_true(contract_publish(relay, 63, LONG_MS));
	contract_check(relay, 63);
}

// --- partitions

struct places {
	int64_t positions[20000];
	size_t count;
	int64_t first_new; // the first position in a partition that was not there at the beginning
	int64_t last;
};

static void note_place(void *arg, const rd_kafka_message_t *message)
{
	struct places *places = arg;
	int64_t position = kafka_header_number(message, "meowmx-position");
	assert_true(places->count < sizeof(places->positions) / sizeof(*places->positions));
	for (size_t i = 0; i < places->count; i++)
		assert_true(places->positions[i] != position);
	places->positions[places->count++] = position;
	if (message->partition >= 3 && (places->first_new == 0 || position < places->first_new))
		places->first_new = position;
}

static void test_more_partitions_count_between_two_transactions_and_are_said_once(void **state)
{
	struct fixture *fixture = *state;
	contract_set_item(fixture->settings, "client", "topic.metadata.refresh.interval.ms", "200");
	struct contract_relay *relay = make_relay(fixture);
	assert_true(contract_publish(relay, 200, LONG_MS));
	int before = relay->notices; // that topics were created
	kafka_grow_topic(servers(), fixture->topic, 24);
	relay->window_batches = 8;
	int64_t target = 200;
	while (relay->notices == before && target < 10000)
		assert_true(contract_publish(relay, target += 25, LONG_MS));
	assert_int_equal(relay->notices, before + 1);
	assert_non_null(strstr(relay->notice, fixture->topic));
	assert_non_null(strstr(relay->notice, "24 partitions instead of 3"));
	int64_t told_at = relay->mark;
	assert_true(contract_publish(relay, target + 700, LONG_MS));
	assert_int_equal(relay->notices, before + 1);

	struct places *places = calloc(1, sizeof(*places));
	assert_non_null(places);
	kafka_consume(servers(), broker.prefix, note_place, places);
	assert_int_equal(places->count, target + 700);
	assert_true(places->first_new > 200);
	assert_true(places->first_new > told_at - 25 && places->first_new <= told_at + 700);
	free(places);
}

// --- a network that loses and delays

// size, then the key of the request: EndTxn
static bool is_end_of_transaction(const char *bytes, size_t size)
{
	return size > 8 && bytes[4] == 0 && bytes[5] == 26;
}

static void wait_for_fault(struct contract_relay *relay, struct proxy *proxy)
{
	for (int i = 0; i < LONG_MS / 10 && !proxy_happened(proxy); i++)
		contract_wait(relay, never, 10);
	assert_true(proxy_happened(proxy));
}

// librdkafka then asks again by itself and reports success; the first request may still come, and end a later
// transaction. So a new producer, with a later epoch, takes over before the next transaction, and nobody notices.
static void publish_through(struct contract_relay *relay, struct proxy *proxy, enum proxy_fault fault)
{
	proxy_arm_match(proxy, fault, is_end_of_transaction);
	contract_send(relay, contract_batch(relay->next, 25));
	wait_for_fault(relay, proxy);
	contract_send(relay, contract_batch(relay->next, 25));
	int before = relay->confirmed;
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed)
		fail_msg("fault %d: %s", (int)fault, relay->error.text);
	assert_int_equal(relay->confirmed, before + 1); // and asked for the lease
	assert_int_equal(relay->mark, relay->next - 1);
}

// A broker of the case's own, which is reached through the proxy alone.
static struct proxy *start_behind_proxy(struct fixture *fixture, const char *property)
{
	struct proxy *proxy = proxy_start(0);
	char advertised[80], through[40];
	snprintf(through, sizeof(through), "127.0.0.1:%d", proxy_port(proxy));
	snprintf(advertised, sizeof(advertised), "advertised.listeners=PLAINTEXT://%s", through);
	broker.server = server_start("kafka", advertised, property, NULL);
	proxy_target(proxy, server_port(broker.server));
	start_settings(fixture, through);
	return proxy;
}

static void test_a_commit_that_is_asked_for_twice_ends_no_later_transaction(void **state)
{
	struct fixture *fixture = *state;
	struct server *usual = broker.server;
	struct proxy *proxy = start_behind_proxy(fixture, NULL);
	contract_set_item(fixture->settings, "client", "socket.timeout.ms", "1000");
	struct contract_relay *relay = make_relay(fixture);
	assert_true(contract_publish(relay, 50, LONG_MS));

	publish_through(relay, proxy, PROXY_KEEP);
	assert_non_null(strstr(relay->notice, "asked for more than once"));
	int notices = relay->notices;
	proxy_arm_match(proxy, PROXY_SWALLOW, is_end_of_transaction);
	contract_send(relay, contract_batch(relay->next, 25));
	wait_for_fault(relay, proxy); // the next transaction is under way
	proxy_deliver(proxy);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed)
		fail_msg("after the late request: %s", relay->error.text);
	publish_through(relay, proxy, PROXY_SWALLOW);
	publish_through(relay, proxy, PROXY_CUT_AFTER);
	publish_through(relay, proxy, PROXY_CUT_BEFORE);
	assert_int_equal(relay->notices, notices); // said once
	contract_check(relay, relay->mark);
	contract_close(relay);
	server_destroy(broker.server);
	broker.server = usual;
	proxy_stop(proxy);
}

// What waits takes the link twice as long as a transaction may.
static void test_what_waits_is_cut_into_transactions_that_a_slow_link_can_carry(void **state)
{
	enum { BATCHES = 24, EVENTS = 8, LAST = BATCHES * EVENTS };
	struct fixture *fixture = *state;
	struct server *usual = broker.server;
	struct proxy *proxy =
		start_behind_proxy(fixture, "transaction.abort.timed.out.transaction.cleanup.interval.ms=500");
	contract_set_item(fixture->settings, "client", "transaction.timeout.ms", "4000");
	contract_set_item(fixture->settings, "client", "socket.timeout.ms", "4000");
	contract_set_item(fixture->settings, "client", "batch.size", "100000");
	struct contract_relay *relay = make_relay(fixture);
	assert_true(contract_publish(relay, 1, LONG_MS)); // the topic is there
	proxy_delay(proxy, 10);                           // each 16 KB
	for (int i = 0; i < BATCHES; i++) {
		struct batch *batch = padded_batch(2 + i * EVENTS, EVENTS, 50000, 0, 0);
		contract_batch_seal(batch);
		contract_send(relay, batch);
	}
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	if (relay->failed)
		fail_msg("%s", relay->error.text);
	assert_int_equal(relay->mark, 1 + LAST);
	contract_close(relay);
	server_destroy(broker.server);
	broker.server = usual;
	proxy_stop(proxy);
}

// One argument, a pattern, runs the cases that match it.
int main(int argc, char **argv)
{
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	const struct CMUnitTest cases[] = {
		CASE(test_each_transaction_writes_the_position),
		CASE(test_transactions_grow_under_load_and_are_small_without),
		CASE(test_an_older_generation_does_not_count),
		CASE(test_a_route_that_is_let_go_on_below_the_position_is_told_to_rewind),
		CASE(test_a_connector_that_goes_at_any_step_leaves_whole_transactions),
		CASE(test_an_older_connector_is_fenced_and_changes_nothing),
		CASE(test_a_connector_that_is_fenced_in_a_transaction_changes_nothing),
		CASE(test_the_position_is_found_behind_many_aborted_records),
		CASE(test_a_transaction_of_somebody_else_is_said_and_waited_for),
		CASE(test_records_of_somebody_else_are_named_and_refused),
		CASE(test_a_checkpoint_topic_that_forgets_is_refused),
		CASE(test_a_checkpoint_topic_gets_a_partition_for_each_of_the_route),
		CASE(test_a_checkpoint_topic_with_too_few_copies_is_refused),
		CASE(test_with_create_false_the_checkpoint_topic_is_not_created),
		CASE(test_an_event_too_large_for_the_topic_is_refused_alone),
		CASE(test_more_partitions_count_between_two_transactions_and_are_said_once),
		CASE(test_a_commit_that_is_asked_for_twice_ends_no_later_transaction),
		CASE(test_what_waits_is_cut_into_transactions_that_a_slow_link_can_carry),
		CASE(test_a_broker_that_is_killed_again_and_again_repeats_and_loses_nothing),
	};
	broker.delivery = "exactly-once";
	broker.server = server_start("kafka", NULL);
	int failed = contract_run("kafka exactly once", &kafka);
	failed += cmocka_run_group_tests_name("exactly once alone", cases, NULL, NULL);
	server_destroy(broker.server);
	return failed;
}
