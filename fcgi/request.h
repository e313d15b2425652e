/* fcgi/request.h - one request of the web server: what it says, its body, and its answer.
 *
 * The same interface serves FastCGI (mod_fcgid, lighttpd, nginx, mod_proxy_fcgi) and plain CGI.
 * Facts: hosting-lab.md sections 3 (bodies), 4 (a client that leaves), 7 (variables).
 *
 * Ownership: the server makes and ends a request; everything it lends lives until the handler
 *            returns.
 * Threads:   one request thread; its sink may be used by another thread while the request
 *            thread waits for that one.
 */
#ifndef FCGI_REQUEST_H
#define FCGI_REQUEST_H

#include "base/buf.h"
#include "base/sink.h"

struct request;

#define REQUEST_PATH_MAX 2048 /* bytes of a decoded path; a longer one is refused with 400 */

/* May the request be served? ERR_BAD_REQUEST when a variable of the web server holds a NUL, or when
 * all of them together are too large: the offending ones are then missing below. */
MUST_CHECK enum err_code request_check(const struct request *rq, struct err *e);

/* The method, upper-case as sent, e.g. "POST"; "" when the web server names none. */
const char *request_method(const struct request *rq);

/* The decoded, normalised path of REQUEST_URI ("/v1/models/a/b": %XX decoded, "//", "/./" and
 * "/../" resolved), else of SCRIPT_NAME + PATH_INFO. NULL when it holds a NUL or control byte,
 * a broken escape, bad UTF-8, climbs above the root or is too long. */
const char *request_path(const struct request *rq);

/* The raw query string without '?'; "" when there is none. */
struct slice request_query(const struct request *rq);

/* The decoded value of a query parameter in dst; false when absent or too long. */
MUST_CHECK bool request_query_get(
	const struct request *rq, const char *name, char *dst, size_t size);

/* A request header by its name ("X-Request-Id"); NULL when absent. */
const char *request_header(const struct request *rq, const char *name);

/* Any variable of the web server ("REMOTE_ADDR", "REDIRECT_HTTP_AUTHORIZATION"); NULL when absent.
 */
const char *request_param(const struct request *rq, const char *name);

/* How often the web server sent this variable: more than once smells of smuggling. */
unsigned request_param_count(const struct request *rq, const char *name);

/* Reads the whole body to its end and lends it. content_length is compared when it is a number.
 * ERR_TOO_LARGE (above max_bytes; limit named with setting), ERR_BODY_TIMEOUT, ERR_BAD_REQUEST
 * (shorter or longer than announced). May block up to timeout_ms. A second call lends the same. */
MUST_CHECK enum err_code request_read_body(struct request *rq, size_t max_bytes,
	const char *setting, int64_t timeout_ms, struct slice *body, struct err *e);

/* Gives up what is held for reading (8 KB) and, after a body that will not be read,
 * drains a bounded rest of it, so that the web server takes the answer. Parameters stay lent. */
void request_done_reading(struct request *rq);

/* The way to answer piecewise; lent. It is full as soon as the web server has not taken all of
 * what was written, and until all of it has gone; what was written is kept (up to 32 MiB). */
struct sink *request_sink(struct request *rq);

/* Sends a whole answer in as few writes as possible, or ends one that went through the sink
 * (head and body NULL then): waits until the client has taken everything, up to timeout_ms.
 * ERR_CLIENT_GONE when it never will; ERR_INTERNAL when the head is malformed or above 4 KB (a
 * 500 was sent), or does not fit what the sink has begun. Only the first call for a request does
 * anything. For a HEAD request the body is left out, its length kept. */
MUST_CHECK enum err_code request_finish(struct request *rq, const struct sink_head *head,
	const struct slice *body, int64_t timeout_ms, struct err *e);

/* Bytes of answer bodies sent so far, without framing and head. */
uint64_t request_bytes_out(const struct request *rq);

#endif
