#include "fcgi/server.h"
#include "base/clock.h"
#include "fcgi/pool.h"
#include "fcgi/request_open.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define LISTEN_FD       0
#define IDLE_THREAD_MS  10000
#define READ_TIMEOUT_MS 10000
#define REFUSE_READ_MS  1000 /* the reserve thread has others waiting */
#define FCGID_DRAIN_MS  6000 /* SIGKILL comes 8 s after SIGTERM */
#define CGI_DRAIN_MS    2000 /* 3 s */
#define GRACE_MS        500
#define RETRY_MS        20 /* before accepting again, when nothing could be done with it */
#define BATCH_MAX       64
#define ARENAS_MAX      4 /* thousands of threads must not cost an arena each */

extern char **environ;

static struct {
	int signals; /* a signalfd */
	atomic_bool draining;
} process = { .signals = -1 };

struct server {
	const struct server_conf *conf;
	const struct server_app *app;
	enum server_kind kind;
	struct pool *pool;
	int notify_fd;
	int spare_fd;        /* given up to accept and refuse one more when descriptors run out */
	int64_t deadline_ms; /* of the drain */
};

static bool listens(int fd)
{
	int yes = 0;
	socklen_t size = sizeof(yes);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &size) == 0 && yes;
}

static bool parent_is_apache(void)
{
	char path[32], name[32] = "";
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", (int)getppid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	n = read(fd, name, sizeof(name) - 1);
	close(fd);
	return n > 0 && (!strcmp(name, "apache2\n") || !strcmp(name, "httpd\n"));
}

enum server_kind server_kind(void)
{
	if (listens(LISTEN_FD))
		return parent_is_apache() ? SERVER_FCGID : SERVER_FCGI;
	return getenv("REQUEST_METHOD") ? SERVER_CGI : SERVER_NONE;
}

static sigset_t drain_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	return set;
}

void server_init(void)
{
	sigset_t set = drain_signals();

	mallopt(M_ARENA_MAX, ARENAS_MAX);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		abort();
	(void)signal(SIGPIPE, SIG_IGN);
	process.signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (process.signals < 0)
		abort();
}

bool server_is_draining(void)
{
	return atomic_load(&process.draining);
}

/* The next signal that has come, or 0. */
static int next_signal(void)
{
	struct signalfd_siginfo info;

	return read(process.signals, &info, sizeof(info)) == sizeof(info) ? (int)info.ssi_signo : 0;
}

/* ---- one request ---- */

static void serve_one(struct server *s, struct request *rq)
{
	if (!rq)
		return;
	s->app->handle(rq, s->app->ctx);
	request_close(rq, 500);
}

static void serve(int fd, void *ctx)
{
	struct server *s = ctx;
	int64_t wait_ms = s->conf->read_timeout_ms ? s->conf->read_timeout_ms : READ_TIMEOUT_MS;

	serve_one(s, request_open_fcgi(fd, wait_ms));
}

/* accept4() makes a socket before it finds that nobody waits: poll() says so at a tenth of the
 * price. */
static int next_waiting(void *ctx)
{
	struct pollfd p = { .fd = LISTEN_FD, .events = POLLIN };

	(void)ctx;
	return poll(&p, 1, 0) > 0 ? accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC) : -1;
}

static void refuse(int fd, void *ctx)
{
	struct server *s = ctx;
	struct request *rq = request_open_fcgi(fd, REFUSE_READ_MS);

	if (!rq)
		return;
	if (s->app->refuse)
		s->app->refuse(rq, s->app->ctx);
	request_close(rq, 503);
}

/* ---- the drain ---- */

static int64_t drain_ms(const struct server *s)
{
	if (s->kind == SERVER_FCGID && !s->conf->drain_is_set)
		return FCGID_DRAIN_MS;
	if (s->kind == SERVER_CGI && !s->conf->drain_is_set)
		return CGI_DRAIN_MS;
	return s->conf->drain_ms;
}

static void set_deadline(struct server *s, int64_t deadline_ms)
{
	s->deadline_ms = deadline_ms;
	atomic_store(&process.draining, true);
	if (s->app->drain)
		s->app->drain(s->app->ctx, deadline_ms);
}

/* Looks at signals that come during the drain. */
static void hurry(struct server *s)
{
	int signal_no;

	while ((signal_no = next_signal())) {
		int64_t now_ms = clock_mono_ms();

		if ((signal_no == SIGTERM || signal_no == SIGINT) && s->kind != SERVER_FCGID &&
			s->deadline_ms > now_ms)
			set_deadline(s, now_ms);
	}
}

/* Waits for signals and for done_fd, until that is readable (true) or the drain is over. */
static bool wait_for_end(struct server *s, int done_fd)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = process.signals, .events = POLLIN },
			{ .fd = done_fd, .events = POLLIN } };
		int64_t left_ms = s->deadline_ms + GRACE_MS - clock_mono_ms();

		if (left_ms <= 0)
			return false;
		(void)poll(p, 2, left_ms > 60000 ? 60000 : (int)left_ms);
		if (p[1].revents)
			return true;
		hurry(s);
	}
}

/* ---- accepting ---- */

static void take(struct server *s, int fd)
{
	if (!pool_give(s->pool, fd) && !pool_refuse(s->pool, fd))
		close(fd); /* the loop does not accept while the reserve's queue is full */
}

/* With no descriptor left, the spare one is given up for the next connection. */
static void refuse_without_descriptor(struct server *s)
{
	int fd;

	if (s->spare_fd < 0)
		return;
	close(s->spare_fd);
	s->spare_fd = -1;
	fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0 && !pool_refuse(s->pool, fd))
		close(fd);
}

/* Accepts what waits, up to max; returns how many. *stuck: nothing can be accepted for now. */
static int accept_some(struct server *s, int max, bool *stuck)
{
	int n = 0;

	*stuck = false;
	while (n < max && pool_can_refuse(s->pool)) {
		int fd = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			take(s, fd);
			n++;
		} else if (errno == EMFILE || errno == ENFILE) {
			refuse_without_descriptor(s);
			*stuck = true;
			break;
		} else if (errno == ENOBUFS || errno == ENOMEM) {
			*stuck = true;
			break;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			break;
		}
	}
	return n;
}

static void read_notes(const struct server *s)
{
	uint64_t n;
	ssize_t got = read(s->notify_fd, &n, sizeof(n));

	(void)got; /* only to make it unreadable */
}

/* Accepts until a signal comes. */
static void accept_until_signal(struct server *s)
{
	bool stuck = false, signalled = false;

	while (!signalled) {
		struct pollfd p[3] = { { .fd = process.signals, .events = POLLIN },
			{ .fd = s->notify_fd, .events = POLLIN },
			{ .fd = LISTEN_FD, .events = POLLIN } };

		if (s->spare_fd < 0)
			s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
		stuck = stuck || s->spare_fd < 0 || !pool_can_refuse(s->pool);
		(void)poll(p, stuck ? 2 : 3, stuck ? RETRY_MS : -1);
		signalled = p[0].revents && next_signal();
		if (p[1].revents)
			read_notes(s);
		if (stuck)
			stuck = false;
		else if (p[2].revents)
			(void)accept_some(s, 1, &stuck); /* see next_waiting() */
	}
}

/* Closes the listening descriptor, after taking what had been promised a place. */
static void stop_listening(struct server *s)
{
	bool stuck;
	int null_fd;

	while (accept_some(s, BATCH_MAX, &stuck) == BATCH_MAX)
		;
	/* Something must stay in its place: the next descriptor would become standard input. */
	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0 || dup2(null_fd, LISTEN_FD) < 0)
		close(LISTEN_FD);
	close(null_fd);
}

static bool start_pool(struct server *s)
{
	struct pool_conf conf = { .threads_max = s->conf->threads_max,
		.stack_bytes = s->conf->stack_bytes,
		.idle_ms = s->conf->idle_thread_ms ? s->conf->idle_thread_ms : IDLE_THREAD_MS,
		.serve = serve,
		.next = next_waiting,
		.refuse = refuse,
		.ctx = s };

	s->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->notify_fd < 0)
		return false;
	conf.notify_fd = s->notify_fd;
	s->pool = pool_new(&conf);
	if (!s->pool)
		close(s->notify_fd);
	return s->pool != NULL;
}

static int run_fcgi(struct server *s)
{
	static const int yes = 1;
	int flags = fcntl(LISTEN_FD, F_GETFL);

	/* Other processes may listen here too and be first: accept must not wait. */
	if (flags < 0 || fcntl(LISTEN_FD, F_SETFL, flags | O_NONBLOCK) < 0 || !start_pool(s))
		return 1;
	/* Inherited by what is accepted; fails on unix sockets, which do not need it. */
	(void)setsockopt(LISTEN_FD, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
	s->spare_fd = -1;
	accept_until_signal(s);
	stop_listening(s);
	set_deadline(s, clock_mono_ms() + drain_ms(s));
	read_notes(s);
	pool_drain(s->pool);
	/* A note may be an older one, of a refusal. */
	while (wait_for_end(s, s->notify_fd) && pool_running(s->pool))
		read_notes(s);
	if (pool_running(s->pool))
		return 1; /* and s stays as it is: threads still use it */
	pool_free(s->pool);
	close(s->notify_fd);
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	return 0;
}

/* ---- CGI ---- */

/* Stands by while the one request is served: Apache sends SIGTERM when the client has left. */
static void *watch_signals(void *arg)
{
	struct server *s = arg;
	struct pollfd p[2] = { { .fd = process.signals, .events = POLLIN },
		{ .fd = s->notify_fd, .events = POLLIN } };

	while (!next_signal()) {
		(void)poll(p, 2, -1);
		if (p[1].revents)
			return NULL;
	}
	set_deadline(s, clock_mono_ms() + drain_ms(s));
	if (!wait_for_end(s, s->notify_fd))
		_exit(1);
	return NULL;
}

static int run_cgi(struct server *s)
{
	uint64_t one = 1;
	pthread_t watcher;

	s->notify_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->notify_fd < 0 || pthread_create(&watcher, NULL, watch_signals, s) != 0)
		return 1;
	serve_one(s, request_open_cgi(environ, STDIN_FILENO, STDOUT_FILENO));
	if (write(s->notify_fd, &one, sizeof(one)) != sizeof(one))
		return 1;
	pthread_join(watcher, NULL);
	close(s->notify_fd);
	return 0;
}

int server_run(const struct server_conf *conf, const struct server_app *app)
{
	/* Static, because threads that never end outlive this call. */
	static struct server s;

	s = (struct server){ .conf = conf, .app = app, .kind = server_kind() };
	switch (s.kind) {
	case SERVER_FCGI:
	case SERVER_FCGID:
		return run_fcgi(&s);
	case SERVER_CGI:
		return run_cgi(&s);
	case SERVER_NONE:
		break;
	}
	return 1;
}
