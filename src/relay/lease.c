#include "relay/lease.h"

#define RENEWALS 3 // in the length of a lease
#define MARGIN 10  // the owner leaves out the last one part in so many

void lease_take(struct lease *lease, int64_t epoch, int64_t asked_us)
{
	lease->epoch = epoch;
	lease->asked_us = asked_us;
}

void lease_renew(struct lease *lease, int64_t asked_us)
{
	if (asked_us > lease->asked_us)
		lease->asked_us = asked_us;
}

void lease_drop(struct lease *lease)
{
	lease->epoch = 0;
}

int64_t lease_end_us(const struct lease *lease)
{
	return lease->asked_us + lease->length_us - lease->length_us / MARGIN;
}

bool lease_is_held(const struct lease *lease, int64_t now_us)
{
	return lease->epoch != 0 && now_us < lease_end_us(lease);
}

int64_t lease_pause_us(const struct lease *lease)
{
	return lease->length_us / RENEWALS;
}

void lease_see(struct lease_view *view, int64_t epoch, int64_t until_us, int64_t now_us)
{
	if (view->epoch != epoch || view->until_us != until_us)
		*view = (struct lease_view){epoch, until_us, now_us};
}

bool lease_is_stale(const struct lease_view *view, int64_t length_us, int64_t now_us)
{
	return view->epoch != 0 && now_us - view->since_us >= length_us;
}

bool lease_may_take(int mine, int least)
{
	return mine <= least;
}

// Half of the difference, those with the highest numbers: each of a relay's executors comes to the same result by itself.
bool lease_gives_up(int mine, int least, int above)
{
	return above < (mine - least) / 2;
}
