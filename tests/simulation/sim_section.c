// The settings of the real connectors, as they stand in a configuration, read once by the real loader.
#include "sim_sink.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTIONS_MOST 4

static struct {
	const char *yaml;
	struct config *config;
} sections[SECTIONS_MOST];

static struct config *load(const struct connector_impl *connector, const char *yaml)
{
	char path[40];
	struct meow_error err;
	int fd = memfd_create("section", 0);
	if (fd < 0)
		abort();
	dprintf(
		fd, "store:\n  url: postgresql://127.0.0.1/none\nroutes:\n  sim:\n    %s:\n      %s", connector->name, yaml);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	const struct config_connector known = {
		connector->name, connector->settings, connector->check, connector->exclusive, connector->divisible, true};
	const struct config_request request = {.file = path, .connectors = &known, .connector_count = 1};
	struct config *config = config_load(&request, NULL, NULL, &err);
	close(fd);
	if (!config) {
		fprintf(stderr, "%s\n", err.text);
		exit(70);
	}
	return config;
}

const struct config_section *sim_section(const struct connector_impl *connector, const char *yaml)
{
	size_t i = 0;
	while (i < SECTIONS_MOST && sections[i].yaml && sections[i].yaml != yaml)
		i++;
	if (i == SECTIONS_MOST)
		abort();
	if (!sections[i].yaml) {
		sections[i].yaml = yaml;
		sections[i].config = load(connector, yaml);
	}
	return config_route(sections[i].config, 0)->sink;
}

void sim_sections_free(void)
{
	for (size_t i = 0; i < SECTIONS_MOST; i++)
		config_destroy(sections[i].config);
}
