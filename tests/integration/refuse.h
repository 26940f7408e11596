// refuse.h: allocations of our own objects that fail. The linker leads their calls to these functions (--wrap=malloc and so
// on); one test program is made of each of the two that include this.
#ifndef TESTS_INTEGRATION_REFUSE_H
#define TESTS_INTEGRATION_REFUSE_H

#include <stdbool.h>
#include <stddef.h>

static _Atomic long countdown; // the allocation at which it reaches 0 fails
static _Atomic long period;    // and then again after so many
static _Atomic int left;       // so often
static _Atomic bool fired;

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);

static bool is_refused(void)
{
	if (countdown <= 0 || --countdown != 0)
		return false;
	fired = true;
	if (--left > 0)
		countdown = period;
	return true;
}

void *__wrap_malloc(size_t size)
{
	return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
	return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
	return is_refused() ? NULL : __real_realloc(memory, size);
}

char *__wrap_strdup(const char *text)
{
	return is_refused() ? NULL : __real_strdup(text);
}

#endif
