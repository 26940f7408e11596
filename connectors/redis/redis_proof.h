// redis_proof.h: which entries the last batch consisted of, kept in the position key beside `delivered`, so that the next
// start can look each of them up: EXEC does not roll back, and a batch of which a part is missing must not be passed by.
//
//   streams  "<size>:<name>" for each stream of the batch
//   entries  "<number>[@<stream>]" for each event, separated by blanks: the position as the difference to the one
//            before, and the index of its stream where that changes (it begins with 0)
#ifndef CONNECTORS_REDIS_REDIS_PROOF_H
#define CONNECTORS_REDIS_REDIS_PROOF_H

#include "base/buffer.h"

struct proof_writer {
	struct buffer streams, entries;
	int64_t position;
	size_t stream;
};

void proof_writer_init(struct proof_writer *writer);
void proof_writer_finish(struct proof_writer *writer);
void proof_add_stream(struct proof_writer *writer, struct meow_bytes name);
void proof_add_entry(struct proof_writer *writer, size_t stream, int64_t position);

struct proof_stream {
	struct meow_bytes name;
	int64_t missing; // the last entry that was not found, 0 if there is none
};

struct proof {
	struct buffer text; // streams and entries
	struct proof_stream *streams;
	size_t count;
	struct meow_bytes left; // of the entries
	int64_t position;
	size_t stream;
	bool no_memory; // why proof_init failed
};

// Copies both texts, and reads the first. False if it is not what a proof_writer wrote, or, with no_memory, if it cannot
// tell.
MEOW_MUST_USE bool proof_init(struct proof *proof, struct meow_bytes streams, struct meow_bytes entries);
void proof_finish(struct proof *proof); // takes one that is all zeros

enum proof_step { PROOF_ENTRY, PROOF_END, PROOF_BROKEN };

// The next entry: proof->position in proof->streams[proof->stream].
enum proof_step proof_next(struct proof *proof);

#endif
