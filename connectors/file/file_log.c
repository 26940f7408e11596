// file_log.c: the file on the disk. The lock is flock's: it belongs to the open file and not to the process, so two
// routes of one process keep each other out too, and it ends with the process however that ends. Names are compared
// after locking, since the file may have been renamed between the two.
#include "connectors/file/file_log.h"

#include "base/text.h"
#include "connectors/file/file_scan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define FILE_MODE 0640
#define OPEN_TRIES 10 // against a file that is renamed or removed again and again while it is opened

struct file_log {
	int fd;
	char *path;
	off_t synced; // where the file ended after the last sync
	bool regular; // not a pipe, not a terminal
	bool standard_output;
};

// What the operating system said, as the kind that decides whether trying again can help.
static bool fail(struct meow_error *err, const char *verb, const char *path, int code)
{
	enum meow_error_kind kind = MEOW_IO;
	if (code == EACCES || code == EPERM || code == EROFS)
		kind = MEOW_DENIED;
	if (code == EISDIR || code == ENOTDIR || code == ELOOP || code == ENAMETOOLONG)
		kind = MEOW_CONFIG;
	if (code == ENOENT)
		return error_set(err, kind, "cannot %s file \"%s\": its folder does not exist, create it", verb, path);
	if (code == ENOSPC || code == EDQUOT)
		return error_set(err, kind, "cannot %s file \"%s\": %s; it goes on once there is room", verb, path,
			code == ENOSPC ? "the disk is full" : "the quota is used up");
	if (code == EFBIG)
		return error_set(err, kind,
			"cannot %s file \"%s\": it reached the largest size that a file may have here; "
			"rotate it",
			verb, path);
	if (kind == MEOW_IO)
		return error_set(err, kind, "cannot %s file \"%s\": %s", verb, path, strerror(code));
	return error_set(err, kind, "cannot %s file \"%s\": %s; %sset another `path`", verb, path, strerror(code),
		kind == MEOW_DENIED ? "give this user the right, or " : "");
}

// The pid in a line of /proc/locks ("1: FLOCK  ADVISORY  WRITE 4711 fe:01:131 0 EOF") if it is about this file, else 0.
static int64_t holder_in_line(char *line, const char *file)
{
	enum { NUMBER, KIND, MODE, ACCESS, PID, PLACE, WORDS };
	char *words[WORDS], *rest = NULL;
	int64_t pid;
	for (size_t i = 0; i < WORDS; i++)
		if ((words[i] = strtok_r(i == 0 ? line : NULL, " \n", &rest)) == NULL)
			return 0;
	bool is_it = strcmp(words[KIND], "FLOCK") == 0 && strcmp(words[PLACE], file) == 0;
	return is_it && text_to_int64(bytes_of(words[PID]), &pid) && pid > 0 ? pid : 0;
}

// Who holds the lock, 0 if that cannot be known.
static int64_t lock_holder(int fd)
{
	struct stat status;
	char line[256], file[64];
	FILE *locks = fstat(fd, &status) == 0 ? fopen("/proc/locks", "re") : NULL;
	if (locks == NULL)
		return 0;
	snprintf(file, sizeof(file), "%02x:%02x:%llu", major(status.st_dev), minor(status.st_dev),
		(unsigned long long)status.st_ino);
	int64_t holder = 0;
	while (holder == 0 && fgets(line, sizeof(line), locks) != NULL)
		holder = holder_in_line(line, file);
	fclose(locks);
	return holder;
}

static bool lock(int fd, const char *path, struct meow_error *err)
{
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		return true;
	if (errno != EWOULDBLOCK)
		return fail(err, "lock", path, errno);
	int64_t holder = lock_holder(fd);
	if (holder > 0)
		return error_set(err, MEOW_UNAVAILABLE,
			"file \"%s\" is being written by process %lld: stop that one, or give "
			"this route another path",
			path, (long long)holder);
	return error_set(err, MEOW_UNAVAILABLE,
		"file \"%s\" is being written by another process: stop that one, or set "
		"another `path`",
		path);
}

// A new file's name is only safe once its folder is on the disk, too.
static bool sync_folder(const char *path, struct meow_error *err)
{
	char *folder = strdup(path);
	if (folder == NULL)
		return error_no_memory(err);
	char *slash = strrchr(folder, '/');
	if (slash != NULL)
		slash[slash == folder] = '\0';
	int fd = open(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	// A folder that may be written to but not read, or a file system that syncs no folders, is no reason to stop.
	bool ok = fd < 0 || fsync(fd) == 0 || errno == EINVAL;
	if (!ok)
		fail(err, "create", path, errno);
	if (fd >= 0)
		close(fd);
	free(folder);
	return ok;
}

// *ret_fd is open on what the path names, created if it was missing.
static bool open_or_create(const char *path, int *ret_fd, struct meow_error *err)
{
	const int flags = O_RDWR | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		*ret_fd = open(path, flags);
		if (*ret_fd >= 0)
			return true;
		if (errno != ENOENT)
			break;
		*ret_fd = open(path, flags | O_CREAT | O_EXCL, FILE_MODE);
		if (*ret_fd >= 0 && sync_folder(path, err))
			return true;
		if (*ret_fd >= 0) {
			close(*ret_fd);
			return false;
		}
		if (errno != EEXIST)
			break;
	}
	return fail(err, "open", path, errno);
}

static bool same_file(int fd, const char *path)
{
	struct stat open_status, status;
	return fstat(fd, &open_status) == 0 && stat(path, &status) == 0 && open_status.st_dev == status.st_dev &&
		   open_status.st_ino == status.st_ino;
}

static bool open_locked(const char *path, int *ret_fd, struct meow_error *err)
{
	for (int tries = 0; tries < OPEN_TRIES; tries++) {
		struct stat status;
		int fd;
		if (!open_or_create(path, &fd, err))
			return false;
		bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
		if (!regular)
			error_set(err, MEOW_CONFIG, "\"%s\" is no regular file; for standard output set `path` to \"%s\"", path,
				FILE_STANDARD_OUTPUT);
		if (!regular || !lock(fd, path, err)) {
			close(fd);
			return false;
		}
		if (same_file(fd, path)) {
			*ret_fd = fd;
			return true;
		}
		close(fd);
	}
	return error_set(err, MEOW_UNAVAILABLE, "file \"%s\" is renamed or removed again and again", path);
}

// Cuts what cannot be trusted, and makes durable what can: lines that a killed writer left may be in memory alone.
static bool settle(
	struct file_log *log, int64_t delivered, int64_t generation, struct file_found *ret_found, struct meow_error *err)
{
	struct stat status;
	struct file_end end;
	if (fstat(log->fd, &status) != 0)
		return fail(err, "read", log->path, errno);
	if (!file_scan(log->fd, status.st_size, log->path, delivered, generation, &end, err))
		return false;
	if (end.end < status.st_size && ftruncate(log->fd, end.end) != 0)
		return fail(err, "cut", log->path, errno);
	if (!file_log_sync(log, err))
		return false;
	*ret_found = (struct file_found){
		.any = end.any, .position = end.position, .generation = end.generation, .cut_bytes = status.st_size - end.end};
	memcpy(ret_found->fingerprint, end.fingerprint, sizeof(end.fingerprint));
	return true;
}

static bool open_standard_output(struct file_log *log, struct meow_error *err)
{
	struct stat status;
	log->standard_output = true;
	log->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (log->fd < 0)
		return error_set(err, MEOW_CONFIG, "standard output is closed: start with one, or give the route a path");
	log->regular = fstat(log->fd, &status) == 0 && S_ISREG(status.st_mode);
	return true;
}

struct file_log *file_log_open(
	const char *path, int64_t delivered, int64_t generation, struct file_found *ret_found, struct meow_error *err)
{
	struct file_log *log = calloc(1, sizeof(*log));
	if (log == NULL || (log->path = strdup(path)) == NULL) {
		free(log);
		error_no_memory(err);
		return NULL;
	}
	log->fd = -1;
	struct file_found found = {0};
	bool ok;
	if (strcmp(path, FILE_STANDARD_OUTPUT) == 0) {
		ok = open_standard_output(log, err);
	} else {
		log->regular = true;
		ok = open_locked(path, &log->fd, err) && settle(log, delivered, generation, &found, err);
	}
	if (!ok) {
		file_log_close(log);
		return NULL;
	}
	*ret_found = found;
	return log;
}

void file_log_close(struct file_log *log)
{
	if (log == NULL)
		return;
	if (log->fd >= 0)
		close(log->fd);
	free(log->path);
	free(log);
}

// Standard output may be shared with somebody who made it non-blocking.
static void wait_writable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
	while (poll(&poll_fd, 1, -1) < 0 && errno == EINTR)
		;
}

bool file_log_append(struct file_log *log, struct meow_bytes lines, struct meow_error *err)
{
	while (lines.size > 0) {
		ssize_t written = write(log->fd, lines.data, lines.size);
		if (written >= 0) {
			lines.data += written;
			lines.size -= (size_t)written;
		} else if (errno == EAGAIN) {
			wait_writable(log->fd);
		} else if (errno == EPIPE && log->standard_output) {
			return error_set(err, MEOW_CONFIG,
				"nobody reads standard output any more: start the relay with a reader "
				"that stays");
		} else if (errno != EINTR) {
			return fail(err, "write to", log->path, errno);
		}
	}
	return true;
}

bool file_log_sync(struct file_log *log, struct meow_error *err)
{
	struct stat status;
	if (!log->regular)
		return true;
	if (fdatasync(log->fd) != 0)
		return fail(err, "write to", log->path, errno);
	if (fstat(log->fd, &status) != 0)
		return fail(err, "read", log->path, errno);
	log->synced = status.st_size;
	return true;
}

void file_log_undo(struct file_log *log)
{
	struct stat status;
	if (!log->regular || log->standard_output || fstat(log->fd, &status) != 0 || status.st_size <= log->synced)
		return;
	// Nothing can be done if it fails: the next start cuts what is torn, and the cause was reported already.
	if (ftruncate(log->fd, log->synced) == 0)
		fdatasync(log->fd);
}

bool file_log_moved(const struct file_log *log)
{
	return !log->standard_output && !same_file(log->fd, log->path);
}
