// Names of topics and streams, the JSON line and the formats.
#include "unit.h"

#include "base/text.h"
#include "relay/encoder.h"
#include "relay/envelope.h"
#include "relay/template.h"

#include <stdlib.h>
#include <string.h>

static struct meow_event order_placed(void)
{
	return (struct meow_event){
		.position = 42,
		.version = 0,
		.time_us = 1795421350123456,
		.transaction_id = 7,
		.aggregate_type = bytes_of("注文"),
		.aggregate_id = bytes_of("o-1"),
		.type = bytes_of("OrderPlaced"),
		.data = bytes_of("{\"total\": 1.0}"),
	};
}

static char *name_of(const char *text, const struct meow_event *event)
{
	struct meow_error err;
	struct template *template = template_create(text, &err);
	if (template == NULL)
		fail_msg("%s", err.text);
	struct buffer out;
	buffer_init(&out);
	template_put(template, event, 3, 2, &out);
	template_destroy(template);
	return out.data;
}

static void test_a_name_is_put_together_from_attributes(void **state)
{
	(void)state;
	struct meow_event event = order_placed();
	static const char *const cases[][2] = {
		{"orders", "orders"},
		{"shop.{aggregate_type}.{aggregate_id}", "shop.注文.o-1"},
		{"{type}", "OrderPlaced"},
		{"{partition}{generation}", "32"},
		{"{{{type}}}", "{OrderPlaced}"},
		{"a{{b}}c", "a{b}c"},
		{"{{type}}", "{type}"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		char *name = name_of(cases[i][0], &event);
		assert_string_equal(name, cases[i][1]);
		free(name);
	}
}

static void test_a_wrong_template_is_refused_with_its_column(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"注文.{agregate_type}", "column 4: unknown attribute \"{agregate_type}\""},
		{"a{type", "column 2: \"{\" without \"}\""},
		{"a}b", "column 2: \"}\" without \"{\""},
		{"{}", "column 1: unknown attribute \"{}\""},
		{"{ty{pe}}", "column 1: \"{\" without \"}\""},
		{"", "the name is empty"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct meow_error err;
		assert_null(template_create(cases[i][0], &err));
		assert_int_equal(err.kind, MEOW_CONFIG);
		assert_memory_equal(err.text, cases[i][1], strlen(cases[i][1]));
	}
}

static void test_a_template_knows_what_it_uses(void **state)
{
	(void)state;
	struct template *template = template_create("{aggregate_type}.{partition}", NULL);
	assert_non_null(template);
	assert_true(template_uses(template, "partition"));
	assert_true(template_uses(template, "aggregate_type"));
	assert_false(template_uses(template, "type"));
	assert_false(template_uses(template, "nothing"));
	assert_false(template_is_constant(template));
	template_destroy(template);
	template = template_create("a.{partition}.{generation}", NULL);
	assert_true(template_is_constant(template));
	template_destroy(template);
	template_destroy(NULL);
}

static void test_the_hash_follows_what_the_name_is_made_of(void **state)
{
	(void)state;
	struct meow_event a = order_placed(), b = order_placed();
	struct template *template = template_create("{aggregate_type}-{type}", NULL);
	b.aggregate_id = bytes_of("o-2");
	assert_true(template_hash(template, &a) == template_hash(template, &b));
	b.type = bytes_of("OrderPaid");
	assert_true(template_hash(template, &a) != template_hash(template, &b));
	a.aggregate_type = bytes_of("ab"), a.type = bytes_of("c");
	b.aggregate_type = bytes_of("a"), b.type = bytes_of("bc");
	assert_true(template_hash(template, &a) != template_hash(template, &b));
	template_destroy(template);
}

static struct meow_bytes encode(const char *format, const struct meow_event *event, struct buffer *scratch)
{
	struct meow_error err;
	struct meow_bytes value;
	if (!encoder_value(encoder_find(format), event, 0, scratch, &value, &err))
		fail_msg("%s", err.text);
	return value;
}

static void test_formats_have_names_and_content_types(void **state)
{
	(void)state;
	assert_string_equal(encoder_find("data")->content_type, "application/json");
	assert_string_equal(encoder_find("envelope")->content_type, "application/json");
	assert_string_equal(encoder_find("msgpack")->content_type, "application/msgpack");
	assert_null(encoder_find("xml"));
}

static void test_data_is_handed_out_where_it_is(void **state)
{
	(void)state;
	struct meow_event event = order_placed();
	struct buffer scratch;
	buffer_init(&scratch);
	assert_ptr_equal(encode("data", &event, &scratch).data, event.data.data);
	assert_int_equal(scratch.size, 0);
}

static void test_an_envelope_is_one_line(void **state)
{
	(void)state;
	struct meow_event event = order_placed();
	event.data = bytes_of("{\n\t\"a\" : 1.0,\r\n\"a\":12345678901234567890, \"b\":\"\\u0000\\n\", \"c\":1e400}");
	event.metadata = bytes_of("null");
	struct buffer scratch;
	buffer_init(&scratch);
	struct meow_bytes value;
	assert_true(encoder_value(encoder_find("envelope"), &event, 3, &scratch, &value, NULL));
	assert_string_equal(value.data,
		"{\"position\":42,\"aggregate_type\":\"注文\",\"aggregate_id\":\"o-1\",\"version\":0,\"type\":\"OrderPlaced\","
		"\"time\":\"2026-11-23T08:09:10.123456Z\",\"data\":{ \t\"a\" : 1.0,  \"a\":12345678901234567890, "
		"\"b\":\"\\u0000\\n\", \"c\":1e400},\"metadata\":null,\"generation\":3}");
	buffer_clear(&scratch, 0);
	event.metadata = (struct meow_bytes){0};
	event.time_us = MEOW_NO_TIME;
	event.data = bytes_of("1");
	value = encode("envelope", &event, &scratch);
	assert_string_equal(value.data,
		"{\"position\":42,\"aggregate_type\":\"注文\",\"aggregate_id\":\"o-1\",\"version\":0,"
		"\"type\":\"OrderPlaced\",\"data\":1}");
	buffer_finish(&scratch);
}

// What a JSON value becomes in MessagePack, in hexadecimal: the event's last pair is its data.
static void assert_packs(const char *json, const char *hex)
{
	struct meow_event event = {.time_us = MEOW_NO_TIME, .data = bytes_of(json)};
	struct buffer scratch, shown;
	buffer_init(&scratch);
	buffer_init(&shown);
	struct meow_bytes value = encode("msgpack", &event, &scratch);
	const char *data = memmem(value.data, value.size,
		"\xA4"
		"data",
		5);
	assert_non_null(data);
	for (data += 5; data < value.data + value.size; data++)
		buffer_printf(&shown, "%02x", (unsigned)(unsigned char)*data);
	assert_string_equal(shown.data, hex);
	buffer_finish(&scratch);
	buffer_finish(&shown);
}

static void test_msgpack_carries_native_values(void **state)
{
	(void)state;
	assert_packs("null", "c0");
	assert_packs("true", "c3");
	assert_packs(" [ ] ", "90");
	assert_packs("{ }", "80");
	assert_packs("[[],{},[1,[2]]]", "93908092019102");
	assert_packs("{\"a,]}\\\"\":[\"{\",\"\\\\\"]}", "81a5612c5d7d2292a17ba15c");
	assert_packs("{\"a\":1,\"a\":2}", "82a16101a16102");
	assert_packs("\"\\u0000\"", "a100");
	assert_packs("\"\\ud83d\\udc31\"", "a4f09f90b1");
	assert_packs("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", "dc00100102030405060708090a0b0c0d0e0f10");
}

static void test_msgpack_never_alters_a_number(void **state)
{
	(void)state;
	assert_packs("-1", "ff");
	assert_packs("9223372036854775807", "cf7fffffffffffffff");
	assert_packs("12345678901234567890", "cfab54a98ceb1f0ad2");
	assert_packs("18446744073709551615", "cfffffffffffffffff");
	assert_packs("18446744073709551616", "b4"
										 "3138343436373434303733373039353531363136");
	assert_packs("-9223372036854775808", "d38000000000000000");
	assert_packs("-9223372036854775809", "b4"
										 "2d39323233333732303336383534373735383039");
	assert_packs("1.0", "cb3ff0000000000000");
	assert_packs("1.10", "cb3ff199999999999a");
	assert_packs("-0", "cb8000000000000000");
	assert_packs("0.0", "cb0000000000000000");
	assert_packs("1e2", "cb4059000000000000");
	assert_packs("1E400", "a5"
						  "3145343030");
	assert_packs("1e-400", "a6"
						   "31652d343030");
	assert_packs("5e-324", "cb0000000000000001");
	assert_packs("4e-324", "a6"
						   "34652d333234");
	assert_packs("0.1", "cb3fb999999999999a");
	assert_packs("0.30000000000000004", "cb3fd3333333333334");
	assert_packs("0.30000000000000001", "b3"
										"302e3330303030303030303030303030303031");
	assert_packs("9007199254740993.0", "b2"
									   "393030373139393235343734303939332e30");
	assert_packs("100000000000000000000", "cb4415af1d78b58c40");
	assert_packs("1e99999999999", "ad"
								  "31653939393939393939393939");
}

static void test_msgpack_refuses_what_it_cannot_hold(void **state)
{
	(void)state;
	struct meow_event event = order_placed();
	struct buffer scratch;
	buffer_init(&scratch);
	struct meow_bytes value = {0};
	struct meow_error err;
	event.data = bytes_of("{\"注\":\"\\uD83D!\"}");
	assert_false(encoder_value(encoder_find("msgpack"), &event, 0, &scratch, &value, &err));
	assert_int_equal(err.kind, MEOW_INVALID);
	assert_non_null(strstr(err.text, "event 42: data, column 7: half of a surrogate pair (\\uD83D)"));
	static const char *const bad[] = {"{\"a\":[1,2}", "[1", "]", "", "{\"a\" 1}", "\"", "[,,,,]", "[}", "{\"a\":1]]]]"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		event.data = bytes_of(bad[i]);
		assert_false(encoder_value(encoder_find("msgpack"), &event, 0, &scratch, &value, &err));
		assert_non_null(strstr(err.text, "event 42: data, column "));
	}
	assert_null(value.data);
	buffer_finish(&scratch);
}

static void assert_trace(const char *metadata, const char *traceparent, const char *tracestate, const char *baggage)
{
	struct meow_event event = order_placed();
	event.metadata = bytes_of(metadata);
	struct buffer scratch;
	buffer_init(&scratch);
	struct encoder_trace trace;
	assert_true(encoder_trace(&event, &scratch, &trace, NULL));
	assert_true(bytes_equal(trace.traceparent, bytes_of(traceparent)));
	assert_true(bytes_equal(trace.tracestate, bytes_of(tracestate)));
	assert_true(bytes_equal(trace.baggage, bytes_of(baggage)));
	buffer_finish(&scratch);
}

static void test_the_trace_comes_from_the_top_of_the_metadata(void **state)
{
	(void)state;
	assert_trace(NULL, NULL, NULL, NULL);
	assert_trace("{}", NULL, NULL, NULL);
	assert_trace("{\"traceparent\":\"00-ab-cd-01\",\"tracestate\":\"\",\"baggage\":\"k=\\\"v\\\"\"}", "00-ab-cd-01", "",
		"k=\"v\"");
	assert_trace(
		"{\"x\":{\"traceparent\":\"no\"},\"trac\\u0065parent\":\"yes\",\"y\":[\"baggage\"]}", "yes", NULL, NULL);
	assert_trace("{\"traceparent\":17,\"tracestate\":{\"baggage\":\"no\"},\"baggage\":null}", NULL, NULL, NULL);
	assert_trace("{\"baggage\":\"first\",\"baggage\":\"last\"}", NULL, NULL, "last");
	assert_trace("{\"baggage\":\"first\",\"baggage\":[\"x\"]}", NULL, NULL, NULL);
	assert_trace("[{\"traceparent\":\"no\"}]", NULL, NULL, NULL);
	assert_trace("\"traceparent\"", NULL, NULL, NULL);
	assert_trace("{\"traceparent\":\"torn\"", NULL, NULL, NULL);
}

static struct envelope_line read_line(const char *text, struct buffer *scratch)
{
	struct envelope_line line;
	struct meow_error err;
	buffer_init(scratch);
	if (!envelope_read(bytes_of(text), scratch, &line, &err))
		fail_msg("%s", err.text);
	return line;
}

static bool bytes_are(struct meow_bytes bytes, const char *text)
{
	return bytes_equal(bytes, bytes_of(text));
}

static void test_a_line_is_read_back(void **state)
{
	(void)state;
	struct buffer scratch;
	struct envelope_line line =
		read_line(" { \"type\" : \"O\\u0072der\\n\" , \"data\" : {\"a\" : [1.0 , 1e400],\"a\":{}} ,"
				  "\"aggregate_type\":\"注文\",\"aggregate_id\":\"o-1\",\"version\":7,\"position\":42,\"generation\":2,"
				  "\"metadata\": null,\"time\":\"2026-11-23T08:09:10Z\",\"expect\":\"new\"} ",
			&scratch);
	assert_true(bytes_are(line.type, "Order\n"));
	assert_true(bytes_are(line.data, "{\"a\" : [1.0 , 1e400],\"a\":{}}"));
	assert_true(bytes_are(line.metadata, "null"));
	assert_true(bytes_are(line.aggregate_type, "注文"));
	assert_true(bytes_are(line.aggregate_id, "o-1"));
	assert_true(bytes_are(line.time, "2026-11-23T08:09:10Z"));
	assert_true(bytes_are(line.expect, "new"));
	assert_true(line.has_position && line.position == 42);
	assert_true(line.has_version && line.version == 7);
	assert_true(line.generation == 2);
	buffer_finish(&scratch);
}

static void test_any_json_is_data_byte_for_byte(void **state)
{
	(void)state;
	static const char *const values[] = {"1.0", "12345678901234567890", "1e400", "-0", "true", "null", "\"\"",
		"\"\\u0000\"", "\"\\ud800\"", "[]", "{}", "[ ]", "{\"a\":1,\"a\":1}", "\"data\"", "{\"data\":{\"data\":1}}",
		"\"é注\""};
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct buffer text, scratch;
		buffer_init(&text);
		buffer_printf(&text, "{\"data\":  %s\t,\"metadata\":%s}", values[i], values[i]);
		struct envelope_line line = read_line(text.data, &scratch);
		assert_true(bytes_are(line.data, values[i]));
		assert_true(bytes_are(line.metadata, values[i]));
		assert_true(line.type.data == NULL && !line.has_version && !line.has_position && line.expect.data == NULL);
		buffer_finish(&text);
		buffer_finish(&scratch);
	}
}

static void test_expect_is_a_version_or_a_word(void **state)
{
	(void)state;
	struct buffer scratch;
	struct envelope_line line = read_line("{\"expect\": 12 }", &scratch);
	assert_true(bytes_are(line.expect, "12"));
	buffer_finish(&scratch);
	line = read_line("{\"expect\":\"any\"}", &scratch);
	assert_true(bytes_are(line.expect, "any"));
	buffer_finish(&scratch);
}

static void test_a_bad_line_is_refused_with_its_column(void **state)
{
	(void)state;
	static const struct {
		const char *line, *text;
	} cases[] = {
		{"", "column 1: not JSON: parse error: premature EOF"},
		{"{\"data\":1", "column 10: not JSON: parse error: premature EOF"},
		{"{\"data\":01}", "column 10: not JSON: "},
		{"{\"注\":1}", "column 4: unknown key \"注\"; there are aggregate_type,"},
		{"{\"data\":1,}", "column 11: not JSON: "},
		{"{\"data\":1} x", "column 12: not JSON: "},
		{"{\"data\":1}{}", "column 11: not JSON: parse error: trailing garbage"},
		{"{\"data\":nul}", "column 12: not JSON: lexical error: "},
		{"{\"data\":x}", "column 9: not JSON: lexical error: "},
		{"{\"data\":-}", "column 10: not JSON: lexical error: "},
		{"{\"data\":\"\\x\"}", "column 11: not JSON: lexical error: "},
		{"[1]", "column 1: the line must be a JSON object"},
		{"7", "column 1: the line must be a JSON object"},
		{"null", "column 1: the line must be a JSON object"},
		{"{\"data\":1,\"data\":2}", "column 16: \"data\" is there twice"},
		{"{\"type\":1}", "column 9: \"type\" must be a string"},
		{"{\"type\":[]}", "column 9: \"type\" must not be an object or an array"},
		{"{\"aggregate_id\":5}", "column 17: \"aggregate_id\" must be a string"},
		{"{\"version\":\"1\"}", "column 12: \"version\" must be a number"},
		{"{\"version\":1.5}", "column 12: \"version\" must be a whole number from 0 on"},
		{"{\"version\":-1}", "column 12: \"version\" must be a whole number from 0 on"},
		{"{\"position\":0}", "column 13: \"position\" must be a whole number from 1 on"},
		{"{\"position\":99999999999999999999}", "column 13: \"position\" must be a whole number"},
		{"{\"expect\":\"old\"}", "column 11: \"expect\" must be a version from 0 on, \"new\" or \"any\""},
		{"{\"expect\":-2}", "column 11: \"expect\" must be"},
		{"{\"expect\":true}", "column 11: \"expect\" must be"},
		{"{\"type\":\"a\\u0000b\"}", "column 9: \"type\" must not contain \\u0000"},
		{"{\"type\":\"\\udc00\"}", "column 9: \"type\" has half of a surrogate pair"},
		{"{\"data\":[\v]}", "column 10: not JSON: byte 0x0B is none of its blanks"}, // yajl takes it
		{"{\"data\":1\f}", "column 10: not JSON: byte 0x0C is none of its blanks"},
		{"{\"data\":\"a\tb\"}", "column 11: not JSON: lexical error: "},
		{"{\"data\":\"注\xFFz\"}", "column 11: byte 0xFF is not UTF-8"},
		{"{\"data\":\"\xE6\xB3\"}", "column 10: byte 0xE6 is not UTF-8"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buffer scratch;
		buffer_init(&scratch);
		struct envelope_line line = {.position = 5};
		struct meow_error err = {0};
		assert_false(envelope_read(bytes_of(cases[i].line), &scratch, &line, &err));
		assert_int_equal(err.kind, MEOW_INVALID);
		if (strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
			fail_msg("%s: %s", cases[i].line, err.text);
		assert_true(line.position == 5);
		buffer_finish(&scratch);
	}
	struct buffer scratch;
	buffer_init(&scratch);
	struct envelope_line line;
	struct meow_error err;
	assert_false(envelope_read(MEOW_BYTES("{\"data\":\"\xE6\xB3\xA8\0\"}"), &scratch, &line, &err));
	assert_string_equal(err.text, "column 11: a raw NUL byte; JSON writes it as \\u0000");
	buffer_finish(&scratch);
}

static void test_ten_megabytes_go_through_and_back(void **state)
{
	(void)state;
	size_t size = 10 << 20;
	char *data = malloc(size + 1);
	assert_non_null(data);
	memset(data, 'x', size);
	data[0] = data[size - 1] = '"';
	data[size] = '\0';
	struct meow_event event = order_placed();
	event.data = bytes_of(data);
	struct buffer scratch, texts;
	buffer_init(&scratch);
	struct meow_bytes value = encode("envelope", &event, &scratch);
	struct envelope_line line = read_line(value.data, &texts);
	assert_true(bytes_equal(line.data, event.data));
	buffer_finish(&texts);
	buffer_clear(&scratch, 0);
	value = encode("msgpack", &event, &scratch);
	assert_memory_equal(value.data + value.size - (size - 2) - 5, "\xDB\x00\x9F\xFF\xFE", 5);
	buffer_finish(&scratch);
	free(data);
}

// xorshift64 (Marsaglia): the same mutations at every run.
static uint64_t next_random(uint64_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 7;
	*seed ^= *seed << 17;
	return *seed;
}

// Changes, drops or doubles a few bytes.
static void mutate(struct buffer *text, uint64_t *seed)
{
	static const char bytes[] = "{}[]\",:\\u0dD8-+.eE1 \n\xFF\xE6";
	for (uint64_t left = 1 + next_random(seed) % 3; left > 0 && text->size > 1; left--) {
		size_t at = next_random(seed) % text->size;
		char c = bytes[next_random(seed) % sizeof(bytes)];
		switch (next_random(seed) % 3) {
		case 0:
			text->data[at] = c;
			break;
		case 1:
			memmove(text->data + at, text->data + at + 1, text->size - at);
			text->size--;
			break;
		default:
			buffer_put_char(text, 'x');
			memmove(text->data + at + 1, text->data + at, text->size - at - 1);
			text->data[at] = c;
			break;
		}
	}
}

static void test_no_bytes_do_harm(void **state)
{
	(void)state;
	static const char line[] =
		"{\"position\":42,\"aggregate_type\":\"注文\",\"aggregate_id\":\"o\\n1\",\"version\":0,\"type\":\"T\","
		"\"time\":\"2026-11-23T08:09:10.123456Z\",\"data\":{\"a\":[1.0,-0,1e400,[],{}],\"b\":\"\\ud83d\\udc31\"},"
		"\"metadata\":{\"traceparent\":\"00-ab\",\"x\":12345678901234567890}}";
	uint64_t seed = 88172645463325252u;
	size_t taken = 0, packed = 0;
	for (int i = 0; i < 30000; i++) {
		struct buffer text, scratch;
		buffer_init(&text);
		buffer_init(&scratch);
		buffer_put_text(&text, line);
		mutate(&text, &seed);
		struct meow_bytes bytes = {text.data, text.size}, value;
		struct envelope_line read;
		struct encoder_trace trace;
		struct meow_error err;
		struct meow_event event = {.time_us = MEOW_NO_TIME, .data = bytes, .metadata = bytes};
		if (envelope_read(bytes, &scratch, &read, &err)) {
			taken++;
			assert_true(read.data.data == NULL ||
						(read.data.data > text.data && read.data.data + read.data.size < text.data + text.size));
			if (read.data.data != NULL) {
				event.data = read.data;
				// What was read as JSON can be packed, save for what no Unicode text can hold.
				if (!encoder_value(encoder_find("msgpack"), &event, 0, &scratch, &value, &err))
					assert_non_null(strstr(err.text, "surrogate"));
			}
		} else {
			assert_int_equal(err.kind, MEOW_INVALID);
			assert_memory_equal(err.text, "column ", 7);
		}
		event.data = event.metadata = bytes;
		packed += encoder_value(encoder_find("msgpack"), &event, 0, &scratch, &value, &err);
		assert_true(encoder_trace(&event, &scratch, &trace, &err));
		buffer_finish(&text);
		buffer_finish(&scratch);
	}
	assert_true(taken > 1000 && taken < 29000);
	assert_true(packed > 1000 && packed < 29000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_name_is_put_together_from_attributes),
		cmocka_unit_test(test_a_wrong_template_is_refused_with_its_column),
		cmocka_unit_test(test_a_template_knows_what_it_uses),
		cmocka_unit_test(test_the_hash_follows_what_the_name_is_made_of),
		cmocka_unit_test(test_formats_have_names_and_content_types),
		cmocka_unit_test(test_data_is_handed_out_where_it_is),
		cmocka_unit_test(test_an_envelope_is_one_line),
		cmocka_unit_test(test_msgpack_carries_native_values),
		cmocka_unit_test(test_msgpack_never_alters_a_number),
		cmocka_unit_test(test_msgpack_refuses_what_it_cannot_hold),
		cmocka_unit_test(test_the_trace_comes_from_the_top_of_the_metadata),
		cmocka_unit_test(test_a_line_is_read_back),
		cmocka_unit_test(test_any_json_is_data_byte_for_byte),
		cmocka_unit_test(test_expect_is_a_version_or_a_word),
		cmocka_unit_test(test_a_bad_line_is_refused_with_its_column),
		cmocka_unit_test(test_ten_megabytes_go_through_and_back),
		cmocka_unit_test(test_no_bytes_do_harm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
