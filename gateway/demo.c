#include "gateway/demo.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "gateway/demo_answer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD_MAX         ((size_t)16 << 10)
#define READ_BYTES       ((size_t)64 << 10)
#define OUT_LOW          ((size_t)64 << 10) /* a stream adds events while less is waiting */
#define OUT_MAX          ((size_t)64 << 20)
#define SILENCE_MS       60000
#define CONNECTIONS      256
#define REQUEST_SILENCES 5 /* a whole request arrives within this many silences */
#define THREAD_STACK     ((size_t)256 << 10)

enum phase {
	READ_HEAD,
	READ_BODY,
	STREAMING, /* answer makes more when out has room and the pace allows */
	SENDING,   /* out is all there is */
};

struct conn {
	int fd; /* -1 = free */
	enum phase phase;
	bool keep;
	struct buf in, out;
	size_t sent;   /* bytes of out that are gone */
	size_t length; /* of the body */
	bool post;
	enum { OTHER, COMPLETIONS, MODELS } path;
	struct demo_answer answer;
	int64_t moved_ms;   /* a byte went either way */
	int64_t request_ms; /* the request's first byte came; 0 = none yet */
	int64_t next_ms;    /* the next token may go */
};

struct server {
	struct demo_limits limits;
	struct conn *conns;
	struct pollfd *polls; /* listener, stop, then the connections */
	size_t bodies_bytes;
	uint64_t answers;
	int64_t now_ms;
	bool is_unix;
};

/* ---- answering ---- */

static void put_head(struct conn *c, int status, const char *type, int64_t length)
{
	static const struct {
		int status;
		const char *text;
	} texts[] = { { 200, "OK" }, { 400, "Bad Request" }, { 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 411, "Length Required" },
		{ 413, "Content Too Large" }, { 431, "Request Header Fields Too Large" },
		{ 503, "Service Unavailable" }, { 505, "HTTP Version Not Supported" } };
	const char *text = "Error";

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].status == status)
			text = texts[i].text;
	buf_printf(&c->out, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nConnection: %s\r\n", status,
		text, type, c->keep ? "keep-alive" : "close");
	if (length >= 0)
		buf_printf(&c->out, "Content-Length: %lld\r\n\r\n", (long long)length);
	else
		buf_str(&c->out, "Transfer-Encoding: chunked\r\n\r\n");
}

static void send_whole(struct conn *c, int status, struct buf *body)
{
	put_head(c, status, "application/json", (int64_t)body->len);
	buf_slice_append(&c->out, buf_slice(body));
	c->phase = SENDING;
	buf_fini(body);
}

static void send_error(struct conn *c, const struct err *e)
{
	struct buf body = { 0 };

	err_write_json(e, NULL, &body);
	send_whole(c, err_status(e), &body);
}

/* For a request whose end is unknown or unwanted: the connection cannot go on. */
static void refuse(struct conn *c, int status, const char *why)
{
	struct err e;

	(void)!err_set(&e, ERR_BAD_REQUEST, "%s", why);
	e.status = status;
	c->keep = false;
	send_error(c, &e);
}

static void complete(struct server *s, struct conn *c, struct slice body)
{
	struct buf text = { .max_bytes = OUT_MAX };
	struct err e;

	if (demo_answer_open(&c->answer, body, clock_wall_ms() / 1000, &e)) {
		send_error(c, &e);
		return;
	}
	c->answer.serial = ++s->answers;
	if (c->answer.stream) {
		put_head(c, 200, "text/event-stream", -1);
		c->phase = STREAMING;
		c->next_ms = s->now_ms;
		return;
	}
	demo_answer_write(&c->answer, &text);
	demo_answer_fini(&c->answer);
	send_whole(c, 200, &text);
}

static void answer(struct server *s, struct conn *c)
{
	struct buf text = { 0 };

	if (c->path == OTHER) {
		struct err e;

		(void)!err_set(&e, ERR_BAD_PATH,
			"the demonstration has /chat/completions and /models only");
		e.status = 404;
		send_error(c, &e);
	} else if (c->post != (c->path == COMPLETIONS)) {
		struct err e;

		(void)!err_set(&e, ERR_METHOD, "POST /chat/completions, GET /models");
		send_error(c, &e);
	} else if (c->path == MODELS) {
		demo_answer_models(&text);
		send_whole(c, 200, &text);
	} else {
		complete(s, c, slice_first(buf_slice(&c->in), c->length));
	}
	buf_drop(&c->in, c->length);
	s->bodies_bytes -= c->length;
	c->length = 0;
	if (c->in.len == 0)
		buf_fini(&c->in);
}

/* Events as chunks, as long as out has room and the pace allows. */
static void more_events(struct server *s, struct conn *c)
{
	struct buf event = { 0 };

	while (c->phase == STREAMING && c->out.len - c->sent < OUT_LOW && s->now_ms >= c->next_ms) {
		enum demo_next next;

		buf_reset(&event);
		next = demo_answer_next(&c->answer, &event);
		if (next == DEMO_END) {
			buf_str(&c->out, "0\r\n\r\n");
			demo_answer_fini(&c->answer);
			c->phase = SENDING;
			break;
		}
		buf_printf(&c->out, "%zx\r\n", event.len);
		buf_slice_append(&c->out, buf_slice(&event));
		buf_str(&c->out, "\r\n");
		c->out.failed = c->out.failed || !buf_ok(&event);
		if (next == DEMO_TOKEN && c->answer.story)
			c->next_ms = s->now_ms + s->limits.pace_ms;
	}
	buf_fini(&event);
}

/* ---- reading a request ---- */

static bool read_request_line(struct conn *c, struct slice line)
{
	struct slice method = slice_cut(&line, ' ');
	struct slice target = slice_cut(&line, ' ');
	struct slice path = slice_cut(&target, '?');

	if (!slice_is(line, "HTTP/1.1")) {
		refuse(c, 505, "only HTTP/1.1 is spoken here");
		return false;
	}
	c->post = slice_is(method, "POST");
	c->path = slice_ends(path, "/chat/completions") ? COMPLETIONS
		  : slice_ends(path, "/models")         ? MODELS
							: OTHER;
	return true;
}

static bool read_header(struct conn *c, struct slice line, bool *has_length, bool *expects)
{
	struct slice name = slice_cut(&line, ':'), value = slice_trim(line);
	int64_t n;

	if (slice_is_nocase(name, "content-length")) {
		if (*has_length || !str_int(value, 0, INT64_MAX, &n)) {
			refuse(c, 400, "a bad Content-Length");
			return false;
		}
		*has_length = true;
		if ((uint64_t)n > DEMO_BODY_MAX) {
			refuse(c, 413, "a request has at most 33 MiB");
			return false;
		}
		c->length = (size_t)n;
	} else if (slice_is_nocase(name, "transfer-encoding")) {
		refuse(c, 411, "send a Content-Length");
		return false;
	} else if (slice_is_nocase(name, "connection")) {
		c->keep = !slice_is_nocase(value, "close");
	} else if (slice_is_nocase(name, "expect")) {
		*expects = slice_is_nocase(value, "100-continue");
	}
	return true;
}

static void read_head(struct server *s, struct conn *c)
{
	const char *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;
	bool has_length = false, expects = false, good = true;
	struct slice head;

	if (!end || (size_t)(end - c->in.data) > HEAD_MAX) {
		if (c->in.len > HEAD_MAX)
			refuse(c, 431, "the header has at most 16 KiB");
		return;
	}
	head = slice_first(buf_slice(&c->in), (size_t)(end - c->in.data) + 2);
	c->keep = true;
	c->length = 0;
	for (bool first = true; good && head.len; first = false) {
		struct slice line = slice_trim(slice_cut(&head, '\n'));

		good = first ? read_request_line(c, line)
			     : read_header(c, line, &has_length, &expects);
	}
	if (good && c->post && !has_length) {
		refuse(c, 411, "send a Content-Length");
		good = false;
	}
	if (good && c->length > DEMO_BODIES_MAX - s->bodies_bytes) {
		refuse(c, 503, "too many large requests at one time; try again");
		good = false;
	}
	if (!good) {
		c->length = 0;
		return;
	}
	buf_drop(&c->in, (size_t)(end - c->in.data) + 4);
	s->bodies_bytes += c->length;
	c->phase = READ_BODY;
	if (expects && c->in.len < c->length)
		buf_str(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
}

/* ---- connections ---- */

static void drop(struct server *s, struct conn *c)
{
	close(c->fd);
	if (c->phase == READ_BODY)
		s->bodies_bytes -= c->length;
	if (c->phase == STREAMING)
		demo_answer_fini(&c->answer);
	buf_fini(&c->in);
	buf_fini(&c->out);
	*c = (struct conn){ .fd = -1 };
}

/* Takes what the peer sent, as far as this request may need it; false when it has left. */
static bool receive(struct server *s, struct conn *c)
{
	char *room = buf_room(&c->in, READ_BYTES);
	ssize_t n = room ? recv(c->fd, room, READ_BYTES, MSG_DONTWAIT) : -1;

	if (!room || n == 0)
		return false;
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	buf_commit(&c->in, (size_t)n);
	c->moved_ms = s->now_ms;
	if (!c->request_ms)
		c->request_ms = s->now_ms;
	return true;
}

static bool send_out(struct server *s, struct conn *c)
{
	ssize_t n;

	if (c->out.len == c->sent)
		return true;
	n = send(c->fd, c->out.data + c->sent, c->out.len - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	c->sent += (size_t)n;
	c->moved_ms = s->now_ms;
	if (c->sent == c->out.len) {
		buf_reset(&c->out);
		c->sent = 0;
	} else if (c->phase == STREAMING) {
		buf_drop(&c->out, c->sent);
		c->sent = 0;
	}
	return true;
}

/* Goes as far as it can without waiting; false when the connection is over. */
static bool advance(struct server *s, struct conn *c)
{
	do {
		if (c->phase == READ_HEAD)
			read_head(s, c);
		if (c->phase == READ_BODY && c->in.len >= c->length)
			answer(s, c);
		if (c->phase == STREAMING)
			more_events(s, c);
		if (!buf_ok(&c->out) || !send_out(s, c))
			return false;
		if (c->phase != SENDING || c->out.len)
			return true;
		if (!c->keep)
			return false;
		c->phase = READ_HEAD;
		c->request_ms = c->in.len ? s->now_ms : 0;
		buf_fini(&c->out);
		buf_init(&c->out, OUT_MAX);
	} while (c->in.len);
	return true;
}

static bool serve(struct server *s, struct conn *c, short events)
{
	bool reading = c->phase == READ_HEAD || c->phase == READ_BODY;
	int64_t silence = s->limits.silence_ms;

	if (events & (POLLERR | POLLNVAL))
		return false;
	if (!reading && (events & (POLLHUP | POLLRDHUP)))
		return false;
	if (reading && (events & (POLLIN | POLLHUP)) && !receive(s, c))
		return false;
	if (!advance(s, c))
		return false;
	/* A story at a slow pace is our silence, not the peer's. */
	if (c->phase == STREAMING && c->out.len == 0)
		return true;
	if (c->request_ms && (c->phase == READ_HEAD || c->phase == READ_BODY) &&
		s->now_ms - c->request_ms > REQUEST_SILENCES * silence)
		return false;
	return s->now_ms - c->moved_ms < silence;
}

/* An abstract socket has no file mode: only our own user may come in. */
static bool is_ours(const struct server *s, int fd)
{
	struct ucred peer;
	socklen_t size = sizeof(peer);

	return !s->is_unix || (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 &&
				      peer.uid == geteuid());
}

static void accept_one(struct server *s, int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (int i = 0; i < s->limits.connections && is_ours(s, fd); i++) {
		struct conn *c = &s->conns[i];

		if (c->fd >= 0)
			continue;
		*c = (struct conn){ .fd = fd, .moved_ms = s->now_ms };
		buf_init(&c->in, DEMO_BODY_MAX + HEAD_MAX + 2 * READ_BYTES);
		buf_init(&c->out, OUT_MAX);
		return;
	}
	close(fd);
}

/* What to wait for, and until when (-1 = for ever). */
static int prepare(struct server *s, int listen_fd, int stop_fd)
{
	int64_t wait = -1;
	bool has_room = false;

	for (int i = 0; i < s->limits.connections; i++) {
		struct conn *c = &s->conns[i];
		struct pollfd *p = &s->polls[2 + i];
		int64_t due;

		*p = (struct pollfd){ .fd = c->fd };
		if (c->fd < 0) {
			has_room = true;
			continue;
		}
		if (c->phase == READ_HEAD || c->phase == READ_BODY)
			p->events = POLLIN;
		else
			p->events = POLLRDHUP;
		if (c->out.len)
			p->events |= POLLOUT;
		due = c->phase == STREAMING && c->out.len == 0 ? c->next_ms
							       : c->moved_ms + s->limits.silence_ms;
		due = due > s->now_ms ? due - s->now_ms : 0;
		if (wait < 0 || due < wait)
			wait = due;
	}
	s->polls[0] = (struct pollfd){ .fd = has_room ? listen_fd : -1, .events = POLLIN };
	s->polls[1] = (struct pollfd){ .fd = stop_fd, .events = POLLIN };
	return wait > 3600000 ? 3600000 : (int)wait;
}

static enum err_code loop(struct server *s, int listen_fd, int stop_fd, struct err *e)
{
	for (;;) {
		int wait, n;

		s->now_ms = clock_mono_ms();
		wait = prepare(s, listen_fd, stop_fd);
		n = poll(s->polls, (nfds_t)s->limits.connections + 2, wait);
		if (n < 0 && errno != EINTR)
			return err_errno(e, errno, "the demonstration cannot wait");
		if (n < 0)
			continue;
		if (s->polls[1].revents)
			return ERR_OK;
		s->now_ms = clock_mono_ms();
		for (int i = 0; i < s->limits.connections; i++) {
			struct conn *c = &s->conns[i];

			if (c->fd >= 0 && !serve(s, c, s->polls[2 + i].revents))
				drop(s, c);
		}
		if (s->polls[0].revents)
			accept_one(s, listen_fd);
	}
}

enum err_code demo_serve_on(
	int listen_fd, const struct demo_limits *limits, int stop_fd, struct err *e)
{
	struct server s = { .limits = *limits };
	struct sockaddr_storage address;
	socklen_t size = sizeof(address);
	enum err_code rc;

	if (s.limits.silence_ms <= 0)
		s.limits.silence_ms = SILENCE_MS;
	if (s.limits.connections <= 0)
		s.limits.connections = CONNECTIONS;
	if (getsockname(listen_fd, (struct sockaddr *)&address, &size))
		return err_errno(e, errno, "the demonstration has no socket");
	s.is_unix = address.ss_family == AF_UNIX;
	s.conns = calloc((size_t)s.limits.connections, sizeof(*s.conns));
	s.polls = calloc((size_t)s.limits.connections + 2, sizeof(*s.polls));
	for (int i = 0; s.conns && i < s.limits.connections; i++)
		s.conns[i].fd = -1;
	rc = s.conns && s.polls
		     ? loop(&s, listen_fd, stop_fd, e)
		     : err_set(e, ERR_NO_MEMORY, "no memory for the demonstration's connections");
	for (int i = 0; s.conns && i < s.limits.connections; i++)
		if (s.conns[i].fd >= 0)
			drop(&s, &s.conns[i]);
	free(s.conns);
	free(s.polls);
	return rc;
}

enum err_code demo_serve(int port, int64_t pace_ms, void (*on_listen)(int port), struct err *e)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), on = 1;
	enum err_code rc;

	if (fd < 0)
		return err_errno(e, errno, "no socket for the demonstration");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 128) ||
		getsockname(fd, (struct sockaddr *)&address, &size)) {
		rc = err_errno(e, errno, "cannot listen on 127.0.0.1:%d", port);
	} else {
		on_listen(ntohs(address.sin_port));
		rc = demo_serve_on(fd, &(struct demo_limits){ .pace_ms = pace_ms }, -1, e);
	}
	close(fd);
	return rc;
}

/* ---- inside another program ---- */

static struct inside {
	pthread_mutex_t lock;
	bool runs;
	int fd;
	int64_t pace_ms;
	char name[80];
} inside = { .lock = PTHREAD_MUTEX_INITIALIZER, .fd = -1 };

static void *run(void *unused)
{
	struct err e;

	(void)unused;
	/* Ends only when poll() itself fails; callers then see a refused connection. */
	(void)!demo_serve_on(inside.fd, &(struct demo_limits){ .pace_ms = inside.pace_ms }, -1, &e);
	close(inside.fd);
	return NULL;
}

static enum err_code listen_inside(struct err *e)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	uint8_t random[8];
	char hex[2 * sizeof(random) + 1];
	size_t n;

	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), hex);
	snprintf(inside.name, sizeof(inside.name), "tollgate-demo-%ld-%s", (long)getpid(), hex);
	n = strlen(inside.name);
	memcpy(address.sun_path + 1, inside.name, n);
	inside.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (inside.fd < 0)
		return err_errno(e, errno, "no socket for the demonstration");
	if (bind(inside.fd, (struct sockaddr *)&address,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) ||
		listen(inside.fd, 128))
		return err_errno(e, errno, "the demonstration cannot listen");
	return ERR_OK;
}

/* Signals belong to the program's own threads. */
static enum err_code start_thread(struct err *e)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, before;
	int failed;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, THREAD_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	failed = pthread_create(&thread, &attr, run, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	if (failed)
		return err_set(e, ERR_BUSY, "no thread for the demonstration: %s",
			failed == EAGAIN ? "too many threads" : "not allowed");
	return ERR_OK;
}

const char *demo_start(int64_t pace_ms, struct err *e)
{
	enum err_code rc = ERR_OK;

	pthread_mutex_lock(&inside.lock);
	if (!inside.runs) {
		inside.pace_ms = pace_ms;
		rc = listen_inside(e);
		if (!rc)
			rc = start_thread(e);
		if (rc && inside.fd >= 0) {
			close(inside.fd);
			inside.fd = -1;
		}
		inside.runs = !rc;
	}
	pthread_mutex_unlock(&inside.lock);
	return rc ? NULL : inside.name;
}
