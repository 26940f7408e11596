// Dead letters over a session: one statement, which looks at the owner and inserts, or ends their retries.
#include "store/postgres/pg_event.h"
#include "store/postgres/session_pg.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool aside_send(struct pg_session *session, const struct request *request)
{
	const struct session_letters *letters = &request->letters;
	const int64_t numbers[] = {letters->layout, letters->partition, letters->epoch, letters->generation};
	char text[4][24];
	struct pg_params params = {.count = 6};
	params.values[0] = letters->subscription;
	for (size_t i = 0; i < 4; i++) {
		snprintf(text[i], sizeof(text[i]), "%" PRId64, numbers[i]);
		params.values[1 + i] = text[i];
	}
	params.values[5] = letters->json;
	return session_send(session, request->kind == REQUEST_SET_ASIDE ? SQL_SET_ASIDE : SQL_RETRY_END, &params, false);
}

void aside_answer(struct request *request, const PGresult *result)
{
	struct meow_error err;
	if (PQntuples(result) == 1) {
		request->fn.done(request->arg, NULL);
		return;
	}
	error_set(&err, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved: nothing was set aside",
		request->letters.subscription);
	request->fn.done(request->arg, &err);
}

bool retry_send(struct pg_session *session, const struct request *request)
{
	const struct session_retry_query *query = &request->retries;
	const int64_t numbers[] = {query->after, query->to, query->delivered};
	char text[3][24];
	struct pg_params params = {.count = 4};
	params.values[0] = query->subscription;
	for (size_t i = 0; i < 3; i++) {
		snprintf(text[i], sizeof(text[i]), "%" PRId64, numbers[i]);
		params.values[1 + i] = text[i];
	}
	return session_send(session, SQL_RETRY_NEXT, &params, false);
}

void retry_answer(struct request *request, const PGresult *result)
{
	if (PQntuples(result) == 0) {
		request->fn.retry(request->arg, NULL, NULL);
		return;
	}
	const struct session_retry retry = {.place = pg_signed64(result, 0, 0),
		.position = pg_signed64(result, 0, 1),
		.aggregate_type = {PQgetvalue(result, 0, 2), (size_t)PQgetlength(result, 0, 2)},
		.aggregate_id = {PQgetvalue(result, 0, 3), (size_t)PQgetlength(result, 0, 3)}};
	request->fn.retry(request->arg, &retry, NULL);
}
