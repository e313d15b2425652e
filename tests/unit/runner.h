/* tests/unit/runner.h - a job of the pump whose operations tell the client what they get, take the
 * client from another job, and count how often they were called. */
#ifndef TESTS_UNIT_RUNNER_H
#define TESTS_UNIT_RUNNER_H

#include "tests/unit/scripted.h"

/* libcurl 7.88 closes the socket of a connection that is still being made before it tells the pump
 * to forget it. When a job is called off just then, another thread may have got
 * the number in between, which the thread sanitizer takes for a race; the pump takes a number out
 * of its epoll that is not in there. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:^on_socket$\n";
}

struct runner;

/* Two jobs for one client, as a request thread has them: any of them may be the first to speak, to
 * fail, to be called off, at any time. */
struct duel {
	struct sink *client;
	_Atomic(struct runner *) speaker, watcher;
};

/* A job, and what its operations do and see. */
struct runner {
	struct job job;
	struct http_req req;
	struct duel *duel;        /* NULL = none */
	struct runner *rival;     /* overtaken with the first bytes of the body */
	sem_t *blocks;            /* waited for in on_bytes, and with it the pump waits */
	bool mute;                /* says nothing of the first bytes to the client */
	atomic_int calls, pieces; /* of operations, of on_bytes */
	atomic_int beats;
	atomic_bool full;
	int rival_calls; /* when it was overtaken */
};

static enum job_next tell(struct job *j, struct slice bytes)
{
	static const struct sink_head head = { .status = 200, .length = -1, .streaming = true };
	struct runner *r = j->ctx;
	/* In a duel the client may be on its way to the job that has the word already. */
	struct sink *client = r->duel ? r->duel->client : j->client;
	enum sink_state state;

	if (!client)
		return JOB_MORE;
	if (!sink_has_begun(client))
		(void)sink_begin(client, &head);
	state = sink_write(client, bytes);
	j->wrote = true;
	if (state == SINK_GONE)
		return err_set(&j->err, ERR_CLIENT_GONE, "gone") ? JOB_FAIL : JOB_MORE;
	if (state == SINK_FULL)
		r->full = true;
	return state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

static enum job_next on_head(struct job *j, struct err *e)
{
	struct runner *r = j->ctx;

	(void)e;
	r->calls++;
	return JOB_MORE;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct runner *r = j->ctx;
	enum job_next next = JOB_MORE;
	bool first = !r->pieces++;

	(void)e;
	r->calls++;
	if (r->blocks)
		sem_wait(r->blocks);
	if (first && r->rival) {
		job_overtake(j, &r->rival->job);
		r->rival_calls = r->rival->calls;
	}
	if (!first || !r->mute)
		next = tell(j, bytes);
	return next == JOB_MORE && slice_ends(bytes, DONE) ? JOB_DONE : next;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	struct runner *r = j->ctx;

	(void)cut;
	(void)e;
	r->calls++;
	return JOB_MORE;
}

static enum job_next on_beat(struct job *j, struct err *e)
{
	struct runner *r = j->ctx;

	(void)e;
	r->calls++;
	r->beats++;
	return tell(j, SLICE(": beat\n\n"));
}

static enum job_next on_idle(struct job *j, struct err *e)
{
	return on_head(j, e);
}

static const struct job_ops runner_ops = { on_head, on_bytes, on_end, on_beat, on_idle };

/* To that provider; NULL = none, a pause. On the heap, so that a touch after its end is seen. */
static struct runner *new_runner(const struct provider_script *s, struct sink *client)
{
	struct runner *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	if (s) {
		snprintf(r->req.url, sizeof(r->req.url), "http://127.0.0.1:%u/", s->port);
		buf_str(&r->req.body, "{\"model\":\"m\"}");
	}
	r->job = (struct job){ .req = s ? &r->req : NULL,
		.pause_ms = 5000,
		.ops = &runner_ops,
		.ctx = r,
		.client = client,
		.connect_ms = 3000,
		.first_byte_ms = 15000,
		.idle_ms = 15000,
		.deadline_mono_ms = clock_mono_ms() + 20000,
		.client_stall_ms = 15000 };
	return r;
}

static void free_runner(struct runner *r)
{
	http_req_fini(&r->req);
	free(r);
}

/* ---- what providers do ---- */

static bool plays_hello(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO STOP DONE);
	say_chunk(p, "");
	return true;
}

static inline bool stalls(struct peer *p)
{
	say_events_head(p);
	say_chunk(p, HELLO);
	(void)leaves(p);
	return false;
}

static inline bool says_nothing(struct peer *p)
{
	(void)leaves(p);
	return false;
}

#endif
