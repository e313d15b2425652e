#include "base/tls.h"

#include "base/clock.h"
#include "base/ip.h"

#include <errno.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

struct tls_context {
	SSL_CTX *ctx;
	BIO_METHOD *socket; /* OpenSSL's own would raise SIGPIPE */
};

struct tls {
	SSL *ssl;
	int fd;
	bool broken; /* nothing more may be said, good-bye neither */
};

/* ---- the socket below ---- */

static int to_socket(BIO *bio, const char *bytes, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t sent = send(t->fd, bytes, (size_t)n, MSG_NOSIGNAL);

	BIO_clear_retry_flags(bio);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)sent;
}

static int from_socket(BIO *bio, char *out, int n)
{
	struct tls *t = BIO_get_data(bio);
	ssize_t got = recv(t->fd, out, (size_t)n, 0);

	BIO_clear_retry_flags(bio);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)got;
}

static long control(BIO *bio, int what, long n, void *p)
{
	(void)bio;
	(void)n;
	(void)p;
	return what == BIO_CTRL_FLUSH; /* nothing is held back; all else is not known */
}

static BIO_METHOD *socket_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "socket");

	if (m && BIO_meth_set_write(m, to_socket) && BIO_meth_set_read(m, from_socket) &&
		BIO_meth_set_ctrl(m, control))
		return m;
	BIO_meth_free(m);
	return NULL;
}

/* ---- contexts ---- */

enum err_code tls_context_new(struct tls_context **out, const char *ca_file, struct err *e)
{
	struct tls_context *c = calloc(1, sizeof(*c));
	bool own = ca_file && *ca_file;

	*out = NULL;
	if (c) {
		c->ctx = SSL_CTX_new(TLS_client_method());
		c->socket = socket_method();
	}
	if (!c || !c->ctx || !c->socket || !SSL_CTX_set_min_proto_version(c->ctx, TLS1_2_VERSION)) {
		tls_context_free(c);
		return err_set(e, ERR_CONF, "TLS cannot be set up");
	}
	SSL_CTX_set_verify(c->ctx, SSL_VERIFY_PEER, NULL);
	SSL_CTX_set_mode(c->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
					 SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
					 SSL_MODE_RELEASE_BUFFERS);
	if (own ? !SSL_CTX_load_verify_locations(c->ctx, ca_file, NULL)
		: !SSL_CTX_set_default_verify_paths(c->ctx)) {
		ERR_clear_error();
		tls_context_free(c);
		return err_set(e, ERR_CONF, "%s: no certificates can be read from it",
			own ? ca_file : "the system's certificates");
	}
	*out = c;
	return ERR_OK;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ctx);
	BIO_meth_free(c->socket);
	free(c);
}

/* ---- connections ---- */

static bool expect_host(SSL *ssl, const char *host)
{
	struct ip ip;

	if (ip_parse(slice_of(host), &ip))
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host);
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	/* Without the macro, which loses a const. */
	return SSL_set1_host(ssl, host) &&
	       SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
		       (void *)(uintptr_t)host);
}

static struct tls *tls_new(struct tls_context *c, int fd, const char *host)
{
	struct tls *t = calloc(1, sizeof(*t));
	BIO *bio;

	if (!t)
		return NULL;
	t->fd = fd;
	t->ssl = SSL_new(c->ctx);
	bio = t->ssl ? BIO_new(c->socket) : NULL;
	if (bio) {
		BIO_set_data(bio, t);
		BIO_set_init(bio, 1);
		SSL_set_bio(t->ssl, bio, bio);
	}
	if (!bio || !expect_host(t->ssl, host)) {
		t->broken = true;
		tls_free(t);
		return NULL;
	}
	return t;
}

/* What the last call wants: poll()'s events, or 0 when it has failed. */
static short wanted(struct tls *t, int rc)
{
	switch (SSL_get_error(t->ssl, rc)) {
	case SSL_ERROR_WANT_READ:
		return POLLIN;
	case SSL_ERROR_WANT_WRITE:
		return POLLOUT;
	default:
		t->broken = true;
		return 0;
	}
}

static bool wait_for(int fd, short events, int64_t deadline_mono_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int64_t left = deadline_mono_ms - clock_mono_ms();
	int rc;

	if (left <= 0)
		return false;
	rc = poll(&p, 1, left > INT_MAX ? INT_MAX : (int)left);
	return rc > 0 || (rc < 0 && errno == EINTR);
}

static enum err_code say(struct tls *t, struct err *e)
{
	long verdict = SSL_get_verify_result(t->ssl);
	const char *reason = ERR_reason_error_string(ERR_peek_error());

	ERR_clear_error();
	if (verdict != X509_V_OK)
		return err_set(e, ERR_IO, "TLS: the certificate: %s",
			X509_verify_cert_error_string(verdict));
	return err_set(e, ERR_IO, "TLS: %s", reason ? reason : "it hung up");
}

enum err_code tls_open(struct tls **out, struct tls_context *c, int fd, const char *host,
	int64_t deadline_mono_ms, struct err *e)
{
	struct tls *t = tls_new(c, fd, host);
	enum err_code rc = ERR_OK;
	short events;
	int done;

	*out = NULL;
	if (!t)
		return err_set(e, ERR_IO, "TLS: cannot be set up for this host");
	ERR_clear_error();
	while ((done = SSL_connect(t->ssl)) != 1) {
		events = wanted(t, done);
		if (!events) {
			rc = say(t, e);
			break;
		}
		if (!wait_for(fd, events, deadline_mono_ms)) {
			rc = err_set(e, ERR_IO, "TLS: no handshake in time");
			break;
		}
	}
	if (rc) {
		t->broken = true;
		tls_free(t);
		return rc;
	}
	*out = t;
	return ERR_OK;
}

void tls_free(struct tls *t)
{
	if (!t)
		return;
	if (!t->broken)
		(void)SSL_shutdown(t->ssl);
	ERR_clear_error();
	SSL_free(t->ssl);
	free(t);
}

static ssize_t outcome(struct tls *t, int rc, short *events)
{
	int error;

	if (rc > 0)
		return rc;
	error = SSL_get_error(t->ssl, rc);
	if (error == SSL_ERROR_ZERO_RETURN)
		return 0;
	*events = wanted(t, rc);
	ERR_clear_error();
	errno = *events ? EAGAIN : ECONNRESET;
	return -1;
}

ssize_t tls_read(struct tls *t, void *out, size_t n, short *events)
{
	ERR_clear_error();
	return outcome(t, SSL_read(t->ssl, out, n > INT_MAX ? INT_MAX : (int)n), events);
}

ssize_t tls_write(struct tls *t, const void *bytes, size_t n, short *events)
{
	ERR_clear_error();
	return outcome(t, SSL_write(t->ssl, bytes, n > INT_MAX ? INT_MAX : (int)n), events);
}
