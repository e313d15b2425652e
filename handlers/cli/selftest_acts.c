#include "handlers/cli/selftest_acts.h"

#include "base/buf.h"
#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

#define KEPT_WAITING_MS 300000 /* no setting's limit is reached later */
#define STEP_MS         50
#define CUT_AFTER       20 /* words */
#define ANSWER_MAX      ((size_t)1 << 20)

/* ---- bytes ---- */

static bool send_all(const struct selftest_asked *c, struct slice s)
{
	while (s.len) {
		ssize_t n = send(c->fd, s.ptr, s.len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		s = slice_from(s, (size_t)n);
	}
	return true;
}

static bool send_buf(const struct selftest_asked *c, struct buf *b)
{
	bool sent = buf_ok(b) && send_all(c, buf_slice(b));

	buf_fini(b);
	return sent;
}

bool selftest_await(int socket, const atomic_bool *ends, int64_t until_ms)
{
	struct pollfd fd = { .fd = socket, .events = POLLIN };

	while (!atomic_load(ends) && clock_mono_ms() < until_ms)
		if (poll(&fd, 1, STEP_MS) > 0)
			return true;
	return false;
}

/* ---- what is answered ---- */

static void put_head(struct buf *out, int status, const char *type, const char *more)
{
	buf_printf(out, "HTTP/1.1 %d Self-test\r\nContent-Type: %s\r\nConnection: close\r\n%s",
		status, type, more);
}

static bool send_whole(const struct selftest_asked *c, int status, const char *type,
	const char *more, struct slice body, size_t missing)
{
	struct buf out = { .max_bytes = ANSWER_MAX };

	put_head(&out, status, type, more);
	buf_printf(&out, "Content-Length: %zu\r\n\r\n", body.len + missing);
	buf_slice_append(&out, body);
	return send_buf(c, &out);
}

bool selftest_refuse(const struct selftest_asked *c, int status, const char *more, const char *code,
	const char *message)
{
	char body[400];

	(void)snprintf(body, sizeof(body),
		"{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
		message, status < 500 ? "invalid_request_error" : "server_error", code);
	return send_whole(c, status, "application/json", more, slice_of(body), 0);
}

/* A piece of the body of a stream. */
static bool send_chunk(const struct selftest_asked *c, struct slice s)
{
	struct buf out = { .max_bytes = ANSWER_MAX };

	buf_printf(&out, "%zx\r\n", s.len);
	buf_slice_append(&out, s);
	buf_str(&out, "\r\n");
	return send_buf(c, &out);
}

static bool send_text(const struct selftest_asked *c, const char *text)
{
	return send_chunk(c, slice_of(text));
}

static bool begin_stream(const struct selftest_asked *c)
{
	struct buf out = { .max_bytes = 4096 };

	put_head(&out, 200, "text/event-stream", "Transfer-Encoding: chunked\r\n\r\n");
	return send_buf(c, &out);
}

static bool end_stream(const struct selftest_asked *c)
{
	return send_all(c, SLICE("0\r\n\r\n"));
}

#define CALL_HEAD \
	"[{\"index\":0,\"id\":\"call_selftest\",\"type\":\"function\",\"function\":{\"name\":" \
	"\"weather\",\"arguments\":"

/* Piece i of an answer's middle: a word, or what the call begins with and then a byte of its
 * arguments. */
static void put_delta(const struct selftest_asked *c, bool other, unsigned i, struct buf *out)
{
	char word[8];

	if (!c->fault->calls) {
		selftest_word(other, i, word);
		buf_printf(out, "\"content\":\"%s\"", word);
		return;
	}
	if (i == 0) {
		buf_str(out, "\"content\":null,\"tool_calls\":" CALL_HEAD "\"\"}}]");
		return;
	}
	buf_str(out, "\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":");
	buf_json_str(out, (struct slice){ &SELFTEST_ARGUMENTS[i - 1], 1 });
	buf_str(out, "}}]");
}

static unsigned pieces(const struct selftest_asked *c)
{
	return c->fault->calls ? sizeof(SELFTEST_ARGUMENTS) : SELFTEST_WORDS;
}

#define USAGE "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}"
#define USAGE_FIGURES \
	SELFTEST_PROMPT_TOKENS, SELFTEST_WORDS, SELFTEST_PROMPT_TOKENS + SELFTEST_WORDS

#define EVENT \
	"data: {\"id\":\"selftest\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
	"\"model\":\"selftest\",\"choices\":"

/* Pieces from .. to, which is not among them. */
static bool send_pieces(const struct selftest_asked *c, bool other, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct buf out = { .max_bytes = 4096 };
		bool sent;

		buf_str(&out, EVENT "[{\"index\":0,\"delta\":{");
		buf_str(&out, i > from ? "" : "\"role\":\"assistant\",");
		put_delta(c, other, i, &out);
		buf_str(&out, "},\"finish_reason\":null}]}\n\n");
		sent = buf_ok(&out) && send_chunk(c, buf_slice(&out));
		buf_fini(&out);
		if (!sent)
			return false;
	}
	return true;
}

static bool send_finish(const struct selftest_asked *c)
{
	char event[512];

	(void)snprintf(event, sizeof(event),
		EVENT "[{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]}\n\n" EVENT
		      "[],\"usage\":" USAGE "}\n\n",
		c->fault->calls ? "tool_calls" : "stop", USAGE_FIGURES);
	return send_text(c, event);
}

static bool answer_stream(const struct selftest_asked *c, bool done)
{
	return begin_stream(c) && send_pieces(c, false, 0, pieces(c)) && send_finish(c) &&
	       (!done || send_text(c, "data: [DONE]\n\n")) && end_stream(c);
}

/* missing: so many bytes of the body never come. */
static bool answer_whole(const struct selftest_asked *c, size_t missing)
{
	struct buf body = { .max_bytes = ANSWER_MAX };
	bool sent;

	buf_str(&body, "{\"id\":\"selftest\",\"object\":\"chat.completion\",\"created\":1700000000,"
		       "\"model\":\"selftest\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
		       "\"assistant\",\"content\":\"");
	for (unsigned i = 0; i < SELFTEST_WORDS; i++) {
		char word[8];

		selftest_word(false, i, word);
		buf_str(&body, word);
	}
	buf_printf(&body, "\"},\"finish_reason\":\"stop\"}],\"usage\":" USAGE "}", USAGE_FIGURES);
	sent = send_whole(c, 200, "application/json", "",
		slice_first(buf_slice(&body), body.len - missing), missing);
	buf_fini(&body);
	return sent;
}

/* Says nothing more until the other side leaves, or this program ends. Has it left? */
static bool keep_waiting(const struct selftest_asked *c)
{
	char byte;

	return selftest_await(c->fd, c->ends, clock_mono_ms() + KEPT_WAITING_MS) &&
	       recv(c->fd, &byte, 1, 0) <= 0;
}

static void reset(const struct selftest_asked *c)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void cut(const struct selftest_asked *c, bool other)
{
	if (!c->stream)
		(void)answer_whole(c, 100);
	else if (begin_stream(c) && send_pieces(c, other, 0, CUT_AFTER))
		/* A chunk that is longer than what comes of it. */
		(void)send_all(c, SLICE("400\r\ndata: {\"id\":\"self"));
}

static void fail_in_stream(const struct selftest_asked *c, const char *event)
{
	(void)(begin_stream(c) && send_text(c, event) && end_stream(c));
}

#define ERROR_EVENT \
	"data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"," \
	"\"code\":500}}\n\n"

bool selftest_act(const struct selftest_asked *c, enum selftest_act act)
{
	switch (act) {
	case ACT_ANSWER:
		(void)(c->stream ? answer_stream(c, true) : answer_whole(c, 0));
		return false;
	case ACT_429:
	case ACT_429_SOON:
	case ACT_429_LATER:
		(void)selftest_refuse(c, 429,
			act == ACT_429        ? ""
			: act == ACT_429_SOON ? "Retry-After: 1\r\n"
					      : "Retry-After: 60\r\n",
			"rate_limit_exceeded", "Rate limit reached");
		return false;
	case ACT_SAME:
	case ACT_500:
		(void)selftest_refuse(c, 500, "", "server_error", "The server had an error");
		return false;
	case ACT_503:
		(void)selftest_refuse(c, 503, "", "overloaded", "The server is overloaded");
		return false;
	case ACT_RESET:
		reset(c);
		return false;
	case ACT_SILENT:
		return keep_waiting(c);
	case ACT_SLOW:
		return begin_stream(c) && keep_waiting(c);
	case ACT_CONTINUE:
		(void)(begin_stream(c) && send_pieces(c, !c->has, c->has, pieces(c)) &&
			send_finish(c) && send_text(c, "data: [DONE]\n\n") && end_stream(c));
		return false;
	case ACT_CUT:
	case ACT_OTHER_CUT:
		cut(c, act == ACT_OTHER_CUT);
		return false;
	case ACT_STALL:
		return begin_stream(c) && send_pieces(c, false, 0, CUT_AFTER) && keep_waiting(c);
	case ACT_NO_DONE:
		(void)answer_stream(c, false);
		return false;
	case ACT_NO_FINISH:
		(void)(begin_stream(c) && send_pieces(c, false, 0, CUT_AFTER) && end_stream(c));
		return false;
	case ACT_GARBAGE:
		fail_in_stream(c, "data: {\"id\":\"selftest\",\"choi\n\n");
		return false;
	case ACT_ERROR_200:
		if (c->stream)
			fail_in_stream(c, ERROR_EVENT);
		else
			(void)selftest_refuse(
				c, 200, "", "server_error", "The server had an error");
		return false;
	case ACT_ERROR_LATE:
		(void)(begin_stream(c) && send_pieces(c, false, 0, CUT_AFTER) &&
			send_text(c, ERROR_EVENT) && end_stream(c));
		return false;
	case ACT_HTML:
		(void)send_whole(c, 200, "text/html", "",
			SLICE("<!DOCTYPE html><html><body>Down for maintenance</body></html>"), 0);
		return false;
	case ACT_EMPTY:
		fail_in_stream(c, ": nothing\n\n");
		return false;
	case ACT_TOO_LONG:
		(void)selftest_refuse(c, 400, "", "context_length_exceeded",
			"This model's maximum context length is 8192 tokens");
		return false;
	case ACT_REFUSED:
		(void)selftest_refuse(c, 400, "", "content_filter",
			"The response was filtered due to the content policy");
		return false;
	case ACT_BAD_KEY:
		(void)selftest_refuse(c, 401, "", "invalid_api_key", "Incorrect API key provided");
		return false;
	}
	return false;
}
