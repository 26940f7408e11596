// http.c: see http.h. evhttp parses and limits; one handler answers.
#include "loop/http.h"
#include "loop/loop_event.h"

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HEADER_LIMIT 8192
#define BODY_LIMIT 1024
#define TIMEOUT_S 5

struct http_server {
	struct evhttp *http;
	int port;
	http_fn *fn;
	void *arg;
};

static void free_body(const void *data, size_t size, void *arg)
{
	(void)size;
	(void)arg;
	union {
		const void *lent;
		void *ours;
	} body = {.lent = data};
	free(body.ours);
}

static void on_request(struct evhttp_request *request, void *arg)
{
	struct http_server *server = arg;
	const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
	const char *path = evhttp_uri_get_path(uri);
	struct http_reply reply = {.status = HTTP_OK, .content_type = "text/plain; charset=utf-8"};
	buffer_init(&reply.body);
	server->fn(server->arg, path == NULL || *path == '\0' ? "/" : path, evhttp_uri_get_query(uri),
		evhttp_find_header(evhttp_request_get_input_headers(request), "Accept"), &reply);

	struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
	struct evbuffer *body = evbuffer_new();
	bool ready =
		body != NULL && !reply.body.failed && evhttp_add_header(headers, "Content-Type", reply.content_type) == 0;
	if (ready && reply.body.data != NULL &&
		evbuffer_add_reference(body, reply.body.data, reply.body.size, free_body, NULL) == 0)
		reply.body.data = NULL; // the reply owns it now
	evhttp_send_reply(request, ready ? reply.status : HTTP_INTERNAL, NULL, body);
	if (body != NULL)
		evbuffer_free(body);
	buffer_finish(&reply.body);
}

// Splits "ADDRESS:PORT" or "[ADDRESS]:PORT".
static bool parse_listen(const char *listen, char *ret_address, size_t size, uint16_t *ret_port)
{
	const char *colon = strrchr(listen, ':');
	if (colon == NULL || colon == listen || colon[1] == '\0')
		return false;
	const char *from = listen;
	size_t length = (size_t)(colon - listen);
	if (from[0] == '[') {
		if (length < 3 || from[length - 1] != ']')
			return false;
		from++;
		length -= 2;
	}
	char *end;
	unsigned long port = strtoul(colon + 1, &end, 10);
	if (*end != '\0' || colon[1] < '0' || colon[1] > '9' || port > 65535 || length >= size)
		return false;
	memcpy(ret_address, from, length);
	ret_address[length] = '\0';
	*ret_port = (uint16_t)port;
	return true;
}

static int bound_port(struct evhttp_bound_socket *bound)
{
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)(void *)&address, &size) != 0)
		return 0;
	if (address.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)(void *)&address)->sin6_port);
	return ntohs(((struct sockaddr_in *)(void *)&address)->sin_port);
}

struct http_server *http_server_create(
	struct loop *loop, const char *listen, http_fn *fn, void *arg, struct meow_error *err)
{
	char address[256];
	uint16_t port;
	if (!parse_listen(listen, address, sizeof(address), &port)) {
		error_set(err, MEOW_CONFIG, "http.listen \"%s\" is not ADDRESS:PORT, such as 127.0.0.1:9187", listen);
		return NULL;
	}
	struct http_server *server = calloc(1, sizeof(*server));
	if (server == NULL || (server->http = evhttp_new(loop_event_base(loop))) == NULL) {
		free(server);
		error_no_memory(err);
		return NULL;
	}
	server->fn = fn;
	server->arg = arg;
	evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD);
	evhttp_set_max_headers_size(server->http, HEADER_LIMIT);
	evhttp_set_max_body_size(server->http, BODY_LIMIT);
	evhttp_set_timeout(server->http, TIMEOUT_S);
	evhttp_set_gencb(server->http, on_request, server);
	struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server->http, address, port);
	if (bound == NULL) {
		error_set(err, MEOW_UNAVAILABLE, "cannot listen on %s: %s; set http.listen to another address", listen,
			evutil_socket_error_to_string(EVUTIL_SOCKET_ERROR()));
		http_server_destroy(server);
		return NULL;
	}
	server->port = bound_port(bound);
	return server;
}

int http_server_port(const struct http_server *server)
{
	return server->port;
}

void http_server_destroy(struct http_server *server)
{
	if (server == NULL)
		return;
	evhttp_free(server->http);
	free(server);
}
