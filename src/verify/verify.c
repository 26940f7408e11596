// verify.c: one route: what its checkpoints say, which sink it has, and what its promise allows. A route of several
// partitions is compared partition by partition, as it is published: each has its own checkpoint, and in a topic that
// they share positions rise within each alone.
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
	const struct sink *sink = merge->sink;
	int64_t total = sink->to < sink->from ? 0 : sink->to - sink->from + 1;
	int64_t done = merge->walk.previous - sink->from + 1;
	done = !merge->first_turn || done > total ? total : done < 0 ? 0 : done;
	struct verify_progress progress = {
		.done = done + sink->partition * total, .total = total * sink->partitions, .events = merge->result->events};
	return request->progress == NULL || request->progress(request->arg, &progress);
}

static void notice(void *arg, const char *text)
{
	const struct verify_request *request = arg;
	if (request->notice != NULL)
		request->notice(request->arg, text);
}

static int64_t further(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

// Up to where the partition was delivered, and its generation. One that the newest layout does not have ended at a cut;
// behind that nothing may stand in its place, as far as all others came.
static bool read_checkpoint(const struct verify_request *request, const struct layouts *layouts, int partition,
	int64_t *ret_position, int64_t *ret_generation, struct meow_error *err)
{
	struct store_subscriptions list;
	const struct store_layout *newest = layouts_newest(layouts);
	bool ended = partition >= newest->partitions;
	int64_t lowest = INT64_MAX;
	*ret_position = 0; // unless it has run
	*ret_generation = ended ? newest->generation : 0;
	if (!store_subscriptions(request->store, request->route->name, &list, err))
		return false;
	for (size_t i = 0; i < list.count; i++) {
		const struct checkpoint *checkpoint = &list.items[i].checkpoint;
		int64_t position = further(checkpoint->position, checkpoint->delivered);
		lowest = position < lowest ? position : lowest;
		if (checkpoint->layout != newest->layout || checkpoint->partition != partition)
			continue;
		*ret_position = position;
		*ret_generation = checkpoint->generation;
	}
	if (ended)
		*ret_position = further(layouts_end(layouts, partition), list.count > 0 ? lowest : 0);
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

// What the settings say.
static void read_settings(struct merge *merge)
{
	struct sink *sink = merge->sink;
	const struct config_section *settings = merge->request->route->settings;
	const char *format = config_text(settings, "format");
	const char *delivery = strcmp(sink->impl->name, "kafka") == 0 ? config_text(sink->settings, "delivery") : NULL;
	sink->format = strcmp(format, "msgpack") == 0    ? FORMAT_MSGPACK
				   : strcmp(format, "envelope") == 0 ? FORMAT_ENVELOPE
													 : FORMAT_DATA;
	sink->start_now = strcmp(config_text(settings, "start"), "now") == 0;
	sink->may_repeat = delivery != NULL && strcmp(delivery, "at-least-once") == 0;
	sink->exclusive = strcmp(sink->impl->name, "kafka") != 0;
	merge->names.settings = sink->settings;
	merge->names.map = sink->impl->map_setting;
	merge->names.template = config_text(sink->settings, sink->impl->name_setting);
	merge->names.partition = sink->partition;
	merge->result->delivery = sink->may_repeat ? "at-least-once" : "exactly-once";
	promise(merge, strcmp(sink->impl->name, "file") == 0);
}

// What the store says.
static bool read_bounds(struct merge *merge, const struct layouts *layouts, struct meow_error *err)
{
	const struct verify_request *request = merge->request;
	struct verify_result *result = merge->result;
	struct sink *sink = merge->sink;
	int64_t checkpoint;
	if (!read_checkpoint(request, layouts, sink->partition, &checkpoint, &merge->names.generation, err))
		return false;
	// A rewind may have given streams that start anew, from where it went to.
	sink->start_now = sink->start_now || (sink->exclusive && merge->names.generation > 0);
	sink->from = request->from < 1 ? 1 : request->from;
	sink->to = request->to < checkpoint ? request->to : checkpoint;
	result->from = sink->from;
	result->to = sink->to > result->to ? sink->to : result->to;
	if (sink->partition == 0 ||
		(checkpoint < result->checkpoint && sink->partition < layouts_newest(layouts)->partitions))
		result->checkpoint = checkpoint;
	merge->walk = (struct walk){.store = request->store,
		.route = request->route->settings,
		.partition = sink->partition,
		.layouts = layouts,
		.to = sink->to};
	return true;
}

static void conclude(struct verify_result *result)
{
	result->holds = true;
	for (int fault = 0; fault < VERIFY_FAULTS; fault++)
		if (result->findings[fault].breaks && result->findings[fault].count > 0)
			result->holds = false;
}

static bool verify_partition(const struct verify_request *request, const struct sink_impl *impl,
	const struct layouts *layouts, int partition, struct verify_result *result, struct meow_error *err)
{
	struct sink sink = {
		.impl = impl, .settings = request->route->sink, .partition = partition, .partitions = layouts->most};
	struct merge merge = {.request = request, .result = result, .sink = &sink};
	sink.tick = tick;
	sink.tick_arg = &merge;
	sink.notice = notice;
	sink.notice_arg = (void *)(uintptr_t)request;
	read_settings(&merge);
	bool ok = read_bounds(&merge, layouts, err) && impl->open(&sink, err) && merge_run(&merge, err);
	merge_finish(&merge);
	impl->close(&sink);
	buffer_finish(&sink.scratch);
	return ok;
}

bool verify_route(const struct verify_request *request, struct verify_result *ret_result, struct meow_error *err)
{
	const struct config_route *route = request->route;
	const struct sink_impl *impl = find_sink(route->connector->name);
	struct layouts layouts = {0};
	struct verify_result result = {0};
	bool ok = impl != NULL || error_set(err, MEOW_CONFIG, "this meowmx cannot compare a %s", route->connector->name);
	ok = ok &&
		 layouts_read(&layouts, request->store, route->name, (int)config_number(route->settings, "partitions"), err);
	for (int partition = 0; ok && partition < layouts.most; partition++)
		ok = verify_partition(request, impl, &layouts, partition, &result, err);
	layouts_finish(&layouts);
	if (!ok) {
		verify_result_finish(&result);
		return false;
	}
	conclude(&result);
	*ret_result = result;
	return true;
}
