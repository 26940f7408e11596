// bulk.h: `append -`: many aggregates, bounded memory, transactions of so many lines.
#ifndef CLI_BULK_H
#define CLI_BULK_H

#include "cli/cli.h"

int bulk_run(const struct invocation *invocation);

#endif
