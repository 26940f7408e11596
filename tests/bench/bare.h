// bare.h: the least code that reads a backlog: binary keyset reads of 5,000, the next one asked for while this one is
// handed on. No checkpoint, no filter, no recovery. The relay is measured beside it.
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include <libpq-fe.h>
#include <stdint.h>

// Reads all events and hands each page to fn. Ends the program when something fails. Returns how many there were.
int64_t bare_read(const char *url, void (*fn)(void *arg, const PGresult *page), void *arg);

int64_t bare_id(const PGresult *page, int row);
int32_t bare_version(const PGresult *page, int row);
double bare_seconds(void);
_Noreturn void bare_fail(const char *what, const char *why);

// Columns: id, aggregate_type, aggregate_id, version, event_type, json_data
enum { BARE_ID, BARE_TYPE, BARE_AGGREGATE, BARE_VERSION, BARE_EVENT, BARE_DATA };

#endif
