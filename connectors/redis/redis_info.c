// redis_info.c: see redis_info.h.
#include "connectors/redis/redis_info.h"

#include <stdio.h>
#include <string.h>

struct meow_bytes redis_info_value(struct meow_bytes info, const char *name)
{
	size_t size = strlen(name);
	while (info.size > 0) {
		const char *end = memchr(info.data, '\n', info.size);
		size_t line = end != NULL ? (size_t)(end - info.data) : info.size;
		if (line > size && memcmp(info.data, name, size) == 0 && info.data[size] == ':') {
			struct meow_bytes value = {info.data + size + 1, line - size - 1};
			if (value.size > 0 && value.data[value.size - 1] == '\r')
				value.size--;
			return value;
		}
		line += end != NULL;
		info.data += line;
		info.size -= line;
	}
	return (struct meow_bytes){0};
}

bool redis_info_is_older(struct meow_bytes info, int major, int minor)
{
	struct meow_bytes version = redis_info_value(info, "redis_version");
	char text[32];
	int found_major, found_minor;
	if (version.data == NULL)
		return false;
	snprintf(text, sizeof(text), "%.*s", (int)(version.size < 31 ? version.size : 31), version.data);
	if (sscanf(text, "%d.%d", &found_major, &found_minor) != 2)
		return false;
	return found_major < major || (found_major == major && found_minor < minor);
}
