// The steps at which a process may die, and how often that was tried.
#include "sim.h"

#include <stdio.h>

#define STEP_TEXT(name, text) text,
static const char *const texts[] = {SIM_STEPS(STEP_TEXT)};

static unsigned long long passed[SIM_STEP_COUNT], died[SIM_STEP_COUNT];
static bool left_out[SIM_STEP_COUNT];
static bool tells;

// The next death of the run: at this step, when it comes for so many times.
static struct {
	unsigned deaths;
	enum sim_step first, last, target;
	bool letters;
	int64_t times;
} plan;

void sim_tell_steps(bool tell)
{
	tells = tell;
}

static enum sim_step choose_of_letters(void)
{
	static const enum sim_step steps[] = {STORE_ASKS_ASIDE, STORE_ASKS_RETRY, STORE_ASKS_RETRY_END, STORE_DID_ASIDE,
		STORE_DID_RETRY, STORE_DID_RETRY_END};
	return steps[sim_between(0, (int64_t)(sizeof(steps) / sizeof(*steps)) - 1)];
}

static void choose(void)
{
	int64_t sink_steps = (int64_t)plan.last - (int64_t)plan.first + 1;
	int64_t store_steps = STORE_DID_RETRY_END + 1;
	// The few of the sink as often as the many of the store.
	plan.target = sim_chance(50) ? (enum sim_step)(plan.first + (unsigned)sim_between(0, sink_steps - 1))
								 : (enum sim_step)sim_between(0, store_steps - 1);
	if (plan.letters && sim_chance(40))
		plan.target = choose_of_letters();
	plan.times = sim_chance(70) ? sim_between(1, 4) : sim_between(1, 60);
}

void sim_steps_arm(unsigned deaths, enum sim_step first, enum sim_step last, bool letters)
{
	plan.deaths = deaths;
	plan.first = first;
	plan.last = last;
	plan.letters = letters;
	if (deaths)
		choose();
}

void sim_steps_disarm(void)
{
	plan.deaths = 0;
}

bool sim_step(struct loop *process, enum sim_step step)
{
	if (sim_loop_is_dead(process))
		return false;
	passed[step]++;
	sim_trace((uint64_t)step);
	bool dies = plan.deaths && step == plan.target && --plan.times == 0;
	if (tells)
		printf("%10lld %s%s\n", (long long)sim_now(process), texts[step], dies ? ", and dies" : "");
	if (!dies)
		return true;
	died[step]++;
	if (--plan.deaths)
		choose();
	sim_loop_kill(process);
	return false;
}

void sim_steps_leave_out(enum sim_step first, enum sim_step last)
{
	for (unsigned step = first; step <= (unsigned)last; step++)
		left_out[step] = true;
}

bool sim_steps_say(bool all)
{
	bool complete = true;
	for (int step = 0; step < SIM_STEP_COUNT; step++) {
		bool missing = !left_out[step] && (!passed[step] || !died[step]);
		if (all || missing)
			printf("%12llu passed %8llu died  %s%s\n", passed[step], died[step], texts[step],
				left_out[step] ? " (left out of this build)" : "");
		complete &= !missing;
	}
	return complete;
}
