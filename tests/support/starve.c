// Loaded before the C library (LD_PRELOAD): the allocation at which starve_countdown reaches 0 fails, and then again after
// starve_period more, as long as starve_left says. Whose an allocation is shows where it returns to: those of libpq are
// meant, or of what STARVE_OF names, parts of the names of files that are loaded, separated by colons.
//
// With STARVE_KNOB, a file of eight bytes, it is each n-th allocation of any thread, n being the number in that file,
// 0 for none: whoever writes it starves a program that runs.
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

extern _Atomic long starve_countdown, starve_period;
extern _Atomic int starve_left;
extern _Atomic bool starve_fired;
_Atomic long starve_countdown, starve_period;
_Atomic int starve_left;
_Atomic bool starve_fired;

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
char *strdup(const char *text);

#define FILES_MOST 4

static struct range {
	uintptr_t first, last;
} ranges[FILES_MOST]; // of whose code
static int range_count;
static const volatile int64_t *knob;
static atomic_llong turns;

static void find(const char *file)
{
	char line[512];
	unsigned long from, to;
	struct range *range = &ranges[range_count];
	FILE *maps = range_count < FILES_MOST ? fopen("/proc/self/maps", "r") : NULL;
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, file) && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			range->first = range->first ? range->first : from;
			range->last = to;
		}
	if (maps)
		fclose(maps);
	range_count += range->first != 0;
}

static __attribute__((constructor)) void prepare(void)
{
	static char of[1024]; // bounded: what the environment says is cut
	const char *path = getenv("STARVE_KNOB");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(*knob), PROT_READ, MAP_SHARED, file, 0);
	snprintf(of, sizeof(of), "%s", getenv("STARVE_OF") ? getenv("STARVE_OF") : "/libpq.so");
	for (char *rest = of, *name; (name = strsep(&rest, ":")) != NULL;)
		find(name);
	if (file >= 0)
		close(file);
	knob = mapped == MAP_FAILED ? NULL : mapped;
}

static bool is_meant(uintptr_t address)
{
	for (int i = 0; i < range_count; i++)
		if (address >= ranges[i].first && address < ranges[i].last)
			return true;
	return false;
}

static bool is_turn(void)
{
	int64_t every = knob ? *knob : 0;
	return every > 0 && (int64_t)(atomic_fetch_add(&turns, 1) % every) == every - 1;
}

static bool is_refused(const void *caller)
{
	if (!is_meant((uintptr_t)caller))
		return false;
	if (knob && is_turn()) {
		errno = ENOMEM;
		return true;
	}
	if (knob || starve_countdown <= 0 || --starve_countdown != 0)
		return false;
	starve_fired = true;
	if (--starve_left > 0)
		starve_countdown = starve_period;
	return true;
}

void *malloc(size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size)
{
	return is_refused(__builtin_return_address(0)) ? NULL : __libc_realloc(memory, size);
}

char *strdup(const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = is_refused(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
	return copy ? memcpy(copy, text, size) : NULL;
}
