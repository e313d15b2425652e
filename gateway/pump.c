#include "gateway/upstream_inside.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define SCAN_MS    100 /* deadlines are looked at this often at most */

/* ---- the client's descriptor ---- */

static void watch_client(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct epoll_event ev = { .events = bits, .data.ptr = t };

	if (t->client_fd < 0 || bits == t->watching)
		return;
	if (!bits)
		epoll_ctl(p->epoll, EPOLL_CTL_DEL, t->client_fd, NULL);
	else
		epoll_ctl(p->epoll, t->watching ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, t->client_fd, &ev);
	t->watching = bits;
}

static uint32_t wanted_bits(const struct transfer *t)
{
	/* By edges: mod_cgid half-closes its socket behind the body, which stays a hang-up for
	 * ever. */
	return (uint32_t)EPOLLET | EPOLLIN | EPOLLRDHUP | (t->full ? (uint32_t)EPOLLOUT : 0u);
}

/* ---- what operations decide ---- */

void pump_look_by(struct pump *p, int64_t time_ms)
{
	if (p->scan_due_ms > time_ms)
		p->scan_due_ms = time_ms;
}

bool pump_goes_on(struct pump *p, struct transfer *t, enum job_next next)
{
	struct job *j = t->job;

	if (j->wrote) {
		j->wrote = false;
		t->last_write_ms = p->now_ms;
	}
	switch (next) {
	case JOB_FULL:
		if (!t->full) {
			t->full = true;
			t->full_since_ms = p->now_ms;
			pump_look_by(p, p->now_ms + j->client_stall_ms);
			watch_client(p, t, wanted_bits(t));
		}
		return true;
	case JOB_MORE:
		return true;
	case JOB_FAIL:
		t->verdict = true;
		return false;
	case JOB_DONE:
		break;
	}
	return false;
}

/* ---- transfers ---- */

/* Unlinks t. It is freed at the end of the round: events of this round may still point to it. */
static void retire(struct pump *p, struct transfer *t)
{
	t->prev->next = t->next;
	t->next->prev = t->prev;
	wire_end(p, t);
	t->dead = true;
	t->next = p->dead;
	p->dead = t;
}

static void free_dead(struct pump *p)
{
	while (p->dead) {
		struct transfer *t = p->dead;

		p->dead = t->next;
		free(t);
	}
}

void pump_finish(struct pump *p, struct transfer *t, enum err_code rc)
{
	struct job *j = t->job;

	watch_client(p, t, 0);
	t->job = NULL;
	j->rc = rc;
	sem_post(&j->ended); /* from here on j is not ours */
}

static void fail(struct pump *p, struct transfer *t, enum err_code rc)
{
	pump_finish(p, t, rc);
	retire(p, t);
}

static void start(struct pump *p, struct job *j)
{
	struct transfer *t = calloc(1, sizeof(*t));

	if (!t) {
		j->rc = err_set(&j->err, ERR_NO_MEMORY, "out of memory");
		sem_post(&j->ended);
		return;
	}
	t->pump = p;
	t->job = j;
	t->client_fd = j->client ? sink_fd(j->client) : -1;
	t->started_ms = t->last_byte_ms = t->last_write_ms = p->now_ms;
	t->prev = p->all.prev;
	t->next = &p->all;
	t->prev->next = t->next->prev = t;
	pump_look_by(p, p->now_ms + SCAN_MS);
	if (!wire_begin(p, t))
		fail(p, t, err_set(&j->err, ERR_NO_MEMORY, "the transfer could not be set up"));
}

/* ---- how a transfer ended ---- */

void pump_ended(struct pump *p, struct transfer *t, int failure)
{
	struct job *j = t->job;
	enum err_code rc;
	enum job_next next;

	if (!j) {
		retire(p, t);
		return;
	}
	if (t->verdict) {
		fail(p, t, j->err.code);
		return;
	}
	rc = failure ? wire_failure(t, failure, &j->err) : ERR_OK;
	if (t->head_done) {
		next = j->ops->on_end(j, failure != 0, &j->err);
		if (next == JOB_DONE || (next == JOB_MORE && !failure))
			rc = ERR_OK;
		else if (next == JOB_FAIL)
			rc = j->err.code;
	} else if (!failure) {
		rc = err_set(&j->err, ERR_UPSTREAM_CONNECT,
			"the provider closed the connection without an answer");
	}
	fail(p, t, rc);
}

/* ---- time ---- */

/* The time when t next needs a look; acts on what is already due. INT64_MAX once it has ended. */
static int64_t look_at(struct pump *p, struct transfer *t, int64_t drain_ms)
{
	struct job *j = t->job;
	int64_t due, limit;
	enum job_next next;

	if (!j) {
		if (p->now_ms < t->linger_until_ms)
			return t->linger_until_ms;
		retire(p, t);
		return INT64_MAX;
	}
	/* The client is watched only from here on: a short request never pays for it. */
	if (!t->watching)
		watch_client(p, t, wanted_bits(t));
	if (p->now_ms >= drain_ms) {
		fail(p, t,
			err_set(&j->err, ERR_BUSY,
				"the gateway is being restarted: send the request again"));
		return INT64_MAX;
	}
	if (p->now_ms >= j->deadline_mono_ms) {
		fail(p, t,
			err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
				"the answer took longer than allowed (GATEWAY_DEADLINE)"));
		return INT64_MAX;
	}
	due = drain_ms < j->deadline_mono_ms ? drain_ms : j->deadline_mono_ms;
	if (t->full) {
		limit = t->full_since_ms + j->client_stall_ms;
		if (p->now_ms >= limit) {
			fail(p, t,
				err_set(&j->err, ERR_CLIENT_GONE,
					"the client took nothing for too long "
					"(GATEWAY_CLIENT_STALL)"));
			return INT64_MAX;
		}
		return limit < due ? limit : due;
	}
	limit = t->body_begun ? t->last_byte_ms + j->idle_ms : t->started_ms + j->first_byte_ms;
	if (p->now_ms >= limit) {
		next = t->body_begun ? j->ops->on_idle(j, &j->err) : JOB_MORE;
		if (next == JOB_MORE)
			fail(p, t,
				t->body_begun
					? err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						  "the provider fell silent (GATEWAY_IDLE_TIMEOUT)")
					: err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						  "the provider sent nothing in time "
						  "(GATEWAY_FIRST_BYTE_TIMEOUT)"));
		else
			fail(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
		return INT64_MAX;
	}
	if (limit < due)
		due = limit;
	if (j->heartbeat_ms > 0) {
		limit = t->last_write_ms + j->heartbeat_ms;
		if (p->now_ms >= limit) {
			next = j->ops->on_beat(j, &j->err);
			t->last_write_ms = p->now_ms;
			if (!pump_goes_on(p, t, next)) {
				fail(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
				return INT64_MAX;
			}
			limit = p->now_ms + j->heartbeat_ms;
		}
		if (limit < due)
			due = limit;
	}
	return due;
}

static void scan(struct pump *p, int64_t drain_ms)
{
	int64_t soonest = INT64_MAX, due;

	for (struct transfer *t = p->all.next, *next; t != &p->all; t = next) {
		next = t->next;
		due = look_at(p, t, drain_ms);
		if (due < soonest)
			soonest = due;
	}
	if (soonest != INT64_MAX && soonest < p->now_ms + SCAN_MS)
		soonest = p->now_ms + SCAN_MS;
	p->scan_due_ms = soonest;
}

/* ---- the loop ---- */

static void on_client(struct pump *p, struct transfer *t, uint32_t bits)
{
	struct job *j = t->job;
	enum sink_state state;

	if (t->dead || !j)
		return;
	if (bits & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) && sink_is_gone(j->client)) {
		fail(p, t, err_set(&j->err, ERR_CLIENT_GONE, "the client has left"));
		return;
	}
	if (!(bits & EPOLLOUT) || !t->full)
		return;
	state = sink_flush(j->client);
	if (state == SINK_GONE) {
		fail(p, t, err_set(&j->err, ERR_CLIENT_GONE, "the client has left"));
		return;
	}
	if (state == SINK_FULL)
		return;
	t->full = false;
	t->last_byte_ms = t->last_write_ms = p->now_ms;
	watch_client(p, t, wanted_bits(t));
	pump_look_by(p, p->now_ms + SCAN_MS); /* the other limits count again */
	if (t->paused) {
		t->paused = false;
		/* What was held back is delivered in this call; its failure ends the transfer. */
		int failure = wire_resume(t);

		if (failure)
			pump_ended(p, t, failure);
	}
}

static void take_jobs(struct pump *p, int64_t *drain_ms, bool *stop)
{
	struct job *j, *next;
	uint64_t n;

	if (read(p->wake, &n, sizeof(n)) < 0 && errno != EAGAIN)
		log_line(LOG_ERROR, "pump: cannot read its wake descriptor: %s", strerror(errno));
	pthread_mutex_lock(&p->lock);
	j = p->queue;
	p->queue = NULL;
	p->queue_end = &p->queue;
	if (p->drain_ms != *drain_ms) {
		*drain_ms = p->drain_ms;
		p->scan_due_ms = p->now_ms;
	}
	*stop = p->stop;
	pthread_mutex_unlock(&p->lock);
	for (; j; j = next) {
		next = j->next;
		start(p, j);
	}
}

static int wait_ms(const struct pump *p)
{
	int64_t due = p->scan_due_ms;

	if (p->curl_due_ms >= 0 && p->curl_due_ms < due)
		due = p->curl_due_ms;
	if (due == INT64_MAX)
		return -1;
	due -= clock_mono_ms();
	return due < 0 ? 0 : due > 60000 ? 60000 : (int)due;
}

static void *run(void *arg)
{
	struct pump *p = arg;
	struct epoll_event events[EVENTS_MAX];
	int64_t drain_ms = INT64_MAX;
	bool stop = false;

	while (!stop) {
		int n = epoll_wait(p->epoll, events, EVENTS_MAX, wait_ms(p));

		p->now_ms = clock_mono_ms();
		for (int i = 0; i < n; i++) {
			uint64_t what = events[i].data.u64;
			uint32_t bits = events[i].events;

			if (what == EVENT_WAKE) {
				take_jobs(p, &drain_ms, &stop);
				continue;
			}
			if (!(what & 1)) {
				on_client(p, events[i].data.ptr, bits);
				continue;
			}
			wire_event(p, EVENT_FD(what), bits);
		}
		if (p->curl_due_ms >= 0 && p->now_ms >= p->curl_due_ms) {
			p->curl_due_ms = -1;
			wire_timer(p);
		}
		wire_reap(p);
		if (p->now_ms >= p->scan_due_ms)
			scan(p, drain_ms);
		free_dead(p);
	}
	return NULL;
}

/* ---- from outside ---- */

static void free_pump(struct pump *p)
{
	wire_close(p);
	if (p->epoll >= 0)
		close(p->epoll);
	if (p->wake >= 0)
		close(p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

enum err_code pump_start(const struct pump_conf *conf, struct pump **out, struct err *e)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.u64 = EVENT_WAKE };
	sigset_t all, before;
	struct pump *p;
	enum err_code failed;
	int rc;

	*out = NULL;
	p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	p->ca_file = conf->ca_file;
	p->proxy = conf->proxy;
	p->http2 = conf->http2;
	p->curl_due_ms = -1;
	p->scan_due_ms = p->drain_ms = INT64_MAX;
	p->queue_end = &p->queue;
	p->all.prev = p->all.next = &p->all;
	pthread_mutex_init(&p->lock, NULL);
	p->epoll = epoll_create1(EPOLL_CLOEXEC);
	p->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->epoll < 0 || p->wake < 0 || epoll_ctl(p->epoll, EPOLL_CTL_ADD, p->wake, &ev)) {
		rc = errno;
		free_pump(p);
		return err_errno(e, rc, "the pump cannot be set up");
	}
	failed = wire_open(p, e);
	if (failed) {
		free_pump(p);
		return failed;
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&p->thread, NULL, run, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		free_pump(p);
		return err_errno(e, rc, "the pump's thread cannot be started");
	}
	*out = p;
	return ERR_OK;
}

static void wake(struct pump *p)
{
	uint64_t one = 1;

	/* It can only fail when the counter is full, and then the pump is awake anyway. */
	if (write(p->wake, &one, sizeof(one)) < 0)
		return;
}

void pump_stop(struct pump *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	wake(p);
	pthread_join(p->thread, NULL);
	while (p->all.next != &p->all)
		retire(p, p->all.next);
	free_dead(p);
	free_pump(p);
}

void pump_drain(struct pump *p, int64_t deadline_mono_ms)
{
	pthread_mutex_lock(&p->lock);
	p->drain_ms = deadline_mono_ms;
	pthread_mutex_unlock(&p->lock);
	wake(p);
}

enum err_code pump_run(struct pump *p, struct job *j, struct err *e)
{
	bool first;

	j->status = 0;
	j->bytes_in = 0;
	j->content_type[0] = '\0';
	j->retry_after_ms = -1;
	j->err = (struct err){ 0 };
	j->next = NULL;
	sem_init(&j->ended, 0, 0);
	pthread_mutex_lock(&p->lock);
	first = !p->queue;
	*p->queue_end = j;
	p->queue_end = &j->next;
	pthread_mutex_unlock(&p->lock);
	if (first)
		wake(p);
	while (sem_wait(&j->ended) && errno == EINTR)
		;
	sem_destroy(&j->ended);
	if (j->rc && e)
		*e = j->err;
	return j->rc;
}
