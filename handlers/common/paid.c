#include "handlers/common/paid.h"

#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/demo.h"
#include "gateway/images.h"
#include "gateway/policy.h"
#include "gateway/settle.h"

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

/* The model's id in the catalogue, however the client wrote it, so that policies and reports know
 * it by one name. */
static const char *model_of(const struct route *route)
{
	return route->model ? route->model->id : route->target.public_id;
}

/* May this caller have this model from this provider? */
static enum err_code check_policies(struct exchange *x, const struct route *route, struct err *e)
{
	enum err_code rc = auth_may_use(&x->caller, route->free, exchange_server_hint(x), e);

	if (!rc)
		rc = policy_model(&x->who, slice_of(model_of(route)), e);
	if (!rc)
		rc = policy_provider(&x->who, slice_of(route->target.slug), e);
	if (!rc)
		rc = policy_collection(&x->who, false, route->provider->collects, e);
	if (!rc && !route->free)
		rc = policy_may_spend(&x->who, e);
	return rc;
}

/* The way was found; may it be gone? */
static enum err_code take_route(struct exchange *x, struct paid *p, struct err *e)
{
	struct target *t = &p->route.target;
	enum err_code rc = check_policies(x, &p->route, e);

	x->provider = t->slug;
	if (!rc && p->turn)
		rc = p->turn(&p->req, &p->route, e);
	if (rc)
		return rc;
	if (p->route.provider->demo) {
		t->unix_socket = demo_start(conf_int(x->front->conf, CONF_DEMO_PACE), e);
		if (!t->unix_socket)
			return e->code;
	}
	head_add(&x->head, "X-Provider", t->slug);
	head_add(&x->head, "X-Model", t->public_id);
	return ERR_OK;
}

enum err_code paid_route(struct exchange *x, struct paid *p, struct err *e)
{
	const struct front *f = x->front;
	enum err_code rc = ERR_OK;

	p->head_bytes = x->head.len;
	if (f->byok)
		rc = byok_route(f->byok, x->catalog, conf_str(f->conf, CONF_PROVIDERS), &x->who,
			p->req.model, &p->route, &p->byok, e);
	if (!rc && !p->byok.used)
		rc = route_find(x->catalog, p->req.model, &p->route, e);
	return rc ? rc : take_route(x, p, e);
}

/* ---- the books ---- */

/* Tokens the answer may have: as asked, or otherwise. */
static int64_t output(const struct paid *p, int64_t otherwise)
{
	if (p->no_output)
		return 0;
	return chat_most_output_tokens(&p->req, p->route.target.provider, otherwise);
}

enum err_code paid_admit(struct exchange *x, struct paid *p, struct err *e)
{
	const struct conf *c = x->front->conf;
	const struct catalog_model *m = p->route.model;
	const struct limits_conf conf = { .free_per_hour = conf_int(c, CONF_FREE_PER_HOUR),
		.ipv6_prefix_bits = conf_int(c, CONF_IPV6_PREFIX),
		.buy_url = conf_str(c, CONF_BUY_CREDITS_URL) };
	struct ip address;
	const struct limits_who who = { .identity = &x->who,
		.address = exchange_address(x, &address) ? &address : NULL };
	struct ledger_now now = ledger_now();
	struct limits_what what = { .id = ledger_id(slice_of(x->ledger_id)),
		.prices = m ? m->prices : NULL,
		.free = p->route.free || p->byok.used,
		.deadline_mono_ms = now.mono_ms + conf_int(c, CONF_DEADLINE) +
				    conf_int(c, CONF_CLIENT_STALL) + RESERVE_GRACE_MS };
	struct ledger *l = front_ledger(e);
	enum err_code rc;

	if (!l)
		return e->code;
	what.worst = p->ask;
	what.worst.max_output_tokens =
		output(p, m && m->max_output ? m->max_output : OUTPUT_UNKNOWN);
	what.likely_tokens = p->prompt_tokens + output(p, OUTPUT_LIKELY);
	rc = limits_admit(l, now, &conf, &who, &what, &p->admission, e);
	limits_write_head(&p->admission, &x->head);
	head_add(&x->head, "X-Generation-Id", x->ledger_id);
	return rc;
}

void paid_settle(struct exchange *x, struct paid *p)
{
	const struct relay_result *res = &p->res;
	struct err e;
	struct ledger *l = front_ledger(&e);
	const struct settle_facts facts = { .identity = &x->who,
		.provider = p->route.target.slug,
		.model = model_of(&p->route),
		.asked_model = x->model,
		.usage = &res->usage,
		.cost = &res->cost,
		.finish_reason = res->finish_reason,
		.status = x->status,
		.stream = x->stream,
		.free = p->route.free,
		.byok = p->byok.used,
		.client_gone = x->error == ERR_CLIENT_GONE,
		.attempts = p->attempts_before + 1,
		.latency_ms = (clock_mono_us() - x->started_us) / 1000,
		.ttft_ms = res->ttft_us ? (res->ttft_us - x->started_us) / 1000 + 1 : 0 };

	x->cost_microusd = res->cost.microusd;
	settle_request(l, &p->admission, &facts);
}

/* ---- the provider ---- */

/* A limit as it is set, or as it is usual, with the patience that the provider needs. */
static int64_t patient_ms(const struct conf *c, enum conf_id id, const struct provider *p)
{
	int64_t ms = conf_int(c, id);

	return conf_is_set(c, id) || ms > p->patience_ms ? ms : p->patience_ms;
}

static struct relay_conf relay_settings(const struct conf *c, const struct provider *p)
{
	return (struct relay_conf){
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT),
		.first_byte_ms = patient_ms(c, CONF_FIRST_BYTE_TIMEOUT, p),
		.idle_ms = patient_ms(c, CONF_IDLE_TIMEOUT, p),
		.client_stall_ms = conf_int(c, CONF_CLIENT_STALL),
		.deadline_ms = conf_int(c, CONF_DEADLINE),
		.heartbeat_ms = conf_int(c, CONF_HEARTBEAT),
		.heartbeat_json = conf_int(c, CONF_HEARTBEAT_JSON) == 1,
		.max_event_bytes = (size_t)conf_int(c, CONF_MAX_EVENT),
		.max_answer_bytes = (size_t)conf_int(c, CONF_MAX_ANSWER),
	};
}

/* Images by URL, where the provider takes none. What the request is reserved for stays. */
static enum err_code put_images_inline(
	struct exchange *x, struct paid *p, struct pump *pump, struct err *e)
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
	struct buf body = { 0 };
	struct chat_req req;
	enum err_code rc;

	if (p->turn || !images_are_needed(&p->req, &p->route.target))
		return ERR_OK;
	rc = images_inline(pump, &conf, &p->req, &p->route.target, request_sink(x->rq), &body, e);
	if (!rc)
		rc = chat_parse(buf_slice(&body), &limits, &req, e);
	if (rc) {
		buf_fini(&body);
		return rc;
	}
	buf_fini(&p->body); /* of another provider's turn, which p->req pointed to */
	p->body = body;
	p->req = req;
	return ERR_OK;
}

enum err_code paid_relay(struct exchange *x, struct paid *p, struct err *e)
{
	const struct route *route = &p->route;
	struct relay_result *res = &p->res;
	struct relay_conf settings = relay_settings(x->front->conf, route->target.provider);
	struct sink_head head = { .status = 200,
		.length = -1,
		.streaming = p->req.stream,
		.content_type =
			p->req.stream ? "text/event-stream; charset=utf-8" : "application/json",
		.extra = buf_slice(&x->head) };
	const struct cost_facts prices = { .table = route->model ? route->model->prices : NULL,
		.images = p->ask.images,
		.trusts_cost = route->target.quirks->trusts_cost,
		.free = route->free,
		.byok = p->byok.used };
	const struct relay_call call = { .target = &route->target,
		.req = &p->req,
		.client = request_sink(x->rq),
		.head = &head,
		.request_id = x->request_id,
		.prices = &prices,
		.seed = x->ledger_id };
	struct pump *pump = front_pump(e);
	enum err_code rc = pump ? put_images_inline(x, p, pump, e) : e->code;

	if (!rc)
		rc = relay_chat(pump, &settings, &call, res, e);
	x->usage = res->usage;
	x->ttft_us = res->ttft_us;
	exchange_note(x, res->started || !rc ? 200 : err_status(e), rc);
	return rc;
}

void paid_deliver(struct exchange *x, struct paid *p, enum err_code rc, struct err *e)
{
	const struct relay_result *res = &p->res;
	/* Who has left, or was given up after a long wait, is not waited for again. */
	int64_t patience_ms = rc == ERR_CLIENT_GONE ? 0 : exchange_patience_ms(x);
	enum err_code sent;

	if (!res->started) {
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

/* Only what the provider did, and before anything has reached the client. */
static bool may_fall_back(const struct paid *p, const struct err *e)
{
	return p->byok.used && p->byok.info.allow_fallback && !p->res.started &&
	       e->code >= ERR_UPSTREAM_STATUS;
}

/* Goes the operator's way, with all that belongs to it. What hinders that leaves the answer as it
 * was: the caller's own key failed. */
static enum err_code fall_back(struct exchange *x, struct paid *p, struct err *e)
{
	const char *slug = p->route.target.slug;
	struct admission admission = p->admission;
	struct route operators;
	struct err hindrance;
	struct ledger *l = front_ledger(&hindrance);

	/* A look before anything is given up. */
	if (!l || route_find(x->catalog, p->req.model, &operators, &hindrance))
		return e->code;
	ledger_release(l, &p->admission.lease);
	relay_result_fini(&p->res);
	p->res = (struct relay_result){ 0 };
	byok_use_fini(&p->byok);
	x->head.len = p->head_bytes;
	p->attempts_before++;
	if (route_find(x->catalog, p->req.model, &p->route, &hindrance) ||
		take_route(x, p, &hindrance) || paid_admit(x, p, &hindrance)) {
		/* Into the books goes what was done. */
		x->head.len = p->head_bytes;
		head_add(&x->head, "X-Provider", slug);
		head_add(&x->head, "X-Generation-Id", x->ledger_id);
		x->provider = p->route.target.slug = slug;
		p->admission = admission;
		p->admission.lease.is_open = false;
		p->byok.used = true;
		p->attempts_before--;
		return e->code;
	}
	return paid_relay(x, p, e);
}

void paid_answer(struct exchange *x, struct paid *p)
{
	struct err e = { 0 };
	enum err_code rc = paid_relay(x, p, &e);

	if (rc && may_fall_back(p, &e))
		rc = fall_back(x, p, &e);
	paid_settle(x, p);
	paid_deliver(x, p, rc, &e);
	(void)ledger_tick(front_ledger(&e), ledger_now(), NULL);
}

void paid_fini(struct paid *p)
{
	byok_use_fini(&p->byok);
	relay_result_fini(&p->res);
	buf_fini(&p->body);
}
