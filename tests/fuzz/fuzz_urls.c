// URLs of stores and of Redis. A password is the text SeCrEt7: wherever libpq or the Redis connector would take it out of
// the text, nothing that is shown may hold it.
#include "fuzz.h"

#include "base/text.h"
#include "config/config.h"
#include "store/store.h"
#ifdef HAVE_REDIS
#include "connectors/redis/redis_url.h"
#endif

#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#define PASSWORD "SeCrEt7"

static bool has_password(const char *text)
{
	return text != NULL && strstr(text, PASSWORD) != NULL;
}

static bool libpq_has_password(const char *url)
{
	PQconninfoOption *options = PQconninfoParse(url, NULL);
	bool found = false;
	for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++)
		found |= strstr(option->keyword, "password") != NULL && has_password(option->val);
	PQconninfoFree(options);
	return found;
}

// Whether anything but the password says it, too, which the check could not tell from it.
static bool is_there_once(const char *url)
{
	const char *first = strstr(url, PASSWORD);
	return first != NULL && strstr(first + 1, PASSWORD) == NULL;
}

static void check_redacted(const char *url, bool secret)
{
	struct buffer shown;
	buffer_init(&shown);
	config_redact_url(url, &shown);
	FUZZ_CHECK(!secret || !has_password(shown.data));
	buffer_finish(&shown);
}

// libpq names parameters that it does not know.
static bool is_of_a_name(const char *text)
{
	return strstr(text, "invalid connection option") != NULL || strstr(text, "invalid URI query parameter") != NULL;
}

static void check_store(const char *url)
{
	struct session_source source;
	struct meow_error err;
	if (store_source_init(&source, url, &err)) {
		store_source_finish(&source);
	} else {
		fuzz_check_error(&err);
		FUZZ_CHECK(!has_password(err.text) || is_of_a_name(err.text));
	}
}

#ifdef HAVE_REDIS
static void put_encoded(struct buffer *out, const char *text)
{
	for (; text != NULL && *text != '\0'; text++)
		buffer_printf(out, "%%%02x", (unsigned)(unsigned char)*text);
}

// Written anew, each character as an escape.
static void put_redis_url(struct buffer *out, const struct redis_url *url)
{
	buffer_printf(out, "redis%s%s://", url->tls ? "s" : "", url->master != NULL ? "+sentinel" : "");
	if (url->user != NULL || url->password != NULL) {
		put_encoded(out, url->user);
		buffer_put_char(out, ':');
		put_encoded(out, url->password);
		buffer_put_char(out, '@');
	}
	for (size_t i = 0; i < url->host_count; i++) {
		buffer_put_text(out, i > 0 ? "," : "");
		put_encoded(out, url->hosts[i].name);
		buffer_printf(out, ":%d", url->hosts[i].port);
	}
	if (url->master != NULL) {
		buffer_put_char(out, '/');
		put_encoded(out, url->master);
	}
	buffer_printf(out, "/%d", url->database);
}

static bool same_text(const char *a, const char *b)
{
	return bytes_equal(bytes_of(a), bytes_of(b));
}

static void check_redis_again(const struct redis_url *url)
{
	struct buffer text;
	struct redis_url again;
	struct meow_error err;
	buffer_init(&text);
	put_redis_url(&text, url);
	FUZZ_CHECK(redis_url_parse(text.data, &again, &err));
	FUZZ_CHECK(same_text(again.user, url->user) && same_text(again.password, url->password));
	FUZZ_CHECK(same_text(again.place, url->place) && same_text(again.master, url->master));
	FUZZ_CHECK(again.host_count == url->host_count && again.database == url->database && again.tls == url->tls);
	redis_url_finish(&again);
	buffer_finish(&text);
}

static bool check_redis(const char *text)
{
	struct redis_url url;
	struct meow_error err;
	if (!redis_url_parse(text, &url, &err)) {
		fuzz_check_error(&err);
		FUZZ_CHECK(!has_password(err.text));
		return false;
	}
	bool secret = has_password(url.password);
	check_redis_again(&url);
	redis_url_finish(&url);
	return secret;
}
#else
static bool check_redis(const char *text)
{
	(void)text;
	return false;
}
#endif

void fuzz_urls(struct meow_bytes input)
{
	char *url = fuzz_text(fuzz_line(&input));
	bool secret = check_redis(url);
	check_store(url);
	check_redacted(url, is_there_once(url) && (secret || libpq_has_password(url)));
	free(url);
}
