/* tests/unit/scripted.h - a provider whose every byte is written by the test, and a client on a
 * socket: for the tests of the pump and the relay. */
#ifndef TESTS_UNIT_SCRIPTED_H
#define TESTS_UNIT_SCRIPTED_H

#include "base/clock.h"
#include "fcgi/out.h"
#include "gateway/chat.h"
#include "gateway/providers/openai_like.h"
#include "gateway/relay.h"
#include "tests/unit/relay_alone.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

/* ---- the provider ---- */

struct peer {
	struct provider_script *server;
	int fd;
	int nth; /* request on this connection, from 0 */
};

/* Answers one request; true = the connection goes on. */
typedef bool (*script)(struct peer *p);

struct provider_script {
	int fd;
	unsigned port;
	_Atomic(script) play;
	bool reads_body;           /* before the script plays */
	atomic_int accepted, open; /* connections */
	atomic_int playing;        /* scripts that have not ended */
	atomic_int left;           /* connections that the gateway closed first */
	pthread_t thread;
};

static void say(struct peer *p, const char *text)
{
	size_t n = strlen(text);

	while (n) {
		ssize_t sent = send(p->fd, text, n, MSG_NOSIGNAL);

		if (sent <= 0)
			return;
		text += sent;
		n -= (size_t)sent;
	}
}

static inline void say_chunk(struct peer *p, const char *text)
{
	char size[24];

	snprintf(size, sizeof(size), "%zx\r\n", strlen(text));
	say(p, size);
	say(p, text);
	say(p, "\r\n");
}

static inline void say_events_head(struct peer *p)
{
	say(p, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n");
}

/* Waits until the gateway closes the connection; false after 5 s. */
static inline bool leaves(struct peer *p)
{
	struct pollfd f = { .fd = p->fd, .events = POLLIN };
	char bytes[4096];

	while (poll(&f, 1, 5000) > 0)
		if (recv(p->fd, bytes, sizeof(bytes), 0) <= 0) {
			p->server->left++;
			return true;
		}
	return false;
}

static inline void reset(struct peer *p)
{
	const struct linger rst = { 1, 0 };

	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &rst, sizeof(rst));
}

/* Reads a request, with its body when the server does; false when there is none. */
static bool hear(struct peer *p)
{
	struct buf in = { 0 };
	const char *end = NULL, *length;
	size_t want = 0;
	bool good;

	while (!end || (p->server->reads_body && in.len < want)) {
		char *room = buf_room(&in, 65536);
		ssize_t n = room ? recv(p->fd, room, 65536, 0) : 0;

		if (n <= 0)
			break;
		buf_commit(&in, (size_t)n);
		end = memmem(in.data, in.len, "\r\n\r\n", 4);
		if (end && !want) {
			length = memmem(in.data, in.len, "Content-Length: ", 16);
			want = (size_t)(end + 4 - in.data) +
			       (length ? strtoul(length + 16, NULL, 10) : 0);
		}
	}
	good = end != NULL;
	buf_fini(&in);
	return good;
}

static bool play_one(struct peer *p)
{
	bool goes_on;

	p->server->playing++;
	goes_on = atomic_load(&p->server->play)(p);
	p->server->playing--;
	return goes_on;
}

/* server->left, when what was played before counts already. */
static inline int left_before(const struct provider_script *s)
{
	for (int i = 0; s->playing && i < 600; i++)
		usleep(10000);
	return s->left;
}

static void *converse(void *arg)
{
	struct peer *p = arg;

	while (hear(p) && play_one(p))
		p->nth++;
	close(p->fd);
	p->server->open--;
	free(p);
	return NULL;
}

static void *accept_all(void *arg)
{
	struct provider_script *s = arg;
	const int on = 1, small = 65536; /* so that a gateway that does not read is felt */
	pthread_attr_t detached;
	pthread_t thread;
	int fd;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	while ((fd = accept(s->fd, NULL, NULL)) >= 0) {
		struct peer *p = calloc(1, sizeof(*p));

		if (!p)
			abort();
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
		p->server = s;
		p->fd = fd;
		s->accepted++;
		s->open++;
		if (pthread_create(&thread, &detached, converse, p))
			abort();
	}
	pthread_attr_destroy(&detached);
	return NULL;
}

static void script_start(struct provider_script *s, script play)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t n = sizeof(a);

	*s = (struct provider_script){ .play = play, .reads_body = true };
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(s->fd >= 0);
	assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(s->fd, 1024), 0);
	assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &n), 0);
	s->port = ntohs(a.sin_port);
	assert_int_equal(pthread_create(&s->thread, NULL, accept_all, s), 0);
}

/* The pump must be stopped before, so that all connections end. */
static void script_stop(struct provider_script *s)
{
	shutdown(s->fd, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	close(s->fd);
	for (int i = 0; s->open && i < 600; i++)
		usleep(10000);
	assert_int_equal(s->open, 0);
}

/* ---- one request ---- */

struct call {
	const char *url; /* NULL = the scripted provider */
	bool stream, include_usage;
	bool byok;         /* with the caller's own key */
	size_t body_bytes; /* of padding in the message */
	unsigned n;        /* choices; 0 = nothing is said of them */
	struct relay_conf conf;
	int client[2]; /* [0] is ours, [1] the gateway's */
	/* after */
	enum err_code rc;
	struct err e;
	struct relay_result res;
	struct buf seen;
};

static inline struct call call_of(bool stream)
{
	return (struct call){ .stream = stream,
		.client = { -1, -1 },
		.conf = { .connect_ms = 3000,
			.first_byte_ms = 5000,
			.idle_ms = 5000,
			.client_stall_ms = 5000,
			.deadline_ms = 20000,
			.max_event_bytes = 16384,
			.max_answer_bytes = 65536 } };
}

static void open_client(struct call *c)
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, c->client), 0);
	assert_int_equal(fcntl(c->client[1], F_SETFL, O_NONBLOCK), 0);
}

static inline void place_call(struct pump *pump, const struct provider_script *s, struct call *c)
{
	static const struct json_limits limits = { .max_depth = 20, .max_keys = 100 };
	const struct sink_head head = { .status = 200,
		.content_type = "text/event-stream",
		.length = -1,
		.streaming = c->stream };
	char url[64];
	struct buf body = { 0 };
	struct target t = { .provider = &provider_openai,
		.quirks = quirks_of("lab"),
		.slug = "lab",
		.base_url = c->url ? c->url : url,
		.chat_path = "/chat/completions",
		.auth = "bearer",
		.api_key = "k",
		.public_id = "lab/m",
		.native_id = "m" };
	struct chat_req req;
	struct out out;
	struct relay_client to = { .sink = &out.sink };

	snprintf(url, sizeof(url), "http://127.0.0.1:%u/v1", s ? s->port : 0);
	buf_str(&body, "{\"model\":\"lab/m\",\"messages\":[{\"role\":\"user\",\"content\":\"");
	for (size_t i = 0; i < c->body_bytes; i++)
		buf_char(&body, 'x');
	buf_printf(&body, "\"}],\"stream\":%s", c->stream ? "true" : "false");
	if (c->n)
		buf_printf(&body, ",\"n\":%u", c->n);
	buf_char(&body, '}');
	if (chat_parse(buf_slice(&body), &limits, &req, NULL))
		abort();
	req.include_usage = c->include_usage;
	if (c->client[0] < 0)
		open_client(c);
	out_init(&out, c->client[1], false, 1);
	c->rc = relay_chat(pump, &c->conf,
		&(struct relay_call){ .target = &t,
			.req = &req,
			.client = &to,
			.head = &head,
			.prices = &(struct cost_facts){ .byok = c->byok } },
		"req_1", &c->res, &c->e);
	(void)sink_write(&out.sink, buf_slice(&c->res.ending));
	out_fini(&out);
	buf_fini(&body);
	close(c->client[1]);
}

/* Takes what the client has got, up to the end. */
static inline void read_all(struct call *c)
{
	char bytes[65536];
	ssize_t n;

	while ((n = recv(c->client[0], bytes, sizeof(bytes), 0)) > 0)
		buf_append(&c->seen, bytes, (size_t)n);
}

static inline void end_call(struct call *c)
{
	close(c->client[0]);
	relay_result_fini(&c->res);
	buf_fini(&c->seen);
}

static inline bool saw(struct call *c, const char *text)
{
	return memmem(buf_slice(&c->seen).ptr, c->seen.len, text, strlen(text)) != NULL;
}

/* ---- events ---- */

#define CHUNK(delta, finish) \
	"data: {\"id\":\"a\",\"object\":\"chat.completion.chunk\",\"created\":1767225600," \
	"\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":" delta ",\"finish_reason\":" finish \
	"}]}\n\n"
#define HELLO CHUNK("{\"role\":\"assistant\",\"content\":\"Hel\"}", "null")
#define STOP  CHUNK("{}", "\"stop\"")
#define DONE  "data: [DONE]\n\n"
#define WHOLE \
	"{\"id\":\"a\",\"created\":1767225600,\"choices\":[{\"index\":0,\"message\":{\"role\":" \
	"\"assistant\",\"content\":\"Four.\"},\"finish_reason\":\"stop\"}]}"

static struct pump *new_pump(const char *ca_file)
{
	const struct pump_conf conf = { .ca_file = ca_file, .proxy = "", .http2 = true };
	struct pump *p;

	signal(SIGPIPE, SIG_IGN);
	assert_int_equal(pump_start(&conf, &p, NULL), ERR_OK);
	return p;
}

#endif
