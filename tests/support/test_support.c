// The servers for tests: they start, end in both ways, start again on the same port, and leave nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ends_and_starts_again_on_its_port),
		cmocka_unit_test(goes_with_a_crashed_test),
		cmocka_unit_test(a_free_port_is_free),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
