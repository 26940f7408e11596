// kafka.c: the life of a Kafka connector. At least once, in order: an idempotent producer with the gapless guarantee
// sends; librdkafka rides out short interruptions by itself without repeating anything. Whatever it cannot mend is told
// to the relay, which makes a new connector and goes on behind the last batch that was acknowledged in full. Kafka keeps
// no position of ours then: that is the store's checkpoint, and each message carries its own in a header. Exactly once is
// the same with transactions, which hold the position, too: kafka_exactly.c.
//
// All events of librdkafka (delivery reports, errors, log lines, results of topic creation) come through one descriptor.
// A turn handles a bounded number of them, then tells the host what came of it, then produces what may go.
//
// Refused here: an event that is too large, or whose topic cannot have its name.
#include "connectors/kafka/kafka_part.h"

#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OPEN_LIMIT_US 10000000
#define LOST_LIMIT_US 5000000 // without any broker, before the relay is told
#define OPEN_LOOK_US 10000
#define LOST_LOOK_US 250000
#define GRACE_US 300000 // between a fatal error and the delivery report, or the failed commit, that explains it
#define EVENTS_PER_TURN 64
#define REFRESH_MS 300000
#define SMALL_BATCH_BYTES 16384

static struct kafka *of_connector(struct connector *connector)
{
	return (struct kafka *)(void *)connector;
}

static const char *servers_of(const struct kafka *kafka)
{
	return kafka_bootstrap(kafka->context.settings);
}

bool kafka_trouble(struct kafka *kafka, enum meow_error_kind kind, const char *format, ...)
{
	if (kafka->trouble.kind != MEOW_ERROR_NONE)
		return false;
	char text[MEOW_ERROR_TEXT_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	loop_timer_start(kafka->turn, 0);
	return error_set(&kafka->trouble, kind, "%s", text);
}

static void no_broker(struct kafka *kafka)
{
	kafka_trouble(kafka, MEOW_UNAVAILABLE, "no Kafka broker answers at %s%s%s", servers_of(kafka),
		kafka->reason[0] == '\0' ? "" : ": ", kafka->reason);
}

// --- telling the host, who may destroy the connector in any call

static void tell_opened(struct kafka *kafka)
{
	kafka->opened = true;
	const struct connector_memory memory =
		kafka->exactly.on ? kafka_exactly_memory(kafka) : (struct connector_memory){.kind = MEMORY_NONE};
	kafka->context.host->opened(kafka->context.host_arg, &memory);
}

void kafka_notice(struct kafka *kafka, const char *text)
{
	buffer_put(&kafka->notices, text, strlen(text) + 1);
	loop_timer_start(kafka->turn, 0);
}

static bool tell_notices(struct kafka *kafka)
{
	struct buffer notices = kafka->notices; // what is said meanwhile waits for the next turn
	buffer_init(&kafka->notices);
	bool gone = false;
	kafka->gone = &gone;
	for (size_t at = 0; at < notices.size && !gone; at += strlen(notices.data + at) + 1)
		kafka->context.host->notice(kafka->context.host_arg, notices.data + at);
	buffer_finish(&notices);
	if (!gone)
		kafka->gone = NULL;
	return !gone;
}

static bool tell_delivered(struct kafka *kafka)
{
	struct batch *batch;
	while ((batch = kafka_flight_done(kafka)) != NULL) {
		bool gone = false;
		kafka->gone = &gone;
		kafka->context.host->delivered(kafka->context.host_arg, batch);
		if (gone)
			return false;
		kafka->gone = NULL;
	}
	return true;
}

// Exactly once: older producers are fenced; is this route still ours?
static bool ask_for_lease(struct kafka *kafka)
{
	const struct connector_host *host = kafka->context.host;
	if (!kafka->exactly.on || kafka->exactly.state != EXACTLY_CONFIRMING || kafka->exactly.asked)
		return true;
	kafka->exactly.asked = true;
	if (host->confirm == NULL) {
		kafka_exactly_confirmed(kafka);
		return true;
	}
	bool gone = false;
	kafka->gone = &gone;
	host->confirm(kafka->context.host_arg, kafka_exactly_confirmed, kafka);
	if (!gone)
		kafka->gone = NULL;
	return !gone;
}

static void tell_trouble(struct kafka *kafka)
{
	kafka->over = true;
	const struct meow_error err = kafka->trouble;
	if (kafka->refused != 0)
		kafka->context.host->refused(kafka->context.host_arg, kafka->refused, &err);
	else
		kafka->context.host->failed(kafka->context.host_arg, &err);
}

// --- the producer

static void turn(void *arg);

static int64_t number_of(const rd_kafka_conf_t *conf, const char *name)
{
	char text[24];
	size_t size = sizeof(text);
	int64_t number = 0;
	if (rd_kafka_conf_get(conf, name, text, &size) != RD_KAFKA_CONF_OK || !text_to_int64(bytes_of(text), &number))
		return 0;
	return number;
}

static bool start_client(struct kafka *kafka, struct meow_error *err)
{
	const struct exactly *exactly = &kafka->exactly;
	rd_kafka_conf_t *conf =
		kafka_conf_create(kafka->context.settings, &kafka->care, exactly->on ? exactly->id : NULL, err);
	if (conf == NULL)
		return false;
	kafka->most_bytes = (size_t)number_of(conf, "message.max.bytes");
	kafka->request_bytes = (size_t)number_of(conf, "batch.size");
	kafka->refresh_ms = (int)number_of(conf, "topic.metadata.refresh.interval.ms");
	if (kafka->refresh_ms <= 0)
		kafka->refresh_ms = REFRESH_MS; // librdkafka's own look is switched off, not ours
	if (exactly->on && !kafka_exactly_prepare(kafka, conf, err)) {
		rd_kafka_conf_destroy(conf);
		return false;
	}
	kafka->client = kafka_client_create(conf, kafka->context.loop, turn, kafka, err);
	return kafka->client != NULL && (!exactly->on || kafka_exactly_run(kafka, err));
}

static void drop_client(struct kafka *kafka)
{
	kafka_topics_drop_handles(kafka);
	if (kafka->exactly.on)
		kafka_exactly_drop(kafka);
	else
		kafka_client_destroy(kafka->client);
	kafka->client = NULL;
}

// A new producer takes over. What is not acknowledged, or not committed, goes out again.
static void replace_client(struct kafka *kafka)
{
	kafka->fatal = kafka->lost_messages = kafka->asking = false;
	loop_timer_stop(kafka->grace);
	drop_client(kafka);
	kafka_flight_rewind(kafka);
	struct meow_error err;
	if (!start_client(kafka, &err)) {
		kafka_trouble(kafka, err.kind, "%s", err.text);
		return;
	}
	if (kafka->exactly.on)
		kafka_exactly_start(kafka);
	kafka_topics_ask_again(kafka);
	loop_timer_start(kafka->turn, 0); // its first events came before the descriptor was there to be woken
}

// Several messages were refused together: sends what is not acknowledged again, in smaller requests.
static void inspect(struct kafka *kafka)
{
	if (kafka->refused_for_size && kafka->care.batch_bytes == 0) {
		size_t bytes = kafka->largest_refused > SMALL_BATCH_BYTES ? kafka->largest_refused : SMALL_BATCH_BYTES;
		kafka->care.batch_bytes = bytes > INT32_MAX ? INT32_MAX : (int)bytes;
	} else {
		kafka->care.one_by_one = true;
	}
	kafka->inspected = kafka->last_flight->batch->position;
	kafka->inspect = kafka->refused_for_size = false;
	kafka->refused = 0;
	kafka->refused_events = kafka->largest_refused = 0;
	kafka->trouble = (struct meow_error){0};
	replace_client(kafka);
}

// --- what librdkafka says

// "host:port/id: Connect to ipv4#127.0.0.1:9092 failed: Connection refused (after 0ms in state CONNECT)": what stands
// in front of the parenthesis is enough.
static void keep_reason(struct kafka *kafka, const char *text)
{
	const char *end = strstr(text, " (after ");
	if (end == NULL)
		end = text + strlen(text);
	snprintf(kafka->reason, sizeof(kafka->reason), "%.*s", (int)(end - text), text);
}

static void ask_whether_lost(struct kafka *kafka)
{
	if (kafka->asking || kafka->client == NULL)
		return;
	kafka->asking = kafka_client_ask(kafka->client, NULL, NULL);
	if (!kafka->asking)
		kafka_trouble(kafka, MEOW_UNAVAILABLE, "out of memory");
}

static void all_down(struct kafka *kafka)
{
	if (!kafka->opened) {
		no_broker(kafka);
	} else if (kafka->lost_us == 0) {
		kafka->lost_us = loop_now_us(kafka->context.loop);
		ask_whether_lost(kafka);
	}
}

static void fatal(struct kafka *kafka)
{
	if (kafka->fatal)
		return;
	kafka->fatal = true;
	bool explained = kafka->outstanding > 0 || (kafka->exactly.on && kafka->exactly.state == EXACTLY_COMMITTING);
	loop_timer_start(kafka->grace, explained ? GRACE_US : 0);
}

static void explain_fatal(void *arg)
{
	struct kafka *kafka = arg;
	char text[MEOW_ERROR_TEXT_SIZE];
	rd_kafka_resp_err_t code = rd_kafka_fatal_error(kafka_client_handle(kafka->client), text, sizeof(text));
	if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
		snprintf(text, sizeof(text), "%.400s",
			kafka->reason[0] == '\0' ? "messages were given up without a reason" : kafka->reason);
	enum meow_error_kind kind = kafka_error_kind(code);
	// Without a report nobody knows which event it is about; sending again will tell.
	kafka_trouble(kafka, kind == MEOW_INVALID ? MEOW_UNAVAILABLE : kind, "the Kafka producer stopped: %s%s", text,
		kafka_error_advice(code));
}

static void error_event(struct kafka *kafka, rd_kafka_event_t *event)
{
	rd_kafka_resp_err_t code = rd_kafka_event_error(event);
	const char *text = rd_kafka_event_error_string(event);
	if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
		all_down(kafka);
	} else if (rd_kafka_event_error_is_fatal(event) || code == RD_KAFKA_RESP_ERR__FATAL) {
		fatal(kafka);
	} else if (kafka_error_kind(code) == MEOW_UNAVAILABLE) {
		keep_reason(kafka, text);
	} else {
		keep_reason(kafka, text);
		kafka_trouble(kafka, kafka_error_kind(code), "Kafka at %s: %s%s", servers_of(kafka), kafka->reason,
			kafka_error_advice(code));
	}
}

// Whether a warning is about a property that the user set; those about our own settings are no news.
static bool is_about_client(const struct kafka *kafka, const char *text)
{
	const struct config_section *settings = kafka->context.settings;
	for (size_t i = 0; i < config_count(settings, "client"); i++) {
		const char *name = config_item_key(settings, "client", i);
		const char *found = strstr(text, name);
		if (found != NULL && strchr(" \"'`.:=", found[strlen(name)]) != NULL)
			return true;
	}
	return false;
}

// Lines about brokers repeat what error events say. Warnings about the configuration are for a person; those that
// `debug` under client asks for go to the log.
static void log_event(struct kafka *kafka, rd_kafka_event_t *event)
{
	const char *facility, *text;
	int level;
	if (rd_kafka_event_log(event, &facility, &text, &level) != 0)
		return;
	if (level >= 7) {
		LOG(LOG_DEBUG, text, LOG_TEXT("route", kafka->context.route), LOG_TEXT("librdkafka", facility));
	} else if (strcmp(facility, "TXNERR") == 0) { // why a transaction failed, which no event says
		const char *line = strstr(text, "]: ");
		keep_reason(kafka, line == NULL ? text : line + 3);
	} else if (strcmp(facility, "CONFWARN") == 0 && is_about_client(kafka, text)) {
		const char *line = strstr(text, "]: ");
		kafka_notice(kafka, line == NULL ? text : line + 3);
	}
}

static void handle(struct kafka *kafka, rd_kafka_event_t *event)
{
	int type = rd_kafka_event_type(event);
	if (type == RD_KAFKA_EVENT_DR)
		kafka_reports(kafka, event);
	else if (type == RD_KAFKA_EVENT_ERROR)
		error_event(kafka, event);
	else if (type == RD_KAFKA_EVENT_LOG)
		log_event(kafka, event);
	else if (type == RD_KAFKA_EVENT_CREATETOPICS_RESULT)
		kafka_topic_created(kafka, event);
}

// True if there may be more.
static bool handle_events(struct kafka *kafka)
{
	for (int i = 0; i < EVENTS_PER_TURN; i++) {
		rd_kafka_event_t *event = kafka_client_poll(kafka->client);
		if (event == NULL)
			return false;
		handle(kafka, event);
		rd_kafka_event_destroy(event);
	}
	return true;
}

static void handle_answers(struct kafka *kafka)
{
	struct kafka_answer answer;
	while (kafka_client_answer(kafka->client, &answer)) {
		if (answer.topic != NULL) {
			kafka_topic_answered(kafka, answer.topic, &answer);
			continue;
		}
		kafka->asking = false;
		if (answer.failed == RD_KAFKA_RESP_ERR_NO_ERROR)
			kafka->lost_us = 0;
		else if (kafka->lost_us != 0)
			loop_timer_start(kafka->patience, LOST_LOOK_US);
	}
}

// --- the loop's turns

static void weigh_reports(struct kafka *kafka)
{
	// A message that was alone in its request is the one that is meant.
	if (kafka->refused_events > 1 && !kafka->care.one_by_one)
		kafka->inspect = true;
	if (kafka->lost_messages)
		fatal(kafka);
}

// All that was refused together has passed in smaller requests: worth a setting.
static void advise_small_requests(struct kafka *kafka)
{
	if (kafka->inspected == 0 || (kafka->flights != NULL && kafka->flights->batch->position <= kafka->inspected))
		return;
	kafka->inspected = 0;
	char text[MEOW_ERROR_TEXT_SIZE];
	snprintf(text, sizeof(text),
		"topic %s refused a request of several messages and took them in smaller ones, which is "
		"slower: set a smaller batch.size under client, or raise max.message.bytes of the topic",
		kafka->refusing_topic);
	kafka_notice(kafka, text);
}

static void turn(void *arg)
{
	struct kafka *kafka = arg;
	if (kafka->over)
		return;
	bool more = handle_events(kafka);
	handle_answers(kafka);
	kafka_exactly_answers(kafka);
	weigh_reports(kafka);
	if (!tell_notices(kafka) || !tell_delivered(kafka) || !ask_for_lease(kafka))
		return;
	advise_small_requests(kafka);
	if (kafka->inspect)
		inspect(kafka);
	else if (kafka->exactly.on && kafka_exactly_replace(kafka))
		replace_client(kafka);
	kafka_produce(kafka);
	if (more)
		loop_timer_start(kafka->turn, 0);
	if (kafka->trouble.kind != MEOW_ERROR_NONE)
		tell_trouble(kafka);
	else if (kafka->exactly.on && kafka->exactly.state == EXACTLY_OPENED && !kafka->opened)
		tell_opened(kafka);
}

static void lose_patience(void *arg)
{
	struct kafka *kafka = arg;
	if (kafka->over)
		return;
	int64_t now = loop_now_us(kafka->context.loop);
	if (!kafka->opened) {
		// Filled by the first metadata, which librdkafka asks for as soon as it is connected.
		char *cluster = rd_kafka_clusterid(kafka_client_handle(kafka->client), 0);
		if (cluster != NULL) {
			rd_kafka_mem_free(kafka_client_handle(kafka->client), cluster);
			if (!kafka->exactly.on) // there the helper says more
				tell_opened(kafka);
		} else if (now - kafka->open_us > OPEN_LIMIT_US) {
			no_broker(kafka);
		} else {
			loop_timer_start(kafka->patience, OPEN_LOOK_US);
		}
	} else if (kafka->lost_us != 0 && now - kafka->lost_us > LOST_LIMIT_US) {
		no_broker(kafka);
	} else if (kafka->lost_us != 0) {
		ask_whether_lost(kafka);
	}
}

// --- the connector's interface

static void kafka_destroy(struct connector *connector)
{
	if (connector == NULL)
		return;
	struct kafka *kafka = of_connector(connector);
	if (kafka->gone != NULL)
		*kafka->gone = true;
	drop_client(kafka);
	loop_timer_destroy(kafka->turn);
	loop_timer_destroy(kafka->patience);
	loop_timer_destroy(kafka->again);
	loop_timer_destroy(kafka->grace);
	kafka_flight_finish(kafka);
	kafka_topics_finish(kafka);
	kafka_exactly_finish(kafka);
	buffer_finish(&kafka->scratch);
	buffer_finish(&kafka->notices);
	free(kafka);
}

static struct connector *kafka_create(const struct connector_context *context, struct meow_error *err)
{
	struct kafka *kafka = calloc(1, sizeof(*kafka));
	if (kafka == NULL) {
		error_no_memory(err);
		return NULL;
	}
	kafka->connector.impl = &kafka_connector;
	kafka->context = *context;
	kafka->turn = loop_timer_create(context->loop, turn, kafka);
	kafka->patience = loop_timer_create(context->loop, lose_patience, kafka);
	kafka->again = loop_timer_create(context->loop, kafka_topics_ask_again, kafka);
	kafka->grace = loop_timer_create(context->loop, explain_fatal, kafka);
	if (kafka->turn == NULL || kafka->patience == NULL || kafka->again == NULL || kafka->grace == NULL)
		error_no_memory(err);
	else if (kafka_topics_init(kafka, err) && kafka_exactly_init(kafka, err) && start_client(kafka, err))
		return &kafka->connector;
	kafka_destroy(&kafka->connector);
	return NULL;
}

static void kafka_open(struct connector *connector, int64_t delivered)
{
	(void)delivered; // what Kafka remembers, if anything, is compared by the relay
	struct kafka *kafka = of_connector(connector);
	kafka->open_us = loop_now_us(kafka->context.loop);
	loop_timer_start(kafka->patience, OPEN_LOOK_US);
	loop_timer_start(kafka->turn, 0); // the first events came before the descriptor was there to be woken
	if (kafka->exactly.on)
		kafka_exactly_start(kafka);
}

static void kafka_begin(struct connector *connector, int64_t delivered, const char *fingerprint)
{
	struct kafka *kafka = of_connector(connector);
	(void)fingerprint; // each transaction writes its own
	if (kafka->exactly.on)
		kafka_exactly_begin(kafka, delivered);
}

static size_t kafka_admit(struct connector *connector, const struct batch *batch, struct meow_error *err)
{
	struct kafka *kafka = of_connector(connector);
	for (size_t i = 0; i < batch->count; i++) {
		const struct meow_event *event = &batch->events[i];
		const struct topic *topic = kafka_topic_of(kafka, event);
		if (topic != NULL && topic->state == TOPIC_BAD) {
			char what[DESCRIPTION_SIZE];
			kafka_describe(event, what, sizeof(what));
			error_set(err, MEOW_INVALID,
				"%s: \"%.100s\" cannot be a topic's name: %s; give its aggregate type a name under "
				"topics",
				what, topic->name, topic->fault);
			return i;
		}
		if (!kafka_fits(kafka, event, err))
			return i;
	}
	return batch->count;
}

static bool kafka_send(struct connector *connector, struct batch *batch, struct meow_error *err)
{
	struct kafka *kafka = of_connector(connector);
	if (!kafka_flight_add(kafka, batch))
		return error_no_memory(err);
	kafka_produce(kafka);
	return true;
}

const struct connector_impl kafka_connector = {
	.name = "kafka",
	.settings = kafka_settings,
	.when_behind = SINK_STOP, // exactly once; else it remembers nothing
	.when_empty = SINK_STOP,
	.stop_advice = "bring its checkpoint topic back (a route that was at-least-once before has none)",
	.check = kafka_check,
	.create = kafka_create,
	.open = kafka_open,
	.begin = kafka_begin,
	.admit = kafka_admit,
	.send = kafka_send,
	.destroy = kafka_destroy,
};
