// cli.h: what the commands share: speaking to people and to machines, and finding the store.
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "cli/command.h"
#include "config/config.h"
#include "relay/connector.h"
#include "store/store.h"

// A line for people on standard error.
void cli_say(const char *format, ...) BASE_PRINTF(1, 2);

// "meowmx append: TEXT" on standard error; the exit status of the kind. Says nothing if standard output was closed by
// whoever read it.
int cli_fail(const struct invocation *invocation, const struct meow_error *err);

// Writes all of the buffer to standard output and empties it. MEOW_IO; its code is CLI_CLOSED when nobody reads any more.
#define CLI_CLOSED "closed"
MEOW_MUST_USE bool cli_write(struct buffer *out, struct meow_error *err);

// Writes and frees the buffer; the exit status.
int cli_finish_output(const struct invocation *invocation, struct buffer *out);

// Help of a command, or of the program (NULL): on standard output with status 0, or, if it was not asked for, on standard
// error with EXIT_USAGE.
int cli_print_help(const struct command *parent, const struct command *command, bool misused);

// The settings that a command with a store takes, out of environment, flags and, with_file, a file that was not asked for
// too; NULL and err.
MEOW_MUST_USE struct config *cli_store_config(
	const struct invocation *invocation, bool with_file, struct meow_error *err);

// The store's URL by flag, environment, file, or "" for libpq's variables, to be freed by the caller; where nothing names
// a store, that of a SQLite file in the current folder, which is then said on standard error. A configuration file is read
// only where it can count.
MEOW_MUST_USE char *cli_store_url(const struct invocation *invocation, struct meow_error *err);

// The same of a loaded configuration.
MEOW_MUST_USE char *cli_config_store_url(const struct config *config, struct meow_error *err);

// Opens the store. Says what is wrong; then *ret_status is the exit status.
MEOW_MUST_USE struct meow_store *cli_open_store(const struct invocation *invocation, int *ret_status);

// Loads the configuration with this call's flags, saying each error on standard error; then *ret_status is the status.
MEOW_MUST_USE struct config *cli_load_config(const struct invocation *invocation, int *ret_status);

// The connectors of this build, for the configuration (those left out included) and for the relay.
#define CLI_CONNECTORS 3
const struct config_connector *cli_config_connectors(void);
const struct connector_impl *const *cli_relay_connectors(size_t *ret_count);

// Asks on the terminal. Without one: says that --yes is needed and returns false, as for no.
MEOW_MUST_USE bool cli_confirmed(const struct invocation *invocation, const char *question, int *ret_status);

// Remembers INT and TERM, so that long work can say where it stands before it ends: 0 while there was none. A second one
// ends the process.
void cli_watch_signals(void);
int cli_signal(void);

// A duration for people: "350 ms", "12 s", "3 min", "2 h", "5 d".
#define CLI_DURATION_SIZE 32
const char *cli_duration(int64_t duration_us, char ret_text[CLI_DURATION_SIZE]);

#endif
