// text.h: small things about bytes and text that more than one module needs.
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include "base/buffer.h"

#define MEOW_BYTES(literal) ((struct meow_bytes){(literal), sizeof(literal) - 1})

struct meow_bytes bytes_of(const char *text); // borrows; NULL gives the absent bytes
bool bytes_equal(struct meow_bytes a, struct meow_bytes b);

// A whole decimal int64, nothing before or behind. False otherwise.
MEOW_MUST_USE bool text_to_int64(struct meow_bytes text, int64_t *ret_number);

// FNV-1a, 64 bits (Fowler, Noll, Vo). Start with TEXT_HASH_START; chain calls to hash several pieces.
#define TEXT_HASH_START 14695981039346656037u
uint64_t text_hash(uint64_t hash, struct meow_bytes bytes);

// RFC 3339 in UTC with microseconds: 2026-11-23T08:09:10.123456Z (27 bytes and a NUL).
#define TEXT_TIME_SIZE 28
void text_time(int64_t time_us, char ret_text[TEXT_TIME_SIZE]);
MEOW_MUST_USE bool text_to_time(struct meow_bytes text, int64_t *ret_time_us); // any RFC 3339 offset, up to 6 digits

// Puts a JSON string with its quotes; bytes that are not UTF-8 must not get here.
void buffer_put_json(struct buffer *buffer, struct meow_bytes text);

// Puts JSON with each CR and LF, which valid JSON has only between tokens, turned into one space.
void buffer_put_json_line(struct buffer *buffer, struct meow_bytes json);

bool text_is_utf8(struct meow_bytes text); // also false for a raw NUL

#endif
