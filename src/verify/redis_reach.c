// redis_reach.c: the url, whose form the configuration check has seen to, and the way to the server:
//
//   redis://[[user]:password@]host[:port][/database]                          rediss:// with TLS
//   redis+sentinel://[[user]:password@]host[:port][,host[:port]...]/master-name[/database]
//
// hiredis is handed an SSL object of our own, because its own is not told which host the certificate must name.
#include "verify/redis_reach.h"

#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#ifdef HAVE_REDIS_TLS
#include <arpa/inet.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#endif

#define CONNECT_SECONDS 10
#define REPLY_SECONDS 60
#define DEFAULT_PORT 6379
#define SENTINEL_PORT 26379

struct address {
	bool tls, sentinel;
	char *user, *password;
	char *hosts; // "host:port,host:port"
	char *path;  // behind the first slash
};

// --- the url

// A copy without its percent escapes, NULL without memory.
static char *decoded(const char *from, size_t size)
{
	char *text = malloc(size + 1), *to = text;
	if (text == NULL)
		return NULL;
	for (size_t i = 0; i < size; i++) {
		unsigned code;
		if (from[i] == '%' && i + 2 < size && sscanf(from + i + 1, "%2x", &code) == 1) {
			*to++ = (char)code;
			i += 2;
		} else {
			*to++ = from[i];
		}
	}
	*to = '\0';
	return text;
}

static bool take_credentials(struct address *address, const char *from, const char *end)
{
	const char *colon = memchr(from, ':', (size_t)(end - from));
	if (colon == NULL)
		return true;
	if (colon > from && (address->user = decoded(from, (size_t)(colon - from))) == NULL)
		return false;
	address->password = decoded(colon + 1, (size_t)(end - colon - 1));
	return address->password != NULL;
}

static bool parse_url(const char *url, struct address *address, struct meow_error *err)
{
	const char *from = strstr(url, "://"), *at;
	*address = (struct address){0};
	if (from == NULL)
		return error_set(err, MEOW_CONFIG, "url: it has no scheme");
	address->tls = strncmp(url, "rediss:", 7) == 0;
	address->sentinel = strncmp(url, "redis+sentinel:", 15) == 0;
	from += 3;
	at = strrchr(from, '@');
	if (at != NULL && !take_credentials(address, from, at))
		return error_no_memory(err);
	from = at != NULL ? at + 1 : from;
	size_t size = strcspn(from, "/");
	address->hosts = strndup(from, size);
	address->path = from[size] == '/' ? decoded(from + size + 1, strlen(from + size + 1)) : strdup("");
	return (address->hosts != NULL && address->path != NULL) || error_no_memory(err);
}

static void address_finish(struct address *address)
{
	free(address->user);
	free(address->password);
	free(address->hosts);
	free(address->path);
}

// 0 if it is none.
static int port_of(struct meow_bytes text)
{
	int64_t port;
	return text_to_int64(text, &port) && port > 0 && port <= UINT16_MAX ? (int)port : 0;
}

// "host", "host:port" or "[::1]:port". The host is a copy, NULL without memory.
static char *split_host(const char *from, size_t size, int *port)
{
	const char *close = *from == '[' ? memchr(from, ']', size) : NULL;
	const char *colon = close != NULL ? close + 1 : memrchr(from, ':', size);
	if (colon != NULL && colon < from + size && *colon == ':')
		*port = port_of((struct meow_bytes){colon + 1, (size_t)(from + size - colon - 1)});
	if (close != NULL)
		return decoded(from + 1, (size_t)(close - from - 1));
	return decoded(from, colon != NULL ? (size_t)(colon - from) : size);
}

// --- one connection

bool redis_reach_refused(const char *place, const char *doing, const redisReply *reply, struct meow_error *err)
{
	const char *text = reply->type == REDIS_REPLY_ERROR ? reply->str : "an answer that was not understood";
	static const struct {
		const char *begin;
		enum meow_error_kind kind;
	} known[] = {{"WRONGTYPE", MEOW_CONFIG}, {"NOAUTH", MEOW_DENIED}, {"WRONGPASS", MEOW_DENIED},
		{"NOPERM", MEOW_DENIED}, {"ERR AUTH", MEOW_DENIED}, {"ERR invalid password", MEOW_DENIED}};
	enum meow_error_kind kind = MEOW_UNAVAILABLE;
	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strncmp(text, known[i].begin, strlen(known[i].begin)) == 0)
			kind = known[i].kind;
	return error_set(err, kind, "Redis at %s: %s: %s", place, doing, text);
}

static bool lost(const redisContext *context, const char *place, struct meow_error *err)
{
	return error_set(
		err, MEOW_UNAVAILABLE, "Redis at %s: %s", place, context->errstr[0] != '\0' ? context->errstr : "no answer");
}

// The reply, NULL with err for an error.
static redisReply *ask(redisContext *context, const char *place, int count, const char **words, struct meow_error *err)
{
	redisReply *reply = redisCommandArgv(context, count, words, NULL);
	if (reply == NULL) {
		lost(context, place, err);
	} else if (reply->type == REDIS_REPLY_ERROR) {
		redis_reach_refused(place, words[0], reply, err);
		freeReplyObject(reply);
		reply = NULL;
	}
	return reply;
}

static bool log_in(
	redisContext *context, const char *place, const char *user, const char *password, struct meow_error *err)
{
	const char *words[] = {"AUTH", user == NULL ? password : user, password};
	if (password == NULL)
		return true;
	redisReply *reply = ask(context, place, user == NULL ? 2 : 3, words, err);
	if (reply != NULL)
		freeReplyObject(reply);
	return reply != NULL;
}

// NULL: nobody is there.
static redisContext *connect_to(const char *host, int port, const char *place, struct meow_error *err)
{
	redisContext *context = redisConnectWithTimeout(host, port, (struct timeval){CONNECT_SECONDS, 0});
	if (context == NULL) {
		error_no_memory(err);
		return NULL;
	}
	if (context->err == 0 && redisSetTimeout(context, (struct timeval){REPLY_SECONDS, 0}) == REDIS_OK)
		return context;
	lost(context, place, err);
	redisFree(context);
	return NULL;
}

#ifdef HAVE_REDIS_TLS
static const char *tls_reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text == NULL ? "no reason is given" : text;
}

static SSL_CTX *tls_context(const struct config_section *settings, struct meow_error *err)
{
	const char *authority = config_text(settings, "tls_ca"), *certificate = config_text(settings, "tls_cert");
	const char *key = config_text(settings, "tls_key");
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	if (context == NULL) {
		error_no_memory(err);
		return NULL;
	}
	ERR_clear_error();
	SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
	SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
	int trusted = authority != NULL ? SSL_CTX_load_verify_locations(context, authority, NULL)
									: SSL_CTX_set_default_verify_paths(context);
	if (trusted == 1 && (certificate == NULL || SSL_CTX_use_certificate_chain_file(context, certificate) == 1) &&
		(key == NULL || SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1))
		return context;
	error_set(err, MEOW_CONFIG, "TLS: tls_ca, tls_cert or tls_key cannot be used: %s", tls_reason());
	SSL_CTX_free(context);
	return NULL;
}

// The certificate must be this host's.
static bool expect_host(SSL *session, const char *host)
{
	struct in6_addr address;
	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1;
	// SSL_set_tlsext_host_name, whose cast clang does not bear: it copies the name.
	return SSL_set1_host(session, host) == 1 &&
		   SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host) == 1;
}

static bool speak_tls(redisContext *connection, const struct config_section *settings, const char *host,
	const char *place, struct meow_error *err)
{
	SSL_CTX *context = tls_context(settings, err);
	if (context == NULL)
		return false;
	SSL *session = SSL_new(context); // which keeps the context alive
	SSL_CTX_free(context);
	if (session == NULL)
		return error_no_memory(err);
	if (expect_host(session, host) && redisInitiateSSL(connection, session) == REDIS_OK)
		return true; // the session is the connection's now
	long verified = SSL_get_verify_result(session);
	return error_set(err, MEOW_UNAVAILABLE, "Redis at %s: TLS: %s", place,
		verified != X509_V_OK ? X509_verify_cert_error_string(verified) : connection->errstr);
}
#else
static bool speak_tls(redisContext *connection, const struct config_section *settings, const char *host,
	const char *place, struct meow_error *err)
{
	(void)connection, (void)settings, (void)host;
	return error_set(err, MEOW_CONFIG, "Redis at %s: this build has no TLS for Redis", place);
}
#endif

// --- the way

// Where the master is that a Sentinel names: a copy of its host, NULL with err.
static char *ask_sentinel(const struct config_section *settings, const char *host, int port, const char *master,
	int *ret_port, struct meow_error *err)
{
	char place[300], *found = NULL;
	snprintf(place, sizeof(place), "%s:%d", host, port);
	redisContext *context = connect_to(host, port, place, err);
	if (context == NULL)
		return NULL;
	const char *words[] = {"SENTINEL", "GET-MASTER-ADDR-BY-NAME", master};
	redisReply *reply =
		log_in(context, place, config_text(settings, "sentinel_user"), config_text(settings, "sentinel_password"), err)
			? ask(context, place, 3, words, err)
			: NULL;
	bool known = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
	if (known)
		*ret_port = port_of((struct meow_bytes){reply->element[1]->str, reply->element[1]->len});
	if (known && *ret_port > 0) {
		found = strdup(reply->element[0]->str);
	} else if (reply != NULL) {
		error_set(err, MEOW_UNAVAILABLE, "Sentinel at %s does not know the master \"%s\"", place, master);
	}
	if (reply != NULL)
		freeReplyObject(reply);
	redisFree(context);
	return found;
}

// The first Sentinel that knows decides.
static char *find_master(
	const struct config_section *settings, const struct address *address, int *ret_port, struct meow_error *err)
{
	char *master = strndup(address->path, strcspn(address->path, "/")), *found = NULL;
	if (master == NULL) {
		error_no_memory(err);
		return NULL;
	}
	for (const char *at = address->hosts; found == NULL && *at != '\0';) {
		size_t size = strcspn(at, ",");
		int port = SENTINEL_PORT;
		char *host = split_host(at, size, &port);
		if (host == NULL)
			error_no_memory(err);
		else
			found = ask_sentinel(settings, host, port, master, ret_port, err);
		free(host);
		at += at[size] == ',' ? size + 1 : size;
	}
	free(master);
	return found;
}

static bool greet(redisContext *context, const struct address *address, const char *place, struct meow_error *err)
{
	const char *slash = strchr(address->path, '/');
	const char *database = !address->sentinel ? address->path : slash == NULL ? "" : slash + 1;
	const char *words[] = {"SELECT", *database == '\0' ? "0" : database};
	if (!log_in(context, place, address->user, address->password, err))
		return false;
	redisReply *reply = ask(context, place, 2, words, err);
	if (reply != NULL)
		freeReplyObject(reply);
	return reply != NULL;
}

static redisContext *reach(
	const struct config_section *settings, const struct address *address, char **ret_place, struct meow_error *err)
{
	int port = DEFAULT_PORT;
	char *place = NULL;
	char *host = address->sentinel ? find_master(settings, address, &port, err)
								   : split_host(address->hosts, strlen(address->hosts), &port);
	if (host == NULL || asprintf(&place, "%s:%d", host, port) < 0) {
		if (host != NULL || !address->sentinel)
			error_no_memory(err);
		free(host);
		return NULL;
	}
	redisContext *context = connect_to(host, port, place, err);
	if (context != NULL &&
		((address->tls && !speak_tls(context, settings, host, place, err)) || !greet(context, address, place, err))) {
		redisFree(context);
		context = NULL;
	}
	free(host);
	if (context != NULL)
		*ret_place = place;
	else
		free(place);
	return context;
}

redisContext *redis_reach(const struct config_section *settings, char **ret_place, struct meow_error *err)
{
	struct address address;
	redisContext *context = NULL;
	if (parse_url(config_text(settings, "url"), &address, err))
		context = reach(settings, &address, ret_place, err);
	address_finish(&address);
	return context;
}
