// encoder.h: from an event to bytes and headers (Kafka) or fields (Redis). One encoder a route, made from its `format`:
//
//   data      value: the event's data as stored; the rest in headers or fields (the default)
//   envelope  value: one JSON object, the line that `meowmx load` prints (relay/envelope.h)
//   msgpack   value: the same object in MessagePack
#ifndef RELAY_ENCODER_H
#define RELAY_ENCODER_H

#include "base/buffer.h"

// The choices of the setting `format`, as config wants them.
#define ENCODER_FORMATS "data|envelope|msgpack"

enum encoder_format { ENCODE_DATA, ENCODE_ENVELOPE, ENCODE_MSGPACK };

struct encoder {
	enum encoder_format format;
	const char *content_type; // "application/json" or "application/msgpack"
};

const struct encoder *encoder_find(const char *format); // NULL if there is none; a constant

// The value's bytes: data as stored points into the event, everything else is written at the end of `scratch` (which
// the caller clears; earlier results in it move when it grows, so use offsets or take one at a time). generation is
// part of envelope and msgpack when above 0. MEOW_INVALID when the event cannot be encoded (names the event).
MEOW_MUST_USE bool encoder_value(const struct encoder *encoder, const struct meow_event *event, int64_t generation,
	struct buffer *scratch, struct meow_bytes *ret_value, struct meow_error *err);

// traceparent, tracestate and baggage from the top level of the metadata (JSON strings, unescaped), absent where the
// metadata has none or is no object. scratch as above. Cheap when metadata is absent or contains none of the words.
struct encoder_trace {
	struct meow_bytes traceparent, tracestate, baggage;
};
MEOW_MUST_USE bool encoder_trace(
	const struct meow_event *event, struct buffer *scratch, struct encoder_trace *ret_trace, struct meow_error *err);

#endif
