// Loaded before the C library (LD_PRELOAD): the allocation of libpq's at which starve_countdown reaches 0 fails. Whose an
// allocation is shows where it returns to.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

extern long starve_countdown;
extern bool starve_fired;
long starve_countdown;
bool starve_fired;

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *memory, size_t size);
char *strdup(const char *text);

static uintptr_t first, last; // libpq's code

static __attribute__((constructor)) void find_libpq(void)
{
	char line[512];
	unsigned long from, to;
	FILE *maps = fopen("/proc/self/maps", "r");
	while (maps && fgets(line, sizeof(line), maps))
		if (strstr(line, "/libpq.so") && sscanf(line, "%lx-%lx", &from, &to) == 2) {
			first = first ? first : from;
			last = to;
		}
	if (maps)
		fclose(maps);
}

static bool is_refused(const void *caller)
{
	uintptr_t address = (uintptr_t)caller;
	if (starve_countdown <= 0 || address < first || address >= last || --starve_countdown > 0)
		return false;
	starve_fired = true;
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
