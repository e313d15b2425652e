/* gateway/providers/gemini_request.c - the request to Gemini, at Google AI Studio or Vertex AI
 * (gemini.md sections 1 to 3, 10 and 16). Unknown members are refused there, so nothing of the
 * client's passes that is not named here. */
#include "gateway/providers/gemini_plan.h"
#include "gateway/providers/post.h"

#include <ctype.h>

#define ID_MAX     256 /* bytes of a call's id; none is sent */
#define GROWTH     8   /* bytes that a byte of the client's may become */
#define ONE_OBJECT "Answer with one JSON object and nothing else."

/* ---- the address ---- */

/* A part of the path, as the client may have written it: nothing of it ends the path. */
static void put_id(struct buf *url, const char *id)
{
	for (const char *c = id; *c; c++) {
		if (isalnum((unsigned char)*c) || strchr("-._~/@", *c))
			buf_char(url, *c);
		else
			buf_printf(url, "%%%02X", (unsigned)(unsigned char)*c);
	}
}

static enum err_code write_url(const struct gemini_plan *p, struct http_req *out, struct err *e)
{
	const struct target *t = p->target;
	struct buf url = { .max_bytes = sizeof(out->url) - 1 };
	bool fits;

	if (post_strays(t->native_id))
		return err_param(
			e, ERR_BAD_REQUEST, "model", "model: no model of %s is called so", t->slug);
	buf_str(&url, t->base_url);
	buf_str(&url, strchr(t->native_id, '/') ? "/" : "/models/");
	put_id(&url, t->native_id);
	buf_str(&url, p->req->stream ? ":streamGenerateContent?alt=sse" : ":generateContent");
	fits = buf_ok(&url) && slice_copy(buf_slice(&url), out->url, sizeof(out->url));
	buf_fini(&url);
	return fits ? ERR_OK
		    : err_set(e, ERR_CONF, "the provider's URL is longer than %zu bytes",
			      sizeof(out->url));
}

/* ---- the body ---- */

static void write_system(const struct gemini_plan *p, struct buf *out)
{
	const struct talk *talk = &p->talk;
	bool system = talk->system_count && !p->system_told;

	if (!system && !p->asks_for_json)
		return;
	buf_str(out, ",\"systemInstruction\":{\"parts\":[");
	for (unsigned i = 0; system && i < talk->system_count; i++) {
		buf_str(out, i ? ",{\"text\":" : "{\"text\":");
		buf_slice_append(out, talk->system[i].value.raw);
		buf_char(out, '}');
	}
	if (p->asks_for_json)
		buf_str(out, system ? ",{\"text\":\"" ONE_OBJECT "\"}"
				    : "{\"text\":\"" ONE_OBJECT "\"}");
	buf_str(out, "]}");
}

static bool is_word(struct json_value v)
{
	for (size_t i = 1; i + 1 < v.raw.len; i++)
		if (!isupper((unsigned char)v.raw.ptr[i]) && v.raw.ptr[i] != '_')
			return false;
	return v.kind == JSON_STRING && v.raw.len > 2;
}

/* Has one of the first n settings this category? Each may come once. */
static bool came_before(struct json_value list, struct slice category, const char *here)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v) && v.raw.ptr < here)
		if (slice_eq(json_get(v, "category").raw, category))
			return true;
	return false;
}

static enum err_code write_safety(const struct gemini_plan *p, struct buf *out, struct err *e)
{
	struct json_value list = p->ask.safety_settings, v, category, threshold;
	struct json_iter it;
	struct slice none;
	bool first = true;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		category = json_get(v, "category");
		threshold = json_get(v, "threshold");
		if (!is_word(category) || !is_word(threshold))
			return err_param(e, ERR_BAD_REQUEST, "safety_settings",
				"safety_settings: each needs a category such as "
				"HARM_CATEGORY_HARASSMENT and a threshold such as BLOCK_NONE");
		if (came_before(list, category.raw, v.raw.ptr))
			continue;
		buf_str(out, first ? ",\"safetySettings\":[{\"category\":" : ",{\"category\":");
		first = false;
		buf_slice_append(out, category.raw);
		buf_str(out, ",\"threshold\":");
		buf_slice_append(out, threshold.raw);
		buf_char(out, '}');
	}
	if (!first)
		buf_char(out, ']');
	return ERR_OK;
}

static void write_tier(const struct gemini_plan *p, struct buf *out)
{
	static const char *const tiers[][2] = { { "default", "standard" }, { "flex", "flex" },
		{ "priority", "priority" } };

	for (size_t i = 0; i < sizeof(tiers) / sizeof(tiers[0]); i++)
		if (p->ask.service_tier.kind == JSON_STRING &&
			json_str_is(p->ask.service_tier.raw, tiers[i][0]))
			buf_printf(out, ",\"serviceTier\":\"%s\"", tiers[i][1]);
}

static enum err_code write_body(struct gemini_plan *p, struct buf *out, struct err *e)
{
	enum err_code rc;

	buf_char(out, '{');
	rc = gemini_write_contents(p, out, e);
	if (rc)
		return rc;
	write_system(p, out);
	rc = gemini_write_tools(p, out, e);
	if (!rc)
		rc = gemini_write_config(p, out, e);
	if (!rc)
		rc = write_safety(p, out, e);
	write_tier(p, out);
	buf_char(out, '}');
	return rc;
}

/* ---- the whole request ---- */

static bool takes_thought(struct slice format)
{
	return slice_is(format, GEMINI_THOUGHTS);
}

static enum err_code read_plan(struct gemini_plan *p, struct err *e)
{
	const struct talk_rules rules = { .id_max = ID_MAX, .takes_thought = takes_thought };
	enum err_code rc;
	bool apart;

	p->model = gemini_model_of(p->target->native_id);
	rc = talk_read(p->req, &rules, &p->talk, e);
	if (!rc)
		rc = ask_read(p->req, &gemini_names, p->talk.calls, p->talk.call_count, &p->ask, e);
	if (rc)
		return rc;
	p->json = gemini_json_of(&p->ask, &p->model);
	p->declares = gemini_declares(&p->ask);
	/* Older models take either functions or a form of the answer. */
	apart = p->declares && p->ask.form != FORM_TEXT && !p->model.form_with_tools;
	if (apart && p->ask.choice == TOOLS_NONE)
		p->declares = false;
	else if (apart && !p->json.by_tool)
		p->asks_for_json = true;
	return ERR_OK;
}

enum err_code gemini_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct gemini_plan p = { .req = req, .target = t };
	enum err_code rc = write_url(&p, out, e);

	if (!rc)
		rc = read_plan(&p, e);
	if (rc)
		goto out;
	/* Names and marks that are added grow with the request; nothing grows faster. */
	post_headers(t, req->stream ? "text/event-stream" : "application/json",
		GROWTH * req->body.len + 65536, out);
	if (buf_room(&out->body, req->body.len + 4096))
		rc = write_body(&p, &out->body, e);
	if (!rc)
		rc = post_end(out, e);
out:
	talk_fini(&p.talk);
	ask_fini(&p.ask);
	return rc;
}
