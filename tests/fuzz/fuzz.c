// fuzz.c: one program with every target.
//
//   fuzz CORPUS [TARGET]                     each file of CORPUS/TARGET/ once
//   fuzz --target=TARGET [of libFuzzer ...]  built with -Dfuzzer=true: new ones, without end
#include "fuzz.h"

#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct fuzz_target targets[] = {
	{"config", fuzz_config},
	{"template", fuzz_template},
	{"lines", fuzz_lines},
	{"formats", fuzz_formats},
	{"file-tail", fuzz_file_tail},
	{"urls", fuzz_urls},
	{"fingerprint", fuzz_fingerprint},
	{"holds", fuzz_holds},
	{"http", fuzz_http},
#ifdef HAVE_KAFKA
	{"kafka-record", fuzz_kafka_record},
#endif
#ifdef HAVE_REDIS
	{"redis", fuzz_redis},
#endif
};
#define TARGET_COUNT (sizeof(targets) / sizeof(*targets))

void fuzz_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: does not hold: %s\n", file, line, what);
	abort();
}

struct meow_bytes fuzz_line(struct meow_bytes *rest)
{
	struct meow_bytes line = *rest;
	const char *line_break = rest->size == 0 ? NULL : memchr(rest->data, '\n', rest->size);
	if (line_break != NULL)
		line.size = (size_t)(line_break - rest->data);
	size_t taken = line.size + (line_break != NULL);
	if (taken > 0) {
		rest->data += taken;
		rest->size -= taken;
	}
	return line;
}

char *fuzz_text(struct meow_bytes bytes)
{
	char *text = bytes.size == 0 ? strdup("") : strndup(bytes.data, bytes.size);
	FUZZ_CHECK(text != NULL);
	return text;
}

int fuzz_file(struct meow_bytes content)
{
	static int fd = -1;
	if (fd < 0)
		fd = memfd_create("fuzz", MFD_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && ftruncate(fd, 0) == 0 && lseek(fd, 0, SEEK_SET) == 0);
	FUZZ_CHECK(content.size == 0 || write(fd, content.data, content.size) == (ssize_t)content.size);
	FUZZ_CHECK(lseek(fd, 0, SEEK_SET) == 0);
	return fd;
}

void fuzz_check_error(const struct meow_error *err)
{
	FUZZ_CHECK(err->kind != MEOW_ERROR_NONE);
	FUZZ_CHECK(err->text[0] != '\0');
	FUZZ_CHECK(strpbrk(err->text, "\r\n") == NULL);
}

// What is configured must not depend on who runs this.
static void prepare_environment(void)
{
	clearenv();
	setenv("NAME", "value", 1);
	setenv("EMPTY", "", 1);
}

#ifdef FUZZER
static const struct fuzz_target *chosen;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static const char flag[] = "--target=";
	for (int i = 1; i < *argc; i++)
		for (size_t j = 0; j < TARGET_COUNT; j++)
			if (strncmp((*argv)[i], flag, sizeof(flag) - 1) == 0 &&
				strcmp((*argv)[i] + sizeof(flag) - 1, targets[j].name) == 0)
				chosen = &targets[j];
	if (chosen == NULL) {
		fprintf(stderr, "fuzz: which --target=NAME?\n");
		exit(64);
	}
	prepare_environment();
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	chosen->run((struct meow_bytes){(const char *)data, size});
	return 0;
}
#else
static void run_file(const struct fuzz_target *target, const char *path)
{
	FILE *file = fopen(path, "rbe");
	FUZZ_CHECK(file != NULL && fseek(file, 0, SEEK_END) == 0);
	long size = ftell(file);
	// To the byte, so that a sanitizer sees who reads beyond.
	char *content = malloc(size > 0 ? (size_t)size : 1);
	rewind(file);
	FUZZ_CHECK(size >= 0 && content != NULL && fread(content, 1, (size_t)size, file) == (size_t)size);
	fclose(file);
	fprintf(stderr, "%s\n", path); // the last one is the one that failed
	target->run((struct meow_bytes){content, (size_t)size});
	free(content);
}

// How many files there were.
static size_t run_folder(const struct fuzz_target *target, const char *corpus)
{
	char folder[1024], path[2048];
	snprintf(folder, sizeof(folder), "%s/%s", corpus, target->name);
	DIR *entries = opendir(folder);
	size_t count = 0;
	for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		run_file(target, path);
		count++;
	}
	if (entries != NULL)
		closedir(entries);
	return count;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		for (size_t i = 0; i < TARGET_COUNT; i++)
			puts(targets[i].name);
		return 0;
	}
	if (argc != 2 && argc != 3)
		return 64;
	bool all = true;
	prepare_environment();
	for (size_t i = 0; i < TARGET_COUNT; i++) {
		if (argc == 3 && strcmp(argv[2], targets[i].name) != 0)
			continue;
		size_t count = run_folder(&targets[i], argv[1]);
		printf("%s: %zu inputs\n", targets[i].name, count);
		all = all && count > 0;
	}
	return all ? 0 : 1;
}
#endif
