// Leaks, and must be caught at it: a run in which leaks are not looked for would prove nothing (a container without ptrace, an
// ASAN_OPTIONS with detect_leaks=0).
#include <stdlib.h>

static char *volatile kept;

int main(void)
{
	kept = malloc(1000);
	kept = NULL;
	return 0;
}
