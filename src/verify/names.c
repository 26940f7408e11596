// names.c: a template is walked anew for each name. Which attributes there are, and that the braces match, the
// configuration check has seen to; what it would not have let pass is copied as it stands.
#include "verify/names.h"

#include "base/text.h"

#include <string.h>

int names_partition(struct meow_bytes aggregate_id, int partitions)
{
	uint64_t hash = TEXT_HASH_START;
	for (size_t i = 0; i < aggregate_id.size; i++)
		hash = (hash ^ (unsigned char)aggregate_id.data[i]) * 0x100000001b3;
	hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
	hash = (hash ^ hash >> 33) * 0xc4ceb9fe1a85ec53;
	return (int)((hash ^ hash >> 33) % (uint64_t)partitions);
}

static bool has(const struct names *names, const char *attribute)
{
	return strstr(names->template, attribute) != NULL;
}

bool names_by_type(const struct names *names)
{
	return !has(names, "{aggregate_id}") && !has(names, "{type}");
}

bool names_by_generation(const struct names *names)
{
	return has(names, "{generation}");
}

bool names_constant(const struct names *names)
{
	return names_by_type(names) && !has(names, "{aggregate_type}");
}

static void put_attribute(
	const struct names *names, struct meow_bytes name, const struct meow_event *event, struct buffer *out)
{
	if (bytes_equal(name, MEOW_BYTES("aggregate_type")))
		buffer_put(out, event->aggregate_type.data, event->aggregate_type.size);
	else if (bytes_equal(name, MEOW_BYTES("aggregate_id")))
		buffer_put(out, event->aggregate_id.data, event->aggregate_id.size);
	else if (bytes_equal(name, MEOW_BYTES("type")))
		buffer_put(out, event->type.data, event->type.size);
	else if (bytes_equal(name, MEOW_BYTES("generation")))
		buffer_put_int(out, names->generation);
	else if (bytes_equal(name, MEOW_BYTES("partition")))
		buffer_put_int(out, names->partition);
}

void names_put(const struct names *names, const struct meow_event *event, struct buffer *out)
{
	const char *mapped = names->map == NULL || event->aggregate_type.data == NULL
							 ? NULL
							 : config_map_get(names->settings, names->map, event->aggregate_type.data);
	if (mapped != NULL) {
		buffer_put_text(out, mapped);
		return;
	}
	for (const char *at = names->template; *at != '\0';) {
		size_t text = strcspn(at, "{}");
		buffer_put(out, at, text);
		at += text;
		const char *end = *at == '{' && at[1] != '{' ? strchr(at, '}') : NULL;
		if (end != NULL) {
			put_attribute(names, (struct meow_bytes){at + 1, (size_t)(end - at - 1)}, event, out);
			at = end + 1;
		} else if (*at != '\0') {
			buffer_put_char(out, *at);
			at += at[1] == *at ? 2 : 1; // a doubled brace stands for one
		}
	}
}
