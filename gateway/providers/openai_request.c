#include "gateway/providers/openai_request.h"

#include "gateway/providers/openai_like.h"

#include <stdio.h>

static void add_key(struct buf *out, struct slice name)
{
	buf_char(out, out->len ? ',' : '{');
	buf_char(out, '"');
	buf_slice_append(out, name);
	buf_str(out, "\":");
}

/* Is this member of the client's not to be sent? */
static bool is_left_out(const struct chat_req *req, const struct quirks *q, struct slice name,
	struct json_value value)
{
	bool tools = json_is_truthy(req->field[CHAT_TOOLS].value);

	/* Asked for below, whatever the client wants. */
	if (slice_is(name, "stream_options") || quirks_drops(q, name))
		return true;
	/* null means absent, but strict servers refuse it (gotcha 13). */
	if (q->strict && value.kind == JSON_NULL)
		return true;
	/* One limit, under one name: the newer one counts (section 2). */
	if (slice_is(name, "max_tokens"))
		return req->field[CHAT_MAX_COMPLETION_TOKENS].value.kind == JSON_NUMBER;
	if (slice_is(name, "max_completion_tokens"))
		return value.kind == JSON_NULL &&
		       req->field[CHAT_MAX_TOKENS].value.kind != JSON_ABSENT;
	/* An empty list of tools is refused, and so is a choice among none (section 2). */
	return !tools && req->field[CHAT_TOOLS].value.kind != JSON_ABSENT &&
	       (slice_is(name, "tools") || slice_is(name, "tool_choice") ||
		       slice_is(name, "parallel_tool_calls"));
}

/* A message without members that are null: strict servers refuse "name": null and the like. Only
 * content may be null. */
static void write_message(struct json_value message, struct buf *out)
{
	struct json_iter it;
	struct json_value value;
	struct slice key;
	bool first = true;

	buf_char(out, '{');
	json_iter_init(&it, message);
	while (json_iter_next(&it, &key, &value)) {
		if (value.kind == JSON_NULL && !json_str_is(key, "content"))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, value.raw);
	}
	buf_char(out, '}');
}

static void write_messages(const struct quirks *q, struct json_value messages, struct buf *out)
{
	struct json_iter it;
	struct json_value message;
	struct slice none;
	bool first = true;

	if (!q->strict || !memmem(messages.raw.ptr, messages.raw.len, "null", 4)) {
		buf_slice_append(out, messages.raw);
		return;
	}
	json_iter_init(&it, messages);
	while (json_iter_next(&it, &none, &message)) {
		buf_char(out, first ? '[' : ',');
		first = false;
		write_message(message, out);
	}
	buf_char(out, ']');
}

/* Always asked for: without it there is nothing to bill by. What else the client put there is
 * kept. */
static void write_stream_options(const struct chat_req *req, struct buf *out)
{
	struct json_iter it;
	struct json_value value;
	struct slice key;

	add_key(out, SLICE("stream_options"));
	buf_str(out, "{\"include_usage\":true");
	json_iter_init(&it, req->field[CHAT_STREAM_OPTIONS].value);
	while (json_iter_next(&it, &key, &value)) {
		if (json_str_is(key, "include_usage"))
			continue;
		buf_char(out, ',');
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, value.raw);
	}
	buf_char(out, '}');
}

static void write_body(const struct chat_req *req, const struct target *t, struct buf *out)
{
	const struct quirks *q = t->quirks;
	struct json_iter it;
	struct json_value value;
	struct slice key;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, req->body });
	while (json_iter_next(&it, &key, &value)) {
		struct slice name = { key.ptr + 1, key.len - 2 };

		/* By whatever escapes the client spells a member the gateway answers for. */
		for (size_t i = 0; i < CHAT_FIELDS; i++)
			if (key.ptr == req->field[i].whole.ptr)
				name = slice_of(req->field[i].name);
		if (is_left_out(req, q, name, value))
			continue;
		if (slice_is(name, "model")) {
			add_key(out, name);
			buf_json_cstr(out, t->native_id);
			continue;
		}
		if (q->limit == LIMIT_MAX_TOKENS && slice_is(name, "max_completion_tokens"))
			name = SLICE("max_tokens");
		else if (q->limit == LIMIT_MAX_COMPLETION_TOKENS && slice_is(name, "max_tokens"))
			name = SLICE("max_completion_tokens");
		else
			name = quirks_name(q, name);
		add_key(out, name);
		if (slice_is(name, "messages"))
			write_messages(q, value, out);
		else
			buf_slice_append(out, value.raw);
	}
	if (req->stream && !q->no_stream_options)
		write_stream_options(req, out);
	buf_char(out, '}');
}

static void add_header(struct http_req *r, const char *name, const char *value)
{
	buf_str(&r->headers, name);
	buf_str(&r->headers, ": ");
	buf_str(&r->headers, value);
	buf_char(&r->headers, '\0');
}

enum err_code openai_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	int n = snprintf(out->url, sizeof(out->url), "%s%s", t->base_url, t->chat_path);

	if (n < 0 || (size_t)n >= sizeof(out->url))
		return err_set(e, ERR_CONF, "the provider's URL is longer than %zu bytes",
			sizeof(out->url));
	out->headers.max_bytes = 16384;
	out->body.max_bytes = req->body.len + 4096;
	if (out->body.max_bytes < req->body.len)
		return err_set(e, ERR_NO_MEMORY, "the request does not fit");
	add_header(out, "Content-Type", "application/json");
	add_header(out, "Accept", req->stream ? "text/event-stream" : "application/json");
	add_header(out, "Accept-Encoding", "identity"); /* else any coding is allowed */
	add_header(out, "Expect", "");                  /* no 100-continue round trip */
	if (strcmp(t->auth, "none") != 0 || t->api_key[0]) {
		if (strcmp(t->auth, "bearer") == 0 || strcmp(t->auth, "none") == 0) {
			buf_str(&out->headers, "Authorization: Bearer ");
			buf_str(&out->headers, t->api_key);
			buf_char(&out->headers, '\0');
		} else {
			add_header(out, t->auth, t->api_key);
		}
	}
	if (buf_room(&out->body, req->body.len + 512))
		write_body(req, t, &out->body);
	if (!buf_ok(&out->body) || !buf_ok(&out->headers))
		return err_set(
			e, ERR_NO_MEMORY, "the request to the provider does not fit into memory");
	return ERR_OK;
}
