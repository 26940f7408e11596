// pg_event.h: an event out of a row of libpq, in binary.
//
// Every statement that returns events has these columns in this order:
//   id int8, aggregate_type text, aggregate_id text, version int4, event_type text, json_data json, metadata json,
//   created_at timestamptz, transaction_id xid8
#ifndef STORE_POSTGRES_PG_EVENT_H
#define STORE_POSTGRES_PG_EVENT_H

#include "store/batch.h"

#include <libpq-fe.h>

enum {
	PG_EVENT_ID,
	PG_EVENT_AGGREGATE_TYPE,
	PG_EVENT_AGGREGATE_ID,
	PG_EVENT_VERSION,
	PG_EVENT_TYPE,
	PG_EVENT_DATA,
	PG_EVENT_METADATA,
	PG_EVENT_TIME,
	PG_EVENT_TRANSACTION_ID,
	PG_EVENT_COLUMNS,
};

// Fills *ret_event, which borrows from the result. MEOW_BUG if a column has not the size it must have.
MEOW_MUST_USE bool pg_event_decode(
	const PGresult *result, int row, struct meow_event *ret_event, struct meow_error *err);

// Adds the one event of `row` to the batch, and takes the row: a small one is copied and cleared, a large one stays where
// libpq put it until the batch goes.
MEOW_MUST_USE bool pg_event_add(struct batch *batch, PGresult *row, struct meow_error *err);

// One binary column: big-endian integers, and text or json as bytes (absent when NULL).
uint64_t pg_number64(const PGresult *result, int row, int column);
uint32_t pg_number32(const PGresult *result, int row, int column);
static inline int64_t pg_signed64(const PGresult *result, int row, int column)
{
	return (int64_t)pg_number64(result, row, column);
}
struct meow_bytes pg_bytes(const PGresult *result, int row, int column);

// timestamptz in binary counts microseconds from 2000-01-01; ours from 1970-01-01. NULL gives MEOW_NO_TIME.
int64_t pg_time(const PGresult *result, int row, int column);
#define PG_EPOCH_US INT64_C(946684800000000)

#endif
