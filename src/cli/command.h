// command.h: the command line as one static tree. Parsing, dispatch, help and the man page read the same table, so they
// cannot differ.
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "base/buffer.h"

enum option_id {
	OPTION_STORE,
	OPTION_CONFIG,
	OPTION_HELP,
	OPTION_VERSION,
	OPTION_ID_TYPE,
	OPTION_EXPECT,
	OPTION_BATCH,
	OPTION_FROM,
	OPTION_TO,
	OPTION_LIMIT,
	OPTION_REVERSE,
	OPTION_EVENT_TYPE,
	OPTION_JSON,
	OPTION_ORIGIN,
	OPTION_LOG_LEVEL,
	OPTION_LOG_FORMAT,
	OPTION_YES,
	OPTION_DRY_RUN,
	OPTION_AS,
	OPTION_MAN,
	OPTION_SETTINGS,
	OPTION_COUNT
};

struct command_option {
	enum option_id id;
	const char *name;  // without the dashes; NULL ends a table
	char letter;       // 0: none
	const char *value; // what it takes, as help shows it; NULL: nothing
	const char *help;  // NULL: not shown
};

// What a call was: everything borrows from argv.
struct invocation {
	const struct command *command;
	const struct command *parent;      // "subscription" of "subscription list"; NULL for most
	const char *options[OPTION_COUNT]; // the value, "" for one that takes none; NULL: not given
	const char *const *words;          // behind the command
	size_t word_count;
};

struct command {
	const char *name;                     // NULL ends a table
	const char *const *usages;            // what stands behind the name, one for each form; ends with NULL
	const char *summary;                  // one line
	const char *details;                  // paragraphs, wrapped by hand; NULL: none
	const struct command_option *options; // NULL: none of its own
	const struct command *children;       // then there is no run
	bool store;                           // takes --store and -c
	bool file;                            // takes -c alone
	size_t least_words, most_words;
	int (*run)(const struct invocation *invocation); // returns the exit status
};

extern const struct command commands[];

// Options that several commands share: --store and -c, -c alone, --help.
extern const struct command_option command_store_options[];
extern const struct command_option command_file_options[];
extern const struct command_option command_any_options[];

#define EXIT_USAGE 64

// Finds command, options and words. Says what is wrong on standard error and returns false; then *ret_status is the exit
// status.
MEOW_MUST_USE bool command_parse(int argc, char **argv, const char **words, struct invocation *ret, int *ret_status);

// "meowmx subscription list: TEXT", and where help is. Returns EXIT_USAGE.
int command_misused(const struct invocation *invocation, const char *format, ...) BASE_PRINTF(2, 3);

// A whole number given to an option. Says what is wrong and returns false.
MEOW_MUST_USE bool command_number(const struct invocation *invocation, enum option_id id, const char *name,
	int64_t least, int64_t most, int64_t initial, int64_t *ret_number);

// help.c
void help_program(struct buffer *out);
void help_command(const struct command *parent, const struct command *command, struct buffer *out);
void help_man(struct buffer *out);

// The commands.
int run_setup(const struct invocation *invocation);
int run_append(const struct invocation *invocation);
int run_aggregates(const struct invocation *invocation);
int run_delete(const struct invocation *invocation);
int run_load(const struct invocation *invocation);
int run_tail(const struct invocation *invocation);
int run_relay(const struct invocation *invocation);
int run_status(const struct invocation *invocation);
int run_verify(const struct invocation *invocation);
int run_config_check(const struct invocation *invocation);
int run_config_show(const struct invocation *invocation);
int run_subscription_list(const struct invocation *invocation);
int run_subscription_show(const struct invocation *invocation);
int run_subscription_resume(const struct invocation *invocation);
int run_subscription_pause(const struct invocation *invocation);
int run_subscription_rewind(const struct invocation *invocation);
int run_subscription_delete(const struct invocation *invocation);
int run_subscription_skip(const struct invocation *invocation);
int run_subscription_repartition(const struct invocation *invocation);
int run_subscription_adopt(const struct invocation *invocation);
int run_dead_list(const struct invocation *invocation);
int run_dead_show(const struct invocation *invocation);
int run_dead_discard(const struct invocation *invocation);
int run_dead_retry(const struct invocation *invocation);
int run_version(const struct invocation *invocation);
int run_help(const struct invocation *invocation);

#endif
