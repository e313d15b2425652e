/* gateway/providers/gemini_config.c - generationConfig: sampling, limits, the form of the answer,
 * thinking (gemini.md sections 3, 5, 7 and 8). */
#include "gateway/providers/gemini_plan.h"
#include "gateway/providers/json_schema.h"

#define STOPS_MAX     5
#define CHOICES_TAKEN 8
#define SEED_MODULUS  (INT64_C(1) << 31)
#define MOST_THOUGHTS 65536 /* what a model may write at all; an effort is a share of it */
#define LEVELS_OF     24576 /* a budget for a model of levels counts by thirds of this */

/* ---- thinking ---- */

static const char *level_of(const struct gemini_model *m, const struct reasoning *r)
{
	enum effort effort = r->effort;

	if (effort == EFFORT_UNSET && r->max_tokens)
		effort = r->max_tokens <= LEVELS_OF / 3       ? EFFORT_LOW
			 : r->max_tokens <= 2 * LEVELS_OF / 3 ? EFFORT_MEDIUM
							      : EFFORT_HIGH;
	switch (effort) {
	case EFFORT_UNSET:
		break;
	case EFFORT_NONE:
	case EFFORT_MINIMAL:
		return m->lowest;
	case EFFORT_LOW:
		return "LOW";
	case EFFORT_MEDIUM:
		return m->has_no_medium ? "HIGH" : "MEDIUM";
	case EFFORT_HIGH:
	case EFFORT_XHIGH:
	case EFFORT_MAX:
		return "HIGH";
	}
	return NULL;
}

/* In tokens; -1: the model is left to itself. */
static int64_t budget_of(const struct gemini_model *m, const struct reasoning *r)
{
	int64_t budget = r->max_tokens, least = m->budget_min;

	if (r->effort == EFFORT_NONE)
		return m->can_rest ? 0 : m->budget_min;
	if (!budget)
		budget = effort_tokens(r->effort, MOST_THOUGHTS);
	if (!budget)
		return -1;
	if (budget < least)
		budget = least;
	return budget < m->budget_max ? budget : m->budget_max;
}

void gemini_write_thinking(const struct gemini_plan *p, struct buf *out)
{
	const struct gemini_model *m = &p->model;
	const struct reasoning *r = &p->ask.reasoning;
	const char *level = NULL;
	int64_t budget = -1;
	bool rests, shows;

	if (m->thinking == GEMINI_NEVER_THINKS)
		return;
	if (m->thinking == GEMINI_LEVEL)
		level = level_of(m, r);
	else
		budget = budget_of(m, r);
	/* Who does not think must not be asked to show its thoughts. */
	rests = budget == 0 || (budget < 0 && m->rests_unasked);
	shows = !r->exclude && !rests;
	if (!level && budget < 0 && !shows)
		return;
	buf_str(out, ",\"thinkingConfig\":{");
	if (shows)
		buf_str(out, level || budget >= 0 ? "\"includeThoughts\":true,"
						  : "\"includeThoughts\":true");
	if (level)
		buf_printf(out, "\"thinkingLevel\":\"%s\"", level);
	else if (budget >= 0)
		buf_printf(out, "\"thinkingBudget\":%lld", (long long)budget);
	buf_char(out, '}');
}

/* ---- sampling and limits ---- */

static void write_number(const char *name, struct json_value v, struct buf *out)
{
	if (v.kind != JSON_NUMBER)
		return;
	buf_printf(out, ",\"%s\":", name);
	buf_slice_append(out, v.raw);
}

/* A number that Google wants whole: 1e3 and 40.0 are, and ask_read() takes no others. */
static void write_whole(const char *name, struct json_value v, int64_t modulus, struct buf *out)
{
	int64_t n;

	if (!json_int(v, &n))
		return;
	if (modulus)
		n = (n % modulus + modulus) % modulus;
	buf_printf(out, ",\"%s\":%lld", name, (long long)n);
}

static void write_stop(const struct gemini_plan *p, struct buf *out)
{
	size_t begin = out->len;

	buf_char(out, ',');
	if (!ask_write_stop(&p->ask, "stopSequences", STOPS_MAX, out))
		out->len = begin;
}

static enum err_code write_modalities(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	bool text = false, image = false, audio = false;
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, p->ask.modalities);
	while (json_iter_next(&it, &none, &v)) {
		if (json_str_is(v.raw, "text"))
			text = true;
		else if (json_str_is(v.raw, "image"))
			image = true;
		else if (json_str_is(v.raw, "audio"))
			audio = true;
		else
			return ask_refuse(p->target, "modalities",
				"knows only \"text\", \"image\" and \"audio\"", e);
	}
	/* A voice says what it would write. */
	if (audio)
		buf_str(out, ",\"responseModalities\":[\"AUDIO\"]");
	else if (image)
		buf_str(out, ",\"responseModalities\":[\"TEXT\",\"IMAGE\"]");
	else if (text)
		buf_str(out, ",\"responseModalities\":[\"TEXT\"]");
	return ERR_OK;
}

/* ---- the form of the answer ---- */

static enum err_code write_schema(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	static const char param[] = "response_format.json_schema.schema";
	enum err_code rc;

	if (p->model.json_schema) {
		buf_str(out, ",\"responseJsonSchema\":");
		rc = schema_write_json_google(p->ask.schema.raw, out, e);
	} else {
		buf_str(out, ",\"responseSchema\":");
		rc = schema_write_openapi(p->ask.schema.raw, out, e);
	}
	if (rc == ERR_BAD_REQUEST && e)
		str_copy_cut(e->param, sizeof(e->param), param);
	return rc;
}

static enum err_code write_form(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	if (p->ask.form == FORM_TEXT || p->json.by_tool || p->asks_for_json)
		return ERR_OK;
	buf_str(out, ",\"responseMimeType\":\"application/json\"");
	return p->ask.form == FORM_SCHEMA ? write_schema(p, out, e) : ERR_OK;
}

static enum err_code write_members(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	const struct ask *a = &p->ask;
	enum err_code rc;

	if (a->max_tokens)
		buf_printf(out, ",\"maxOutputTokens\":%lld", (long long)a->max_tokens);
	write_number("temperature", a->temperature, out);
	write_number("topP", a->top_p, out);
	write_whole("topK", a->top_k, 0, out);
	write_stop(p, out);
	if (p->req->n > CHOICES_TAKEN)
		return ask_refuse(p->target, "n", "gives 8 answers at a time at most", e);
	if (p->req->n > 1)
		buf_printf(out, ",\"candidateCount\":%lld", (long long)p->req->n);
	write_whole("seed", a->seed, SEED_MODULUS, out);
	write_number("presencePenalty", a->presence_penalty, out);
	write_number("frequencyPenalty", a->frequency_penalty, out);
	if (json_is_true(a->logprobs)) {
		buf_str(out, ",\"responseLogprobs\":true");
		write_whole("logprobs", a->top_logprobs, 0, out);
	}
	rc = write_modalities(p, out, e);
	if (!rc)
		rc = write_form(p, out, e);
	gemini_write_thinking(p, out);
	return rc;
}

enum err_code gemini_write_config(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	static const char open[] = ",\"generationConfig\":";
	size_t begin = out->len, inside;
	enum err_code rc;

	buf_str(out, open);
	inside = out->len;
	rc = write_members(p, out, e);
	if (rc || !buf_ok(out))
		return rc;
	if (out->len == inside) {
		out->len = begin;
		return ERR_OK;
	}
	out->data[inside] = '{'; /* in place of the first comma */
	buf_char(out, '}');
	return ERR_OK;
}
