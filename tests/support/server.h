// server.h: real servers for tests, each private to the test that starts it (scripts/server does the work).
//
// A server that cannot be started fails the test: the reason goes to standard error and the program ends with 1. All
// of them end, and their folders go, when the program ends, even if it crashes.
#ifndef SUPPORT_SERVER_H
#define SUPPORT_SERVER_H

#include <stdint.h>
#include <sys/types.h>

struct server;

// kind: "postgres", "redis", "sentinel", "kafka" or "pgbouncer"; then texts "key=value" for its configuration, and NULL.
struct server *server_start(const char *kind, ...) __attribute__((sentinel));

const char *server_url(const struct server *server); // postgresql://..., redis://..., for Kafka and Sentinel HOST:PORT
uint16_t server_port(const struct server *server);
pid_t server_pid(const struct server *server);

void server_stop(struct server *server);  // in its own orderly way; the data stays for server_again
void server_kill(struct server *server);  // with SIGKILL
void server_again(struct server *server); // after either: the same data on the same port

// Ends it and removes its data. Takes NULL.
void server_destroy(struct server *server);

// A folder of this program's own, which others may read; removed with all that is in it when the program ends.
const char *scratch_folder(void);

// A port of 127.0.0.1 on which nobody listens now.
uint16_t free_port(void);

#endif
