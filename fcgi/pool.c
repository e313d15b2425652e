#include "fcgi/pool.h"
#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define REFUSALS_MAX 64

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HAS_SANITIZER 1
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_SANITIZER 1
#endif

#ifdef HAS_SANITIZER
#define STACK_BYTES ((size_t)1 << 20) /* its frames are several times larger */
#else
#define STACK_BYTES ((size_t)128 << 10)
#endif

/* A request thread. It lives on its own stack. */
struct worker {
	struct worker *next; /* in the list of idle ones */
	sem_t wake;          /* posted once by whoever took it off that list */
	_Atomic int fd; /* what to serve; -1 = nothing. Atomic for the thread sanitizer alone, which
			 * does not know that sem_clockwait() orders */
};

struct pool {
	struct pool_conf conf;
	pthread_mutex_t lock; /* of everything below */
	pthread_attr_t attr;
	struct worker *idle; /* the last to become idle first */
	unsigned threads;
	unsigned running;
	bool draining;
	pthread_t last_left; /* the thread that left last, not joined yet */
	bool has_left;
	pthread_t reserve;
	pthread_cond_t reserve_wake;
	pthread_cond_t all_left;
	int refusals[REFUSALS_MAX]; /* a ring */
	unsigned first, waiting;
	bool reserve_ends;
};

/* What a new thread starts with. */
struct first_job {
	struct pool *pool;
	int fd;
};

static void notify(const struct pool *p)
{
	uint64_t one = 1;
	ssize_t n = write(p->conf.notify_fd, &one, sizeof(one));

	(void)n; /* fails only when it is readable already */
}

static void init_cond(pthread_cond_t *c)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(c, &attr);
	pthread_condattr_destroy(&attr);
}

static struct timespec time_of(int64_t mono_ms)
{
	return (struct timespec){ .tv_sec = mono_ms / 1000, .tv_nsec = mono_ms % 1000 * 1000000 };
}

/* False when somebody has taken it off the list already, and will wake it. */
static bool unlink_idle(struct pool *p, const struct worker *w)
{
	struct worker **at = &p->idle;

	while (*at && *at != w)
		at = &(*at)->next;
	if (!*at)
		return false;
	*at = w->next;
	return true;
}

/* Waits for the next connection, with the lock held, which is released meanwhile and stays so when
 * there is one: work begins without it. False, with the lock held, when the thread is to leave. */
static bool wait_for_work(struct pool *p, struct worker *w)
{
	struct timespec until = time_of(clock_mono_ms() + p->conf.idle_ms);
	int rc;

	if (p->draining)
		return false;
	w->fd = -1;
	w->next = p->idle;
	p->idle = w;
	pthread_mutex_unlock(&p->lock);
	do
		rc = sem_clockwait(&w->wake, CLOCK_MONOTONIC, &until);
	while (rc && errno == EINTR);
	if (rc) {
		pthread_mutex_lock(&p->lock);
		if (unlink_idle(p, w))
			return false;
		pthread_mutex_unlock(&p->lock);
		/* Too late to leave: the post is on its way. */
		while (sem_wait(&w->wake))
			;
	}
	if (w->fd >= 0)
		return true;
	pthread_mutex_lock(&p->lock);
	return false;
}

/* Ends a thread's part in the pool, with the lock held, and releases it. Whoever leaves joins the
 * one before, pool_free the last: the process must not exit while what libraries keep for a thread
 * is being freed. */
static void leave(struct pool *p)
{
	pthread_t before = p->last_left;
	bool joins = p->has_left;

	p->last_left = pthread_self();
	p->has_left = true;
	if (!--p->threads)
		pthread_cond_signal(&p->all_left);
	pthread_mutex_unlock(&p->lock);
	if (joins)
		pthread_join(before, NULL);
}

static void *worker_main(void *arg)
{
	struct first_job job = *(struct first_job *)arg;
	struct pool *p = job.pool;
	struct worker w = { .fd = job.fd };

	free(arg);
	sem_init(&w.wake, 0, 0);
	for (;;) {
		/* One that waits already costs no change of threads. */
		for (int fd = w.fd; fd >= 0; fd = p->conf.next(p->conf.ctx))
			p->conf.serve(fd, p->conf.ctx);
		pthread_mutex_lock(&p->lock);
		if (!--p->running && p->draining)
			notify(p);
		if (!wait_for_work(p, &w))
			break;
	}
	leave(p);
	sem_destroy(&w.wake);
	return NULL;
}

static void *reserve_main(void *arg)
{
	struct pool *p = arg;

	pthread_mutex_lock(&p->lock);
	while (!p->reserve_ends || p->waiting) {
		int fd;

		if (!p->waiting) {
			pthread_cond_wait(&p->reserve_wake, &p->lock);
			continue;
		}
		fd = p->refusals[p->first];
		pthread_mutex_unlock(&p->lock);
		p->conf.refuse(fd, p->conf.ctx);
		pthread_mutex_lock(&p->lock);
		p->first = (p->first + 1) % REFUSALS_MAX;
		p->waiting--;
		p->running--;
		notify(p);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

struct pool *pool_new(const struct pool_conf *conf)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->conf = *conf;
	pthread_mutex_init(&p->lock, NULL);
	init_cond(&p->reserve_wake);
	init_cond(&p->all_left);
	pthread_attr_init(&p->attr);
	/* Too small a figure is refused, and the system's own larger one then stays. */
	(void)pthread_attr_setstacksize(
		&p->attr, conf->stack_bytes ? conf->stack_bytes : STACK_BYTES);
	if (pthread_create(&p->reserve, &p->attr, reserve_main, p) == 0)
		return p;
	pthread_attr_destroy(&p->attr);
	free(p);
	return NULL;
}

static bool start_thread(struct pool *p, int fd)
{
	struct first_job *job = malloc(sizeof(*job));
	pthread_t thread;

	if (!job)
		return false;
	*job = (struct first_job){ p, fd };
	if (pthread_create(&thread, &p->attr, worker_main, job) == 0)
		return true;
	free(job);
	return false;
}

bool pool_give(struct pool *p, int fd)
{
	struct worker *w;
	bool given = true;

	pthread_mutex_lock(&p->lock);
	w = p->idle;
	if (w) {
		p->idle = w->next;
		p->running++;
	} else if (p->threads < p->conf.threads_max && start_thread(p, fd)) {
		p->threads++;
		p->running++;
	} else {
		given = false;
	}
	pthread_mutex_unlock(&p->lock);
	/* Not under the lock, which others want: it stays until it has taken the post. */
	if (w) {
		w->fd = fd;
		sem_post(&w->wake);
	}
	return given;
}

bool pool_refuse(struct pool *p, int fd)
{
	bool taken;

	pthread_mutex_lock(&p->lock);
	taken = p->waiting < REFUSALS_MAX;
	if (taken) {
		p->refusals[(p->first + p->waiting++) % REFUSALS_MAX] = fd;
		p->running++;
		pthread_cond_signal(&p->reserve_wake);
	}
	pthread_mutex_unlock(&p->lock);
	return taken;
}

bool pool_can_refuse(struct pool *p)
{
	bool can;

	pthread_mutex_lock(&p->lock);
	can = p->waiting < REFUSALS_MAX;
	pthread_mutex_unlock(&p->lock);
	return can;
}

unsigned pool_running(struct pool *p)
{
	unsigned n;

	pthread_mutex_lock(&p->lock);
	n = p->running;
	pthread_mutex_unlock(&p->lock);
	return n;
}

void pool_drain(struct pool *p)
{
	struct worker *w;

	pthread_mutex_lock(&p->lock);
	p->draining = true;
	while ((w = p->idle)) {
		p->idle = w->next;
		sem_post(&w->wake);
	}
	if (!p->running)
		notify(p);
	pthread_mutex_unlock(&p->lock);
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pool_drain(p);
	pthread_mutex_lock(&p->lock);
	if (p->running) {
		pthread_mutex_unlock(&p->lock);
		return;
	}
	while (p->threads)
		pthread_cond_wait(&p->all_left, &p->lock);
	p->reserve_ends = true;
	pthread_cond_signal(&p->reserve_wake);
	pthread_mutex_unlock(&p->lock);
	if (p->has_left)
		pthread_join(p->last_left, NULL);
	pthread_join(p->reserve, NULL);
	pthread_attr_destroy(&p->attr);
	pthread_cond_destroy(&p->reserve_wake);
	pthread_cond_destroy(&p->all_left);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
