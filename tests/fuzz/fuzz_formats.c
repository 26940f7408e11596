// Values of a sink: what an encoder writes, `verify` takes for the event's; and whatever else stands in a sink is looked at
// without harm. Lines: data, metadata (none if empty), and then the bytes of a value from elsewhere.
#include "fuzz.h"

#include "base/text.h"
#include "relay/encoder.h"
#include "relay/envelope.h"
#include "verify/compare.h"

static void check_format(
	const char *name, enum verify_format format, const struct meow_event *event, int64_t generation)
{
	struct buffer scratch, own;
	struct meow_bytes value;
	struct meow_error err;
	buffer_init(&scratch);
	buffer_init(&own);
	if (encoder_value(encoder_find(name), event, generation, &scratch, &value, &err))
		FUZZ_CHECK(compare_value(format, value, event, generation, &own) == NULL);
	else
		fuzz_check_error(&err);
	buffer_finish(&scratch);
	buffer_finish(&own);
}

static void check_trace(const struct meow_event *event)
{
	struct buffer scratch;
	struct encoder_trace trace;
	struct meow_error err;
	buffer_init(&scratch);
	FUZZ_CHECK(encoder_trace(event, &scratch, &trace, &err));
	FUZZ_CHECK(trace.traceparent.size + trace.tracestate.size + trace.baggage.size <= event->metadata.size);
	buffer_finish(&scratch);
}

// Of any record, before it is known to be ours.
static void look_at_foreign(struct meow_bytes value, const struct meow_event *event)
{
	struct buffer scratch;
	int64_t position, place, generation;
	buffer_init(&scratch);
	(void)!compare_value(FORMAT_MSGPACK, value, event, 0, &scratch);
	(void)!compare_msgpack(value, event, -1);
	if (compare_value(FORMAT_ENVELOPE, value, event, 1, &scratch) == NULL) {
		FUZZ_CHECK(compare_line_ends(value, &position, &place, &generation));
		FUZZ_CHECK(position == event->position && generation == 1);
	}
	if (compare_line_ends(value, &position, &place, &generation))
		FUZZ_CHECK(position >= 1 && generation >= 0);
	(void)compare_number(value, 7);
	buffer_finish(&scratch);
}

void fuzz_formats(struct meow_bytes input)
{
	struct meow_event event = {.position = 42,
		.aggregate_type = MEOW_BYTES("order"),
		.aggregate_id = MEOW_BYTES("o \"1\" \xc3\xa9"),
		.version = 7,
		.type = MEOW_BYTES("placed"),
		.time_us = 1764060000123456};
	event.data = fuzz_line(&input);
	struct meow_bytes metadata = fuzz_line(&input);
	if (metadata.size > 0)
		event.metadata = metadata;
	for (int64_t generation = 0; generation < 2; generation++) {
		check_format("data", FORMAT_DATA, &event, generation);
		check_format("envelope", FORMAT_ENVELOPE, &event, generation);
		check_format("msgpack", FORMAT_MSGPACK, &event, generation);
	}
	check_trace(&event);
	look_at_foreign(input, &event);
}
