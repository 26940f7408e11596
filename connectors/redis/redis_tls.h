// redis_tls.h: TLS for connections to Redis, where hiredis has it (1.0 and later, with its hiredis_ssl). OpenSSL checks
// the server's certificate and that it is the host's own, which hiredis alone would not. OpenSSL writes to sockets that
// may be closed: the process must ignore SIGPIPE, as the relay does.
#ifndef CONNECTORS_REDIS_REDIS_TLS_H
#define CONNECTORS_REDIS_REDIS_TLS_H

#include "base/error.h"

#include <hiredis/hiredis.h>

struct tls;
struct ssl_st; // OpenSSL's, of one connection; the redisContext owns it

bool redis_tls_is_built(void);

// What is trusted and who we are, from files that are read at once. authority: certificates that are trusted, NULL for
// those of the system. certificate and key: of this client, NULL for none. On failure NULL and MEOW_CONFIG.
MEOW_MUST_USE struct tls *tls_create(
	const char *authority, const char *certificate, const char *key, struct meow_error *err);
void tls_destroy(struct tls *tls); // takes NULL

// Makes a connected socket speak TLS; the handshake goes on as bytes come and go. NULL: MEOW_UNAVAILABLE.
MEOW_MUST_USE struct ssl_st *tls_begin(
	const struct tls *tls, redisContext *context, const char *host, struct meow_error *err);

// Whether what could not be sent waits for bytes from the server.
bool tls_wants_input(const struct ssl_st *session);

// Why the connection ended. The text lives as long as the program or the context.
const char *tls_why(const struct ssl_st *session, const redisContext *context);

#endif
