/* tests/unit/redis_played.h - a Redis whose every byte is written by the test, and words to call
 * one with. */
#ifndef UNIT_REDIS_PLAYED_H
#define UNIT_REDIS_PLAYED_H

#include "store/redis.h"
#include "tests/unit/redis_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#define LONG_MS  15000 /* for what has to work, on a busy machine too */
#define SHORT_MS 150   /* for what does not */

static _Thread_local struct err err;

static inline struct redis *redis_of(const char *url, int64_t timeout_ms)
{
	struct redis *r = NULL;

	err.message[0] = '\0';
	if (redis_open(&r, &(struct redis_conf){ url, "test", "", timeout_ms }, &err))
		print_message("%s\n", err.message);
	assert_non_null(r);
	return r;
}

/* A command of up to 8 words divided by blanks; the second is the key. */
static inline enum err_code call(struct redis *r, const char *command, struct redis_reply *out)
{
	struct slice words[8], rest = slice_of(command);
	size_t n = 0;

	*out = (struct redis_reply){ .own = NULL };
	while (n < 8 && rest.ptr)
		words[n++] = slice_cut(&rest, ' ');
	return redis_call(r, words, n, n > 1 ? 1 : 0, out, &err);
}

/* Its answer as text, or "ERR_…"-like words when it failed: "store", "io". */
static inline const char *said(struct redis *r, const char *command)
{
	static _Thread_local char text[128];
	struct redis_reply reply;
	enum err_code rc = call(r, command, &reply);

	if (rc)
		snprintf(text, sizeof(text), "%s", err_name(rc));
	else if (reply.value.kind == REDIS_INTEGER)
		snprintf(text, sizeof(text), "%lld", (long long)reply.value.integer);
	else if (reply.value.kind == REDIS_NIL)
		snprintf(text, sizeof(text), "nil");
	else
		snprintf(text, sizeof(text), "%.*s", SLICE_ARG(reply.value.text));
	redis_reply_fini(&reply);
	return text;
}

/* Says it again until it is answered so. */
static inline bool says_at_last(struct redis *r, const char *command, const char *wanted)
{
	int64_t until = clock_mono_ms() + RIG_WAIT_MS;

	do {
		if (strcmp(said(r, command), wanted) == 0)
			return true;
		poll(NULL, 0, 20);
	} while (clock_mono_ms() < until);
	print_message("%s: %s, %s\n", command, said(r, command), err.message);
	return false;
}

/* ---- the played server ---- */

struct played {
	char dir[32], path[64], url[96];
	int fd;
	_Atomic(const char *) answer; /* to each piece that comes; NULL = silence */
	atomic_size_t n;              /* bytes of it */
	atomic_bool bytewise, hangs_up;
	atomic_int accepted, asked;
	pthread_t thread;
};

static inline void played_answer(struct played *p, int fd)
{
	const char *answer = p->answer;

	for (size_t i = 0, n = p->n; answer && i < n;) {
		size_t piece = p->bytewise ? 1 : n;

		if (send(fd, answer + i, piece, MSG_NOSIGNAL) < 0)
			return;
		i += piece;
		if (p->bytewise)
			sched_yield();
	}
}

static inline void *played_serve(void *arg)
{
	struct played *p = arg;
	struct pollfd fds[16] = { { .fd = p->fd, .events = POLLIN } };
	nfds_t n = 1;
	char piece[4096];

	while (poll(fds, n, -1) >= 0) {
		if (fds[0].revents) {
			int fd = accept(p->fd, NULL, NULL);

			if (fd < 0)
				break;
			p->accepted++;
			if (n < 16)
				fds[n++] = (struct pollfd){ .fd = fd, .events = POLLIN };
			else
				close(fd);
		}
		for (nfds_t i = 1; i < n; i++) {
			ssize_t got;

			if (!fds[i].revents)
				continue;
			fds[i].revents = 0;
			got = recv(fds[i].fd, piece, sizeof(piece), 0);
			if (got > 0) {
				p->asked++;
				played_answer(p, fds[i].fd);
			}
			if (got <= 0 || p->hangs_up) {
				close(fds[i].fd);
				fds[i--] = fds[--n];
			}
		}
	}
	while (n > 1)
		close(fds[--n].fd);
	return NULL;
}

static inline void played_start(struct played *p)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	snprintf(p->dir, sizeof(p->dir), "/tmp/tollgate-played-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->path, sizeof(p->path), "%s/socket", p->dir);
	snprintf(p->url, sizeof(p->url), "unix://%s", p->path);
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", p->path);
	p->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->fd, (struct sockaddr *)&un, sizeof(un)), 0);
	assert_int_equal(listen(p->fd, 16), 0);
	assert_int_equal(pthread_create(&p->thread, NULL, played_serve, p), 0);
}

static inline void played_says(struct played *p, const char *answer, size_t n)
{
	p->answer = NULL;
	p->n = n;
	p->answer = answer;
}

static inline void played_stop(struct played *p)
{
	shutdown(p->fd, SHUT_RDWR);
	pthread_join(p->thread, NULL);
	close(p->fd);
	unlink(p->path);
	rmdir(p->dir);
}

#endif
