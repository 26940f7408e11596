// buffer.c: see buffer.h. Growth doubles, so a buffer filled piece by piece copies each byte about once.
#include "base/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_CAPACITY 256

void buffer_init(struct buffer *buffer)
{
	*buffer = (struct buffer){0};
}

void buffer_finish(struct buffer *buffer)
{
	free(buffer->data);
	*buffer = (struct buffer){0};
}

void buffer_clear(struct buffer *buffer, size_t keep_bytes)
{
	if (buffer->capacity > keep_bytes) {
		buffer_finish(buffer);
		return;
	}
	buffer->size = 0;
	buffer->failed = false;
	if (buffer->data != NULL)
		buffer->data[0] = '\0';
}

char *buffer_room(struct buffer *buffer, size_t size)
{
	if (buffer->failed)
		return NULL;
	if (buffer->data != NULL && size <= buffer->capacity - buffer->size)
		return buffer->data + buffer->size;
	if (size > SIZE_MAX / 4 - buffer->size) {
		buffer->failed = true;
		return NULL;
	}
	size_t capacity = buffer->capacity < LEAST_CAPACITY ? LEAST_CAPACITY : buffer->capacity;
	while (capacity < buffer->size + size)
		capacity *= 2;
	char *data = realloc(buffer->data, capacity + 1);
	if (data == NULL) {
		buffer->failed = true;
		return NULL;
	}
	buffer->data = data;
	buffer->capacity = capacity;
	data[buffer->size] = '\0';
	return data + buffer->size;
}

void buffer_added(struct buffer *buffer, size_t size)
{
	buffer->size += size;
	buffer->data[buffer->size] = '\0';
}

void buffer_put(struct buffer *buffer, const void *data, size_t size)
{
	char *room = buffer_room(buffer, size);
	if (room == NULL)
		return;
	if (size > 0)
		memcpy(room, data, size);
	buffer_added(buffer, size);
}

void buffer_put_text(struct buffer *buffer, const char *text)
{
	buffer_put(buffer, text, strlen(text));
}

void buffer_put_char(struct buffer *buffer, char c)
{
	buffer_put(buffer, &c, 1);
}

void buffer_put_int(struct buffer *buffer, int64_t number)
{
	char digits[24];
	char *at = digits + sizeof(digits);
	uint64_t left = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	do {
		*--at = (char)('0' + left % 10);
		left /= 10;
	} while (left > 0);
	if (number < 0)
		*--at = '-';
	buffer_put(buffer, at, (size_t)(digits + sizeof(digits) - at));
}

void buffer_printf(struct buffer *buffer, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	char *room = length < 0 ? NULL : buffer_room(buffer, (size_t)length);
	if (room != NULL) {
		vsnprintf(room, (size_t)length + 1, format, again);
		buffer_added(buffer, (size_t)length);
	}
	va_end(again);
	va_end(args);
}

void buffer_consume(struct buffer *buffer, size_t size)
{
	if (size == 0)
		return;
	buffer->size -= size;
	memmove(buffer->data, buffer->data + size, buffer->size);
	buffer->data[buffer->size] = '\0';
}

bool buffer_ok(const struct buffer *buffer, struct meow_error *err)
{
	return buffer->failed ? error_no_memory(err) : true;
}
