// librdkafka's producer as the connector sees it, in place of kafka_client.c and of the functions of librdkafka that it
// calls with a producer, a topic or an event. Messages leave in requests of one partition each; a reply that is lost is asked
// for again and repeats nothing (the producer is idempotent), unless the producer itself fails: then what was on its way is
// in the topic or not, and nobody knows. What a process had sent before it ended may still arrive.
#include "sim_kafka.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REQUEST_MOST 64

// What the connector polls: a delivery report, or an error.
struct event {
	struct event *next;
	struct kafka_client *client;
	int type;
	rd_kafka_resp_err_t error;
	bool fatal;
	const char *text;
	rd_kafka_message_t messages[REQUEST_MOST];
	size_t count, read;
};

struct answer {
	struct answer *next;
	struct kafka_client *client;
	struct kafka_answer answer;
};

struct kafka_client {
	struct kafka_client *next;
	struct loop *process;
	loop_fn *wake;
	void *arg;
	rd_kafka_conf_t *conf;
	bool transactional;
	int64_t epoch;
	unsigned upheavals;
	size_t most_messages;
	struct kafka_message *queue;
	size_t count, capacity;
	struct event *events, **events_end;
	struct answer *answers, **answers_end;
	rd_kafka_resp_err_t fatal;
	bool failed;               // the transaction
	unsigned known, overtaken; // by partition: the broker knows the producer; a first request waits behind the next
	bool destroyed, working;
	unsigned reports; // that were not polled and ended
	unsigned uses;    // by what is scheduled
};

static struct kafka_client *clients;

// --- life

static void drop_queue(struct kafka_client *client)
{
	for (size_t i = 0; i < client->count; i++) {
		free(client->queue[i].key);
		free(client->queue[i].value);
	}
	client->count = 0;
}

static void drop_events(struct kafka_client *client)
{
	for (struct event *event; (event = client->events) != NULL; free(event)) {
		client->events = event->next;
		client->reports -= event->type == RD_KAFKA_EVENT_DR;
	}
	client->events_end = &client->events;
}

static void free_client(struct kafka_client *client)
{
	struct kafka_client **at = &clients;
	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	drop_queue(client);
	free(client->queue);
	drop_events(client);
	for (struct answer *answer; (answer = client->answers) != NULL; free(answer)) {
		client->answers = answer->next;
		free(answer->answer.handle);
	}
	rd_kafka_conf_destroy(client->conf);
	free(client);
}

void sim_kafka_clients_free(void)
{
	while (clients)
		free_client(clients);
}

static void use(struct kafka_client *client, struct loop *loop, int64_t delay_us, loop_fn *fn, void *arg)
{
	client->uses++;
	sim_after(loop, delay_us, fn, arg);
}

static void release(struct kafka_client *client)
{
	if (--client->uses == 0 && client->destroyed)
		free_client(client);
}

struct kafka_client *kafka_client_create(
	rd_kafka_conf_t *conf, struct loop *loop, loop_fn *wake, void *arg, struct meow_error *err)
{
	struct kafka_client *client = calloc(1, sizeof(*client));
	char text[300];
	size_t size = sizeof(text);
	(void)err;
	if (!client)
		abort();
	*client = (struct kafka_client){.next = clients, .process = loop, .wake = wake, .arg = arg, .conf = conf};
	clients = client;
	client->events_end = &client->events;
	client->answers_end = &client->answers;
	client->upheavals = sim_kafka_upheavals();
	client->transactional = rd_kafka_conf_get(conf, "transactional.id", text, &size) == RD_KAFKA_CONF_OK && *text;
	size = sizeof(text);
	client->most_messages = rd_kafka_conf_get(conf, "batch.num.messages", text, &size) == RD_KAFKA_CONF_OK
								? (size_t)strtoull(text, NULL, 10)
								: REQUEST_MOST;
	return client;
}

static void work(void *arg);

static void start_work(struct kafka_client *client)
{
	if (client->working || !client->count || client->fatal || (client->transactional && !client->epoch))
		return;
	client->working = true;
	bool late = sim_kafka_fail_percent() && sim_chance(client->destroyed ? 20 : 1);
	use(client, sim_kafka_world(), late ? sim_between(1000, 1500000) : sim_between(50, 1500), work, client);
}

void kafka_client_destroy(struct kafka_client *client)
{
	if (!client)
		return;
	client->destroyed = true;
	if (client->transactional || sim_chance(50))
		drop_queue(client); // else what was on its way arrives
	if (client->uses == 0) {
		client->uses = 1;
		start_work(client);
		release(client);
	}
}

// From now on its own thread drops what is reported.
void kafka_client_detach(struct kafka_client *client)
{
	client->wake = NULL;
	drop_events(client);
}

rd_kafka_t *kafka_client_handle(const struct kafka_client *client)
{
	return (rd_kafka_t *)(uintptr_t)client;
}

rd_kafka_queue_t *kafka_client_queue(const struct kafka_client *client)
{
	return (rd_kafka_queue_t *)(uintptr_t)client;
}

static struct kafka_client *of(const void *handle)
{
	return (struct kafka_client *)(uintptr_t)handle;
}

static void wake_now(void *arg)
{
	struct kafka_client *client = arg;
	if (!client->destroyed && client->wake)
		client->wake(client->arg);
	release(client);
}

void kafka_client_wake(struct kafka_client *client)
{
	use(client, client->process, 0, wake_now, client);
}

// --- events

static void arrive(void *arg)
{
	struct event *event = arg;
	struct kafka_client *client = event->client;
	bool dr = event->type == RD_KAFKA_EVENT_DR;
	if (client->destroyed || !client->wake || (dr && !sim_step(client->process, KAFKA_REPORTS))) {
		client->reports -= dr;
		free(event);
		release(client);
		return;
	}
	*client->events_end = event;
	client->events_end = &event->next;
	client->wake(client->arg);
	release(client);
}

static struct event *make_event(struct kafka_client *client, int type, rd_kafka_resp_err_t error, const char *text)
{
	struct event *event = calloc(1, sizeof(*event));
	if (!event)
		abort();
	event->client = client;
	event->type = type;
	event->error = error;
	event->text = text;
	return event;
}

static void send_event(struct event *event, int64_t delay_us)
{
	use(event->client, event->client->process, delay_us, arrive, event);
}

static void report(struct kafka_client *client, const struct kafka_message *messages, size_t count,
	rd_kafka_resp_err_t error, int64_t delay_us)
{
	struct event *event = make_event(client, RD_KAFKA_EVENT_DR, RD_KAFKA_RESP_ERR_NO_ERROR, NULL);
	for (size_t i = 0; i < count; i++)
		event->messages[event->count++] = (rd_kafka_message_t){
			.err = error, .rkt = messages[i].topic, .partition = messages[i].partition, ._private = messages[i].opaque};
	client->reports++;
	send_event(event, delay_us);
}

// The rest of the queue is given up.
static void purge(struct kafka_client *client, rd_kafka_resp_err_t error)
{
	for (size_t i = 0; i < client->count; i += REQUEST_MOST) {
		size_t left = client->count - i;
		report(client, &client->queue[i], left < REQUEST_MOST ? left : REQUEST_MOST, error, 300);
	}
	drop_queue(client);
}

static void be_fatal(struct kafka_client *client, rd_kafka_resp_err_t code)
{
	if (client->fatal)
		return;
	client->fatal = code;
	client->failed = true;
	struct event *event = make_event(client, RD_KAFKA_EVENT_ERROR, RD_KAFKA_RESP_ERR__FATAL, "fatal");
	event->fatal = true;
	send_event(event, sim_between(10, 1000));
	purge(client, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
}

void sim_kafka_tell_down(void)
{
	for (struct kafka_client *client = clients; client; client = client->next)
		if (!client->destroyed)
			send_event(
				make_event(client, RD_KAFKA_EVENT_ERROR, RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN, "all brokers are down"),
				sim_between(100, 20000));
}

void sim_kafka_tell_lost(void)
{
	for (struct kafka_client *client = clients; client; client = client->next)
		if (!client->destroyed)
			be_fatal(client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
}

rd_kafka_event_t *kafka_client_poll(struct kafka_client *client)
{
	struct event *event = client->events;
	if (!event)
		return NULL;
	client->events = event->next;
	if (!client->events)
		client->events_end = &client->events;
	return (rd_kafka_event_t *)(uintptr_t)event;
}

static struct event *event_of(const rd_kafka_event_t *event)
{
	return (struct event *)(uintptr_t)event;
}

rd_kafka_event_type_t rd_kafka_event_type(const rd_kafka_event_t *event)
{
	return event_of(event)->type;
}

const rd_kafka_message_t *rd_kafka_event_message_next(rd_kafka_event_t *event)
{
	struct event *own = event_of(event);
	return own->read < own->count ? &own->messages[own->read++] : NULL;
}

rd_kafka_resp_err_t rd_kafka_event_error(rd_kafka_event_t *event)
{
	return event_of(event)->error;
}

const char *rd_kafka_event_error_string(rd_kafka_event_t *event)
{
	return event_of(event)->text;
}

int rd_kafka_event_error_is_fatal(rd_kafka_event_t *event)
{
	return event_of(event)->fatal;
}

void rd_kafka_event_destroy(rd_kafka_event_t *event)
{
	if (event_of(event)->type == RD_KAFKA_EVENT_DR)
		event_of(event)->client->reports--;
	free(event_of(event));
}

rd_kafka_resp_err_t rd_kafka_fatal_error(rd_kafka_t *handle, char *text, size_t size)
{
	snprintf(text, size, "%s", rd_kafka_err2str(of(handle)->fatal));
	return of(handle)->fatal;
}

char *rd_kafka_clusterid(rd_kafka_t *handle, int timeout_ms)
{
	(void)handle;
	(void)timeout_ms;
	return sim_kafka_is_down() ? NULL : strdup("sim");
}

void rd_kafka_mem_free(rd_kafka_t *handle, void *memory)
{
	(void)handle;
	free(memory);
}

// --- what is asked of a topic

static void answer_now(void *arg)
{
	struct answer *answer = arg;
	struct kafka_client *client = answer->client;
	*client->answers_end = answer;
	client->answers_end = &answer->next;
	if (!client->destroyed && client->wake)
		client->wake(client->arg);
	release(client);
}

bool kafka_client_ask(struct kafka_client *client, const char *name, void *topic)
{
	struct answer *answer = calloc(1, sizeof(*answer));
	if (!answer)
		abort();
	answer->client = client;
	answer->answer = (struct kafka_answer){.topic = topic, .partitions = KAFKA_PARTITIONS, .copies = 1};
	if (sim_kafka_is_down())
		answer->answer.failed = RD_KAFKA_RESP_ERR__TRANSPORT;
	else if (name && sim_chance(sim_kafka_fail_percent()))
		answer->answer.state = RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE;
	else if (name)
		answer->answer.handle = rd_kafka_topic_new(NULL, name, NULL);
	use(client, client->process, sim_between(100, 5000), answer_now, answer);
	return true;
}

bool kafka_client_answer(struct kafka_client *client, struct kafka_answer *ret_answer)
{
	struct answer *answer = client->answers;
	if (!answer)
		return false;
	client->answers = answer->next;
	if (!client->answers)
		client->answers_end = &client->answers;
	*ret_answer = answer->answer;
	free(answer);
	return true;
}

// --- producing

static struct kafka_message *room(struct kafka_client *client)
{
	if (client->count == client->capacity) {
		client->capacity = client->capacity ? client->capacity * 2 : 64;
		client->queue = realloc(client->queue, client->capacity * sizeof(*client->queue));
		if (!client->queue)
			abort();
	}
	return &client->queue[client->count];
}

static rd_kafka_resp_err_t refusal(const struct kafka_client *client)
{
	if (client->fatal)
		return RD_KAFKA_RESP_ERR__FATAL;
	if (client->failed)
		return RD_KAFKA_RESP_ERR__STATE;
	return client->count > 4 && sim_chance(sim_kafka_fail_percent()) ? RD_KAFKA_RESP_ERR__QUEUE_FULL
																	 : RD_KAFKA_RESP_ERR_NO_ERROR;
}

rd_kafka_error_t *rd_kafka_produceva(rd_kafka_t *handle, const rd_kafka_vu_t *parts, size_t count)
{
	struct kafka_client *client = of(handle);
	struct kafka_message message = {0};
	rd_kafka_resp_err_t refused = refusal(client);
	if (refused != RD_KAFKA_RESP_ERR_NO_ERROR)
		return rd_kafka_error_new(refused, "%s", rd_kafka_err2str(refused));
	sim_kafka_message_take(&message, parts, count);
	bool record = message.opaque == NULL;
	if (!sim_step(client->process, record ? EXACTLY_RECORDS : KAFKA_PRODUCES)) {
		free(message.key);
		free(message.value);
		return NULL; // nobody will know
	}
	*room(client) = message;
	client->count++;
	start_work(client);
	return NULL;
}

// --- requests

// A broker that does not lead the partition yet refuses the first request, and takes the one behind it a moment later: any
// sequence number will do as the first of a producer that it does not know (KIP-360).
static bool may_overtake(const struct kafka_client *client, const struct kafka_message *first)
{
	size_t there = 0;
	for (size_t i = 0; i < client->count; i++)
		there += client->queue[i].topic == first->topic && client->queue[i].partition == first->partition;
	return first->opaque != NULL && there > 1 && !((client->known | client->overtaken) >> first->partition & 1) &&
		   sim_chance(sim_kafka_fail_percent());
}

// Moves the next request's messages to its end of the queue's array: those of one topic's partition, in order.
static size_t take_request(struct kafka_client *client, struct kafka_message request[REQUEST_MOST])
{
	const struct kafka_message chosen = client->queue[sim_between(0, (int64_t)client->count - 1)];
	size_t taken = 0, kept = 0, most = client->most_messages < REQUEST_MOST ? client->most_messages : REQUEST_MOST;
	most = most > 1 ? (size_t)sim_between(1, (int64_t)most) : 1;
	bool passes = may_overtake(client, &chosen);
	for (size_t i = 0; i < client->count; i++) {
		const struct kafka_message *message = &client->queue[i];
		bool ours = message->topic == chosen.topic && message->partition == chosen.partition;
		if (ours && passes) {
			passes = false;
			client->overtaken |= 1u << chosen.partition;
			client->queue[kept++] = *message;
		} else if (ours && taken < most)
			request[taken++] = *message;
		else
			client->queue[kept++] = *message;
	}
	client->count = kept;
	return taken;
}

static void refused(struct kafka_client *client, const struct kafka_message *request, size_t count)
{
	report(client, request, count, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, sim_between(50, 1000));
	if (!client->transactional) {
		be_fatal(client, RD_KAFKA_RESP_ERR__GAPLESS_GUARANTEE);
		return;
	}
	client->failed = true;
	purge(client, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
}

static void send_request(struct kafka_client *client, const struct kafka_message *request, size_t count)
{
	unsigned bit = request->opaque ? 1u << request->partition : 0;
	bool late = client->overtaken & client->known & bit; // its sequence number is below the last
	bool fails = late || client->upheavals != sim_kafka_upheavals() || sim_random() % 1000 < sim_kafka_fail_percent();
	bool arrives = !fails || (!late && sim_chance(50) && client->upheavals == sim_kafka_upheavals());
	enum kafka_verdict verdict =
		arrives ? sim_kafka_append(request, count, client->transactional ? client->epoch : 0) : KAFKA_TAKES;
	if (arrives && verdict == KAFKA_TAKES) {
		client->known |= bit;
		sim_step(client->process, KAFKA_DID_APPEND);
	}
	if (client->destroyed && (verdict != KAFKA_TAKES || fails))
		drop_queue(client); // sequence numbers let nothing follow what is missing
	if (client->destroyed)
		return;
	if (verdict == KAFKA_FENCES) {
		report(client, request, count, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, 100);
		be_fatal(client, RD_KAFKA_RESP_ERR__FENCED);
	} else if (fails) {
		report(client, request, count, RD_KAFKA_RESP_ERR__PURGE_INFLIGHT, 100);
		be_fatal(client, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
	} else if (verdict == KAFKA_REFUSES) {
		refused(client, request, count);
	} else {
		bool lost = sim_chance(sim_kafka_fail_percent()); // the reply: it is asked for again
		report(client, request, count, RD_KAFKA_RESP_ERR_NO_ERROR,
			lost ? sim_between(1000, 400000) : sim_between(50, 2000));
	}
}

static void work(void *arg)
{
	struct kafka_client *client = arg;
	struct kafka_message request[REQUEST_MOST];
	client->working = false;
	if (client->count && !sim_kafka_is_down() && !(client->destroyed && sim_chance(40))) {
		size_t count = take_request(client, request);
		send_request(client, request, count);
		for (size_t i = 0; i < count; i++) {
			free(request[i].key);
			free(request[i].value);
		}
	} else if (client->destroyed) {
		drop_queue(client);
	}
	start_work(client);
	release(client);
}

// --- for the helper

struct kafka_producer_state sim_kafka_client_state(const struct kafka_client *client)
{
	return (struct kafka_producer_state){
		client->process, client->epoch, client->count == 0 && !client->working && client->reports == 0, client->failed};
}

void sim_kafka_client_begin(struct kafka_client *client, int64_t epoch)
{
	client->epoch = epoch;
	client->failed = client->fatal != RD_KAFKA_RESP_ERR_NO_ERROR;
	start_work(client);
}

void sim_kafka_client_fence(struct kafka_client *client)
{
	be_fatal(client, RD_KAFKA_RESP_ERR__FENCED);
}
