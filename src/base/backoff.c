#include "base/backoff.h"

void backoff_reset(struct backoff *backoff)
{
	backoff->failures = 0;
}

int64_t backoff_next_ms(struct backoff *backoff, uint64_t random)
{
	int64_t delay = backoff->least_ms;
	for (unsigned i = 0; i < backoff->failures && delay < backoff->most_ms; i++)
		delay *= 2;
	if (delay > backoff->most_ms)
		delay = backoff->most_ms;
	backoff->failures++;
	int64_t half = delay / 2;
	return delay - half + (half ? (int64_t)(random % (uint64_t)(half + 1)) : 0);
}
