// lines.c: see lines.h.
#include "cli/lines.h"

#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 * 1024)
#define LONGEST_LINE ((size_t)1 << 30)

void lines_init(struct lines *lines, int fd)
{
	*lines = (struct lines){.fd = fd};
	buffer_init(&lines->buffer);
}

void lines_finish(struct lines *lines)
{
	buffer_finish(&lines->buffer);
}

// Reads one piece more. *ret_more is cleared at the end of input and after a signal.
static bool read_more(struct lines *lines, bool *ret_more, struct meow_error *err)
{
	buffer_consume(&lines->buffer, lines->start);
	lines->start = 0;
	if (lines->buffer.size >= LONGEST_LINE)
		return error_set(err, MEOW_INVALID, "line %llu is longer than 1 GB", (unsigned long long)lines->number + 1);
	char *room = buffer_room(&lines->buffer, READ_BYTES);
	if (room == NULL)
		return error_no_memory(err);
	ssize_t size;
	do
		size = read(lines->fd, room, READ_BYTES);
	while (size < 0 && errno == EINTR && cli_signal() == 0);
	if (size < 0 && errno != EINTR)
		return error_set(err, MEOW_IO, "standard input cannot be read: %s", strerror(errno));
	*ret_more = size > 0;
	lines->end = size == 0;
	buffer_added(&lines->buffer, size > 0 ? (size_t)size : 0);
	return true;
}

static void hand_out(struct lines *lines, size_t size, bool line_break, struct meow_bytes *ret_line)
{
	*ret_line = (struct meow_bytes){lines->buffer.data + lines->start, size};
	lines->start += size + line_break;
	lines->bytes += size + line_break;
	lines->number++;
}

static bool next_any(struct lines *lines, struct meow_bytes *ret_line, bool *ret_found, struct meow_error *err)
{
	size_t searched = 0; // behind start
	*ret_found = false;
	while (cli_signal() == 0) {
		size_t left = lines->buffer.size - lines->start;
		const char *from = lines->buffer.data == NULL ? "" : lines->buffer.data + lines->start;
		const char *line_break = memchr(from + searched, '\n', left - searched);
		if (line_break != NULL || (lines->end && left > 0)) {
			hand_out(lines, line_break == NULL ? left : (size_t)(line_break - from), line_break != NULL, ret_line);
			*ret_found = true;
			return true;
		}
		if (lines->end)
			return true;
		searched = left;
		bool more;
		if (!read_more(lines, &more, err))
			return false;
	}
	return true;
}

static bool is_blank(struct meow_bytes line)
{
	for (size_t i = 0; i < line.size; i++)
		if (line.data[i] != ' ' && line.data[i] != '\t' && line.data[i] != '\r')
			return false;
	return true;
}

bool lines_next(struct lines *lines, struct meow_bytes *ret_line, bool *ret_found, struct meow_error *err)
{
	do {
		if (!next_any(lines, ret_line, ret_found, err))
			return false;
	} while (*ret_found && is_blank(*ret_line));
	return true;
}
