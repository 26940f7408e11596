// proxy.h: a TCP connection that can be broken at a chosen moment. In this process, on 127.0.0.1; what cannot be had ends
// the program. May be used from any thread.
#ifndef SUPPORT_PROXY_H
#define SUPPORT_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy;

// Listens on a port of its own and passes on to `port` of 127.0.0.1.
struct proxy *proxy_start(uint16_t port);
uint16_t proxy_port(const struct proxy *proxy);
void proxy_stop(struct proxy *proxy); // cuts every connection; takes NULL

// What becomes of new connections: passed on (as from the start), or closed at once.
void proxy_refuse(struct proxy *proxy, bool refuse);

// While stalled nothing is passed on, in either direction, and nothing is lost.
void proxy_stall(struct proxy *proxy, bool stall);

// Closes every connection now.
void proxy_cut(struct proxy *proxy);

enum proxy_fault {
	PROXY_CUT_BEFORE, // the request is not delivered, and the connection is closed
	PROXY_CUT_AFTER,  // the request is delivered; once its reply begins, that is dropped and the connection closed
	PROXY_SWALLOW,    // the request is delivered, and nothing ever comes back on that connection, which stays open
};

// The next request that contains `mark` (NULL: the next at all) has this fault, once. A request is what arrives in one
// piece: mark what is near its beginning.
void proxy_arm(struct proxy *proxy, enum proxy_fault fault, const char *mark);

// Waits until the fault has come to pass (a reply that is swallowed counts once it came); ends the program after half a
// minute.
void proxy_wait(struct proxy *proxy);

#endif
