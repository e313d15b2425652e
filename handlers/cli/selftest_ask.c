#include "handlers/cli/selftest_ask.h"

#include "base/clock.h"
#include "base/json.h"
#include "base/sse.h"
#include "store/key_text.h"

#include <stdio.h>

#define ANSWER_MAX ((size_t)1 << 20)
#define CONNECT_MS 5000

struct asking {
	struct selftest_answer *out;
	struct sse sse;
	struct buf body; /* when it is no stream */
	bool is_stream;
};

/* ---- reading ---- */

static struct json_object *member(struct json_object *o, const char *name)
{
	struct json_object *v = NULL;

	return json_object_object_get_ex(o, name, &v) ? v : NULL;
}

static struct json_object *first(struct json_object *list)
{
	return json_object_is_type(list, json_type_array) ? json_object_array_get_idx(list, 0)
							  : NULL;
}

static void take_error(struct selftest_answer *a, struct json_object *error)
{
	if (!error)
		return;
	if (!a->errors++)
		str_copy_cut(a->error, sizeof(a->error), json_member_str(error, "message", "?"));
}

/* A chunk of a stream, or a whole answer. */
static void take_object(struct selftest_answer *a, struct json_object *o)
{
	struct json_object *choice = first(member(o, "choices"));
	struct json_object *said = member(choice, "delta"), *call, *usage = member(o, "usage");
	const char *finish = json_member_str(choice, "finish_reason", "");

	if (!said)
		said = member(choice, "message");
	take_error(a, member(o, "error"));
	if (usage) {
		a->prompt_tokens = json_member_int(usage, "prompt_tokens", 0);
		a->completion_tokens = json_member_int(usage, "completion_tokens", 0);
	}
	buf_str(&a->text, json_member_str(said, "content", ""));
	call = member(first(member(said, "tool_calls")), "function");
	buf_str(&a->arguments, json_member_str(call, "arguments", ""));
	if (*finish && strcmp(finish, "error") != 0)
		a->finishes++;
}

static void take_json(struct selftest_answer *a, struct slice text)
{
	struct json_object *o = NULL;
	struct err e;

	if (json_read(text, 100, &o, &e))
		a->broken = true;
	else
		take_object(a, o);
	json_object_put(o);
}

static enum err_code on_event(void *ctx, const struct sse_event *ev, struct err *e)
{
	struct asking *asking = ctx;
	struct selftest_answer *a = asking->out;

	(void)e;
	if (a->dones)
		a->late++;
	if (slice_is(slice_trim(ev->data), "[DONE]"))
		a->dones++;
	else
		take_json(a, ev->data);
	return ERR_OK;
}

/* ---- the transfer ---- */

static enum job_next on_head(struct job *j, struct err *e)
{
	struct asking *asking = j->ctx;

	(void)e;
	asking->is_stream = strcmp(j->content_type, "text/event-stream") == 0;
	return JOB_MORE;
}

static enum job_next on_bytes(struct job *j, struct slice bytes, struct err *e)
{
	struct asking *asking = j->ctx;

	if (asking->is_stream)
		return sse_feed(&asking->sse, bytes.ptr, bytes.len, on_event, asking, e) ? JOB_FAIL
											 : JOB_MORE;
	buf_slice_append(&asking->body, bytes);
	return JOB_MORE;
}

static enum job_next on_end(struct job *j, bool cut, struct err *e)
{
	struct asking *asking = j->ctx;
	bool partial = false;

	if (asking->is_stream && sse_end(&asking->sse, on_event, asking, &partial, e))
		return JOB_FAIL;
	asking->out->broken |= partial;
	return cut ? JOB_MORE : JOB_DONE;
}

static enum job_next on_nothing(struct job *j, struct err *e)
{
	(void)j, (void)e;
	return JOB_MORE;
}

static void put_header(struct buf *headers, const char *name, const char *value)
{
	buf_printf(headers, "%s: %s", name, value);
	buf_char(headers, '\0');
}

static void write_body(const struct selftest_fault *f, struct buf *body)
{
	char nonce[17];

	/* So that no answer comes from a cache. */
	key_text_random(nonce, sizeof(nonce) - 1);
	buf_printf(body, "{\"model\":\"" SELFTEST_AUTHOR "%s\",\"stream\":%s,\"max_tokens\":200,",
		f->name, f->whole ? "false" : "true");
	if (!f->whole)
		buf_str(body, "\"stream_options\":{\"include_usage\":true},");
	/* Not by weights, price or latency. */
	buf_str(body, "\"provider\":{\"order\":[");
	for (size_t i = 0; f->at[i]; i++)
		buf_printf(
			body, "%s\"%s\"", i ? "," : "", selftest_slugs[selftest_place(f->at[i])]);
	buf_str(body, "]},");
	if (f->calls)
		buf_str(body,
			"\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"weather\","
			"\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":"
			"\"string\"}}}}}],");
	buf_printf(
		body, "\"messages\":[{\"role\":\"user\",\"content\":\"Self-test %s.\"}]}", nonce);
}

static enum err_code prepare(const struct selftest_client *client, const struct selftest_fault *f,
	struct http_req *http, struct err *e)
{
	int n = snprintf(http->url, sizeof(http->url), "%s/chat/completions", client->url);

	if (n < 0 || n >= (int)sizeof(http->url))
		return err_set(e, ERR_CONF, "the address is too long");
	put_header(&http->headers, "Content-Type", "application/json");
	if (!f->stranger) {
		buf_printf(&http->headers, "Authorization: Bearer %s", client->key);
		buf_char(&http->headers, '\0');
	}
	write_body(f, &http->body);
	if (!buf_ok(&http->headers) || !buf_ok(&http->body))
		return err_set(e, ERR_NO_MEMORY, "no memory for the request");
	return ERR_OK;
}

void selftest_ask(const struct selftest_client *client, const struct selftest_fault *f,
	int64_t limit_ms, struct selftest_answer *out)
{
	static const struct job_ops ops = { on_head, on_bytes, on_end, on_nothing, on_nothing };
	struct asking asking = { .out = out, .body = { .max_bytes = ANSWER_MAX } };
	struct http_req http = { .url = "" };
	int64_t begun_ms = clock_mono_ms();
	struct job job = { .req = &http,
		.wanted = "X-Attempts",
		.ops = &ops,
		.ctx = &asking,
		.connect_ms = CONNECT_MS,
		.first_byte_ms = limit_ms,
		.idle_ms = limit_ms,
		.client_stall_ms = limit_ms,
		.deadline_mono_ms = begun_ms + limit_ms };

	*out = (struct selftest_answer){ .retry_after_ms = -1,
		.text = { .max_bytes = ANSWER_MAX },
		.arguments = { .max_bytes = ANSWER_MAX } };
	sse_init(&asking.sse, ANSWER_MAX);
	out->rc = prepare(client, f, &http, &out->e);
	if (!out->rc)
		out->rc = pump_run(client->pump, &job, &out->e);
	out->took_ms = clock_mono_ms() - begun_ms;
	out->status = job.status;
	out->retry_after_ms = job.retry_after_ms;
	str_copy_cut(out->attempts, sizeof(out->attempts), job.kept);
	if (!asking.is_stream && asking.body.len)
		take_json(out, buf_slice(&asking.body));
	sse_fini(&asking.sse);
	buf_fini(&asking.body);
	http_req_fini(&http);
}

void selftest_answer_fini(struct selftest_answer *a)
{
	buf_fini(&a->text);
	buf_fini(&a->arguments);
}
