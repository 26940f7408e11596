// Append: the version check and the inserts are one statement and one round trip. Only where that adds nothing are there
// further ones: what version is there, and whether this very call was made before (its token). The version found is
// read in a statement of its own, since the first one's snapshot may be older than the row it waited for.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_array.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define UUID_SIZE 37
#define RACES_MOST 100

// What PostgreSQL's clock and an RFC 3339 time can both say: the years 1 to 9999.
#define TIME_FIRST_US INT64_C(-62135596800000000)
#define TIME_LAST_US INT64_C(253402300799999999)

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

// What is there: *ret_found is the version, -1 if there is no event.
static bool find_version(
	struct meow_store *store, const struct meow_append *append, int64_t *ret_found, struct meow_error *err)
{
	struct pg_params params = {0};
	param_string(&params, append->aggregate_id);
	PGresult *result = pg_run(store, PG_APPEND_FOUND, &params, err);
	if (!result)
		return false;
	bool known = PQntuples(result) == 1;
	bool agrees = !known || strcmp(PQgetvalue(result, 0, 1), append->aggregate_type) == 0;
	if (agrees)
		*ret_found = known ? pg_signed64(result, 0, 0) : -1;
	else
		error_set(err, MEOW_INVALID, "aggregate %s is known as type %s, not %s", append->aggregate_id,
			PQgetvalue(result, 0, 1), append->aggregate_type);
	PQclear(result);
	return agrees;
}

// The statement added nothing: says why.
static bool explain(struct meow_store *store, const struct meow_append *append, const char *token,
	struct meow_appended *ret, int64_t *ret_found, struct meow_error *err)
{
	int64_t found;
	if (!find_version(store, append, &found, err))
		return false;
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
	return error_set(err, MEOW_CONFLICT,
		"version conflict: %s %s: expected %s, found version %" PRId64 ": load again and repeat",
		append->aggregate_type, append->aggregate_id, expected, found);
}

// Which of several events is no JSON: puts its number before the reason.
static void name_event(struct meow_store *store, const struct meow_append *append, struct meow_error *err)
{
	for (size_t i = 0; i < append->count && append->count > 1; i++) {
		struct meow_error reason;
		struct pg_params params = {0};
		pg_param_text(&params, append->events[i].data);
		pg_param_text(&params, append->events[i].metadata);
		PGresult *result = PQexecParams(
			store->conn, sql_append_check, params.count, NULL, params.values, params.lengths, params.formats, 1);
		bool good = PQresultStatus(result) == PGRES_TUPLES_OK;
		if (!good)
			pg_result_error(store->conn, result, store->url, &reason);
		PQclear(result);
		if (!good && reason.kind == MEOW_INVALID) {
			error_set_code(err, MEOW_INVALID, reason.code, "event %zu: %s", i + 1, reason.text);
			return;
		}
	}
}

// One round trip. 1 added, 0 added nothing since the version is another, -1 failed.
static int add(struct meow_store *store, const struct meow_append *append, const char *token, struct meow_appended *ret,
	int64_t *ret_found, struct meow_error *err)
{
	PGresult *result = append->count == 1 ? add_one(store, append, token, err) : add_many(store, append, token, err);
	if (!result) {
		if (err->kind == MEOW_CONFLICT && ret_found)
			*ret_found = MEOW_NO_VERSION;
		if (err->kind == MEOW_INVALID)
			name_event(store, append, err);
		return -1;
	}
	int added = take_appended(result, false, ret);
	PQclear(result);
	return added;
}

// An append to whatever is there that may be a repetition. Its first run may still be about to commit, so it is added only
// to the version that was there before the token was looked for: whatever commits in between makes it look again.
static bool append_any_once(struct meow_store *store, const struct meow_append *append, const char *token,
	struct meow_appended *ret, bool *ret_sent, struct meow_error *err)
{
	struct meow_append exact = *append;
	for (int races = 0; races < RACES_MOST; races++) {
		if (!find_version(store, append, &exact.expected, err))
			return false;
		int repeated = find_repeated(store, append, token, ret, err);
		if (repeated)
			return repeated > 0;
		*ret_sent = true;
		int added = add(store, &exact, token, ret, NULL, err);
		if (added > 0)
			return true;
		if (added < 0 && err->kind != MEOW_CONFLICT)
			return false;
	}
	return error_set(err, MEOW_CONFLICT, "%s %s: others append so fast that a repetition found no place",
		append->aggregate_type, append->aggregate_id);
}

// One try. *ret_sent says whether the change may have been made although this failed.
static bool try_append(struct meow_store *store, const struct meow_append *append, const char *token, bool again,
	struct meow_appended *ret, int64_t *ret_found, bool *ret_sent, struct meow_error *err)
{
	*ret_sent = false;
	if (!pg_reconnect(store, err))
		return false;
	if (append->expected == MEOW_EXPECT_ANY && (again || append->token))
		return append_any_once(store, append, token, ret, ret_sent, err);
	*ret_sent = true;
	int added = add(store, append, token, ret, ret_found, err);
	return added > 0 || (added == 0 && explain(store, append, token, ret, ret_found, err));
}

bool pg_check_event(const struct meow_new_event *event, struct meow_error *err)
{
	if (!event->type.data || !event->data.data)
		return error_set(err, MEOW_INVALID, "has no %s", event->type.data ? "data" : "type");
	if (!text_is_utf8(event->data) || !text_is_utf8(event->type) || !text_is_utf8(event->metadata))
		return error_set(err, MEOW_INVALID, "is not valid UTF-8, or has a raw NUL byte");
	if (event->time_us != MEOW_NO_TIME && (event->time_us < TIME_FIRST_US || event->time_us > TIME_LAST_US))
		return error_set(err, MEOW_INVALID, "has a time that is not within the years 1 to 9999");
	return true;
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
		struct meow_error reason;
		if (!pg_check_event(&append->events[i], &reason))
			return error_set(err, reason.kind, "event %zu %s", i + 1, reason.text);
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
	// Only an answer to the repetition itself says what became of the first.
	broken = !store->conn || PQstatus(store->conn) == CONNECTION_BAD;
	if (broken || !sent_again || error->kind == MEOW_UNAVAILABLE)
		error->kind = MEOW_UNKNOWN_OUTCOME;
	return false;
}
