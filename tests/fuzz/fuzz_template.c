// The name of a topic or stream: the relay's and `verify`'s own reading of a template give one name. Lines: the template,
// and an event's aggregate type, id and type.
#include "fuzz.h"

#include "base/text.h"
#include "relay/template.h"
#include "verify/names.h"

#include <stdlib.h>
#include <string.h>

static void check_name(
	const struct template *template, const char *text, const struct meow_event *event, struct buffer *ret_name)
{
	struct buffer other;
	const struct names names = {.template = text, .partition = 3, .generation = 2};
	buffer_init(ret_name);
	buffer_init(&other);
	template_put(template, event, 3, 2, ret_name);
	names_put(&names, event, &other);
	FUZZ_CHECK(ret_name->size == other.size);
	FUZZ_CHECK(other.size == 0 || memcmp(ret_name->data, other.data, other.size) == 0);
	FUZZ_CHECK(!names_constant(&names) || template_is_constant(template));
	FUZZ_CHECK(!names_by_type(&names) || !(template_uses(template, "aggregate_id") || template_uses(template, "type")));
	buffer_finish(&other);
}

// What the template does not use changes neither name nor hash.
static void check_unused(const struct template *template, const char *text, const struct meow_event *event)
{
	static const struct meow_event plain = {
		.aggregate_type = {"order", 5}, .aggregate_id = {"o-1", 3}, .type = {"placed", 6}};
	struct meow_event other = plain;
	struct buffer name, other_name;
	if (template_uses(template, "aggregate_type"))
		other.aggregate_type = event->aggregate_type;
	if (template_uses(template, "aggregate_id"))
		other.aggregate_id = event->aggregate_id;
	if (template_uses(template, "type"))
		other.type = event->type;
	check_name(template, text, event, &name);
	check_name(template, text, &other, &other_name);
	FUZZ_CHECK(template_hash(template, event) == template_hash(template, &other));
	FUZZ_CHECK(
		bytes_equal((struct meow_bytes){name.data, name.size}, (struct meow_bytes){other_name.data, other_name.size}));
	buffer_finish(&name);
	buffer_finish(&other_name);
}

void fuzz_template(struct meow_bytes input)
{
	char *text = fuzz_text(fuzz_line(&input));
	struct meow_event event = {0};
	event.aggregate_type = fuzz_line(&input);
	event.aggregate_id = fuzz_line(&input);
	event.type = fuzz_line(&input);
	struct meow_error err;
	struct template *template = template_create(text, &err);
	if (template == NULL)
		fuzz_check_error(&err);
	else
		check_unused(template, text, &event);
	template_destroy(template);
	free(text);
}
