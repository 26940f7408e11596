// Leases in a SQLite file, whose clock is the machine's. One who waits looks, and locks the file only when there is
// something to write; what was found is then looked at again.
#include "store/sqlite/session_lite.h"

#include "base/text.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MS INT64_C(1000)
#define KEEP_BYTES 4096 // of a name
#define DAY (24 * 60 * 60 * 1000 * MS)

// What lease_find.sql says.
struct found {
	struct session_lease_state state; // of another's lease where it is taken
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

// The holder, and the rival, are kept among the session's texts.
static bool keep_holder(
	struct lite_session *session, struct lite_call *call, struct found *found, struct meow_error *err)
{
	struct meow_bytes holder = lite_text(call, 3), rival = lite_text(call, 13), publishes = lite_text(call, 14);
	buffer_clear(&session->texts, KEEP_BYTES);
	if (!lite_good(call, err))
		return false;
	if (!buffer_room(&session->texts, holder.size + rival.size + publishes.size + 3))
		return error_no_memory(err);
	if (found->taken)
		found->state.holder = lite_keep(session, holder);
	found->state.rival = lite_keep(session, rival);
	found->state.rival_publishes = lite_keep(session, publishes);
	return true;
}

static bool find(struct lite_session *session, const struct session_lease *lease, int64_t now_us, struct found *ret,
	struct meow_error *err)
{
	struct lite_call call = lite_call(&session->lite, LITE_LEASE_FIND);
	lite_put_text(&call, bytes_of(lease->subscription));
	lite_put_int(&call, lease->partition);
	lite_put_text(&call, bytes_of(lease->relay));
	lite_put_int(&call, now_us);
	lite_put_int(&call, lease->length_ms * MS);
	lite_put_text(&call, bytes_of(lease->publishes));
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
		ok = keep_holder(session, &call, ret, err);
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
	lite_put_text(&alive, bytes_of(lease->publishes));
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
	return !found->taken && !found->state.rival && found->state.partitions == lease->partitions &&
		   (!found->state.cut || found->position < found->state.cut) &&
		   (lease->even_unfair || found->ours || found->state.mine <= found->state.least);
}

static bool acquire(
	struct lite_session *session, const struct session_lease *lease, struct found *found, struct meow_error *err)
{
	struct lite *lite = &session->lite;
	int64_t now_us = lite_now_us();
	return find(session, lease, now_us, found, err) &&
		   (found->state.partitions || make_layout(lite, lease, found, err)) &&
		   (found->counted || count_in(lite, lease, now_us, err)) &&
		   (!may_take(found, lease) || take(lite, lease, now_us, &found->state, err));
}

static bool perform_acquire(struct lite_session *session, const struct session_lease *lease, struct meow_error *err)
{
	struct lite *lite = &session->lite;
	struct lite_transaction transaction;
	struct found found;
	if (!find(session, lease, lite_now_us(), &found, err))
		return false;
	bool nothing = found.state.partitions && found.counted && !may_take(&found, lease);
	if (!nothing && !(lite_begin(lite, &transaction, err) &&
						lite_finish(lite, &transaction, acquire(session, lease, &found, err), err)))
		return false;
	session->leased = found.state;
	return true;
}

static bool renew(
	struct lite_session *session, const struct session_lease *lease, struct found *found, struct meow_error *err)
{
	struct lite *lite = &session->lite;
	int64_t now_us = lite_now_us();
	uint64_t renewed = 0;
	struct lite_call call = change(lite, LITE_LEASE_RENEW, lease);
	lite_put_int(&call, now_us + lease->length_ms * MS);
	lite_put_int(&call, lease->length_ms * MS);
	lite_put_int(&call, lease->epoch);
	if (!lite_run(&call, &renewed, err) || !find(session, lease, now_us, found, err))
		return false;
	found->state.held = renewed > 0;
	return found->counted || count_in(lite, lease, now_us, err);
}

static bool perform_renew(struct lite_session *session, const struct session_lease *lease, struct meow_error *err)
{
	struct lite *lite = &session->lite;
	struct lite_transaction transaction;
	struct found found;
	if (!lite_begin(lite, &transaction, err) ||
		!lite_finish(lite, &transaction, renew(session, lease, &found, err), err))
		return false;
	session->leased = found.state;
	session->leased.epoch = lease->epoch;
	session->leased.layout = lease->layout;
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

static bool perform_release(struct lite *lite, const struct session_lease *lease, struct meow_error *err)
{
	struct lite_transaction transaction;
	return lite_begin(lite, &transaction, err) && lite_finish(lite, &transaction, release(lite, lease, err), err);
}

bool lite_lease_perform(struct lite_session *session, const struct request *request, struct meow_error *err)
{
	if (request->kind == REQUEST_LEASE_ACQUIRE)
		return perform_acquire(session, &request->lease, err);
	if (request->kind == REQUEST_LEASE_RENEW)
		return perform_renew(session, &request->lease, err);
	return perform_release(&session->lite, &request->lease, err);
}
