// cmd_append.c: the three forms of `append`. Events of one aggregate, from the command line or from lines, go into one
// call of meow_append; bulk.c has the third form.
#include "cli/cli.h"

#include "base/text.h"
#include "cli/bulk.h"
#include "cli/lines.h"
#include "cli/pending.h"
#include "relay/json_text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool read_expected(const struct invocation *invocation, int64_t *ret_expected)
{
	const char *text = invocation->options[OPTION_EXPECT];
	*ret_expected = MEOW_EXPECT_ANY;
	if (text == NULL || strcmp(text, "any") == 0)
		return true;
	if (strcmp(text, "new") == 0) {
		*ret_expected = MEOW_EXPECT_NEW;
		return true;
	}
	if (text_to_int64(bytes_of(text), ret_expected) && *ret_expected >= 0)
		return true;
	command_misused(invocation, "--expect must be a version from 0 on, new or any, not \"%s\"", text);
	return false;
}

static int print_appended(
	const struct invocation *invocation, const struct meow_append *append, const struct meow_appended *appended)
{
	struct buffer out;
	buffer_init(&out);
	buffer_put_text(&out, "{\"aggregate_type\":");
	buffer_put_json(&out, bytes_of(append->aggregate_type));
	buffer_put_text(&out, ",\"aggregate_id\":");
	buffer_put_json(&out, bytes_of(append->aggregate_id));
	buffer_printf(
		&out, ",\"version\":%lld,\"position\":%lld}\n", (long long)appended->version, (long long)appended->position);
	return cli_finish_output(invocation, &out);
}

static int append(const struct invocation *invocation, struct meow_store *store, int64_t expected,
	const struct meow_new_event *events, size_t count)
{
	struct meow_append call = {.aggregate_type = invocation->words[0],
		.aggregate_id = invocation->words[1],
		.expected = expected,
		.events = events,
		.count = count};
	struct meow_appended appended;
	struct meow_error err;
	if (!meow_append(store, &call, &appended, NULL, &err))
		return cli_fail(invocation, &err);
	return print_appended(invocation, &call, &appended);
}

// Names must be text that the database can hold; this also keeps the output valid JSON.
static bool check_words(const struct invocation *invocation, struct meow_error *err)
{
	for (size_t i = 0; i < invocation->word_count; i++) {
		const char *word = invocation->words[i];
		if (i < 2 && *word == '\0')
			return error_set(err, MEOW_INVALID, "%s is empty", i == 0 ? "TYPE" : "ID");
		struct meow_error cause;
		if (!json_text_check(bytes_of(word), &cause))
			return error_set(err, MEOW_INVALID, "argument %zu, %s", i + 1, cause.text);
	}
	return true;
}

static bool check_json(const char *type, const char *json, struct meow_error *err)
{
	struct meow_error cause;
	yajl_handle handle = yajl_alloc(NULL, NULL, NULL);
	if (handle == NULL)
		return error_no_memory(err);
	bool good = json_text_parse(handle, bytes_of(json), &cause);
	yajl_free(handle);
	return good || error_set(err, cause.kind, "the JSON of %s, %s", type, cause.text);
}

static int append_words(const struct invocation *invocation, struct meow_store *store, int64_t expected)
{
	size_t count = (invocation->word_count - 2) / 2;
	struct meow_new_event *events = calloc(count, sizeof(*events));
	struct meow_error err;
	bool good = events != NULL || error_no_memory(&err);
	for (size_t i = 0; good && i < count; i++) {
		const char *type = invocation->words[2 + 2 * i], *json = invocation->words[3 + 2 * i];
		events[i] = (struct meow_new_event){.type = bytes_of(type), .data = bytes_of(json), .time_us = MEOW_NO_TIME};
		good = check_json(type, json, &err);
	}
	int status = good ? append(invocation, store, expected, events, count) : cli_fail(invocation, &err);
	free(events);
	return status;
}

static bool read_lines(struct pending *pending, struct meow_error *err)
{
	struct lines lines;
	lines_init(&lines, STDIN_FILENO);
	struct meow_bytes text;
	bool found, good;
	while ((good = lines_next(&lines, &text, &found, err)) && found && cli_signal() == 0)
		if (!(good = pending_add(pending, text, lines.number, false, err)))
			break;
	lines_finish(&lines);
	return good;
}

static int append_lines(const struct invocation *invocation, struct meow_store *store, int64_t expected)
{
	struct pending pending;
	struct meow_error err;
	int status;
	pending_init(&pending);
	cli_watch_signals();
	if (!read_lines(&pending, &err)) {
		status = cli_fail(invocation, &err);
	} else if (cli_signal() != 0) {
		cli_say("meowmx append: nothing was appended");
		status = 128 + cli_signal();
	} else if (pending.count == 0) {
		cli_say("meowmx append: no events came in; nothing was appended");
		status = 0;
	} else {
		const struct meow_new_event *events = pending_events(&pending);
		status = events == NULL ? (error_no_memory(&err), cli_fail(invocation, &err))
								: append(invocation, store, expected, events, pending.count);
	}
	pending_finish(&pending);
	return status;
}

int run_append(const struct invocation *invocation)
{
	size_t words = invocation->word_count;
	bool lines = words == 3 && strcmp(invocation->words[2], "-") == 0;
	if (words == 1 && strcmp(invocation->words[0], "-") == 0)
		return bulk_run(invocation);
	if (words < 3)
		return command_misused(invocation, "arguments are missing: %s", invocation->command->usages[0]);
	if (!lines && words % 2 != 0)
		return command_misused(invocation, "the event type \"%s\" has no JSON behind it", invocation->words[words - 1]);
	if (invocation->options[OPTION_BATCH] != NULL)
		return command_misused(
			invocation, "--batch belongs to `meowmx append -`; one aggregate's events are one transaction");
	int64_t expected;
	if (!read_expected(invocation, &expected))
		return EXIT_USAGE;
	struct meow_error err;
	if (!check_words(invocation, &err))
		return cli_fail(invocation, &err);
	int status;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	status = lines ? append_lines(invocation, store, expected) : append_words(invocation, store, expected);
	meow_store_close(store);
	return status;
}
