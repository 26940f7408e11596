// desk.h: one session and the loop that it lives on, and what each kind of request was answered with last.
#ifndef CONTRACT_STORE_DESK_H
#define CONTRACT_STORE_DESK_H

#include "suite.h"

#include "store/follow.h"

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

// With a fresh store, opened. The session may have gone meanwhile.
void desk_start(struct desk *desk);
void desk_end(struct desk *desk);

// The answer to what was asked: called once by the callback of each request.
void desk_answer(struct desk *desk, const struct meow_error *err);

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

// Callbacks, each of which notes what it was told.
void on_open(void *arg, const struct session_info *info, const struct meow_error *err);
void on_rows(void *arg, const struct session_rows *rows, const struct meow_error *err);
void on_head(void *arg, int64_t last_position, const struct meow_error *err);
void on_look(void *arg, const struct session_look *look, const struct meow_error *err);
void on_event(void *arg, const struct meow_event *event, const struct meow_error *err);
void on_done(void *arg, const struct meow_error *err);
void on_lease(void *arg, const struct session_lease_state *state, const struct meow_error *err);
void on_checkpoint(void *arg, const struct checkpoint *checkpoint, const struct meow_error *err);

// The checkpoint of "route", of its first layout and partition.
void desk_load_checkpoint(struct desk *desk);

#endif
