// settled.h: how far the store may be read, by proof. Pure: no clock, no I/O; fed with looks, asked for the answer.
//
// nextval takes the sequence's lock before it draws an id, and the top transaction keeps the lock until it has ended
// and is visible. So an id at or below a candidate (the sequence's last value, exactly, read first) belongs to a transaction
// that is over, or to one that the list of holders (read second) names. Once all of those have ended, no id at or
// below the candidate can still appear. Looks overlap: each opens a new candidate.
#ifndef STORE_SETTLED_H
#define STORE_SETTLED_H

#include "store/session.h"

struct settled;

MEOW_MUST_USE struct settled *settled_create(void);
void settled_destroy(struct settled *settled); // takes NULL

// Takes in one look. False without memory (nothing changed, the proof is only slower).
MEOW_MUST_USE bool settled_look(struct settled *settled, const struct session_look *look);

// Everything at or below this id was read contiguously, or proven before: it is settled too.
void settled_advance(struct settled *settled, int64_t position);

// The highest position that is settled; 0 in the beginning.
int64_t settled_position(const struct settled *settled);

// Forgets all open proofs, not the settled position: after a lost connection (a restart renames prepared ones).
void settled_restart(struct settled *settled);

// How many transactions the last look found, and the one that has been there longest; NULL if none.
size_t settled_holder_count(const struct settled *settled);
const struct session_holder *settled_oldest_holder(const struct settled *settled);

#endif
