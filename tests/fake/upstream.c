/* tests/fake/upstream.c - an OpenAI-shaped provider that misbehaves on cue (cue.h), and the
 * mock provider of the benchmarks.
 *
 *     upstream [--port N] [--no-log]       prints "listening 127.0.0.1:PORT"
 *
 * POST …/chat/completions, …/completions, …/fim/completions, embeddings, what dialects.h knows,
 * GET …/models, GET /image.png, GET /_fake/log (record.h), POST /_fake/reset, POST
 * /_fake/rule/NAME (cue.h, place.h). One thread on epoll, HTTP/1.1 kept alive, loopback only.
 */
#include "tests/fake/put.h"
#include "tests/fake/text.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- connections ---- */

static void forget_answer(struct conn *c)
{
	if (c->answer)
		answer_fini(c->answer);
	free(c->answer);
	c->answer = NULL;
	record_leave(c->record);
	c->record = NULL;
	timer_stop(c);
}

static void drop(struct conn *c)
{
	const struct linger rst = { 1, 0 };

	if (c->reset_at_end)
		(void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
	else if (c->record && !c->record->done_us)
		c->record->cancelled_us = clock_mono_us();
	forget_answer(c);
	close(c->fd);
	buf_fini(&c->in);
	buf_fini(&c->out);
	free(c);
	fake.open--;
}

static void watch(struct conn *c, bool write)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP | (write ? EPOLLOUT : 0u),
		.data.ptr = c };

	if (write == c->wants_write)
		return;
	c->wants_write = write;
	(void)epoll_ctl(fake.epoll, EPOLL_CTL_MOD, c->fd, &ev);
}

/* Sends what waits. false when the peer has gone. */
static bool flush(struct conn *c)
{
	bool bytewise = c->answer && c->answer->ask.cue.bytewise;

	while (c->out_at < c->out.len) {
		size_t left = c->out.len - c->out_at;
		ssize_t n = send(c->fd, c->out.data + c->out_at, bytewise ? 1 : left, MSG_NOSIGNAL);

		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0)
			return false;
		c->out_at += (size_t)n;
		if (c->record && !c->record->first_us)
			c->record->first_us = clock_mono_us();
	}
	if (c->out_at == c->out.len) {
		buf_reset(&c->out);
		c->out_at = 0;
	}
	watch(c, c->out.len != 0);
	return true;
}

/* Goes on until something must be waited for. false when the connection is over. */
static bool advance(struct conn *c, int64_t now_ms)
{
	for (;;) {
		const struct cue *cue = c->answer ? &c->answer->ask.cue : NULL;

		if (c->phase == FIRST && cue && c->first_ms > now_ms) {
			if (cue->comments_ms && c->head_sent && c->due_ms <= now_ms)
				put_stream(c, SLICE(": PROCESSING\n\n"));
			if (c->due_ms <= now_ms)
				timer_start(c,
					cue->comments_ms && c->first_ms > now_ms + cue->comments_ms
						? now_ms + cue->comments_ms
						: c->first_ms);
		} else if (c->phase == FIRST && cue) {
			first_token(c);
		}
		while (c->phase == EVENTS && cue && c->due_ms <= now_ms &&
			c->out.len - c->out_at < OUT_FULL) {
			if (put_event(c) && cue->pace_ms)
				timer_start(c, now_ms + cue->pace_ms);
		}
		while (c->bigline_left && c->out.len - c->out_at < OUT_FULL)
			put_filler(c);
		if (!flush(c))
			return false;
		if (c->out.len || c->phase == PARKED || c->phase == READING)
			return true;
		if (c->phase == FIRST || (c->phase == EVENTS && c->due_ms > now_ms))
			return true;
		if (c->phase == EVENTS || c->bigline_left)
			continue;
		if (c->record)
			c->record->done_us = clock_mono_us();
		forget_answer(c);
		if (c->close_at_end)
			return false;
		c->phase = READING;
		return true;
	}
}

/* ---- requests ---- */

static const struct shape shapes[] = {
	{ "/chat/completions", ask_read, answer_write, answer_event },
	{ "/fim/completions", fim_read, answer_write, fim_event },
	{ "/completions", text_read, text_write, text_event },
};

/* native: the request in a dialect, of which words has what shape reads; NULL = words is it. */
static void generate(struct conn *c, const struct shape *shape, struct slice words,
	const struct wire *wire, const struct native *native)
{
	struct ask ask;
	struct err e;
	int64_t now_ms = clock_mono_ms();

	if (shape->read(&ask, words, &e)) {
		put_refusal(c, 400, e.message);
		return;
	}
	if (ask.cue.reset) {
		c->reset_at_end = c->close_at_end = true;
		c->phase = ENDING;
		return;
	}
	c->answer = calloc(1, sizeof(*c->answer));
	if (!c->answer)
		abort();
	answer_init(c->answer, &ask, native ? native->body : words, ++fake.answers,
		clock_wall_ms() / 1000);
	c->answer->shape = shape;
	if (native)
		wire_begin(wire, native, c->answer);
	c->chunked = !ask.cue.close;
	c->close_at_end = ask.cue.close;
	c->phase = FIRST;
	c->first_ms = now_ms + ask.cue.ttft_ms;
	c->due_ms = now_ms;
	if (ask.cue.early && ask.stream && !ask.cue.jsonstream && ask.cue.body == BODY_ANSWER)
		put_stream_head(c);
}

/* A chat in another dialect; false when the path is none of theirs. */
static bool native_chat(struct conn *c, struct slice head, struct slice target, struct slice body)
{
	struct native n = { .head = head, .query = target, .body = body };
	struct buf words = { .max_bytes = BODY_MAX };
	const struct wire *wire = wire_of(slice_cut(&target, '?'));
	unsigned status;

	if (!wire)
		return false;
	status = wire_read(wire, &n, &words);
	if (status)
		put_json(c, status, buf_slice(&words));
	else
		generate(c, &shapes[0], buf_slice(&words), wire, &n);
	buf_fini(&words);
	native_fini(&n);
	return true;
}

/* Embeddings; false when the path is none of theirs. */
static bool embed(struct conn *c, struct slice path, struct slice body)
{
	static const char *const paths[] = { "/embeddings", ":batchEmbedContents", "/v2/embed",
		"/feature-extraction" };
	const struct json_limits limits = { .max_depth = 200, .max_keys = 100000 };
	struct buf b = { .max_bytes = BODY_MAX };
	struct ask ask = { .cue = { .cut = CUE_NEVER } };
	struct json_value tree = { JSON_OBJECT, body };
	struct err e;
	bool ours = false;

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
		ours |= slice_ends(path, paths[i]);
	if (!ours)
		return false;
	fake.answers++;
	cue_read(&ask.cue, body);
	if (json_scan(body, &limits, NULL, 0, &e))
		put_refusal(c, 400, e.message);
	else if (ask.cue.status)
		put_refusal(c, ask.cue.status, "The fake provider refuses to embed.");
	else if (ask.cue.silence)
		c->phase = PARKED;
	else if (!embed_write(path, tree, &ask.cue, &b))
		put_refusal(c, 400, "There is nothing to embed.");
	else
		put_json(c, 200, buf_slice(&b));
	buf_fini(&b);
	return true;
}

static void picture(struct conn *c, bool big)
{
	struct buf b = { 0 };

	picture_write(big, &b);
	put_head(c, 200, "image/png", "", (int64_t)b.len);
	buf_slice_append(&c->out, buf_slice(&b));
	c->phase = ENDING;
	buf_fini(&b);
}

static void models(struct conn *c)
{
	put_json(c, 200,
		SLICE("{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o-mini\",\"object\":\"model\","
		      "\"created\":1700000000,\"owned_by\":\"fake\"}]}"));
}

static void show_log(struct conn *c)
{
	struct buf b = { .max_bytes = (size_t)512 << 20 };

	records_write(&fake.records, fake.open, &b);
	c->out.max_bytes = (size_t)512 << 20;
	put_json(c, 200, buf_slice(&b));
	buf_fini(&b);
}

/* What the tests want. */
static void told(struct conn *c, struct slice path, struct slice body)
{
	if (slice_is(path, "/_fake/log")) {
		show_log(c);
	} else if (slice_starts(path, "/_fake/rule/")) {
		if (place_rule(&fake.places, slice_from(path, strlen("/_fake/rule")), body))
			put_json(c, 200, SLICE("{}"));
		else
			put_refusal(c, 400, "There is no room for this rule.");
	} else {
		records_reset(&fake.records);
		fake.places.count = 0;
		memset(fake.places.at, 0, sizeof(fake.places.at));
		put_json(c, 200, SLICE("{}"));
	}
}

static void dispatch(struct conn *c, struct slice head, struct slice body)
{
	struct slice rest = head, line = slice_cut(&rest, '\n');
	struct slice method = slice_cut(&line, ' '), target = slice_cut(&line, ' ');
	struct slice path = target;

	path = slice_cut(&path, '?');
	c->head_sent = c->reset_at_end = c->close_at_end = c->told_continue = false;
	c->next = 0;
	buf_reset(&c->out);
	c->out_at = 0;
	if (slice_starts(path, "/_fake/")) {
		told(c, path, body);
		return;
	}
	place_enter(&fake.places, path);
	c->record = record_new(&fake.records, head, body);
	for (size_t i = 0; slice_is(method, "POST") && i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (slice_ends(path, shapes[i].path)) {
			generate(c, &shapes[i], body, NULL, NULL);
			return;
		}
	if (slice_is(method, "POST") &&
		(embed(c, path, body) || native_chat(c, head, target, body)))
		return;
	if (slice_is(method, "GET") && slice_ends(path, "/models"))
		models(c);
	else if (slice_is(path, "/image.png") || slice_is(path, "/big.png"))
		picture(c, slice_is(path, "/big.png"));
	else
		put_refusal(c, 404, "The fake provider does not know this path.");
}

/* Takes one whole request from c->in, if there is one. false on a bad one. */
static bool take_request(struct conn *c)
{
	struct slice head = buf_slice(&c->in), lines, line, name;
	int64_t length = 0;
	const char *end = head.len ? memmem(head.ptr, head.len, "\r\n\r\n", 4) : NULL;
	bool expect = false;

	if (head.len && (head.ptr[0] < 'A' || head.ptr[0] > 'Z'))
		return false; /* no HTTP: a TLS handshake, for one */
	if (!end)
		return head.len < HEAD_MAX;
	head.len = (size_t)(end - head.ptr) + 4;
	lines = head;
	while (lines.len) {
		line = slice_trim(slice_cut(&lines, '\n'));
		name = slice_cut(&line, ':');
		if (slice_is_nocase(name, "content-length") &&
			!str_int(slice_trim(line), 0, (int64_t)BODY_MAX, &length))
			return false;
		if (slice_is_nocase(name, "transfer-encoding"))
			return false;
		expect = expect || slice_is_nocase(name, "expect");
	}
	if (c->in.len < head.len + (size_t)length) {
		if (expect && !c->told_continue)
			buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
		c->told_continue = true;
		return true;
	}
	dispatch(c, head, (struct slice){ head.ptr + head.len, (size_t)length });
	buf_drop(&c->in, head.len + (size_t)length);
	if (!c->in.len)
		buf_fini(&c->in);
	return true;
}

static bool on_readable(struct conn *c)
{
	for (;;) {
		size_t want = c->in.len > 65536 ? (size_t)1 << 20 : 16384;
		char *room = buf_room(&c->in, want);
		ssize_t n;

		if (!room)
			return false;
		n = recv(c->fd, room, want, 0);
		if (n < 0 && errno == EAGAIN)
			break;
		if (n <= 0)
			return false;
		buf_commit(&c->in, (size_t)n);
		if ((size_t)n < want)
			break;
	}
	if (c->phase != READING)
		return true;
	return take_request(c);
}

static void on_event(struct conn *c, uint32_t events)
{
	bool alive = true;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		alive = on_readable(c);
	if (alive)
		alive = advance(c, clock_mono_ms());
	while (alive && c->phase == READING && c->in.len && !c->told_continue) {
		size_t before = c->in.len;

		alive = take_request(c) && advance(c, clock_mono_ms());
		if (alive && c->in.len == before)
			break;
	}
	if (!alive)
		drop(c);
}

static void on_connect(int listener)
{
	const int on = 1;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct conn *c = calloc(1, sizeof(*c));
		struct epoll_event ev = { .events = EPOLLIN | EPOLLRDHUP, .data.ptr = c };

		if (!c)
			abort();
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		c->fd = fd;
		buf_init(&c->in, BODY_MAX + HEAD_MAX);
		fake.open++;
		fake.records.connections++;
		if (epoll_ctl(fake.epoll, EPOLL_CTL_ADD, fd, &ev))
			drop(c);
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	socklen_t n = sizeof(a);
	const int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
		bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 4096) ||
		getsockname(fd, (struct sockaddr *)&a, &n)) {
		perror("upstream: cannot listen");
		return -1;
	}
	printf("listening 127.0.0.1:%u\n", (unsigned)ntohs(a.sin_port));
	fflush(stdout);
	return fd;
}

static void serve(int listener)
{
	struct epoll_event ev = { .events = EPOLLIN }, events[256];

	fake.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (fake.epoll < 0 || epoll_ctl(fake.epoll, EPOLL_CTL_ADD, listener, &ev))
		abort();
	for (;;) {
		int64_t now_ms = clock_mono_ms();
		int64_t wait_ms = fake.heap_n ? fake.heap[1]->due_ms - now_ms : 60000;
		int n = epoll_wait(fake.epoll, events, 256,
			wait_ms < 0       ? 0
			: wait_ms > 60000 ? 60000
					  : (int)wait_ms);

		for (int i = 0; i < n; i++)
			if (events[i].data.ptr)
				on_event(events[i].data.ptr, events[i].events);
			else
				on_connect(listener);
		now_ms = clock_mono_ms();
		while (fake.heap_n && fake.heap[1]->due_ms <= now_ms) {
			struct conn *c = fake.heap[1];

			timer_stop(c);
			if (!advance(c, now_ms))
				drop(c);
		}
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int64_t port = 0;
	int listener;

	for (int i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--no-log")) {
			fake.records.off = true;
		} else if (!strcmp(argv[i], "--port") && i + 1 < argc &&
			   str_int(slice_of(argv[i + 1]), 0, 65535, &port)) {
			i++;
		} else {
			fprintf(stderr, "usage: upstream [--port N] [--no-log]\n");
			return 2;
		}
	}
	signal(SIGPIPE, SIG_IGN);
	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	listener = listen_on((uint16_t)port);
	if (listener < 0)
		return 1;
	serve(listener);
	return 0;
}
