// bulk.c: reads lines, and commits them in transactions of --batch lines (or fewer, so that large events do not pile up in
// memory). What stops it, a bad line, a signal or the store, loses the transaction that was being filled and nothing else;
// the last line committed is named.
#include "cli/bulk.h"

#include "cli/lines.h"
#include "cli/pending.h"
#include "cli/progress.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BATCH_LINES 1000
#define MOST_BATCH_LINES 1000000
#define BATCH_BYTES ((size_t)16 << 20)

struct bulk {
	struct meow_store *store;
	struct lines lines;
	struct pending pending;
	struct progress progress;
	size_t batch_lines;
	uint64_t committed; // the last line that is
	uint64_t uncertain; // the last line of a transaction whose outcome is unknown, 0 for none
	uint64_t appended, skipped, count;
	bool unversioned; // among what is committed
};

static int64_t input_bytes(void)
{
	struct stat info;
	return fstat(STDIN_FILENO, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

static bool commit(struct bulk *bulk, struct meow_error *err)
{
	if (bulk->pending.count == 0)
		return true;
	const struct store_bulk_line *lines = pending_lines(&bulk->pending);
	if (lines == NULL)
		return error_no_memory(err);
	struct store_bulk_result result;
	uint64_t line = 0;
	struct meow_error cause;
	if (!store_bulk(bulk->store, lines, bulk->pending.count, &result, &line, &cause)) {
		if (cause.kind == MEOW_UNKNOWN_OUTCOME)
			bulk->uncertain = lines[bulk->pending.count - 1].line;
		if (line == 0)
			return error_set_code(err, cause.kind, cause.code, "%s", cause.text);
		return error_set_code(err, cause.kind, cause.code, "line %llu: %s", (unsigned long long)line, cause.text);
	}
	bulk->committed = lines[bulk->pending.count - 1].line;
	bulk->appended += result.appended;
	bulk->skipped += result.skipped;
	bulk->count += bulk->pending.count;
	bulk->unversioned = bulk->pending.unversioned;
	pending_clear(&bulk->pending);
	progress_show(&bulk->progress, bulk->lines.bytes, bulk->count);
	return true;
}

static bool read_and_commit(struct bulk *bulk, struct meow_error *err)
{
	struct meow_bytes text;
	bool found;
	for (;;) {
		if (!lines_next(&bulk->lines, &text, &found, err))
			return false;
		if (cli_signal() != 0)
			return true;
		if (!found)
			return commit(bulk, err);
		if (!pending_add(&bulk->pending, text, bulk->lines.number, true, err))
			return false;
		if ((bulk->pending.count >= bulk->batch_lines || pending_bytes(&bulk->pending) >= BATCH_BYTES) &&
			!commit(bulk, err))
			return false;
	}
}

// What a person needs to know to go on.
static void say_where_it_stopped(const struct bulk *bulk)
{
	if (bulk->uncertain > 0)
		cli_say("meowmx append: lines %llu to %llu may be committed or not", (unsigned long long)bulk->committed + 1,
			(unsigned long long)bulk->uncertain);
	if (bulk->committed == 0)
		cli_say("meowmx append: %s", bulk->uncertain > 0 ? "no other line is committed" : "nothing was committed");
	else if (bulk->unversioned)
		cli_say(
			"meowmx append: committed up to line %llu; go on with line %llu (some lines have no version, so what is "
			"there already would not be skipped)",
			(unsigned long long)bulk->committed, (unsigned long long)bulk->committed + 1);
	else
		cli_say(
			"meowmx append: committed up to line %llu; start again with the same input to go on: events that are there "
			"already are skipped",
			(unsigned long long)bulk->committed);
}

static int print_result(const struct invocation *invocation, const struct bulk *bulk)
{
	struct buffer out;
	buffer_init(&out);
	buffer_printf(&out, "{\"lines\":%llu,\"appended\":%llu,\"skipped\":%llu}\n", (unsigned long long)bulk->count,
		(unsigned long long)bulk->appended, (unsigned long long)bulk->skipped);
	return cli_finish_output(invocation, &out);
}

static int run(const struct invocation *invocation, struct bulk *bulk)
{
	struct meow_error err;
	bool good = read_and_commit(bulk, &err);
	progress_end(&bulk->progress);
	if (good && cli_signal() == 0)
		return print_result(invocation, bulk);
	int status = good ? 128 + cli_signal() : cli_fail(invocation, &err);
	say_where_it_stopped(bulk);
	return status;
}

int bulk_run(const struct invocation *invocation)
{
	int64_t batch_lines;
	if (!command_number(invocation, OPTION_BATCH, "batch", 1, MOST_BATCH_LINES, BATCH_LINES, &batch_lines))
		return EXIT_USAGE;
	if (invocation->options[OPTION_EXPECT] != NULL)
		return command_misused(invocation, "--expect belongs to one aggregate; lines of a bulk load carry \"expect\"");
	struct bulk bulk = {.batch_lines = (size_t)batch_lines};
	int status;
	bulk.store = cli_open_store(invocation, &status);
	if (bulk.store == NULL)
		return status;
	cli_watch_signals();
	lines_init(&bulk.lines, STDIN_FILENO);
	pending_init(&bulk.pending);
	progress_init(&bulk.progress, "lines", input_bytes());
	status = run(invocation, &bulk);
	lines_finish(&bulk.lines);
	pending_finish(&bulk.pending);
	meow_store_close(bulk.store);
	return status;
}
