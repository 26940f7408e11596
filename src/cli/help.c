// help.c: help and man page, both out of the tree of commands.
#include "cli/cli.h"

#include <string.h>

#define WIDTH 100

static const char about[] =
	"meowmx keeps an application's events in PostgreSQL or SQLite, appends them with a version check, and republishes "
	"them, in order, to Kafka, Redis Streams and files.";

struct exit_status {
	int status;
	const char *meaning;
};

static const struct exit_status statuses[] = {
	{0, "done"},
	{64, "used wrongly"},
	{65, "bad data: no JSON, an id that does not fit, another type"},
	{66, "an input is missing"},
	{69, "a server cannot be reached, or the outcome is unknown"},
	{70, "a bug"},
	{73, "cannot be created"},
	{74, "reading or writing failed"},
	{75, "version conflict: load again and repeat"},
	{77, "not allowed: password, rights, a server that only reads"},
	{78, "configuration, or a store that is not set up"},
	{130, "ended by a signal that cut work short (143 for TERM)"},
	{0, NULL},
};

// The text wrapped at WIDTH, every line behind `indent` blanks; the first one continues at `column`.
static void put_wrapped(struct buffer *out, const char *text, size_t indent, size_t column)
{
	while (*text != '\0') {
		size_t word = strcspn(text, " \n");
		if (column > indent && column + 1 + word > WIDTH) {
			buffer_printf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (column > indent) {
			buffer_put_char(out, ' ');
			column++;
		}
		buffer_put(out, text, word);
		column += word;
		text += word + (text[word] != '\0');
	}
	buffer_put_char(out, '\n');
}

// "  --store URL      the store ..."
static void put_entry(struct buffer *out, const char *name, const char *help, size_t width)
{
	size_t size = strlen(name);
	buffer_printf(out, "  %s", name);
	if (size > width) {
		buffer_printf(out, "\n%*s", (int)width + 4, "");
		size = width;
	} else {
		buffer_printf(out, "%*s", (int)(width - size) + 2, "");
	}
	put_wrapped(out, help, width + 4, width + 4);
}

static void put_option_name(struct buffer *name, const struct command_option *option)
{
	if (option->letter != 0)
		buffer_printf(name, "-%c, ", option->letter);
	buffer_printf(name, "--%s", option->name);
	if (option->value != NULL)
		buffer_printf(name, " %s", option->value);
}

static void put_options(struct buffer *out, const struct command_option *option)
{
	for (; option != NULL && option->name != NULL; option++) {
		if (option->help == NULL)
			continue;
		struct buffer name;
		buffer_init(&name);
		put_option_name(&name, option);
		put_entry(out, name.data == NULL ? option->name : name.data, option->help, 26);
		buffer_finish(&name);
	}
}

static const struct command_option *shared_options(const struct command *command)
{
	return command->store ? command_store_options : command->file ? command_file_options : NULL;
}

static void put_usage(
	struct buffer *out, const struct command *parent, const struct command *command, const char *usage)
{
	buffer_printf(out, "meowmx %s%s%s%s%s\n", parent == NULL ? "" : parent->name, parent == NULL ? "" : " ",
		command->name, *usage == '\0' ? "" : " ", usage);
}

static void put_commands(struct buffer *out, const struct command *list, size_t width)
{
	for (; list->name != NULL; list++)
		put_entry(out, list->name, list->summary, width);
}

void help_program(struct buffer *out)
{
	put_wrapped(out, about, 0, 0);
	buffer_put_text(out, "\nusage: meowmx COMMAND [ARGUMENTS] [OPTIONS]\n\ncommands:\n");
	put_commands(out, commands, 12);
	buffer_put_text(out, "\noptions of the commands that need a store:\n");
	put_options(out, command_store_options);
	buffer_put_text(out, "\nexit statuses:\n");
	for (const struct exit_status *status = statuses; status->meaning != NULL; status++)
		buffer_printf(out, "  %-3d  %s\n", status->status, status->meaning);
	buffer_put_text(out, "\nmeowmx help COMMAND explains a command, meowmx help --settings the configuration.\n");
}

void help_command(const struct command *parent, const struct command *command, struct buffer *out)
{
	if (command->children != NULL) {
		buffer_printf(out, "usage: meowmx %s COMMAND [ARGUMENTS] [OPTIONS]\n\n%s\n\ncommands:\n", command->name,
			command->summary);
		put_commands(out, command->children, 12);
		return;
	}
	for (size_t i = 0; command->usages[i] != NULL; i++) {
		buffer_put_text(out, i == 0 ? "usage: " : "       ");
		put_usage(out, parent, command, command->usages[i]);
	}
	buffer_printf(out, "\n%s\n", command->summary);
	if (command->details != NULL)
		buffer_printf(out, "\n%s\n", command->details);
	buffer_put_text(out, "\noptions:\n");
	put_options(out, command->options);
	put_options(out, shared_options(command));
	put_options(out, command_any_options);
}

// --- the man page

// roff takes a leading dot or quote as a request, a backslash as an escape, and a bare dash as a hyphen.
static void put_roff(struct buffer *out, const char *text)
{
	for (const char *at = text; *at != '\0'; at++) {
		if ((at == text || at[-1] == '\n') && (*at == '.' || *at == '\''))
			buffer_put_text(out, "\\&");
		if (*at == '\n' && at[1] == '\n') {
			buffer_put_text(out, "\n.PP\n");
			at++;
		} else if (*at == '\\') {
			buffer_put_text(out, "\\e");
		} else if (*at == '-') {
			buffer_put_text(out, "\\-");
		} else {
			buffer_put_char(out, *at);
		}
	}
}

static void man_options(struct buffer *out, const struct command_option *option)
{
	for (; option != NULL && option->name != NULL; option++) {
		if (option->help == NULL)
			continue;
		struct buffer name;
		buffer_init(&name);
		put_option_name(&name, option);
		buffer_put_text(out, ".TP\n.B ");
		put_roff(out, name.data == NULL ? option->name : name.data);
		buffer_put_char(out, '\n');
		put_roff(out, option->help);
		buffer_put_char(out, '\n');
		buffer_finish(&name);
	}
}

static void man_command(struct buffer *out, const struct command *parent, const struct command *command)
{
	if (command->children != NULL) {
		for (const struct command *child = command->children; child->name != NULL; child++)
			man_command(out, command, child);
		return;
	}
	buffer_put_text(out, ".SS ");
	put_roff(out, parent == NULL ? "" : parent->name);
	buffer_put_text(out, parent == NULL ? "" : " ");
	put_roff(out, command->name);
	buffer_put_text(out, "\n");
	for (size_t i = 0; command->usages[i] != NULL; i++) {
		struct buffer usage;
		buffer_init(&usage);
		put_usage(&usage, parent, command, command->usages[i]);
		buffer_put_text(out, ".br\n.B ");
		put_roff(out, usage.data == NULL ? "" : usage.data);
		buffer_finish(&usage);
	}
	buffer_put_text(out, ".PP\n");
	put_roff(out, command->summary);
	buffer_put_text(out, ".\n");
	if (command->details != NULL) {
		buffer_put_text(out, ".PP\n");
		put_roff(out, command->details);
		buffer_put_char(out, '\n');
	}
	man_options(out, command->options);
}

void help_man(struct buffer *out)
{
	buffer_printf(out,
		".TH MEOWMX 1 \"\" \"meowmx %s\"\n.SH NAME\nmeowmx \\- event store and relay\n.SH SYNOPSIS\n"
		".B meowmx\nCOMMAND [ARGUMENTS] [OPTIONS]\n.SH DESCRIPTION\n",
		meow_library_version());
	put_roff(out, about);
	buffer_put_text(out, "\n.SH COMMANDS\n");
	for (const struct command *command = commands; command->name != NULL; command++)
		man_command(out, NULL, command);
	buffer_put_text(out, ".SH OPTIONS OF THE COMMANDS THAT NEED A STORE\n");
	man_options(out, command_store_options);
	buffer_put_text(out, ".SH EXIT STATUS\n");
	for (const struct exit_status *status = statuses; status->meaning != NULL; status++) {
		buffer_printf(out, ".TP\n.B %d\n", status->status);
		put_roff(out, status->meaning);
		buffer_put_char(out, '\n');
	}
	buffer_put_text(out,
		".SH OUTPUT\nJSON lines for machines go to standard output, words for people to standard error.\n"
		".SH FILES\n.TP\n.B meowmx.yaml\nthe configuration, see\n.B meowmx help \\-\\-settings\n");
}
