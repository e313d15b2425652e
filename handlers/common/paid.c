#include "handlers/common/paid.h"

#include "base/clock.h"
#include "base/log.h"
#include "gateway/attempts_json.h"
#include "gateway/chat.h"
#include "gateway/demo.h"
#include "gateway/health_log.h"
#include "gateway/images.h"
#include "gateway/policy.h"
#include "gateway/retry.h"
#include "gateway/settle.h"
#include "handlers/common/remember.h"
#include "store/attempts.h"

#include <stdlib.h>

/* Tokens an answer may have when neither request nor catalogue says, and has, for rates, when the
 * request does not say. */
#define OUTPUT_UNKNOWN   16384
#define OUTPUT_LIKELY    1024
#define RESERVE_GRACE_MS 30000 /* a reservation outlives the request's own deadline by this */

/* ---- the request ---- */

struct json_limits paid_json_limits(const struct conf *c)
{
	return (struct json_limits){
		.max_depth = (unsigned)conf_int(c, CONF_MAX_DEPTH),
		.max_keys = (unsigned)conf_int(c, CONF_MAX_KEYS),
		.depth_setting = "GATEWAY_MAX_DEPTH",
		.keys_setting = "GATEWAY_MAX_KEYS",
	};
}

enum err_code paid_read_body(struct exchange *x, struct slice *body, struct err *e)
{
	const struct conf *c = x->front->conf;
	enum err_code rc = request_read_body(x->rq, (size_t)conf_int(c, CONF_MAX_BODY),
		"GATEWAY_MAX_BODY", conf_int(c, CONF_BODY_TIMEOUT), body, e);

	if (rc)
		return rc;
	request_done_reading(x->rq);
	x->bytes_in = body->len;
	return ERR_OK;
}

void paid_note(struct exchange *x, const struct paid *p)
{
	memcpy(x->model, p->req.model, sizeof(x->model));
	x->stream = p->req.stream;
}

/* ---- who serves it ---- */

const char *paid_model(const struct route *route)
{
	return route->model ? route->model->id : route->target.public_id;
}

/* Who asks, and for what: what plan and attempts hand back. */
struct asking {
	struct exchange *x;
	struct paid *p;
};

/* May this caller have this model from this provider, and can it do what is asked? */
static enum err_code may(void *ctx, const struct route *route, struct err *e)
{
	const struct asking *a = ctx;
	struct exchange *x = a->x;
	struct route turned = *route;
	struct chat_req req;
	enum err_code rc = auth_may_use(&x->caller, route->free, exchange_server_hint(x), e);

	if (!rc)
		rc = policy_model(&x->who, slice_of(paid_model(route)), e);
	if (!rc)
		rc = policy_provider(&x->who, slice_of(route->target.slug), e);
	/* (What the request itself says of collecting, the plan has seen to.) */
	if (!rc)
		rc = policy_collection(&x->who, false, route->provider->collects, e);
	if (!rc && !route->free)
		rc = policy_may_spend(&x->who, e);
	if (rc || !a->p->turn)
		return rc;
	req = a->p->req;
	return a->p->turn(&req, &turned, e);
}

/* What names a conversation, so that it stays where its prompt is cached. */
static struct slice conversation(const struct exchange *x, const struct chat_req *req)
{
	const char *task = request_header(x->rq, "X-KiloCode-TaskId");

	if (!conf_int(x->front->conf, CONF_STICKY))
		return SLICE("");
	return task && *task ? slice_of(task) : req->field[CHAT_CACHE_KEY].value.raw;
}

/* The operator's ways. */
static enum err_code make_plan(struct exchange *x, struct paid *p, struct err *e)
{
	struct wishes wishes;
	struct asking asking = { .x = x, .p = p };
	struct health_conf health_conf = health_log_conf(x->front->conf);
	struct err ignored;
	struct ledger *l = front_ledger(&ignored);
	struct plan_ask ask = { .catalog = x->catalog,
		.conf = x->front->plans,
		.wishes = &wishes,
		.model = p->req.model,
		.sticky = conversation(x, &p->req),
		.dice = health_name(slice_of(x->ledger_id), SLICE("")),
		.health = l ? ledger_health(l) : NULL,
		.health_conf = &health_conf,
		.now_ms = clock_mono_ms(),
		.may = may,
		.ctx = &asking };
	/* Without books nothing is admitted, which says so. */
	enum err_code rc = wishes_read(&p->req, &wishes, e);
	bool own_chain;

	if (rc)
		return rc;
	own_chain = wishes.model_count > 0;
	for (size_t i = 0; i < x->auto_model.chain_count && !own_chain && i < WISHES_MODELS; i++) {
		wishes.models[wishes.model_count++] = slice_of(x->auto_model.chain[i]);
		wishes.any = true;
	}
	return plan_make(&ask, &p->plan, e);
}

/* The caller's own key leads to one provider only. */
static enum err_code plan_own(struct exchange *x, struct paid *p, struct err *e)
{
	struct asking asking = { .x = x, .p = p };
	struct candidate *c = calloc(1, sizeof(*c));
	enum err_code rc;

	if (!c)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	rc = byok_route(x->front->byok, x->catalog, conf_str(x->front->conf, CONF_PROVIDERS),
		&x->who, p->req.model, &c->route, &p->byok, e);
	if (rc || !p->byok.used) {
		free(c);
		return rc;
	}
	p->plan = (struct plan){ .at = c, .count = 1 };
	x->provider = c->route.target.slug;
	return may(&asking, &c->route, e);
}

/* Finds who serves p->req.model, with the caller's own key when there is one (FRONT_BYOK), and what
 * may stand in; the caller may have all of them. */
static enum err_code choose_route(struct exchange *x, struct paid *p, struct err *e)
{
	struct route turned;
	enum err_code rc = ERR_OK;

	p->head_bytes = x->head.len;
	if (x->front->byok)
		rc = plan_own(x, p, e);
	if (!rc && !p->byok.used)
		rc = make_plan(x, p, e);
	if (rc)
		return rc;
	turned = p->plan.at[0].route;
	x->provider = turned.target.slug;
	return p->turn ? p->turn(&p->req, &turned, e) : ERR_OK;
}

/* ---- the books ---- */

/* Tokens the answer may have: as asked, or otherwise. */
static int64_t output(const struct paid *p, const struct candidate *c, int64_t otherwise)
{
	if (p->no_output)
		return 0;
	return chat_most_output_tokens(&p->req, c->route.target.provider, otherwise);
}

static struct cost_ask worst_at(const struct paid *p, const struct candidate *c)
{
	const struct catalog_model *m = c->route.model;
	struct cost_ask worst = p->ask;

	worst.max_output_tokens = output(p, c, m && m->max_output ? m->max_output : OUTPUT_UNKNOWN);
	return worst;
}

/* The candidate that may cost most. Whoever has no known price does not stand in for one who has:
 * nobody could say what it will cost. */
static const struct candidate *dearest(struct paid *p)
{
	const struct candidate *first = p->plan.at, *dearest = first;
	int64_t most = -1, cost;
	size_t n = 0;

	for (size_t i = 0; i < p->plan.count; i++) {
		const struct candidate *c = &p->plan.at[i];
		struct cost_ask worst = worst_at(p, c);

		if (!c->route.prices && !c->route.free && i &&
			(first->route.free || first->route.prices))
			continue;
		plan_move(&p->plan, i, n++);
		if (c->route.free || cost_worst(c->route.prices, &worst, &cost, NULL))
			continue;
		if (cost > most) {
			most = cost;
			dearest = &p->plan.at[n - 1];
		}
	}
	p->plan.count = n;
	return dearest;
}

/* Reserves what the request may cost at the dearest of them, which with a key of the caller's own
 * is no money, and tells the client where its limits stand. */
static enum err_code admit(struct exchange *x, struct paid *p, struct err *e)
{
	const struct conf *c = x->front->conf;
	const struct candidate *at = dearest(p);
	const struct limits_conf conf = { .free_per_hour = conf_int(c, CONF_FREE_PER_HOUR),
		.ipv6_prefix_bits = conf_int(c, CONF_IPV6_PREFIX),
		.buy_url = conf_str(c, CONF_BUY_CREDITS_URL) };
	const struct limits_who who = { .identity = &x->who,
		.address = x->has_address ? &x->address : NULL };
	struct ledger_now now = ledger_now();
	struct limits_what what = { .id = ledger_id(slice_of(x->ledger_id)),
		.prices = at->route.prices,
		.free = at->route.free || p->byok.used,
		.worst = worst_at(p, at),
		.likely_tokens = p->prompt_tokens + output(p, at, OUTPUT_LIKELY),
		.deadline_mono_ms = now.mono_ms + conf_int(c, CONF_DEADLINE) +
				    conf_int(c, CONF_CLIENT_STALL) + RESERVE_GRACE_MS };
	struct ledger *l = front_ledger(e);
	enum err_code rc;

	if (!l)
		return e->code;
	rc = limits_admit(l, now, &conf, &who, &what, &p->admission, e);
	limits_write_head(&p->admission, &x->head);
	head_add(&x->head, "X-Generation-Id", x->ledger_id);
	return rc;
}

/* Where the request went to, whatever came of it. */
static const struct candidate *asked(const struct paid *p)
{
	return p->tries.answered ? p->tries.answered : p->plan.at;
}

/* What was tried, where the line in the ledger does not say all. */
static void keep_attempts(struct exchange *x, const struct paid *p)
{
	const struct attempts *t = &p->tries;
	struct buf json = { .max_bytes = ATTEMPTS_JSON_MAX };
	struct err e;

	if (t->count > 1)
		attempts_write(t->list, t->count, &x->attempts);
	if (t->count < 2 && (x->error == ERR_OK || x->error == ERR_CLIENT_GONE))
		return;
	attempts_json_write(t->list, t->count, ATTEMPTS_JSON_MAX, &json);
	if (attempts_put(conf_str(x->front->conf, CONF_HOME), ledger_id(slice_of(x->ledger_id)),
		    clock_wall_ms(), buf_slice(&json), &e))
		log_line(LOG_WARN, "%s: its attempts are not kept: %s", x->request_id, e.message);
	buf_fini(&json);
}

/* Writes the request into the ledger, whatever became of it. To be called before the answer ends: a
 * process that is killed here has not answered, and one that has answered has written what it cost.
 */
static void settle(struct exchange *x, struct paid *p)
{
	struct relay_result *res = &p->tries.res;
	const struct route *route = &asked(p)->route;
	struct err e;
	struct ledger *l = front_ledger(&e);
	const struct settle_facts facts = { .identity = &x->who,
		.provider = route->target.slug,
		.model = paid_model(route),
		.asked_model = x->model,
		.usage = &res->usage,
		.cost = &res->cost,
		.finish_reason = res->finish_reason,
		.status = x->status,
		.stream = x->stream,
		.free = route->free,
		.byok = p->byok.used,
		.client_gone = x->error == ERR_CLIENT_GONE,
		.attempts = (unsigned)p->tries.count,
		.latency_ms = (clock_mono_us() - x->started_us) / 1000,
		.ttft_ms = res->ttft_us ? (res->ttft_us - x->started_us) / 1000 + 1 : 0 };

	/* An answer in two parts has its delivered text in the second prompt: the reservation is
	 * the most that anybody was told it may cost. */
	if ((p->tries.count > 1 || p->tries.spoken.len) && p->admission.microusd &&
		res->cost.microusd > p->admission.microusd)
		res->cost.microusd = p->admission.microusd;
	x->cost_microusd = res->cost.microusd;
	settle_request(l, &p->admission, &facts);
	keep_attempts(x, p);
}

/* ---- the provider ---- */

/* A limit as it is set, or as it is usual, with the patience that the provider needs. */
static int64_t patient_ms(const struct conf *c, enum conf_id id, const struct provider *p)
{
	int64_t ms = conf_int(c, id);

	return conf_is_set(c, id) || ms > p->patience_ms ? ms : p->patience_ms;
}

static struct relay_conf relay_settings(const struct conf *c)
{
	return (struct relay_conf){
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT),
		.client_stall_ms = conf_int(c, CONF_CLIENT_STALL),
		.heartbeat_ms = conf_int(c, CONF_HEARTBEAT),
		.heartbeat_json = conf_int(c, CONF_HEARTBEAT_JSON) == 1,
		.hold = conf_int(c, CONF_HOLD),
		.max_event_bytes = (size_t)conf_int(c, CONF_MAX_EVENT),
		.max_answer_bytes = (size_t)conf_int(c, CONF_MAX_ANSWER),
	};
}

/* Until somebody else is asked, too. Models that think before they speak get more time. */
static int64_t first_token_ms(const struct conf *c, const struct candidate *at)
{
	int64_t ms = conf_int(c, CONF_FIRST_TOKEN_TIMEOUT);
	int64_t own = at->route.model ? at->route.model->first_token_ms : 0;

	return conf_is_set(c, CONF_FIRST_TOKEN_TIMEOUT) || own <= ms ? ms : own;
}

/* Images by URL, where the provider takes none. What the request is reserved for stays. */
static enum err_code put_images_inline(struct exchange *x, struct paid *p, struct pump *pump,
	struct attempt_shape *shape, struct err *e)
{
	const struct conf *c = x->front->conf;
	const struct images_conf conf = { .fetch = conf_int(c, CONF_FETCH_IMAGES) == 1,
		.allow = conf_str(c, CONF_FETCH_ALLOW),
		.max_bytes = (size_t)conf_int(c, CONF_FETCH_MAX),
		.max_count = (unsigned)conf_int(c, CONF_FETCH_COUNT),
		.timeout_ms = conf_int(c, CONF_FETCH_TIMEOUT),
		.max_body = (size_t)conf_int(c, CONF_MAX_BODY),
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT) };
	struct json_limits limits = paid_json_limits(c);
	enum err_code rc;

	if (p->turn || !images_are_needed(&p->req, &shape->target))
		return ERR_OK;
	shape->req = malloc(sizeof(*shape->req));
	if (!shape->req)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	rc = images_inline(pump, &conf, &p->req, &shape->target,
		shape->beside ? NULL : request_sink(x->rq), &shape->body, e);
	return rc ? rc : chat_parse(buf_slice(&shape->body), &limits, shape->req, e);
}

static enum err_code prepare(
	void *ctx, const struct candidate *c, struct attempt_shape *shape, struct err *e)
{
	const struct asking *a = ctx;
	const struct conf *conf = a->x->front->conf;
	const struct route *route = &c->route;
	struct target *t = &shape->target;
	struct route turned = *route;
	struct chat_req req;
	enum err_code rc = ERR_OK;

	shape->prices = (struct cost_facts){ .table = route->prices,
		.images = a->p->ask.images,
		.trusts_cost = t->quirks->trusts_cost,
		.free = route->free,
		.byok = a->p->byok.used };
	shape->first_byte_ms = patient_ms(conf, CONF_FIRST_BYTE_TIMEOUT, t->provider);
	shape->idle_ms = patient_ms(conf, CONF_IDLE_TIMEOUT, t->provider);
	shape->first_token_ms = first_token_ms(conf, c);
	if (a->p->turn) {
		req = a->p->req;
		rc = a->p->turn(&req, &turned, e);
		*t = turned.target;
	}
	if (!rc && route->provider->demo) {
		t->unix_socket = demo_start(conf_int(conf, CONF_DEMO_PACE), e);
		rc = t->unix_socket ? ERR_OK : e->code;
	}
	return rc ? rc : put_images_inline(a->x, a->p, front_pump(e), shape, e);
}

static void on_speech(void *ctx, const struct candidate *c)
{
	const struct asking *a = ctx;

	remember_speaker(a->p, &c->route);
}

/* Asks one after the other for the answer; a stream reaches the client meanwhile, but for its end.
 */
static enum err_code run_attempts(struct exchange *x, struct paid *p, struct err *e)
{
	const struct conf *c = x->front->conf;
	struct json_limits limits = paid_json_limits(c);
	struct asking asking = { .x = x, .p = p };
	struct attempts *t = &p->tries;
	struct pump *pump = front_pump(e);
	struct ledger *l = front_ledger(e);
	enum err_code rc = pump && l ? ERR_OK : e->code;

	t->pump = pump;
	t->plan = &p->plan;
	t->conf = relay_settings(c);
	t->req = &p->req;
	t->client = remember_sink(p, request_sink(x->rq));
	t->keeps = remember_is_for_others(p);
	t->spoken = remember_spoken(p);
	t->head = buf_slice(&x->head);
	t->request_id = x->request_id;
	t->seed = x->ledger_id;
	t->health = l ? ledger_health(l) : NULL;
	t->health_conf = health_log_conf(c);
	t->begun_ms = x->started_us / 1000;
	t->deadline_ms = t->begun_ms + conf_int(c, CONF_DEADLINE);
	t->most = (unsigned)t->count + (unsigned)conf_int(c, CONF_RETRY_MAX) + 1;
	t->rescue = p->turn ? RESCUE_OFF : (enum conf_rescue)conf_int(c, CONF_RESCUE);
	t->limits = &limits;
	t->byok = p->byok.used;
	t->prepare = prepare;
	t->on_speech = on_speech;
	t->ctx = &asking;
	if (!rc)
		rc = attempts_run(t, e);
	x->usage = t->res.usage;
	x->ttft_us = t->res.ttft_us;
	x->provider = asked(p)->route.target.slug;
	exchange_note(x, sink_has_begun(t->client) || !rc ? 200 : err_status(e), rc);
	return rc;
}

/* Gives the client what it has not got yet: the end of a stream, or everything. rc, e: of
 * run_attempts. */
static void deliver(struct exchange *x, struct paid *p, enum err_code rc, struct err *e)
{
	const struct relay_result *res = &p->tries.res;
	/* Who has left, or was given up after a long wait, is not waited for again. */
	int64_t patience_ms = rc == ERR_CLIENT_GONE ? 0 : exchange_patience_ms(x);
	enum err_code sent;

	if (!sink_has_begun(request_sink(x->rq))) {
		attempts_add_head(&p->tries, &x->head);
		if (!rc)
			exchange_json(x, 200, buf_slice(&res->answer.json));
		else if (rc != ERR_CLIENT_GONE)
			exchange_error(x, e);
		return;
	}
	if (sink_write(request_sink(x->rq),
		    buf_slice(rc || x->stream ? &res->ending : &res->answer.json)) == SINK_GONE) {
		rc = ERR_CLIENT_GONE;
		patience_ms = 0;
	}
	sent = request_finish(x->rq, NULL, NULL, patience_ms, e);
	exchange_note(x, 200, rc ? rc : sent);
}

/* Only when the key or its provider is at fault: a refusal of what was asked would be the same
 * here. And before any content has reached the client. */
static bool may_fall_back(const struct paid *p, const struct err *e)
{
	return p->byok.used && p->byok.info.allow_fallback && !p->tries.res.spoke &&
	       (e->code == ERR_BYOK || retry_outcome(e) != HEALTH_NOTHING);
}

/* Goes the operator's way, with all that belongs to it. What hinders that leaves the answer as it
 * was: the caller's own key failed. (Not inlined: no stream should wait on its frame.) */
__attribute__((noinline)) static enum err_code fall_back(
	struct exchange *x, struct paid *p, struct err *e)
{
	struct plan own = p->plan;
	struct admission admission = p->admission;
	struct byok_use key = p->byok;
	struct err hindrance;
	struct ledger *l = front_ledger(&hindrance);

	remember_stop(p);
	p->byok = (struct byok_use){ .used = false };
	p->plan = (struct plan){ .count = 0 };
	if (!l || make_plan(x, p, &hindrance))
		goto stay;
	ledger_release(l, &admission.lease);
	x->head.len = p->head_bytes;
	if (admit(x, p, &hindrance)) {
		/* Into the books goes what was done. */
		x->head.len = p->head_bytes;
		head_add(&x->head, "X-Generation-Id", x->ledger_id);
		goto stay;
	}
	relay_result_fini(&p->tries.res);
	p->tries.res = (struct relay_result){ 0 };
	p->tries.answered = NULL;
	byok_use_fini(&key);
	p->own = own; /* the attempts that were made speak of it */
	return run_attempts(x, p, e);
stay:
	plan_fini(&p->plan);
	p->plan = own;
	p->byok = key;
	p->admission = admission;
	return e->code;
}

/* A provider is asked. When the caller's own key fails, and its owner allows that, the operator's
 * is tried before the client is told. */
static void ask(struct exchange *x, struct paid *p)
{
	struct err e = { 0 };
	enum err_code rc = run_attempts(x, p, &e), told;

	if (rc && may_fall_back(p, &e))
		rc = fall_back(x, p, &e);
	told = rc;
	if (!rc && remember_client_is_gone(p)) {
		told = err_set(&e, ERR_CLIENT_GONE, "the client has left");
		exchange_note(x, 200, told);
	}
	settle(x, p);
	remember_keep(x, p, rc);
	deliver(x, p, told, &e);
}

static void answer(struct exchange *x, struct paid *p)
{
	struct err e = { 0 };

	switch (remember_look(x, p, &e)) {
	case REMEMBER_ASK:
		ask(x, p);
		break;
	case REMEMBER_REFUSED:
		ledger_release(front_ledger(&(struct err){ 0 }), &p->admission.lease);
		exchange_error(x, &e);
		break;
	case REMEMBER_ANSWERED:
		break;
	}
	(void)ledger_tick(front_ledger(&e), ledger_now(), NULL);
}

void paid_serve(struct exchange *x, struct paid *p,
	enum err_code (*read)(struct exchange *x, struct paid *p, struct err *e))
{
	struct err e = { 0 };

	if (read(x, p, &e) || remember_begin(x, p, &e) || choose_route(x, p, &e) || admit(x, p, &e))
		exchange_error(x, &e);
	else
		answer(x, p);
	remember_fini(p);
	attempts_fini(&p->tries);
	plan_fini(&p->plan);
	plan_fini(&p->own);
	byok_use_fini(&p->byok);
	buf_fini(&p->body);
}
