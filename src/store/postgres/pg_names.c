#include "store/postgres/pg_names.h"

#include <string.h>

static bool in_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '$';
}

static const char *find(const char *word, size_t length, const struct pg_rename *renames, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strncmp(renames[i].from, word, length) == 0 && renames[i].from[length] == '\0')
			return renames[i].to;
	return NULL;
}

static void put_name(struct buffer *out, const char *name, bool in_literal)
{
	for (const char *c = name; *c; c++) {
		if (*c == '\'' && in_literal)
			buffer_put_char(out, '\'');
		buffer_put_char(out, *c);
	}
}

void pg_render(struct buffer *out, const char *sql, const struct pg_rename *renames, size_t count)
{
	bool in_literal = false;
	for (const char *c = sql; *c;) {
		size_t length = 0;
		if (!in_literal && strncmp(c, "--", 2) == 0) {
			length = strcspn(c, "\n");
			buffer_put(out, c, length);
		} else if (in_word(*c)) {
			while (in_word(c[length]))
				length++;
			const char *name = c > sql && c[-1] == '.' ? NULL : find(c, length, renames, count);
			if (name)
				put_name(out, name, in_literal);
			else
				buffer_put(out, c, length);
		} else {
			in_literal = in_literal != (*c == '\'');
			length = 1;
			buffer_put_char(out, *c);
		}
		c += length;
	}
}
