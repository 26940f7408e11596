// Loaded before the C library (LD_PRELOAD): the clock of this program's machine is as many seconds ahead as the eight bytes
// in the file CLOCK_KNOB say, below 0 behind, and jumps when somebody writes there. The monotonic clock runs on.
//
// In place of libfaketime, which shows librdkafka another clock, but lets C11's cnd_timedwait wait by the real one: under it
// every wait lasts as long as both differ. Here a wait ends when the clock that is shown reaches its time, as the kernel
// does it when its clock is set: one that was set back prolongs the wait.
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define SLICE_NS (SECOND_NS / 50) // how soon a wait notices that the clock was set

static const volatile int64_t *knob;

static __attribute__((constructor)) void prepare(void)
{
	const char *path = getenv("CLOCK_KNOB");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(*knob), PROT_READ, MAP_SHARED, file, 0);
	if (file >= 0)
		close(file);
	knob = mapped == MAP_FAILED ? NULL : mapped;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
	int status = (int)syscall(SYS_clock_gettime, clock, ret_time);
	if (status == 0 && knob && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
		ret_time->tv_sec += *knob;
	return status;
}

int timespec_get(struct timespec *ret_time, int base)
{
	return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, ret_time) == 0 ? base : 0;
}

int gettimeofday(struct timeval *restrict ret_time, void *restrict zone)
{
	struct timespec now;
	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	*ret_time = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *ret_time)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (ret_time)
		*ret_time = now.tv_sec;
	return now.tv_sec;
}

static int64_t left_ns(const struct timespec *until)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (until->tv_sec - now.tv_sec) * SECOND_NS + (until->tv_nsec - now.tv_nsec);
}

// glibc's C11 types are those of POSIX.
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
	for (;;) {
		struct timespec now;
		int64_t left = left_ns(until);
		if (left <= 0)
			return thrd_timedout;
		clock_gettime(CLOCK_MONOTONIC, &now);
		int64_t slice = now.tv_nsec + (left < SLICE_NS ? left : SLICE_NS);
		now.tv_sec += slice / SECOND_NS;
		now.tv_nsec = slice % SECOND_NS;
		if (pthread_cond_clockwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, CLOCK_MONOTONIC, &now) == 0)
			return thrd_success;
	}
}
