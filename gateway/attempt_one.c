#include "gateway/attempts_inside.h"

#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/health_log.h"
#include "gateway/retry.h"

#include <stdatomic.h>
#include <stdlib.h>

/* A whole answer's first byte comes when it is finished: its provider may be silent so many times
 * longer before another is asked. */
#define WHOLE_FACTOR 3

/* A provider that says 429 and no time is left alone so long. */
#define LIMITED_MS 1000

/* ---- who is next ---- */

const struct candidate *attempt_pick(struct run *r, unsigned min_link, bool *probe)
{
	const struct attempts *a = r->a;
	int64_t now_ms = clock_mono_ms(), wait_ms = 0;

	r->wait_ms = INT64_MAX;
	r->entered_ms = now_ms;
	for (size_t i = 0; i < a->plan->count; i++) {
		const struct candidate *c = &a->plan->at[i];
		enum health_gate gate = HEALTH_GO;

		if (r->tried[i] || c->link < min_link)
			continue;
		if (a->health && !a->byok)
			gate = health_enter(
				a->health, c->health, &a->health_conf, now_ms, &wait_ms);
		if (gate == HEALTH_STOP && a->plan->count > 1) {
			if (wait_ms < r->wait_ms)
				r->wait_ms = wait_ms;
			continue;
		}
		r->tried[i] = true;
		*probe = gate == HEALTH_PROBE;
		return c;
	}
	return NULL;
}

bool attempt_has_other(const struct run *r, unsigned min_link, int64_t *wait_ms, bool *same_model)
{
	const struct attempts *a = r->a;
	int64_t now_ms = clock_mono_ms();

	*wait_ms = INT64_MAX;
	*same_model = true;
	for (size_t i = 0; i < a->plan->count; i++) {
		const struct candidate *c = &a->plan->at[i];
		struct health_look look = { .wait_ms = 0 };

		if (r->tried[i] || c->link < min_link)
			continue;
		if (a->health)
			look = health_look(a->health, c->health, &a->health_conf, now_ms);
		if (look.wait_ms < *wait_ms)
			*wait_ms = look.wait_ms;
		*same_model &= c->link == r->c->link;
	}
	return *wait_ms <= 0;
}

/* ---- one attempt ---- */

static void tell_health(struct run *r, const struct slot *s, enum health_outcome outcome)
{
	const struct attempts *a = r->a;
	const struct attempt *at = &a->list[s->note];
	const struct health_report report = { .outcome = outcome,
		.probe = s->probe,
		.entered_ms = s->entered_ms,
		.ttft_ms = at->ttft_ms,
		.limited_ms = s->e.retry_after_ms > 0 ? s->e.retry_after_ms : LIMITED_MS };
	enum health_state state;
	bool changed;

	if (!a->health || a->byok)
		return;
	state = health_tell(a->health, slice_of(s->c->route.target.slug),
		slice_of(candidate_model(s->c)), &a->health_conf, clock_mono_ms(), &report,
		&changed);
	if (changed)
		health_log(s->c->route.target.slug, candidate_model(s->c), state);
}

/* Its first words go out: from now on it is known to be well, however long the answer. On the
 * pump's thread. */
static void tell_of_speech(void *ctx, int64_t ttft_us)
{
	struct slot *s = ctx;
	struct attempt *at = &s->run->a->list[s->note];

	at->ttft_ms = ttft_us ? ttft_us / 1000 - s->begun_ms + 1 : 0;
	s->told = true;
	tell_health(s->run, s, HEALTH_OK);
	s->probe = false;
	if (s->run->a->on_speech)
		s->run->a->on_speech(s->run->a->ctx, s->c);
}

/* Has it said nothing all the time? Of a whole answer the head is its first sign of life. */
static bool is_silent(const struct run *r, const struct slot *s)
{
	return r->a->req->stream || relay_is_silent(s->relay);
}

static void note_end(struct run *r, struct slot *s, enum err_code rc)
{
	struct attempt *at = &r->a->list[s->note];
	enum health_outcome outcome = rc ? retry_outcome(&s->e) : HEALTH_OK;

	/* The request's own deadline says nothing about who was asked last. */
	if (rc == ERR_UPSTREAM_TIMEOUT && clock_mono_ms() >= r->a->deadline_ms)
		outcome = HEALTH_NOTHING;
	if (!rc && s->told)
		outcome = HEALTH_NOTHING;
	r->failed |= outcome == HEALTH_FAILED || outcome == HEALTH_REFUSED;
	if (rc && s->e.retry_after_ms > 0 &&
		(!r->retry_after_ms || s->e.retry_after_ms < r->retry_after_ms))
		r->retry_after_ms = s->e.retry_after_ms;
	at->took_ms = clock_mono_ms() - s->begun_ms;
	at->status = s->res.upstream_status;
	at->error = rc;
	at->ttft_ms = s->res.ttft_us ? s->res.ttft_us / 1000 - s->begun_ms + 1 : 0;
	at->end = !rc                   ? ATTEMPT_OK
		  : rc == ERR_OVERTAKEN ? ATTEMPT_OVERTAKEN
		  : s->res.spoke        ? ATTEMPT_CUT
					: ATTEMPT_FAILED;
	if (rc == ERR_OVERTAKEN)
		/* Who was silent so long that another was asked has failed. */
		tell_health(r, s,
			s->hedge || s->res.ttft_us || !is_silent(r, s) ? HEALTH_NOTHING
								       : HEALTH_FAILED);
	else
		tell_health(r, s, outcome);
}

static void free_slot(struct slot *s)
{
	if (!s)
		return;
	relay_free(s->relay);
	relay_result_fini(&s->res);
	rescue_fini(s->before.rescue);
	said_fini(&s->said);
	free(s->shape.req);
	buf_fini(&s->shape.body);
	buf_fini(&s->head);
	free(s);
}

static void free_slots(struct run *r)
{
	for (int i = 0; i < 2; i++) {
		free_slot(r->slots[i]);
		r->slots[i] = NULL;
	}
}

/* The header lines of an answer by this one. */
static void write_head(struct run *r, struct slot *s)
{
	struct attempts *a = r->a;

	s->sink_head = r->early;
	/* A whole answer begins when it is there, if no blanks go before it. */
	if (!a->req->stream && !a->conf.heartbeat_json)
		return;
	s->head.max_bytes = 8192;
	buf_slice_append(&s->head, a->head);
	a->list[s->note].end = ATTEMPT_OK;
	attempts_add_who(s->c, &s->head);
	attempts_add_list(a->list, a->count, &s->head);
	a->list[s->note].end = ATTEMPT_RUNNING;
	s->sink_head.extra = buf_slice(&s->head);
}

static enum err_code prepare(struct run *r, struct slot *s, struct err *e)
{
	struct attempts *a = r->a;
	int64_t left_ms;
	enum err_code rc;

	s->shape.target = s->c->route.target;
	s->shape.beside = s->hedge;
	rc = a->prepare(a->ctx, s->c, &s->shape, e);
	left_ms = a->deadline_ms - clock_mono_ms();
	r->target = s->shape.target;
	s->conf = a->conf;
	s->conf.first_byte_ms = s->shape.first_byte_ms;
	s->conf.idle_ms = s->shape.idle_ms;
	s->conf.deadline_ms = left_ms;
	if (!rc && left_ms <= 0)
		rc = err_set(e, ERR_UPSTREAM_TIMEOUT,
			"the answer took longer than allowed (GATEWAY_DEADLINE)");
	return rc;
}

/* With the delivered text as the assistant's last message. */
static enum err_code continue_body(struct run *r, struct slot *s, struct err *e)
{
	const struct chat_req *req = s->shape.req ? s->shape.req : r->a->req;
	struct chat_req *more = malloc(sizeof(*more));
	struct buf body = { .max_bytes = req->body.len + 6 * SAID_MAX + 4096 };
	enum err_code rc = more ? rescue_continue_body(req, r->said, &body, e)
				: err_set(e, ERR_NO_MEMORY, "out of memory");

	if (!rc)
		rc = chat_parse(buf_slice(&body), r->a->limits, more, e);
	if (rc) {
		free(more);
		buf_fini(&body);
		return rc;
	}
	free(s->shape.req);
	buf_fini(&s->shape.body);
	s->shape.req = more;
	s->shape.body = body;
	return ERR_OK;
}

/* Starts an attempt at c in slots[i]. On an error it is noted, and over. */
static enum err_code start(
	struct run *r, int i, const struct candidate *c, bool probe, enum rescue_way way)
{
	struct attempts *a = r->a;
	struct slot *s = calloc(1, sizeof(*s));
	struct relay_call call;
	enum err_code rc;

	r->slots[i] = s;
	if (!s)
		return ERR_NO_MEMORY;
	*s = (struct slot){ .c = c,
		.run = r,
		.probe = probe,
		.hedge = i > 0,
		.note = a->count,
		.begun_ms = clock_mono_ms(),
		.entered_ms = r->entered_ms };
	a->list[a->count++] = (struct attempt){ .slug = c->route.target.slug,
		.model = candidate_model(c),
		.begun_ms = s->begun_ms - a->begun_ms,
		.hedge = s->hedge,
		.rescue = way != RESCUE_BY_NONE };
	if (!r->spoken)
		a->answered = c;
	rc = prepare(r, s, &s->e);
	if (!rc && way == RESCUE_BY_CONTINUE)
		rc = continue_body(r, s, &s->e);
	if (!rc && way != RESCUE_BY_NONE) {
		s->before.rescue = rescue_begin(r->said, way);
		if (s->before.rescue)
			rescue_tell(s->before.rescue, &s->shape.target);
		else
			rc = err_set(&s->e, ERR_NO_MEMORY, "out of memory");
	}
	write_head(r, s);
	call = (struct relay_call){ .target = &s->shape.target,
		.req = s->shape.req ? s->shape.req : a->req,
		.client = &r->client,
		.head = &s->sink_head,
		.prices = &s->shape.prices,
		.seed = a->seed,
		.names_provider = true,
		.keeps = a->keeps,
		.is_hedge = s->hedge,
		.on_speech = tell_of_speech,
		.ctx = s };
	if (a->rescue != RESCUE_OFF && a->req->stream)
		call.said = way == RESCUE_BY_NONE ? &s->said : &r->said;
	if (way != RESCUE_BY_NONE)
		call.before = &s->before;
	if (way == RESCUE_BY_CONTINUE) {
		s->before.completion_tokens = a->res.usage.completion_tokens;
		s->before.cost = a->res.cost;
	}
	if (!rc)
		rc = relay_start(a->pump, &r->group, &s->conf, &call, &s->relay, &s->e);
	if (rc) {
		s->over = true;
		note_end(r, s, rc);
	}
	return rc;
}

static bool runs(const struct slot *s)
{
	return s && !s->over;
}

/* Waits for the end of one that was cancelled or overtaken. */
static void see_off(struct run *r, struct slot *s)
{
	enum err_code rc;

	if (!runs(s))
		return;
	pump_cancel(r->a->pump, relay_job(s->relay));
	while (!relay_is_over(s->relay, false))
		(void)job_group_wait(&r->group, INT64_MAX);
	s->over = true;
	rc = relay_end(s->relay, &s->res, &s->e);
	/* Its last word came too late. */
	note_end(r, s, rc ? rc : ERR_OVERTAKEN);
}

/* An attempt has ended well: it is the answer, unless another has spoken. */
static enum err_code win(struct run *r, struct slot *s, struct slot *other)
{
	enum err_code rc;

	if (!relay_claim(s->relay)) {
		note_end(r, s, ERR_OVERTAKEN);
		return ERR_OVERTAKEN;
	}
	see_off(r, other);
	rc = relay_deliver(s->relay, &s->res, &s->e);
	note_end(r, s, rc);
	return rc;
}

/* When somebody is to be asked beside the one that is silent; INT64_MAX: nobody. */
static int64_t hedge_due_ms(const struct run *r, bool may_hedge)
{
	const struct slot *s = r->slots[0];
	int64_t wait_ms;
	bool same;

	if (!may_hedge || r->hedged || r->a->count >= r->a->most || r->a->byok ||
		atomic_load(&r->client.speaker) || !attempt_has_other(r, 0, &wait_ms, &same))
		return INT64_MAX;
	return s->begun_ms + (r->a->req->stream ? 1 : WHOLE_FACTOR) * s->shape.first_token_ms;
}

static void start_hedge(struct run *r)
{
	bool probe;
	const struct candidate *c = attempt_pick(r, 0, &probe);

	r->hedged = true;
	if (c)
		(void)start(r, 1, c, probe, RESCUE_BY_NONE);
}

/* What has become of a slot whose job has ended. *decided: the request goes no further with these
 * slots. */
static enum err_code take_end(struct run *r, struct slot *s, struct slot *other, bool *decided)
{
	enum err_code rc = relay_end(s->relay, &s->res, &s->e);

	s->over = true;
	if (!rc)
		rc = win(r, s, other);
	else
		note_end(r, s, rc);
	if (!rc || rc == ERR_CLIENT_GONE || s->res.spoke) {
		see_off(r, other);
		r->decided = s;
		*decided = true;
		return rc;
	}
	if (!runs(other)) {
		*decided = true;
		return rc;
	}
	if (atomic_load(&r->client.watcher) == s->relay) {
		atomic_store(&r->client.watcher, other->relay);
		pump_give_client(r->a->pump, relay_job(other->relay), r->a->client);
	}
	return rc;
}

/* Which slot's end is the one that counts: who answered or spoke, else the first. */
static struct slot *telling(struct run *r)
{
	struct slot *s = r->slots[0], *beside = r->slots[1];

	if (r->decided)
		return r->decided;
	if (beside && (beside->res.spoke || r->a->list[beside->note].end == ATTEMPT_OK ||
			      s->e.code == ERR_OVERTAKEN))
		return beside;
	return s;
}

/* Waits until what runs has ended, with company for who is slow. Then the slots hold what became of
 * them; ERR_OK: there is an answer. */
static enum err_code await(struct run *r, bool may_hedge)
{
	enum err_code rc = ERR_OK;
	bool decided = false;

	while (!decided) {
		if (!job_group_wait(&r->group, hedge_due_ms(r, may_hedge))) {
			/* Who has spoken meanwhile has not stirred the group. */
			if (hedge_due_ms(r, may_hedge) <= clock_mono_ms())
				start_hedge(r);
			continue;
		}
		for (int i = 0; i < 2 && !decided; i++) {
			struct slot *s = r->slots[i], *other = r->slots[1 - i];

			if (runs(s) && relay_is_over(s->relay, !runs(other)))
				rc = take_end(r, s, other, &decided);
		}
	}
	return rc;
}

/* Takes over what is left of an attempt, and ends the slots. */
static enum err_code keep(struct run *r, enum err_code rc, struct err *e)
{
	struct attempts *a = r->a;
	struct slot *s = telling(r);

	if (!s)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	if (rc) {
		*e = s->e;
		rc = s->e.code;
	}
	if (!rc || s->res.spoke) {
		relay_result_fini(&a->res);
		a->res = s->res;
		s->res = (struct relay_result){ 0 };
		a->answered = s->c;
	}
	if (a->res.spoke && !r->spoken) {
		r->spoken = true;
		r->said = s->said;
		s->said = NULL;
	}
	free_slots(r);
	r->decided = NULL;
	atomic_store(&r->client.speaker, NULL);
	atomic_store(&r->client.watcher, NULL);
	return rc;
}

enum err_code attempt_make(
	struct run *r, const struct candidate *c, bool probe, enum rescue_way way, struct err *e)
{
	enum err_code rc = start(r, 0, c, probe, way);

	r->hedged = false;
	if (!rc)
		rc = await(r, way == RESCUE_BY_NONE);
	return keep(r, rc, e);
}
