// cli.c: see cli.h.
#include "cli/cli.h"

#include "base/text.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_STORE "sqlite:meowmx.db"

void cli_say(const char *format, ...)
{
	char text[2 * MEOW_ERROR_TEXT_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	fprintf(stderr, "%s\n", text);
}

int cli_fail(const struct invocation *invocation, const struct meow_error *err)
{
	const struct command *parent = invocation->parent;
	if (strcmp(err->code, CLI_CLOSED) != 0)
		cli_say("meowmx %s%s%s: %s", parent == NULL ? "" : parent->name, parent == NULL ? "" : " ",
			invocation->command->name, err->text);
	return error_exit_status(err->kind);
}

bool cli_write(struct buffer *out, struct meow_error *err)
{
	if (!buffer_ok(out, err))
		return false;
	for (size_t at = 0; at < out->size;) {
		ssize_t written = write(STDOUT_FILENO, out->data + at, out->size - at);
		if (written >= 0)
			at += (size_t)written;
		else if (errno == EPIPE)
			return error_set_code(err, MEOW_IO, CLI_CLOSED, "nobody reads standard output any more");
		else if (errno != EINTR)
			return error_set(err, MEOW_IO, "standard output cannot be written: %s", strerror(errno));
	}
	buffer_clear(out, (size_t)1 << 20);
	return true;
}

int cli_finish_output(const struct invocation *invocation, struct buffer *out)
{
	struct meow_error err;
	int status = cli_write(out, &err) ? 0 : cli_fail(invocation, &err);
	buffer_finish(out);
	return status;
}

int cli_print_help(const struct command *parent, const struct command *command, bool misused)
{
	struct buffer out;
	buffer_init(&out);
	if (command == NULL)
		help_program(&out);
	else
		help_command(parent, command, &out);
	struct invocation invocation = {.command = command, .parent = parent};
	if (!misused)
		return cli_finish_output(&invocation, &out);
	fputs(out.data == NULL ? "" : out.data, stderr);
	buffer_finish(&out);
	return EXIT_USAGE;
}

// --- the store and the configuration

static void report_line(void *arg, const char *line)
{
	(void)arg;
	cli_say("%s", line);
}

// The flags of this call that are settings.
static size_t list_overrides(const struct invocation *invocation, struct config_override overrides[3])
{
	static const struct config_override flags[] = {
		{"store.url", NULL, "--store"}, {"log.level", NULL, "--log-level"}, {"log.format", NULL, "--log-format"}};
	static const enum option_id ids[] = {OPTION_STORE, OPTION_LOG_LEVEL, OPTION_LOG_FORMAT};
	size_t count = 0;
	for (size_t i = 0; i < 3; i++) {
		if (invocation->options[ids[i]] == NULL)
			continue;
		overrides[count] = flags[i];
		overrides[count++].value = invocation->options[ids[i]];
	}
	return count;
}

struct config *cli_load_config(const struct invocation *invocation, int *ret_status)
{
	struct config_override overrides[3];
	struct config_request request = {.file = invocation->options[OPTION_CONFIG],
		.overrides = overrides,
		.override_count = list_overrides(invocation, overrides),
		.connectors = cli_config_connectors(),
		.connector_count = CLI_CONNECTORS};
	struct meow_error err;
	struct config *config = config_load(&request, report_line, NULL, &err);
	if (config == NULL)
		*ret_status = error_exit_status(err.kind);
	return config;
}

static bool is_set(const char *variable)
{
	const char *value = getenv(variable);
	return value != NULL && *value != '\0';
}

static bool libpq_names_a_store(void)
{
	static const char *const variables[] = {"PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGSERVICE"};
	for (size_t i = 0; i < sizeof(variables) / sizeof(*variables); i++)
		if (is_set(variables[i]))
			return true;
	return false;
}

char *cli_config_store_url(const struct config *config, struct meow_error *err)
{
	const char *url = config_text(config_store(config), "url");
	if (url == NULL && !libpq_names_a_store()) {
		url = DEFAULT_STORE;
		cli_say("store: %s", url); // nobody named it, so it is said
	}
	char *copy = strdup(url == NULL ? "" : url);
	if (copy == NULL)
		error_no_memory(err);
	return copy;
}

struct config *cli_store_config(const struct invocation *invocation, bool with_file, struct meow_error *err)
{
	struct config_override overrides[3];
	struct config_request request = {.file = invocation->options[OPTION_CONFIG],
		.file_optional = true,
		.no_file = !with_file && invocation->options[OPTION_CONFIG] == NULL,
		.overrides = overrides,
		.override_count = list_overrides(invocation, overrides),
		.connectors = cli_config_connectors(),
		.connector_count = CLI_CONNECTORS};
	return config_load(&request, NULL, NULL, err);
}

char *cli_store_url(const struct invocation *invocation, struct meow_error *err)
{
	// A file that was not asked for cannot change what flag or environment say, so it need not be in order either.
	bool named =
		invocation->options[OPTION_STORE] != NULL || is_set("MEOWMX_STORE_URL") || is_set("MEOWMX_STORE_URL_FILE");
	struct config *config = cli_store_config(invocation, !named, err);
	if (config == NULL)
		return NULL;
	char *url = cli_config_store_url(config, err);
	config_destroy(config);
	return url;
}

struct meow_store *cli_open_store(const struct invocation *invocation, int *ret_status)
{
	struct meow_error err;
	char *url = cli_store_url(invocation, &err);
	struct meow_store *store = url == NULL ? NULL : meow_store_open(url, &err);
	free(url);
	if (store == NULL)
		*ret_status = cli_fail(invocation, &err);
	return store;
}

// --- people

bool cli_confirmed(const struct invocation *invocation, const char *question, int *ret_status)
{
	if (invocation->options[OPTION_YES] != NULL)
		return true;
	if (!isatty(STDIN_FILENO)) {
		*ret_status = command_misused(invocation, "nobody can be asked here; give --yes to do it, or --dry-run");
		return false;
	}
	fprintf(stderr, "%s [y/N] ", question);
	char answer[16] = "";
	if (fgets(answer, sizeof(answer), stdin) != NULL && (answer[0] == 'y' || answer[0] == 'Y'))
		return true;
	cli_say("nothing was done");
	*ret_status = 0;
	return false;
}

static volatile sig_atomic_t signal_seen;

static void on_signal(int number)
{
	signal_seen = number;
}

void cli_watch_signals(void)
{
	// Without SA_RESTART a blocked read returns; with SA_RESETHAND a second signal ends the process.
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigemptyset(&action.sa_mask);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

int cli_signal(void)
{
	return signal_seen;
}

const char *cli_duration(int64_t duration_us, char ret_text[CLI_DURATION_SIZE])
{
	static const struct {
		const char *unit;
		int64_t us, below;
	} units[] = {{"ms", 1000, 1000000}, {"s", 1000000, 120000000}, {"min", 60000000, INT64_C(7200000000)},
		{"h", INT64_C(3600000000), INT64_C(172800000000)}, {"d", INT64_C(86400000000), INT64_MAX}};
	size_t i = 0;
	while (duration_us >= units[i].below && units[i].below != INT64_MAX)
		i++;
	snprintf(ret_text, CLI_DURATION_SIZE, "%lld %s", (long long)(duration_us / units[i].us), units[i].unit);
	return ret_text;
}
