/* gateway/providers/gemini_logprobs.c - how likely the tokens of an answer were, in OpenAI's shape
 * (gemini.md section 11). */
#include "gateway/providers/gemini_answer.h"

/* Appends a token without the brace at its end. */
static void write_token(struct json_value token, struct buf *out)
{
	struct json_value text = json_get(token, "token"), p = json_get(token, "logProbability");

	buf_str(out, "{\"token\":");
	buf_slice_append(out, text.kind == JSON_STRING ? text.raw : SLICE("\"\""));
	buf_str(out, ",\"logprob\":");
	/* What is certain has the logarithm 0, and zeros are left out. */
	buf_slice_append(out, p.kind == JSON_NUMBER ? p.raw : SLICE("0"));
	buf_str(out, ",\"bytes\":null");
}

static void write_others(struct json_value candidates, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	bool first = true;

	buf_str(out, ",\"top_logprobs\":[");
	json_iter_init(&it, candidates);
	while (json_iter_next(&it, &none, &v)) {
		if (!first)
			buf_char(out, ',');
		first = false;
		write_token(v, out);
		buf_char(out, '}');
	}
	buf_char(out, ']');
}

void gemini_write_logprobs(struct json_value result, struct buf *out)
{
	struct json_value chosen = json_get(result, "chosenCandidates"), v, top;
	struct json_iter it, others;
	struct slice none;
	bool first = true;

	if (!json_is_truthy(chosen) || chosen.kind != JSON_ARRAY)
		return;
	buf_str(out, "{\"content\":[");
	json_iter_init(&it, chosen);
	json_iter_init(&others, json_get(result, "topCandidates"));
	while (json_iter_next(&it, &none, &v)) {
		if (!json_iter_next(&others, &none, &top))
			top = (struct json_value){ .kind = JSON_ABSENT };
		if (!first)
			buf_char(out, ',');
		first = false;
		write_token(v, out);
		write_others(json_get(top, "candidates"), out);
		buf_char(out, '}');
	}
	buf_str(out, "],\"refusal\":null}");
}
