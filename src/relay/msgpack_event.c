// msgpack_event.c: JSON to MessagePack without a tree in between. MessagePack wants the number of a container's elements
// before the elements, so a first scan counts commas, container by container, and the parse then packs as it goes.
//
// Numbers: an integer that fits int64 or uint64 goes as one; else a double if it holds exactly the decimal number that
// was written (0.1, 1.0, 1e20); else the text as a string (1e400, 12345678901234567890123). Repeated keys pass, in their
// order. A lone surrogate escape is no Unicode text: such an event is refused, not altered.
#include "relay/msgpack_event.h"

#include "base/text.h"
#include "relay/json_text.h"

#include <float.h>
#include <math.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct packer {
	msgpack_packer to;
	const uint32_t *counts; // of the containers, in the order in which they begin
	size_t count, next;
};

static int write_to_buffer(void *arg, const char *data, size_t size)
{
	struct buffer *buffer = arg;
	buffer_put(buffer, data, size);
	return buffer->failed ? -1 : 0;
}

// --- the numbers of elements

struct counter {
	struct buffer counts; // uint32_t each
	struct buffer open;   // indices into counts of the containers that are open, uint32_t each
};

static uint32_t *open_count(struct counter *counter)
{
	if (counter->open.size == 0)
		return NULL;
	uint32_t index;
	memcpy(&index, counter->open.data + counter->open.size - sizeof(index), sizeof(index));
	return (uint32_t *)(void *)counter->counts.data + index;
}

static void count_open(struct counter *counter, bool empty)
{
	uint32_t index = (uint32_t)(counter->counts.size / sizeof(uint32_t));
	uint32_t elements = empty ? 0 : 1; // commas and one
	buffer_put(&counter->counts, &elements, sizeof(elements));
	buffer_put(&counter->open, &index, sizeof(index));
}

// The offset behind the string that begins at `at`.
static size_t skip_string(struct meow_bytes json, size_t at)
{
	for (at++; at < json.size && json.data[at] != '"'; at++)
		if (json.data[at] == '\\')
			at++;
	return at + 1;
}

static bool is_empty_container(struct meow_bytes json, size_t at)
{
	do
		at++;
	while (at < json.size && strchr(" \t\r\n", json.data[at]) != NULL && json.data[at] != '\0');
	return at < json.size && (json.data[at] == '}' || json.data[at] == ']');
}

// Counts without checking: what is not well-formed is found by the parser, which stops before it could miscount.
static void count_elements(struct counter *counter, struct meow_bytes json)
{
	for (size_t at = 0; at < json.size && !counter->counts.failed && !counter->open.failed;) {
		char c = json.data[at];
		if (c == '"') {
			at = skip_string(json, at);
			continue;
		}
		uint32_t *elements = open_count(counter);
		if (c == '{' || c == '[')
			count_open(counter, is_empty_container(json, at));
		else if (c == ',' && elements != NULL)
			++*elements;
		else if ((c == '}' || c == ']') && elements != NULL)
			counter->open.size -= sizeof(uint32_t);
		at++;
	}
}

// --- numbers

// The significant digits of a JSON number, without leading and trailing zeros, and the power of ten of the first one.
struct decimal {
	char digits[20];
	size_t count; // more than sizeof(digits): only so many were kept; 0 for zero
	int64_t exponent;
};

static void read_decimal(const char *text, size_t size, struct decimal *decimal)
{
	*decimal = (struct decimal){0};
	size_t at = text[0] == '-' ? 1 : 0, zeros = 0;
	int64_t point = 0; // digits before the point, from the first significant one on
	bool behind_point = false;
	for (; at < size && (text[at] | 32) != 'e'; at++) {
		if (text[at] == '.') {
			behind_point = true;
			continue;
		}
		if (text[at] == '0') {
			zeros += decimal->count > 0;
			point += behind_point ? -(decimal->count == 0) : decimal->count > 0;
			continue;
		}
		for (; zeros > 0; zeros--, decimal->count++)
			if (decimal->count < sizeof(decimal->digits))
				decimal->digits[decimal->count] = '0';
		if (decimal->count < sizeof(decimal->digits))
			decimal->digits[decimal->count] = text[at];
		decimal->count++;
		point += !behind_point;
	}
	decimal->exponent = decimal->count == 0 ? 0 : point - 1;
	// An exponent of more than nine digits is beyond any double: its sign is all that counts.
	if (at < size && decimal->count > 0)
		decimal->exponent += size - at > 11 ? 1000000000 : strtol(text + at + 1, NULL, 10);
}

// Whether the double is the very number that the text says: every decimal of up to 15 digits in the normal range comes
// back out of a double (DBL_DIG), one of 16 or 17 is compared, a longer one never is.
static bool double_holds(double number, const struct decimal *decimal)
{
	if (!isfinite(number))
		return false;
	if (decimal->count == 0)
		return true;
	if (decimal->count <= DBL_DIG && fabs(number) >= DBL_MIN)
		return true;
	if (decimal->count > DBL_DECIMAL_DIG)
		return false;
	char text[40], bare[40];
	snprintf(text, sizeof(text), "%.*e", (int)decimal->count - 1, fabs(number));
	size_t digits = 0, at = 0;
	for (; text[at] != '\0' && text[at] != 'e'; at++)
		if (text[at] != '.')
			bare[digits++] = text[at];
	return digits == decimal->count && memcmp(bare, decimal->digits, digits) == 0 &&
		   strtol(text + at + 1, NULL, 10) == decimal->exponent;
}

static bool to_uint64(const char *text, size_t size, uint64_t *ret_number)
{
	uint64_t number = 0;
	for (size_t i = 0; i < size; i++) {
		uint64_t digit = (uint64_t)(text[i] - '0');
		if (digit > 9 || number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	*ret_number = number;
	return true;
}

static void pack_text(msgpack_packer *to, struct meow_bytes text)
{
	msgpack_pack_str(to, text.size);
	msgpack_pack_str_body(to, text.data, text.size);
}

// The program never calls setlocale, so strtod and printf know the point of the "C" locale only. The longest text that
// may matter: 17 digits among zeros; a number longer than the copy goes as text.
static void pack_number(msgpack_packer *to, const char *text, size_t size)
{
	int64_t whole;
	uint64_t natural;
	struct meow_bytes bytes = {text, size};
	bool negative_zero = size == 2 && memcmp(text, "-0", 2) == 0;
	char copy[400];
	if (text_to_int64(bytes, &whole) && !negative_zero) {
		msgpack_pack_int64(to, whole);
	} else if (to_uint64(text, size, &natural)) {
		msgpack_pack_uint64(to, natural);
	} else if (size < sizeof(copy)) {
		memcpy(copy, text, size);
		copy[size] = '\0';
		struct decimal decimal;
		read_decimal(copy, size, &decimal);
		double number = strtod(copy, NULL);
		if (double_holds(number, &decimal))
			msgpack_pack_double(to, number);
		else
			pack_text(to, bytes);
	} else {
		pack_text(to, bytes);
	}
}

// --- the parse

// A failed write shows in the buffer; packing goes on into nothing.
static int on_null(void *arg)
{
	struct packer *packer = arg;
	msgpack_pack_nil(&packer->to);
	return 1;
}

static int on_boolean(void *arg, int value)
{
	struct packer *packer = arg;
	if (value)
		msgpack_pack_true(&packer->to);
	else
		msgpack_pack_false(&packer->to);
	return 1;
}

static int on_number(void *arg, const char *text, size_t size)
{
	struct packer *packer = arg;
	pack_number(&packer->to, text, size);
	return 1;
}

static int on_string(void *arg, const unsigned char *text, size_t size)
{
	struct packer *packer = arg;
	pack_text(&packer->to, (struct meow_bytes){(const char *)text, size});
	return 1;
}

static uint32_t next_count(struct packer *packer)
{
	return packer->next < packer->count ? packer->counts[packer->next++] : 0;
}

static int on_start_map(void *arg)
{
	struct packer *packer = arg;
	msgpack_pack_map(&packer->to, next_count(packer));
	return 1;
}

static int on_start_array(void *arg)
{
	struct packer *packer = arg;
	msgpack_pack_array(&packer->to, next_count(packer));
	return 1;
}

static int on_end(void *arg)
{
	(void)arg;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_map,
	.yajl_map_key = on_string,
	.yajl_end_map = on_end,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end,
};

static bool pack_counted(
	struct buffer *buffer, struct meow_bytes json, const struct counter *counter, struct meow_error *err)
{
	struct packer packer = {.counts = (const uint32_t *)(const void *)counter->counts.data,
		.count = counter->counts.size / sizeof(uint32_t)};
	msgpack_packer_init(&packer.to, buffer, write_to_buffer);
	yajl_handle handle = yajl_alloc(&callbacks, NULL, &packer);
	if (handle == NULL)
		return error_no_memory(err);
	bool ok = json_text_parse(handle, json, err);
	yajl_free(handle);
	return ok;
}

static bool pack_json(struct buffer *buffer, struct meow_bytes json, struct meow_error *err)
{
	size_t lone = json_text_lone_surrogate(json);
	if (lone < json.size)
		return error_set(err, MEOW_INVALID,
			"column %zu: half of a surrogate pair (%.6s), which is no character and cannot "
			"be in MessagePack; use format data or envelope",
			json_text_column(json, lone), json.data + lone);
	struct counter counter;
	buffer_init(&counter.counts);
	buffer_init(&counter.open);
	count_elements(&counter, json);
	bool ok =
		counter.counts.failed || counter.open.failed ? error_no_memory(err) : pack_counted(buffer, json, &counter, err);
	buffer_finish(&counter.counts);
	buffer_finish(&counter.open);
	return ok;
}

// --- the event

static void pack_key(msgpack_packer *to, const char *key)
{
	pack_text(to, bytes_of(key));
}

static void pack_pair(msgpack_packer *to, const char *key, struct meow_bytes text)
{
	if (text.data == NULL)
		return;
	pack_key(to, key);
	pack_text(to, text);
}

static bool pack_part(struct buffer *buffer, msgpack_packer *to, const char *key, const struct meow_event *event,
	struct meow_bytes json, struct meow_error *err)
{
	struct meow_error cause;
	pack_key(to, key);
	if (pack_json(buffer, json, &cause))
		return true;
	return error_set(err, cause.kind, "event %lld: %s, %s", (long long)event->position, key, cause.text);
}

bool msgpack_event_write(
	struct buffer *buffer, const struct meow_event *event, int64_t generation, struct meow_error *err)
{
	bool timed = event->time_us != MEOW_NO_TIME, described = event->metadata.data != NULL;
	msgpack_packer to;
	msgpack_packer_init(&to, buffer, write_to_buffer);
	msgpack_pack_map(&to, (size_t)3 + (event->aggregate_type.data != NULL) + (event->aggregate_id.data != NULL) +
							  (event->type.data != NULL) + timed + described + (generation > 0));
	pack_key(&to, "position");
	msgpack_pack_int64(&to, event->position);
	pack_pair(&to, "aggregate_type", event->aggregate_type);
	pack_pair(&to, "aggregate_id", event->aggregate_id);
	pack_key(&to, "version");
	msgpack_pack_int64(&to, event->version);
	pack_pair(&to, "type", event->type);
	if (timed) {
		char time[TEXT_TIME_SIZE];
		text_time(event->time_us, time);
		pack_pair(&to, "time", bytes_of(time));
	}
	if (!pack_part(buffer, &to, "data", event, event->data, err))
		return false;
	if (described && !pack_part(buffer, &to, "metadata", event, event->metadata, err))
		return false;
	if (generation > 0) {
		pack_key(&to, "generation");
		msgpack_pack_int64(&to, generation);
	}
	return true;
}
