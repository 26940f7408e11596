// config_case.h: what the tests of the configuration load with: a folder of their own, three connectors, and a program
// that may be given one flag. All of it asserts.
#ifndef UNIT_CONFIG_CASE_H
#define UNIT_CONFIG_CASE_H

#include "unit.h"

#include "base/buffer.h"
#include "config/config.h"

#define CONNECTORS 3
extern const struct config_connector connectors[CONNECTORS]; // pipe, null, and kafka, which this build lacks

// Around a group of tests: the current folder is a fresh one, which has m.yaml and perhaps a file named secret.
int make_folder(void **state);
int remove_folder(void **state);
extern char folder[64], config_path[96]; // the latter is m.yaml's

void write_file(const char *name, const void *text, size_t size);

// The flag that the next loads are given; path NULL: none.
extern struct config_override override;

// Loads the text as m.yaml (NULL: what is there). `lines` has what was said of mistakes; the caller finishes it.
// NULL, with err, if it is refused.
struct config *load_text(const char *text, struct buffer *lines, struct meow_error *err);

// Asserts that nothing is said of it.
struct config *load_good(const char *text);

// Asserts that exactly these lines are said of it.
void assert_refused(const char *text, const char *expected);

#endif
