/* fcgi/request_open.h - how the server begins and ends a request; handlers see request.h only.
 *
 * Ownership: request_open_* give a request and take the descriptor; request_close ends both.
 */
#ifndef FCGI_REQUEST_OPEN_H
#define FCGI_REQUEST_OPEN_H

#include "fcgi/request.h"

/* Reads the head of a request from a FastCGI connection, within read_timeout_ms. NULL (and fd
 * closed) when there was none. */
MUST_CHECK struct request *request_open_fcgi(int fd, int64_t read_timeout_ms);

/* The request of a CGI program: params are "NAME=value" (environ, lent), the body is on in_fd,
 * the answer goes to out_fd. Both descriptors stay open. NULL without memory. */
MUST_CHECK struct request *request_open_cgi(char **params, int in_fd, int out_fd);

/* Ends it. An answer that was begun and not finished is left without its end, so that it does
 * not look complete; without any, the client gets otherwise_status (500, 503) with a short text. */
void request_close(struct request *rq, int otherwise_status);

#endif
