// log.h: what the suite's own files share.
#ifndef CONTRACT_LOG_H
#define CONTRACT_LOG_H

#include "contract.h"

struct contract_log {
	struct contract_entry *entries;
	size_t count, capacity;
};

void contract_log_finish(struct contract_log *log);

// Asserts that exactly the events 1 .. last are there. See contract_check.
void contract_log_check(const struct contract_log *log, int64_t last, bool total_order, bool repeats_allowed);

// Fingerprint and position, after events were added or cut.
void contract_batch_seal(struct batch *batch);

#endif
