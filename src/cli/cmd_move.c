// cmd_move.c: `subscription pause|resume|rewind|skip|delete`. Each says where the subscription stands and what it is about
// to do, asks, and does it; the store decides, in one statement, whether it may be done.
#include "cli/cli.h"

#include "base/text.h"
#include "cli/subscription.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

// What one command is about to do.
struct move {
	int64_t position; // of rewind and skip
	void (*plan)(const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE]);
	bool (*run)(
		const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err);
	const char *done;
};

static void say_where(const struct store_subscriptions *list)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct store_subscription *item = &list->items[i];
		char partition[40] = "";
		if (list->count > 1)
			snprintf(partition, sizeof(partition), ", partition %d,", item->checkpoint.partition);
		cli_say("%s%s is %s at position %lld, delivered %lld%s%s", item->checkpoint.subscription, partition,
			subscription_state(item), (long long)item->checkpoint.position, (long long)item->checkpoint.delivered,
			item->checkpoint.reason == NULL ? "" : ": ",
			item->checkpoint.reason == NULL ? "" : item->checkpoint.reason);
	}
}

// False if it is not to be done; then *ret_status is the exit status.
static bool decide(
	const struct invocation *invocation, const struct move *move, struct meow_store *store, int *ret_status)
{
	struct store_subscriptions list;
	char plan[MEOW_ERROR_TEXT_SIZE];
	if (!subscription_find(invocation, store, invocation->words[0], &list, ret_status))
		return false;
	say_where(&list);
	move->plan(move, &list, plan);
	store_subscriptions_free(&list);
	if (invocation->options[OPTION_DRY_RUN] != NULL) {
		cli_say("%s (dry run: nothing was done)", plan);
		*ret_status = 0;
		return false;
	}
	return cli_confirmed(invocation, plan, ret_status);
}

static int carry_out(const struct invocation *invocation, const struct move *move)
{
	int status;
	struct meow_error err;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	if (decide(invocation, move, store, &status)) {
		bool good = move->run(move, invocation, store, &err);
		status = good ? 0 : cli_fail(invocation, &err);
		if (good)
			cli_say("done%s", move->done);
	}
	meow_store_close(store);
	return status;
}

static const char seen_soon[] = "; a relay that runs sees it within a second or two";

static void plan_pause(const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE])
{
	(void)move;
	(void)list;
	snprintf(text, MEOW_ERROR_TEXT_SIZE, "Let it finish what is in flight and rest until it is resumed?");
}

static bool do_pause(
	const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err)
{
	(void)move;
	return store_subscription_pause(store, invocation->words[0], err);
}

int run_subscription_pause(const struct invocation *invocation)
{
	return carry_out(invocation, &(struct move){.plan = plan_pause, .run = do_pause, .done = seen_soon});
}

// A pause ends where there is one; the other partitions that have stopped go on.
static void plan_resume(
	const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE])
{
	size_t length = 0;
	(void)move;
	for (size_t i = 0; i < list->count && length < MEOW_ERROR_TEXT_SIZE; i++) {
		const struct checkpoint *checkpoint = &list->items[i].checkpoint;
		bool stopped = strcmp(subscription_state(&list->items[i]), "FAILED") == 0 || checkpoint->stop_kept;
		char whose[40] = "it";
		if (list->count > 1 && !checkpoint->paused && !stopped)
			continue;
		if (list->count > 1)
			snprintf(whose, sizeof(whose), "partition %d", checkpoint->partition);
		size_t room = MEOW_ERROR_TEXT_SIZE - length;
		const char *comma = length > 0 ? ", " : "";
		if (checkpoint->paused)
			length += (size_t)snprintf(text + length, room, "%send the pause of %s", comma, whose);
		else
			length += (size_t)snprintf(text + length, room, "%slet %s go on behind event %lld, as the store says",
				comma, whose, (long long)checkpoint->delivered);
	}
	if (length == 0)
		length = (size_t)snprintf(text, MEOW_ERROR_TEXT_SIZE, "let it go on");
	if (length < MEOW_ERROR_TEXT_SIZE - 1)
		memcpy(text + length, "?", 2);
	*text = (char)toupper((unsigned char)*text);
}

static bool do_resume(
	const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err)
{
	(void)move;
	return store_subscription_resume(store, invocation->words[0], err);
}

int run_subscription_resume(const struct invocation *invocation)
{
	return carry_out(invocation, &(struct move){.plan = plan_resume, .run = do_resume, .done = seen_soon});
}

static void plan_skip(const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE])
{
	(void)list;
	snprintf(text, MEOW_ERROR_TEXT_SIZE, "Step over the event at position %lld, which the sink will never get?",
		(long long)move->position);
}

static bool do_skip(
	const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err)
{
	return store_subscription_skip(store, invocation->words[0], move->position, err);
}

int run_subscription_skip(const struct invocation *invocation)
{
	struct move move = {.plan = plan_skip, .run = do_skip, .done = seen_soon};
	if (!text_to_int64(bytes_of(invocation->words[1]), &move.position) || move.position < 1)
		return command_misused(invocation, "POSITION must be that of the event, not \"%s\"", invocation->words[1]);
	return carry_out(invocation, &move);
}

static void plan_rewind(
	const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE])
{
	int64_t generation = 0;
	for (size_t i = 0; i < list->count; i++)
		if (list->items[i].checkpoint.generation > generation)
			generation = list->items[i].checkpoint.generation;
	snprintf(text, MEOW_ERROR_TEXT_SIZE,
		"Publish what comes after position %lld once more, as generation %lld? (A Redis stream needs {generation} in "
		"its name for that, or must be deleted first.)",
		(long long)move->position, (long long)generation + 1);
}

static bool do_rewind(
	const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err)
{
	return store_subscription_rewind(store, invocation->words[0], move->position, err);
}

int run_subscription_rewind(const struct invocation *invocation)
{
	struct move move = {.plan = plan_rewind, .run = do_rewind, .done = seen_soon};
	const char *word = invocation->words[1];
	if (strcmp(word, "start") != 0 && (!text_to_int64(bytes_of(word), &move.position) || move.position < 0))
		return command_misused(invocation,
			"POSITION must be that of the last event that is not published again, or start, not \"%s\"", word);
	return carry_out(invocation, &move);
}

static void plan_delete(
	const struct move *move, const struct store_subscriptions *list, char text[MEOW_ERROR_TEXT_SIZE])
{
	int64_t lowest = list->items[0].checkpoint.position, highest = lowest;
	char range[64] = "";
	(void)move;
	for (size_t i = 0; i < list->count; i++) {
		int64_t position = list->items[i].checkpoint.position;
		lowest = position < lowest ? position : lowest;
		highest = position > highest ? position : highest;
	}
	if (highest > lowest)
		snprintf(range, sizeof(range), " to %lld", (long long)highest);
	snprintf(text, MEOW_ERROR_TEXT_SIZE,
		"Forget it, and that it stands at position %lld%s? A route of that name then begins anew, behind what its sink "
		"remembers.",
		(long long)lowest, range);
}

static bool do_delete(
	const struct move *move, const struct invocation *invocation, struct meow_store *store, struct meow_error *err)
{
	(void)move;
	return store_subscription_delete(store, invocation->words[0], err);
}

int run_subscription_delete(const struct invocation *invocation)
{
	return carry_out(invocation, &(struct move){.plan = plan_delete, .run = do_delete, .done = ""});
}
