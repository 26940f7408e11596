// file.c: the loop's side of the file connector. It only passes on: batches to the worker, the worker's news to the
// relay. A host call may destroy the connector: its memory then stays until the news at hand are passed on.
//
// Refused: a format other than JSON lines.
#include "connectors/file/file.h"

#include "connectors/file/file_worker.h"
#include "relay/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct file {
	struct connector connector;
	struct connector_context context;
	char *path;
	int64_t delivered;
	struct file_worker *worker;
	struct loop_io *io;
	struct loop_timer *fail; // for what cannot be reported from within the call that failed
	struct meow_error error;
	bool passing; // news are being passed on: destroy leaves the memory to on_news
	bool gone;    // destroyed meanwhile
};

static const struct setting file_settings[] = {
	{.name = "path",
		.type = SETTING_TEXT,
		.required = true,
		.help = "the file that gets one JSON line for each event, a template of {partition} and {generation}; \"-\" is "
				"standard output"},
	{0},
};

static struct file *of_connector(struct connector *connector)
{
	return (struct file *)(void *)connector;
}

static bool to_standard_output(const struct file *file)
{
	return strcmp(file->path, FILE_STANDARD_OUTPUT) == 0;
}

// The path of one partition; NULL if it cannot be one.
static char *make_path(const char *text, int partition, int64_t generation, struct meow_error *err)
{
	static const struct meow_event none;
	struct meow_error why;
	struct buffer path;
	buffer_init(&path);
	struct template *template = template_create(text, &why);
	if (template == NULL) {
		error_set(err, why.kind, "path: %s", why.text);
		return NULL;
	}
	bool constant = template_is_constant(template);
	template_put(template, &none, partition, generation, &path);
	template_destroy(template);
	if (constant && buffer_ok(&path, err))
		return path.data;
	if (!constant)
		error_set(err, MEOW_CONFIG,
			"path \"%s\" names an attribute of events: a file has but {partition} and {generation}", text);
	buffer_finish(&path);
	return NULL;
}

static bool check_path(const struct config_section *settings, struct meow_error *err)
{
	const char *path = config_text(settings, "path");
	size_t size = strlen(path);
	if (size == 0)
		return error_set(
			err, MEOW_CONFIG, "path is empty: name a file, or \"%s\" for standard output", FILE_STANDARD_OUTPUT);
	if (path[size - 1] == '/')
		return error_set(err, MEOW_CONFIG, "path \"%s\" is a folder: name a file in it", path);
	char *made = make_path(path, 0, 0, err);
	free(made);
	return made != NULL;
}

static void file_check(const struct config_section *settings, const struct config_report *report)
{
	struct meow_error err;
	if (!check_path(settings, &err))
		config_tell(report, &err);
}

static bool file_divisible(const struct config_section *settings, struct meow_error *err)
{
	struct template *path = template_create(config_text(settings, "path"), err);
	bool divisible = path != NULL && template_uses(path, "partition");
	if (path != NULL && !divisible)
		error_set(err, MEOW_CONFIG, "path: each partition needs a file of its own: put {partition} into the name");
	template_destroy(path);
	return divisible;
}

static char *file_exclusive(const struct config_section *settings)
{
	const char *path = config_text(settings, "path");
	char *whole = strcmp(path, FILE_STANDARD_OUTPUT) == 0 ? NULL : realpath(path, NULL);
	return whole != NULL ? whole : strdup(path);
}

static void on_fail(void *arg)
{
	struct file *file = arg;
	struct meow_error err = file->error;
	if (file->io != NULL)
		loop_io_watch(file->io, false, false);
	file->context.host->failed(file->context.host_arg, &err);
}

static void free_file(struct file *file)
{
	free(file->path);
	free(file);
}

static struct connector *file_create(const struct connector_context *context, struct meow_error *err)
{
	if (context->encoder->format == ENCODE_MSGPACK) {
		error_set(err, MEOW_CONFIG, "a file holds JSON lines, which msgpack is not: set `format` to envelope");
		return NULL;
	}
	struct file *file = calloc(1, sizeof(*file));
	if (file == NULL) {
		error_no_memory(err);
		return NULL;
	}
	file->connector.impl = &file_connector;
	file->context = *context;
	file->path = make_path(config_text(context->settings, "path"), context->partition, context->generation, err);
	file->fail = loop_timer_create(context->loop, on_fail, file);
	if (file->path != NULL && file->fail != NULL)
		return &file->connector;
	if (file->path != NULL)
		error_no_memory(err);
	loop_timer_destroy(file->fail);
	free_file(file);
	return NULL;
}

static void fail_later(struct file *file)
{
	loop_timer_start(file->fail, 0);
}

// Says what a person should know about the file that was found. False if the connector is gone now.
static bool notice_found(struct file *file, const struct file_found *found)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	if (found->cut_bytes > 0) {
		snprintf(text, sizeof(text), "file \"%s\": its last %lld bytes were torn or not ours, and are cut off",
			file->path, (long long)found->cut_bytes);
		file->context.host->notice(file->context.host_arg, text);
	}
	if (file->gone || to_standard_output(file) || file->delivered == 0)
		return !file->gone;
	if (found->any && (found->position >= file->delivered || found->generation < file->context.generation))
		return true;
	snprintf(text, sizeof(text), "file \"%s\" %s: it was rotated or is another machine's; going on behind %lld",
		file->path, found->any ? "ends below the checkpoint" : "is empty", (long long)file->delivered);
	file->context.host->notice(file->context.host_arg, text);
	return !file->gone;
}

static void pass_opened(struct file *file, const struct file_found *found)
{
	if (!notice_found(file, found))
		return;
	struct connector_memory memory = {.kind = MEMORY_NONE};
	bool older = found->any && found->generation < file->context.generation;
	if (!to_standard_output(file) && !older) {
		memory.kind = found->any ? MEMORY_HELD : MEMORY_EMPTY;
		memory.delivered = found->any ? found->position : 0;
		memory.generation = found->any ? found->generation : 0;
		memory.fingerprint = found->any && *found->fingerprint != '\0' ? found->fingerprint : NULL;
	}
	file->context.host->opened(file->context.host_arg, &memory);
}

static void on_news(void *arg, bool readable, bool writable)
{
	(void)readable;
	(void)writable;
	struct file *file = arg;
	file->passing = true;
	while (!file->gone) {
		struct file_found found;
		struct batch *batch;
		struct meow_error err;
		enum file_news news = file_worker_take(file->worker, &found, &batch, &err);
		if (news == FILE_NOTHING)
			break;
		if (news == FILE_OPENED)
			pass_opened(file, &found);
		else if (news == FILE_WRITTEN)
			file->context.host->delivered(file->context.host_arg, batch);
		else
			file->context.host->failed(file->context.host_arg, &err);
	}
	file->passing = false;
	if (file->gone)
		free_file(file);
}

static void file_open(struct connector *connector, int64_t delivered)
{
	struct file *file = of_connector(connector);
	file->delivered = delivered;
	file->worker = file_worker_create(file->path, delivered, file->context.generation, &file->error);
	if (file->worker == NULL) {
		fail_later(file);
		return;
	}
	file->io = loop_io_create(file->context.loop, file_worker_fd(file->worker), on_news, file);
	if (file->io == NULL) {
		error_no_memory(&file->error);
		fail_later(file);
		return;
	}
	loop_io_watch(file->io, true, false);
}

static void file_begin(struct connector *connector, int64_t delivered, const char *fingerprint)
{
	// Lines carry their own positions, so there is nothing to remember.
	(void)connector;
	(void)delivered;
	(void)fingerprint;
}

static size_t file_admit(struct connector *connector, const struct batch *batch, struct meow_error *err)
{
	(void)connector;
	(void)err;
	return batch->count; // a line takes whatever the store has
}

static bool file_send(struct connector *connector, struct batch *batch, struct meow_error *err)
{
	return file_worker_send(of_connector(connector)->worker, batch) || error_no_memory(err);
}

static void file_reopen(struct connector *connector)
{
	struct file *file = of_connector(connector);
	if (file->worker != NULL)
		file_worker_reopen(file->worker);
}

static void file_destroy(struct connector *connector)
{
	if (connector == NULL)
		return;
	struct file *file = of_connector(connector);
	loop_timer_destroy(file->fail);
	loop_io_destroy(file->io);
	file_worker_abandon(file->worker);
	file->gone = true;
	if (!file->passing)
		free_file(file);
}

const struct connector_impl file_connector = {
	.name = "file",
	.settings = file_settings,
	.when_behind = SINK_GO_ON,
	.when_empty = SINK_GO_ON,
	.check = file_check,
	.exclusive = file_exclusive,
	.divisible = file_divisible,
	.create = file_create,
	.open = file_open,
	.begin = file_begin,
	.admit = file_admit,
	.send = file_send,
	.reopen = file_reopen,
	.destroy = file_destroy,
};
