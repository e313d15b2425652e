/* fcgi/lib.h - the door to libfcgi, which reads requests and does nothing else here.
 *
 * The connection is accepted by us and put into libfcgi's request, so that none of its waits
 * (2 s for a silent peer, 2 s for a peer that does not close) and none of its blocking writes
 * ever happens. That uses members which its header calls private; they have not changed since
 * 2003, lib.c checks their types when it is compiled and tests/unit/request.c how they behave.
 * Facts: hosting-lab.md section 6.
 *
 * Limits:    libfcgi sets none on the size or number of parameters, and a lying length (2 GB)
 *            aborts the process: only the web server may be able to connect. It keeps parameters
 *            as C strings, so one that holds a NUL ends there.
 * Blocking:  reads wait for the peer as long as the descriptor's SO_RCVTIMEO allows each time.
 * Threads:   one at a time for each struct lib.
 */
#ifndef FCGI_LIB_H
#define FCGI_LIB_H

#include "base/str.h"

struct lib;

/* Once, before any thread. It installs handlers for SIGPIPE, SIGUSR1 and SIGTERM. */
MUST_CHECK bool lib_init(void);

/* Reads a request up to the end of its parameters from a connected socket. NULL when there is
 * none, is broken or comes too late; fd is closed then, else it stays the caller's. */
MUST_CHECK struct lib *lib_accept(int fd);

/* Frees everything; the descriptor is left alone. */
void lib_free(struct lib *l);

unsigned lib_request_id(const struct lib *l);
bool lib_is_responder(const struct lib *l);

/* "NAME=value" strings as the web server sent them, ended by NULL; lent until lib_free(). */
char **lib_params(const struct lib *l);

enum lib_read {
	LIB_BYTES,   /* *piece is lent until the next call */
	LIB_END,     /* the body is complete */
	LIB_TIMEOUT, /* nothing more came in time; the stream cannot be read on */
	LIB_BROKEN,  /* the connection ended, was aborted, or carries nonsense */
};

/* The next piece of the body, as it stands in libfcgi's buffer. */
enum lib_read lib_read(struct lib *l, struct slice *piece);

/* Frees the stream buffers (some 17 KB); nothing can be read any more, parameters stay. */
void lib_release(struct lib *l);

#endif
