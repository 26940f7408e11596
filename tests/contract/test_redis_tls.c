// Redis behind TLS: the contract, certificates that are not accepted, certificates of clients.
#include "redis_look.h"

#include "base/text.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint16_t tls_port;
static char authority[200], client_certificate[200], client_key[200];

// --- certificates, by the program openssl, in the folder of the test

static void run(const char *line)
{
	if (system(line) != 0) { // NOLINT(cert-env33-c): the line is the test's own
		fprintf(stderr, "failed: %s\n", line);
		exit(1);
	}
}

static const char *path_of(const char *name)
{
	static char path[8][200];
	static size_t next;
	char *to = path[next++ % 8];
	snprintf(to, sizeof(path[0]), "%s/%s", scratch_folder(), name);
	return to;
}

static void make_authority(void)
{
	char line[1000];
	snprintf(line, sizeof(line),
		"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=authority -keyout %s "
		"-out "
		"%s 2>/dev/null",
		path_of("ca.key"), path_of("ca.pem"));
	run(line);
	snprintf(authority, sizeof(authority), "%s", path_of("ca.pem"));
}

// Makes NAME.pem and NAME.key, for these hosts ("DNS:a,IP:127.0.0.1").
static void make_certificate(const char *name, const char *hosts)
{
	char line[2000], key[64], request[64], certificate[64];
	snprintf(key, sizeof(key), "%s.key", name);
	snprintf(request, sizeof(request), "%s.csr", name);
	snprintf(certificate, sizeof(certificate), "%s.pem", name);
	snprintf(line, sizeof(line),
		"cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=%s -keyout %s -out %s "
		"2>/dev/null && echo subjectAltName=%s >extensions && openssl x509 -req -in %s -CA ca.pem -CAkey ca.key "
		"-CAcreateserial -days 2 -extfile extensions -out %s 2>/dev/null",
		scratch_folder(), name, key, request, hosts, request, certificate);
	run(line);
}

// A server with this certificate, on a plain port too, by which the test looks at it.
static struct server *start(const char *certificate, const char *clients)
{
	char port[64], pem[256], key[256], ca[256], auth[64], name[64];
	tls_port = free_port();
	snprintf(port, sizeof(port), "tls-port=%d", (int)tls_port);
	snprintf(name, sizeof(name), "%s.pem", certificate);
	snprintf(pem, sizeof(pem), "tls-cert-file=%s", path_of(name));
	snprintf(name, sizeof(name), "%s.key", certificate);
	snprintf(key, sizeof(key), "tls-key-file=%s", path_of(name));
	snprintf(ca, sizeof(ca), "tls-ca-cert-file=%s", authority);
	snprintf(auth, sizeof(auth), "tls-auth-clients=%s", clients);
	return server_start(
		"redis", "appendonly=yes", "appendfsync=always", "proto-max-bulk-len=1mb", port, pem, key, ca, auth, NULL);
}

// --- the contract

static void set_url(struct contract_settings *settings, const char *host, uint16_t port)
{
	char url[100];
	snprintf(url, sizeof(url), "rediss://%s:%d/0", host, (int)port);
	contract_set(settings, "url", url);
}

static void tls_fresh(void *arg, struct contract_settings *settings)
{
	redis_sink.fresh(arg, settings);
	set_url(settings, "127.0.0.1", tls_port);
	contract_set(settings, "tls_ca", authority);
}

// --- cases of its own

static void use(struct redis_case *fixture, const char *host, uint16_t port, const char *ca, bool certificate)
{
	char url[100];
	snprintf(url, sizeof(url), "rediss://%s:%d/0", host, (int)port);
	if (certificate)
		redis_settings(
			fixture, "", "", "url", url, "tls_ca", ca, "tls_cert", client_certificate, "tls_key", client_key, NULL);
	else if (ca != NULL)
		redis_settings(fixture, "", "", "url", url, "tls_ca", ca, NULL);
	else
		redis_settings(fixture, "", "", "url", url, NULL);
}

static void test_a_host_is_known_by_name_and_by_address(void **state)
{
	struct redis_case *fixture = *state;
	use(fixture, "localhost", tls_port, authority, false);
	assert_true(contract_publish(&fixture->relay, 20, LONG_MS));
	use(fixture, "127.0.0.1", tls_port, authority, false);
	fixture->relay.mark = 20;
	assert_true(contract_publish(&fixture->relay, 40, LONG_MS));
	contract_check(&fixture->relay, 40);
}

static void test_many_and_large_events_pass(void **state)
{
	struct redis_case *fixture = *state;
	struct contract_relay *relay = &fixture->relay;
	use(fixture, "127.0.0.1", tls_port, authority, false);
	relay->batch_events = 2000;
	assert_true(contract_publish(relay, 50000, LONG_MS));
	contract_check(relay, 50000);
	char *data = malloc(1000000);
	assert_non_null(data);
	memset(data, '7', 1000000);
	struct batch *batch = batch_create();
	assert_non_null(batch);
	for (int64_t position = 50001; position <= 50020; position++) {
		struct contract_texts texts;
		struct meow_event event = contract_event(position, &texts);
		event.data = (struct meow_bytes){data, 1000000};
		assert_true(batch_add(batch, &event));
		batch->position = position;
	}
	contract_send(relay, batch);
	assert_true(contract_wait(relay, contract_is_idle, LONG_MS));
	assert_int_equal(relay->mark, 50020);
	redisReply *entries = redis_ask("XRANGE events 50001 + COUNT 20");
	assert_int_equal(entries->elements, 20);
	for (size_t i = 0; i < entries->elements; i++)
		assert_true(
			bytes_equal(redis_field(entries->element[i]->element[1], "data"), (struct meow_bytes){data, 1000000}));
	freeReplyObject(entries);
	free(data);
}

static void test_an_authority_that_is_not_trusted_is_said(void **state)
{
	struct redis_case *fixture = *state;
	use(fixture, "127.0.0.1", tls_port, NULL, false);
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "certificate");
	assert_int_equal(redis_number("EXISTS %s:epoch", POSITION_KEY), 0);
}

static void test_a_certificate_of_another_host_is_refused(void **state)
{
	struct redis_case *fixture = *state;
	struct server *kept = redis_server;
	uint16_t kept_port = tls_port;
	redis_server = start("other", "no");
	use(fixture, "127.0.0.1", tls_port, authority, false);
	redis_open(&fixture->relay);
	struct meow_error address = fixture->relay.error;
	use(fixture, "localhost", tls_port, authority, false);
	redis_open(&fixture->relay);
	struct meow_error name = fixture->relay.error;
	server_destroy(redis_server);
	redis_server = kept;
	tls_port = kept_port;
	if (strstr(address.text, "IP address mismatch") == NULL || strstr(name.text, "ostname mismatch") == NULL)
		fail_msg("%s; %s", address.text, name.text);
}

static void test_a_server_that_wants_to_know_its_clients(void **state)
{
	struct redis_case *fixture = *state;
	struct server *kept = redis_server;
	uint16_t kept_port = tls_port;
	redis_server = start("server", "yes");
	use(fixture, "127.0.0.1", tls_port, authority, false);
	redis_open(&fixture->relay);
	bool refused = fixture->relay.failed && fixture->relay.error.kind == MEOW_UNAVAILABLE;
	use(fixture, "127.0.0.1", tls_port, authority, true);
	bool published = contract_publish(&fixture->relay, 100, LONG_MS);
	contract_close(&fixture->relay);
	server_destroy(redis_server);
	redis_server = kept;
	tls_port = kept_port;
	assert_true(refused);
	assert_true(published);
}

static void test_a_file_that_is_missing_is_named(void **state)
{
	struct redis_case *fixture = *state;
	use(fixture, "127.0.0.1", tls_port, "/nowhere/ca.pem", false);
	assert_false(contract_open(&fixture->relay));
	assert_int_equal(fixture->relay.error.kind, MEOW_CONFIG);
	assert_non_null(strstr(fixture->relay.error.text, "tls_ca: \"/nowhere/ca.pem\""));
}

static void test_a_server_without_tls_is_no_trap(void **state)
{
	struct redis_case *fixture = *state;
	use(fixture, "127.0.0.1", server_port(redis_server), authority, false);
	redis_open(&fixture->relay);
	redis_assert_failed(&fixture->relay, MEOW_UNAVAILABLE, "speaks it?");
}

int main(void)
{
	static struct contract_sink sink;
	signal(SIGPIPE, SIG_IGN); // as the relay does
	make_authority();
	make_certificate("server", "DNS:localhost,IP:127.0.0.1");
	make_certificate("other", "DNS:other.example");
	make_certificate("client", "DNS:client");
	snprintf(client_certificate, sizeof(client_certificate), "%s", path_of("client.pem"));
	snprintf(client_key, sizeof(client_key), "%s", path_of("client.key"));
	redis_server = start("server", "no");
	sink = redis_sink;
	sink.fresh = tls_fresh;
	const struct CMUnitTest cases[] = {
		REDIS_CASE(test_a_host_is_known_by_name_and_by_address),
		REDIS_CASE(test_many_and_large_events_pass),
		REDIS_CASE(test_an_authority_that_is_not_trusted_is_said),
		REDIS_CASE(test_a_certificate_of_another_host_is_refused),
		REDIS_CASE(test_a_server_that_wants_to_know_its_clients),
		REDIS_CASE(test_a_file_that_is_missing_is_named),
		REDIS_CASE(test_a_server_without_tls_is_no_trap),
	};
	int failed = contract_run("redis contract, TLS", &sink);
	failed += cmocka_run_group_tests_name("redis TLS", cases, NULL, NULL);
	server_destroy(redis_server);
	return failed == 0 ? 0 : 1;
}
