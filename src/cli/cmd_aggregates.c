// cmd_aggregates.c: `aggregates` and `delete`.
#include "cli/cli.h"

#include "base/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_AGGREGATES 1000

static void put_aggregate(struct buffer *out, const struct meow_aggregate_info *aggregate)
{
	buffer_put_text(out, "{\"aggregate_type\":");
	buffer_put_json(out, aggregate->type);
	buffer_put_text(out, ",\"aggregate_id\":");
	buffer_put_json(out, aggregate->id);
	buffer_printf(out, ",\"version\":%" PRId64 "}\n", aggregate->version);
}

// Page by page, each behind the last id of the one before.
static bool print_aggregates(struct meow_store *store, const char *type, int64_t limit, struct meow_error *err)
{
	struct buffer out;
	char *after = NULL;
	bool good = true, more = true;
	buffer_init(&out);
	while (good && more && limit > 0) {
		struct meow_aggregate_page page;
		size_t wanted = limit < PAGE_AGGREGATES ? (size_t)limit : PAGE_AGGREGATES;
		good = meow_list_aggregates(store, type, after, wanted, &page, err);
		if (!good)
			break;
		for (size_t i = 0; i < page.count; i++)
			put_aggregate(&out, &page.items[i]);
		more = page.count == wanted;
		limit -= (int64_t)page.count;
		free(after);
		after = page.count ? strdup(page.items[page.count - 1].id.data) : NULL;
		if (page.count && after == NULL)
			good = error_no_memory(err);
		meow_aggregate_page_free(&page);
		good = good && cli_write(&out, err);
	}
	free(after);
	buffer_finish(&out);
	return good;
}

int run_aggregates(const struct invocation *invocation)
{
	int64_t limit;
	if (!command_number(invocation, OPTION_LIMIT, "limit", 1, INT64_MAX, INT64_MAX, &limit))
		return EXIT_USAGE;
	int status;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	struct meow_error err;
	const char *type = invocation->word_count > 0 ? invocation->words[0] : NULL;
	status = print_aggregates(store, type, limit, &err) ? 0 : cli_fail(invocation, &err);
	meow_store_close(store);
	return status;
}

// --- delete ---

// Says what there is and what would go, and asks. *ret_status counts where it returns false.
static bool decide(const struct invocation *invocation, struct meow_store *store, int64_t from, int *ret_status)
{
	const char *type = invocation->words[0], *id = invocation->words[1];
	struct meow_error err;
	int64_t version;
	if (!meow_version(store, type, id, &version, &err)) {
		*ret_status = cli_fail(invocation, &err);
		return false;
	}
	*ret_status = 0;
	if (version < from) {
		cli_say(version < 0 ? "%s %s has no event: there is nothing to delete"
							: "%s %s ends at version %lld: there is nothing to delete",
			type, id, (long long)version);
		return false;
	}
	char plan[MEOW_ERROR_TEXT_SIZE];
	snprintf(plan, sizeof(plan), "Delete %s%lld event%s of %s %s, versions %lld to %lld, for good?",
		from == 0 ? "the aggregate and all its " : "", (long long)(version - from + 1), version == from ? "" : "s",
		type, id, (long long)from, (long long)version);
	if (invocation->options[OPTION_DRY_RUN] != NULL) {
		cli_say("%s (dry run: nothing was done)", plan);
		return false;
	}
	cli_say("what sinks have got of them stays there; their versions will be used again");
	return cli_confirmed(invocation, plan, ret_status);
}

int run_delete(const struct invocation *invocation)
{
	int64_t from;
	if (!command_number(invocation, OPTION_FROM, "from", 0, INT32_MAX, 0, &from))
		return EXIT_USAGE;
	int status;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	if (decide(invocation, store, from, &status)) {
		struct meow_error err;
		uint64_t count;
		if (!meow_delete(store, invocation->words[0], invocation->words[1], from, &count, &err)) {
			status = cli_fail(invocation, &err);
		} else {
			struct buffer out;
			buffer_init(&out);
			buffer_printf(&out, "{\"deleted\":%" PRIu64 "}\n", count);
			status = cli_finish_output(invocation, &out);
		}
	}
	meow_store_close(store);
	return status;
}
