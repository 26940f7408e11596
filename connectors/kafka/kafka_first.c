// kafka_first.c: nothing follows a producer's first message to a partition before that is acknowledged.
//
// librdkafka may have several requests to a partition under way, and sequence numbers keep them in order: a broker refuses
// what does not follow upon the last it has. But any number will do as the first of a producer that the broker does not
// know (KIP-360). So where the first request is refused, because the broker does not lead the partition yet (a topic just
// created, leaders that move), and the next one arrives a moment later and is taken, the next has overtaken it: consumers
// see an aggregate's second event before its first. Once one is acknowledged all in-sync replicas know the producer, and
// forget it when it has sent them nothing for a day (producer.id.expiration.ms).
//
// In a transaction nothing has to wait: the message that was overtaken is refused (OUT_OF_ORDER_SEQUENCE_NUMBER), which
// aborts the transaction, so no reader sees either. To wait would also cost a round trip to the coordinator for each
// partition, one after the other, and a transaction with messages for hundreds of them would run into its time-out.
#include "connectors/kafka/kafka_part.h"

#include <stdlib.h>
#include <string.h>

#define REMEMBERED_US INT64_C(3600000000)

// What heard_us has in place of a time.
#define UNHEARD 0
#define FIRST_SENT (-1)

static bool make_room(struct topic *topic, size_t count)
{
	int64_t *heard_us = realloc(topic->heard_us, count * sizeof(*heard_us));
	if (heard_us == NULL)
		return false;
	memset(heard_us + topic->heard_count, 0, (count - topic->heard_count) * sizeof(*heard_us));
	topic->heard_us = heard_us;
	topic->heard_count = count;
	return true;
}

bool kafka_first_lets_pass(struct kafka *kafka, struct topic *topic, int32_t partition)
{
	struct topic *owner = topic->namesake;
	if (kafka->exactly.on)
		return true;
	if ((size_t)partition >= owner->heard_count && !make_room(owner, topic->partitions))
		return kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
	return owner->heard_us[partition] != FIRST_SENT;
}

void kafka_first_sent(struct kafka *kafka, struct topic *topic, int32_t partition)
{
	if (kafka->exactly.on)
		return;
	int64_t *heard_us = &topic->namesake->heard_us[partition];
	if (*heard_us == UNHEARD || loop_now_us(kafka->context.loop) - *heard_us > REMEMBERED_US)
		*heard_us = FIRST_SENT;
}

void kafka_first_acknowledged(const struct kafka *kafka, struct topic *topic, int32_t partition, int64_t now_us)
{
	if (!kafka->exactly.on)
		topic->namesake->heard_us[partition] = now_us;
}

void kafka_first_doubt(struct topic *topic)
{
	for (size_t i = 0; i < topic->namesake->heard_count; i++)
		if (topic->namesake->heard_us[i] != FIRST_SENT)
			topic->namesake->heard_us[i] = UNHEARD;
}

void kafka_first_forget(struct topic *topic)
{
	free(topic->heard_us);
	topic->heard_us = NULL;
	topic->heard_count = 0;
}
