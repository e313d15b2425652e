#include "gateway/providers/text.h"

#include "gateway/providers/openai_like.h"
#include "gateway/providers/post.h"
#include "gateway/providers/refusal.h"

#include <stdio.h>

/* ---- requests ---- */

/* Members that a path for FIM knows: openai-chat.md section 14.1. */
static const char *const fim_members[] = { "model", "prompt", "suffix", "temperature", "top_p",
	"max_tokens", "min_tokens", "stop", "random_seed", "stream", NULL };

/* And those of OpenAI's own that a row of quirks, which is about chats, may not know. */
static const char *const text_members[] = { "prompt", "suffix", "best_of", "echo", "logprobs",
	NULL };

/* A request on its way out. */
struct outgoing {
	const struct chat_req *req;
	const struct target *t;
	struct buf *out;
	bool first;
};

static void put_name(struct outgoing *o, const char *name)
{
	buf_char(o->out, o->first ? '{' : ',');
	o->first = false;
	buf_json_cstr(o->out, name);
	buf_char(o->out, ':');
}

static void put_head(struct outgoing *o)
{
	put_name(o, "model");
	buf_json_cstr(o->out, o->t->native_id);
	put_name(o, "stream");
	buf_str(o->out, o->req->stream ? "true" : "false");
}

static void put_member(struct outgoing *o, const char *name, struct json_value v)
{
	put_name(o, name);
	buf_slice_append(o->out, v.raw);
}

static enum err_code cannot(const struct target *t, const char *param, struct err *e)
{
	return err_param(e, ERR_UNSUPPORTED, param,
		"%s completes one text at a time and does not know %s: leave it out, or take "
		"another model",
		t->slug, param);
}

/* Refuses what would change the answer and cannot be sent. */
static enum err_code check_single(const struct chat_req *req, const struct target *t, struct err *e)
{
	static const char *const refused[] = { "best_of", "echo", "logprobs" };
	struct json_value body = { JSON_OBJECT, req->body };
	int64_t n;

	if (req->field[CHAT_MESSAGES].value.kind != JSON_STRING)
		return err_param(e, ERR_UNSUPPORTED, "prompt",
			"%s takes the prompt as one string, not as an array", t->slug);
	if (req->n > 1)
		return cannot(t, "n", e);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		struct json_value v = json_get(body, refused[i]);

		if (json_is_truthy(v) && !(i == 0 && json_int(v, &n) && n == 1))
			return cannot(t, refused[i], e);
	}
	return ERR_OK;
}

static enum err_code write_fim(struct outgoing *o, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	enum err_code rc = check_single(o->req, o->t, e);
	bool has_limit = false;

	if (rc)
		return rc;
	put_head(o);
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, o->req->body });
	while (json_iter_next(&it, &key, &v)) {
		const char *name = NULL;

		if (v.kind == JSON_NULL || json_str_is(key, "model") || json_str_is(key, "stream"))
			continue;
		for (size_t i = 0; fim_members[i]; i++)
			if (json_str_is(key, fim_members[i]))
				name = fim_members[i];
		if (json_str_is(key, "seed"))
			name = "random_seed";
		has_limit |= name && strcmp(name, "max_tokens") == 0;
		if (name)
			put_member(o, name, v);
	}
	if (!has_limit && o->req->max_tokens) {
		put_name(o, "max_tokens");
		buf_int(o->out, o->req->max_tokens);
	}
	return ERR_OK;
}

static enum err_code write_chat(struct outgoing *o, struct err *e)
{
	enum err_code rc = check_single(o->req, o->t, e);

	if (rc)
		return rc;
	if (json_is_truthy(o->req->field[CHAT_TOOLS].value))
		return cannot(o->t, "suffix", e);
	put_head(o);
	put_name(o, "messages");
	buf_str(o->out, "[{\"role\":\"user\",\"content\":");
	buf_slice_append(o->out, o->req->field[CHAT_MESSAGES].value.raw);
	buf_str(o->out, "}]");
	if (o->req->max_tokens) {
		put_name(o, "max_tokens");
		buf_int(o->out, o->req->max_tokens);
	}
	if (o->req->stream) {
		put_name(o, "stream_options");
		buf_str(o->out, "{\"include_usage\":true}");
	}
	return ERR_OK;
}

static bool is_passed_on(const struct quirks *q, struct slice key)
{
	char name[64];

	for (size_t i = 0; text_members[i]; i++)
		if (json_str_is(key, text_members[i]))
			return true;
	return !json_str_copy((struct json_value){ JSON_STRING, key }, name, sizeof(name)) ||
	       !quirks_drops(q, slice_of(name));
}

static void write_text(struct outgoing *o)
{
	static const char *const ours[] = { "model", "stream", "stream_options" };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	put_head(o);
	if (o->req->stream && !o->t->quirks->no_stream_options) {
		put_name(o, "stream_options");
		buf_str(o->out, "{\"include_usage\":true}");
	}
	json_iter_init(&it, (struct json_value){ JSON_OBJECT, o->req->body });
	while (json_iter_next(&it, &key, &v)) {
		bool is_ours = false;

		for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
			is_ours |= json_str_is(key, ours[i]);
		if (is_ours || !is_passed_on(o->t->quirks, key))
			continue;
		buf_char(o->out, ',');
		buf_slice_append(o->out, key);
		buf_char(o->out, ':');
		buf_slice_append(o->out, v.raw);
	}
}

static enum err_code encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct outgoing o = { .req = req, .t = t, .out = &out->body, .first = true };
	enum err_code rc = post_begin(t, req->stream, req->body.len + 4096, out, e);

	if (!rc && slice_ends(slice_of(t->chat_path), "/fim/completions"))
		rc = write_fim(&o, e);
	else if (!rc && slice_ends(slice_of(t->chat_path), "/chat/completions"))
		rc = write_chat(&o, e);
	else if (!rc)
		write_text(&o);
	if (rc)
		return rc;
	buf_char(&out->body, '}');
	return post_end(out, e);
}

static enum err_code decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	return refusal_of_body(t, status, body, e);
}

/* ---- answers ---- */

enum form {
	FORM_TEXT,  /* whole and in streams: "text" */
	FORM_FIM,   /* a whole answer: "text" and "message" */
	FORM_DELTA, /* a piece of it: "delta" */
};

enum top { TOP_ID, TOP_CREATED, TOP_CHOICES, TOP_USAGE, TOP_ERROR, TOP_FIELDS };

#define TOP_MEMBERS \
	{ \
		{ .name = "id" }, { .name = "created" }, { .name = "choices" }, \
			{ .name = "usage" }, { .name = "error" }, \
	}

/* A choice in whichever shape it came. */
struct choice {
	unsigned index;
	struct json_value text, logprobs;
	const char *finish; /* OpenAI's word; NULL = none */
};

static enum err_code invalid(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s", d->target->slug, what);
}

static enum err_code read_finish(
	const struct dialect *d, struct json_value v, const char **out, struct err *e)
{
	char said[64];

	*out = NULL;
	if (v.kind != JSON_STRING)
		return ERR_OK;
	if (!json_str_copy(v, said, sizeof(said)))
		str_copy_cut(said, sizeof(said), "unknown");
	if (!said[0])
		return ERR_OK;
	*out = finish_reason_of(slice_of(said));
	if (*out && strcmp(*out, "error") == 0)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with \"%s\"",
			d->target->slug, said);
	if (!*out || strcmp(*out, "tool_calls") == 0 || strcmp(*out, "function_call") == 0)
		*out = "stop";
	return ERR_OK;
}

static enum err_code read_choice(const struct dialect *d, struct json_value object, size_t nth,
	struct choice *c, struct err *e)
{
	struct json_value index = json_get(object, "index"), error = json_get(object, "error");
	struct json_value words = json_get(object, "delta");
	int64_t n = (int64_t)nth;

	if (object.kind != JSON_OBJECT)
		return invalid(d, "a choice that is no object", e);
	if (json_is_truthy(error))
		return refusal_of_tree(d->target, object, error, e);
	if ((index.kind == JSON_NUMBER && !json_int(index, &n)) || n < 0 || n >= CHOICES_MAX)
		return invalid(d, "a choice with an index out of range", e);
	if (words.kind != JSON_OBJECT)
		words = json_get(object, "message");
	c->index = (unsigned)n;
	c->text = json_get(object, "text");
	if (c->text.kind != JSON_STRING)
		c->text = json_get(words, "content");
	if (c->text.kind != JSON_STRING)
		c->text = (struct json_value){ JSON_STRING, SLICE("\"\"") };
	c->logprobs = json_get(object, "logprobs");
	return read_finish(d, json_get(object, "finish_reason"), &c->finish, e);
}

static bool is_set(const uint64_t *bits, unsigned i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

/* Keeps the books of the answer. false: the choice says nothing that the client has not got. */
static bool note_choice(struct dialect *d, struct choice *c)
{
	uint64_t bit = UINT64_C(1) << (c->index & 63);
	bool says = json_str_bytes(c->text) > 0;

	if (!is_set(d->seen, c->index)) {
		d->seen[c->index >> 6] |= bit;
		d->choices_seen++;
	}
	if (is_set(d->finished, c->index))
		c->finish = NULL;
	if (!c->finish)
		return says;
	d->finished[c->index >> 6] |= bit;
	d->choices_finished++;
	if (c->index == 0)
		str_copy_cut(d->finish_reason, sizeof(d->finish_reason), c->finish);
	return true;
}

static void write_choice(const struct choice *c, enum form form, struct buf *out)
{
	buf_printf(out, "{\"index\":%u,", c->index);
	buf_str(out, form == FORM_DELTA ? "\"delta\":{\"content\":" : "\"text\":");
	buf_slice_append(out, c->text.raw);
	if (form == FORM_DELTA) {
		buf_char(out, '}');
	} else if (form == FORM_FIM) {
		buf_str(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
		buf_slice_append(out, c->text.raw);
		buf_char(out, '}');
	} else {
		buf_str(out, ",\"logprobs\":");
		buf_slice_append(
			out, c->logprobs.kind == JSON_OBJECT ? c->logprobs.raw : SLICE("null"));
	}
	buf_str(out, ",\"finish_reason\":");
	buf_json_cstr(out, c->finish);
	buf_char(out, '}');
}

/* The id and time of the answer: the first ones seen, or made up. */
static void take_head(struct dialect *d, const struct json_member *top, int64_t now_s)
{
	if (!d->id[0] && (!json_str_copy(top[TOP_ID].value, d->id, sizeof(d->id)) || !d->id[0]))
		snprintf(d->id, sizeof(d->id), "cmpl-%llx", (unsigned long long)now_s);
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

static void write_head(const struct dialect *d, const char *object, struct buf *out)
{
	buf_str(out, "{\"id\":");
	buf_json_cstr(out, d->id);
	buf_printf(out, ",\"object\":\"%s\",\"created\":%lld,\"model\":", object,
		(long long)d->created);
	buf_json_cstr(out, d->target->public_id);
	buf_str(out, ",\"choices\":[");
}

static enum err_code not_json(const struct dialect *d, const char *what, struct err *e)
{
	char why[200];

	str_copy_cut(why, sizeof(why), e ? e->message : "");
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s that is not JSON (%s)", d->target->slug,
		what, why);
}

/* Writes the choices that say something into out, and counts them. */
static enum err_code take_choices(struct dialect *d, struct json_value choices, enum form form,
	bool whole, struct delta *told, size_t *count, struct buf *out, struct err *e)
{
	struct json_iter it;
	struct json_value choice;
	struct slice none;
	struct choice c = { .index = 0 };
	enum err_code rc;
	size_t nth = 0;

	*count = 0;
	json_iter_init(&it, choices);
	for (; json_iter_next(&it, &none, &choice); nth++) {
		rc = read_choice(d, choice, whole ? nth : 0, &c, e);
		if (rc)
			return rc;
		if (whole && is_set(d->seen, c.index))
			return invalid(d, "a choice twice", e);
		if (whole && !c.finish)
			c.finish = "stop";
		if (!note_choice(d, &c))
			continue;
		if ((*count)++)
			buf_char(out, ',');
		write_choice(&c, form, out);
		told->text_bytes += json_str_bytes(c.text);
	}
	return ERR_OK;
}

static enum err_code decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	enum form form = d->target->provider == &provider_fim ? FORM_DELTA : FORM_TEXT;
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(ev->data);
	bool named = slice_is(ev->name, "error"), usage;
	enum err_code rc;
	size_t count;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (slice_starts(text, "[DONE]")) {
		out->kind = DELTA_DONE;
		return ERR_OK;
	}
	if (!named && (!text.len || text.ptr[0] != '{')) {
		/* Mostly it says nothing and loses nothing, but who knows. */
		d->malformed += text.len && !slice_is(text, "ping");
		return ERR_OK;
	}
	rc = json_scan(text, &tongue_limits, top, TOP_FIELDS, e);
	if (rc) {
		d->malformed++;
		return not_json(d, "an event", e);
	}
	if (named || json_is_truthy(top[TOP_ERROR].value)) {
		out->kind = DELTA_ERROR;
		return refusal_of_tree(d->target, (struct json_value){ JSON_OBJECT, text },
			top[TOP_ERROR].value, e);
	}
	usage = take_usage(d, top[TOP_USAGE].value);
	take_head(d, top, now_s);
	buf_reset(&d->out);
	d->out.max_bytes = 2 * text.len + 8192;
	write_head(d, provider_chunk_object(d->target->provider), &d->out);
	rc = take_choices(d, top[TOP_CHOICES].value, form, false, out, &count, &d->out, e);
	if (rc) {
		out->kind = DELTA_ERROR;
		return rc;
	}
	buf_str(&d->out, "]}");
	if (!buf_ok(&d->out))
		return invalid(d, "an event that does not fit", e);
	out->kind = count ? DELTA_CHUNK : usage ? DELTA_USAGE : DELTA_SKIP;
	out->json = buf_slice(&d->out);
	return ERR_OK;
}

static enum err_code decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	bool fim = d->target->provider == &provider_fim;
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(body);
	struct delta told = { .kind = DELTA_SKIP };
	enum err_code rc = json_scan(text, &tongue_limits, top, TOP_FIELDS, e);
	size_t count;

	(void)content_type;
	if (rc)
		return not_json(d, "an answer", e);
	if (json_is_truthy(top[TOP_ERROR].value))
		return refusal_of_tree(d->target, (struct json_value){ JSON_OBJECT, text },
			top[TOP_ERROR].value, e);
	(void)take_usage(d, top[TOP_USAGE].value);
	take_head(d, top, now_s);
	out->json.max_bytes = 2 * text.len + 8192;
	write_head(d, fim ? "fim.completion" : "text_completion", &out->json);
	rc = take_choices(d, top[TOP_CHOICES].value, fim ? FORM_FIM : FORM_TEXT, true, &told,
		&count, &out->json, e);
	if (rc)
		return rc;
	if (!count)
		return invalid(d, "an answer without choices", e);
	buf_str(&out->json, "]}");
	if (!buf_ok(&out->json))
		return invalid(d, "an answer that does not fit", e);
	out->text_bytes = told.text_bytes;
	out->usage = d->usage;
	str_copy_cut(out->finish_reason, sizeof(out->finish_reason), d->finish_reason);
	return ERR_OK;
}

/* ---- a whole answer as a stream ---- */

static enum err_code write_events(const struct answer *a, struct buf *out, struct err *e)
{
	struct slice text = buf_slice(&a->json);

	buf_str(out, "data: ");
	buf_slice_append(out, text);
	buf_str(out, "\n\n");
	return buf_ok(out) ? ERR_OK : err_set(e, ERR_NO_MEMORY, "the answer does not fit");
}

/* The head is the same but for the object; a choice has "delta" for its two texts. */
static enum err_code write_fim_events(const struct answer *a, struct buf *out, struct err *e)
{
	struct json_value tree = { JSON_OBJECT, buf_slice(&a->json) }, choice;
	static const char *const head[] = { "id", "created", "model" };
	struct json_iter it;
	struct slice none;
	bool first = true;

	buf_str(out, "data: {\"object\":\"fim.completion.chunk\"");
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		buf_printf(out, ",\"%s\":", head[i]);
		buf_slice_append(out, json_get(tree, head[i]).raw);
	}
	buf_str(out, ",\"choices\":[");
	json_iter_init(&it, json_get(tree, "choices"));
	for (; json_iter_next(&it, &none, &choice); first = false) {
		buf_str(out, first ? "{\"index\":" : ",{\"index\":");
		buf_slice_append(out, json_get(choice, "index").raw);
		buf_str(out, ",\"delta\":{\"content\":");
		buf_slice_append(out, json_get(choice, "text").raw);
		buf_str(out, "},\"finish_reason\":");
		buf_slice_append(out, json_get(choice, "finish_reason").raw);
		buf_char(out, '}');
	}
	buf_str(out, "]}\n\n");
	return buf_ok(out) ? ERR_OK : err_set(e, ERR_NO_MEMORY, "the answer does not fit");
}

const struct provider provider_text = {
	.name = "text",
	.can = CAN_STREAM | MARKS_END,
	.encode = encode,
	.decode = decode,
	.decode_event = decode_event,
	.decode_error = decode_error,
	.chunk_object = "text_completion",
	.no_words = "\"text\":\"\",\"logprobs\":null",
	.write_events = write_events,
};

const struct provider provider_fim = {
	.name = "fim",
	.can = CAN_STREAM | MARKS_END,
	.encode = encode,
	.decode = decode,
	.decode_event = decode_event,
	.decode_error = decode_error,
	.chunk_object = "fim.completion.chunk",
	.write_events = write_fim_events,
};
