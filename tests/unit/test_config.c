// The configuration: what loads, how values come together, what is shown. What is refused: test_config_mistakes.c.
#include "config_case.h"

#include "base/text.h"
#include "config/suggest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_values_have_their_types_and_defaults(void **state)
{
	(void)state;
	struct config *config = load_good("store:\n  url: postgresql://me@localhost/shop\n"
									  "relay: {backoff_max: 1m}\n"
									  "routes:\n"
									  "  注文.v1:\n"
									  "    categories: [order, 注文]\n"
									  "    window: 1MB\n"
									  "    pipe: {path: /a, create: false, client: {a.b: 1, sasl.password: x}}\n"
									  "  all:\n"
									  "    start: now\n"
									  "    categories: only\n"
									  "    null:\n");
	assert_string_equal(config_file(config), "m.yaml");
	assert_string_equal(config_text(config_store(config), "url"), "postgresql://me@localhost/shop");
	assert_int_equal(config_number(config_relay(config), "backoff_max"), 60000);
	assert_int_equal(config_number(config_relay(config), "backoff_initial"), 100);
	assert_string_equal(config_text(config_http(config), "listen"), "127.0.0.1:9187");
	assert_string_equal(config_text(config_log(config), "level"), "info");
	assert_int_equal(config_route_count(config), 2);
	const struct config_route *route = config_route(config, 0);
	assert_string_equal(route->name, "注文.v1");
	assert_string_equal(route->connector->name, "pipe");
	assert_int_equal(config_count(route->settings, "categories"), 2);
	assert_string_equal(config_item(route->settings, "categories", 1), "注文");
	assert_null(config_item(route->settings, "categories", 2));
	assert_int_equal(config_number(route->settings, "window"), 1 << 20);
	assert_int_equal(config_number(route->settings, "batch_rows"), 2000);
	assert_string_equal(config_text(route->settings, "format"), "data");
	assert_false(config_bool(route->sink, "create"));
	assert_string_equal(config_map_get(route->sink, "client", "a.b"), "1");
	assert_string_equal(config_item_key(route->sink, "client", 1), "sasl.password");
	assert_null(config_map_get(route->sink, "client", "c"));
	assert_false(config_has(route->sink, "password"));
	assert_string_equal(config_place(route->sink, "create"), "m.yaml:8:30");
	assert_string_equal(config_place(route->sink, "partitions"), "m.yaml:8:5");
	assert_string_equal(config_item(config_route(config, 1)->settings, "categories", 0), "only");
	config_destroy(config);
	config_destroy(NULL);
}

static void test_an_empty_file_is_all_defaults(void **state)
{
	(void)state;
	struct config *config = load_good("# nothing yet\n");
	assert_int_equal(config_route_count(config), 0);
	assert_false(config_has(config_store(config), "url"));
	config_destroy(config);
	config_destroy(load_good("relay:\nroutes:\n"));
}

static void test_route_names_are_in_any_language(void **state)
{
	(void)state;
	static const char *const good[] = {"a", "Z9", "a.b-c_d", "_x", "注文", "Bestellungen-für-Käufer", "заказы", "9"};
	static const char *const bad[] = {"a b", "a:b", "a/b", ".a", "-a", "a\\u3000b", "a\\u200bb", "a\\u00a0b", "a\\nb",
		"a{b}", "a%b", "\\ufeffa", "a\\u202eb", ""};
	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
		char text[200];
		snprintf(text, sizeof(text), "routes: {\"%s\": {null: }}\n", good[i]);
		config_destroy(load_good(text));
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char text[200];
		struct buffer lines;
		struct meow_error err;
		snprintf(text, sizeof(text), "routes: {\"%s\": {null: }}\n", bad[i]);
		assert_null(load_text(text, &lines, &err));
		if (strstr(lines.data, "m.yaml:1:10: ") != lines.data || strstr(lines.data, "cannot be a route's name") == NULL)
			fail_msg("%s gives %s", bad[i], lines.data);
		buffer_finish(&lines);
	}
}

static void test_variables_and_files_are_put_into_values(void **state)
{
	(void)state;
	write_file("secret", "s3:\n- cr#t\n\n", 12);
	setenv("MX_TEST", "a: {b", 1);
	setenv("MX_EMPTY", "", 1);
	unsetenv("MX_UNSET");
	struct config *config = load_good("routes:\n  r:\n    pipe:\n      path: 'x${MX_TEST}y${MX_TEST}'\n"
									  "      password: ${file:secret}\n"
									  "      client:\n"
									  "        a: ${MX_UNSET:-d:-e}${MX_EMPTY:-f}\n"
									  "        b: \"[${MX_EMPTY}]\"\n"
									  "        c: $${MX_TEST} $MX_TEST ${MX_TEST:?no}\n"
									  "        d: ${MX_UNSET:-}\n");
	const struct config_section *sink = config_route(config, 0)->sink;
	assert_string_equal(config_text(sink, "path"), "xa: {bya: {b");
	assert_string_equal(config_text(sink, "password"), "s3:\n- cr#t");
	assert_string_equal(config_map_get(sink, "client", "a"), "d:-ef");
	assert_string_equal(config_map_get(sink, "client", "b"), "[]");
	assert_string_equal(config_map_get(sink, "client", "c"), "${MX_TEST} $MX_TEST a: {b");
	assert_string_equal(config_map_get(sink, "client", "d"), "");
	config_destroy(config);
	static const char *const cases[][2] = {
		{"log: {level: '${MX_UNSET}'}", "m.yaml:1:14: log.level: the variable MX_UNSET is not set; set it, or write "
										"${MX_UNSET:-DEFAULT}\n"},
		{"log: {level: '${MX_UNSET:?say how loud}'}", "m.yaml:1:14: log.level: MX_UNSET: say how loud\n"},
		{"log: {level: '${MX_EMPTY:?}'}", "m.yaml:1:14: log.level: MX_EMPTY: the variable is not set\n"},
		{"log: {level: '${MX_TEST'}",
			"m.yaml:1:14: log.level: \"${\" without \"}\"; \"$${\" stands for \"${\" itself\n"},
		{"log: {level: '${MX_UNSET:-${X}}'}",
			"m.yaml:1:14: log.level: \"${\" inside of \"${...}\": a default is taken as it is\n"},
		{"log: {level: '${file:none}'}", "m.yaml:1:14: log.level: none cannot be opened: No such file or directory\n"},
		{"log: {level: '${MX_TEST}'}", "m.yaml:1:14: log.level: \"a: {b\" is none of debug|info|warn|error\n"},
		{"log: {level: '${MX-TEST}'}",
			"m.yaml:1:14: log.level: \"${MX-TEST}\" cannot be understood; there are ${NAME}, "
			"${NAME:-default}, ${NAME:?message} and ${file:PATH}, and \"$${\" stands for \"${\" itself\n"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		assert_refused(cases[i][0], cases[i][1]);
}

static void test_a_file_in_a_value_starts_at_the_configuration(void **state)
{
	(void)state;
	write_file("secret", "warn\r\n", 6);
	write_file("m.yaml", "log: {level: '${file:secret}'}", 30);
	assert_int_equal(chdir("/"), 0);
	struct config_request request = {.file = config_path};
	struct config *config = config_load(&request, NULL, NULL, NULL);
	assert_int_equal(chdir(folder), 0);
	assert_non_null(config);
	assert_string_equal(config_text(config_log(config), "level"), "warn");
	config_destroy(config);
}

static void test_flags_count_over_environment_over_file(void **state)
{
	(void)state;
	setenv("MEOWMX_LOG_LEVEL", "error", 1);
	setenv("MEOWMX_LOG_FORMAT", "", 1);
	struct config *config = load_good("log: {level: warn, format: json}\n");
	assert_string_equal(config_text(config_log(config), "level"), "error");
	assert_string_equal(config_text(config_log(config), "format"), "json");
	assert_string_equal(config_place(config_log(config), "level"), "MEOWMX_LOG_LEVEL");
	config_destroy(config);
	override = (struct config_override){"log.level", "debug", "--log-level"};
	config = load_good("log: {level: warn}\n");
	assert_string_equal(config_text(config_log(config), "level"), "debug");
	config_destroy(config);
	override.value = "shout";
	assert_refused("log: {level: warn}\n", "--log-level: log.level: \"shout\" is none of debug|info|warn|error\n");
	override.path = NULL;
	setenv("MEOWMX_LOG_LEVEL", "shout", 1);
	assert_refused("", "MEOWMX_LOG_LEVEL: log.level: \"shout\" is none of debug|info|warn|error\n");
	write_file("secret", "warn\n", 5);
	setenv("MEOWMX_LOG_LEVEL_FILE", "secret", 1);
	assert_refused("", "MEOWMX_LOG_LEVEL: given together with MEOWMX_LOG_LEVEL_FILE; only one of them can count\n");
	unsetenv("MEOWMX_LOG_LEVEL");
	config = load_good("log: {level: debug}\n");
	assert_string_equal(config_text(config_log(config), "level"), "warn");
	config_destroy(config);
	setenv("MEOWMX_LOG_LEVEL_FILE", "none", 1);
	assert_refused("", "MEOWMX_LOG_LEVEL_FILE: none cannot be opened: No such file or directory\n");
	unsetenv("MEOWMX_LOG_LEVEL_FILE");
}

static void test_a_missing_file_is_an_error_only_where_one_is_needed(void **state)
{
	(void)state;
	unlink("m.yaml");
	struct config_request request = {.file = "m.yaml", .file_optional = true};
	struct meow_error err;
	assert_null(config_load(&request, NULL, NULL, &err));
	assert_int_equal(err.kind, MEOW_MISSING);
	assert_string_equal(err.text, "m.yaml cannot be opened: No such file or directory");
	request.file = NULL;
	setenv("MEOWMX_CONFIG", "n.yaml", 1);
	assert_null(config_load(&request, NULL, NULL, &err));
	assert_string_equal(err.text, "n.yaml cannot be opened: No such file or directory");
	unsetenv("MEOWMX_CONFIG");
	if (access("/etc/meowmx/meowmx.yaml", F_OK) == 0)
		return;
	struct config *config = config_load(&request, NULL, NULL, &err);
	assert_non_null(config);
	assert_null(config_file(config));
	config_destroy(config);
	request.file_optional = false;
	assert_null(config_load(&request, NULL, NULL, &err));
	assert_int_equal(err.kind, MEOW_MISSING);
	assert_non_null(strstr(err.text, "no configuration: neither -c FILE nor MEOWMX_CONFIG"));
}

static void test_passwords_are_not_shown(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"postgresql://me:geheim@h:5432/db?sslmode=require", "postgresql://me:***@h:5432/db?sslmode=require"},
		{"postgresql://me@h/db", "postgresql://me@h/db"},
		{"postgresql://h/db?user=a&password=p%20q&x=y", "postgresql://h/db?user=a&password=***&x=y"},
		{"postgresql://me:a@b/c:d@h/db", "postgresql://me:***@h/db"},
		{"redis://:pw@h:6379/0", "redis://:***@h:6379/0"},
		{"host=h password='a b\\'c' sslpassword=x user=u", "host=h password=*** sslpassword=*** user=u"},
		{"", ""},
		// All of these libpq understands, too.
		{"postgresql://me:ge?heim@h/db", "postgresql://me:***@h/db"},
		{"postgresql://me:ge#heim@h/db?x=y", "postgresql://me:***@h/db?x=y"},
		{"host=h password = geheim user=u", "host=h password = *** user=u"},
		{"password=ge\\ heim host=h", "password=*** host=h"},
		{"password=geheim options=a://b", "password=*** options=a://b"},
		{"postgresql://h/db?pass%77ord=geheim&x=y", "postgresql://h/db?pass%77ord=***&x=y"},
		{"postgresql://h/db?password=ge heim", "postgresql://h/db?password=***"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buffer out;
		buffer_init(&out);
		config_redact_url(cases[i][0], &out);
		assert_string_equal(out.data == NULL ? "" : out.data, cases[i][1]);
		buffer_finish(&out);
	}
}

static struct buffer show(const struct config *config, bool origin)
{
	struct buffer out;
	buffer_init(&out);
	config_show(config, origin, &out);
	assert_true(buffer_ok(&out, NULL));
	return out;
}

static void test_names_of_tables_stand_in_the_store(void **state)
{
	(void)state;
	setenv("MEOWMX_STORE_TABLES_SNAPSHOTS", "es_snap", 1);
	struct config *config = load_good("store:\n  tables: {events: es_event, aggregates: es_aggregate}\n");
	assert_string_equal(config_text(config_tables(config), "events"), "es_event");
	assert_string_equal(config_text(config_tables(config), "snapshots"), "es_snap");
	assert_null(config_text(config_tables(config), "subscriptions"));
	struct buffer out = show(config, true);
	static const char shown[] =
		"store:\n  tables:\n    events: es_event  # m.yaml:2:20\n    aggregates: es_aggregate  # m.yaml:2:42\n"
		"    snapshots: es_snap  # MEOWMX_STORE_TABLES_SNAPSHOTS\nrelay:\n";
	assert_memory_equal(out.data, shown, strlen(shown));
	buffer_finish(&out);
	config_destroy(config);
	unsetenv("MEOWMX_STORE_TABLES_SNAPSHOTS");
}

static void test_what_is_shown_says_where_it_comes_from(void **state)
{
	(void)state;
	write_file("secret", "hidden", 6);
	setenv("MEOWMX_STORE_URL", "postgresql://me:geheim@h/db", 1);
	struct config *config = load_good(
		"routes:\n  a:\n    categories: [x, \"y: z\"]\n    pipe:\n      path: \"a\\\"b$${c\"\n"
		"      password: geheim\n      client: {ssl.key.password: geheim, o: '${file:secret}', linger.ms: 5}\n");
	struct buffer out = show(config, true);
	assert_string_equal(out.data, "store:\n"
								  "  url: postgresql://me:***@h/db  # MEOWMX_STORE_URL\n"
								  "relay:\n"
								  "  backoff_initial: 100ms  # default\n"
								  "  backoff_max: 30s  # default\n"
								  "  lease: 10s  # default\n"
								  "  shutdown_timeout: 10s  # default\n"
								  "http:\n"
								  "  listen: 127.0.0.1:9187  # default\n"
								  "log:\n"
								  "  level: info  # default\n"
								  "  format: logfmt  # default\n"
								  "routes:\n"
								  "  a:\n"
								  "    categories:\n"
								  "      - x  # m.yaml:3:18\n"
								  "      - \"y: z\"  # m.yaml:3:21\n"
								  "    format: data  # default\n"
								  "    partitions: 1  # default\n"
								  "    start: beginning  # default\n"
								  "    window: 4MB  # default\n"
								  "    batch_rows: 2000  # default\n"
								  "    on_poison: stop  # default\n"
								  "    checkpoint_interval: 200ms  # default\n"
								  "    pipe:\n"
								  "      path: \"a\\\"b$${c\"  # m.yaml:5:13\n"
								  "      password: \"***\"  # m.yaml:6:17\n"
								  "      create: true  # default\n"
								  "      partitions: 1  # default\n"
								  "      client:\n"
								  "        ssl.key.password: \"***\"  # m.yaml:7:34\n"
								  "        o: \"***\"  # m.yaml:7:45\n"
								  "        linger.ms: 5  # m.yaml:7:74\n");
	assert_null(strstr(out.data, "geheim"));
	assert_null(strstr(out.data, "hidden"));
	buffer_finish(&out);
	out = show(config, false);
	config_destroy(config);
	unsetenv("MEOWMX_STORE_URL");
	// What is shown loads again and is shown the same.
	config = load_good(out.data);
	struct buffer again = show(config, false);
	assert_string_equal(again.data, out.data);
	buffer_finish(&again);
	buffer_finish(&out);
	config_destroy(config);
}

static void test_the_manual_has_every_setting(void **state)
{
	(void)state;
	struct buffer out;
	buffer_init(&out);
	config_manual(connectors, CONNECTORS, &out);
	assert_non_null(strstr(out.data, "| `url` | URL |"));
	assert_non_null(strstr(out.data, "| `MEOWMX_RELAY_BACKOFF_MAX` |"));
	assert_non_null(strstr(out.data, "| `window` | size, 64KB to 1GB | `4MB` |"));
	assert_non_null(strstr(out.data, "| `level` | one of debug, info, warn, error | `info` |"));
	assert_non_null(strstr(out.data, "| `path` | text | (required) | Where. |"));
	assert_non_null(strstr(out.data, "## routes.NAME.kafka\n\nThis connector is left out of this build.\n"));
	buffer_finish(&out);
}

static void test_the_nearest_word_is_suggested(void **state)
{
	(void)state;
	static const char *const words[] = {"append", "load", "tail", "relay", "status", "setup", NULL};
	static const char *const cases[][2] = {{"apend", "append"}, {"laod", "load"}, {"stauts", "status"}, {"x", ""},
		{"realy", "relay"}, {"statistics", ""}, {"setpu", "setup"}, {"lo", ""}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct suggest suggest = suggest_start(cases[i][0]);
		for (size_t w = 0; words[w] != NULL; w++)
			suggest_try(&suggest, words[w]);
		assert_string_equal(suggest.best, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values_have_their_types_and_defaults),
		cmocka_unit_test(test_names_of_tables_stand_in_the_store),
		cmocka_unit_test(test_an_empty_file_is_all_defaults),
		cmocka_unit_test(test_route_names_are_in_any_language),
		cmocka_unit_test(test_variables_and_files_are_put_into_values),
		cmocka_unit_test(test_a_file_in_a_value_starts_at_the_configuration),
		cmocka_unit_test(test_flags_count_over_environment_over_file),
		cmocka_unit_test(test_a_missing_file_is_an_error_only_where_one_is_needed),
		cmocka_unit_test(test_passwords_are_not_shown),
		cmocka_unit_test(test_what_is_shown_says_where_it_comes_from),
		cmocka_unit_test(test_the_manual_has_every_setting),
		cmocka_unit_test(test_the_nearest_word_is_suggested),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
