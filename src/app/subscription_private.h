// subscription_private.h: a subscription from the inside: subscription.c has its life, from connecting to the one way of
// recovering; subscription_handle.c what it does with events.
#ifndef APP_SUBSCRIPTION_PRIVATE_H
#define APP_SUBSCRIPTION_PRIVATE_H

#include "app/start.h"
#include "base/backoff.h"
#include "store/follow.h"
#include "store/store.h"

#define MS INT64_C(1000)
#define ROOM_BYTES ((size_t)4 << 20) // for what the follower reads ahead

enum phase {
	PHASE_CONNECTING,
	PHASE_FOLLOWING, // the follower reads
	PHASE_REFUSED,   // an event of the batch was refused, or is to be handled once nobody pauses it
};

struct meow_subscription {
	struct meow_subscription_settings settings;
	struct session_source source;
	char *url;
	int stop_fd; // readable once it is to stop

	// While it runs:
	struct loop *loop;
	struct loop_io *stop_io;
	struct loop_timer *timer;      // the next try, of whatever the phase is about
	struct loop_timer *pass_timer; // writes a position that only moved on; looks whether it has caught up
	enum phase phase;
	bool stopping;
	bool ran;    // it has worked once
	bool failed; // err says why run ends
	struct meow_error err;
	struct backoff backoff;

	struct meow_store *store; // where the handler works
	struct meow_store *lent;  // the same connection, as the handler gets it
	struct session *session;
	bool pooled;         // a pooler stands before it
	struct start *start; // while a new one looks for where now is,
	int64_t start_at;    // which this is, -1 until it has looked
	struct follow *follow;
	struct store_work work; // as committed last, but for a position that only moved on
	int64_t saved_position;
	struct batch *batch; // being handled
	size_t next;         // of its events
	bool alone;          // the next event was refused: it is tried in a transaction of its own
	bool told;
	enum meow_subscription_state told_state;
};

// --- subscription.c ---

// Tells the application: each change of state, and each try that failed.
void subscription_tell(struct meow_subscription *subscription, enum meow_subscription_state state,
	const struct meow_error *err, int64_t position, int64_t retry_in_ms);

// What `meowmx status` shows. It is only shown, so a store that cannot take it now is no further trouble.
void subscription_show_state(
	struct meow_subscription *subscription, const char *state, const struct meow_error *err, int64_t error_position);

// Starts again from the store, after a pause that grows; or ends with this error, if no repetition cures it.
void subscription_recover(struct meow_subscription *subscription, const struct meow_error *err);

// Starts again from the store at once.
void subscription_start_again(struct meow_subscription *subscription);

void subscription_end(struct meow_subscription *subscription);
bool subscription_is_stopping(struct meow_subscription *subscription);
int64_t subscription_next_pause_ms(struct meow_subscription *subscription);

// --- subscription_handle.c ---

// Goes on with the batch, from its next event.
void subscription_handle(struct meow_subscription *subscription);

// Takes a batch of the follower's.
void subscription_take_batch(void *arg, struct batch *batch);

// Commits the transaction that store_work_begin opened, with this checkpoint.
MEOW_MUST_USE bool subscription_commit(
	struct meow_subscription *subscription, const struct store_work *work, struct meow_error *err);

// Writes the position if it moved over events that nobody wanted. False if it could not be written, or was moved by
// somebody else.
MEOW_MUST_USE bool subscription_save_position(struct meow_subscription *subscription, struct meow_error *err);

// Now and then: writes a position that only moved on, notices a pause or a rewind, and whether it has caught up.
void subscription_look_after(void *arg);

#endif
