// Sessions: each request is answered once, later, on the loop; and the follower that they drive, among writers.
#include "suite.h"

#include "store/follow.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

struct desk {
	const char *url;
	struct loop *loop;
	struct session_source source;
	struct session *session;
	struct meow_store *store; // beside it
	bool inside;              // a request is being made: no answer may come now
	bool answered;
	struct meow_error err; // of the last answer; kind none: it was good
	struct session_info info;
	struct session_rows rows; // its batch is freed by the next read
	struct batch *batch;
	int64_t number;
	bool found;
	struct checkpoint checkpoint;
	struct session_lease_state lease;
	char texts[6][64];
	struct session_retry retry; // place 0: none
	char aggregate_id[32];      // its
};

static void answer(struct desk *desk, const struct meow_error *err)
{
	assert_false(desk->inside);
	assert_false(desk->answered);
	desk->answered = true;
	desk->err = err ? *err : (struct meow_error){0};
	loop_stop(desk->loop);
}

// Makes a request and waits for its answer.
#define ASK(desk, call)                                                                                                \
	do {                                                                                                               \
		(desk)->answered = false;                                                                                      \
		(desk)->inside = true;                                                                                         \
		call;                                                                                                          \
		(desk)->inside = false;                                                                                        \
		loop_run((desk)->loop);                                                                                        \
		assert_true((desk)->answered);                                                                                 \
	} while (0)
#define ASK_OK(desk, call)                                                                                             \
	do {                                                                                                               \
		ASK(desk, call);                                                                                               \
		if ((desk)->err.kind)                                                                                          \
			fail_msg("%s: %s", #call, (desk)->err.text);                                                               \
	} while (0)

static void on_open(void *arg, const struct session_info *info, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (info)
		desk->info = *info;
	answer(desk, err);
}

static void on_rows(void *arg, const struct session_rows *rows, const struct meow_error *err)
{
	struct desk *desk = arg;
	batch_destroy(desk->batch);
	desk->batch = NULL;
	if (rows) {
		desk->rows = *rows;
		desk->batch = rows->batch;
	}
	answer(desk, err);
}

static void on_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	struct desk *desk = arg;
	desk->number = last_position;
	answer(desk, err);
}

static void on_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (look) {
		assert_int_equal(look->count, 0); // nobody writes meanwhile
		desk->number = look->candidate;
	}
	answer(desk, err);
}

static void on_event(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	struct desk *desk = arg;
	desk->found = event != NULL;
	if (event)
		desk->number = event->version;
	answer(desk, err);
}

static void on_done(void *arg, const struct meow_error *err)
{
	answer(arg, err);
}

static const char *keep(struct desk *desk, int place, const char *text);

static void on_lease(void *arg, const struct session_lease_state *state, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (state) {
		desk->lease = *state;
		memset(desk->texts, 0, sizeof(desk->texts));
		desk->lease.holder = keep(desk, 4, state->holder);
		desk->lease.rival = keep(desk, 3, state->rival);
		desk->lease.rival_publishes = keep(desk, 2, state->rival ? state->rival_publishes : NULL);
	}
	answer(desk, err);
}

static const char *keep(struct desk *desk, int place, const char *text)
{
	return text ? strncpy(desk->texts[place], text, sizeof(desk->texts[place]) - 1) : NULL;
}

static void on_checkpoint(void *arg, const struct checkpoint *checkpoint, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (checkpoint) {
		desk->checkpoint = *checkpoint;
		memset(desk->texts, 0, sizeof(desk->texts));
		desk->checkpoint.fingerprint = keep(desk, 0, checkpoint->fingerprint);
		desk->checkpoint.state = keep(desk, 1, checkpoint->state);
		desk->checkpoint.reason = keep(desk, 2, checkpoint->reason);
		desk->checkpoint.error_class = keep(desk, 3, checkpoint->error_class);
		desk->checkpoint.held = keep(desk, 5, checkpoint->held);
	}
	answer(desk, err);
}

static void start(struct desk *desk)
{
	struct meow_error err;
	*desk = (struct desk){.url = kind.fresh()};
	desk->store = open_or_fail(desk->url);
	desk->loop = loop_create(&err);
	assert_non_null(desk->loop);
	assert_ok(store_source_init(&desk->source, desk->url, &err), err);
	desk->session = desk->source.create(desk->source.arg, desk->loop, &err);
	if (!desk->session)
		fail_msg("%s", err.text);
	ASK_OK(desk, session_open(desk->session, on_open, desk));
}

static void end(struct desk *desk)
{
	session_destroy(desk->session);
	store_source_finish(&desk->source);
	batch_destroy(desk->batch);
	loop_destroy(desk->loop);
	meow_store_close(desk->store);
}

static void who_it_is_and_how_far(void **state)
{
	(void)state;
	struct desk desk;
	struct store_status status;
	struct meow_error err;
	start(&desk);
	assert_ok(store_status(desk.store, &status, &err), err);
	assert_string_equal(desk.info.store.store_id, status.info.store.store_id);
	assert_int_equal(desk.info.store.last_position, 0);
	ASK_OK(&desk, session_head(desk.session, on_head, &desk));
	assert_int_equal(desk.number, 0);
	append_many(desk.store, "order", "o", 3);
	ASK_OK(&desk, session_head(desk.session, on_head, &desk));
	assert_int_equal(desk.number, 3);
	assert_ok(meow_delete(desk.store, "order", "o", 0, NULL, &err), err);
	ASK_OK(&desk, session_look(desk.session, on_look, &desk));
	assert_int_equal(desk.number, 3);
	ASK_OK(&desk, session_doze(desk.session, on_done, &desk));
	end(&desk);
}

static void reads_within_their_bounds(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	for (int i = 0; i < 4; i++) {
		append_or_fail(desk.store, "order", "o", i - 1);   // 1 4 7 10
		append_or_fail(desk.store, "payment", "p", i - 1); // 2 5 8 11
		append_or_fail(desk.store, "other", "q", i - 1);   // 3 6 9 12
	}
	struct session_read read = {.to = INT64_MAX, .limit_rows = 100, .limit_bytes = (size_t)1 << 20};
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 12);
	assert_true(desk.rows.complete);
	assert_int_equal(desk.rows.last, 12);
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.contiguous_events, 12);
	read.limit_rows = 5;
	read.after = 2;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 5);
	assert_false(desk.rows.complete);
	assert_int_equal(desk.batch->events[0].position, 3);
	assert_int_equal(desk.rows.last, 7);
	assert_int_equal(desk.rows.contiguous_to, 7);
	read.limit_rows = 100;
	read.limit_bytes = 1;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 1); // the first always comes
	assert_false(desk.rows.complete);
	assert_int_equal(desk.rows.last, 3);
	read.limit_bytes = (size_t)1 << 20;
	read.to = 4;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 2);
	assert_true(desk.rows.complete);
	read.after = 12;
	read.to = INT64_MAX;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 0);
	assert_true(desk.rows.complete);
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.last, 12);
	end(&desk);
}

static void reads_of_categories_in_the_order_of_positions(void **state)
{
	(void)state;
	struct desk desk;
	static const char *const categories[] = {"payment", "order", "nothing", "order"};
	start(&desk);
	for (int i = 0; i < 4; i++) {
		append_or_fail(desk.store, "order", "o", i - 1);   // 1 4 7 10
		append_or_fail(desk.store, "payment", "p", i - 1); // 2 5 8 11
		append_or_fail(desk.store, "other", "q", i - 1);   // 3 6 9 12
	}
	struct session_read read = {.after = 1,
		.to = INT64_MAX,
		.limit_rows = 100,
		.limit_bytes = (size_t)1 << 20,
		.categories = categories,
		.category_count = 4};
	static const int64_t wanted[] = {2, 4, 5, 7, 8, 10, 11};
	for (int dropped = 0; dropped < 2; dropped++) {
		read.show_dropped = dropped;
		ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
		assert_int_equal(desk.batch->count, 7);
		for (size_t i = 0; i < 7; i++)
			assert_int_equal(desk.batch->events[i].position, wanted[i]);
		assert_true(desk.rows.complete);
	}
	assert_int_equal(desk.rows.contiguous_to, 12);
	assert_int_equal(desk.rows.contiguous_events, 7);
	read.show_dropped = false;
	read.to = 8;
	read.limit_rows = 3;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 3);
	assert_false(desk.rows.complete);
	assert_int_equal(desk.rows.last, 5);
	read.category_count = 1;
	read.after = 0;
	ASK_OK(&desk, session_read(desk.session, &read, on_rows, &desk));
	assert_int_equal(desk.batch->count, 3);
	assert_int_equal(desk.batch->events[2].position, 8);
	end(&desk);
}

static void the_event_at_a_position(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	append_many(desk.store, "order", "o", 3);
	ASK_OK(&desk, session_find(desk.session, 2, on_event, &desk));
	assert_true(desk.found);
	assert_int_equal(desk.number, 1);
	ASK_OK(&desk, session_find(desk.session, 4, on_event, &desk));
	assert_false(desk.found);
	end(&desk);
}

// --- checkpoints ---

static void load_checkpoint(struct desk *desk)
{
	ASK_OK(desk, session_checkpoint_load(desk->session, "route", 0, 0, on_checkpoint, desk));
}

static void checkpoints_are_kept(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	load_checkpoint(&desk);
	assert_null(desk.checkpoint.state);
	assert_int_equal(desk.checkpoint.position, 0);
	struct checkpoint save = {.subscription = "route",
		.delivered = 4,
		.fingerprint = "a fingerprint",
		.position = 6,
		.state = "FAILED",
		.reason = "it's \"so\"",
		.error_class = "invalid",
		.error_position = 7,
		.keep_stop = true};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.delivered, 4);
	assert_int_equal(desk.checkpoint.position, 6);
	assert_string_equal(desk.checkpoint.fingerprint, "a fingerprint");
	assert_string_equal(desk.checkpoint.state, "FAILED");
	assert_string_equal(desk.checkpoint.reason, "it's \"so\"");
	assert_string_equal(desk.checkpoint.error_class, "invalid");
	assert_int_equal(desk.checkpoint.error_position, 7);
	assert_true(desk.checkpoint.stop_kept);
	// No state keeps what there is.
	const struct checkpoint moved = {.subscription = "route", .delivered = 8, .position = 9};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &moved, on_done, &desk));
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.position, 9);
	assert_null(desk.checkpoint.fingerprint);
	assert_string_equal(desk.checkpoint.state, "FAILED");
	assert_int_equal(desk.checkpoint.error_position, 7);
	save = moved;
	save.state = "RUNNING";
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	load_checkpoint(&desk);
	assert_string_equal(desk.checkpoint.state, "RUNNING");
	assert_null(desk.checkpoint.reason);
	assert_int_equal(desk.checkpoint.error_position, 0);
	assert_true(desk.checkpoint.stop_kept);
	ASK_OK(&desk, session_checkpoint_load(desk.session, "route", 1, 0, on_checkpoint, &desk));
	assert_int_equal(desk.checkpoint.position, 0);
	end(&desk);
}

static void a_checkpoint_that_is_anothers_is_a_conflict(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	start(&desk);
	struct checkpoint save = {.subscription = "route", .delivered = 1, .position = 1, .epoch = 3, .generation = 2};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	save.position = 2;
	for (int i = 0; i < 2; i++) {
		struct checkpoint other = save;
		other.epoch += i == 0;
		other.generation += i == 1;
		ASK(&desk, session_checkpoint_save(desk.session, &other, on_done, &desk));
		assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	}
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.position, 1);

	// An operator's decision must have been seen, and is used up once.
	save.state = "FAILED";
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_ok(store_subscription_resume(desk.store, "route", &err), err);
	ASK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	load_checkpoint(&desk);
	assert_true(desk.checkpoint.resume_from_store);
	save.decision_known = true;
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	save.decision_used = true;
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	load_checkpoint(&desk);
	assert_false(desk.checkpoint.resume_from_store);
	end(&desk);
}

// --- the queue ---

static char order[8];
static void note(struct desk *desk, char letter)
{
	assert_false(desk->inside);
	size_t length = strlen(order);
	order[length] = letter;
	order[length + 1] = '\0';
}

static void note_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	(void)last_position;
	assert_null(err);
	note(arg, 'h');
}

static void note_find(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	(void)event;
	assert_null(err);
	struct desk *desk = arg;
	note(desk, 'f');
	session_head(desk->session, note_head, desk); // behind what waits
}

static void never(void *arg, int64_t last_position, const struct meow_error *err)
{
	(void)arg;
	(void)last_position;
	(void)err;
	fail_msg("a forgotten request was answered");
}

static void last_of_all(void *arg, const struct meow_error *err)
{
	struct desk *desk = arg;
	note(desk, 'd');
	session_head(desk->session, never, desk);
	session_destroy(desk->session); // from within a callback
	desk->session = NULL;
	answer(desk, err);
}

#define ACQUIRE(desk, lease) ASK_OK(desk, session_lease_acquire((desk)->session, lease, on_lease, desk))
#define RENEW(desk, lease) ASK_OK(desk, session_lease_renew((desk)->session, lease, on_lease, desk))
#define RELEASE(desk, lease) ASK_OK(desk, session_lease_release((desk)->session, lease, on_done, desk))

static void a_lease_has_one_holder_and_a_rising_epoch(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 1, .length_ms = 60000};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	int64_t epoch = desk.lease.epoch;
	assert_in_range(time(NULL) - epoch / 1000, 0, 60); // above all that a row of that name had before it was deleted
	ours.epoch = epoch;
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.epoch, epoch);
	assert_null(desk.checkpoint.state); // nobody has run yet
	ACQUIRE(&desk, &theirs);
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.holder, "a");
	assert_int_equal(desk.lease.length_ms, 60000);
	assert_in_range(desk.lease.left_us, 50000000, 60000000);
	int64_t until_us = desk.lease.until_us;
	RENEW(&desk, &ours);
	assert_true(desk.lease.held);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.until_us > until_us); // which is how one who waits sees that it is renewed

	// Taken from one who does not renew it any more: he can neither write nor renew.
	theirs.stale_epoch = epoch;
	theirs.stale_until_us = until_us; // but he has, since
	ACQUIRE(&desk, &theirs);
	assert_false(desk.lease.held);
	theirs.stale_until_us = desk.lease.until_us;
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > epoch);
	struct checkpoint save = {.subscription = "route", .delivered = 1, .position = 1, .epoch = epoch};
	epoch = desk.lease.epoch;
	ASK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	RENEW(&desk, &ours);
	assert_false(desk.lease.held);
	RELEASE(&desk, &ours); // nor give away what is not his
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.holder, "b");

	theirs.epoch = epoch;
	RELEASE(&desk, &theirs);
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > epoch);
	epoch = desk.lease.epoch;
	ACQUIRE(&desk, &ours); // his own he may have again, under a higher epoch
	assert_true(desk.lease.epoch > epoch);
	end(&desk);
}

static void a_lease_runs_out_unless_it_is_renewed(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 1, .length_ms = 300};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	struct checkpoint save = {.subscription = "route", .epoch = desk.lease.epoch, .lease_ms = 60000};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk)); // which renews
	usleep(400000);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held); // it lies further ahead than it is long: the clock was set back
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	usleep(400000);
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_true(desk.lease.epoch > save.epoch + 1);
	end(&desk);
}

static void a_relay_that_publishes_something_else_waits(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	struct session_lease ours = {
		.subscription = "route", .relay = "a", .partitions = 2, .length_ms = 60000, .publishes = "to x"};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	theirs.publishes = "to y";
	theirs.partition = 1;
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	ours.epoch = desk.lease.epoch;
	ACQUIRE(&desk, &theirs); // although it is free
	assert_false(desk.lease.held);
	assert_string_equal(desk.lease.rival, "a");
	assert_string_equal(desk.lease.rival_publishes, "to x");
	struct session_lease other = ours;
	other.partition = 1;
	other.relay = "c";
	ACQUIRE(&desk, &other); // one that waits keeps nobody from anything
	assert_true(desk.lease.held);
	other.epoch = desk.lease.epoch;
	RELEASE(&desk, &other);
	RELEASE(&desk, &ours);
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	assert_null(desk.lease.rival);
	end(&desk);
}

static void partitions_are_shared(void **state)
{
	(void)state;
	struct desk desk;
	start(&desk);
	struct session_lease ours = {.subscription = "route", .relay = "a", .partitions = 3, .length_ms = 60000};
	struct session_lease theirs = ours;
	theirs.relay = "b";
	ACQUIRE(&desk, &ours);
	assert_int_equal(desk.lease.partitions, 3);
	assert_int_equal(desk.lease.least, INT32_MAX); // alone
	int64_t first = desk.lease.epoch;
	theirs.partition = 1;
	ACQUIRE(&desk, &theirs);
	assert_true(desk.lease.held);
	theirs.epoch = desk.lease.epoch;
	ours.partition = 2;
	ACQUIRE(&desk, &ours);
	assert_true(desk.lease.held);
	assert_int_equal(desk.lease.least, 1);
	ours.partition = 0;
	ours.epoch = first;
	RENEW(&desk, &ours);
	assert_int_equal(desk.lease.mine, 2);
	assert_int_equal(desk.lease.least, 1);
	assert_int_equal(desk.lease.above, 1);
	RELEASE(&desk, &theirs);
	ours.partition = 1;
	ACQUIRE(&desk, &ours); // the other one has fewer
	assert_false(desk.lease.held);
	assert_null(desk.lease.holder);
	theirs.leaving = true;
	RELEASE(&desk, &theirs);
	ACQUIRE(&desk, &ours); // and now counts no more
	assert_true(desk.lease.held);
	ours.partitions = 4;
	ACQUIRE(&desk, &ours);
	assert_false(desk.lease.held);
	assert_int_equal(desk.lease.partitions, 3);
	end(&desk);
}

static void answers_come_in_order_and_later(void **state)
{
	(void)state;
	struct desk desk;
	int forgotten;
	start(&desk);
	order[0] = '\0';
	desk.inside = true;
	desk.answered = false;
	session_head(desk.session, note_head, &desk);
	session_head(desk.session, never, &forgotten);
	session_find(desk.session, 1, note_find, &desk);
	session_head(desk.session, note_head, &desk);
	session_doze(desk.session, last_of_all, &desk);
	session_forget(desk.session, &forgotten);
	desk.inside = false;
	loop_run(desk.loop);
	assert_string_equal(order, "hfhd");
	end(&desk);
}

// --- the follower ---

#define WRITERS 4
#define APPENDS 60
#define AGGREGATES 5

struct writer {
	pthread_t thread;
	const char *url;
	unsigned seed;
	atomic_int *running;
	char failure[MEOW_ERROR_TEXT_SIZE];
};

static const char *const types[] = {"order", "payment", "other"};

// Appends of one to three events to aggregates that others write to as well, and deletes now and then.
static void *write_events(void *arg)
{
	struct writer *writer = arg;
	struct meow_error err = {0};
	struct meow_store *store = meow_store_open(writer->url, &err);
	for (int i = 0; store && i < APPENDS; i++) {
		struct meow_new_event events[3] = {an_event("a", "{}"), an_event("b", "{}"), an_event("c", "{}")};
		unsigned which = (unsigned)rand_r(&writer->seed) % AGGREGATES;
		char id[16];
		snprintf(id, sizeof(id), "a%u", which);
		struct meow_append append = {.aggregate_type = types[which % 3],
			.aggregate_id = id,
			.expected = MEOW_EXPECT_ANY,
			.events = events,
			.count = 1 + (size_t)rand_r(&writer->seed) % 3};
		if (!meow_append(store, &append, NULL, NULL, &err))
			break;
		if (i % 10 == 0 && !meow_delete(store, "order", "nobody", 0, NULL, &err))
			break;
	}
	meow_store_close(store);
	snprintf(writer->failure, sizeof(writer->failure), "%s", err.kind ? err.text : "");
	atomic_fetch_sub(writer->running, 1);
	return NULL;
}

struct reader {
	struct desk *desk;
	struct follow *follow;
	struct loop_timer *timer;
	atomic_int *running; // NULL: until it dozes
	int64_t versions[AGGREGATES];
	int64_t position, count;
	int64_t woken_us;
	bool waiting;
	struct meow_error lost;
};

static void on_batch(void *arg, struct batch *batch)
{
	struct reader *reader = arg;
	for (size_t i = 0; i < batch->count; i++) {
		const struct meow_event *event = &batch->events[i];
		int which = event->aggregate_id.data[1] - '0';
		if (event->position <= reader->position || event->version != reader->versions[which] + 1)
			fail_msg("position %" PRId64 " behind %" PRId64 ": version %" PRId64 " of a%d behind %" PRId64,
				event->position, reader->position, event->version, which, reader->versions[which]);
		reader->position = event->position;
		reader->versions[which] = event->version;
		reader->count++;
	}
	if (batch->count && reader->waiting) {
		reader->woken_us = loop_now_us(reader->desk->loop);
		loop_stop(reader->desk->loop);
	}
	batch_destroy(batch);
}

static void on_lost(void *arg, const struct meow_error *err)
{
	struct reader *reader = arg;
	reader->lost = *err;
	loop_stop(reader->desk->loop);
}

static void look_whether_done(void *arg)
{
	struct reader *reader = arg;
	struct follow_stats stats;
	follow_stats(reader->follow, &stats);
	bool done = stats.dozing && stats.caught_up && (!reader->running || atomic_load(reader->running) == 0);
	if (done)
		loop_stop(reader->desk->loop);
	else
		loop_timer_start(reader->timer, 1000);
}

static void start_reader(struct reader *reader, struct desk *desk, const char *const *categories, size_t count)
{
	struct meow_error err;
	const struct follow_settings settings = {.trust_after = true,
		.categories = categories,
		.category_count = count,
		.batch_rows = 50,
		.batch_bytes = (size_t)1 << 20};
	*reader = (struct reader){.desk = desk};
	for (size_t i = 0; i < AGGREGATES; i++)
		reader->versions[i] = -1;
	reader->timer = loop_timer_create(desk->loop, look_whether_done, reader);
	reader->follow = follow_create(desk->loop, desk->session, &settings, on_batch, on_lost, reader, &err);
	assert_non_null(reader->timer);
	assert_non_null(reader->follow);
	follow_room(reader->follow, (size_t)1 << 20);
}

static void run_reader(struct reader *reader)
{
	loop_timer_start(reader->timer, 0);
	loop_run(reader->desk->loop);
	if (reader->lost.kind)
		fail_msg("%s", reader->lost.text);
}

static void end_reader(struct reader *reader)
{
	loop_timer_destroy(reader->timer);
	follow_destroy(reader->follow);
}

static void follow_among_writers(const char *const *categories, size_t category_count)
{
	struct desk desk;
	struct reader reader;
	struct writer writers[WRITERS];
	atomic_int running = WRITERS;
	start(&desk);
	start_reader(&reader, &desk, categories, category_count);
	reader.running = &running;
	for (unsigned i = 0; i < WRITERS; i++) {
		writers[i] = (struct writer){.url = desk.url, .seed = i + 1, .running = &running};
		assert_int_equal(pthread_create(&writers[i].thread, NULL, write_events, &writers[i]), 0);
	}
	run_reader(&reader);
	for (unsigned i = 0; i < WRITERS; i++) {
		pthread_join(writers[i].thread, NULL);
		assert_string_equal(writers[i].failure, "");
	}
	int64_t wanted = 0;
	for (unsigned i = 0; i < AGGREGATES; i++) {
		char id[16];
		snprintf(id, sizeof(id), "a%u", i);
		int64_t version = version_of(desk.store, types[i % 3], id);
		if (categories && i % 3 == 2)
			version = -1;
		assert_int_equal(reader.versions[i], version);
		wanted += version + 1;
	}
	assert_int_equal(reader.count, wanted);
	end_reader(&reader);
	end(&desk);
}

static void every_event_once_and_in_order_among_writers(void **state)
{
	(void)state;
	follow_among_writers(NULL, 0);
}

static void every_event_of_two_categories_among_writers(void **state)
{
	(void)state;
	follow_among_writers(types, 2);
}

static void one_that_dozes_is_woken(void **state)
{
	(void)state;
	struct desk desk;
	struct reader reader;
	int64_t least = INT64_MAX, most = 0;
	start(&desk);
	start_reader(&reader, &desk, NULL, 0);
	for (int i = 0; i < 8; i++) {
		reader.waiting = false;
		run_reader(&reader); // until it dozes
		reader.waiting = true;
		int64_t before = loop_now_us(desk.loop);
		append_or_fail(desk.store, "order", "a0", MEOW_EXPECT_ANY);
		loop_run(desk.loop);
		if (reader.lost.kind)
			fail_msg("%s", reader.lost.text);
		int64_t took = reader.woken_us - before;
		least = took < least ? took : least;
		most = took > most ? took : most;
	}
	print_message("woken after %" PRId64 " to %" PRId64 " us\n", least, most);
	assert_int_equal(reader.count, 8);
	assert_true(least < 10000);
	assert_true(most < 900000); // never by the guard of each second
	end_reader(&reader);
	end(&desk);
}

static bool count_letter(void *arg, const struct store_dead_letter *letter)
{
	(void)letter;
	++*(int *)arg;
	return true;
}

static bool note_position(void *arg, int64_t position)
{
	int64_t *at = arg;
	while (*at)
		at++;
	*at = position;
	return true;
}

static void dead_letters_are_the_owners_and_hold_until_they_are_discarded(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t discarded;
	int count = 0;
	start(&desk);
	const struct checkpoint save = {
		.subscription = "route", .delivered = 1, .position = 9, .epoch = 3, .generation = 2};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	struct session_letters letters = {.subscription = "route",
		.epoch = 3,
		.generation = 2,
		.json =
			"[{\"position\":5,\"version\":0,\"aggregate_type\":\"order\",\"aggregate_id\":\"\u00e9\",\"event_type\":"
			"\"made\",\"error\":\"too \\\"large\\\"\",\"error_class\":\"invalid\"},{\"position\":7,\"version\":1,"
			"\"aggregate_type\":\"order\",\"aggregate_id\":\"\u00e9\",\"event_type\":\"sent\"}]"};
	struct session_letters others = letters;
	others.epoch = 2;
	ASK(&desk, session_set_aside(desk.session, &others, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	others.epoch = 3;
	others.generation = 1;
	ASK(&desk, session_set_aside(desk.session, &others, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 0);
	assert_null(desk.checkpoint.held);
	for (int i = 0; i < 2; i++) // the second time changes nothing
		ASK_OK(&desk, session_set_aside(desk.session, &letters, on_done, &desk));
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 2);
	assert_in_range(desk.checkpoint.dead_letter_age_us, 0, 60000000);
	assert_string_equal(desk.checkpoint.held, "5:0:5:order2:\u00e9");

	struct store_dead_filter filter = {.subscription = "route", .position = 7};
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_INVALID);
	filter.position = 5;
	assert_ok(store_dead_discard(desk.store, &filter, &discarded, &err), err);
	assert_int_equal(discarded, 1);
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_MISSING);
	ASK_OK(&desk, session_set_aside(desk.session, &letters, on_done, &desk)); // nor does it open again
	load_checkpoint(&desk);
	assert_string_equal(
		desk.checkpoint.held, "5:0:5:order2:\u00e9"); // the one that was discarded lies behind what was delivered
	int64_t positions[3] = {0};
	assert_ok(store_dead_positions(desk.store, "route", 1, 7, note_position, positions, &err), err);
	assert_true(positions[0] == 5 && positions[1] == 7 && positions[2] == 0); // the discarded one, too
	assert_ok(store_dead_positions(desk.store, "route", 6, 6, note_position, &positions[2], &err), err);
	assert_int_equal(positions[2], 0);

	assert_ok(store_subscription_rewind(desk.store, "route", 7, &err), err); // it stays, and holds
	filter = (struct store_dead_filter){.subscription = "route", .aggregate_type = "order", .aggregate_id = "\u00e9"};
	assert_ok(store_dead_letters(desk.store, &filter, count_letter, &count, &err), err);
	assert_int_equal(count, 1);
	assert_ok(store_subscription_rewind(desk.store, "route", 6, &err), err); // it comes again
	assert_fails(store_dead_discard(desk.store, &filter, &discarded, &err), err, MEOW_MISSING);
	assert_ok(store_subscription_rewind(desk.store, "route", 1, &err), err); // so does what was discarded
	positions[0] = 0;
	assert_ok(store_dead_positions(desk.store, "route", 1, INT64_MAX, note_position, positions, &err), err);
	assert_int_equal(positions[0], 0);
	end(&desk);
}

static void on_retry(void *arg, const struct session_retry *retry, const struct meow_error *err)
{
	struct desk *desk = arg;
	char *id = desk->aggregate_id;
	desk->retry = (struct session_retry){0};
	if (retry) {
		desk->retry = *retry;
		snprintf(id, sizeof(desk->aggregate_id), "%.*s", (int)retry->aggregate_id.size, retry->aggregate_id.data);
		assert_true(bytes_equal(retry->aggregate_type, MEOW_BYTES("order")));
	}
	answer(desk, err);
}

static int64_t next_retry(struct desk *desk, int64_t after, int64_t to, int64_t delivered)
{
	const struct session_retry_query query = {"route", after, to, delivered};
	ASK_OK(desk, session_retry_next(desk->session, &query, on_retry, desk));
	return desk->retry.place;
}

static void retries_have_places_of_their_own(void **state)
{
	(void)state;
	struct desk desk;
	struct meow_error err;
	int64_t count;
	start(&desk);
	append_many(desk.store, "order", "a", 9);
	const struct checkpoint save = {.subscription = "route", .delivered = 9, .position = 9, .epoch = 3};
	ASK_OK(&desk, session_checkpoint_save(desk.session, &save, on_done, &desk));
	struct session_letters letters = {.subscription = "route",
		.epoch = 3,
		.json =
			"[{\"position\":2,\"version\":1,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"event_type\":\"e\"},"
			"{\"position\":4,\"version\":3,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"event_type\":\"e\"},"
			"{\"position\":6,\"version\":0,\"aggregate_type\":\"order\",\"aggregate_id\":\"b\",\"event_type\":\"e\"}]"};
	ASK_OK(&desk, session_set_aside(desk.session, &letters, on_done, &desk));
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 0), 0);
	struct store_dead_filter filter = {.subscription = "route", .position = 4};
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_INVALID);
	assert_says(err, "before the dead letter at 4, at 2: retry them first");
	filter.position = 3;
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_MISSING);
	filter.position = 0;
	assert_ok(store_dead_retry(desk.store, &filter, &count, &err), err);
	assert_int_equal(count, 3);
	assert_fails(store_dead_retry(desk.store, &filter, &count, &err), err, MEOW_INVALID);
	assert_says(err, "waits for its retry already");
	// No event gets their places.
	assert_int_equal(append_or_fail(desk.store, "order", "c", MEOW_EXPECT_NEW), 13);
	assert_int_equal(next_retry(&desk, 9, 13, 9), 10);
	assert_int_equal(desk.retry.position, 2);
	assert_string_equal(desk.aggregate_id, "a");
	assert_int_equal(next_retry(&desk, 10, 10, 9), 0);
	assert_int_equal(next_retry(&desk, 11, 13, 9), 12);
	assert_string_equal(desk.aggregate_id, "b");
	load_checkpoint(&desk);
	assert_non_null(strstr(desk.checkpoint.held, "2:11:5:order1:a"));

	// The first is published; the second is refused again.
	letters.json = "[{\"retry_at\":10}]";
	letters.epoch = 2;
	ASK(&desk, session_retry_end(desk.session, &letters, on_done, &desk));
	assert_int_equal(desk.err.kind, MEOW_CONFLICT);
	letters.epoch = 3;
	ASK_OK(&desk, session_retry_end(desk.session, &letters, on_done, &desk));
	letters.json = "[{\"retry_at\":11,\"aggregate_type\":\"order\",\"aggregate_id\":\"a\",\"error\":\"no\","
				   "\"error_class\":\"invalid\"}]";
	ASK_OK(&desk, session_retry_end(desk.session, &letters, on_done, &desk));
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 10), 12); // nothing of what was delivered is open
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 0), 10);  // a sink that fell back gets it again
	int64_t positions[4] = {0};
	assert_ok(store_dead_positions(desk.store, "route", 1, 9, note_position, positions, &err), err);
	assert_true(positions[0] == 4 && positions[1] == 6 && positions[2] == 0);
	load_checkpoint(&desk);
	assert_int_equal(desk.checkpoint.dead_letters, 2);
	assert_non_null(strstr(desk.checkpoint.held, "2:0:5:order1:a"));
	filter = (struct store_dead_filter){.subscription = "route", .position = 4};
	assert_ok(store_dead_discard(desk.store, &filter, &count, &err), err); // the one before is no more
	assert_ok(store_subscription_rewind(desk.store, "route", 7, &err), err);
	assert_int_equal(next_retry(&desk, 0, INT64_MAX, 0), 0); // a rewind takes the places back
	end(&desk);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(retries_have_places_of_their_own),
	cmocka_unit_test(dead_letters_are_the_owners_and_hold_until_they_are_discarded),
	cmocka_unit_test(who_it_is_and_how_far),
	cmocka_unit_test(reads_within_their_bounds),
	cmocka_unit_test(reads_of_categories_in_the_order_of_positions),
	cmocka_unit_test(the_event_at_a_position),
	cmocka_unit_test(checkpoints_are_kept),
	cmocka_unit_test(a_checkpoint_that_is_anothers_is_a_conflict),
	cmocka_unit_test(a_lease_has_one_holder_and_a_rising_epoch),
	cmocka_unit_test(a_lease_runs_out_unless_it_is_renewed),
	cmocka_unit_test(partitions_are_shared),
	cmocka_unit_test(a_relay_that_publishes_something_else_waits),
	cmocka_unit_test(answers_come_in_order_and_later),
	cmocka_unit_test(every_event_once_and_in_order_among_writers),
	cmocka_unit_test(every_event_of_two_categories_among_writers),
	cmocka_unit_test(one_that_dozes_is_woken),
};
SUITE(suite_session, tests);
