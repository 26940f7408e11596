// The loop on libevent, and the HTTP server on it.
#include "unit.h"

#include "loop/http.h"
#include "loop/loop.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct fixture {
	struct loop *loop;
	char order[16];
	int posts;
	struct loop_timer *timer;
	struct loop_io *io;
	int pipe[2];
	char reply[4096];
	int port;
};

static int setup(void **state)
{
	static struct fixture fixture;
	memset(&fixture, 0, sizeof(fixture));
	fixture.loop = loop_create(NULL);
	*state = &fixture;
	return fixture.loop == NULL;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	loop_destroy(fixture->loop);
	return 0;
}

static void stop(void *arg)
{
	struct fixture *fixture = arg;
	loop_stop(fixture->loop);
}

static void note_late(void *arg)
{
	struct fixture *fixture = arg;
	strcat(fixture->order, "late ");
	loop_stop(fixture->loop);
}

static void note_early(void *arg)
{
	struct fixture *fixture = arg;
	strcat(fixture->order, "early ");
	loop_timer_destroy(fixture->timer); // a callback may destroy its own timer
	fixture->timer = NULL;
}

static void test_timers_fire_in_their_order(void **state)
{
	struct fixture *fixture = *state;
	struct loop_timer *late = loop_timer_create(fixture->loop, note_late, fixture);
	fixture->timer = loop_timer_create(fixture->loop, note_early, fixture);
	int64_t began = loop_now_us(fixture->loop);
	loop_timer_start(late, 20000);
	loop_timer_start(fixture->timer, 5000);
	assert_true(loop_timer_running(late));
	loop_run(fixture->loop);
	assert_string_equal(fixture->order, "early late ");
	assert_true(loop_now_us(fixture->loop) - began >= 20000);
	assert_false(loop_timer_running(late));
	loop_timer_destroy(late);
}

static void count_post(void *arg)
{
	struct fixture *fixture = arg;
	if (++fixture->posts == 1000)
		loop_stop(fixture->loop);
}

static void *post_from_elsewhere(void *arg)
{
	struct fixture *fixture = arg;
	for (int i = 0; i < 1000; i++)
		if (!loop_post(fixture->loop, count_post, fixture))
			return arg;
	return NULL;
}

static void test_every_post_of_another_thread_arrives(void **state)
{
	struct fixture *fixture = *state;
	pthread_t thread;
	void *failed;
	assert_int_equal(pthread_create(&thread, NULL, post_from_elsewhere, fixture), 0);
	loop_run(fixture->loop);
	pthread_join(thread, &failed);
	assert_null(failed);
	assert_int_equal(fixture->posts, 1000);
}

static void on_pipe(void *arg, bool readable, bool writable)
{
	struct fixture *fixture = arg;
	assert_true(readable && !writable);
	char byte;
	assert_int_equal(read(fixture->pipe[0], &byte, 1), 1);
	loop_io_destroy(fixture->io); // a callback may destroy its own watch
	loop_stop(fixture->loop);
}

static void test_a_descriptor_is_watched(void **state)
{
	struct fixture *fixture = *state;
	assert_int_equal(pipe(fixture->pipe), 0);
	fixture->io = loop_io_create(fixture->loop, fixture->pipe[0], on_pipe, fixture);
	assert_int_equal(write(fixture->pipe[1], "x", 1), 1);
	loop_io_watch(fixture->io, false, false);
	loop_io_watch(fixture->io, true, false);
	loop_run(fixture->loop);
	close(fixture->pipe[0]);
	close(fixture->pipe[1]);
}

static void answer(void *arg, const char *path, const char *query, const char *accept, struct http_reply *reply)
{
	(void)arg;
	(void)accept;
	if (strcmp(path, "/known") != 0)
		reply->status = 404;
	buffer_printf(&reply->body, "%s?%s\n", path, query == NULL ? "" : query);
}

static void *ask(void *arg)
{
	struct fixture *fixture = arg;
	static const char *const requests[] = {"GET /known?verbose HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"GET /other HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
		"POST /known HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"};
	for (size_t i = 0; i < 3; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		struct sockaddr_in to = {
			.sin_family = AF_INET, .sin_port = htons((uint16_t)fixture->port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
		size_t size = strlen(requests[i]);
		if (connect(fd, (struct sockaddr *)(void *)&to, sizeof(to)) == 0 &&
			write(fd, requests[i], size) == (ssize_t)size) {
			size_t have = strlen(fixture->reply);
			ssize_t got;
			while ((got = read(fd, fixture->reply + have, sizeof(fixture->reply) - have - 1)) > 0)
				have += (size_t)got;
		}
		close(fd);
	}
	while (!loop_post(fixture->loop, stop, fixture))
		;
	return NULL;
}

static void test_http_answers_get_and_nothing_else(void **state)
{
	struct fixture *fixture = *state;
	struct http_server *server = http_server_create(fixture->loop, "127.0.0.1:0", answer, NULL, NULL);
	assert_non_null(server);
	fixture->port = http_server_port(server);
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, ask, fixture), 0);
	loop_run(fixture->loop);
	pthread_join(thread, NULL);
	http_server_destroy(server);
	assert_non_null(strstr(fixture->reply, "HTTP/1.1 200 OK"));
	assert_non_null(strstr(fixture->reply, "/known?verbose\n"));
	assert_non_null(strstr(fixture->reply, "HTTP/1.1 404"));
	assert_null(strstr(fixture->reply, "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nPOST"));
}

static void test_a_bad_address_is_named(void **state)
{
	struct fixture *fixture = *state;
	struct meow_error err;
	static const char *const bad[] = {"9187", "127.0.0.1:", ":9187", "127.0.0.1:99999", "127.0.0.1:x", "[::1:1"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		assert_null(http_server_create(fixture->loop, bad[i], answer, NULL, &err));
		assert_int_equal(err.kind, MEOW_CONFIG);
		assert_non_null(strstr(err.text, bad[i]));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_timers_fire_in_their_order, setup, teardown),
		cmocka_unit_test_setup_teardown(test_every_post_of_another_thread_arrives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_descriptor_is_watched, setup, teardown),
		cmocka_unit_test_setup_teardown(test_http_answers_get_and_nothing_else, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_bad_address_is_named, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
