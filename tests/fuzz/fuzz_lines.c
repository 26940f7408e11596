// JSON lines, as `append -` takes them: no line is lost or made up, and one that is taken, written as `load` would print it,
// is read back as the same.
#include "fuzz.h"

#include "base/text.h"
#include "cli/cli.h"
#include "cli/lines.h"
#include "cli/pending.h"
#include "relay/envelope.h"

#include <string.h>

// lines.c ends early after a signal; there is none here, and the rest of cli.c is not needed.
int cli_signal(void)
{
	return 0;
}

static struct meow_event event_of(const struct envelope_line *line)
{
	struct meow_event event = {.position = line->has_position ? line->position : 1,
		.aggregate_type = line->aggregate_type,
		.aggregate_id = line->aggregate_id,
		.version = line->version,
		.type = line->type,
		.data = line->data,
		.metadata = line->metadata,
		.time_us = MEOW_NO_TIME};
	if (line->time.data != NULL)
		FUZZ_CHECK(text_to_time(line->time, &event.time_us));
	return event;
}

static void check_same(const struct meow_event *event, int64_t generation, const struct envelope_line *line)
{
	struct meow_event read = event_of(line);
	FUZZ_CHECK(line->has_position && line->position == event->position);
	FUZZ_CHECK(line->has_version && line->version == event->version && line->generation == generation);
	FUZZ_CHECK(bytes_equal(read.aggregate_type, event->aggregate_type));
	FUZZ_CHECK(bytes_equal(read.aggregate_id, event->aggregate_id) && bytes_equal(read.type, event->type));
	FUZZ_CHECK(read.data.size == event->data.size && read.metadata.size == event->metadata.size);
	FUZZ_CHECK(read.time_us == event->time_us);
}

static void write_and_read(const struct envelope_line *line)
{
	struct meow_event event = event_of(line);
	struct buffer written, scratch;
	struct meow_error err;
	struct envelope_line again;
	buffer_init(&written);
	buffer_init(&scratch);
	envelope_write(&written, &event, line->generation);
	FUZZ_CHECK(memchr(written.data, '\n', written.size) == NULL);
	FUZZ_CHECK(envelope_read((struct meow_bytes){written.data, written.size}, &scratch, &again, &err));
	check_same(&event, line->generation, &again);
	buffer_finish(&written);
	buffer_finish(&scratch);
}

// The line by itself, as the file sink's recovery reads it.
static void check_line(struct meow_bytes text, bool taken)
{
	struct buffer scratch;
	struct meow_error err;
	struct envelope_line line;
	buffer_init(&scratch);
	if (envelope_read(text, &scratch, &line, &err)) {
		int64_t time_us;
		bool timed = line.time.data == NULL || text_to_time(line.time, &time_us);
		bool has_all = line.type.data != NULL && line.data.data != NULL && timed;
		FUZZ_CHECK(has_all || !taken);
		if (has_all)
			write_and_read(&line);
	} else {
		FUZZ_CHECK(!taken);
		fuzz_check_error(&err);
	}
	buffer_finish(&scratch);
}

static void check_pending(struct pending *pending)
{
	const struct store_bulk_line *lines = pending_lines(pending);
	FUZZ_CHECK(lines != NULL || pending->count == 0);
	for (size_t i = 0; i < pending->count; i++)
		FUZZ_CHECK(strlen(lines[i].aggregate_type) > SIZE_MAX - 1 || lines[i].event.data.size > 0);
	const struct meow_new_event *events = pending_events(pending);
	for (size_t i = 0; i < pending->count; i++)
		FUZZ_CHECK(events[i].type.data != NULL && events[i].data.size > 0);
}

void fuzz_lines(struct meow_bytes input)
{
	struct lines lines;
	struct pending pending;
	struct meow_bytes line;
	struct meow_error err;
	bool found;
	size_t bytes = 0;
	lines_init(&lines, fuzz_file(input));
	pending_init(&pending);
	while (lines_next(&lines, &line, &found, &err) && found) {
		FUZZ_CHECK(memchr(line.data, '\n', line.size) == NULL);
		bytes += line.size;
		size_t before = pending.count;
		bool taken = pending_add(&pending, line, lines.number, true, &err);
		FUZZ_CHECK(pending.count == before + taken);
		if (!taken)
			fuzz_check_error(&err);
		check_line(line, taken);
	}
	FUZZ_CHECK(!found && lines.bytes == input.size && bytes <= input.size);
	check_pending(&pending);
	lines_finish(&lines);
	pending_finish(&pending);
}
