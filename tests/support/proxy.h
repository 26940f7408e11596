// proxy.h: a TCP connection that can be broken at a chosen moment. In this process, on 127.0.0.1; what cannot be had ends
// the program. May be used from any thread.
#ifndef SUPPORT_PROXY_H
#define SUPPORT_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct proxy;

// Listens on a port of its own and passes on to `port` of 127.0.0.1; 0: to nobody yet.
struct proxy *proxy_start(uint16_t port);
void proxy_target(struct proxy *proxy, uint16_t port); // for a server that must know the proxy's port first
uint16_t proxy_port(const struct proxy *proxy);
void proxy_stop(struct proxy *proxy); // cuts every connection; takes NULL

// What becomes of new connections: passed on (as from the start), or closed at once.
void proxy_refuse(struct proxy *proxy, bool refuse);

// While stalled nothing is passed on, in either direction, and nothing is lost.
void proxy_stall(struct proxy *proxy, bool stall);

enum proxy_way { PROXY_REQUESTS = 1, PROXY_REPLIES = 2 };
void proxy_stall_ways(struct proxy *proxy, unsigned ways); // of enum proxy_way; 0 ends it

// Each piece that passes is so long under way; 0 ends it.
void proxy_delay(struct proxy *proxy, int ms);

// Bytes pass one at a time.
void proxy_drip(struct proxy *proxy, bool drip);

// Every connection that there is now ends in these ways only: the receiver sees its end, and what still comes is dropped.
void proxy_half_close(struct proxy *proxy, unsigned ways);

// Closes every connection now.
void proxy_cut(struct proxy *proxy);

enum proxy_fault {
	PROXY_CUT_BEFORE, // the request is not delivered, and the connection is closed
	PROXY_CUT_AFTER,  // the request is delivered; once its reply begins, that is dropped and the connection closed
	PROXY_SWALLOW,    // the request is delivered, and nothing ever comes back on that connection, which stays open
	PROXY_KEEP, // the request is kept for proxy_deliver, and nothing more passes on that connection, which stays open
	PROXY_LATE, // the client's connection is closed, and the request delivered later, on the server's old connection
};
void proxy_late(struct proxy *proxy, int ms); // how much later

// The next request that contains `mark` (NULL: the next at all) has this fault, once. A request is what arrives in one
// piece: mark what is near its beginning.
void proxy_arm(struct proxy *proxy, enum proxy_fault fault, const char *mark);
void proxy_disarm(struct proxy *proxy); // it has not happened, and shall not

// The same for requests that no text marks: the next for which `is_it` says so.
typedef bool proxy_match(const char *bytes, size_t size);
void proxy_arm_match(struct proxy *proxy, enum proxy_fault fault, proxy_match *is_it);

// Delivers the request that was kept, on a connection of its own, whether or not its sender is still there, and waits
// for the server's answer.
void proxy_deliver(struct proxy *proxy);

// Waits until the fault has come to pass (a reply that is swallowed counts once it came); ends the program after half a
// minute.
void proxy_wait(struct proxy *proxy);
bool proxy_happened(struct proxy *proxy); // whether it has; for who has a loop to run meanwhile

#endif
