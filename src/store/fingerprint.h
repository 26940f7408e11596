// fingerprint.h: proves that a remembered event is still the store's. One line of text, kept beside the data in a sink
// and in the checkpoint:
//
//   1 <store id> <system identifier> <timeline> <position> <version> <transaction id> <hash> <aggregate id>
//
// hash: FNV-1a 64 of the data, in hexadecimal. The aggregate id stands last since it may contain spaces. What a line of a
// file still shows of its event, where each raw line break of the data is a space:
//
//   2 <position> <version> <time in microseconds> <hash of the data> <hash of the aggregate id> (and a blank)
#ifndef STORE_FINGERPRINT_H
#define STORE_FINGERPRINT_H

#include "base/buffer.h"

#define STORE_ID_SIZE 37 // a UUID as text and its NUL

// Which store a session reached.
struct store_identity {
	char store_id[STORE_ID_SIZE];
	uint64_t system_identifier;
	uint32_t timeline;
	int64_t last_position; // the highest id ever drawn, 0 if none was; filled in by whoever compares
};

struct fingerprint {
	char store_id[STORE_ID_SIZE];
	uint64_t system_identifier;
	uint32_t timeline;
	int64_t position;
	int64_t version;
	uint64_t transaction_id;
	uint64_t data_hash;
	struct meow_bytes aggregate_id; // borrows from the text that was parsed
	bool of_line;                   // of the second form: only these, position, version and data_hash are known
	int64_t time_us;
	uint64_t id_hash;
};

// The text for one event, to be freed by the caller. NULL without memory.
MEOW_MUST_USE char *fingerprint_text(const struct store_identity *store, const struct meow_event *event);

#define FINGERPRINT_LINE_SIZE 120
void fingerprint_line_text(const struct meow_event *event, char text[FINGERPRINT_LINE_SIZE]);

// Fills *ret_fingerprint, which borrows from text. False if it is none of ours.
MEOW_MUST_USE bool fingerprint_parse(struct meow_bytes text, struct fingerprint *ret_fingerprint);

enum fingerprint_verdict {
	FINGERPRINT_SAME,   // the event is there, or is merely gone (deleted, pruned) from the same history
	FINGERPRINT_BEHIND, // the store was restored or failed over: it will draw these positions a second time
};

// Compares what a sink (or a running executor) remembers with the store: `event` is the row at that position now, NULL
// if there is none. Another event under the id, or none while store id, system identifier or timeline differ, or
// a last position below it, means that the store is behind. Fills err with the reason (kind MEOW_CONFIG) then.
enum fingerprint_verdict fingerprint_compare(const struct fingerprint *remembered, const struct store_identity *store,
	const struct meow_event *event, struct meow_error *err);

#endif
