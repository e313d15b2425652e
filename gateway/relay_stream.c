#include "gateway/relay_inside.h"

#include "base/clock.h"
#include "gateway/chat.h"

#define ERROR_BODY_MAX  (64 << 10) /* bytes of a refusal that are read for its message */
#define FINISH_GRACE_MS 2000       /* for usage and [DONE] behind the last finish reason */

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
static bool begin(struct relay *r, const struct sink_head *head)
{
	struct sink *client = r->call.client->sink;

	if (sink_has_begun(client))
		return true;
	if (sink_begin(client, head) == SINK_GONE)
		return false;
	return !r->call.req->stream || sink_write(client, SLICE(": ok\n\n")) != SINK_GONE;
}

/* Is the beginning still to be held back? */
static bool holds_back(const struct relay *r)
{
	int64_t hold = r->conf->hold;

	/* What goes on with words that are out is noted as it comes, and so goes out at once. */
	if (r->ended || r->call.before)
		return false;
	if (!r->worded)
		return true;
	if (hold >= 0)
		return r->tokens < (uint64_t)hold;
	return !r->ttft_us || clock_mono_us() < r->ttft_us - hold * 1000;
}

bool relay_claim(struct relay *r)
{
	struct relay *nobody = NULL;

	return atomic_load(&r->call.client->speaker) == r ||
	       atomic_compare_exchange_strong(&r->call.client->speaker, &nobody, r);
}

/* This one's content is what the client gets, unless another was faster. */
static enum job_next speak(struct relay *r, struct err *e)
{
	struct relay_client *c = r->call.client;
	struct relay *watcher = atomic_load(&c->watcher);

	if (!relay_claim(r))
		return failed(err_set(e, ERR_OVERTAKEN, "another provider was faster"));
	if (watcher != r) {
		job_overtake(&r->job, &watcher->job);
		atomic_store(&c->watcher, r);
	}
	r->spoke = true;
	if (r->call.on_speech)
		r->call.on_speech(r->call.ctx, r->ttft_us);
	str_copy_cut(c->id, sizeof(c->id), r->dialect.id);
	c->created = r->dialect.created;
	return begin(r, r->call.head) ? JOB_MORE : gone(e);
}

enum job_next relay_send_out(struct relay *r, struct err *e)
{
	enum sink_state state;

	if (!buf_ok(&r->out))
		return failed(err_set(e, ERR_UPSTREAM_TOO_LARGE,
			"%s sends more at once than fits (GATEWAY_MAX_EVENT)",
			r->call.target->slug));
	if (!r->out.len)
		return JOB_MORE;
	if (!r->spoke && holds_back(r))
		return JOB_MORE;
	if (!r->spoke && speak(r, e) == JOB_FAIL)
		return JOB_FAIL;
	state = sink_write(r->call.client->sink, buf_slice(&r->out));
	buf_reset(&r->out);
	r->job.wrote = true;
	if (state == SINK_GONE)
		return gone(e);
	return state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

static void blank_out(char *at, const char *end, char ch)
{
	while (at < end && (at = memchr(at, ch, (size_t)(end - at))))
		*at = ' ';
}

void relay_end_event(struct buf *out, size_t begin)
{
	if (out->len > begin) {
		blank_out(out->data + begin, out->data + out->len, '\n');
		blank_out(out->data + begin, out->data + out->len, '\r');
	}
	buf_append(out, "\n\n", 2);
}

void relay_put_named(const struct relay *r, struct slice json, struct buf *out)
{
	/* Inside a string the quotes would be escaped. */
	if (!r->call.names_provider || memmem(json.ptr, json.len, "\"provider\":", 11)) {
		buf_slice_append(out, json);
		return;
	}
	buf_append(out, "{\"provider\":\"", 13);
	buf_str(out, r->call.target->slug);
	buf_append(out, "\",", 2);
	buf_slice_append(out, slice_from(json, 1));
}

static void put_event(struct relay *r, struct slice json)
{
	size_t begin = r->out.len;

	buf_append(&r->out, "data: ", 6);
	relay_put_named(r, json, &r->out);
	relay_end_event(&r->out, begin);
}

/* ---- from the provider ---- */

/* Everything has come. What tells the client so is written when the request is settled. */
static void end(struct relay *r)
{
	r->ended = true;
}

static void collect(struct relay *r)
{
	r->kind = BODY_WHOLE;
	r->body.max_bytes = r->conf->max_answer_bytes;
}

static enum job_next on_head(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;

	atomic_store(&r->heard, true);
	if (j->status >= 400) {
		r->kind = BODY_REFUSAL;
		r->body.max_bytes = ERROR_BODY_MAX;
		return JOB_MORE;
	}
	if (j->status >= 300)
		return failed(err_set(e, ERR_UPSTREAM_INVALID,
			"%s answered %d: redirects are not followed", r->call.target->slug,
			j->status));
	if (r->call.req->stream && !strstr(j->content_type, "json") &&
		!strstr(j->content_type, "html")) {
		r->kind = BODY_EVENTS;
		return JOB_MORE;
	}
	collect(r);
	return JOB_MORE;
}

/* A chunk for the client, unless it has it already from another attempt. */
static enum err_code put_chunk(struct relay *r, struct slice json, struct err *e)
{
	if (r->call.before)
		switch (rescue_chunk(r->call.before->rescue, json, &json)) {
		case RESCUE_HOLD:
			return ERR_OK;
		case RESCUE_DIFFERS:
			return err_set(e, ERR_UPSTREAM_INVALID,
				"%s does not go on with what was said", r->call.target->slug);
		case RESCUE_PASS:
			break;
		}
	put_event(r, json);
	if (r->call.said)
		said_note(r->call.said, json);
	return ERR_OK;
}

static enum err_code take_end(struct relay *r, struct err *e)
{
	if (!dialect_may_end(&r->dialect))
		return err_set(e, ERR_UPSTREAM_CLOSED,
			"%s ended the stream without a finish reason", r->call.target->slug);
	if (r->call.before && !rescue_is_whole(r->call.before->rescue))
		return err_set(e, ERR_UPSTREAM_INVALID, "%s says less than was said",
			r->call.target->slug);
	end(r);
	return ERR_OK;
}

static enum err_code take_event(struct relay *r, const struct sse_event *ev, struct err *e)
{
	struct delta delta;
	enum err_code rc;

	if (r->ended)
		return ERR_OK;
	rc = r->call.target->provider->decode_event(
		&r->dialect, ev, clock_wall_ms() / 1000, &delta, e);
	if (rc)
		return rc;
	if (delta.text_bytes) {
		if (!r->ttft_us)
			r->ttft_us = clock_mono_us();
		r->text_bytes += delta.text_bytes;
		r->tokens++;
	}
	r->worded |= delta.text_bytes || r->dialect.choices_finished;
	switch (delta.kind) {
	case DELTA_CHUNK:
		rc = put_chunk(r, delta.json, e);
		break;
	case DELTA_DONE:
		return take_end(r, e);
	case DELTA_SKIP:
	case DELTA_USAGE: /* told at the end */
	case DELTA_ERROR: /* came with an error code */
		break;
	}
	if (dialect_is_finished(&r->dialect) && r->job.idle_ms > FINISH_GRACE_MS)
		r->job.idle_ms = FINISH_GRACE_MS;
	return rc;
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
	if (r->call.target->provider->framing == FRAMES_AWS)
		return aws_frames_feed(&r->frames, bytes.ptr, bytes.len, on_frame, r, e);
	return sse_feed(&r->sse, bytes.ptr, bytes.len, on_event, r, e);
}

/* What is left when the stream has ended. *partial: it was within an event. */
static enum err_code feed_end(struct relay *r, bool *partial, struct err *e)
{
	if (r->call.target->provider->framing != FRAMES_AWS)
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
			r->call.target->slug, r->conf->max_event_bytes);
	else if (rc)
		why = *e;
	/* What came before the failure is the client's. */
	next = relay_send_out(r, e);
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
			r->call.target->slug, r->conf->max_answer_bytes));
	return JOB_MORE;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	struct relay *r = j->ctx;
	struct err last = { 0 };
	enum err_code rc;
	enum job_next next;
	bool partial, all;

	if (r->kind == BODY_REFUSAL)
		return JOB_DONE;
	if (r->kind == BODY_WHOLE)
		return JOB_MORE;
	rc = feed_end(r, &partial, &last);
	/* Only words of farewell can be missing or broken when all choices have finished. Where a
	 * mark is missing that would say so, fewer than were asked for are not all: a connection
	 * that is the answer's only end may have been cut between two of them. */
	all = cut || partial || r->call.target->provider->can & MARKS_END;
	if (!r->ended && (all ? dialect_is_finished(&r->dialect) : dialect_may_end(&r->dialect)))
		rc = take_end(r, &last);
	next = relay_send_out(r, e);
	if (next == JOB_FAIL)
		return next;
	if (r->ended)
		return JOB_DONE;
	if (rc && !partial && !cut) {
		*e = last;
		return JOB_FAIL;
	}
	return failed(err_set(e, ERR_UPSTREAM_CLOSED, "%s: the stream ended before its last event",
		r->call.target->slug));
}

static enum job_next on_beat(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;
	struct relay_client *c = r->call.client;
	enum sink_state state;

	if (!r->call.req->stream && !r->conf->heartbeat_json)
		return JOB_MORE;
	if (!begin(r, c->early ? c->early : r->call.head))
		return gone(e);
	state = sink_write(c->sink, r->call.req->stream ? SLICE(": keep-alive\n\n") : SLICE("\n"));
	return state == SINK_GONE ? gone(e) : state == SINK_FULL ? JOB_FULL : JOB_MORE;
}

static enum job_next on_idle(struct job *j, struct err *e)
{
	struct relay *r = j->ctx;

	if (r->kind != BODY_EVENTS || !dialect_is_finished(&r->dialect) || take_end(r, e))
		return JOB_MORE;
	return relay_send_out(r, e) == JOB_FAIL ? JOB_FAIL : JOB_DONE;
}

const struct job_ops relay_ops = { on_head, on_bytes, on_end, on_beat, on_idle };
