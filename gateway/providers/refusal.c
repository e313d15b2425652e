#include "gateway/providers/refusal.h"

#include "gateway/providers/openai_like.h"

#include <ctype.h>

#define TEXT_MAX   ((size_t)64 << 10) /* bytes of a provider's words that are looked at */
#define NESTED     3                  /* errors within errors that are followed */
#define MASKED_MIN 8                  /* shorter words behind "sk-" and the like are no keys */

/* Appends a text that is not empty; false otherwise. */
static bool take(struct json_value v, struct buf *out)
{
	return v.kind == JSON_STRING && json_str_bytes(v) && json_str_decode(v, out);
}

static bool find_text(struct json_value o, unsigned depth, struct buf *out);

/* A router's "Provider returned error" hides the cause here, often as JSON in a string. */
static bool take_raw(struct json_value raw, unsigned depth, struct buf *out)
{
	struct buf inner = { .max_bytes = TEXT_MAX };
	struct json_value tree = { JSON_ABSENT, { "", 0 } };
	bool found = false;

	if (take(raw, &inner)) {
		tree.raw = slice_trim(buf_slice(&inner));
		if (!json_validate(tree.raw, &tongue_limits, &tree.kind, NULL))
			found = find_text(tree, depth, out);
		if (!found && tree.kind != JSON_OBJECT && tree.kind != JSON_ARRAY) {
			buf_slice_append(out, tree.raw);
			found = true;
		}
	}
	buf_fini(&inner);
	return found;
}

/* The first of the usual places that holds a text. */
static bool find_text(struct json_value o, unsigned depth, struct buf *out)
{
	static const char *const names[] = { "message", "detail", "error_description", "title" };
	struct json_value error, v;

	if (!depth)
		return false;
	if (o.kind == JSON_ARRAY)
		return find_text(json_at(o, 0), depth - 1, out);
	error = json_get(o, "error");
	if (error.kind == JSON_OBJECT) {
		v = json_get(error, "message");
		if ((v.kind != JSON_STRING || json_str_is(v.raw, "Provider returned error")) &&
			take_raw(json_get(json_get(error, "metadata"), "raw"), depth - 1, out))
			return true;
		if (take(v, out) || find_text(v, depth - 1, out) ||
			find_text(error, depth - 1, out))
			return true;
	}
	if (take(error, out))
		return true;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		v = json_get(o, names[i]);
		if (v.kind == JSON_ARRAY)
			v = json_get(json_at(v, 0), "msg");
		if (take(v, out) || (v.kind == JSON_OBJECT && find_text(v, depth - 1, out)))
			return true;
	}
	return take(json_get(json_at(json_get(o, "errors"), 0), "message"), out) ||
	       take(json_get(json_get(o, "base_resp"), "status_msg"), out);
}

static void find_code(struct json_value o, struct buf *code)
{
	struct json_value error, v;

	if (o.kind == JSON_ARRAY)
		o = json_at(o, 0);
	error = json_get(o, "error");
	const struct json_value places[] = { json_get(error, "code"), json_get(o, "code"),
		json_get(error, "type"), json_get(o, "type"), json_get(error, "status"),
		json_get(json_get(o, "base_resp"), "status_code") };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		v = places[i];
		if (v.kind == JSON_NUMBER)
			buf_slice_append(code, v.raw);
		if (v.kind == JSON_NUMBER || take(v, code))
			return;
	}
}

static bool has_any(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (strcasestr(text, *words))
			return true;
	return false;
}

/* A body that is not JSON may be a page of HTML: its markup is left out. */
static void plain_text(struct slice body, struct buf *out)
{
	bool tag = false;

	for (size_t i = 0; i < body.len && out->len < 200; i++) {
		char c = body.ptr[i];

		if (c == '<' || c == '>') {
			tag = c == '<';
			c = ' ';
		}
		if ((unsigned char)c <= ' ')
			c = ' ';
		if (!tag && (c != ' ' || (out->len && out->data[out->len - 1] != ' ')))
			buf_char(out, c);
	}
	out->len = slice_trim(slice_first(buf_slice(out), utf8_whole(buf_slice(out)))).len;
}

/* Providers quote the key they refuse: ours, whole, and whatever looks like one. */
static void mask_keys(const struct target *t, char *text)
{
	static const char *const marks[] = { "sk-", "Bearer ", "key-", "AIza", "gsk_", "xai-",
		"hf_", "pplx-", "AKIA" };
	size_t n = strlen(t->api_key);

	for (char *at = text; n && (at = strstr(at, t->api_key)); at += n)
		memset(at, '*', n);
	for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
		for (char *at = text; (at = strstr(at, marks[i]));) {
			bool within = at > text && isalnum((unsigned char)at[-1]); /* "task-" */

			at += strlen(marks[i]);
			n = strcspn(at, " \"'`,;)]}<>\t\r\n");
			if (!within && n >= MASKED_MIN)
				memset(at, '*', n);
			at += n;
		}
}

/* A text made ready for an error: masked while it is whole, then cut to fit. */
static void polish(
	const struct target *t, struct buf *text, const char *otherwise, char *out, size_t size)
{
	char *said = buf_cstr(text);

	if (said)
		mask_keys(t, said);
	str_copy_cut(out, size, said && *said ? said : otherwise);
	buf_fini(text);
}

/* What the provider's row says of its codes and words; where it says nothing, *known is false. */
static enum saying_means meaning_of(
	const struct target *t, const char *code, const char *message, bool *known)
{
	const struct saying *s = t->quirks->says;

	*known = true;
	for (; s && (s->code || s->words); s++)
		if ((!s->code || strcmp(s->code, code) == 0) &&
			(!s->words || strcasestr(message, s->words)))
			return s->means;
	*known = false;
	return MEANS_REQUEST;
}

/* The same for all providers, from status and words. */
static enum saying_means usual_meaning(int status, const char *code, const char *message)
{
	static const char *const too_long[] = { "maximum context length", "maximum prompt length",
		"prompt is too long", "context_length_exceeded", "input token count",
		"too many tokens", "exceeds the context window", "input is too long",
		"max_prompt_tokens", "max_model_len", "max_new_tokens",
		"request too large for model", "reduce the length of the messages", NULL };
	static const char *const no_money[] = { "insufficient_quota", "credit balance is too low",
		"NOT_ENOUGH_BALANCE", "exceeded_current_quota", NULL };

	if ((status == 400 || status == 413 || status == 422 || status == 502) &&
		(has_any(message, too_long) || has_any(code, too_long)))
		return MEANS_TOO_LONG;
	if (status == 402 || has_any(code, no_money) || has_any(message, no_money))
		return MEANS_MONEY;
	if (status == 401 || status == 403)
		return MEANS_KEY;
	return status == 408 || status == 409 || status == 429 || status >= 500 ? MEANS_AGAIN
										: MEANS_REQUEST;
}

static enum err_code make(const struct target *t, int status, struct json_value tree,
	struct slice body, struct err *e)
{
	/* What a meaning makes of the status, where the provider's own does not tell. */
	static const int statuses[] = { [MEANS_KEY] = 401,
		[MEANS_MONEY] = 503,
		[MEANS_RATE] = 429,
		[MEANS_OVERLOAD] = 503,
		[MEANS_FAILURE] = 502,
		[MEANS_REQUEST] = 400,
		[MEANS_NOT_FOUND] = 404 };
	struct buf text = { .max_bytes = TEXT_MAX }, code_text = { .max_bytes = TEXT_MAX };
	int answered = status >= 400 && status <= 599 ? status : 502;
	char code[64], message[420];
	enum saying_means means;
	enum err_code rc;
	bool told;

	find_code(tree, &code_text);
	if (tree.kind == JSON_ABSENT)
		plain_text(body, &text);
	else if (!find_text(tree, NESTED, &text))
		buf_reset(&text);
	polish(t, &code_text, "", code, sizeof(code));
	polish(t, &text, "no explanation given", message, sizeof(message));
	means = meaning_of(t, code, message, &told);
	if (!told)
		means = usual_meaning(status, code, message);
	else if (means < sizeof(statuses) / sizeof(statuses[0]) && statuses[means])
		answered = statuses[means];
	switch (means) {
	case MEANS_TOO_LONG:
		rc = err_set(e, ERR_CONTEXT_LENGTH, "%s: %s", t->slug, message);
		break;
	case MEANS_MONEY:
		/* The operator's account, not the caller's: nothing the caller could pay (402 would
		 * say so). */
		rc = err_set(e, ERR_UPSTREAM_STATUS,
			"%s cannot serve this gateway at present (account)", t->slug);
		e->status = answered == 402 ? 503 : answered;
		e->retry = -1;
		break;
	case MEANS_KEY:
		rc = err_set(e, ERR_UPSTREAM_STATUS,
			"%s refused the gateway's own key or its rights: %s", t->slug, message);
		e->status = answered;
		break;
	default:
		rc = err_set(e, ERR_UPSTREAM_STATUS, "%s: %s", t->slug, message);
		e->status = answered;
		e->retry = means == MEANS_REQUEST || means == MEANS_NOT_FOUND ? -1 : 1;
	}
	e->upstream_status = status;
	str_copy_cut(e->provider, sizeof(e->provider), t->slug);
	str_copy_cut(e->provider_code, sizeof(e->provider_code), code);
	return rc;
}

enum err_code refusal_of_body(const struct target *t, int status, struct slice body, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) };

	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL) ||
		(tree.kind != JSON_OBJECT && tree.kind != JSON_ARRAY))
		tree.kind = JSON_ABSENT;
	return make(t, status, tree, body, e);
}

enum err_code refusal_of_tree(
	const struct target *t, struct json_value tree, struct json_value error, struct err *e)
{
	enum err_code rc;
	int64_t n;
	bool told = json_int(json_get(error, "code"), &n) && n >= 400 && n <= 599;

	rc = make(t, told ? (int)n : 502, tree, tree.raw, e);
	if (!told)
		e->upstream_status = 200;
	return rc;
}
