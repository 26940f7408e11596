#include "relay/fence.h"

#define PATIENCE_US INT64_C(30000000)

struct fence {
	struct loop *loop;
	struct connector_memory memory;
	bool opened;
	struct meow_error err;
};

static void on_opened(void *arg, const struct connector_memory *memory)
{
	struct fence *fence = arg;
	fence->opened = true;
	fence->memory = *memory;
	fence->memory.fingerprint = NULL;
	loop_stop(fence->loop);
}

static void on_failed(void *arg, const struct meow_error *err)
{
	struct fence *fence = arg;
	fence->err = *err;
	loop_stop(fence->loop);
}

static void on_delivered(void *arg, struct batch *batch) // nothing is sent
{
	(void)arg;
	(void)batch;
}

static void on_refused(void *arg, int64_t position, const struct meow_error *err)
{
	(void)position;
	on_failed(arg, err);
}

static void on_notice(void *arg, const char *text) // the relay says it, too
{
	(void)arg;
	(void)text;
}

static void on_confirm(void *arg, void (*done)(void *done_arg), void *done_arg) // whoever fences has the lease
{
	(void)arg;
	done(done_arg);
}

static void on_timer(void *arg)
{
	struct meow_error err;
	error_set(&err, MEOW_UNAVAILABLE, "the sink did not answer within %lld s", (long long)(PATIENCE_US / 1000000));
	on_failed(arg, &err);
}

bool fence_partition(const struct connector_impl *impl, const struct connector_context *context, int64_t delivered,
	struct connector_memory *ret_memory, struct meow_error *err)
{
	static const struct connector_host host = {.opened = on_opened,
		.delivered = on_delivered,
		.failed = on_failed,
		.refused = on_refused,
		.notice = on_notice,
		.confirm = on_confirm};
	struct fence fence = {.loop = loop_create(err)};
	if (!fence.loop)
		return false;
	struct connector_context own = *context;
	own.loop = fence.loop;
	own.host = &host;
	own.host_arg = &fence;
	struct loop_timer *timer = loop_timer_create(fence.loop, on_timer, &fence);
	struct connector *connector = timer ? impl->create(&own, &fence.err) : NULL;
	if (!timer)
		error_no_memory(&fence.err);
	if (connector) {
		loop_timer_start(timer, PATIENCE_US);
		impl->open(connector, delivered);
		loop_run(fence.loop);
		impl->destroy(connector);
	}
	loop_timer_destroy(timer);
	loop_destroy(fence.loop);
	if (fence.opened)
		*ret_memory = fence.memory;
	else
		*err = fence.err;
	return fence.opened;
}
