// progress.h: how far long work is, on a terminal: rate and remaining time, a few times a second, on one line.
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	bool terminal;
	bool shown;
	const char *unit; // of what is counted: "lines"
	int64_t total;    // bytes or positions; -1: unknown
	int64_t started_us, last_us;
};

void progress_init(struct progress *progress, const char *unit, int64_t total);
void progress_show(struct progress *progress, uint64_t done, uint64_t count);
void progress_end(struct progress *progress); // clears the line

#endif
