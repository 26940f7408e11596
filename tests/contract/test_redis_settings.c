// Settings of the Redis connector: passwords, rights, databases, and what is refused before a connection is made.
#include "redis_look.h"

#include "connectors/redis/redis_tls.h"

#include <stdlib.h>
#include <string.h>

static void test_passwords(void **state)
{
	struct redis_case *fixture = *state;
	redis_do("CONFIG SET requirepass s3/cret");
	redis_do("ACL SETUSER relay on >p%%40ss ~* &* +@all");
	static const struct {
		const char *credentials;
		enum meow_error_kind kind;
		const char *text;
	} tries[] = {
		{"", MEOW_DENIED, "wants a password"},
		{":wrong@", MEOW_DENIED, "correct `url`"},
		{":s3%2Fcret@", MEOW_ERROR_NONE, ""},
		{"relay:p%2540ss@", MEOW_ERROR_NONE, ""},
		{"relay:s3%2Fcret@", MEOW_DENIED, "correct `url`"},
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		redis_settings(fixture, tries[i].credentials, "", NULL);
		redis_open(&fixture->relay);
		const struct contract_relay *relay = &fixture->relay;
		bool right = tries[i].kind == MEOW_ERROR_NONE ? relay->opened
													  : relay->failed && relay->error.kind == tries[i].kind &&
															strstr(relay->error.text, tries[i].text) != NULL;
		bool leaks = strstr(relay->error.text, "wrong@") != NULL || strstr(relay->error.text, "cret") != NULL;
		if (!right || leaks) {
			redis_do("CONFIG SET requirepass %s", "");
			fail_msg("%s: %s", tries[i].credentials, relay->error.text);
		}
	}
	redis_do("CONFIG SET requirepass %s", "");
	redis_do("ACL DELUSER relay");
}

static void test_a_user_who_may_not_ask_for_more_can_still_be_used(void **state)
{
	struct redis_case *fixture = *state;
	redis_do(
		"ACL SETUSER relay on >pw ~events ~meowmx:* +set +get +hmget +hset +xadd +xinfo +xrange +watch +multi +exec "
		"+select");
	redis_settings(fixture, "relay:pw@", "", NULL);
	bool published = contract_publish(&fixture->relay, 100, LONG_MS);
	contract_close(&fixture->relay);
	redis_do("ACL SETUSER relay resetkeys ~meowmx:*");
	redis_open(&fixture->relay);
	if (fixture->relay.opened) {
		fixture->relay.sink->impl->begin(fixture->relay.connector, 100, NULL);
		contract_send(&fixture->relay, contract_batch(101, 5));
		assert_true(contract_wait(&fixture->relay, contract_is_over, LONG_MS));
	}
	redis_do("ACL DELUSER relay");
	assert_true(published);
	redis_assert_failed(&fixture->relay, MEOW_DENIED, "lacks a right");
}

static void make_user(const char *but)
{
	redis_do(
		"ACL SETUSER relay reset on >pw ~events ~meowmx:* +set +get +hmget +hset +xadd +xinfo +xrange +watch +multi "
		"+exec +select +xtrim +wait %s",
		but);
}

// Opens, publishes, opens again: until something is refused.
static void publish_until_refused(struct contract_relay *relay)
{
	for (int64_t first = 1; first <= 11 && !relay->failed; first += 10) {
		contract_close(relay);
		redis_open(relay);
		if (relay->failed)
			return;
		relay->sink->impl->begin(relay->connector, first - 1, NULL);
		contract_send(relay, contract_batch(first, 10));
		assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	}
}

static void test_each_right_that_a_user_lacks_is_said_in_one_line(void **state)
{
	struct redis_case *fixture = *state;
	static const char *const commands[] = {"-set", "-get", "-hmget", "-hset", "-xadd", "-xinfo", "-xrange", "-watch",
		"-multi", "-exec", "-select", "-xtrim"};
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++) {
		redis_settings(fixture, "relay:pw@", "", "minid", "1", NULL);
		redis_do("FLUSHALL");
		make_user(commands[i]);
		publish_until_refused(&fixture->relay);
		redis_assert_failed(&fixture->relay, MEOW_DENIED, "the user lacks a right (ACL)");
		if (strstr(fixture->relay.error.text, commands[i] + 1) == NULL)
			fail_msg("%s: %s", commands[i], fixture->relay.error.text);
		assert_int_equal(redis_number("XLEN events") % 10, 0);
	}
	redis_settings(fixture, "relay:pw@", "", "minid", "1", NULL);
	redis_do("FLUSHALL");
	make_user("+ping");
	publish_until_refused(&fixture->relay);
	assert_false(fixture->relay.failed);
	redis_do("ACL DELUSER relay");
}

static void test_a_policy_that_may_evict_streams_is_said_once(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	static const char *const harmless[] = {"noeviction", "volatile-lru", "volatile-ttl"};
	for (size_t i = 0; i < sizeof(harmless) / sizeof(*harmless); i++) {
		redis_do("CONFIG SET maxmemory-policy %s", harmless[i]);
		assert_true(contract_publish(relay, 10 * (int64_t)(i + 1), LONG_MS));
		contract_close(relay);
		assert_int_equal(relay->notices, 0);
	}
	redis_do("CONFIG SET maxmemory-policy allkeys-lfu");
	assert_true(contract_publish(relay, 200, LONG_MS));
	redis_do("CONFIG SET maxmemory-policy noeviction");
	assert_int_equal(relay->notices, 1);
	assert_non_null(strstr(relay->notice, "maxmemory-policy allkeys-lfu"));
}

static void test_another_database(void **state)
{
	struct redis_case *fixture = *state;
	redis_settings(fixture, "", "/3", NULL);
	assert_true(contract_publish(&fixture->relay, 10, LONG_MS));
	redis_do("SELECT 3");
	long long length = redis_number("XLEN events");
	redis_do("SELECT 0");
	assert_int_equal(length, 10);
	assert_int_equal(redis_number("EXISTS events"), 0);
	redis_settings(fixture, "", "/999", NULL);
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_CONFIG, "database");
}

static void test_a_cluster_is_refused(void **state)
{
	struct redis_case *fixture = *state;
	struct server *kept = redis_server;
	redis_server = server_start("redis", "cluster-enabled=yes", NULL);
	redis_settings(fixture, "", "", NULL);
	redis_open(&fixture->relay);
	struct contract_relay *relay = &fixture->relay;
	bool right =
		relay->failed && relay->error.kind == MEOW_CONFIG && strstr(relay->error.text, "not supported") != NULL;
	server_destroy(redis_server);
	redis_server = kept;
	assert_true(right);
}

static bool is_accepted(const char *name, const char *value, struct meow_error *ret_err)
{
	struct contract_settings *settings = contract_settings_create(&redis_connector);
	contract_set(settings, "url", "redis://localhost");
	contract_set(settings, "stream", "events");
	contract_set(settings, name, value);
	bool ok = contract_load(settings, ret_err);
	contract_settings_destroy(settings);
	return ok;
}

static void test_settings_are_checked(void **state)
{
	(void)state;
	static const struct {
		const char *name, *value, *text; // text: of the reason, NULL if it is fine
	} tries[] = {
		{"url", "redis://localhost", NULL},
		{"url", "redis://:pw@[::1]:6380/2", NULL},
		{"url", "redis+sentinel://a:26379,b:26379/mymaster/0", NULL},
		{"url", "redis+sentinel://a:26379,b:26379", "names no master"},
		{"url", "redis+sentinel://a:26379,b:port/mymaster", "port"},
		{"url", "redis+sentinel://a/mymaster/zero", "database"},
		{"url", "redis://a,b", "several hosts"},
		{"url", "http://localhost", "must begin with redis://"},
		{"url", "redis://", "no host"},
		{"url", "redis://localhost:port", "port"},
		{"url", "redis://localhost:0", "port"},
		{"url", "redis://localhost/zero", "database"},
		{"url", "redis://localhost?x=1", "?"},
		{"url", "redis://user@localhost", "password"},
		{"url", "redis://:a%zzb@localhost", "%25"},
		{"stream", "events:{nothing}", "nothing"},
		{"stream", "{aggregate_type", "stream"},
		{"maxlen", "-1", "maxlen"},
		{"minid", "-1", "minid"},
		{"minid", "1000000", NULL},
		{"trim", "exact", NULL},
		{"trim", "roughly", "trim"},
		{"wait", "2", NULL},
		{"wait", "-1", "wait"},
		{"wait_timeout", "0s", "wait_timeout"},
		{"wait_timeout", "30s", "wait_timeout"}, // longer than a connection may be silent
		{"tls_ca", "/etc/ssl/certs/ca.pem", "write rediss://"},
		{"tls_key", "key.pem", "write rediss://"},
		{"sentinel_password", "x", "redis+sentinel://"},
	};
	for (size_t i = 0; i < sizeof(tries) / sizeof(*tries); i++) {
		struct meow_error err = {0};
		bool ok = is_accepted(tries[i].name, tries[i].value, &err);
		if (ok != (tries[i].text == NULL) ||
			(!ok && (err.kind != MEOW_CONFIG || strstr(err.text, tries[i].text) == NULL)))
			fail_msg("%s: %s: %s", tries[i].name, tries[i].value, err.text);
	}
}

static void test_tls_is_refused_where_the_build_has_none(void **state)
{
	(void)state;
	struct meow_error err = {0};
	bool ok = is_accepted("url", "rediss://localhost", &err);
	assert_int_equal(ok, redis_tls_is_built());
	if (!ok) {
		assert_int_equal(err.kind, MEOW_CONFIG);
		assert_non_null(strstr(err.text, "rediss:// needs TLS, which this build cannot do"));
	}
}

static void test_two_routes_may_not_share_a_stream(void **state)
{
	(void)state;
	static const char *const urls[] = {"redis://localhost/0", "redis://u:p@localhost:6379", "redis://localhost/1",
		"redis+sentinel://a,b:1/m", "redis+sentinel://u:p@b:1,a:26379/m/0", "redis+sentinel://a,b:1/n"};
	const size_t count = sizeof(urls) / sizeof(*urls);
	char *texts[sizeof(urls) / sizeof(*urls)];
	for (size_t i = 0; i < count; i++) {
		struct contract_settings *settings = contract_settings_create(&redis_connector);
		contract_set(settings, "url", urls[i]);
		contract_set(settings, "stream", "events");
		texts[i] = redis_connector.exclusive(contract_section(settings));
		contract_settings_destroy(settings);
		assert_non_null(texts[i]);
		assert_null(strstr(texts[i], "u:p"));
	}
	assert_string_equal(texts[0], texts[1]);
	assert_string_not_equal(texts[0], texts[2]);
	assert_string_equal(texts[3], texts[4]);
	assert_string_not_equal(texts[3], texts[5]);
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
}

int main(void)
{
	redis_server = server_start("redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", NULL);
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_passwords),
		REDIS_CASE(test_a_user_who_may_not_ask_for_more_can_still_be_used),
		REDIS_CASE(test_each_right_that_a_user_lacks_is_said_in_one_line),
		REDIS_CASE(test_a_policy_that_may_evict_streams_is_said_once),
		REDIS_CASE(test_another_database),
		REDIS_CASE(test_a_cluster_is_refused),
		REDIS_CASE(test_settings_are_checked),
		REDIS_CASE(test_tls_is_refused_where_the_build_has_none),
		REDIS_CASE(test_two_routes_may_not_share_a_stream),
	};
	int failed = cmocka_run_group_tests_name("redis settings", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
