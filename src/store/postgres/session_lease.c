// Leases over a session: each request is one statement.
#include "store/postgres/pg_event.h"
#include "store/postgres/session_pg.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

enum {
	ACQUIRED_LAYOUT,
	ACQUIRED_PARTITIONS,
	ACQUIRED_MINE,
	ACQUIRED_LEAST,
	ACQUIRED_EPOCH,
	FOUND_EPOCH,
	FOUND_HOLDER,
	FOUND_UNTIL,
	FOUND_LENGTH,
	FOUND_LEFT,
	ACQUIRED_CUT,
	RIVAL,
	RIVAL_PUBLISHES
};
enum { RENEWED, RENEWED_MINE, RENEWED_LEAST, RENEWED_ABOVE };

// A number as a parameter.
struct number {
	char text[24];
};

static const char *put(struct number *number, int64_t value)
{
	snprintf(number->text, sizeof(number->text), "%" PRId64, value);
	return number->text;
}

static const char *put_flag(bool value)
{
	return value ? "t" : "f";
}

static bool send_with(struct pg_session *session, int statement, int count, const char *const *values)
{
	struct pg_params params = {.count = count};
	memcpy(params.values, values, (size_t)count * sizeof(*values));
	return session_send(session, statement, &params, false);
}

bool lease_send(struct pg_session *session, const struct request *request)
{
	const struct session_lease *lease = &request->lease;
	struct number layout, partition, length, epoch, partitions, until;
	if (request->kind == REQUEST_LEASE_ACQUIRE) {
		bool stale = lease->stale_epoch != 0;
		const char *values[] = {lease->subscription, put(&partition, lease->partition),
			put(&partitions, lease->partitions), lease->relay, put(&length, lease->length_ms),
			stale ? put(&epoch, lease->stale_epoch) : NULL, stale ? put(&until, lease->stale_until_us) : NULL,
			put_flag(lease->even_unfair), lease->publishes};
		return send_with(session, SQL_LEASE_ACQUIRE, 9, values);
	}
	const char *values[] = {lease->subscription, put(&layout, lease->layout), put(&partition, lease->partition),
		lease->relay, put(&length, lease->length_ms), put(&epoch, lease->epoch)};
	if (request->kind == REQUEST_LEASE_RENEW)
		return send_with(session, SQL_LEASE_RENEW, 6, values);
	values[4] = values[5];
	values[5] = put_flag(lease->leaving);
	return send_with(session, SQL_LEASE_RELEASE, 6, values);
}

static void answer_acquire(struct request *request, const PGresult *result)
{
	struct session_lease_state state = {.held = !PQgetisnull(result, 0, ACQUIRED_EPOCH),
		.layout = (int)pg_number32(result, 0, ACQUIRED_LAYOUT),
		.partitions = (int)pg_number32(result, 0, ACQUIRED_PARTITIONS),
		.cut = pg_signed64(result, 0, ACQUIRED_CUT),
		.mine = (int)pg_number32(result, 0, ACQUIRED_MINE),
		.least = (int)pg_number32(result, 0, ACQUIRED_LEAST)};
	if (state.held) {
		state.epoch = pg_signed64(result, 0, ACQUIRED_EPOCH);
	} else {
		state.rival = PQgetisnull(result, 0, RIVAL) ? NULL : PQgetvalue(result, 0, RIVAL);
		state.rival_publishes = PQgetvalue(result, 0, RIVAL_PUBLISHES);
		state.epoch = pg_signed64(result, 0, FOUND_EPOCH);
		state.holder = PQgetisnull(result, 0, FOUND_HOLDER) ? NULL : PQgetvalue(result, 0, FOUND_HOLDER);
		state.until_us = pg_signed64(result, 0, FOUND_UNTIL);
		state.length_ms = pg_signed64(result, 0, FOUND_LENGTH);
		state.left_us = pg_signed64(result, 0, FOUND_LEFT);
	}
	request->fn.lease(request->arg, &state, NULL);
}

static void answer_renew(struct request *request, const PGresult *result)
{
	struct session_lease_state state = {.held = *PQgetvalue(result, 0, RENEWED) != 0,
		.epoch = request->lease.epoch,
		.layout = request->lease.layout,
		.mine = (int)pg_number32(result, 0, RENEWED_MINE),
		.least = (int)pg_number32(result, 0, RENEWED_LEAST),
		.above = (int)pg_number32(result, 0, RENEWED_ABOVE)};
	request->fn.lease(request->arg, &state, NULL);
}

void lease_answer(struct request *request, const PGresult *result)
{
	if (request->kind == REQUEST_LEASE_ACQUIRE)
		answer_acquire(request, result);
	else if (request->kind == REQUEST_LEASE_RENEW)
		answer_renew(request, result);
	else
		request->fn.done(request->arg, NULL);
}
