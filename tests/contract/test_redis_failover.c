// Redis with replicas: batches that wait for them, and masters that real Sentinels exchange.
#include "redis_look.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MASTER "mymaster"
#define SENTINEL_PASSWORD "s3ntinel"

static struct server *replica, *sentinel;

static struct server *start_replica(void)
{
	char of[64];
	snprintf(of, sizeof(of), "replicaof=127.0.0.1 %d", (int)server_port(redis_server));
	return server_start("redis", "repl-diskless-sync-delay=0", of, NULL);
}

// All that the server has is on `count` replicas too.
static void wait_for_replicas(long long count)
{
	redis_do("SET marker 1");
	for (int tries = 0; redis_number("WAIT %lld 1000", count) < count; tries++)
		if (tries == 30)
			fail_msg("the replica does not follow");
}

// --- WAIT

static int setup_pair(void **state)
{
	redis_server = server_start("redis", "repl-diskless-sync-delay=0", NULL);
	replica = start_replica();
	wait_for_replicas(1);
	return redis_setup(state);
}

static int teardown_pair(void **state)
{
	int result = redis_teardown(state);
	server_destroy(replica);
	server_destroy(redis_server);
	redis_server = replica = NULL;
	return result;
}

static long long entries_of(struct server *of)
{
	struct server *kept = redis_server;
	redis_server = of;
	long long length = redis_number("XLEN events");
	redis_server = kept;
	return length;
}

static void test_a_batch_counts_once_the_replica_has_it(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "wait", "1", "wait_timeout", "10s", NULL);
	for (int64_t target = 10; target <= 500; target += 10) {
		assert_true(contract_publish(&fixture->relay, target, LONG_MS));
		assert_int_equal(entries_of(replica), target);
	}
	assert_true(contract_publish(&fixture->relay, 20000, LONG_MS)); // several batches in flight
	assert_int_equal(entries_of(replica), 20000);
	contract_check(&fixture->relay, 20000);
}

static void test_a_replica_that_hangs_holds_the_route_back_until_it_has_all(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	redis_settings(fixture, "", "", "wait", "1", "wait_timeout", "200ms", NULL);
	assert_true(contract_publish(relay, 50, LONG_MS));
	kill(server_pid(replica), SIGSTOP);
	contract_send(relay, contract_batch(51, 10));
	bool over = contract_wait(relay, contract_is_over, LONG_MS);
	struct meow_error first = relay->error;
	int64_t mark = relay->mark;
	contract_close(relay);
	redis_open(relay); // what stands in the stream does not count by being read back
	bool opened = relay->opened;
	struct meow_error second = relay->error;
	long long there = redis_number("XLEN events");
	kill(server_pid(replica), SIGCONT);
	assert_true(over && !opened);
	assert_int_equal(mark, 50);
	assert_int_equal(there, 60);
	assert_int_equal(first.kind, MEOW_UNAVAILABLE);
	assert_non_null(strstr(first.text, "0 of 1 replicas (`wait`) had the batch up to 60 after 200 ms"));
	assert_int_equal(second.kind, MEOW_UNAVAILABLE);
	assert_non_null(strstr(second.text, "0 of 1 replicas (`wait`) had what was written last"));
	assert_true(contract_publish(relay, 100, LONG_MS));
	assert_int_equal(entries_of(replica), 100);
	contract_check(relay, 100);
}

static void test_more_replicas_than_there_are_is_said(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "", "wait", "2", "wait_timeout", "100ms", NULL);
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "1 of 2 replicas (`wait`)");
}

// --- Sentinel

static int setup_sentinel(void **state)
{
	char monitor[100];
	redis_server = server_start("redis", "repl-diskless-sync-delay=0", NULL);
	replica = start_replica();
	// Less than a few of its pings (one a second), and a busy machine makes it exchange masters that work.
	snprintf(monitor, sizeof(monitor), "sentinel=monitor " MASTER " 127.0.0.1 %d 1", (int)server_port(redis_server));
	sentinel = server_start("sentinel", monitor, "sentinel=down-after-milliseconds " MASTER " 2500",
		"sentinel=failover-timeout " MASTER " 2000", NULL);
	wait_for_replicas(1);
	return redis_setup(state);
}

static int teardown_sentinel(void **state)
{
	int result = redis_teardown(state);
	server_destroy(sentinel);
	server_destroy(replica);
	server_destroy(redis_server);
	redis_server = replica = sentinel = NULL;
	return result;
}

// The first Sentinel named is not there.
static void use_sentinel(struct redis_case *fixture, const char *master, const char *name, const char *value)
{
	char url[200];
	snprintf(url, sizeof(url), "redis+sentinel://127.0.0.1:%d,127.0.0.1:%d/%s/0", (int)free_port(),
		(int)server_port(sentinel), master);
	redis_settings(fixture, "", "", "url", url, name, value, NULL);
}

// Sentinel promotes only what it has found before.
static void wait_until_replica_is_known(void)
{
	struct server *kept = redis_server;
	redis_server = sentinel;
	for (int tries = 0;; tries++) {
		redisReply *reply = redis_ask("SENTINEL REPLICAS " MASTER);
		bool known = reply->type == REDIS_REPLY_ARRAY && reply->elements == 1 &&
					 strcmp(redis_field(reply->element[0], "master-link-status").data, "ok") == 0 &&
					 strcmp(redis_field(reply->element[0], "flags").data, "slave") == 0;
		freeReplyObject(reply);
		if (known)
			break;
		if (tries == 300)
			fail_msg("Sentinel does not find the replica");
		usleep(100000);
	}
	redis_server = kept;
}

static void swap_servers(void)
{
	struct server *kept = redis_server;
	redis_server = replica;
	replica = kept;
}

static void test_a_master_that_dies_is_followed_to_the_promoted_replica(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use_sentinel(fixture, MASTER, "wait_timeout", "5s");
	assert_true(contract_publish(relay, 200, LONG_MS));
	wait_for_replicas(1);
	wait_until_replica_is_known();
	server_kill(redis_server);
	assert_true(contract_publish(relay, 400, LONG_MS));
	swap_servers();
	contract_check(relay, 400);
	// The old one comes back, and becomes the replica.
	server_again(replica);
	assert_true(contract_publish(relay, 500, LONG_MS));
	wait_for_replicas(1);
	assert_int_equal(entries_of(replica), 500);
	contract_check(relay, 500);
}

// With `wait`, what was acknowledged is on the replica, whichever moment the master dies at.
static void test_with_wait_a_failover_needs_no_rewind(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use_sentinel(fixture, MASTER, "wait", "1");
	relay->batch_events = 50;
	wait_until_replica_is_known();
	assert_true(contract_publish_past(relay, 20000, 1000000, LONG_MS)); // more is in flight
	server_kill(redis_server);
	int64_t acknowledged = relay->mark;
	contract_close(relay);
	swap_servers();
	redis_settings(fixture, "", "", NULL); // the new master has no replica to wait for
	redis_open(relay);
	while (!relay->opened) { // until it is promoted
		assert_true(error_may_retry(relay->error.kind));
		contract_close(relay);
		usleep(100000);
		redis_open(relay);
	}
	assert_true(relay->memory_delivered >= acknowledged);
	contract_check(relay, relay->memory_delivered);
}

static void test_a_replica_that_lacks_the_tail_gets_it_again(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use_sentinel(fixture, MASTER, "wait_timeout", "5s");
	assert_true(contract_publish(relay, 200, LONG_MS));
	wait_for_replicas(1);
	wait_until_replica_is_known();
	kill(server_pid(replica), SIGSTOP);
	redis_do("CLIENT KILL TYPE replica");
	bool published = contract_publish(relay, 260, LONG_MS);
	server_kill(redis_server);
	kill(server_pid(replica), SIGCONT);
	assert_true(published);
	contract_wait(relay, contract_is_over, LONG_MS);
	swap_servers();
	do { // until it is promoted
		assert_true(error_may_retry(relay->error.kind));
		contract_close(relay);
		usleep(100000);
		redis_open(relay);
	} while (!relay->opened);
	assert_int_equal(redis_connector.when_behind, SINK_REWIND);
	assert_int_equal(relay->memory_kind, MEMORY_HELD);
	assert_int_equal(relay->memory_delivered, 200);
	contract_close(relay);
	relay->mark = 200;
	assert_true(contract_publish(relay, 400, LONG_MS));
	contract_check(relay, 400);
}

static void test_a_master_that_sentinel_does_not_know_is_said(void **state)
{
	struct redis_case *fixture = *state;
	use_sentinel(fixture, "nobody", "wait_timeout", "5s");
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "no Sentinel says where the master \"nobody\" is");
	contract_close(&fixture->relay);
	server_kill(sentinel);
	use_sentinel(fixture, MASTER, "wait_timeout", "5s");
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "Connection refused");
}

// Sentinel names a server that is a replica by now: it has not noticed yet.
static void test_a_replica_that_sentinel_takes_for_the_master_is_refused(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use_sentinel(fixture, MASTER, "wait_timeout", "5s");
	assert_true(contract_publish(relay, 10, LONG_MS));
	contract_close(relay);
	kill(server_pid(sentinel), SIGSTOP); // a stale one, which is asked once it goes on
	redis_do("CONFIG SET replica-read-only no");
	redis_do("REPLICAOF 127.0.0.1 %d", (int)free_port());
	kill(server_pid(sentinel), SIGCONT);
	redis_open(relay);
	redis_assert_failed(relay, MEOW_UNAVAILABLE, "is no master");
	assert_non_null(strstr(relay->error.text, "(master \"" MASTER "\")"));
	assert_int_equal(redis_number("XLEN events"), 10);
}

static void test_sentinels_with_a_password(void **state)
{
	struct redis_case *fixture = *state;
	struct server *kept = redis_server;
	redis_server = sentinel;
	redis_do("ACL SETUSER default resetpass >" SENTINEL_PASSWORD);
	redis_server = kept;
	use_sentinel(fixture, MASTER, "wait_timeout", "5s");
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "sentinel_password");
	contract_close(&fixture->relay);
	use_sentinel(fixture, MASTER, "sentinel_password", SENTINEL_PASSWORD);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	use_sentinel(fixture, MASTER, "sentinel_password", "wrong");
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "refused the password");
}

int main(void)
{
	const struct CMUnitTest cases[] = {
#define PAIR(test) cmocka_unit_test_setup_teardown(test, setup_pair, teardown_pair)
#define SENTINEL(test) cmocka_unit_test_setup_teardown(test, setup_sentinel, teardown_sentinel)
		PAIR(test_a_batch_counts_once_the_replica_has_it),
		PAIR(test_a_replica_that_hangs_holds_the_route_back_until_it_has_all),
		PAIR(test_more_replicas_than_there_are_is_said),
		SENTINEL(test_a_master_that_dies_is_followed_to_the_promoted_replica),
		SENTINEL(test_with_wait_a_failover_needs_no_rewind),
		SENTINEL(test_a_replica_that_lacks_the_tail_gets_it_again),
		SENTINEL(test_a_master_that_sentinel_does_not_know_is_said),
		SENTINEL(test_a_replica_that_sentinel_takes_for_the_master_is_refused),
		SENTINEL(test_sentinels_with_a_password),
	};
	return cmocka_run_group_tests_name("redis failover", cases, NULL, NULL) == 0 ? 0 : 1;
}
