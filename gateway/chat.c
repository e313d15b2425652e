#include "gateway/chat.h"

#include <stdio.h>

bool chat_is_absent(struct json_value v)
{
	return v.kind == JSON_ABSENT || v.kind == JSON_NULL;
}

/* Model ids are what catalogues and providers use in URLs and headers: no blank, quote,
 * backslash, control byte or text beyond ASCII. */
static bool is_model_id(const char *id)
{
	for (; *id; id++)
		if (*id <= ' ' || *id > '~' || strchr("\"\\<>", *id))
			return false;
	return true;
}

enum err_code chat_read_model(struct json_value v, char *out, struct err *e)
{
	char text[4 * MODEL_ID_MAX];
	struct slice trimmed = { "", 0 };

	if (v.kind == JSON_STRING && json_str_copy(v, text, sizeof(text)))
		trimmed = slice_trim(slice_of(text));
	if (chat_is_absent(v) || v.kind != JSON_STRING || json_str_bytes(v) == 0)
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"model must name a model; GET …/models lists them");
	if (!trimmed.len || !slice_copy(trimmed, out, MODEL_ID_MAX) || !is_model_id(out)) {
		out[0] = '\0';
		return err_param(e, ERR_MODEL_NOT_FOUND, "model",
			"model is not a model id: 1 to %d printable ASCII characters; GET …/models "
			"lists them",
			MODEL_ID_MAX - 1);
	}
	return ERR_OK;
}

/* Members of messages by which later stages know what to look for. */
static void note_member(struct slice key, struct chat_req *req)
{
	static const char *const of_thoughts[] = { "reasoning_details", "thinking_blocks",
		"extra_content", "provider_specific_fields", "thoughtSignature" };

	if (key.len <= strlen("tool_calls")) /* most are short */
		return;
	if (json_str_is(key, "tool_calls"))
		req->uses_tools = true;
	for (size_t i = 0; i < sizeof(of_thoughts) / sizeof(of_thoughts[0]); i++)
		if (json_str_is(key, of_thoughts[i]))
			req->has_thoughts = true;
}

static struct json_value read_role(struct json_value message, struct chat_req *req)
{
	struct json_value role = { JSON_ABSENT, { "", 0 } }, v;
	struct json_iter it;
	struct slice key;
	bool has_parts = false;

	json_iter_init(&it, message);
	while (json_iter_next(&it, &key, &v)) {
		if (json_str_is(key, "role"))
			role = v;
		else
			note_member(key, req);
		has_parts |= v.kind == JSON_ARRAY;
	}
	if (json_str_is(role.raw, "tool"))
		req->uses_tools = true;
	if (has_parts && json_str_is(role.raw, "assistant"))
		req->has_thoughts = true;
	return role;
}

static enum err_code check_messages(struct chat_req *req, struct err *e)
{
	struct json_value v = req->field[CHAT_MESSAGES].value;
	struct json_iter it;
	struct json_value message;
	struct slice none;
	char where[48];
	size_t n = 0;

	if (v.kind != JSON_ARRAY)
		return err_param(
			e, ERR_BAD_REQUEST, "messages", "messages must be an array of messages");
	json_iter_init(&it, v);
	for (; json_iter_next(&it, &none, &message); n++) {
		if (message.kind != JSON_OBJECT) {
			snprintf(where, sizeof(where), "messages[%zu]", n);
			return err_param(e, ERR_BAD_REQUEST, where, "%s must be an object", where);
		}
		if (read_role(message, req).kind != JSON_STRING) {
			snprintf(where, sizeof(where), "messages[%zu].role", n);
			return err_param(e, ERR_BAD_REQUEST, where,
				"%s must be a string such as \"user\"", where);
		}
	}
	if (!n)
		return err_param(
			e, ERR_BAD_REQUEST, "messages", "messages must hold at least one message");
	return ERR_OK;
}

enum err_code chat_read_integer(
	const struct json_member *m, int64_t min, int64_t max, int64_t *out, struct err *e)
{
	if (chat_is_absent(m->value))
		return ERR_OK;
	if (m->value.kind != JSON_NUMBER || !json_int(m->value, out) || *out < min || *out > max)
		return err_param(e, ERR_BAD_REQUEST, m->name,
			"%s must be a whole number from %lld to %lld", m->name, (long long)min,
			(long long)max);
	return ERR_OK;
}

enum err_code chat_read_stream(struct chat_req *req, struct err *e)
{
	struct json_value stream = req->field[CHAT_STREAM].value;
	struct json_value options = req->field[CHAT_STREAM_OPTIONS].value;
	struct json_value include;

	if (!chat_is_absent(stream) && stream.kind != JSON_BOOL)
		return err_param(e, ERR_BAD_REQUEST, "stream", "stream must be true or false");
	req->stream = json_is_true(stream);
	if (chat_is_absent(options))
		return ERR_OK;
	if (options.kind != JSON_OBJECT)
		return err_param(
			e, ERR_BAD_REQUEST, "stream_options", "stream_options must be an object");
	include = json_get(options, "include_usage");
	if (!chat_is_absent(include) && include.kind != JSON_BOOL)
		return err_param(e, ERR_BAD_REQUEST, "stream_options.include_usage",
			"stream_options.include_usage must be true or false");
	if (!req->stream)
		return err_param(e, ERR_BAD_REQUEST, "stream_options",
			"stream_options is only allowed with \"stream\": true");
	req->include_usage = json_is_true(include);
	return ERR_OK;
}

enum err_code chat_parse(
	struct slice body, const struct json_limits *limits, struct chat_req *req, struct err *e)
{
	static const char *const names[CHAT_FIELDS] = {
		[CHAT_MODEL] = "model",
		[CHAT_MESSAGES] = "messages",
		[CHAT_STREAM] = "stream",
		[CHAT_STREAM_OPTIONS] = "stream_options",
		[CHAT_N] = "n",
		[CHAT_MAX_TOKENS] = "max_tokens",
		[CHAT_MAX_COMPLETION_TOKENS] = "max_completion_tokens",
		[CHAT_TOOLS] = "tools",
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
	int64_t limit = 0;
	enum err_code rc;

	*req = (struct chat_req){ .body = slice_trim(body), .n = 1 };
	for (size_t i = 0; i < CHAT_FIELDS; i++)
		req->field[i].name = names[i];
	if (!req->body.len)
		return err_set(e, ERR_BAD_REQUEST,
			"the body is empty: send a JSON object with model and messages");
	rc = json_scan(req->body, limits, req->field, CHAT_FIELDS, e);
	if (!rc)
		rc = chat_read_model(req->field[CHAT_MODEL].value, req->model, e);
	if (!rc)
		rc = check_messages(req, e);
	if (!rc)
		rc = chat_read_stream(req, e);
	if (!rc)
		rc = chat_read_integer(&req->field[CHAT_N], 1, 128, &req->n, e);
	if (!rc)
		rc = chat_read_integer(
			&req->field[CHAT_MAX_TOKENS], 1, CHAT_MAX_TOKENS_MAX, &limit, e);
	if (!rc)
		rc = chat_read_integer(
			&req->field[CHAT_MAX_COMPLETION_TOKENS], 1, CHAT_MAX_TOKENS_MAX, &limit, e);
	if (!rc && req->field[CHAT_TOOLS].value.kind != JSON_ARRAY &&
		!chat_is_absent(req->field[CHAT_TOOLS].value))
		rc = err_param(e, ERR_BAD_REQUEST, "tools", "tools must be an array");
	req->max_tokens = limit;
	return rc;
}

int64_t chat_estimate_prompt_tokens(const struct chat_req *req)
{
	/* Four bytes a token, markup included: kilo-contract.md section 28.7. */
	return (int64_t)(req->field[CHAT_MESSAGES].value.raw.len +
			 req->field[CHAT_TOOLS].value.raw.len + 3) /
	       4;
}

/* An image or document costs tokens by its content, not its bytes: by reference it is a few bytes
 * and up to some thousand tokens, inline it is many more bytes than tokens. */
#define PART_TOKENS 6000

int64_t chat_most_prompt_tokens(const struct chat_req *req)
{
	struct json_iter messages, parts;
	struct json_value message, content, part;
	struct slice none;
	int64_t n = (int64_t)(req->body.len - req->field[CHAT_MESSAGES].value.raw.len);

	json_iter_init(&messages, req->field[CHAT_MESSAGES].value);
	while (json_iter_next(&messages, &none, &message)) {
		content = json_get(message, "content");
		n += (int64_t)message.raw.len;
		json_iter_init(&parts, content);
		while (content.kind == JSON_ARRAY && json_iter_next(&parts, &none, &part)) {
			if (json_str_is(json_get(part, "type").raw, "text"))
				continue;
			n += PART_TOKENS + (int64_t)part.raw.len / 4 - (int64_t)part.raw.len;
		}
	}
	return n;
}

int64_t chat_most_output_tokens(
	const struct chat_req *req, const struct provider *p, int64_t otherwise)
{
	bool thinks = json_is_truthy(req->field[CHAT_REASONING].value) ||
		      json_is_truthy(req->field[CHAT_REASONING_EFFORT].value) ||
		      json_is_truthy(req->field[CHAT_THINKING].value);
	int64_t most = req->max_tokens ? req->max_tokens : otherwise;

	if (thinks && p->can & ADDS_THOUGHTS && most < otherwise)
		most = otherwise;
	return req->n * most;
}

int64_t chat_images(const struct chat_req *req)
{
	struct json_iter messages, parts;
	struct json_value message, content, part;
	struct slice none;
	int64_t n = 0;

	json_iter_init(&messages, req->field[CHAT_MESSAGES].value);
	while (json_iter_next(&messages, &none, &message)) {
		content = json_get(message, "content");
		json_iter_init(&parts, content);
		while (content.kind == JSON_ARRAY && json_iter_next(&parts, &none, &part))
			n += json_str_is(json_get(part, "type").raw, "image_url");
	}
	return n;
}

bool chat_may_cache_1h(const struct chat_req *req)
{
	/* Either letter may be written as an escape. */
	static const char *const spellings[] = { "\"1h\"", "\\u0031", "\\u0068" };

	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++)
		if (memmem(req->body.ptr, req->body.len, spellings[i], strlen(spellings[i])))
			return true;
	return false;
}
