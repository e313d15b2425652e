/* tests/unit/fcgi_client.h - the web server's side of FastCGI, for tests: builds requests record
 * by record, and takes answers apart. Everything aborts the test when it cannot be done. */
#ifndef TESTS_FCGI_CLIENT_H
#define TESTS_FCGI_CLIENT_H

#include "base/buf.h"
#include "fcgi/protocol.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENT_ID 0x0102 /* both bytes matter */

static inline void client_record(
	struct buf *b, int type, const void *bytes, size_t n, unsigned padding)
{
	const unsigned char h[8] = { 1, (unsigned char)type, CLIENT_ID >> 8, CLIENT_ID & 255,
		(unsigned char)(n >> 8), (unsigned char)n, (unsigned char)padding, 0 };

	buf_append(b, h, sizeof(h));
	buf_append(b, bytes, n);
	for (unsigned i = 0; i < padding; i++)
		buf_char(b, '\xee');
}

/* A stream of records with up to per_record bytes each, and its end. */
static inline void client_stream(
	struct buf *b, int type, struct slice bytes, size_t per_record, unsigned padding)
{
	while (bytes.len) {
		struct slice part = slice_first(bytes, per_record);

		client_record(b, type, part.ptr, part.len, padding);
		bytes = slice_from(bytes, part.len);
	}
	client_record(b, type, "", 0, 0);
}

static inline void client_begin(struct buf *b, int role)
{
	const unsigned char body[8] = { 0, (unsigned char)role };

	client_record(b, FCGI_BEGIN_REQUEST, body, sizeof(body), 0);
}

static inline void client_length(struct buf *b, size_t n)
{
	if (n > 127) {
		buf_char(b, (char)(0x80 | n >> 24));
		buf_char(b, (char)(n >> 16));
		buf_char(b, (char)(n >> 8));
	}
	buf_char(b, (char)n);
}

static inline void client_param(struct buf *b, struct slice name, struct slice value)
{
	client_length(b, name.len);
	client_length(b, value.len);
	buf_slice_append(b, name);
	buf_slice_append(b, value);
}

/* params is NULL-ended: name, value, name, value … */
static inline void client_request(struct buf *b, const char *const *params, struct slice body,
	size_t per_record, unsigned padding)
{
	struct buf text = { 0 };

	client_begin(b, FCGI_RESPONDER);
	for (; *params; params += 2)
		client_param(&text, slice_of(params[0]), slice_of(params[1]));
	client_stream(b, FCGI_PARAMS, buf_slice(&text), per_record, padding);
	client_stream(b, FCGI_STDIN, body, per_record, padding);
	if (!buf_ok(b))
		abort();
	buf_fini(&text);
}

static inline void client_send(int fd, struct slice bytes)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

		if (n < 0)
			abort();
		bytes = slice_from(bytes, (size_t)n);
	}
}

/* Reads to the end of the connection; the errno that ended it, 0 for a proper end. */
static inline int client_receive(int fd, struct buf *b)
{
	for (;;) {
		char *room = buf_room(b, 65536);
		ssize_t n;

		if (!room)
			abort();
		n = recv(fd, room, 65536, 0);
		if (n <= 0)
			return n ? errno : 0;
		buf_commit(b, (size_t)n);
	}
}

struct client_answer {
	struct buf text;  /* what was on stdout */
	bool ended;       /* END_REQUEST came, behind an empty stdout record */
	unsigned status;  /* its protocol status */
	unsigned records; /* of stdout with content */
	size_t rest;      /* bytes behind the last whole record */
};

static inline struct client_answer client_parse(struct slice in)
{
	struct client_answer a = { 0 };
	bool closed = false;

	buf_init(&a.text, (size_t)128 << 20);
	while (in.len >= 8) {
		const unsigned char *h = (const unsigned char *)in.ptr;
		size_t n = (size_t)(h[4] << 8 | h[5]);

		if (in.len < 8 + n + h[6] || h[0] != 1 || (h[2] << 8 | h[3]) != CLIENT_ID ||
			a.ended)
			break;
		if (h[1] == FCGI_STDOUT && !n)
			closed = true;
		if (h[1] == FCGI_STDOUT && n) {
			if (closed)
				abort();
			a.records++;
			buf_append(&a.text, in.ptr + 8, n);
		}
		if (h[1] == FCGI_END_REQUEST) {
			a.ended = closed || h[12] != FCGI_REQUEST_COMPLETE;
			a.status = h[12];
		}
		in = slice_from(in, 8 + n + h[6]);
	}
	a.rest = in.len;
	return a;
}

/* The body behind the first empty line. */
static inline struct slice client_body(const struct client_answer *a)
{
	struct slice all = buf_slice(&a->text);
	const char *at = memmem(all.ptr, all.len, "\r\n\r\n", 4);

	return at ? slice_from(all, (size_t)(at - all.ptr) + 4) : SLICE("");
}

static inline bool client_has(const struct client_answer *a, const char *text)
{
	return memmem(a->text.data, a->text.len, text, strlen(text)) != NULL;
}

#endif
