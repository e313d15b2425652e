/* gateway/providers/openai.c - OpenAI's own dialect. It is also the common tongue, so nothing is
 * translated: the client's and the provider's bytes are sent on, with the few members spliced
 * that the gateway answers for (openai-chat.md sections 2, 6, 8; gotchas of section 18). */
#include "gateway/providers/openai_like.h"
#include "gateway/providers/openai_request.h"
#include "gateway/providers/openai_words.h"
#include "gateway/providers/patch.h"
#include "gateway/providers/refusal.h"
#include "gateway/providers/tongue.h"

/* ---- answers ---- */

static enum err_code decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	return refusal_of_body(t, status, body, e);
}

enum top {
	TOP_ID,
	TOP_OBJECT,
	TOP_CREATED,
	TOP_MODEL,
	TOP_CHOICES,
	TOP_USAGE,
	TOP_ERROR,
	TOP_X_GROQ,
	TOP_BASE_RESP,
	TOP_FIELDS
};

#define TOP_MEMBERS \
	{ \
		{ .name = "id" }, { .name = "object" }, { .name = "created" }, \
			{ .name = "model" }, { .name = "choices" }, { .name = "usage" }, \
			{ .name = "error" }, { .name = "x_groq" }, { .name = "base_resp" }, \
	}

/* Providers' keys are compared as they are written: nobody escapes them. */
static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

/* The id and time of the answer: the first ones seen, or made up. */
static void take_head(struct dialect *d, const struct json_member *top, int64_t now_s)
{
	struct buf text = buf_over(d->created_text, sizeof(d->created_text));

	if (!d->id[0] && !json_str_copy(top[TOP_ID].value, d->id, sizeof(d->id)))
		d->id[0] = '\0';
	dialect_make_id(d, now_s);
	if (d->created)
		return;
	if (!json_int(top[TOP_CREATED].value, &d->created) || d->created <= 0)
		d->created = now_s;
	buf_int(&text, d->created);
	buf_char(&text, '\0');
}

static void patch_count(struct patch *p, struct json_value v, int64_t count)
{
	int64_t n;

	if (json_int(v, &n) && n == count)
		return;
	patch_cut(p, v.raw.ptr, v.raw.ptr + v.raw.len);
	buf_int(p->out, count);
}

/* The usage as the client has to read it: all that was counted is in prompt and completion, and
 * what was cached stands where OpenAI puts it (openai-chat.md section 7). */
static void write_usage(const struct usage *u, struct json_value usage, struct buf *out)
{
	struct patch p = { .out = out, .done = usage.raw.ptr };
	bool total = false, details = false;
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, usage);
	json_iter_init(&it, usage);
	while (json_iter_next(&it, &key, &v)) {
		if (u->cached_tokens && KEY_IS(key, "prompt_tokens_details") &&
			v.kind != JSON_OBJECT) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(&p, &list, key, v);
		if (KEY_IS(key, "prompt_tokens")) {
			patch_count(&p, v, u->prompt_tokens);
		} else if (KEY_IS(key, "completion_tokens")) {
			patch_count(&p, v, u->completion_tokens);
		} else if (KEY_IS(key, "total_tokens")) {
			patch_count(&p, v, u->prompt_tokens + u->completion_tokens);
			total = true;
		} else if (KEY_IS(key, "prompt_tokens_details")) {
			details = true;
		}
	}
	if (!total) {
		patch_list_add(&p, &list);
		buf_printf(out, "\"total_tokens\":%lld",
			(long long)u->prompt_tokens + (long long)u->completion_tokens);
	}
	if (!details && u->cached_tokens) {
		patch_list_add(&p, &list);
		buf_printf(out, "\"prompt_tokens_details\":{\"cached_tokens\":%lld}",
			(long long)u->cached_tokens);
	}
	patch_list_end(&p, &list);
	patch_end(&p, usage.raw);
}

static bool take_usage(struct dialect *d, struct json_value usage)
{
	if (usage.kind != JSON_OBJECT)
		return false;
	usage_read(usage, d->target->quirks, &d->usage);
	buf_reset(&d->usage_json);
	write_usage(&d->usage, usage, &d->usage_json);
	return true;
}

/* Where it should be, or where one provider put it of old. */
static bool take_top_usage(struct dialect *d, const struct json_member *top)
{
	return take_usage(d, top[TOP_USAGE].value) ||
	       take_usage(d, json_get(top[TOP_X_GROQ].value, "usage"));
}

/* The member's value becomes this one; where it is missing it is put in front. */
static void set_member(struct splice *s, const struct json_member *m, struct slice object,
	struct slice value, bool is_string)
{
	struct slice had = m->value.raw, front = { object.ptr + 1, 0 };
	size_t from = s->text.len;

	if (m->value.kind && is_string && had.len == value.len + 2 && had.ptr[0] == '"' &&
		memcmp(had.ptr + 1, value.ptr, value.len) == 0)
		return;
	if (m->value.kind && !is_string && slice_eq(had, value))
		return;
	if (!m->value.kind)
		buf_printf(&s->text, "\"%s\":", m->name);
	if (is_string)
		buf_json_str(&s->text, value);
	else
		buf_slice_append(&s->text, value);
	if (!m->value.kind)
		buf_char(&s->text, ',');
	splice_put(s, m->value.kind ? had : front, from);
}

/* A member of text and the comma that parts it from its neighbour. */
static struct slice with_comma(struct slice text, struct slice member)
{
	const char *begin = member.ptr, *end = member.ptr + member.len, *last = text.ptr + text.len;

	while (end < last && strchr(" \t\r\n", *end))
		end++;
	if (end < last && *end == ',')
		return (struct slice){ begin, (size_t)(end + 1 - begin) };
	end = member.ptr + member.len;
	while (begin > text.ptr && begin[-1] != ',' && begin[-1] != '{')
		begin--;
	if (begin > text.ptr && begin[-1] == ',')
		begin--;
	return (struct slice){ begin, (size_t)(end - begin) };
}

/* Writes an answer or chunk: the provider's own text, with the choices as edited, our model, one
 * id and one created for all chunks. Usage is left out where the client is told it separately. */
static void write_answer(struct dialect *d, const struct json_member *top, struct slice text,
	const char *object, bool with_usage, struct buf *out)
{
	struct splice *s = &d->splice;

	set_member(s, &top[TOP_ID], text, slice_of(d->id), true);
	set_member(s, &top[TOP_OBJECT], text, slice_of(object), true);
	set_member(s, &top[TOP_CREATED], text, slice_of(d->created_text), false);
	set_member(s, &top[TOP_MODEL], text, slice_of(d->target->public_id), true);
	if (top[TOP_ERROR].value.kind > JSON_NULL) /* {}, "" and the like, which SDKs raise on */
		splice_str(s, top[TOP_ERROR].value.raw, "null");
	if (top[TOP_USAGE].value.kind && !with_usage)
		splice_str(s, with_comma(text, top[TOP_USAGE].whole), "");
	(void)!buf_room(out, text.len + s->text.len); /* within its ceiling, in one step */
	splice_write(s, text, out);
}

/* ---- choices ---- */

static bool is_set(const uint64_t *bits, unsigned i)
{
	return bits[i >> 6] >> (i & 63) & 1;
}

static void set(uint64_t *bits, unsigned i)
{
	bits[i >> 6] |= UINT64_C(1) << (i & 63);
}

/* Notes and, where needed, rewrites the finish reason of a choice. *again: it had finished. */
static enum err_code take_finish(
	struct dialect *d, unsigned index, struct json_value finish, bool *again, struct err *e)
{
	struct splice *s = &d->splice;
	char said[64];
	const char *word;

	*again = false;
	if (finish.kind != JSON_STRING)
		return ERR_OK;
	if (!json_str_copy(finish, said, sizeof(said)))
		str_copy_cut(said, sizeof(said), "unknown");
	*again = is_set(d->finished, index);
	if (!said[0] || *again) { /* "" is what some send for null */
		splice_str(s, finish.raw, "null");
		return ERR_OK;
	}
	word = finish_reason_of(slice_of(said));
	if (word && strcmp(word, "error") == 0)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with \"%s\"",
			d->target->slug, said);
	if (!word || (strcmp(word, "stop") == 0 && is_set(d->called, index)))
		word = is_set(d->called, index) ? "tool_calls" : "stop";
	if (strcmp(word, said) != 0) {
		size_t from = s->text.len;

		buf_printf(&s->text, "\"%s\",\"native_finish_reason\":", word);
		buf_slice_append(&s->text, finish.raw);
		splice_put(s, finish.raw, from);
	}
	set(d->finished, index);
	d->choices_finished++;
	if (index == 0)
		str_copy_cut(d->finish_reason, sizeof(d->finish_reason), word);
	return ERR_OK;
}

struct choice {
	struct json_value index, error, message, delta, finish, usage;
	struct slice message_whole; /* with its key */
	bool more;                  /* another member says something */
};

static struct choice read_choice(struct json_value object)
{
	struct choice c = { .index.kind = JSON_ABSENT };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "index"))
			c.index = v;
		else if (KEY_IS(key, "delta"))
			c.delta = v;
		else if (KEY_IS(key, "message"))
			c.message = v;
		else if (KEY_IS(key, "finish_reason"))
			c.finish = v;
		else if (KEY_IS(key, "error"))
			c.error = v;
		else if (KEY_IS(key, "usage"))
			c.usage = v;
		else if (!KEY_IS(key, "native_finish_reason"))
			c.more |= json_is_truthy(v);
		if (KEY_IS(key, "message"))
			c.message_whole = (struct slice){ key.ptr,
				(size_t)(v.raw.ptr + v.raw.len - key.ptr) };
	}
	return c;
}

static enum err_code invalid(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s", d->target->slug, what);
}

/* Takes one choice, the nth of its chunk. *says: the client has to see it. */
static enum err_code take_choice(struct dialect *d, struct json_value object, size_t nth,
	struct words *w, bool *says, struct err *e)
{
	struct choice c = read_choice(object);
	struct json_value words = w->whole ? c.message : c.delta;
	struct splice *s = &d->splice;
	bool again, finished_before;
	enum err_code rc;
	int64_t n = 0;

	if (object.kind != JSON_OBJECT)
		return invalid(d, "a choice that is no object", e);
	if (json_is_truthy(c.error))
		return refusal_of_tree(d->target, object, c.error, e);
	if (c.index.kind != JSON_NUMBER) {
		n = w->whole ? (int64_t)nth : 0;
		/* null is no number either, and both would stand there */
		size_t from = s->text.len;

		buf_printf(&s->text, c.index.kind ? "%lld" : "\"index\":%lld,", (long long)n);
		splice_put(s, c.index.kind ? c.index.raw : (struct slice){ object.raw.ptr + 1, 0 },
			from);
	} else if (!json_int(c.index, &n)) {
		n = -1;
	}
	if (n < 0 || n >= CHOICES_MAX)
		return invalid(d, "a choice with an index out of range", e);
	w->index = (unsigned)n;
	w->first = !is_set(d->seen, w->index);
	finished_before = is_set(d->finished, w->index);
	if (w->whole && (words.kind != JSON_OBJECT || !w->first))
		return invalid(d, "a choice without a message, or twice", e);
	if (w->first)
		d->choices_seen++;
	set(d->seen, w->index);
	w->finishes = w->whole || (c.finish.kind == JSON_STRING && c.finish.raw.len > 2);
	if (!words_take(d, w, words, object.raw))
		return invalid(d, "more tool calls than fit", e);
	/* The whole message once more, at the end of a stream: the client has read it. */
	if (!w->whole && c.message.kind)
		splice_str(s, with_comma(object.raw, c.message_whole), "");
	(void)take_usage(d, c.usage);
	rc = take_finish(d, w->index, c.finish, &again, e);
	/* Farewells after the farewell (gotcha 5), and floods of empty texts (gotcha 7). */
	*says = *says || !w->empty || (!finished_before && (w->first || w->finishes || c.more));
	return rc;
}

static enum err_code not_json(const struct dialect *d, const char *what, struct err *e)
{
	char why[200];

	str_copy_cut(why, sizeof(why), e ? e->message : "");
	return err_set(e, ERR_UPSTREAM_INVALID, "%s sent %s that is not JSON (%s)", d->target->slug,
		what, why);
}

/* An error that is not the object it should be: Google's in an array, or words in an event called
 * "error". */
static bool is_error_elsewhere(struct slice text, bool named, struct json_value *tree)
{
	*tree = (struct json_value){ JSON_ABSENT, text };
	if (!named && (!text.len || text.ptr[0] != '['))
		return false;
	if (json_validate(text, &tongue_limits, &tree->kind, NULL) || tree->kind != JSON_ARRAY)
		tree->kind = JSON_ABSENT;
	return named || json_is_truthy(json_get(json_at(*tree, 0), "error"));
}

static enum err_code decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(ev->data), none;
	bool named = slice_is(ev->name, "error"), usage, says = false;
	struct json_value choice, tree;
	struct json_iter it;
	size_t choices = 0;
	enum err_code rc;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (slice_starts(text, "[DONE]")) {
		out->kind = DELTA_DONE;
		return ERR_OK;
	}
	if (!text.len || text.ptr[0] != '{') {
		if (is_error_elsewhere(text, named, &tree)) {
			out->kind = DELTA_ERROR;
			return refusal_of_tree(
				d->target, tree, json_get(json_at(tree, 0), "error"), e);
		}
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
	usage = take_top_usage(d, top);
	if (!json_is_truthy(top[TOP_CHOICES].value)) {
		out->kind = usage ? DELTA_USAGE : DELTA_SKIP;
		return ERR_OK;
	}
	take_head(d, top, now_s);
	splice_reset(&d->splice, 4 * text.len + 4096);
	json_iter_init(&it, top[TOP_CHOICES].value);
	for (; json_iter_next(&it, &none, &choice); choices++) {
		struct words w = { .whole = false };

		rc = take_choice(d, choice, choices, &w, &says, e);
		out->text_bytes += w.text_bytes;
		if (rc) {
			out->kind = DELTA_ERROR;
			return rc;
		}
	}
	if (!choices || !says) {
		out->kind = usage ? DELTA_USAGE : DELTA_SKIP;
		return ERR_OK;
	}
	buf_reset(&d->out);
	d->out.max_bytes = 5 * text.len + 8192;
	write_answer(d, top, text, "chat.completion.chunk", false, &d->out);
	if (!buf_ok(&d->out)) {
		d->malformed++;
		return invalid(d, "an event that cannot be put right", e);
	}
	out->kind = DELTA_CHUNK;
	out->json = buf_slice(&d->out);
	return ERR_OK;
}

static enum err_code decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	struct json_member top[TOP_FIELDS] = TOP_MEMBERS;
	struct slice text = slice_trim(body), none;
	struct json_value whole = { JSON_OBJECT, text }, choice;
	struct json_iter it;
	unsigned choices = 0;
	bool says = false;
	int64_t n;
	enum err_code rc;

	(void)content_type;
	if (is_error_elsewhere(text, false, &choice))
		return refusal_of_tree(d->target, choice, json_get(json_at(choice, 0), "error"), e);
	rc = json_scan(text, &tongue_limits, top, TOP_FIELDS, e);
	if (rc)
		return not_json(d, "an answer", e);
	if (json_is_truthy(top[TOP_ERROR].value))
		return refusal_of_tree(d->target, whole, top[TOP_ERROR].value, e);
	if (json_int(json_get(top[TOP_BASE_RESP].value, "status_code"), &n) && n != 0)
		return refusal_of_tree(d->target, whole, whole, e);
	take_head(d, top, now_s);
	splice_reset(&d->splice, 4 * text.len + 4096);
	json_iter_init(&it, top[TOP_CHOICES].value);
	for (; json_iter_next(&it, &none, &choice); choices++) {
		struct words w = { .whole = true };

		rc = take_choice(d, choice, choices, &w, &says, e);
		if (rc)
			return rc;
		out->text_bytes += w.text_bytes;
	}
	if (!choices)
		return invalid(d, "an answer without choices", e);
	if (d->choices_finished < choices)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s sent an answer without a finish reason",
			d->target->slug);
	(void)take_top_usage(d, top);
	out->json.max_bytes = 5 * text.len + 8192;
	write_answer(d, top, text, "chat.completion", true, &out->json);
	if (!buf_ok(&out->json))
		return invalid(d, "an answer that cannot be put right", e);
	out->usage = d->usage;
	str_copy_cut(out->finish_reason, sizeof(out->finish_reason), d->finish_reason);
	return ERR_OK;
}

const struct provider provider_openai = {
	.name = "openai",
	.can = CAN_STREAM | CAN_TOOLS | CAN_IMAGES | CAN_IMAGE_URLS | MARKS_END,
	.encode = openai_encode,
	.decode = decode,
	.decode_event = decode_event,
	.decode_error = decode_error,
	.text_path = "/completions",
	.embed_path = "/embeddings",
};
