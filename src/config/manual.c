// manual.c: docs/configuration.md out of the tables.
#include "config/loader.h"

#include "config/value.h"

#include <stdlib.h>
#include <string.h>

static const char opening[] =
	"# Configuration\n"
	"\n"
	"This page is written by `meowmx help --settings`: the program and the page cannot differ.\n"
	"\n"
	"The file is the one of `-c FILE`, else of `MEOWMX_CONFIG`, else `./meowmx.yaml`, else `/etc/meowmx/meowmx.yaml`. "
	"A flag\n"
	"counts over the environment, the environment over the file, the file over the default. `meowmx config check` "
	"names\n"
	"every error with line and column; `meowmx config show --origin` says where each value comes from, and shows no\n"
	"secret.\n"
	"\n"
	"```yaml\n"
	"store:\n"
	"  url: postgresql://meowmx:${file:/run/secrets/password}@127.0.0.1:5432/shop\n"
	"routes:\n"
	"  orders:\n"
	"    categories: [order, invoice]\n"
	"    file:\n"
	"      path: /var/lib/meowmx/orders.jsonl\n"
	"```\n"
	"\n"
	"- A setting of a section with a fixed name (`store`, `relay`, `http`, `log`) can come from the environment:\n"
	"  `MEOWMX_STORE_URL`, `MEOWMX_LOG_LEVEL`. With `_FILE` at the end, `MEOWMX_STORE_URL_FILE`, the value is in that "
	"file.\n"
	"  An empty variable counts as absent. libpq's `PG*` variables work as in psql.\n"
	"- Inside of any value `${NAME}` is an environment variable, `${NAME:-default}` one with a default where it is "
	"unset or\n"
	"  empty, `${NAME:?message}` one that must be there, and `${file:PATH}` the text of a file (a relative path starts "
	"at the\n"
	"  configuration's folder; line breaks at its end go). They are replaced after the file was parsed, so what they "
	"bring in\n"
	"  can never add a line or a setting. `$${` stands for `${`.\n"
	"- Sizes: `512KB`, `16MB`, `1GB` (steps of 1024), or plain bytes. Durations: `500ms`, `10s`, `5m`, `2h`, `1d`.\n"
	"- YAML's anchors, aliases and tags are not supported, and a key twice or a key that is unknown is an error.\n"
	"- A route's name may have letters and digits of any language, `.`, `_` and `-`.\n";

static void put_row(struct buffer *out, const struct setting *setting, const char *section)
{
	buffer_printf(out, "| `%s` | ", setting->name);
	value_describe(setting, out);
	buffer_put_text(out, " | ");
	if (setting->required)
		buffer_put_text(out, "(required)");
	else if (setting->initial != NULL)
		buffer_printf(out, "`%s`", setting->initial);
	buffer_printf(out, " | %s |", setting->help == NULL ? "" : setting->help);
	char *variable = section == NULL ? NULL : settings_variable(section, setting->name);
	if (variable != NULL)
		buffer_printf(out, " `%s` |", variable);
	buffer_put_char(out, '\n');
	free(variable);
}

static void put_table(struct buffer *out, const struct setting *settings, const char *section)
{
	buffer_printf(out, "\n| setting | value | default | |%s\n|---|---|---|---|%s\n",
		section == NULL ? "" : " variable |", section == NULL ? "" : "---|");
	for (; settings->name != NULL; settings++)
		put_row(out, settings, section);
}

void config_manual(const struct config_connector *connectors, size_t count, struct buffer *out)
{
	buffer_put_text(out, opening);
	for (size_t i = 0; i < SETTINGS_FIXED_COUNT; i++) {
		buffer_printf(out, "\n## %s\n\n%s\n", settings_fixed[i].name, settings_fixed[i].help);
		put_table(out, settings_fixed[i].settings, settings_fixed[i].name);
	}
	buffer_put_text(out,
		"\n## routes.NAME\n\nA route publishes the events of some categories to one sink. It has exactly "
		"one connector, a section of\nits own inside of it.\n");
	put_table(out, settings_route, NULL);
	for (size_t i = 0; i < count; i++) {
		buffer_printf(out, "\n## routes.NAME.%s\n", connectors[i].name);
		if (connectors[i].built)
			put_table(out, connectors[i].settings, NULL);
		else
			buffer_put_text(out, "\nThis connector is left out of this build.\n");
	}
}
