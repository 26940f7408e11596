// redis_info.h: the reply to INFO, lines of "name:value".
#ifndef CONNECTORS_REDIS_REDIS_INFO_H
#define CONNECTORS_REDIS_REDIS_INFO_H

#include "base/error.h"

// The value of this name, absent if there is none.
struct meow_bytes redis_info_value(struct meow_bytes info, const char *name);

// Whether redis_version is below major.minor. False if it is not there.
bool redis_info_is_older(struct meow_bytes info, int major, int minor);

#endif
