/* gateway/providers/anthropic_request.c - the request to Anthropic's Messages API (anthropic.md
 * sections 1 to 4, 7 and 9). Unknown members are refused there, so nothing of the client's passes
 * that is not named here. */
#include "gateway/providers/anthropic_plan.h"
#include "gateway/providers/json_schema.h"
#include "gateway/providers/post.h"

#include "base/crypto.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define VERSION    "2023-06-01"
#define USER_MAX   256
#define STOPS_MAX  64
#define BETA_MAX   64   /* bytes of one beta's name */
#define BETAS_MAX  2048 /* bytes of all */
#define GROWTH     8    /* bytes that a byte of the client's may become */
#define ONE_OBJECT "Answer with one JSON object and nothing else."

/* ---- sampling, limits, identity ---- */

static void write_number(const char *name, struct json_value v, struct buf *out)
{
	if (v.kind != JSON_NUMBER)
		return;
	buf_str(out, name);
	buf_slice_append(out, v.raw);
}

static void write_sampling(const struct anthropic_plan *p, struct buf *out)
{
	const struct ask *a = &p->ask;
	char text[64];

	if (!p->model->samples || p->thinks == THINKS_BUDGET || p->thinks == THINKS_FREELY)
		return;
	if (a->temperature.kind == JSON_NUMBER) {
		/* OpenAI's goes to 2. */
		bool hot = slice_copy(a->temperature.raw, text, sizeof(text)) &&
			   strtod(text, NULL) > 1;

		if (hot)
			buf_str(out, ",\"temperature\":1");
		else
			write_number(",\"temperature\":", a->temperature, out);
	} else {
		write_number(",\"top_p\":", a->top_p, out);
	}
	write_number(",\"top_k\":", a->top_k, out);
}

static void write_stop(const struct anthropic_plan *p, struct buf *out)
{
	size_t begin = out->len;

	buf_char(out, ',');
	if (!ask_write_stop(&p->ask, "stop_sequences", STOPS_MAX, out))
		out->len = begin;
}

/* An address or a telephone number: Anthropic refuses what names a person. */
static bool names_a_person(struct slice user)
{
	size_t digits = 0, others = 0;

	if (user.len > USER_MAX || memchr(user.ptr, '@', user.len))
		return true;
	for (size_t i = 0; i < user.len; i++) {
		if (isdigit((unsigned char)user.ptr[i]))
			digits++;
		else if (!strchr("+-() ./", user.ptr[i]))
			others++;
	}
	return digits >= 7 && !others;
}

static void write_user(const struct anthropic_plan *p, struct buf *out)
{
	struct json_value body = { JSON_OBJECT, p->req->body }, v = p->ask.user;
	struct buf user = { .max_bytes = BUF_MAX_DEFAULT };
	uint8_t hash[SHA256_BYTES];
	char hex[2 * SHA256_BYTES + 1];

	if (v.kind != JSON_STRING)
		v = json_get(body, "safety_identifier");
	if (v.kind != JSON_STRING || !json_str_decode(v, &user) || !user.len) {
		buf_fini(&user);
		return;
	}
	buf_str(out, ",\"metadata\":{\"user_id\":");
	if (names_a_person(buf_slice(&user))) {
		crypto_sha256(buf_slice(&user), hash);
		crypto_hex(hash, sizeof(hash), hex);
		buf_json_cstr(out, hex);
	} else {
		buf_slice_append(out, v.raw);
	}
	buf_char(out, '}');
	buf_fini(&user);
}

static void write_tier(const struct anthropic_plan *p, struct buf *out)
{
	struct slice tier = p->ask.service_tier.raw;

	if (!anthropic_is_claude(p->model) || p->ask.service_tier.kind != JSON_STRING)
		return;
	if (json_str_is(tier, "auto"))
		buf_str(out, ",\"service_tier\":\"auto\"");
	else if (json_str_is(tier, "default"))
		buf_str(out, ",\"service_tier\":\"standard_only\"");
}

/* ---- thinking and the form of the answer ---- */

static void write_thinking(const struct anthropic_plan *p, struct buf *out)
{
	switch (p->thinks) {
	case THINKS_UNSAID:
		return;
	case THINKS_NOT:
		buf_str(out, ",\"thinking\":{\"type\":\"disabled\"}");
		return;
	case THINKS_BUDGET:
		buf_str(out, ",\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":");
		buf_int(out, p->budget);
		buf_char(out, '}');
		return;
	case THINKS_FREELY:
		buf_str(out, ",\"thinking\":{\"type\":\"adaptive\",\"display\":\"");
		buf_str(out, p->ask.reasoning.exclude ? "omitted\"}" : "summarized\"}");
		return;
	}
}

static enum err_code write_output_config(
	const struct anthropic_plan *p, struct buf *out, struct err *e)
{
	bool format = p->ask.form == FORM_SCHEMA && !p->json.by_tool;
	enum err_code rc = ERR_OK;

	if (!p->effort && !format)
		return ERR_OK;
	buf_str(out, ",\"output_config\":{");
	if (p->effort) {
		buf_str(out, "\"effort\":\"");
		buf_str(out, p->effort);
		buf_str(out, format ? "\"," : "\"");
	}
	if (format) {
		buf_str(out, "\"format\":{\"type\":\"json_schema\",\"schema\":");
		rc = schema_write_for_claude(p->ask.schema.raw, out, e);
		if (rc && e && !e->param[0])
			str_copy_cut(
				e->param, sizeof(e->param), "response_format.json_schema.schema");
		buf_char(out, '}');
	}
	buf_char(out, '}');
	return rc;
}

/* ---- system ---- */

static void write_system(const struct anthropic_plan *p, struct buf *out)
{
	const struct talk *talk = &p->talk;
	bool object = p->ask.form == FORM_JSON;

	if (!talk->system_count && !object)
		return;
	buf_str(out, ",\"system\":[");
	for (unsigned i = 0; i < talk->system_count; i++) {
		buf_str(out, i ? ",{\"type\":\"text\",\"text\":" : "{\"type\":\"text\",\"text\":");
		buf_slice_append(out, talk->system[i].value.raw);
		anthropic_write_keep(keep_of_system(p, i), out);
		buf_char(out, '}');
	}
	if (object)
		buf_str(out, talk->system_count ? ",{\"type\":\"text\",\"text\":\"" ONE_OBJECT "\"}"
						: "{\"type\":\"text\",\"text\":\"" ONE_OBJECT
						  "\"}");
	buf_char(out, ']');
}

/* ---- the whole request ---- */

/* Adds one to the list, unless it is there. */
static void add_beta(struct buf *list, struct slice beta)
{
	struct slice rest = buf_slice(list);

	while (rest.len)
		if (slice_eq(slice_cut(&rest, ','), beta))
			return;
	if (list->len)
		buf_char(list, ',');
	buf_slice_append(list, beta);
}

/* A name as Anthropic's are, so that nothing else gets into a header. */
static bool is_beta(struct slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!isalnum((unsigned char)name.ptr[i]) && name.ptr[i] != '-')
			return false;
	return name.len > 0;
}

/* What the client asks for, by the member of the body that stands for the header, and what the
 * request needs. Others than Anthropic refuse the names they do not know. */
static void add_betas(const struct anthropic_plan *p, struct http_req *out)
{
	struct json_value body = { JSON_OBJECT, p->req->body }, name;
	struct buf list = { .max_bytes = BETAS_MAX };
	struct json_iter it;
	struct slice none;
	char text[BETA_MAX];

	if (!anthropic_is_own(p))
		return;
	json_iter_init(&it, json_get(body, "anthropic_beta"));
	while (json_iter_next(&it, &none, &name))
		if (json_str_copy(name, text, sizeof(text)) && is_beta(slice_of(text)))
			add_beta(&list, slice_of(text));
	if (p->thinks == THINKS_BUDGET && p->ask.tool_count)
		add_beta(&list, SLICE("interleaved-thinking-2025-05-14"));
	if (p->uses_files)
		add_beta(&list, SLICE("files-api-2025-04-14"));
	if (list.len) {
		buf_str(&out->headers, "anthropic-beta: ");
		buf_slice_append(&out->headers, buf_slice(&list));
		buf_char(&out->headers, '\0');
	}
	buf_fini(&list);
}

static enum err_code write_body(struct anthropic_plan *p, struct buf *out, struct err *e)
{
	enum err_code rc;

	buf_str(out, "{\"model\":");
	buf_json_cstr(out, p->model_id);
	buf_str(out, ",\"max_tokens\":");
	buf_int(out, p->max_tokens);
	if (p->req->stream)
		buf_str(out, ",\"stream\":true");
	write_sampling(p, out);
	write_stop(p, out);
	write_thinking(p, out);
	rc = write_output_config(p, out, e);
	if (rc)
		return rc;
	write_user(p, out);
	write_tier(p, out);
	rc = anthropic_write_tools(p, out, e);
	if (rc)
		return rc;
	anthropic_write_tool_choice(p, out);
	write_system(p, out);
	buf_str(out, ",\"messages\":");
	rc = anthropic_write_messages(p, out, e);
	buf_char(out, '}');
	return rc;
}

enum err_code anthropic_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct anthropic_plan p = { .req = req, .target = t };
	enum err_code rc;

	rc = anthropic_plan_read(&p, e);
	if (rc)
		goto out;
	/* Ids, names and marks that are added grow with the request; nothing grows faster. */
	rc = post_begin(t, req->stream, GROWTH * req->body.len + 65536, out, e);
	if (rc)
		goto out;
	if (buf_room(&out->body, req->body.len + 4096))
		rc = write_body(&p, &out->body, e);
	if (rc)
		goto out;
	post_header(out, "anthropic-version", VERSION);
	add_betas(&p, out);
	rc = post_end(out, e);
out:
	anthropic_plan_fini(&p);
	return rc;
}
