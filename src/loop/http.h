// http.h: a small HTTP server (evhttp) for GET, with limits on header, body and time. It serves on the loop's thread.
#ifndef LOOP_HTTP_H
#define LOOP_HTTP_H

#include "base/buffer.h"
#include "loop/loop.h"

struct http_server;

struct http_reply {
	int status;
	const char *content_type; // a literal
	struct buffer body;
};

// Fills *reply (200, text/plain; charset=utf-8, an empty body to begin with). path is without the query, query may be
// NULL, accept is the request's Accept header or NULL.
typedef void http_fn(void *arg, const char *path, const char *query, const char *accept, struct http_reply *reply);

// listen is "ADDRESS:PORT" (IPv6 in brackets); port 0 takes a free one. Fails with MEOW_UNAVAILABLE when the address
// is taken, MEOW_CONFIG when it cannot be understood. Anything but GET and HEAD gets 405, larger requests 413 or 431.
// Only a loop of loop_create can serve.
MEOW_MUST_USE struct http_server *http_server_create(
	struct loop *loop, const char *listen, http_fn *fn, void *arg, struct meow_error *err);
int http_server_port(const struct http_server *server);
void http_server_destroy(struct http_server *server); // takes NULL

#endif
