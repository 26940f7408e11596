// main.c: the program: standard descriptors, command line, dispatch.
#include "cli/cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// A closed descriptor would be given to the next socket, and output would go there. What stands in for standard output
// cannot be written, so that writing fails as it should.
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDERR_FILENO ? O_WRONLY : O_RDONLY) != fd)
			_exit(70);
}

int main(int argc, char **argv)
{
	hold_standard_descriptors();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN); // a file at its limit (ulimit -f) is like a full disk: the write fails, and is said
	const char **words = calloc((size_t)argc + 1, sizeof(*words));
	if (words == NULL) {
		cli_say("meowmx: out of memory");
		return 69;
	}
	struct invocation invocation;
	int status;
	if (command_parse(argc, argv, words, &invocation, &status))
		status = invocation.command->run(&invocation);
	free(words);
	return status;
}
