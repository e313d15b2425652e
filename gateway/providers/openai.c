/* gateway/providers/openai.c - OpenAI's own dialect. It is also the common tongue, so nothing is
 * translated: the client's and the provider's bytes are sent on, with the few members spliced
 * that the gateway answers for (openai-chat.md sections 2, 6, 8; gotchas of section 18). */
#include "gateway/providers/openai_like.h"
#include "gateway/providers/tongue.h"

#include <stdio.h>

#define EDITS_MAX 24 /* splices in one chunk; a chunk that needs more is refused */

/* ---- the request ---- */

static void add_member(struct buf *out, bool *first)
{
	buf_char(out, *first ? '{' : ',');
	*first = false;
}

static enum err_code write_body(const struct chat_req *req, const struct target *t, struct buf *out)
{
	const struct quirks *q = t->quirks;
	struct json_iter it;
	struct json_value value;
	struct slice key;
	bool first = true;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, req->body });
	while (json_iter_next(&it, &key, &value)) {
		struct slice name = { key.ptr + 1, key.len - 2 };

		if (json_str_is(key, "stream_options"))
			continue; /* asked for below, whatever the client wants */
		if (quirks_drops(q, name))
			continue;
		add_member(out, &first);
		if (json_str_is(key, "model")) {
			buf_str(out, "\"model\":");
			buf_json_cstr(out, t->native_id);
			continue;
		}
		if (q->limit == LIMIT_MAX_TOKENS && slice_is(name, "max_completion_tokens"))
			name = SLICE("max_tokens");
		else if (q->limit == LIMIT_MAX_COMPLETION_TOKENS && slice_is(name, "max_tokens"))
			name = SLICE("max_completion_tokens");
		else
			name = quirks_name(q, name);
		buf_char(out, '"');
		buf_slice_append(out, name);
		buf_str(out, "\":");
		buf_slice_append(out, value.raw);
	}
	if (req->stream && !q->no_stream_options) {
		/* Always asked for: without it there is nothing to bill by. What else the client
		 * put into stream_options is kept. */
		struct json_value options = req->field[CHAT_STREAM_OPTIONS].value;

		add_member(out, &first);
		buf_str(out, "\"stream_options\":{\"include_usage\":true");
		json_iter_init(&it, options);
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
	if (first)
		buf_char(out, '{');
	buf_char(out, '}');
	return buf_ok(out) ? ERR_OK : ERR_NO_MEMORY;
}

static void add_header(struct http_req *r, const char *name, const char *value)
{
	buf_printf(&r->headers, "%s: %s", name, value);
	buf_char(&r->headers, '\0');
}

static enum err_code encode(
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
	add_header(out, "Expect", ""); /* no 100-continue round trip */
	if (strcmp(t->auth, "none") != 0 || t->api_key[0]) {
		if (strcmp(t->auth, "bearer") == 0 || strcmp(t->auth, "none") == 0)
			buf_printf(&out->headers, "Authorization: Bearer %s", t->api_key);
		else
			buf_printf(&out->headers, "%s: %s", t->auth, t->api_key);
		buf_char(&out->headers, '\0');
	}
	if (!buf_room(&out->body, req->body.len + 512) || write_body(req, t, &out->body) ||
		!buf_ok(&out->headers))
		return err_set(
			e, ERR_NO_MEMORY, "the request to the provider does not fit into memory");
	return ERR_OK;
}

/* ---- errors ---- */

/* The first of the usual places that holds a text (providers.md section 4.2). */
static bool find_text(struct json_value o, struct buf *out)
{
	struct json_value v = json_get(o, "error"), inner;

	if (o.kind == JSON_ARRAY)
		return find_text(json_at(o, 0), out);
	if (v.kind == JSON_OBJECT) {
		inner = json_get(v, "message");
		/* A router's "Provider returned error" hides the cause in metadata.raw. */
		struct json_value raw = json_get(json_get(v, "metadata"), "raw");

		if (raw.kind == JSON_STRING && json_str_is(inner.raw, "Provider returned error") &&
			json_str_decode(raw, out))
			return true;
		if (inner.kind == JSON_STRING)
			return json_str_decode(inner, out);
		if (inner.kind == JSON_OBJECT)
			return find_text(v, out);
		if (json_get(v, "error").kind == JSON_OBJECT)
			return find_text(v, out);
	}
	if (v.kind == JSON_STRING && json_str_bytes(v))
		return json_str_decode(v, out);
	static const char *const names[] = { "message", "detail", "error_description", "title" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		inner = json_get(o, names[i]);
		if (inner.kind == JSON_ARRAY)
			inner = json_get(json_at(inner, 0), "msg");
		if (inner.kind == JSON_STRING && json_str_bytes(inner))
			return json_str_decode(inner, out);
	}
	inner = json_get(json_get(o, "base_resp"), "status_msg");
	if (inner.kind == JSON_STRING)
		return json_str_decode(inner, out);
	inner = json_get(json_at(json_get(o, "errors"), 0), "message");
	return inner.kind == JSON_STRING && json_str_decode(inner, out);
}

static void find_code(struct json_value o, char *code, size_t size)
{
	struct json_value inner = json_get(o, "error"), v;
	const struct json_value places[] = { json_get(inner, "code"), json_get(o, "code"),
		json_get(inner, "type"), json_get(o, "type"), json_get(inner, "status"),
		json_get(json_get(o, "base_resp"), "status_code") };

	code[0] = '\0';
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		v = places[i];
		if (v.kind == JSON_STRING && json_str_bytes(v) && json_str_copy(v, code, size))
			return;
		if (v.kind == JSON_NUMBER && slice_copy(v.raw, code, size))
			return;
	}
}

static bool has_any(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(text, *words))
			return true;
	return false;
}

/* A body that is not JSON may be a page of HTML: its markup is left out. */
static void plain_text(struct slice body, struct buf *out)
{
	bool tag = false;

	for (size_t i = 0; i < body.len && out->len < 200; i++) {
		char c = body.ptr[i];

		if (c == '<' || c == '>') {
			tag = c == '<';
			c = ' ';
		}
		if (!tag && (c != ' ' || (out->len && out->data[out->len - 1] != ' ')))
			buf_char(out, c == '\n' || c == '\r' || c == '\t' ? ' ' : c);
	}
	out->len = utf8_whole(buf_slice(out));
}

/* What the provider says in a text that may quote a key back at us: anything that looks like one
 * is masked. */
static void mask_keys(char *text)
{
	static const char *const marks[] = { "sk-", "Bearer ", "key-", "AIza", "gsk_", "xai-",
		"hf_" };

	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++) {
		for (char *at = text; (at = strstr(at, marks[i]));) {
			at += strlen(marks[i]);
			for (; *at && *at != ' ' && *at != '"' && *at != '\'' && *at != ',' &&
				*at != ')';
				at++)
				*at = '*';
		}
	}
}

static enum err_code make_error(const struct target *t, int status, struct json_value tree,
	struct slice body, struct err *e)
{
	static const char *const too_long[] = { "maximum context length", "prompt is too long",
		"context_length_exceeded", "input token count", "too many tokens",
		"exceeds the context window", "input is too long", "max_prompt_tokens",
		"request too large for model", NULL };
	static const char *const no_money[] = { "insufficient_quota", "credit balance is too low",
		"NOT_ENOUGH_BALANCE", "exceeded_current_quota", NULL };
	struct buf text = { .max_bytes = 4096 };
	char code[64], message[420];
	enum err_code rc;
	const char *said;

	find_code(tree, code, sizeof(code));
	if (tree.kind == JSON_ABSENT)
		plain_text(body, &text);
	else if (!find_text(tree, &text))
		buf_reset(&text);
	said = buf_cstr(&text);
	str_copy_cut(message, sizeof(message), said && *said ? said : "no explanation given");
	buf_fini(&text);
	mask_keys(message);
	mask_keys(code);
	if (status == 400 || status == 413 || status == 422 || status == 200) {
		if (has_any(message, too_long) || has_any(code, too_long)) {
			rc = err_set(e, ERR_CONTEXT_LENGTH, "%s: %s", t->slug, message);
			goto out;
		}
	}
	if (status == 402 || has_any(code, no_money) || has_any(message, no_money)) {
		/* The operator's account, not the caller's: nothing the caller could pay (402 would
		 * say so). */
		rc = err_set(e, ERR_UPSTREAM_STATUS,
			"%s cannot serve this gateway at present (account)", t->slug);
		e->status = status == 402 ? 503 : status;
		e->retry = -1;
	} else if (status == 401 || status == 403) {
		rc = err_set(e, ERR_UPSTREAM_STATUS,
			"%s refused the gateway's own key or its rights: %s", t->slug, message);
		e->status = status;
	} else {
		rc = err_set(e, ERR_UPSTREAM_STATUS, "%s: %s", t->slug, message);
		e->status = status >= 400 && status <= 599 ? status : 502;
		e->retry =
			status == 408 || status == 409 || status == 429 || status >= 500 ? 1 : -1;
	}
out:
	e->upstream_status = status;
	str_copy_cut(e->provider, sizeof(e->provider), t->slug);
	str_copy_cut(e->provider_code, sizeof(e->provider_code), code);
	return rc;
}

static enum err_code decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) };

	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL) ||
		(tree.kind != JSON_OBJECT && tree.kind != JSON_ARRAY))
		tree.kind = JSON_ABSENT;
	return make_error(t, status, tree, body, e);
}

/* The status to give an error that came under HTTP 200: its own numeric code, else 502. */
static int status_of(struct json_value error)
{
	int64_t n;

	if (json_int(json_get(error, "code"), &n) && n >= 400 && n <= 599)
		return (int)n;
	return 502;
}

static enum err_code error_in_answer(
	const struct target *t, struct json_value whole, struct json_value error, struct err *e)
{
	return make_error(t, status_of(error), whole, whole.raw, e);
}

/* ---- splicing ---- */

/* Replacements in a text, sorted by place before they are used; they never overlap. */
struct edits {
	struct {
		struct slice what, with;
	} at[EDITS_MAX];
	size_t n;
	bool too_many;
};

static void edit(struct edits *es, struct slice what, struct slice with)
{
	size_t i = es->n;

	if (i == EDITS_MAX) {
		es->too_many = true;
		return;
	}
	es->n++;
	for (; i && es->at[i - 1].what.ptr > what.ptr; i--)
		es->at[i] = es->at[i - 1];
	es->at[i].what = what;
	es->at[i].with = with;
}

static void splice(struct slice text, const struct edits *es, struct buf *out)
{
	const char *p = text.ptr;

	for (size_t i = 0; i < es->n; i++) {
		buf_append(out, p, (size_t)(es->at[i].what.ptr - p));
		buf_slice_append(out, es->at[i].with);
		p = es->at[i].what.ptr + es->at[i].what.len;
	}
	buf_append(out, p, (size_t)(text.ptr + text.len - p));
}

/* ---- answers ---- */

enum top {
	TOP_ID,
	TOP_OBJECT,
	TOP_CREATED,
	TOP_MODEL,
	TOP_CHOICES,
	TOP_USAGE,
	TOP_ERROR,
	TOP_FIELDS
};

#define TOP_MEMBERS \
	{ \
		{ .name = "id" }, { .name = "object" }, { .name = "created" }, \
			{ .name = "model" }, { .name = "choices" }, { .name = "usage" }, \
			{ .name = "error" }, \
	}

/* Writes an answer or chunk: the provider's members in their order, with our model, one id and
 * one created for all chunks, the choices as edited, and what the shape demands added where it
 * is missing. Usage is left out where the client is told it separately. */
static void write_answer(struct dialect *d, const struct json_member *top, struct slice text,
	const char *object, bool with_usage, const struct edits *es, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	buf_str(out, "{\"id\":");
	buf_json_cstr(out, d->id);
	buf_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
		(long long)d->created);
	buf_json_cstr(out, d->target->public_id);
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, text });
	while (json_iter_next(&it, &key, &v)) {
		if (key.ptr == top[TOP_ID].whole.ptr || key.ptr == top[TOP_OBJECT].whole.ptr ||
			key.ptr == top[TOP_CREATED].whole.ptr ||
			key.ptr == top[TOP_MODEL].whole.ptr)
			continue;
		if (key.ptr == top[TOP_USAGE].whole.ptr && !with_usage)
			continue;
		buf_char(out, ',');
		buf_slice_append(out, key);
		buf_char(out, ':');
		if (key.ptr == top[TOP_CHOICES].whole.ptr)
			splice(v.raw, es, out);
		else
			buf_slice_append(out, v.raw);
	}
	buf_char(out, '}');
}

/* The id and time of the answer: the first ones seen, or made up. */
static void take_head(struct dialect *d, const struct json_member *top, int64_t now_s)
{
	if (!d->id[0] && (!json_str_copy(top[TOP_ID].value, d->id, sizeof(d->id)) || !d->id[0]))
		snprintf(d->id, sizeof(d->id), "chatcmpl-%llx", (unsigned long long)now_s);
	if (!d->created && (!json_int(top[TOP_CREATED].value, &d->created) || d->created <= 0))
		d->created = now_s;
}

static bool take_usage(struct dialect *d, struct json_value usage)
{
	if (usage.kind != JSON_OBJECT)
		return false;
	usage_read(usage, d->target->quirks, &d->usage);
	buf_reset(&d->usage_json);
	buf_slice_append(&d->usage_json, usage.raw);
	return true;
}

/* The bytes of text a message or delta carries. */
static size_t text_bytes(struct json_value message)
{
	static const char *const names[] = { "content", "reasoning", "reasoning_content",
		"refusal" };
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t n = 0;

	json_iter_init(&it, message);
	while (json_iter_next(&it, &key, &v)) {
		if (v.kind == JSON_STRING) {
			for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
				if (json_str_is(key, names[i]))
					n += json_str_bytes(v);
		} else if (v.kind == JSON_ARRAY && json_str_is(key, "tool_calls")) {
			struct json_iter calls;
			struct json_value call;
			struct slice none;

			json_iter_init(&calls, v);
			while (json_iter_next(&calls, &none, &call)) {
				struct json_value f = json_get(call, "function");

				n += json_str_bytes(json_get(f, "arguments")) +
				     json_str_bytes(json_get(f, "name"));
			}
		}
	}
	return n;
}

/* Notes and, where needed, rewrites the finish reason of a choice. */
static enum err_code take_finish(
	struct dialect *d, int64_t index, struct json_value finish, struct edits *es, struct err *e)
{
	char said[64];
	const char *word;

	if (finish.kind != JSON_STRING)
		return ERR_OK;
	if (!json_str_copy(finish, said, sizeof(said)))
		str_copy_cut(said, sizeof(said), "unknown");
	if (!said[0]) { /* what some send for null */
		edit(es, finish.raw, SLICE("null"));
		return ERR_OK;
	}
	word = finish_reason_of(slice_of(said));
	if (word && strcmp(word, "error") == 0)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with \"%s\"",
			d->target->slug, said);
	if (!word)
		word = "stop";
	if (strcmp(word, said) != 0)
		edit(es, (struct slice){ finish.raw.ptr + 1, finish.raw.len - 2 }, slice_of(word));
	if (index >= 0 && index < 128) {
		uint64_t bit = UINT64_C(1) << (index & 63);

		if (!(d->finished[index >> 6] & bit))
			d->choices_finished++;
		d->finished[index >> 6] |= bit;
	}
	if (index == 0)
		str_copy_cut(d->finish_reason, sizeof(d->finish_reason), word);
	return ERR_OK;
}

/* Is this member of a delta to be left out? The role is told once per choice, and nulls that
 * strict clients choke on are dropped (gotcha 7). */
static bool is_superfluous(
	const struct dialect *d, int64_t index, struct slice key, struct json_value v)
{
	if (json_str_is(key, "role"))
		return v.kind != JSON_STRING ||
		       (index < 128 && d->role_sent[index >> 6] >> (index & 63) & 1);
	return v.kind == JSON_NULL &&
	       (json_str_is(key, "tool_calls") || json_str_is(key, "function_call"));
}

/* Notes what a delta holds and rewrites it into scratch when something must go. scratch has room
 * for the whole event, so what was edited in stays where it is. */
static void take_delta(struct dialect *d, int64_t index, struct json_value delta, struct edits *es,
	struct buf *scratch)
{
	size_t begin = scratch->len;
	bool superfluous = false, role = false;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, delta);
	while (json_iter_next(&it, &key, &v)) {
		superfluous |= is_superfluous(d, index, key, v);
		role |= json_str_is(key, "role");
		d->saw_tool_calls |= v.kind == JSON_ARRAY && json_str_is(key, "tool_calls");
	}
	if (superfluous) {
		json_iter_init(&it, delta);
		while (json_iter_next(&it, &key, &v)) {
			if (is_superfluous(d, index, key, v))
				continue;
			buf_char(scratch, scratch->len == begin ? '{' : ',');
			buf_slice_append(scratch, key);
			buf_char(scratch, ':');
			buf_slice_append(scratch, v.raw);
		}
		if (scratch->len == begin)
			buf_char(scratch, '{');
		buf_char(scratch, '}');
		edit(es, delta.raw, (struct slice){ scratch->data + begin, scratch->len - begin });
	}
	if (role && index < 128)
		d->role_sent[index >> 6] |= UINT64_C(1) << (index & 63);
}

static enum err_code take_choice(struct dialect *d, struct json_value choice, struct edits *es,
	struct buf *scratch, struct delta *out, struct err *e)
{
	struct json_value error = json_get(choice, "error"), delta = json_get(choice, "delta");
	int64_t index;

	if (json_is_truthy(error))
		return error_in_answer(d->target, choice, error, e);
	if (!json_int(json_get(choice, "index"), &index) || index < 0)
		index = 0;
	if (delta.kind == JSON_OBJECT) {
		take_delta(d, index, delta, es, scratch);
		out->text_bytes += text_bytes(delta);
	}
	return take_finish(d, index, json_get(choice, "finish_reason"), es, e);
}

static enum err_code not_json(const struct dialect *d, const char *what, struct err *e)
{
	char why[200];

	str_copy_cut(why, sizeof(why), e ? e->message : "");
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s that is not JSON (%s)", d->target->slug,
		what, why);
}

static enum err_code decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(ev->data), none;
	struct json_value choice;
	struct edits es;
	struct json_iter it;
	size_t choices = 0, room;
	enum err_code rc;
	bool usage;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (slice_starts(text, "[DONE]")) {
		out->kind = DELTA_DONE;
		return ERR_OK;
	}
	if (!text.len ||
		text.ptr[0] != '{') { /* "ping" and the like: says nothing, loses nothing */
		d->malformed++;
		return ERR_OK;
	}
	rc = json_scan(text, &tongue_limits, top, TOP_FIELDS, e);
	if (rc) {
		d->malformed++;
		return not_json(d, "an event", e);
	}
	if (json_is_truthy(top[TOP_ERROR].value) || slice_is(ev->name, "error")) {
		out->kind = DELTA_ERROR;
		return error_in_answer(d->target, (struct json_value){ JSON_OBJECT, text },
			top[TOP_ERROR].value, e);
	}
	usage = take_usage(d, top[TOP_USAGE].value);
	take_head(d, top, now_s);
	/* The rewritten deltas stand in the first half of d->out, the chunk behind them; neither
	 * may move while it is made. */
	room = 2 * text.len + MODEL_ID_MAX + 512;
	buf_reset(&d->out);
	d->out.max_bytes = room;
	if (!buf_room(&d->out, room))
		return err_set(e, ERR_NO_MEMORY, "no memory for an event of %zu bytes", text.len);
	es.n = 0;
	es.too_many = false;
	json_iter_init(&it, top[TOP_CHOICES].value);
	for (; json_iter_next(&it, &none, &choice); choices++) {
		rc = take_choice(d, choice, &es, &d->out, out, e);
		if (rc) {
			out->kind = DELTA_ERROR;
			return rc;
		}
	}
	if (!choices) {
		out->kind = usage ? DELTA_USAGE : DELTA_SKIP;
		return ERR_OK;
	}
	size_t begin = d->out.len;

	write_answer(d, top, text, "chat.completion.chunk", false, &es, &d->out);
	if (es.too_many || !buf_ok(&d->out)) {
		d->malformed++;
		return err_set(e, ERR_UPSTREAM_INVALID, "%s sent an event that cannot be put right",
			d->target->slug);
	}
	out->kind = DELTA_CHUNK;
	out->json = slice_from(buf_slice(&d->out), begin);
	return ERR_OK;
}

static enum err_code decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(body), none;
	struct json_value whole = { JSON_OBJECT, text }, choice;
	struct edits es = { .n = 0 };
	struct json_iter it;
	size_t choices = 0;
	int64_t n;
	enum err_code rc;

	(void)content_type;
	rc = json_scan(text, &tongue_limits, top, TOP_FIELDS, e);
	if (rc)
		return not_json(d, "an answer", e);
	if (json_is_truthy(top[TOP_ERROR].value))
		return error_in_answer(d->target, whole, top[TOP_ERROR].value, e);
	if (json_int(json_get(json_get(whole, "base_resp"), "status_code"), &n) && n != 0)
		return error_in_answer(d->target, whole, whole, e);
	take_head(d, top, now_s);
	json_iter_init(&it, top[TOP_CHOICES].value);
	for (; json_iter_next(&it, &none, &choice); choices++) {
		struct json_value error = json_get(choice, "error"),
				  message = json_get(choice, "message");
		int64_t index;

		if (json_is_truthy(error))
			return error_in_answer(d->target, choice, error, e);
		if (message.kind != JSON_OBJECT)
			return err_set(e, ERR_UPSTREAM_INVALID,
				"%s sent a choice without a message", d->target->slug);
		out->text_bytes += text_bytes(message);
		if (!json_int(json_get(choice, "index"), &index))
			index = (int64_t)choices;
		rc = take_finish(d, index, json_get(choice, "finish_reason"), &es, e);
		if (rc)
			return rc;
	}
	if (!choices)
		return err_set(e, ERR_UPSTREAM_INVALID, "%s sent an answer without choices",
			d->target->slug);
	if (d->choices_finished < choices)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s sent an answer without a finish reason",
			d->target->slug);
	(void)take_usage(d, top[TOP_USAGE].value);
	out->json.max_bytes = text.len + MODEL_ID_MAX + 512;
	write_answer(d, top, text, "chat.completion", true, &es, &out->json);
	if (es.too_many || !buf_ok(&out->json))
		return err_set(e, ERR_UPSTREAM_INVALID,
			"%s sent an answer that cannot be put right", d->target->slug);
	out->usage = d->usage;
	str_copy_cut(out->finish_reason, sizeof(out->finish_reason), d->finish_reason);
	return ERR_OK;
}

const struct provider provider_openai = {
	.name = "openai",
	.can = CAN_STREAM | CAN_TOOLS | CAN_IMAGES,
	.encode = encode,
	.decode = decode,
	.decode_event = decode_event,
	.decode_error = decode_error,
};
