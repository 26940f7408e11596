// redis_tls.c: see redis_tls.h. hiredis is handed an SSL object of our own instead of making one, because its own is not
// told which host the certificate must name and knows nothing of the system's authorities.
#include "connectors/redis/redis_tls.h"

#include <arpa/inet.h>
#include <stdlib.h>

#ifdef HAVE_REDIS_TLS

#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

struct tls {
	SSL_CTX *context;
};

bool redis_tls_is_built(void)
{
	return true;
}

static const char *reason(void)
{
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	return text == NULL ? "no reason is given" : text;
}

static bool fail_file(struct meow_error *err, const char *setting, const char *path)
{
	return error_set(err, MEOW_CONFIG, "%s: \"%s\" cannot be used: %s", setting, path, reason());
}

static bool load(
	SSL_CTX *context, const char *authority, const char *certificate, const char *key, struct meow_error *err)
{
	ERR_clear_error();
	if (authority != NULL && SSL_CTX_load_verify_locations(context, authority, NULL) != 1)
		return fail_file(err, "tls_ca", authority);
	if (authority == NULL && SSL_CTX_set_default_verify_paths(context) != 1)
		return error_set(err, MEOW_CONFIG, "tls_ca: the system's authorities cannot be loaded: %s", reason());
	if (certificate != NULL && SSL_CTX_use_certificate_chain_file(context, certificate) != 1)
		return fail_file(err, "tls_cert", certificate);
	if (key != NULL && SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
		return fail_file(err, "tls_key", key);
	return true;
}

struct tls *tls_create(const char *authority, const char *certificate, const char *key, struct meow_error *err)
{
	struct tls *tls = calloc(1, sizeof(*tls));
	if (tls != NULL)
		tls->context = SSL_CTX_new(TLS_client_method());
	if (tls == NULL || tls->context == NULL) {
		error_no_memory(err);
		tls_destroy(tls);
		return NULL;
	}
	SSL_CTX_set_min_proto_version(tls->context, TLS1_2_VERSION);
	SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
	if (!load(tls->context, authority, certificate, key, err)) {
		tls_destroy(tls);
		return NULL;
	}
	return tls;
}

void tls_destroy(struct tls *tls)
{
	if (tls == NULL)
		return;
	SSL_CTX_free(tls->context);
	free(tls);
}

// The certificate must be this host's: by address where the host is one, else by name, which the server is also told.
static bool expect_host(SSL *session, const char *host)
{
	struct in6_addr address;
	if (inet_pton(AF_INET, host, &address) == 1 || inet_pton(AF_INET6, host, &address) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(session), host) == 1;
	union {
		const char *in;
		void *out;
	} name = {.in = host}; // OpenSSL only reads it, whatever the type of its argument says
	return SSL_set1_host(session, host) == 1 &&
		   SSL_ctrl(session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.out) == 1;
}

struct ssl_st *tls_begin(const struct tls *tls, redisContext *context, const char *host, struct meow_error *err)
{
	SSL *session = SSL_new(tls->context);
	if (session == NULL) {
		error_no_memory(err);
		return NULL;
	}
	ERR_clear_error();
	bool host_set = expect_host(session, host);
	if (!host_set || redisInitiateSSL(context, session) != REDIS_OK) { // near by, all of the handshake is over in there
		error_set(err, MEOW_UNAVAILABLE, "TLS with \"%s\" cannot begin: %s", host,
			host_set ? tls_why(session, context) : reason());
		SSL_free(session);
		return NULL;
	}
	return session;
}

bool tls_wants_input(const struct ssl_st *session)
{
	return SSL_want(session) == SSL_READING;
}

const char *tls_why(const struct ssl_st *session, const redisContext *context)
{
	long verified = SSL_get_verify_result(session);
	if (verified != X509_V_OK)
		return X509_verify_cert_error_string(verified);
	const char *text = ERR_reason_error_string(ERR_peek_last_error());
	if (text != NULL)
		return text;
	return context->err == REDIS_ERR_EOF ? "Redis closed it" : context->errstr;
}

#else

bool redis_tls_is_built(void)
{
	return false;
}

// The configuration check has refused TLS before anything gets here.
struct tls *tls_create(const char *authority, const char *certificate, const char *key, struct meow_error *err)
{
	(void)authority, (void)certificate, (void)key;
	error_set(err, MEOW_CONFIG, "this build has no TLS for Redis");
	return NULL;
}

void tls_destroy(struct tls *tls)
{
	(void)tls;
}

struct ssl_st *tls_begin(const struct tls *tls, redisContext *context, const char *host, struct meow_error *err)
{
	(void)tls, (void)context, (void)host;
	error_set(err, MEOW_CONFIG, "this build has no TLS for Redis");
	return NULL;
}

bool tls_wants_input(const struct ssl_st *session)
{
	(void)session;
	return false;
}

const char *tls_why(const struct ssl_st *session, const redisContext *context)
{
	(void)session;
	return context->errstr;
}

#endif
