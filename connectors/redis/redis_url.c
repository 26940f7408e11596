// redis_url.c: see redis_url.h. What is not understood is refused: a part that was silently ignored could be the one that
// matters (a query that asks for TLS, a second path). No message quotes the url: any part of a mistyped one may be the
// password.
#include "connectors/redis/redis_url.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCHEME "redis://"
#define SCHEME_TLS "rediss://"
#define DEFAULT_PORT 6379

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

// A decoded copy; *ret_text stays NULL for no text. False without memory or with a broken escape.
static bool decode(struct meow_bytes from, char **ret_text, const char *what, struct meow_error *err)
{
	if (from.size == 0)
		return true;
	char *text = malloc(from.size + 1), *to = text;
	if (text == NULL)
		return error_no_memory(err);
	for (size_t i = 0; i < from.size; i++) {
		int high = from.data[i] == '%' && i + 2 < from.size ? hex_digit(from.data[i + 1]) : -1;
		int low = high >= 0 ? hex_digit(from.data[i + 2]) : -1;
		if (from.data[i] != '%') {
			*to++ = from.data[i];
		} else if (low >= 0 && (high | low) != 0) {
			*to++ = (char)(high << 4 | low);
			i += 2;
		} else {
			free(text);
			return error_set(err, MEOW_CONFIG,
				"the %s in the url has a \"%%\" that is no escape: write \"%%25\" for a "
				"percent sign",
				what);
		}
	}
	*to = '\0';
	*ret_text = text;
	return true;
}

static bool take_number(struct meow_bytes from, int most, int *ret_number)
{
	int64_t number;
	if (!text_to_int64(from, &number) || number < 0 || number > most)
		return false;
	*ret_number = (int)number;
	return true;
}

static bool take_credentials(struct meow_bytes from, struct redis_url *url, struct meow_error *err)
{
	const char *colon = memchr(from.data, ':', from.size);
	if (colon == NULL)
		return error_set(err, MEOW_CONFIG, "the url has a user without a password: write \"user:password@\"");
	size_t size = (size_t)(colon - from.data);
	return decode((struct meow_bytes){from.data, size}, &url->user, "user", err) &&
		   decode((struct meow_bytes){colon + 1, from.size - size - 1}, &url->password, "password", err);
}

static bool take_place(struct meow_bytes from, struct redis_url *url, struct meow_error *err)
{
	struct meow_bytes host = from, port = {0};
	const char *close = from.size > 0 && from.data[0] == '[' ? memchr(from.data, ']', from.size) : NULL;
	const char *rest = close != NULL ? close + 1 : memrchr(from.data, ':', from.size);
	const char *end = from.data + from.size;
	if (close != NULL)
		host = (struct meow_bytes){from.data + 1, (size_t)(close - from.data - 1)};
	else if (rest != NULL)
		host.size = (size_t)(rest - from.data);
	if (rest != NULL && rest < end)
		port = (struct meow_bytes){rest + 1, (size_t)(end - rest - 1)};
	if (rest != NULL && rest < end && (*rest != ':' || !take_number(port, 65535, &url->port) || url->port == 0))
		return error_set(
			err, MEOW_CONFIG, "the url has a port that is none: write host:port, with a number up to 65535");
	if (close == NULL && host.size > 0 && (host.data[0] == '[' || memchr(host.data, ':', host.size) != NULL))
		return error_set(err, MEOW_CONFIG, "the url has an IPv6 address without its brackets: write [::1]:6379");
	if (host.size == 0)
		return error_set(err, MEOW_CONFIG, "the url has no host: write redis://host:port/0");
	return decode(host, &url->host, "host", err);
}

static bool take_all(struct meow_bytes rest, struct redis_url *url, struct meow_error *err)
{
	if (memchr(rest.data, '?', rest.size) != NULL || memchr(rest.data, '#', rest.size) != NULL)
		return error_set(err, MEOW_CONFIG,
			"the url has something behind \"?\" or \"#\", which is not understood: write "
			"redis://user:password@host:port/database, with \"%%3F\" and \"%%23\" for these characters themselves");
	const char *at = memrchr(rest.data, '@', rest.size);
	if (at != NULL) {
		size_t size = (size_t)(at - rest.data);
		if (!take_credentials((struct meow_bytes){rest.data, size}, url, err))
			return false;
		rest = (struct meow_bytes){at + 1, rest.size - size - 1};
	}
	const char *slash = memchr(rest.data, '/', rest.size);
	size_t size = slash != NULL ? (size_t)(slash - rest.data) : rest.size;
	if (slash != NULL && size + 1 < rest.size &&
		!take_number((struct meow_bytes){slash + 1, rest.size - size - 1}, 1000000, &url->database))
		return error_set(err, MEOW_CONFIG, "the url names a database that is no number: write host:port/0");
	if (!take_place((struct meow_bytes){rest.data, size}, url, err))
		return false;
	if (asprintf(&url->place, url->host != NULL && strchr(url->host, ':') != NULL ? "[%s]:%d" : "%s:%d", url->host,
			url->port) < 0) {
		url->place = NULL;
		return error_no_memory(err);
	}
	return true;
}

bool redis_url_parse(const char *text, struct redis_url *ret_url, struct meow_error *err)
{
	if (strncmp(text, SCHEME_TLS, sizeof(SCHEME_TLS) - 1) == 0)
		return error_set(err, MEOW_CONFIG,
			"rediss:// needs TLS, which this build cannot do with Redis: put a TLS proxy "
			"beside it, such as stunnel, and name that with redis://");
	if (strncmp(text, SCHEME, sizeof(SCHEME) - 1) != 0)
		return error_set(err, MEOW_CONFIG, "the url must begin with redis://");
	struct redis_url url = {.port = DEFAULT_PORT};
	if (!take_all(bytes_of(text + sizeof(SCHEME) - 1), &url, err)) {
		redis_url_finish(&url);
		return false;
	}
	*ret_url = url;
	return true;
}

void redis_url_finish(struct redis_url *url)
{
	free(url->host);
	free(url->user);
	free(url->password);
	free(url->place);
	*url = (struct redis_url){0};
}
