/* tests/fake/dialect_gemini.h - the fake provider as Google: POST …/models/X:generateContent and
 * :streamGenerateContent?alt=sse, at Google AI Studio or (below /publishers/google) Vertex AI.
 * Header-only, see cue.h.
 */
#ifndef FAKE_DIALECT_GEMINI_H
#define FAKE_DIALECT_GEMINI_H

#include "tests/fake/dialect_check.h"

#define GEMINI_SENTINEL "skip_thought_signature_validator"

/* ---- the request ---- */

static bool gemini_address(struct native *n)
{
	struct slice path = n->path, model = path, method;
	const char *at = memmem(path.ptr, path.len, "/models/", 8);
	bool vertex = memmem(path.ptr, path.len, "/publishers/google/", 19) != NULL;
	bool key = header_of(n, "x-goog-api-key").ptr, bearer = header_of(n, "authorization").ptr;

	if (n->query.len && memmem(n->query.ptr, n->query.len, "key=", 4))
		return refuse(n, 400, "the key stands in the address, where everybody logs it");
	if (vertex ? !bearer || key : !key || bearer)
		return refuse(n, vertex ? 401 : 403,
			"Method doesn't allow unregistered callers: one of x-goog-api-key and "
			"Authorization is expected");
	if (!at)
		return refuse(n, 404, "no such method");
	method = slice_from(path, (size_t)(at - path.ptr) + 8);
	model = slice_cut(&method, ':');
	buf_slice_append(&n->model, model);
	n->stream = slice_is(method, "streamGenerateContent");
	if (n->stream && !slice_is(n->query, "alt=sse"))
		return refuse(n, 400, "without alt=sse this would be one JSON array");
	if (!n->stream && !slice_is(method, "generateContent"))
		return refuse(n, 404, "no such method");
	return true;
}

static bool gemini_is_3(const struct native *n)
{
	return slice_starts(buf_slice(&n->model), "gemini-3");
}

static bool gemini_part(struct native *n, struct json_value part, bool user)
{
	static const char *const payloads[] = { "text", "inlineData", "fileData", "functionCall",
		"functionResponse" };
	struct json_value text = json_get(part, "text"), data = json_get(part, "inlineData"),
			  file = json_get(json_get(part, "fileData"), "fileUri"),
			  call = json_get(part, "functionCall"),
			  result = json_get(part, "functionResponse");
	unsigned found = 0;

	for (size_t i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++)
		found += json_get(part, payloads[i]).kind != JSON_ABSENT;
	if (found != 1)
		return refuse(n, 400, "a part must have exactly one of its members, not %u", found);
	if (!only(n, part, "part",
		    "text inlineData fileData functionCall functionResponse thought "
		    "thoughtSignature mediaResolution"))
		return false;
	if (text.kind && is_blank(text) && !json_get(part, "thoughtSignature").kind)
		return refuse(
			n, 400, "Unable to submit request because it has an empty text parameter");
	if (json_is_true(json_get(part, "thought")) &&
		!is_signed(text, json_get(part, "thoughtSignature")))
		return refuse(n, 400, "Corrupted thought signature.");
	if (data.kind &&
		(!is_base64(json_get(data, "data")) || is_blank(json_get(data, "mimeType"))))
		return refuse(n, 400, "inlineData: Base64 decoding failed");
	if (file.kind && slice_starts(slice_from(file.raw, 1), "http:"))
		return refuse(
			n, 400, "fileData.fileUri: Cannot fetch content from the provided URL.");
	if ((call.kind && user) || (result.kind && !user))
		return refuse(n, 400, "a function part stands with the wrong role");
	if (call.kind)
		return (json_get(call, "args").kind == JSON_OBJECT ||
			       refuse(n, 400, "functionCall.args: no object")) &&
		       only(n, call, "functionCall", "id name args");
	if (result.kind)
		return (json_get(result, "response").kind == JSON_OBJECT ||
			       refuse(n, 400, "functionResponse.response: no object")) &&
		       only(n, result, "functionResponse", "id name response parts");
	return true;
}

/* Part number at of those that have this member; the first is 0. */
static struct json_value gemini_nth(struct json_value parts, const char *member, size_t at)
{
	struct json_iter it;
	struct json_value part;
	struct slice none;

	json_iter_init(&it, parts);
	while (parts.kind == JSON_ARRAY && json_iter_next(&it, &none, &part))
		if (json_get(part, member).kind && at-- == 0)
			return part;
	return (struct json_value){ 0 };
}

/* As many results as calls, at the beginning and in their order, each with the call's name. */
static bool gemini_results(struct native *n, struct json_value before, struct json_value parts)
{
	struct json_value call, result, here;
	size_t i = 0;

	for (;; i++) {
		call = json_get(gemini_nth(before, "functionCall", i), "functionCall");
		result = json_get(gemini_nth(parts, "functionResponse", i), "functionResponse");
		here = json_get(json_at(parts, i), "functionResponse");
		if (!call.kind && !result.kind)
			return true;
		if (!call.kind || !result.kind || !here.kind)
			return refuse(n, 400,
				"Please ensure that the number of function response parts is equal "
				"to the number of function call parts of the function call turn.");
		if (!slice_eq(json_get(call, "name").raw, json_get(result, "name").raw))
			return refuse(n, 400, "functionResponse.name: not the name of its call");
	}
}

/* A step of a turn that goes on begins with a call that is signed. */
static bool gemini_signature(struct native *n, struct json_value parts)
{
	struct json_value part = gemini_nth(parts, "functionCall", 0),
			  signature = json_get(part, "thoughtSignature");

	if (!part.kind || !gemini_is_3(n) || is_word(signature, GEMINI_SENTINEL))
		return true;
	if (!signature.kind)
		return refuse(n, 400,
			"Function call is missing a thought_signature in functionCall parts.");
	if (!is_signed(json_get(json_get(part, "functionCall"), "name"), signature))
		return refuse(n, 400, "Corrupted thought signature.");
	return true;
}

static bool gemini_contents(struct native *n, struct json_value list)
{
	struct json_value content, part, parts = { 0 }, before = { 0 };
	struct json_iter it, inner;
	struct slice none;
	size_t i = 0;

	json_iter_init(&it, list);
	for (; list.kind == JSON_ARRAY && json_iter_next(&it, &none, &content); i++) {
		bool user = i % 2 == 0;

		parts = json_get(content, "parts");
		if (!is_word(json_get(content, "role"), user ? "user" : "model"))
			return refuse(n, 400,
				"Please ensure that multiturn requests alternate between user and "
				"model.");
		if (!only(n, content, "contents", "role parts"))
			return false;
		if (!count_of(parts))
			return refuse(n, 400, "contents.parts must not be empty.");
		json_iter_init(&inner, parts);
		while (json_iter_next(&inner, &none, &part)) {
			if (!gemini_part(n, part, user))
				return false;
			n->after_tool = json_get(part, "functionResponse").kind != JSON_ABSENT;
			if (user && json_get(part, "text").kind)
				note_text(n, json_get(part, "text"));
		}
		if (user && !gemini_results(n, before, parts))
			return false;
		if (!user && !gemini_signature(n, parts))
			return false;
		before = parts;
	}
	if (!i)
		return refuse(n, 400, "contents is not specified");
	return i % 2 || refuse(n, 400, "Please ensure that the last turn is the user's.");
}

static bool gemini_tools(struct native *n, struct json_value body)
{
	struct json_value tool = json_at(json_get(body, "tools"), 0), f;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, json_get(tool, "functionDeclarations"));
	while (tool.kind && json_iter_next(&it, &none, &f)) {
		if (!is_name(json_get(f, "name"), "_-.:", 64))
			return refuse(n, 400, "function_declarations.name: Invalid function name");
		if (!only(n, f, "function_declarations",
			    "name description parameters parametersJsonSchema") ||
			!only(n, json_get(f, "parameters").kind ? json_get(f, "parameters") : f,
				"parameters",
				"type format title description nullable enum items minItems "
				"maxItems "
				"properties required minProperties maxProperties minLength "
				"maxLength "
				"pattern minimum maximum anyOf propertyOrdering default example "
				"name "
				"parametersJsonSchema"))
			return false;
		note_tool(n, json_get(f, "name"));
	}
	if (json_get(body, "toolConfig").kind && !n->tools.len)
		return refuse(
			n, 400, "Function calling config is set without function_declarations.");
	return true;
}

static bool gemini_config(struct native *n, struct json_value config)
{
	struct json_value thinking = json_get(config, "thinkingConfig"),
			  level = json_get(thinking, "thinkingLevel"),
			  type = json_get(config, "responseMimeType");

	if (!config.kind)
		return true;
	if (!only(n, config, "generation_config",
		    "temperature topP topK maxOutputTokens candidateCount stopSequences seed "
		    "presencePenalty frequencyPenalty responseMimeType responseSchema "
		    "responseJsonSchema responseLogprobs logprobs responseModalities "
		    "mediaResolution thinkingConfig") ||
		(thinking.kind && !only(n, thinking, "thinkingConfig",
					  "includeThoughts thinkingBudget thinkingLevel")))
		return false;
	if (level.kind && (json_get(thinking, "thinkingBudget").kind || !gemini_is_3(n)))
		return refuse(n, 400, "Thinking level is not supported for this model.");
	if (level.kind && slice_starts(buf_slice(&n->model), "gemini-3-pro") &&
		!is_word(level, "LOW") && !is_word(level, "HIGH"))
		return refuse(n, 400, "Thinking level %.*s is not supported for this model.",
			SLICE_ARG(level.raw));
	n->thinks = json_is_true(json_get(thinking, "includeThoughts"));
	n->schema = json_get(config, "responseJsonSchema");
	if (!n->schema.kind)
		n->schema = json_get(config, "responseSchema");
	if (n->schema.kind && !is_word(type, "application/json"))
		return refuse(n, 400, "response_schema needs a response_mime_type of JSON");
	n->json_object = is_word(type, "application/json");
	n->max_tokens = int_of(json_get(config, "maxOutputTokens"));
	return true;
}

static bool gemini_read(struct native *n, struct json_value body)
{
	struct json_value system = json_get(body, "systemInstruction");

	if (!gemini_address(n) || !only(n, body, "body",
					  "contents systemInstruction tools toolConfig "
					  "generationConfig safetySettings "
					  "cachedContent labels serviceTier"))
		return false;
	if (system.kind &&
		(!only(n, system, "systemInstruction", "role parts") ||
			is_blank(json_get(json_at(json_get(system, "parts"), 0), "text"))))
		return refuse(n, 400, "systemInstruction: no text");
	return gemini_config(n, json_get(body, "generationConfig")) && gemini_tools(n, body) &&
	       gemini_contents(n, json_get(body, "contents"));
}

/* ---- the answer ---- */

/* What is nothing is not told. */
static void gemini_usage(const struct answer *a, uint32_t said, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t prompt = a->ask.prompt_tokens + cue->cached,
		 thoughts = a->thinks ? THOUGHT_TOKENS : 0;

	if (cue->usage == USAGE_NONE)
		return;
	buf_printf(out, ",\"usageMetadata\":{\"promptTokenCount\":%u", prompt);
	if (cue->cached)
		buf_printf(out, ",\"cachedContentTokenCount\":%u", cue->cached);
	if (said)
		buf_printf(out, ",\"candidatesTokenCount\":%u", said);
	if (thoughts)
		buf_printf(out, ",\"thoughtsTokenCount\":%u", thoughts);
	buf_printf(out, ",\"totalTokenCount\":%u}", prompt + said + thoughts);
}

static void gemini_open(struct buf *out)
{
	buf_str(out, "{\"candidates\":[{\"content\":{\"role\":\"model\",\"parts\":[");
}

static void gemini_close(const struct answer *a, const char *reason, uint32_t said, struct buf *out)
{
	buf_str(out, "]},");
	if (reason)
		buf_printf(out, "\"finishReason\":\"%s\",", reason);
	buf_str(out, "\"index\":0}]");
	gemini_usage(a, said, out);
	buf_str(out, ",\"modelVersion\":");
	buf_json_cstr(out, a->model);
	buf_printf(out, ",\"responseId\":\"r-fake%llu\"}", (unsigned long long)a->id);
}

static void gemini_blocked(const struct answer *a, struct buf *out)
{
	buf_str(out, "{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}");
	gemini_usage(a, 0, out);
	buf_char(out, '}');
}

/* The first call of a step is signed, the others are not. */
static void gemini_call(const struct answer *a, uint32_t k, struct buf *out)
{
	buf_str(out, "{\"functionCall\":{\"name\":");
	buf_json_str(out, buf_slice(&a->names[k]));
	if (!a->ask.cue.noargs) {
		buf_str(out, ",\"args\":");
		buf_slice_append(out, arguments_of(a, k));
	}
	buf_char(out, '}');
	if (k == 0) {
		buf_str(out, ",\"thoughtSignature\":");
		signature_json(buf_slice(&a->names[0]), out);
	}
	buf_char(out, '}');
}

static const char *gemini_reason(const struct answer *a)
{
	return a->ask.cue.declined ? "SAFETY" : a->cut_short ? "MAX_TOKENS" : "STOP";
}

static void gemini_whole(const struct answer *a, struct buf *out)
{
	if (a->ask.cue.blocked) {
		gemini_blocked(a, out);
		return;
	}
	gemini_open(out);
	if (a->thinks)
		buf_str(out, "{\"text\":\"" THOUGHT "\",\"thought\":true},");
	for (uint32_t k = 0; k < calls_of(a); k++) {
		buf_str(out, k ? "," : "");
		gemini_call(a, k, out);
	}
	if (!a->calls) {
		buf_str(out, "{\"text\":");
		said_write(a, out);
		buf_char(out, '}');
	}
	gemini_close(a, gemini_reason(a), a->pieces, out);
}

static const char *gemini_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t parts = a->calls ? calls_of(a) : a->pieces;

	if (cue->blocked) {
		if (i == 0)
			gemini_blocked(a, out);
		return i == 0 ? "" : NULL;
	}
	if (a->thinks && i < 2) {
		gemini_open(out);
		buf_printf(
			out, "{\"text\":\"%s\",\"thought\":true}", i == 0 ? THOUGHT_1 : THOUGHT_2);
		gemini_close(a, NULL, 0, out);
		return "";
	}
	i -= a->thinks ? 2 : 0;
	if (i > parts || (i == parts && cue->nofinish))
		return NULL;
	gemini_open(out);
	if (i == parts) {
		buf_str(out, "{\"text\":\"\"}");
	} else if (a->calls) {
		gemini_call(a, i, out);
	} else {
		buf_str(out, "{\"text\":");
		piece_json(a, i, out);
		buf_char(out, '}');
	}
	gemini_close(a, i == parts ? gemini_reason(a) : NULL, i == parts ? a->pieces : i + 1, out);
	return "";
}

static const char *gemini_error(
	const struct cue *cue, unsigned status, const char *message, struct buf *out)
{
	static const struct {
		unsigned status;
		const char *name;
	} names[] = { { 400, "INVALID_ARGUMENT" }, { 401, "UNAUTHENTICATED" },
		{ 403, "PERMISSION_DENIED" }, { 404, "NOT_FOUND" }, { 429, "RESOURCE_EXHAUSTED" },
		{ 503, "UNAVAILABLE" }, { 504, "DEADLINE_EXCEEDED" } };
	const char *name = "INTERNAL";

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].status == status)
			name = names[i].name;
	buf_printf(out, "{\"error\":{\"code\":%u,\"message\":", status);
	buf_json_cstr(out,
		cue && cue->badkey ? "API key not valid. Please pass a valid API key." : message);
	buf_printf(out, ",\"status\":\"%s\"", name);
	if (cue && cue->badkey)
		buf_str(out,
			",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\","
			"\"reason\":\"API_KEY_INVALID\"}]");
	else if (cue && cue->retry_after[0])
		buf_printf(out,
			",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\","
			"\"retryDelay\":\"%s.000s\"}]",
			cue->retry_after);
	buf_str(out, "}}");
	return "";
}

static void gemini_frame(const char *name, struct slice data, bool bad, struct buf *out)
{
	(void)name;
	(void)bad;
	buf_str(out, "data: ");
	buf_slice_append(out, data);
	buf_str(out, "\r\n\r\n");
}

#endif
