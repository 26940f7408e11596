// cmd_verify.c: `verify`: runs the comparison for the routes that are named, one after the other, and says what it
// found. A route that cannot be compared does not keep the others from it.
#include "cli/cli.h"

#include "base/text.h"
#include "cli/progress.h"
#include "verify/verify.h"

#include <stdlib.h>
#include <string.h>

#define EXIT_DIFFERENT 65

struct verifying {
	const struct invocation *invocation;
	const struct config *config;
	struct meow_store *store;
	int64_t from, to;
	struct progress progress;
	struct buffer out;
	bool different;
	int failed; // the exit status of the first route that could not be compared, 0 if none
};

static bool on_progress(void *arg, const struct verify_progress *progress)
{
	struct verifying *verifying = arg;
	verifying->progress.total = progress->total;
	progress_show(&verifying->progress, (uint64_t)progress->done, progress->events);
	return cli_signal() == 0;
}

static void on_notice(void *arg, const char *text)
{
	struct verifying *verifying = arg;
	progress_end(&verifying->progress);
	cli_say("%s", text);
}

// --- for machines

static void json_text(struct buffer *out, const char *key, const char *text)
{
	if (text == NULL)
		return;
	buffer_printf(out, ",\"%s\":", key);
	buffer_put_json(out, bytes_of(text));
}

static void json_sample(struct buffer *out, const struct verify_sample *sample)
{
	buffer_printf(out, "{\"position\":");
	if (sample->position > 0)
		buffer_put_int(out, sample->position);
	else
		buffer_put_text(out, "null");
	json_text(out, "aggregate_type", sample->aggregate_type);
	json_text(out, "aggregate_id", sample->aggregate_id);
	if (sample->version != MEOW_NO_VERSION)
		buffer_printf(out, ",\"version\":%lld", (long long)sample->version);
	json_text(out, "where", sample->where);
	json_text(out, "what", sample->what);
	buffer_put_char(out, '}');
}

static void json_number(struct buffer *out, const char *key, uint64_t number)
{
	buffer_printf(out, ",\"%s\":%llu", key, (unsigned long long)number);
}

static void put_json(struct buffer *out, const struct config_route *route, const struct verify_result *result)
{
	buffer_put_text(out, "{\"route\":");
	buffer_put_json(out, bytes_of(route->name));
	json_text(out, "sink", route->connector->name);
	json_text(out, "delivery", result->delivery);
	buffer_printf(out, ",\"holds\":%s,\"from\":%lld,\"to\":%lld,\"checkpoint\":%lld", result->holds ? "true" : "false",
		(long long)result->from, (long long)result->to, (long long)result->checkpoint);
	json_number(out, "events", result->events);
	json_number(out, "records", result->records);
	json_number(out, "expired", result->expired);
	json_number(out, "unwanted", result->unwanted);
	json_number(out, "replayed", result->replayed);
	json_number(out, "retried", result->retried);
	json_number(out, "set_aside", result->set_aside);
	for (int fault = 0; fault < VERIFY_FAULTS; fault++) {
		const struct verify_finding *finding = &result->findings[fault];
		buffer_printf(out, ",\"%s\":{\"count\":%llu,\"breaks\":%s,\"first\":[",
			verify_fault_name((enum verify_fault)fault), (unsigned long long)finding->count,
			finding->breaks ? "true" : "false");
		for (size_t i = 0; i < finding->shown; i++) {
			if (i > 0)
				buffer_put_char(out, ',');
			json_sample(out, &finding->first[i]);
		}
		buffer_put_text(out, "]}");
	}
	buffer_put_text(out, "}\n");
}

// --- for people

static const char *explain(enum verify_fault fault, const struct verify_result *result)
{
	switch (fault) {
	case VERIFY_LOST:
		return "lost: in the store, delivered by the checkpoint's word, and not in the sink";
	case VERIFY_TWICE:
		return result->findings[VERIFY_TWICE].breaks ? "there twice"
													 : "there twice, as at-least-once allows: a consumer drops what is "
													   "not above the position it has seen";
	case VERIFY_OUT_OF_ORDER:
		return "out of order: behind a later event of their aggregate";
	case VERIFY_LATE:
		return "behind an event of a higher position, in order within their aggregates";
	case VERIFY_CHANGED:
		return "changed: not the store's bytes";
	case VERIFY_MISPLACED:
		return "in another topic, partition or stream than they belong to";
	case VERIFY_FOREIGN:
		return "foreign: not this store's, or not readable";
	case VERIFY_NOT_IN_STORE:
		return "not in the store: deleted since, or never there";
	case VERIFY_FAULTS:
		break;
	}
	return "";
}

static void put_sample(struct buffer *out, const struct verify_sample *sample)
{
	buffer_put_text(out, "    ");
	if (sample->position > 0)
		buffer_printf(out, "%lld", (long long)sample->position);
	else
		buffer_put_text(out, "no position");
	if (sample->aggregate_id != NULL)
		buffer_printf(
			out, " %s %s", sample->aggregate_type == NULL ? "(no type)" : sample->aggregate_type, sample->aggregate_id);
	if (sample->version != MEOW_NO_VERSION)
		buffer_printf(out, " version %lld", (long long)sample->version);
	if (sample->where != NULL)
		buffer_printf(out, ", %s", sample->where);
	if (sample->what != NULL)
		buffer_printf(out, ": %s", sample->what);
	buffer_put_char(out, '\n');
}

static void put_counts(struct buffer *out, const struct verify_result *result)
{
	buffer_printf(
		out, "  %llu events, %llu records", (unsigned long long)result->events, (unsigned long long)result->records);
	if (result->expired > 0)
		buffer_printf(out, ", %llu expired (below the first one still there)", (unsigned long long)result->expired);
	if (result->unwanted > 0)
		buffer_printf(out, ", %llu of other categories", (unsigned long long)result->unwanted);
	if (result->replayed > 0)
		buffer_printf(out, ", %llu published again by a rewind", (unsigned long long)result->replayed);
	if (result->retried > 0)
		buffer_printf(out, ", %llu late by a retry", (unsigned long long)result->retried);
	buffer_put_char(out, '\n');
}

static void put_people(struct buffer *out, const struct config_route *route, const struct verify_result *result)
{
	buffer_printf(out, "%s (%s, %s): ", route->name, route->connector->name, result->delivery);
	if (result->to < result->from)
		buffer_printf(out, "nothing to compare: the checkpoint is %lld\n", (long long)result->checkpoint);
	else
		buffer_printf(out, "positions %lld to %lld\n", (long long)result->from, (long long)result->to);
	put_counts(out, result);
	if (result->set_aside > 0)
		buffer_printf(out,
			"  %llu set aside: not in the sink, but among the dead letters (`meowmx dead list %s`), or discarded\n",
			(unsigned long long)result->set_aside, route->name);
	for (int fault = 0; fault < VERIFY_FAULTS; fault++) {
		const struct verify_finding *finding = &result->findings[fault];
		if (finding->count == 0)
			continue;
		buffer_printf(out, "  %llu %s%s\n", (unsigned long long)finding->count,
			explain((enum verify_fault)fault, result), finding->count > finding->shown ? "; the first ten:" : ":");
		for (size_t i = 0; i < finding->shown; i++)
			put_sample(out, &finding->first[i]);
	}
	buffer_put_text(out, result->holds ? "  the promise holds\n" : "  THE PROMISE DOES NOT HOLD\n");
}

// --- the routes

// False when there is no use in going on: a signal, or nobody reads.
static bool verify_one(struct verifying *verifying, const struct config_route *route)
{
	struct verify_request request = {.store = verifying->store,
		.route = route,
		.from = verifying->from,
		.to = verifying->to,
		.progress = on_progress,
		.notice = on_notice,
		.arg = verifying};
	struct verify_result result;
	struct meow_error err;
	progress_init(&verifying->progress, "events", -1);
	bool ok = verify_route(&request, &result, &err);
	progress_end(&verifying->progress);
	if (!ok && strcmp(err.code, VERIFY_STOPPED) == 0) {
		verifying->failed = 128 + cli_signal();
		return false;
	}
	if (!ok) {
		cli_say("meowmx verify: %s: %s", route->name, err.text);
		verifying->failed = verifying->failed != 0 ? verifying->failed : error_exit_status(err.kind);
		return true;
	}
	if (verifying->invocation->options[OPTION_JSON] != NULL)
		put_json(&verifying->out, route, &result);
	else
		put_people(&verifying->out, route, &result);
	verifying->different = verifying->different || !result.holds;
	verify_result_finish(&result);
	if (cli_write(&verifying->out, &err))
		return true;
	verifying->failed = cli_fail(verifying->invocation, &err);
	return false;
}

static const struct config_route *find_route(const struct config *config, const char *name)
{
	for (size_t i = 0; i < config_route_count(config); i++)
		if (strcmp(config_route(config, i)->name, name) == 0)
			return config_route(config, i);
	return NULL;
}

static void verify_all(struct verifying *verifying)
{
	const struct invocation *invocation = verifying->invocation;
	bool going = true;
	for (size_t i = 0; going && i < invocation->word_count; i++)
		going = verify_one(verifying, find_route(verifying->config, invocation->words[i]));
	for (size_t i = 0; going && invocation->word_count == 0 && i < config_route_count(verifying->config); i++)
		going = verify_one(verifying, config_route(verifying->config, i));
}

static int run(struct verifying *verifying)
{
	struct meow_error err;
	char *url = cli_config_store_url(verifying->config, &err);
	verifying->store = url == NULL ? NULL : meow_store_open(url, &err);
	free(url);
	if (verifying->store == NULL)
		return cli_fail(verifying->invocation, &err);
	buffer_init(&verifying->out);
	cli_watch_signals();
	verify_all(verifying);
	buffer_finish(&verifying->out);
	meow_store_close(verifying->store);
	bool stopped = verifying->failed > 128;
	return verifying->different && !stopped ? EXIT_DIFFERENT : verifying->failed;
}

static bool check_names(const struct invocation *invocation, const struct config *config)
{
	for (size_t i = 0; i < invocation->word_count; i++)
		if (find_route(config, invocation->words[i]) == NULL) {
			cli_say("meowmx verify: there is no route \"%s\" in %s", invocation->words[i],
				config_file(config) == NULL ? "the configuration" : config_file(config));
			return false;
		}
	return true;
}

int run_verify(const struct invocation *invocation)
{
	struct verifying verifying = {.invocation = invocation};
	int status;
	if (!command_number(invocation, OPTION_FROM, "from", 0, INT64_MAX, INT64_MIN, &verifying.from) ||
		!command_number(invocation, OPTION_TO, "to", 0, INT64_MAX, INT64_MAX, &verifying.to))
		return EXIT_USAGE;
	struct config *config = cli_load_config(invocation, &status);
	if (config == NULL)
		return status;
	verifying.config = config;
	status = check_names(invocation, config) ? run(&verifying) : error_exit_status(MEOW_CONFIG);
	config_destroy(config);
	return status;
}
