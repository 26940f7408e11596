// Records of a Kafka checkpoint topic: one that is taken, written anew, is taken as the same. Lines: the key, and the value
// up to the end.
#include "fuzz.h"

#include "base/text.h"
#include "connectors/kafka/kafka_record.h"

#include <stdlib.h>

static void check_same(const struct kafka_record *a, const struct kafka_record *b)
{
	FUZZ_CHECK(a->partition == b->partition && a->generation == b->generation && a->delivered == b->delivered);
	FUZZ_CHECK(a->epoch == b->epoch && a->layout == b->layout);
	FUZZ_CHECK(bytes_equal(bytes_of(a->fingerprint), bytes_of(b->fingerprint)));
}

void fuzz_kafka_record(struct meow_bytes input)
{
	struct kafka_record record, again;
	const char *why = NULL;
	struct buffer key, value;
	struct meow_bytes first = fuzz_line(&input);
	if (!kafka_record_parse(first, input, &record, &why)) {
		FUZZ_CHECK(why != NULL);
		return;
	}
	buffer_init(&key);
	buffer_init(&value);
	kafka_record_key(&record, &key);
	kafka_record_value(&record, &value);
	FUZZ_CHECK(kafka_record_parse(
		(struct meow_bytes){key.data, key.size}, (struct meow_bytes){value.data, value.size}, &again, &why));
	check_same(&record, &again);
	free(record.fingerprint);
	free(again.fingerprint);
	buffer_finish(&key);
	buffer_finish(&value);
}
