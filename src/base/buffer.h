// buffer.h: bytes that grow at the end. When memory runs out the buffer turns `failed` and stays as it is; the
// writer checks once, at the end, with buffer_ok, instead of after each piece.
//
//   data [0 .. size) written   [size .. capacity) free; data[size] is always NUL when data is not NULL
#ifndef BASE_BUFFER_H
#define BASE_BUFFER_H

#include "base/error.h"

struct buffer {
	char *data;
	size_t size;
	size_t capacity;
	bool failed;
};

void buffer_init(struct buffer *buffer);
void buffer_finish(struct buffer *buffer);

// Empties the buffer, keeps its memory (unless it is larger than keep_bytes) and clears `failed`.
void buffer_clear(struct buffer *buffer, size_t keep_bytes);

void buffer_put(struct buffer *buffer, const void *data, size_t size);
void buffer_put_text(struct buffer *buffer, const char *text);
void buffer_put_char(struct buffer *buffer, char c);
void buffer_put_int(struct buffer *buffer, int64_t number);
void buffer_printf(struct buffer *buffer, const char *format, ...) BASE_PRINTF(2, 3);

// Room for `size` more bytes at the end, NULL when there is no memory; buffer_added says how much of it was used.
char *buffer_room(struct buffer *buffer, size_t size);
void buffer_added(struct buffer *buffer, size_t size);

// Removes the first `size` bytes.
void buffer_consume(struct buffer *buffer, size_t size);

// True if nothing that was put got lost; else fills err with "out of memory".
MEOW_MUST_USE bool buffer_ok(const struct buffer *buffer, struct meow_error *err);

#endif
