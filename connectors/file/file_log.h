// file_log.h: a file of event lines on the disk: found or made, locked, cut behind its last good line, appended to and
// made durable. Every call blocks; it belongs to one thread at a time.
#ifndef CONNECTORS_FILE_FILE_LOG_H
#define CONNECTORS_FILE_FILE_LOG_H

#include "base/buffer.h"
#include "store/fingerprint.h"

#define FILE_STANDARD_OUTPUT "-"

struct file_log;

// What stood in the file.
struct file_found {
	bool any; // a last line: the next two say which
	int64_t position;
	int64_t generation;
	char fingerprint[FINGERPRINT_LINE_SIZE]; // of its event, as the line shows it; empty if it does not
	int64_t cut_bytes;                       // of torn or foreign lines behind it, which are gone now
};

// Opens (or creates, with mode 0640) and locks the file, reads the lines behind `delivered` again, cuts the file at the
// first that is torn, no event or not rising, and makes durable what stays. "-" is standard output, where nothing of
// this applies. Fails with MEOW_UNAVAILABLE when another process writes to it, MEOW_CONFIG when it is no file of ours,
// MEOW_DENIED, MEOW_IO.
MEOW_MUST_USE struct file_log *file_log_open(
	const char *path, int64_t delivered, int64_t generation, struct file_found *ret_found, struct meow_error *err);

// Closes the file, which unlocks it. Takes NULL.
void file_log_close(struct file_log *log);

// Appends whole lines. MEOW_IO (a full disk, too), MEOW_CONFIG when nobody reads standard output any more.
MEOW_MUST_USE bool file_log_append(struct file_log *log, struct meow_bytes lines, struct meow_error *err);

// All that was appended is on the disk when this returns true.
MEOW_MUST_USE bool file_log_sync(struct file_log *log, struct meow_error *err);

// Takes back what was appended since the last successful sync, as far as the disk still lets us: what a failed sync
// left in the page cache looks whole to the next reader and may never reach the disk.
void file_log_undo(struct file_log *log);

// Whether the path names another file by now, or none (it was rotated).
bool file_log_moved(const struct file_log *log);

#endif
