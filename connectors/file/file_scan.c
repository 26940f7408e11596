// file_scan.c: a line written by envelope_write begins with its position and, when its generation is above 0, ends with
// it, so going backwards needs a look at both ends of each line and never the line itself. Going forwards each line is
// parsed, since a power cut can leave a hole of zeros in the middle of a file whose last line is whole. A line is only
// read into memory once its end was seen; a window of the file serves all searches.
#include "connectors/file/file_scan.h"

#include "base/text.h"
#include "relay/envelope.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define WINDOW_BYTES ((size_t)64 * 1024)
#define LINE_KEEP_BYTES ((size_t)1024 * 1024)

#define HEAD "{\"position\":"
#define HEAD_SIZE (sizeof(HEAD) - 1)
#define TAIL ",\"generation\":"
#define TAIL_SIZE (sizeof(TAIL) - 1)
#define RETRY ",\"retry\":"
#define RETRY_SIZE (sizeof(RETRY) - 1)
#define EDGE_BYTES 96 // enough for each of them with numbers of 20 characters and a brace

struct scan {
	int fd;
	off_t size;
	const char *path;
	off_t window_start;
	size_t window_size;
	char window[WINDOW_BYTES];
	struct buffer line, scratch;
};

struct place {
	int64_t generation, position;
};

static bool before(struct place a, struct place b)
{
	return a.generation != b.generation ? a.generation < b.generation : a.position < b.position;
}

static bool read_fully(const struct scan *scan, char *to, size_t size, off_t offset, struct meow_error *err)
{
	if (offset >= scan->window_start && offset + (off_t)size <= scan->window_start + (off_t)scan->window_size) {
		memcpy(to, scan->window + (offset - scan->window_start), size);
		return true;
	}
	while (size > 0) {
		ssize_t got = pread(scan->fd, to, size, offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return error_set(err, MEOW_IO, "reading file \"%s\" failed: %s", scan->path,
				got < 0 ? strerror(errno) : "it became shorter meanwhile");
		to += got;
		size -= (size_t)got;
		offset += got;
	}
	return true;
}

// Makes the window begin at start and hold as much as there is.
static bool move_window(struct scan *scan, off_t start, struct meow_error *err)
{
	size_t size = scan->size - start < (off_t)WINDOW_BYTES ? (size_t)(scan->size - start) : WINDOW_BYTES;
	scan->window_size = 0;
	if (!read_fully(scan, scan->window, size, start, err))
		return false;
	scan->window_start = start;
	scan->window_size = size;
	return true;
}

static bool in_window(const struct scan *scan, off_t offset)
{
	return offset >= scan->window_start && offset < scan->window_start + (off_t)scan->window_size;
}

// *ret_offset is the last line break before `end`, or -1.
static bool previous_break(struct scan *scan, off_t end, off_t *ret_offset, struct meow_error *err)
{
	while (end > 0) {
		if (!in_window(scan, end - 1) &&
			!move_window(scan, end > (off_t)WINDOW_BYTES ? end - (off_t)WINDOW_BYTES : 0, err))
			return false;
		const char *found = memrchr(scan->window, '\n', (size_t)(end - scan->window_start));
		if (found != NULL) {
			*ret_offset = scan->window_start + (found - scan->window);
			return true;
		}
		end = scan->window_start;
	}
	*ret_offset = -1;
	return true;
}

// *ret_offset is the first line break at or behind `start`, or -1.
static bool next_break(struct scan *scan, off_t start, off_t *ret_offset, struct meow_error *err)
{
	while (start < scan->size) {
		if (!in_window(scan, start) && !move_window(scan, start, err))
			return false;
		size_t skip = (size_t)(start - scan->window_start);
		const char *found = memchr(scan->window + skip, '\n', scan->window_size - skip);
		if (found != NULL) {
			*ret_offset = scan->window_start + (found - scan->window);
			return true;
		}
		start = scan->window_start + (off_t)scan->window_size;
	}
	*ret_offset = -1;
	return true;
}

// The position that a line begins with. False if it begins otherwise.
static bool head_position(struct meow_bytes head, int64_t *ret_position)
{
	if (head.size < HEAD_SIZE || memcmp(head.data, HEAD, HEAD_SIZE) != 0)
		return false;
	const char *digits = head.data + HEAD_SIZE;
	const char *comma = memchr(digits, ',', head.size - HEAD_SIZE);
	return comma != NULL && text_to_int64((struct meow_bytes){digits, (size_t)(comma - digits)}, ret_position);
}

// The number that the text ends with behind these words, which are then taken off; 0 if it does not.
static int64_t take_tail(struct meow_bytes *tail, const char *words, size_t size)
{
	int64_t number = 0;
	size_t start = tail->size;
	while (start > 0 && tail->data[start - 1] >= '0' && tail->data[start - 1] <= '9')
		start--;
	if (start < size || memcmp(tail->data + start - size, words, size) != 0 ||
		!text_to_int64((struct meow_bytes){tail->data + start, tail->size - start}, &number))
		return 0;
	tail->size = start - size;
	return number;
}

// Where the line from start to end (its break) stands, by its two edges. *ret_ours is false for anything else.
static bool look_at_edges(
	struct scan *scan, off_t start, off_t end, struct place *ret_place, bool *ret_ours, struct meow_error *err)
{
	char head[EDGE_BYTES], tail[EDGE_BYTES];
	size_t size = end - start < EDGE_BYTES ? (size_t)(end - start) : EDGE_BYTES;
	if (!read_fully(scan, head, size, start, err) || !read_fully(scan, tail, size, end - (off_t)size, err))
		return false;
	struct place place = {0};
	*ret_ours = head_position((struct meow_bytes){head, size}, &place.position);
	if (size > 0 && tail[size - 1] == '}') {
		struct meow_bytes left = {tail, size - 1};
		place.generation = take_tail(&left, TAIL, TAIL_SIZE);
		int64_t retry = take_tail(&left, RETRY, RETRY_SIZE);
		place.position = retry > 0 ? retry : place.position;
	}
	if (*ret_ours)
		*ret_place = place;
	return true;
}

// Someone else's file must not be cut. Zeros in front are what a power cut leaves.
static bool begins_like_ours(struct scan *scan, struct meow_error *err)
{
	static const char zeros[HEAD_SIZE];
	char head[HEAD_SIZE];
	size_t size = scan->size < (off_t)HEAD_SIZE ? (size_t)scan->size : HEAD_SIZE;
	if (!read_fully(scan, head, size, 0, err))
		return false;
	if (memcmp(head, HEAD, size) == 0 || memcmp(head, zeros, size) == 0)
		return true;
	return error_set(err, MEOW_CONFIG,
		"file \"%s\" holds something else than meowmx events, and is left as it is: "
		"move it away, or set another `path`",
		scan->path);
}

// *ret_start is where the lines begin that must be read again, and *ret_last the line before them: the last one that is
// at or before `delivered` and rises itself.
static bool find_start(struct scan *scan, struct place delivered, off_t *ret_start, bool *ret_any,
	struct place *ret_last, struct meow_error *err)
{
	off_t end, anchor = 0; // anchor: behind the candidate, whose place is *ret_last while *ret_any
	*ret_start = 0;
	*ret_any = false;
	if (!previous_break(scan, scan->size, &end, err))
		return false;
	while (end >= 0) {
		off_t stop;
		struct place place = {0};
		bool ours;
		if (!previous_break(scan, end, &stop, err) || !look_at_edges(scan, stop + 1, end, &place, &ours, err))
			return false;
		if (*ret_any && (!ours || before(place, *ret_last)))
			break;
		*ret_any = ours && !before(delivered, place);
		if (*ret_any) {
			anchor = end + 1;
			*ret_last = place;
		}
		end = stop;
	}
	if (*ret_any)
		*ret_start = anchor;
	return true;
}

// Parses the whole line. *ret_ours is false if it is no event of ours. The line's texts live until the next one.
static bool read_line(
	struct scan *scan, off_t start, off_t end, struct envelope_line *ret_line, bool *ret_ours, struct meow_error *err)
{
	buffer_clear(&scan->line, LINE_KEEP_BYTES);
	buffer_clear(&scan->scratch, LINE_KEEP_BYTES);
	size_t size = (size_t)(end - start);
	char *room = buffer_room(&scan->line, size);
	if (room == NULL)
		return error_no_memory(err);
	if (!read_fully(scan, room, size, start, err))
		return false;
	buffer_added(&scan->line, size);
	struct meow_error why;
	*ret_ours = envelope_read((struct meow_bytes){scan->line.data, size}, &scan->scratch, ret_line, &why);
	if (!*ret_ours && why.kind != MEOW_INVALID)
		return error_set(err, why.kind, "file \"%s\": %s", scan->path, why.text);
	*ret_ours = *ret_ours && ret_line->has_position;
	return true;
}

static bool look_at_line(
	struct scan *scan, off_t start, off_t end, struct place *ret_place, bool *ret_ours, struct meow_error *err)
{
	struct place place = {0};
	struct envelope_line line;
	if (!look_at_edges(scan, start, end, &place, ret_ours, err))
		return false;
	if (!*ret_ours)
		return true;
	if (!read_line(scan, start, end, &line, ret_ours, err))
		return false;
	if (*ret_ours)
		*ret_place = (struct place){line.generation, line.retry > 0 ? line.retry : line.position};
	return true;
}

static bool read_on(struct scan *scan, struct place last, struct file_end *end, struct meow_error *err)
{
	for (;;) {
		off_t stop;
		struct place place = {0};
		bool ours;
		if (!next_break(scan, end->end, &stop, err))
			return false;
		if (stop < 0)
			return true; // what is left is torn
		if (!look_at_line(scan, end->end, stop, &place, &ours, err))
			return false;
		if (!ours || (end->any && !before(last, place)))
			return true;
		last = place;
		*end =
			(struct file_end){.end = stop + 1, .any = true, .position = place.position, .generation = place.generation};
	}
}

// What the last good line shows of its event.
static bool identify(struct scan *scan, struct file_end *end, struct meow_error *err)
{
	off_t before_it;
	struct envelope_line line = {0};
	bool ours = false;
	if (!end->any)
		return true;
	if (!previous_break(scan, end->end - 1, &before_it, err) ||
		!read_line(scan, before_it + 1, end->end - 1, &line, &ours, err))
		return false;
	struct meow_event event = {.position = line.retry > 0 ? line.retry : line.position,
		.version = line.version,
		.time_us = MEOW_NO_TIME,
		.aggregate_id = line.aggregate_id,
		.data = line.data};
	bool timed = line.time.data == NULL || text_to_time(line.time, &event.time_us);
	if (ours && line.has_version && timed)
		fingerprint_line_text(&event, end->fingerprint);
	return true;
}

bool file_scan(int fd, off_t size, const char *path, int64_t delivered, int64_t generation, struct file_end *ret_end,
	struct meow_error *err)
{
	struct scan scan = {.fd = fd, .size = size, .path = path};
	struct file_end end = {0};
	struct place last = {0};
	buffer_init(&scan.line);
	buffer_init(&scan.scratch);
	bool ok = begins_like_ours(&scan, err) &&
			  find_start(&scan, (struct place){generation, delivered}, &end.end, &end.any, &last, err);
	end.position = last.position;
	end.generation = last.generation;
	ok = ok && read_on(&scan, last, &end, err) && identify(&scan, &end, err);
	buffer_finish(&scan.line);
	buffer_finish(&scan.scratch);
	if (ok)
		*ret_end = end;
	return ok;
}
