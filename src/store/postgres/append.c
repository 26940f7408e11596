// Append: the version check and the inserts are one statement and one round trip. Only where that adds nothing are there
// further ones: what version is there, and whether this very call was made before (its token). The version found is
// read in a statement of its own, since the first one's snapshot may be older than the row it waited for.
#include "base/text.h"
#include "store/postgres/pg.h"
#include "store/postgres/pg_array.h"
#include "store/postgres/pg_event.h"
#include "store_postgres_sql.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define RACES_MOST 100

static void param_string(struct pg_params *params, const char *text)
{
	params->values[params->count++] = text; // as text: the server knows its type
}

static PGresult *add_one(
	struct pg_store *store, const struct meow_append *append, const char *token, struct meow_error *err)
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
	struct pg_store *store, const struct meow_append *append, const char *token, struct meow_error *err)
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

// A binary array of int8: a header of five numbers, then each element behind its length.
static void take_positions(const PGresult *result, const struct meow_append *append)
{
	const char *array = PQgetvalue(result, 0, 2), *end = array + PQgetlength(result, 0, 2);
	const char *element = array + 20;
	for (size_t i = 0; i < append->count && end - element >= 12; i++, element += 12) {
		uint64_t big;
		memcpy(&big, element + 4, sizeof(big));
		append->ret_positions[i] = (int64_t)be64toh(big);
	}
}

static bool take_appended(
	const PGresult *result, const struct meow_append *append, bool repeated, struct meow_appended *ret)
{
	if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
		return false;
	if (append->ret_positions && PQnfields(result) == 3)
		take_positions(result, append);
	else if (append->ret_positions)
		append->ret_positions[0] = pg_signed64(result, 0, 1);
	if (ret)
		*ret = (struct meow_appended){
			.version = pg_signed64(result, 0, 0), .position = pg_signed64(result, 0, 1), .repeated = repeated};
	return true;
}

// Whether the token's events are there. 1 yes, 0 no, -1 failed.
static int find_repeated(struct pg_store *store, const struct meow_append *append, const char *token,
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
	int found = take_appended(result, append, true, ret);
	PQclear(result);
	return found;
}

// What is there: *ret_found is the version, -1 if there is no event.
static bool find_version(
	struct pg_store *store, const struct meow_append *append, int64_t *ret_found, struct meow_error *err)
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
		store_type_mismatch(append->aggregate_id, PQgetvalue(result, 0, 1), append->aggregate_type, err);
	PQclear(result);
	return agrees;
}

// The statement added nothing: says why.
static bool explain(struct pg_store *store, const struct meow_append *append, const char *token,
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
	return store_conflict(append, found, err);
}

// Which of several events is no JSON: puts its number before the reason.
static void name_event(struct pg_store *store, const struct meow_append *append, struct meow_error *err)
{
	if (pg_in_transaction(store)) // which the failure has aborted: nothing more can be asked in it
		return;
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
static int add(struct pg_store *store, const struct meow_append *append, const char *token, struct meow_appended *ret,
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
	int added = take_appended(result, append, false, ret);
	PQclear(result);
	return added;
}

// An append to whatever is there that may be a repetition. Its first run may still be about to commit, so it is added only
// to the version that was there before the token was looked for: whatever commits in between makes it look again.
static bool append_any_once(struct pg_store *store, const struct meow_append *append, const char *token,
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
		if (added < 0 && (err->kind != MEOW_CONFLICT || pg_in_transaction(store)))
			return false;
	}
	return error_set(err, MEOW_CONFLICT, "%s %s: others append so fast that a repetition found no place",
		append->aggregate_type, append->aggregate_id);
}

// One try. *ret_sent says whether the change may have been made although this failed.
static bool try_append(struct pg_store *store, const struct meow_append *append, const char *token, bool again,
	struct meow_appended *ret, int64_t *ret_found, bool *ret_sent, struct meow_error *err)
{
	*ret_sent = store->unanswered = false;
	if (!pg_reconnect(store, err))
		return false;
	if (append->expected == MEOW_EXPECT_ANY && (again || append->token))
		return append_any_once(store, append, token, ret, ret_sent, err);
	*ret_sent = true;
	int added = add(store, append, token, ret, ret_found, err);
	return added > 0 || (added == 0 && explain(store, append, token, ret, ret_found, err));
}

static bool is_broken(const struct pg_store *store)
{
	return !store->conn || PQstatus(store->conn) == CONNECTION_BAD;
}

// Whether nobody knows what the server did. Without memory libpq drops even an answer that has come.
static bool is_unanswered(const struct pg_store *store)
{
	return is_broken(store) || store->unanswered;
}

// Over the application's connection nothing is repeated: a transaction that was open there is gone with the connection;
// without one the statement was a transaction of its own, whose outcome nobody knows.
static bool append_borrowed(struct pg_store *store, const struct meow_append *append, const char *token,
	struct meow_appended *ret, int64_t *ret_found, struct meow_error *err)
{
	bool in_transaction = pg_in_transaction(store), sent;
	if (try_append(store, append, token, false, ret, ret_found, &sent, err))
		return true;
	if (sent && is_unanswered(store) && !(is_broken(store) && in_transaction))
		err->kind = MEOW_UNKNOWN_OUTCOME;
	return false;
}

bool pg_append(struct meow_store *base, const struct meow_append *append, struct meow_appended *ret, int64_t *ret_found,
	struct meow_error *err)
{
	struct pg_store *store = pg_store_of(base);
	char drawn[STORE_UUID_SIZE];
	if (!append->token && !store_random_uuid(drawn, err))
		return false;
	const char *token = append->token ? append->token : drawn;
	if (store->borrowed)
		return append_borrowed(store, append, token, ret, ret_found, err);
	bool sent;
	if (try_append(store, append, token, false, ret, ret_found, &sent, err))
		return true;
	if (!is_unanswered(store) || !sent)
		return false;
	bool sent_again;
	if (try_append(store, append, token, true, ret, ret_found, &sent_again, err))
		return true;
	// Only an answer to the repetition itself says what became of the first.
	if (is_unanswered(store) || !sent_again || err->kind == MEOW_UNAVAILABLE)
		err->kind = MEOW_UNKNOWN_OUTCOME;
	return false;
}
