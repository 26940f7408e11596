// requests.h: the queue of a session, which PostgreSQL's and SQLite's share: each request with its callback and copies
// of its texts, answered first in, first out. How one is carried out is the store's own (struct requests_impl).
#ifndef STORE_REQUESTS_H
#define STORE_REQUESTS_H

#include "base/buffer.h"
#include "store/session.h"

enum request_kind {
	REQUEST_OPEN,
	REQUEST_READ,
	REQUEST_HEAD,
	REQUEST_LOOK,
	REQUEST_DOZE,
	REQUEST_FIND,
	REQUEST_LOAD,
	REQUEST_SAVE,
	REQUEST_LEASE_ACQUIRE,
	REQUEST_LEASE_RENEW,
	REQUEST_LEASE_RELEASE,
	REQUEST_SET_ASIDE,
	REQUEST_RETRY_NEXT,
	REQUEST_RETRY_END,
};

struct request {
	enum request_kind kind;
	struct request *next;
	bool pooled; // one of the session's own
	bool used;
	union {
		session_open_fn *open;
		session_rows_fn *rows;
		session_look_fn *look;
		session_head_fn *head;
		session_done_fn *done;
		session_event_fn *event;
		session_checkpoint_fn *checkpoint;
		session_lease_fn *lease;
		session_retry_fn *retry;
	} fn;
	void *arg;
	bool forgotten; // nobody waits for the answer any more
	struct session_read read;
	struct session_rows rows;           // what was read so far; owned
	int64_t number;                     // the position to find; the head
	struct checkpoint checkpoint;       // REQUEST_LOAD and REQUEST_SAVE; its texts point into memory
	struct session_lease lease;         // REQUEST_LEASE_...: as well
	struct session_letters letters;     // REQUEST_SET_ASIDE, REQUEST_RETRY_END: as well
	struct session_retry_query retries; // REQUEST_RETRY_NEXT: as well
	struct buffer memory;
};

struct requests;

struct requests_impl {
	// A request was added, or all have to be failed by requests_fail from the loop: the first one's turn is to come.
	void (*start)(struct requests *requests);
	// Calls back with what was found. found: as it was given to requests_answer.
	void (*answer)(struct requests *requests, struct request *request, void *found);
	void (*stop)(struct requests *requests);   // the session has failed: wait for nothing any more; may be NULL
	void (*finish)(struct requests *requests); // ends what is the store's own, and frees the session
};

// So many requests are there without asking for memory. Nobody has more of them under way; should it happen where
// there is no memory either, the session ends, and with it all that were under way.
#define REQUEST_POOL 8

// Every store's session begins with this.
struct requests {
	struct session session;
	const struct requests_impl *impl;
	struct loop *loop;
	struct loop_timer *timer; // the store's own to use until the session is dead
	int64_t patience_us;      // as session_open was told
	struct request pool[REQUEST_POOL];
	struct request *first, **end;
	bool dead;      // err says why: all requests fail
	bool inside;    // a callback is running
	bool destroyed; // to be finished when the callback returns
	struct meow_error err;
	loop_fn *notify;
	void *notify_arg;
};

// False without memory; requests_finish takes it either way. on_timer runs with the session.
MEOW_MUST_USE bool requests_init(
	struct requests *requests, const struct requests_impl *impl, struct loop *loop, loop_fn *on_timer);

// Drops what waits. Called by impl->finish.
void requests_finish(struct requests *requests);

// Answers the first request and takes it out: with err if there is one, else by impl->answer. False: its callback
// destroyed the session, which is gone.
MEOW_MUST_USE bool requests_answer(struct requests *requests, const struct meow_error *err, void *found);

// Ends the session: from the timer, which is started, the store calls requests_fail.
void requests_die(struct requests *requests, const struct meow_error *err);
void requests_out_of_memory(struct requests *requests);

// Answers all with why the session died. The session may be gone afterwards.
void requests_fail(struct requests *requests);

// Tells whoever asked by session_on_notify. False: the session is gone.
MEOW_MUST_USE bool requests_notify(struct requests *requests);

#endif
