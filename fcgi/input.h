/* fcgi/input.h - what a web server sends on a FastCGI connection, taken apart.
 *
 * One request for a connection, which is closed behind the answer also where the web server would
 * keep it. Records of other requests, and such that ask what we are (management records), are
 * passed over: none of the web servers sends them. Nothing is answered here.
 *
 * Limits:    INPUT_PARAMS_MAX bytes of parameters. What goes beyond is read and dropped, so that
 *            the request can be refused with a word: see input_fault().
 * Blocking:  until the deadline that the caller names.
 * Threads:   one at a time for each struct input.
 */
#ifndef FCGI_INPUT_H
#define FCGI_INPUT_H

#include "base/str.h"

#define INPUT_PARAMS_MAX ((size_t)1 << 20)

struct input;

/* Reads a request up to the end of its parameters from a connected socket. NULL when there is
 * none, is broken or comes too late; fd is closed then, else it stays the caller's. */
MUST_CHECK struct input *input_open(int fd, int64_t deadline_mono_ms);

/* Frees everything; the descriptor is left alone. */
void input_close(struct input *in);

unsigned input_request_id(const struct input *in);
bool input_is_for_responder(const struct input *in);

/* "NAME=value" strings as the web server sent them, ended by NULL; lent until input_close(). */
char **input_params(const struct input *in);

enum input_fault {
	INPUT_WELL,
	INPUT_HAS_NUL,   /* a name or a value holds one: that parameter is left out */
	INPUT_TOO_LARGE, /* parameters that begin or end beyond the limit are left out */
};

/* Why the request must not be served. *name is set for INPUT_HAS_NUL: the parameter's name, to its
 * first NUL; lent until input_close(). */
enum input_fault input_fault(const struct input *in, const char **name);

enum input_read {
	INPUT_BYTES,   /* *piece is lent until the next call */
	INPUT_END,     /* the body is complete */
	INPUT_TIMEOUT, /* nothing more came in time */
	INPUT_BROKEN,  /* the connection ended, was aborted, or carries nonsense */
};

/* The next piece of the body. */
enum input_read input_read(struct input *in, int64_t deadline_mono_ms, struct slice *piece);

/* Behind INPUT_END: how many bytes of padding still lie in the socket. */
unsigned input_padding(const struct input *in);

/* Frees the buffer; nothing can be read any more, parameters stay. */
void input_release(struct input *in);

#endif
