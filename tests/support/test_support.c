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

// What each fault leaves, on the connection and in the server.
static void a_proxy_breaks_a_connection_at_a_chosen_moment(void **state)
{
	struct server *server = server_start("redis", NULL);
	struct proxy *proxy = proxy_start(server_port(server));
	int direct = open_connection(server_port(server)), through = open_connection(proxy_port(proxy));

	(void)state;
	say(through, "SET k 1\r\n");
	assert_hears(through, "+OK\r\n");

	proxy_arm(proxy, PROXY_CUT_BEFORE, "k 2");
	say(through, "PING\r\n");
	assert_hears(through, "+PONG\r\n"); // not the marked one
	say(through, "SET k 2\r\n");
	proxy_wait(proxy);
	assert_hears(through, "");
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n1\r\n");
	close(through);

	through = open_connection(proxy_port(proxy));
	proxy_arm(proxy, PROXY_CUT_AFTER, NULL);
	say(through, "SET k 3\r\n");
	proxy_wait(proxy);
	assert_hears(through, "");
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n3\r\n");
	close(through);

	through = open_connection(proxy_port(proxy));
	proxy_arm(proxy, PROXY_SWALLOW, NULL);
	say(through, "SET k 4\r\n");
	proxy_wait(proxy);
	assert_null(hear(through, 50));
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n4\r\n");
	close(through);

	through = open_connection(proxy_port(proxy));
	proxy_arm_match(proxy, PROXY_KEEP, is_long);
	say(through, "PING\r\n");
	assert_hears(through, "+PONG\r\n");
	say(through, "SET k 5\r\n");
	proxy_wait(proxy);
	say(through, "PING\r\n");
	assert_null(hear(through, 50));
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n4\r\n");
	close(through);
	proxy_deliver(proxy); // although its sender has gone
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n5\r\n");

	through = open_connection(proxy_port(proxy));
	proxy_stall(proxy, true);
	say(through, "PING\r\n");
	assert_null(hear(through, 50));
	proxy_stall(proxy, false);
	assert_hears(through, "+PONG\r\n"); // late, and whole
	proxy_cut(proxy);
	assert_hears(through, "");
	close(through);

	proxy_refuse(proxy, true);
	through = open_connection(proxy_port(proxy));
	assert_hears(through, "");
	close(through);
	proxy_refuse(proxy, false);
	through = open_connection(proxy_port(proxy));
	say(through, "PING\r\n");
	assert_hears(through, "+PONG\r\n");
	proxy_stop(proxy);
	assert_hears(through, "");
	close(through);
	close(direct);
	server_destroy(server);
}

// A request that its sender has given up, and that arrives all the same; one way alone; slow ways.
static void a_proxy_delivers_late_in_one_way_and_slowly(void **state)
{
	struct server *server = server_start("redis", NULL);
	struct proxy *proxy = proxy_start(server_port(server));
	int direct = open_connection(server_port(server)), through = open_connection(proxy_port(proxy));

	(void)state;
	proxy_late(proxy, 300);
	proxy_arm(proxy, PROXY_LATE, "k 6");
	say(through, "SET k 6\r\n");
	assert_hears(through, "");
	say(direct, "GET k\r\n");
	assert_hears(direct, "$-1\r\n");
	proxy_wait(proxy);
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n6\r\n");
	close(through);

	through = open_connection(proxy_port(proxy));
	proxy_stall_ways(proxy, PROXY_REPLIES);
	say(through, "SET k 7\r\n");
	assert_null(hear(through, 100));
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n7\r\n");
	proxy_stall_ways(proxy, 0);
	assert_hears(through, "+OK\r\n");

	proxy_drip(proxy, true);
	say(through, "SET k 8\r\n");
	for (size_t heard = 0; heard < strlen("+OK\r\n");) // in however many pieces
		heard += strlen(hear(through, -1));
	proxy_drip(proxy, false);
	proxy_delay(proxy, 200);
	say(through, "PING\r\n");
	assert_null(hear(through, 200));
	assert_hears(through, "+PONG\r\n");
	proxy_delay(proxy, 0);

	proxy_arm(proxy, PROXY_CUT_BEFORE, "PING");
	proxy_disarm(proxy);
	say(through, "PING\r\n");
	assert_hears(through, "+PONG\r\n");

	proxy_half_close(proxy, PROXY_REPLIES);
	assert_hears(through, "");
	say(through, "SET k 9\r\n");
	for (int turn = 0; turn < 500; turn++) {
		say(direct, "GET k\r\n");
		if (strcmp(hear(direct, -1), "$1\r\n9\r\n") == 0)
			break;
		usleep(10000);
	}
	say(direct, "GET k\r\n");
	assert_hears(direct, "$1\r\n9\r\n");
	close(through);
	proxy_stop(proxy);
	close(direct);
	server_destroy(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_and_starts_again_on_its_port),
		cmocka_unit_test(goes_with_a_crashed_test),
		cmocka_unit_test(a_free_port_is_free),
		cmocka_unit_test(a_proxy_breaks_a_connection_at_a_chosen_moment),
		cmocka_unit_test(a_proxy_delivers_late_in_one_way_and_slowly),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
