// cmd_repartition.c: `subscription repartition`: another number of partitions for a route, while no relay runs it.
//
// The old partitions must all stand at one position, the cut. So the command takes their leases, which raises their epochs,
// fences each at the sink, and reads how far it came. If they stand at different positions, the highest is the cut: it is
// written down, relays that run the old partitions stop there, and the command is run again. Once all stand at the cut the
// new partitions begin behind it. Without the fence a relay of the old layout that was frozen would publish again.
#include "cli/cli.h"

#include "base/text.h"
#include "relay/fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct plan {
	const struct invocation *invocation;
	const struct config_route *route;
	const struct connector_impl *connector;
	struct meow_store *store;
	char store_id[STORE_ID_SIZE];
	char relay[64];
	struct store_repartition what;
	size_t behind;  // partitions that are not at the cut
	int64_t lowest; // where the last of them stands
};

static const struct config_route *find_route(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config_route_count(config); i++)
		if (strcmp(config_route(config, i)->name, name) == 0)
			return config_route(config, i);
	return NULL;
}

static const struct connector_impl *find_connector(const char *name)
{
	size_t count;
	const struct connector_impl *const *list = cli_relay_connectors(&count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i]->name, name) == 0)
			return list[i];
	return NULL;
}

// What the sink has must fit what the store says: it may be ahead, by a checkpoint that was never written.
static bool take_memory(
	struct plan *plan, struct store_partition *item, const struct connector_memory *memory, struct meow_error *err)
{
	bool held = memory->kind == MEMORY_HELD && memory->generation >= item->generation;
	bool forgot = held ? memory->delivered < item->delivered : memory->kind != MEMORY_NONE && item->published;
	if (forgot && plan->connector->when_behind != SINK_GO_ON)
		return error_set(err, MEOW_CONFIG,
			"the sink remembers less of partition %d than the store: let a relay run %s as it is, see what it says, "
			"and "
			"come back",
			item->partition, plan->what.name);
	if (held && memory->delivered > item->position)
		item->position = item->delivered = memory->delivered;
	return true;
}

static bool fence_all(struct plan *plan, struct meow_error *err)
{
	for (size_t i = 0; i < plan->what.count; i++) {
		struct store_partition *item = &plan->what.items[i];
		const struct connector_context context = {.settings = plan->route->sink,
			.encoder = encoder_find(config_text(plan->route->settings, "format")),
			.store_id = plan->store_id,
			.route = plan->what.name,
			.layout = plan->what.layout,
			.partition = item->partition,
			.partitions = plan->what.partitions,
			.epoch = item->epoch,
			.generation = item->generation};
		struct connector_memory memory;
		if (!fence_partition(plan->connector, &context, item->delivered, &memory, err) ||
			!take_memory(plan, item, &memory, err))
			return false;
	}
	return true;
}

static void find_cut(struct plan *plan)
{
	struct store_repartition *what = &plan->what;
	what->cut = 0;
	plan->lowest = INT64_MAX;
	for (size_t i = 0; i < what->count; i++) {
		what->cut = what->items[i].position > what->cut ? what->items[i].position : what->cut;
		plan->lowest = what->items[i].position < plan->lowest ? what->items[i].position : plan->lowest;
	}
	plan->behind = (size_t)what->partitions - what->count;
	for (size_t i = 0; i < what->count; i++)
		plan->behind += what->items[i].position < what->cut;
	if (what->count < (size_t)what->partitions)
		plan->lowest = 0;
}

static int run_to_cut(struct plan *plan)
{
	struct meow_error err;
	const struct store_repartition *what = &plan->what;
	if (!store_repartition_cut(plan->store, what, &err))
		return cli_fail(plan->invocation, &err);
	cli_say("%zu of the %d partitions of %s are behind position %lld, the lowest at %lld", plan->behind,
		what->partitions, what->name, (long long)what->cut, (long long)plan->lowest);
	cli_say(
		"start a relay whose configuration has partitions: %d: it runs them up to %lld and no further. Stop it, and "
		"run this again",
		what->partitions, (long long)what->cut);
	return error_exit_status(MEOW_UNAVAILABLE);
}

// With the leases taken; whatever fails, they go back.
static int work(struct plan *plan)
{
	struct meow_error err, other;
	struct store_repartition *what = &plan->what;
	bool good = fence_all(plan, &err);
	if (good) {
		find_cut(plan);
		if (plan->behind > 0)
			return run_to_cut(plan);
		good = store_repartition_finish(plan->store, what, &err);
	}
	if (good) {
		cli_say("done: %s has %d partition%s, which begin behind position %lld", what->name, what->wanted,
			what->wanted == 1 ? "" : "s", (long long)what->cut);
		return 0;
	}
	what->cut = 0;
	if (!store_repartition_cut(plan->store, what, &other))
		cli_say("the leases could not be given back, and run out in a minute: %s", other.text);
	return cli_fail(plan->invocation, &err);
}

static int repartition(struct plan *plan)
{
	struct meow_error err;
	struct store_status status;
	char question[MEOW_ERROR_TEXT_SIZE];
	int exit_status = 0;
	snprintf(question, sizeof(question), "Give %s %d partition%s, once all that it has stand at one position?",
		plan->what.name, plan->what.wanted, plan->what.wanted == 1 ? "" : "s");
	if (plan->invocation->options[OPTION_DRY_RUN] != NULL) {
		cli_say("%s (dry run: nothing was done)", question);
		return 0;
	}
	if (!cli_confirmed(plan->invocation, question, &exit_status))
		return exit_status;
	if (!store_status(plan->store, &status, &err) || !store_repartition_begin(plan->store, &plan->what, &err))
		return cli_fail(plan->invocation, &err);
	memcpy(plan->store_id, status.info.store.store_id, sizeof(plan->store_id));
	exit_status = work(plan);
	free(plan->what.items);
	return exit_status;
}

static int with_config(struct plan *plan, const struct config *config)
{
	struct meow_error err;
	uint64_t token[1];
	int status;
	plan->route = find_route(config, plan->what.name);
	plan->connector = plan->route == NULL ? NULL : find_connector(plan->route->connector->name);
	if (plan->connector == NULL) {
		error_set(&err, MEOW_MISSING, "the configuration has no route \"%s\"; -c names another one", plan->what.name);
		return cli_fail(plan->invocation, &err);
	}
	if (config_number(plan->route->settings, "partitions") != plan->what.wanted) {
		error_set(&err, MEOW_CONFIG, "the configuration has %s in %lld partitions: set partitions: %d first",
			plan->what.name, (long long)config_number(plan->route->settings, "partitions"), plan->what.wanted);
		return cli_fail(plan->invocation, &err);
	}
	if (getentropy(token, sizeof(token)) != 0)
		token[0] = (uint64_t)getpid();
	snprintf(plan->relay, sizeof(plan->relay), "`meowmx subscription repartition`:%ld:%08llx", (long)getpid(),
		(unsigned long long)token[0]);
	plan->what.relay = plan->relay;
	plan->store = cli_open_store(plan->invocation, &status);
	if (plan->store == NULL)
		return status;
	status = repartition(plan);
	meow_store_close(plan->store);
	return status;
}

int run_subscription_repartition(const struct invocation *invocation)
{
	struct plan plan = {.invocation = invocation, .what.name = invocation->words[0]};
	int64_t wanted;
	int status;
	if (!text_to_int64(bytes_of(invocation->words[1]), &wanted) || wanted < 1 || wanted > 1000)
		return command_misused(
			invocation, "N must be a number of partitions, 1 to 1000, not \"%s\"", invocation->words[1]);
	plan.what.wanted = (int)wanted;
	struct config *config = cli_load_config(invocation, &status);
	if (config == NULL)
		return status;
	status = with_config(&plan, config);
	config_destroy(config);
	return status;
}
