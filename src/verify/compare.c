// compare.c: `data` is compared as it is, an envelope with the one line that the event must have become: keys, their
// order and the escapes are fixed, and data and metadata are the stored bytes with each CR and LF as one space.
#include "verify/compare.h"

#include "base/text.h"

#include <string.h>

#define KEEP_BYTES ((size_t)1 << 20)

#define HEAD "{\"position\":"
#define GENERATION ",\"generation\":"
#define RETRY ",\"retry\":"

// Each pair is written with its comma; the first one's is then made the brace.
static void put_key(struct buffer *out, const char *key)
{
	buffer_put(out, ",\"", 2);
	buffer_put_text(out, key);
	buffer_put(out, "\":", 2);
}

static void put_number(struct buffer *out, const char *key, int64_t number)
{
	put_key(out, key);
	buffer_put_int(out, number);
}

static void put_text(struct buffer *out, const char *key, struct meow_bytes text)
{
	if (text.data == NULL)
		return;
	put_key(out, key);
	buffer_put_json(out, text);
}

static void blank(char *from, char *end, char c)
{
	for (char *at = from; (at = memchr(at, c, (size_t)(end - at))) != NULL;)
		*at = ' ';
}

static void put_json(struct buffer *out, const char *key, struct meow_bytes json)
{
	if (json.data == NULL)
		return;
	put_key(out, key);
	size_t start = out->size;
	buffer_put(out, json.data, json.size);
	if (out->failed)
		return;
	blank(out->data + start, out->data + out->size, '\n');
	blank(out->data + start, out->data + out->size, '\r');
}

// Returns where data ends in it; it has as many bytes as the event's.
static size_t put_line(struct buffer *out, const struct meow_event *event, int64_t place, int64_t generation)
{
	put_number(out, "position", event->position);
	put_text(out, "aggregate_type", event->aggregate_type);
	put_text(out, "aggregate_id", event->aggregate_id);
	put_number(out, "version", event->version);
	put_text(out, "type", event->type);
	if (event->time_us != MEOW_NO_TIME) {
		char time[TEXT_TIME_SIZE];
		text_time(event->time_us, time);
		put_text(out, "time", bytes_of(time));
	}
	put_json(out, "data", event->data);
	size_t data_end = out->size;
	put_json(out, "metadata", event->metadata);
	if (place > 0)
		put_number(out, "retry", place);
	if (generation > 0)
		put_number(out, "generation", generation);
	buffer_put_char(out, '}');
	if (!out->failed)
		out->data[0] = '{';
	return data_end;
}

const char *compare_line(
	struct meow_bytes value, const struct meow_event *event, int64_t place, int64_t generation, struct buffer *scratch)
{
	buffer_clear(scratch, KEEP_BYTES);
	size_t data_end = put_line(scratch, event, place, generation);
	if (scratch->failed)
		return "memory";
	struct meow_bytes expected = {scratch->data, scratch->size};
	if (bytes_equal(value, expected))
		return NULL;
	size_t offset = 0;
	while (offset < value.size && offset < expected.size && value.data[offset] == expected.data[offset])
		offset++;
	if (offset + event->data.size < data_end)
		return "the attributes before data";
	return offset < data_end ? "data" : "what follows data";
}

const char *compare_value(enum verify_format format, struct meow_bytes value, const struct meow_event *event,
	int64_t generation, struct buffer *scratch)
{
	switch (format) {
	case FORMAT_DATA:
		return bytes_equal(value, event->data) ? NULL : "data";
	case FORMAT_ENVELOPE:
		return compare_line(value, event, 0, generation, scratch);
	case FORMAT_MSGPACK:
		return compare_msgpack(value, event, generation);
	}
	return NULL;
}

bool compare_number(struct meow_bytes text, int64_t number)
{
	int64_t found;
	return text.data != NULL && text_to_int64(text, &found) && found == number;
}

// The number that the text ends with behind these words, which are then taken off; 0 if it does not.
static int64_t take_end(struct meow_bytes *text, const char *words)
{
	size_t size = strlen(words), start = text->size;
	int64_t number = 0;
	while (start > 0 && text->data[start - 1] >= '0' && text->data[start - 1] <= '9')
		start--;
	if (start < size || memcmp(text->data + start - size, words, size) != 0 ||
		!text_to_int64((struct meow_bytes){text->data + start, text->size - start}, &number))
		return 0;
	text->size = start - size;
	return number;
}

bool compare_line_ends(struct meow_bytes line, int64_t *ret_position, int64_t *ret_place, int64_t *ret_generation)
{
	size_t head = sizeof(HEAD) - 1;
	if (line.size < head || memcmp(line.data, HEAD, head) != 0)
		return false;
	const char *comma = memchr(line.data + head, ',', line.size - head);
	if (comma == NULL ||
		!text_to_int64((struct meow_bytes){line.data + head, (size_t)(comma - line.data) - head}, ret_position) ||
		*ret_position < 1)
		return false;
	*ret_generation = *ret_place = 0;
	if (line.data[line.size - 1] != '}')
		return true;
	struct meow_bytes left = {line.data, line.size - 1};
	*ret_generation = take_end(&left, GENERATION);
	*ret_place = take_end(&left, RETRY);
	return true;
}
