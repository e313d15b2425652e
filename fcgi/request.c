#include "fcgi/request_open.h"
#include "base/clock.h"
#include "fcgi/input.h"
#include "fcgi/out.h"
#include "fcgi/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRAIN_BYTES_MAX ((uint64_t)64 << 20) /* of a body nobody wants */
#define DRAIN_MS        5000
#define LINGER_MS       500  /* for a peer that still sends when the answer has gone */
#define LAST_WORDS_MS   5000 /* for an answer that the handler left to us */
#define FIRST_BYTES     ((size_t)16 << 10) /* of a body of unknown length */
#define MARKED_MAX      64

struct request {
	struct out out;
	struct input *in; /* NULL under CGI */
	char **params;
	uint16_t marks[MARKED_MAX]; /* of the names of the first params */
	size_t marked;
	int in_fd;
	int flags_before; /* of a CGI's standard output */
	char *path;
	char *body;
	size_t body_len;
	bool body_asked;
	bool body_broken; /* nothing more can be read, though it did not end */
	enum err_code body_rc;
	int64_t announced; /* bytes of the body; -1 = to its end */
	int64_t consumed;  /* of them */
	bool finished;
	bool ended; /* the end of the answer has gone out */
};

/* ---- what the web server says ---- */

/* What tells most names apart at a glance: many begin alike (HTTP_), and a request asks for some
 * twenty of thirty. */
static uint16_t mark_of(const char *name, size_t len)
{
	return (uint16_t)((len & 0xff) << 8 | (len ? (uint8_t)name[len - 1] : 0));
}

static void mark_names(struct request *rq)
{
	size_t n = 0;

	for (; n < MARKED_MAX && rq->params[n]; n++) {
		const char *param = rq->params[n];

		rq->marks[n] = mark_of(param, (size_t)(strchrnul(param, '=') - param));
	}
	rq->marked = n;
}

/* The value of the next param from *at on with this name, or NULL behind the last. */
static const char *next_value(const struct request *rq, size_t *at, const char *name)
{
	size_t len = strlen(name), marked = rq->marked, i = *at;
	uint16_t mark = mark_of(name, len);
	const char *param;

	for (;; i++) {
		while (i < marked && rq->marks[i] != mark)
			i++;
		param = rq->params[i];
		if (!param)
			return NULL;
		if (strncmp(param, name, len) == 0 && param[len] == '=')
			break;
	}
	*at = i + 1;
	return param + len + 1;
}

enum err_code request_check(const struct request *rq, struct err *e)
{
	const char *name = NULL;

	switch (rq->in ? input_fault(rq->in, &name) : INPUT_WELL) {
	case INPUT_HAS_NUL:
		return err_set(e, ERR_BAD_REQUEST, "the request's variable %.64s holds a NUL byte",
			*name ? name : "without a name");
	case INPUT_TOO_LARGE:
		return err_set(e, ERR_BAD_REQUEST,
			"the request's headers and variables are larger than %zu bytes together",
			INPUT_PARAMS_MAX);
	case INPUT_WELL:
		break;
	}
	return ERR_OK;
}

const char *request_param(const struct request *rq, const char *name)
{
	size_t at = 0;

	return next_value(rq, &at, name);
}

unsigned request_param_count(const struct request *rq, const char *name)
{
	size_t at = 0;
	unsigned n = 0;

	while (next_value(rq, &at, name))
		n++;
	return n;
}

static const char *param_or_empty(const struct request *rq, const char *name)
{
	const char *value = request_param(rq, name);

	return value ? value : "";
}

const char *request_header(const struct request *rq, const char *name)
{
	char variable[128] = "HTTP_";
	size_t n = 5;

	if (slice_is_nocase(slice_of(name), "Content-Type") ||
		slice_is_nocase(slice_of(name), "Content-Length"))
		n = 0;
	for (; *name; name++) {
		if (n + 1 >= sizeof(variable))
			return NULL;
		if (*name == '-')
			variable[n++] = '_';
		else
			variable[n++] =
				*name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
	}
	variable[n] = '\0';
	return request_param(rq, variable);
}

const char *request_method(const struct request *rq)
{
	return param_or_empty(rq, "REQUEST_METHOD");
}

static bool find_path(const struct request *rq, char *dst, size_t size)
{
	const char *target = param_or_empty(rq, "REQUEST_URI");
	const char *script = param_or_empty(rq, "SCRIPT_NAME");
	const char *info = param_or_empty(rq, "PATH_INFO");
	char both[REQUEST_PATH_MAX + 1];
	int n;

	if (*target)
		return path_of_target(slice_of(target), dst, size);
	n = snprintf(both, sizeof(both), "%s%s", script, info);
	return n >= 0 && (size_t)n < sizeof(both) && path_of_decoded(slice_of(both), dst, size);
}

const char *request_path(const struct request *rq)
{
	return rq->path;
}

struct slice request_query(const struct request *rq)
{
	struct slice query = slice_of(param_or_empty(rq, "QUERY_STRING"));

	if (!query.len) {
		query = slice_of(param_or_empty(rq, "REQUEST_URI"));
		(void)slice_cut(&query, '?');
	}
	return query.len ? query : SLICE("");
}

bool request_query_get(const struct request *rq, const char *name, char *dst, size_t size)
{
	return path_query_get(request_query(rq), name, dst, size);
}

/* ---- its begin ---- */

static int64_t announced_length(const struct request *rq)
{
	const char *text = request_param(rq, "CONTENT_LENGTH");
	int64_t n;

	/* Web servers say nothing, "" or "0" where there is no body and where they do not know. */
	if (!text || !str_int(slice_of(text), 1, INT64_MAX, &n))
		return -1;
	return n;
}

static void start(struct request *rq, int out_fd, bool framed, uint16_t id)
{
	char path[REQUEST_PATH_MAX + 1];

	mark_names(rq);
	out_init(&rq->out, out_fd, framed, id);
	rq->out.is_head = !strcmp(request_method(rq), "HEAD");
	rq->announced = announced_length(rq);
	if (find_path(rq, path, sizeof(path)))
		rq->path = strdup(path); /* without memory there is no path, which is an error */
}

struct request *request_open_fcgi(int fd, int64_t read_timeout_ms)
{
	struct request *rq = calloc(1, sizeof(*rq));

	if (!rq) {
		close(fd);
		return NULL;
	}
	rq->in_fd = fd;
	rq->in = input_open(fd, clock_mono_ms() + read_timeout_ms);
	if (!rq->in) {
		free(rq);
		return NULL;
	}
	rq->params = input_params(rq->in);
	start(rq, fd, true, (uint16_t)input_request_id(rq->in));
	if (!input_is_for_responder(rq->in)) {
		out_refuse_role(&rq->out);
		rq->finished = true;
		rq->ended = true;
		request_close(rq, 0);
		return NULL;
	}
	return rq;
}

struct request *request_open_cgi(char **params, int in_fd, int out_fd)
{
	struct request *rq = calloc(1, sizeof(*rq));

	if (!rq)
		return NULL;
	rq->in_fd = in_fd;
	rq->params = params;
	start(rq, out_fd, false, 0);
	rq->flags_before = fcntl(out_fd, F_GETFL);
	(void)fcntl(out_fd, F_SETFL, rq->flags_before | O_NONBLOCK);
	return rq;
}

/* ---- the body ---- */

/* Waits for bytes on a CGI's standard input. */
static bool wait_for_input(const struct request *rq, int64_t ms)
{
	struct pollfd p = { .fd = rq->in_fd, .events = POLLIN };

	return poll(&p, 1, ms > 60000 ? 60000 : (int)ms) > 0;
}

/* Reads into buffer, whose size is at least 1. Under CGI nothing obliges the web server to close
 * standard input behind the last byte it announced, so no more than that is waited for. */
static enum input_read read_pipe(
	struct request *rq, char *buffer, size_t size, int64_t left_ms, struct slice *piece)
{
	ssize_t n;

	do {
		bool enough = rq->announced >= 0 && rq->consumed >= rq->announced;

		if (!wait_for_input(rq, enough ? 0 : left_ms))
			return enough ? INPUT_END : INPUT_TIMEOUT;
		n = read(rq->in_fd, buffer, size);
	} while (n < 0 && (errno == EINTR || errno == EAGAIN));
	*piece = (struct slice){ buffer, n > 0 ? (size_t)n : 0 };
	if (n < 0)
		return INPUT_BROKEN;
	return n ? INPUT_BYTES : INPUT_END;
}

/* The next piece of the body: lent by rq->in, or read into buffer under CGI. */
static enum input_read next_piece(struct request *rq, char *buffer, size_t size,
	int64_t deadline_mono_ms, struct slice *piece)
{
	enum input_read got;

	if (rq->in) {
		got = input_read(rq->in, deadline_mono_ms, piece);
	} else {
		int64_t left_ms = deadline_mono_ms - clock_mono_ms();

		if (left_ms <= 0)
			return INPUT_TIMEOUT;
		got = read_pipe(rq, buffer, size, left_ms, piece);
	}
	if (got == INPUT_BYTES)
		rq->consumed += (int64_t)piece->len;
	rq->out.input_over = got == INPUT_END;
	if (got == INPUT_END && rq->in)
		rq->out.skip = input_padding(rq->in);
	rq->body_broken = got == INPUT_BROKEN || (got == INPUT_TIMEOUT && rq->in);
	return got;
}

static bool make_room(struct request *rq, size_t *cap, size_t need)
{
	size_t want = *cap;
	char *body;

	if (need <= *cap)
		return true;
	while (want < need)
		want = want > SIZE_MAX / 2 ? need : want * 2;
	body = realloc(rq->body, want);
	if (!body)
		return false;
	rq->body = body;
	*cap = want;
	return true;
}

static enum err_code too_large(size_t max_bytes, const char *setting, struct err *e)
{
	return err_param(e, ERR_TOO_LARGE, setting,
		"the request body is larger than %zu bytes (%s)", max_bytes, setting);
}

static enum err_code check_length(
	const struct request *rq, enum input_read got, int64_t timeout_ms, struct err *e)
{
	if (got == INPUT_TIMEOUT)
		return err_set(e, ERR_BODY_TIMEOUT,
			"the request body did not arrive within %lld ms (%zu bytes came)",
			(long long)timeout_ms, rq->body_len);
	if (got == INPUT_BROKEN)
		return err_set(e, ERR_BAD_REQUEST,
			"the connection ended in the middle of the request body");
	if (rq->announced >= 0 && rq->announced != rq->consumed)
		return err_param(e, ERR_BAD_REQUEST, "Content-Length",
			"the request body has %s bytes than its Content-Length of %lld",
			rq->consumed < rq->announced ? "fewer" : "more", (long long)rq->announced);
	return ERR_OK;
}

static enum err_code read_body(struct request *rq, size_t max_bytes, const char *setting,
	int64_t timeout_ms, struct err *e)
{
	int64_t deadline_ms = clock_mono_ms() + timeout_ms;
	size_t cap = FIRST_BYTES;
	enum input_read got;

	if (rq->announced >= 0 && (uint64_t)rq->announced > max_bytes)
		return too_large(max_bytes, setting, e);
	/* One more byte than announced, so that a longer body is noticed. */
	if (rq->announced >= 0)
		cap = (size_t)rq->announced + 1;
	rq->body = malloc(cap);
	if (!rq->body)
		return err_set(e, ERR_NO_MEMORY, "no memory for the request body");
	for (;;) {
		struct slice piece;

		got = next_piece(
			rq, rq->body + rq->body_len, cap - rq->body_len, deadline_ms, &piece);
		if (got != INPUT_BYTES)
			break;
		if (piece.len > max_bytes - rq->body_len)
			return too_large(max_bytes, setting, e);
		if (rq->announced >= 0 && rq->consumed > rq->announced)
			break;
		if (!make_room(rq, &cap, rq->body_len + piece.len + 1))
			return err_set(e, ERR_NO_MEMORY, "no memory for the request body");
		if (rq->in)
			memcpy(rq->body + rq->body_len, piece.ptr, piece.len);
		rq->body_len += piece.len;
	}
	return check_length(rq, got, timeout_ms, e);
}

enum err_code request_read_body(struct request *rq, size_t max_bytes, const char *setting,
	int64_t timeout_ms, struct slice *body, struct err *e)
{
	*body = SLICE("");
	if (!rq->body_asked) {
		rq->body_asked = true;
		rq->body_rc = read_body(rq, max_bytes, setting, timeout_ms, e);
		if (rq->body_rc) {
			free(rq->body);
			rq->body = NULL;
			rq->body_len = 0;
		}
	} else if (rq->body_rc) {
		return err_set(e, rq->body_rc, "the request body could not be read");
	}
	if (!rq->body_rc && rq->body_len)
		*body = (struct slice){ rq->body, rq->body_len };
	return rq->body_rc;
}

/* Is there, or may there be, a body that nobody has read? */
static bool has_unread(const struct request *rq)
{
	if (rq->out.input_over || rq->body_broken)
		return false;
	/* FastCGI input always ends. A CGI's may stay open for ever where nothing was announced;
	 * a chunked body has no length there. */
	return rq->in || rq->announced >= 0 || request_param(rq, "HTTP_TRANSFER_ENCODING");
}

void request_done_reading(struct request *rq)
{
	int64_t deadline_ms = clock_mono_ms() + DRAIN_MS;
	uint64_t drained = 0;
	char buffer[4096];
	struct slice piece;

	while (has_unread(rq) && drained < DRAIN_BYTES_MAX &&
		next_piece(rq, buffer, sizeof(buffer), deadline_ms, &piece) == INPUT_BYTES)
		drained += piece.len;
	if (rq->in)
		input_release(rq->in);
	if (!rq->out.input_over)
		rq->body_broken = true;
}

/* ---- the answer ---- */

struct sink *request_sink(struct request *rq)
{
	return &rq->out.sink;
}

uint64_t request_bytes_out(const struct request *rq)
{
	return rq->out.bytes;
}

static enum err_code finish(struct request *rq, const struct sink_head *head,
	const struct slice *body, int64_t timeout_ms, struct err *e)
{
	struct slice bytes = body ? *body : SLICE("");
	enum err_code rc;

	/* A second head cannot be sent; the end behind a cut answer would make it look whole. */
	if (!head != rq->out.begun)
		return err_set(e, ERR_INTERNAL,
			head ? "the answer has begun already" : "the answer has no head");
	if (head) {
		struct sink_head whole = *head;

		if (whole.length < 0)
			whole.length = (int64_t)bytes.len;
		(void)sink_begin(&rq->out.sink, &whole); /* out_finish() says what went wrong */
	}
	rc = out_finish(&rq->out, bytes, clock_mono_ms() + timeout_ms, e);
	rq->ended = rc != ERR_CLIENT_GONE;
	return rc;
}

enum err_code request_finish(struct request *rq, const struct sink_head *head,
	const struct slice *body, int64_t timeout_ms, struct err *e)
{
	if (rq->finished)
		return ERR_OK;
	rq->finished = true;
	request_done_reading(rq);
	return finish(rq, head, body, timeout_ms, e);
}

static void answer_for_handler(struct request *rq, int status)
{
	struct sink_head head = {
		.status = status, .content_type = "application/json", .length = -1
	};
	struct err e;
	struct buf text, extra;
	struct slice body;
	enum err_code code;

	buf_init(&text, 4096);
	buf_init(&extra, 256);
	if (status == 503)
		code = err_set(&e, ERR_BUSY, "too many requests at once; try again in a second");
	else
		code = err_set(&e, ERR_INTERNAL, "the request was left without an answer");
	if (code == ERR_BUSY && head_add(&extra, "Retry-After", "1"))
		head.extra = buf_slice(&extra);
	err_write_json(&e, NULL, &text);
	body = buf_slice(&text);
	request_done_reading(rq);
	(void)finish(rq, &head, &body, LAST_WORDS_MS, NULL);
	buf_fini(&text);
	buf_fini(&extra);
}

/* Closing a socket with unread input makes the kernel tell the peer of a reset, for which some
 * throw away the answer. Happens only where the body was not read to its end. */
static void linger(int fd)
{
	int64_t deadline_ms = clock_mono_ms() + LINGER_MS, left_ms;
	char rest[4096];

	if (shutdown(fd, SHUT_WR) < 0)
		return;
	while ((left_ms = deadline_ms - clock_mono_ms()) > 0) {
		struct pollfd p = { .fd = fd, .events = POLLIN };

		if (poll(&p, 1, (int)left_ms) > 0 &&
			recv(fd, rest, sizeof(rest), MSG_DONTWAIT) <= 0)
			return;
	}
}

void request_close(struct request *rq, int otherwise_status)
{
	if (!rq)
		return;
	if (!rq->finished && !rq->out.begun)
		answer_for_handler(rq, otherwise_status);
	if (rq->in) {
		if (rq->ended && !rq->out.input_over)
			linger(rq->in_fd);
		close(rq->in_fd);
		input_close(rq->in);
	} else {
		(void)fcntl(rq->out.fd, F_SETFL, rq->flags_before);
	}
	out_fini(&rq->out);
	free(rq->path);
	free(rq->body);
	free(rq);
}
