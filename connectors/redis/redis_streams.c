// redis_streams.c: a hash table with chains. Names are compared whole, so that two names of one hash stay two streams.
#include "connectors/redis/redis_streams.h"

#include "base/text.h"
#include "connectors/redis/redis_wire.h"

#include <stdlib.h>
#include <string.h>

#define BUCKETS 1024
#define STREAMS_MOST 8192

struct streams {
	int64_t maxlen;
	bool exact;
	size_t count;
	struct stream *buckets[BUCKETS];
};

struct streams *streams_create(int64_t maxlen, bool exact)
{
	struct streams *streams = calloc(1, sizeof(*streams));
	if (streams == NULL)
		return NULL;
	streams->maxlen = maxlen;
	streams->exact = exact;
	return streams;
}

static void stream_free(struct stream *stream)
{
	buffer_finish(&stream->head);
	free(stream);
}

// Frees every stream that nobody uses; all of them when the end has come.
static void drop(struct streams *streams, bool all)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (struct stream **at = &streams->buckets[i]; *at != NULL;) {
			struct stream *stream = *at;
			if (!all && stream->uses > 0) {
				at = &stream->next;
				continue;
			}
			*at = stream->next;
			stream_free(stream);
			streams->count--;
		}
	}
}

void streams_destroy(struct streams *streams)
{
	if (streams == NULL)
		return;
	drop(streams, true);
	free(streams);
}

void streams_tidy(struct streams *streams)
{
	if (streams->count > STREAMS_MOST)
		drop(streams, false);
}

static struct stream *stream_create(struct meow_bytes name, int64_t maxlen, bool exact)
{
	struct stream *stream = calloc(1, sizeof(*stream) + name.size);
	if (stream == NULL)
		return NULL;
	char *copy = (char *)(stream + 1);
	memcpy(copy, name.data, name.size);
	stream->name = (struct meow_bytes){copy, name.size};
	buffer_init(&stream->head);
	wire_format(&stream->head, MEOW_BYTES("XADD"));
	wire_format(&stream->head, name);
	stream->head_count = 2;
	if (maxlen > 0) {
		struct buffer number;
		buffer_init(&number);
		buffer_put_int(&number, maxlen);
		wire_format(&stream->head, MEOW_BYTES("MAXLEN"));
		wire_format(&stream->head, exact ? MEOW_BYTES("=") : MEOW_BYTES("~"));
		wire_format(&stream->head, (struct meow_bytes){number.data, number.size});
		stream->head_count = 5;
		stream->head.failed = stream->head.failed || number.failed;
		buffer_finish(&number);
	}
	if (stream->head.failed) {
		stream_free(stream);
		return NULL;
	}
	return stream;
}

struct stream *streams_get(struct streams *streams, struct meow_bytes name)
{
	uint64_t hash = text_hash(TEXT_HASH_START, name);
	struct stream **bucket = &streams->buckets[hash % BUCKETS];
	for (struct stream *stream = *bucket; stream != NULL; stream = stream->next)
		if (stream->hash == hash && bytes_equal(stream->name, name))
			return stream;
	struct stream *stream = stream_create(name, streams->maxlen, streams->exact);
	if (stream == NULL)
		return NULL;
	stream->hash = hash;
	stream->next = *bucket;
	*bucket = stream;
	streams->count++;
	return stream;
}
