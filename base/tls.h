/* base/tls.h - TLS over a connected, non-blocking socket, for what is no HTTP: the second door to
 * OpenSSL.
 *
 * TLS 1.2 or newer; the certificate and the name (or address) in it are always checked.
 *
 * Errors: ERR_IO; the message has the cause, and no byte of what was sent.
 * Blocking: tls_open up to its deadline; tls_read and tls_write never.
 * Threads: a context is for any number, a connection for one at a time.
 */
#ifndef BASE_TLS_H
#define BASE_TLS_H

#include "base/str.h"

#include <sys/types.h>

struct tls_context;
struct tls;

/* ca_file: PEM instead of the system's certificates; NULL or "" = the system's. ERR_CONF. */
MUST_CHECK enum err_code tls_context_new(
	struct tls_context **out, const char *ca_file, struct err *e);
void tls_context_free(struct tls_context *c); /* NULL is fine */

/* Shakes hands over fd, which stays the caller's and must outlive the connection. host: a name, or
 * an address as text. */
MUST_CHECK enum err_code tls_open(struct tls **out, struct tls_context *c, int fd, const char *host,
	int64_t deadline_mono_ms, struct err *e);
void tls_free(struct tls *t); /* says good-bye if that needs no waiting; NULL is fine */

/* As recv() and send(): bytes, 0 = the other end is through, -1 and errno: EAGAIN with *events set
 * to what to poll() for, anything else is the end of the connection. */
ssize_t tls_read(struct tls *t, void *out, size_t n, short *events);
ssize_t tls_write(struct tls *t, const void *bytes, size_t n, short *events);

#endif
