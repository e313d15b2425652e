/* gateway/demo.h - the demonstration provider: a small OpenAI-shaped HTTP server that shows
 * streaming, usage and cost to somebody who has no provider's key yet.
 *
 * Models demo/echo:free (says what it was told) and demo/story:free (a short story, one token
 * every pace_ms). It reads nothing but the request and calls nobody.
 * Threads: demo_start makes one thread that lives as long as the process.
 */
#ifndef GATEWAY_DEMO_H
#define GATEWAY_DEMO_H

#include "base/str.h"

#define DEMO_BODY_MAX   ((size_t)33 << 20)  /* bytes of one request */
#define DEMO_BODIES_MAX ((size_t)128 << 20) /* bytes of all requests being read at one time */

struct demo_limits {
	int64_t pace_ms;    /* between two tokens of a story */
	int64_t silence_ms; /* a peer that neither sends nor takes a byte this long is dropped, and
			     * one whose request takes five times as long; 0 = 60 s */
	int connections;    /* at one time, others wait to be accepted; 0 = 256 */
};

/* Starts the server inside this process, once, on an abstract unix socket of its own; later calls
 * return the same name. Lends the name (without the leading NUL), or NULL with *e. */
const char *demo_start(int64_t pace_ms, struct err *e);

/* Serves on a TCP port of 127.0.0.1 (0 = any) until a signal ends the process; for
 * `tollgate serve-demo`. on_listen is told the port. ERR_IO. */
MUST_CHECK enum err_code demo_serve(
	int port, int64_t pace_ms, void (*on_listen)(int port), struct err *e);

/* Serves on a listening socket until stop_fd (-1 = never) is readable; closes neither. */
MUST_CHECK enum err_code demo_serve_on(
	int listen_fd, const struct demo_limits *limits, int stop_fd, struct err *e);

#endif
