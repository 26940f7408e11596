// golden.h: the three events of the golden files under schemas/golden.
#ifndef UNIT_GOLDEN_H
#define UNIT_GOLDEN_H

#include "base/text.h"

struct golden {
	const char *name;
	int64_t generation;
	struct meow_event event;
};

static inline size_t golden_events(struct golden ret_golden[3])
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

#endif
