// config_case.c: see config_case.h.
#include "config_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// --- a program's connectors

static void check_pipe(const struct config_section *settings, const struct config_report *report)
{
	struct meow_error err;
	if (strcmp(config_text(settings, "path"), "/bad") == 0) {
		error_set(&err, MEOW_CONFIG, "path: nothing can be written there");
		config_tell(report, &err);
	}
	if (config_count(settings, "client") >= 5) {
		error_set(&err, MEOW_CONFIG, "too much of everything");
		config_tell(report, &err);
	}
}

static char *exclusive_pipe(const struct config_section *settings)
{
	return strdup(config_text(settings, "path"));
}

static bool divisible_pipe(const struct config_section *settings, struct meow_error *err)
{
	return strchr(config_text(settings, "path"), '{') != NULL ||
		   error_set(err, MEOW_CONFIG, "path: put {partition} into the name");
}

static const struct setting pipe_settings[] = {
	{.name = "path", .type = SETTING_TEXT, .required = true, .help = "Where."},
	{.name = "password", .type = SETTING_SECRET},
	{.name = "url", .type = SETTING_URL},
	{.name = "create", .type = SETTING_BOOL, .initial = "true"},
	{.name = "partitions", .type = SETTING_INTEGER, .initial = "1", .least = 1, .most = 10},
	{.name = "client", .type = SETTING_MAP},
	{0},
};

const struct config_connector connectors[CONNECTORS] = {
	{"pipe", pipe_settings, check_pipe, exclusive_pipe, divisible_pipe, true},
	{"null", (const struct setting[]){{0}}, NULL, NULL, NULL, true},
	{"kafka", NULL, NULL, NULL, NULL, false},
};

// --- loading a text

char folder[64], config_path[96];
struct config_override override;

int make_folder(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/meowmx-config-XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	snprintf(config_path, sizeof(config_path), "%s/m.yaml", folder);
	return chdir(folder);
}

int remove_folder(void **state)
{
	(void)state;
	unlink(config_path);
	unlink("secret");
	return chdir("/") != 0 || rmdir(folder) != 0;
}

void write_file(const char *name, const void *text, size_t size)
{
	FILE *file = fopen(name, "wb");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

static void add_line(void *arg, const char *line)
{
	buffer_printf(arg, "%s\n", line);
}

struct config *load_text(const char *text, struct buffer *lines, struct meow_error *err)
{
	if (text != NULL)
		write_file("m.yaml", text, strlen(text));
	struct config_request request = {.file = "m.yaml",
		.connectors = connectors,
		.connector_count = CONNECTORS,
		.overrides = &override,
		.override_count = override.path != NULL};
	buffer_init(lines);
	return config_load(&request, add_line, lines, err);
}

struct config *load_good(const char *text)
{
	struct buffer lines;
	struct meow_error err;
	struct config *config = load_text(text, &lines, &err);
	if (config == NULL)
		fail_msg("%s", lines.data);
	assert_int_equal(lines.size, 0);
	buffer_finish(&lines);
	return config;
}

void assert_refused(const char *text, const char *expected)
{
	struct buffer lines;
	struct meow_error err;
	struct config *config = load_text(text, &lines, &err);
	assert_null(config);
	if (lines.data == NULL || strcmp(lines.data, expected) != 0)
		fail_msg("%s\n--- gives\n%s--- instead of\n%s", text, lines.data, expected);
	assert_memory_equal(err.text, expected, strcspn(expected, "\n"));
	buffer_finish(&lines);
}
