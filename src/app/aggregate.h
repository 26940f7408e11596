// aggregate.h: what the files of this module share about aggregates.
#ifndef APP_AGGREGATE_H
#define APP_AGGREGATE_H

#include "base/error.h"

// As meow_aggregate_save. MEOW_CONFLICT: *ret_refused says whether the server refused the statement itself, which aborts
// a transaction that is open, instead of the version check finding another version.
MEOW_MUST_USE bool aggregate_save(
	struct meow_aggregate *aggregate, struct meow_saved *ret, bool *ret_refused, struct meow_error *err);

// Of its last stored event, 0 if there is none.
int64_t aggregate_position(const struct meow_aggregate *aggregate);

#endif
