// The calls of session.h: each goes to the implementation that the session was made by.
#include "store/session.h"

void session_destroy(struct session *session)
{
	if (session)
		session->impl->destroy(session);
}

void session_open(struct session *session, int64_t patience_us, session_open_fn *fn, void *arg)
{
	session->impl->open(session, patience_us, fn, arg);
}

void session_forget(struct session *session, void *arg)
{
	session->impl->forget(session, arg);
}

void session_on_notify(struct session *session, loop_fn *fn, void *arg)
{
	session->impl->on_notify(session, fn, arg);
}

void session_read(struct session *session, const struct session_read *read, session_rows_fn *fn, void *arg)
{
	session->impl->read(session, read, fn, arg);
}

void session_head(struct session *session, session_head_fn *fn, void *arg)
{
	session->impl->head(session, fn, arg);
}

void session_look(struct session *session, session_look_fn *fn, void *arg)
{
	session->impl->look(session, fn, arg);
}

void session_doze(struct session *session, session_done_fn *fn, void *arg)
{
	session->impl->doze(session, fn, arg);
}

void session_find(struct session *session, int64_t position, session_event_fn *fn, void *arg)
{
	session->impl->find(session, position, fn, arg);
}

void session_checkpoint_load(
	struct session *session, const char *subscription, int layout, int partition, session_checkpoint_fn *fn, void *arg)
{
	session->impl->checkpoint_load(session, subscription, layout, partition, fn, arg);
}

void session_checkpoint_save(
	struct session *session, const struct checkpoint *checkpoint, session_done_fn *fn, void *arg)
{
	session->impl->checkpoint_save(session, checkpoint, fn, arg);
}

void session_set_aside(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	session->impl->set_aside(session, letters, fn, arg);
}

void session_retry_next(
	struct session *session, const struct session_retry_query *query, session_retry_fn *fn, void *arg)
{
	session->impl->retry_next(session, query, fn, arg);
}

void session_retry_end(struct session *session, const struct session_letters *letters, session_done_fn *fn, void *arg)
{
	session->impl->retry_end(session, letters, fn, arg);
}

void session_lease_acquire(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	session->impl->lease_acquire(session, lease, fn, arg);
}

void session_lease_renew(struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	session->impl->lease_renew(session, lease, fn, arg);
}

void session_lease_release(struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg)
{
	session->impl->lease_release(session, lease, fn, arg);
}
