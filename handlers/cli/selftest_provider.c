#include "handlers/cli/selftest_provider.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define FAULTS_MAX      SELFTEST_MODELS_MAX
#define CONNECTIONS_MAX 64
#define REQUEST_MAX     ((size_t)1 << 20)
#define REQUEST_MS      10000
#define KEPT_WAITING_MS 300000 /* no setting's limit is reached later */
#define STEP_MS         50
#define CUT_AFTER       20 /* words */
#define STACK_BYTES     ((size_t)256 << 10)

struct selftest_provider {
	int listening, closed; /* sockets */
	uint16_t port, closed_port;
	const char *secret;
	pthread_t thread;
	atomic_bool ends;
	atomic_uint connections;
	atomic_uint asked[FAULTS_MAX][SELFTEST_PLACES], left[FAULTS_MAX][SELFTEST_PLACES];
};

struct connection {
	struct selftest_provider *p;
	int fd;
	struct buf in;
	struct slice body; /* of the request, in in */
	size_t fault, place;
	bool stream;
};

/* ---- bytes ---- */

static bool send_all(struct connection *c, struct slice s)
{
	while (s.len) {
		ssize_t n = send(c->fd, s.ptr, s.len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		s = slice_from(s, (size_t)n);
	}
	return true;
}

static bool send_buf(struct connection *c, struct buf *b)
{
	bool sent = buf_ok(b) && send_all(c, buf_slice(b));

	buf_fini(b);
	return sent;
}

/* Waits until something comes, or nobody is there any more. */
static bool await_bytes(struct connection *c, int64_t until_ms)
{
	struct pollfd fd = { .fd = c->fd, .events = POLLIN };

	while (!atomic_load(&c->p->ends) && clock_mono_ms() < until_ms)
		if (poll(&fd, 1, STEP_MS) > 0)
			return true;
	return false;
}

/* The length of the body that a head announces. */
static int64_t body_bytes(struct slice head)
{
	int64_t n = 0;

	while (head.len) {
		struct slice line = slice_cut(&head, '\n'), name = slice_cut(&line, ':');

		if (slice_is_nocase(name, "content-length") &&
			!str_int(slice_trim(line), 0, REQUEST_MAX, &n))
			return -1;
	}
	return n;
}

/* Reads a whole request; *head becomes its head. */
static bool read_request(struct connection *c, struct slice *head)
{
	int64_t until_ms = clock_mono_ms() + REQUEST_MS, body = 0;
	const char *end = NULL;

	while (!end || c->in.len < head->len + 4 + (size_t)body) {
		char *room = buf_room(&c->in, 16384);
		ssize_t n;

		if (!room || !await_bytes(c, until_ms))
			return false;
		n = recv(c->fd, room, 16384, 0);
		if (n <= 0)
			return false;
		buf_commit(&c->in, (size_t)n);
		end = memmem(c->in.data, c->in.len, "\r\n\r\n", 4);
		if (!end)
			continue;
		*head = (struct slice){ c->in.data, (size_t)(end - c->in.data) };
		body = body_bytes(*head);
		if (body < 0)
			return false;
	}
	c->body = (struct slice){ c->in.data + head->len + 4, (size_t)body };
	return true;
}

/* ---- what is answered ---- */

static void put_head(struct buf *out, int status, const char *type, const char *more)
{
	buf_printf(out, "HTTP/1.1 %d Self-test\r\nContent-Type: %s\r\nConnection: close\r\n%s",
		status, type, more);
}

static bool send_whole(struct connection *c, int status, const char *type, const char *more,
	struct slice body, size_t missing)
{
	struct buf out = { .max_bytes = REQUEST_MAX };

	put_head(&out, status, type, more);
	buf_printf(&out, "Content-Length: %zu\r\n\r\n", body.len + missing);
	buf_slice_append(&out, body);
	return send_buf(c, &out);
}

static bool send_error(
	struct connection *c, int status, const char *more, const char *code, const char *message)
{
	char body[400];

	(void)snprintf(body, sizeof(body),
		"{\"error\":{\"message\":\"%s\",\"type\":\"%s\",\"param\":null,\"code\":\"%s\"}}",
		message, status < 500 ? "invalid_request_error" : "server_error", code);
	return send_whole(c, status, "application/json", more, slice_of(body), 0);
}

/* A piece of the body of a stream. */
static bool send_chunk(struct connection *c, struct slice s)
{
	struct buf out = { .max_bytes = REQUEST_MAX };

	buf_printf(&out, "%zx\r\n", s.len);
	buf_slice_append(&out, s);
	buf_str(&out, "\r\n");
	return send_buf(c, &out);
}

static bool send_text(struct connection *c, const char *text)
{
	return send_chunk(c, slice_of(text));
}

static bool begin_stream(struct connection *c)
{
	struct buf out = { .max_bytes = 4096 };

	put_head(&out, 200, "text/event-stream", "Transfer-Encoding: chunked\r\n\r\n");
	return send_buf(c, &out);
}

static bool end_stream(struct connection *c)
{
	return send_all(c, SLICE("0\r\n\r\n"));
}

#define CALL_HEAD \
	"[{\"index\":0,\"id\":\"call_selftest\",\"type\":\"function\",\"function\":{\"name\":" \
	"\"weather\",\"arguments\":"

/* The first from..to (not included) of the pieces of an answer's middle: words, or pieces of the
 * call's arguments. */
static void put_delta(struct connection *c, bool other, unsigned i, struct buf *out)
{
	char word[8];

	if (!selftest_faults[c->fault].calls) {
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

static unsigned pieces(const struct connection *c)
{
	return selftest_faults[c->fault].calls ? sizeof(SELFTEST_ARGUMENTS) : SELFTEST_WORDS;
}

#define USAGE "{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"total_tokens\":%d}"
#define USAGE_FIGURES \
	SELFTEST_PROMPT_TOKENS, SELFTEST_WORDS, SELFTEST_PROMPT_TOKENS + SELFTEST_WORDS

#define EVENT \
	"data: {\"id\":\"selftest\",\"object\":\"chat.completion.chunk\",\"created\":1700000000," \
	"\"model\":\"selftest\",\"choices\":"

static bool send_pieces(struct connection *c, bool other, unsigned to)
{
	for (unsigned i = 0; i < to; i++) {
		struct buf out = { .max_bytes = 4096 };
		bool sent;

		buf_str(&out, EVENT "[{\"index\":0,\"delta\":{");
		buf_str(&out, i ? "" : "\"role\":\"assistant\",");
		put_delta(c, other, i, &out);
		buf_str(&out, "},\"finish_reason\":null}]}\n\n");
		sent = buf_ok(&out) && send_chunk(c, buf_slice(&out));
		buf_fini(&out);
		if (!sent)
			return false;
	}
	return true;
}

static bool send_finish(struct connection *c)
{
	char event[512];

	(void)snprintf(event, sizeof(event),
		EVENT "[{\"index\":0,\"delta\":{},\"finish_reason\":\"%s\"}]}\n\n" EVENT
		      "[],\"usage\":" USAGE "}\n\n",
		selftest_faults[c->fault].calls ? "tool_calls" : "stop", USAGE_FIGURES);
	return send_text(c, event);
}

static bool answer_stream(struct connection *c, bool done)
{
	return begin_stream(c) && send_pieces(c, false, pieces(c)) && send_finish(c) &&
	       (!done || send_text(c, "data: [DONE]\n\n")) && end_stream(c);
}

/* missing: so many bytes of the body never come. */
static bool answer_whole(struct connection *c, size_t missing)
{
	struct buf body = { .max_bytes = REQUEST_MAX };
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

/* Says nothing more until the other side leaves, or this program ends. */
static void keep_waiting(struct connection *c)
{
	char byte;

	if (await_bytes(c, clock_mono_ms() + KEPT_WAITING_MS) && recv(c->fd, &byte, 1, 0) <= 0)
		atomic_fetch_add(&c->p->left[c->fault][c->place], 1);
}

static void reset(struct connection *c)
{
	const struct linger now = { .l_onoff = 1, .l_linger = 0 };

	(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

static void cut(struct connection *c, bool other)
{
	if (!c->stream)
		(void)answer_whole(c, 100);
	else if (begin_stream(c) && send_pieces(c, other, CUT_AFTER))
		/* A chunk that is longer than what comes of it. */
		(void)send_all(c, SLICE("400\r\ndata: {\"id\":\"self"));
}

static void fail_in_stream(struct connection *c, const char *event)
{
	(void)(begin_stream(c) && send_text(c, event) && end_stream(c));
}

#define ERROR_EVENT \
	"data: {\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"," \
	"\"code\":500}}\n\n"

static void act(struct connection *c, enum selftest_act act)
{
	switch (act) {
	case ACT_ANSWER:
		(void)(c->stream ? answer_stream(c, true) : answer_whole(c, 0));
		return;
	case ACT_429:
	case ACT_429_SOON:
	case ACT_429_LATER:
		(void)send_error(c, 429,
			act == ACT_429        ? ""
			: act == ACT_429_SOON ? "Retry-After: 1\r\n"
					      : "Retry-After: 60\r\n",
			"rate_limit_exceeded", "Rate limit reached");
		return;
	case ACT_SAME:
	case ACT_500:
		(void)send_error(c, 500, "", "server_error", "The server had an error");
		return;
	case ACT_503:
		(void)send_error(c, 503, "", "overloaded", "The server is overloaded");
		return;
	case ACT_RESET:
		reset(c);
		return;
	case ACT_SILENT:
		keep_waiting(c);
		return;
	case ACT_SLOW:
		if (begin_stream(c))
			keep_waiting(c);
		return;
	case ACT_CUT:
	case ACT_OTHER_CUT:
		cut(c, act == ACT_OTHER_CUT);
		return;
	case ACT_STALL:
		if (begin_stream(c) && send_pieces(c, false, CUT_AFTER))
			keep_waiting(c);
		return;
	case ACT_NO_DONE:
		(void)answer_stream(c, false);
		return;
	case ACT_NO_FINISH:
		(void)(begin_stream(c) && send_pieces(c, false, CUT_AFTER) && end_stream(c));
		return;
	case ACT_GARBAGE:
		fail_in_stream(c, "data: {\"id\":\"selftest\",\"choi\n\n");
		return;
	case ACT_ERROR_200:
		if (c->stream)
			fail_in_stream(c, ERROR_EVENT);
		else
			(void)send_error(c, 200, "", "server_error", "The server had an error");
		return;
	case ACT_ERROR_LATE:
		(void)(begin_stream(c) && send_pieces(c, false, CUT_AFTER) &&
			send_text(c, ERROR_EVENT) && end_stream(c));
		return;
	case ACT_HTML:
		(void)send_whole(c, 200, "text/html", "",
			SLICE("<!DOCTYPE html><html><body>Down for maintenance</body></html>"), 0);
		return;
	case ACT_EMPTY:
		fail_in_stream(c, ": nothing\n\n");
		return;
	case ACT_TOO_LONG:
		(void)send_error(c, 400, "", "context_length_exceeded",
			"This model's maximum context length is 8192 tokens");
		return;
	case ACT_REFUSED:
		(void)send_error(c, 400, "", "content_filter",
			"The response was filtered due to the content policy");
		return;
	case ACT_BAD_KEY:
		(void)send_error(c, 401, "", "invalid_api_key", "Incorrect API key provided");
		return;
	}
}

/* ---- a connection ---- */

static bool brings_secret(const struct connection *c, struct slice head)
{
	while (head.len) {
		struct slice line = slice_cut(&head, '\n'), name = slice_cut(&line, ':');
		size_t n = strlen(c->p->secret);

		line = slice_trim(line);
		if (slice_is_nocase(name, "authorization"))
			return slice_starts_nocase(line, "bearer ") && line.len == 7 + n &&
			       crypto_equal(line.ptr + 7, c->p->secret, n);
	}
	return false;
}

/* Which provider is asked for which fault? */
static bool understand(struct connection *c, struct slice head)
{
	struct slice path = head;
	struct json_object *tree = NULL;
	const char *model;
	struct err e;
	bool known = false;

	slice_cut(&path, '/');
	if (json_read(c->body, 100, &tree, &e))
		return false;
	model = json_member_str(tree, "model", "");
	c->stream = json_member_bool(tree, "stream", false);
	for (size_t i = 0; i < selftest_fault_count; i++)
		if (strcmp(selftest_faults[i].name, model) == 0) {
			c->fault = i;
			known = true;
		}
	json_object_put(tree);
	for (c->place = 0; known && selftest_faults[c->fault].at[c->place]; c->place++)
		if (path.len &&
			path.ptr[0] == '0' + selftest_place(selftest_faults[c->fault].at[c->place]))
			return true;
	return false;
}

static enum selftest_act next_act(struct connection *c)
{
	const struct selftest_fault *f = &selftest_faults[c->fault];
	const uint8_t *acts = f->acts[c->place];
	unsigned n = atomic_fetch_add(&c->p->asked[c->fault][c->place], 1), count = 0;

	while (count < SELFTEST_ACTS && acts[count] != ACT_SAME)
		count++;
	if (!count)
		return ACT_SAME;
	if (f->cycles)
		n %= count;
	return (enum selftest_act)acts[n < count ? n : count - 1];
}

static void *serve(void *ctx)
{
	struct connection *c = ctx;
	struct slice head = { "", 0 };

	if (read_request(c, &head)) {
		if (!brings_secret(c, head))
			(void)send_error(c, 401, "", "invalid_api_key", "No key of this test");
		else if (!understand(c, head))
			(void)send_error(c, 404, "", "model_not_found", "No fault of this test");
		else
			act(c, next_act(c));
	}
	close(c->fd);
	buf_fini(&c->in);
	atomic_fetch_sub(&c->p->connections, 1);
	free(c);
	return NULL;
}

static void take(struct selftest_provider *p, int fd)
{
	const struct timeval patience = { .tv_sec = REQUEST_MS / 1000 };
	struct connection *c = calloc(1, sizeof(*c));
	pthread_attr_t attributes;
	pthread_t thread;

	if (!c || atomic_load(&p->connections) >= CONNECTIONS_MAX) {
		free(c);
		close(fd);
		return;
	}
	*c = (struct connection){ .p = p, .fd = fd, .in = { .max_bytes = REQUEST_MAX + 65536 } };
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	atomic_fetch_add(&p->connections, 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	if (pthread_create(&thread, &attributes, serve, c) != 0) {
		atomic_fetch_sub(&p->connections, 1);
		close(fd);
		free(c);
	}
	pthread_attr_destroy(&attributes);
}

static void *listen_to(void *ctx)
{
	struct selftest_provider *p = ctx;
	struct pollfd fd = { .fd = p->listening, .events = POLLIN };

	while (!atomic_load(&p->ends)) {
		int taken = poll(&fd, 1, STEP_MS) > 0
				    ? accept4(p->listening, NULL, NULL, SOCK_CLOEXEC)
				    : -1;

		if (taken >= 0)
			take(p, taken);
	}
	return NULL;
}

/* ---- all of it ---- */

static int bind_somewhere(uint16_t *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t n = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	if (bind(fd, (const struct sockaddr *)(const void *)&address, n) != 0 ||
		getsockname(fd, (struct sockaddr *)(void *)&address, &n) != 0) {
		close(fd);
		return -1;
	}
	*port = ntohs(address.sin_port);
	return fd;
}

enum err_code selftest_provider_start(
	const char *secret, struct selftest_provider **out, struct err *e)
{
	struct selftest_provider *p = calloc(1, sizeof(*p));
	int failed;

	*out = NULL;
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "no memory for the providers of the test");
	p->secret = secret;
	p->listening = bind_somewhere(&p->port);
	/* Bound, so that nobody else gets it, but not listening: connections are refused. */
	p->closed = bind_somewhere(&p->closed_port);
	failed = p->listening < 0 || p->closed < 0 || listen(p->listening, 128) != 0 ? errno : 0;
	if (!failed)
		failed = pthread_create(&p->thread, NULL, listen_to, p);
	if (!failed) {
		*out = p;
		return ERR_OK;
	}
	if (p->listening >= 0)
		close(p->listening);
	if (p->closed >= 0)
		close(p->closed);
	free(p);
	return err_errno(e, failed, "no port of 127.0.0.1 can be had");
}

void selftest_provider_stop(struct selftest_provider *p)
{
	if (!p)
		return;
	atomic_store(&p->ends, true);
	pthread_join(p->thread, NULL);
	while (atomic_load(&p->connections))
		poll(NULL, 0, STEP_MS);
	close(p->listening);
	close(p->closed);
	free(p);
}

uint16_t selftest_provider_port(const struct selftest_provider *p)
{
	return p->port;
}

uint16_t selftest_provider_closed_port(const struct selftest_provider *p)
{
	return p->closed_port;
}

unsigned selftest_provider_asked(const struct selftest_provider *p, size_t fault, size_t place)
{
	return atomic_load(&p->asked[fault][place]);
}

unsigned selftest_provider_left(const struct selftest_provider *p, size_t fault, size_t place)
{
	return atomic_load(&p->left[fault][place]);
}
