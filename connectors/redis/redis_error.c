// redis_error.c: one table from the reply's first word to the kind, and to what a person can do. What is not in it may
// pass by itself, since nothing was applied, so it is tried again and stays visible.
#include "connectors/redis/redis_error.h"

#include <string.h>

#define ABORTED "EXECABORT Transaction discarded because of: "

static const struct {
	const char *code;
	enum meow_error_kind kind;
	const char *advice;
} known[] = {
	{"OOM", MEOW_UNAVAILABLE, "it is out of memory (maxmemory); the route goes on once there is room"},
	{"READONLY", MEOW_UNAVAILABLE,
		"it is a read-only replica; the route goes on if this one is promoted, or name the "
		"primary in `url`"},
	{"NOREPLICAS", MEOW_UNAVAILABLE, "it has fewer replicas than min-replicas-to-write wants"},
	{"LOADING", MEOW_UNAVAILABLE, "it still loads its data"},
	{"MASTERDOWN", MEOW_UNAVAILABLE, "it is a replica that has lost its primary"},
	{"MISCONF", MEOW_UNAVAILABLE, "it cannot save its data to disk; its own log says why"},
	{"BUSY", MEOW_UNAVAILABLE, "it is busy with a script"},
	{"NOAUTH", MEOW_DENIED, "it wants a password: put it into `url`"},
	{"WRONGPASS", MEOW_DENIED, "user or password are wrong: correct `url`"},
	{"NOPERM", MEOW_DENIED, "the user lacks a right (ACL): allow the streams, the keys meowmx:* and the commands"},
	{"WRONGTYPE", MEOW_CONFIG, "the key holds something else: delete it, or set another `stream`"},
	{"MOVED", MEOW_CONFIG, REDIS_NO_CLUSTER},
	{"ASK", MEOW_CONFIG, REDIS_NO_CLUSTER},
	{"CROSSSLOT", MEOW_CONFIG, REDIS_NO_CLUSTER},
	{"CLUSTERDOWN", MEOW_CONFIG, REDIS_NO_CLUSTER},
	{"ERR AUTH", MEOW_DENIED, "the server has no password: take it out of `url`"},
	{"ERR Client sent AUTH", MEOW_DENIED, "the server has no password: take it out of `url`"},
	{"ERR invalid password", MEOW_DENIED, "the password is wrong: correct `url`"},
	{"ERR DB index", MEOW_CONFIG, "it has no such database: correct `url`"},
	{"ERR unknown command", MEOW_CONFIG, "it is too old: streams need Redis 5 or newer"},
};

bool redis_error_is(const char *reply, const char *code)
{
	if (strncmp(reply, ABORTED, sizeof(ABORTED) - 1) == 0)
		reply += sizeof(ABORTED) - 1;
	size_t size = strlen(code);
	return strncmp(reply, code, size) == 0 && (reply[size] == ' ' || reply[size] == '\0');
}

bool redis_error(struct meow_error *err, const char *place, const char *doing, const char *reply)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (redis_error_is(reply, known[i].code))
			return error_set(
				err, known[i].kind, "Redis at %s refused %s (%.120s): %s", place, doing, reply, known[i].advice);
	return error_set(err, MEOW_UNAVAILABLE, "Redis at %s refused %s: %s", place, doing, reply);
}
