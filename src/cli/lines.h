// lines.h: the lines of a descriptor, in memory bounded by the longest line.
#ifndef CLI_LINES_H
#define CLI_LINES_H

#include "base/buffer.h"

struct lines {
	int fd;
	struct buffer buffer;
	size_t start;    // of what was not handed out yet
	uint64_t number; // of the line handed out last, from 1
	uint64_t bytes;  // handed out so far
	bool end;
};

void lines_init(struct lines *lines, int fd);
void lines_finish(struct lines *lines);

// The next line without its line break, valid until the next call; lines of nothing but blanks are passed over. Clears
// *ret_found at the end, and when a signal came (cli_signal). MEOW_IO, MEOW_INVALID (no line may be 1 GB long).
MEOW_MUST_USE bool lines_next(
	struct lines *lines, struct meow_bytes *ret_line, bool *ret_found, struct meow_error *err);

#endif
