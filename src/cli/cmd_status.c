// cmd_status.c: `status`.
#include "cli/cli.h"

#include "base/text.h"
#include "cli/subscription.h"

#include <stdlib.h>

#define LISTED (sizeof(((struct store_status *)NULL)->holders) / sizeof(struct session_holder))

static size_t listed(const struct store_status *status)
{
	return status->holder_count < LISTED ? status->holder_count : LISTED;
}

static void json_holder(struct buffer *out, const struct session_holder *holder)
{
	buffer_put_text(out, "{\"transaction\":");
	buffer_put_json(out, bytes_of(holder->id));
	buffer_put_text(out, ",\"name\":");
	buffer_put_json(out, bytes_of(holder->name));
	if (holder->pid > 0)
		buffer_printf(out, ",\"pid\":%d", holder->pid);
	buffer_printf(out, ",\"prepared\":%s", holder->prepared ? "true" : "false");
	if (holder->age_us >= 0)
		buffer_printf(out, ",\"age_seconds\":%.3f", (double)holder->age_us / 1e6);
	buffer_put_char(out, '}');
}

static void json_store(struct buffer *out, const struct store_status *status)
{
	const struct session_info *info = &status->info;
	buffer_put_text(out, "{\"kind\":");
	buffer_put_json(out, bytes_of(status->kind));
	buffer_put_text(out, ",\"store_id\":");
	buffer_put_json(out, bytes_of(info->store.store_id));
	buffer_printf(out, ",\"server_version\":%d,\"head\":%lld", info->server_version, (long long)status->head);
	if (status->settled >= 0)
		buffer_printf(out, ",\"settled\":%lld", (long long)status->settled);
	buffer_printf(out,
		",\"pooled\":%s,\"fsync_off\":%s,\"synchronous_commit_off\":%s,\"holder_count\":%zu,\"holders\":[",
		info->pooled ? "true" : "false", info->fsync_off ? "true" : "false",
		info->synchronous_commit_off ? "true" : "false", status->holder_count);
	for (size_t i = 0; i < listed(status); i++) {
		if (i > 0)
			buffer_put_char(out, ',');
		json_holder(out, &status->holders[i]);
	}
	buffer_put_text(out, "]}");
}

static void put_json(struct buffer *out, const struct store_status *status, const struct store_subscriptions *list)
{
	buffer_put_text(out, "{\"store\":");
	json_store(out, status);
	buffer_put_text(out, ",\"subscriptions\":[");
	for (size_t i = 0; i < list->count; i++) {
		if (i > 0)
			buffer_put_char(out, ',');
		subscription_json(out, &list->items[i]);
	}
	buffer_put_text(out, "]}\n");
}

static void put_holders(struct buffer *out, const struct store_status *status)
{
	if (status->holder_count == 0)
		return;
	buffer_printf(
		out, "held back by %zu open transaction%s:\n", status->holder_count, status->holder_count == 1 ? "" : "s");
	for (size_t i = 0; i < listed(status); i++) {
		const struct session_holder *holder = &status->holders[i];
		char age[CLI_DURATION_SIZE];
		buffer_printf(out, "  %s %s", holder->prepared ? "prepared transaction" : "transaction", holder->id);
		if (holder->pid > 0)
			buffer_printf(out, " of pid %d", holder->pid);
		if (holder->name[0] != '\0')
			buffer_printf(out, " (%s)", holder->name);
		if (holder->age_us >= 0)
			buffer_printf(out, ", open for %s", cli_duration(holder->age_us, age));
		buffer_put_char(out, '\n');
	}
}

static void put_people(struct buffer *out, const struct store_status *status, const struct store_subscriptions *list)
{
	const struct session_info *info = &status->info;
	buffer_printf(out, "store %s, %s %s\n", info->store.store_id, status->kind, status->version);
	buffer_printf(out, "head %lld, ", (long long)status->head);
	if (status->settled >= 0)
		buffer_printf(out, "settled up to %lld\n", (long long)status->settled);
	else
		buffer_put_text(out, "settled position unknown while the transactions below are open\n");
	put_holders(out, status);
	if (info->pooled)
		buffer_put_text(out, "a pooler stands in between: relay and tail poll\n");
	if (info->fsync_off)
		buffer_put_text(
			out, "warning: fsync is off: after a crash this store may forget events that were already published\n");
	if (info->synchronous_commit_off)
		buffer_put_text(out,
			"warning: synchronous_commit is off: after a crash this store may forget events that were already "
			"published\n");
	if (list->count == 0)
		buffer_put_text(out, "no subscriptions yet\n");
	else
		subscription_table(out, list);
}

static bool ask(
	struct meow_store *store, struct store_status *status, struct store_subscriptions *list, struct meow_error *err)
{
	return store_status(store, status, err) && store_subscriptions(store, NULL, list, err);
}

int run_status(const struct invocation *invocation)
{
	int exit_status;
	struct meow_store *store = cli_open_store(invocation, &exit_status);
	if (store == NULL)
		return exit_status;
	struct store_status status;
	struct store_subscriptions list;
	struct meow_error err;
	if (!ask(store, &status, &list, &err)) {
		exit_status = cli_fail(invocation, &err);
	} else {
		struct buffer out;
		buffer_init(&out);
		if (invocation->options[OPTION_JSON] != NULL)
			put_json(&out, &status, &list);
		else
			put_people(&out, &status, &list);
		store_subscriptions_free(&list);
		exit_status = cli_finish_output(invocation, &out);
	}
	meow_store_close(store);
	return exit_status;
}
