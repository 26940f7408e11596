// cmd_subscription.c: `subscription list|show|adopt`.
#include "cli/cli.h"

#include "base/text.h"
#include "cli/subscription.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

// One that nobody works on shows its pause by the flag alone.
const char *subscription_state(const struct store_subscription *subscription)
{
	const struct checkpoint *checkpoint = &subscription->checkpoint;
	const char *state = checkpoint->state == NULL ? "UNASSIGNED" : checkpoint->state;
	return checkpoint->paused && strcmp(state, "UNASSIGNED") == 0 ? "PAUSED" : state;
}

static void put_text(struct buffer *out, const char *key, const char *text)
{
	if (text == NULL)
		return;
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, bytes_of(text));
}

static void put_number(struct buffer *out, const char *key, int64_t number)
{
	buffer_printf(out, ",\"%s\":%lld", key, (long long)number);
}

static void put_time(struct buffer *out, const char *key, int64_t time_us)
{
	if (time_us == MEOW_NO_TIME)
		return;
	char text[TEXT_TIME_SIZE];
	text_time(time_us, text);
	put_text(out, key, text);
}

void subscription_json(struct buffer *out, const struct store_subscription *subscription)
{
	const struct checkpoint *checkpoint = &subscription->checkpoint;
	buffer_put_text(out, "{\"subscription\":");
	buffer_put_json(out, bytes_of(checkpoint->subscription));
	put_number(out, "layout", checkpoint->layout);
	put_number(out, "partition", checkpoint->partition);
	put_text(out, "state", subscription_state(subscription));
	put_time(out, "since", subscription->since_us);
	put_number(out, "position", checkpoint->position);
	put_number(out, "delivered", checkpoint->delivered);
	put_number(out, "generation", checkpoint->generation);
	put_number(out, "epoch", checkpoint->epoch);
	put_text(out, "relay", subscription->relay);
	put_number(out, "dead_letters", subscription->dead_letters);
	put_number(out, "lag_events", subscription->lag_events);
	if (subscription->lag_us >= 0)
		buffer_printf(out, ",\"lag_seconds\":%.3f", (double)subscription->lag_us / 1e6);
	put_time(out, "progressed_at", subscription->progressed_at_us);
	put_text(out, "reason", checkpoint->reason);
	put_text(out, "error_class", checkpoint->error_class);
	if (checkpoint->error_position > 0)
		put_number(out, "error_position", checkpoint->error_position);
	buffer_printf(out, ",\"paused\":%s,\"stop_kept\":%s}", checkpoint->paused ? "true" : "false",
		checkpoint->stop_kept ? "true" : "false");
}

// How long ago, by this machine's clock: for people only.
static const char *ago(int64_t time_us, char text[CLI_DURATION_SIZE])
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	int64_t age = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 - time_us;
	if (time_us == MEOW_NO_TIME)
		return "never";
	return cli_duration(age < 0 ? 0 : age, text);
}

// With its partition where there are several.
static void put_name(struct buffer *out, const struct store_subscriptions *list, size_t index)
{
	const struct checkpoint *item = &list->items[index].checkpoint;
	char name[160];
	bool split = false;
	for (size_t i = 0; i < list->count; i++)
		split |= i != index && strcmp(list->items[i].checkpoint.subscription, item->subscription) == 0;
	if (split)
		snprintf(name, sizeof(name), "%s/%d", item->subscription, item->partition);
	buffer_printf(out, "%-24s", split ? name : item->subscription);
}

void subscription_table(struct buffer *out, const struct store_subscriptions *list)
{
	buffer_printf(out, "%-24s %-12s %12s %12s %12s %10s  %s\n", "SUBSCRIPTION", "STATE", "POSITION", "DELIVERED",
		"LAG EVENTS", "LAG", "PROGRESS AGO");
	for (size_t i = 0; i < list->count; i++) {
		const struct store_subscription *item = &list->items[i];
		char lag[CLI_DURATION_SIZE], progress[CLI_DURATION_SIZE];
		put_name(out, list, i);
		buffer_printf(out, " %-12s %12lld %12lld %12lld %10s  %s\n", subscription_state(item),
			(long long)item->checkpoint.position, (long long)item->checkpoint.delivered, (long long)item->lag_events,
			item->lag_us < 0 ? "?" : cli_duration(item->lag_us, lag), ago(item->progressed_at_us, progress));
		if (item->checkpoint.reason != NULL)
			buffer_printf(out, "    %s\n", item->checkpoint.reason);
		if (item->dead_letters > 0 && item->checkpoint.partition == 0)
			buffer_printf(out, "    %lld dead letters: see `meowmx dead list %s`\n", (long long)item->dead_letters,
				item->checkpoint.subscription);
	}
}

bool subscription_find(const struct invocation *invocation, struct meow_store *store, const char *name,
	struct store_subscriptions *list, int *ret_status)
{
	struct meow_error err;
	if (!store_subscriptions(store, name, list, &err)) {
		*ret_status = cli_fail(invocation, &err);
		return false;
	}
	if (name == NULL || list->count > 0)
		return true;
	store_subscriptions_free(list);
	error_set(&err, MEOW_MISSING, "there is no subscription \"%s\"; see `meowmx subscription list`", name);
	*ret_status = cli_fail(invocation, &err);
	return false;
}

static int print_list(const struct invocation *invocation, const char *name)
{
	int status;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	struct store_subscriptions list;
	if (subscription_find(invocation, store, name, &list, &status)) {
		struct buffer out;
		buffer_init(&out);
		for (size_t i = 0; invocation->options[OPTION_JSON] != NULL && i < list.count; i++) {
			subscription_json(&out, &list.items[i]);
			buffer_put_char(&out, '\n');
		}
		if (invocation->options[OPTION_JSON] == NULL && list.count > 0)
			subscription_table(&out, &list);
		if (invocation->options[OPTION_JSON] == NULL && list.count == 0)
			cli_say("no subscriptions yet: a route becomes one when its relay starts");
		store_subscriptions_free(&list);
		status = cli_finish_output(invocation, &out);
	}
	meow_store_close(store);
	return status;
}

int run_subscription_list(const struct invocation *invocation)
{
	return print_list(invocation, NULL);
}

int run_subscription_show(const struct invocation *invocation)
{
	return print_list(invocation, invocation->words[0]);
}

static void say_adoption(
	const struct store_adopt *wanted, const struct store_adoption *adoption, const char *begin, const char *end)
{
	bool one = adoption->again == 1;
	cli_say("%s%s begins behind position %lld: %lld event%s that Python has handled come%s again%s", begin, wanted->as,
		(long long)adoption->position, (long long)adoption->again, one ? "" : "s", one ? "s" : "", end);
}

// The plan comes from a dry run, so that nothing is locked while a person thinks it over.
static bool decide_adoption(
	const struct invocation *invocation, struct meow_store *store, struct store_adopt wanted, int *ret_status)
{
	struct store_adoption plan;
	struct meow_error err;
	wanted.dry_run = true;
	if (!store_subscription_adopt(store, &wanted, &plan, &err)) {
		*ret_status = cli_fail(invocation, &err);
		return false;
	}
	cli_say("%s of Python meowmx stands at event %lld of transaction %s", wanted.name, (long long)plan.event_id,
		plan.transaction_id);
	*ret_status = 0;
	bool dry_run = invocation->options[OPTION_DRY_RUN] != NULL;
	if (dry_run || invocation->options[OPTION_YES] == NULL)
		say_adoption(&wanted, &plan, "", dry_run ? " (dry run: nothing was done)" : "");
	return !dry_run && cli_confirmed(invocation, "Hand it over?", ret_status);
}

int run_subscription_adopt(const struct invocation *invocation)
{
	const char *name = invocation->words[0], *as = invocation->options[OPTION_AS];
	struct store_adopt wanted = {.name = name, .as = as != NULL ? as : name};
	int status;
	if (*wanted.as == '\0')
		return command_misused(invocation, "a subscription needs a name");
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	if (decide_adoption(invocation, store, wanted, &status)) {
		struct store_adoption done;
		struct meow_error err;
		bool good = store_subscription_adopt(store, &wanted, &done, &err);
		status = good ? 0 : cli_fail(invocation, &err);
		if (good)
			say_adoption(&wanted, &done, "done: ", "; leave Python's workers stopped");
	}
	meow_store_close(store);
	return status;
}
