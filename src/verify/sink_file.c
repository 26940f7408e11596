// sink_file.c: a file of event lines, read from its beginning up to the size it has when it is opened; a line that ends
// behind that was not finished at the start and is nobody's loss. One window of the file moves over it, as large as the
// longest line needs.
//
// Refused: standard output, which cannot be read again.
#include "verify/sink.h"

#include "base/text.h"
#include "verify/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES ((size_t)256 * 1024)

struct file {
	int fd;
	const char *path;
	int64_t left; // bytes of the file that have not been read
	int64_t line; // number of the last one
	struct buffer window;
	size_t at; // in the window: where the next line begins
};

static bool file_open(struct sink *sink, struct meow_error *err)
{
	return strcmp(config_text(sink->settings, "path"), "-") != 0 ||
		   error_set(err, MEOW_CONFIG, "the route writes to standard output, which cannot be read again");
}

static bool open_path(struct file *file, bool may_miss, struct meow_error *err)
{
	struct stat stat;
	file->fd = open(file->path, O_RDONLY | O_CLOEXEC);
	if (file->fd < 0 && errno == ENOENT && may_miss)
		return true;
	if (file->fd < 0)
		return error_set(err,
			errno == ENOENT   ? MEOW_MISSING
			: errno == EACCES ? MEOW_DENIED
							  : MEOW_IO,
			"file \"%s\" cannot be read: %s", file->path, strerror(errno));
	if (fstat(file->fd, &stat) != 0)
		return error_set(err, MEOW_IO, "file \"%s\" cannot be read: %s", file->path, strerror(errno));
	if (!S_ISREG(stat.st_mode))
		return error_set(err, MEOW_CONFIG, "\"%s\" is no file that can be read again", file->path);
	file->left = stat.st_size;
	(void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return true;
}

static bool read_more(struct file *file, struct meow_error *err)
{
	buffer_consume(&file->window, file->at);
	file->at = 0;
	size_t wanted = file->left < (int64_t)READ_BYTES ? (size_t)file->left : READ_BYTES;
	char *room = buffer_room(&file->window, wanted);
	if (room == NULL)
		return error_no_memory(err);
	ssize_t size;
	do
		size = read(file->fd, room, wanted);
	while (size < 0 && errno == EINTR);
	if (size < 0)
		return error_set(err, MEOW_IO, "file \"%s\" cannot be read: %s", file->path, strerror(errno));
	if (size == 0)
		file->left = 0; // it became shorter meanwhile
	buffer_added(&file->window, (size_t)size);
	file->left -= size;
	return true;
}

// The next whole line. What is left of a torn one is passed over.
static bool next_line(struct file *file, struct meow_bytes *ret_line, bool *ret_found, struct meow_error *err)
{
	size_t searched = 0;
	*ret_found = false;
	for (;;) {
		size_t left = file->window.size - file->at;
		const char *from = file->window.data == NULL ? "" : file->window.data + file->at;
		const char *end = memchr(from + searched, '\n', left - searched);
		if (end != NULL) {
			*ret_line = (struct meow_bytes){from, (size_t)(end - from)};
			file->at += ret_line->size + 1;
			file->line++;
			*ret_found = true;
			return true;
		}
		if (file->left == 0)
			return true;
		searched = left;
		if (!read_more(file, err))
			return false;
	}
}

static bool file_next(struct sequence *sequence, struct record *ret_record, bool *ret_found, struct meow_error *err)
{
	struct file *file = sequence->place->opened;
	struct meow_bytes line;
	if (!next_line(file, &line, ret_found, err))
		return false;
	if (!*ret_found)
		return true;
	*ret_record = (struct record){.number = file->line, .time_ms = -1, .value = line};
	if (!compare_line_ends(line, &ret_record->position, &ret_record->place, &ret_record->generation))
		ret_record->position = 0;
	ret_record->turn = ret_record->generation;
	return true;
}

// A file is rotated by people and their tools, which leave no trace in it.
static bool file_open_place(struct sink *sink, struct place *place, struct meow_error *err)
{
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL)
		return error_no_memory(err);
	file->fd = -1;
	file->path = place->name;
	buffer_init(&file->window);
	place->opened = file;
	// Where nothing was delivered yet there need be none.
	if (!open_path(file, sink->to == 0, err) || !place_allocate(place, 1, err))
		return false;
	place->sequences[0].cut = true;
	return true;
}

static bool file_look_again(struct sequence *sequence, struct meow_error *err)
{
	(void)sequence;
	(void)err;
	return true; // the file that was opened stays what it is, whoever rotates it
}

static size_t file_belongs(const struct place *place, const struct meow_event *event)
{
	(void)place;
	(void)event;
	return 0;
}

static const char *file_differs(struct sink *sink, const struct record *record, const struct meow_event *event)
{
	return compare_line(record->value, event, record->place, record->generation, &sink->scratch);
}

static void file_where(
	const struct place *place, const struct sequence *sequence, const struct record *record, struct buffer *out)
{
	(void)sequence;
	buffer_printf(out, "%s", place->name);
	if (record != NULL)
		buffer_printf(out, ":%lld", (long long)record->number);
}

static void file_close_place(struct place *place)
{
	struct file *file = place->opened;
	if (file == NULL)
		return;
	if (file->fd >= 0)
		close(file->fd);
	buffer_finish(&file->window);
	free(file);
}

static void file_close(struct sink *sink)
{
	(void)sink;
}

const struct sink_impl verify_file_sink = {
	.name = "file",
	.turns = true,
	.name_setting = "path",
	.any_order = true,
	.open = file_open,
	.open_place = file_open_place,
	.next = file_next,
	.look_again = file_look_again,
	.belongs = file_belongs,
	.differs = file_differs,
	.where = file_where,
	.close_place = file_close_place,
	.close = file_close,
};
