#include "store/postgres/pg_names.h"

#include <stdio.h>
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

const struct pg_names pg_names_default = {
	.renames = {
		[PG_NAME_EVENTS] = {"es_events", "es_events"},
		[PG_NAME_AGGREGATES] = {"es_aggregates", "es_aggregates"},
		[PG_NAME_SNAPSHOTS] = {"es_aggregate_snapshot", "es_aggregate_snapshot"},
		[PG_NAME_SUBSCRIPTIONS] = {"es_event_subscriptions", "es_event_subscriptions"},
		[PG_NAME_SEQUENCE] = {"es_events_id_seq", "es_events_id_seq"},
	}};

void pg_names_set(struct pg_names *names, size_t which, const char *to)
{
	snprintf(names->renames[which].to, PG_NAME_SIZE, "%s", to);
	names->other = names->other || strcmp(names->renames[which].from, to) != 0;
}

const char *pg_names_apply(const struct pg_names *names, const char *sql, struct buffer *scratch)
{
	if (!names->other)
		return sql;
	buffer_clear(scratch, SIZE_MAX);
	pg_render(scratch, sql, names->renames, PG_NAMES);
	return scratch->failed ? NULL : scratch->data;
}

// Letters, digits, and of ASCII's other characters those that mean nothing in SQL's literals or formats.
bool pg_name_is_good(const char *name)
{
	for (const char *c = name; *c; c++)
		if ((unsigned char)*c < 0x80 && !in_word(*c) && *c != ' ' && *c != '-')
			return false;
	return *name && strlen(name) < 64;
}
