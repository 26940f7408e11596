// substitute.c: see substitute.h.
#include "config/substitute.h"

#include "base/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FILE_BYTES ((size_t)1 << 20)
#define NAME_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

static bool read_all(FILE *file, const char *path, struct buffer *out, struct meow_error *err)
{
	char piece[4096];
	size_t size;
	while ((size = fread(piece, 1, sizeof(piece), file)) > 0 && out->size <= MOST_FILE_BYTES)
		buffer_put(out, piece, size);
	if (ferror(file))
		return error_set(err, MEOW_IO, "%s cannot be read: %s", path, strerror(errno));
	if (out->size > MOST_FILE_BYTES)
		return error_set(err, MEOW_CONFIG, "%s is larger than 1 MB", path);
	return buffer_ok(out, err);
}

bool substitute_read_file(const char *path, struct buffer *out, struct meow_error *err)
{
	FILE *file = fopen(path, "rbe");
	if (file == NULL)
		return error_set(err,
			errno == ENOENT   ? MEOW_MISSING
			: errno == EACCES ? MEOW_DENIED
							  : MEOW_IO,
			"%s cannot be opened: %s", path, strerror(errno));
	bool good = read_all(file, path, out, err);
	fclose(file);
	if (!good)
		return false;
	while (out->size > 0 && (out->data[out->size - 1] == '\n' || out->data[out->size - 1] == '\r'))
		out->data[--out->size] = '\0';
	if (!text_is_utf8((struct meow_bytes){out->data, out->size}))
		return error_set(err, MEOW_CONFIG, "%s is not a text in UTF-8", path);
	return true;
}

static bool put_file(struct arena *arena, struct substitution *substitution, const char *path, struct buffer *out,
	struct meow_error *err)
{
	if (*path == '\0')
		return error_set(err, MEOW_CONFIG, "\"${file:}\" names no file");
	if (*path != '/' && substitution->folder != NULL)
		path = arena_printf(arena, "%s/%s", substitution->folder, path);
	if (path == NULL)
		return error_no_memory(err);
	struct buffer text;
	buffer_init(&text);
	bool good = substitute_read_file(path, &text, err);
	if (good && text.size > 0)
		buffer_put(out, text.data, text.size);
	buffer_finish(&text);
	substitution->from_file = true;
	return good;
}

// NAME, NAME:-default or NAME:?message.
static bool put_variable(struct arena *arena, const char *inside, struct buffer *out, struct meow_error *err)
{
	size_t size = strspn(inside, NAME_CHARACTERS);
	const char *rest = inside + size;
	if (size == 0 || (*rest != '\0' && strncmp(rest, ":-", 2) != 0 && strncmp(rest, ":?", 2) != 0))
		return error_set(err, MEOW_CONFIG,
			"\"${%s}\" cannot be understood; there are ${NAME}, ${NAME:-default}, "
			"${NAME:?message} and ${file:PATH}, and \"$${\" stands for \"${\" itself",
			inside);
	const char *name = arena_copy(arena, (struct meow_bytes){inside, size});
	if (name == NULL)
		return error_no_memory(err);
	const char *value = getenv(name);
	bool given = value != NULL && (*value != '\0' || *rest == '\0');
	if (!given && *rest == '\0')
		return error_set(err, MEOW_CONFIG, "the variable %s is not set; set it, or write ${%s:-DEFAULT}", name, name);
	if (!given && rest[1] == '?')
		return error_set(err, MEOW_CONFIG, "%s: %s", name, rest[2] == '\0' ? "the variable is not set" : rest + 2);
	if (given && !text_is_utf8(bytes_of(value)))
		return error_set(err, MEOW_CONFIG, "the value of the variable %s is not UTF-8", name);
	buffer_put_text(out, given ? value : rest + 2);
	return true;
}

static bool put_all(struct arena *arena, struct substitution *substitution, const char *text, struct buffer *out,
	struct meow_error *err)
{
	for (const char *at = text; *at != '\0';) {
		if (strncmp(at, "$${", 3) == 0) {
			buffer_put_text(out, "${");
			at += 3;
			continue;
		}
		if (strncmp(at, "${", 2) != 0) {
			buffer_put_char(out, *at++);
			continue;
		}
		size_t size = strcspn(at + 2, "}");
		if (at[2 + size] == '\0')
			return error_set(err, MEOW_CONFIG, "\"${\" without \"}\"; \"$${\" stands for \"${\" itself");
		const char *inside = arena_copy(arena, (struct meow_bytes){at + 2, size});
		if (inside == NULL)
			return error_no_memory(err);
		if (strstr(inside, "${") != NULL)
			return error_set(err, MEOW_CONFIG, "\"${\" inside of \"${...}\": a default is taken as it is");
		bool good = strncmp(inside, "file:", 5) == 0 ? put_file(arena, substitution, inside + 5, out, err)
													 : put_variable(arena, inside, out, err);
		if (!good)
			return false;
		at += 2 + size + 1;
	}
	return buffer_ok(out, err);
}

const char *substitute(struct arena *arena, struct substitution *substitution, const char *text, struct meow_error *err)
{
	if (strstr(text, "${") == NULL)
		return text;
	struct buffer out;
	buffer_init(&out);
	const char *result = NULL;
	if (put_all(arena, substitution, text, &out, err)) {
		result = arena_copy(arena, (struct meow_bytes){out.data, out.size});
		if (result == NULL)
			error_no_memory(err);
	}
	buffer_finish(&out);
	return result;
}
