// sink.c: see sink.h.
#include "verify/sink.h"

#include "verify/verify.h"

#include <stdlib.h>

bool place_allocate(struct place *place, size_t count, struct meow_error *err)
{
	place->sequences = calloc(count + 1, sizeof(*place->sequences));
	if (place->sequences == NULL)
		return error_no_memory(err);
	for (size_t i = 0; i < count; i++)
		place->sequences[i] = (struct sequence){.place = place, .partition = (int32_t)i, .first = INT64_MAX};
	place->count = count;
	return true;
}

bool sink_stopped(struct meow_error *err)
{
	return error_set_code(err, MEOW_UNAVAILABLE, VERIFY_STOPPED, "stopped by a signal");
}
