// watch.h: notices that somebody writes to a database, without asking it again and again.
#ifndef STORE_SQLITE_WATCH_H
#define STORE_SQLITE_WATCH_H

#include "store/sqlite/lite.h"

struct watch;

// fn runs on the loop, once for each time that the watch is armed. NULL without memory.
MEOW_MUST_USE struct watch *watch_create(struct loop *loop, struct lite *lite, loop_fn *fn, void *arg);

// From now on, until it has told of it, it waits for the next change. What was committed before this returns is not
// told of; who looks at the database afterwards misses nothing. False with lite->busy set if the database is locked.
MEOW_MUST_USE bool watch_arm(struct watch *watch, struct meow_error *err);

void watch_destroy(struct watch *watch); // takes NULL

#endif
