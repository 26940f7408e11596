// proxy.c: the proxy of tests/support as a program, for whoever is not written in C.
//
//   proxy [PORT]
//
// Says `port N`, on which it listens, and passes on to PORT of 127.0.0.1, 0 or none: to nobody yet. Ends when its input
// does. Each line of that is a command, answered by `ok`:
//
//   target PORT                            to whom new connections go
//   refuse on|off                          new connections are closed
//   cut                                    every connection is closed
//   stall both|requests|replies|off        nothing passes, and nothing is lost
//   delay MS                               each piece is so long under way
//   drip on|off                            one byte at a time
//   half requests|replies                  every connection ends, but in this way only
//   arm before|after|swallow [MARK|api=N]  the next request with MARK in it, or of Kafka's kind N, has this fault (proxy.h)
//   arm late=MS [MARK|api=N]               the same: closed at once, delivered so much later
//   arm off                                it shall not happen any more
//   happened                               whether it has: `yes` or `no`
#include "support/proxy.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static atomic_int wanted_api;

// A request of Kafka's: its length in four bytes, then its kind in two.
static bool is_wanted_api(const char *bytes, size_t size)
{
	return size > 6 && ((unsigned char)bytes[4] << 8 | (unsigned char)bytes[5]) == atomic_load(&wanted_api);
}

static unsigned ways_of(const char *word)
{
	static const struct {
		const char *word;
		unsigned ways;
	} known[] = {
		{"off", 0}, {"requests", PROXY_REQUESTS}, {"replies", PROXY_REPLIES}, {"both", PROXY_REQUESTS | PROXY_REPLIES}};
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(word, known[i].word) == 0)
			return known[i].ways;
	fprintf(stderr, "proxy: \"%s\" is no way\n", word);
	exit(64);
}

static void arm(struct proxy *proxy, const char *how, const char *mark)
{
	enum proxy_fault fault = PROXY_LATE;
	if (strcmp(how, "off") == 0) {
		proxy_disarm(proxy);
		return;
	}
	if (strncmp(how, "late=", 5) == 0)
		proxy_late(proxy, atoi(how + 5));
	else
		fault = strcmp(how, "before") == 0  ? PROXY_CUT_BEFORE
				: strcmp(how, "after") == 0 ? PROXY_CUT_AFTER
											: PROXY_SWALLOW;
	if (strncmp(mark, "api=", 4) == 0) {
		atomic_store(&wanted_api, atoi(mark + 4));
		proxy_arm_match(proxy, fault, is_wanted_api);
	} else {
		proxy_arm(proxy, fault, *mark ? mark : NULL);
	}
}

static const char *obey(struct proxy *proxy, const char *verb, const char *word, const char *mark)
{
	bool on = strcmp(word, "on") == 0;
	if (strcmp(verb, "target") == 0)
		proxy_target(proxy, (uint16_t)atoi(word));
	else if (strcmp(verb, "refuse") == 0)
		proxy_refuse(proxy, on);
	else if (strcmp(verb, "cut") == 0)
		proxy_cut(proxy);
	else if (strcmp(verb, "stall") == 0)
		proxy_stall_ways(proxy, ways_of(word));
	else if (strcmp(verb, "delay") == 0)
		proxy_delay(proxy, atoi(word));
	else if (strcmp(verb, "drip") == 0)
		proxy_drip(proxy, on);
	else if (strcmp(verb, "half") == 0)
		proxy_half_close(proxy, ways_of(word));
	else if (strcmp(verb, "arm") == 0)
		arm(proxy, word, mark);
	else if (strcmp(verb, "happened") == 0)
		return proxy_happened(proxy) ? "yes" : "no";
	else
		return "unknown";
	return "ok";
}

int main(int count, char **arguments)
{
	struct proxy *proxy = proxy_start(count > 1 ? (uint16_t)atoi(arguments[1]) : 0);
	char line[256];
	printf("port %d\n", proxy_port(proxy));
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		char verb[32] = "", word[32] = "", mark[64] = "";
		if (sscanf(line, "%31s %31s %63s", verb, word, mark) < 1)
			continue;
		printf("%s\n", obey(proxy, verb, word, mark));
		fflush(stdout);
	}
	proxy_stop(proxy);
	return 0;
}
