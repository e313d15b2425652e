/* tests/unit/request_client.h - a request of fcgi/request.h and the web server's end of its
 * connection, for tests. */
#ifndef TESTS_REQUEST_CLIENT_H
#define TESTS_REQUEST_CLIENT_H

#include "fcgi/request_open.h"
#include "tests/unit/fcgi_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

static const char *const request_post[] = { "REQUEST_METHOD", "POST", "REQUEST_URI",
	"/v1/x?a=1&b=%20c", "CONTENT_LENGTH", "11", "CONTENT_TYPE", "application/json",
	"HTTP_X_REQUEST_ID", "r-1", "HTTP_X_API_KEY", "one", "HTTP_X_API_KEY", "two", "EMPTY", "",
	NULL };

struct client {
	int fd;
	struct request *rq;
};

/* Sends bytes as they are and opens the request. SOCK_SEQPACKET keeps the cuts between sends. */
static inline struct client open_with(int type, struct slice bytes, size_t cut)
{
	struct client c;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, type, 0, fd), 0);
	c.fd = fd[1];
	if (cut)
		client_send(c.fd, slice_first(bytes, cut));
	if (cut < bytes.len)
		client_send(c.fd, slice_from(bytes, cut));
	c.rq = request_open_fcgi(fd[0], 50);
	return c;
}

static inline struct client open_request(const char *const *params, struct slice body)
{
	struct buf b = { 0 };
	struct client c;

	client_request(&b, params, body, 30000, 0);
	c = open_with(SOCK_STREAM, buf_slice(&b), b.len);
	buf_fini(&b);
	assert_non_null(c.rq);
	return c;
}

static inline struct client_answer close_and_parse(struct client *c, int otherwise)
{
	struct buf b = { .max_bytes = (size_t)64 << 20 };
	struct client_answer a;

	request_close(c->rq, otherwise);
	assert_int_equal(client_receive(c->fd, &b), 0);
	a = client_parse(buf_slice(&b));
	buf_fini(&b);
	close(c->fd);
	return a;
}

static inline void drop(struct client *c)
{
	struct client_answer a = close_and_parse(c, 500);

	assert_true(a.ended);
	buf_fini(&a.text);
}

#endif
