// Connections to the simulated Redis, in place of connectors/redis/redis_wire.c: the same interface over bytes that arrive
// late, in pieces, or not at all. What a process had sent before it ended may still be read by the server, much later.
#include "connectors/redis/redis_wire.h"
#include "sim_redis.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FULL_BYTES ((size_t)1500) // so that a batch takes several writes

struct peer {
	struct peer *next;
	struct wire *wire; // NULL: the process has closed it
	struct redis_client client;
	struct buffer in, out; // bytes that the server has not read yet, and that the process has not
	bool working, delivering, cut;
};

struct wire {
	struct loop *loop;
	struct wire_target target;
	const struct wire_events *events;
	void *arg;
	struct peer *peer;
	redisReader *reader;
	struct loop_timer *failing, *writable;
	struct meow_error error;
	struct buffer out;
	bool connected, failed, lost, inside, closed;
};

static struct peer *peers;

// --- the server's end

static void free_peer(struct peer *peer)
{
	struct peer **at = &peers;
	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	sim_redis_client_finish(&peer->client);
	buffer_finish(&peer->in);
	buffer_finish(&peer->out);
	free(peer);
}

static void free_if_done(struct peer *peer)
{
	if (!peer->wire && !peer->working && !peer->delivering)
		free_peer(peer);
}

static void deliver(void *arg);
static void work(void *arg);

static void start_delivery(struct peer *peer, int64_t delay_us)
{
	if (peer->delivering || !peer->wire)
		return;
	peer->delivering = true;
	sim_after(peer->wire->loop, delay_us, deliver, peer);
}

static void start_work(struct peer *peer)
{
	if (peer->working || peer->cut || !peer->in.size)
		return;
	peer->working = true;
	bool late = sim_redis_fail_percent() && sim_chance(peer->wire ? 1 : 10);
	sim_after(sim_redis_world(), late ? sim_between(1000, 1500000) : sim_between(10, 300), work, peer);
}

static void cut(struct peer *peer)
{
	peer->cut = true;
	buffer_clear(&peer->in, SIZE_MAX);
	start_delivery(peer, sim_between(10, 300));
}

// Some commands, of those that have arrived.
static void work(void *arg)
{
	struct peer *peer = arg;
	unsigned fails = sim_redis_fail_percent();
	peer->working = false;
	if (peer->cut || (!peer->wire && sim_chance(30))) {
		free_if_done(peer);
		return;
	}
	bool cuts = sim_chance(fails), before = sim_chance(50);
	for (int64_t left = cuts && before ? 0 : sim_between(1, 30), size = 1; left > 0 && size > 0; left--) {
		size = (int64_t)sim_redis_command(&peer->client, (struct meow_bytes){peer->in.data, peer->in.size}, &peer->out);
		buffer_consume(&peer->in, (size_t)size);
	}
	if (cuts)
		cut(peer);
	if (peer->out.size)
		start_delivery(peer, sim_between(10, 300));
	start_work(peer);
	free_if_done(peer);
}

void sim_wire_break_all(void)
{
	for (struct peer *peer = peers; peer; peer = peer->next)
		cut(peer);
}

void sim_wire_free_all(void)
{
	while (peers)
		free_peer(peers);
}

// --- the process' end

static void set_failed(struct wire *wire, bool lost, const struct meow_error *err)
{
	if (wire->failed)
		return;
	wire->failed = true;
	wire->lost = lost;
	wire->error = *err;
	loop_timer_start(wire->failing, 0);
}

static void lose(struct wire *wire, const char *why)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "Redis at %s: %s", wire->target.place, why);
	set_failed(wire, true, &err);
}

static void on_failing(void *arg)
{
	struct wire *wire = arg;
	struct meow_error err = wire->error;
	wire->events->failed(wire->arg, wire->lost, &err);
}

static void leave(struct wire *wire)
{
	wire->inside = false;
	if (wire->closed)
		free(wire);
}

static void turn(struct wire *wire)
{
	if (wire->closed || wire->failed)
		return;
	wire_flush(wire);
	wire->events->turn(wire->arg);
}

static void on_writable(void *arg)
{
	struct wire *wire = arg;
	wire->inside = true;
	turn(wire);
	leave(wire);
}

static void pass_replies(struct wire *wire)
{
	void *reply = NULL;
	while (!wire->closed && !wire->failed && redisReaderGetReply(wire->reader, &reply) == REDIS_OK && reply) {
		if (sim_step(wire->loop, REDIS_ANSWERS))
			wire->events->reply(wire->arg, reply);
		freeReplyObject(reply);
		reply = NULL;
	}
}

static void connect_now(struct wire *wire)
{
	if (sim_chance(sim_redis_fail_percent() * 2)) {
		lose(wire, "connection refused");
		return;
	}
	wire->connected = true;
	wire->events->connected(wire->arg);
}

static void deliver(void *arg)
{
	struct peer *peer = arg;
	struct wire *wire = peer->wire;
	peer->delivering = false;
	if (!wire) {
		free_if_done(peer);
		return;
	}
	wire->inside = true;
	if (!wire->connected && !peer->cut)
		connect_now(wire);
	redisReaderFeed(wire->reader, peer->out.data, peer->out.size);
	buffer_clear(&peer->out, SIZE_MAX);
	pass_replies(wire);
	if (!wire->closed && peer->cut)
		lose(wire, "the connection is lost");
	turn(wire);
	leave(wire);
}

struct wire *wire_create(struct loop *loop, const struct wire_target *target, const struct wire_events *events,
	void *arg, struct meow_error *err)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	struct peer *peer = calloc(1, sizeof(*peer));
	(void)err;
	if (!wire || !peer)
		abort();
	*wire = (struct wire){.loop = loop, .target = *target, .events = events, .arg = arg, .peer = peer};
	wire->reader = redisReaderCreate();
	wire->failing = loop_timer_create(loop, on_failing, wire);
	wire->writable = loop_timer_create(loop, on_writable, wire);
	buffer_init(&wire->out);
	peer->wire = wire;
	peer->client.process = loop;
	peer->next = peers;
	peers = peer;
	if (sim_step(loop, REDIS_CONNECTS))
		start_delivery(peer, sim_between(50, 2000));
	return wire;
}

void wire_destroy(struct wire *wire)
{
	if (!wire)
		return;
	loop_timer_destroy(wire->failing);
	loop_timer_destroy(wire->writable);
	redisReaderFree(wire->reader);
	buffer_finish(&wire->out);
	wire->reader = NULL;
	wire->peer->wire = NULL;
	start_work(wire->peer); // what had been sent
	free_if_done(wire->peer);
	wire->closed = true;
	if (!wire->inside)
		free(wire);
}

void wire_fail(struct wire *wire, const struct meow_error *err)
{
	set_failed(wire, false, err);
}

bool wire_is_full(const struct wire *wire)
{
	return wire->out.size >= FULL_BYTES;
}

bool wire_is_empty(const struct wire *wire)
{
	return wire->out.size == 0;
}

bool wire_has_failed(const struct wire *wire)
{
	return wire->failed;
}

void wire_flush(struct wire *wire)
{
	if (wire->failed || !wire->connected || !wire->out.size)
		return;
	if (sim_chance(5)) { // the socket takes nothing now
		loop_timer_start(wire->writable, sim_between(10, 500));
		return;
	}
	if (sim_step(wire->loop, REDIS_SENDS) && !wire->peer->cut)
		buffer_put(&wire->peer->in, wire->out.data, wire->out.size);
	buffer_clear(&wire->out, SIZE_MAX);
	start_work(wire->peer);
}

// --- what goes out

void wire_format(struct buffer *buffer, struct meow_bytes argument)
{
	buffer_printf(buffer, "$%zu\r\n", argument.size);
	buffer_put(buffer, argument.data, argument.size);
	buffer_put(buffer, "\r\n", 2);
}

void wire_put_command(struct wire *wire, size_t arguments)
{
	buffer_printf(&wire->out, "*%zu\r\n", arguments);
}

void wire_put(struct wire *wire, struct meow_bytes argument)
{
	wire_format(&wire->out, argument);
}

void wire_put_text(struct wire *wire, const char *argument)
{
	wire_format(&wire->out, bytes_of(argument));
}

void wire_put_int(struct wire *wire, int64_t argument)
{
	char text[24];
	snprintf(text, sizeof(text), "%lld", (long long)argument);
	wire_put_text(wire, text);
}

void wire_put_auth(struct wire *wire, const char *user, const char *password)
{
	(void)user;
	(void)password;
	(void)wire;
	abort(); // this Redis asks for none
}

void wire_put_formatted(struct wire *wire, struct meow_bytes formatted)
{
	buffer_put(&wire->out, formatted.data, formatted.size);
}
