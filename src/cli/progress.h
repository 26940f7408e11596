// progress.h: how far long work is, on a terminal: rate and remaining time, a few times a second, on one line.
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool terminal;
	bool shown;
	int64_t total_bytes; // -1: unknown
	int64_t started_us, last_us;
};

void progress_init(struct progress *progress, int64_t total_bytes);
void progress_show(struct progress *progress, uint64_t done_bytes, uint64_t done_lines);
void progress_end(struct progress *progress); // clears the line

#endif
