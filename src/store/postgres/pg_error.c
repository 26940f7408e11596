// From libpq's words to ours. The kind follows from the SQLSTATE where the server gave one; a connection that failed
// gives only a text, whose tail (the server's FATAL line) tells a wrong password from a server that is away.
#include "base/text.h"
#include "store/postgres/pg.h"

#include <string.h>

static bool starts(const char *code, const char *prefix)
{
	return strncmp(code, prefix, strlen(prefix)) == 0;
}

static enum meow_error_kind kind_of(const char *code)
{
	static const struct {
		const char *prefix;
		enum meow_error_kind kind;
	} kinds[] = {
		{"40001", MEOW_CONFLICT},
		{"40P01", MEOW_UNAVAILABLE},
		{"23505", MEOW_CONFLICT},
		{"MW001", MEOW_CONFLICT}, // of our SQL functions
		{"MW002", MEOW_INVALID},
		{"MW003", MEOW_CONFIG},
		{"42P01", MEOW_CONFIG},
		{"42703", MEOW_CONFIG},
		{"3F000", MEOW_CONFIG},
		{"3D000", MEOW_CONFIG},
		{"25P03", MEOW_UNAVAILABLE}, // idle_in_transaction_session_timeout ended the connection
		{"25P02", MEOW_INVALID},     // the application's transaction had failed before
		{"42501", MEOW_DENIED},
		{"25006", MEOW_DENIED},
		{"28", MEOW_DENIED},
		{"22", MEOW_INVALID},
		{"23", MEOW_INVALID},
		{"54", MEOW_INVALID},
		{"P0", MEOW_INVALID}, // a trigger's RAISE
		{"08", MEOW_UNAVAILABLE},
		{"53", MEOW_UNAVAILABLE},
		{"55", MEOW_UNAVAILABLE},
		{"57", MEOW_UNAVAILABLE},
		{"58", MEOW_UNAVAILABLE},
	};
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (starts(code, kinds[i].prefix))
			return kinds[i].kind;
	return MEOW_BUG;
}

// The line of libpq's message that says what happened: the last one, hints (which begin with a tab) left aside, without
// the address, which we name ourselves, and without "FATAL:".
static void last_line(const char *message, char *ret_line, size_t size)
{
	const char *begin = message, *end = message;
	for (const char *line = message; *line;) {
		size_t length = strcspn(line, "\n");
		if (length && *line != '\t') {
			begin = line;
			end = line + length;
		}
		line += length + (line[length] == '\n');
	}
	static const char *const prefixes[] = {" failed: ", "FATAL:  "};
	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		const char *found = strstr(begin, prefixes[i]);
		if (found && found < end)
			begin = found + strlen(prefixes[i]);
	}
	size_t length = (size_t)(end - begin) < size - 1 ? (size_t)(end - begin) : size - 1;
	memcpy(ret_line, begin, length);
	ret_line[length] = '\0';
}

static const char *or_dash(const char *text)
{
	return text && *text ? text : "-";
}

bool pg_connection_error(PGconn *conn, const char *url, struct meow_error *err)
{
	(void)url;
	if (!conn)
		return error_no_memory(err);
	char line[300];
	last_line(PQerrorMessage(conn), line, sizeof(line));
	if (strcmp(line, "invalid socket") == 0) // what libpq says of a connection that it has closed
		*line = '\0';
	enum meow_error_kind kind = MEOW_UNAVAILABLE;
	const char *advice = "";
	if (strstr(line, "due to timeout")) { // a busy server gave up on the authentication
		kind = MEOW_UNAVAILABLE;
	} else if (strstr(line, "password") || strstr(line, "authentication") || strstr(line, "pg_hba.conf") ||
			   strstr(line, "permission denied") || strstr(line, "not permitted to log in")) {
		kind = MEOW_DENIED;
		advice = "; check the user and the password of the store's url";
	} else if (strstr(line, "database \"") && strstr(line, "does not exist")) {
		kind = MEOW_CONFIG;
		advice = "; create it with createdb, or correct the store's url";
	} else if (starts(line, "invalid ") || starts(line, "could not match ")) { // libpq did not even try
		kind = MEOW_CONFIG;
		advice = "; correct the store's url";
	} else if (strstr(line, "role \"") && strstr(line, "does not exist")) {
		kind = MEOW_DENIED;
	}
	return error_set(err, kind, "PostgreSQL at %s:%s, database %s: %s%s", or_dash(PQhost(conn)), or_dash(PQport(conn)),
		or_dash(PQdb(conn)), *line ? line : "the connection was lost", advice);
}

bool pg_result_error(PGconn *conn, const PGresult *result, const char *url, struct meow_error *err)
{
	const char *code = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
	if (!code)
		return pg_connection_error(conn, url, err);
	const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
	enum meow_error_kind kind = kind_of(code);
	const char *advice = "";
	if (starts(code, "42P01") || starts(code, "42703"))
		advice = "; the store is not set up: run `meowmx setup`";
	else if (starts(code, "25006"))
		advice = "; the server is read-only (a standby?): connect to the primary";
	if (kind == MEOW_INVALID || kind == MEOW_CONFLICT) // it is about what was passed, wherever that went
		return error_set_code(err, kind, code, "PostgreSQL: %s%s%s%s", or_dash(text), detail ? " (" : "",
			detail ? detail : "", detail ? ")" : advice);
	return error_set_code(err, kind, code, "PostgreSQL at %s:%s, database %s: %s%s", or_dash(PQhost(conn)),
		or_dash(PQport(conn)), or_dash(PQdb(conn)), or_dash(text), advice);
}
