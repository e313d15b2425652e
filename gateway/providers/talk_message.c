/* One message of a conversation: its texts, media, calls and results. */
#include "gateway/providers/members.h"
#include "gateway/providers/talk_draft.h"

#include <stdio.h>

#define GOOGLE "google-gemini-v1"
#define EMPTY  ((struct json_value){ JSON_STRING, SLICE("\"\"") })
#define ABSENT ((struct json_value){ JSON_ABSENT, SLICE("") })

enum member {
	ROLE,
	CONTENT,
	TOOL_CALLS,
	TOOL_CALL_ID,
	FUNCTION_CALL,
	NAME,
	REFUSAL,
	DETAILS,
	BLOCKS,
	REASONING,
	REASONING_CONTENT,
	EXTRA_CONTENT,
	SPECIFIC_FIELDS,
	CACHE_CONTROL,
	IMAGES,
	AUDIO,
	MEMBERS
};

static const char *const member_names[MEMBERS] = {
	[ROLE] = "role",
	[CONTENT] = "content",
	[TOOL_CALLS] = "tool_calls",
	[TOOL_CALL_ID] = "tool_call_id",
	[FUNCTION_CALL] = "function_call",
	[NAME] = "name",
	[REFUSAL] = "refusal",
	[DETAILS] = "reasoning_details",
	[BLOCKS] = "thinking_blocks",
	[REASONING] = "reasoning",
	[REASONING_CONTENT] = "reasoning_content",
	[EXTRA_CONTENT] = "extra_content",
	[SPECIFIC_FIELDS] = "provider_specific_fields",
	[CACHE_CONTROL] = "cache_control",
	[IMAGES] = "images",
	[AUDIO] = "audio",
};

enum err_code draft_wrong(
	const struct draft *d, struct err *e, const char *what, const char *path, ...)
{
	char rest[ERR_PARAM_SIZE], param[ERR_PARAM_SIZE * 2];
	va_list args;

	va_start(args, path);
	vsnprintf(rest, sizeof(rest), path, args);
	va_end(args);
	snprintf(param, sizeof(param), "messages[%u]%s%s", d->message, *rest ? "." : "", rest);
	return err_param(e, ERR_BAD_REQUEST, param, "%s %s", param, what);
}

/* ---- what parts share ---- */

/* Where Google's signature stands beside a text or call; JSON_ABSENT when it does not. */
static struct json_value signature_in(
	struct json_value extra_content, struct json_value specific_fields)
{
	struct json_value v =
		member_read(member_read(extra_content, "google"), "thought_signature");

	if (v.kind != JSON_STRING)
		v = member_read(specific_fields, "thought_signature");
	return v.kind == JSON_STRING && v.raw.len > 2 ? v : ABSENT;
}

/* Adds a text, unless it says nothing and carries nothing. */
static void say(struct draft *d, enum speaker who, struct part *p)
{
	p->kind = PART_TEXT;
	if (!draft_takes(d, SLICE(GOOGLE)))
		p->signature = ABSENT;
	if (p->signature.kind != JSON_ABSENT || !member_is_blank(p->value))
		(void)draft_part(d, who, p);
}

/* ---- content ---- */

/* What the types of parts mean. Those of Anthropic's own go on as they are. */
static const struct part_type {
	const char *name, *member;
	enum part_kind kind;
} part_types[] = {
	{ "text", "text", PART_TEXT },
	{ "image_url", "image_url", PART_IMAGE },
	{ "input_audio", "input_audio", PART_AUDIO },
	{ "file", "file", PART_FILE },
	{ "video_url", "video_url", PART_VIDEO },
	{ "refusal", "refusal", PART_TEXT },
	{ "thinking", NULL, PART_THOUGHT },
	{ "redacted_thinking", NULL, PART_HIDDEN_THOUGHT },
	{ "image", NULL, PART_NATIVE },
	{ "document", NULL, PART_NATIVE },
	{ "search_result", NULL, PART_NATIVE },
	{ "server_tool_use", NULL, PART_NATIVE },
	{ "web_search_tool_result", NULL, PART_NATIVE },
	{ "web_fetch_tool_result", NULL, PART_NATIVE },
	{ "code_execution_tool_result", NULL, PART_NATIVE },
	{ "bash_code_execution_tool_result", NULL, PART_NATIVE },
	{ "text_editor_code_execution_tool_result", NULL, PART_NATIVE },
	{ "tool_search_tool_result", NULL, PART_NATIVE },
	{ "mcp_tool_use", NULL, PART_NATIVE },
	{ "mcp_tool_result", NULL, PART_NATIVE },
	{ "container_upload", NULL, PART_NATIVE },
};

#define PART_TYPES (sizeof(part_types) / sizeof(part_types[0]))

static enum err_code part_wrong(
	const struct part *p, struct err *e, const char *member, const char *what)
{
	char place[ERR_PARAM_SIZE], param[ERR_PARAM_SIZE * 2];

	talk_param(p, place);
	snprintf(param, sizeof(param), "%s%s%s", place, *member ? "." : "", member);
	return err_param(e, ERR_BAD_REQUEST, param, "%s %s", param, what);
}

/* Reads an element of a content array. message, member and index of *p say where it stands. */
static enum err_code read_part(struct json_value object, struct part *p, struct err *e)
{
	enum { TYPE, CACHE, EXTRA, SPECIFIC, FOUND };
	static const char *const names[] = { "type", "cache_control", "extra_content",
		"provider_specific_fields" };
	struct json_value found[FOUND];
	const struct part_type *type = part_types, *end = part_types + PART_TYPES;

	p->object = object;
	if (object.kind != JSON_OBJECT)
		return part_wrong(p, e, "", "must be an object");
	members_read(object, names, FOUND, found);
	if (found[TYPE].kind != JSON_STRING)
		return part_wrong(p, e, "type", "must be a string");
	if (found[CACHE].kind != JSON_ABSENT && found[CACHE].kind != JSON_OBJECT)
		return part_wrong(p, e, "cache_control", "must be an object");
	p->cache = found[CACHE];
	p->signature = signature_in(found[EXTRA], found[SPECIFIC]);
	while (type < end && !json_str_is(found[TYPE].raw, type->name))
		type++;
	if (type == end) {
		p->kind = PART_UNKNOWN;
		p->value = found[TYPE];
		return ERR_OK;
	}
	p->kind = type->kind;
	if (!type->member)
		return ERR_OK;
	p->value = member_read(object, type->member);
	if (p->kind == PART_TEXT && p->value.kind != JSON_STRING)
		return part_wrong(p, e, type->member, "must be a string");
	if (p->value.kind != JSON_STRING && p->value.kind != JSON_OBJECT)
		return part_wrong(p, e, type->member, "must be an object");
	return ERR_OK;
}

enum err_code talk_result_part(const struct part *result, struct json_value element, unsigned index,
	struct part *p, struct err *e)
{
	*p = (struct part){ .message = result->message, .member = "content", .index = index };
	return read_part(element, p, e);
}

/* A thinking block among the parts. */
static enum err_code read_thought(
	struct draft *d, enum speaker who, const struct part *p, struct err *e)
{
	char path[32];

	if (who != SPEAKER_MODEL)
		return part_wrong(p, e, "type", "is a thought, which only an assistant has");
	snprintf(path, sizeof(path), "content[%u]", p->index);
	return draft_thinking_block(d, p->object, path, e);
}

/* Adds a content, string or array, to the turn of this speaker. */
static enum err_code read_content(
	struct draft *d, enum speaker who, struct json_value content, struct err *e)
{
	struct part p = { .value = content, .member = "content" };
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc = ERR_OK;

	if (content.kind == JSON_STRING)
		say(d, who, &p);
	if (content.kind != JSON_ARRAY)
		return ERR_OK;
	json_iter_init(&it, content);
	for (unsigned i = 0; !rc && json_iter_next(&it, &none, &v); i++) {
		p = (struct part){ .message = d->message, .member = "content", .index = i };
		rc = read_part(v, &p, e);
		if (rc)
			break;
		if (p.kind == PART_TEXT)
			say(d, who, &p);
		else if (p.kind == PART_THOUGHT || p.kind == PART_HIDDEN_THOUGHT)
			rc = read_thought(d, who, &p, e);
		else
			(void)draft_part(d, who, &p);
	}
	return rc;
}

/* The breakpoint of a whole message is that of its last part. */
static void put_cache(struct draft *d, unsigned parts_before, struct json_value cache)
{
	struct part *last;

	if (cache.kind == JSON_ABSENT || d->part_count == parts_before)
		return;
	last = &d->parts[d->part_count - 1];
	if (last->cache.kind == JSON_ABSENT && last->kind != PART_THOUGHT &&
		last->kind != PART_HIDDEN_THOUGHT)
		last->cache = cache;
}

static enum err_code read_user(
	struct draft *d, struct json_value content, struct json_value cache, struct err *e)
{
	unsigned before = d->part_count;
	enum err_code rc = read_content(d, SPEAKER_USER, content, e);

	put_cache(d, before, cache);
	return rc;
}

/* ---- system ---- */

static enum err_code read_system(struct draft *d, const struct json_value *m, struct err *e)
{
	struct part p = { .kind = PART_TEXT, .value = m[CONTENT], .member = "content" };
	unsigned before = d->system_count;
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc;

	if (d->user_seen && d->rules->late_system_in_turn)
		return read_user(d, m[CONTENT], m[CACHE_CONTROL], e);
	if (m[CONTENT].kind == JSON_STRING && !member_is_blank(p.value))
		draft_system(d, &p);
	json_iter_init(&it, m[CONTENT]);
	for (unsigned i = 0; json_iter_next(&it, &none, &v); i++) {
		p = (struct part){ .message = d->message, .member = "content", .index = i };
		rc = read_part(v, &p, e);
		if (rc)
			return rc;
		if (p.kind != PART_TEXT)
			return part_wrong(&p, e, "type", "must be \"text\" in a system message");
		p.signature = ABSENT;
		if (!member_is_blank(p.value))
			draft_system(d, &p);
	}
	if (d->system_count > before && d->system[d->system_count - 1].cache.kind == JSON_ABSENT)
		d->system[d->system_count - 1].cache = m[CACHE_CONTROL];
	return ERR_OK;
}

/* ---- results ---- */

/* Looks through the content of a result; a breakpoint in it is one of the whole result. */
static enum err_code check_result(const struct draft *d, struct part *result, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct part p;
	enum err_code rc;

	json_iter_init(&it, result->value);
	for (unsigned i = 0; json_iter_next(&it, &none, &v); i++) {
		p = (struct part){ .message = d->message, .member = "content", .index = i };
		rc = read_part(v, &p, e);
		if (rc)
			return rc;
		if (p.kind == PART_THOUGHT || p.kind == PART_HIDDEN_THOUGHT)
			return part_wrong(
				&p, e, "type", "is a thought, which only an assistant has");
		if (p.cache.kind != JSON_ABSENT)
			result->cache = p.cache;
	}
	return ERR_OK;
}

/* What answers a function_call is found by the function's name: no id has this beginning. */
static struct slice function_key(struct draft *d, const char *name)
{
	struct slice text = slice_of(name);
	char *key = arena_take(d->arena, text.len + 2);

	if (!key)
		return SLICE("");
	key[0] = '\1';
	memcpy(key + 1, name, text.len);
	return slice_of(key);
}

static enum err_code read_result(
	struct draft *d, const struct json_value *m, bool of_function, struct err *e)
{
	const char *member = of_function ? "name" : "tool_call_id";
	struct json_value who = m[of_function ? NAME : TOOL_CALL_ID];
	struct part p = { .kind = PART_RESULT,
		.value = m[CONTENT].kind == JSON_ABSENT ? EMPTY : m[CONTENT],
		.cache = m[CACHE_CONTROL],
		.member = "content" };
	struct slice key, inside;
	const char *text;
	enum err_code rc;

	if (who.kind != JSON_STRING)
		return draft_wrong(d, e, "must be a string", "%s", member);
	text = arena_string(d->arena, who);
	if (!text)
		return draft_wrong(d, e, "must not hold a NUL", "%s", member);
	rc = check_result(d, &p, e);
	if (rc)
		return rc;
	key = of_function ? function_key(d, text) : draft_id(slice_of(text), &inside);
	if (draft_result(d, key, &p))
		return ERR_OK;
	return read_user(d, m[CONTENT], m[CACHE_CONTROL], e);
}

/* ---- what an assistant said ---- */

/* A call. *p has its place and what stands beside the function object; path is that of the object,
 * id is absent or a string. */
static enum err_code add_call(struct draft *d, struct json_value id, struct json_value function,
	struct part *p, const char *path, struct err *e)
{
	enum { F_NAME, F_ARGUMENTS, F_SIGNATURE, F_SPECIFIC, F_MEMBERS };
	static const char *const names[] = { "name", "arguments", "thought_signature",
		"provider_specific_fields" };
	struct json_value f[F_MEMBERS];
	struct slice key = SLICE(""), inside = SLICE("");
	const char *text, *name;

	if (function.kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "%s", path);
	members_read(function, names, F_MEMBERS, f);
	if (f[F_NAME].kind != JSON_STRING || f[F_NAME].raw.len <= 2)
		return draft_wrong(d, e, "must be a string that is not empty", "%s.name", path);
	if (f[F_ARGUMENTS].kind != JSON_ABSENT && f[F_ARGUMENTS].kind != JSON_STRING &&
		f[F_ARGUMENTS].kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be a string that holds JSON", "%s.arguments", path);
	name = arena_string(d->arena, f[F_NAME]);
	if (!name)
		return draft_wrong(d, e, "must not hold a NUL", "%s.name", path);
	if (id.kind == JSON_STRING) {
		text = arena_string(d->arena, id);
		if (!text)
			return draft_wrong(
				d, e, "must not hold a NUL", "tool_calls[%u].id", p->index);
		key = draft_id(slice_of(text), &inside);
	} else if (p->object.kind == JSON_ABSENT) {
		key = function_key(d, name);
	}
	p->kind = PART_CALL;
	p->value = f[F_ARGUMENTS];
	if (p->signature.kind == JSON_ABSENT)
		p->signature = signature_in(ABSENT, f[F_SPECIFIC]);
	if (p->signature.kind == JSON_ABSENT && f[F_SIGNATURE].kind == JSON_STRING)
		p->signature = f[F_SIGNATURE];
	if (p->signature.kind == JSON_ABSENT && inside.len)
		p->signature = arena_quoted(d->arena, inside);
	draft_call(d, key, name, p);
	return ERR_OK;
}

static enum err_code read_call(
	struct draft *d, struct json_value call, unsigned index, struct err *e)
{
	enum { C_ID, C_TYPE, C_FUNCTION, C_EXTRA, C_SPECIFIC, C_CACHE, C_SIGNATURE, C_MEMBERS };
	static const char *const names[] = { "id", "type", "function", "extra_content",
		"provider_specific_fields", "cache_control", "thoughtSignature" };
	struct part p = { .object = call, .member = "tool_calls", .index = index };
	struct json_value c[C_MEMBERS];
	char path[48];

	if (call.kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "tool_calls[%u]", index);
	members_read(call, names, C_MEMBERS, c);
	if (c[C_ID].kind != JSON_ABSENT && c[C_ID].kind != JSON_STRING)
		return draft_wrong(d, e, "must be a string", "tool_calls[%u].id", index);
	if (c[C_TYPE].kind != JSON_ABSENT && !json_str_is(c[C_TYPE].raw, "function"))
		return draft_wrong(d, e, "must be \"function\"", "tool_calls[%u].type", index);
	if (c[C_CACHE].kind != JSON_ABSENT && c[C_CACHE].kind != JSON_OBJECT)
		return draft_wrong(
			d, e, "must be an object", "tool_calls[%u].cache_control", index);
	p.cache = c[C_CACHE];
	p.signature = signature_in(c[C_EXTRA], c[C_SPECIFIC]);
	if (p.signature.kind == JSON_ABSENT && c[C_SIGNATURE].kind == JSON_STRING)
		p.signature = c[C_SIGNATURE];
	snprintf(path, sizeof(path), "tool_calls[%u].function", index);
	return add_call(d, c[C_ID], c[C_FUNCTION], &p, path, e);
}

static enum err_code read_calls(
	struct draft *d, struct json_value calls, struct json_value function, struct err *e)
{
	struct part p = { .member = "function_call" };
	struct json_iter it;
	struct json_value v;
	struct slice none;
	enum err_code rc = ERR_OK;

	if (calls.kind != JSON_ABSENT && calls.kind != JSON_ARRAY)
		return draft_wrong(d, e, "must be an array of calls", "tool_calls");
	json_iter_init(&it, calls);
	for (unsigned i = 0; !rc && json_iter_next(&it, &none, &v); i++)
		rc = read_call(d, v, i, e);
	if (!rc && function.kind != JSON_ABSENT)
		rc = add_call(d, ABSENT, function, &p, "function_call", e);
	return rc;
}

/* Images that a model made, as OpenRouter and reply.h give them to clients. */
static enum err_code read_images(struct draft *d, struct json_value images, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct part p;
	enum err_code rc;

	if (images.kind != JSON_ABSENT && images.kind != JSON_ARRAY)
		return draft_wrong(d, e, "must be an array of images", "images");
	d->first_image = d->part_count;
	json_iter_init(&it, images);
	for (unsigned i = 0; json_iter_next(&it, &none, &v); i++) {
		p = (struct part){ .message = d->message, .member = "images", .index = i };
		rc = read_part(v, &p, e);
		if (rc)
			return rc;
		if (p.kind != PART_IMAGE)
			return part_wrong(&p, e, "type", "must be \"image_url\"");
		(void)draft_part(d, SPEAKER_MODEL, &p);
	}
	return ERR_OK;
}

/* The last text of this message gets the signature; an empty one is made for it if need be. */
static void sign_text(struct draft *d, unsigned parts_before, struct json_value signature)
{
	struct part p = { .value = EMPTY, .signature = signature, .member = "content" };

	if (signature.kind == JSON_ABSENT || !draft_takes(d, SLICE(GOOGLE)))
		return;
	for (unsigned i = d->part_count; i > parts_before; i--)
		if (d->parts[i - 1].kind == PART_TEXT) {
			if (d->parts[i - 1].signature.kind == JSON_ABSENT)
				d->parts[i - 1].signature = signature;
			return;
		}
	say(d, SPEAKER_MODEL, &p);
}

static enum err_code read_assistant(struct draft *d, const struct json_value *m, struct err *e)
{
	struct part refusal = { .value = m[REFUSAL], .member = "refusal" };
	struct part audio = { .kind = PART_UNKNOWN,
		.value = { JSON_STRING, SLICE("\"audio\"") },
		.member = "audio" };
	struct thoughts thoughts = { m[DETAILS], m[BLOCKS], m[REASONING], "reasoning" };
	struct json_value signature = signature_in(m[EXTRA_CONTENT], m[SPECIFIC_FIELDS]);
	unsigned before = d->part_count;
	enum err_code rc;

	if (m[REASONING].kind == JSON_ABSENT) {
		thoughts.plain = m[REASONING_CONTENT];
		thoughts.plain_name = "reasoning_content";
	}
	if (m[REFUSAL].kind != JSON_ABSENT && m[REFUSAL].kind != JSON_STRING)
		return draft_wrong(d, e, "must be a string", "refusal");
	rc = read_content(d, SPEAKER_MODEL, m[CONTENT], e);
	if (rc)
		return rc;
	if (m[REFUSAL].kind == JSON_STRING)
		say(d, SPEAKER_MODEL, &refusal);
	/* It names a sound that only OpenAI has. */
	if (m[AUDIO].kind != JSON_ABSENT)
		(void)draft_part(d, SPEAKER_MODEL, &audio);
	rc = read_images(d, m[IMAGES], e);
	if (!rc)
		rc = read_calls(d, m[TOOL_CALLS], m[FUNCTION_CALL], e);
	if (rc)
		return rc;
	put_cache(d, before, m[CACHE_CONTROL]);
	rc = draft_thoughts(d, &thoughts, &signature, e);
	if (!rc)
		sign_text(d, before, signature);
	return rc;
}

/* ---- any message ---- */

enum err_code draft_message(struct draft *d, struct json_value message, struct err *e)
{
	struct json_value m[MEMBERS];

	if (message.kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "%s", "");
	members_read(message, member_names, MEMBERS, m);
	if (m[ROLE].kind != JSON_STRING)
		return draft_wrong(d, e, "must be a string", "role");
	if (m[CONTENT].kind != JSON_ABSENT && m[CONTENT].kind != JSON_STRING &&
		m[CONTENT].kind != JSON_ARRAY)
		return draft_wrong(d, e, "must be a string or an array of parts", "content");
	if (m[CACHE_CONTROL].kind != JSON_ABSENT && m[CACHE_CONTROL].kind != JSON_OBJECT)
		return draft_wrong(d, e, "must be an object", "cache_control");
	if (json_str_is(m[ROLE].raw, "assistant"))
		return read_assistant(d, m, e);
	if (json_str_is(m[ROLE].raw, "tool"))
		return read_result(d, m, false, e);
	if (json_str_is(m[ROLE].raw, "function"))
		return read_result(d, m, true, e);
	if (m[CONTENT].kind == JSON_ABSENT)
		return draft_wrong(d, e, "must be a string or an array of parts", "content");
	if (json_str_is(m[ROLE].raw, "system") || json_str_is(m[ROLE].raw, "developer"))
		return read_system(d, m, e);
	if (!json_str_is(m[ROLE].raw, "user"))
		return draft_wrong(d, e,
			"must be system, developer, user, assistant, tool or function", "role");
	d->user_seen = true;
	return read_user(d, m[CONTENT], m[CACHE_CONTROL], e);
}
