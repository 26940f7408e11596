// redis_url.h: where Redis is, percent-encoded:
//
//   redis://[[user]:password@]host[:port][/database]                          rediss:// with TLS
//   redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/database]
//
// User and password are for Redis, the hosts of the second are Sentinels.
#ifndef CONNECTORS_REDIS_REDIS_URL_H
#define CONNECTORS_REDIS_REDIS_URL_H

#include "base/buffer.h"

#define REDIS_HOSTS_MOST 16

struct redis_host {
	char *name;
	int port;
};

struct redis_url {
	struct redis_host hosts[REDIS_HOSTS_MOST];
	size_t host_count; // 1 without Sentinel
	char *master;      // NULL without Sentinel
	bool tls;
	char *user;     // NULL if there is none
	char *password; // NULL if there is none
	int database;
	char *place; // "host:port", or "host:port,host:port/master-name", for messages
};

// MEOW_CONFIG, never with the password in its text. The caller finishes it.
MEOW_MUST_USE bool redis_url_parse(const char *text, struct redis_url *ret_url, struct meow_error *err);
void redis_url_finish(struct redis_url *url);

void redis_put_place(struct buffer *buffer, const struct redis_host *host); // "host:port", "[::1]:port"

#endif
