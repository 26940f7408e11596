// cmd_tail.c: `tail`: a follower on a loop of its own. Each batch is printed and flushed at once; writing to a slow reader
// blocks, which stops the reading. A connection that is lost later is made anew, behind what was printed last.
#include "cli/cli.h"

#include "base/text.h"
#include "relay/envelope.h"
#include "store/follow.h"
#include "store/settled.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOM_BYTES ((size_t)4 << 20)
#define BATCH_ROWS 2000
#define LOOK_PAUSE_US 50000
#define LOOK_MOST_US 1000000
#define AGAIN_US 1000000

enum from { FROM_POSITION, FROM_NOW };

struct tail {
	const struct invocation *invocation;
	struct loop *loop;
	struct loop_timer *timer;
	struct session_source source;
	struct session *session;
	struct follow *follow;
	struct buffer out;
	enum from from;
	int64_t after;           // where the follower starts
	struct settled *settled; // while the start of FROM_NOW is looked for
	int64_t wanted;          // the head at the first look, -1 before it
	int64_t look_until_us;
	bool pooled, told_pooled;
	bool connected; // once: from then on a lost connection is made anew
	bool told_lost;
	int status;
};

static void end(struct tail *tail, int status)
{
	tail->status = status;
	loop_stop(tail->loop);
}

static void fail(struct tail *tail, const struct meow_error *err)
{
	int status = cli_fail(tail->invocation, err);
	// Whoever read the lines has seen enough: to stop following is no failure.
	end(tail, strcmp(err->code, CLI_CLOSED) == 0 ? 0 : status);
}

static void on_signal(void *arg)
{
	end(arg, 0);
}

static void lost(struct tail *tail, const struct meow_error *err)
{
	if (!tail->connected || !error_may_retry(err->kind)) {
		fail(tail, err);
		return;
	}
	if (!tail->told_lost)
		cli_say("meowmx tail: %s; trying again", err->text);
	tail->told_lost = true;
	loop_timer_start(tail->timer, AGAIN_US);
}

static void on_lost(void *arg, const struct meow_error *err)
{
	lost(arg, err);
}

static void on_batch(void *arg, struct batch *batch)
{
	struct tail *tail = arg;
	for (size_t i = 0; i < batch->count; i++) {
		envelope_write(&tail->out, &batch->events[i], 0);
		buffer_put_char(&tail->out, '\n');
	}
	tail->after = batch->position;
	batch_destroy(batch);
	struct meow_error err;
	if (!cli_write(&tail->out, &err))
		fail(tail, &err);
}

static void start_follow(struct tail *tail)
{
	struct follow_settings settings = {.after = tail->after,
		.trust_after = true,
		.categories = tail->invocation->word_count == 0 ? NULL : tail->invocation->words,
		.category_count = tail->invocation->word_count,
		.batch_rows = BATCH_ROWS,
		.batch_bytes = ROOM_BYTES,
		.poll_only = tail->pooled};
	struct meow_error err;
	tail->follow = follow_create(tail->loop, tail->session, &settings, on_batch, on_lost, tail, &err);
	if (tail->follow == NULL)
		fail(tail, &err);
	else
		follow_room(tail->follow, ROOM_BYTES);
}

// --- from now: behind what is settled, once everybody has ended who was writing when it began; those who take longer
// than a second are named, and what they commit below the head is not shown.

static void begin_at(struct tail *tail, int64_t position)
{
	settled_destroy(tail->settled);
	tail->settled = NULL;
	tail->from = FROM_POSITION;
	tail->after = position;
	start_follow(tail);
}

static void on_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct tail *tail = arg;
	if (err != NULL) {
		lost(tail, err);
		return;
	}
	if (tail->wanted < 0)
		tail->wanted = look->candidate;
	if (settled_look(tail->settled, look) && settled_position(tail->settled) >= tail->wanted) {
		begin_at(tail, tail->wanted);
		return;
	}
	if (loop_now_us(tail->loop) < tail->look_until_us) {
		loop_timer_start(tail->timer, LOOK_PAUSE_US);
		return;
	}
	const struct session_holder *holder = settled_oldest_holder(tail->settled);
	cli_say("meowmx tail: transaction %s%s%s is still open; of what it commits, events at or below position %lld are "
			"not shown",
		holder == NULL ? "?" : holder->id, holder == NULL || holder->name[0] == '\0' ? "" : " of ",
		holder == NULL ? "" : holder->name, (long long)tail->wanted);
	begin_at(tail, tail->wanted);
}

static void look(struct tail *tail)
{
	struct meow_error err;
	if (tail->settled == NULL) {
		tail->settled = settled_create();
		tail->wanted = -1;
		tail->look_until_us = loop_now_us(tail->loop) + LOOK_MOST_US;
	}
	if (tail->settled == NULL) {
		error_no_memory(&err);
		fail(tail, &err);
		return;
	}
	session_look(tail->session, on_look, tail);
}

// --- the connection

static void on_open(void *arg, const struct session_info *info, const struct meow_error *err)
{
	struct tail *tail = arg;
	if (err != NULL) {
		lost(tail, err);
		return;
	}
	if (tail->told_lost)
		cli_say("meowmx tail: connected again");
	tail->connected = true;
	tail->told_lost = false;
	tail->pooled = info->pooled;
	if (info->pooled && !tail->told_pooled)
		cli_say("meowmx tail: a pooler stands in between, which passes no notifications: polling instead");
	tail->told_pooled = tail->told_pooled || info->pooled;
	if (tail->from == FROM_NOW)
		look(tail);
	else
		start_follow(tail);
}

static void disconnect(struct tail *tail)
{
	settled_destroy(tail->settled);
	tail->settled = NULL;
	follow_destroy(tail->follow);
	tail->follow = NULL;
	session_destroy(tail->session);
	tail->session = NULL;
}

static void connect(struct tail *tail)
{
	struct meow_error err;
	tail->session = tail->source.create(tail->source.arg, tail->loop, &err);
	if (tail->session == NULL)
		fail(tail, &err);
	else
		session_open(tail->session, SESSION_PATIENCE_US, on_open, tail);
}

static void on_timer(void *arg)
{
	struct tail *tail = arg;
	if (tail->settled != NULL && !tail->told_lost) {
		look(tail);
		return;
	}
	disconnect(tail);
	connect(tail);
}

// --- standard output

// A pipe whose reader has gone shows it at once, not only when the next event is written, which may be never.
static void on_output(void *arg, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	struct tail *tail = arg;
	struct pollfd output = {.fd = STDOUT_FILENO};
	if (poll(&output, 1, 0) > 0 && (output.revents & (POLLERR | POLLHUP)) != 0)
		end(tail, 0);
}

static struct loop_io *watch_output(struct tail *tail)
{
	struct stat info;
	if (fstat(STDOUT_FILENO, &info) != 0 || !S_ISFIFO(info.st_mode))
		return NULL;
	struct loop_io *io = loop_io_create(tail->loop, STDOUT_FILENO, on_output, tail);
	if (io != NULL)
		loop_io_watch(io, true, false);
	return io;
}

// --- the command

static bool read_from(const struct invocation *invocation, struct tail *tail)
{
	const char *text = invocation->options[OPTION_FROM];
	int64_t position;
	tail->from = text == NULL || strcmp(text, "now") == 0 ? FROM_NOW : FROM_POSITION;
	if (tail->from == FROM_NOW || strcmp(text, "start") == 0)
		return true;
	if (!text_to_int64(bytes_of(text), &position) || position < 0) {
		command_misused(invocation, "--from must be a position, start or now, not \"%s\"", text);
		return false;
	}
	tail->after = position > 0 ? position - 1 : 0;
	return true;
}

static bool run(struct tail *tail, struct meow_error *err)
{
	struct loop_signal *interrupt = loop_signal_create(tail->loop, SIGINT, on_signal, tail);
	struct loop_signal *terminate = loop_signal_create(tail->loop, SIGTERM, on_signal, tail);
	tail->timer = loop_timer_create(tail->loop, on_timer, tail);
	bool good = interrupt != NULL && terminate != NULL && tail->timer != NULL;
	if (good) {
		struct loop_io *output = watch_output(tail);
		loop_timer_start(tail->timer, 0); // connects
		loop_run(tail->loop);
		loop_io_destroy(output);
	}
	disconnect(tail);
	loop_timer_destroy(tail->timer);
	loop_signal_destroy(interrupt);
	loop_signal_destroy(terminate);
	return good || error_no_memory(err);
}

int run_tail(const struct invocation *invocation)
{
	struct tail tail = {.invocation = invocation, .wanted = -1};
	if (!read_from(invocation, &tail))
		return EXIT_USAGE;
	struct meow_error err;
	char *url = cli_store_url(invocation, &err);
	if (url == NULL || !store_source_init(&tail.source, url, &err)) {
		free(url);
		return cli_fail(invocation, &err);
	}
	buffer_init(&tail.out);
	tail.loop = loop_create(&err);
	if (tail.loop == NULL || !run(&tail, &err))
		tail.status = cli_fail(invocation, &err);
	loop_destroy(tail.loop);
	buffer_finish(&tail.out);
	store_source_finish(&tail.source);
	free(url);
	return tail.status;
}
