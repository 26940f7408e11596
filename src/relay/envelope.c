// envelope.c: the JSON line. Writing is plain concatenation: data and metadata go through as stored. Reading runs yajl
// over the line once, keeps where data and metadata begin and end (yajl_get_bytes_consumed) and never builds a value;
// so numbers, repeated keys, key order and escapes inside of them are nobody's business here.
#include "relay/envelope.h"

#include "base/text.h"
#include "relay/json_text.h"

#include <string.h>
#include <yajl/yajl_parse.h>

static void put_key(struct buffer *buffer, const char *key)
{
	buffer_put_text(buffer, key);
}

static void put_text(struct buffer *buffer, const char *key, struct meow_bytes text)
{
	if (text.data == NULL)
		return;
	put_key(buffer, key);
	buffer_put_json(buffer, text);
}

static void put_number(struct buffer *buffer, const char *key, int64_t number)
{
	put_key(buffer, key);
	buffer_put_int(buffer, number);
}

void envelope_write(struct buffer *buffer, const struct meow_event *event, int64_t generation)
{
	envelope_write_again(buffer, event, 0, generation);
}

void envelope_write_again(struct buffer *buffer, const struct meow_event *event, int64_t place, int64_t generation)
{
	put_number(buffer, "{\"position\":", event->position);
	put_text(buffer, ",\"aggregate_type\":", event->aggregate_type);
	put_text(buffer, ",\"aggregate_id\":", event->aggregate_id);
	put_number(buffer, ",\"version\":", event->version);
	put_text(buffer, ",\"type\":", event->type);
	if (event->time_us != MEOW_NO_TIME) {
		char time[TEXT_TIME_SIZE];
		text_time(event->time_us, time);
		put_text(buffer, ",\"time\":", bytes_of(time));
	}
	put_key(buffer, ",\"data\":");
	buffer_put_json_line(buffer, event->data);
	if (event->metadata.data != NULL) {
		put_key(buffer, ",\"metadata\":");
		buffer_put_json_line(buffer, event->metadata);
	}
	if (place > 0)
		put_number(buffer, ",\"retry\":", place);
	if (generation > 0)
		put_number(buffer, ",\"generation\":", generation);
	buffer_put_char(buffer, '}');
}

enum key {
	KEY_POSITION,
	KEY_AGGREGATE_TYPE,
	KEY_AGGREGATE_ID,
	KEY_VERSION,
	KEY_TYPE,
	KEY_TIME,
	KEY_DATA,
	KEY_METADATA,
	KEY_RETRY,
	KEY_GENERATION,
	KEY_EXPECT,
	KEY_NONE
};

static const char *const key_names[] = {"position", "aggregate_type", "aggregate_id", "version", "type", "time", "data",
	"metadata", "retry", "generation", "expect"};

struct reader {
	struct meow_bytes line;
	struct buffer *scratch;
	struct envelope_line found;
	size_t text_at[KEY_NONE]; // where the text of a key starts in scratch, since scratch may move while it grows
	yajl_handle handle;
	enum key key;   // whose value comes next
	unsigned seen;  // a bit for each key
	size_t depth;   // 1 inside the line's object
	size_t key_end; // behind the key's string
	bool done;      // the object has ended
	struct meow_error *err;
};

static bool fail_at(struct reader *reader, size_t offset, const char *text, const char *name)
{
	error_set(reader->err, MEOW_INVALID, "column %zu: %s%s%s%s", json_text_column(reader->line, offset),
		name == NULL ? "" : "\"", name == NULL ? "" : name, name == NULL ? "" : "\" ", text);
	return false;
}

// Where the value behind the last key begins: behind blanks and the colon.
static size_t value_start(const struct reader *reader)
{
	size_t at = reader->key_end;
	while (at < reader->line.size && strchr(" \t\r\n:", reader->line.data[at]) != NULL)
		at++;
	return at;
}

static size_t consumed(const struct reader *reader)
{
	return yajl_get_bytes_consumed(reader->handle);
}

static const char *key_name(const struct reader *reader)
{
	return key_names[reader->key];
}

static bool wrong_type(struct reader *reader, const char *must)
{
	return fail_at(reader, value_start(reader), must, key_name(reader));
}

static bool keep_text(struct reader *reader, struct meow_bytes text)
{
	if (memchr(text.data, '\0', text.size) != NULL)
		return wrong_type(reader, "must not contain \\u0000");
	size_t start = value_start(reader);
	struct meow_bytes raw = {reader->line.data + start, consumed(reader) - start};
	if (json_text_lone_surrogate(raw) < raw.size)
		return wrong_type(reader, "has half of a surrogate pair, which is no character");
	reader->text_at[reader->key] = reader->scratch->size;
	buffer_put(reader->scratch, text.data, text.size);
	buffer_put_char(reader->scratch, '\0');
	return true;
}

static bool keep_number(struct reader *reader, int64_t least, int64_t *ret_number)
{
	size_t start = value_start(reader);
	struct meow_bytes text = {reader->line.data + start, consumed(reader) - start};
	int64_t number;
	if (!text_to_int64(text, &number) || number < least)
		return wrong_type(reader, least == 0 ? "must be a whole number from 0 on" : "must be a whole number from 1 on");
	*ret_number = number;
	return true;
}

static bool keep_expect(struct reader *reader, bool number)
{
	size_t start = value_start(reader);
	struct meow_bytes raw = {reader->line.data + start, consumed(reader) - start};
	int64_t version;
	if (number ? !text_to_int64(raw, &version) || version < 0
			   : !bytes_equal(raw, MEOW_BYTES("\"new\"")) && !bytes_equal(raw, MEOW_BYTES("\"any\"")))
		return wrong_type(reader, "must be a version from 0 on, \"new\" or \"any\"");
	if (!number) {
		raw.data++;
		raw.size -= 2;
	}
	reader->found.expect = raw;
	return true;
}

// A scalar directly in the line's object. `kind`: 's'tring, 'n'umber or another one.
static bool take_scalar(struct reader *reader, char kind, struct meow_bytes text)
{
	switch (reader->key) {
	case KEY_AGGREGATE_TYPE:
	case KEY_AGGREGATE_ID:
	case KEY_TYPE:
	case KEY_TIME:
		return kind == 's' ? keep_text(reader, text) : wrong_type(reader, "must be a string");
	case KEY_POSITION:
		reader->found.has_position = kind == 'n';
		return kind == 'n' ? keep_number(reader, 1, &reader->found.position) : wrong_type(reader, "must be a number");
	case KEY_VERSION:
		reader->found.has_version = kind == 'n';
		return kind == 'n' ? keep_number(reader, 0, &reader->found.version) : wrong_type(reader, "must be a number");
	case KEY_RETRY:
		return kind == 'n' ? keep_number(reader, 1, &reader->found.retry) : wrong_type(reader, "must be a number");
	case KEY_GENERATION:
		return kind == 'n' ? keep_number(reader, 0, &reader->found.generation) : wrong_type(reader, "must be a number");
	case KEY_EXPECT:
		return keep_expect(reader, kind == 'n');
	case KEY_DATA:
	case KEY_METADATA:
	case KEY_NONE:
		break; // kept by end_value
	}
	return true;
}

static void end_value(struct reader *reader)
{
	size_t start = value_start(reader);
	struct meow_bytes raw = {reader->line.data + start, consumed(reader) - start};
	if (reader->key == KEY_DATA)
		reader->found.data = raw;
	else if (reader->key == KEY_METADATA)
		reader->found.metadata = raw;
	reader->key = KEY_NONE;
}

static bool scalar(struct reader *reader, char kind, struct meow_bytes text)
{
	if (reader->depth == 0)
		return fail_at(reader, 0, "the line must be a JSON object", NULL);
	if (reader->depth > 1)
		return true;
	if (!take_scalar(reader, kind, text))
		return false;
	end_value(reader);
	return true;
}

static bool start_value(struct reader *reader, bool object)
{
	if (reader->depth == 0 && !object)
		return fail_at(reader, 0, "the line must be a JSON object", NULL);
	if (reader->depth == 1 && reader->key != KEY_DATA && reader->key != KEY_METADATA)
		return wrong_type(reader, "must not be an object or an array");
	reader->depth++;
	return true;
}

static bool end_container(struct reader *reader)
{
	if (--reader->depth == 1)
		end_value(reader);
	return true;
}

static int on_null(void *arg)
{
	return scalar(arg, '0', (struct meow_bytes){0});
}

static int on_boolean(void *arg, int value)
{
	(void)value;
	return scalar(arg, 'b', (struct meow_bytes){0});
}

static int on_number(void *arg, const char *text, size_t size)
{
	return scalar(arg, 'n', (struct meow_bytes){text, size});
}

static int on_string(void *arg, const unsigned char *text, size_t size)
{
	return scalar(arg, 's', (struct meow_bytes){(const char *)text, size});
}

static int on_start_map(void *arg)
{
	return start_value(arg, true);
}

static int on_start_array(void *arg)
{
	return start_value(arg, false);
}

static int on_end(void *arg)
{
	return end_container(arg);
}

static int on_key(void *arg, const unsigned char *text, size_t size)
{
	struct reader *reader = arg;
	if (reader->depth != 1)
		return true;
	struct meow_bytes name = {(const char *)text, size};
	reader->key_end = consumed(reader);
	size_t key = 0;
	while (key < KEY_NONE && !bytes_equal(name, bytes_of(key_names[key])))
		key++;
	if (key == KEY_NONE) {
		// The raw key is shown, since an unescaped one could hold anything.
		error_set(reader->err, MEOW_INVALID,
			"column %zu: unknown key \"%.*s\"; there are aggregate_type, aggregate_id, "
			"expect, version, type, time, data, metadata, position and generation",
			json_text_column(reader->line, reader->key_end - 1), size > 60 ? 60 : (int)size, name.data);
		return false;
	}
	if ((reader->seen & 1u << key) != 0)
		return fail_at(reader, reader->key_end - 1, "is there twice", key_names[key]);
	reader->seen |= 1u << key;
	reader->key = (enum key)key;
	return true;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end,
};

static struct meow_bytes kept_text(const struct reader *reader, enum key key)
{
	if ((reader->seen & 1u << key) == 0)
		return (struct meow_bytes){0};
	return bytes_of(reader->scratch->data + reader->text_at[key]);
}

static bool parse(struct reader *reader)
{
	reader->handle = yajl_alloc(&callbacks, NULL, reader);
	if (reader->handle == NULL)
		return error_no_memory(reader->err);
	bool ok = json_text_parse(reader->handle, reader->line, reader->err);
	yajl_free(reader->handle);
	return ok;
}

bool envelope_read(
	struct meow_bytes line, struct buffer *scratch, struct envelope_line *ret_line, struct meow_error *err)
{
	struct reader reader = {.line = line, .scratch = scratch, .key = KEY_NONE, .err = err};
	if (!json_text_check(line, err) || !parse(&reader) || !buffer_ok(scratch, err))
		return false;
	*ret_line = reader.found;
	ret_line->aggregate_type = kept_text(&reader, KEY_AGGREGATE_TYPE);
	ret_line->aggregate_id = kept_text(&reader, KEY_AGGREGATE_ID);
	ret_line->type = kept_text(&reader, KEY_TYPE);
	ret_line->time = kept_text(&reader, KEY_TIME);
	return true;
}
