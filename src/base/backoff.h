// backoff.h: how long to wait before the next try: exponential with jitter ("equal jitter" of the AWS Architecture Blog,
// Exponential Backoff And Jitter): half of the delay is fixed, half is random, so that many relays do not come at once.
#ifndef BASE_BACKOFF_H
#define BASE_BACKOFF_H

#include <stdint.h>

struct backoff {
	int64_t least_ms, most_ms;
	unsigned failures;
};

void backoff_reset(struct backoff *backoff);

// The delay before the next try, in milliseconds; each call counts one failure. random: any 64 random bits.
int64_t backoff_next_ms(struct backoff *backoff, uint64_t random);

#endif
