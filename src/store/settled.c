// A look (candidate, holders) says: once all of these holders have ended, everything up to the candidate is settled.
// Looks overlap, and a holder keeps its lock without a break until it ends. So a holder that is there now was in
// every look since it was first seen, and in none before; and a look's holders have all ended exactly when every
// holder of the newest look was first seen after it. It is therefore enough to remember, for each holder of the newest
// look, the candidate of the look before the one in which it first appeared: the least of these is settled, and
// with no holder at all the newest candidate is.
#include "store/settled.h"

#include <stdlib.h>
#include <string.h>

struct seen {
	struct session_holder holder;
	int64_t settled_before; // the candidate of the look before this holder was first seen, 0 if there was none
	uint64_t first_look;
};

struct settled {
	struct seen *seen; // of the newest look, sorted by the holder's id
	size_t count;
	int64_t position;
	int64_t candidate; // of the newest look, 0 if none
	uint64_t looks;
};

struct settled *settled_create(void)
{
	return calloc(1, sizeof(struct settled));
}

void settled_destroy(struct settled *settled)
{
	if (!settled)
		return;
	free(settled->seen);
	free(settled);
}

static int compare_seen(const void *a, const void *b)
{
	return strcmp(((const struct seen *)a)->holder.id, ((const struct seen *)b)->holder.id);
}

static const struct seen *find(const struct settled *settled, const struct seen *wanted)
{
	return settled->count ? bsearch(wanted, settled->seen, settled->count, sizeof(*wanted), compare_seen) : NULL;
}

bool settled_look(struct settled *settled, const struct session_look *look)
{
	struct seen *seen = NULL;
	if (look->count && !(seen = calloc(look->count, sizeof(*seen))))
		return false;
	int64_t proven = look->candidate;
	for (size_t i = 0; i < look->count; i++) {
		seen[i].holder = look->holders[i];
		const struct seen *before = find(settled, &seen[i]);
		seen[i].settled_before = before ? before->settled_before : settled->candidate;
		seen[i].first_look = before ? before->first_look : settled->looks;
		if (seen[i].settled_before < proven)
			proven = seen[i].settled_before;
	}
	if (seen)
		qsort(seen, look->count, sizeof(*seen), compare_seen);
	free(settled->seen);
	settled->seen = seen;
	settled->count = look->count;
	settled->candidate = look->candidate;
	settled->looks++;
	settled_advance(settled, proven);
	return true;
}

void settled_advance(struct settled *settled, int64_t position)
{
	if (position > settled->position)
		settled->position = position;
}

int64_t settled_position(const struct settled *settled)
{
	return settled->position;
}

void settled_restart(struct settled *settled)
{
	free(settled->seen);
	settled->seen = NULL;
	settled->count = 0;
	settled->candidate = 0;
}

size_t settled_holder_count(const struct settled *settled)
{
	return settled->count;
}

const struct session_holder *settled_oldest_holder(const struct settled *settled)
{
	const struct seen *oldest = NULL;
	for (size_t i = 0; i < settled->count; i++) {
		const struct seen *seen = &settled->seen[i];
		if (!oldest || seen->first_look < oldest->first_look ||
			(seen->first_look == oldest->first_look && seen->holder.age_us > oldest->holder.age_us))
			oldest = seen;
	}
	return oldest ? &oldest->holder : NULL;
}
