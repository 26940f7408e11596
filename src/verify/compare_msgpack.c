// compare_msgpack.c: both sides are walked at once. MessagePack has the same values in the same order as the JSON they
// were made of, repeated keys included, so yajl's callbacks each take the next token of the value and compare; no tree is
// built. The reader of tokens is our own: the encoder's library would carry its mistakes over to this side.
//
// Numbers, by docs/formats.md: an integer that fits 64 bits is that integer; any other is a double that holds exactly
// the decimal number that was written, else the text as it was written.
#include "verify/compare.h"

#include "base/text.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

enum token_kind {
	TOKEN_NIL,
	TOKEN_BOOLEAN,
	TOKEN_NEGATIVE,
	TOKEN_NATURAL,
	TOKEN_DOUBLE,
	TOKEN_TEXT,
	TOKEN_MAP,
	TOKEN_ARRAY
};

struct token {
	enum token_kind kind;
	uint64_t number; // of a boolean, a natural number, a negative one (as two's complement); elements of a container
	double real;
	struct meow_bytes text;
};

struct tokens {
	const unsigned char *at, *end;
};

static bool take_big(struct tokens *tokens, size_t size, uint64_t *ret_number)
{
	if ((size_t)(tokens->end - tokens->at) < size)
		return false;
	*ret_number = 0;
	for (size_t i = 0; i < size; i++)
		*ret_number = *ret_number << 8 | *tokens->at++;
	return true;
}

static bool take_text(struct tokens *tokens, uint64_t size, struct token *token)
{
	if ((uint64_t)(tokens->end - tokens->at) < size)
		return false;
	token->kind = TOKEN_TEXT;
	token->text = (struct meow_bytes){(const char *)tokens->at, (size_t)size};
	tokens->at += size;
	return true;
}

static bool take_signed(struct tokens *tokens, size_t size, struct token *token)
{
	uint64_t number;
	if (!take_big(tokens, size, &number))
		return false;
	bool negative = (number >> (8 * size - 1)) != 0;
	if (negative && size < 8)
		number |= ~(uint64_t)0 << 8 * size;
	token->kind = negative ? TOKEN_NEGATIVE : TOKEN_NATURAL;
	token->number = number;
	return true;
}

static bool take_sized(struct tokens *tokens, enum token_kind kind, size_t size, struct token *token)
{
	token->kind = kind;
	if (!take_big(tokens, size, &token->number))
		return false;
	if (kind == TOKEN_DOUBLE)
		memcpy(&token->real, &token->number, sizeof(token->real));
	return kind != TOKEN_TEXT || take_text(tokens, token->number, token);
}

// The next token. False at the end, and for what no JSON becomes (bin, ext, float 32).
static bool take(struct tokens *tokens, struct token *token)
{
	*token = (struct token){0};
	if (tokens->at == tokens->end)
		return false;
	unsigned char byte = *tokens->at++;
	token->number = byte;
	token->kind = TOKEN_NATURAL;
	if (byte < 0x80)
		return true;
	if (byte >= 0xe0) {
		token->kind = TOKEN_NEGATIVE;
		token->number = ~(uint64_t)0xff | byte;
		return true;
	}
	if (byte < 0xa0) {
		token->kind = byte < 0x90 ? TOKEN_MAP : TOKEN_ARRAY;
		token->number = byte & 15;
		return true;
	}
	if (byte < 0xc0)
		return take_text(tokens, byte & 31, token);
	switch (byte) {
	case 0xc0:
		token->kind = TOKEN_NIL;
		return true;
	case 0xc2:
	case 0xc3:
		token->kind = TOKEN_BOOLEAN;
		token->number = byte & 1;
		return true;
	case 0xcb:
		return take_sized(tokens, TOKEN_DOUBLE, 8, token);
	case 0xcc:
	case 0xcd:
	case 0xce:
	case 0xcf:
		return take_sized(tokens, TOKEN_NATURAL, (size_t)1 << (byte - 0xcc), token);
	case 0xd0:
	case 0xd1:
	case 0xd2:
	case 0xd3:
		return take_signed(tokens, (size_t)1 << (byte - 0xd0), token);
	case 0xd9:
	case 0xda:
	case 0xdb:
		return take_sized(tokens, TOKEN_TEXT, (size_t)1 << (byte - 0xd9), token);
	case 0xdc:
	case 0xdd:
		return take_sized(tokens, TOKEN_ARRAY, byte == 0xdc ? 2 : 4, token);
	case 0xde:
	case 0xdf:
		return take_sized(tokens, TOKEN_MAP, byte == 0xde ? 2 : 4, token);
	default:
		return false;
	}
}

// --- numbers

// The decimal's significant digits, at most 18 of them; how many there are.
static size_t significant(const char *text, size_t size, char digits[19])
{
	size_t count = 0, zeros = 0;
	for (size_t at = 0; at < size && (text[at] | 32) != 'e'; at++) {
		if (text[at] < '0' || text[at] > '9')
			continue;
		if (text[at] == '0') {
			zeros += count > 0;
			continue;
		}
		for (; zeros > 0; zeros--, count++)
			if (count < 18)
				digits[count] = '0';
		if (count < 18)
			digits[count] = text[at];
		count++;
	}
	return count;
}

// Whether printing the double with as many digits as were written gives these digits back. strtod has already said that
// it is the double nearest to the text, so the exponent needs no look.
static bool holds_exactly(double real, const char *text, size_t size)
{
	char digits[19], printed[40];
	size_t count = significant(text, size, digits);
	if (!isfinite(real) || count > DBL_DECIMAL_DIG)
		return false;
	if (count == 0)
		return real == 0;
	snprintf(printed, sizeof(printed), "%.*e", (int)count - 1, fabs(real));
	size_t at = 0;
	for (const char *from = printed; *from != 'e' && at < count; from++)
		if (*from != '.' && *from != digits[at++])
			return false;
	return real != 0;
}

// A whole number that fits 64 bits. "-0" is none: an integer has no sign of zero.
static bool whole(const char *text, size_t size, struct token *ret_wanted)
{
	int64_t number;
	struct meow_bytes bytes = {text, size};
	if (bytes_equal(bytes, MEOW_BYTES("-0")))
		return false;
	if (text_to_int64(bytes, &number)) {
		*ret_wanted = (struct token){number < 0 ? TOKEN_NEGATIVE : TOKEN_NATURAL, (uint64_t)number, 0, {0}};
		return true;
	}
	uint64_t natural = 0;
	for (size_t at = 0; at < size; at++) {
		uint64_t digit = (uint64_t)(text[at] - '0');
		if (digit > 9 || natural > (UINT64_MAX - digit) / 10)
			return false;
		natural = natural * 10 + digit;
	}
	*ret_wanted = (struct token){TOKEN_NATURAL, natural, 0, {0}};
	return true;
}

static bool same_number(const struct token *token, const char *text, size_t size)
{
	struct token wanted;
	if (whole(text, size, &wanted))
		return token->kind == wanted.kind && token->number == wanted.number;
	if (token->kind == TOKEN_TEXT)
		return bytes_equal(token->text, (struct meow_bytes){text, size});
	char copy[400]; // more digits than these no double has
	if (token->kind != TOKEN_DOUBLE || size >= sizeof(copy))
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	double real = strtod(copy, NULL);
	return memcmp(&real, &token->real, sizeof(real)) == 0 && holds_exactly(real, copy, size);
}

// --- a JSON value beside its tokens

struct open {
	uint64_t left; // keys or elements that have not come
	bool map;
};

struct pair {
	struct tokens *tokens;
	struct buffer opened; // struct open
};

static struct open *innermost(struct pair *pair)
{
	return pair->opened.size == 0 ? NULL : (struct open *)(void *)(pair->opened.data + pair->opened.size) - 1;
}

// The next token, which must be there: a map counts its keys, an array its elements.
static bool next(struct pair *pair, bool key, struct token *token)
{
	struct open *open = innermost(pair);
	if (open != NULL && open->map == key) {
		if (open->left == 0)
			return false;
		open->left--;
	}
	return take(pair->tokens, token);
}

static int on_null(void *arg)
{
	struct token token;
	return next(arg, false, &token) && token.kind == TOKEN_NIL;
}

static int on_boolean(void *arg, int value)
{
	struct token token;
	return next(arg, false, &token) && token.kind == TOKEN_BOOLEAN && token.number == (value != 0);
}

static int on_number(void *arg, const char *text, size_t size)
{
	struct token token;
	return next(arg, false, &token) && same_number(&token, text, size);
}

static bool same_text(struct pair *pair, bool key, const unsigned char *text, size_t size)
{
	struct token token;
	return next(pair, key, &token) && token.kind == TOKEN_TEXT && token.text.size == size &&
		   (size == 0 || memcmp(token.text.data, text, size) == 0);
}

static int on_string(void *arg, const unsigned char *text, size_t size)
{
	return same_text(arg, false, text, size);
}

static int on_key(void *arg, const unsigned char *text, size_t size)
{
	return same_text(arg, true, text, size);
}

static bool start(struct pair *pair, enum token_kind kind)
{
	struct token token;
	if (!next(pair, false, &token) || token.kind != kind)
		return false;
	struct open open = {.left = token.number, .map = kind == TOKEN_MAP};
	buffer_put(&pair->opened, &open, sizeof(open));
	return !pair->opened.failed;
}

static int on_start_map(void *arg)
{
	return start(arg, TOKEN_MAP);
}

static int on_start_array(void *arg)
{
	return start(arg, TOKEN_ARRAY);
}

static int on_end(void *arg)
{
	struct pair *pair = arg;
	if (innermost(pair)->left > 0)
		return false;
	pair->opened.size -= sizeof(struct open);
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

static bool same_json(struct tokens *tokens, struct meow_bytes json)
{
	struct pair pair = {.tokens = tokens};
	buffer_init(&pair.opened);
	yajl_handle handle = yajl_alloc(&callbacks, NULL, &pair);
	bool same = handle != NULL && yajl_parse(handle, (const unsigned char *)json.data, json.size) == yajl_status_ok &&
				yajl_complete_parse(handle) == yajl_status_ok && pair.opened.size == 0;
	if (handle != NULL)
		yajl_free(handle);
	buffer_finish(&pair.opened);
	return same;
}

// --- the event

static bool take_key(struct tokens *tokens, const char *key)
{
	struct token token;
	return take(tokens, &token) && token.kind == TOKEN_TEXT && bytes_equal(token.text, bytes_of(key));
}

static bool same_natural(struct tokens *tokens, const char *key, int64_t number)
{
	struct token token;
	return take_key(tokens, key) && take(tokens, &token) && token.kind == TOKEN_NATURAL &&
		   token.number == (uint64_t)number;
}

static bool same_pair(struct tokens *tokens, const char *key, struct meow_bytes text)
{
	struct token token;
	return text.data == NULL ||
		   (take_key(tokens, key) && take(tokens, &token) && token.kind == TOKEN_TEXT && bytes_equal(token.text, text));
}

const char *compare_msgpack(struct meow_bytes value, const struct meow_event *event, int64_t generation)
{
	struct tokens tokens = {(const unsigned char *)value.data, (const unsigned char *)value.data + value.size};
	struct token map;
	struct meow_bytes time = {0};
	char time_text[TEXT_TIME_SIZE];
	if (event->time_us != MEOW_NO_TIME) {
		text_time(event->time_us, time_text);
		time = bytes_of(time_text);
	}
	size_t pairs = (size_t)4 + (event->aggregate_type.data != NULL) + (event->aggregate_id.data != NULL) +
				   (time.data != NULL) + (event->metadata.data != NULL) + (generation > 0);
	if (value.size == 0 || !take(&tokens, &map) || map.kind != TOKEN_MAP ||
		(map.number != pairs && (generation >= 0 || map.number != pairs + 1)))
		return "the keys";
	if (!same_natural(&tokens, "position", event->position))
		return "position";
	if (!same_pair(&tokens, "aggregate_type", event->aggregate_type))
		return "aggregate_type";
	if (!same_pair(&tokens, "aggregate_id", event->aggregate_id))
		return "aggregate_id";
	if (!same_natural(&tokens, "version", event->version))
		return "version";
	if (!same_pair(&tokens, "type", event->type))
		return "type";
	if (!same_pair(&tokens, "time", time))
		return "time";
	if (!take_key(&tokens, "data") || !same_json(&tokens, event->data))
		return "data";
	if (event->metadata.data != NULL && (!take_key(&tokens, "metadata") || !same_json(&tokens, event->metadata)))
		return "metadata";
	struct token any;
	if (generation > 0 && !same_natural(&tokens, "generation", generation))
		return "generation";
	if (map.number == pairs + 1 && (!take_key(&tokens, "generation") || !take(&tokens, &any)))
		return "generation";
	return tokens.at == tokens.end ? NULL : "what follows the event";
}
