// Errors, buffers and text.
#include "unit.h"

#include "base/error.h"
#include "base/text.h"

#include <string.h>

static void test_an_error_is_one_line(void **state)
{
	(void)state;
	struct meow_error err;
	assert_false(error_set(&err, MEOW_DENIED, "FATAL:  no\n\tpassword for \"%s\"\n", "me"));
	assert_string_equal(err.text, "FATAL: no password for \"me\"");
	assert_int_equal(err.kind, MEOW_DENIED);
	assert_string_equal(err.code, "");
	assert_false(error_set_code(&err, MEOW_CONFLICT, "23505", "around: %s", err.text));
	assert_string_equal(err.text, "around: FATAL: no password for \"me\"");
	assert_string_equal(err.code, "23505");
	assert_false(error_set(NULL, MEOW_BUG, "nobody asked"));
}

static void test_an_error_is_cut_at_a_whole_character(void **state)
{
	(void)state;
	struct meow_error err;
	for (size_t lead = 500; lead < 512; lead++) {
		char text[600];
		memset(text, 'a', lead);
		strcpy(text + lead, "注文注文注文");
		error_set(&err, MEOW_INVALID, "%s", text);
		assert_true(strlen(err.text) < MEOW_ERROR_TEXT_SIZE);
		assert_true(text_is_utf8(bytes_of(err.text)));
	}
}

static void test_every_kind_has_a_name_and_a_status(void **state)
{
	(void)state;
	for (int kind = MEOW_ERROR_NONE; kind <= MEOW_BUG; kind++)
		assert_non_null(error_kind_name((enum meow_error_kind)kind));
	assert_int_equal(error_exit_status(MEOW_CONFLICT), 75);
	assert_int_equal(error_exit_status(MEOW_UNKNOWN_OUTCOME), 69);
	assert_true(error_may_retry(MEOW_UNAVAILABLE));
	assert_false(error_may_retry(MEOW_INVALID));
}

static void test_a_buffer_keeps_all_that_is_put(void **state)
{
	(void)state;
	struct buffer buffer;
	buffer_init(&buffer);
	for (int i = 0; i < 1000; i++)
		buffer_put_int(&buffer, i % 10);
	assert_int_equal(buffer.size, 1000);
	assert_int_equal(strlen(buffer.data), 1000);
	buffer_consume(&buffer, 998);
	assert_string_equal(buffer.data, "89");
	buffer_printf(&buffer, "[%s]", "x");
	buffer_put_int(&buffer, INT64_MIN);
	assert_string_equal(buffer.data, "89[x]-9223372036854775808");
	buffer_clear(&buffer, 1 << 20);
	assert_int_equal(buffer.size, 0);
	assert_true(buffer_ok(&buffer, NULL));
	buffer_finish(&buffer);
}

static void test_a_buffer_without_memory_fails_once_and_stays(void **state)
{
	(void)state;
	struct buffer buffer;
	buffer_init(&buffer);
	buffer_put_text(&buffer, "kept");
	assert_null(buffer_room(&buffer, SIZE_MAX / 2));
	buffer_put_text(&buffer, "lost");
	struct meow_error err;
	assert_false(buffer_ok(&buffer, &err));
	assert_int_equal(err.kind, MEOW_UNAVAILABLE);
	assert_string_equal(buffer.data, "kept");
	buffer_finish(&buffer);
}

static void test_numbers_are_whole_or_refused(void **state)
{
	(void)state;
	int64_t number = 7;
	assert_true(text_to_int64(bytes_of("-9223372036854775808"), &number));
	assert_true(number == INT64_MIN);
	assert_true(text_to_int64(bytes_of("9223372036854775807"), &number));
	assert_true(number == INT64_MAX);
	static const char *const bad[] = {"", "-", "1.0", " 1", "1 ", "+1", "9223372036854775808", "0x1", "1e3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(text_to_int64(bytes_of(bad[i]), &number));
	assert_true(number == INT64_MAX);
}

static void test_times_go_to_text_and_back(void **state)
{
	(void)state;
	static const int64_t times[] = {0, -1, 1, 951782399999999, 951782400000000, 1795421350123456, -62135596800000000};
	for (size_t i = 0; i < sizeof(times) / sizeof(*times); i++) {
		char text[TEXT_TIME_SIZE];
		int64_t back;
		text_time(times[i], text);
		assert_true(text_to_time(bytes_of(text), &back));
		assert_true(back == times[i]);
	}
	char text[TEXT_TIME_SIZE];
	text_time(951782400000000, text);
	assert_string_equal(text, "2000-02-29T00:00:00.000000Z");
	int64_t time_us;
	assert_true(text_to_time(bytes_of("2026-11-23T10:00:00.5+02:00"), &time_us));
	text_time(time_us, text);
	assert_string_equal(text, "2026-11-23T08:00:00.500000Z");
	static const char *const bad[] = {"2026-02-30T00:00:00Z", "2026-11-23", "2026-11-23T10:00:00",
		"2026-11-23T25:00:00Z", "2026-11-23T10:00:00.Z", "2026-11-23T10:00:00Zx", "-026-11-23T10:00:00Z",
		// In UTC these lie in years of less or more than four digits.
		"0000-01-01T00:00:00+00:01", "9999-12-31T23:59:60Z", "9999-12-31T23:00:00-02:00"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(text_to_time(bytes_of(bad[i]), &time_us));
}

static void test_json_text_is_escaped(void **state)
{
	(void)state;
	struct buffer buffer;
	buffer_init(&buffer);
	buffer_put_json(&buffer, (struct meow_bytes){"a\"\\\n\x01注", 8});
	assert_string_equal(buffer.data, "\"a\\\"\\\\\\n\\u0001注\"");
	buffer_clear(&buffer, 1024);
	buffer_put_json_line(&buffer, MEOW_BYTES("{\n  \"a\": \"\\n\"\r\n}"));
	assert_string_equal(buffer.data, "{   \"a\": \"\\n\"  }");
	buffer_finish(&buffer);
}

static void test_utf8_is_told_from_other_bytes(void **state)
{
	(void)state;
	assert_true(text_is_utf8(bytes_of("")));
	assert_true(text_is_utf8(bytes_of("注文 é \xF0\x9F\x90\xB1")));
	assert_false(text_is_utf8((struct meow_bytes){"a\0b", 3}));
	static const char *const bad[] = {
		"\xC0\x80", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80", "\xFF", "\xE6\xB3"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(text_is_utf8(bytes_of(bad[i])));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_error_is_one_line),
		cmocka_unit_test(test_an_error_is_cut_at_a_whole_character),
		cmocka_unit_test(test_every_kind_has_a_name_and_a_status),
		cmocka_unit_test(test_a_buffer_keeps_all_that_is_put),
		cmocka_unit_test(test_a_buffer_without_memory_fails_once_and_stays),
		cmocka_unit_test(test_numbers_are_whole_or_refused),
		cmocka_unit_test(test_times_go_to_text_and_back),
		cmocka_unit_test(test_json_text_is_escaped),
		cmocka_unit_test(test_utf8_is_told_from_other_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
