// yaml_tree.c: libyaml's events, put together by recursion of bounded depth. Everything is in the arena.
#include "config/yaml_tree.h"

#include <string.h>
#include <yaml.h>

#define MOST_DEPTH 16

struct reader {
	yaml_parser_t parser;
	struct arena *arena;
	const char *file;
	struct meow_bytes text;
	struct problems *problems;
};

static const char *place_of(struct reader *reader, size_t line, size_t column)
{
	return arena_printf(reader->arena, "%s:%zu:%zu", reader->file, line + 1, column + 1);
}

static const char *mark_place(struct reader *reader, yaml_mark_t mark)
{
	return place_of(reader, mark.line, mark.column);
}

// libyaml gives no mark for bytes that are not UTF-8, only an offset.
static void reader_problem(struct reader *reader)
{
	size_t line = 0, column = 0;
	for (size_t at = 0; at < reader->parser.problem_offset && at < reader->text.size; at++) {
		if (reader->text.data[at] == '\n') {
			line++;
			column = 0;
		} else if (((unsigned char)reader->text.data[at] & 0xC0) != 0x80) {
			column++;
		}
	}
	problem_add(reader->problems, MEOW_CONFIG, place_of(reader, line, column), "not YAML: %s", reader->parser.problem);
}

static void syntax_problem(struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	if (parser->error == YAML_MEMORY_ERROR)
		reader->arena->failed = true;
	else if (parser->error == YAML_READER_ERROR)
		reader_problem(reader);
	else
		problem_add(reader->problems, MEOW_CONFIG, mark_place(reader, parser->problem_mark), "not YAML: %s%s%s",
			parser->problem == NULL ? "unknown error" : parser->problem, parser->context == NULL ? "" : " ",
			parser->context == NULL ? "" : parser->context);
}

static bool next_event(struct reader *reader, yaml_event_t *event)
{
	if (yaml_parser_parse(&reader->parser, event))
		return true;
	syntax_problem(reader);
	return false;
}

static bool refuse(struct reader *reader, const yaml_event_t *event, const char *text)
{
	problem_add(reader->problems, MEOW_CONFIG, mark_place(reader, event->start_mark), "%s", text);
	return false;
}

static bool has_extras(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return event->data.scalar.anchor != NULL || event->data.scalar.tag != NULL;
	case YAML_SEQUENCE_START_EVENT:
		return event->data.sequence_start.anchor != NULL || event->data.sequence_start.tag != NULL;
	case YAML_MAPPING_START_EVENT:
		return event->data.mapping_start.anchor != NULL || event->data.mapping_start.tag != NULL;
	default:
		return event->type == YAML_ALIAS_EVENT;
	}
}

static struct yaml_node *make_node(struct reader *reader, const yaml_event_t *event, enum yaml_kind kind)
{
	struct yaml_node *node = arena_alloc(reader->arena, sizeof(*node));
	if (node == NULL)
		return NULL;
	node->kind = kind;
	node->place = mark_place(reader, event->start_mark);
	return node;
}

static struct yaml_node *make_scalar(struct reader *reader, const yaml_event_t *event)
{
	struct meow_bytes text = {(const char *)event->data.scalar.value, event->data.scalar.length};
	if (memchr(text.data, '\0', text.size) != NULL) {
		refuse(reader, event, "a value must not contain a NUL character");
		return NULL;
	}
	struct yaml_node *node = make_node(reader, event, YAML_SCALAR);
	if (node == NULL)
		return NULL;
	node->text = arena_copy(reader->arena, text);
	bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->empty = plain && node->text != NULL &&
				  (text.size == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
	return node->text == NULL ? NULL : node;
}

static void append_node(struct yaml_node *parent, struct yaml_node *child)
{
	if (parent->last == NULL)
		parent->first = child;
	else
		parent->last->next = child;
	parent->last = child;
	parent->count++;
}

static struct yaml_node *read_value(struct reader *reader, const yaml_event_t *event, int depth);

static bool read_list(struct reader *reader, struct yaml_node *list, int depth)
{
	yaml_event_t event;
	while (next_event(reader, &event)) {
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			return true;
		}
		struct yaml_node *item = read_value(reader, &event, depth);
		yaml_event_delete(&event);
		if (item == NULL)
			return false;
		append_node(list, item);
	}
	return false;
}

static const struct yaml_node *find_key(const struct yaml_node *map, const char *key)
{
	for (const struct yaml_node *node = map->first; node != NULL; node = node->next)
		if (strcmp(node->key, key) == 0)
			return node;
	return NULL;
}

// Reads the value behind a key and puts it into the mapping, unless the key is there already.
static bool read_pair(struct reader *reader, struct yaml_node *map, const yaml_event_t *key_event, int depth)
{
	if (key_event->type != YAML_SCALAR_EVENT || has_extras(key_event))
		return refuse(reader, key_event, "a key must be a plain word or text");
	struct yaml_node *key = make_scalar(reader, key_event);
	yaml_event_t event;
	if (key == NULL || !next_event(reader, &event))
		return false;
	struct yaml_node *value = read_value(reader, &event, depth);
	yaml_event_delete(&event);
	if (value == NULL)
		return false;
	value->key = key->text;
	value->key_place = key->place;
	const struct yaml_node *earlier = find_key(map, key->text);
	if (earlier == NULL)
		append_node(map, value);
	else
		problem_add(reader->problems, MEOW_CONFIG, key->place, "\"%s\" is there twice, first at %s", key->text,
			earlier->key_place);
	return true;
}

static bool read_map(struct reader *reader, struct yaml_node *map, int depth)
{
	yaml_event_t event;
	while (next_event(reader, &event)) {
		bool end = event.type == YAML_MAPPING_END_EVENT;
		bool good = end || read_pair(reader, map, &event, depth);
		yaml_event_delete(&event);
		if (end || !good)
			return good;
	}
	return false;
}

static struct yaml_node *read_value(struct reader *reader, const yaml_event_t *event, int depth)
{
	if (has_extras(event)) {
		refuse(reader, event, "anchors, aliases and tags of YAML are not supported; write the value itself");
		return NULL;
	}
	if (depth == MOST_DEPTH) {
		refuse(reader, event, "nested too deeply");
		return NULL;
	}
	if (event->type == YAML_SCALAR_EVENT)
		return make_scalar(reader, event);
	bool map = event->type == YAML_MAPPING_START_EVENT;
	struct yaml_node *node = make_node(reader, event, map ? YAML_MAP : YAML_LIST);
	if (node == NULL || !(map ? read_map(reader, node, depth + 1) : read_list(reader, node, depth + 1)))
		return NULL;
	return node;
}

// Stream and document starts come before the root; a second document is refused.
static struct yaml_node *read_document(struct reader *reader)
{
	struct yaml_node *root = NULL;
	yaml_event_t event;
	while (next_event(reader, &event)) {
		bool end = event.type == YAML_STREAM_END_EVENT, good = true;
		if (event.type == YAML_DOCUMENT_START_EVENT && root != NULL)
			good = refuse(reader, &event, "a second YAML document; a configuration is one");
		else if (event.type == YAML_SCALAR_EVENT || event.type == YAML_SEQUENCE_START_EVENT ||
				 event.type == YAML_MAPPING_START_EVENT || event.type == YAML_ALIAS_EVENT)
			good = (root = read_value(reader, &event, 0)) != NULL;
		yaml_event_delete(&event);
		if (!good)
			return NULL;
		if (end)
			return root;
	}
	return NULL;
}

struct yaml_node *yaml_tree_read(
	struct arena *arena, const char *file, struct meow_bytes text, struct problems *problems)
{
	struct reader reader = {.arena = arena, .file = file, .text = text, .problems = problems};
	if (!yaml_parser_initialize(&reader.parser)) {
		arena->failed = true;
		return NULL;
	}
	// It asserts that there is a text, even of no length.
	yaml_parser_set_input_string(
		&reader.parser, (const unsigned char *)(text.data == NULL ? "" : text.data), text.size);
	struct yaml_node *root = read_document(&reader);
	yaml_parser_delete(&reader.parser);
	return root;
}
