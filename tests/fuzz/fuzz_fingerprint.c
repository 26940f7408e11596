// What a sink remembers of the last event: one that is taken is, written anew, the same text.
#include "fuzz.h"

#include "base/text.h"
#include "store/fingerprint.h"

#include <inttypes.h>

void fuzz_fingerprint(struct meow_bytes input)
{
	struct fingerprint found;
	struct buffer again;
	if (!fingerprint_parse(input, &found))
		return;
	buffer_init(&again);
	if (found.of_line)
		buffer_printf(&again, "2 %" PRId64 " %" PRId64 " %" PRId64 " %016" PRIx64 " %016" PRIx64 " ", found.position,
			found.version, found.time_us, found.data_hash, found.id_hash);
	else
		buffer_printf(&again, "1 %s %" PRIu64 " %" PRIu32 " %" PRId64 " %" PRId64 " %" PRIu64 " %016" PRIx64 " ",
			found.store_id, found.system_identifier, found.timeline, found.position, found.version,
			found.transaction_id, found.data_hash);
	buffer_put(&again, found.aggregate_id.data, found.aggregate_id.size);
	FUZZ_CHECK(bytes_equal(input, (struct meow_bytes){again.data, again.size}));
	buffer_finish(&again);

	const struct store_identity store = {.store_id = "another", .last_position = found.position};
	struct meow_error err;
	if (fingerprint_compare(&found, &store, NULL, &err) == FINGERPRINT_BEHIND)
		fuzz_check_error(&err);
}
