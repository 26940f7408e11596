// template.c: a template is cut into parts once, when it is made: literal text, or an attribute of the event. Putting a
// name together is then a walk over the parts. Nothing is escaped: a name that the sink cannot have is the connector's
// to refuse, since a name that was altered could meet another one.
#include "relay/template.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>

enum part_kind { PART_TEXT, PART_AGGREGATE_TYPE, PART_AGGREGATE_ID, PART_TYPE, PART_PARTITION, PART_GENERATION };

static const char *const attribute_names[] = {
	[PART_TEXT] = NULL,
	[PART_AGGREGATE_TYPE] = "aggregate_type",
	[PART_AGGREGATE_ID] = "aggregate_id",
	[PART_TYPE] = "type",
	[PART_PARTITION] = "partition",
	[PART_GENERATION] = "generation",
};
#define ATTRIBUTE_COUNT (sizeof(attribute_names) / sizeof(*attribute_names))

struct part {
	enum part_kind kind;
	struct meow_bytes text; // of PART_TEXT; borrows from the template's copy
};

struct template
{
	char *copy; // of the text, with doubled braces already made one
	struct part *parts;
	size_t count;
};

// Columns count characters, not bytes, as editors do.
static int column_of(const char *text, const char *at)
{
	int column = 1;
	for (; text < at; text++)
		if (((unsigned char)*text & 0xC0) != 0x80)
			column++;
	return column;
}

static bool find_attribute(struct meow_bytes name, enum part_kind *ret_kind)
{
	for (size_t i = PART_AGGREGATE_TYPE; i < ATTRIBUTE_COUNT; i++) {
		if (!bytes_equal(name, bytes_of(attribute_names[i])))
			continue;
		*ret_kind = (enum part_kind)i;
		return true;
	}
	return false;
}

// Reads "{name}" at *at and steps behind it.
static bool take_attribute(const char *text, const char **at, struct part *part, struct meow_error *err)
{
	const char *name = *at + 1;
	size_t size = strcspn(name, "{}");
	if (name[size] != '}')
		return error_set(err, MEOW_CONFIG,
			"column %d: \"{\" without \"}\"; write \"{{\" for a brace of the name itself", column_of(text, *at));
	if (!find_attribute((struct meow_bytes){name, size}, &part->kind))
		return error_set(err, MEOW_CONFIG,
			"column %d: unknown attribute \"{%.*s}\"; there are {aggregate_type} {aggregate_id} {type} {partition} "
			"{generation}",
			column_of(text, *at), size > 80 ? 80 : (int)size, name);
	*at = name + size + 1;
	return true;
}

// Copies literal text up to the next attribute; "{{" and "}}" become one brace each.
static bool take_text(const char *text, const char **at, char **to, struct part *part, struct meow_error *err)
{
	char *start = *to;
	const char *from = *at;
	while (*from != '\0') {
		if (*from == '}' && from[1] != '}')
			return error_set(err, MEOW_CONFIG,
				"column %d: \"}\" without \"{\"; write \"}}\" for a brace of the name itself", column_of(text, from));
		if (*from == '{' && from[1] != '{')
			break;
		from += *from == '{' || *from == '}' ? 1 : 0;
		*(*to)++ = *from++;
	}
	*at = from;
	part->kind = PART_TEXT;
	part->text = (struct meow_bytes){start, (size_t)(*to - start)};
	return true;
}

static bool cut_into_parts(struct template *template, const char *text, struct meow_error *err)
{
	char *to = template->copy;
	for (const char *at = text; *at != '\0';) {
		struct part *part = &template->parts[template->count];
		bool attribute = at[0] == '{' && at[1] != '{';
		if (!(attribute ? take_attribute(text, &at, part, err) : take_text(text, &at, &to, part, err)))
			return false;
		template->count++;
	}
	return true;
}

struct template *template_create(const char *text, struct meow_error *err)
{
	size_t size = strlen(text);
	if (size == 0) {
		error_set(err, MEOW_CONFIG, "the name is empty");
		return NULL;
	}
	struct template *template = calloc(1, sizeof(*template));
	if (template != NULL) {
		template->copy = malloc(size + 1);
		template->parts = calloc(size, sizeof(*template->parts)); // a part has at least one character
	}
	if (template == NULL || template->copy == NULL || template->parts == NULL) {
		error_no_memory(err);
		template_destroy(template);
		return NULL;
	}
	if (!cut_into_parts(template, text, err)) {
		template_destroy(template);
		return NULL;
	}
	return template;
}

void template_destroy(struct template *template)
{
	if (template == NULL)
		return;
	free(template->copy);
	free(template->parts);
	free(template);
}

static void put_bytes(struct buffer *out, struct meow_bytes bytes)
{
	if (bytes.data != NULL)
		buffer_put(out, bytes.data, bytes.size);
}

void template_put(const struct template *template, const struct meow_event *event, int partition, int64_t generation,
	struct buffer *out)
{
	for (size_t i = 0; i < template->count; i++) {
		const struct part *part = &template->parts[i];
		switch (part->kind) {
		case PART_TEXT:
			put_bytes(out, part->text);
			break;
		case PART_AGGREGATE_TYPE:
			put_bytes(out, event->aggregate_type);
			break;
		case PART_AGGREGATE_ID:
			put_bytes(out, event->aggregate_id);
			break;
		case PART_TYPE:
			put_bytes(out, event->type);
			break;
		case PART_PARTITION:
			buffer_put_int(out, partition);
			break;
		case PART_GENERATION:
			buffer_put_int(out, generation);
			break;
		}
	}
}

static bool uses(const struct template *template, enum part_kind kind)
{
	for (size_t i = 0; i < template->count; i++)
		if (template->parts[i].kind == kind)
			return true;
	return false;
}

bool template_uses(const struct template *template, const char *attribute)
{
	enum part_kind kind;
	return find_attribute(bytes_of(attribute), &kind) && uses(template, kind);
}

bool template_is_constant(const struct template *template)
{
	return !uses(template, PART_AGGREGATE_TYPE) && !uses(template, PART_AGGREGATE_ID) && !uses(template, PART_TYPE);
}

// A separator keeps ("ab", "c") apart from ("a", "bc").
static uint64_t hash_piece(uint64_t hash, struct meow_bytes bytes)
{
	return text_hash(text_hash(hash, bytes), MEOW_BYTES("\0"));
}

uint64_t template_hash(const struct template *template, const struct meow_event *event)
{
	uint64_t hash = TEXT_HASH_START;
	for (size_t i = 0; i < template->count; i++) {
		switch (template->parts[i].kind) {
		case PART_AGGREGATE_TYPE:
			hash = hash_piece(hash, event->aggregate_type);
			break;
		case PART_AGGREGATE_ID:
			hash = hash_piece(hash, event->aggregate_id);
			break;
		case PART_TYPE:
			hash = hash_piece(hash, event->type);
			break;
		case PART_TEXT:
		case PART_PARTITION:
		case PART_GENERATION:
			break; // the same for every event of one partition
		}
	}
	return hash;
}
