// route_aside.h: what route_aside.c (dead letters) and route_retry.c (which of them are published again) have in common.
#ifndef RELAY_ROUTE_ASIDE_H
#define RELAY_ROUTE_ASIDE_H

#include "relay/route_private.h"

// At the start of every answer: the route, or NULL if it does not run any more, or the answer is a failure, which is then
// dealt with. of_owner: a conflict means that the partition has another owner.
struct route *route_aside_answered(void *arg, const struct meow_error *err, bool of_owner);

struct session_letters route_aside_letters(const struct route *route, const char *json); // borrows the text
void route_aside_publish(struct route *route);                                           // the first batch that waits
void route_aside_go_on(struct route *route); // deals with the batches that wait, until one has to wait for the store

// Asks the store for the first retry within the batch, and cuts the batch where there is one.
void route_retry_look(struct route *route, struct batch *batch);

// The events of the batch from index on, as a batch behind it. NULL without memory.
MEOW_MUST_USE struct batch *route_retry_split(struct batch *batch, size_t index);

// Publishes the first batch, which is one event in its place. True: it has to wait.
MEOW_MUST_USE bool route_retry(struct route *route, struct batch *batch);

#endif
