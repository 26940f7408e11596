// What Redis sends back: entry ids, INFO, errors, the proof of the last batch and its position key. Each line is one reply
// or field.
#include "fuzz.h"

#include "connectors/redis/redis_info.h"
#include "connectors/redis/redis_part.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MOST 8

static void check_entry_id(struct meow_bytes text)
{
	uint64_t first, second, first_again, second_again;
	struct buffer written;
	if (!redis_entry_id(text, &first, &second))
		return;
	buffer_init(&written);
	buffer_printf(&written, "%" PRIu64 "-%" PRIu64, first, second);
	FUZZ_CHECK(redis_entry_id((struct meow_bytes){written.data, written.size}, &first_again, &second_again));
	FUZZ_CHECK(first == first_again && second == second_again);
	buffer_finish(&written);
}

// Writes what was read; false if it was broken.
static bool read_proof(struct meow_bytes streams, struct meow_bytes entries, struct proof_writer *writer)
{
	struct proof proof;
	enum proof_step step;
	int64_t last = 0;
	if (!proof_init(&proof, streams, entries))
		return false;
	for (size_t i = 0; i < proof.count; i++)
		proof_add_stream(writer, proof.streams[i].name);
	while ((step = proof_next(&proof)) == PROOF_ENTRY) {
		FUZZ_CHECK(proof.position > last && proof.stream < proof.count);
		last = proof.position;
		proof_add_entry(writer, proof.stream, proof.position);
	}
	proof_finish(&proof);
	return step == PROOF_END;
}

static struct meow_bytes written(const struct buffer *buffer)
{
	return (struct meow_bytes){buffer->data, buffer->size};
}

static void check_proof(struct meow_bytes streams, struct meow_bytes entries)
{
	struct proof_writer first, second;
	proof_writer_init(&first);
	proof_writer_init(&second);
	if (read_proof(streams, entries, &first)) {
		FUZZ_CHECK(read_proof(written(&first.streams), written(&first.entries), &second));
		FUZZ_CHECK(bytes_equal(written(&first.streams), written(&second.streams)));
		FUZZ_CHECK(bytes_equal(written(&first.entries), written(&second.entries)));
	}
	proof_writer_finish(&first);
	proof_writer_finish(&second);
}

static void check_error(const char *reply)
{
	struct meow_error err;
	FUZZ_CHECK(!redis_error(&err, "localhost:6379", "writing", reply));
	fuzz_check_error(&err);
	(void)redis_error_is(reply, "OOM");
}

static void check_fields(char *const *texts, size_t count)
{
	redisReply replies[MOST], *elements[MOST];
	for (size_t i = 0; i < count; i++) {
		replies[i] = (redisReply){.type = REDIS_REPLY_STRING, .str = texts[i], .len = strlen(texts[i])};
		elements[i] = &replies[i];
	}
	redisReply all = {.type = REDIS_REPLY_ARRAY, .elements = count, .element = elements};
	const redisReply *field = redis_reply_field(&all, "last-generated-id");
	FUZZ_CHECK(field == NULL || redis_reply_bytes(field).data != NULL);
	FUZZ_CHECK(redis_reply_bytes(&all).data == NULL);
}

void fuzz_redis(struct meow_bytes input)
{
	char *texts[MOST];
	size_t count = 0;
	(void)redis_info_is_older(input, 6, 2);
	for (; count < MOST && input.size > 0; count++)
		texts[count] = fuzz_text(fuzz_line(&input));
	for (size_t i = 0; i < count; i++) {
		check_entry_id(bytes_of(texts[i]));
		check_error(texts[i]);
		if (i > 0)
			check_proof(bytes_of(texts[i - 1]), bytes_of(texts[i]));
	}
	check_fields(texts, count);
	for (size_t i = 0; i < count; i++)
		free(texts[i]);
}
