#include "store/postgres/pg_event.h"

#include <endian.h>
#include <string.h>

#define COPY_MOST ((size_t)16 * 1024)

uint64_t pg_number64(const PGresult *result, int row, int column)
{
	uint64_t number;
	memcpy(&number, PQgetvalue(result, row, column), sizeof(number));
	return be64toh(number);
}

uint32_t pg_number32(const PGresult *result, int row, int column)
{
	uint32_t number;
	memcpy(&number, PQgetvalue(result, row, column), sizeof(number));
	return be32toh(number);
}

struct meow_bytes pg_bytes(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return (struct meow_bytes){NULL, 0};
	return (struct meow_bytes){PQgetvalue(result, row, column), (size_t)PQgetlength(result, row, column)};
}

int64_t pg_time(const PGresult *result, int row, int column)
{
	if (PQgetisnull(result, row, column))
		return MEOW_NO_TIME;
	int64_t time = pg_signed64(result, row, column);
	return time > INT64_MAX - PG_EPOCH_US ? MEOW_NO_TIME : time + PG_EPOCH_US; // "infinity" is no time
}

bool pg_event_decode(const PGresult *result, int row, struct meow_event *ret_event, struct meow_error *err)
{
	if (PQnfields(result) != PG_EVENT_COLUMNS || PQgetlength(result, row, PG_EVENT_ID) != 8 ||
		PQgetlength(result, row, PG_EVENT_VERSION) != 4)
		return error_set(err, MEOW_BUG, "a row of events has other columns than expected");
	*ret_event = (struct meow_event){
		.position = pg_signed64(result, row, PG_EVENT_ID),
		.version = (int32_t)pg_number32(result, row, PG_EVENT_VERSION),
		.time_us = pg_time(result, row, PG_EVENT_TIME),
		.transaction_id =
			PQgetisnull(result, row, PG_EVENT_TRANSACTION_ID) ? 0 : pg_number64(result, row, PG_EVENT_TRANSACTION_ID),
		.aggregate_type = pg_bytes(result, row, PG_EVENT_AGGREGATE_TYPE),
		.aggregate_id = pg_bytes(result, row, PG_EVENT_AGGREGATE_ID),
		.type = pg_bytes(result, row, PG_EVENT_TYPE),
		.data = pg_bytes(result, row, PG_EVENT_DATA),
		.metadata = pg_bytes(result, row, PG_EVENT_METADATA),
	};
	return true;
}

static void clear_result(void *result)
{
	PQclear(result);
}

bool pg_event_add(struct batch *batch, PGresult *row, struct meow_error *err)
{
	struct meow_event event;
	if (!pg_event_decode(row, 0, &event, err)) {
		PQclear(row);
		return false;
	}
	bool large = event.data.size + event.metadata.size > COPY_MOST;
	bool added =
		large ? batch_add_owned(batch, &event, row, PQresultMemorySize(row), clear_result) : batch_add(batch, &event);
	if (!large || !added)
		PQclear(row);
	return added || error_no_memory(err);
}
