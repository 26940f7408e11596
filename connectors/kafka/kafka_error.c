// kafka_error.c: one table of the codes after which trying again is of no use, with what a person can do about each.
#include "connectors/kafka/kafka_error.h"

static const struct {
	rd_kafka_resp_err_t code;
	enum meow_error_kind kind;
	const char *advice;
} known[] = {
	// About one message. The broker refuses the whole batch it came in.
	{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, MEOW_INVALID,
		"; raise max.message.bytes of the topic, and message.max.bytes under client if it is smaller"},
	{RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, MEOW_INVALID, "; raise segment.bytes of the topic"},
	{RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP, MEOW_INVALID,
		"; the event's time is too far off for message.timestamp.before.max.ms or message.timestamp.after.max.ms of "
		"the topic"},
	{RD_KAFKA_RESP_ERR_INVALID_RECORD, MEOW_INVALID, "; the topic's own settings or the broker's checks refuse it"},
	{RD_KAFKA_RESP_ERR_POLICY_VIOLATION, MEOW_INVALID, "; a policy of the broker refuses it"},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT, MEOW_INVALID,
		"; the topic's message.format.version is too old for headers"},
	{RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, MEOW_INVALID, "; choose another name with topic or topics"},
	// About the client.
	{RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, MEOW_DENIED,
		"; allow the client Write and Describe on the topic (and Create where it is to be created)"},
	{RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, MEOW_DENIED,
		"; allow the client IdempotentWrite on the cluster, or Write on its topics"},
	{RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, MEOW_DENIED, "; see sasl.username and sasl.password under client"},
	{RD_KAFKA_RESP_ERR__AUTHENTICATION, MEOW_DENIED, "; see sasl.username and sasl.password under client"},
	{RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, MEOW_CONFIG, "; see sasl.mechanisms under client"},
	{RD_KAFKA_RESP_ERR_ILLEGAL_SASL_STATE, MEOW_CONFIG, "; see security.protocol under client"},
	{RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, MEOW_CONFIG,
		"; the broker is too old: 0.11 at least, with idempotent producers"},
	{RD_KAFKA_RESP_ERR__INVALID_ARG, MEOW_CONFIG, ""},
	// About transactions.
	{RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, MEOW_DENIED,
		"; allow the client Write and Describe on transactional ids that begin with meowmx."},
	{RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, MEOW_CONFIG,
		"; set transaction.timeout.ms under client to no more than the broker's transaction.max.timeout.ms"},
	{RD_KAFKA_RESP_ERR__FENCED, MEOW_UNAVAILABLE, "; another producer of this route has taken over"},
	{RD_KAFKA_RESP_ERR_PRODUCER_FENCED, MEOW_UNAVAILABLE, "; another producer of this route has taken over"},
	{RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, MEOW_UNAVAILABLE, "; another producer of this route has taken over"},
	// About a topic to be created.
	{RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, MEOW_CONFIG, "; see replication"},
	{RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, MEOW_CONFIG, "; see partitions"},
	{RD_KAFKA_RESP_ERR_INVALID_CONFIG, MEOW_CONFIG, ""},
};

enum meow_error_kind kafka_error_kind(rd_kafka_resp_err_t code)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].code == code)
			return known[i].kind;
	return MEOW_UNAVAILABLE;
}

const char *kafka_error_advice(rd_kafka_resp_err_t code)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (known[i].code == code)
			return known[i].advice;
	return "";
}

bool kafka_error_follows(rd_kafka_resp_err_t code)
{
	return code == RD_KAFKA_RESP_ERR__PURGE_QUEUE || code == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT ||
		   code == RD_KAFKA_RESP_ERR__FATAL || code == RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE ||
		   code == RD_KAFKA_RESP_ERR__DESTROY;
}
