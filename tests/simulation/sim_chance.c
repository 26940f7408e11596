// Chance by one seed, the hash of what happened, and the end of a run that broke a promise.
#include "sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t seed_now, state, hash;

void sim_seed(uint64_t seed)
{
	seed_now = seed;
	state = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
	hash = UINT64_C(0xcbf29ce484222325);
}

// splitmix64 (Steele, Lea, Flood 2014)
uint64_t sim_random(void)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

int64_t sim_between(int64_t least, int64_t most)
{
	return least + (int64_t)(sim_random() % (uint64_t)(most - least + 1));
}

bool sim_chance(unsigned percent)
{
	return sim_random() % 100 < percent;
}

// FNV-1a, over whole numbers.
void sim_trace(uint64_t what)
{
	hash = (hash ^ what) * UINT64_C(0x100000001b3);
}

uint64_t sim_trace_hash(void)
{
	return hash;
}

void sim_violation(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fflush(stdout);
	fprintf(stderr, "seed %llu: ", (unsigned long long)seed_now);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\nrepeat it with: simulate --seed %llu\n", (unsigned long long)seed_now);
	va_end(args);
	exit(1);
}
