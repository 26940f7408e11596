// cmd_load.c: `load`: a cursor, printed line by line in bounded memory.
#include "cli/cli.h"

#include "relay/envelope.h"

#include <stdlib.h>
#include <string.h>

#define FLUSH_BYTES ((size_t)64 * 1024)

static bool print_all(struct meow_cursor *cursor, struct meow_error *err)
{
	struct buffer out;
	buffer_init(&out);
	struct meow_event event;
	bool found = true, good;
	while ((good = meow_cursor_next(cursor, &event, &found, err)) && found) {
		envelope_write(&out, &event, 0);
		buffer_put_char(&out, '\n');
		if (out.size >= FLUSH_BYTES && !(good = cli_write(&out, err)))
			break;
	}
	if (good)
		good = cli_write(&out, err);
	buffer_finish(&out);
	return good;
}

static bool read_query(const struct invocation *invocation, struct meow_query *query)
{
	*query = (struct meow_query){.reverse = invocation->options[OPTION_REVERSE] != NULL};
	if (invocation->word_count > 0)
		query->aggregate_type = invocation->words[0];
	if (invocation->word_count > 1)
		query->aggregate_id = invocation->words[1];
	return command_number(invocation, OPTION_FROM, "from", 0, INT64_MAX, INT64_MIN, &query->from) &&
		   command_number(invocation, OPTION_TO, "to", 0, INT64_MAX, INT64_MAX, &query->to) &&
		   command_number(invocation, OPTION_LIMIT, "limit", 1, INT64_MAX, 0, &query->limit);
}

// Splits a list at its commas, in place; the caller frees the array.
static const char **split(char *list, size_t *ret_count)
{
	size_t count = 1;
	for (const char *c = list; *c; c++)
		count += *c == ',';
	const char **items = calloc(count, sizeof(*items));
	for (size_t i = 0; items != NULL && i < count; i++)
		items[i] = strsep(&list, ",");
	*ret_count = count;
	return items;
}

static struct meow_cursor *start_load(
	const struct invocation *invocation, struct meow_store *store, struct meow_query *query, struct meow_error *err)
{
	const char *wanted = invocation->options[OPTION_EVENT_TYPE];
	char *list = wanted == NULL ? NULL : strdup(wanted);
	const char **types = list == NULL ? NULL : split(list, &query->event_type_count);
	struct meow_cursor *cursor = NULL;
	query->event_types = types;
	if (wanted != NULL && types == NULL)
		error_no_memory(err);
	else
		cursor = meow_load(store, query, err);
	free(types);
	free(list);
	return cursor;
}

int run_load(const struct invocation *invocation)
{
	struct meow_query query;
	if (!read_query(invocation, &query))
		return EXIT_USAGE;
	int status;
	struct meow_store *store = cli_open_store(invocation, &status);
	if (store == NULL)
		return status;
	struct meow_error err;
	struct meow_cursor *cursor = start_load(invocation, store, &query, &err);
	if (cursor == NULL || !print_all(cursor, &err)) {
		status = cli_fail(invocation, &err);
	} else {
		status = 0;
		const char *held = meow_cursor_held_back_by(cursor);
		if (held != NULL)
			cli_say("meowmx load: there may be more: this ends where an open transaction begins (%s)", held);
	}
	meow_cursor_close(cursor);
	meow_store_close(store);
	return status;
}
