// The follower asks one thing at a time and decides anew after each answer what to ask next:
//
//   proven    position < settled: read up to the settled position, by index, whatever is missing below it
//   tail      read beyond it; rows that follow each other without a missing id need no proof
//   gap       an id is missing: read once more a moment later, since most gaps are commits under way; if it is still
//             missing, look who holds the sequence (store/settled.h), again and again, reading in between
//   waiting   nothing new: ask the sequence, with growing pauses
//   dozing    nothing for a while: tell writers to notify, look once more, and from then on only once a second
//
// No clock decides what may be read, only when to ask. A category that is far behind is proven first and then read by
// its own index, since ids that it does not want are gaps to it.
#include "store/follow.h"

#include "store/settled.h"

#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000)
#define FIRST_ROWS 64 // of the first statement, before it is known how large events are
#define GAP_ROWS 16   // of a statement that only asks whether a gap is filled
#define PAUSE_LEAST_US (1 * MS)
#define PAUSE_MOST_US (10 * MS)
#define POOLED_PAUSE_MOST_US (50 * MS)
#define QUIET_US (200 * MS)     // without news for so long: doze
#define GUARD_US (1000 * MS)    // while dozing; a doze lasts two seconds
#define LOOK_SHARE 20           // looks take at most one part in so many of the time,
#define LOOK_PAUSE_US (20 * MS) // and there are at most so few of them
#define HELD_US (1000 * MS)     // a gap that stays for so long is asked for less often
#define HELD_PAUSE_US (20 * MS)
#define HELD_LOOK_US (50 * MS)

// What a request carries: its owner may destroy the follower while it is handed a batch.
struct ticket {
	struct follow *follow;
	unsigned uses;
};

struct follow {
	struct loop *loop;
	struct session *session;
	struct follow_settings settings;
	follow_batch_fn *on_batch;
	follow_lost_fn *on_lost;
	void *arg;
	struct ticket *ticket;
	struct loop_timer *timer;
	struct settled *settled;
	size_t room_bytes;
	bool busy; // a request is under way
	bool lost;
	bool head_known;
	bool notified;
	bool more; // a statement may find rows
	bool dozing;
	bool gap_again; // the gap was missing in two statements: it is time for a proof
	bool look_due;  // prove first: far behind, with a filter
	int64_t position;
	int64_t asked_to; // by the proven statement under way
	int64_t head;
	int64_t gap; // the id that is missing, 0 if none
	int64_t gap_since_us;
	int64_t pause_us;
	int64_t news_us; // when something last happened
	int64_t look_began_us;
	int64_t next_look_us;
	size_t event_bytes; // of an event, as of late
	size_t last_rows;
	uint64_t looks;
	uint64_t filtered;
	char oldest_id[sizeof(((struct session_holder *)0)->id)];
	int64_t oldest_since_us;
};

static void advance(struct follow *follow);

static void release(struct ticket *ticket)
{
	if (--ticket->uses == 0)
		free(ticket);
}

static struct ticket *ask(struct follow *follow)
{
	follow->busy = true;
	follow->ticket->uses++;
	return follow->ticket;
}

// At the start of every answer: the follower, or NULL if it is gone or the connection is lost. The ticket is still
// held and must be released.
static struct follow *answered(struct ticket *ticket, const struct meow_error *err)
{
	struct follow *follow = ticket->follow;
	if (!follow)
		return NULL;
	follow->busy = false;
	if (!err)
		return follow;
	if (!follow->lost) {
		follow->lost = true;
		loop_timer_stop(follow->timer);
		follow->on_lost(follow->arg, err);
	}
	return NULL;
}

static void lose(struct follow *follow)
{
	struct meow_error err;
	error_no_memory(&err);
	follow->lost = true;
	loop_timer_stop(follow->timer);
	follow->on_lost(follow->arg, &err);
}

static void news(struct follow *follow)
{
	follow->news_us = loop_now_us(follow->loop);
	follow->pause_us = PAUSE_LEAST_US;
	follow->dozing = false;
}

static void wait_for(struct follow *follow, int64_t delay_us)
{
	loop_timer_start(follow->timer, delay_us);
}

static int64_t grow_pause(struct follow *follow, int64_t most_us)
{
	int64_t pause = follow->pause_us;
	follow->pause_us += follow->pause_us / 2;
	if (follow->pause_us > most_us)
		follow->pause_us = most_us;
	return pause < most_us ? pause : most_us;
}

// --- reading ---

// So many rows that the result should fit into the room, going by the size of events of late.
static size_t rows_that_fit(const struct follow *follow, size_t limit_bytes)
{
	size_t most = follow->settings.batch_rows;
	if (!follow->event_bytes)
		return most < FIRST_ROWS ? most : FIRST_ROWS;
	size_t rows = limit_bytes / follow->event_bytes;
	if (follow->last_rows && rows > follow->last_rows * 4)
		rows = follow->last_rows * 4;
	return rows < 1 ? 1 : rows > most ? most : rows;
}

static void learn_size(struct follow *follow, const struct batch *batch)
{
	if (!batch->count)
		return;
	size_t size = batch->bytes / batch->count + 1;
	follow->event_bytes = size > follow->event_bytes ? size : (follow->event_bytes * 3 + size) / 4;
	follow->last_rows = batch->count > FIRST_ROWS ? batch->count : FIRST_ROWS;
}

// Hands the batch on, or drops it if it moves nothing. False if the follower is gone afterwards.
static bool hand_out(struct ticket *ticket, struct batch *batch, int64_t position)
{
	struct follow *follow = ticket->follow;
	if (!batch->count && position <= follow->position) {
		batch_destroy(batch);
		return true;
	}
	if (position > follow->position)
		follow->position = position;
	settled_advance(follow->settled, follow->position);
	if (follow->head < follow->position)
		follow->head = follow->position;
	news(follow);
	batch->position = follow->position;
	follow->on_batch(follow->arg, batch);
	return ticket->follow && !ticket->follow->lost;
}

static void on_proven_rows(void *arg, const struct session_rows *rows, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (!follow || follow->lost) {
		if (rows)
			batch_destroy(rows->batch);
		release(ticket);
		return;
	}
	struct batch *batch = rows->batch;
	learn_size(follow, batch);
	int64_t position = rows->complete ? follow->asked_to : rows->last;
	if (hand_out(ticket, batch, position)) {
		follow->more = true;
		advance(follow);
	}
	release(ticket);
}

static void note_gap(struct follow *follow, int64_t missing)
{
	if (follow->gap != missing) {
		follow->gap = missing;
		follow->gap_since_us = loop_now_us(follow->loop);
		follow->gap_again = false;
	} else {
		follow->gap_again = true;
	}
}

static void on_tail_rows(void *arg, const struct session_rows *rows, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (!follow || follow->lost) {
		if (rows)
			batch_destroy(rows->batch);
		release(ticket);
		return;
	}
	learn_size(follow, rows->batch);
	int64_t contiguous_to = rows->contiguous_to, last = rows->last;
	bool complete = rows->complete;
	if (last > follow->head)
		follow->head = last;
	if (last > contiguous_to || (complete && contiguous_to < follow->head))
		note_gap(follow, contiguous_to + 1);
	else
		follow->gap = 0;
	follow->more = !follow->gap && !complete;
	follow->filtered += (uint64_t)(contiguous_to - follow->position) - rows->contiguous_events;
	batch_cut(rows->batch, rows->contiguous_events);
	if (hand_out(ticket, rows->batch, contiguous_to))
		advance(follow);
	release(ticket);
}

static void read_on(struct follow *follow, int64_t to, bool proven)
{
	size_t limit_bytes =
		follow->room_bytes < follow->settings.batch_bytes ? follow->room_bytes : follow->settings.batch_bytes;
	struct session_read read = {
		.after = follow->position,
		.to = to,
		.limit_rows = rows_that_fit(follow, limit_bytes),
		.limit_bytes = limit_bytes,
		.categories = follow->settings.categories,
		.category_count = follow->settings.category_count,
		.show_dropped = !proven && follow->settings.categories,
	};
	if (!proven && follow->gap && read.limit_rows > GAP_ROWS)
		read.limit_rows = GAP_ROWS;
	follow->asked_to = to;
	session_read(follow->session, &read, proven ? on_proven_rows : on_tail_rows, ask(follow));
}

// --- proofs ---

static void note_oldest(struct follow *follow)
{
	const struct session_holder *oldest = settled_oldest_holder(follow->settled);
	if (!oldest) {
		follow->oldest_id[0] = '\0';
	} else if (strcmp(oldest->id, follow->oldest_id) != 0) {
		memcpy(follow->oldest_id, oldest->id, sizeof(follow->oldest_id));
		follow->oldest_since_us = loop_now_us(follow->loop);
	}
}

static void on_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (follow && !follow->lost) {
		int64_t now = loop_now_us(follow->loop);
		int64_t pause = (now - follow->look_began_us) * LOOK_SHARE;
		int64_t least = now - follow->gap_since_us > HELD_US ? HELD_LOOK_US : LOOK_PAUSE_US;
		follow->next_look_us = follow->look_began_us + (pause > least ? pause : least);
		follow->looks++;
		follow->look_due = false;
		// Exactly, whatever it was taken for (session_head).
		follow->head = look->candidate > follow->position ? look->candidate : follow->position;
		if (settled_look(follow->settled, look)) {
			note_oldest(follow);
			if (settled_position(follow->settled) > follow->position || follow->head == follow->position)
				follow->gap = 0;
			advance(follow);
		} else {
			lose(follow);
		}
	}
	release(ticket);
}

static void look(struct follow *follow)
{
	follow->look_began_us = loop_now_us(follow->loop);
	session_look(follow->session, on_look, ask(follow));
}

// An id is missing: read again, or look, whichever is due first.
static void work_on_gap(struct follow *follow)
{
	int64_t now = loop_now_us(follow->loop);
	if (follow->gap_again && now >= follow->next_look_us) {
		look(follow);
		return;
	}
	bool held = now - follow->gap_since_us > HELD_US;
	int64_t pause = grow_pause(follow, held ? HELD_PAUSE_US : PAUSE_MOST_US);
	if (follow->gap_again && follow->next_look_us - now < pause)
		pause = follow->next_look_us - now;
	follow->more = true;
	wait_for(follow, pause);
}

// --- waiting and dozing ---

static void see_head(struct follow *follow, int64_t head)
{
	follow->head_known = true;
	if (head > follow->head)
		follow->head = head;
	if (head > follow->position) {
		follow->more = true;
		follow->dozing = false;
	}
}

static void on_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (follow && !follow->lost) {
		bool first = !follow->head_known;
		see_head(follow, last_position);
		if (first && follow->settings.categories &&
			last_position - follow->position > (int64_t)follow->settings.batch_rows)
			follow->look_due = true;
		if (follow->more && follow->room_bytes)
			advance(follow);
		else if (!follow->room_bytes)
			wait_for(follow, GUARD_US);
		else if (!follow->settings.poll_only && loop_now_us(follow->loop) - follow->news_us >= QUIET_US)
			wait_for(follow, 0); // to doze
		else
			wait_for(follow, grow_pause(follow, follow->settings.poll_only ? POOLED_PAUSE_MOST_US : PAUSE_MOST_US));
	}
	release(ticket);
}

static void ask_head(struct follow *follow)
{
	session_head(follow->session, on_head, ask(follow));
}

// The second step of a doze: whoever drew an id before it is seen here, whoever draws one later reads the doze.
static void on_head_behind_doze(void *arg, int64_t last_position, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (follow && !follow->lost) {
		follow->dozing = true;
		see_head(follow, last_position);
		if (follow->more || follow->notified) {
			news(follow);
			advance(follow);
		} else {
			wait_for(follow, GUARD_US);
		}
	}
	release(ticket);
}

static void on_doze(void *arg, const struct meow_error *err)
{
	struct ticket *ticket = arg;
	struct follow *follow = answered(ticket, err);
	if (follow && !follow->lost)
		session_head(follow->session, on_head_behind_doze, ask(follow));
	release(ticket);
}

static bool quiet(const struct follow *follow)
{
	return !follow->settings.poll_only && loop_now_us(follow->loop) - follow->news_us >= QUIET_US;
}

// Decides what to ask next. Called whenever nothing is under way and something may have changed.
static void advance(struct follow *follow)
{
	if (follow->busy || follow->lost)
		return;
	loop_timer_stop(follow->timer);
	if (follow->notified) {
		follow->notified = false;
		follow->more = true;
		news(follow);
	}
	int64_t settled = settled_position(follow->settled);
	if (!follow->room_bytes || !follow->head_known)
		follow->head_known ? wait_for(follow, GUARD_US) : ask_head(follow);
	else if (follow->look_due)
		look(follow);
	else if (settled > follow->position)
		read_on(follow, settled, true);
	else if (follow->gap && !follow->more)
		work_on_gap(follow);
	else if (follow->more)
		read_on(follow, INT64_MAX, false);
	else if (quiet(follow))
		session_doze(follow->session, on_doze, ask(follow));
	else
		wait_for(follow, grow_pause(follow, follow->settings.poll_only ? POOLED_PAUSE_MOST_US : PAUSE_MOST_US));
}

static void on_timer(void *arg)
{
	struct follow *follow = arg;
	if (follow->busy || follow->lost)
		return;
	if (follow->room_bytes && (follow->more || follow->gap || follow->dozing || quiet(follow)))
		advance(follow);
	else
		ask_head(follow);
}

static void on_notify(void *arg)
{
	struct follow *follow = arg;
	follow->notified = true;
	if (!follow->busy)
		advance(follow);
}

// --- the owner's side ---

struct follow *follow_create(struct loop *loop, struct session *session, const struct follow_settings *settings,
	follow_batch_fn *on_batch, follow_lost_fn *on_lost, void *arg, struct meow_error *err)
{
	struct follow *follow = calloc(1, sizeof(*follow));
	struct ticket *ticket = calloc(1, sizeof(*ticket));
	if (!follow || !ticket)
		goto no_memory;
	*ticket = (struct ticket){.follow = follow, .uses = 1};
	*follow = (struct follow){.loop = loop,
		.session = session,
		.settings = *settings,
		.on_batch = on_batch,
		.on_lost = on_lost,
		.arg = arg,
		.ticket = ticket,
		.position = settings->after,
		.more = true,
		.pause_us = PAUSE_LEAST_US,
		.news_us = loop_now_us(loop),
		.next_look_us = INT64_MIN};
	follow->settled = settled_create();
	follow->timer = loop_timer_create(loop, on_timer, follow);
	if (!follow->settled || !follow->timer)
		goto no_memory;
	settled_advance(follow->settled, settings->after);
	session_on_notify(session, on_notify, follow);
	return follow;
no_memory:
	if (follow) {
		settled_destroy(follow->settled);
		loop_timer_destroy(follow->timer);
	}
	free(follow);
	free(ticket);
	error_no_memory(err);
	return NULL;
}

void follow_room(struct follow *follow, size_t room_bytes)
{
	bool had_room = follow->room_bytes > 0;
	follow->room_bytes = room_bytes;
	if (!had_room && room_bytes && !follow->busy && !follow->lost)
		wait_for(follow, 0); // the owner may be in the middle of something: not from here
}

void follow_stats(const struct follow *follow, struct follow_stats *ret_stats)
{
	*ret_stats = (struct follow_stats){
		.position = follow->position,
		.settled = settled_position(follow->settled),
		.head = follow->head,
		.looks = follow->looks,
		.filtered = follow->filtered,
		.dozing = follow->dozing,
		.caught_up = follow->head_known && follow->position >= follow->head,
	};
	const struct session_holder *oldest = settled_oldest_holder(follow->settled);
	if (!follow->gap || !oldest)
		return;
	ret_stats->holders = settled_holder_count(follow->settled);
	ret_stats->oldest = *oldest;
	if (oldest->age_us < 0)
		ret_stats->oldest.age_us = loop_now_us(follow->loop) - follow->oldest_since_us;
}

void follow_destroy(struct follow *follow)
{
	if (!follow)
		return;
	if (!follow->lost)
		session_on_notify(follow->session, NULL, NULL);
	follow->ticket->follow = NULL;
	if (follow->busy) {
		session_forget(follow->session, follow->ticket);
		release(follow->ticket); // the request's
	}
	release(follow->ticket);
	loop_timer_destroy(follow->timer);
	settled_destroy(follow->settled);
	free(follow);
}
