// settings.c: see settings.h. Loader, check, manual and `config show` know a setting from these lines alone.
#include "config/settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MB ((int64_t)1 << 20)
#define SECONDS ((int64_t)1000)
#define MINUTES (60 * SECONDS)

static const struct setting store_settings[] = {
	{.name = "url",
		.type = SETTING_URL,
		.help =
			"What keeps the events: postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or sqlite:PATH for a file. Without "
			"it "
			"libpq's PG* variables name the store, and without these it is sqlite:meowmx.db in the current folder."},
	{0},
};

static const struct setting tables_settings[] = {
	{.name = "events", .type = SETTING_TEXT, .help = "The table of the events, `es_events` unless told otherwise."},
	{.name = "aggregates", .type = SETTING_TEXT, .help = "That of the aggregates, `es_aggregates`."},
	{.name = "snapshots", .type = SETTING_TEXT, .help = "That of their snapshots, `es_aggregate_snapshot`."},
	{.name = "subscriptions",
		.type = SETTING_TEXT,
		.help = "That of Python meowmx's or postgresql-event-sourcing's own subscriptions, `es_event_subscriptions`."},
	{0},
};

static const struct setting relay_settings[] = {
	{.name = "backoff_initial",
		.type = SETTING_DURATION,
		.initial = "100ms",
		.least = 1,
		.most = MINUTES,
		.help = "How long a route waits before it starts again after a failure; each further failure doubles it."},
	{.name = "backoff_max",
		.type = SETTING_DURATION,
		.initial = "30s",
		.least = 100,
		.most = 60 * MINUTES,
		.help = "The longest wait between two starts of a route."},
	{.name = "lease",
		.type = SETTING_DURATION,
		.initial = "10s",
		.least = 1000,
		.most = 60 * MINUTES,
		.help = "How long another relay waits for one that died or hangs before it takes over."},
	{.name = "shutdown_timeout",
		.type = SETTING_DURATION,
		.initial = "10s",
		.least = 0,
		.most = 60 * MINUTES,
		.help = "How long a stop waits for what is in flight to be finished."},
	{0},
};

static const struct setting http_settings[] = {
	{.name = "listen",
		.type = SETTING_TEXT,
		.initial = "127.0.0.1:9187",
		.help = "ADDRESS:PORT of /livez, /readyz, /metrics, /status and /version; an IPv6 address in brackets, port 0 "
				"takes "
				"a free one; \"\" for no server."},
	{0},
};

static const struct setting log_settings[] = {
	{.name = "level",
		.type = SETTING_CHOICE,
		.initial = "info",
		.choices = "debug|info|warn|error",
		.help = "The least level of what is logged on standard error."},
	{.name = "format",
		.type = SETTING_CHOICE,
		.initial = "logfmt",
		.choices = "logfmt|json",
		.help = "How a line is written."},
	{0},
};

const struct settings_section settings_fixed[SETTINGS_FIXED_COUNT] = {
	[SETTINGS_STORE] = {"store", "Where the events are.", store_settings},
	[SETTINGS_TABLES] = {"store.tables",
		"What `meowmx setup` calls the tables, or what those that it adopts are called; without a schema. The store "
		"keeps "
		"the\nnames, and everything else learns them there: only set-up looks at these settings.",
		tables_settings},
	[SETTINGS_RELAY] = {"relay", "What all routes share.", relay_settings},
	[SETTINGS_HTTP] = {"http", "The relay's HTTP server: GET only, without encryption.", http_settings},
	[SETTINGS_LOG] = {"log", "The relay's log.", log_settings},
};

const struct setting settings_route[] = {
	{.name = "categories",
		.type = SETTING_LIST,
		.help = "The aggregate types whose events are published. Without it: all."},
	{.name = "format",
		.type = SETTING_CHOICE,
		.initial = "data",
		.choices = "data|envelope|msgpack",
		.help = "What a sink gets for an event; see docs/formats.md."},
	{.name = "partitions",
		.type = SETTING_INTEGER,
		.initial = "1",
		.least = 1,
		.most = 1000,
		.help = "Into how many parts the route is split, by a hash of the aggregate id; each is published by itself, "
				"by any "
				"relay."},
	{.name = "start",
		.type = SETTING_CHOICE,
		.initial = "beginning",
		.choices = "beginning|now",
		.help = "Where a route that never ran begins."},
	{.name = "window",
		.type = SETTING_BYTES,
		.initial = "4MB",
		.least = 64 * 1024,
		.most = 1024 * MB,
		.help = "The most memory for events in flight. One event that is larger passes alone."},
	{.name = "batch_rows",
		.type = SETTING_INTEGER,
		.initial = "2000",
		.least = 1,
		.most = 100000,
		.help = "The most events that are read at once."},
	{.name = "on_poison",
		.type = SETTING_CHOICE,
		.initial = "stop",
		.choices = "stop|set-aside",
		.help =
			"At an event that the sink will never take: stop there, or set it and later events of its aggregate aside "
			"(`meowmx dead`)."},
	{.name = "checkpoint_interval",
		.type = SETTING_DURATION,
		.initial = "200ms",
		.least = 10,
		.most = MINUTES,
		.help = "The longest time between a delivery and its checkpoint in the store."},
	{0},
};

size_t settings_count(const struct setting *settings)
{
	size_t count = 0;
	while (settings[count].name != NULL)
		count++;
	return count;
}

size_t settings_find(const struct setting *settings, const char *name)
{
	size_t index = 0;
	while (settings[index].name != NULL && strcmp(settings[index].name, name) != 0)
		index++;
	return index;
}

char *settings_variable(const char *section, const char *key)
{
	char *name = NULL;
	if (asprintf(&name, "MEOWMX_%s_%s", section, key) < 0)
		return NULL;
	for (char *at = name; *at != '\0'; at++)
		*at = *at == '.' ? '_' : (char)toupper((unsigned char)*at);
	return name;
}
