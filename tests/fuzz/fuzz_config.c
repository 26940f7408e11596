// A configuration file: it loads or says why, and what `config show` prints of it loads again and is shown the same.
#include "fuzz.h"

#include "base/text.h"
#include "cli/cli.h"
#include "config/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/meowmx-fuzz-XXXXXX";
static char file[sizeof(folder) + 32], secret[sizeof(folder) + 32];

static void remove_folder(void)
{
	unlink(file);
	unlink(secret);
	rmdir(folder);
}

// The file is one in memory, but has a folder for ${file:...} to look in.
static void make_folder(int fd)
{
	char target[32];
	if (file[0] != '\0')
		return;
	FUZZ_CHECK(mkdtemp(folder) != NULL);
	snprintf(file, sizeof(file), "%s/meowmx.yaml", folder);
	snprintf(secret, sizeof(secret), "%s/secret", folder);
	snprintf(target, sizeof(target), "/proc/self/fd/%d", fd);
	FUZZ_CHECK(symlink(target, file) == 0);
	FILE *out = fopen(secret, "we");
	FUZZ_CHECK(out != NULL && fputs("from-a-file\n", out) >= 0 && fclose(out) == 0);
	atexit(remove_folder);
}

static void count_line(void *arg, const char *line)
{
	size_t *count = arg;
	FUZZ_CHECK(line[0] != '\0' && strchr(line, '\n') == NULL);
	++*count;
}

static struct config *load(struct meow_bytes content, struct meow_error *err)
{
	size_t lines = 0;
	make_folder(fuzz_file(content));
	const struct config_request request = {
		.file = file, .connectors = cli_config_connectors(), .connector_count = CLI_CONNECTORS};
	struct config *config = config_load(&request, count_line, &lines, err);
	FUZZ_CHECK((config == NULL) == (lines > 0));
	if (config == NULL)
		fuzz_check_error(err);
	return config;
}

static void show(const struct config *config, struct buffer *out)
{
	buffer_init(out);
	config_show(config, true, out); // the places of the values are other ones the second time
	buffer_clear(out, SIZE_MAX);
	config_show(config, false, out);
	FUZZ_CHECK(!out->failed);
}

// Nothing outside of the folder is read, nor is a plug-in of librdkafka's loaded.
static bool reaches_out(struct meow_bytes input)
{
	const char *at = memmem(input.data, input.size, "${file:", 7);
	return (at != NULL && memchr(at, '/', (size_t)(input.data + input.size - at)) != NULL) ||
		   memmem(input.data, input.size, "plugin", 6) != NULL;
}

void fuzz_config(struct meow_bytes input)
{
	struct meow_error err;
	struct buffer first, second;
	if (reaches_out(input))
		return;
	struct config *config = load(input, &err);
	if (config == NULL)
		return;
	show(config, &first);
	config_destroy(config);
	struct meow_bytes shown = {first.data, first.size};
	if (shown.size > 0 && memmem(shown.data, shown.size, "***", 3) == NULL) {
		config = load(shown, &err);
		if (config == NULL)
			fprintf(stderr, "%s\n%.*s", err.text, (int)shown.size, shown.data);
		FUZZ_CHECK(config != NULL);
		show(config, &second);
		FUZZ_CHECK(bytes_equal(shown, (struct meow_bytes){second.data, second.size}));
		buffer_finish(&second);
		config_destroy(config);
	}
	buffer_finish(&first);
}
