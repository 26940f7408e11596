// loop_event.h: inside src/loop: the event_base behind a loop, for the HTTP server.
#ifndef LOOP_LOOP_EVENT_H
#define LOOP_LOOP_EVENT_H

#include "loop/loop.h"

struct event_base;

struct event_base *loop_event_base(struct loop *loop);

#endif
