// file_worker.c: one mutex guards everything the loop and the thread share. A batch is only looked at under it, a piece
// at a time, so that its loan can end at any moment; what is written and synced are the thread's own bytes, outside of
// the mutex. All batches that are waiting are written before one fdatasync, which then counts for all of them.
//
// The thread is detached: a disk that hangs must not hang the executor. Whoever lets go last frees. While the thread
// is not busy the loop closes the file itself, so that the lock is free when a new connector comes.
#include "connectors/file/file_worker.h"

#include "relay/envelope.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)256 * 1024)
// A predecessor of this process that still hangs in a write holds the lock a little longer.
#define LOCK_TRIES 20
#define LOCK_PAUSE_NS 50000000

struct job {
	struct batch *batch;
	struct job *next;
};

struct jobs {
	struct job *first, **end;
};

struct file_worker {
	pthread_mutex_t mutex;
	pthread_cond_t wake;
	int news_fd;
	// Of the thread alone while it is busy, and of the holder of the mutex otherwise:
	struct file_log *log;
	// Guarded by the mutex:
	int holders;
	bool busy, abandoned, reopen;
	struct jobs waiting, writing, written;
	bool opened, told_opened, failed, told_failed;
	struct file_found found;
	struct meow_error error;
	// The thread's own:
	char *path;
	int64_t delivered, generation;
	struct buffer piece;
};

static void jobs_init(struct jobs *jobs)
{
	jobs->first = NULL;
	jobs->end = &jobs->first;
}

static void jobs_add(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	*jobs->end = job;
	jobs->end = &job->next;
}

static struct job *jobs_take(struct jobs *jobs)
{
	struct job *job = jobs->first;
	if (job != NULL && (jobs->first = job->next) == NULL)
		jobs->end = &jobs->first;
	return job;
}

static void jobs_move(struct jobs *from, struct jobs *to)
{
	if (from->first == NULL)
		return;
	*to->end = from->first;
	to->end = from->end;
	jobs_init(from);
}

static void jobs_free(struct jobs *jobs)
{
	struct job *job;
	while ((job = jobs_take(jobs)) != NULL)
		free(job);
}

static void worker_free(struct file_worker *worker)
{
	file_log_close(worker->log);
	jobs_free(&worker->waiting);
	jobs_free(&worker->writing);
	jobs_free(&worker->written);
	buffer_finish(&worker->piece);
	if (worker->news_fd >= 0)
		close(worker->news_fd);
	pthread_cond_destroy(&worker->wake);
	pthread_mutex_destroy(&worker->mutex);
	free(worker->path);
	free(worker);
}

// With the mutex held, which it gives back.
static void let_go(struct file_worker *worker)
{
	bool last = --worker->holders == 0;
	pthread_mutex_unlock(&worker->mutex);
	if (last)
		worker_free(worker);
}

static void tell(struct file_worker *worker)
{
	uint64_t one = 1;
	while (write(worker->news_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void set_failed(struct file_worker *worker, const struct meow_error *err)
{
	worker->failed = true;
	worker->error = *err;
	tell(worker);
}

// Between these two the mutex is free, and the file is the thread's.
static void go_busy(struct file_worker *worker)
{
	worker->busy = true;
	pthread_mutex_unlock(&worker->mutex);
}

static void end_busy(struct file_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	worker->busy = false;
}

static bool was_abandoned(struct file_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	bool abandoned = worker->abandoned;
	pthread_mutex_unlock(&worker->mutex);
	return abandoned;
}

static struct file_log *open_patiently(struct file_worker *worker, struct file_found *ret_found, struct meow_error *err)
{
	struct file_log *log = NULL;
	for (int tries = 0; tries < LOCK_TRIES && log == NULL; tries++) {
		if (tries > 0) {
			nanosleep(&(struct timespec){.tv_nsec = LOCK_PAUSE_NS}, NULL);
			if (was_abandoned(worker))
				break;
		}
		log = file_log_open(worker->path, worker->delivered, worker->generation, ret_found, err);
		if (log == NULL && err->kind != MEOW_UNAVAILABLE)
			break;
	}
	return log;
}

static bool open_first(struct file_worker *worker)
{
	struct meow_error err = {0};
	struct file_found found;
	go_busy(worker);
	struct file_log *log = open_patiently(worker, &found, &err);
	end_busy(worker);
	worker->log = log;
	if (log == NULL) {
		set_failed(worker, &err);
		return false;
	}
	worker->found = found;
	worker->opened = true;
	tell(worker);
	return true;
}

static bool open_again(struct file_worker *worker)
{
	struct meow_error err = {0};
	struct file_found found;
	worker->reopen = false;
	go_busy(worker);
	bool ok = true;
	if (file_log_moved(worker->log)) {
		struct file_log *log = open_patiently(worker, &found, &err);
		ok = log != NULL;
		if (ok) {
			file_log_close(worker->log);
			worker->log = log;
		}
	}
	end_busy(worker);
	if (!ok)
		set_failed(worker, &err);
	return ok;
}

// The next piece of a batch, from event *index on, with the mutex held.
static bool fill_piece(struct file_worker *worker, const struct batch *batch, size_t *index, struct meow_error *err)
{
	buffer_clear(&worker->piece, 2 * PIECE_BYTES);
	while (*index < batch->count && worker->piece.size < PIECE_BYTES) {
		envelope_write_again(&worker->piece, &batch->events[*index], batch->place, worker->generation);
		buffer_put_char(&worker->piece, '\n');
		*index += 1;
	}
	return buffer_ok(&worker->piece, err);
}

static bool write_batch(struct file_worker *worker, const struct batch *batch, struct meow_error *err)
{
	for (size_t index = 0; index < batch->count;) {
		if (!fill_piece(worker, batch, &index, err))
			return false;
		go_busy(worker);
		bool ok = file_log_append(worker->log, (struct meow_bytes){worker->piece.data, worker->piece.size}, err);
		end_busy(worker);
		if (!ok || worker->abandoned)
			return ok; // the batch may be gone by now
	}
	worker->delivered = batch_last(batch);
	return true;
}

// Writes all that waits, and counts it after one sync.
static bool write_waiting(struct file_worker *worker)
{
	struct meow_error err = {0};
	bool ok = true;
	jobs_move(&worker->waiting, &worker->writing);
	for (const struct job *job = worker->writing.first; ok && job != NULL && !worker->abandoned; job = job->next)
		ok = write_batch(worker, job->batch, &err);
	buffer_clear(&worker->piece, 2 * PIECE_BYTES); // a large event's memory is not kept
	if (worker->abandoned)
		return false;
	go_busy(worker);
	ok = ok && file_log_sync(worker->log, &err);
	if (!ok)
		file_log_undo(worker->log);
	end_busy(worker);
	if (!ok) {
		set_failed(worker, &err);
		return false;
	}
	jobs_move(&worker->writing, &worker->written);
	tell(worker);
	return true;
}

static void *run(void *arg)
{
	struct file_worker *worker = arg;
	pthread_mutex_lock(&worker->mutex);
	bool ok = !worker->abandoned && open_first(worker);
	while (ok && !worker->abandoned) {
		if (worker->reopen) // first: under load something is always waiting
			ok = open_again(worker);
		else if (worker->waiting.first != NULL)
			ok = write_waiting(worker);
		else
			pthread_cond_wait(&worker->wake, &worker->mutex);
	}
	if (!worker->abandoned) {
		// It failed: the lock must not outlive that, even if the relay takes its time.
		file_log_close(worker->log);
		worker->log = NULL;
	}
	let_go(worker);
	return NULL;
}

// Detached, and without signals: a pipe without a reader and a file at its limit are errors of write.
static bool start_thread(struct file_worker *worker, struct meow_error *err)
{
	pthread_t thread;
	sigset_t all, old;
	sigfillset(&all);
	worker->holders = 2;
	pthread_sigmask(SIG_BLOCK, &all, &old);
	int failed = pthread_create(&thread, NULL, run, worker);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (failed != 0) {
		worker->holders = 1;
		return error_set(err, MEOW_UNAVAILABLE, "cannot start a thread: %s", strerror(failed));
	}
	pthread_detach(thread);
	return true;
}

struct file_worker *file_worker_create(const char *path, int64_t delivered, int64_t generation, struct meow_error *err)
{
	struct file_worker *worker = calloc(1, sizeof(*worker));
	if (worker == NULL) {
		error_no_memory(err);
		return NULL;
	}
	pthread_mutex_init(&worker->mutex, NULL);
	pthread_cond_init(&worker->wake, NULL);
	jobs_init(&worker->waiting);
	jobs_init(&worker->writing);
	jobs_init(&worker->written);
	buffer_init(&worker->piece);
	worker->delivered = delivered;
	worker->generation = generation;
	worker->path = strdup(path);
	worker->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	bool ok = worker->path != NULL || error_no_memory(err);
	if (ok && worker->news_fd < 0)
		ok = error_set(err, MEOW_UNAVAILABLE, "cannot make a descriptor: %s", strerror(errno));
	if (!ok || !start_thread(worker, err)) {
		worker_free(worker);
		return NULL;
	}
	return worker;
}

void file_worker_abandon(struct file_worker *worker)
{
	if (worker == NULL)
		return;
	pthread_mutex_lock(&worker->mutex);
	worker->abandoned = true;
	if (!worker->busy) {
		file_log_close(worker->log);
		worker->log = NULL;
	}
	pthread_cond_signal(&worker->wake);
	let_go(worker);
}

int file_worker_fd(const struct file_worker *worker)
{
	return worker->news_fd;
}

bool file_worker_send(struct file_worker *worker, struct batch *batch)
{
	struct job *job = malloc(sizeof(*job));
	if (job == NULL)
		return false;
	job->batch = batch;
	pthread_mutex_lock(&worker->mutex);
	jobs_add(&worker->waiting, job);
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->mutex);
	return true;
}

void file_worker_reopen(struct file_worker *worker)
{
	pthread_mutex_lock(&worker->mutex);
	worker->reopen = true;
	pthread_cond_signal(&worker->wake);
	pthread_mutex_unlock(&worker->mutex);
}

enum file_news file_worker_take(
	struct file_worker *worker, struct file_found *ret_found, struct batch **ret_batch, struct meow_error *ret_error)
{
	enum file_news news = FILE_NOTHING;
	uint64_t count;
	pthread_mutex_lock(&worker->mutex);
	struct job *job = NULL;
	if (worker->opened && !worker->told_opened) {
		worker->told_opened = true;
		*ret_found = worker->found;
		news = FILE_OPENED;
	} else if ((job = jobs_take(&worker->written)) != NULL) {
		*ret_batch = job->batch;
		news = FILE_WRITTEN;
	} else if (worker->failed && !worker->told_failed) {
		worker->told_failed = true;
		*ret_error = worker->error;
		news = FILE_FAILED;
	} else if (read(worker->news_fd, &count, sizeof(count)) < 0) {
		news = FILE_NOTHING; // EAGAIN: there was none to begin with
	}
	pthread_mutex_unlock(&worker->mutex);
	free(job);
	return news;
}
