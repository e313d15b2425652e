#include "fcgi/input.h"
#include "base/buf.h"
#include "base/clock.h"
#include "fcgi/protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 8192

struct input {
	int fd;
	uint8_t *bytes; /* READ_BYTES; NULL = nothing is read any more */
	size_t at, end; /* what of them was not looked at yet */
	/* the record that is being read */
	uint8_t header[FCGI_HEADER_LEN];
	size_t header_len;      /* of it that has come */
	size_t content, filler; /* of it that is still to come */
	/* the request */
	unsigned id; /* 0 = not begun */
	unsigned role;
	struct buf text; /* its parameters */
	char **params;
	enum input_fault fault;
	const char *fault_in;
	enum input_read over; /* INPUT_END or INPUT_BROKEN, for good; else INPUT_BYTES */
};

/* ---- records ---- */

/* INPUT_BYTES, INPUT_TIMEOUT, or INPUT_BROKEN when the connection has ended. */
static enum input_read refill(struct input *in, int64_t deadline_ms)
{
	struct pollfd p = { .fd = in->fd, .events = POLLIN };
	int64_t left_ms;
	ssize_t n;

	while ((left_ms = deadline_ms - clock_mono_ms()) > 0) {
		/* Most often it is there already. */
		n = recv(in->fd, in->bytes, READ_BYTES, MSG_DONTWAIT);
		if (n > 0) {
			in->at = 0;
			in->end = (size_t)n;
			return INPUT_BYTES;
		}
		if (!n || (errno != EAGAIN && errno != EINTR))
			return INPUT_BROKEN;
		(void)poll(&p, 1, left_ms > 60000 ? 60000 : (int)left_ms);
	}
	return INPUT_TIMEOUT;
}

static size_t at_hand(const struct input *in, size_t want)
{
	return want < in->end - in->at ? want : in->end - in->at;
}

/* Has the next record's header come whole? */
static bool take_header(struct input *in)
{
	size_t n = at_hand(in, in->filler);

	in->at += n;
	in->filler -= n;
	if (in->filler)
		return false;
	n = at_hand(in, FCGI_HEADER_LEN - in->header_len);
	memcpy(in->header + in->header_len, in->bytes + in->at, n);
	in->at += n;
	in->header_len += n;
	if (in->header_len < FCGI_HEADER_LEN)
		return false;
	in->header_len = 0;
	in->content = (size_t)(in->header[4] << 8 | in->header[5]);
	in->filler = in->header[6];
	return true;
}

static unsigned record_id(const struct input *in)
{
	return (unsigned)(in->header[2] << 8 | in->header[3]);
}

/* Must a record with this header not come while records of type are read? */
static bool is_nonsense(const struct input *in, uint8_t type)
{
	uint8_t got = in->header[1];

	if (in->header[0] != FCGI_VERSION_1 || (got == FCGI_BEGIN_REQUEST && !record_id(in)))
		return true;
	return record_id(in) == in->id &&
	       (got == FCGI_ABORT_REQUEST || (got == FCGI_STDIN && type != FCGI_STDIN));
}

/* The next piece of the stream that records of this type carry: INPUT_END behind the last. Other
 * records are passed over. */
static enum input_read next_piece(
	struct input *in, uint8_t type, int64_t deadline_ms, struct slice *piece)
{
	while (!in->content || in->at == in->end) {
		if (in->at == in->end) {
			enum input_read rc = refill(in, deadline_ms);

			if (rc != INPUT_BYTES)
				return rc;
		}
		if (in->content || !take_header(in))
			continue;
		if (is_nonsense(in, type))
			return INPUT_BROKEN;
		if (in->header[1] != type || (in->id && record_id(in) != in->id)) {
			in->filler += in->content;
			in->content = 0;
		} else if (!in->content) {
			return INPUT_END;
		}
	}
	*piece = (struct slice){ (const char *)in->bytes + in->at, at_hand(in, in->content) };
	in->at += piece->len;
	in->content -= piece->len;
	return INPUT_BYTES;
}

/* ---- the request ---- */

static bool read_begin(struct input *in, int64_t deadline_ms)
{
	uint8_t body[FCGI_HEADER_LEN];
	size_t len = 0;
	struct slice piece;

	do {
		if (next_piece(in, FCGI_BEGIN_REQUEST, deadline_ms, &piece) != INPUT_BYTES ||
			piece.len > sizeof(body) - len)
			return false;
		memcpy(body + len, piece.ptr, piece.len);
		len += piece.len;
	} while (in->content);
	in->id = record_id(in);
	in->role = (unsigned)(body[0] << 8 | body[1]);
	return len == sizeof(body);
}

/* A length is one byte, or four of which the first has its highest bit set. */
static bool take_length(const uint8_t **at, const uint8_t *end, size_t *len)
{
	const uint8_t *p = *at;
	bool is_long = p < end && *p & 0x80;

	if (end - p < (is_long ? 4 : 1))
		return false;
	*len = is_long ? (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3]
		       : *p;
	*at = p + (is_long ? 4 : 1);
	return true;
}

/* One parameter: moves *at behind it. False when there is no whole one. */
static bool take_pair(
	const uint8_t **at, const uint8_t *end, struct slice *name, struct slice *value)
{
	const uint8_t *p = *at;

	if (!take_length(&p, end, &name->len) || !take_length(&p, end, &value->len) ||
		name->len > (size_t)(end - p) || value->len > (size_t)(end - p) - name->len)
		return false;
	name->ptr = (const char *)p;
	value->ptr = name->ptr + name->len;
	*at = p + name->len + value->len;
	return true;
}

static bool has_nul(struct slice s)
{
	return memchr(s.ptr, '\0', s.len) != NULL;
}

/* Writes NAME=value where the pairs stand: with '=' and NUL each is no longer than with its two
 * lengths, so that none reaches into the next. False when they are malformed, or without memory. */
static bool spell_params(struct input *in)
{
	char *out = in->text.data;
	const uint8_t *begin = (const uint8_t *)buf_slice(&in->text).ptr;
	const uint8_t *end = begin + in->text.len, *at = begin;
	struct slice name, value;
	size_t n = 0;

	while (take_pair(&at, end, &name, &value))
		n++;
	if (at < end && in->fault != INPUT_TOO_LARGE) /* there the limit cuts a pair */
		return false;
	in->params = malloc((n + 1) * sizeof(*in->params));
	if (!in->params)
		return false;
	n = 0;
	for (at = begin; take_pair(&at, end, &name, &value);) {
		char *start = out;
		bool is_bad = has_nul(name) || has_nul(value);

		memmove(out, name.ptr, name.len);
		out += name.len;
		*out++ = is_bad ? '\0' : '=';
		memmove(out, value.ptr, value.len);
		out += value.len;
		*out++ = '\0';
		if (!is_bad) {
			in->params[n++] = start;
		} else if (in->fault == INPUT_WELL) {
			in->fault = INPUT_HAS_NUL;
			in->fault_in = start;
		}
	}
	in->params[n] = NULL;
	return true;
}

static bool read_params(struct input *in, int64_t deadline_ms)
{
	struct slice piece, part;
	enum input_read rc;

	while ((rc = next_piece(in, FCGI_PARAMS, deadline_ms, &piece)) == INPUT_BYTES) {
		part = slice_first(piece, INPUT_PARAMS_MAX - in->text.len);
		if (part.len < piece.len)
			in->fault = INPUT_TOO_LARGE;
		buf_slice_append(&in->text, part);
	}
	return rc == INPUT_END && buf_ok(&in->text) && spell_params(in);
}

struct input *input_open(int fd, int64_t deadline_mono_ms)
{
	struct input *in = calloc(1, sizeof(*in));

	if (in) {
		in->fd = fd;
		in->over = INPUT_BYTES;
		in->bytes = malloc(READ_BYTES);
		buf_init(&in->text, INPUT_PARAMS_MAX);
		if (in->bytes && read_begin(in, deadline_mono_ms) &&
			read_params(in, deadline_mono_ms))
			return in;
	}
	input_close(in);
	close(fd);
	return NULL;
}

void input_close(struct input *in)
{
	if (!in)
		return;
	input_release(in);
	buf_fini(&in->text);
	free(in->params);
	free(in);
}

unsigned input_request_id(const struct input *in)
{
	return in->id;
}

bool input_is_for_responder(const struct input *in)
{
	return in->role == FCGI_RESPONDER;
}

char **input_params(const struct input *in)
{
	return in->params;
}

enum input_fault input_fault(const struct input *in, const char **name)
{
	*name = in->fault_in;
	return in->fault;
}

enum input_read input_read(struct input *in, int64_t deadline_mono_ms, struct slice *piece)
{
	enum input_read rc;

	if (!in->bytes)
		return INPUT_END;
	if (in->over != INPUT_BYTES)
		return in->over;
	rc = next_piece(in, FCGI_STDIN, deadline_mono_ms, piece);
	if (rc == INPUT_END || rc == INPUT_BROKEN)
		in->over = rc;
	return rc;
}

unsigned input_padding(const struct input *in)
{
	return (unsigned)(in->filler - at_hand(in, in->filler));
}

void input_release(struct input *in)
{
	free(in->bytes);
	in->bytes = NULL;
}
