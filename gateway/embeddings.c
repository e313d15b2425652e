#include "gateway/embeddings.h"

#include "gateway/chat.h"
#include "gateway/providers/embed.h"

#include <stdio.h>

#define DIMENSIONS_MAX 65536

/* Is it a list of tokens? */
static bool are_tokens(struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	int64_t token;
	bool any = false;

	json_iter_init(&it, list);
	for (; json_iter_next(&it, &none, &v); any = true)
		if (v.kind != JSON_NUMBER || !json_int(v, &token) || token < 0)
			return false;
	return any && list.kind == JSON_ARRAY;
}

static enum err_code bad_text(const char *where, struct err *e)
{
	return err_param(e, ERR_BAD_REQUEST, where,
		"%s must be a text that is not empty, or a list of tokens", where);
}

static enum err_code read_input(struct json_value input, int64_t *n, struct err *e)
{
	struct json_iter it;
	struct json_value v, first = json_at(input, 0);
	struct slice none;
	char where[32];

	*n = 1;
	if (input.kind == JSON_STRING)
		return json_str_bytes(input) ? ERR_OK : bad_text("input", e);
	if (input.kind != JSON_ARRAY || !first.kind)
		return err_param(e, ERR_BAD_REQUEST, "input",
			"input must be a text, or an array of texts or of tokens, that is not "
			"empty");
	if (first.kind == JSON_NUMBER)
		return are_tokens(input) ? ERR_OK : bad_text("input", e);
	json_iter_init(&it, input);
	for (*n = 0; json_iter_next(&it, &none, &v); ++*n) {
		if (*n == EMBED_INPUTS_MAX)
			return err_param(e, ERR_BAD_REQUEST, "input",
				"input has more than %d texts: send them in parts",
				EMBED_INPUTS_MAX);
		if (v.kind != first.kind || (v.kind == JSON_STRING && !json_str_bytes(v)) ||
			(v.kind != JSON_STRING && !are_tokens(v))) {
			snprintf(where, sizeof(where), "input[%lld]", (long long)*n);
			return bad_text(where, e);
		}
	}
	return ERR_OK;
}

enum err_code embeddings_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e)
{
	struct json_member dimensions = { .name = "dimensions" };
	struct json_member want[] = { { .name = "model" }, { .name = "input" },
		{ .name = "encoding_format" }, { .name = "dimensions" }, { .name = "cache" } };
	struct json_value format;
	int64_t ignored;
	enum err_code rc;

	*req = (struct chat_req){ .body = slice_trim(body), .n = 1 };
	if (!req->body.len)
		return err_set(e, ERR_BAD_REQUEST,
			"the body is empty: send a JSON object with model and input");
	rc = json_scan(req->body, limits, want, sizeof(want) / sizeof(want[0]), e);
	if (rc)
		return rc;
	req->field[CHAT_MODEL] = want[0];
	req->field[CHAT_MESSAGES] = want[1];
	req->field[CHAT_CACHE] = want[4];
	format = want[2].value;
	dimensions = want[3];
	rc = chat_read_model(want[0].value, req->model, e);
	if (!rc)
		rc = read_input(want[1].value, &req->n, e);
	if (!rc && !chat_is_absent(format) && !json_str_is(format.raw, "float") &&
		!json_str_is(format.raw, "base64"))
		rc = err_param(e, ERR_BAD_REQUEST, "encoding_format",
			"encoding_format must be \"float\" or \"base64\"");
	if (!rc)
		rc = chat_read_integer(&dimensions, 1, DIMENSIONS_MAX, &ignored, e);
	return rc;
}

enum err_code embeddings_route(struct chat_req *req, struct route *r, struct err *e)
{
	const struct catalog_provider *p = r->provider;
	const char *path = p->embed_path ? p->embed_path : p->provider->embed_path;

	if (!path || !path[0])
		return err_param(e, ERR_UNSUPPORTED, "model",
			"%s is served by %s, which makes no embeddings: take a model such as "
			"openai/text-embedding-3-small",
			req->model, p->name);
	r->target.provider = &provider_embed;
	r->target.chat_path = path;
	return ERR_OK;
}
