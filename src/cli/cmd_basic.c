// cmd_basic.c: setup, relay, config, version and help.
#include "cli/cli.h"

#include "base/log.h"
#include "base/text.h"
#include "relay/relay.h"

#include <stdlib.h>
#include <string.h>

static void say_line(void *arg, const char *line)
{
	(void)arg;
	cli_say("%s", line);
}

int run_setup(const struct invocation *invocation)
{
	struct meow_error err;
	struct config *config =
		cli_store_config(invocation, true, &err); // whoever names the store, the file names its tables
	char *url = config == NULL ? NULL : cli_config_store_url(config, &err);
	bool good = url != NULL;
	if (good) {
		const struct config_section *tables = config_tables(config);
		struct store_setup setup = {.url = url,
			.id_type = invocation->options[OPTION_ID_TYPE],
			.say = say_line,
			.tables = {config_text(tables, "events"), config_text(tables, "aggregates"),
				config_text(tables, "snapshots"), config_text(tables, "subscriptions")}};
		good = store_setup(&setup, &err);
	}
	free(url);
	config_destroy(config);
	return good ? 0 : cli_fail(invocation, &err);
}

static void set_up_log(const struct config *config)
{
	static const char *const names[] = {"debug", "info", "warn", "error"};
	static const enum log_level levels[] = {LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR};
	enum log_level level = LOG_INFO;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (strcmp(config_text(config_log(config), "level"), names[i]) == 0)
			level = levels[i];
	log_setup(level, strcmp(config_text(config_log(config), "format"), "json") == 0 ? LOG_JSON : LOG_LOGFMT);
}

int run_relay(const struct invocation *invocation)
{
	int status;
	struct config *config = cli_load_config(invocation, &status);
	if (config == NULL)
		return status;
	struct meow_error err;
	char *url = cli_config_store_url(config, &err);
	if (url == NULL) {
		status = cli_fail(invocation, &err);
	} else {
		set_up_log(config);
		size_t count;
		const struct connector_impl *const *connectors = cli_relay_connectors(&count);
		status = relay_run(config, connectors, count, url);
	}
	free(url);
	config_destroy(config);
	return status;
}

int run_config_check(const struct invocation *invocation)
{
	int status;
	struct config *config = cli_load_config(invocation, &status);
	if (config == NULL)
		return status;
	cli_say("%s: good, %zu route%s", config_file(config), config_route_count(config),
		config_route_count(config) == 1 ? "" : "s");
	config_destroy(config);
	return 0;
}

int run_config_show(const struct invocation *invocation)
{
	int status;
	struct config *config = cli_load_config(invocation, &status);
	if (config == NULL)
		return status;
	struct buffer out;
	buffer_init(&out);
	config_show(config, invocation->options[OPTION_ORIGIN] != NULL, &out);
	config_destroy(config);
	return cli_finish_output(invocation, &out);
}

int run_version(const struct invocation *invocation)
{
	struct buffer out;
	buffer_init(&out);
	buffer_printf(&out, "meowmx %s\n", meow_library_version());
	return cli_finish_output(invocation, &out);
}

static const struct command *child_named(const struct command *list, const char *name)
{
	while (list->name != NULL && strcmp(list->name, name) != 0)
		list++;
	return list->name == NULL ? NULL : list;
}

// `help`, `help append`, `help config check`.
static bool put_help(const struct invocation *invocation, struct buffer *out)
{
	if (invocation->word_count == 0) {
		help_program(out);
		return true;
	}
	const struct command *parent = NULL, *command = child_named(commands, invocation->words[0]);
	if (command != NULL && invocation->word_count == 2 && command->children != NULL) {
		parent = command;
		command = child_named(parent->children, invocation->words[1]);
	} else if (invocation->word_count > 1) {
		command = NULL;
	}
	if (command != NULL)
		help_command(parent, command, out);
	return command != NULL;
}

int run_help(const struct invocation *invocation)
{
	struct buffer out;
	buffer_init(&out);
	if (invocation->options[OPTION_MAN] != NULL)
		help_man(&out);
	else if (invocation->options[OPTION_SETTINGS] != NULL)
		config_manual(cli_config_connectors(), CLI_CONNECTORS, &out);
	else if (!put_help(invocation, &out))
		return command_misused(invocation, "there is no command \"%s%s%s\"", invocation->words[0],
			invocation->word_count > 1 ? " " : "", invocation->word_count > 1 ? invocation->words[1] : "");
	return cli_finish_output(invocation, &out);
}
