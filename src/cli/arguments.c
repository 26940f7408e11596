// arguments.c: from argv to an invocation. Options may stand anywhere behind the command, as --name VALUE, --name=VALUE or
// -x VALUE; "--" ends them; "-" and what does not begin with a dash are words.
#include "cli/command.h"

#include "base/text.h"
#include "cli/cli.h"
#include "config/suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct command *find_command(const struct command *list, const char *name)
{
	for (; list->name != NULL; list++)
		if (strcmp(list->name, name) == 0)
			return list;
	return NULL;
}

static int unknown_command(const struct command *parent, const struct command *list, const char *name)
{
	struct suggest suggest = suggest_start(name);
	for (const struct command *known = list; known->name != NULL; known++)
		suggest_try(&suggest, known->name);
	char advice[SUGGEST_TEXT_SIZE];
	cli_say("meowmx%s%s: there is no command \"%s\"%s (see: meowmx help%s%s)", parent == NULL ? "" : " ",
		parent == NULL ? "" : parent->name, name, suggest_text(&suggest, advice), parent == NULL ? "" : " ",
		parent == NULL ? "" : parent->name);
	return EXIT_USAGE;
}

int command_misused(const struct invocation *invocation, const char *format, ...)
{
	char text[MEOW_ERROR_TEXT_SIZE];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	const struct command *parent = invocation->parent;
	cli_say("meowmx %s%s%s: %s (see: meowmx help %s%s%s)", parent == NULL ? "" : parent->name,
		parent == NULL ? "" : " ", invocation->command->name, text, parent == NULL ? "" : parent->name,
		parent == NULL ? "" : " ", invocation->command->name);
	return EXIT_USAGE;
}

// The tables that count for a command, one after the other.
static const struct command_option *option_table(const struct command *command, size_t index)
{
	static const struct command_option none[] = {{0}};
	switch (index) {
	case 0:
		return command->options == NULL ? none : command->options;
	case 1:
		return command->store ? command_store_options : command->file ? command_file_options : none;
	case 2:
		return command_any_options;
	default:
		return NULL;
	}
}

static const struct command_option *find_option(
	const struct command *command, struct meow_bytes name, char letter, struct suggest *suggest)
{
	const struct command_option *table;
	for (size_t i = 0; (table = option_table(command, i)) != NULL; i++) {
		for (; table->name != NULL; table++) {
			if (letter != 0 ? table->letter == letter : bytes_equal(bytes_of(table->name), name))
				return table;
			if (letter == 0 && table->help != NULL)
				suggest_try(suggest, table->name);
		}
	}
	return NULL;
}

static bool unknown_option(const struct invocation *invocation, const char *text, const struct suggest *suggest)
{
	if (suggest->best[0] != '\0')
		command_misused(invocation, "there is no option %s; did you mean --%s?", text, suggest->best);
	else
		command_misused(invocation, "there is no option %s; behind -- it would be an argument", text);
	return false;
}

// Takes the option at argv[*at] and its value, and steps behind them.
static bool take_option(struct invocation *invocation, int argc, char **argv, int *at)
{
	const char *text = argv[(*at)++];
	bool is_long = text[1] == '-';
	const char *name = text + (is_long ? 2 : 1);
	size_t size = is_long ? strcspn(name, "=") : 1;
	char copy[SUGGEST_LONGEST + 1];
	snprintf(copy, sizeof(copy), "%.*s", (int)(size < SUGGEST_LONGEST ? size : SUGGEST_LONGEST), name);
	struct suggest suggest = suggest_start(copy);
	const struct command_option *option =
		find_option(invocation->command, (struct meow_bytes){name, size}, is_long ? 0 : *name, &suggest);
	if (option == NULL || (option->value == NULL && name[size] != '\0' && !is_long))
		return unknown_option(invocation, text, &suggest);
	const char *value = name[size] == '\0' ? NULL : name + size + is_long;
	if (option->value == NULL && value != NULL)
		return command_misused(invocation, "--%s takes no value", option->name) == 0;
	if (option->value != NULL && value == NULL) {
		if (*at == argc)
			return command_misused(invocation, "--%s needs a value: %s", option->name, option->value) == 0;
		value = argv[(*at)++];
	}
	if (invocation->options[option->id] != NULL)
		return command_misused(invocation, "--%s is given twice", option->name) == 0;
	invocation->options[option->id] = value == NULL ? "" : value;
	return true;
}

static bool take_all(struct invocation *invocation, int argc, char **argv, int at, const char **words)
{
	bool options = true;
	while (at < argc) {
		if (options && strcmp(argv[at], "--") == 0) {
			options = false;
			at++;
		} else if (options && argv[at][0] == '-' && argv[at][1] != '\0') {
			if (!take_option(invocation, argc, argv, &at))
				return false;
		} else {
			words[invocation->word_count++] = argv[at++];
		}
	}
	invocation->words = words;
	return true;
}

static bool is_help(const char *text)
{
	return strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0;
}

// Steps from argv[1] down the tree. *ret_status is set where that ends it.
static bool choose_command(int argc, char **argv, struct invocation *invocation, int *ret_at, int *ret_status)
{
	if (argc < 2)
		return *ret_status = cli_print_help(NULL, NULL, true), false;
	const char *name = argv[1];
	*ret_at = 2;
	if (is_help(name))
		name = "help";
	else if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		name = "version";
	else if (name[0] == '-') {
		cli_say("meowmx: the command comes first, then %s (see: meowmx help)", name);
		return *ret_status = EXIT_USAGE, false;
	}
	invocation->command = find_command(commands, name);
	if (invocation->command == NULL)
		return *ret_status = unknown_command(NULL, commands, name), false;
	if (invocation->command->children == NULL)
		return true;
	const struct command *parent = invocation->command;
	if (argc < 3 || is_help(argv[2])) {
		*ret_status = cli_print_help(NULL, parent, argc < 3);
		return false;
	}
	invocation->parent = parent;
	invocation->command = find_command(parent->children, argv[2]);
	*ret_at = 3;
	if (invocation->command == NULL)
		return *ret_status = unknown_command(parent, parent->children, argv[2]), false;
	return true;
}

bool command_parse(int argc, char **argv, const char **words, struct invocation *ret, int *ret_status)
{
	struct invocation invocation = {0};
	int at;
	if (!choose_command(argc, argv, &invocation, &at, ret_status))
		return false;
	*ret_status = EXIT_USAGE;
	if (!take_all(&invocation, argc, argv, at, words))
		return false;
	const struct command *command = invocation.command;
	if (invocation.options[OPTION_HELP] != NULL) {
		*ret_status = cli_print_help(invocation.parent, command, false);
		return false;
	}
	if (invocation.word_count < command->least_words)
		return command_misused(&invocation, "arguments are missing: %s", command->usages[0]) == 0;
	if (invocation.word_count > command->most_words)
		return command_misused(&invocation, "\"%s\" is one argument too many", invocation.words[command->most_words]) ==
			   0;
	*ret = invocation;
	return true;
}

bool command_number(const struct invocation *invocation, enum option_id id, const char *name, int64_t least,
	int64_t most, int64_t initial, int64_t *ret_number)
{
	*ret_number = initial;
	const char *text = invocation->options[id];
	if (text == NULL)
		return true;
	if (text_to_int64(bytes_of(text), ret_number) && *ret_number >= least && *ret_number <= most)
		return true;
	return command_misused(
			   invocation, "--%s must be a whole number from %lld on, not \"%s\"", name, (long long)least, text) == 0;
}
