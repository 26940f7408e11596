// server.c: runs scripts/server and reads the lines it prints. The script watches this process (the environment
// variable MEOWMX_SERVER_PARENT), so that a crashed test leaves nothing behind.
#include "server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGUMENTS_MOST 64

struct server {
	char folder[160];
	char url[160];
	uint16_t port;
	pid_t pid;
	struct server *next;
};

static struct server *servers;
static char scratch[64];
static pid_t owner; // a child that a test forks must not clean up on its way out

static void give_up(const char *what)
{
	fprintf(stderr, "tests/support: %s\n", what);
	exit(1);
}

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *place)
{
	(void)status, (void)kind, (void)place;
	return remove(path);
}

static void clean_up(void)
{
	if (getpid() != owner)
		return;
	while (servers)
		server_destroy(servers);
	nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_folder(void)
{
	if (!scratch[0]) {
		strcpy(scratch, "/tmp/meowmx-test-XXXXXX");
		if (!mkdtemp(scratch) || chmod(scratch, 0755))
			give_up("cannot make a folder in /tmp");
		owner = getpid();
		atexit(clean_up);
	}
	return scratch;
}

static bool read_line(struct server *server, const char *line)
{
	char url[sizeof(server->url)];
	unsigned port;
	int pid;

	if (sscanf(line, "port=%u", &port) == 1)
		server->port = (uint16_t)port;
	else if (sscanf(line, "pid=%d", &pid) == 1)
		server->pid = pid;
	else if (sscanf(line, "url=%159s", url) == 1)
		memcpy(server->url, url, sizeof(url));
	else
		return false;
	return true;
}

static void run_child(char **arguments, int output)
{
	char parent[16];

	snprintf(parent, sizeof(parent), "%d", (int)getppid());
	if (setenv("MEOWMX_SERVER_PARENT", parent, 1) || dup2(output, STDOUT_FILENO) < 0)
		_exit(127);
	execv(SERVER_SCRIPT, arguments);
	perror(SERVER_SCRIPT);
	_exit(127);
}

// Runs the script and takes over what it prints about the server.
static void run(struct server *server, char **arguments)
{
	char line[256];
	int ends[2], status;
	FILE *output;
	pid_t child = -1;

	if (pipe2(ends, O_CLOEXEC) || (child = fork()) < 0)
		give_up("cannot run scripts/server");
	if (child == 0)
		run_child(arguments, ends[1]);
	close(ends[1]);
	output = fdopen(ends[0], "r");
	if (!output)
		give_up("out of memory");
	while (fgets(line, sizeof(line), output)) {
		if (!read_line(server, line))
			fprintf(stderr, "scripts/server: %s", line);
	}
	fclose(output);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			give_up("lost scripts/server");
	}
	if (status != 0) {
		fprintf(stderr, "scripts/server %s failed\n", arguments[1]);
		exit(1);
	}
}

static void run_verb(struct server *server, const char *verb)
{
	char script[] = SERVER_SCRIPT, word[16];
	char *arguments[] = {script, word, server->folder, NULL};

	snprintf(word, sizeof(word), "%s", verb);
	run(server, arguments);
}

struct server *server_start(const char *kind, ...)
{
	static unsigned count;
	struct server *server = calloc(1, sizeof(*server));
	char script[] = SERVER_SCRIPT, verb[] = "start", word[32];
	char *arguments[ARGUMENTS_MOST + 1] = {script, verb, word};
	char *setting;
	size_t used = 4;
	va_list settings;

	if (!server)
		give_up("out of memory");
	snprintf(word, sizeof(word), "%s", kind);
	snprintf(server->folder, sizeof(server->folder), "%s/%s-%u", scratch_folder(), kind, ++count);
	arguments[3] = server->folder;
	va_start(settings, kind);
	while ((setting = va_arg(settings, char *))) {
		if (used == ARGUMENTS_MOST)
			give_up("too many settings for a server");
		arguments[used++] = setting;
	}
	va_end(settings);
	arguments[used] = NULL;
	run(server, arguments);
	server->next = servers;
	servers = server;
	return server;
}

const char *server_url(const struct server *server)
{
	return server->url;
}

uint16_t server_port(const struct server *server)
{
	return server->port;
}

pid_t server_pid(const struct server *server)
{
	return server->pid;
}

void server_stop(struct server *server)
{
	run_verb(server, "stop");
}

void server_kill(struct server *server)
{
	run_verb(server, "kill");
}

void server_again(struct server *server)
{
	run_verb(server, "again");
}

void server_destroy(struct server *server)
{
	struct server **link = &servers;

	if (!server)
		return;
	while (*link != server)
		link = &(*link)->next;
	*link = server->next;
	run_verb(server, "kill");
	nftw(server->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	free(server);
}

// Below the range from which the kernel takes ports for outgoing connections, so that it stays free for a while.
uint16_t free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};

	for (int attempt = 0; attempt < 1000; attempt++) {
		uint16_t draw = 0;
		int probe = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		if (probe < 0 || getrandom(&draw, sizeof(draw), 0) != sizeof(draw))
			break;
		address.sin_port = htons((uint16_t)(12000 + draw % 20000));
		bool taken = bind(probe, (struct sockaddr *)&address, sizeof(address)) != 0;
		close(probe);
		if (!taken)
			return ntohs(address.sin_port);
	}
	give_up("no free port");
	return 0;
}
