#include "relay/window.h"

#include <stdlib.h>
#include <string.h>

struct window {
	struct batch *first, **end; // in flight, oldest first; a delivered one waits for those before it
	size_t limit_bytes;
	size_t bytes;
	size_t events;
	int64_t delivered;
	int64_t position;
	int64_t ahead; // position moves here once nothing is in flight
	char *fingerprint;
};

struct window *window_create(size_t limit_bytes)
{
	struct window *window = calloc(1, sizeof(*window));
	if (!window)
		return NULL;
	window->limit_bytes = limit_bytes;
	window->end = &window->first;
	return window;
}

static void drop_first(struct window *window)
{
	struct batch *batch = window->first;
	window->first = batch->next;
	if (!window->first)
		window->end = &window->first;
	window->bytes -= batch->bytes;
	window->events -= batch->count;
	batch_destroy(batch);
}

void window_destroy(struct window *window)
{
	if (!window)
		return;
	while (window->first)
		drop_first(window);
	free(window->fingerprint);
	free(window);
}

void window_push(struct window *window, struct batch *batch)
{
	batch->delivered = false;
	batch->next = NULL;
	*window->end = batch;
	window->end = &batch->next;
	window->bytes += batch->bytes;
	window->events += batch->count;
	window->ahead = batch->position;
}

void window_deliver(struct window *window, struct batch *batch)
{
	batch->delivered = true;
	while (window->first && window->first->delivered) {
		struct batch *done = window->first;
		window->delivered = batch_last(done);
		window->position = done->position;
		free(window->fingerprint);
		window->fingerprint = done->fingerprint;
		done->fingerprint = NULL;
		drop_first(window);
	}
	if (!window->first && window->ahead > window->position)
		window->position = window->ahead;
}

void window_advance(struct window *window, int64_t position)
{
	if (position > window->ahead)
		window->ahead = position;
	if (!window->first && position > window->position)
		window->position = position;
}

void window_reset(struct window *window, int64_t delivered, int64_t position, const char *fingerprint)
{
	while (window->first)
		drop_first(window);
	char *copy =
		fingerprint ? strdup(fingerprint) : NULL; // without it the comparison at the next start is all that goes
	free(window->fingerprint);
	window->fingerprint = copy;
	window->delivered = delivered;
	window->position = window->ahead = position;
}

struct window_mark window_mark(const struct window *window)
{
	return (struct window_mark){window->delivered, window->position, window->fingerprint};
}

size_t window_room(const struct window *window)
{
	if (!window->first)
		return window->limit_bytes;
	return window->bytes < window->limit_bytes ? window->limit_bytes - window->bytes : 0;
}

size_t window_bytes(const struct window *window)
{
	return window->bytes;
}

size_t window_events(const struct window *window)
{
	return window->events;
}

bool window_empty(const struct window *window)
{
	return !window->first;
}

const struct batch *window_oldest(const struct window *window)
{
	return window->first;
}

int64_t window_retry(const struct window *window, int64_t position)
{
	for (const struct batch *batch = window->first; batch; batch = batch->next)
		if (batch->place && batch->events[0].position == position)
			return batch->place;
	return 0;
}
