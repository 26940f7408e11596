// The end of a file of events, as the file sink finds it after a crash: it is cut between two lines, no event that follows
// the good ones is lost, and what is left is good at the next start, too. The first line: "<delivered> <generation>".
#include "fuzz.h"

#include "base/text.h"
#include "connectors/file/file_scan.h"
#include "relay/envelope.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

// As envelope_write has it: no blanks, and the position first.
static bool begins_like_ours(struct meow_bytes line)
{
	static const char head[] = "{\"position\":";
	size_t at = sizeof(head) - 1;
	if (line.size <= at || memcmp(line.data, head, at) != 0)
		return false;
	while (at < line.size && line.data[at] >= '0' && line.data[at] <= '9')
		at++;
	return at < line.size && at > sizeof(head) - 1 && line.data[at] == ',';
}

// How many bytes at the beginning are whole events that rise.
static size_t good_prefix(struct meow_bytes content)
{
	struct buffer scratch;
	struct meow_error err;
	size_t good = 0;
	int64_t generation = 0, position = 0;
	buffer_init(&scratch);
	while (content.size > good) {
		const char *start = content.data + good;
		const char *end = memchr(start, '\n', content.size - good);
		struct envelope_line line;
		if (end == NULL || !begins_like_ours((struct meow_bytes){start, (size_t)(end - start)}) ||
			!envelope_read((struct meow_bytes){start, (size_t)(end - start)}, &scratch, &line, &err) ||
			!line.has_position)
			break;
		if (good > 0 && (line.generation < generation || (line.generation == generation && line.position <= position)))
			break;
		generation = line.generation;
		position = line.position;
		good = (size_t)(end - content.data) + 1;
	}
	buffer_finish(&scratch);
	return good;
}

static void check_again(int fd, int64_t delivered, int64_t generation, const struct file_end *first)
{
	struct file_end again;
	struct meow_error err;
	FUZZ_CHECK(ftruncate(fd, first->end) == 0);
	FUZZ_CHECK(file_scan(fd, first->end, "events.jsonl", delivered, generation, &again, &err));
	FUZZ_CHECK(again.end == first->end && again.any == first->any);
	FUZZ_CHECK(!again.any || (again.position == first->position && again.generation == first->generation));
}

static void read_number(struct meow_bytes *line, int64_t *ret_number)
{
	const char *blank = line->size == 0 ? NULL : memchr(line->data, ' ', line->size);
	struct meow_bytes number = {line->data, blank == NULL ? line->size : (size_t)(blank - line->data)};
	*ret_number = 0;
	if (!text_to_int64(number, ret_number) || *ret_number < 0)
		*ret_number = 0;
	size_t taken = number.size + (blank != NULL);
	if (taken > 0)
		*line = (struct meow_bytes){line->data + taken, line->size - taken};
}

void fuzz_file_tail(struct meow_bytes input)
{
	struct meow_bytes first = fuzz_line(&input);
	int64_t delivered, generation;
	struct file_end end;
	struct meow_error err;
	read_number(&first, &delivered);
	read_number(&first, &generation);
	int fd = fuzz_file(input);
	if (!file_scan(fd, (off_t)input.size, "events.jsonl", delivered, generation, &end, &err)) {
		fuzz_check_error(&err);
		FUZZ_CHECK(err.kind == MEOW_CONFIG && good_prefix(input) == 0);
		return;
	}
	FUZZ_CHECK(end.end >= 0 && (size_t)end.end <= input.size);
	FUZZ_CHECK(end.end == 0 || input.data[end.end - 1] == '\n');
	FUZZ_CHECK((end.end > 0) == end.any);
	FUZZ_CHECK((size_t)end.end >= good_prefix(input));
	check_again(fd, delivered, generation, &end);
}
