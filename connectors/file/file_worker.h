// file_worker.h: the thread that does what blocks: opening, writing, fdatasync. The executor's loop hands it batches and
// is told through a descriptor when something is finished.
#ifndef CONNECTORS_FILE_FILE_WORKER_H
#define CONNECTORS_FILE_FILE_WORKER_H

#include "connectors/file/file_log.h"
#include "store/batch.h"

struct file_worker;

// Starts the thread, which opens the file at once. path is copied. NULL without memory, threads or descriptors.
MEOW_MUST_USE struct file_worker *file_worker_create(
	const char *path, int64_t delivered, int64_t generation, struct meow_error *err);

// Never waits for the disk. No batch is looked at once this has returned; what the thread is in the middle of writing
// it finishes from its own memory, and then closes the file and frees everything. Takes NULL.
void file_worker_abandon(struct file_worker *worker);

// Readable when file_worker_take has something new.
int file_worker_fd(const struct file_worker *worker);

// Lends a batch. False without memory.
MEOW_MUST_USE bool file_worker_send(struct file_worker *worker, struct batch *batch);

// Before it writes the next batches the thread opens the path anew, if that names another file by now.
void file_worker_reopen(struct file_worker *worker);

enum file_news {
	FILE_NOTHING,
	FILE_OPENED,  // *ret_found is filled
	FILE_WRITTEN, // *ret_batch is durable
	FILE_FAILED,  // *ret_error says why; nothing comes after it
};

// The next piece of news, oldest first. Does not block.
enum file_news file_worker_take(
	struct file_worker *worker, struct file_found *ret_found, struct batch **ret_batch, struct meow_error *ret_error);

#endif
