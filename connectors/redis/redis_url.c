// redis_url.c: see redis_url.h. What is not understood is refused: a part that was silently ignored could be the one that
// matters (a query that asks for TLS, a second path). No message quotes the url: any part of a mistyped one may be the
// password.
#include "connectors/redis/redis_url.h"

#include "base/text.h"
#include "connectors/redis/redis_tls.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_PORT 6379
#define DEFAULT_SENTINEL_PORT 26379

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

// One "host[:port]" of the list.
static bool take_host(struct meow_bytes from, int port_unsaid, struct redis_host *ret_host, struct meow_error *err)
{
	struct meow_bytes host = from, port = {0};
	const char *close = from.size > 0 && from.data[0] == '[' ? memchr(from.data, ']', from.size) : NULL;
	const char *rest = close != NULL ? close + 1 : memrchr(from.data, ':', from.size);
	const char *end = from.data + from.size;
	ret_host->port = port_unsaid;
	if (close != NULL)
		host = (struct meow_bytes){from.data + 1, (size_t)(close - from.data - 1)};
	else if (rest != NULL)
		host.size = (size_t)(rest - from.data);
	if (rest != NULL && rest < end)
		port = (struct meow_bytes){rest + 1, (size_t)(end - rest - 1)};
	if (rest != NULL && rest < end &&
		(*rest != ':' || !take_number(port, 65535, &ret_host->port) || ret_host->port == 0))
		return error_set(
			err, MEOW_CONFIG, "the url has a port that is none: write host:port, with a number up to 65535");
	if (close == NULL && host.size > 0 && (host.data[0] == '[' || memchr(host.data, ':', host.size) != NULL))
		return error_set(err, MEOW_CONFIG, "the url has an IPv6 address without its brackets: write [::1]:6379");
	if (host.size == 0)
		return error_set(err, MEOW_CONFIG, "the url has no host: write redis://host:port/0");
	if (memchr(host.data, ',', host.size) != NULL)
		return error_set(err, MEOW_CONFIG, "the url has several hosts, which only redis+sentinel:// takes");
	return decode(host, &ret_host->name, "host", err);
}

static int compare_hosts(const void *a, const void *b)
{
	const struct redis_host *first = a, *second = b;
	int names = strcmp(first->name, second->name);
	return names != 0 ? names : first->port - second->port;
}

// The order of Sentinels means nothing: sorted, two urls that name the same ones have the same place.
static bool take_hosts(struct meow_bytes from, struct redis_url *url, struct meow_error *err)
{
	const char *comma;
	if (url->master == NULL) {
		url->host_count = 1;
		return take_host(from, DEFAULT_PORT, &url->hosts[0], err);
	}
	do {
		struct meow_bytes piece = from;
		comma = memchr(from.data, ',', from.size);
		if (comma != NULL)
			piece.size = (size_t)(comma - from.data);
		if (url->host_count == REDIS_HOSTS_MOST)
			return error_set(err, MEOW_CONFIG, "the url names more than %d Sentinels", REDIS_HOSTS_MOST);
		if (!take_host(piece, DEFAULT_SENTINEL_PORT, &url->hosts[url->host_count++], err))
			return false;
		if (comma != NULL)
			from = (struct meow_bytes){comma + 1, from.size - piece.size - 1};
	} while (comma != NULL);
	qsort(url->hosts, url->host_count, sizeof(*url->hosts), compare_hosts);
	return true;
}

void redis_put_place(struct buffer *buffer, const struct redis_host *host)
{
	buffer_printf(buffer, strchr(host->name, ':') != NULL ? "[%s]:%d" : "%s:%d", host->name, host->port);
}

static bool make_place(struct redis_url *url, struct meow_error *err)
{
	struct buffer place;
	buffer_init(&place);
	for (size_t i = 0; i < url->host_count; i++) {
		if (i > 0)
			buffer_put_char(&place, ',');
		redis_put_place(&place, &url->hosts[i]);
	}
	if (url->master != NULL)
		buffer_printf(&place, "/%s", url->master);
	bool ok = buffer_ok(&place, err);
	url->place = ok ? strdup(place.data) : NULL;
	buffer_finish(&place);
	return ok && (url->place != NULL || error_no_memory(err));
}

// What stands behind the hosts: the master's name for Sentinel, and the database.
static bool take_path(struct meow_bytes path, bool sentinel, struct redis_url *url, struct meow_error *err)
{
	if (sentinel) {
		const char *slash = path.size > 0 ? memchr(path.data, '/', path.size) : NULL;
		struct meow_bytes name = {path.data, slash != NULL ? (size_t)(slash - path.data) : path.size};
		if (name.size == 0)
			return error_set(
				err, MEOW_CONFIG, "the url names no master: write redis+sentinel://host:port,host:port/master-name/0");
		if (!decode(name, &url->master, "master's name", err))
			return false;
		path = slash != NULL ? (struct meow_bytes){slash + 1, path.size - name.size - 1} : (struct meow_bytes){0};
	}
	if (path.size > 0 && !take_number(path, 1000000, &url->database))
		return error_set(err, MEOW_CONFIG, "the url names a database that is no number: write %s/0",
			sentinel ? "host:port/master-name" : "host:port");
	return true;
}

static bool take_all(struct meow_bytes rest, bool sentinel, struct redis_url *url, struct meow_error *err)
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
	struct meow_bytes path = {0};
	if (slash != NULL)
		path = (struct meow_bytes){slash + 1, rest.size - size - 1};
	return take_path(path, sentinel, url, err) && take_hosts((struct meow_bytes){rest.data, size}, url, err) &&
		   make_place(url, err);
}

bool redis_url_parse(const char *text, struct redis_url *ret_url, struct meow_error *err)
{
	static const struct {
		const char *scheme;
		bool sentinel, tls;
	} schemes[] = {{"redis://", false, false}, {"rediss://", false, true}, {"redis+sentinel://", true, false},
		{"rediss+sentinel://", true, true}};
	struct redis_url url = {0};
	for (size_t i = 0; i < sizeof(schemes) / sizeof(*schemes); i++) {
		size_t size = strlen(schemes[i].scheme);
		if (strncmp(text, schemes[i].scheme, size) != 0)
			continue;
		url.tls = schemes[i].tls;
		if (url.tls && !redis_tls_is_built())
			return error_set(err, MEOW_CONFIG,
				"rediss:// needs TLS, which this build cannot do with Redis (hiredis older than 1.0, or without its "
				"TLS): put a TLS proxy beside it, such as stunnel, and name that with redis://");
		if (take_all(bytes_of(text + size), schemes[i].sentinel, &url, err)) {
			*ret_url = url;
			return true;
		}
		redis_url_finish(&url);
		return false;
	}
	return error_set(
		err, MEOW_CONFIG, "the url must begin with redis://, rediss:// (TLS) or redis+sentinel:// (Sentinel)");
}

void redis_url_finish(struct redis_url *url)
{
	for (size_t i = 0; i < url->host_count; i++)
		free(url->hosts[i].name);
	free(url->master);
	free(url->user);
	free(url->password);
	free(url->place);
	*url = (struct redis_url){0};
}
