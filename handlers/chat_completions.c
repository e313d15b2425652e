/* handlers/chat_completions.c - POST …/chat/completions: a chat request from start to end. */
#include "base/clock.h"
#include "gateway/chat.h"
#include "gateway/demo.h"
#include "gateway/policy.h"
#include "gateway/relay.h"
#include "gateway/route.h"
#include "gateway/settle.h"
#include "handlers/common/front.h"

#define OUTPUT_UNKNOWN \
	16384                 /* tokens an answer may have when neither request nor catalogue says \
			       */
#define OUTPUT_LIKELY    1024 /* tokens an answer has, for rates, when the request does not say */
#define RESERVE_GRACE_MS 30000 /* a reservation outlives the request's own deadline by this */

static enum err_code read_request(struct exchange *x, struct chat_req *req, struct err *e)
{
	const struct conf *c = x->front->conf;
	struct json_limits limits = {
		.max_depth = (unsigned)conf_int(c, CONF_MAX_DEPTH),
		.max_keys = (unsigned)conf_int(c, CONF_MAX_KEYS),
		.depth_setting = "GATEWAY_MAX_DEPTH",
		.keys_setting = "GATEWAY_MAX_KEYS",
	};
	struct slice body;
	enum err_code rc;

	rc = request_read_body(x->rq, (size_t)conf_int(c, CONF_MAX_BODY), "GATEWAY_MAX_BODY",
		conf_int(c, CONF_BODY_TIMEOUT), &body, e);
	if (rc)
		return rc;
	request_done_reading(x->rq);
	x->bytes_in = body.len;
	rc = chat_parse(body, &limits, req, e);
	memcpy(x->model, req->model, sizeof(x->model));
	x->stream = req->stream;
	return rc;
}

/* May this caller have this model from this provider? */
static enum err_code check_policies(struct exchange *x, const struct route *route, struct err *e)
{
	enum err_code rc = auth_may_use(&x->caller, route->free, exchange_server_hint(x), e);

	if (!rc)
		rc = policy_model(&x->who, slice_of(route->target.public_id), e);
	if (!rc)
		rc = policy_provider(&x->who, slice_of(route->target.slug), e);
	if (!rc)
		rc = policy_collection(&x->who, false, route->provider->collects, e);
	if (!rc && !route->free)
		rc = policy_may_spend(&x->who, e);
	return rc;
}

static enum err_code choose_target(
	struct exchange *x, const struct chat_req *req, struct route *route, struct err *e)
{
	enum err_code rc = route_find(x->front->catalog, req->model, route, e);

	if (rc)
		return rc;
	x->provider = route->target.slug;
	rc = check_policies(x, route, e);
	if (rc)
		return rc;
	if (route->provider->demo) {
		route->target.unix_socket = demo_start(conf_int(x->front->conf, CONF_DEMO_PACE), e);
		if (!route->target.unix_socket)
			return e->code;
	}
	head_add(&x->head, "X-Provider", route->target.slug);
	head_add(&x->head, "X-Model", route->target.public_id);
	return ERR_OK;
}

/* Reserves what the request may cost, and tells the client where its limits stand. */
static enum err_code admit(struct exchange *x, const struct chat_req *req,
	const struct route *route, struct admission *a, struct err *e)
{
	const struct conf *c = x->front->conf;
	const struct limits_conf conf = { .free_per_hour = conf_int(c, CONF_FREE_PER_HOUR),
		.ipv6_prefix_bits = conf_int(c, CONF_IPV6_PREFIX),
		.buy_url = conf_str(c, CONF_BUY_CREDITS_URL) };
	struct ip address;
	const struct limits_who who = { .identity = &x->who,
		.address = exchange_address(x, &address) ? &address : NULL };
	struct ledger_now now = ledger_now();
	int64_t most = route->model && route->model->max_output ? route->model->max_output
								: OUTPUT_UNKNOWN;
	struct limits_what what = { .id = ledger_id(slice_of(x->ledger_id)),
		.prices = route->model ? route->model->prices : NULL,
		.free = route->free,
		.deadline_mono_ms = now.mono_ms + conf_int(c, CONF_DEADLINE) +
				    conf_int(c, CONF_CLIENT_STALL) + RESERVE_GRACE_MS };
	struct ledger *l = front_ledger(e);
	enum err_code rc;

	if (!l)
		return e->code;
	what.worst.prompt_tokens = chat_most_prompt_tokens(req);
	what.worst.images = chat_images(req);
	what.worst.writes_1h = chat_may_cache_1h(req);
	what.worst.max_output_tokens = req->n * (req->max_tokens ? req->max_tokens : most);
	what.likely_tokens = chat_estimate_prompt_tokens(req) +
			     req->n * (req->max_tokens ? req->max_tokens : OUTPUT_LIKELY);
	rc = limits_admit(l, now, &conf, &who, &what, a, e);
	limits_write_head(a, &x->head);
	head_add(&x->head, "X-Generation-Id", x->ledger_id);
	return rc;
}

/* Writes the request into the ledger, whatever became of it. */
static void settle(struct exchange *x, const struct route *route, struct admission *a,
	const struct relay_result *res)
{
	struct err e;
	struct ledger *l = front_ledger(&e);
	const struct settle_facts facts = { .identity = &x->who,
		.provider = route->target.slug,
		.model = route->target.public_id,
		.asked_model = x->model,
		.usage = &res->usage,
		.cost = &res->cost,
		.finish_reason = res->finish_reason,
		.status = x->status,
		.stream = x->stream,
		.free = route->free,
		.client_gone = x->error == ERR_CLIENT_GONE,
		.attempts = 1,
		.latency_ms = (clock_mono_us() - x->started_us) / 1000,
		.ttft_ms = res->ttft_us ? (res->ttft_us - x->started_us) / 1000 + 1 : 0 };

	x->cost_microusd = res->cost.microusd;
	settle_request(l, a, &facts);
}

static struct relay_conf relay_settings(const struct conf *c)
{
	return (struct relay_conf){
		.connect_ms = conf_int(c, CONF_CONNECT_TIMEOUT),
		.first_byte_ms = conf_int(c, CONF_FIRST_TOKEN_TIMEOUT),
		.idle_ms = conf_int(c, CONF_IDLE_TIMEOUT),
		.client_stall_ms = conf_int(c, CONF_CLIENT_STALL),
		.deadline_ms = conf_int(c, CONF_DEADLINE),
		.heartbeat_ms = conf_int(c, CONF_HEARTBEAT),
		.heartbeat_json = conf_int(c, CONF_HEARTBEAT_JSON) == 1,
		.max_event_bytes = (size_t)conf_int(c, CONF_MAX_EVENT),
		.max_answer_bytes = (size_t)conf_int(c, CONF_MAX_ANSWER),
	};
}

/* Calls the provider; a stream reaches the client meanwhile, but for its end. */
static enum err_code relay(struct exchange *x, const struct chat_req *req,
	const struct route *route, struct relay_result *res, struct err *e)
{
	struct relay_conf settings = relay_settings(x->front->conf);
	struct sink_head head = { .status = 200,
		.length = -1,
		.streaming = req->stream,
		.content_type =
			req->stream ? "text/event-stream; charset=utf-8" : "application/json",
		.extra = buf_slice(&x->head) };
	const struct cost_facts prices = { .table = route->model ? route->model->prices : NULL,
		.images = chat_images(req),
		.trusts_cost = route->target.quirks->trusts_cost,
		.free = route->free };
	const struct relay_call call = { .target = &route->target,
		.req = req,
		.client = request_sink(x->rq),
		.head = &head,
		.request_id = x->request_id,
		.prices = &prices };
	struct pump *pump = front_pump(e);
	enum err_code rc = pump ? relay_chat(pump, &settings, &call, res, e) : e->code;

	x->usage = res->usage;
	x->ttft_us = res->ttft_us;
	exchange_note(x, res->started || !rc ? 200 : err_status(e), rc);
	return rc;
}

/* Gives the client what it has not got yet: the end of a stream, or everything. */
static void deliver(
	struct exchange *x, const struct relay_result *res, enum err_code rc, struct err *e)
{
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

static void handle(struct exchange *x)
{
	struct chat_req req;
	struct route route = { 0 };
	struct admission admission;
	struct relay_result res = { 0 };
	struct err e = { 0 };
	enum err_code rc;

	if (exchange_auth(x, &e) || read_request(x, &req, &e) ||
		choose_target(x, &req, &route, &e) || admit(x, &req, &route, &admission, &e)) {
		exchange_error(x, &e);
		return;
	}
	rc = relay(x, &req, &route, &res, &e);
	/* Before the answer ends: a process that is killed here has not answered, and one that has
	 * answered has written what it cost. */
	settle(x, &route, &admission, &res);
	deliver(x, &res, rc, &e);
	relay_result_fini(&res);
	(void)ledger_tick(front_ledger(&e), ledger_now(), NULL);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "chat_completions.fcgi",
		.summary = "chat completions in OpenAI's form, streamed or whole",
		.endpoint = "/chat/completions",
		.methods = "POST, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS | FRONT_LEDGER,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
