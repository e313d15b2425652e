/* gateway/providers/bedrock_request.c - a chat request as Amazon Bedrock's Converse API takes it
 * (providers.md sections 7.1, 7.4 and 7.6). */
#include "gateway/providers/bedrock_plan.h"
#include "gateway/providers/post.h"

#include <stdlib.h>

#define GROWTH   4    /* ids, names and marks that are added grow with the request */
#define STOP_MAX 2500 /* sequences */
#define BETA_MAX 64   /* bytes of a beta's name */

const struct ask_rules bedrock_names = { .name_max = BEDROCK_NAME_MAX, .name_extra = "" };

static bool takes_thought(struct slice format)
{
	return !format.len || slice_is(format, CLAUDE_THOUGHTS);
}

#define RULES \
	.id_max = BEDROCK_NAME_MAX, .late_system_in_turn = true, .takes_thought = takes_thought
static const struct talk_rules rules[] = {
	[BEDROCK_CLAUDE] = { RULES, .ids = TALK_IDS_WITHOUT_DOTS },
	[BEDROCK_NOVA] = { RULES },
	[BEDROCK_MISTRAL] = { RULES, .ids = TALK_IDS_OF_NINE },
	[BEDROCK_OTHER] = { RULES },
};

static enum bedrock_family family_of(const char *id)
{
	if (strcasestr(id, "claude"))
		return BEDROCK_CLAUDE;
	if (strcasestr(id, "nova"))
		return BEDROCK_NOVA;
	return strcasestr(id, "mistral") || strcasestr(id, "pixtral") ? BEDROCK_MISTRAL
								      : BEDROCK_OTHER;
}

struct anthropic_json bedrock_json_of_request(const struct target *t, const struct chat_req *req)
{
	struct json_value body = { JSON_OBJECT, req->body };
	struct anthropic_json j = { .by_tool = false };
	char id[MODEL_ID_MAX];
	struct ask a;

	if (!json_str_is(json_get(json_get(body, "response_format"), "type").raw, "json_schema"))
		return j;
	anthropic_native_id(t->native_id, id);
	/* What cannot be read was never sent, so there is nothing it could have asked for. */
	if (!ask_read(req, &bedrock_names, NULL, 0, &a, NULL))
		j = anthropic_json_of(t, &a, anthropic_model_of(id));
	ask_fini(&a);
	return j;
}

/* ---- the cache ---- */

/* Older Claudes refuse what others merely ignore. */
static bool can_cache(const struct bedrock_plan *p)
{
	return p->family == BEDROCK_NOVA ||
	       (p->family == BEDROCK_CLAUDE && p->plan.model->thinking != ANTHROPIC_NEVER_THINKS);
}

void bedrock_write_cache_point(const struct bedrock_plan *p, enum keep keep, struct buf *out)
{
	if (keep == KEEP_NOT || !can_cache(p))
		return;
	buf_str(out, keep == KEEP_1H ? ",{\"cachePoint\":{\"type\":\"default\",\"ttl\":\"1h\"}}"
				     : ",{\"cachePoint\":{\"type\":\"default\"}}");
}

/* ---- system ---- */

static void write_system(const struct bedrock_plan *p, struct buf *out)
{
	const struct talk *talk = &p->plan.talk;
	bool as_json = p->plan.ask.form == FORM_JSON;

	if (!talk->system_count && !as_json)
		return;
	buf_str(out, "\"system\":[");
	for (unsigned i = 0; i < talk->system_count; i++) {
		buf_str(out, i ? ",{\"text\":" : "{\"text\":");
		buf_slice_append(out, talk->system[i].value.raw);
		buf_char(out, '}');
		bedrock_write_cache_point(p, keep_of_system(&p->plan, i), out);
	}
	if (as_json)
		buf_printf(out, "%s{\"text\":\"Answer with one JSON object and nothing else.\"}",
			talk->system_count ? "," : "");
	buf_str(out, "],");
}

/* ---- inferenceConfig ---- */

/* Appends "name":, after a comma where it is not the first. */
static void add_name(struct buf *out, size_t begin, const char *name)
{
	if (out->len > begin)
		buf_char(out, ',');
	buf_printf(out, "\"%s\":", name);
}

static bool is_above_one(struct json_value v)
{
	char text[64];

	return slice_copy(v.raw, text, sizeof(text)) && strtod(text, NULL) > 1.0;
}

/* Does Claude take temperature and the like here? */
static bool samples(const struct bedrock_plan *p)
{
	return p->family != BEDROCK_CLAUDE ||
	       (p->plan.model->samples && p->plan.thinks != THINKS_BUDGET &&
		       p->plan.thinks != THINKS_FREELY);
}

static int64_t most_tokens(const struct bedrock_plan *p)
{
	/* What the model does by itself may be little, and cuts the arguments of calls. */
	if (p->family == BEDROCK_CLAUDE)
		return p->plan.max_tokens;
	return p->plan.ask.max_tokens ? p->plan.ask.max_tokens : p->plan.target->max_output;
}

static void write_inference(const struct bedrock_plan *p, struct buf *out)
{
	const struct ask *a = &p->plan.ask;
	bool claude = p->family == BEDROCK_CLAUDE;
	struct buf inside = { .max_bytes = out->max_bytes }, stop = { .max_bytes = out->max_bytes };

	if (most_tokens(p)) {
		add_name(&inside, 0, "maxTokens");
		buf_int(&inside, most_tokens(p));
	}
	if (a->temperature.kind && samples(p)) {
		add_name(&inside, 0, "temperature");
		buf_slice_append(&inside,
			claude && is_above_one(a->temperature) ? SLICE("1") : a->temperature.raw);
	}
	/* Claude takes one of the two. */
	if (a->top_p.kind && samples(p) && !(claude && a->temperature.kind)) {
		add_name(&inside, 0, "topP");
		buf_slice_append(&inside, a->top_p.raw);
	}
	if (ask_write_stop(a, "stopSequences", STOP_MAX, &stop)) {
		if (inside.len)
			buf_char(&inside, ',');
		buf_slice_append(&inside, buf_slice(&stop));
	}
	if (inside.len) {
		buf_str(out, ",\"inferenceConfig\":{");
		buf_slice_append(out, buf_slice(&inside));
		buf_char(out, '}');
	}
	out->failed |= !buf_ok(&inside) || !buf_ok(&stop);
	buf_fini(&inside);
	buf_fini(&stop);
}

/* ---- tools ---- */

/* Tools that only the history knows are declared where there are no others. */
static bool is_declared(const struct ask *a, unsigned i)
{
	return !a->tools[i].from_history || a->tools[0].from_history;
}

static void write_schema(struct json_value schema, struct buf *out)
{
	bool typed = json_get(schema, "type").kind != JSON_ABSENT;

	if (!json_is_truthy(schema) || schema.kind != JSON_OBJECT) {
		buf_str(out, "{\"type\":\"object\",\"properties\":{}}");
		return;
	}
	if (!typed)
		buf_str(out, "{\"type\":\"object\",");
	buf_slice_append(out, slice_from(schema.raw, typed ? 0 : 1));
}

static void open_tool(const char *name, struct json_value description, bool first, struct buf *out)
{
	buf_str(out, first ? "{\"toolSpec\":{\"name\":" : ",{\"toolSpec\":{\"name\":");
	buf_json_cstr(out, name);
	if (description.kind == JSON_STRING && description.raw.len > 2) {
		buf_str(out, ",\"description\":");
		buf_slice_append(out, description.raw);
	}
	buf_str(out, ",\"inputSchema\":{\"json\":");
}

static enum err_code write_tools(const struct bedrock_plan *p, struct buf *out, struct err *e)
{
	static const struct json_value how = { JSON_STRING,
		{ "\"Give the answer by calling this tool.\"", 39 } };
	const struct ask *a = &p->plan.ask;
	bool first = true;

	buf_str(out, "\"tools\":[");
	for (unsigned i = 0; i < a->tool_count; i++) {
		if (!is_declared(a, i))
			continue;
		if (a->tools[i].native.kind)
			return ask_refuse(p->plan.target, "tools", "takes functions only", e);
		open_tool(a->tools[i].known, a->tools[i].description, first, out);
		write_schema(a->tools[i].parameters, out);
		buf_str(out, "}}}");
		first = false;
		if (p->family == BEDROCK_CLAUDE) /* Nova caches no tools */
			bedrock_write_cache_point(p, keep_of_tool(&p->plan, i), out);
	}
	if (p->plan.json.by_tool) {
		open_tool(p->plan.json.name, how, first, out);
		if (p->plan.json.wrapped)
			buf_str(out, "{\"type\":\"object\",\"properties\":{\"value\":");
		buf_slice_append(out, a->schema.raw);
		if (p->plan.json.wrapped)
			buf_str(out, "},\"required\":[\"value\"]}");
		buf_str(out, "}}}");
	}
	buf_char(out, ']');
	return ERR_OK;
}

static void write_tool_choice(const struct bedrock_plan *p, struct buf *out)
{
	const struct ask *a = &p->plan.ask;
	bool tools = a->tool_count && !a->tools[0].from_history;
	enum tool_choice choice = a->choice;
	const char *name = choice == TOOLS_NAMED ? a->chosen->known : NULL;

	if (p->plan.json.by_tool && (!tools || choice == TOOLS_NONE)) {
		choice = TOOLS_NAMED;
		name = p->plan.json.name;
	} else if (p->plan.json.by_tool && choice == TOOLS_AUTO) {
		choice = TOOLS_REQUIRED;
	}
	/* Who cannot stop thinking cannot be forced. */
	if (p->family == BEDROCK_CLAUDE && p->plan.model->always_thinks)
		choice = TOOLS_AUTO;
	if (choice == TOOLS_REQUIRED) {
		buf_str(out, ",\"toolChoice\":{\"any\":{}}");
	} else if (choice == TOOLS_NAMED) {
		buf_str(out, ",\"toolChoice\":{\"tool\":{\"name\":");
		buf_json_cstr(out, name);
		buf_str(out, "}}");
	}
}

static enum err_code write_tool_config(const struct bedrock_plan *p, struct buf *out, struct err *e)
{
	const struct ask *a = &p->plan.ask;
	/* There is no choice "none": without tools there is nothing to call, but a history of calls
	 * wants them all the same. */
	bool wanted = a->tool_count && (a->choice != TOOLS_NONE || p->plan.talk.call_count);
	enum err_code rc;

	if (!wanted && !p->plan.json.by_tool)
		return ERR_OK;
	buf_str(out, ",\"toolConfig\":{");
	rc = write_tools(p, out, e);
	write_tool_choice(p, out);
	buf_char(out, '}');
	return rc;
}

/* ---- additionalModelRequestFields: what Claude alone knows ---- */

/* An unknown beta is refused: those that Amazon offers are sent. */
static void write_betas(const struct bedrock_plan *p, struct buf *out)
{
	static const char *const offered[] = { "interleaved-thinking-2025-05-14",
		"context-1m-2025-08-07", "fine-grained-tool-streaming-2025-05-14",
		"context-management-2025-06-27" };
	struct json_value body = { JSON_OBJECT, p->plan.req->body }, name;
	struct json_iter it;
	struct slice none;
	bool any = false;

	json_iter_init(&it, json_get(body, "anthropic_beta"));
	while (json_iter_next(&it, &none, &name))
		for (size_t i = 0; i < sizeof(offered) / sizeof(offered[0]); i++)
			if (json_str_is(name.raw, offered[i])) {
				if (!any)
					add_name(out, 0, "anthropic_beta");
				buf_str(out, any ? ",\"" : "[\"");
				buf_str(out, offered[i]);
				buf_char(out, '"');
				any = true;
			}
	if (any)
		buf_char(out, ']');
}

static void write_thinking(const struct bedrock_plan *p, struct buf *out)
{
	switch (p->plan.thinks) {
	case THINKS_UNSAID:
		break;
	case THINKS_NOT:
		add_name(out, 0, "thinking");
		buf_str(out, "{\"type\":\"disabled\"}");
		break;
	case THINKS_BUDGET:
		add_name(out, 0, "thinking");
		buf_printf(out, "{\"type\":\"enabled\",\"budget_tokens\":%lld}",
			(long long)p->plan.budget);
		break;
	case THINKS_FREELY:
		add_name(out, 0, "thinking");
		buf_str(out, "{\"type\":\"adaptive\",\"display\":\"summarized\"}");
		break;
	}
	if (p->plan.effort) {
		add_name(out, 0, "output_config");
		buf_printf(out, "{\"effort\":\"%s\"}", p->plan.effort);
	}
}

static void write_additional(const struct bedrock_plan *p, struct buf *out)
{
	struct buf inside = { .max_bytes = out->max_bytes };

	if (p->family != BEDROCK_CLAUDE)
		return;
	write_thinking(p, &inside);
	if (p->plan.ask.top_k.kind && samples(p)) {
		add_name(&inside, 0, "top_k");
		buf_slice_append(&inside, p->plan.ask.top_k.raw);
	}
	write_betas(p, &inside);
	if (inside.len) {
		buf_str(out, ",\"additionalModelRequestFields\":{");
		buf_slice_append(out, buf_slice(&inside));
		buf_char(out, '}');
	}
	out->failed |= !buf_ok(&inside);
	buf_fini(&inside);
}

/* ---- the request ---- */

static enum err_code write_body(struct bedrock_plan *p, struct buf *out, struct err *e)
{
	enum err_code rc;

	buf_char(out, '{');
	write_system(p, out);
	buf_str(out, "\"messages\":");
	rc = bedrock_write_messages(p, out, e);
	if (rc)
		return rc;
	write_inference(p, out);
	rc = write_tool_config(p, out, e);
	write_additional(p, out);
	buf_char(out, '}');
	return rc;
}

/* The model is one segment of the path, whatever is in its id: "%3A", "%2F". */
static enum err_code write_url(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct buf url = { .max_bytes = sizeof(out->url) - 1 };
	bool good;

	buf_str(&url, t->base_url);
	buf_str(&url, "/model/");
	for (const char *c = t->native_id; *c; c++)
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') ||
			(*c >= '0' && *c <= '9') || strchr("-._~", *c))
			buf_char(&url, *c);
		else
			buf_printf(&url, "%%%02X", (unsigned char)*c);
	buf_str(&url, req->stream ? "/converse-stream" : "/converse");
	good = slice_copy(buf_slice(&url), out->url, sizeof(out->url)) && buf_ok(&url);
	buf_fini(&url);
	/* "." and ".." are no names: they lead elsewhere. */
	if (t->native_id[strspn(t->native_id, ".")] == '\0')
		return err_param(e, ERR_MODEL_NOT_FOUND, "model", "%s has no model \"%s\"", t->slug,
			t->native_id);
	return good ? ERR_OK
		    : err_set(e, ERR_CONF, "the provider's URL is longer than %zu bytes",
			      sizeof(out->url) - 1);
}

enum err_code bedrock_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct bedrock_plan p = { .plan = { .req = req,
					  .target = t,
					  .talk_rules = &rules[family_of(t->native_id)],
					  .names = &bedrock_names },
		.family = family_of(t->native_id) };
	enum err_code rc = write_url(req, t, out, e);

	if (rc)
		return rc;
	rc = anthropic_plan_read(&p.plan, e);
	if (rc)
		goto out;
	post_headers(t, req->stream ? "application/vnd.amazon.eventstream" : "application/json",
		GROWTH * req->body.len + 65536, out);
	if (buf_room(&out->body, req->body.len + 4096))
		rc = write_body(&p, &out->body, e);
	if (!rc)
		rc = post_end(out, e);
out:
	anthropic_plan_fini(&p.plan);
	buf_fini(&p.document_names);
	return rc;
}
