#include "gateway/upstream_inside.h"

#include "base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define PAUSE_MS   10 /* how late a pause may end, where deadlines wait for SCAN_MS */

/* ---- what operations decide ---- */

static int64_t sooner(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

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
		if (!t->full && j->client) {
			t->full = true;
			t->full_since_ms = p->now_ms;
			t->room_due_ms = p->now_ms + ROOM_MS;
			pump_look_by(p, sooner(t->room_due_ms, p->now_ms + j->client_stall_ms));
			pump_watch(p, t);
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

/* Takes the job away from its transfer. */
static struct job *part(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;

	if (j->wrote)
		t->last_write_ms = p->now_ms;
	pump_leave_client(p, t);
	t->job = NULL;
	j->transfer = NULL;
	return j;
}

void pump_finish(struct pump *p, struct transfer *t, enum err_code rc)
{
	pump_give_back(p, part(p, t), rc);
}

void pump_end(struct pump *p, struct transfer *t, enum err_code rc)
{
	struct job *j = part(p, t);

	/* The request is the job's, and as long as the transfer lives curl may read it. */
	retire(p, t);
	pump_give_back(p, j, rc);
}

static void start(struct pump *p, struct job *j)
{
	struct transfer *t;

	if (j->called_off) {
		pump_give_back(p, j, pump_overtaken(j));
		return;
	}
	t = calloc(1, sizeof(*t));
	if (!t) {
		pump_give_back(p, j, err_set(&j->err, ERR_NO_MEMORY, "out of memory"));
		return;
	}
	t->pump = p;
	t->job = j;
	t->started_ms = t->last_byte_ms = t->last_write_ms = p->now_ms;
	t->prev = p->all.prev;
	t->next = &p->all;
	t->prev->next = t->next->prev = t;
	j->transfer = t;
	pump_take_client(p, t, j->client);
	if (!j->req) {
		pump_look_by(p, p->now_ms + (j->pause_ms < SCAN_MS ? j->pause_ms : SCAN_MS));
		pump_watch(p, t);
		return;
	}
	pump_look_by(p, p->now_ms + SCAN_MS);
	if (!wire_begin(p, t))
		pump_end(p, t, err_set(&j->err, ERR_NO_MEMORY, "the transfer could not be set up"));
}

/* ---- what request threads order ---- */

enum err_code pump_overtaken(struct job *j)
{
	return err_set(&j->err, ERR_OVERTAKEN, "another attempt was faster");
}

static void obey(struct pump *p, struct job *j)
{
	struct job_order order = pump_take_order(p, j);
	struct transfer *t = j->transfer;

	if (!t) { /* in the queue */
		j->called_off = j->called_off || order.cancel;
		j->client = order.client ? order.client : j->client;
	} else if (t->overtaken) {
		return; /* ends with the round */
	} else if (order.cancel) {
		pump_end(p, t, pump_overtaken(j));
	} else if (order.client != j->client) {
		pump_take_client(p, t, order.client);
		pump_watch(p, t);
		pump_look_by(p, p->now_ms + SCAN_MS);
	}
}

static void obey_all(struct pump *p)
{
	struct job *j;

	while ((j = pump_first_order(p)))
		obey(p, j);
}

/* Not while their operations are called, be it by curl: after all else in the round. */
static void end_overtaken(struct pump *p)
{
	while (p->overtaken) {
		struct transfer *t = p->overtaken;

		p->overtaken = t->next_overtaken;
		if (!t->dead)
			pump_end(p, t, pump_overtaken(t->job));
	}
}

/* ---- how a transfer ended ---- */

static enum err_code outcome(struct transfer *t, int failure)
{
	struct job *j = t->job;
	enum err_code rc;
	enum job_next next;

	if (t->overtaken)
		return pump_overtaken(j);
	if (t->verdict)
		return j->err.code;
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
	return rc;
}

void pump_ended(struct pump *p, struct transfer *t, int failure)
{
	if (t->job && failure) {
		pump_end(p, t, outcome(t, failure));
		return;
	}
	/* All is said, and the request thread need not wait for what is left to do. */
	if (t->job)
		pump_finish(p, t, outcome(t, failure));
	retire(p, t);
}

/* ---- time ---- */

/* These act on what is due, and give the time when t next needs a look, unless it is dead then. */

static int64_t look_at_bytes(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;
	int64_t limit =
		t->body_begun ? t->last_byte_ms + j->idle_ms : t->started_ms + j->first_byte_ms;
	enum job_next next;

	if (p->now_ms < limit)
		return limit;
	next = t->body_begun ? j->ops->on_idle(j, &j->err) : JOB_MORE;
	if (next == JOB_MORE)
		pump_end(p, t,
			t->body_begun ? err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						"the provider fell silent (GATEWAY_IDLE_TIMEOUT)")
				      : err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
						"the provider sent nothing in time "
						"(GATEWAY_FIRST_BYTE_TIMEOUT)"));
	else
		pump_end(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
	return INT64_MAX;
}

static int64_t look_at_heart(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;
	enum job_next next;

	if (p->now_ms < t->last_write_ms + j->heartbeat_ms)
		return t->last_write_ms + j->heartbeat_ms;
	next = j->ops->on_beat(j, &j->err);
	t->last_write_ms = p->now_ms;
	if (pump_goes_on(p, t, next))
		return p->now_ms + j->heartbeat_ms;
	pump_end(p, t, next == JOB_DONE ? ERR_OK : j->err.code);
	return INT64_MAX;
}

static int64_t look_at_room(struct pump *p, struct transfer *t)
{
	struct job *j = t->job;

	/* Not the descriptor alone says so: a sink whose answer others come to share waits for its
	 * client no longer. */
	if (p->now_ms >= t->room_due_ms) {
		t->room_due_ms = p->now_ms + ROOM_MS;
		pump_on_client(p, t, EPOLLOUT);
		if (t->dead || !t->job)
			return INT64_MAX;
		if (!t->full)
			return p->now_ms + SCAN_MS;
	}
	if (p->now_ms < t->full_since_ms + j->client_stall_ms)
		return sooner(t->full_since_ms + j->client_stall_ms, t->room_due_ms);
	pump_end(p, t,
		err_set(&j->err, ERR_CLIENT_GONE,
			"the client took nothing for too long (GATEWAY_CLIENT_STALL)"));
	return INT64_MAX;
}

static int64_t look_at(struct pump *p, struct transfer *t, int64_t drain_ms)
{
	struct job *j = t->job;
	int64_t due;

	if (!j) {
		if (p->now_ms < t->linger_until_ms)
			return t->linger_until_ms;
		retire(p, t);
		return INT64_MAX;
	}
	if (t->overtaken)
		return INT64_MAX;
	/* The client is watched only from here on: a short request never pays for it. */
	if (!t->watching)
		pump_watch(p, t);
	if (p->now_ms >= drain_ms) {
		pump_end(p, t,
			err_set(&j->err, ERR_BUSY,
				"the gateway is being restarted: send the request again"));
		return INT64_MAX;
	}
	if (p->now_ms >= j->deadline_mono_ms) {
		pump_end(p, t,
			err_set(&j->err, ERR_UPSTREAM_TIMEOUT,
				"the answer took longer than allowed (GATEWAY_DEADLINE)"));
		return INT64_MAX;
	}
	due = sooner(drain_ms, j->deadline_mono_ms);
	if (!j->req) {
		if (p->now_ms >= t->started_ms + j->pause_ms) {
			pump_end(p, t, ERR_OK);
			return INT64_MAX;
		}
		due = sooner(due, t->started_ms + j->pause_ms);
	}
	if (t->full)
		return sooner(due, look_at_room(p, t));
	if (j->req)
		due = sooner(due, look_at_bytes(p, t));
	if (t->job && j->client && j->heartbeat_ms > 0)
		due = sooner(due, look_at_heart(p, t));
	return due;
}

static void scan(struct pump *p, int64_t drain_ms)
{
	int64_t soonest = INT64_MAX, due, least;

	for (struct transfer *t = p->all.next, *next; t != &p->all; t = next) {
		next = t->next;
		due = look_at(p, t, drain_ms);
		if (t->dead)
			continue;
		least = p->now_ms + (t->handle ? SCAN_MS : PAUSE_MS);
		soonest = sooner(soonest, due < least ? least : due);
	}
	p->scan_due_ms = soonest;
}

/* ---- the loop ---- */

static void take_jobs(struct pump *p, int64_t *drain_ms, bool *stop)
{
	struct job *j, *next;
	bool ordered;

	pthread_mutex_lock(&p->lock);
	j = p->queue;
	p->queue = NULL;
	p->queue_end = &p->queue;
	ordered = p->orders;
	if (p->drain_ms != *drain_ms) {
		*drain_ms = p->drain_ms;
		p->scan_due_ms = p->now_ms;
	}
	*stop = p->stop;
	pthread_mutex_unlock(&p->lock);
	/* Before anything is begun: what was called off meanwhile never is. */
	if (ordered)
		obey_all(p);
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
				pump_on_client(p, events[i].data.ptr, bits);
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
		end_overtaken(p);
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
	/* By edges: each write wakes anew, and nobody has to read the count. */
	struct epoll_event ev = { .events = EPOLLIN | (uint32_t)EPOLLET, .data.u64 = EVENT_WAKE };
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
	p->orders_end = &p->orders;
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

void pump_stop(struct pump *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = true;
	pthread_mutex_unlock(&p->lock);
	pump_wake(p);
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
	pump_wake(p);
}
