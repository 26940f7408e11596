// redis_sentinel.c: a Sentinel that cannot be reached, or does not know the master, is passed by. It begins with any of
// them, so that one that is cut off from the others, and names the master of yesterday, is not asked each time.
//
// Nothing is subscribed to: after a failover the connection to the old master breaks (Sentinel sees to that when the old
// one comes back as a replica), and the next connector asks again.
#include "connectors/redis/redis_sentinel.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define SILENCE_LIMIT_S 5 // another one can be asked

struct sentinel {
	struct loop *loop;
	struct sentinel_target target;
	const struct sentinel_events *events;
	void *arg;
	struct loop_timer *next;
	struct wire *wire;
	bool greeting; // the reply to AUTH comes first
	size_t first, tried;
	struct buffer place; // of the one that is asked
	bool answered;       // by at least one, which tells more than one that cannot be reached
	struct meow_error why;
};

static void ask_next(struct sentinel *sentinel)
{
	wire_destroy(sentinel->wire);
	sentinel->wire = NULL;
	loop_timer_start(sentinel->next, 0);
}

static void on_connected(void *arg)
{
	struct sentinel *sentinel = arg;
	const struct sentinel_target *target = &sentinel->target;
	sentinel->greeting = target->password != NULL;
	if (sentinel->greeting)
		wire_put_auth(sentinel->wire, target->user, target->password);
	wire_put_command(sentinel->wire, 3);
	wire_put_text(sentinel->wire, "SENTINEL");
	wire_put_text(sentinel->wire, "GET-MASTER-ADDR-BY-NAME");
	wire_put_text(sentinel->wire, target->url->master);
}

static bool read_master(const redisReply *reply, struct redis_host *ret_master)
{
	int64_t port;
	if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
		reply->element[1]->type != REDIS_REPLY_STRING)
		return false;
	struct meow_bytes number = {reply->element[1]->str, (size_t)reply->element[1]->len};
	if (!text_to_int64(number, &port) || port < 1 || port > 65535)
		return false;
	*ret_master = (struct redis_host){reply->element[0]->str, (int)port};
	return true;
}

static void on_reply(void *arg, const redisReply *reply)
{
	struct sentinel *sentinel = arg;
	struct redis_host master;
	const char *place = sentinel->place.data;
	if (sentinel->greeting && reply->type != REDIS_REPLY_ERROR) {
		sentinel->greeting = false;
		return;
	}
	if (read_master(reply, &master)) {
		sentinel->events->found(sentinel->arg, &master);
		return;
	}
	sentinel->answered = true;
	if (reply->type == REDIS_REPLY_ERROR)
		error_set(&sentinel->why, MEOW_UNAVAILABLE,
			"Sentinel at %s refused %s (%.120s); its own are sentinel_user "
			"and sentinel_password",
			place, sentinel->greeting ? "the password" : "to say it", reply->str);
	else
		error_set(&sentinel->why, MEOW_UNAVAILABLE, "Sentinel at %s knows no master \"%s\": correct `url`", place,
			sentinel->target.url->master);
	ask_next(sentinel);
}

static void on_turn(void *arg)
{
	(void)arg;
}

static void on_wire_failed(void *arg, bool lost, const struct meow_error *err)
{
	struct sentinel *sentinel = arg;
	(void)lost;
	if (!sentinel->answered)
		sentinel->why = *err;
	ask_next(sentinel);
}

static const struct wire_events wire_events = {on_connected, on_reply, on_turn, on_wire_failed};

static void on_next(void *arg)
{
	struct sentinel *sentinel = arg;
	const struct redis_url *url = sentinel->target.url;
	struct meow_error err;
	if (sentinel->tried == url->host_count) {
		error_set(&err, MEOW_UNAVAILABLE, "no Sentinel says where the master \"%s\" is: %.300s", url->master,
			sentinel->why.text);
		sentinel->events->failed(sentinel->arg, &err);
		return;
	}
	const struct redis_host *host = &url->hosts[(sentinel->first + sentinel->tried++) % url->host_count];
	buffer_clear(&sentinel->place, SIZE_MAX);
	redis_put_place(&sentinel->place, host);
	struct wire_target target = {host->name, host->port, sentinel->place.data, sentinel->target.tls, SILENCE_LIMIT_S};
	if (buffer_ok(&sentinel->place, &err))
		sentinel->wire = wire_create(sentinel->loop, &target, &wire_events, sentinel, &err);
	if (sentinel->wire == NULL)
		on_wire_failed(sentinel, false, &err);
}

struct sentinel *sentinel_create(struct loop *loop, const struct sentinel_target *target,
	const struct sentinel_events *events, void *arg, struct meow_error *err)
{
	struct sentinel *sentinel = calloc(1, sizeof(*sentinel));
	if (sentinel == NULL) {
		error_no_memory(err);
		return NULL;
	}
	*sentinel = (struct sentinel){.loop = loop, .target = *target, .events = events, .arg = arg};
	sentinel->first = (size_t)(loop_random(loop) % target->url->host_count);
	sentinel->next = loop_timer_create(loop, on_next, sentinel);
	if (sentinel->next == NULL) {
		sentinel_destroy(sentinel);
		error_no_memory(err);
		return NULL;
	}
	loop_timer_start(sentinel->next, 0);
	return sentinel;
}

void sentinel_destroy(struct sentinel *sentinel)
{
	if (sentinel == NULL)
		return;
	wire_destroy(sentinel->wire);
	loop_timer_destroy(sentinel->next);
	buffer_finish(&sentinel->place);
	free(sentinel);
}
