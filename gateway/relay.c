#include "gateway/relay.h"

#include "base/aws_frames.h"
#include "base/clock.h"
#include "gateway/byok.h"
#include "gateway/chat.h"
#include "gateway/sign.h"

#define ERROR_BODY_MAX  (64 << 10) /* bytes of a refusal that are read for its message */
#define OUT_EXTRA       (1 << 20)  /* bytes that one read of many small events may grow to */
#define FINISH_GRACE_MS 2000       /* for usage and [DONE] behind the last finish reason */

/* What the body of the answer is being read as. */
enum body {
	BODY_UNKNOWN, /* no head yet */
	BODY_EVENTS,  /* a stream of events */
	BODY_WHOLE,   /* one JSON text, collected */
	BODY_REFUSAL, /* status >= 400, collected up to ERROR_BODY_MAX */
};

struct relay {
	const struct target *target;
	const struct chat_req *req;
	const struct relay_conf *conf;
	struct sink *client;
	const struct sink_head *head;
	const struct cost_facts *prices;
	const char *seed;
	struct relay_result *res;
	struct dialect dialect;
	struct sse sse;
	struct aws_frames frames; /* instead of sse, for those who part events so */
	struct buf body;          /* what is collected */
	struct buf out;           /* events on their way to the client */
	struct job *job;
	enum body kind;
	bool begun; /* a first byte of the body has come */
	bool ended; /* nothing more is to come */
};

/* For "return failed(err_set(…))": the error is set, the job stops. */
static enum job_next failed(enum err_code rc)
{
	(void)rc;
	return JOB_FAIL;
}

/* ---- towards the client ---- */

static enum job_next gone(struct err *e)
{
	return failed(err_set(e, ERR_CLIENT_GONE, "the client has left"));
}

/* Commits to status 200. Web servers hold a head back until a first byte of the body comes. */
static bool begin(struct relay *r)
{
	if (sink_has_begun(r->client))
		return true;
	r->res->started = true;
	if (sink_begin(r->client, r->head) == SINK_GONE)
		return false;
	return !r->req->stream || sink_write(r->client, SLICE(": ok\n\n")) != SINK_GONE;
}

/* Sends what stands in out: all events of one read at once. */
static enum job_next send_out(struct relay *r, struct err *e)
{
	enum sink_state state;

	if (!buf_ok(&r->out))
		return failed(err_set(e, ERR_UPSTREAM_TOO_LARGE,
			"%s sends more at once than fits (GATEWAY_MAX_EVENT)", r->target->slug));
	if (!r->out.len)
		return JOB_MORE;
	if (!begin(r))
		return gone(e);
	state = sink_write(r->client, buf_slice(&r->out));
	buf_reset(&r->out);
	r->job->wrote = true;
	if (state == SINK_GONE)
		return gone(e);
	return state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

/* Ends the event that began at byte begin of out. A provider may lay its JSON out in lines; here a
 * line's end would be the end of the data. Inside JSON it is never more than a blank. */
static void end_event(struct buf *out, size_t begin)
{
	char *at, *end = out->data + out->len;

	for (at = out->data + begin; at && (at = memchr(at, '\n', (size_t)(end - at)));)
		*at = ' ';
	for (at = out->data + begin; at && (at = memchr(at, '\r', (size_t)(end - at)));)
		*at = ' ';
	buf_append(out, "\n\n", 2);
}

static void put_event(struct relay *r, struct slice json)
{
	size_t begin = r->out.len;

	buf_append(&r->out, "data: ", 6);
	buf_slice_append(&r->out, json);
	end_event(&r->out, begin);
}

/* ---- usage ---- */

/* The final figures, and what they cost. */
static void count_usage(struct relay *r, bool complete)
{
	struct cost_facts facts = *r->prices;
	struct usage *u = &r->res->usage;

	*u = r->dialect.usage;
	if (u->state == USAGE_NONE && (complete || r->res->answer.text_bytes)) {
		u->prompt_tokens = chat_estimate_prompt_tokens(r->req);
		u->completion_tokens = (int64_t)((r->res->answer.text_bytes + 3) / 4);
		u->state = USAGE_ESTIMATED;
	}
	if (u->state != USAGE_NONE && !complete)
		u->state = USAGE_PARTIAL;
	r->dialect.usage = *u;
	facts.usage = u;
	facts.router_byok = u->router_byok;
	facts.upstream_picousd = u->upstream_picousd;
	/* An unknown price is told by res->cost.source; what cannot be counted counts as most. */
	(void)!cost_of(&facts, &r->res->cost, NULL);
}

/* The members of usage that speak of money. */
static void cost_members(const struct relay *r, struct buf *out)
{
	*out = (struct buf){ .max_bytes = 2048 };
	cost_write_json(&r->res->cost, out);
	if (!buf_ok(out))
		buf_reset(out);
}

/* ---- the end of a stream ---- */

/* Everything has come. What tells the client so is written when the request is settled. */
static void end(struct relay *r)
{
	r->ended = true;
	r->res->complete = true;
}

/* Usage for those who asked, and the mark of a whole answer. */
static void put_ending(struct relay *r)
{
	struct buf *out = &r->res->ending;
	struct buf cost;

	count_usage(r, true);
	out->max_bytes = OUT_EXTRA;
	if (r->req->include_usage) {
		cost_members(r, &cost);
		buf_str(out, "data: ");
		dialect_write_usage(&r->dialect, buf_slice(&cost), out);
		end_event(out, 0);
		buf_fini(&cost);
	}
	buf_str(out, "data: [DONE]\n\n");
}

/* One error event, and no [DONE]: the only sign for clients that never look at errors. */
static void put_error(
	const struct relay *r, const struct err *e, const char *request_id, struct buf *out)
{
	const char *no_words = r->target->provider->no_words;

	buf_str(out, "data: {");
	if (r->dialect.id[0]) {
		buf_str(out, "\"id\":");
		buf_json_cstr(out, r->dialect.id);
		buf_char(out, ',');
	}
	buf_str(out, "\"object\":");
	buf_json_cstr(out, dialect_chunk_object(&r->dialect));
	buf_str(out, ",\"created\":");
	buf_int(out, r->dialect.created ? r->dialect.created : clock_wall_ms() / 1000);
	buf_str(out, ",\"model\":");
	buf_json_cstr(out, r->target->public_id);
	buf_str(out, ",\"error\":");
	err_write_object(e, request_id, out);
	buf_str(out, ",\"choices\":[{\"index\":0,");
	buf_str(out, no_words ? no_words : "\"delta\":{\"content\":\"\"}");
	buf_str(out, ",\"finish_reason\":\"error\"}]}\n\n");
}

/* ---- from the provider, on the pump thread ---- */

static void collect(struct relay *r)
{
	r->kind = BODY_WHOLE;
	r->body.max_bytes = r->conf->max_answer_bytes;
}

static enum job_next on_head(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;

	r->res->upstream_status = j->status;
	if (j->status >= 400) {
		r->kind = BODY_REFUSAL;
		r->body.max_bytes = ERROR_BODY_MAX;
		return JOB_MORE;
	}
	if (j->status >= 300)
		return failed(err_set(e, ERR_UPSTREAM_INVALID,
			"%s answered %d: redirects are not followed", r->target->slug, j->status));
	if (r->req->stream && !strstr(j->content_type, "json") &&
		!strstr(j->content_type, "html")) {
		r->kind = BODY_EVENTS;
		return JOB_MORE;
	}
	collect(r);
	return JOB_MORE;
}

static enum err_code take_event(struct relay *r, const struct sse_event *ev, struct err *e)
{
	struct delta delta;
	enum err_code rc;

	if (r->ended)
		return ERR_OK;
	rc = r->target->provider->decode_event(&r->dialect, ev, clock_wall_ms() / 1000, &delta, e);
	if (rc)
		return rc;
	if (delta.text_bytes) {
		if (!r->res->ttft_us)
			r->res->ttft_us = clock_mono_us();
		r->res->answer.text_bytes += delta.text_bytes;
	}
	switch (delta.kind) {
	case DELTA_CHUNK:
		put_event(r, delta.json);
		break;
	case DELTA_DONE:
		if (!dialect_may_end(&r->dialect))
			return err_set(e, ERR_UPSTREAM_CLOSED,
				"%s ended the stream without a finish reason", r->target->slug);
		end(r);
		return ERR_OK;
	case DELTA_SKIP:
	case DELTA_USAGE: /* told at the end */
	case DELTA_ERROR: /* came with an error code */
		break;
	}
	if (dialect_is_finished(&r->dialect) && r->job->idle_ms > FINISH_GRACE_MS)
		r->job->idle_ms = FINISH_GRACE_MS;
	return ERR_OK;
}

/* Some servers put several JSON texts, a line each, into one event (openai-chat.md section 15.1).
 */
static bool is_one_text(struct slice data)
{
	return !memchr(data.ptr, '\n', data.len) ||
	       !json_validate(slice_trim(data), &tongue_limits, NULL, NULL);
}

static enum err_code on_event(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct slice rest = ev->data;
	enum err_code rc = ERR_OK;

	if (is_one_text(ev->data))
		return take_event(ctx, ev, e);
	while (!rc && rest.len) {
		struct sse_event line = { ev->name, slice_trim(slice_cut(&rest, '\n')) };

		if (line.data.len)
			rc = take_event(ctx, &line, e);
	}
	return rc;
}

/* A binary frame holds one event, however its JSON is laid out. */
static enum err_code on_frame(void *ctx, const struct sse_event *ev, struct err *e)
{
	return take_event(ctx, ev, e);
}

static enum err_code feed(struct relay *r, struct slice bytes, struct err *e)
{
	if (r->target->provider->framing == FRAMES_AWS)
		return aws_frames_feed(&r->frames, bytes.ptr, bytes.len, on_frame, r, e);
	return sse_feed(&r->sse, bytes.ptr, bytes.len, on_event, r, e);
}

/* What is left when the stream has ended. *partial: it was within an event. */
static enum err_code feed_end(struct relay *r, bool *partial, struct err *e)
{
	if (r->target->provider->framing != FRAMES_AWS)
		return sse_end(&r->sse, on_event, r, partial, e);
	*partial = aws_frames_end(&r->frames);
	return ERR_OK;
}

static enum job_next on_events(struct relay *r, enum err_code rc, struct err *e)
{
	struct err why = { 0 };
	enum job_next next;

	if (rc == ERR_UPSTREAM_TOO_LARGE)
		(void)!err_set(&why, rc,
			"%s sent an event larger than allowed (GATEWAY_MAX_EVENT, %zu bytes)",
			r->target->slug, r->conf->max_event_bytes);
	else if (rc)
		why = *e;
	/* What came before the failure is the client's. */
	next = send_out(r, e);
	if (next == JOB_FAIL)
		return next;
	if (rc) {
		*e = why;
		return JOB_FAIL;
	}
	return r->ended ? JOB_DONE : next;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct relay *r = j->ctx;

	if (!r->begun) {
		/* Errors under 200 come as bare JSON or HTML whatever the content type says; no
		 * event begins like that. */
		r->begun = true;
		if (r->kind == BODY_EVENTS && bytes.len && memchr("{[<", bytes.ptr[0], 3))
			collect(r);
	}
	if (r->kind == BODY_EVENTS)
		return on_events(r, feed(r, bytes, e), e);
	if (r->kind == BODY_REFUSAL && bytes.len > ERROR_BODY_MAX - r->body.len) {
		buf_append(&r->body, bytes.ptr, ERROR_BODY_MAX - r->body.len);
		return JOB_DONE;
	}
	buf_slice_append(&r->body, bytes);
	if (!buf_ok(&r->body))
		return failed(err_set(e, ERR_UPSTREAM_TOO_LARGE,
			"%s sent an answer larger than allowed (GATEWAY_MAX_ANSWER, %zu bytes)",
			r->target->slug, r->conf->max_answer_bytes));
	return JOB_MORE;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	struct relay *r = j->ctx;
	struct err last = { 0 };
	enum err_code rc;
	enum job_next next;
	bool partial;

	if (r->kind == BODY_REFUSAL)
		return JOB_DONE;
	if (r->kind == BODY_WHOLE)
		return JOB_MORE;
	rc = feed_end(r, &partial, &last);
	/* Only words of farewell can be missing or broken when all choices have finished. */
	if (!r->ended && (cut ? dialect_is_finished(&r->dialect) : dialect_may_end(&r->dialect)))
		end(r);
	next = send_out(r, e);
	if (next == JOB_FAIL)
		return next;
	if (r->ended)
		return JOB_DONE;
	if (rc && !partial && !cut) {
		*e = last;
		return JOB_FAIL;
	}
	return failed(err_set(e, ERR_UPSTREAM_CLOSED, "%s: the stream ended before its last event",
		r->target->slug));
}

static enum job_next on_beat(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;
	enum sink_state state;

	if (!r->req->stream && !r->conf->heartbeat_json)
		return JOB_MORE;
	if (!begin(r))
		return gone(e);
	state = sink_write(r->client, r->req->stream ? SLICE(": keep-alive\n\n") : SLICE("\n"));
	return state == SINK_GONE ? gone(e) : state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

static enum job_next on_idle(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;

	if (r->kind != BODY_EVENTS || !dialect_is_finished(&r->dialect))
		return JOB_MORE;
	end(r);
	return send_out(r, e) == JOB_FAIL ? JOB_FAIL : JOB_DONE;
}

static const struct job_ops ops = { on_head, on_bytes, on_end, on_beat, on_idle };

/* ---- after the transfer, on the request thread ---- */

static enum err_code take_refusal(struct relay *r, struct err *e)
{
	const struct provider *p = r->target->provider;
	int status = r->res->upstream_status;
	enum err_code rc = p->decode_typed_error && r->job->error_type[0]
				   ? p->decode_typed_error(r->target, status,
					     slice_of(r->job->error_type), buf_slice(&r->body), e)
				   : p->decode_error(r->target, status, buf_slice(&r->body), e);

	if (r->job->retry_after_ms > 0)
		e->retry_after_ms = r->job->retry_after_ms;
	/* What it means: some refuse a key with the status of a bad request. */
	if (e->upstream_status >= 400)
		r->res->upstream_status = e->upstream_status;
	return rc;
}

static enum err_code take_whole(struct relay *r, struct err *e)
{
	struct answer *a = &r->res->answer;
	enum err_code rc = r->target->provider->decode(&r->dialect, slice_of(r->job->content_type),
		buf_slice(&r->body), clock_wall_ms() / 1000, a, e);

	if (rc)
		return rc;
	if (!r->req->stream) {
		struct buf cost;
		bool fits;

		count_usage(r, true);
		cost_members(r, &cost);
		fits = answer_put_usage(&r->dialect, buf_slice(&cost), a);
		buf_fini(&cost);
		r->res->complete = true;
		return fits ? ERR_OK
			    : err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
	}
	/* A streaming call answered with one JSON text: the client asked for a stream. */
	rc = r->target->provider->write_events ? r->target->provider->write_events(a, &r->out, e)
					       : answer_write_events(a, &r->out, e);
	if (rc)
		return rc;
	end(r);
	return send_out(r, e) == JOB_FAIL ? e->code : ERR_OK;
}

static void set_job(struct relay *r, struct job *j, const struct http_req *http)
{
	*j = (struct job){
		.req = http,
		.unix_socket = r->target->unix_socket,
		.ops = &ops,
		.ctx = r,
		.client = r->client,
		.connect_ms = r->conf->connect_ms,
		.first_byte_ms = r->conf->first_byte_ms,
		.idle_ms = r->conf->idle_ms,
		.deadline_mono_ms = clock_mono_ms() + r->conf->deadline_ms,
		.heartbeat_ms = r->conf->heartbeat_ms,
		.client_stall_ms = r->conf->client_stall_ms,
	};
	r->job = j;
}

/* The client already has the beginning: what will tell it, in the shape it is reading, that there
 * is no more. */
static void put_failure(struct relay *r, const struct err *e, const char *request_id)
{
	r->res->ending.max_bytes = OUT_EXTRA;
	if (e->code == ERR_CLIENT_GONE)
		return;
	if (r->req->stream)
		put_error(r, e, request_id, &r->res->ending);
	else
		err_write_json(e, request_id, &r->res->ending);
}

/* One request and its answer. */
static enum err_code attempt(
	struct relay *r, struct pump *pump, struct http_req *http, struct job *job, struct err *e)
{
	enum err_code rc = r->target->provider->encode(r->req, r->target, http, e);

	if (!rc)
		rc = sign_request(r->target, http, e);
	if (rc)
		return rc;
	set_job(r, job, http);
	rc = pump_run(pump, job, e);
	r->res->bytes_in += job->bytes_in;
	if (r->kind == BODY_REFUSAL && rc != ERR_CLIENT_GONE && rc != ERR_BUSY)
		return take_refusal(r, e);
	return !rc && r->kind == BODY_WHOLE ? take_whole(r, e) : rc;
}

/* Does the dialect know how to write the refused request so that it is taken? Then everything is
 * made ready for it. */
static bool may_mend(struct relay *r, struct target *t, struct http_req *http, const struct err *e)
{
	if (r->kind != BODY_REFUSAL || e->code == ERR_CLIENT_GONE || e->code == ERR_BUSY ||
		!t->provider->mend || !t->provider->mend(t, e))
		return false;
	http_req_fini(http);
	http->url[0] = '\0';
	buf_reset(&r->body);
	dialect_fini(&r->dialect);
	dialect_init(&r->dialect, t, r->req);
	r->dialect.seed = r->seed;
	r->kind = BODY_UNKNOWN;
	r->begun = false;
	return true;
}

enum err_code relay_chat(struct pump *pump, const struct relay_conf *conf,
	const struct relay_call *call, struct relay_result *res, struct err *e)
{
	struct sign sign;
	const struct target *t = &sign.target;
	struct relay r = { .target = t,
		.req = call->req,
		.conf = conf,
		.client = call->client,
		.head = call->head,
		.prices = call->prices,
		.seed = call->seed,
		.res = res };
	struct http_req http = { .url = "" };
	struct job job;
	enum err_code rc = sign_begin(&sign, call->target, pump, e);

	*res = (struct relay_result){ 0 };
	dialect_init(&r.dialect, t, call->req);
	r.dialect.seed = r.seed;
	sse_init(&r.sse, conf->max_event_bytes);
	aws_frames_init(&r.frames, conf->max_event_bytes);
	r.out.max_bytes = 5 * conf->max_event_bytes + OUT_EXTRA;
	if (!rc)
		rc = attempt(&r, pump, &http, &job, e);
	if (rc && may_mend(&r, &sign.target, &http, e))
		rc = attempt(&r, pump, &http, &job, e);
	if (rc && !r.job)
		goto out;
	if (rc) {
		if (!e->provider[0] && e->code >= ERR_UPSTREAM_STATUS)
			str_copy_cut(e->provider, sizeof(e->provider), t->slug);
		if (call->prices->byok && e->code == ERR_UPSTREAM_STATUS) {
			byok_explain(
				res->upstream_status >= 400 ? res->upstream_status : e->status, e);
			rc = e->code;
		}
		count_usage(&r, false);
		if (res->started)
			put_failure(&r, e, call->request_id);
	} else if (r.ended) {
		put_ending(&r);
	}
out:
	res->malformed = r.dialect.malformed;
	str_copy_cut(res->finish_reason, sizeof(res->finish_reason), r.dialect.finish_reason);
	str_copy_cut(res->upstream_id, sizeof(res->upstream_id), r.dialect.id);
	buf_fini(&r.body);
	buf_fini(&r.out);
	sse_fini(&r.sse);
	aws_frames_fini(&r.frames);
	sign_end(&sign, res->upstream_status);
	dialect_fini(&r.dialect);
	http_req_fini(&http);
	return rc;
}

void relay_result_fini(struct relay_result *r)
{
	answer_fini(&r->answer);
	buf_fini(&r->ending);
}
