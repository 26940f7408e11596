// config.h: every setting in one table: file, environment, flags, help, redaction. The check, `config show` and the
// start use this one loader. Texts of a configuration live as long as it does.
//
//   flag over environment (MEOWMX_<SECTION>_<KEY>, and _FILE) over file over default
//
// Inside the file ${NAME}, ${NAME:-default}, ${NAME:?message} and ${file:PATH} are replaced after parsing and within
// scalars alone, so a value can never add structure. Unknown keys are errors with line and column.
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include "base/buffer.h"

enum setting_type {
	SETTING_TEXT,
	SETTING_SECRET, // as text, redacted wherever it is shown
	SETTING_URL,    // as text, its password redacted
	SETTING_BOOL,
	SETTING_INTEGER,
	SETTING_BYTES,    // 16MB, 512KB, 1GB or plain bytes
	SETTING_DURATION, // 500ms, 10s, 5m; in milliseconds
	SETTING_CHOICE,   // one of `choices`, "a|b|c"
	SETTING_LIST,     // of texts
	SETTING_MAP,      // of scalars by the user's own keys
};

struct setting {
	const char *name;
	enum setting_type type;
	const char *initial; // as it would stand in the file; NULL: none, the value is then absent
	const char *choices;
	int64_t least, most; // for numbers; both 0: any
	bool required;
	const char *help; // one line, for the manual and config show
};

// A set of settings with their values: `store`, `http`, `log`, `relay`, a route, a route's connector.
struct config_section;

bool config_has(const struct config_section *section, const char *name);
const char *config_text(const struct config_section *section, const char *name); // NULL if absent
int64_t config_number(const struct config_section *section, const char *name);   // integer, bytes, duration (ms)
bool config_bool(const struct config_section *section, const char *name);
size_t config_count(const struct config_section *section, const char *name); // of a list or a map
const char *config_item(const struct config_section *section, const char *name, size_t index);
const char *config_item_key(const struct config_section *section, const char *name, size_t index);   // of a map
const char *config_map_get(const struct config_section *section, const char *name, const char *key); // or NULL
const char *config_place(const struct config_section *section, const char *name); // "meowmx.yaml:7:12", for errors

// Takes one problem: its text begins with the setting's name, "client.acks: ...", which says where it stands.
struct config_report {
	void (*problem)(void *arg, const struct meow_error *err);
	void *arg;
};
void config_tell(const struct config_report *report, const struct meow_error *err);

// What a route may have as a connector: given by the program's list of connectors, since config knows none of them.
struct config_connector {
	const char *name;
	const struct setting *settings; // ends with one without a name
	void (*check)(const struct config_section *settings, const struct config_report *report); // may be NULL
	char *(*exclusive)(const struct config_section *settings);                                // may be NULL
	bool (*divisible)(const struct config_section *settings, struct meow_error *err);         // may be NULL
	bool built; // false: known, but left out of this build: using it is an error that says so
};

struct config_route {
	const char *name;
	const struct config_section *settings; // categories, format, start, window, batch_rows, ...
	const struct config_connector *connector;
	const struct config_section *sink;
};

struct config;

// Given by flags: "store.url" and its value.
struct config_override {
	const char *path;
	const char *value;
	const char *flag; // for --origin: "--store"
};

struct config_request {
	const char *file;   // -c, NULL: MEOWMX_CONFIG, ./meowmx.yaml, /etc/meowmx/meowmx.yaml, or no file at all
	bool file_optional; // no file is fine
	bool no_file;       // read none at all
	const struct config_override *overrides;
	size_t override_count;
	const struct config_connector *connectors;
	size_t connector_count;
};

// Loads and checks all of it. On failure *err has the first error (MEOW_CONFIG, MEOW_MISSING, MEOW_IO), and `report`, if
// given, is called with one line for each error there is, "FILE:LINE:COLUMN: text".
MEOW_MUST_USE struct config *config_load(const struct config_request *request,
	void (*report)(void *arg, const char *line), void *arg, struct meow_error *err);
void config_destroy(struct config *config); // takes NULL

const char *config_file(const struct config *config);                    // NULL if none was read
const struct config_section *config_store(const struct config *config);  // url
const struct config_section *config_tables(const struct config *config); // events, aggregates, snapshots, subscriptions
const struct config_section *config_http(const struct config *config);   // listen
const struct config_section *config_log(const struct config *config);    // level, format
const struct config_section *config_relay(const struct config *config);  // shutdown_timeout, backoff_...
size_t config_route_count(const struct config *config);
const struct config_route *config_route(const struct config *config, size_t index);

// All of it as YAML, secrets redacted; with origin, a comment behind each value says where it comes from.
void config_show(const struct config *config, bool origin, struct buffer *out);

// The store's URL with its password replaced by "***", for messages.
void config_redact_url(const char *url, struct buffer *out);

// Each setting with its path, type, default and help, for the manual.
void config_manual(const struct config_connector *connectors, size_t count, struct buffer *out);

#endif
