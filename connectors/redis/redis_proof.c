// redis_proof.c: see redis_proof.h. Both texts come back from a server, so they are read as if they were anybody's.
#include "connectors/redis/redis_proof.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

void proof_writer_init(struct proof_writer *writer)
{
	*writer = (struct proof_writer){0};
}

void proof_writer_finish(struct proof_writer *writer)
{
	buffer_finish(&writer->streams);
	buffer_finish(&writer->entries);
}

void proof_add_stream(struct proof_writer *writer, struct meow_bytes name)
{
	buffer_put_int(&writer->streams, (int64_t)name.size);
	buffer_put_char(&writer->streams, ':');
	buffer_put(&writer->streams, name.data, name.size);
}

void proof_add_entry(struct proof_writer *writer, size_t stream, int64_t position)
{
	if (writer->entries.size > 0)
		buffer_put_char(&writer->entries, ' ');
	buffer_put_int(&writer->entries, position - writer->position);
	if (stream != writer->stream) {
		buffer_put_char(&writer->entries, '@');
		buffer_put_int(&writer->entries, (int64_t)stream);
	}
	writer->position = position;
	writer->stream = stream;
}

// Takes what stands before `end` off the front, and `end` itself.
static bool take_until(struct meow_bytes *text, char end, struct meow_bytes *ret_piece)
{
	const char *found = text->size > 0 ? memchr(text->data, end, text->size) : NULL;
	if (found == NULL)
		return false;
	*ret_piece = (struct meow_bytes){text->data, (size_t)(found - text->data)};
	text->data += ret_piece->size + 1;
	text->size -= ret_piece->size + 1;
	return true;
}

static bool add_stream(struct proof *proof, struct meow_bytes *text)
{
	struct meow_bytes digits;
	int64_t size;
	if (!take_until(text, ':', &digits) || !text_to_int64(digits, &size) || size < 0 || (uint64_t)size > text->size)
		return false;
	struct proof_stream *streams = realloc(proof->streams, (proof->count + 1) * sizeof(*streams));
	proof->no_memory = streams == NULL;
	if (streams == NULL)
		return false;
	proof->streams = streams;
	streams[proof->count++] = (struct proof_stream){{text->data, (size_t)size}, 0};
	text->data += size;
	text->size -= (size_t)size;
	return true;
}

bool proof_init(struct proof *proof, struct meow_bytes streams, struct meow_bytes entries)
{
	*proof = (struct proof){0};
	buffer_put(&proof->text, streams.data, streams.size);
	buffer_put(&proof->text, entries.data, entries.size);
	proof->no_memory = proof->text.failed;
	bool ok = !proof->text.failed;
	struct meow_bytes rest = {proof->text.data, streams.size};
	while (ok && rest.size > 0)
		ok = add_stream(proof, &rest);
	if (!ok) {
		bool no_memory = proof->no_memory;
		proof_finish(proof);
		proof->no_memory = no_memory;
		return false;
	}
	if (entries.size > 0)
		proof->left = (struct meow_bytes){proof->text.data + streams.size, entries.size};
	return true;
}

void proof_finish(struct proof *proof)
{
	buffer_finish(&proof->text);
	free(proof->streams);
	*proof = (struct proof){0};
}

enum proof_step proof_next(struct proof *proof)
{
	struct meow_bytes piece, number;
	int64_t step, stream = (int64_t)proof->stream;
	if (proof->left.size == 0)
		return PROOF_END;
	if (!take_until(&proof->left, ' ', &piece)) {
		piece = proof->left;
		proof->left.size = 0;
	}
	bool moves = take_until(&piece, '@', &number);
	if (!moves)
		number = piece;
	if (!text_to_int64(number, &step) || step <= 0 || step > INT64_MAX - proof->position)
		return PROOF_BROKEN;
	if (moves && !text_to_int64(piece, &stream))
		return PROOF_BROKEN;
	if (stream < 0 || (uint64_t)stream >= proof->count)
		return PROOF_BROKEN;
	proof->position += step;
	proof->stream = (size_t)stream;
	return PROOF_ENTRY;
}
