// The golden files under schemas/golden pin what each format makes of three events. `test_golden DIR` compares,
// `test_golden --write DIR` writes them anew (a change of them is a change of the interface: see the changelog).
#include "unit.h"

#include "base/text.h"
#include "relay/encoder.h"

#include <stdio.h>
#include <string.h>

static const char *golden_dir;

struct golden {
	const char *name;
	int64_t generation;
	struct meow_event event;
};

static size_t golden_events(struct golden ret_golden[3])
{
	ret_golden[0] = (struct golden){.name = "order",
		.event = {.position = 1,
			.version = 0,
			.time_us = 1795421350123456,
			.aggregate_type = bytes_of("order"),
			.aggregate_id = bytes_of("7f0c5b1e-0f5a-4c83-9d0a-6f0f5b1e7f0c"),
			.type = bytes_of("OrderPlaced"),
			.data = bytes_of("{\"customer\": \"Neko\", \"items\": [{\"sku\": \"fish\", \"count\": 3, \"price\": "
							 "4.50}], \"paid\": false}"),
			.metadata = bytes_of(
				"{\"traceparent\": \"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\", \"user\": 17}")}};
	ret_golden[1] = (struct golden){.name = "odd",
		.generation = 2,
		.event = {.position = 9007199254740993,
			.version = 2147483647,
			.time_us = -1,
			.aggregate_type = bytes_of("注文"),
			.aggregate_id = bytes_of("\"猫\" \\ 1"),
			.type = bytes_of("支払い済み"),
			.data = bytes_of("{\r\n  \"one\": 1.0,\n  \"big\": 12345678901234567890,\n  \"huge\": 1e400,\n  \"long\": "
							 "0.1000000000000000055,\n"
							 "  \"again\": 1,\n  \"again\": 2,\n  \"nul\": \"a\\u0000b\",\n  \"cat\": "
							 "\"\\ud83d\\udc31\",\n  \"zero\": -0,\n"
							 "  \"deep\": [[], {}, [[null, true]]]\n}"),
			.metadata = bytes_of("[]")}};
	ret_golden[2] = (struct golden){.name = "bare",
		.event = {.position = 2,
			.version = 1,
			.time_us = MEOW_NO_TIME,
			.aggregate_type = bytes_of("order"),
			.aggregate_id = bytes_of("12"),
			.type = bytes_of(""),
			.data = bytes_of("null")}};
	return 3;
}

static const char *const format_names[] = {"data", "envelope", "msgpack"};
static const char *const extensions[] = {"data.json", "json", "msgpack"};

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
