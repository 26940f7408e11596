// What the sink will not take: events at these positions, until a person has corrected it.
#include "sim_sink.h"

#include <string.h>

static struct {
	int64_t positions[SIM_POISONS];
	bool corrected;
} poison;

void sim_poison_set(const int64_t positions[SIM_POISONS])
{
	memset(&poison, 0, sizeof(poison));
	if (positions)
		memcpy(poison.positions, positions, sizeof(poison.positions));
}

void sim_poison_correct(void)
{
	poison.corrected = true;
}

bool sim_was_poison(int64_t position)
{
	for (size_t i = 0; i < SIM_POISONS; i++)
		if (poison.positions[i] && poison.positions[i] == position)
			return true;
	return false;
}

bool sim_is_poison(int64_t position)
{
	return !poison.corrected && sim_was_poison(position);
}
