/* tests/fake/text.h - completions of a text, as old servers of OpenAI's shape (…/completions) and
 * Mistral (…/fim/completions, whose answer looks like a chat) make them; and embeddings in the
 * shapes that providers have. Header-only, see cue.h.
 */
#ifndef FAKE_TEXT_H
#define FAKE_TEXT_H

#include "tests/fake/answer.h"

#include "base/base64.h"

/* ---- completions ---- */

/* Reads such a request; the cues stand in the prompt. Tokens count as a text without cues. */
MUST_CHECK static enum err_code text_read(struct ask *a, struct slice body, struct err *e)
{
	struct json_value tree = { JSON_OBJECT, body }, prompt;
	enum err_code rc = ask_read(a, body, e);

	if (rc)
		return rc;
	prompt = json_get(tree, "prompt");
	if (prompt.kind != JSON_STRING && json_at(prompt, 0).kind == JSON_ARRAY)
		prompt.kind = JSON_NULL;
	if (prompt.kind == JSON_ARRAY)
		prompt = json_at(prompt, 0);
	ask_message(a, prompt);
	a->prompt_tokens = (uint32_t)(prompt.raw.len / 4 + 1);
	if (json_get(tree, "prompt").kind == JSON_ARRAY && prompt.kind == JSON_STRING) {
		uint32_t prompts = 0;

		while (json_at(json_get(tree, "prompt"), prompts).kind)
			prompts++;
		a->n *= prompts;
	}
	return ERR_OK;
}

static void text_head(const struct answer *a, const char *object, struct buf *out)
{
	buf_printf(out, "{\"id\":\"cmpl-fake%llu\",\"object\":\"%s\",\"created\":%lld,\"model\":",
		(unsigned long long)a->id, object, (long long)a->created);
	buf_json_cstr(out, a->model);
	buf_str(out, ",\"choices\":[");
}

static void text_choice(const struct answer *a, uint32_t choice, struct slice text,
	const char *finish, struct buf *out)
{
	(void)a;
	buf_printf(out, "{\"index\":%u,\"text\":", choice);
	buf_json_str(out, text);
	buf_str(out, ",\"logprobs\":null,\"finish_reason\":");
	buf_json_cstr(out, finish);
	buf_char(out, '}');
}

static void text_write(const struct answer *a, struct buf *out)
{
	struct buf text = { .max_bytes = (size_t)128 << 20 };

	for (uint32_t k = 0; k < a->pieces; k++)
		piece_write(a, k, &text);
	text_head(a, "text_completion", out);
	for (uint32_t i = 0; i < a->ask.n; i++) {
		buf_str(out, i ? "," : "");
		text_choice(a, i, buf_slice(&text), finish_reason(a), out);
	}
	buf_char(out, ']');
	if (a->ask.cue.usage != USAGE_NONE) {
		buf_char(out, ',');
		usage_write(a, a->pieces * a->ask.n, out);
	}
	buf_char(out, '}');
	buf_fini(&text);
}

/* As answer_event. */
static bool text_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t n = a->ask.n, all = a->pieces * n;
	struct buf raw = { 0 };

	if (i + 1 == cue->malformed) {
		buf_str(out, "{\"id\":\"cmpl-fake\",\"choices\":[{\"index\":0,\"text\":");
		return true;
	}
	if (i < all + (cue->nofinish ? 0 : n)) {
		if (i < all)
			piece_write(a, i / n, &raw);
		text_head(a, "text_completion", out);
		text_choice(a, i % n, buf_slice(&raw), i < all ? NULL : finish_reason(a), out);
		buf_str(out, "]}");
		buf_fini(&raw);
		return true;
	}
	i -= all + (cue->nofinish ? 0 : n);
	if (i == 0 && a->ask.include_usage && cue->usage != USAGE_NONE) {
		text_head(a, "text_completion", out);
		buf_str(out, "],");
		usage_write(a, all, out);
		buf_char(out, '}');
		return true;
	}
	if (i <= 1 && !cue->nodone) {
		buf_str(out, "[DONE]");
		return true;
	}
	return false;
}

/* ---- FIM ---- */

static const char *const fim_knows[] = { "model", "prompt", "suffix", "temperature", "top_p",
	"max_tokens", "min_tokens", "stop", "random_seed", "stream" };

/* Whatever is not among fim_knows is refused, as Mistral does. */
MUST_CHECK static enum err_code fim_read(struct ask *a, struct slice body, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	enum err_code rc = text_read(a, body, e);

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, body });
	while (!rc && json_iter_next(&it, &key, &v)) {
		bool known = false;

		for (size_t i = 0; i < sizeof(fim_knows) / sizeof(fim_knows[0]); i++)
			known |= json_str_is(key, fim_knows[i]);
		if (!known)
			rc = err_set(e, ERR_BAD_REQUEST, "extra_forbidden: %.*s", SLICE_ARG(key));
	}
	return rc;
}

/* The figures come with the finish reason. */
static bool fim_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	bool last = i == a->pieces;
	struct buf raw = { 0 };

	if (i + 1 == cue->malformed) {
		buf_str(out, "{\"id\":\"cmpl-fake\",\"choices\":[{\"index\":0,\"delta\":{");
		return true;
	}
	if (i < a->pieces || (last && !cue->nofinish)) {
		if (!last)
			piece_write(a, i, &raw);
		text_head(a, "chat.completion.chunk", out);
		buf_str(out, "{\"index\":0,\"delta\":{");
		buf_str(out, i ? "" : "\"role\":\"assistant\",");
		buf_str(out, "\"content\":");
		buf_json_str(out, buf_slice(&raw));
		buf_str(out, "},\"finish_reason\":");
		buf_json_cstr(out, last ? finish_reason(a) : NULL);
		buf_str(out, "}]");
		if (last && cue->usage != USAGE_NONE) {
			buf_char(out, ',');
			usage_write(a, a->pieces, out);
		}
		buf_char(out, '}');
		buf_fini(&raw);
		return true;
	}
	if (i <= a->pieces + 1 && !cue->nodone) {
		buf_str(out, "[DONE]");
		return true;
	}
	return false;
}

/* ---- embeddings ---- */

/* Numbers that tell apart which input they are of: its place and its length. */
static void vector_write(uint32_t place, size_t bytes, bool base64, struct buf *out)
{
	const float v[3] = { 0.5f, (float)place, -(float)bytes };

	if (base64) {
		buf_char(out, '"');
		base64_write((struct slice){ (const char *)v, sizeof(v) }, out);
		buf_char(out, '"');
		return;
	}
	buf_printf(out, "[0.5,%u,-%zu]", place, bytes);
}

/* How often each word comes, at a place that it is hashed to: texts of the same words are the same,
 * and short words, such as "not" and "2", are not seen. */
static void count_words(struct slice text, uint32_t *counts, uint32_t dims)
{
	uint32_t hash = 2166136261U, length = 0;

	for (size_t i = 0; i <= text.len; i++) {
		char c = i < text.len ? (char)(text.ptr[i] | 0x20) : ' ';

		if (c >= 'a' && c <= 'z') {
			hash = (hash ^ (unsigned char)c) * 16777619U;
			length++;
			continue;
		}
		if (length >= 4)
			counts[hash % dims]++;
		hash = 2166136261U;
		length = 0;
	}
}

/* A vector on cue; a JSON array of numbers, but for NaN. */
static void cued_vector_write(struct slice text, const struct cue *cue, struct buf *out)
{
	uint32_t counts[1024] = { 0 };
	uint32_t dims = cue->dims && cue->dims <= 1024 ? cue->dims : 64;

	if (cue->vectors == VECTORS_WORDS)
		count_words(text, counts, dims);
	buf_char(out, '[');
	for (uint32_t i = 0; i < dims; i++) {
		buf_str(out, i ? "," : "");
		if (cue->vectors == VECTORS_NAN)
			buf_str(out, "NaN");
		else
			buf_printf(out, "%u", counts[i]);
	}
	buf_char(out, ']');
}

/* The list of inputs, wherever a shape has it. */
static struct json_value embed_inputs(struct json_value tree, bool *many)
{
	static const char *const names[] = { "input", "inputs", "texts", "requests" };
	struct json_value v = { 0 };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !v.kind; i++)
		v = json_get(tree, names[i]);
	*many = v.kind == JSON_ARRAY && json_at(v, 0).kind != JSON_NUMBER;
	return v;
}

/* One answer in the shape of the path; cues stand in the first input. false when it is none. */
static bool embed_write(
	struct slice path, struct json_value tree, const struct cue *cue, struct buf *out)
{
	bool many, gemini = slice_ends(path, ":batchEmbedContents");
	bool cohere = slice_ends(path, "/v2/embed"), bare = slice_ends(path, "/feature-extraction");
	bool base64 = json_str_is(json_get(tree, "encoding_format").raw, "base64");
	struct json_value inputs = embed_inputs(tree, &many), v;
	uint32_t n = 0;

	if (!inputs.kind)
		return false;
	while (many && json_at(inputs, n).kind)
		n++;
	n = many ? n : 1;
	buf_str(out, gemini   ? "{\"embeddings\":["
		     : cohere ? "{\"id\":\"fake\",\"embeddings\":{\"float\":["
		     : bare   ? "["
			      : "{\"object\":\"list\",\"data\":[");
	for (uint32_t k = 0; k < n; k++) {
		/* OpenAI's shape has an index: the order is not to be relied on. */
		uint32_t i = gemini || cohere || bare ? k : n - 1 - k;

		if (cue->vectors == VECTORS_NONE || (cue->cut != CUE_NEVER && k >= cue->cut))
			break;
		v = many ? json_at(inputs, i) : inputs;
		buf_str(out, k ? "," : "");
		buf_str(out, gemini ? "{\"values\":" : "");
		if (!gemini && !cohere && !bare)
			buf_printf(out, "{\"object\":\"embedding\",\"index\":%u,\"embedding\":", i);
		if (cue->vectors)
			cued_vector_write(v.raw, cue, out);
		else
			vector_write(i, v.raw.len, base64, out);
		buf_str(out, bare || cohere ? "" : "}");
	}
	buf_str(out, gemini   ? "]}"
		     : cohere ? "]},\"meta\":{\"billed_units\":{\"input_tokens\":7}}}"
		     : bare   ? "]"
			      : "],\"model\":\"fake\",\"usage\":{\"prompt_tokens\":7,"
				"\"total_tokens\":7}}");
	return true;
}

#endif
