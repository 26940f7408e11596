// version.c: the library's version, from the build.
#include "meowmx.h"

const char *meow_library_version(void)
{
	return MEOWMX_VERSION;
}
