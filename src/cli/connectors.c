// connectors.c: the one place that knows all connectors. Those that this build leaves out are known by name, so that a
// configuration that uses one is told so.
#include "cli/cli.h"

#include "connectors/file/file.h"
#ifdef HAVE_KAFKA
#include "connectors/kafka/kafka.h"
#endif
#ifdef HAVE_REDIS
#include "connectors/redis/redis.h"
#endif

static const struct {
	const char *name;
	const struct connector_impl *impl; // NULL: left out
} list[CLI_CONNECTORS] = {
#ifdef HAVE_KAFKA
	{"kafka", &kafka_connector},
#else
	{"kafka", NULL},
#endif
#ifdef HAVE_REDIS
	{"redis", &redis_connector},
#else
	{"redis", NULL},
#endif
	{"file", &file_connector},
};

const struct config_connector *cli_config_connectors(void)
{
	static struct config_connector known[CLI_CONNECTORS];
	for (size_t i = 0; i < CLI_CONNECTORS; i++) {
		const struct connector_impl *impl = list[i].impl;
		known[i] = impl == NULL ? (struct config_connector){.name = list[i].name}
								: (struct config_connector){list[i].name, impl->settings, impl->check, impl->exclusive,
									  impl->divisible, true};
	}
	return known;
}

const struct connector_impl *const *cli_relay_connectors(size_t *ret_count)
{
	static const struct connector_impl *built[CLI_CONNECTORS];
	*ret_count = 0;
	for (size_t i = 0; i < CLI_CONNECTORS; i++)
		if (list[i].impl != NULL)
			built[(*ret_count)++] = list[i].impl;
	return built;
}
