/* tests/fake/dialect_anthropic.h - the fake provider as Anthropic: POST …/messages, checked as the
 * real one checks it, answered whole or as events. Header-only, see cue.h.
 */
#ifndef FAKE_DIALECT_ANTHROPIC_H
#define FAKE_DIALECT_ANTHROPIC_H

#include "tests/fake/dialect_check.h"

/* ---- the request ---- */

static bool anthropic_headers(struct native *n)
{
	bool key = header_of(n, "x-api-key").ptr, bearer = header_of(n, "authorization").ptr;

	if (key == bearer)
		return refuse(n, 401, "exactly one of x-api-key and authorization is expected");
	if (!slice_is(header_of(n, "anthropic-version"), "2023-06-01"))
		return refuse(n, 400, "anthropic-version: header is required");
	if (!slice_starts(header_of(n, "content-type"), "application/json"))
		return refuse(n, 400, "content-type: application/json is required");
	return true;
}

static bool anthropic_mark(struct native *n, struct json_value holder, const char *where)
{
	struct json_value mark = json_get(holder, "cache_control");

	if (mark.kind == JSON_ABSENT)
		return true;
	if (!is_word(json_get(mark, "type"), "ephemeral"))
		return refuse(n, 400, "%s.cache_control: not ephemeral", where);
	if (++n->marks > 4)
		return refuse(n, 400, "A maximum of 4 blocks with cache_control may be provided");
	return only(n, mark, where, "type ttl");
}

static bool anthropic_source(struct native *n, struct json_value source)
{
	struct json_value type = json_get(source, "type"), url = json_get(source, "url");

	if (is_word(type, "base64")) {
		if (!is_base64(json_get(source, "data")))
			return refuse(n, 400, "source.data: not base64");
		return only(n, source, "source", "type media_type data");
	}
	if (is_word(type, "url") && url.kind == JSON_STRING &&
		!slice_starts(slice_from(url.raw, 1), "https:"))
		return refuse(n, 400, "source.url: Only HTTPS URLs are supported");
	return only(n, source, "source", "type url media_type data file_id");
}

static bool anthropic_text(struct native *n, struct json_value block)
{
	if (is_blank(json_get(block, "text")))
		return refuse(n, 400, "text content blocks must be non-empty");
	return only(n, block, "text", "type text cache_control citations");
}

static bool anthropic_result(struct native *n, struct json_value block)
{
	struct json_value content = json_get(block, "content"), inner;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, content);
	while (content.kind == JSON_ARRAY && json_iter_next(&it, &none, &inner)) {
		if (is_word(json_get(inner, "type"), "text") && !anthropic_text(n, inner))
			return false;
		if (json_get(inner, "cache_control").kind)
			return refuse(n, 400, "cache_control cannot be set within tool_result");
	}
	return only(n, block, "tool_result", "type tool_use_id content is_error cache_control");
}

static bool anthropic_block(struct native *n, struct json_value block, bool user)
{
	struct json_value type = json_get(block, "type");

	if (!anthropic_mark(n, block, "content"))
		return false;
	if (is_word(type, "text"))
		return anthropic_text(n, block);
	if (user && (is_word(type, "image") || is_word(type, "document")))
		return anthropic_source(n, json_get(block, "source")) &&
		       only(n, block, "media", "type source cache_control title context citations");
	if (user && is_word(type, "tool_result"))
		return anthropic_result(n, block);
	if (!user && is_word(type, "tool_use")) {
		if (!is_name(json_get(block, "id"), "_-", 255) ||
			!is_name(json_get(block, "name"), "_-", 128) ||
			json_get(block, "input").kind != JSON_OBJECT)
			return refuse(n, 400, "tool_use: bad id, name or input");
		return only(n, block, "tool_use", "type id name input cache_control");
	}
	if (!user && is_word(type, "thinking")) {
		if (!is_signed(json_get(block, "thinking"), json_get(block, "signature")))
			return refuse(n, 400, "Invalid `signature` in `thinking` block");
		return only(n, block, "thinking", "type thinking signature");
	}
	if (!user && is_word(type, "redacted_thinking"))
		return only(n, block, "redacted_thinking", "type data");
	return refuse(
		n, 400, "content: a block of type %.*s cannot stand there", SLICE_ARG(type.raw));
}

/* The results of a turn's calls: all of them at the beginning of the next, and no others. */
static bool anthropic_results(struct native *n, struct json_value before, struct json_value content)
{
	struct json_iter calls, results;
	struct json_value call, result = { 0 };
	struct slice none;
	size_t asked = 0, answered = 0, at = 0;
	bool found;

	json_iter_init(&calls, before);
	while (before.kind == JSON_ARRAY && json_iter_next(&calls, &none, &call)) {
		if (!is_word(json_get(call, "type"), "tool_use"))
			continue;
		asked++;
		found = false;
		json_iter_init(&results, content);
		while (content.kind == JSON_ARRAY && json_iter_next(&results, &none, &result))
			found |= is_word(json_get(result, "type"), "tool_result") &&
				 slice_eq(json_get(result, "tool_use_id").raw,
					 json_get(call, "id").raw);
		if (!found)
			return refuse(n, 400,
				"`tool_use` ids were found without `tool_result` blocks "
				"immediately after: %.*s",
				SLICE_ARG(json_get(call, "id").raw));
	}
	json_iter_init(&results, content);
	while (content.kind == JSON_ARRAY && json_iter_next(&results, &none, &result)) {
		at++;
		if (!is_word(json_get(result, "type"), "tool_result"))
			continue;
		if (++answered != at)
			return refuse(n, 400, "tool_result blocks must come first");
	}
	if (answered != asked)
		return refuse(n, 400,
			"unexpected `tool_use_id` found in `tool_result` blocks: each must have a "
			"`tool_use` in the previous message");
	return true;
}

static bool anthropic_turn(struct native *n, struct json_value content, bool user)
{
	struct json_iter it;
	struct json_value block;
	struct slice none;

	if (content.kind == JSON_STRING) {
		if (user)
			note_text(n, content);
		n->after_tool = false;
		return !is_blank(content) || refuse(n, 400, "messages must have non-empty content");
	}
	if (content.kind != JSON_ARRAY || !count_of(content))
		return refuse(n, 400, "messages must have non-empty content");
	json_iter_init(&it, content);
	while (json_iter_next(&it, &none, &block)) {
		if (!anthropic_block(n, block, user))
			return false;
		n->after_tool = is_word(json_get(block, "type"), "tool_result");
		if (user && is_word(json_get(block, "type"), "text"))
			note_text(n, json_get(block, "text"));
	}
	return true;
}

static bool anthropic_messages(struct native *n, struct json_value list)
{
	struct json_value message, content = { 0 }, before = { 0 }, first;
	struct json_iter it;
	struct slice none;
	size_t i = 0;

	json_iter_init(&it, list);
	for (; list.kind == JSON_ARRAY && json_iter_next(&it, &none, &message); i++) {
		bool user = i % 2 == 0;

		content = json_get(message, "content");
		if (!is_word(json_get(message, "role"), user ? "user" : "assistant"))
			return refuse(n, 400,
				"messages.%zu.role: roles must alternate, beginning with the "
				"user's",
				i);
		if (!only(n, message, "message", "role content") ||
			!anthropic_turn(n, content, user))
			return false;
		if (user && !anthropic_results(n, before, content))
			return false;
		if (user && n->after_tool && n->thinks) {
			first = json_get(json_at(before, 0), "type");
			if (!is_word(first, "thinking") && !is_word(first, "redacted_thinking"))
				return refuse(n, 400,
					"Expected `thinking` or `redacted_thinking`, but found "
					"`tool_use`: when `thinking` is enabled, a final "
					"`assistant` "
					"message must start with a thinking block");
		}
		before = content;
	}
	if (!i)
		return refuse(n, 400, "messages: at least one message is required");
	return i % 2 || takes_prefill(n, content);
}

static bool anthropic_tool_list(struct native *n, struct json_value body)
{
	struct json_value list = json_get(body, "tools"), choice = json_get(body, "tool_choice"),
			  tool;
	struct json_iter it;
	struct slice none;

	json_iter_init(&it, list);
	while (list.kind == JSON_ARRAY && json_iter_next(&it, &none, &tool)) {
		if (!is_name(json_get(tool, "name"), "_-", 128))
			return refuse(n, 400, "tools.name: String should match pattern");
		if (!is_word(json_get(json_get(tool, "input_schema"), "type"), "object"))
			return refuse(n, 400, "tools.input_schema.type: Field required");
		if (!anthropic_mark(n, tool, "tools") ||
			!only(n, tool, "tools",
				"name description input_schema strict cache_control"))
			return false;
		note_tool(n, json_get(tool, "name"));
	}
	if (list.kind && !n->tools.len)
		return refuse(n, 400, "tools: must not be empty");
	if (!list.kind && memmem(n->body.ptr, n->body.len, "\"tool_use\"", 10))
		return refuse(n, 400, "Requests which include `tool_use` blocks must define tools");
	if (!choice.kind)
		return true;
	if (n->thinks && (is_word(json_get(choice, "type"), "any") ||
				 is_word(json_get(choice, "type"), "tool")))
		return refuse(
			n, 400, "Thinking may not be enabled when tool_choice forces tool use.");
	return only(n, choice, "tool_choice", "type name disable_parallel_tool_use");
}

static bool anthropic_thinking(struct native *n, struct json_value body)
{
	struct json_value thinking = json_get(body, "thinking"), type = json_get(thinking, "type");
	int64_t budget = 0;

	if (!thinking.kind)
		return true;
	n->thinks = !is_word(type, "disabled");
	if (n->thinks && (json_get(body, "temperature").kind || json_get(body, "top_k").kind))
		return refuse(
			n, 400, "`temperature` may only be set to 1 when thinking is enabled.");
	if (is_word(type, "enabled")) {
		if (!json_int(json_get(thinking, "budget_tokens"), &budget) || budget < 1024)
			return refuse(n, 400, "thinking.enabled.budget_tokens: 1024 at least");
		if (budget >= n->max_tokens)
			return refuse(n, 400,
				"`max_tokens` must be greater than `thinking.budget_tokens`.");
		return only(n, thinking, "thinking", "type budget_tokens");
	}
	return only(n, thinking, "thinking", is_word(type, "adaptive") ? "type display" : "type");
}

static bool anthropic_system(struct native *n, struct json_value system)
{
	struct json_iter it;
	struct json_value block;
	struct slice none;

	json_iter_init(&it, system);
	while (system.kind == JSON_ARRAY && json_iter_next(&it, &none, &block))
		if (!anthropic_text(n, block) || !anthropic_mark(n, block, "system"))
			return false;
	return true;
}

static bool anthropic_read(struct native *n, struct json_value body)
{
	struct json_value config = json_get(body, "output_config"), v;
	char number[32];

	if (!anthropic_headers(n) || !only(n, body, "body",
					     "model max_tokens messages system stop_sequences "
					     "stream temperature top_p top_k "
					     "tools tool_choice thinking output_config metadata "
					     "service_tier cache_control"))
		return false;
	if (!json_str_decode(json_get(body, "model"), &n->model) ||
		memchr(n->model.data, '.', n->model.len))
		return refuse(n, 404, "model: %.*s", SLICE_ARG(buf_slice(&n->model)));
	if (!json_int(json_get(body, "max_tokens"), &n->max_tokens) || n->max_tokens < 1)
		return refuse(n, 400, "max_tokens: Field required");
	v = json_get(body, "temperature");
	if (v.kind && (json_get(body, "top_p").kind || !slice_copy(v.raw, number, sizeof(number)) ||
			      strtod(number, NULL) > 1))
		return refuse(n, 400, "temperature: 0 to 1, and without top_p");
	n->stream = json_is_true(json_get(body, "stream"));
	n->schema = json_get(json_get(config, "format"), "schema");
	if (config.kind && !only(n, config, "output_config", "effort format"))
		return false;
	return anthropic_thinking(n, body) && is_strict(n, n->schema, 0) &&
	       anthropic_system(n, json_get(body, "system")) && anthropic_tool_list(n, body) &&
	       anthropic_messages(n, json_get(body, "messages"));
}

/* ---- the answer ---- */

static void anthropic_usage(const struct answer *a, uint32_t output, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;

	buf_printf(out,
		"\"usage\":{\"input_tokens\":%u,\"cache_creation_input_tokens\":%u,"
		"\"cache_read_input_tokens\":%u,\"output_tokens\":%u,\"service_tier\":"
		"\"standard\"}",
		a->ask.prompt_tokens, cue->written, cue->cached, output);
}

static const char *anthropic_reason(const struct answer *a)
{
	return a->ask.cue.declined ? "refusal"
	       : a->calls          ? "tool_use"
	       : a->cut_short      ? "max_tokens"
				   : "end_turn";
}

static void anthropic_head(const struct answer *a, uint64_t id, struct buf *out)
{
	buf_printf(out,
		"{\"id\":\"msg_fake%llu\",\"type\":\"message\",\"role\":\"assistant\",\"model\":",
		(unsigned long long)id);
	buf_json_cstr(out, a->model);
}

static void anthropic_call_head(const struct answer *a, uint32_t k, struct buf *out)
{
	buf_printf(out, "{\"type\":\"tool_use\",\"id\":\"toolu_fake%u\",\"name\":", k);
	buf_json_str(out, buf_slice(&a->names[k]));
	buf_str(out, ",\"input\":");
}

static void anthropic_whole(const struct answer *a, struct buf *out)
{
	anthropic_head(a, a->id, out);
	buf_str(out, ",\"content\":[");
	if (a->thinks) {
		buf_str(out, "{\"type\":\"thinking\",\"thinking\":\"" THOUGHT "\",\"signature\":");
		signature_json(SLICE(THOUGHT), out);
		buf_str(out, "},");
	}
	for (uint32_t k = 0; k < calls_of(a); k++) {
		buf_str(out, k ? "," : "");
		anthropic_call_head(a, k, out);
		buf_slice_append(out, arguments_of(a, k));
		buf_char(out, '}');
	}
	if (!a->calls) {
		buf_str(out, "{\"type\":\"text\",\"text\":");
		said_write(a, out);
		buf_char(out, '}');
	}
	buf_printf(out, "],\"stop_reason\":\"%s\",\"stop_sequence\":null", anthropic_reason(a));
	if (a->ask.cue.usage != USAGE_NONE) {
		buf_char(out, ',');
		anthropic_usage(a, written_tokens(a), out);
	}
	buf_char(out, '}');
}

/* Event i of a block of one kind, of which the first opens it and the last, at end, closes it. */
static const char *anthropic_block_event(
	const struct answer *a, uint32_t index, uint32_t i, uint32_t end, struct buf *out)
{
	bool thought = a->thinks && index == 0;
	uint32_t call = index - (a->thinks ? 1 : 0);

	if (i == end) {
		buf_printf(out, "{\"type\":\"content_block_stop\",\"index\":%u}", index);
		return "content_block_stop";
	}
	buf_printf(out,
		"{\"type\":\"content_block_%s\",\"index\":%u,\"%s\":", i ? "delta" : "start", index,
		i ? "delta" : "content_block");
	if (thought && i == 0) {
		buf_str(out, "{\"type\":\"thinking\",\"thinking\":\"\",\"signature\":\"\"}}");
	} else if (thought && i < 3) {
		buf_printf(out, "{\"type\":\"thinking_delta\",\"thinking\":\"%s\"}}",
			i == 1 ? THOUGHT_1 : THOUGHT_2);
	} else if (thought) {
		buf_str(out, "{\"type\":\"signature_delta\",\"signature\":");
		signature_json(SLICE(THOUGHT), out);
		buf_str(out, "}}");
	} else if (a->calls && i == 0) {
		anthropic_call_head(a, call, out);
		buf_str(out, "{}}}");
	} else if (a->calls) { /* nothing at first, then all */
		buf_str(out, "{\"type\":\"input_json_delta\",\"partial_json\":");
		buf_json_str(out, i == 1 ? SLICE("") : arguments_of(a, call));
		buf_str(out, "}}");
	} else if (i == 0) {
		buf_str(out, "{\"type\":\"text\",\"text\":\"\"}}");
	} else {
		buf_str(out, "{\"type\":\"text_delta\",\"text\":");
		piece_json(a, i - 1, out);
		buf_str(out, "}}");
	}
	return i ? "content_block_delta" : "content_block_start";
}

/* The name of event i, whose data is appended; NULL when there is none left. */
static const char *anthropic_event(const struct answer *a, uint32_t i, struct buf *out)
{
	const struct cue *cue = &a->ask.cue;
	uint32_t blocks = (a->thinks ? 1 : 0) + (a->calls ? calls_of(a) : 1), length;

	if (i == 0 || i == cue->restart) {
		buf_str(out, "{\"type\":\"message_start\",\"message\":");
		anthropic_head(a, i ? a->id + 1000000 : a->id, out);
		buf_str(out, ",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,");
		anthropic_usage(a, 1, out);
		buf_str(out, "}}");
		return "message_start";
	}
	if (i == 1) {
		buf_str(out, "{\"type\":\"ping\"}");
		return "ping";
	}
	i -= 2;
	for (uint32_t index = 0; index < blocks; index++) {
		length = a->thinks && !index ? 5 : !a->calls ? a->pieces + 2 : cue->noargs ? 2 : 4;
		if (i < length)
			return anthropic_block_event(a, index, i, length - 1, out);
		i -= length;
	}
	if (i == 0 && !cue->nofinish) {
		buf_printf(out,
			"{\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"%s\","
			"\"stop_sequence\":null},",
			anthropic_reason(a));
		buf_printf(out, "\"usage\":{\"output_tokens\":%u}}", written_tokens(a));
		return "message_delta";
	}
	if (i == 1 && !cue->nofinish && !cue->nodone) {
		buf_str(out, "{\"type\":\"message_stop\"}");
		return "message_stop";
	}
	return NULL;
}

static const char *anthropic_failure(unsigned status)
{
	static const struct {
		unsigned status;
		const char *type;
	} types[] = { { 400, "invalid_request_error" }, { 401, "authentication_error" },
		{ 402, "billing_error" }, { 403, "permission_error" }, { 404, "not_found_error" },
		{ 413, "request_too_large" }, { 429, "rate_limit_error" }, { 504, "timeout_error" },
		{ 529, "overloaded_error" } };

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if (types[i].status == status)
			return types[i].type;
	return "api_error";
}

static const char *anthropic_error(
	const struct cue *cue, unsigned status, const char *message, struct buf *out)
{
	(void)cue;
	buf_printf(out, "{\"type\":\"error\",\"error\":{\"type\":\"%s\",\"message\":",
		anthropic_failure(status));
	buf_json_cstr(out, message);
	buf_str(out, "},\"request_id\":\"req_fake\"}");
	return "error";
}

static void anthropic_frame(const char *name, struct slice data, bool bad, struct buf *out)
{
	(void)bad;
	buf_printf(out, "event: %s\ndata: ", name);
	buf_slice_append(out, data);
	buf_str(out, "\n\n");
}

#endif
