// The Redis connector: the contract, and what happens to it while events flow: it runs out of memory, becomes a replica,
// is taken over, loses its connections. All against a real server.
#include "redis_look.h"

#include "support/proxy.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_out_of_memory_in_the_middle_of_a_batch_applies_nothing(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redisReply *info = redis_ask("INFO memory");
	const char *used = strstr(info->str, "used_memory:");
	assert_non_null(used);
	redis_do("CONFIG SET maxmemory %lld", atoll(used + strlen("used_memory:")) + 300000);
	freeReplyObject(info);
	contract_send(relay, contract_batch(51, 3000));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	redis_do("CONFIG SET maxmemory 0");
	assert_true(over);
	redis_assert_failed(relay, MEOW_UNAVAILABLE, "out of memory");
	contract_check(relay, 50);
	assert_true(contract_publish(relay, 3050, LONG_MS));
	contract_check(relay, 3050);
}

static void test_a_replica_is_waited_for(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	assert_true(contract_publish(relay, 50, LONG_MS));
	redis_do("REPLICAOF 127.0.0.1 1");
	contract_send(relay, contract_batch(51, 10));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	struct meow_error middle = relay->error;
	contract_close(relay);
	redis_open(relay);
	redis_do("REPLICAOF NO ONE");
	assert_true(over);
	assert_true(error_may_retry(middle.kind));
	redis_assert_failed(relay, MEOW_UNAVAILABLE, "read-only replica");
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
}

static void test_a_second_relay_takes_over_and_nothing_is_twice(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay, other;
	assert_true(contract_publish(relay, 50, LONG_MS));
	contract_relay_init(&other, &redis_sink, fixture->settings);
	bool published = contract_publish(&other, 100, LONG_MS);
	contract_send(relay, contract_batch(51, 50));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	contract_relay_finish(&other);
	assert_true(published && over);
	assert_true(relay->failed && relay->error.kind == MEOW_CONFLICT);
	contract_check(relay, 100);
}

struct killer {
	pthread_t thread;
	atomic_bool done;
	int kills;
};

static void *kill_connections(void *arg)
{
	struct killer *killer = arg;
	redisContext *context = redisConnect("127.0.0.1", server_port(redis_server));
	while (context != NULL && !killer->done) {
		redisReply *reply = redisCommand(context, "CLIENT KILL TYPE normal SKIPME yes");
		if (reply != NULL && reply->type == REDIS_REPLY_INTEGER)
			killer->kills += (int)reply->integer;
		freeReplyObject(reply);
		usleep(15000);
	}
	if (context != NULL)
		redisFree(context);
	return NULL;
}

static void test_killed_connections_lose_nothing_and_add_nothing_twice(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	struct killer killer = {.done = false};
	relay->batch_events = 100;
	assert_int_equal(pthread_create(&killer.thread, NULL, kill_connections, &killer), 0);
	for (int64_t target = 5000; target <= 200000 && killer.kills < 20; target += 5000)
		if (!contract_publish(relay, target, LONG_MS))
			break;
	int64_t reached = relay->mark;
	killer.done = true;
	pthread_join(killer.thread, NULL);
	assert_true(killer.kills >= 20);
	freeReplyObject(redis_ask("PING"));
	contract_close(relay);
	assert_true(contract_publish(relay, reached + 10, LONG_MS));
	contract_check(relay, reached + 10);
}

// As where a firewall has forgotten the connection: the batch is there, and nobody ever says so.
static void test_a_reply_that_never_comes_is_not_waited_for_long(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	struct proxy *proxy = proxy_start(server_port(redis_server));
	char url[64];
	snprintf(url, sizeof(url), "redis://127.0.0.1:%d/0", (int)proxy_port(proxy));
	redis_settings(fixture, "", "", "url", url, "wait_timeout", "1500ms", NULL);
	assert_true(contract_publish(relay, 50, LONG_MS));
	proxy_arm(proxy, PROXY_SWALLOW, "EXEC");
	contract_send(relay, contract_batch(51, 10));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	assert_true(over);
	redis_assert_failed(relay, MEOW_UNKNOWN_OUTCOME, "no answer for 5 s"); // wait_timeout adds nothing without replicas
	contract_close(relay);
	assert_true(contract_publish(relay, 100, LONG_MS));
	contract_check(relay, 100);
	contract_close(relay);
	proxy_stop(proxy);
}

struct consumer {
	pthread_t thread;
	atomic_bool done;
	int64_t last;
	bool in_order;
};

// Deletes each entry once it has it, as some consumers do: that touches a watched stream.
static void *consume(void *arg)
{
	struct consumer *consumer = arg;
	redisContext *context = redisConnect("127.0.0.1", server_port(redis_server));
	consumer->in_order = context != NULL && context->err == 0;
	while (consumer->in_order && !consumer->done) {
		redisReply *reply = redisCommand(context, "XRANGE events - + COUNT 10");
		for (size_t i = 0; reply != NULL && i < reply->elements; i++) {
			const char *id = reply->element[i]->element[0]->str;
			consumer->in_order = consumer->in_order && atoll(id) == ++consumer->last;
			freeReplyObject(redisCommand(context, "XDEL events %s", id));
		}
		freeReplyObject(reply);
	}
	if (context != NULL)
		redisFree(context);
	return NULL;
}

static void test_a_consumer_that_deletes_while_events_flow_gets_each_once(void **state)
{
	struct redis_case *fixture = *state;
	struct consumer consumer = {.done = false};
	assert_int_equal(pthread_create(&consumer.thread, NULL, consume, &consumer), 0);
	bool published = contract_publish(&fixture->relay, 2000, LONG_MS);
	for (int tries = 0; published && tries < 500 && redis_number("XLEN events") > 0; tries++)
		usleep(10000);
	consumer.done = true;
	pthread_join(consumer.thread, NULL);
	assert_true(published && consumer.in_order);
	assert_int_equal(consumer.last, 2000);
}

int main(void)
{
	redis_server = server_start("redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", NULL);
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_out_of_memory_in_the_middle_of_a_batch_applies_nothing),
		REDIS_CASE(test_a_replica_is_waited_for),
		REDIS_CASE(test_a_second_relay_takes_over_and_nothing_is_twice),
		REDIS_CASE(test_killed_connections_lose_nothing_and_add_nothing_twice),
		REDIS_CASE(test_a_reply_that_never_comes_is_not_waited_for_long),
		REDIS_CASE(test_a_consumer_that_deletes_while_events_flow_gets_each_once),
	};
	int failed = contract_run("redis contract, one stream", &redis_sink);
	failed += contract_run("redis contract, a stream per category", &redis_sink_per_category);
	failed += cmocka_run_group_tests_name("redis", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
