// verify.c: one route: what its checkpoint says, which sink it has, and what its promise allows.
//
// Refused: a route of several partitions whose names have {partition} in them, since the partition of an event is not
// known here.
#include "verify/verify.h"

#include "store/store.h"
#include "verify/merge.h"

#include <string.h>

static const struct sink_impl *const sinks[] = {
	&verify_file_sink,
#ifdef HAVE_REDIS
	&verify_redis_sink,
#endif
#ifdef HAVE_KAFKA
	&verify_kafka_sink,
#endif
};

static const struct sink_impl *find_sink(const char *name)
{
	for (size_t i = 0; i < sizeof(sinks) / sizeof(*sinks); i++)
		if (strcmp(sinks[i]->name, name) == 0)
			return sinks[i];
	return NULL;
}

static bool tick(void *arg)
{
	const struct merge *merge = arg;
	const struct verify_request *request = merge->request;
	const struct verify_result *result = merge->result;
	int64_t total = result->to - result->from + 1;
	int64_t done = merge->walk.previous - result->from + 1;
	struct verify_progress progress = {.done = !merge->first_turn || done > total ? total
											   : done < 0                         ? 0
																				  : done,
		.total = total,
		.events = result->events};
	return request->progress == NULL || request->progress(request->arg, &progress);
}

static void notice(void *arg, const char *text)
{
	const struct verify_request *request = arg;
	if (request->notice != NULL)
		request->notice(request->arg, text);
}

// The checkpoint of the route's newest layout: of several partitions the lowest.
static bool read_checkpoint(const struct verify_request *request, int64_t *ret_position, int64_t *ret_generation,
	size_t *ret_partitions, struct meow_error *err)
{
	struct store_subscriptions list;
	int layout = -1;
	*ret_position = *ret_generation = 0;
	*ret_partitions = 0;
	if (!store_subscriptions(request->store, request->route->name, &list, err))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		const struct checkpoint *checkpoint = &list.items[i].checkpoint;
		if (checkpoint->layout < layout)
			continue;
		int64_t position = checkpoint->position > checkpoint->delivered ? checkpoint->position : checkpoint->delivered;
		if (checkpoint->layout > layout || position < *ret_position)
			*ret_position = position;
		*ret_partitions = checkpoint->layout > layout ? 1 : *ret_partitions + 1;
		*ret_generation = checkpoint->generation;
		layout = checkpoint->layout;
	}
	store_subscriptions_free(&list);
	return true;
}

// What breaks the promise. Kafka at least once may repeat, since a consumer drops what is not above the position it has
// seen; a topic may have other producers; only a file promises the order of the whole store.
static void promise(struct merge *merge, bool file)
{
	struct verify_finding *findings = merge->result->findings;
	findings[VERIFY_LOST].breaks = true;
	findings[VERIFY_TWICE].breaks = !merge->sink->may_repeat;
	findings[VERIFY_OUT_OF_ORDER].breaks = true;
	findings[VERIFY_LATE].breaks = file;
	findings[VERIFY_CHANGED].breaks = true;
	findings[VERIFY_MISPLACED].breaks = true;
	findings[VERIFY_FOREIGN].breaks = merge->sink->exclusive;
}

static bool fill(struct merge *merge, struct sink *sink, struct meow_error *err)
{
	const struct verify_request *request = merge->request;
	const struct config_route *route = request->route;
	const char *format = config_text(route->settings, "format");
	const char *delivery = strcmp(sink->impl->name, "kafka") == 0 ? config_text(sink->settings, "delivery") : NULL;
	size_t partitions;
	if (!read_checkpoint(request, &merge->result->checkpoint, &merge->names.generation, &partitions, err))
		return false;
	merge->names.settings = sink->settings;
	merge->names.map = sink->impl->map_setting;
	merge->names.template = config_text(sink->settings, sink->impl->name_setting);
	if (partitions > 1 && strstr(merge->names.template, "{partition}") != NULL)
		return error_set(err, MEOW_CONFIG, "names with {partition} in them cannot be compared");
	sink->format = strcmp(format, "msgpack") == 0    ? FORMAT_MSGPACK
				   : strcmp(format, "envelope") == 0 ? FORMAT_ENVELOPE
													 : FORMAT_DATA;
	sink->may_repeat = delivery != NULL && strcmp(delivery, "at-least-once") == 0;
	sink->exclusive = strcmp(sink->impl->name, "kafka") != 0;
	// A rewind may have given streams that start anew, from where it went to.
	sink->start_now =
		strcmp(config_text(route->settings, "start"), "now") == 0 || (sink->exclusive && merge->names.generation > 0);
	merge->result->delivery = sink->may_repeat ? "at-least-once" : "exactly-once";
	merge->result->from = request->from < 1 ? 1 : request->from;
	merge->result->to = request->to < merge->result->checkpoint ? request->to : merge->result->checkpoint;
	sink->from = merge->result->from;
	sink->to = merge->result->to;
	merge->walk = (struct walk){.store = request->store, .route = route->settings, .to = merge->result->to};
	promise(merge, strcmp(sink->impl->name, "file") == 0);
	return true;
}

static void conclude(struct verify_result *result)
{
	result->holds = true;
	for (int fault = 0; fault < VERIFY_FAULTS; fault++)
		if (result->findings[fault].breaks && result->findings[fault].count > 0)
			result->holds = false;
}

bool verify_route(const struct verify_request *request, struct verify_result *ret_result, struct meow_error *err)
{
	const struct config_route *route = request->route;
	struct verify_result result = {0};
	struct sink sink = {.impl = find_sink(route->connector->name), .settings = route->sink};
	struct merge merge = {.request = request, .result = &result, .sink = &sink};
	sink.tick = tick;
	sink.tick_arg = &merge;
	sink.notice = notice;
	sink.notice_arg = (void *)(uintptr_t)request;
	if (sink.impl == NULL)
		return error_set(err, MEOW_CONFIG, "this meowmx cannot compare a %s", route->connector->name);
	bool ok = fill(&merge, &sink, err) && sink.impl->open(&sink, err) && merge_run(&merge, err);
	merge_finish(&merge);
	sink.impl->close(&sink);
	buffer_finish(&sink.scratch);
	if (!ok) {
		verify_result_finish(&result);
		return false;
	}
	conclude(&result);
	*ret_result = result;
	return true;
}
