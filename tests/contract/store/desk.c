// desk.c: see desk.h.
#include "desk.h"

void desk_answer(struct desk *desk, const struct meow_error *err)
{
	assert_false(desk->inside);
	assert_false(desk->answered);
	desk->answered = true;
	desk->err = err ? *err : (struct meow_error){0};
	loop_stop(desk->loop);
}

void on_open(void *arg, const struct session_info *info, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (info)
		desk->info = *info;
	desk_answer(desk, err);
}

void on_rows(void *arg, const struct session_rows *rows, const struct meow_error *err)
{
	struct desk *desk = arg;
	batch_destroy(desk->batch);
	desk->batch = NULL;
	if (rows) {
		desk->rows = *rows;
		desk->batch = rows->batch;
	}
	desk_answer(desk, err);
}

void on_head(void *arg, int64_t last_position, const struct meow_error *err)
{
	struct desk *desk = arg;
	desk->number = last_position;
	desk_answer(desk, err);
}

void on_look(void *arg, const struct session_look *look, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (look) {
		assert_int_equal(look->count, 0); // nobody writes meanwhile
		desk->number = look->candidate;
	}
	desk_answer(desk, err);
}

void on_event(void *arg, const struct meow_event *event, const struct meow_error *err)
{
	struct desk *desk = arg;
	desk->found = event != NULL;
	if (event)
		desk->number = event->version;
	desk_answer(desk, err);
}

void on_done(void *arg, const struct meow_error *err)
{
	desk_answer(arg, err);
}

static const char *keep(struct desk *desk, int place, const char *text)
{
	return text ? strncpy(desk->texts[place], text, sizeof(desk->texts[place]) - 1) : NULL;
}

void on_lease(void *arg, const struct session_lease_state *state, const struct meow_error *err)
{
	struct desk *desk = arg;
	if (state) {
		desk->lease = *state;
		memset(desk->texts, 0, sizeof(desk->texts));
		desk->lease.holder = keep(desk, 4, state->holder);
		desk->lease.rival = keep(desk, 3, state->rival);
		desk->lease.rival_publishes = keep(desk, 2, state->rival ? state->rival_publishes : NULL);
	}
	desk_answer(desk, err);
}

void on_checkpoint(void *arg, const struct checkpoint *checkpoint, const struct meow_error *err)
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
	desk_answer(desk, err);
}

void desk_start(struct desk *desk)
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
	ASK_OK(desk, session_open(desk->session, SESSION_PATIENCE_US, on_open, desk));
}

void desk_end(struct desk *desk)
{
	session_destroy(desk->session);
	store_source_finish(&desk->source);
	batch_destroy(desk->batch);
	loop_destroy(desk->loop);
	meow_store_close(desk->store);
}

void desk_load_checkpoint(struct desk *desk)
{
	ASK_OK(desk, session_checkpoint_load(desk->session, "route", 0, 0, on_checkpoint, desk));
}
