#include "gateway/attempts_inside.h"

#include "base/clock.h"
#include "base/crypto.h"
#include "gateway/health_log.h"
#include "gateway/retry.h"

#include <stdio.h>
#include <stdlib.h>

#define SOON_MS     5000 /* so long one is waited for who may not be asked yet */
#define PROBE_TRIED 1000 /* attempts at one candidate after which none more is made */
#define SPLICES_MAX 3    /* attempts to hear the same answer again */
#define RETRY_LATER_MS \
	1000 /* said when everybody fails and nobody knows until when; at least this */

static uint64_t dice(void)
{
	uint64_t n;

	crypto_random(&n, sizeof(n));
	return n;
}

/* ---- between attempts ---- */

static enum job_next on_beat(struct job *j, struct err *e)
{
	struct run *r = j->ctx;
	bool stream = r->a->req->stream;
	enum sink_state state = SINK_OK;

	if (!stream && !r->a->conf.heartbeat_json)
		return JOB_MORE;
	if (!sink_has_begun(r->a->client))
		state = sink_begin(r->a->client, &r->early);
	if (state != SINK_GONE)
		state = sink_write(r->a->client, stream ? SLICE(": keep-alive\n\n") : SLICE("\n"));
	if (state == SINK_GONE)
		return err_set(e, ERR_CLIENT_GONE, "the client has left") ? JOB_FAIL : JOB_MORE;
	return state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

/* Waits, with an eye on the client. */
static enum err_code pause(struct run *r, int64_t ms, struct err *e)
{
	static const struct job_ops ops = { .on_beat = on_beat };
	const struct relay_conf *c = &r->a->conf;
	struct job j = { .pause_ms = ms,
		.ops = &ops,
		.ctx = r,
		.client = r->a->client,
		.connect_ms = c->connect_ms,
		.first_byte_ms = ms + 1000,
		.idle_ms = ms + 1000,
		.deadline_mono_ms = r->a->deadline_ms,
		.heartbeat_ms = c->heartbeat_ms,
		.client_stall_ms = c->client_stall_ms };

	if (ms <= 0)
		return ERR_OK;
	/* In the run's own group: heartbeats and the client's patience go on across it. */
	pump_submit(r->a->pump, &j, &r->group);
	while (!job_has_ended(&j))
		(void)job_group_wait(&r->group, INT64_MAX);
	if (j.rc)
		*e = j.err;
	return j.rc;
}

/* Everybody has failed, or may not be asked: when to come back. */
static enum err_code all_down(struct run *r, struct err *e)
{
	struct attempts *a = r->a;
	struct buf tried = { .max_bytes = 400 };
	int64_t wait_ms = r->wait_ms == INT64_MAX ? r->retry_after_ms : r->wait_ms;
	const char *list;

	for (size_t i = 0; i < a->plan->count && a->health; i++) {
		struct health_look look = health_look(
			a->health, a->plan->at[i].health, &a->health_conf, clock_mono_ms());

		if (look.wait_ms > 0 && (look.wait_ms < wait_ms || !wait_ms))
			wait_ms = look.wait_ms;
	}
	if (wait_ms < RETRY_LATER_MS)
		wait_ms = RETRY_LATER_MS;
	attempts_write(a->list, a->count, &tried);
	list = buf_cstr(&tried);
	(void)!err_set(e, ERR_ALL_DOWN,
		"no provider of %s answers at present%s%s%s: try again in %lld s", a->req->model,
		a->count ? " (" : "", a->count && list ? list : "", a->count ? ")" : "",
		(long long)((wait_ms + 999) / 1000));
	e->retry_after_ms = wait_ms;
	buf_fini(&tried);
	return ERR_ALL_DOWN;
}

/* Is the error about this provider or model only, and not about the request? */
static bool cannot(const struct run *r, const struct err *e)
{
	return e->upstream_status == 404 || e->upstream_status == 410 ||
	       e->code == ERR_UNSUPPORTED || e->code == ERR_MODEL_NOT_FOUND ||
	       e->code == ERR_MODEL_UNAVAILABLE || e->code == ERR_CONF ||
	       (e->code == ERR_CONTEXT_LENGTH && r->c->link > 0);
}

/* Nobody is left to ask. Always false. */
static bool is_down(struct run *r, struct err *e)
{
	enum health_outcome outcome = retry_outcome(e);

	/* That the last one asked cannot serve it is not why there is no answer. */
	if (r->a->plan->count > 1 &&
		(outcome == HEALTH_FAILED ||
			(r->failed && outcome == HEALTH_NOTHING && cannot(r, e))))
		(void)all_down(r, e);
	return false;
}

/* After a failure before any content: who is next? False: *e is the end. */
static bool goes_on(struct run *r, struct err *e)
{
	struct attempts *a = r->a;
	struct retry_facts facts = { .e = e,
		.tried_here = r->here,
		.tried = (unsigned)a->count,
		.most = a->most,
		.byok = a->byok,
		.left_ms = a->deadline_ms - clock_mono_ms(),
		.dice = dice() };
	struct retry_plan plan;
	const struct candidate *c;

	if (a->count >= a->most)
		return is_down(r, e);
	/* One probe is one request. */
	if (r->probe)
		facts.tried_here = PROBE_TRIED;
	facts.other_now = attempt_has_other(r, 0, &facts.other_wait_ms, &facts.same_model_only);
	plan = retry_decide(&facts);
	if (plan.next == RETRY_SAME) {
		if (pause(r, plan.wait_ms, e))
			return false;
		r->here++;
		r->probe = false;
		return true;
	}
	if (plan.next == RETRY_ELSE && pause(r, plan.wait_ms, e))
		return false;
	c = plan.next == RETRY_ELSE
		    ? attempt_pick(r, plan.skip_model ? r->c->link + 1 : 0, &r->probe)
		    : NULL;
	if (c) {
		health_log_failover(
			c->route.target.slug, candidate_model(c), clock_mono_ms() - a->begun_ms);
		r->c = c;
		r->here = 1;
		return true;
	}
	return is_down(r, e);
}

/* ---- a stream that died after content ---- */

/* May this one be asked to go on? */
static bool may_help(const struct run *r, const struct candidate *c, enum rescue_way way)
{
	const struct attempts *a = r->a;
	struct health_look look;

	if (way == RESCUE_BY_CONTINUE && !rescue_takes_prefill(&c->route.target))
		return false;
	if (way == RESCUE_BY_SPLICE && a->answered && c->link != a->answered->link)
		return false;
	if (!a->health || c == a->answered)
		return true;
	look = health_look(a->health, c->health, &a->health_conf, clock_mono_ms());
	return look.wait_ms <= 0 && !look.probe_due;
}

/* Asks those who may go on with what was said, one after the other. ERR_OK: the answer is whole. */
static enum err_code try_way(struct run *r, enum rescue_way way, struct err *e)
{
	struct attempts *a = r->a;
	const struct candidate *broke = a->answered;
	/* A continuation is begun elsewhere first; the same answer is most likely where it was, and
	 * no provider has failed where another request is lost. */
	bool same_first = way == RESCUE_BY_SPLICE || a->spoken.len;
	unsigned splices = 0;
	struct err why;
	enum err_code rc = e->code;

	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < a->plan->count && rc; i++) {
			const struct candidate *c = &a->plan->at[i];
			bool same = c == broke;

			if (same != (same_first == (round == 0)) || !may_help(r, c, way))
				continue;
			if (!rescue_can(r->said, a->req, way) || a->count >= a->most ||
				clock_mono_ms() >= a->deadline_ms ||
				(way == RESCUE_BY_SPLICE && splices++ == SPLICES_MAX))
				return rc;
			why = (struct err){ 0 };
			rc = attempt_make(r, c, false, way, &why);
			if (rc == ERR_CLIENT_GONE || rc == ERR_BUSY)
				*e = why;
			if (!rc || rc == ERR_CLIENT_GONE || rc == ERR_BUSY)
				return rc;
			rc = e->code;
		}
	return rc;
}

static enum err_code rescue(struct run *r, struct err *e)
{
	struct attempts *a = r->a;
	enum err_code rc = e->code;

	if (a->rescue == RESCUE_OFF || a->byok || retry_outcome(e) == HEALTH_NOTHING)
		return rc;
	if (a->rescue == RESCUE_CONTINUE)
		rc = try_way(r, RESCUE_BY_CONTINUE, e);
	if (rc && rc != ERR_CLIENT_GONE && rc != ERR_BUSY)
		rc = try_way(r, RESCUE_BY_SPLICE, e);
	return rc;
}

/* ---- all of it ---- */

static enum err_code run(struct run *r, struct err *e)
{
	enum err_code rc;

	if (r->a->spoken.len) {
		attempts_take_spoken(r, e);
		return rescue(r, e);
	}
	r->c = attempt_pick(r, 0, &r->probe);
	if (!r->c && r->wait_ms <= SOON_MS && clock_mono_ms() + r->wait_ms < r->a->deadline_ms) {
		if (pause(r, r->wait_ms, e))
			return e->code;
		r->c = attempt_pick(r, 0, &r->probe);
	}
	if (!r->c)
		return all_down(r, e);
	r->here = 1;
	do {
		*e = (struct err){ 0 };
		rc = attempt_make(r, r->c, r->probe, RESCUE_BY_NONE, e);
		if (rc && r->spoken)
			return rescue(r, e);
	} while (rc && goes_on(r, e));
	return rc ? e->code : ERR_OK;
}

/* What a heartbeat sends before anybody has spoken: it names nobody who may yet be replaced. */
static void set_early_head(struct run *r)
{
	bool stream = r->a->req->stream;

	r->early = (struct sink_head){ .status = 200,
		.length = -1,
		.streaming = stream,
		.content_type = stream ? "text/event-stream; charset=utf-8" : "application/json",
		.extra = r->a->head };
	r->client.early = &r->early;
}

/* The client has a part of an answer, and pays for it. */
static void tell_what_came(const struct attempts *a, struct err *e)
{
	char message[sizeof(e->message)];

	(void)snprintf(message, sizeof(message),
		"%.380s. The answer ends here: about %lld completion tokens came%s", e->message,
		(long long)a->res.usage.completion_tokens,
		a->res.cost.microusd ? " and are billed" : "");
	str_copy_cut(e->message, sizeof(e->message), message);
}

enum err_code attempts_run(struct attempts *a, struct err *e)
{
	struct run r = { .a = a, .client = { .sink = a->client } };
	struct attempt *list;
	enum err_code rc;

	list = realloc(a->list, (a->most + 1) * sizeof(*list));
	if (!list)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	a->list = list;
	job_group_init(&r.group);
	r.target = a->plan->at[0].route.target;
	set_early_head(&r);
	rc = run(&r, e);
	if (rc && relay_has_begun(&r.client)) {
		const struct relay_call call = {
			.target = &r.target, .req = a->req, .client = &r.client
		};

		if (r.spoken)
			tell_what_came(a, e);
		buf_reset(&a->res.ending);
		relay_write_failure(&call, e, a->request_id, &a->res.ending);
	}
	job_group_fini(&r.group);
	said_fini(&r.said);
	return rc;
}

void attempts_fini(struct attempts *a)
{
	relay_result_fini(&a->res);
	free(a->list);
	a->list = NULL;
}
