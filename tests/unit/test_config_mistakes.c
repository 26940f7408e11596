// The configuration: what is refused, where it says the mistake is, and in which words.
#include "config_case.h"

#include <string.h>

struct mistake {
	const char *text;
	const char *lines; // that the load prints of it
};

static void assert_each_refused(const struct mistake *mistakes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		assert_refused(mistakes[i].text, mistakes[i].lines);
}

static void test_each_mistake_has_its_line_and_column(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
		{"stor:\n  url: x\n", "m.yaml:1:1: unknown setting stor; did you mean \"store\"?\n"},
		{"store:\n  ulr: x\n", "m.yaml:2:3: unknown setting store.ulr; did you mean \"url\"?\n"},
		{"log:\n  zzzzzzzz: x\n", "m.yaml:2:3: unknown setting log.zzzzzzzz\n"},
		{"log:\n  level: inof\n",
			"m.yaml:2:10: log.level: \"inof\" is none of debug|info|warn|error; did you mean \"info\"?\n"},
		{"log:\n  level: info\n  level: warn\n", "m.yaml:3:3: \"level\" is there twice, first at m.yaml:2:3\n"},
		{"log:\n  level: [info]\n", "m.yaml:2:10: log.level: must be one value, not a list or a map\n"},
		{"log:\n  level:\n", "m.yaml:2:9: log.level: has no value; give one or remove the line\n"},
		{"log: info\n", "m.yaml:1:6: log must be a map: lines of \"key: value\"\n"},
		{"- a\n", "m.yaml:1:1: a configuration is a map: lines of \"key: value\"\n"},
		{"relay: {backoff_max: 10}\n",
			"m.yaml:1:22: relay.backoff_max: \"10\" is no duration; write 500ms, 10s, 5m, 2h or 1d\n"},
		{"relay: {backoff_max: 2h}\n", "m.yaml:1:22: relay.backoff_max: \"2h\" is out of range: 100ms to 1h\n"},
		{"relay: {backoff_max: 99999999999999999d}\n",
			"m.yaml:1:22: relay.backoff_max: \"99999999999999999d\" is no duration; write 500ms, 10s, 5m, 2h or 1d\n"},
		{"relay: {backoff_initial: 40s}\n",
			"m.yaml:1:26: relay.backoff_initial: 40s is more than relay.backoff_max, 30s\n"},
		{"http: {listen: 9187}\n",
			"m.yaml:1:16: http.listen: \"9187\" is not ADDRESS:PORT, as in 127.0.0.1:9187 or [::1]:9187\n"},
		{"http: {listen: '::1:9187'}\n",
			"m.yaml:1:16: http.listen: \"::1:9187\" is not ADDRESS:PORT, as in 127.0.0.1:9187 or [::1]:9187\n"},
		{"store: {tables: {event: x}}\n",
			"m.yaml:1:18: unknown setting store.tables.event; did you mean \"events\"?\n"},
		{"store: {tabels: {}}\n", "m.yaml:1:9: unknown setting store.tabels; did you mean \"tables\"?\n"},
		{"store: {tables: x}\n", "m.yaml:1:17: store.tables must be a map: lines of \"key: value\"\n"},
		{"store.tables: {events: x}\n", "m.yaml:1:1: unknown setting store.tables\n"},
		{"store: {url: host=x}\n", "m.yaml:1:14: store.url: must begin with postgresql://, as in "
								   "postgresql://USER@HOST:PORT/DATABASE, or with "
								   "sqlite:, as in sqlite:PATH\n"},
		{"relay: {lease: 900ms}\n", "m.yaml:1:16: relay.lease: \"900ms\" is out of range: 1s to 1h\n"},
	};
	assert_each_refused(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void test_each_mistake_in_a_route_has_its_line_and_column(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
		{"routes: {a: {null: , window: 1KB}}\n",
			"m.yaml:1:30: routes.a.window: \"1KB\" is out of range: 64KB to 1GB\n"},
		{"routes: {a: {null: , window: 1XB}}\n",
			"m.yaml:1:30: routes.a.window: \"1XB\" is no size; write 512KB, 16MB, 1GB or plain bytes\n"},
		{"routes: {a: {null: , batch_rows: 1.5}}\n", "m.yaml:1:34: routes.a.batch_rows: \"1.5\" is no whole number\n"},
		{"routes: {a: {null: , batch_row: 1}}\n",
			"m.yaml:1:22: unknown setting routes.a.batch_row; did you mean \"batch_rows\"?\n"},
		{"routes: {a: {pip: {path: x}}}\n",
			"m.yaml:1:14: unknown setting routes.a.pip; did you mean \"pipe\"?\n"
			"m.yaml:1:10: routes.a has no connector; it needs one of pipe, null, kafka\n"},
		{"routes: {a: {null: , pipe: {path: x}}}\n", "m.yaml:1:22: routes.a has a second connector; null is there "
													 "already, and each sink is a route of its own\n"},
		{"routes: {a: {kafka: {topic: x}}}\n",
			"m.yaml:1:14: routes.a.kafka: this meowmx was built without the connector "
			"kafka; build it where its library is installed\n"},
		{"routes: {a: {pipe: {}}}\n", "m.yaml:1:14: routes.a.pipe.path is missing\n"},
		{"routes: {a: {pipe: {path: x, create: yes}}}\n",
			"m.yaml:1:38: routes.a.pipe.create: \"yes\" is neither true nor false\n"},
		{"routes: {a: {pipe: {path: x, client: y}}}\n",
			"m.yaml:1:38: routes.a.pipe.client: must be a map: lines of \"key: value\"\n"},
		{"routes: {a: {pipe: {path: x, client: {b: [1]}}}}\n",
			"m.yaml:1:42: routes.a.pipe.client: must be one value, not a list or a map\n"},
		{"routes: {a: {null: , categories: []}}\n",
			"m.yaml:1:34: routes.a.categories: must be a list with something in it, or not be there at all\n"},
		{"routes: {a: {null: , categories: [b, b, '']}}\n", "m.yaml:1:38: routes.a.categories: \"b\" is there twice\n"
															"m.yaml:1:41: routes.a.categories: an empty name\n"},
		{"routes: {a: {pipe: {path: /bad}}}\n", "m.yaml:1:27: routes.a.pipe.path: nothing can be written there\n"},
		{"routes: {a: {pipe: {path: x, client: {a: 1, b: 2, c: 3, d: 4, e: 5}}}}\n",
			"m.yaml:1:14: routes.a.pipe.too much of everything\n"},
		{"routes: {a: {pipe: {path: x}}, b: {pipe: {path: x}}}\n",
			"m.yaml:1:36: routes.b.pipe publishes to x, as the route "
			"a (m.yaml:1:14) does; two routes may not share it\n"},
		{"routes: {a: {partitions: 2, pipe: {path: x}}}\n",
			"m.yaml:1:42: routes.a.pipe.path: put {partition} into the name\n"},
		{"routes: {a: {partitions: 0, null: }}\n",
			"m.yaml:1:26: routes.a.partitions: \"0\" is out of range: 1 to 1000\n"},
	};
	assert_each_refused(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void test_what_yaml_has_and_a_configuration_does_not_has_its_place(void **state)
{
	(void)state;
	static const struct mistake mistakes[] = {
		{"store: &a {url: x}\n",
			"m.yaml:1:8: anchors, aliases and tags of YAML are not supported; write the value itself\n"},
		{"store: !!map {url: x}\n",
			"m.yaml:1:8: anchors, aliases and tags of YAML are not supported; write the value itself\n"},
		{"? [a]\n: b\n", "m.yaml:1:3: a key must be a plain word or text\n"},
		{"a: b\n---\nc: d\n", "m.yaml:2:1: a second YAML document; a configuration is one\n"},
		{"log: {level: \"in\\0fo\"}\n", "m.yaml:1:14: a value must not contain a NUL character\n"},
	};
	assert_each_refused(mistakes, sizeof(mistakes) / sizeof(*mistakes));
}

static void test_what_is_not_yaml_has_its_place(void **state)
{
	(void)state;
	static const char *const cases[][2] = {
		{"log:\n\tlevel: info\n", "m.yaml:2:1: not YAML: found character that cannot start any token"},
		{"log: {level: info\n", "m.yaml:2:1: not YAML: "},
		{"a: b: c\n", "m.yaml:1:5: not YAML: mapping values are not allowed in this context"},
		{"# 注\nlog: \xFF\n", "m.yaml:2:6: not YAML: invalid leading UTF-8 octet"},
		{"[[[[[[[[[[[[[[[[[[[[", "m.yaml:1:17: nested too deeply"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct buffer lines;
		struct meow_error err;
		assert_null(load_text(cases[i][0], &lines, &err));
		assert_int_equal(err.kind, MEOW_CONFIG);
		if (strncmp(err.text, cases[i][1], strlen(cases[i][1])) != 0)
			fail_msg("%s gives %s", cases[i][0], err.text);
		buffer_finish(&lines);
	}
}

static void test_all_mistakes_are_named_at_once(void **state)
{
	(void)state;
	assert_refused(
		"log: {level: loud, colour: red}\nrelay: {backoff_max: soon}\nroutes: {a: {}, b: {null: , start: never}}\n",
		"m.yaml:1:14: log.level: \"loud\" is none of debug|info|warn|error\n"
		"m.yaml:1:20: unknown setting log.colour\n"
		"m.yaml:2:22: relay.backoff_max: \"soon\" is no duration; write 500ms, 10s, 5m, 2h or 1d\n"
		"m.yaml:3:10: routes.a has no connector; it needs one of pipe, null, kafka\n"
		"m.yaml:3:36: routes.b.start: \"never\" is none of beginning|now\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_mistake_has_its_line_and_column),
		cmocka_unit_test(test_each_mistake_in_a_route_has_its_line_and_column),
		cmocka_unit_test(test_what_yaml_has_and_a_configuration_does_not_has_its_place),
		cmocka_unit_test(test_what_is_not_yaml_has_its_place),
		cmocka_unit_test(test_all_mistakes_are_named_at_once),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
