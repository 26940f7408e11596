// redis_wire.c: bytes go out of one buffer with up to a few large values spliced in where they belong:
//
//   buffer [0 ......... splice[0].at ......... splice[1].at ......... size)
//                       ^ value 0              ^ value 1
//
// `sent` counts over all of it. Once everything is out the buffer is cleared and may be filled again; with a socket
// buffer of megabytes that is rarely awaited. hiredis' own output buffer is not used: it would copy everything again.
//
// With TLS that copy is made after all, since hiredis encrypts out of its own buffer: what was handed over counts as
// sent, and the buffer here is cleared once hiredis has written all of it.
//
// hiredis looks names up itself, which may block for as long as the resolver does.
#include "connectors/redis/redis_wire.h"

#include "base/text.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CONNECT_LIMIT_US 5000000
#define UPLOAD_LIMIT_US 30000000 // a silence in which the other side still takes in what was sent before
#define UPLOAD_PAUSE_MS 1000     // as long as it takes in something in any such time
#define FULL_BYTES ((size_t)128 * 1024)
#define KEEP_BYTES ((size_t)512 * 1024)
#define SPLICE_LEAST ((size_t)16 * 1024) // below that a copy is cheaper than another piece
#define SPLICE_MOST 8
#define READ_BYTES ((size_t)64 * 1024)

struct splice {
	size_t at;
	struct meow_bytes bytes;
};

struct wire {
	struct loop *loop;
	struct wire_target target;
	const struct wire_events *events;
	void *arg;
	redisContext *context;
	struct ssl_st *session; // of TLS; the context owns it
	struct loop_io *io;
	struct loop_timer *watchdog; // connecting takes too long, or Redis says nothing while something is awaited
	struct loop_timer *failing;
	struct meow_error error;
	bool connected, failed, lost;
	bool heard;          // anything
	size_t awaited;      // replies
	int64_t progress_us; // when bytes last went or came
	struct buffer out;
	struct splice splices[SPLICE_MOST];
	size_t splice_count, out_bytes, sent;
	bool inside, closed; // destroyed from within an event
};

static void wire_free(struct wire *wire)
{
	loop_io_destroy(wire->io);
	loop_timer_destroy(wire->watchdog);
	loop_timer_destroy(wire->failing);
	if (wire->context != NULL)
		redisFree(wire->context);
	buffer_finish(&wire->out);
	wire->io = NULL;
	wire->watchdog = wire->failing = NULL;
	wire->context = NULL;
	wire->closed = true;
	if (!wire->inside)
		free(wire);
}

void wire_destroy(struct wire *wire)
{
	if (wire != NULL)
		wire_free(wire);
}

static void set_failed(struct wire *wire, bool lost, const struct meow_error *err)
{
	if (wire->failed)
		return;
	wire->failed = true;
	wire->lost = lost;
	wire->error = *err;
	if (wire->io != NULL)
		loop_io_watch(wire->io, false, false);
	loop_timer_start(wire->failing, 0);
}

void wire_fail(struct wire *wire, const struct meow_error *err)
{
	set_failed(wire, false, err);
}

static void lose(struct wire *wire, const char *why)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE,
		wire->connected ? "Redis at %s: the connection is lost: %s" : "cannot connect to Redis at %s: %s",
		wire->target.place, why);
	set_failed(wire, true, &err);
}

static void on_failing(void *arg)
{
	struct wire *wire = arg;
	struct meow_error err = wire->error;
	wire->events->failed(wire->arg, wire->lost, &err);
}

static int64_t silence_us(const struct wire *wire)
{
	return (int64_t)wire->target.silence_limit_s * 1000000;
}

static bool still_goes_out(const struct wire *wire)
{
	struct tcp_info info;
	socklen_t size = sizeof(info);
	return getsockopt(wire->context->fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_unacked > 0 &&
		   info.tcpi_last_ack_recv < UPLOAD_PAUSE_MS;
}

static void on_watchdog(void *arg)
{
	struct wire *wire = arg;
	if (!wire->connected || (wire->session != NULL && !wire->heard)) {
		lose(
			wire, wire->connected ? "no answer to TLS for 5 s: is this the port that speaks it?" : "no answer for 5 s");
		return;
	}
	if (wire->awaited == 0)
		return;
	int64_t silent_us = loop_now_us(wire->loop) - wire->progress_us, left_us = silence_us(wire) - silent_us;
	if (left_us <= 0 && silent_us < UPLOAD_LIMIT_US && still_goes_out(wire)) // a large value, over a slow link
		left_us = UPLOAD_PAUSE_MS * 1000;
	if (left_us > 0) {
		loop_timer_start(wire->watchdog, left_us);
		return;
	}
	char why[64];
	snprintf(why, sizeof(why), "no answer for %d s", wire->target.silence_limit_s);
	lose(wire, why);
}

static void watch(struct wire *wire)
{
	if (wire->failed || wire->io == NULL)
		return;
	// A handshake that waits for the server finds the socket writable all the time.
	bool stuck = wire->session != NULL && wire->sent > 0 && tls_wants_input(wire->session);
	loop_io_watch(wire->io, wire->connected, !wire->connected || (!wire_is_empty(wire) && !stuck));
}

static bool begin_tls(struct wire *wire)
{
	struct meow_error err;
	if (wire->target.tls == NULL)
		return true;
	wire->session = tls_begin(wire->target.tls, wire->context, wire->target.host, &err);
	if (wire->session == NULL)
		lose(wire, err.text);
	return wire->session != NULL;
}

// hiredis connects without waiting: what became of it is the socket's error once it is writable.
static bool finish_connecting(struct wire *wire)
{
	int code = 0;
	socklen_t size = sizeof(code);
	if (getsockopt(wire->context->fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0)
		code = errno;
	if (code != 0) {
		lose(wire, strerror(code));
		return false;
	}
	if (!begin_tls(wire))
		return false;
	wire->connected = true;
	wire->progress_us = loop_now_us(wire->loop);
	if (wire->session == NULL)
		loop_timer_stop(wire->watchdog);
	redisEnableKeepAlive(wire->context);
	wire->events->connected(wire->arg);
	return !wire->closed && !wire->failed;
}

static void pass_reply(struct wire *wire, const redisReply *reply)
{
	if (wire->awaited > 0) {
		wire->awaited--;
		wire->events->reply(wire->arg, reply);
		return;
	}
	// Unasked: Redis says why it is about to close ("max number of clients reached").
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "Redis at %s: %s", wire->target.place,
		reply->type == REDIS_REPLY_ERROR ? reply->str : "a reply that nothing asked for");
	set_failed(wire, true, &err);
}

static bool pass_replies(struct wire *wire)
{
	while (!wire->closed && !wire->failed) {
		void *reply = NULL;
		redisContext *context = wire->context;
		if (redisReaderGetReply(context->reader, &reply) != REDIS_OK) {
			lose(wire, context->reader->errstr);
			return false;
		}
		if (reply == NULL)
			return true;
		pass_reply(wire, reply);
		freeReplyObject(reply);
	}
	return false;
}

// One record of TLS at most, so nothing decrypted stays behind that the socket would not tell of.
static bool receive_tls(struct wire *wire)
{
	if (redisBufferRead(wire->context) != REDIS_OK) {
		lose(wire, tls_why(wire->session, wire->context));
		return false;
	}
	wire->heard = true;
	wire->progress_us = loop_now_us(wire->loop);
	return pass_replies(wire);
}

static bool receive(struct wire *wire)
{
	char bytes[READ_BYTES];
	if (wire->session != NULL)
		return receive_tls(wire);
	ssize_t got = recv(wire->context->fd, bytes, sizeof(bytes), 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (got <= 0) {
		lose(wire, got == 0 ? "Redis closed it" : strerror(errno));
		return false;
	}
	wire->progress_us = loop_now_us(wire->loop);
	if (redisReaderFeed(wire->context->reader, bytes, (size_t)got) != REDIS_OK) {
		lose(wire, wire->context->reader->errstr);
		return false;
	}
	return pass_replies(wire);
}

static void on_io(void *arg, bool readable, bool writable)
{
	struct wire *wire = arg;
	wire->inside = true;
	bool ok = wire->connected || !(writable || readable) || finish_connecting(wire);
	if (ok && readable && wire->connected)
		ok = receive(wire);
	if (ok)
		wire_flush(wire);
	if (ok && !wire->failed)
		wire->events->turn(wire->arg);
	wire->inside = false;
	if (wire->closed)
		free(wire);
	else
		watch(wire);
}

static bool make_parts(struct wire *wire, struct meow_error *err)
{
	wire->watchdog = loop_timer_create(wire->loop, on_watchdog, wire);
	wire->failing = loop_timer_create(wire->loop, on_failing, wire);
	if (wire->watchdog == NULL || wire->failing == NULL)
		return error_no_memory(err);
	wire->context = redisConnectNonBlock(wire->target.host, wire->target.port);
	if (wire->context == NULL)
		return error_no_memory(err);
	if (wire->context->err != 0)
		return error_set(
			err, MEOW_UNAVAILABLE, "cannot connect to Redis at %s: %s", wire->target.place, wire->context->errstr);
	wire->io = loop_io_create(wire->loop, wire->context->fd, on_io, wire);
	return wire->io != NULL || error_no_memory(err);
}

struct wire *wire_create(struct loop *loop, const struct wire_target *target, const struct wire_events *events,
	void *arg, struct meow_error *err)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	if (wire == NULL) {
		error_no_memory(err);
		return NULL;
	}
	wire->loop = loop;
	wire->target = *target;
	wire->events = events;
	wire->arg = arg;
	buffer_init(&wire->out);
	if (!make_parts(wire, err)) {
		wire_free(wire);
		return NULL;
	}
	loop_timer_start(wire->watchdog, CONNECT_LIMIT_US);
	watch(wire);
	return wire;
}

static void put_size(struct buffer *buffer, char type, size_t size)
{
	char text[32], *at = text + sizeof(text);
	*--at = '\n';
	*--at = '\r';
	do {
		*--at = (char)('0' + size % 10);
		size /= 10;
	} while (size > 0);
	*--at = type;
	buffer_put(buffer, at, (size_t)(text + sizeof(text) - at));
}

void wire_put_command(struct wire *wire, size_t arguments)
{
	wire->awaited++;
	put_size(&wire->out, '*', arguments);
}

void wire_format(struct buffer *buffer, struct meow_bytes argument)
{
	put_size(buffer, '$', argument.size);
	buffer_put(buffer, argument.data, argument.size);
	buffer_put(buffer, "\r\n", 2);
}

void wire_put(struct wire *wire, struct meow_bytes argument)
{
	if (argument.size < SPLICE_LEAST || wire->splice_count == SPLICE_MOST) {
		wire_format(&wire->out, argument);
		return;
	}
	put_size(&wire->out, '$', argument.size);
	wire->splices[wire->splice_count++] = (struct splice){wire->out.size, argument};
	wire->out_bytes += argument.size;
	buffer_put(&wire->out, "\r\n", 2);
}

void wire_put_text(struct wire *wire, const char *argument)
{
	wire_put(wire, bytes_of(argument));
}

void wire_put_int(struct wire *wire, int64_t argument)
{
	char digits[24], *at = digits + sizeof(digits);
	uint64_t left = argument < 0 ? 0 - (uint64_t)argument : (uint64_t)argument;
	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (argument < 0)
		*--at = '-';
	wire_put(wire, (struct meow_bytes){at, (size_t)(digits + sizeof(digits) - at)});
}

void wire_put_auth(struct wire *wire, const char *user, const char *password)
{
	wire_put_command(wire, user != NULL ? 3 : 2);
	wire_put_text(wire, "AUTH");
	if (user != NULL)
		wire_put_text(wire, user);
	wire_put_text(wire, password);
}

void wire_put_formatted(struct wire *wire, struct meow_bytes formatted)
{
	buffer_put(&wire->out, formatted.data, formatted.size);
}

bool wire_is_full(const struct wire *wire)
{
	return wire->splice_count > 0 || wire->out.size >= FULL_BYTES || wire->sent > 0;
}

bool wire_is_empty(const struct wire *wire)
{
	return wire->out.size == 0;
}

bool wire_has_failed(const struct wire *wire)
{
	return wire->failed;
}

// Adds what of these bytes is not sent yet; *skip counts down what is.
static void add_part(struct iovec *parts, size_t *count, const char *data, size_t size, size_t *skip)
{
	size_t done = *skip < size ? *skip : size;
	*skip -= done;
	if (done == size)
		return;
	union {
		const char *in;
		void *out;
	} base = {.in = data + done}; // sendmsg only reads, whatever struct iovec says
	parts[(*count)++] = (struct iovec){base.out, size - done};
}

static size_t fill_parts(const struct wire *wire, struct iovec parts[2 * SPLICE_MOST + 1])
{
	size_t count = 0, from = 0, skip = wire->sent;
	for (size_t i = 0; i < wire->splice_count; i++) {
		const struct splice *splice = &wire->splices[i];
		add_part(parts, &count, wire->out.data + from, splice->at - from, &skip);
		add_part(parts, &count, splice->bytes.data, splice->bytes.size, &skip);
		from = splice->at;
	}
	add_part(parts, &count, wire->out.data + from, wire->out.size - from, &skip);
	return count;
}

static void all_sent(struct wire *wire)
{
	buffer_clear(&wire->out, KEEP_BYTES);
	wire->splice_count = wire->out_bytes = wire->sent = 0;
}

// Hands over what is new to hiredis, and writes what it has.
static void send_tls(struct wire *wire)
{
	struct iovec parts[2 * SPLICE_MOST + 1];
	size_t count = fill_parts(wire, parts);
	int done = 0;
	for (size_t i = 0; i < count; i++) {
		if (redisAppendFormattedCommand(wire->context, parts[i].iov_base, parts[i].iov_len) != REDIS_OK) {
			lose(wire, wire->context->errstr);
			return;
		}
	}
	wire->sent = wire->out.size + wire->out_bytes;
	if (redisBufferWrite(wire->context, &done) != REDIS_OK) {
		lose(wire, tls_why(wire->session, wire->context));
		return;
	}
	if (done == 0)
		return;
	wire->progress_us = loop_now_us(wire->loop);
	all_sent(wire);
}

static void send_plain(struct wire *wire)
{
	while (!wire->failed && wire->connected && wire->out.size > 0) {
		struct iovec parts[2 * SPLICE_MOST + 1];
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = fill_parts(wire, parts)};
		ssize_t sent = sendmsg(wire->context->fd, &message, MSG_NOSIGNAL);
		if (sent < 0 && errno == EAGAIN)
			break;
		if (sent < 0 && errno != EINTR) {
			lose(wire, strerror(errno));
			return;
		}
		if (sent < 0)
			continue;
		wire->sent += (size_t)sent;
		wire->progress_us = loop_now_us(wire->loop);
		if (wire->sent == wire->out.size + wire->out_bytes)
			all_sent(wire);
	}
}

void wire_flush(struct wire *wire)
{
	struct meow_error err;
	if (!wire->failed && !buffer_ok(&wire->out, &err))
		set_failed(wire, false, &err);
	if (wire->session == NULL)
		send_plain(wire);
	else if (!wire->failed && wire->out.size > 0)
		send_tls(wire);
	if (wire->awaited > 0 && wire->connected && !wire->failed && !loop_timer_running(wire->watchdog))
		loop_timer_start(wire->watchdog, silence_us(wire));
	if (!wire->inside)
		watch(wire);
}
