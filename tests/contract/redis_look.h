// redis_look.h: what the tests of the Redis connector share: a server seen from outside, the sink of the contract, and a
// small relay with settings for cases of their own. All of it asserts.
#ifndef CONTRACT_REDIS_LOOK_H
#define CONTRACT_REDIS_LOOK_H

#include "contract.h"

#include "connectors/redis/redis.h"
#include "support/server.h"

#include <hiredis/hiredis.h>

#define LONG_MS 30000
#define POSITION_KEY "meowmx:0b5b5d4e:contract:0:0"

// The server that everything below talks to. The test starts it, and may name another one for a while.
extern struct server *redis_server;

redisReply *redis_ask(const char *format, ...);  // to be freed by the caller; may be an error reply
void redis_do(const char *format, ...);          // asserts that it is none
long long redis_number(const char *format, ...); // of an integer or a string; -1 for anything else
redisContext *redis_connect(void);               // a connection of the caller's own, for another thread
struct meow_bytes redis_field(const redisReply *fields, const char *name);
void redis_assert_field(const redisReply *fields, const char *name, const char *expected); // NULL: it is not there

extern const struct contract_sink redis_sink;              // into the stream "events"
extern const struct contract_sink redis_sink_per_category; // into "events:{aggregate_type}"

struct redis_case {
	struct contract_settings *settings;
	struct contract_relay relay;
};

int redis_setup(void **state); // an empty server and a relay into "events"
int redis_teardown(void **state);

#define REDIS_CASE(test) cmocka_unit_test_setup_teardown(test, redis_setup, redis_teardown)

// Begins anew with other settings: credentials ("user:password@") and database ("/3") of the url, then a name and a value
// each, and NULL. "streams.order" is an item of the map, and a `url` among them replaces the whole one.
void redis_settings(struct redis_case *fixture, const char *credentials, const char *database, ...)
	__attribute__((sentinel));

void redis_open(struct contract_relay *relay);                    // until it is open or has failed
void redis_begin(struct contract_relay *relay, int64_t position); // opens, and begins behind it
void redis_assert_failed(const struct contract_relay *relay, enum meow_error_kind kind, const char *text);

#endif
