/* tests/fake/dialect_bedrock.h - the fake provider as Amazon Bedrock: POST /model/ID/converse and
 * /converse-stream, signed with FAKE_AWS_ID and FAKE_AWS_SECRET or with a bearer's key, answered
 * whole or in binary frames. Header-only, see cue.h.
 */
#ifndef FAKE_DIALECT_BEDROCK_H
#define FAKE_DIALECT_BEDROCK_H

#include "tests/fake/dialect_check.h"

#include "base/sigv4.h"
#include "tests/unit/frame_writer.h"

#include <time.h>

#define FAKE_AWS_ID     "AKIDTEST"
#define FAKE_AWS_SECRET "secretfortests"
#define FAKE_AWS_REGION "eu-north-1"

/* ---- the request ---- */

/* Signs what arrived once more, at the time it says, and compares. */
static bool bedrock_signature(struct native *n)
{
	const struct sigv4_keys keys = { FAKE_AWS_ID, FAKE_AWS_SECRET, "", FAKE_AWS_REGION };
	struct slice given = header_of(n, "authorization"), date = header_of(n, "x-amz-date"), line;
	struct buf url = { 0 }, headers = { 0 };
	struct slice rest;
	struct tm tm = { 0 };
	char text[32];
	bool right = false;

	if (!slice_copy(date, text, sizeof(text)) || !strptime(text, "%Y%m%dT%H%M%SZ", &tm))
		return refuse(n, 403, "X-Amz-Date is missing");
	buf_str(&url, "http://");
	buf_slice_append(&url, header_of(n, "host"));
	buf_slice_append(&url, n->path);
	sigv4_sign(&keys,
		&(struct sigv4_request){
			"bedrock", buf_slice(&url), header_of(n, "content-type"), n->body },
		(int64_t)timegm(&tm) * 1000, &headers);
	rest = buf_slice(&headers);
	while (rest.len) {
		line = slice_cut(&rest, '\0');
		if (slice_starts(line, "Authorization: "))
			right = slice_eq(slice_from(line, 15), given);
	}
	buf_fini(&url);
	buf_fini(&headers);
	return right ||
	       refuse(n, 403,
		       "The request signature we calculated does not match the signature you "
		       "provided.");
}

static bool bedrock_address(struct native *n)
{
	struct slice path = n->path, id, auth = header_of(n, "authorization");
	const char *at = memmem(path.ptr, path.len, "/model/", 7);
	uint8_t byte;

	path = slice_from(path, at ? (size_t)(at - path.ptr) + 7 : path.len);
	id = slice_cut(&path, '/');
	n->stream = slice_is(path, "converse-stream");
	for (size_t i = 0; i < id.len; i++) {
		if (id.ptr[i] != '%') {
			if (!isalnum((unsigned char)id.ptr[i]) && !strchr("-._~", id.ptr[i]))
				return refuse(n, 400, "the model's id is not percent-encoded");
			buf_char(&n->model, id.ptr[i]);
		} else if (crypto_unhex(slice_first(slice_from(id, i + 1), 2), &byte, 1)) {
			buf_char(&n->model, (char)byte);
			i += 2;
		}
	}
	if (!auth.ptr)
		return refuse(n, 403, "Missing Authentication Token");
	return slice_starts(auth, "Bearer ") || bedrock_signature(n);
}

static bool bedrock_text(struct native *n, struct json_value text)
{
	return !is_blank(text) || refuse(n, 400, "The text field in the ContentBlock is blank");
}

static bool bedrock_media(struct native *n, struct json_value image)
{
	if (!is_one_of(slice_first(slice_from(json_get(image, "format").raw, 1),
			       json_get(image, "format").raw.len - 2),
		    "png jpeg gif webp pdf csv doc docx xls xlsx html txt md"))
		return refuse(n, 400, "image.format: unknown");
	return is_base64(json_get(json_get(image, "source"), "bytes")) ||
	       refuse(n, 400, "image.source.bytes: not base64");
}

static bool bedrock_thought(struct native *n, struct json_value thought)
{
	struct json_value said = json_get(thought, "reasoningText");

	if (!said.kind)
		return json_get(thought, "redactedContent").kind ||
		       refuse(n, 400, "reasoningContent: empty");
	return is_signed(json_get(said, "text"), json_get(said, "signature")) ||
	       refuse(n, 400, "Invalid `signature` in `thinking` block");
}

static bool bedrock_block(struct native *n, struct json_value block, bool user)
{
	struct json_value v;
	struct json_iter it;
	struct slice key;

	if (count_of(block) || block.kind != JSON_OBJECT)
		return refuse(n, 400, "a content block is no object");
	json_iter_init(&it, block);
	if (!json_iter_next(&it, &key, &v) || json_iter_next(&it, &key, &v))
		return refuse(n, 400, "a content block has exactly one member");
	if (!only(n, block, "content",
		    user ? "text image document toolResult cachePoint"
			 : "text toolUse reasoningContent cachePoint"))
		return false;
	if (json_str_is(key, "text"))
		return bedrock_text(n, v);
	if (json_str_is(key, "image") || json_str_is(key, "document"))
		return bedrock_media(n, v);
	if (json_str_is(key, "reasoningContent"))
		return bedrock_thought(n, v);
	if (json_str_is(key, "toolUse"))
		return (is_name(json_get(v, "toolUseId"), "_-", 64) &&
			       is_name(json_get(v, "name"), "_-", 64) &&
			       json_get(v, "input").kind == JSON_OBJECT) ||
		       refuse(n, 400, "toolUse: bad id, name or input");
	if (json_str_is(key, "toolResult"))
		return (count_of(json_get(v, "content")) ||
			       refuse(n, 400, "toolResult.content: empty")) &&
		       only(n, v, "toolResult", "toolUseId content status");
	return true;
}

/* Each call has its result in the next turn, and each result its call in the last. */
static bool bedrock_pairs(struct native *n, struct json_value calls, struct json_value results,
	const char *of, const char *in)
{
	struct json_value one, other;
	struct json_iter it, inner;
	struct slice none;
	bool found;

	json_iter_init(&it, calls);
	while (calls.kind == JSON_ARRAY && json_iter_next(&it, &none, &one)) {
		one = json_get(one, of);
		found = !one.kind;
		json_iter_init(&inner, results);
		while (!found && results.kind == JSON_ARRAY &&
			json_iter_next(&inner, &none, &other))
			found = slice_eq(json_get(json_get(other, in), "toolUseId").raw,
				json_get(one, "toolUseId").raw);
		if (!found)
			return refuse(n, 400,
				"The number of toolResult blocks does not match the number of "
				"toolUse "
				"blocks of the previous turn.");
	}
	return true;
}

static bool bedrock_messages(struct native *n, struct json_value list)
{
	struct json_value message, block, content = { 0 }, before = { 0 };
	struct json_iter it, inner;
	struct slice none;
	size_t i = 0;

	json_iter_init(&it, list);
	for (; list.kind == JSON_ARRAY && json_iter_next(&it, &none, &message); i++) {
		bool user = i % 2 == 0;

		content = json_get(message, "content");
		if (!is_word(json_get(message, "role"), user ? "user" : "assistant"))
			return refuse(n, 400,
				"A conversation must alternate between user and assistant roles.");
		if (!only(n, message, "message", "role content"))
			return false;
		if (!count_of(content))
			return refuse(n, 400, "The content field in the Message object is empty.");
		json_iter_init(&inner, content);
		while (json_iter_next(&inner, &none, &block)) {
			if (!bedrock_block(n, block, user))
				return false;
			if (json_get(block, "cachePoint").kind)
				continue;
			n->after_tool = json_get(block, "toolResult").kind != JSON_ABSENT;
			if (user && json_get(block, "text").kind)
				note_text(n, json_get(block, "text"));
		}
		if (user && (!bedrock_pairs(n, before, content, "toolUse", "toolResult") ||
				    !bedrock_pairs(n, content, before, "toolResult", "toolUse")))
			return false;
		if (user && n->after_tool && n->thinks &&
			!json_get(json_at(before, 0), "reasoningContent").kind)
			return refuse(n, 400,
				"Expected `thinking` or `redacted_thinking`, but found "
				"`tool_use`.");
		before = content;
	}
	return i % 2 || takes_prefill(n, before);
}

static bool bedrock_tools(struct native *n, struct json_value config)
{
	struct json_value forced = json_get(json_get(config, "toolChoice"), "tool"), tool, spec;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, json_get(config, "tools"));
	while (config.kind && json_iter_next(&it, &none, &tool)) {
		spec = json_get(tool, "toolSpec");
		if (!spec.kind)
			continue; /* a cachePoint */
		if (!is_name(json_get(spec, "name"), "_-", 64) ||
			!is_word(json_get(json_get(json_get(spec, "inputSchema"), "json"), "type"),
				"object"))
			return refuse(n, 400, "toolConfig.tools: bad name or schema");
		if (!only(n, spec, "toolSpec", "name description inputSchema"))
			return false;
		note_tool(n, json_get(spec, "name"));
		if (!slice_eq(json_get(forced, "name").raw, json_get(spec, "name").raw))
			continue;
		n->forced = json_get(spec, "name");
		n->schema = json_get(json_get(spec, "inputSchema"), "json");
	}
	if (!n->tools.len && (config.kind || memmem(n->body.ptr, n->body.len, "\"toolUse\"", 9)))
		return refuse(n, 400,
			"The toolConfig field must be defined when using toolUse and toolResult "
			"content blocks.");
	return !config.kind || only(n, config, "toolConfig", "tools toolChoice");
}

static bool bedrock_read(struct native *n, struct json_value body)
{
	struct json_value more = json_get(body, "additionalModelRequestFields"),
			  thinking = json_get(more, "thinking"),
			  inference = json_get(body, "inferenceConfig");

	if (!bedrock_address(n) ||
		!only(n, body, "body",
			"messages system inferenceConfig toolConfig additionalModelRequestFields "
			"requestMetadata performanceConfig guardrailConfig serviceTier") ||
		(inference.kind && !only(n, inference, "inferenceConfig",
					   "maxTokens temperature topP stopSequences")))
		return false;
	n->thinks = thinking.kind && !is_word(json_get(thinking, "type"), "disabled");
	if (n->thinks && json_get(inference, "temperature").kind)
		return refuse(
			n, 400, "`temperature` may only be set to 1 when thinking is enabled.");
	n->max_tokens = int_of(json_get(inference, "maxTokens"));
	return bedrock_tools(n, json_get(body, "toolConfig")) &&
	       bedrock_messages(n, json_get(body, "messages"));
}

/* ---- the answer ---- */

static void bedrock_usage(const struct answer *a, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t output = written_tokens(a);

	buf_printf(out,
		"\"usage\":{\"inputTokens\":%u,\"outputTokens\":%u,\"totalTokens\":%u,"
		"\"cacheReadInputTokens\":%u,\"cacheWriteInputTokens\":%u},"
		"\"metrics\":{\"latencyMs\":9}",
		a->ask.prompt_tokens, output,
		a->ask.prompt_tokens + output + cue->cached + cue->written, cue->cached,
		cue->written);
}

static const char *bedrock_reason(const struct answer *a)
{
	return a->ask.cue.declined ? "guardrail_intervened"
	       : a->calls          ? "tool_use"
	       : a->cut_short      ? "max_tokens"
				   : "end_turn";
}

static void bedrock_whole(const struct answer *a, struct buf *out)
{
	buf_str(out, "{\"output\":{\"message\":{\"role\":\"assistant\",\"content\":[");
	if (a->thinks) {
		buf_str(out, "{\"reasoningContent\":{\"reasoningText\":{\"text\":\"" THOUGHT
			     "\",\"signature\":");
		signature_json(SLICE(THOUGHT), out);
		buf_str(out, "}}},");
	}
	for (uint32_t k = 0; k < calls_of(a); k++) {
		buf_printf(out,
			"%s{\"toolUse\":{\"toolUseId\":\"tooluse_fake%u\",\"name\":", k ? "," : "",
			k);
		buf_json_str(out, buf_slice(&a->names[k]));
		buf_str(out, ",\"input\":");
		buf_slice_append(out, arguments_of(a, k));
		buf_str(out, "}}");
	}
	if (!a->calls) {
		buf_str(out, "{\"text\":");
		said_write(a, out);
		buf_char(out, '}');
	}
	buf_printf(out, "]}},\"stopReason\":\"%s\",", bedrock_reason(a));
	bedrock_usage(a, out);
	buf_char(out, '}');
}

/* Event i of a block, whose last is at end; only a tool's begins with one of its own. */
static const char *bedrock_block_event(
	const struct answer *a, uint32_t index, uint32_t i, uint32_t end, struct buf *out)
{
	bool thought = a->thinks && index == 0;
	uint32_t call = index - (a->thinks ? 1 : 0);

	buf_printf(out, "{\"contentBlockIndex\":%u", index);
	if (i == end) {
		buf_str(out, ",\"p\":\"abcdef\"}");
		return "contentBlockStop";
	}
	if (a->calls && !thought && i == 0) {
		buf_printf(out,
			",\"start\":{\"toolUse\":{\"toolUseId\":\"tooluse_fake%u\",\"name\":",
			call);
		buf_json_str(out, buf_slice(&a->names[call]));
		buf_str(out, "}}}");
		return "contentBlockStart";
	}
	buf_str(out, ",\"delta\":");
	if (thought && i < 2) {
		buf_printf(out, "{\"reasoningContent\":{\"text\":\"%s\"}}",
			i == 0 ? THOUGHT_1 : THOUGHT_2);
	} else if (thought) {
		buf_str(out, "{\"reasoningContent\":{\"signature\":");
		signature_json(SLICE(THOUGHT), out);
		buf_str(out, "}}");
	} else if (a->calls) {
		buf_str(out, "{\"toolUse\":{\"input\":");
		buf_json_str(out, i == 1 ? SLICE("") : arguments_of(a, call));
		buf_str(out, "}}");
	} else {
		buf_str(out, "{\"text\":");
		piece_json(a, i, out);
		buf_char(out, '}');
	}
	buf_str(out, ",\"p\":\"abc\"}");
	return "contentBlockDelta";
}

static const char *bedrock_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t blocks = (a->thinks ? 1 : 0) + (a->calls ? calls_of(a) : 1), length;

	if (i == 0) {
		buf_str(out, "{\"role\":\"assistant\",\"p\":\"ab\"}");
		return "messageStart";
	}
	i--;
	for (uint32_t index = 0; index < blocks; index++) {
		length = a->thinks && !index ? 4 : !a->calls ? a->pieces + 1 : cue->noargs ? 2 : 4;
		if (i < length)
			return bedrock_block_event(a, index, i, length - 1, out);
		i -= length;
	}
	if (i == 0 && !cue->nofinish) {
		buf_printf(out, "{\"stopReason\":\"%s\",\"p\":\"a\"}", bedrock_reason(a));
		return "messageStop";
	}
	if (i == 1 && !cue->nofinish && cue->usage != USAGE_NONE) {
		buf_char(out, '{');
		bedrock_usage(a, out);
		buf_str(out, ",\"p\":\"abcd\"}");
		return "metadata";
	}
	return NULL;
}

static const char *bedrock_error(
	const struct cue *cue, unsigned status, const char *message, struct buf *out)
{
	(void)cue;
	buf_str(out, "{\"message\":");
	buf_json_cstr(out, message);
	buf_char(out, '}');
	return status == 429   ? "!throttlingException"
	       : status == 400 ? "!validationException"
			       : "!internalServerException";
}

/* As the header x-amzn-ErrorType has it. */
static const char *bedrock_error_type(unsigned status)
{
	static const struct {
		unsigned status;
		const char *type;
	} types[] = { { 400, "ValidationException" }, { 403, "AccessDeniedException" },
		{ 404, "ResourceNotFoundException" }, { 408, "ModelTimeoutException" },
		{ 424, "ModelErrorException" }, { 429, "ThrottlingException" },
		{ 503, "ServiceUnavailableException" } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].status == status)
			return types[i].type;
	return "InternalServerException";
}

static void bedrock_frame(const char *name, struct slice data, bool bad, struct buf *out)
{
	frame_put_event(out, slice_of(name), data);
	if (bad)
		out->data[out->len - 1] ^= 1;
}

#endif
