/* handlers/chat_completions.c - POST …/chat/completions: a chat request from start to end. */
#include "gateway/chat.h"
#include "gateway/demo.h"
#include "gateway/relay.h"
#include "gateway/route.h"
#include "handlers/common/front.h"

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

static enum err_code choose_target(
	struct exchange *x, const struct chat_req *req, struct route *route, struct err *e)
{
	enum err_code rc = route_find(x->front->catalog, req->model, route, e);

	if (rc)
		return rc;
	x->provider = route->target.slug;
	rc = auth_may_use(&x->caller, route->free, exchange_server_hint(x), e);
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

/* Ends an answer whose head has gone out already. */
static void finish_started(struct exchange *x, enum err_code rc, struct err *e)
{
	/* Who has left, or was given up after a long wait, is not waited for again. */
	int64_t patience_ms = rc == ERR_CLIENT_GONE ? 0 : exchange_patience_ms(x);
	enum err_code sent = request_finish(x->rq, NULL, NULL, patience_ms, e);

	exchange_note(x, 200, rc ? rc : sent);
}

static void relay(struct exchange *x, const struct chat_req *req, const struct route *route)
{
	struct relay_conf settings = relay_settings(x->front->conf);
	struct sink *client = request_sink(x->rq);
	struct sink_head head = { .status = 200, .length = -1, .streaming = req->stream };
	struct relay_result res = { 0 };
	struct err e = { 0 };
	struct pump *pump = front_pump(&e);
	enum err_code rc = e.code;

	head.content_type = req->stream ? "text/event-stream; charset=utf-8" : "application/json";
	head.extra = buf_slice(&x->head);
	if (pump)
		rc = relay_chat(pump, &settings, &route->target, req, client, &head, x->request_id,
			&res, &e);
	x->usage = res.usage;
	x->ttft_us = res.ttft_us;
	if (res.started) {
		if (!rc && !req->stream &&
			sink_write(client, buf_slice(&res.answer.json)) == SINK_GONE)
			rc = ERR_CLIENT_GONE;
		finish_started(x, rc, &e);
	} else if (rc == ERR_CLIENT_GONE) {
		exchange_note(x, err_status(&e), rc);
	} else if (rc) {
		exchange_error(x, &e);
	} else {
		exchange_json(x, 200, buf_slice(&res.answer.json));
	}
	relay_result_fini(&res);
}

static void handle(struct exchange *x)
{
	struct chat_req req;
	struct route route = { 0 };
	struct err e = { 0 };

	if (exchange_auth(x, &e) || read_request(x, &req, &e) || choose_target(x, &req, &route, &e))
		exchange_error(x, &e);
	else
		relay(x, &req, &route);
}

int main(int argc, char **argv)
{
	static const struct front_spec spec = {
		.program = "chat_completions.fcgi",
		.summary = "chat completions in OpenAI's form, streamed or whole",
		.endpoint = "/chat/completions",
		.methods = "POST, OPTIONS",
		.no_store = true,
		.needs = FRONT_CATALOG | FRONT_KEYS,
		.handle = handle,
	};

	return front_main(argc, argv, &spec);
}
