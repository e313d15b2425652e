#include "gateway/providers/ask.h"

#include "gateway/providers/ask_tools.h"
#include "gateway/providers/members.h"
#include "gateway/providers/talk.h"

#include <stdlib.h>

/* ---- the members of a request ---- */

enum member {
	TEMPERATURE,
	TOP_P,
	TOP_K,
	SEED,
	FREQUENCY_PENALTY,
	PRESENCE_PENALTY,
	LOGPROBS,
	TOP_LOGPROBS,
	LOGIT_BIAS,
	USER,
	SAFETY_IDENTIFIER,
	SERVICE_TIER,
	VERBOSITY,
	MODALITIES,
	METADATA,
	CACHE_CONTROL,
	THINKING,
	SAFETY_SETTINGS,
	STOP,
	REASONING,
	REASONING_EFFORT,
	INCLUDE_REASONING,
	ENABLE_THINKING,
	RESPONSE_FORMAT,
	PARALLEL_TOOL_CALLS,
	TOOLS,
	TOOL_CHOICE,
	FUNCTIONS,
	FUNCTION_CALL,
	MEMBERS
};

static const char *const member_names[MEMBERS] = {
	[TEMPERATURE] = "temperature",
	[TOP_P] = "top_p",
	[TOP_K] = "top_k",
	[SEED] = "seed",
	[FREQUENCY_PENALTY] = "frequency_penalty",
	[PRESENCE_PENALTY] = "presence_penalty",
	[LOGPROBS] = "logprobs",
	[TOP_LOGPROBS] = "top_logprobs",
	[LOGIT_BIAS] = "logit_bias",
	[USER] = "user",
	[SAFETY_IDENTIFIER] = "safety_identifier",
	[SERVICE_TIER] = "service_tier",
	[VERBOSITY] = "verbosity",
	[MODALITIES] = "modalities",
	[METADATA] = "metadata",
	[CACHE_CONTROL] = "cache_control",
	[THINKING] = "thinking",
	[SAFETY_SETTINGS] = "safety_settings",
	[STOP] = "stop",
	[REASONING] = "reasoning",
	[REASONING_EFFORT] = "reasoning_effort",
	[INCLUDE_REASONING] = "include_reasoning",
	[ENABLE_THINKING] = "enable_thinking",
	[RESPONSE_FORMAT] = "response_format",
	[PARALLEL_TOOL_CALLS] = "parallel_tool_calls",
	[TOOLS] = "tools",
	[TOOL_CHOICE] = "tool_choice",
	[FUNCTIONS] = "functions",
	[FUNCTION_CALL] = "function_call",
};

/* What the members must be, where one kind is all there is to it. */
static const enum json_kind member_kinds[MEMBERS] = {
	[TEMPERATURE] = JSON_NUMBER,
	[TOP_P] = JSON_NUMBER,
	[TOP_K] = JSON_NUMBER,
	[SEED] = JSON_NUMBER,
	[FREQUENCY_PENALTY] = JSON_NUMBER,
	[PRESENCE_PENALTY] = JSON_NUMBER,
	[LOGPROBS] = JSON_BOOL,
	[TOP_LOGPROBS] = JSON_NUMBER,
	[LOGIT_BIAS] = JSON_OBJECT,
	[USER] = JSON_STRING,
	[SAFETY_IDENTIFIER] = JSON_STRING,
	[SERVICE_TIER] = JSON_STRING,
	[VERBOSITY] = JSON_STRING,
	[MODALITIES] = JSON_ARRAY,
	[METADATA] = JSON_OBJECT,
	[CACHE_CONTROL] = JSON_OBJECT,
	[THINKING] = JSON_OBJECT,
	[SAFETY_SETTINGS] = JSON_ARRAY,
	[REASONING] = JSON_OBJECT,
	[REASONING_EFFORT] = JSON_STRING,
	[INCLUDE_REASONING] = JSON_BOOL,
	[ENABLE_THINKING] = JSON_BOOL,
	[RESPONSE_FORMAT] = JSON_OBJECT,
	[PARALLEL_TOOL_CALLS] = JSON_BOOL,
};

static const char *const kind_names[] = {
	[JSON_ABSENT] = "absent",
	[JSON_NULL] = "null",
	[JSON_BOOL] = "true or false",
	[JSON_NUMBER] = "a number",
	[JSON_STRING] = "a string",
	[JSON_ARRAY] = "an array",
	[JSON_OBJECT] = "an object",
};

static enum err_code wrong(struct err *e, const char *param, const char *what)
{
	return err_param(e, ERR_BAD_REQUEST, param, "%s must be %s", param, what);
}

/* Absent, or of this kind? */
static enum err_code check(
	struct json_value v, enum json_kind kind, const char *param, struct err *e)
{
	if (v.kind == JSON_ABSENT || v.kind == kind)
		return ERR_OK;
	return wrong(e, param, kind_names[kind]);
}

static enum err_code check_members(const struct json_value *m, struct err *e)
{
	static const enum member whole[] = { TOP_K, SEED, TOP_LOGPROBS };
	int64_t n;

	for (unsigned i = 0; i < MEMBERS; i++)
		if (member_kinds[i] && check(m[i], member_kinds[i], member_names[i], e))
			return ERR_BAD_REQUEST;
	for (unsigned i = 0; i < sizeof(whole) / sizeof(whole[0]); i++)
		if (m[whole[i]].kind && !json_int(m[whole[i]], &n))
			return wrong(e, member_names[whole[i]], "a whole number");
	return ERR_OK;
}

/* ---- reasoning ---- */

static const struct {
	const char *name;
	int percent; /* of all that the model may write */
} efforts[] = {
	[EFFORT_UNSET] = { NULL, 0 },
	[EFFORT_NONE] = { "none", 0 },
	[EFFORT_MINIMAL] = { "minimal", 2 },
	[EFFORT_LOW] = { "low", 10 },
	[EFFORT_MEDIUM] = { "medium", 30 },
	[EFFORT_HIGH] = { "high", 60 },
	[EFFORT_XHIGH] = { "xhigh", 90 },
	[EFFORT_MAX] = { "max", 90 },
};

int64_t effort_tokens(enum effort effort, int64_t max_output)
{
	int64_t percent = efforts[effort].percent;

	if (max_output <= 0)
		return 0;
	return max_output / 100 * percent + max_output % 100 * percent / 100;
}

enum effort effort_of_tokens(int64_t budget, int64_t max_output)
{
	enum effort nearest = EFFORT_MINIMAL;
	int64_t distance, least = INT64_MAX;

	if (budget <= 0)
		return EFFORT_NONE;
	if (max_output <= 0)
		return EFFORT_MEDIUM;
	for (int i = EFFORT_MINIMAL; i <= EFFORT_XHIGH; i++) {
		distance = budget - effort_tokens((enum effort)i, max_output);
		if (distance < 0)
			distance = -distance;
		if (distance < least) {
			least = distance;
			nearest = (enum effort)i;
		}
	}
	return nearest;
}

static enum err_code read_effort(
	struct json_value v, const char *param, enum effort *effort, struct err *e)
{
	if (v.kind == JSON_ABSENT)
		return ERR_OK;
	for (int i = EFFORT_NONE; i <= EFFORT_MAX; i++)
		if (json_str_is(v.raw, efforts[i].name)) {
			*effort = (enum effort)i;
			return ERR_OK;
		}
	return wrong(e, param, "none, minimal, low, medium, high, xhigh or max");
}

static enum err_code read_budget(
	struct json_value v, const char *param, struct reasoning *r, struct err *e)
{
	if (v.kind == JSON_ABSENT)
		return ERR_OK;
	if (!json_int(v, &r->max_tokens) || r->max_tokens < 0)
		return wrong(e, param, "a whole number, 0 or more");
	if (!r->max_tokens)
		r->effort = EFFORT_NONE;
	return ERR_OK;
}

/* What Anthropic's own member says. */
static enum err_code read_thinking(struct json_value thinking, struct reasoning *r, struct err *e)
{
	struct json_value type = member_read(thinking, "type");

	if (thinking.kind == JSON_ABSENT)
		return ERR_OK;
	if (type.kind != JSON_STRING)
		return wrong(e, "thinking.type", "a string");
	if (json_str_is(type.raw, "disabled"))
		r->effort = EFFORT_NONE;
	if (!json_str_is(type.raw, "enabled"))
		return ERR_OK;
	return read_budget(member_read(thinking, "budget_tokens"), "thinking.budget_tokens", r, e);
}

/* The most telling spelling wins: reasoning, reasoning_effort, thinking, enable_thinking. */
static enum err_code read_reasoning(const struct json_value *m, struct reasoning *r, struct err *e)
{
	enum { EFFORT, MAX_TOKENS, ENABLED, EXCLUDE, OWN };
	static const char *const names[] = { "effort", "max_tokens", "enabled", "exclude" };
	struct json_value own[OWN];
	struct reasoning thinking = { .effort = EFFORT_UNSET };
	enum effort plain = EFFORT_UNSET;
	enum err_code rc;

	members_read(m[REASONING], names, OWN, own);
	rc = check(own[EFFORT], JSON_STRING, "reasoning.effort", e);
	if (!rc)
		rc = check(own[ENABLED], JSON_BOOL, "reasoning.enabled", e);
	if (!rc)
		rc = check(own[EXCLUDE], JSON_BOOL, "reasoning.exclude", e);
	if (!rc)
		rc = read_effort(own[EFFORT], "reasoning.effort", &r->effort, e);
	if (!rc)
		rc = read_budget(own[MAX_TOKENS], "reasoning.max_tokens", r, e);
	if (!rc)
		rc = read_effort(m[REASONING_EFFORT], "reasoning_effort", &plain, e);
	if (!rc)
		rc = read_thinking(m[THINKING], &thinking, e);
	if (rc)
		return rc;
	if (r->effort == EFFORT_UNSET && !r->max_tokens)
		r->effort = plain;
	if (r->effort == EFFORT_UNSET && !r->max_tokens) {
		r->effort = thinking.effort;
		r->max_tokens = thinking.max_tokens;
	}
	if (r->effort == EFFORT_UNSET && !r->max_tokens && m[ENABLE_THINKING].kind)
		r->effort = json_is_true(m[ENABLE_THINKING]) ? EFFORT_MEDIUM : EFFORT_NONE;
	if (own[ENABLED].kind && !json_is_true(own[ENABLED])) {
		r->effort = EFFORT_NONE;
		r->max_tokens = 0;
	} else if (own[ENABLED].kind && r->effort == EFFORT_UNSET && !r->max_tokens) {
		r->effort = EFFORT_MEDIUM;
	}
	r->exclude = own[EXCLUDE].kind
			     ? json_is_true(own[EXCLUDE])
			     : m[INCLUDE_REASONING].kind && !json_is_true(m[INCLUDE_REASONING]);
	return ERR_OK;
}

/* ---- structured output ---- */

static enum err_code read_schema(struct ask *a, struct json_value v, struct err *e)
{
	enum { NAME, SCHEMA, STRICT, OWN };
	static const char *const names[] = { "name", "schema", "strict" };
	struct ask_memory *m = a->memory;
	struct json_value own[OWN];

	if (v.kind != JSON_OBJECT)
		return wrong(e, "response_format.json_schema", "an object");
	members_read(v, names, OWN, own);
	if (check(own[NAME], JSON_STRING, "response_format.json_schema.name", e) ||
		check(own[STRICT], JSON_BOOL, "response_format.json_schema.strict", e))
		return ERR_BAD_REQUEST;
	if (own[SCHEMA].kind != JSON_OBJECT)
		return wrong(e, "response_format.json_schema.schema", "an object");
	a->schema_name = "response";
	if (own[NAME].raw.len > 2) {
		a->schema_name = arena_string(&m->arena, own[NAME]);
		if (!a->schema_name)
			return wrong(e, "response_format.json_schema.name", "without NUL");
	}
	a->form = FORM_SCHEMA;
	a->schema = own[SCHEMA];
	a->schema_strict = json_is_true(own[STRICT]);
	return ERR_OK;
}

static enum err_code read_form(struct ask *a, struct json_value format, struct err *e)
{
	struct json_value type = member_read(format, "type");

	if (format.kind == JSON_ABSENT || json_str_is(type.raw, "text"))
		return ERR_OK;
	if (json_str_is(type.raw, "json_schema"))
		return read_schema(a, member_read(format, "json_schema"), e);
	if (!json_str_is(type.raw, "json_object"))
		return wrong(e, "response_format.type", "text, json_object or json_schema");
	a->form = FORM_JSON;
	return ERR_OK;
}

/* ---- stop ---- */

static enum err_code read_stop(struct ask *a, struct json_value stop, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (stop.kind != JSON_ABSENT && stop.kind != JSON_STRING && stop.kind != JSON_ARRAY)
		return wrong(e, "stop", "a string or an array of strings");
	json_iter_init(&it, stop);
	while (json_iter_next(&it, &none, &v))
		if (v.kind != JSON_STRING)
			return wrong(e, "stop", "a string or an array of strings");
	a->stop = stop;
	return ERR_OK;
}

bool ask_write_stop(const struct ask *a, const char *name, unsigned max, struct buf *out)
{
	struct json_value v = a->stop;
	struct json_iter it;
	struct slice none;
	unsigned count = 0;

	json_iter_init(&it, a->stop);
	while (count < max && (a->stop.kind == JSON_STRING || json_iter_next(&it, &none, &v))) {
		if (!member_is_blank(v)) {
			if (count++)
				buf_char(out, ',');
			else
				buf_printf(out, "\"%s\":[", name);
			buf_slice_append(out, v.raw);
		}
		if (a->stop.kind == JSON_STRING)
			break;
	}
	if (count)
		buf_char(out, ']');
	return count > 0;
}

/* ---- all of it ---- */

static void take_members(struct ask *a, const struct json_value *m)
{
	a->temperature = m[TEMPERATURE];
	a->top_p = m[TOP_P];
	a->top_k = m[TOP_K];
	a->seed = m[SEED];
	a->frequency_penalty = m[FREQUENCY_PENALTY];
	a->presence_penalty = m[PRESENCE_PENALTY];
	a->logprobs = m[LOGPROBS];
	a->top_logprobs = m[TOP_LOGPROBS];
	a->logit_bias = m[LOGIT_BIAS];
	a->user = m[USER].kind ? m[USER] : m[SAFETY_IDENTIFIER];
	a->service_tier = m[SERVICE_TIER];
	a->verbosity = m[VERBOSITY];
	a->modalities = m[MODALITIES];
	a->metadata = m[METADATA];
	a->cache_control = m[CACHE_CONTROL];
	a->thinking = m[THINKING];
	a->safety_settings = m[SAFETY_SETTINGS];
	a->parallel_off = m[PARALLEL_TOOL_CALLS].kind && !json_is_true(m[PARALLEL_TOOL_CALLS]);
}

enum err_code ask_read(const struct chat_req *req, const struct ask_rules *rules,
	const struct talk_call *calls, unsigned call_count, struct ask *a, struct err *e)
{
	struct json_value m[MEMBERS];
	struct ask_memory *memory = calloc(1, sizeof(*memory));
	struct tool_members tools;
	enum err_code rc;

	*a = (struct ask){ .memory = memory };
	if (!memory)
		return err_set(e, ERR_NO_MEMORY, "no memory for the request");
	memory->rules = *rules;
	members_read((struct json_value){ JSON_OBJECT, slice_trim(req->body) }, member_names,
		MEMBERS, m);
	tools = (struct tool_members){ m[TOOLS], m[FUNCTIONS], m[TOOL_CHOICE], m[FUNCTION_CALL] };
	rc = check_members(m, e);
	if (!rc)
		rc = read_stop(a, m[STOP], e);
	if (!rc)
		rc = read_reasoning(m, &a->reasoning, e);
	if (!rc)
		rc = read_form(a, m[RESPONSE_FORMAT], e);
	if (!rc)
		rc = tools_read(&tools, calls, call_count, a, e);
	if (rc) {
		ask_fini(a);
		return rc;
	}
	take_members(a, m);
	a->max_tokens = req->max_tokens;
	return ERR_OK;
}

void ask_fini(struct ask *a)
{
	struct ask_memory *m = a->memory;

	if (m) {
		names_fini(&m->clients);
		names_fini(&m->knowns);
		arena_fini(&m->arena);
	}
	free(m);
	*a = (struct ask){ 0 };
}

enum err_code ask_refuse(const struct target *t, const char *member, const char *why, struct err *e)
{
	return err_param(e, ERR_UNSUPPORTED, member, "%s: provider %s %s", member, t->slug, why);
}
