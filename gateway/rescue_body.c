/* gateway/rescue_body.c - may what was said be gone on with, and the request that asks for it
 * (contract: rescue.h). */
#include "gateway/said.h"

#include "gateway/providers/openai_like.h"

#include <stdio.h>

static bool is_absent(struct json_value v)
{
	return v.kind == JSON_ABSENT || v.kind == JSON_NULL;
}

/* ---- may it be done? ---- */

static struct json_value last_of(struct json_value array)
{
	struct json_value v, last = { .kind = JSON_ABSENT, .raw = SLICE("") };
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, array);
	while (json_iter_next(&it, &none, &v))
		last = v;
	return last;
}

static bool is_assistant(struct json_value message)
{
	return json_str_is(json_get(message, "role").raw, "assistant");
}

/* A message that one can append a text to. */
static bool is_words(struct json_value message)
{
	struct json_value content = json_get(message, "content");

	return (is_absent(content) || content.kind == JSON_STRING || content.kind == JSON_ARRAY) &&
	       !json_is_truthy(json_get(message, "tool_calls")) &&
	       !json_is_truthy(json_get(message, "function_call")) &&
	       !json_is_truthy(json_get(message, "audio")) &&
	       !json_is_truthy(json_get(message, "refusal"));
}

static bool is_free_choice(struct json_value v)
{
	return is_absent(v) || json_str_is(v.raw, "auto") || json_str_is(v.raw, "none");
}

static bool is_text_only(struct json_value modalities)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, modalities);
	while (json_iter_next(&it, &none, &v))
		if (!json_str_is(v.raw, "text"))
			return false;
	return true;
}

/* Is the answer to be words that nothing but their sense binds? Who is held to a form begins it
 * anew. */
static bool asks_for_words(const struct chat_req *req)
{
	const struct json_value body = { JSON_OBJECT, req->body };
	struct json_value format = json_get(body, "response_format");
	struct json_value last = last_of(req->field[CHAT_MESSAGES].value);

	return (is_absent(format) || json_str_is(json_get(format, "type").raw, "text")) &&
	       !json_is_truthy(json_get(body, "logprobs")) && is_absent(json_get(body, "audio")) &&
	       is_text_only(json_get(body, "modalities")) &&
	       is_free_choice(json_get(body, "tool_choice")) &&
	       is_free_choice(json_get(body, "function_call")) && last.kind == JSON_OBJECT &&
	       (!is_assistant(last) || is_words(last));
}

bool rescue_can(const struct said *s, const struct chat_req *req, enum rescue_way way)
{
	if (way == RESCUE_BY_NONE || req->n != 1)
		return false;
	if (s && (s->lost || s->other || s->finished))
		return false;
	return way == RESCUE_BY_SPLICE ||
	       (!(s && s->call_count) && said_trimmed(s) > 0 && asks_for_words(req));
}

bool rescue_takes_prefill(const struct target *t)
{
	if (!t->prefill)
		return false;
	return t->provider == &provider_anthropic ||
	       (t->provider == &provider_openai && (t->quirks->prefill || t->quirks->is_router));
}

/* ---- the request ---- */

static void put_text(struct splice *s, const char *before, struct slice text, const char *behind)
{
	buf_str(&s->text, before);
	buf_json_str(&s->text, text);
	buf_str(&s->text, behind);
}

/* The text, as it stands between the quotes of a string, goes in front of the last one of them. */
static void lengthen(struct splice *s, struct slice raw_string, struct slice text)
{
	struct buf quoted = { .max_bytes = 6 * text.len + 2 };

	buf_json_str(&quoted, text);
	if (!buf_ok(&quoted)) {
		s->text.failed = true;
	} else {
		size_t from = s->text.len;

		buf_append(&s->text, quoted.data + 1, quoted.len - 2);
		splice_put(s, (struct slice){ raw_string.ptr + raw_string.len - 1, 0 }, from);
	}
	buf_fini(&quoted);
}

static void append_to_parts(struct splice *s, struct json_value parts, struct slice text)
{
	struct json_value last = last_of(parts), had = json_get(last, "text");
	size_t from = s->text.len;

	if (json_str_is(json_get(last, "type").raw, "text") && had.kind == JSON_STRING) {
		lengthen(s, had.raw, text);
		return;
	}
	put_text(s,
		last.kind ? ",{\"type\":\"text\",\"text\":" : "{\"type\":\"text\",\"text\":", text,
		"}");
	splice_put(s, (struct slice){ parts.raw.ptr + parts.raw.len - 1, 0 }, from);
}

static void append_text(struct splice *s, struct json_value messages, struct slice text)
{
	struct json_value last = last_of(messages), content = json_get(last, "content");
	size_t from = s->text.len;

	if (!is_assistant(last)) {
		put_text(s, ",{\"role\":\"assistant\",\"content\":", text, "}");
		splice_put(s, (struct slice){ messages.raw.ptr + messages.raw.len - 1, 0 }, from);
	} else if (content.kind == JSON_STRING) {
		lengthen(s, content.raw, text);
	} else if (content.kind == JSON_ARRAY) {
		append_to_parts(s, content, text);
	} else if (content.kind == JSON_NULL) {
		put_text(s, "", text, "");
		splice_put(s, content.raw, from);
	} else {
		put_text(s, "\"content\":", text, ",");
		splice_put(s, (struct slice){ last.raw.ptr + 1, 0 }, from);
	}
}

/* Four bytes a token, as everywhere. */
static void lessen(struct splice *s, struct json_value limit, size_t text_bytes)
{
	int64_t n, left;
	char number[24];

	if (!json_int(limit, &n))
		return;
	left = n - (int64_t)((text_bytes + 3) / 4);
	(void)!snprintf(number, sizeof(number), "%lld", (long long)(left > 1 ? left : 1));
	splice_str(s, limit.raw, number);
}

/* Nobody goes on with a text and thinks first; and what was to be thought was, before the text. */
static void without_thoughts(struct splice *s, const struct chat_req *req, bool thought)
{
	static const struct {
		enum chat_field field;
		const char *off;
	} ways[] = {
		{ CHAT_REASONING, "{\"effort\":\"none\"}" },
		{ CHAT_REASONING_EFFORT, "\"none\"" },
		{ CHAT_THINKING, "{\"type\":\"disabled\"}" },
	};
	bool told = false;

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct json_value v = req->field[ways[i].field].value;

		if (is_absent(v))
			continue;
		splice_str(s, v.raw, ways[i].off);
		told = true;
	}
	if (!thought || told)
		return;
	if (req->field[CHAT_REASONING_EFFORT].value.kind == JSON_NULL)
		splice_str(s, req->field[CHAT_REASONING_EFFORT].value.raw, "\"none\"");
	else
		splice_str(s, (struct slice){ req->body.ptr + 1, 0 },
			"\"reasoning_effort\":\"none\",");
}

enum err_code rescue_continue_body(
	const struct chat_req *req, const struct said *s, struct buf *out, struct err *e)
{
	struct slice text = slice_first(buf_slice(&s->text), said_trimmed(s));
	struct splice changes = { 0 };
	bool ok;

	splice_reset(&changes, 6 * text.len + 4096);
	append_text(&changes, req->field[CHAT_MESSAGES].value, text);
	lessen(&changes, req->field[CHAT_MAX_TOKENS].value, text.len);
	lessen(&changes, req->field[CHAT_MAX_COMPLETION_TOKENS].value, text.len);
	without_thoughts(&changes, req, s->thought);
	if (!out->max_bytes)
		out->max_bytes = req->body.len + 6 * text.len + 8192;
	splice_write(&changes, req->body, out);
	ok = buf_ok(out);
	splice_fini(&changes);
	return ok ? ERR_OK
		  : err_set(e, ERR_NO_MEMORY,
			    "the request does not fit into memory with what was answered so far");
}
