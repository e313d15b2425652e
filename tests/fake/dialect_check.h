/* tests/fake/dialect_check.h - what the fake provider makes of a request in another dialect than
 * OpenAI's: every check that the real provider would make, and what there is to answer to.
 * Header-only, see cue.h.
 */
#ifndef FAKE_DIALECT_CHECK_H
#define FAKE_DIALECT_CHECK_H

#include "tests/fake/answer.h"

#include "base/base64.h"
#include "base/crypto.h"

#include <ctype.h>
#include <stdio.h>

#define THOUGHT_1      "Let me"
#define THOUGHT_2      " think."
#define THOUGHT        THOUGHT_1 THOUGHT_2
#define THOUGHT_TOKENS 7

/* A request, its answerer's notes, and the first complaint about it. */
struct native {
	struct slice head, path, query, body;
	struct buf model;          /* decoded */
	struct buf said;           /* the last text of a user */
	struct json_value prefill; /* the assistant's text that comes last; lent by body */
	struct buf tools;          /* [{"function":{"name":"…"}},…] */
	struct json_value schema;  /* of the answer; lent by body */
	struct json_value forced;  /* name of the tool that must be called; lent by body */
	bool json_object;
	bool stream, thinks, after_tool;
	int64_t max_tokens;
	unsigned marks;  /* cache_control members */
	unsigned status; /* of the refusal */
	struct buf why;  /* its message; empty = nothing to complain about */
};

static void native_fini(struct native *n)
{
	buf_fini(&n->model);
	buf_fini(&n->said);
	buf_fini(&n->tools);
	buf_fini(&n->why);
}

static bool refuse(struct native *n, unsigned status, const char *format, ...) PRINTF_LIKE(3, 4);
static bool refuse(struct native *n, unsigned status, const char *format, ...)
{
	va_list args;

	if (n->why.len)
		return false;
	n->status = status;
	va_start(args, format);
	buf_vprintf(&n->why, format, args);
	va_end(args);
	return false;
}

/* The value of a header; ptr is NULL when there is none. */
static struct slice header_of(const struct native *n, const char *name)
{
	struct slice lines = n->head, line, key;

	while (lines.len) {
		line = slice_trim(slice_cut(&lines, '\n'));
		key = slice_cut(&line, ':');
		if (slice_is_nocase(key, name) && line.ptr)
			return slice_trim(line);
	}
	return (struct slice){ NULL, 0 };
}

/* Is it one of the words, which are parted by blanks? */
static bool is_one_of(struct slice name, const char *words)
{
	struct slice rest = slice_of(words);

	while (rest.len)
		if (slice_eq(slice_cut(&rest, ' '), name))
			return true;
	return false;
}

/* Extra inputs are not permitted. */
static bool only(struct native *n, struct json_value object, const char *where, const char *names)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	if (object.kind != JSON_OBJECT)
		return refuse(n, 400, "%s: an object is expected", where);
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		key = slice_first(slice_from(key, 1), key.len - 2);
		if (!is_one_of(key, names))
			return refuse(n, 400, "%s.%.*s: Extra inputs are not permitted", where,
				SLICE_ARG(key));
	}
	return true;
}

static bool is_word(struct json_value v, const char *word)
{
	return v.kind == JSON_STRING && json_str_is(v.raw, word);
}

/* Letters, digits and what is in extra, at most max of them. */
static bool is_name(struct json_value v, const char *extra, size_t max)
{
	char text[256];

	if (!json_str_copy(v, text, sizeof(text)) || !text[0] || strlen(text) > max)
		return false;
	for (const char *c = text; *c; c++)
		if (!isalnum((unsigned char)*c) && !strchr(extra, *c))
			return false;
	return true;
}

static bool is_blank(struct json_value v)
{
	struct buf text = { 0 };
	bool blank = !json_str_decode(v, &text) || !slice_trim(buf_slice(&text)).len;

	buf_fini(&text);
	return blank;
}

static bool is_base64(struct json_value v)
{
	struct buf text = { .max_bytes = (size_t)64 << 20 },
		   bytes = { .max_bytes = text.max_bytes };
	bool good = json_str_decode(v, &text) && text.len && base64_read(buf_slice(&text), &bytes);

	buf_fini(&text);
	buf_fini(&bytes);
	return good;
}

static size_t count_of(struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	size_t n = 0;

	json_iter_init(&it, list);
	while (list.kind == JSON_ARRAY && json_iter_next(&it, &none, &v))
		n++;
	return n;
}

/* ---- signatures of thoughts: of what was thought, so that a changed thought is found out ---- */

static void sign(struct slice what, struct buf *out)
{
	char text[16];

	snprintf(text, sizeof(text), "sig:%08x", crypto_crc32(what));
	base64_write(slice_of(text), out);
}

static bool is_signed(struct json_value what, struct json_value signature)
{
	struct buf text = { 0 }, right = { 0 }, given = { 0 };
	bool good = json_str_decode(what, &text) && json_str_decode(signature, &given);

	sign(buf_slice(&text), &right);
	good = good && slice_eq(buf_slice(&right), buf_slice(&given));
	buf_fini(&text);
	buf_fini(&right);
	buf_fini(&given);
	return good;
}

/* ---- the schema of an answer, as strict providers take it ---- */

static bool is_strict(struct native *n, struct json_value v, unsigned depth)
{
	static const char refused[] =
		"oneOf minimum maximum multipleOf minLength maxLength pattern "
		"maxItems uniqueItems minProperties maxProperties";
	struct json_iter it;
	struct json_value inner;
	struct slice key;

	if (depth > 40 || (v.kind != JSON_OBJECT && v.kind != JSON_ARRAY))
		return true;
	if (is_word(json_get(v, "type"), "object") &&
		!slice_is(json_get(v, "additionalProperties").raw, "false"))
		return refuse(n, 400,
			"output_config.format.schema: For 'object' type, 'additionalProperties' "
			"must be explicitly set to false");
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &inner)) {
		if (v.kind == JSON_OBJECT && json_get(v, "type").kind == JSON_STRING &&
			is_one_of(slice_first(slice_from(key, 1), key.len - 2), refused))
			return refuse(n, 400, "output_config.format.schema: %.*s is not supported",
				SLICE_ARG(key));
		if (!is_strict(n, inner, depth + 1))
			return false;
	}
	return true;
}

/* ---- notes for the answer ---- */

/* The last message is the assistant's: Claudes up to 4.5 go on from it, when they do not think. */
static bool takes_prefill(struct native *n, struct json_value content)
{
	struct json_value text =
		content.kind == JSON_STRING ? content : json_get(json_at(content, 0), "text");

	if (memmem(n->model.data, n->model.len, "4-6", 3) || n->thinks || text.kind != JSON_STRING)
		return refuse(n, 400, "This model does not support assistant message prefill.");
	if (text.raw.ptr[text.raw.len - 2] == ' ')
		return refuse(n, 400,
			"messages: final assistant content cannot end with trailing whitespace");
	n->prefill = text;
	return true;
}

static void note_text(struct native *n, struct json_value text)
{
	buf_reset(&n->said);
	if (!json_str_decode(text, &n->said))
		buf_reset(&n->said);
}

static void note_tool(struct native *n, struct json_value name)
{
	buf_str(&n->tools, n->tools.len ? ",{\"function\":{\"name\":" : "{\"function\":{\"name\":");
	buf_slice_append(&n->tools, name.raw);
	buf_str(&n->tools, "}}");
}

/* The same request in OpenAI's words, as far as an answer depends on it. */
static void native_write(const struct native *n, struct buf *out)
{
	buf_str(out, "{\"model\":");
	buf_json_str(out, buf_slice(&n->model));
	buf_str(out, ",\"messages\":[{\"role\":\"user\",\"content\":");
	buf_json_str(out, buf_slice(&n->said));
	if (n->prefill.kind == JSON_STRING) {
		buf_str(out, "},{\"role\":\"assistant\",\"content\":");
		buf_slice_append(out, n->prefill.raw);
	}
	buf_str(out, n->after_tool ? "},{\"role\":\"tool\"}]" : "}]");
	if (n->stream)
		buf_str(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
	if (n->tools.len) {
		buf_str(out, ",\"tools\":[");
		buf_slice_append(out, buf_slice(&n->tools));
		buf_char(out, ']');
	}
	if (n->schema.kind == JSON_OBJECT) {
		buf_str(out, ",\"response_format\":{\"json_schema\":{\"schema\":");
		buf_slice_append(out, n->schema.raw);
		buf_str(out, "}}");
	} else if (n->json_object) {
		buf_str(out, ",\"response_format\":{\"type\":\"json_object\"}");
	}
	if (n->max_tokens > 0)
		buf_printf(out, ",\"max_tokens\":%lld", (long long)n->max_tokens);
	buf_char(out, '}');
}

static int64_t int_of(struct json_value v)
{
	int64_t n;

	return json_int(v, &n) ? n : 0;
}

/* ---- what the writers of answers share ---- */

/* The calls of an answer: two, or one without arguments. */
static uint32_t calls_of(const struct answer *a)
{
	return !a->calls ? 0 : a->forced || a->ask.cue.noargs ? 1 : 2;
}

static struct slice arguments_of(const struct answer *a, uint32_t call)
{
	if (a->forced)
		return buf_slice(&a->text);
	if (a->ask.cue.noargs)
		return SLICE("{}");
	return call ? SLICE("{\"city\":\"Oslo\"}") : SLICE("{\"city\":\"Paris\"}");
}

/* Tokens of the answer, thoughts included. */
static uint32_t written_tokens(const struct answer *a)
{
	return a->pieces + (a->thinks ? THOUGHT_TOKENS : 0);
}

static void said_write(const struct answer *a, struct buf *out)
{
	struct buf text = { .max_bytes = (size_t)128 << 20 };

	for (uint32_t k = 0; k < a->pieces; k++)
		piece_write(a, k, &text);
	buf_json_str(out, buf_slice(&text));
	buf_fini(&text);
}

static void piece_json(const struct answer *a, uint32_t k, struct buf *out)
{
	struct buf raw = { 0 };

	piece_write(a, k, &raw);
	buf_json_str(out, buf_slice(&raw));
	buf_fini(&raw);
}

static void signature_json(struct slice what, struct buf *out)
{
	buf_char(out, '"');
	sign(what, out);
	buf_char(out, '"');
}

#endif
