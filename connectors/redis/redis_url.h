// redis_url.h: redis://[[user]:password@]host[:port][/database], percent-encoded.
#ifndef CONNECTORS_REDIS_REDIS_URL_H
#define CONNECTORS_REDIS_REDIS_URL_H

#include "base/error.h"

struct redis_url {
	char *host;
	int port;
	char *user;     // NULL if there is none
	char *password; // NULL if there is none
	int database;
	char *place; // "host:port", for messages
};

// MEOW_CONFIG, never with the password in its text. The caller finishes it.
MEOW_MUST_USE bool redis_url_parse(const char *text, struct redis_url *ret_url, struct meow_error *err);
void redis_url_finish(struct redis_url *url);

#endif
