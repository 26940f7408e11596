// progress.c: see progress.h.
#include "cli/progress.h"

#include "cli/cli.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SHOW_EVERY_US 250000

static int64_t now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void progress_init(struct progress *progress, const char *unit, int64_t total)
{
	int64_t now = now_us();
	*progress = (struct progress){isatty(STDERR_FILENO), false, unit, total, now, now};
}

void progress_show(struct progress *progress, uint64_t done, uint64_t count)
{
	int64_t now = now_us();
	if (!progress->terminal || now - progress->last_us < SHOW_EVERY_US)
		return;
	progress->last_us = now;
	progress->shown = true;
	double seconds = (double)(now - progress->started_us) / 1e6;
	fprintf(stderr, "\r\033[K%llu %s, %.0f/s", (unsigned long long)count, progress->unit, (double)count / seconds);
	if (progress->total > 0 && done > 0) {
		double part = (double)done / (double)progress->total;
		char left[CLI_DURATION_SIZE];
		int64_t left_us = part >= 1 ? 0 : (int64_t)(seconds * 1e6 * (1 - part) / part);
		fprintf(stderr, ", %.0f %%, %s left", part * 100, cli_duration(left_us, left));
	}
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
