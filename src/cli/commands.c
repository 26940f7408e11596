// commands.c: the tree of commands: their names, arguments, help, options and functions.
#include "cli/command.h"

#define ANY_WORDS ((size_t)-1)

const struct command_option command_store_options[] = {
	{OPTION_STORE, "store", 0, "URL",
		"the store: postgresql://USER@HOST:PORT/DATABASE or sqlite:PATH; else MEOWMX_STORE_URL, store.url of "
		"the configuration, libpq's PG* variables, or sqlite:meowmx.db"},
	{OPTION_CONFIG, "config", 'c', "FILE",
		"the configuration; else MEOWMX_CONFIG, ./meowmx.yaml, /etc/meowmx/meowmx.yaml"},
	{0},
};

const struct command_option command_file_options[] = {
	{OPTION_CONFIG, "config", 'c', "FILE",
		"the configuration; else MEOWMX_CONFIG, ./meowmx.yaml, /etc/meowmx/meowmx.yaml"},
	{0},
};

const struct command_option command_any_options[] = {
	{OPTION_HELP, "help", 'h', NULL, "show this help"},
	{0},
};

static const struct command_option setup_options[] = {
	{OPTION_ID_TYPE, "id-type", 0, "TYPE",
		"the type of aggregate ids, as in SQL: UUID (the default), TEXT, CHAR(20), "
		"VARCHAR(40), BIGINT, INTEGER"},
	{0},
};

static const struct command_option append_options[] = {
	{OPTION_EXPECT, "expect", 0, "N|new|any",
		"the version that the aggregate must be at: N that of its last event, new for no "
		"event yet, any (the default) for whatever is there"},
	{OPTION_BATCH, "batch", 0, "N", "bulk load: lines in one transaction, 1000 unless told otherwise"},
	{0},
};

static const struct command_option load_options[] = {
	{OPTION_FROM, "from", 0, "N", "the first version (with ID) or position, inclusive"},
	{OPTION_TO, "to", 0, "N", "the last version (with ID) or position, inclusive"},
	{OPTION_LIMIT, "limit", 0, "N", "at most so many events"},
	{OPTION_REVERSE, "reverse", 0, NULL, "newest first"},
	{OPTION_EVENT_TYPE, "event-type", 0, "TYPE[,TYPE ...]", "only events of these types"},
	{0},
};

static const struct command_option aggregates_options[] = {
	{OPTION_LIMIT, "limit", 0, "N", "at most so many aggregates"},
	{0},
};

static const struct command_option delete_options[] = {
	{OPTION_FROM, "from", 0, "VERSION", "only the events from this version on; without it the aggregate goes"},
	{OPTION_YES, "yes", 'y', NULL, "do it without asking"},
	{OPTION_DRY_RUN, "dry-run", 'n', NULL, "say what would be done, and do nothing"},
	{0},
};

static const struct command_option tail_options[] = {
	{OPTION_FROM, "from", 0, "POSITION|start|now",
		"where to begin: at an event's position, at the first event, or at now (the "
		"default)"},
	{0},
};

static const struct command_option relay_options[] = {
	{OPTION_LOG_LEVEL, "log-level", 0, "LEVEL", "debug, info, warn or error (log.level)"},
	{OPTION_LOG_FORMAT, "log-format", 0, "FORMAT", "logfmt or json (log.format)"},
	{0},
};

static const struct command_option status_options[] = {
	{OPTION_JSON, "json", 0, NULL, "one JSON object on one line"},
	{0},
};

static const struct command_option verify_options[] = {
	{OPTION_FROM, "from", 0, "N", "the first position that is compared"},
	{OPTION_TO, "to", 0, "N", "the last one; never more than the route's checkpoint"},
	{OPTION_JSON, "json", 0, NULL, "one JSON object a line for each route"},
	{0},
};

static const struct command_option list_options[] = {
	{OPTION_JSON, "json", 0, NULL, "one JSON object a line"},
	{0},
};

static const struct command_option move_options[] = {
	{OPTION_YES, "yes", 'y', NULL, "do it without asking"},
	{OPTION_DRY_RUN, "dry-run", 'n', NULL, "say what would be done, and do nothing"},
	{0},
};

static const struct command_option adopt_options[] = {
	{OPTION_AS, "as", 0, "NEWNAME", "the name it gets here: that of a route, or of a subscription of the library"},
	{OPTION_YES, "yes", 'y', NULL, "do it without asking"},
	{OPTION_DRY_RUN, "dry-run", 'n', NULL, "say what would be done, and do nothing"},
	{0},
};

static const struct command_option show_options[] = {
	{OPTION_ORIGIN, "origin", 0, NULL, "say where each value comes from"},
	{0},
};

static const struct command_option help_options[] = {
	{OPTION_MAN, "man", 0, NULL, NULL},
	{OPTION_SETTINGS, "settings", 0, NULL, "all settings of the configuration, as Markdown"},
	{0},
};

#define USAGES(...)                                                                                                    \
	(const char *const[])                                                                                              \
	{                                                                                                                  \
		__VA_ARGS__, NULL                                                                                              \
	}

static const struct command config_commands[] = {
	{.name = "check",
		.usages = USAGES(""),
		.summary = "find every error, with line and column",
		.file = true,
		.run = run_config_check},
	{.name = "show",
		.usages = USAGES("[--origin]"),
		.summary = "show all settings as they count, without secrets",
		.file = true,
		.options = show_options,
		.run = run_config_show},
	{0},
};

static const struct command subscription_commands[] = {
	{.name = "list",
		.usages = USAGES("[--json]"),
		.summary = "show all subscriptions: state, position and lag",
		.store = true,
		.options = list_options,
		.run = run_subscription_list},
	{.name = "show",
		.usages = USAGES("NAME [--json]"),
		.summary = "show one subscription, with the reason if it stopped",
		.store = true,
		.options = list_options,
		.least_words = 1,
		.most_words = 1,
		.run = run_subscription_show},
	{.name = "pause",
		.usages = USAGES("NAME [--yes] [--dry-run]"),
		.summary = "let a subscription finish what is in flight, and rest",
		.store = true,
		.details = "Whoever works on it notices within a second. It rests, over restarts too, until it is resumed.",
		.options = move_options,
		.least_words = 1,
		.most_words = 1,
		.run = run_subscription_pause},
	{.name = "resume",
		.usages = USAGES("NAME [--yes] [--dry-run]"),
		.summary = "let a paused subscription or a stopped route go on",
		.store = true,
		.details = "Ends a pause; one that has stopped besides needs a second resume.\n\n"
				   "A stopped route tries again where it stopped, and once trusts the position that the store keeps, "
				   "whatever its\n"
				   "sink remembers. Correct what the reason names first.",
		.options = move_options,
		.least_words = 1,
		.most_words = 1,
		.run = run_subscription_resume},
	{.name = "rewind",
		.usages = USAGES("NAME POSITION|start [--yes] [--dry-run]"),
		.summary = "publish again what comes after a position",
		.store = true,
		.details = "Raises the subscription's generation, which messages carry from then on: what a sink remembers of "
				   "an older\n"
				   "generation no longer counts. A Redis stream needs {generation} in its name, or is deleted before: "
				   "the ids of\n"
				   "its entries only rise.",
		.options = move_options,
		.least_words = 2,
		.most_words = 2,
		.run = run_subscription_rewind},
	{.name = "skip",
		.usages = USAGES("NAME POSITION [--yes] [--dry-run]"),
		.summary = "let a stopped route step over the event it stopped at",
		.store = true,
		.details =
			"POSITION is that of the event, as `subscription show` names it. The sink will never get this event.",
		.options = move_options,
		.least_words = 2,
		.most_words = 2,
		.run = run_subscription_skip},
	{.name = "repartition",
		.usages = USAGES("NAME N [--yes] [--dry-run]"),
		.summary = "give a route another number of partitions",
		.store = true,
		.details = "Stop all relays that run the route, and set its partitions to N in the configuration. Partitions "
				   "that stand at\n"
				   "different positions must first be run up to the highest: this says so, and with the number of "
				   "partitions as\n"
				   "it was a relay runs them exactly to there. Then run it again: the new partitions begin behind that "
				   "position.",
		.options = move_options,
		.least_words = 2,
		.most_words = 2,
		.run = run_subscription_repartition},
	{.name = "delete",
		.usages = USAGES("NAME [--yes] [--dry-run]"),
		.summary = "forget a subscription and its position",
		.store = true,
		.details =
			"Take its route out of the configuration first: a route of that name begins anew. What the sink has stays\n"
			"there. Without --yes a subscription that somebody works on is refused.",
		.options = move_options,
		.least_words = 1,
		.most_words = 1,
		.run = run_subscription_delete},
	{.name = "adopt",
		.usages = USAGES("NAME [--as NEWNAME] [--yes] [--dry-run]"),
		.summary = "take over a subscription of Python meowmx where it stands",
		.store = true,
		.details =
			"Stop all workers of the Python subscription NAME first. The route of that name, or of NEWNAME, then\n"
			"begins with the first event that they have not handled: nothing is missing, and what they have handled\n"
			"behind that one comes a second time. Python's own checkpoint stays as it is.",
		.options = adopt_options,
		.least_words = 1,
		.most_words = 1,
		.run = run_subscription_adopt},
	{0},
};

static const struct command dead_commands[] = {
	{.name = "list",
		.usages = USAGES("ROUTE"),
		.summary = "print the events that are set aside for a route, as JSON lines",
		.store = true,
		.details = "One without an error follows another of its aggregate that the sink refused.",
		.least_words = 1,
		.most_words = 1,
		.run = run_dead_list},
	{.name = "show",
		.usages = USAGES("ROUTE POSITION"),
		.summary = "print one of them, and its event as the store has it",
		.store = true,
		.least_words = 2,
		.most_words = 2,
		.run = run_dead_show},
	{.name = "retry",
		.usages = USAGES("ROUTE [TYPE ID|POSITION] [--yes] [--dry-run]"),
		.summary = "let a route publish events that are set aside once more, in their order",
		.store = true,
		.details =
			"All of the route, those of one aggregate, or one, which must be the first of its aggregate. They come\n"
			"behind what is published already. What the sink refuses again stays set aside, with what follows it.",
		.options = move_options,
		.least_words = 1,
		.most_words = 3,
		.run = run_dead_retry},
	{.name = "discard",
		.usages = USAGES("ROUTE [TYPE ID|POSITION] [--yes] [--dry-run]"),
		.summary = "let a route never publish events that are set aside, and go on with their aggregates",
		.store = true,
		.details =
			"All of the route, those of one aggregate, or one, which must be the first of its aggregate. Once none of "
			"an\n"
			"aggregate is left, what comes next of it is published again. The store keeps the events.",
		.options = move_options,
		.least_words = 1,
		.most_words = 3,
		.run = run_dead_discard},
	{0},
};

const struct command commands[] = {
	{.name = "setup",
		.usages = USAGES("[--id-type TYPE]"),
		.summary = "create or adopt the tables",
		.store = true,
		.details = "Works on an empty database, on tables of Python meowmx with events in them, and twice in a row. "
				   "One that was\n"
				   "interrupted goes on the next time.",
		.options = setup_options,
		.run = run_setup},
	{.name = "append",
		.usages = USAGES("TYPE ID [--expect N|new|any] EVENT_TYPE JSON [EVENT_TYPE JSON ...]",
			"TYPE ID [--expect N|new|any] -", "- [--batch N]"),
		.summary = "append events to an aggregate, or load many in bulk",
		.store = true,
		.details = "All events of one call get consecutive versions, or none is appended: exit status 75 says that the "
				   "aggregate\n"
				   "is at another version than expected.\n\n"
				   "With - behind TYPE and ID the events come from standard input, JSON lines with the keys type, "
				   "data, metadata\n"
				   "and time, in one transaction.\n\n"
				   "With - alone the lines also carry aggregate_type, aggregate_id and expect, as `meowmx load` prints "
				   "them: a bulk\n"
				   "load in transactions of --batch lines. A line with a version and without expect must become that "
				   "version; an\n"
				   "equal event that is there already is skipped, so a load that stopped goes on when it is started "
				   "again with the\n"
				   "same input.",
		.options = append_options,
		.least_words = 1,
		.most_words = ANY_WORDS,
		.run = run_append},
	{.name = "load",
		.usages = USAGES("[TYPE [ID]] [--from N] [--to N] [--limit N] [--reverse] [--event-type TYPE,...]"),
		.summary = "print the events of an aggregate, a category, or all, as JSON lines",
		.store = true,
		.details = "An aggregate that does not exist has no events, which is no error. A category, or all, ends at the "
				   "settled\n"
				   "position: below what is printed no event can appear later.",
		.options = load_options,
		.most_words = 2,
		.run = run_load},
	{.name = "aggregates",
		.usages = USAGES("[TYPE] [--limit N]"),
		.summary = "list the aggregates of a category, or all, with their versions, as JSON lines",
		.store = true,
		.details = "In the order of their ids. An aggregate without an event is at version -1.",
		.options = aggregates_options,
		.most_words = 1,
		.run = run_aggregates},
	{.name = "delete",
		.usages = USAGES("TYPE ID [--from VERSION] [--yes] [--dry-run]"),
		.summary = "delete an aggregate with its events and snapshots, or its last events",
		.store = true,
		.details = "Versions that were deleted are used again, under new positions. What a sink has got stays there.",
		.options = delete_options,
		.least_words = 2,
		.most_words = 2,
		.run = run_delete},
	{.name = "tail",
		.usages = USAGES("[TYPE ...] [--from POSITION|start|now]"),
		.summary = "follow the events of some categories, or all, as JSON lines, until Ctrl-C",
		.store = true,
		.options = tail_options,
		.most_words = ANY_WORDS,
		.run = run_tail},
	{.name = "relay",
		.usages = USAGES("[-c FILE]"),
		.summary = "run the routes of a configuration",
		.store = true,
		.details = "TERM and INT finish what is in flight and stop, a second one and QUIT stop at once, HUP opens "
				   "files anew. USR1 pauses all routes of this relay, USR2 lets them go on.",
		.options = relay_options,
		.run = run_relay},
	{.name = "status",
		.usages = USAGES("[--json]"),
		.summary = "show the store, its subscriptions, their lag, and who holds the settled position back",
		.store = true,
		.options = status_options,
		.run = run_status},
	{.name = "verify",
		.usages = USAGES("[ROUTE ...] [-c FILE] [--from N] [--to N] [--json]"),
		.summary = "compare what is in the sinks of routes with the store",
		.store = true,
		.details =
			"Reads all of a route's topic, stream or file, and the store, up to the route's checkpoint, and says "
			"which\n"
			"events are lost, there twice, out of order, changed, or not in the store any more, with the first ten of\n"
			"each. It may run beside a working relay and changes nothing.\n\n"
			"Exit status 0: the promise of each route holds; 65: of one it does not.",
		.options = verify_options,
		.most_words = ANY_WORDS,
		.run = run_verify},
	{.name = "config", .summary = "check or show the configuration", .children = config_commands},
	{.name = "dead", .summary = "look at events that are set aside, and decide", .children = dead_commands},
	{.name = "subscription",
		.summary = "look at subscriptions, and decide for those that stopped",
		.children = subscription_commands},
	{.name = "version", .usages = USAGES(""), .summary = "print the version", .run = run_version},
	{.name = "help",
		.usages = USAGES("[COMMAND ...]", "--settings"),
		.summary = "explain a command",
		.options = help_options,
		.most_words = ANY_WORDS,
		.run = run_help},
	{0},
};
