/* fcgi/pool.h - request threads: made when all are busy, gone when idle for long.
 *
 * The thread that went idle last works next, so that a quiet process forgets the others. One more
 * thread, the reserve, refuses what finds no thread; it exists from the start, since refusing
 * must not need what has run out.
 *
 * Ownership: pool_give and pool_refuse take the descriptor when they return true.
 * Threads:   pool_* are called by the accepting thread alone.
 */
#ifndef FCGI_POOL_H
#define FCGI_POOL_H

#include "base/str.h"

struct pool_conf {
	unsigned threads_max;
	size_t stack_bytes; /* 0 = 128 KiB */
	int64_t idle_ms;
	void (*serve)(int fd, void *ctx);  /* on a request thread; takes fd */
	int (*next)(void *ctx);            /* one more connection that waits already, or -1 */
	void (*refuse)(int fd, void *ctx); /* on the reserve thread; takes fd */
	void *ctx;
	int notify_fd; /* an eventfd, written when the reserve has refused one and, after
			* pool_drain(), when the last request ends */
};

struct pool;

/* NULL without memory or when the reserve thread cannot be made. */
MUST_CHECK struct pool *pool_new(const struct pool_conf *conf);

/* Hands fd to an idle or a new request thread; false when there is none and none can be made. */
MUST_CHECK bool pool_give(struct pool *p, int fd);

/* Hands fd to the reserve thread; false when too many wait for it already. */
MUST_CHECK bool pool_refuse(struct pool *p, int fd);

/* Is there room in the reserve's queue? */
bool pool_can_refuse(struct pool *p);

/* Requests being served or refused. */
unsigned pool_running(struct pool *p);

/* From now on idle threads leave, and the end of the last request is notified. */
void pool_drain(struct pool *p);

/* Ends and frees the pool, or, when a request still runs, leaves all to the end of the process. */
void pool_free(struct pool *p);

#endif
