// file_scan.h: finds the end of what can be trusted in a file of event lines, in bounded memory.
#ifndef CONNECTORS_FILE_FILE_SCAN_H
#define CONNECTORS_FILE_FILE_SCAN_H

#include "base/buffer.h"
#include "store/fingerprint.h"

#include <sys/types.h>

struct file_end {
	off_t end;                               // behind the last good line
	bool any;                                // there is a last good line
	int64_t position;                        // its position
	int64_t generation;                      // and generation
	char fingerprint[FINGERPRINT_LINE_SIZE]; // what it shows of its event; empty if it cannot be understood
};

// Looks backwards for the last line that stands at or before (generation, delivered), and from there forwards at each
// line: it must be whole, an event, and rise. MEOW_CONFIG when the file does not begin like one of ours (nothing is
// touched), MEOW_IO. path is for messages.
MEOW_MUST_USE bool file_scan(int fd, off_t size, const char *path, int64_t delivered, int64_t generation,
	struct file_end *ret_end, struct meow_error *err);

#endif
