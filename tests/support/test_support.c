// The servers for tests: they start, end in both ways, start again on the same port, and leave nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/proxy.h"
#include "support/server.h"

static bool listens(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
	int probe = socket(AF_INET, SOCK_STREAM, 0);
	bool answer;

	assert_true(probe >= 0);
	answer = connect(probe, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(probe);
	return answer;
}

static void ends_and_starts_again_on_its_port(void **state)
{
	struct server *server = server_start("redis", "maxmemory=50mb", NULL);
	uint16_t port = server_port(server);

	(void)state;
	assert_memory_equal(server_url(server), "redis://127.0.0.1:", 18);
	assert_true(listens(port));
	server_stop(server);
	assert_false(listens(port));
	server_again(server);
	assert_int_equal(server_port(server), port);
	assert_true(listens(port));
	server_kill(server);
	assert_false(listens(port));
	server_again(server);
	assert_true(listens(port));
	server_destroy(server);
	assert_false(listens(port));
}

// A test that crashes: its server must go by itself.
static void goes_with_a_crashed_test(void **state)
{
	uint16_t port = 0;
	int ends[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		port = server_port(server_start("redis", NULL));
		if (write(ends[1], &port, sizeof(port)) != sizeof(port))
			_exit(1);
		raise(SIGKILL);
	}
	assert_int_equal(read(ends[0], &port, sizeof(port)), sizeof(port));
	assert_int_equal(waitpid(child, &status, 0), child);
	for (int turn = 0; turn < 100 && listens(port); turn++)
		usleep(100000);
	assert_false(listens(port));
	close(ends[0]);
	close(ends[1]);
}

static void a_free_port_is_free(void **state)
{
	(void)state;
	assert_false(listens(free_port()));
	assert_int_not_equal(free_port(), 0);
}

static int open_connection(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(port)};
	int connection = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(connection >= 0);
	assert_int_equal(connect(connection, (struct sockaddr *)&address, sizeof(address)), 0);
	return connection;
}

static void say(int connection, const char *request)
{
	assert_int_equal(send(connection, request, strlen(request), MSG_NOSIGNAL), strlen(request));
}

// What comes back within so many milliseconds (-1: however long it takes); "" if the connection was closed, NULL if
// nothing came.
static const char *hear(int connection, int timeout_ms)
{
	static char reply[64];
	struct pollfd wait = {.fd = connection, .events = POLLIN};

	if (poll(&wait, 1, timeout_ms) == 0)
		return NULL;
	ssize_t size = recv(connection, reply, sizeof(reply) - 1, 0);
	reply[size > 0 ? size : 0] = '\0';
	return reply;
}

static void assert_hears(int connection, const char *expected)
{
	assert_string_equal(hear(connection, -1), expected);
}

static bool is_long(const char *bytes, size_t size)
{
	(void)bytes;
	return size > strlen("PING\r\n");
}

// --- a proxy: what each fault leaves, on the connection and in the server

struct link {
	struct proxy *proxy;
	int direct, through; // connections
};

static struct server *redis; // of all these cases

static int redis_up(void **state)
{
	(void)state;
	redis = server_start("redis", NULL);
	return 0;
}

static int redis_down(void **state)
{
	(void)state;
	server_destroy(redis);
	return 0;
}

static int link_up(void **state)
{
	static struct link link;

	link.proxy = proxy_start(server_port(redis));
	link.direct = open_connection(server_port(redis));
	link.through = open_connection(proxy_port(link.proxy));
	say(link.direct, "FLUSHALL\r\n");
	assert_hears(link.direct, "+OK\r\n");
	*state = &link;
	return 0;
}

static int link_down(void **state)
{
	struct link *link = *state;

	close(link->through);
	proxy_stop(link->proxy);
	close(link->direct);
	return 0;
}

static void through_again(struct link *link)
{
	close(link->through);
	link->through = open_connection(proxy_port(link->proxy));
}

// In the server, whatever the connection through the proxy was told.
static void assert_stored(const struct link *link, const char *expected)
{
	say(link->direct, "GET k\r\n");
	assert_hears(link->direct, expected);
}

static void assert_passes(const struct link *link)
{
	say(link->through, "PING\r\n");
	assert_hears(link->through, "+PONG\r\n");
}

static void a_proxy_cuts_before_or_after_the_marked_request(void **state)
{
	struct link *link = *state;

	say(link->through, "SET k 1\r\n");
	assert_hears(link->through, "+OK\r\n");
	proxy_arm(link->proxy, PROXY_CUT_BEFORE, "k 2");
	assert_passes(link); // it is not the marked one
	say(link->through, "SET k 2\r\n");
	proxy_wait(link->proxy);
	assert_hears(link->through, "");
	assert_stored(link, "$1\r\n1\r\n");

	through_again(link);
	proxy_arm(link->proxy, PROXY_CUT_AFTER, NULL);
	say(link->through, "SET k 3\r\n");
	proxy_wait(link->proxy);
	assert_hears(link->through, "");
	assert_stored(link, "$1\r\n3\r\n");

	proxy_arm(link->proxy, PROXY_CUT_BEFORE, "PING");
	proxy_disarm(link->proxy);
	through_again(link);
	assert_passes(link);
}

static void a_proxy_swallows_a_reply_or_keeps_a_request(void **state)
{
	struct link *link = *state;

	proxy_arm(link->proxy, PROXY_SWALLOW, NULL);
	say(link->through, "SET k 4\r\n");
	proxy_wait(link->proxy);
	assert_null(hear(link->through, 50));
	assert_stored(link, "$1\r\n4\r\n");

	through_again(link);
	proxy_arm_match(link->proxy, PROXY_KEEP, is_long);
	assert_passes(link);
	say(link->through, "SET k 5\r\n");
	proxy_wait(link->proxy);
	say(link->through, "PING\r\n");
	assert_null(hear(link->through, 50));
	assert_stored(link, "$1\r\n4\r\n");
	through_again(link);
	proxy_deliver(link->proxy); // although its sender has gone
	assert_stored(link, "$1\r\n5\r\n");
}

static void a_proxy_stalls_cuts_and_refuses(void **state)
{
	struct link *link = *state;

	proxy_stall(link->proxy, true);
	say(link->through, "PING\r\n");
	assert_null(hear(link->through, 50));
	proxy_stall(link->proxy, false);
	assert_hears(link->through, "+PONG\r\n"); // late, and whole
	proxy_cut(link->proxy);
	assert_hears(link->through, "");

	proxy_refuse(link->proxy, true);
	through_again(link);
	assert_hears(link->through, "");
	proxy_refuse(link->proxy, false);
	through_again(link);
	assert_passes(link);
}

static void a_proxy_that_stops_ends_its_connections(void **state)
{
	struct link *link = *state;

	assert_passes(link);
	proxy_stop(link->proxy);
	link->proxy = NULL;
	assert_hears(link->through, "");
}

// A request that its sender has given up, and that arrives all the same.
static void a_proxy_delivers_late(void **state)
{
	struct link *link = *state;

	proxy_late(link->proxy, 300);
	proxy_arm(link->proxy, PROXY_LATE, "k 6");
	say(link->through, "SET k 6\r\n");
	assert_hears(link->through, "");
	assert_stored(link, "$-1\r\n");
	proxy_wait(link->proxy);
	assert_stored(link, "$1\r\n6\r\n");
}

static void a_proxy_stalls_or_closes_one_way_alone(void **state)
{
	struct link *link = *state;

	proxy_stall_ways(link->proxy, PROXY_REPLIES);
	say(link->through, "SET k 7\r\n");
	assert_null(hear(link->through, 100));
	assert_stored(link, "$1\r\n7\r\n");
	proxy_stall_ways(link->proxy, 0);
	assert_hears(link->through, "+OK\r\n");

	proxy_half_close(link->proxy, PROXY_REPLIES);
	assert_hears(link->through, "");
	say(link->through, "SET k 9\r\n");
	for (int turn = 0; turn < 500; turn++) {
		say(link->direct, "GET k\r\n");
		if (strcmp(hear(link->direct, -1), "$1\r\n9\r\n") == 0)
			break;
		usleep(10000);
	}
	assert_stored(link, "$1\r\n9\r\n");
}

static void a_proxy_drips_and_delays(void **state)
{
	struct link *link = *state;

	proxy_drip(link->proxy, true);
	say(link->through, "SET k 8\r\n");
	for (size_t heard = 0; heard < strlen("+OK\r\n");) // in however many pieces
		heard += strlen(hear(link->through, -1));
	proxy_drip(link->proxy, false);
	proxy_delay(link->proxy, 200);
	say(link->through, "PING\r\n");
	assert_null(hear(link->through, 200));
	assert_hears(link->through, "+PONG\r\n");
	proxy_delay(link->proxy, 0);
}

#define LINKED(test) cmocka_unit_test_setup_teardown(test, link_up, link_down)

int main(void)
{
	const struct CMUnitTest servers[] = {
		cmocka_unit_test(ends_and_starts_again_on_its_port),
		cmocka_unit_test(goes_with_a_crashed_test),
		cmocka_unit_test(a_free_port_is_free),
	};
	const struct CMUnitTest proxies[] = {
		LINKED(a_proxy_cuts_before_or_after_the_marked_request),
		LINKED(a_proxy_swallows_a_reply_or_keeps_a_request),
		LINKED(a_proxy_stalls_cuts_and_refuses),
		LINKED(a_proxy_that_stops_ends_its_connections),
		LINKED(a_proxy_delivers_late),
		LINKED(a_proxy_stalls_or_closes_one_way_alone),
		LINKED(a_proxy_drips_and_delays),
	};
	int failed = cmocka_run_group_tests(servers, NULL, NULL);
	return failed + cmocka_run_group_tests(proxies, redis_up, redis_down);
}
