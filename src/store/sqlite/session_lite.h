// session_lite.h: inside the session on SQLite: its queue (session_lite.c) and what is asked (session_requests.c).
#ifndef STORE_SQLITE_SESSION_LITE_H
#define STORE_SQLITE_SESSION_LITE_H

#include "store/sqlite/lite.h"
#include "store/sqlite/watch.h"

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
	} fn;
	void *arg;
	bool forgotten; // nobody waits for the answer any more
	struct session_read read;
	struct session_rows rows;       // REQUEST_READ; REQUEST_FIND takes its event from the batch
	int64_t number;                 // the position to find, the head
	struct checkpoint checkpoint;   // REQUEST_LOAD and REQUEST_SAVE; its texts point into memory
	struct session_lease lease;     // REQUEST_LEASE_...: as well
	struct session_letters letters; // REQUEST_SET_ASIDE: as well
	struct session_lease_state leased;
	char *holder; // of leased; owned
	struct buffer memory;
	struct buffer loaded; // the texts of a loaded one
};

// So many requests are there without asking for memory. Nobody has more of them under way; should it happen where
// there is no memory either, the session ends, and with it all that were under way.
#define REQUEST_POOL 8

// One category of a read: its rows come by its own index, and the reads are merged by position.
struct source {
	struct lite_call call;
	sqlite3_stmt *statement;
	bool row;
	int64_t id;
};

struct lite_session {
	struct session session;
	struct loop *loop;
	char *path;
	struct lite lite;
	struct watch *watch;      // made by the first doze
	struct loop_timer *timer; // the next request's turn, or another try of this one's
	struct request pool[REQUEST_POOL];
	struct request *first, **end;
	int64_t locked_since_us; // the first request has been waiting for a lock, 0 if not
	int64_t pause_us;
	bool dead;      // err says why: all requests fail
	bool inside;    // a callback is running
	bool destroyed; // to be freed when the callback returns
	struct meow_error err;
	struct source *sources;
	size_t source_count;
	loop_fn *notify;
	void *notify_arg;
};

// Does what the request asks for. False with lite.busy set: locked, nothing was done, again later.
MEOW_MUST_USE bool lite_request_perform(struct lite_session *session, struct request *request, struct meow_error *err);

// Calls back, with err or what was found, and frees the request.
void lite_request_answer(struct lite_session *session, struct request *request, const struct meow_error *err);
void lite_request_free(struct request *request);

// A request that is not enqueued yet; NULL without memory, and then the session has ended. Texts that it needs are copied
// into its memory, for which room is made beforehand, so that they do not move.
struct request *lite_request_create(struct session *base, enum request_kind kind, void *arg);
const char *lite_request_keep(struct buffer *memory, struct meow_bytes text);

// Dead letters (session_aside.c).
MEOW_MUST_USE bool lite_aside_perform(struct lite *lite, const struct session_letters *letters, struct meow_error *err);
void lite_session_set_aside(
	struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg);

// Leases (session_lease.c): as lite_request_perform, and the calls of session.h.
MEOW_MUST_USE bool lite_lease_perform(struct lite_session *session, struct request *request, struct meow_error *err);
void lite_session_lease_acquire(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
void lite_session_lease_renew(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg);
void lite_session_lease_release(
	struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg);

void lite_session_finish_sources(struct lite_session *session);

extern const struct session_impl lite_session_impl;
void lite_session_destroy(struct session *base);
void lite_session_forget(struct session *base, void *arg);
void lite_session_on_notify(struct session *base, loop_fn *fn, void *arg);
void lite_session_enqueue(struct lite_session *session, struct request *request); // takes
void lite_session_changed(void *arg);                                             // the watch's callback

// Ends the session for want of memory: every request fails.
void lite_session_out_of_memory(struct lite_session *session);

#endif
