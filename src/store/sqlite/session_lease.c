// Leases in a SQLite file, whose clock is the machine's. One who waits looks, and locks the file only when there is
// something to write; what was found is then looked at again.
#include "store/sqlite/session_lite.h"

#include "base/text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000)
#define DAY (24 * 60 * 60 * 1000 * MS)

// What lease_find.sql says.
struct found {
	struct session_lease_state state; // of another's lease where it is taken, without the holder
	bool taken;                       // by another
	bool ours;
	bool counted; // this relay is among those that run the subscription, for long enough yet
	bool known;   // the subscription has a checkpoint
	int64_t position;
};

static void note_lease(struct lite_call *call, const struct session_lease *lease, int64_t now_us, struct found *found)
{
	struct session_lease_state *state = &found->state;
	struct meow_bytes holder = lite_text(call, 3);
	int64_t length_us = lite_int(call, 5);
	state->until_us = lite_int(call, 4);
	state->length_ms = length_us / MS;
	state->left_us = state->until_us - now_us;
	bool stale = lease->stale_epoch == state->epoch && lease->stale_until_us == state->until_us;
	found->ours = bytes_equal(holder, bytes_of(lease->relay));
	found->taken = holder.data && !bytes_equal(holder, bytes_of(lease->relay)) && state->left_us > 0 &&
				   state->left_us <= length_us && !stale;
}

static bool find(struct lite *lite, struct request *request, int64_t now_us, struct found *ret, struct meow_error *err)
{
	const struct session_lease *lease = &request->lease;
	struct lite_call call = lite_call(lite, LITE_LEASE_FIND);
	lite_put_text(&call, bytes_of(lease->subscription));
	lite_put_int(&call, lease->partition);
	lite_put_text(&call, bytes_of(lease->relay));
	lite_put_int(&call, now_us);
	lite_put_int(&call, lease->length_ms * MS);
	bool ok = lite_step(&call, err) == LITE_ROW;
	if (ok) {
		*ret = (struct found){.state = {.layout = (int)lite_int(&call, 0),
								  .partitions = (int)lite_int(&call, 1),
								  .epoch = lite_int(&call, 2),
								  .cut = lite_int(&call, 11),
								  .mine = (int)lite_int(&call, 6),
								  .least = (int)lite_int(&call, 7),
								  .above = (int)lite_int(&call, 8)},
			.counted = lite_int(&call, 9) != 0,
			.known = lite_int(&call, 10) != 0,
			.position = lite_int(&call, 12)};
		note_lease(&call, lease, now_us, ret);
		free(request->holder);
		request->holder = ret->taken ? strdup(lite_text(&call, 3).data) : NULL;
		ok = lite_good(&call, err) && (!ret->taken || request->holder || error_no_memory(err));
	}
	lite_end(&call);
	return ok;
}

static bool count_in(struct lite *lite, const struct session_lease *lease, int64_t now_us, struct meow_error *err)
{
	struct lite_call alive = lite_call(lite, LITE_LEASE_ALIVE);
	lite_put_text(&alive, bytes_of(lease->subscription));
	lite_put_text(&alive, bytes_of(lease->relay));
	lite_put_int(&alive, now_us + lease->length_ms * MS);
	lite_put_int(&alive, lease->length_ms * MS);
	if (!lite_run(&alive, NULL, err))
		return false;
	struct lite_call forget = lite_call(lite, LITE_LEASE_FORGET);
	lite_put_text(&forget, bytes_of(lease->subscription));
	lite_put_int(&forget, now_us - DAY);
	return lite_run(&forget, NULL, err);
}

static bool make_layout(
	struct lite *lite, const struct session_lease *lease, struct found *found, struct meow_error *err)
{
	found->state.partitions = found->known ? 1 : lease->partitions;
	struct lite_call call = lite_call(lite, LITE_LEASE_LAYOUT);
	lite_put_text(&call, bytes_of(lease->subscription));
	lite_put_int(&call, found->state.partitions);
	return lite_run(&call, NULL, err);
}

// Whose it is, up to which epoch: the first parameters of every change of a lease.
static struct lite_call change(struct lite *lite, enum lite_statement statement, const struct session_lease *lease)
{
	struct lite_call call = lite_call(lite, statement);
	lite_put_text(&call, bytes_of(lease->subscription));
	lite_put_int(&call, lease->layout);
	lite_put_int(&call, lease->partition);
	lite_put_text(&call, bytes_of(lease->relay));
	return call;
}

static bool take(struct lite *lite, const struct session_lease *lease, int64_t now_us,
	struct session_lease_state *state, struct meow_error *err)
{
	struct session_lease newest = *lease;
	newest.layout = state->layout;
	struct lite_call call = change(lite, LITE_LEASE_TAKE, &newest);
	lite_put_int(&call, now_us + lease->length_ms * MS);
	lite_put_int(&call, lease->length_ms * MS);
	bool ok = lite_step(&call, err) == LITE_ROW;
	if (ok) {
		state->epoch = lite_int(&call, 0);
		ok = lite_step(&call, err) == LITE_DONE;
	}
	lite_end(&call);
	state->held = ok;
	return ok;
}

static bool may_take(const struct found *found, const struct session_lease *lease)
{
	return !found->taken && found->state.partitions == lease->partitions &&
		   (!found->state.cut || found->position < found->state.cut) &&
		   (lease->even_unfair || found->ours || found->state.mine <= found->state.least);
}

static bool acquire(struct lite *lite, struct request *request, struct found *found, struct meow_error *err)
{
	const struct session_lease *lease = &request->lease;
	int64_t now_us = lite_now_us();
	return find(lite, request, now_us, found, err) &&
		   (found->state.partitions || make_layout(lite, lease, found, err)) &&
		   (found->counted || count_in(lite, lease, now_us, err)) &&
		   (!may_take(found, lease) || take(lite, lease, now_us, &found->state, err));
}

static bool perform_acquire(struct lite *lite, struct request *request, struct meow_error *err)
{
	struct lite_transaction transaction;
	struct found found;
	if (!find(lite, request, lite_now_us(), &found, err))
		return false;
	bool nothing = found.state.partitions && found.counted && !may_take(&found, &request->lease);
	if (!nothing && !(lite_begin(lite, &transaction, err) &&
						lite_finish(lite, &transaction, acquire(lite, request, &found, err), err)))
		return false;
	request->leased = found.state;
	request->leased.holder = request->holder;
	return true;
}

static bool renew(struct lite *lite, struct request *request, struct found *found, struct meow_error *err)
{
	const struct session_lease *lease = &request->lease;
	int64_t now_us = lite_now_us();
	uint64_t renewed = 0;
	struct lite_call call = change(lite, LITE_LEASE_RENEW, lease);
	lite_put_int(&call, now_us + lease->length_ms * MS);
	lite_put_int(&call, lease->length_ms * MS);
	lite_put_int(&call, lease->epoch);
	if (!lite_run(&call, &renewed, err) || !find(lite, request, now_us, found, err))
		return false;
	found->state.held = renewed > 0;
	return found->counted || count_in(lite, lease, now_us, err);
}

static bool perform_renew(struct lite *lite, struct request *request, struct meow_error *err)
{
	struct lite_transaction transaction;
	struct found found;
	if (!lite_begin(lite, &transaction, err) ||
		!lite_finish(lite, &transaction, renew(lite, request, &found, err), err))
		return false;
	request->leased = found.state;
	request->leased.epoch = request->lease.epoch;
	request->leased.layout = request->lease.layout;
	return true;
}

static bool release(struct lite *lite, const struct session_lease *lease, struct meow_error *err)
{
	struct lite_call call = change(lite, LITE_LEASE_RELEASE, lease);
	lite_put_int(&call, lease->epoch);
	if (!lite_run(&call, NULL, err))
		return false;
	if (!lease->leaving)
		return true;
	struct lite_call leave = lite_call(lite, LITE_LEASE_LEAVE);
	lite_put_text(&leave, bytes_of(lease->subscription));
	lite_put_text(&leave, bytes_of(lease->relay));
	return lite_run(&leave, NULL, err);
}

static bool perform_release(struct lite *lite, struct request *request, struct meow_error *err)
{
	struct lite_transaction transaction;
	return lite_begin(lite, &transaction, err) &&
		   lite_finish(lite, &transaction, release(lite, &request->lease, err), err);
}

bool lite_lease_perform(struct lite_session *session, struct request *request, struct meow_error *err)
{
	if (request->kind == REQUEST_LEASE_ACQUIRE)
		return perform_acquire(&session->lite, request, err);
	if (request->kind == REQUEST_LEASE_RENEW)
		return perform_renew(&session->lite, request, err);
	return perform_release(&session->lite, request, err);
}

// NULL: the session has ended for want of memory.
static struct request *create(
	struct session *base, enum request_kind kind, const struct session_lease *lease, void *arg)
{
	struct request *request = lite_request_create(base, kind, arg);
	if (!request)
		return NULL;
	if (!buffer_room(&request->memory, strlen(lease->subscription) + strlen(lease->relay) + 3)) {
		lite_request_free(request);
		lite_session_out_of_memory((struct lite_session *)base);
		return NULL;
	}
	request->lease = *lease;
	request->lease.subscription = lite_request_keep(&request->memory, bytes_of(lease->subscription));
	request->lease.relay = lite_request_keep(&request->memory, bytes_of(lease->relay));
	return request;
}

static void enqueue(struct session *base, struct request *request)
{
	lite_session_enqueue((struct lite_session *)base, request);
}

void lite_session_lease_acquire(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_ACQUIRE, lease, arg);
	if (!request)
		return;
	request->fn.lease = fn;
	enqueue(session, request);
}

void lite_session_lease_renew(
	struct session *session, const struct session_lease *lease, session_lease_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_RENEW, lease, arg);
	if (!request)
		return;
	request->fn.lease = fn;
	enqueue(session, request);
}

void lite_session_lease_release(
	struct session *session, const struct session_lease *lease, session_done_fn *fn, void *arg)
{
	struct request *request = create(session, REQUEST_LEASE_RELEASE, lease, arg);
	if (!request)
		return;
	request->fn.done = fn;
	enqueue(session, request);
}
