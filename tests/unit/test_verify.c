// What `verify` compares with, apart from any sink: the formats, by the golden files, and the set of missing positions.
#include "golden.h"
#include "unit.h"

#include "verify/compare.h"
#include "verify/positions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 4096

static const char *golden_dir;
static struct buffer scratch;

static size_t read_golden(const struct golden *golden, size_t format, char value[MOST])
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s.%s", golden_dir, golden->name, extensions[format]);
	FILE *file = fopen(path, "rb");
	if (file == NULL)
		fail_msg("%s cannot be opened", path);
	size_t size = fread(value, 1, MOST - 1, file);
	fclose(file);
	return size;
}

// The value stands in memory of its own size, so that a sanitizer sees a read behind its end.
static const char *differs(const struct golden *golden, size_t format, const char *value, size_t size)
{
	char *copy = malloc(size + 1);
	memcpy(copy, value, size);
	char *exact = realloc(copy, size == 0 ? 1 : size);
	const char *what = compare_value(
		(enum verify_format)format, (struct meow_bytes){exact, size}, &golden->event, golden->generation, &scratch);
	free(exact);
	return what;
}

static void each_value(void (*check)(const struct golden *golden, size_t format, char *value, size_t size))
{
	struct golden golden[3];
	size_t count = golden_events(golden);
	for (size_t i = 0; i < count; i++)
		for (size_t format = 0; format < 3; format++) {
			char value[MOST];
			size_t size = read_golden(&golden[i], format, value);
			check(&golden[i], format, value, size);
		}
}

static void is_same(const struct golden *golden, size_t format, char *value, size_t size)
{
	assert_null(differs(golden, format, value, size));
}

static void test_the_golden_files_are_their_events(void **state)
{
	(void)state;
	each_value(is_same);
}

static void every_bit_counts(const struct golden *golden, size_t format, char *value, size_t size)
{
	for (size_t at = 0; at < size; at++)
		for (int bit = 0; bit < 8; bit++) {
			value[at] = (char)(value[at] ^ 1 << bit);
			if (differs(golden, format, value, size) == NULL)
				fail_msg("%s.%s: bit %d of byte %zu", golden->name, extensions[format], bit, at);
			value[at] = (char)(value[at] ^ 1 << bit);
		}
}

static void test_every_changed_bit_is_noticed(void **state)
{
	(void)state;
	each_value(every_bit_counts);
}

static void every_length_counts(const struct golden *golden, size_t format, char *value, size_t size)
{
	for (size_t shorter = 0; shorter < size; shorter++)
		assert_non_null(differs(golden, format, value, shorter));
	value[size] = ' ';
	assert_non_null(differs(golden, format, value, size + 1));
}

static void test_a_value_that_is_shorter_or_longer_is_noticed(void **state)
{
	(void)state;
	each_value(every_length_counts);
}

static void test_a_generation_that_is_not_known_may_be_any(void **state)
{
	struct golden golden[3];
	char value[MOST];
	(void)state;
	golden_events(golden);
	for (size_t i = 0; i < 3; i++) {
		size_t size = read_golden(&golden[i], FORMAT_MSGPACK, value);
		assert_null(compare_msgpack((struct meow_bytes){value, size}, &golden[i].event, -1));
	}
}

static void check_ends(const char *line, int64_t position, int64_t generation)
{
	int64_t found, place, turn;
	bool ours = compare_line_ends(bytes_of(line), &found, &place, &turn);
	assert_int_equal(ours, position > 0);
	if (position > 0) {
		assert_int_equal(found, position);
		assert_int_equal(turn, generation);
	}
}

static void test_the_ends_of_a_line(void **state)
{
	(void)state;
	check_ends("{\"position\":17,\"version\":0,\"data\":{}}", 17, 0);
	check_ends("{\"position\":17,\"data\":{},\"generation\":3}", 17, 3);
	check_ends("{\"position\":9223372036854775807,\"data\":17}", INT64_MAX, 0);
	check_ends("{\"position\":17,\"data\":{\"generation\":3}}", 17, 0);
	check_ends("{\"position\":17,", 17, 0);
	check_ends("{\"position\":17", 0, 0);
	check_ends("{\"position\":0,}", 0, 0);
	check_ends("{\"position\":-1,}", 0, 0);
	check_ends("{\"position\":x,}", 0, 0);
	check_ends("{\"posi", 0, 0);
	check_ends("", 0, 0);
}

#define SPAN 400000

static void test_a_set_of_positions(void **state)
{
	static bool there[SPAN];
	struct positions set = {0};
	struct meow_error err;
	unsigned chance = 7;
	(void)state;
	for (int64_t position = 1; position < SPAN; position++) {
		chance = chance * 1103515245 + 12345;
		there[position] = chance >> 16 & 1 && position / 50000 % 2 == 0;
		if (there[position])
			assert_true(positions_add(&set, position, &err));
	}
	for (int64_t position = 1; position < SPAN; position++) {
		chance = chance * 1103515245 + 12345;
		assert_int_equal(positions_has(&set, position), there[position]);
		if (!there[position] || (chance >> 16 & 3) == 0)
			continue;
		positions_remove(&set, position);
		there[position] = false;
	}
	int64_t next = 0, seen = 0;
	for (int64_t position = 1; position < SPAN; position++) {
		if (!there[position])
			continue;
		assert_true(positions_next(&set, next, &next));
		assert_int_equal(next, position);
		assert_true(positions_last_near(&set, next) >= next && positions_has(&set, positions_last_near(&set, next)));
		seen++;
		next++;
	}
	assert_true(seen > 1000);
	assert_false(positions_next(&set, next, &next));
	for (int64_t position = 1; position < SPAN; position++)
		if (there[position])
			positions_remove(&set, position);
	assert_int_equal(set.count, 0);
	positions_clear(&set);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 64;
	golden_dir = argv[1];
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_golden_files_are_their_events),
		cmocka_unit_test(test_every_changed_bit_is_noticed),
		cmocka_unit_test(test_a_value_that_is_shorter_or_longer_is_noticed),
		cmocka_unit_test(test_a_generation_that_is_not_known_may_be_any),
		cmocka_unit_test(test_the_ends_of_a_line),
		cmocka_unit_test(test_a_set_of_positions),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);
	buffer_finish(&scratch);
	return failed;
}
