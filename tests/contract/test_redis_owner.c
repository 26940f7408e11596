// Who owns a route in Redis: the epoch key. An owner with a lower epoch than the one that stands there changes nothing,
// whenever it connected.
#include "redis_look.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define EPOCH_KEY POSITION_KEY ":epoch"

static void assert_epoch(const char *beginning)
{
	redisReply *reply = redis_ask("GET %s", EPOCH_KEY);
	assert_int_equal(reply->type, REDIS_REPLY_STRING);
	if (strncmp(reply->str, beginning, strlen(beginning)) != 0)
		fail_msg("%s", reply->str);
	freeReplyObject(reply);
}

static void test_an_older_epoch_is_refused_and_a_newer_one_takes_over(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	relay->epoch = 2;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_close(relay);
	assert_epoch("2.");
	relay->epoch = 1;
	redis_open(relay);
	redis_assert_failed(relay, MEOW_CONFLICT, "a newer owner (epoch 2, this one has 1)");
	assert_non_null(strstr(relay->error.text, "`redis-cli -n 0 DEL " EPOCH_KEY "`"));
	contract_close(relay);
	assert_epoch("2.");
	relay->epoch = 2; // the same owner again
	assert_true(contract_publish(relay, 60, LONG_MS));
	contract_close(relay);
	relay->epoch = 10; // numbers, not texts
	assert_true(contract_publish(relay, 70, LONG_MS));
	contract_close(relay);
	assert_epoch("10.");
	relay->epoch = 9;
	redis_open(relay);
	redis_assert_failed(relay, MEOW_CONFLICT, "epoch 10");
	contract_check(relay, 70);
}

static void test_a_frozen_owner_that_thaws_changes_nothing(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *old = &fixture->relay, new;
	old->epoch = 1;
	assert_true(contract_publish(old, 50, LONG_MS));
	contract_relay_init(&new, &redis_sink, fixture->settings);
	new.epoch = 2;
	bool taken = contract_publish(&new, 100, LONG_MS);
	// On the connection that it still has, and on a new one.
	contract_send(old, contract_batch(51, 50));
	bool over = contract_wait(old, contract_is_over, LONG_MS);
	enum meow_error_kind kind = old->error.kind;
	contract_close(old);
	redis_open(old);
	bool refused = old->failed && old->error.kind == MEOW_CONFLICT;
	bool undisturbed = new.connector != NULL &&contract_publish(&new, 150, LONG_MS) && !new.failed;
	contract_relay_finish(&new);
	assert_true(taken && over && kind == MEOW_CONFLICT);
	redis_assert_failed(old, MEOW_CONFLICT, "a newer owner");
	assert_true(refused && undisturbed);
	assert_epoch("2.");
	contract_check(old, 150);
}

// The batch is put up to its EXEC, which waits for the reads: the new owner comes in between.
static void test_an_owner_that_freezes_in_the_middle_of_a_batch_applies_nothing(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *old = &fixture->relay, new;
	old->epoch = 1;
	assert_true(contract_publish(old, 50, LONG_MS));
	contract_send(old, contract_batch(51, 25)); // its loop does not run: frozen
	contract_relay_init(&new, &redis_sink, fixture->settings);
	new.epoch = 2;
	redis_open(&new);
	bool opened = new.opened &&new.memory_delivered == 50;
	bool over = contract_wait(old, contract_is_over, LONG_MS);
	contract_relay_finish(&new);
	assert_true(opened && over);
	assert_int_equal(old->error.kind, MEOW_CONFLICT);
	contract_check(old, 50);
}

static void test_an_epoch_key_that_is_not_ours_stops_and_is_named(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	static const char *const values[] = {"hello", "5", "-1.5", ".5", "1.", "1.x", "99999999999999999999.1", ""};
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		redis_do("SET %s %s", EPOCH_KEY, values[i]);
		redis_open(relay);
		redis_assert_failed(relay, MEOW_CONFIG, EPOCH_KEY);
		contract_close(relay);
		redisReply *kept = redis_ask("GET %s", EPOCH_KEY);
		assert_string_equal(kept->str, values[i]);
		freeReplyObject(kept);
	}
	redis_do("DEL %s", EPOCH_KEY);
	redis_do("HSET %s a b", EPOCH_KEY);
	redis_open(relay);
	redis_assert_failed(relay, MEOW_CONFIG, EPOCH_KEY);
}

static void test_an_epoch_key_that_goes_in_the_middle_is_noticed(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	relay->epoch = 3;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redis_do("DEL %s", EPOCH_KEY);
	contract_send(relay, contract_batch(51, 10));
	assert_true(contract_wait(relay, contract_is_over, LONG_MS));
	redis_assert_failed(relay, MEOW_CONFLICT, "took this route over");
	contract_check(relay, 50);
	contract_close(relay);
	assert_true(contract_publish(relay, 60, LONG_MS));
	contract_check(relay, 60);
}

struct setter {
	pthread_t thread;
	atomic_bool done;
};

static void *set_epoch(void *arg)
{
	struct setter *setter = arg;
	redisContext *context = redis_connect();
	while (!setter->done)
		freeReplyObject(redisCommand(context, "SET %s 1.1", EPOCH_KEY));
	redisFree(context);
	return NULL;
}

static void test_two_that_begin_at_the_same_moment_do_not_both_own_it(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	struct setter setter = {.done = false};
	relay->epoch = 1;
	assert_int_equal(pthread_create(&setter.thread, NULL, set_epoch, &setter), 0);
	bool met = false;
	for (int i = 0; i < 2000 && !met; i++) {
		redis_open(relay);
		met = relay->failed && relay->error.kind == MEOW_CONFLICT &&
			  strstr(relay->error.text, "at the same moment") != NULL;
		if (relay->failed && !met)
			break;
		contract_close(relay);
	}
	setter.done = true;
	pthread_join(setter.thread, NULL);
	if (!met)
		fail_msg("%s", relay->error.text);
}

int main(void)
{
	redis_server = server_start("redis", NULL);
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_an_older_epoch_is_refused_and_a_newer_one_takes_over),
		REDIS_CASE(test_a_frozen_owner_that_thaws_changes_nothing),
		REDIS_CASE(test_an_owner_that_freezes_in_the_middle_of_a_batch_applies_nothing),
		REDIS_CASE(test_an_epoch_key_that_is_not_ours_stops_and_is_named),
		REDIS_CASE(test_an_epoch_key_that_goes_in_the_middle_is_noticed),
		REDIS_CASE(test_two_that_begin_at_the_same_moment_do_not_both_own_it),
	};
	int failed = cmocka_run_group_tests_name("redis owner", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
