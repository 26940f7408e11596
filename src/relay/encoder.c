// encoder.c: the three formats and the trace context. `data` copies nothing; `envelope` is envelope_write; `msgpack` is
// in msgpack_event.c.
#include "relay/encoder.h"

#include "base/text.h"
#include "relay/envelope.h"
#include "relay/json_text.h"
#include "relay/msgpack_event.h"

#include <string.h>

static const struct {
	const char *name;
	struct encoder encoder;
} formats[] = {
	{"data", {ENCODE_DATA, "application/json"}},
	{"envelope", {ENCODE_ENVELOPE, "application/json"}},
	{"msgpack", {ENCODE_MSGPACK, "application/msgpack"}},
};

const struct encoder *encoder_find(const char *format)
{
	for (size_t i = 0; i < sizeof(formats) / sizeof(*formats); i++)
		if (strcmp(formats[i].name, format) == 0)
			return &formats[i].encoder;
	return NULL;
}

bool encoder_value(const struct encoder *encoder, const struct meow_event *event, int64_t generation,
	struct buffer *scratch, struct meow_bytes *ret_value, struct meow_error *err)
{
	size_t start = scratch->size;
	switch (encoder->format) {
	case ENCODE_DATA:
		*ret_value = event->data;
		return true;
	case ENCODE_ENVELOPE:
		envelope_write(scratch, event, generation);
		break;
	case ENCODE_MSGPACK:
		if (!msgpack_event_write(scratch, event, generation, err))
			return false;
		break;
	}
	if (!buffer_ok(scratch, err))
		return false;
	*ret_value = (struct meow_bytes){scratch->data + start, scratch->size - start};
	return true;
}

#define TRACE_COUNT 3
static const char *const trace_names[TRACE_COUNT] = {"traceparent", "tracestate", "baggage"};

struct trace_reader {
	struct buffer *scratch;
	size_t depth;
	size_t wanted; // which of the names the next value belongs to, TRACE_COUNT for none
	bool found[TRACE_COUNT];
	size_t at[TRACE_COUNT], size[TRACE_COUNT]; // in scratch, which may move while it grows
};

// Any value but a string: it clears what an earlier key of the same name gave, since the last one counts.
static int trace_other(struct trace_reader *reader)
{
	if (reader->depth == 0)
		return 0; // no object: no trace
	if (reader->depth == 1 && reader->wanted < TRACE_COUNT)
		reader->found[reader->wanted] = false;
	return 1;
}

static int trace_null(void *arg)
{
	return trace_other(arg);
}

static int trace_boolean(void *arg, int value)
{
	(void)value;
	return trace_other(arg);
}

static int trace_number(void *arg, const char *text, size_t size)
{
	(void)text;
	(void)size;
	return trace_other(arg);
}

static int trace_string(void *arg, const unsigned char *text, size_t size)
{
	struct trace_reader *reader = arg;
	if (reader->depth != 1 || reader->wanted == TRACE_COUNT)
		return reader->depth > 0;
	reader->found[reader->wanted] = true;
	reader->at[reader->wanted] = reader->scratch->size;
	reader->size[reader->wanted] = size;
	buffer_put(reader->scratch, text, size);
	buffer_put_char(reader->scratch, '\0');
	return 1;
}

static int trace_key(void *arg, const unsigned char *text, size_t size)
{
	struct trace_reader *reader = arg;
	if (reader->depth != 1)
		return 1;
	struct meow_bytes name = {(const char *)text, size};
	reader->wanted = 0;
	while (reader->wanted < TRACE_COUNT && !bytes_equal(name, bytes_of(trace_names[reader->wanted])))
		reader->wanted++;
	return 1;
}

static int trace_start_map(void *arg)
{
	struct trace_reader *reader = arg;
	if (reader->depth > 0 && !trace_other(reader))
		return 0;
	reader->depth++;
	return 1;
}

static int trace_start_array(void *arg)
{
	struct trace_reader *reader = arg;
	if (!trace_other(reader))
		return 0;
	reader->depth++;
	return 1;
}

static int trace_end(void *arg)
{
	struct trace_reader *reader = arg;
	reader->depth--;
	return 1;
}

static const yajl_callbacks trace_callbacks = {
	.yajl_null = trace_null,
	.yajl_boolean = trace_boolean,
	.yajl_number = trace_number,
	.yajl_string = trace_string,
	.yajl_start_map = trace_start_map,
	.yajl_map_key = trace_key,
	.yajl_end_map = trace_end,
	.yajl_start_array = trace_start_array,
	.yajl_end_array = trace_end,
};

// A key may be written with escapes, so a text with any could have one.
static bool may_have_trace(struct meow_bytes metadata)
{
	if (metadata.data == NULL)
		return false;
	for (size_t i = 0; i < TRACE_COUNT; i++)
		if (memmem(metadata.data, metadata.size, trace_names[i], strlen(trace_names[i])) != NULL)
			return true;
	return memmem(metadata.data, metadata.size, "\\u", 2) != NULL;
}

static struct meow_bytes trace_found(const struct trace_reader *reader, size_t which)
{
	if (!reader->found[which])
		return (struct meow_bytes){0};
	return (struct meow_bytes){reader->scratch->data + reader->at[which], reader->size[which]};
}

bool encoder_trace(
	const struct meow_event *event, struct buffer *scratch, struct encoder_trace *ret_trace, struct meow_error *err)
{
	struct trace_reader reader = {.scratch = scratch, .wanted = TRACE_COUNT};
	if (may_have_trace(event->metadata)) {
		yajl_handle handle = yajl_alloc(&trace_callbacks, NULL, &reader);
		if (handle == NULL)
			return error_no_memory(err);
		// Metadata that is no JSON object has no trace context; that is no reason to hold the event back.
		if (!json_text_parse(handle, event->metadata, NULL))
			memset(reader.found, 0, sizeof(reader.found));
		yajl_free(handle);
		if (!buffer_ok(scratch, err))
			return false;
	}
	*ret_trace = (struct encoder_trace){trace_found(&reader, 0), trace_found(&reader, 1), trace_found(&reader, 2)};
	return true;
}
