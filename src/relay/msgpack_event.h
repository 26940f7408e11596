// msgpack_event.h: the format `msgpack`: the envelope's object in MessagePack. Inside src/relay; docs/formats.md.
#ifndef RELAY_MSGPACK_EVENT_H
#define RELAY_MSGPACK_EVENT_H

#include "base/buffer.h"

// Puts the event at the end of the buffer. MEOW_INVALID (names the event) when data or metadata are not JSON or have a
// string that is no Unicode text. Lack of memory shows in buffer_ok as well.
MEOW_MUST_USE bool msgpack_event_write(
	struct buffer *buffer, const struct meow_event *event, int64_t generation, struct meow_error *err);

#endif
