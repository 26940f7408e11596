// cmd_load.c: `load`: a cursor, printed line by line in bounded memory.
#include "cli/cli.h"

#include "relay/envelope.h"

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
	struct meow_cursor *cursor = meow_load(store, &query, &err);
	if (cursor == NULL || !print_all(cursor, &err)) {
		status = cli_fail(invocation, &err);
	} else {
		status = 0;
		const char *held = store_cursor_held_back_by(cursor);
		if (held != NULL)
			cli_say("meowmx load: there may be more: this ends where an open transaction begins (%s)", held);
	}
	meow_cursor_close(cursor);
	meow_store_close(store);
	return status;
}
