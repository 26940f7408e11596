// From SQLite's words to ours. The kind follows from the result code; the text names the file.
#include "store/sqlite/lite.h"

#include <stdio.h>
#include <string.h>

static enum meow_error_kind kind_of(int code)
{
	switch (code) {
	case SQLITE_BUSY_SNAPSHOT:
	case SQLITE_CONSTRAINT_UNIQUE:
	case SQLITE_CONSTRAINT_PRIMARYKEY:
		return MEOW_CONFLICT;
	case SQLITE_IOERR_NOMEM:
		return MEOW_UNAVAILABLE;
	}
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
	case SQLITE_NOMEM:
	case SQLITE_INTERRUPT:
	case SQLITE_PROTOCOL:
		return MEOW_UNAVAILABLE;
	case SQLITE_READONLY:
	case SQLITE_PERM:
	case SQLITE_AUTH:
		return MEOW_DENIED;
	case SQLITE_IOERR:
	case SQLITE_FULL:
	case SQLITE_CORRUPT:
	case SQLITE_CANTOPEN:
		return MEOW_IO;
	case SQLITE_NOTADB:
		return MEOW_CONFIG;
	case SQLITE_CONSTRAINT:
	case SQLITE_TOOBIG:
	case SQLITE_MISMATCH:
		return MEOW_INVALID;
	}
	return MEOW_BUG; // among them SQLITE_ERROR, which says all kinds of things
}

// What to say instead of SQLite's few words, NULL to take those.
static const char *words_of(int code)
{
	if (code == SQLITE_BUSY_SNAPSHOT)
		return "others have written since the transaction that is open began to read: roll it back and repeat it, "
			   "beginning with BEGIN IMMEDIATE";
	if (code == SQLITE_CONSTRAINT_FOREIGNKEY)
		return "a foreign key forbids it";
	switch (code & 0xff) {
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return "somebody else has the database locked; try again later";
	case SQLITE_FULL:
		return "the disk is full: nothing was written";
	case SQLITE_CORRUPT:
		return "the file is damaged: bring it back from a copy (`sqlite3 FILE .recover` saves what can be read)";
	case SQLITE_NOTADB:
		return "the file is no SQLite database, or its beginning is damaged";
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return "it can only be read: the file and its folder must be writable";
	}
	return NULL;
}

bool lite_error(struct lite *lite, int code, struct meow_error *err)
{
	char number[8];
	enum meow_error_kind kind = kind_of(code);
	lite->busy = (code & 0xff) == SQLITE_BUSY && code != SQLITE_BUSY_SNAPSHOT;
	if ((code & 0xff) == SQLITE_NOMEM || code == SQLITE_IOERR_NOMEM)
		return error_no_memory(err);
	snprintf(number, sizeof(number), "%d", code);
	const char *words = words_of(code);
	if (!words)
		words = lite->db ? sqlite3_errmsg(lite->db) : sqlite3_errstr(code);
	if ((code & 0xff) == SQLITE_ERROR && (strncmp(words, "no such ", 8) == 0 || strstr(words, "has no column named")))
		kind = MEOW_CONFIG;
	bool named = lite->path && kind != MEOW_INVALID && kind != MEOW_CONFLICT;
	return error_set_code(err, kind, number, "SQLite%s%s: %s", named ? " file " : "", named ? lite->path : "", words);
}
