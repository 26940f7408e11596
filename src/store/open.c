// Which kind of store a url names. None of a url is ever shown but its scheme: it may hold a password, wherever it is
// wrong.
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

static const struct store_backend *const backends[] = {&store_sqlite, &store_postgres};

static const struct store_backend *find(const char *url, struct meow_error *err)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++)
		if (backends[i]->accepts(url))
			return backends[i];
	size_t scheme = strspn(url, "abcdefghijklmnopqrstuvwxyz0123456789+.-");
	bool shown = scheme < 20 && strncmp(url + scheme, "://", 3) == 0;
	error_set(err, MEOW_CONFIG,
		"the store's url begins with \"%.*s\": give postgresql://USER@HOST:PORT/DATABASE or sqlite:PATH",
		shown ? (int)scheme + 3 : 0, url);
	return NULL;
}

struct meow_store *meow_store_open(const char *url, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	const struct store_backend *backend = find(url ? url : "", error);
	return backend ? backend->open(url ? url : "", error) : NULL;
}

bool store_setup(const struct store_setup *setup, struct meow_error *err)
{
	struct meow_error own;
	struct meow_error *error = err ? err : &own;
	struct store_setup whole = *setup;
	whole.url = setup->url ? setup->url : "";
	const struct store_backend *backend = find(whole.url, error);
	return backend && backend->setup(&whole, error);
}

bool meow_setup(
	const char *url, const char *id_type, void (*say)(void *arg, const char *line), void *arg, struct meow_error *err)
{
	const struct store_setup setup = {.url = url, .id_type = id_type, .say = say, .arg = arg};
	return store_setup(&setup, err);
}

// --- sessions ---

struct source {
	const struct store_backend *backend;
	char url[];
};

static struct session *create_session(void *arg, struct loop *loop, struct meow_error *err)
{
	const struct source *source = arg;
	return source->backend->session_create(source->url, loop, err);
}

bool store_source_init(struct session_source *source, const char *url, struct meow_error *err)
{
	const char *text = url ? url : "";
	const struct store_backend *backend = find(text, err);
	if (!backend || !backend->check_url(text, err)) // so that a bad url shows at once
		return false;
	size_t size = strlen(text) + 1;
	struct source *made = malloc(sizeof(*made) + size);
	if (!made)
		return error_no_memory(err);
	made->backend = backend;
	memcpy(made->url, text, size);
	*source = (struct session_source){.create = create_session, .arg = made};
	return true;
}

void store_source_finish(struct session_source *source)
{
	free(source->arg);
	*source = (struct session_source){0};
}
