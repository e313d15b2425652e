#include "fcgi/out.h"
#include "base/clock.h"
#include "fcgi/protocol.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define RECORD_MAX    ((size_t)65528) /* content of one record: a multiple of 8 below 65,536 */
#define RECORDS_A_TRY 8               /* twice what a socket's buffer takes at once */
#define PARTS_MAX     (1 + 2 * RECORDS_A_TRY + 1)

/* What is to be sent behind the bytes that wait, and how much of it has gone. */
struct piece {
	struct slice body;
	size_t framed; /* bytes of body with its record headers */
	size_t done;   /* of them, sent or kept */
	uint8_t end[3 * FCGI_HEADER_LEN];
	size_t end_len;
	size_t end_done;
};

struct parts {
	struct iovec iov[PARTS_MAX];
	uint8_t headers[RECORDS_A_TRY][FCGI_HEADER_LEN];
	int n;
	size_t bytes;
};

static void write_header(uint8_t *h, unsigned type, uint16_t id, size_t content)
{
	h[0] = FCGI_VERSION_1;
	h[1] = (uint8_t)type;
	h[2] = (uint8_t)(id >> 8);
	h[3] = (uint8_t)id;
	h[4] = (uint8_t)(content >> 8);
	h[5] = (uint8_t)content;
	h[6] = 0;
	h[7] = 0;
}

static struct piece piece_of(const struct out *o, struct slice body)
{
	struct piece p = { .body = body, .framed = body.len };

	if (o->framed)
		p.framed += (body.len + RECORD_MAX - 1) / RECORD_MAX * FCGI_HEADER_LEN;
	return p;
}

static void add_end(const struct out *o, struct piece *p)
{
	if (!o->framed)
		return;
	write_header(p->end, FCGI_STDOUT, o->request_id, 0);
	write_header(p->end + FCGI_HEADER_LEN, FCGI_END_REQUEST, o->request_id, FCGI_HEADER_LEN);
	memset(p->end + 2 * FCGI_HEADER_LEN, 0, FCGI_HEADER_LEN); /* FCGI_REQUEST_COMPLETE */
	p->end_len = sizeof(p->end);
}

static void add_part(struct parts *t, const void *ptr, size_t len)
{
	union {
		const void *in;
		void *out; /* writev() does not write there */
	} u = { .in = ptr };

	if (!len)
		return;
	t->iov[t->n++] = (struct iovec){ u.out, len };
	t->bytes += len;
}

/* The body from p->done on, as far as the parts reach. */
static void add_body(const struct out *o, const struct piece *p, struct parts *t)
{
	size_t at = p->done;

	if (!o->framed) {
		add_part(t, p->body.ptr + at, p->body.len - at);
		return;
	}
	for (int i = 0; i < RECORDS_A_TRY && at < p->framed; i++) {
		size_t index = at / (RECORD_MAX + FCGI_HEADER_LEN);
		size_t within = at % (RECORD_MAX + FCGI_HEADER_LEN);
		struct slice content =
			slice_first(slice_from(p->body, index * RECORD_MAX), RECORD_MAX);

		at += FCGI_HEADER_LEN + content.len - within;
		if (within < FCGI_HEADER_LEN) {
			write_header(t->headers[i], FCGI_STDOUT, o->request_id, content.len);
			add_part(t, t->headers[i] + within, FCGI_HEADER_LEN - within);
			within = FCGI_HEADER_LEN;
		}
		content = slice_from(content, within - FCGI_HEADER_LEN);
		add_part(t, content.ptr, content.len);
	}
}

/* Takes up to *n bytes off what is left before total. */
static void advance(size_t *done, size_t total, size_t *n)
{
	size_t took = *n < total - *done ? *n : total - *done;

	*done += took;
	*n -= took;
}

static bool piece_is_done(const struct out *o, const struct piece *p)
{
	return o->sent == o->wait.len && p->done == p->framed && p->end_done == p->end_len;
}

static ssize_t send_parts(const struct out *o, struct parts *t)
{
	struct msghdr m = { .msg_iov = t->iov, .msg_iovlen = (size_t)t->n };

	return o->framed ? sendmsg(o->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL)
			 : writev(o->fd, t->iov, t->n);
}

/* Sends as much as the descriptor takes now. */
static void send_now(struct out *o, struct piece *p)
{
	o->is_full = false;
	while (!o->gone && !o->is_full && !piece_is_done(o, p)) {
		struct parts t;
		size_t left;
		ssize_t n;

		t.n = 0;
		t.bytes = 0;
		if (o->wait.len > o->sent)
			add_part(&t, o->wait.data + o->sent, o->wait.len - o->sent);
		left = t.bytes + p->framed - p->done;
		add_body(o, p, &t);
		if (t.bytes == left)
			add_part(&t, p->end + p->end_done, p->end_len - p->end_done);
		n = send_parts(o, &t);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			o->gone = true;
			break;
		}
		left = n < 0 ? 0 : (size_t)n;
		o->is_full = left < t.bytes;
		advance(&o->sent, o->wait.len, &left);
		advance(&p->done, p->framed, &left);
		advance(&p->end_done, p->end_len, &left);
	}
	if (o->gone || o->sent == o->wait.len) {
		buf_fini(&o->wait); /* an open stream keeps no memory for it */
		o->sent = 0;
	}
}

/* Copies what could not be sent behind the bytes that wait. */
static void keep(struct out *o, struct piece *p)
{
	if (o->sent && p->done < p->framed) {
		buf_drop(&o->wait, o->sent);
		o->sent = 0;
	}
	while (p->done < p->framed && !o->gone) {
		struct parts t;

		t.n = 0;
		t.bytes = 0;
		add_body(o, p, &t);
		for (int i = 0; i < t.n; i++)
			buf_append(&o->wait, t.iov[i].iov_base, t.iov[i].iov_len);
		p->done += t.bytes;
		o->gone = !buf_ok(&o->wait);
	}
	if (o->gone) {
		buf_fini(&o->wait);
		o->sent = 0;
	}
}

static enum sink_state state_of(const struct out *o)
{
	if (o->gone || o->broken)
		return SINK_GONE;
	return o->is_full ? SINK_FULL : SINK_OK;
}

static const char *phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} rows[] = {
		{ 200, "OK" },
		{ 201, "Created" },
		{ 204, "No Content" },
		{ 304, "Not Modified" },
		{ 400, "Bad Request" },
		{ 401, "Unauthorized" },
		{ 402, "Payment Required" },
		{ 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" },
		{ 408, "Request Timeout" },
		{ 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 422, "Unprocessable Content" },
		{ 429, "Too Many Requests" },
		{ 500, "Internal Server Error" },
		{ 502, "Bad Gateway" },
		{ 503, "Service Unavailable" },
		{ 504, "Gateway Timeout" },
		{ 529, "Overloaded" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (rows[i].status == status)
			return rows[i].phrase;
	return "Status";
}

static bool has_line(struct slice block, const char *name)
{
	while (block.len) {
		struct slice line = slice_cut(&block, '\n');

		if (slice_is_nocase(slice_cut(&line, ':'), name))
			return true;
	}
	return false;
}

static void add_unless(struct buf *b, struct slice extra, const char *name, const char *value)
{
	/* A buffer without memory fails for good, and is seen at the end. */
	if (!has_line(extra, name) && !head_add(b, name, value))
		b->failed = true;
}

/* Appends the header block with its empty line; false when it must not be sent. */
static bool write_head(struct buf *b, const struct sink_head *h)
{
	bool has_body = h->status >= 200 && h->status != 204 && h->status != 304;
	size_t start = b->len;

	if (h->status < 100 || h->status > 599 || h->extra.len > OUT_HEAD_MAX ||
		!buf_room(b, h->extra.len + 384))
		return false;
	buf_str(b, "Status: ");
	buf_int(b, h->status);
	buf_char(b, ' ');
	buf_str(b, phrase(h->status));
	buf_str(b, "\r\n");
	if (h->content_type && has_body && !head_add(b, "Content-Type", h->content_type))
		return false;
	if (h->length >= 0 && has_body) {
		buf_str(b, "Content-Length: ");
		buf_int(b, h->length);
		buf_str(b, "\r\n");
	}
	if (h->streaming) {
		add_unless(b, h->extra, "X-Accel-Buffering", "no");
		add_unless(b, h->extra, "Cache-Control", "no-cache");
		add_unless(b, h->extra, "Content-Encoding", "identity");
	}
	add_unless(b, h->extra, "X-Content-Type-Options", "nosniff");
	buf_slice_append(b, h->extra);
	buf_str(b, "\r\n");
	return buf_ok(b) && b->len - start <= OUT_HEAD_MAX;
}

static enum sink_state begin(struct sink *s, const struct sink_head *head)
{
	static const char refusal[] = "{\"error\":{\"message\":\"the answer's header block is "
				      "malformed or above 4 KB\",\"type\":\"internal_error\","
				      "\"code\":500,\"param\":null,\"metadata\":{}},"
				      "\"error_type\":\"internal_error\"}\n";
	static const struct sink_head sorry = {
		.status = 500, .content_type = "application/json", .length = sizeof(refusal) - 1
	};
	struct out *o = (struct out *)s;
	size_t start = o->framed ? FCGI_HEADER_LEN : 0;
	uint8_t header[FCGI_HEADER_LEN] = { 0 };

	if (o->begun)
		return state_of(o);
	o->begun = true;
	buf_append(&o->wait, header, start);
	if (!write_head(&o->wait, head)) {
		o->broken = true;
		buf_reset(&o->wait);
		buf_append(&o->wait, header, start);
		(void)write_head(&o->wait, &sorry); /* fails only without memory */
		if (!o->is_head)
			buf_append(&o->wait, refusal, sizeof(refusal) - 1);
	}
	if (!buf_ok(&o->wait)) {
		o->gone = true;
		return SINK_GONE;
	}
	if (o->framed) {
		write_header(header, FCGI_STDOUT, o->request_id, o->wait.len - start);
		memcpy(o->wait.data, header, start);
	}
	return state_of(o);
}

static enum sink_state write_bytes(struct sink *s, struct slice bytes)
{
	struct out *o = (struct out *)s;
	struct piece p;

	if (o->gone || o->broken || !o->begun)
		return SINK_GONE;
	if (o->is_head || !bytes.len)
		return state_of(o);
	p = piece_of(o, bytes);
	/* A descriptor that was full stays so until the caller was told otherwise by flush. */
	if (!o->is_full)
		send_now(o, &p);
	keep(o, &p);
	if (!o->gone)
		o->bytes += bytes.len;
	return state_of(o);
}

static enum sink_state flush(struct sink *s)
{
	struct out *o = (struct out *)s;
	struct piece nothing = { 0 };

	/* What waits without being held up is a head that has no body yet. */
	if (o->is_full)
		send_now(o, &nothing);
	return state_of(o);
}

static int descriptor(const struct sink *s)
{
	return ((const struct out *)s)->fd;
}

/* Reads records behind the request's own; true for one that aborts the request. */
static bool has_abort(struct out *o, const uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n;) {
		if (o->skip) {
			size_t took = n - i < o->skip ? n - i : o->skip;

			i += took;
			o->skip -= (unsigned)took;
			continue;
		}
		o->record[o->record_len++] = bytes[i++];
		if (o->record_len == FCGI_HEADER_LEN) {
			o->record_len = 0;
			if (o->record[1] == FCGI_ABORT_REQUEST)
				return true;
			o->skip = (unsigned)(o->record[4] << 8 | o->record[5]) + o->record[6];
		}
	}
	return false;
}

static bool socket_is_gone(struct out *o)
{
	/* As long as the body is not read its bytes must stay, and only the end can be told apart.
	 * Later everything is consumed: an empty stdin record would keep the descriptor readable.
	 */
	int flags = MSG_DONTWAIT | (o->input_over ? 0 : MSG_PEEK);

	for (int tries = 0; tries < 64; tries++) {
		uint8_t bytes[256];
		ssize_t n = recv(o->fd, bytes, sizeof(bytes), flags);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno != EAGAIN;
		if (!n)
			return true;
		if (!o->input_over)
			return false;
		if (has_abort(o, bytes, (size_t)n))
			return true;
	}
	return false;
}

static bool pipe_is_gone(const struct out *o)
{
	struct pollfd p = { .fd = o->fd };

	return poll(&p, 1, 0) > 0 && (p.revents & (POLLERR | POLLHUP | POLLNVAL));
}

static bool is_gone(struct sink *s)
{
	struct out *o = (struct out *)s;

	if (!o->gone)
		o->gone = o->framed ? socket_is_gone(o) : pipe_is_gone(o);
	return o->gone;
}

static bool has_begun(const struct sink *s)
{
	return ((const struct out *)s)->begun;
}

void out_init(struct out *o, int fd, bool framed, uint16_t request_id)
{
	static const struct sink_ops ops = {
		.begin = begin,
		.write = write_bytes,
		.flush = flush,
		.fd = descriptor,
		.is_gone = is_gone,
		.has_begun = has_begun,
	};

	*o = (struct out){ .sink = { &ops }, .fd = fd, .framed = framed, .request_id = request_id };
	buf_init(&o->wait, OUT_WAIT_MAX);
}

void out_fini(struct out *o)
{
	buf_fini(&o->wait);
}

enum err_code out_finish(struct out *o, struct slice body, int64_t deadline_mono_ms, struct err *e)
{
	struct piece p = piece_of(o, o->is_head || o->broken ? SLICE("") : body);

	add_end(o, &p);
	send_now(o, &p);
	while (!o->gone && !piece_is_done(o, &p)) {
		struct pollfd f = { .fd = o->fd, .events = POLLOUT };
		int64_t left_ms = deadline_mono_ms - clock_mono_ms();

		if (left_ms <= 0) {
			o->gone = true;
			return err_set(
				e, ERR_CLIENT_GONE, "the client did not take the answer in time");
		}
		(void)poll(&f, 1, left_ms > 60000 ? 60000 : (int)left_ms);
		send_now(o, &p);
	}
	if (o->gone)
		return err_set(e, ERR_CLIENT_GONE, "the client has left");
	o->bytes += p.body.len;
	if (o->broken)
		return err_set(e, ERR_INTERNAL,
			"the answer's header block is malformed or above %zu bytes", OUT_HEAD_MAX);
	return ERR_OK;
}

void out_refuse_role(struct out *o)
{
	struct piece p = { .end_len = 2 * FCGI_HEADER_LEN };

	write_header(p.end, FCGI_END_REQUEST, o->request_id, FCGI_HEADER_LEN);
	p.end[FCGI_HEADER_LEN + 4] = FCGI_UNKNOWN_ROLE;
	send_now(o, &p); /* 16 bytes, the first on this connection: they fit or nobody listens */
}
