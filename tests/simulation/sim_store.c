// A store with writers. A transaction draws ids, for some aggregates after it locked them and for some ids that it never
// uses, waits, and commits or rolls back; its events become visible all at once, so ids appear in any order, with holes.
// Until it has ended it holds the sequence. Requests take effect at some moment between question and answer; a
// connection may break before or after that.
#include "sim.h"

#include "base/text.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AGGREGATES 12
#define TX_EVENTS 6

struct stored {
	struct meow_event event;
	char id[16];
	char data[24];
	bool committed;
	bool used; // false: drawn and never inserted, or rolled back
	int64_t committed_us;
	int aggregate;
};

struct transaction {
	struct sim_store *store;
	struct transaction *next;
	int64_t ids[TX_EVENTS];
	int aggregates[TX_EVENTS];
	size_t count;
	uint64_t number;
	bool holds;    // has drawn an id
	bool dead;     // its server has gone
	bool notifies; // the relay dozed when it inserted
	bool lasting;  // it commits, soon
};

struct row {
	char holder[16]; // of the lease, empty if it is free
	int64_t until_us, length_us;
	bool there, paused, stop_kept, resume;
	int64_t delivered, position, generation, epoch, error_position;
	char *fingerprint;
	char state[16], reason[MEOW_ERROR_TEXT_SIZE];
};

// What a copy of the store would hold.
struct copy {
	int64_t at_us, last;
	struct row row;
};

#define POSITIONS_MOST 65536

struct sim_store {
	bool dead[POSITIONS_MOST]; // by position: set aside
	struct loop *loop;
	struct sim_store_settings settings;
	struct stored **events; // by id - 1
	size_t capacity;
	int64_t last;
	int64_t versions[AGGREGATES];
	bool locked[AGGREGATES];
	struct transaction *open;
	uint64_t transactions;
	int64_t doze_until_us;
	struct row row;
	struct sim_session *sessions;
	uint64_t session_count;
	int64_t clock_ahead_us;
	uint64_t looks;
	int64_t skipped; // an operator's decision
	size_t committed;
	uint32_t timeline;
	int64_t started_at; // the head when it was made
	int64_t start;
	struct copy copies[64];
	size_t copy_count;
};

enum kind { OPEN, READ, HEAD, LOOK, DOZE, FIND, LOAD, SAVE, ACQUIRE, RENEW, RELEASE, ASIDE };

struct request {
	struct request *next;
	struct sim_session *session;
	enum kind kind;
	void *arg;
	bool forgotten, done;
	union {
		session_open_fn *open;
		session_rows_fn *rows;
		session_head_fn *head;
		session_look_fn *look;
		session_done_fn *done;
		session_event_fn *event;
		session_checkpoint_fn *checkpoint;
		session_lease_fn *lease;
	} fn;
	struct session_read read;
	struct session_rows rows;
	int64_t number;
	struct session_holder holders[64];
	size_t holder_count;
	struct checkpoint save;
	char state[16], reason[MEOW_ERROR_TEXT_SIZE];
	char *fingerprint;
	bool conflict;
	char *letters;
	struct session_letters aside;
	struct session_lease lease;
	struct session_lease_state leased;
	char relay[16], holder[16];
};

struct sim_session {
	struct session base;
	struct sim_session *next;
	struct sim_store *store;
	struct loop *loop; // of the process whose session it is
	uint64_t number;
	struct request *first;
	loop_fn *notify;
	void *notify_arg;
	bool dead, destroyed, inside, scheduled;
};

// --- writers ---

static struct stored *draw(struct sim_store *store)
{
	if ((size_t)store->last == store->capacity) {
		store->capacity = store->capacity ? store->capacity * 2 : 256;
		store->events = realloc(store->events, store->capacity * sizeof(*store->events));
	}
	struct stored *stored = calloc(1, sizeof(*stored));
	if (!store->events || !stored)
		abort();
	store->events[store->last++] = stored;
	return stored;
}

static void insert(struct sim_store *store, struct transaction *transaction, int aggregate)
{
	struct stored *stored = draw(store);
	int64_t id = store->last;
	snprintf(stored->id, sizeof(stored->id), "a%d", aggregate);
	snprintf(stored->data, sizeof(stored->data), "{\"n\":%d}", (int)id);
	stored->used = true;
	stored->aggregate = aggregate;
	stored->event = (struct meow_event){.position = id,
		.time_us = MEOW_NO_TIME,
		.transaction_id = transaction->number,
		.aggregate_type = aggregate % 3 ? MEOW_BYTES("order") : MEOW_BYTES("other"),
		.aggregate_id = bytes_of(stored->id),
		.type = MEOW_BYTES("e"),
		.data = bytes_of(stored->data)};
	transaction->ids[transaction->count] = id;
	transaction->aggregates[transaction->count++] = aggregate;
	transaction->holds = true;
}

static void notify_all(struct sim_store *store);

static void end_transaction(void *arg)
{
	struct transaction *transaction = arg;
	struct sim_store *store = transaction->store;
	if (transaction->dead) {
		free(transaction);
		return;
	}
	bool commit = transaction->lasting || !sim_chance(store->settings.rollback_percent);
	for (size_t i = 0; i < transaction->count; i++) {
		struct stored *stored = store->events[transaction->ids[i] - 1];
		int aggregate = transaction->aggregates[i];
		store->locked[aggregate] = false;
		stored->used = commit;
		if (!commit)
			continue;
		stored->event.version = store->versions[aggregate]++;
		stored->committed = true;
		stored->committed_us = sim_now(store->loop);
		store->committed++;
		if (transaction->ids[i] <= store->row.position)
			sim_violation("event %ld commits below the checkpoint's position %ld", (long)transaction->ids[i],
				(long)store->row.position);
	}
	for (struct transaction **at = &store->open; *at; at = &(*at)->next)
		if (*at == transaction) {
			*at = transaction->next;
			break;
		}
	if (commit && transaction->notifies)
		notify_all(store);
	free(transaction);
}

struct note {
	struct sim_store *store;
	uint64_t session;
};

static void notify_one(void *arg)
{
	struct note *note = arg;
	for (struct sim_session *session = note->store->sessions; session; session = session->next)
		if (session->number == note->session && session->notify && !session->dead && !session->destroyed) {
			session->notify(session->notify_arg);
			break; // it may be gone now
		}
	free(note);
}

static void notify_all(struct sim_store *store)
{
	for (struct sim_session *session = store->sessions; session; session = session->next) {
		struct note *note = session->notify ? malloc(sizeof(*note)) : NULL;
		if (!note)
			continue;
		*note = (struct note){store, session->number};
		sim_after(session->loop, sim_between(10, 300), notify_one, note);
	}
}

static void write_events(void *arg)
{
	struct transaction *transaction = arg;
	struct sim_store *store = transaction->store;
	if (transaction->dead) {
		free(transaction);
		return;
	}
	int wanted = (int)sim_between(1, TX_EVENTS - 1);
	for (int i = 0; i < wanted; i++) {
		int aggregate = (int)sim_between(0, AGGREGATES - 1);
		bool ours = false;
		for (size_t k = 0; k < transaction->count; k++)
			ours |= transaction->aggregates[k] == aggregate;
		if (store->locked[aggregate] && !ours)
			continue; // another writer would wait here
		store->locked[aggregate] = true;
		insert(store, transaction, aggregate);
	}
	transaction->notifies = store->doze_until_us > sim_now(store->loop);
	int64_t open_us = !transaction->lasting && sim_chance(5) ? sim_between(50000, 900000) : sim_between(50, 4000);
	sim_after(store->loop, open_us, end_transaction, transaction);
}

static struct transaction *make_transaction(struct sim_store *store)
{
	struct transaction *transaction = calloc(1, sizeof(*transaction));
	if (!transaction)
		abort();
	*transaction = (struct transaction){.store = store, .next = store->open, .number = ++store->transactions};
	store->open = transaction;
	return transaction;
}

void sim_store_write(struct sim_store *store)
{
	struct transaction *transaction = make_transaction(store);
	transaction->lasting = true;
	write_events(transaction);
}

static void begin_transaction(void *arg)
{
	struct sim_store *store = arg;
	if (sim_now(store->loop) >= store->settings.until_us)
		return;
	struct transaction *transaction = make_transaction(store);
	if (sim_chance(store->settings.early_percent)) { // an id long before its insert, which then draws another
		draw(store);
		transaction->holds = true;
		sim_after(store->loop, sim_between(100, 30000), write_events, transaction);
	} else {
		write_events(transaction);
	}
	int64_t pause = sim_chance(3) ? sim_between(300000, 2500000) : sim_between(100, 12000);
	sim_after(store->loop, pause, begin_transaction, store);
}

// --- what requests do, at one moment ---

static bool wanted(const struct session_read *read, const struct meow_event *event)
{
	for (size_t i = 0; i < read->category_count; i++)
		if (bytes_equal(event->aggregate_type, bytes_of(read->categories[i])))
			return true;
	return !read->categories;
}

static void do_read(struct sim_store *store, struct request *request)
{
	const struct session_read *read = &request->read;
	struct session_rows *rows = &request->rows;
	*rows = (struct session_rows){
		.batch = batch_create(), .contiguous_to = read->after, .last = read->after, .complete = true};
	size_t seen = 0;
	for (int64_t id = read->after + 1; id <= store->last && id <= read->to; id++) {
		const struct stored *stored = store->events[id - 1];
		bool ours = stored->committed && wanted(read, &stored->event);
		if (!stored->committed || (!ours && !read->show_dropped))
			continue;
		if (ours && !batch_add(rows->batch, &stored->event))
			abort();
		rows->dropped += !ours;
		if (rows->contiguous_to == id - 1) {
			rows->contiguous_to = id;
			rows->contiguous_events = rows->batch->count;
		}
		rows->last = id;
		if (++seen == read->limit_rows || rows->batch->bytes >= read->limit_bytes) {
			rows->complete = false;
			return;
		}
	}
}

static void do_holders(struct sim_store *store, struct request *request)
{
	for (const struct transaction *open = store->open; open; open = open->next) {
		if (!open->holds || request->holder_count == 64)
			continue;
		struct session_holder *holder = &request->holders[request->holder_count++];
		*holder = (struct session_holder){.pid = (int)open->number, .age_us = -1};
		snprintf(holder->id, sizeof(holder->id), "%d/%d", (int)(open->number % 7), (int)open->number);
	}
	if (request->holder_count == 64)
		abort(); // the world was meant to be smaller
	store->looks++;
}

static void check_checkpoint(const struct sim_store *store, const struct checkpoint *save);

static int64_t clock_us(const struct sim_store *store)
{
	return sim_now(store->loop) + store->clock_ahead_us;
}

static bool is_taken(const struct sim_store *store, const struct session_lease *lease)
{
	const struct row *row = &store->row;
	int64_t now_us = clock_us(store);
	return *row->holder && strcmp(row->holder, lease->relay) != 0 && row->until_us > now_us &&
		   row->until_us <= now_us + row->length_us &&
		   !(row->epoch == lease->stale_epoch && row->until_us == lease->stale_until_us);
}

static void do_acquire(struct sim_store *store, struct request *request)
{
	struct row *row = &store->row;
	struct session_lease_state *state = &request->leased;
	*state = (struct session_lease_state){.partitions = 1, .least = INT_MAX};
	if (is_taken(store, &request->lease)) {
		state->until_us = row->until_us;
		state->length_ms = row->length_us / 1000;
		state->left_us = row->until_us - clock_us(store);
		snprintf(request->holder, sizeof(request->holder), "%s", row->holder);
		state->holder = request->holder;
	} else {
		row->epoch++;
		row->length_us = request->lease.length_ms * 1000;
		row->until_us = clock_us(store) + row->length_us;
		snprintf(row->holder, sizeof(row->holder), "%s", request->relay);
		state->held = true;
	}
	state->epoch = row->epoch;
}

static bool owns(const struct sim_store *store, const struct request *request)
{
	return store->row.epoch == request->lease.epoch && strcmp(store->row.holder, request->relay) == 0;
}

static void do_renew(struct sim_store *store, struct request *request)
{
	request->leased = (struct session_lease_state){
		.held = owns(store, request), .epoch = request->lease.epoch, .mine = 1, .least = INT_MAX};
	if (request->leased.held)
		store->row.until_us = clock_us(store) + request->lease.length_ms * 1000;
}

static void do_release(struct sim_store *store, struct request *request)
{
	if (strcmp(store->row.holder, request->relay) != 0)
		return;
	store->row.holder[0] = '\0';
	notify_all(store);
}

static void do_aside(struct sim_store *store, struct request *request)
{
	static const char key[] = "\"position\":";
	request->conflict = store->row.epoch != request->aside.epoch || store->row.generation != request->aside.generation;
	for (const char *at = request->letters; !request->conflict && (at = strstr(at, key)) != NULL;) {
		at += sizeof(key) - 1;
		long position = strtol(at, NULL, 10);
		if (position >= POSITIONS_MOST)
			abort(); // the world was meant to be smaller
		store->dead[position] = true;
	}
}

// As the store would write which aggregates are held, and how many dead letters there are. Good until the next call.
static const char *held_text(struct sim_store *store, int64_t *ret_count)
{
	static char text[64 * 64];
	size_t size = 0;
	*ret_count = 0;
	for (int64_t id = 1; id <= store->last; id++) {
		const struct meow_event *event = &store->events[id - 1]->event;
		char entry[64];
		if (id >= POSITIONS_MOST || !store->dead[id])
			continue;
		++*ret_count;
		snprintf(entry, sizeof(entry), ":%zu:%s%zu:%s", event->aggregate_type.size, event->aggregate_type.data,
			event->aggregate_id.size, event->aggregate_id.data);
		if ((size && strstr(text, entry)) || size + sizeof(entry) + 20 > sizeof(text))
			continue; // twice would do no harm, and is not what the store does
		size += (size_t)snprintf(text + size, sizeof(text) - size, "%ld%s", (long)id, entry);
	}
	return size ? text : NULL;
}

static void do_save(struct sim_store *store, struct request *request)
{
	struct row *row = &store->row;
	const struct checkpoint *save = &request->save;
	if (row->epoch != save->epoch || row->generation != save->generation || (row->resume && !save->decision_known)) {
		request->conflict = true;
		return;
	}
	if (store->settings.steady && save->delivered < row->delivered)
		sim_violation("the checkpoint goes back from %ld to %ld", (long)row->delivered, (long)save->delivered);
	row->until_us = clock_us(store) + save->lease_ms * 1000;
	if (!row->there && store->settings.start_now) {
		store->start = save->position;
		if (save->position < store->started_at)
			sim_violation("a route that starts now starts at %ld, and the store was at %ld", (long)save->position,
				(long)store->started_at);
	}
	check_checkpoint(store, save);
	row->there = true;
	row->delivered = save->delivered;
	row->position = save->position;
	row->error_position = save->error_position;
	row->stop_kept |= save->keep_stop;
	row->resume &= !save->decision_used;
	free(row->fingerprint);
	row->fingerprint = request->fingerprint;
	request->fingerprint = NULL;
	if (save->state) {
		snprintf(row->state, sizeof(row->state), "%s", request->state);
		snprintf(row->reason, sizeof(row->reason), "%s", request->reason);
	}
	if (store->copy_count < 64 && sim_chance(20)) {
		struct copy *copy = &store->copies[store->copy_count++];
		*copy = (struct copy){sim_now(store->loop), store->last, *row};
		copy->row.fingerprint = row->fingerprint ? strdup(row->fingerprint) : NULL;
	}
}

// A checkpoint may stand only where everything at or below it that was for the route is in the sink.
static void check_checkpoint(const struct sim_store *store, const struct checkpoint *save)
{
	for (int64_t id = store->start + 1; id <= save->position && id <= store->last; id++) {
		const struct stored *stored = store->events[id - 1];
		bool left_out = id == store->skipped || sim_store_is_dead(store, id);
		if (stored->committed && !sim_sink_had(id) && !left_out && sim_sink_wants(&stored->event))
			sim_violation("the checkpoint stands at %ld, and %ld is not in the sink", (long)save->position, (long)id);
	}
	for (const struct transaction *open = store->open; open; open = open->next)
		for (size_t i = 0; i < open->count; i++)
			if (open->ids[i] <= save->position)
				sim_violation(
					"the checkpoint stands at %ld, and %ld may still commit", (long)save->position, (long)open->ids[i]);
}

static void take_effect(struct sim_store *store, struct request *request)
{
	if (request->kind == READ)
		do_read(store, request);
	else if (request->kind == HEAD)
		request->number = store->last;
	else if (request->kind == LOOK)
		request->number = store->last; // the holders come later, in a snapshot of their own
	else if (request->kind == DOZE)
		store->doze_until_us = sim_now(store->loop) + 2000000;
	else if (request->kind == SAVE)
		do_save(store, request);
	else if (request->kind == ASIDE)
		do_aside(store, request);
	else if (request->kind == ACQUIRE)
		do_acquire(store, request);
	else if (request->kind == RENEW)
		do_renew(store, request);
	else if (request->kind == RELEASE)
		do_release(store, request);
}

// --- answers ---

static void answer(struct request *request, const struct meow_error *err)
{
	struct sim_store *store = request->session->store;
	struct session_info info = {.wakes_waiting = true,
		.store.last_position = store->last,
		.store.system_identifier = 1,
		.store.timeline = store->timeline};
	strcpy(info.store.store_id, "00000000-0000-4000-8000-000000000001");
	struct row *row = &store->row;
	switch (request->kind) {
	case OPEN:
		request->fn.open(request->arg, err ? NULL : &info, err);
		return;
	case READ: {
		struct session_rows rows = request->rows;
		request->rows.batch = err ? request->rows.batch : NULL;
		request->fn.rows(request->arg, err ? NULL : &rows, err);
		return;
	}
	case HEAD:
		request->fn.head(request->arg, request->number, err);
		return;
	case LOOK: {
		struct session_look look = {request->number, request->holders, request->holder_count};
		request->fn.look(request->arg, err ? NULL : &look, err);
		return;
	}
	case DOZE:
	case RELEASE:
		request->fn.done(request->arg, err);
		return;
	case ACQUIRE:
	case RENEW:
		request->fn.lease(request->arg, err ? NULL : &request->leased, err);
		return;
	case FIND: {
		int64_t id = request->number;
		bool there = id >= 1 && id <= store->last && store->events[id - 1]->committed;
		request->fn.event(request->arg, err || !there ? NULL : &store->events[id - 1]->event, err);
		return;
	}
	case LOAD: {
		struct checkpoint loaded = {.subscription = "sim",
			.delivered = row->delivered,
			.position = row->position,
			.fingerprint = row->fingerprint,
			.state = row->there ? row->state : NULL,
			.stop_kept = row->stop_kept,
			.resume_from_store = row->resume,
			.paused = row->paused,
			.generation = row->generation,
			.epoch = row->epoch,
			.reason = *row->reason ? row->reason : NULL,
			.error_position = row->error_position};
		loaded.held = held_text(store, &loaded.dead_letters);
		request->fn.checkpoint(request->arg, err ? NULL : &loaded, err);
		return;
	}
	case ASIDE:
	case SAVE: {
		struct meow_error conflict;
		error_set(&conflict, MEOW_CONFLICT, "another's");
		request->fn.done(request->arg, err ? err : request->conflict ? &conflict : NULL);
		return;
	}
	}
}

static void free_request(struct request *request)
{
	batch_destroy(request->rows.batch);
	free(request->fingerprint);
	free(request->letters);
	free(request);
}

static void pop_and_answer(struct sim_session *session, const struct meow_error *err)
{
	struct request *request = session->first;
	session->first = request->next;
	session->inside = true;
	if (!request->forgotten)
		answer(request, err);
	session->inside = false;
	free_request(request);
}

static void free_session(struct sim_session *session)
{
	for (struct sim_session **at = &session->store->sessions; *at; at = &(*at)->next)
		if (*at == session) {
			*at = session->next;
			break;
		}
	while (session->first) {
		struct request *request = session->first;
		session->first = request->next;
		free_request(request);
	}
	free(session);
}

static void work(void *arg);

static void schedule(struct sim_session *session)
{
	if (session->scheduled || !session->first)
		return;
	session->scheduled = true; // what was sent is done, whatever became of who sent it
	sim_after(session->first->done ? session->loop : session->store->loop, sim_between(20, 400), work, session);
}

static void work(void *arg)
{
	struct sim_session *session = arg;
	session->scheduled = false;
	if (session->destroyed) {
		free_session(session);
		return;
	}
	struct request *request = session->first;
	if (!session->dead && sim_chance(session->store->settings.lost_percent)) {
		if (sim_chance(50) && !request->done)
			take_effect(session->store, request); // it was done, and the answer is lost
		session->dead = true;
	}
	if (session->dead && !request->done) {
		request->done = true; // whoever waits for it hears of that when he is awake
	} else if (session->dead) {
		struct meow_error err;
		error_set(&err, MEOW_UNAVAILABLE, "the connection was lost");
		while (session->first && !session->destroyed)
			pop_and_answer(session, &err);
	} else if (!request->done) {
		take_effect(session->store, request);
		request->done = true; // the answer, or a look's second statement, is a moment later
	} else {
		if (request->kind == LOOK)
			do_holders(session->store, request);
		pop_and_answer(session, NULL);
	}
	if (session->destroyed)
		free_session(session);
	else
		schedule(session);
}

// --- the calls ---

static struct request *enqueue(struct session *base, enum kind kind, void *arg)
{
	struct sim_session *session = (struct sim_session *)base;
	struct request *request = calloc(1, sizeof(*request));
	if (!request)
		abort();
	request->session = session;
	request->kind = kind;
	request->arg = arg;
	struct request **at = &session->first;
	while (*at)
		at = &(*at)->next;
	*at = request;
	schedule(session);
	return request;
}

static void call_open(struct session *base, session_open_fn *fn, void *arg)
{
	enqueue(base, OPEN, arg)->fn.open = fn;
}

static void call_read(struct session *base, const struct session_read *read, session_rows_fn *fn, void *arg)
{
	struct request *request = enqueue(base, READ, arg);
	request->read = *read;
	request->fn.rows = fn;
}

static void call_head(struct session *base, session_head_fn *fn, void *arg)
{
	enqueue(base, HEAD, arg)->fn.head = fn;
}

static void call_look(struct session *base, session_look_fn *fn, void *arg)
{
	enqueue(base, LOOK, arg)->fn.look = fn;
}

static void call_doze(struct session *base, session_done_fn *fn, void *arg)
{
	enqueue(base, DOZE, arg)->fn.done = fn;
}

static void call_find(struct session *base, int64_t position, session_event_fn *fn, void *arg)
{
	struct request *request = enqueue(base, FIND, arg);
	request->number = position;
	request->fn.event = fn;
}

static void call_load(
	struct session *base, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg)
{
	(void)subscription;
	(void)layout;
	(void)partition;
	enqueue(base, LOAD, arg)->fn.checkpoint = fn;
}

static void call_save(struct session *base, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg)
{
	struct request *request = enqueue(base, SAVE, arg);
	request->save = *checkpoint;
	request->fingerprint = checkpoint->fingerprint ? strdup(checkpoint->fingerprint) : NULL;
	if (checkpoint->state)
		snprintf(request->state, sizeof(request->state), "%s", checkpoint->state);
	if (checkpoint->reason)
		snprintf(request->reason, sizeof(request->reason), "%s", checkpoint->reason);
	request->fn.done = fn;
}

static void call_aside(struct session *base, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	struct request *request = enqueue(base, ASIDE, arg);
	request->aside = *letters;
	request->letters = strdup(letters->json);
	request->fn.done = fn;
}

static struct request *enqueue_lease(struct session *base, enum kind kind, const struct session_lease *lease, void *arg)
{
	struct request *request = enqueue(base, kind, arg);
	request->lease = *lease;
	snprintf(request->relay, sizeof(request->relay), "%s", lease->relay);
	request->lease.relay = request->relay;
	return request;
}

static void call_acquire(struct session *base, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	enqueue_lease(base, ACQUIRE, lease, arg)->fn.lease = fn;
}

static void call_renew(struct session *base, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	enqueue_lease(base, RENEW, lease, arg)->fn.lease = fn;
}

static void call_release(struct session *base, const struct session_lease *lease, session_done_fn *fn, void *arg)
{
	enqueue_lease(base, RELEASE, lease, arg)->fn.done = fn;
}

static void call_forget(struct session *base, void *arg)
{
	for (struct request *request = ((struct sim_session *)base)->first; request; request = request->next)
		request->forgotten |= request->arg == arg;
}

static void call_on_notify(struct session *base, loop_fn *fn, void *arg)
{
	struct sim_session *session = (struct sim_session *)base;
	session->notify = fn;
	session->notify_arg = arg;
}

static void call_destroy(struct session *base)
{
	struct sim_session *session = (struct sim_session *)base;
	session->notify = NULL;
	session->destroyed = true;
	if (!session->inside && !session->scheduled)
		free_session(session);
}

static const struct session_impl impl = {.destroy = call_destroy,
	.open = call_open,
	.forget = call_forget,
	.on_notify = call_on_notify,
	.read = call_read,
	.head = call_head,
	.look = call_look,
	.doze = call_doze,
	.find = call_find,
	.checkpoint_load = call_load,
	.checkpoint_save = call_save,
	.set_aside = call_aside,
	.lease_acquire = call_acquire,
	.lease_renew = call_renew,
	.lease_release = call_release};

static struct session *create_session(void *arg, struct loop *loop, struct meow_error *err)
{
	struct sim_store *store = arg;
	struct sim_session *session = calloc(1, sizeof(*session));
	(void)err;
	if (!session)
		abort();
	*session = (struct sim_session){
		.base.impl = &impl, .next = store->sessions, .store = store, .loop = loop, .number = ++store->session_count};
	store->sessions = session;
	return &session->base;
}

struct session_source sim_store_source(struct sim_store *store)
{
	return (struct session_source){create_session, store};
}

// --- the store itself ---

struct sim_store *sim_store_create(struct loop *loop, const struct sim_store_settings *settings)
{
	struct sim_store *store = calloc(1, sizeof(*store));
	if (!store)
		abort();
	store->loop = loop;
	store->settings = *settings;
	store->timeline = 1;
	for (int i = 0; i < settings->writers; i++)
		sim_after(loop, sim_between(0, 50000), begin_transaction, store);
	return store;
}

static void drop_copies(struct sim_store *store)
{
	for (size_t i = 0; i < store->copy_count; i++)
		free(store->copies[i].row.fingerprint);
	store->copy_count = 0;
}

void sim_store_destroy(struct sim_store *store)
{
	while (store->sessions)
		free_session(store->sessions);
	while (store->open) {
		struct transaction *next = store->open->next;
		free(store->open);
		store->open = next;
	}
	for (int64_t i = 0; i < store->last; i++)
		free(store->events[i]);
	free(store->events);
	free(store->row.fingerprint);
	drop_copies(store);
	free(store);
}

void sim_store_calm(struct sim_store *store)
{
	store->settings.lost_percent = 0;
}

size_t sim_store_count(const struct sim_store *store)
{
	return store->committed;
}

const struct meow_event *sim_store_event(const struct sim_store *store, size_t index)
{
	for (int64_t id = 1; id <= store->last; id++)
		if (store->events[id - 1]->committed && index-- == 0)
			return &store->events[id - 1]->event;
	return NULL;
}

int64_t sim_store_position(const struct sim_store *store)
{
	return store->row.position;
}

int64_t sim_store_head(const struct sim_store *store)
{
	return store->last;
}

int64_t sim_store_error_position(const struct sim_store *store)
{
	return store->row.error_position;
}

const char *sim_store_state(const struct sim_store *store)
{
	return store->row.state;
}

const char *sim_store_reason(const struct sim_store *store)
{
	return store->row.reason;
}

bool sim_store_stop_kept(const struct sim_store *store)
{
	return store->row.stop_kept;
}

int64_t sim_store_start(const struct sim_store *store)
{
	return store->start;
}

bool sim_store_is_dead(const struct sim_store *store, int64_t position)
{
	return position < POSITIONS_MOST && store->dead[position];
}

bool sim_store_has(const struct sim_store *store, int64_t position)
{
	return position >= 1 && position <= store->last && store->events[position - 1]->committed;
}

void sim_store_note_start(struct sim_store *store)
{
	store->started_at = store->last;
}

// --- what befalls it ---

void sim_store_resume(struct sim_store *store)
{
	store->row.stop_kept = false;
	store->row.resume = true;
}

void sim_store_pause(struct sim_store *store, bool paused)
{
	store->row.paused = paused;
}

void sim_store_raise_generation(struct sim_store *store)
{
	if (!store->row.there)
		return;
	memset(store->dead, 0, sizeof(store->dead)); // it comes again
	store->row.generation++;
	store->row.delivered = store->row.position = store->start;
	free(store->row.fingerprint);
	store->row.fingerprint = NULL;
}

static void end_connections(struct sim_store *store)
{
	for (struct sim_session *session = store->sessions; session; session = session->next)
		session->dead = true;
	for (struct transaction *open = store->open, *next; open; open = next) {
		next = open->next;
		open->dead = true; // and frees itself
		open->next = NULL;
	}
	store->open = NULL;
	memset(store->locked, 0, sizeof(store->locked));
}

void sim_store_restore(struct sim_store *store)
{
	if (store->copy_count == 0)
		return;
	struct copy *copy = &store->copies[sim_between(0, (int64_t)store->copy_count - 1)];
	end_connections(store);
	memset(store->versions, 0, sizeof(store->versions));
	store->committed = 0;
	for (int64_t i = 0; i < store->last; i++) {
		struct stored *stored = store->events[i];
		if (i >= copy->last) {
			free(stored);
			continue;
		}
		stored->committed &= stored->committed_us <= copy->at_us;
		if (!stored->committed)
			continue;
		store->committed++;
		store->versions[stored->aggregate]++;
	}
	store->last = copy->last;
	free(store->row.fingerprint);
	store->row = copy->row;
	copy->row.fingerprint = NULL;
	drop_copies(store);
	store->timeline++;
}

void sim_store_skip(struct sim_store *store, int64_t position)
{
	store->row.position = store->skipped = position;
	store->row.resume = true;
	store->row.stop_kept = false;
}

void sim_store_set_clock(struct sim_store *store, int64_t ahead_us)
{
	store->clock_ahead_us = ahead_us;
}

const char *sim_store_holder(const struct sim_store *store)
{
	return store->row.holder;
}

uint64_t sim_store_looks(const struct sim_store *store)
{
	return store->looks;
}
