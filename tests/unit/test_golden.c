// The golden files under schemas/golden pin what each format makes of three events. `test_golden DIR` compares,
// `test_golden --write DIR` writes them anew (a change of them is a change of the interface: see the changelog).
#include "golden.h"
#include "unit.h"

#include "relay/encoder.h"

#include <stdio.h>
#include <string.h>

static const char *golden_dir;

static FILE *golden_file(const struct golden *golden, size_t format, const char *mode)
{
	char path[1024];
	snprintf(path, sizeof(path), "%s/%s.%s", golden_dir, golden->name, extensions[format]);
	FILE *file = fopen(path, mode);
	if (file == NULL)
		fail_msg("%s cannot be opened", path);
	return file;
}

static void each_file(void (*use)(const struct golden *golden, size_t format, struct meow_bytes value))
{
	struct golden golden[3];
	size_t count = golden_events(golden);
	for (size_t i = 0; i < count; i++) {
		for (size_t format = 0; format < 3; format++) {
			struct buffer scratch;
			buffer_init(&scratch);
			struct meow_bytes value;
			struct meow_error err;
			if (!encoder_value(
					encoder_find(format_names[format]), &golden[i].event, golden[i].generation, &scratch, &value, &err))
				fail_msg("%s", err.text);
			use(&golden[i], format, value);
			buffer_finish(&scratch);
		}
	}
}

static void compare(const struct golden *golden, size_t format, struct meow_bytes value)
{
	char expected[4096];
	FILE *file = golden_file(golden, format, "rb");
	size_t size = fread(expected, 1, sizeof(expected), file);
	fclose(file);
	assert_int_equal(size, value.size);
	assert_memory_equal(expected, value.data, size);
}

static void write_anew(const struct golden *golden, size_t format, struct meow_bytes value)
{
	FILE *file = golden_file(golden, format, "wb");
	assert_int_equal(fwrite(value.data, 1, value.size, file), value.size);
	assert_int_equal(fclose(file), 0);
}

static void test_the_formats_are_those_of_the_golden_files(void **state)
{
	(void)state;
	each_file(compare);
}

static void write_golden_files(void **state)
{
	(void)state;
	each_file(write_anew);
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 64;
	golden_dir = argv[argc - 1];
	const struct CMUnitTest check[] = {cmocka_unit_test(test_the_formats_are_those_of_the_golden_files)};
	const struct CMUnitTest update[] = {cmocka_unit_test(write_golden_files)};
	return strcmp(argv[1], "--write") == 0 ? cmocka_run_group_tests(update, NULL, NULL)
										   : cmocka_run_group_tests(check, NULL, NULL);
}
