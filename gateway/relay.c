#include "gateway/relay_inside.h"

#include "base/clock.h"
#include "gateway/byok.h"
#include "gateway/chat.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- usage ---- */

/* The final figures, and what they cost. */
static void count_usage(struct relay *r, struct relay_result *res, bool complete)
{
	const struct relay_before *before = r->call.before;
	struct cost_facts facts = *r->call.prices;
	struct usage *u = &res->usage;

	*u = r->dialect.usage;
	if (u->state == USAGE_NONE && (complete || r->text_bytes)) {
		u->prompt_tokens = chat_estimate_prompt_tokens(r->call.req);
		u->completion_tokens = (int64_t)((r->text_bytes + 3) / 4);
		u->state = USAGE_ESTIMATED;
	}
	if (u->state != USAGE_NONE && !complete)
		u->state = USAGE_PARTIAL;
	facts.usage = u;
	facts.router_byok = u->router_byok;
	facts.upstream_picousd = u->upstream_picousd;
	/* An unknown price is told by res->cost.source; what cannot be counted counts as most. */
	(void)!cost_of(&facts, &res->cost, NULL);
	if (before && before->completion_tokens) {
		u->completion_tokens += before->completion_tokens;
		cost_add_completion(&res->cost, &before->cost);
		buf_reset(&r->dialect.usage_json); /* the provider knows of its own part only */
	}
	r->dialect.usage = *u;
}

/* The members of usage that speak of money. */
static void cost_members(const struct cost *cost, struct buf *out)
{
	*out = (struct buf){ .max_bytes = 2048 };
	(void)!buf_room(out, 512); /* all of it, most times */
	cost_write_json(cost, out);
	if (!buf_ok(out))
		buf_reset(out);
}

static void put_hit_usage(const struct relay *r, struct relay_result *res)
{
	if (!r->call.keeps)
		return;
	res->hit_usage.max_bytes = r->dialect.usage_json.len + 2048;
	dialect_write_usage_object(&r->dialect, SLICE("\"cost\":0"), &res->hit_usage);
}

/* ---- the end of a stream ---- */

/* Usage for those who asked, and the mark of a whole answer. */
static void put_ending(struct relay *r, struct relay_result *res)
{
	struct buf *out = &res->ending;
	struct buf cost;

	out->max_bytes = RELAY_OUT_EXTRA;
	if (r->call.req->include_usage) {
		cost_members(&res->cost, &cost);
		buf_str(out, "data: ");
		dialect_write_usage(&r->dialect, buf_slice(&cost), out);
		relay_end_event(out, 0);
		buf_fini(&cost);
	}
	buf_str(out, "data: [DONE]\n\n");
}

/* One error event, and no [DONE]: the only sign for clients that never look at errors. */
static void put_error(
	const struct relay_call *call, const struct err *e, const char *request_id, struct buf *out)
{
	const struct provider *p = call->target->provider;
	const struct relay_client *c = call->client;

	buf_str(out, "data: {");
	if (c->id[0]) {
		buf_str(out, "\"id\":");
		buf_json_cstr(out, c->id);
		buf_char(out, ',');
	}
	buf_str(out, "\"object\":");
	buf_json_cstr(out, provider_chunk_object(p));
	buf_str(out, ",\"created\":");
	buf_int(out, c->created ? c->created : clock_wall_ms() / 1000);
	buf_str(out, ",\"model\":");
	buf_json_cstr(out, call->target->public_id);
	buf_str(out, ",\"error\":");
	err_write_object(e, request_id, out);
	buf_str(out, ",\"choices\":[{\"index\":0,");
	buf_str(out, p->no_words ? p->no_words : "\"delta\":{\"content\":\"\"}");
	buf_str(out, ",\"finish_reason\":\"error\"}]}\n\n");
}

void relay_write_failure(
	const struct relay_call *call, const struct err *e, const char *request_id, struct buf *out)
{
	out->max_bytes = RELAY_OUT_EXTRA;
	if (e->code == ERR_CLIENT_GONE)
		return;
	if (call->req->stream)
		put_error(call, e, request_id, out);
	else
		err_write_json(e, request_id, out);
}

/* ---- before the transfer ---- */

static void set_job(struct relay *r)
{
	struct relay_client *c = r->call.client;

	r->job = (struct job){
		.req = &r->http,
		.unix_socket = r->call.target->unix_socket,
		.ops = &relay_ops,
		.ctx = r,
		.client = atomic_load(&c->watcher) == r ? c->sink : NULL,
		.connect_ms = r->conf->connect_ms,
		.first_byte_ms = r->conf->first_byte_ms,
		.idle_ms = r->conf->idle_ms,
		.deadline_mono_ms = r->deadline_mono_ms,
		.heartbeat_ms = r->conf->heartbeat_ms,
		.client_stall_ms = r->conf->client_stall_ms,
	};
}

/* The answer goes on under the name that the client knows it by. */
static void set_dialect(struct relay *r)
{
	const struct relay_client *c = r->call.client;

	dialect_init(&r->dialect, &r->sign.target, r->call.req);
	r->dialect.seed = r->call.seed;
	if (!r->call.before)
		return;
	str_copy_cut(r->dialect.id, sizeof(r->dialect.id), c->id);
	r->dialect.created = c->created;
	if (c->created)
		(void)snprintf(r->dialect.created_text, sizeof(r->dialect.created_text), "%lld",
			(long long)c->created);
}

static enum err_code send_job(struct relay *r, struct err *e)
{
	enum err_code rc =
		r->call.target->provider->encode(r->call.req, r->call.target, &r->http, e);

	if (!rc)
		rc = sign_request(r->call.target, &r->http, e);
	if (rc)
		return rc;
	set_job(r);
	pump_submit(r->pump, &r->job, r->group);
	return ERR_OK;
}

enum err_code relay_start(struct pump *pump, struct job_group *group, const struct relay_conf *conf,
	const struct relay_call *call, struct relay **out, struct err *e)
{
	struct relay *r = calloc(1, sizeof(*r));
	enum err_code rc;

	*out = NULL;
	if (!r)
		return err_set(e, ERR_NO_MEMORY, "out of memory");
	r->call = *call;
	r->conf = conf;
	r->pump = pump;
	r->group = group;
	r->deadline_mono_ms = clock_mono_ms() + conf->deadline_ms;
	rc = sign_begin(&r->sign, call->target, pump, e);
	r->call.target = &r->sign.target;
	set_dialect(r);
	sse_init(&r->sse, conf->max_event_bytes);
	aws_frames_init(&r->frames, conf->max_event_bytes);
	r->out.max_bytes = 5 * conf->max_event_bytes + RELAY_OUT_EXTRA;
	if (!call->is_hedge)
		atomic_store(&call->client->watcher, r);
	if (!rc)
		rc = send_job(r, e);
	if (rc) {
		if (!call->is_hedge)
			atomic_store(&call->client->watcher, NULL);
		relay_free(r);
		return rc;
	}
	*out = r;
	return ERR_OK;
}

/* ---- after the transfer, on the request thread ---- */

static bool is_refusal(const struct relay *r)
{
	return r->kind == BODY_REFUSAL && r->job.rc != ERR_CLIENT_GONE && r->job.rc != ERR_BUSY &&
	       r->job.rc != ERR_OVERTAKEN;
}

static enum err_code read_refusal(struct relay *r, struct err *e)
{
	const struct provider *p = r->call.target->provider;
	enum err_code rc =
		p->decode_typed_error && r->job.error_type[0]
			? p->decode_typed_error(r->call.target, r->job.status,
				  slice_of(r->job.error_type), buf_slice(&r->body), e)
			: p->decode_error(r->call.target, r->job.status, buf_slice(&r->body), e);

	if (r->job.retry_after_ms > 0)
		e->retry_after_ms = r->job.retry_after_ms;
	return rc;
}

/* Does the dialect know how to write the refused request so that it is taken? Then it is on its
 * way again. */
static bool mend(struct relay *r)
{
	const struct provider *p = r->call.target->provider;
	struct err e = { 0 };

	if (r->mended || !is_refusal(r) || !p->mend || !read_refusal(r, &e) ||
		!p->mend(&r->sign.target, &e))
		return false;
	r->mended = true;
	r->bytes_in += r->job.bytes_in;
	http_req_fini(&r->http);
	r->http = (struct http_req){ .url = "" };
	buf_reset(&r->body);
	dialect_fini(&r->dialect);
	set_dialect(r);
	r->kind = BODY_UNKNOWN;
	r->begun = false;
	r->job.rc = send_job(r, &r->job.err);
	return r->job.rc == ERR_OK;
}

bool relay_is_over(struct relay *r, bool alone)
{
	return job_has_ended(&r->job) && !(alone && mend(r));
}

bool relay_is_silent(const struct relay *r)
{
	return !atomic_load(&r->heard);
}

struct job *relay_job(struct relay *r)
{
	return &r->job;
}

/* Says in the answer who made it. */
static bool put_provider(const struct relay *r, struct answer *a)
{
	struct buf named = { .max_bytes = a->json.len + SLUG_MAX + 16 };

	if (!r->call.names_provider)
		return true;
	(void)!buf_room(&named, named.max_bytes);
	relay_put_named(r, buf_slice(&a->json), &named);
	if (buf_ok(&named)) {
		buf_fini(&a->json);
		a->json = named;
		return true;
	}
	buf_fini(&named);
	return false;
}

static enum err_code take_whole(struct relay *r, struct relay_result *res, struct err *e)
{
	const struct provider *p = r->call.target->provider;
	struct answer *a = &res->answer;
	struct buf cost;
	bool fits;
	enum err_code rc = p->decode(&r->dialect, slice_of(r->job.content_type),
		buf_slice(&r->body), clock_wall_ms() / 1000, a, e);

	if (rc)
		return rc;
	r->text_bytes = a->text_bytes;
	if (!r->call.req->stream) {
		count_usage(r, res, true);
		cost_members(&res->cost, &cost);
		fits = answer_put_usage(&r->dialect, buf_slice(&cost), a) && put_provider(r, a);
		buf_fini(&cost);
		put_hit_usage(r, res);
		return fits ? ERR_OK
			    : err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
	}
	/* A streaming call answered with one JSON text: the client asked for a stream. */
	if (r->call.before)
		return err_set(e, ERR_UPSTREAM_INVALID, "%s answered without a stream",
			r->call.target->slug);
	rc = p->write_events ? p->write_events(a, &r->out, e) : answer_write_events(a, &r->out, e);
	if (rc)
		return rc;
	r->whole_ready = true;
	r->ended = true;
	return ERR_OK;
}

static enum err_code find_out(struct relay *r, struct relay_result *res, struct err *e)
{
	enum err_code rc;

	if (is_refusal(r)) {
		rc = read_refusal(r, e);
		/* What it means: some refuse a key with the status of a bad request. */
		if (e->upstream_status >= 400)
			res->upstream_status = e->upstream_status;
		return rc;
	}
	if (r->job.rc) {
		*e = r->job.err;
		return r->job.rc;
	}
	return r->kind == BODY_WHOLE ? take_whole(r, res, e) : ERR_OK;
}

enum err_code relay_end(struct relay *r, struct relay_result *res, struct err *e)
{
	enum err_code rc;

	*res = (struct relay_result){ .spoke = r->spoke,
		.upstream_status = r->job.status,
		.ttft_us = r->ttft_us,
		.bytes_in = r->bytes_in + r->job.bytes_in };
	rc = find_out(r, res, e);
	if (rc) {
		if (!e->provider[0] && e->code >= ERR_UPSTREAM_STATUS)
			str_copy_cut(e->provider, sizeof(e->provider), r->call.target->slug);
		if (r->call.prices->byok && e->code == ERR_UPSTREAM_STATUS) {
			byok_explain(
				res->upstream_status >= 400 ? res->upstream_status : e->status, e);
			rc = e->code;
		}
		count_usage(r, res, false);
	} else if (r->call.req->stream) {
		count_usage(r, res, true);
		put_ending(r, res);
		put_hit_usage(r, res);
	}
	r->status = res->upstream_status;
	res->complete = !rc;
	res->malformed = r->dialect.malformed;
	str_copy_cut(res->finish_reason, sizeof(res->finish_reason), r->dialect.finish_reason);
	str_copy_cut(res->upstream_id, sizeof(res->upstream_id), r->dialect.id);
	return rc;
}

enum err_code relay_deliver(struct relay *r, struct relay_result *res, struct err *e)
{
	struct relay_client *c = r->call.client;

	if (!r->whole_ready)
		return ERR_OK;
	atomic_store(&c->watcher, r);
	if (relay_send_out(r, e) == JOB_FAIL)
		return e->code;
	res->spoke = r->spoke;
	return ERR_OK;
}

void relay_free(struct relay *r)
{
	if (!r)
		return;
	buf_fini(&r->body);
	buf_fini(&r->out);
	sse_fini(&r->sse);
	aws_frames_fini(&r->frames);
	sign_end(&r->sign, r->status);
	dialect_fini(&r->dialect);
	http_req_fini(&r->http);
	free(r);
}

void relay_result_fini(struct relay_result *r)
{
	answer_fini(&r->answer);
	buf_fini(&r->ending);
	buf_fini(&r->hit_usage);
}
