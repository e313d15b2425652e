/* fcgi/server.h - the accept loop, the request threads, and the drain.
 *
 * The first thread polls the listening socket (descriptor 0) and the signals, accepts, and hands
 * each connection to a request thread: threads are made when all are busy, up to threads_max, and
 * leave after idling. Above threads_max a reserve thread answers 503 with Retry-After; so it does
 * when a thread cannot be made or descriptors have run out. When descriptor 0 is not a listening
 * socket but the CGI variables are there, exactly one request is served on the calling thread.
 * SIGTERM, SIGUSR1 (and SIGINT, SIGHUP): no new connection is accepted, the listening descriptor
 * is closed, requests in flight finish within drain_ms; SIGPIPE is ignored. All of these are
 * blocked in every other thread (make threads only after server_init).
 * Facts: hosting-lab.md sections 6 and 8.
 */
#ifndef FCGI_SERVER_H
#define FCGI_SERVER_H

#include "fcgi/request.h"

struct server_conf {
	unsigned threads_max;    /* 1..16384 */
	size_t stack_bytes;      /* of a request thread; 0 = 128 KiB */
	int64_t drain_ms;        /* bound on draining */
	bool drain_is_set;       /* false: under mod_fcgid 6 s are used instead, under CGI 2 s */
	int64_t idle_thread_ms;  /* a thread without work leaves after this; 0 = 10 s */
	int64_t read_timeout_ms; /* the web server must deliver a request's head within this */
};

struct server_app {
	/* Serves one request on a request thread and returns when it is answered. A request that
	 * the handler did not finish is finished with 500. */
	void (*handle)(struct request *rq, void *ctx);
	/* Answers a request that finds no thread; on the reserve thread, must be quick. NULL, or
	 * one that does not answer, is answered with a plain 503. */
	void (*refuse)(struct request *rq, void *ctx);
	/* The drain has begun: whatever is still running at deadline_mono_ms must end by itself
	 * then; the process leaves about half a second later. Called on a thread without a request,
	 * and again with an earlier deadline when a second SIGTERM or SIGINT is in a hurry (not
	 * under mod_fcgid, which sends two within 1.4 s). May be NULL. */
	void (*drain)(void *ctx, int64_t deadline_mono_ms);
	void *ctx;
};

enum server_kind {
	SERVER_FCGI,  /* descriptor 0 listens */
	SERVER_FCGID, /* the same, started by Apache's mod_fcgid: one request at a time, killed soon
		       */
	SERVER_CGI,   /* one request in the environment */
	SERVER_NONE,  /* started from a shell */
};

/* Looks at descriptor 0, the environment and the parent process. */
enum server_kind server_kind(void);

/* Blocks the signals and sets up what must come before any thread. Call once, early in main. */
void server_init(void);

/* Serves until drained. The exit status for main: 0, or 1 when something never ended. */
int server_run(const struct server_conf *conf, const struct server_app *app);

/* Has the drain begun? Any thread. */
bool server_is_draining(void);

#endif
