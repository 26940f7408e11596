// log.c: see log.h. A line is built whole and written by one call, so lines of several threads never mix.
#include "base/log.h"
#include "base/text.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int least_level = LOG_INFO;
static _Atomic int line_format = LOG_LOGFMT;

void log_setup(enum log_level least, enum log_format format)
{
	least_level = (int)least;
	line_format = (int)format;
}

static const char *const level_names[] = {"debug", "info", "warn", "error"};

// A value that needs no quotes in logfmt.
static bool plain(const char *text)
{
	if (*text == '\0')
		return false;
	for (; *text != '\0'; text++)
		if ((unsigned char)*text <= ' ' || *text == '"' || *text == '=' || *text == '\\' || *text == 0x7F)
			return false;
	return true;
}

static void put_text(struct buffer *line, bool json, const char *key, const char *text)
{
	if (json) {
		buffer_put_text(line, line->size == 0 ? "{" : ",");
		buffer_put_json(line, bytes_of(key));
		buffer_put_char(line, ':');
		buffer_put_json(line, bytes_of(text));
		return;
	}
	if (line->size > 0)
		buffer_put_char(line, ' ');
	buffer_put_text(line, key);
	buffer_put_char(line, '=');
	if (plain(text))
		buffer_put_text(line, text);
	else
		buffer_put_json(line, bytes_of(text));
}

static void put_number(struct buffer *line, bool json, const char *key, int64_t number)
{
	if (json) {
		buffer_put_char(line, ',');
		buffer_put_json(line, bytes_of(key));
		buffer_put_char(line, ':');
	} else {
		buffer_put_char(line, ' ');
		buffer_put_text(line, key);
		buffer_put_char(line, '=');
	}
	buffer_put_int(line, number);
}

void log_write(enum log_level level, const char *message, const struct log_field *fields, size_t count)
{
	if ((int)level < least_level)
		return;
	bool json = line_format == LOG_JSON;
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	char time[TEXT_TIME_SIZE];
	text_time((int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, time);

	struct buffer line;
	buffer_init(&line);
	put_text(&line, json, "ts", time);
	put_text(&line, json, "level", level_names[level]);
	put_text(&line, json, "msg", message);
	for (size_t i = 0; i < count; i++) {
		if (fields[i].key == NULL)
			continue;
		if (fields[i].text != NULL)
			put_text(&line, json, fields[i].key, fields[i].text);
		else
			put_number(&line, json, fields[i].key, fields[i].number);
	}
	buffer_put_text(&line, json ? "}\n" : "\n");
	// Without memory for the line what happened is said all the same. A log that cannot be written must not stop the work, so
	// a failure here has nowhere to go.
	if ((line.failed ? dprintf(STDERR_FILENO, "%s\n", message) : write(STDERR_FILENO, line.data, line.size)) < 0)
		line.failed = true;
	buffer_finish(&line);
}
