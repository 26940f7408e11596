// fuzz.h: what every target has: bytes from outside go in, and what must hold of them is checked. fuzz.c runs a target over
// the files that are kept, or, built with -Dfuzzer=true, under libFuzzer (tests/fuzz/run).
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/buffer.h"

#include <stdint.h>

struct fuzz_target {
	const char *name;
	void (*run)(struct meow_bytes input);
};

// Ends the process, which is how a fuzzer learns of it.
#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_failed(__FILE__, __LINE__, #condition))
void fuzz_failed(const char *file, int line, const char *what) __attribute__((noreturn));

// What stands before the next line break, which goes too; the rest if there is none.
struct meow_bytes fuzz_line(struct meow_bytes *rest);

// The caller's to free. A text ends with the first NUL.
char *fuzz_text(struct meow_bytes bytes);

// A file of this one process that holds these bytes, at its beginning. The next call makes another of it.
int fuzz_file(struct meow_bytes content);

// What an error must be: of a kind, and one line of text that can be shown.
void fuzz_check_error(const struct meow_error *err);

void fuzz_config(struct meow_bytes input);
void fuzz_template(struct meow_bytes input);
void fuzz_lines(struct meow_bytes input);
void fuzz_formats(struct meow_bytes input);
void fuzz_file_tail(struct meow_bytes input);
void fuzz_urls(struct meow_bytes input);
void fuzz_fingerprint(struct meow_bytes input);
void fuzz_holds(struct meow_bytes input);
void fuzz_http(struct meow_bytes input);
void fuzz_kafka_record(struct meow_bytes input);
void fuzz_redis(struct meow_bytes input);

#endif
