// session_lite.h: inside the session on SQLite: the turns of its queue (session_lite.c) and what is asked
// (session_requests.c).
#ifndef STORE_SQLITE_SESSION_LITE_H
#define STORE_SQLITE_SESSION_LITE_H

#include "store/requests.h"
#include "store/sqlite/lite.h"
#include "store/sqlite/watch.h"

// One category of a read: its rows come by its own index, and the reads are merged by position.
struct source {
	struct lite_call call;
	sqlite3_stmt *statement;
	bool row;
	int64_t id;
};

struct lite_session {
	struct requests requests; // whose timer gives the first request its turn, or another try
	char *path;
	struct lite lite;
	struct watch *watch;     // made by the first doze
	int64_t locked_since_us; // the first request has been waiting for a lock, 0 if not
	int64_t pause_us;
	struct source *sources;
	size_t source_count;
	// What the first request found, until its callback returns:
	struct checkpoint loaded;
	struct session_lease_state leased;
	struct session_retry retry; // place 0: there was none
	struct buffer texts;        // of them
};

// Does what the request asks for. False with lite.busy set: locked, nothing was done, again later.
MEOW_MUST_USE bool lite_request_perform(struct lite_session *session, struct request *request, struct meow_error *err);

// Calls back with what was found.
void lite_request_answer(struct lite_session *session, struct request *request);

// Keeps a text among the session's, in which there is room; NULL of NULL.
const char *lite_keep(struct lite_session *session, struct meow_bytes text);

// Dead letters (session_aside.c) and leases (session_lease.c): as lite_request_perform.
MEOW_MUST_USE bool lite_aside_perform(struct lite *lite, const struct request *request, struct meow_error *err);
MEOW_MUST_USE bool lite_retry_perform(
	struct lite_session *session, const struct request *request, struct meow_error *err);
MEOW_MUST_USE bool lite_lease_perform(
	struct lite_session *session, const struct request *request, struct meow_error *err);

void lite_session_finish_sources(struct lite_session *session);
void lite_session_changed(void *arg); // the watch's callback

#endif
