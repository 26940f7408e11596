// A binary array: dimensions, a flag for NULLs, the element's type, length and lower bound, then the elements.
#include "store/postgres/pg_array.h"

#include "store/postgres/pg_event.h"

#include <endian.h>

#define PG_TIMESTAMPTZ 1184

static void put32(struct buffer *out, uint32_t number)
{
	uint32_t big = htobe32(number);
	buffer_put(out, &big, sizeof(big));
}

static void put_element(struct buffer *out, const void *data, size_t size)
{
	put32(out, data ? (uint32_t)size : UINT32_MAX);
	if (data)
		buffer_put(out, data, size);
}

void pg_arrays_init(struct pg_arrays *arrays, size_t count)
{
	for (int i = 0; i < PG_ARRAYS; i++) {
		struct buffer *out = &arrays->columns[i];
		buffer_init(out);
		put32(out, 1);
		put32(out, 1);
		put32(out, i == PG_ARRAY_TIMES ? PG_TIMESTAMPTZ : PG_TEXT);
		put32(out, (uint32_t)count);
		put32(out, 1);
	}
}

void pg_arrays_finish(struct pg_arrays *arrays)
{
	for (int i = 0; i < PG_ARRAYS; i++)
		buffer_finish(&arrays->columns[i]);
}

void pg_arrays_put(struct pg_arrays *arrays, const struct meow_new_event *event)
{
	bool has_time = event->time_us != MEOW_NO_TIME;
	struct pg_number time = pg_put64(has_time ? event->time_us - PG_EPOCH_US : 0);
	put_element(&arrays->columns[PG_ARRAY_TYPES], event->type.data, event->type.size);
	put_element(&arrays->columns[PG_ARRAY_DATA], event->data.data, event->data.size);
	put_element(&arrays->columns[PG_ARRAY_METADATA], event->metadata.data, event->metadata.size);
	put_element(&arrays->columns[PG_ARRAY_TIMES], has_time ? time.bytes : NULL, sizeof(time.bytes));
}

bool pg_arrays_ok(const struct pg_arrays *arrays, struct meow_error *err)
{
	for (int i = 0; i < PG_ARRAYS; i++)
		if (!buffer_ok(&arrays->columns[i], err))
			return false;
	return true;
}

void pg_arrays_param(const struct pg_arrays *arrays, struct pg_params *params)
{
	for (int i = 0; i < PG_ARRAYS; i++)
		pg_param_text(params, (struct meow_bytes){arrays->columns[i].data, arrays->columns[i].size});
}
