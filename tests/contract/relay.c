// relay.c: the small relay that drives a connector: it holds the promises of connector.h as the real one does, asserts
// that the connector holds its own, and remembers what it was told.
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void told(struct contract_relay *relay)
{
	assert_non_null(relay->connector);
	loop_stop(relay->loop);
}

static void opened(void *arg, const struct connector_memory *memory)
{
	struct contract_relay *relay = arg;
	told(relay);
	assert_false(relay->opened || relay->failed || relay->refused);
	relay->opened = true;
	relay->memory_kind = (int)memory->kind;
	bool held = memory->kind == MEMORY_HELD;
	relay->memory_delivered = held ? memory->delivered : 0;
	relay->memory_generation = held ? memory->generation : 0;
	snprintf(relay->memory_fingerprint, sizeof(relay->memory_fingerprint), "%s",
		held && memory->fingerprint != NULL ? memory->fingerprint : "");
}

static void advance_mark(struct contract_relay *relay)
{
	while (relay->flight != NULL && relay->flight->delivered) {
		struct batch *first = relay->flight;
		relay->mark = first->position;
		relay->flight = first->next;
		batch_destroy(first);
	}
}

static void delivered(void *arg, struct batch *batch)
{
	struct contract_relay *relay = arg;
	told(relay);
	assert_false(relay->failed || relay->refused);
	struct batch *known = relay->flight;
	while (known != NULL && known != batch)
		known = known->next;
	assert_non_null(known); // lent, and not reported before
	assert_false(batch->delivered);
	batch->delivered = true;
	relay->delivered_batches++;
	advance_mark(relay);
}

static void note_error(struct contract_relay *relay, const struct meow_error *err)
{
	told(relay);
	assert_false(relay->failed || relay->refused);
	assert_int_not_equal(err->kind, MEOW_ERROR_NONE);
	assert_true(err->text[0] != '\0' && strchr(err->text, '\n') == NULL);
	relay->error = *err;
}

static void failed(void *arg, const struct meow_error *err)
{
	struct contract_relay *relay = arg;
	note_error(relay, err);
	relay->failed = true;
}

static void refused(void *arg, int64_t position, const struct meow_error *err)
{
	struct contract_relay *relay = arg;
	note_error(relay, err);
	assert_false(error_may_retry(err->kind));
	relay->refused = true;
	relay->refused_at = position;
}

static void notice(void *arg, const char *text)
{
	struct contract_relay *relay = arg;
	told(relay);
	relay->notices++;
	relay->noticed_at = relay->mark;
	snprintf(relay->notice, sizeof(relay->notice), "%s", text);
}

static void confirm(void *arg, void (*done)(void *done_arg), void *done_arg)
{
	struct contract_relay *relay = arg;
	told(relay);
	relay->confirmed++;
	done(done_arg);
}

static const struct connector_host host = {opened, delivered, failed, refused, notice, confirm};

static void wake(void *arg)
{
	struct contract_relay *relay = arg;
	loop_stop(relay->loop);
}

void contract_relay_init(
	struct contract_relay *relay, const struct contract_sink *sink, struct contract_settings *settings)
{
	*relay = (struct contract_relay){
		.sink = sink,
		.section = contract_section(settings),
		.loop = loop_create(NULL),
		.format = "data",
		.store_id = sink->store_id != NULL ? sink->store_id : "0b5b5d4e-6a7f-4f0e-9d3e-2f6f6f3c1a55",
		.batch_events = 25,
		.window_batches = 4,
		.next = 1,
	};
	assert_non_null(relay->loop);
	relay->timer = loop_timer_create(relay->loop, wake, relay);
	assert_non_null(relay->timer);
}

void contract_relay_finish(struct contract_relay *relay)
{
	contract_close(relay);
	loop_timer_destroy(relay->timer);
	loop_destroy(relay->loop);
}

bool contract_open(struct contract_relay *relay)
{
	assert_null(relay->connector);
	relay->opened = relay->failed = relay->refused = false;
	relay->confirmed = 0;
	relay->delivered_batches = 0;
	relay->error = (struct meow_error){0};
	const struct connector_impl *impl = relay->sink->impl;
	struct connector_context context = {
		.loop = relay->loop,
		.settings = relay->section,
		.encoder = encoder_find(relay->format),
		.store_id = relay->store_id,
		.route = "contract",
		.partition = relay->partition,
		.partitions = relay->partition + 1,
		.epoch = relay->epoch,
		.generation = relay->generation,
		.host = &host,
		.host_arg = relay,
	};
	relay->connector = impl->create(&context, &relay->error);
	if (relay->connector == NULL)
		return false;
	assert_ptr_equal(relay->connector->impl, impl);
	impl->open(relay->connector, relay->mark);
	assert_false(relay->opened || relay->failed); // no host call from within open
	return true;
}

void contract_close(struct contract_relay *relay)
{
	relay->sink->impl->destroy(relay->connector);
	relay->connector = NULL;
	while (relay->flight != NULL) {
		struct batch *next = relay->flight->next;
		batch_destroy(relay->flight); // the loan has ended: a connector that still reads it shows under ASan
		relay->flight = next;
	}
	relay->next = relay->mark + 1;
}

bool contract_wait(struct contract_relay *relay, bool (*condition)(const struct contract_relay *relay), int timeout_ms)
{
	int64_t end = loop_now_us(relay->loop) + (int64_t)timeout_ms * 1000;
	while (!condition(relay)) {
		int64_t left = end - loop_now_us(relay->loop);
		if (left <= 0)
			return false;
		loop_timer_start(relay->timer, left);
		loop_run(relay->loop);
		loop_timer_stop(relay->timer);
	}
	return true;
}

bool contract_is_open(const struct contract_relay *relay)
{
	return relay->opened || relay->failed;
}

bool contract_is_over(const struct contract_relay *relay)
{
	return relay->failed || relay->refused;
}

bool contract_is_idle(const struct contract_relay *relay)
{
	return relay->flight == NULL || relay->failed || relay->refused;
}

static bool never(const struct contract_relay *relay)
{
	(void)relay;
	return false;
}

void contract_send(struct contract_relay *relay, struct batch *batch)
{
	struct meow_error err = {0};
	size_t admitted = relay->sink->impl->admit(relay->connector, batch, &err);
	if (admitted != batch->count)
		fail_msg("%zu of %zu events were admitted: %s", admitted, batch->count, err.text);
	struct batch **last = &relay->flight;
	while (*last != NULL)
		last = &(*last)->next;
	*last = batch;
	relay->next = batch->position + 1;
	batch->sent_us = loop_now_us(relay->loop);
	size_t before = relay->delivered_batches;
	if (!relay->sink->impl->send(relay->connector, batch, &err))
		fail_msg("not sent: %s", err.text);
	assert_true(before == relay->delivered_batches && !relay->failed); // no host call from within send
}

static size_t in_flight(const struct contract_relay *relay)
{
	size_t count = 0;
	for (const struct batch *batch = relay->flight; batch != NULL; batch = batch->next)
		count++;
	return count;
}

static void send_more(struct contract_relay *relay, int64_t last)
{
	while (relay->next <= last && in_flight(relay) < relay->window_batches) {
		size_t count = relay->batch_events;
		if ((int64_t)count > last - relay->next + 1)
			count = (size_t)(last - relay->next + 1);
		contract_send(relay, contract_batch(relay->next, count));
	}
}

// Opened: the relay compares what the sink remembers with its own mark, and publishing begins.
static void begin(struct contract_relay *relay)
{
	if (relay->memory_kind == MEMORY_HELD) {
		assert_true(relay->memory_delivered >= relay->mark); // it never forgets what it acknowledged
		relay->mark = relay->memory_delivered;
	}
	if (relay->sink->keeps_memory && relay->mark > 0)
		assert_int_equal(relay->memory_kind, MEMORY_HELD);
	relay->next = relay->mark + 1;
	relay->sink->impl->begin(relay->connector, relay->mark, NULL);
}

static void recover(struct contract_relay *relay)
{
	if (!error_may_retry(relay->error.kind))
		fail_msg("the connector gave up: %s", relay->error.text);
	contract_close(relay);
	contract_wait(relay, never, 100);
}

bool contract_publish_past(struct contract_relay *relay, int64_t target, int64_t last, int timeout_ms)
{
	int64_t end = loop_now_us(relay->loop) + (int64_t)timeout_ms * 1000;
	bool begun = relay->connector != NULL && relay->opened;
	while (relay->mark < target) {
		int64_t left_ms = (end - loop_now_us(relay->loop)) / 1000;
		if (left_ms <= 0)
			return false;
		if (relay->refused)
			fail_msg("event %lld was refused: %s", (long long)relay->refused_at, relay->error.text);
		if (relay->failed) {
			recover(relay);
			begun = false;
		}
		if (relay->connector == NULL && !contract_open(relay))
			fail_msg("create: %s", relay->error.text);
		if (relay->opened && !begun) {
			begin(relay);
			begun = true;
		}
		if (begun && !relay->failed)
			send_more(relay, last);
		size_t before = relay->delivered_batches;
		if (relay->mark < target && before == relay->delivered_batches && !relay->failed) {
			loop_timer_start(relay->timer, left_ms * 1000);
			loop_run(relay->loop);
			loop_timer_stop(relay->timer);
		}
	}
	return true;
}

bool contract_publish(struct contract_relay *relay, int64_t target, int timeout_ms)
{
	return contract_publish_past(relay, target, target, timeout_ms);
}

void contract_check(struct contract_relay *relay, int64_t last)
{
	struct contract_log log = {0};
	relay->sink->read(relay->sink->arg, &log);
	contract_log_check(&log, last, relay->sink->total_order, !relay->sink->keeps_memory);
	contract_log_finish(&log);
}
