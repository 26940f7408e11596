// Dead letters over a session: in one transaction the owner is looked at and they are inserted.
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

bool lite_aside_perform(struct lite *lite, const struct session_letters *letters, struct meow_error *err)
{
	struct lite_transaction transaction;
	return lite_begin(lite, &transaction, err) &&
		   lite_finish(lite, &transaction, is_owner(lite, letters, err) && insert(lite, letters, err), err);
}
