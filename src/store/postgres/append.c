// Append: the version check and the inserts are one statement and one round trip. Only where that adds nothing are there
// further ones: what version is there, and whether this very call was made before (its token). The version found is
// read in a statement of its own, since the first one's snapshot may be older than the row it waited for.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_array.h"
#include "store/postgres/pg_event.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define UUID_SIZE 37

static bool random_uuid(char ret_text[UUID_SIZE], struct meow_error *err)
{
	unsigned char b[16];
	if (getrandom(b, sizeof(b), 0) != (ssize_t)sizeof(b))
		return error_set(err, MEOW_UNAVAILABLE, "no random numbers from the system");
	b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
	b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
	snprintf(ret_text, UUID_SIZE, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1],
		b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
	return true;
}

static void param_string(struct pg_params *params, const char *text)
{
	params->values[params->count++] = text; // as text: the server knows its type
}

static PGresult *add_one(
	struct meow_store *store, const struct meow_append *append, const char *token, struct meow_error *err)
{
	const struct meow_new_event *event = append->events;
	struct pg_number expected = pg_put64(append->expected),
		time = pg_put64(event->time_us == MEOW_NO_TIME ? 0 : event->time_us - PG_EPOCH_US);
	struct pg_params params = {0};
	param_string(&params, append->aggregate_type);
	param_string(&params, append->aggregate_id);
	pg_param_int8(&params, &expected);
	pg_param_text(&params, event->type);
	pg_param_text(&params, event->data);
	pg_param_text(&params, event->metadata);
	pg_param_int8(&params, event->time_us == MEOW_NO_TIME ? NULL : &time);
	param_string(&params, token);
	return pg_run(store, append->expected < 0 ? PG_APPEND_FIRST : PG_APPEND_ONE, &params, err);
}

static PGresult *add_many(
	struct meow_store *store, const struct meow_append *append, const char *token, struct meow_error *err)
{
	struct pg_arrays arrays;
	PGresult *result = NULL;
	pg_arrays_init(&arrays, append->count);
	for (size_t i = 0; i < append->count; i++)
		pg_arrays_put(&arrays, &append->events[i]);
	if (pg_arrays_ok(&arrays, err)) {
		char count[24];
		snprintf(count, sizeof(count), "%zu", append->count);
		struct pg_number expected = pg_put64(append->expected);
		struct pg_params params = {0};
		param_string(&params, append->aggregate_type);
		param_string(&params, append->aggregate_id);
		pg_param_int8(&params, &expected);
		pg_arrays_param(&arrays, &params);
		param_string(&params, token);
		param_string(&params, count);
		result = pg_run(store, PG_APPEND_MANY, &params, err);
	}
	pg_arrays_finish(&arrays);
	return result;
}

static bool take_appended(const PGresult *result, bool repeated, struct meow_appended *ret)
{
	if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
		return false;
	if (ret)
		*ret = (struct meow_appended){
			.version = pg_signed64(result, 0, 0), .position = pg_signed64(result, 0, 1), .repeated = repeated};
	return true;
}

// Whether the token's events are there. 1 yes, 0 no, -1 failed.
static int find_repeated(struct meow_store *store, const struct meow_append *append, const char *token,
	struct meow_appended *ret, struct meow_error *err)
{
	struct pg_number version = pg_put64(append->expected + 1);
	struct pg_params params = {0};
	param_string(&params, append->aggregate_id);
	pg_param_int8(&params, append->expected == MEOW_EXPECT_ANY ? NULL : &version);
	param_string(&params, token);
	PGresult *result = pg_run(store, PG_APPEND_REPEATED, &params, err);
	if (!result)
		return -1;
	int found = take_appended(result, true, ret);
	PQclear(result);
	return found;
}

// The statement added nothing: says why.
static bool explain(struct meow_store *store, const struct meow_append *append, const char *token,
	struct meow_appended *ret, int64_t *ret_found, struct meow_error *err)
{
	struct pg_params params = {0};
	param_string(&params, append->aggregate_id);
	PGresult *result = pg_run(store, PG_APPEND_FOUND, &params, err);
	if (!result)
		return false;
	bool known = PQntuples(result) == 1;
	int64_t found = known ? pg_signed64(result, 0, 0) : -1;
	if (known && strcmp(PQgetvalue(result, 0, 1), append->aggregate_type) != 0) {
		error_set(err, MEOW_INVALID, "aggregate %s is known as type %s, not %s", append->aggregate_id,
			PQgetvalue(result, 0, 1), append->aggregate_type);
		PQclear(result);
		return false;
	}
	PQclear(result);
	int repeated = find_repeated(store, append, token, ret, err);
	if (repeated)
		return repeated > 0;
	if (ret_found)
		*ret_found = found;
	char expected[32] = "no event yet";
	if (append->expected >= 0)
		snprintf(expected, sizeof(expected), "version %" PRId64, append->expected);
	if (found < 0)
		return error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, and it has no event",
			append->aggregate_type, append->aggregate_id, expected);
	return error_set(err, MEOW_CONFLICT, "version conflict: %s %s: expected %s, found version %" PRId64
		": load again and repeat", append->aggregate_type, append->aggregate_id, expected, found);
}

// One try. *ret_sent says whether the change may have been made although this failed.
static bool try_append(struct meow_store *store, const struct meow_append *append, const char *token, bool again,
	struct meow_appended *ret, int64_t *ret_found, bool *ret_sent, struct meow_error *err)
{
	*ret_sent = false;
	if (!pg_reconnect(store, err))
		return false;
	if (append->expected == MEOW_EXPECT_ANY && (again || append->token)) {
		int repeated = find_repeated(store, append, token, ret, err);
		if (repeated)
			return repeated > 0;
	}
	*ret_sent = true;
	PGresult *result = append->count == 1 ? add_one(store, append, token, err) : add_many(store, append, token, err);
	if (!result) {
		if (err->kind == MEOW_CONFLICT && ret_found)
			*ret_found = MEOW_NO_VERSION;
		return false;
	}
	bool added = take_appended(result, false, ret);
	PQclear(result);
	return added || explain(store, append, token, ret, ret_found, err);
}

static bool check(const struct meow_append *append, struct meow_error *err)
{
	if (!append->aggregate_type || !*append->aggregate_type)
		return error_set(err, MEOW_INVALID, "an append needs an aggregate type");
	if (!append->aggregate_id || !*append->aggregate_id)
		return error_set(err, MEOW_INVALID, "an append needs an aggregate id");
	if (append->expected < MEOW_EXPECT_ANY || append->expected > INT32_MAX)
		return error_set(err, MEOW_INVALID, "expected version %" PRId64 " cannot be", append->expected);
	for (size_t i = 0; i < append->count; i++) {
		if (!append->events[i].type.data || !append->events[i].data.data)
			return error_set(err, MEOW_INVALID, "event %zu has no %s", i + 1,
				append->events[i].type.data ? "data" : "type");
		if (!text_is_utf8(append->events[i].data) || !text_is_utf8(append->events[i].type))
			return error_set(err, MEOW_INVALID, "event %zu is not valid UTF-8, or has a raw NUL byte", i + 1);
	}
	return true;
}

bool meow_append(struct meow_store *store, const struct meow_append *append, struct meow_appended *ret,
	int64_t *ret_found, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	char drawn[UUID_SIZE];
	if (append->count == 0)
		return true;
	if (!check(append, error) || (!append->token && !random_uuid(drawn, error)))
		return false;
	const char *token = append->token ? append->token : drawn;
	bool sent;
	if (try_append(store, append, token, false, ret, ret_found, &sent, error))
		return true;
	bool broken = !store->conn || PQstatus(store->conn) == CONNECTION_BAD;
	if (!broken || !sent)
		return false;
	bool sent_again;
	if (try_append(store, append, token, true, ret, ret_found, &sent_again, error))
		return true;
	if (error->kind == MEOW_UNAVAILABLE)
		error->kind = MEOW_UNKNOWN_OUTCOME;
	return false;
}
