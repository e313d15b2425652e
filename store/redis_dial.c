#include "store/redis_dial.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LOOKUP_STACK ((size_t)256 << 10)

/* A question to the resolver, which may be answered when nobody waits any more. */
struct lookup {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	char host[REDIS_HOST_SIZE], port[8];
	struct addrinfo *found;
	int rc;
	bool done, left; /* left: who asked has gone: the thread frees it */
};

static const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV };

static void lookup_free(struct lookup *l)
{
	if (l->found)
		freeaddrinfo(l->found);
	pthread_cond_destroy(&l->answered);
	pthread_mutex_destroy(&l->lock);
	free(l);
}

static void *look_up(void *arg)
{
	struct lookup *l = arg;
	struct addrinfo *found = NULL;
	int rc = getaddrinfo(l->host, l->port, &wanted, &found);
	bool left;

	pthread_mutex_lock(&l->lock);
	l->rc = rc;
	l->found = found;
	l->done = true;
	left = l->left;
	pthread_cond_signal(&l->answered);
	pthread_mutex_unlock(&l->lock);
	if (left)
		lookup_free(l);
	return NULL;
}

static bool start_thread(struct lookup *l)
{
	pthread_attr_t attr;
	sigset_t all, before;
	pthread_t thread;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, LOOKUP_STACK);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&thread, &attr, look_up, l);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return rc == 0;
}

static struct lookup *lookup_new(const char *host, const char *port)
{
	struct lookup *l = calloc(1, sizeof(*l));
	pthread_condattr_t attr;

	if (!l)
		return NULL;
	snprintf(l->host, sizeof(l->host), "%s", host);
	snprintf(l->port, sizeof(l->port), "%s", port);
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->answered, &attr);
	pthread_condattr_destroy(&attr);
	return l;
}

static enum err_code ask_resolver(const char *host, const char *port, int64_t deadline_mono_ms,
	struct addrinfo **out, struct err *e)
{
	struct timespec until = { .tv_sec = deadline_mono_ms / 1000,
		.tv_nsec = deadline_mono_ms % 1000 * 1000000 };
	struct lookup *l = lookup_new(host, port);
	bool done;
	int rc;

	if (!l || !start_thread(l)) {
		if (l)
			lookup_free(l);
		return err_set(e, ERR_STORE, "no thread to look up its name");
	}
	pthread_mutex_lock(&l->lock);
	while (!l->done && pthread_cond_timedwait(&l->answered, &l->lock, &until) != ETIMEDOUT)
		;
	done = l->done;
	l->left = !done;
	pthread_mutex_unlock(&l->lock);
	if (!done)
		return err_set(e, ERR_STORE, "its name was not resolved in time");
	rc = l->rc;
	*out = l->found;
	l->found = NULL;
	lookup_free(l);
	if (rc)
		return err_set(e, ERR_STORE, "its name: %s", gai_strerror(rc));
	return ERR_OK;
}

static enum err_code resolve(const struct redis_address *a, int64_t deadline_mono_ms,
	struct addrinfo **out, struct err *e)
{
	struct addrinfo numeric = wanted;
	char port[8];

	snprintf(port, sizeof(port), "%u", (unsigned)a->port);
	numeric.ai_flags |= AI_NUMERICHOST;
	if (getaddrinfo(a->host, port, &numeric, out) == 0)
		return ERR_OK;
	return ask_resolver(a->host, port, deadline_mono_ms, out, e);
}

/* Until the socket is connected: 0, or what went wrong. */
static int finish(int fd, int64_t deadline_mono_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	socklen_t size = sizeof(int);
	int64_t left;
	int rc, error = 0;

	do {
		left = deadline_mono_ms - clock_mono_ms();
		rc = left > 0 ? poll(&p, 1, (int)left) : 0;
	} while (rc < 0 && errno == EINTR);
	if (rc == 0)
		return ETIMEDOUT;
	if (rc < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		return errno;
	return error;
}

static int connect_to(
	int family, const struct sockaddr *to, socklen_t size, int64_t deadline_mono_ms, int *out)
{
	int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int error = 0, on = 1;

	if (fd < 0)
		return errno;
	if (family != AF_UNIX) {
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	}
	if (connect(fd, to, size) < 0)
		error = errno == EINPROGRESS || errno == EINTR ? finish(fd, deadline_mono_ms)
							       : errno;
	if (error) {
		close(fd);
		return error;
	}
	*out = fd;
	return 0;
}

static enum err_code say(int error, struct err *e)
{
	/* A socket whose queue is full answers so. */
	if (error == ETIMEDOUT || error == EAGAIN)
		return err_set(e, ERR_STORE, "it does not answer in time");
	if (err_errno(e, error, "cannot be reached") && e)
		e->code = ERR_STORE;
	return ERR_STORE;
}

enum err_code redis_dial(
	const struct redis_address *a, int64_t deadline_mono_ms, int *fd, struct err *e)
{
	struct addrinfo *found = NULL, *at;
	int error = EHOSTUNREACH;
	enum err_code rc;
	int64_t left_n = 0;

	*fd = -1;
	if (a->path[0]) {
		struct sockaddr_un un = { .sun_family = AF_UNIX };

		memcpy(un.sun_path, a->path, sizeof(un.sun_path));
		error = connect_to(
			AF_UNIX, (const struct sockaddr *)&un, sizeof(un), deadline_mono_ms, fd);
		return error ? say(error, e) : ERR_OK;
	}
	rc = resolve(a, deadline_mono_ms, &found, e);
	if (rc)
		return rc;
	for (at = found; at; at = at->ai_next)
		left_n++;
	/* Each address has its share of the time, so that a dead one does not take it all. */
	for (at = found; at && error; at = at->ai_next, left_n--) {
		int64_t now_ms = clock_mono_ms();

		error = connect_to(at->ai_family, at->ai_addr, at->ai_addrlen,
			now_ms + (deadline_mono_ms - now_ms) / left_n, fd);
	}
	freeaddrinfo(found);
	return error ? say(error, e) : ERR_OK;
}
