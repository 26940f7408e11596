// Dead letters over a session: in one transaction the owner is looked at and they are inserted, or their retries end.
#include "base/text.h"
#include "store/sqlite/session_lite.h"

#include <string.h>

static bool is_owner(struct lite *lite, const struct session_letters *letters, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_SET_ASIDE_OWNER);
	lite_put_text(&call, bytes_of(letters->subscription));
	lite_put_int(&call, letters->layout);
	lite_put_int(&call, letters->partition);
	lite_put_int(&call, letters->epoch);
	lite_put_int(&call, letters->generation);
	enum lite_step step = lite_step(&call, err);
	lite_end(&call);
	if (step == LITE_DONE)
		error_set(err, MEOW_CONFLICT, "the checkpoint of %s is another's now, or was moved: nothing was set aside",
			letters->subscription);
	return step == LITE_ROW;
}

static bool insert(struct lite *lite, const struct session_letters *letters, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_SET_ASIDE);
	lite_put_text(&call, bytes_of(letters->subscription));
	lite_put_int(&call, letters->generation);
	lite_put_text(&call, bytes_of(letters->json));
	lite_put_int(&call, lite_now_us());
	return lite_run(&call, NULL, err);
}

static bool end_retries(struct lite *lite, const struct session_letters *letters, struct meow_error *err)
{
	struct lite_call call = lite_call(lite, LITE_RETRY_END);
	lite_put_text(&call, bytes_of(letters->subscription));
	lite_put_text(&call, bytes_of(letters->json));
	lite_put_int(&call, lite_now_us());
	return lite_run(&call, NULL, err);
}

bool lite_aside_perform(struct lite *lite, const struct request *request, struct meow_error *err)
{
	struct lite_transaction transaction;
	const struct session_letters *letters = &request->letters;
	if (!lite_begin(lite, &transaction, err))
		return false;
	bool ok = is_owner(lite, letters, err) &&
			  (request->kind == REQUEST_SET_ASIDE ? insert(lite, letters, err) : end_retries(lite, letters, err));
	return lite_finish(lite, &transaction, ok, err);
}

bool lite_retry_perform(struct lite_session *session, const struct request *request, struct meow_error *err)
{
	const struct session_retry_query *query = &request->retries;
	struct lite_call call = lite_call(&session->lite, LITE_RETRY_NEXT);
	lite_put_text(&call, bytes_of(query->subscription));
	lite_put_int(&call, query->after);
	lite_put_int(&call, query->to);
	lite_put_int(&call, query->delivered);
	session->retry = (struct session_retry){.place = 0};
	enum lite_step step = lite_step(&call, err);
	bool ok = step != LITE_FAILED;
	if (step == LITE_ROW) {
		struct meow_bytes type = lite_text(&call, 2), id = lite_text(&call, 3);
		buffer_clear(&session->texts, SIZE_MAX);
		ok = buffer_room(&session->texts, type.size + id.size + 2) != NULL || error_no_memory(err);
		if (ok)
			session->retry = (struct session_retry){.place = lite_int(&call, 0),
				.position = lite_int(&call, 1),
				.aggregate_type = bytes_of(lite_keep(session, type)),
				.aggregate_id = bytes_of(lite_keep(session, id))};
	}
	lite_end(&call);
	return ok;
}
