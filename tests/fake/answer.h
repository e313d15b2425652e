/* tests/fake/answer.h - what the fake provider says: whole answers and stream events, made
 * from an ask (cue.h). Event i is computed from i alone, so a stream needs no memory but a
 * counter. Header-only, see cue.h.
 */
#ifndef FAKE_ANSWER_H
#define FAKE_ANSWER_H

#include "tests/fake/cue.h"

struct answer;
struct wire;

/* How a provider talks. */
struct shape {
	const char *path; /* its path ends so; up to a '?', if there is one */
	/* Reads a request. Slices stay valid as long as body. */
	enum err_code (*read)(struct ask *a, struct slice body, struct err *e);
	/* The whole answer. */
	void (*write)(const struct answer *a, struct buf *out);
	/* Appends the data of event i (from 0), without "data: "; false when there is none left. */
	bool (*event)(const struct answer *a, uint32_t i, struct buf *out);
};

struct answer {
	const struct shape *shape;
	const struct wire *wire; /* the dialect (dialects.h); NULL = OpenAI's */
	struct ask ask;
	uint64_t id;
	int64_t created;
	char model[128];
	struct buf text;     /* what is said; unused for tokens=N and tools */
	struct buf names[2]; /* of the tools called */
	bool calls;          /* answers with tool calls */
	bool thinks;         /* and says what it thinks (dialects.h) */
	bool forced;         /* its one call has the text for arguments (dialects.h) */
	bool cut_short;      /* max_tokens was reached */
	uint32_t skipped;    /* pieces that the request has already */
	uint32_t pieces;     /* of the text behind them, or of the tool calls */
};

#define ANSWER_PIECE 16 /* bytes of a piece of a longer text */
#define ANSWER_SAYS  "Hello from the fake provider."

/* The start of piece k: whole words of the usual sentence, else 16 bytes at UTF-8 borders. */
static size_t piece_at(const struct answer *a, uint32_t k)
{
	const char *s = a->text.data;
	size_t at = (size_t)k * ANSWER_PIECE;

	if (a->text.len <= 2 * ANSWER_PIECE) {
		for (at = 0; at < a->text.len; at++)
			if ((at == 0 || s[at] == ' ') && k-- == 0)
				break;
		return at;
	}
	if (at >= a->text.len)
		return a->text.len;
	while (at && ((unsigned char)s[at] & 0xc0) == 0x80)
		at--;
	return at;
}

static void piece_write(const struct answer *a, uint32_t k, struct buf *raw)
{
	const char *word = a->ask.cue.word;
	size_t from, to;

	k += a->skipped;
	if (a->ask.cue.tokens) {
		buf_printf(raw, "%s%s%u", k ? " " : "", *word ? word : "t", k);
		return;
	}
	from = piece_at(a, k);
	to = piece_at(a, k + 1);
	buf_append(raw, a->text.data + from, to - from);
}

/* The smallest value a JSON schema allows. */
static void schema_write(struct json_value schema, unsigned depth, struct buf *out)
{
	struct json_value type = json_get(schema, "type"), v;
	struct json_iter it;
	struct slice key;
	bool first = true;

	if (type.kind == JSON_ARRAY)
		type = json_at(type, 0);
	if (json_get(schema, "enum").kind == JSON_ARRAY) {
		buf_slice_append(out, json_at(json_get(schema, "enum"), 0).raw);
	} else if (json_str_is(type.raw, "object") && depth < 20) {
		buf_char(out, '{');
		json_iter_init(&it, json_get(schema, "properties"));
		while (json_iter_next(&it, &key, &v)) {
			buf_str(out, first ? "" : ",");
			buf_slice_append(out, key);
			buf_char(out, ':');
			schema_write(v, depth + 1, out);
			first = false;
		}
		buf_char(out, '}');
	} else if (json_str_is(type.raw, "array") && depth < 20) {
		buf_char(out, '[');
		schema_write(json_get(schema, "items"), depth + 1, out);
		buf_char(out, ']');
	} else if (json_str_is(type.raw, "boolean")) {
		buf_str(out, "true");
	} else if (json_str_is(type.raw, "number") || json_str_is(type.raw, "integer")) {
		buf_str(out, "4");
	} else if (json_str_is(type.raw, "string")) {
		buf_str(out, "\"four\"");
	} else {
		buf_str(out, "null");
	}
}

static void tool_names(struct answer *a)
{
	struct json_value last = json_get(json_at(a->ask.tools, 0), "function"), v;

	for (size_t i = 0; i < 2; i++) {
		v = json_get(json_get(json_at(a->ask.tools, i), "function"), "name");
		if (v.kind != JSON_STRING)
			v = json_get(last, "name");
		if (!json_str_decode(v, &a->names[i]))
			buf_str(&a->names[i], "fake_tool");
	}
}

/* How many pieces the text has that the answer is to go on from; 0 when it does not begin so. */
static uint32_t pieces_said(const struct answer *a, struct json_value prefill)
{
	struct buf said = { .max_bytes = (size_t)128 << 20 },
		   whole = { .max_bytes = said.max_bytes };
	uint32_t k = 0;

	if (a->ask.cue.repeats || prefill.kind != JSON_STRING || !json_str_decode(prefill, &said))
		return 0;
	while (k < a->pieces && whole.len < said.len)
		piece_write(a, k++, &whole);
	if (!slice_eq(buf_slice(&said), buf_slice(&whole)))
		k = 0;
	buf_fini(&said);
	buf_fini(&whole);
	return k;
}

/* Begins the answer to a request; the slices of ask are not used afterwards. */
static void answer_init(
	struct answer *a, const struct ask *ask, struct slice body, uint64_t id, int64_t created)
{
	struct json_value model = { JSON_STRING, ask->model };

	*a = (struct answer){ .ask = *ask, .id = id, .created = created };
	if (!ask->model.len || !json_str_copy(model, a->model, sizeof(a->model)))
		str_copy_cut(a->model, sizeof(a->model), "fake");
	a->calls = ask->cue.tools && !ask->after_tool;
	if (a->calls)
		tool_names(a);
	else if (ask->cue.echo)
		buf_slice_append(&a->text, body);
	else if (ask->cue.cut_utf8)
		buf_str(&a->text, "Gr\xc3\xbc\xc3\x9f"
				  "e \xf0\x9f\x98\x80 \xf0\x9f\x98\x80");
	else if (ask->schema.kind == JSON_OBJECT)
		schema_write(ask->schema, 0, &a->text);
	else if (ask->json_object)
		buf_str(&a->text, "{\"ok\":true}");
	else
		buf_str(&a->text, ANSWER_SAYS);
	if (a->calls)
		a->pieces = 6;
	else if (ask->cue.tokens)
		a->pieces = ask->cue.tokens;
	else
		while (piece_at(a, a->pieces) < a->text.len)
			a->pieces++;
	if (!a->calls) {
		uint32_t said = pieces_said(a, ask->prefill);

		a->skipped = said;
		a->pieces -= said;
	}
	if (!a->calls && a->pieces > ask->max_tokens) {
		a->pieces = ask->max_tokens;
		a->cut_short = true;
	}
	a->ask.model = (struct slice){ NULL, 0 };
	a->ask.tools = a->ask.schema = a->ask.prefill = (struct json_value){ 0 };
}

static void answer_fini(struct answer *a)
{
	buf_fini(&a->text);
	buf_fini(&a->names[0]);
	buf_fini(&a->names[1]);
}

static void usage_write(const struct answer *a, uint32_t completion, struct buf *out)
{
	buf_printf(out,
		"\"usage\":{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,"
		"\"prompt_tokens_details\":{\"cached_tokens\":0},"
		"\"completion_tokens_details\":{\"reasoning_tokens\":0}}",
		a->ask.prompt_tokens, completion, a->ask.prompt_tokens + completion);
}

static const char *finish_reason(const struct answer *a)
{
	return a->ask.cue.declined ? "content_filter"
	       : a->calls          ? "tool_calls"
	       : a->cut_short      ? "length"
				   : "stop";
}

static void logprob_write(const struct answer *a, uint32_t k, struct buf *out)
{
	struct buf raw = { 0 };

	piece_write(a, k, &raw);
	buf_str(out, "{\"token\":");
	buf_json_str(out, buf_slice(&raw));
	buf_str(out, ",\"logprob\":-0.25,\"bytes\":[");
	for (size_t i = 0; i < raw.len; i++)
		buf_printf(out, "%s%u", i ? "," : "", (unsigned)(unsigned char)raw.data[i]);
	buf_str(out, "],\"top_logprobs\":[]}");
	buf_fini(&raw);
}

static void call_delta(const struct answer *a, uint32_t k, struct buf *out)
{
	static const char *const pieces[] = { "{\"city\":", "\"Paris\"}", "{\"city\":\"Oslo\"}" };

	if (k == 0 || k == 3) {
		buf_printf(out,
			"{\"tool_calls\":[{\"index\":%u,\"id\":\"call_fake%u\",\"type\":"
			"\"function\","
			"\"function\":{\"name\":",
			k / 3, k / 3);
		buf_json_str(out, buf_slice(&a->names[k / 3]));
		buf_str(out, ",\"arguments\":\"\"}}]}");
		return;
	}
	buf_printf(out, "{\"tool_calls\":[{\"index\":%u,\"function\":{\"arguments\":", k / 3);
	buf_json_cstr(out, k < 3 ? pieces[k - 1] : k == 4 ? pieces[2] : "");
	buf_str(out, "}}]}");
}

/* The whole answer. */
static void answer_write(const struct answer *a, struct buf *out)
{
	struct buf text = { .max_bytes = (size_t)128 << 20 };

	for (uint32_t k = 0; !a->calls && k < a->pieces; k++)
		piece_write(a, k, &text);
	buf_printf(out,
		"{\"id\":\"chatcmpl-fake%llu\",\"object\":\"chat.completion\",\"created\":%lld,"
		"\"model\":",
		(unsigned long long)a->id, (long long)a->created);
	buf_json_cstr(out, a->model);
	buf_str(out, ",\"choices\":[");
	for (uint32_t i = 0; i < a->ask.n; i++) {
		buf_printf(out, "%s{\"index\":%u,\"message\":{\"role\":\"assistant\",\"content\":",
			i ? "," : "", i);
		if (a->calls)
			buf_str(out, "null");
		else
			buf_json_str(out, buf_slice(&text));
		buf_str(out, ",\"refusal\":null");
		for (unsigned k = 0; a->calls && k < 2; k++) {
			buf_printf(out,
				"%s{\"id\":\"call_fake%u\",\"type\":\"function\",\"function\":{"
				"\"name\":",
				k ? "," : ",\"tool_calls\":[", k);
			buf_json_str(out, buf_slice(&a->names[k]));
			buf_printf(out, ",\"arguments\":\"{\\\"city\\\":\\\"%s\\\"}\"}}",
				k ? "Oslo" : "Paris");
		}
		buf_str(out, a->calls ? "]},\"logprobs\":" : "},\"logprobs\":");
		if (a->ask.logprobs && !a->calls) {
			for (uint32_t k = 0; k < a->pieces; k++) {
				buf_str(out, k ? "," : "{\"content\":[");
				logprob_write(a, k, out);
			}
			buf_str(out, "],\"refusal\":null}");
		} else {
			buf_str(out, "null");
		}
		buf_printf(out, ",\"finish_reason\":\"%s\"}", finish_reason(a));
	}
	buf_str(out, "],\"service_tier\":\"default\",\"system_fingerprint\":\"fp_fake\"");
	if (a->ask.cue.usage != USAGE_NONE) {
		buf_char(out, ',');
		usage_write(a, a->pieces * a->ask.n, out);
	}
	buf_char(out, '}');
	buf_fini(&text);
}

static void chunk_head(const struct answer *a, struct buf *out)
{
	buf_printf(out,
		"{\"id\":\"chatcmpl-fake%llu\",\"object\":\"chat.completion.chunk\",\"created\":%"
		"lld,"
		"\"model\":",
		(unsigned long long)a->id, (long long)a->created);
	buf_json_cstr(out, a->model);
	buf_str(out, ",\"system_fingerprint\":\"fp_fake\",\"choices\":[");
}

static void chunk_end(const struct answer *a, uint32_t done, struct buf *out)
{
	buf_char(out, ']');
	if (a->ask.cue.usage == USAGE_EVERY) {
		buf_char(out, ',');
		usage_write(a, done, out);
	} else if (a->ask.include_usage) {
		buf_str(out, ",\"usage\":null");
	}
	buf_char(out, '}');
}

static void piece_chunk(const struct answer *a, uint32_t i, struct buf *out)
{
	uint32_t choice = i % a->ask.n, k = i / a->ask.n;
	struct buf raw = { 0 };

	chunk_head(a, out);
	buf_printf(out, "{\"index\":%u,\"delta\":", choice);
	if (a->calls) {
		call_delta(a, k, out);
	} else {
		piece_write(a, k, &raw);
		buf_str(out, "{\"content\":");
		buf_json_str(out, buf_slice(&raw));
		buf_char(out, '}');
	}
	buf_str(out, ",\"logprobs\":");
	if (a->ask.logprobs && !a->calls) {
		buf_str(out, "{\"content\":[");
		logprob_write(a, k, out);
		buf_str(out, "],\"refusal\":null}");
	} else {
		buf_str(out, "null");
	}
	buf_str(out, ",\"finish_reason\":null}");
	chunk_end(a, i + 1, out);
	buf_fini(&raw);
}

/* Appends the data of event i (from 0), without "data: "; false when there is none left. */
static bool answer_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t n = a->ask.n, all = a->pieces * n, usages = a->ask.include_usage;

	if (i + 1 == cue->malformed) {
		buf_str(out, "{\"id\":\"chatcmpl-fake\",\"choices\":[{\"index\":0,\"delta\":{");
		return true;
	}
	if (i + 1 == cue->noise) {
		buf_str(out, "noise");
		return true;
	}
	if (i < n) {
		chunk_head(a, out);
		buf_printf(out,
			"{\"index\":%u,\"delta\":{\"role\":\"assistant\",\"content\":%s,"
			"\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}",
			i, a->calls ? "null" : "\"\"");
		chunk_end(a, 0, out);
		return true;
	}
	i -= n;
	if (i < all) {
		piece_chunk(a, i, out);
		return true;
	}
	i -= all;
	if (!cue->nofinish) {
		if (i < n) {
			chunk_head(a, out);
			buf_printf(out,
				"{\"index\":%u,\"delta\":{},\"logprobs\":null,\"finish_reason\":"
				"\"%s\"}",
				i, finish_reason(a));
			chunk_end(a, all, out);
			return true;
		}
		i -= n;
	}
	if (cue->usage == USAGE_NONE)
		usages = 0;
	else if (cue->usage == USAGE_TWICE)
		usages = 2;
	if (i < usages) {
		chunk_head(a, out);
		buf_str(out, "],");
		usage_write(a, all, out);
		buf_char(out, '}');
		return true;
	}
	if (i == usages && !cue->nodone) {
		buf_str(out, "[DONE]");
		return true;
	}
	return false;
}

#endif
