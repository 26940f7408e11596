// findings.c: what was found is counted, and the first ten of each kind are kept with what a person needs to look them
// up. Without memory a sample has less in it; its count stays right.
#include "verify/merge.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

const char *verify_fault_name(enum verify_fault fault)
{
	static const char *const names[VERIFY_FAULTS] = {
		[VERIFY_LOST] = "lost",
		[VERIFY_TWICE] = "twice",
		[VERIFY_OUT_OF_ORDER] = "out_of_order",
		[VERIFY_LATE] = "late",
		[VERIFY_CHANGED] = "changed",
		[VERIFY_MISPLACED] = "misplaced",
		[VERIFY_FOREIGN] = "foreign",
		[VERIFY_NOT_IN_STORE] = "not_in_store",
	};
	return names[fault];
}

static char *copy(struct meow_bytes bytes)
{
	return bytes.data == NULL || !text_is_utf8(bytes) ? NULL : strndup(bytes.data, bytes.size);
}

static void describe_record(const struct record *record, struct verify_sample *sample)
{
	sample->position = record->position;
	sample->aggregate_type = copy(record->aggregate_type);
	sample->aggregate_id = copy(record->aggregate_id);
	if (record->version.data == NULL || !text_to_int64(record->version, &sample->version))
		sample->version = MEOW_NO_VERSION;
}

void merge_note(struct merge *merge, enum verify_fault fault, const struct meow_event *event, const struct place *place,
	const struct sequence *sequence, const struct record *record, const char *what)
{
	struct verify_finding *finding = &merge->result->findings[fault];
	finding->count++;
	if (finding->shown == VERIFY_SAMPLES)
		return;
	struct verify_sample *sample = &finding->first[finding->shown++];
	*sample = (struct verify_sample){.version = MEOW_NO_VERSION};
	if (event != NULL) {
		sample->position = event->position;
		sample->version = event->version;
		sample->aggregate_type = copy(event->aggregate_type);
		sample->aggregate_id = copy(event->aggregate_id);
	} else if (record != NULL) {
		describe_record(record, sample);
	}
	struct buffer where;
	buffer_init(&where);
	merge->sink->impl->where(place, sequence, record, &where);
	if (!where.failed && where.data != NULL)
		sample->where = copy((struct meow_bytes){where.data, where.size});
	buffer_finish(&where);
	sample->what = what == NULL ? NULL : strdup(what);
}

void verify_result_finish(struct verify_result *result)
{
	for (int fault = 0; fault < VERIFY_FAULTS; fault++) {
		struct verify_finding *finding = &result->findings[fault];
		for (size_t i = 0; i < finding->shown; i++) {
			free(finding->first[i].aggregate_type);
			free(finding->first[i].aggregate_id);
			free(finding->first[i].where);
			free(finding->first[i].what);
		}
	}
	*result = (struct verify_result){0};
}
