#include "gateway/fim.h"

#include "gateway/chat.h"
#include "gateway/providers/text.h"

#include <stdio.h>

static enum err_code scan(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e)
{
	static const char *const names[CHAT_FIELDS] = {
		[CHAT_MODEL] = "model",
		[CHAT_MESSAGES] = "prompt",
		[CHAT_STREAM] = "stream",
		[CHAT_STREAM_OPTIONS] = "stream_options",
		[CHAT_N] = "n",
		[CHAT_MAX_TOKENS] = "max_tokens",
		[CHAT_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
		[CHAT_TOOLS] = "suffix",
		[CHAT_REASONING] = "reasoning",
		[CHAT_REASONING_EFFORT] = "reasoning_effort",
		[CHAT_THINKING] = "thinking",
		[CHAT_CACHE_KEY] = "prompt_cache_key",
		[CHAT_MODELS] = "models",
		[CHAT_FALLBACKS] = "fallbacks",
		[CHAT_PROVIDER] = "provider",
		[CHAT_PROVIDER_OPTIONS] = "providerOptions",
		[CHAT_CACHE] = "cache",
	};
	enum err_code rc;

	*req = (struct chat_req){ .body = slice_trim(body), .n = 1 };
	for (size_t i = 0; i < CHAT_FIELDS; i++)
		req->field[i].name = names[i];
	if (!req->body.len)
		return err_set(e, ERR_BAD_REQUEST,
			"the body is empty: send a JSON object with model and prompt");
	rc = json_scan(req->body, limits, req->field, CHAT_FIELDS, e);
	if (!rc)
		rc = chat_read_model(req->field[CHAT_MODEL].value, req->model, e);
	if (!rc && !chat_is_absent(req->field[CHAT_TOOLS].value) &&
		req->field[CHAT_TOOLS].value.kind != JSON_STRING)
		rc = err_param(e, ERR_BAD_REQUEST, "suffix", "suffix must be a string");
	if (!rc)
		rc = chat_read_stream(req, e);
	return rc;
}

/* ---- FIM ---- */

static enum err_code check_stop(struct json_value stop, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	bool good = stop.kind == JSON_ARRAY || chat_is_absent(stop);

	json_iter_init(&it, stop);
	while (good && stop.kind == JSON_ARRAY && json_iter_next(&it, &none, &v))
		good = v.kind == JSON_STRING;
	return good ? ERR_OK
		    : err_param(e, ERR_BAD_REQUEST, "stop", "stop must be an array of strings");
}

enum err_code fim_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e)
{
	enum err_code rc = scan(body, limits, req, e);
	struct json_member min = { .name = "min_tokens" };
	struct json_value tree = { JSON_OBJECT, req->body };
	int64_t ignored;

	if (rc)
		return rc;
	if (req->field[CHAT_MESSAGES].value.kind != JSON_STRING)
		return err_param(e, ERR_BAD_REQUEST, "prompt",
			"prompt must be a string: the text before the cursor");
	rc = check_stop(json_get(tree, "stop"), e);
	min.value = json_get(tree, "min_tokens");
	if (!rc)
		rc = chat_read_integer(&min, 0, CHAT_MAX_TOKENS_MAX, &ignored, e);
	/* Nobody can ask for the figures here, and clients expect them. */
	req->include_usage = req->stream;
	return rc;
}

/* kilo-contract.md section 35, row 9. */
static enum err_code read_limit(struct chat_req *req, struct err *e)
{
	req->max_tokens = FIM_TOKENS_MAX;
	return chat_read_integer(
		&req->field[CHAT_MAX_TOKENS], 1, FIM_TOKENS_MAX, &req->max_tokens, e);
}

enum err_code fim_route(struct chat_req *req, struct route *r, struct err *e)
{
	if (!r->provider->fim_path) {
		(void)!err_param(e, ERR_UNSUPPORTED, "model",
			"%s does not complete between two texts: take a model that does, such as "
			"mistralai/codestral-2508",
			req->model);
		if (e)
			str_copy_cut(e->reason, sizeof(e->reason), "unsupported_fim_model");
		return ERR_UNSUPPORTED;
	}
	r->target.provider = &provider_fim;
	r->target.chat_path = r->provider->fim_path;
	return read_limit(req, e);
}

/* ---- completions as they were before chats ---- */

/* How many texts are to be completed; 0 when prompt is none of what it may be. */
static int64_t count_prompts(struct json_value prompt)
{
	struct json_value first = json_at(prompt, 0), v;
	struct json_iter it;
	struct slice none;
	int64_t n = 0;

	if (chat_is_absent(prompt) || prompt.kind == JSON_STRING)
		return 1;
	if (prompt.kind != JSON_ARRAY || first.kind == JSON_ABSENT)
		return 0;
	json_iter_init(&it, prompt);
	for (; json_iter_next(&it, &none, &v); n++)
		if (v.kind != first.kind)
			return 0;
	if (first.kind == JSON_NUMBER)
		return 1; /* tokens of one text */
	return first.kind == JSON_STRING || first.kind == JSON_ARRAY ? n : 0;
}

enum err_code fim_parse_text(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e)
{
	enum err_code rc = scan(body, limits, req, e);
	struct json_member best = { .name = "best_of" };
	int64_t prompts, best_of = 1;

	if (!rc)
		rc = chat_read_integer(&req->field[CHAT_N], 1, CHOICES_MAX, &req->n, e);
	if (!rc)
		rc = chat_read_integer(
			&req->field[CHAT_MAX_TOKENS], 0, CHAT_MAX_TOKENS_MAX, &req->max_tokens, e);
	if (rc)
		return rc;
	best.value = json_get((struct json_value){ JSON_OBJECT, req->body }, "best_of");
	rc = chat_read_integer(&best, 1, CHOICES_MAX, &best_of, e);
	if (rc)
		return rc;
	if (best_of > req->n)
		return err_param(e, ERR_UNSUPPORTED, "best_of",
			"best_of must not be more than n: ask for all of them");
	prompts = count_prompts(req->field[CHAT_MESSAGES].value);
	if (!prompts)
		return err_param(e, ERR_BAD_REQUEST, "prompt",
			"prompt must be a string, or an array of strings, tokens or arrays of "
			"tokens");
	if (prompts * req->n > CHOICES_MAX)
		return err_param(e, ERR_BAD_REQUEST, "prompt",
			"prompt asks for %lld answers (texts times n) of %d allowed",
			(long long)prompts * req->n, CHOICES_MAX);
	req->n *= prompts;
	return ERR_OK;
}

enum err_code fim_route_text(struct chat_req *req, struct route *r, struct err *e)
{
	const struct catalog_provider *p = r->provider;
	bool between = json_str_bytes(req->field[CHAT_TOOLS].value) > 0;
	const char *path = between && p->fim_path ? p->fim_path
			   : p->text_path         ? p->text_path
						  : p->provider->text_path;

	if (!path || !path[0])
		return err_param(e, ERR_UNSUPPORTED, "model",
			"%s is served by %s, which completes chats only: POST "
			"/v1/chat/completions",
			req->model, p->name);
	r->target.provider = &provider_text;
	r->target.chat_path = path;
	return ERR_OK;
}
