// lease.h: the arithmetic of leases, for the relay that owns a partition and for those that wait for it. Pure: every time
// is handed in, and is monotonic.
//
// A lease expires by the store's clock. Its owner does not know that clock and counts from the moment at which it asked,
// which lies before the one at which the store answered: so it stops before the lease runs out. Whoever waits does not
// trust the store's clock alone: it may have been set back.
#ifndef RELAY_LEASE_H
#define RELAY_LEASE_H

#include "base/error.h"

// The owner's.
struct lease {
	int64_t length_us;
	int64_t epoch;    // 0: it has none
	int64_t asked_us; // when the newest acquisition or renewal that was answered had been asked for
};
void lease_take(struct lease *lease, int64_t epoch, int64_t asked_us);
void lease_renew(struct lease *lease, int64_t asked_us);
void lease_drop(struct lease *lease);
bool lease_is_held(const struct lease *lease, int64_t now_us); // it may still publish and write
int64_t lease_end_us(const struct lease *lease);               // from here on it is not held any more
int64_t lease_pause_us(const struct lease *lease);             // from one renewal to the next

// What one who waits has seen of another's.
struct lease_view {
	int64_t epoch;
	int64_t until_us; // by the store's clock: tells one renewal from the next, and is compared for equality alone
	int64_t since_us; // when this epoch and end were first seen
};
void lease_see(struct lease_view *view, int64_t epoch, int64_t until_us, int64_t now_us);
bool lease_is_stale(const struct lease_view *view, int64_t length_us, int64_t now_us); // nobody renews it any more

// Fair shares, until no relay owns two partitions more than another. `mine`: how many of the route's partitions this relay
// owns; `least`: the fewest that another relay which lives owns; `above`: how many of mine have a higher number.
bool lease_may_take(int mine, int least);
bool lease_gives_up(int mine, int least, int above);

#endif
