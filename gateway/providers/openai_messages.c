#include "gateway/providers/openai_messages.h"

#include "gateway/providers/family.h"
#include "gateway/providers/openai_ids.h"
#include "gateway/providers/patch.h"
#include "gateway/providers/tongue.h"

#include <ctype.h>

#define ARGUMENTS_MAX ((size_t)64 << 20) /* bytes of one call's arguments */

/* Keys are compared as they are written: nobody escapes them. */
static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static struct slice inner(struct json_value v)
{
	return v.kind == JSON_STRING ? (struct slice){ v.raw.ptr + 1, v.raw.len - 2 } : SLICE("");
}

static struct slice bare(struct slice key)
{
	return (struct slice){ key.ptr + 1, key.len - 2 };
}

/* A signature of Google's, or what LiteLLM keeps it in; Google's own endpoint reads the first. */
static bool is_googles(const struct quirks *q, struct slice key)
{
	return (KEY_IS(key, "extra_content") && !q->reads_marked_ids) ||
	       KEY_IS(key, "provider_specific_fields") || KEY_IS(key, "thoughtSignature") ||
	       KEY_IS(key, "thought_signature");
}

/* ---- calls ---- */

/* Some servers read the arguments of calls in the history, and refuse what is no JSON object:
 * others' models write such, and "" where there are none. */
static void patch_arguments(struct patch *p, struct json_value v)
{
	struct buf text = { .max_bytes = ARGUMENTS_MAX }, object = { .max_bytes = ARGUMENTS_MAX };
	enum json_kind kind = JSON_ABSENT;
	struct slice said;

	if (v.kind != JSON_STRING || !json_str_decode(v, &text)) {
		buf_slice_append(&text, v.raw);
		kind = v.kind;
	}
	said = slice_trim(buf_slice(&text));
	if (v.kind == JSON_STRING && json_validate(said, &tongue_limits, &kind, NULL))
		kind = JSON_ABSENT;
	if (v.kind == JSON_STRING && kind == JSON_OBJECT)
		goto out;
	if (kind == JSON_OBJECT) {
		buf_slice_append(&object, said);
	} else if (!said.len || kind == JSON_NULL) {
		buf_str(&object, "{}");
	} else {
		buf_str(&object, kind ? "{\"value\":" : "{\"raw\":");
		if (kind)
			buf_slice_append(&object, said);
		else
			buf_json_str(&object, said);
		buf_char(&object, '}');
	}
	patch_cut(p, v.raw.ptr, v.raw.ptr + v.raw.len);
	buf_json_str(p->out, buf_slice(&object));
	p->out->failed |= !buf_ok(&object);
out:
	buf_fini(&text);
	buf_fini(&object);
}

static void patch_function(const struct quirks *q, struct patch *p, struct json_value function)
{
	struct patch_list m;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&m, function);
	json_iter_init(&it, function);
	while (json_iter_next(&it, &key, &v)) {
		if (is_googles(q, key)) {
			patch_list_drop(&m);
			continue;
		}
		patch_list_keep(p, &m, key, v);
		if (q->reads_arguments && KEY_IS(key, "arguments"))
			patch_arguments(p, v);
	}
	patch_list_end(p, &m);
}

/* Stands for a signature of Google's where others' models made the call (gemini.md section 9). */
#define SENTINEL \
	"\"extra_content\":{\"google\":{\"thought_signature\":" \
	"\"skip_thought_signature_validator\"}}"

static void patch_call(
	struct openai_ids *ids, struct patch *p, struct json_value call, bool must_be_signed)
{
	const struct quirks *q = ids->q;
	struct patch_list m;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&m, call);
	json_iter_init(&it, call);
	while (json_iter_next(&it, &key, &v)) {
		if (is_googles(q, key) || KEY_IS(key, "cache_control") || KEY_IS(key, "index")) {
			patch_list_drop(&m);
			continue;
		}
		patch_list_keep(p, &m, key, v);
		if (KEY_IS(key, "extra_content"))
			must_be_signed = false;
		if (KEY_IS(key, "id"))
			openai_ids_patch(ids, p, v);
		else if (KEY_IS(key, "function") && v.kind == JSON_OBJECT)
			patch_function(q, p, v);
	}
	if (must_be_signed) {
		patch_list_add(p, &m);
		buf_str(p->out, SENTINEL);
	}
	patch_list_end(p, &m);
}

static void patch_calls(struct openai_ids *ids, struct patch *p, struct json_value calls)
{
	/* In an id, too, there may be one. */
	bool must_be_signed = ids->q->wants_signatures && !openai_ids_are_marked(calls);
	struct json_iter it;
	struct json_value call;
	struct slice none;

	json_iter_init(&it, calls);
	for (; json_iter_next(&it, &none, &call); must_be_signed = false)
		if (call.kind == JSON_OBJECT)
			patch_call(ids, p, call, must_be_signed);
}

/* ---- content ---- */

static bool is_thought(struct json_value part)
{
	struct slice type = json_get(part, "type").raw;

	return json_str_is(type, "thinking") || json_str_is(type, "redacted_thinking") ||
	       json_str_is(type, "reasoning");
}

/* Appends the texts of content, a line each, without quotes. */
static void write_texts(struct json_value content, struct buf *out)
{
	struct json_iter it;
	struct json_value part;
	struct slice none;
	bool first = true;

	buf_slice_append(out, inner(content));
	json_iter_init(&it, content);
	while (content.kind == JSON_ARRAY && json_iter_next(&it, &none, &part)) {
		struct json_value text = part.kind == JSON_STRING ? part : json_get(part, "text");

		if (!inner(text).len || is_thought(part))
			continue;
		if (!first)
			buf_str(out, "\\n");
		first = false;
		buf_slice_append(out, inner(text));
	}
}

static bool all_texts(struct json_value parts)
{
	struct json_iter it;
	struct json_value part;
	struct slice none;

	json_iter_init(&it, parts);
	while (json_iter_next(&it, &none, &part))
		if (!json_str_is(json_get(part, "type").raw, "text") && !is_thought(part))
			return false;
	return true;
}

static void patch_part(const struct quirks *q, struct patch *p, struct json_value part)
{
	struct patch_list m;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&m, part);
	json_iter_init(&it, part);
	while (json_iter_next(&it, &key, &v)) {
		if ((!q->takes_marks && KEY_IS(key, "cache_control")) ||
			(!q->takes_breakpoints && KEY_IS(key, "prompt_cache_breakpoint")) ||
			is_googles(q, key))
			patch_list_drop(&m);
		else
			patch_list_keep(p, &m, key, v);
	}
	patch_list_end(p, &m);
}

static void patch_content(
	const struct quirks *q, struct patch *p, bool of_user, struct json_value content)
{
	struct patch_list m;
	struct json_iter it;
	struct json_value part;
	struct slice none;

	if (content.kind != JSON_ARRAY)
		return;
	if (q->flat_texts && !of_user && all_texts(content)) {
		patch_value(p, content, "\"");
		write_texts(content, p->out);
		buf_char(p->out, '"');
		return;
	}
	patch_list_begin(&m, content);
	json_iter_init(&it, content);
	while (json_iter_next(&it, &none, &part)) {
		if (!of_user && is_thought(part)) {
			patch_list_drop(&m);
			continue;
		}
		patch_list_keep(p, &m, none, part);
		if (part.kind == JSON_OBJECT)
			patch_part(q, p, part);
	}
	if (m.gap && !m.any) /* an empty array is refused */
		patch_value(p, content, "\"\"");
	else
		patch_list_end(p, &m);
}

/* ---- thoughts ---- */

struct message {
	bool system, developer, user, assistant, tool;
	bool odd;   /* holds what the row may have to change */
	bool bound; /* its details hold what only their writer reads */
	struct json_value object, content, calls;
	struct json_value reasoning, reasoning_content, details, blocks;
};

static const char *behind_blanks(const char *p, const char *end)
{
	while (p < end && isspace((unsigned char)*p))
		p++;
	return p;
}

/* An iterator over an object or array whose end is not known yet: what is walked need not be
 * skipped first. */
static struct json_iter iter_from(const char *p, const char *end)
{
	return (struct json_iter){ .p = p + 1, .end = end, .object = *p == '{' };
}

/* Has a part anything that the row may have to change? Same order of work as one skip. */
static bool parts_are_odd(const struct quirks *q, struct json_value content, bool of_user)
{
	const char *end = content.raw.ptr + content.raw.len - 1, *p = content.raw.ptr + 1;
	struct json_value v;
	struct slice key;

	if (q->flat_texts && !of_user)
		return true;
	for (p = behind_blanks(p, end); p < end && *p == '{'; p = behind_blanks(p, end)) {
		struct json_iter it = iter_from(p, end);

		for (p++; json_iter_next(&it, &key, &v); p = v.raw.ptr + v.raw.len)
			if (KEY_IS(key, "cache_control") ||
				KEY_IS(key, "prompt_cache_breakpoint") || is_googles(q, key) ||
				(!of_user && KEY_IS(key, "type") && !json_str_is(v.raw, "text")))
				return true;
		p = behind_blanks(behind_blanks(p, end) + 1, end); /* the brace */
		if (p < end && *p == ',')
			p++;
	}
	return p < end; /* something that is no object */
}

/* Reads the message that begins at p, and finds where it ends. */
static struct message read_message(const struct quirks *q, const char *p, const char *end)
{
	struct message m = { .object = { JSON_OBJECT, { p, 0 } } };
	struct json_iter it = iter_from(p, end);
	struct json_value v;
	struct slice key;

	for (p++; json_iter_next(&it, &key, &v); p = v.raw.ptr + v.raw.len) {
		if (KEY_IS(key, "content")) {
			m.content = v;
		} else if (KEY_IS(key, "role")) {
			m.developer = json_str_is(v.raw, "developer");
			m.system = m.developer || json_str_is(v.raw, "system");
			m.user = json_str_is(v.raw, "user");
			m.assistant = json_str_is(v.raw, "assistant");
			m.tool = json_str_is(v.raw, "tool");
		} else if (KEY_IS(key, "tool_call_id")) {
			m.odd |= v.kind == JSON_STRING && !openai_id_fits(q, bare(v.raw));
		} else if (KEY_IS(key, "tool_calls") && json_is_truthy(v)) {
			m.calls = v;
			m.odd = true;
		} else if (KEY_IS(key, "reasoning") && inner(v).len) {
			m.reasoning = v;
			m.odd = true;
		} else if (KEY_IS(key, "reasoning_content") && v.kind == JSON_STRING) {
			m.reasoning_content = v;
			m.odd = true;
		} else if (KEY_IS(key, "reasoning_details") && json_is_truthy(v)) {
			m.details = v;
			m.bound = q->thoughts == THOUGHTS_DETAILS && family_is_bound(v);
			m.odd = true;
		} else if (KEY_IS(key, "thinking_blocks") && json_is_truthy(v)) {
			m.blocks = v;
			m.odd = true;
		} else {
			m.odd |= v.kind == JSON_NULL || KEY_IS(key, "reasoning") ||
				 KEY_IS(key, "reasoning_content") ||
				 KEY_IS(key, "reasoning_details") ||
				 KEY_IS(key, "thinking_blocks") ||
				 quirks_drops_of_message(q, bare(key));
		}
	}
	p = behind_blanks(p, end);
	m.object.raw.len = (size_t)(p - m.object.raw.ptr) + (p < end);
	m.odd |= (m.developer && q->no_developer) ||
		 (m.assistant && q->needed == THOUGHTS_NEEDED) ||
		 (m.content.kind == JSON_ARRAY && parts_are_odd(q, m.content, m.user));
	return m;
}

/* Walks the messages: sets *m to the one at *p or behind it. */
static bool next_message(
	const struct quirks *q, struct json_value messages, const char **p, struct message *m)
{
	const char *end = messages.raw.ptr + messages.raw.len - 1;

	*p = behind_blanks(*p, end);
	if (*p < end && **p == ',')
		*p = behind_blanks(*p + 1, end);
	if (*p >= end || **p != '{')
		return false;
	*m = read_message(q, *p, end);
	*p += m->object.raw.len;
	return true;
}

/* Appends the thoughts in words, without quotes. */
static void write_thoughts(const struct message *m, struct buf *out)
{
	struct json_value list = m->details.kind ? m->details : m->blocks, one;
	struct json_iter it;
	struct slice none;

	if (inner(m->reasoning_content).len || m->reasoning.kind) {
		buf_slice_append(out, inner(m->reasoning_content).len ? inner(m->reasoning_content)
								      : inner(m->reasoning));
		return;
	}
	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &one)) {
		static const char *const names[] = { "text", "summary", "thinking" };

		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			buf_slice_append(out, inner(json_get(one, names[i])));
	}
}

/* What a message has to have. */
struct plan {
	bool content, reasoning, details; /* members it may have */
	bool needed;
};

static struct plan plan_of(const struct quirks *q, const struct message *m)
{
	bool calls = m->calls.kind;
	struct plan plan = { .content = false };

	if (!m->assistant)
		return plan;
	plan.content = q->thoughts == THOUGHTS_CONTENT || q->thoughts == THOUGHTS_BOTH ||
		       (q->thoughts == THOUGHTS_CONTENT_OF_CALLS && calls);
	plan.reasoning = q->thoughts == THOUGHTS_REASONING || q->thoughts == THOUGHTS_BOTH;
	plan.details = q->thoughts == THOUGHTS_DETAILS;
	plan.needed =
		q->needed == THOUGHTS_NEEDED || (q->needed == THOUGHTS_NEEDED_BY_CALLS && calls);
	return plan;
}

/* Is this one of the members that hold thoughts? *stays: and it is as it should be. */
static bool is_of_thoughts(const struct plan *plan, const struct message *m, struct slice key,
	struct json_value v, bool *stays)
{
	*stays = false;
	if (KEY_IS(key, "reasoning_content")) {
		*stays = plan->content && v.kind == JSON_STRING &&
			 (inner(v).len || (plan->needed && !m->reasoning.kind && !m->details.kind));
		return true;
	}
	if (KEY_IS(key, "reasoning")) {
		*stays = plan->reasoning && m->reasoning.kind;
		return true;
	}
	if (KEY_IS(key, "reasoning_details")) {
		*stays = plan->details && m->details.kind && !m->bound;
		return true;
	}
	return KEY_IS(key, "thinking_blocks");
}

static void add_thoughts(const struct plan *plan, const struct message *m, bool had_content,
	struct patch *p, struct patch_list *list)
{
	struct buf text = { .max_bytes = ARGUMENTS_MAX };

	write_thoughts(m, &text);
	if (plan->content && !had_content && (text.len || plan->needed)) {
		patch_list_add(p, list);
		buf_str(p->out, "\"reasoning_content\":\"");
		buf_slice_append(p->out, buf_slice(&text));
		buf_char(p->out, '"');
	}
	if (plan->reasoning && !m->reasoning.kind && text.len) {
		patch_list_add(p, list);
		buf_str(p->out, "\"reasoning\":\"");
		buf_slice_append(p->out, buf_slice(&text));
		buf_char(p->out, '"');
	}
	if (plan->details && (!m->details.kind || m->bound) && text.len) {
		patch_list_add(p, list);
		buf_str(p->out, "\"reasoning_details\":[{\"type\":\"reasoning.text\",\"text\":\"");
		buf_slice_append(p->out, buf_slice(&text));
		buf_str(p->out, "\"}]");
	}
	p->out->failed |= !buf_ok(&text);
	buf_fini(&text);
}

/* ---- messages ---- */

static void patch_message(
	struct openai_ids *ids, struct patch *p, const struct message *m, bool last)
{
	const struct quirks *q = ids->q;
	struct plan plan = plan_of(q, m);
	bool had_content = false, marked = false, stays;
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, m->object);
	json_iter_init(&it, m->object);
	while (json_iter_next(&it, &key, &v)) {
		bool null = v.kind == JSON_NULL && !KEY_IS(key, "content");

		if (is_of_thoughts(&plan, m, key, v, &stays)) {
			had_content |= stays && KEY_IS(key, "reasoning_content");
			if (!stays)
				patch_list_drop(&list);
			else
				patch_list_keep(p, &list, key, v);
			continue;
		}
		/* null means absent, but strict servers refuse it. */
		if ((q->strict && null) || quirks_drops_of_message(q, bare(key))) {
			patch_list_drop(&list);
			continue;
		}
		marked |= q->prefill && slice_is(bare(key), q->prefill);
		patch_list_keep(p, &list, key, v);
		if (KEY_IS(key, "role") && m->developer && q->no_developer)
			patch_value(p, v, "\"system\"");
		else if (KEY_IS(key, "content"))
			patch_content(q, p, m->user, v);
		else if (KEY_IS(key, "tool_calls"))
			patch_calls(ids, p, v);
		else if (KEY_IS(key, "tool_call_id"))
			openai_ids_patch(ids, p, v);
	}
	if (plan.content || plan.reasoning || plan.details)
		add_thoughts(&plan, m, had_content, p, &list);
	if (last && q->prefill && !marked && m->assistant && !m->calls.kind) {
		patch_list_add(p, &list);
		buf_printf(p->out, "\"%s\":true", q->prefill);
	}
	patch_list_end(p, &list);
}

/* Do the system messages stand where they may not? */
static bool must_merge(const struct quirks *q, struct json_value messages, struct slice front)
{
	const char *p = messages.raw.ptr + 1;
	size_t systems = front.len != 0;
	struct message m;
	bool others = false;

	while (q->system && next_message(q, messages, &p, &m)) {
		if (!m.system)
			others = true;
		else if (others || (systems++ && q->system == SYSTEM_ONE))
			return true;
	}
	return false;
}

static void write_merged(
	const struct quirks *q, struct json_value messages, struct slice front, struct buf *out)
{
	const char *p = messages.raw.ptr + 1;
	struct message m;
	size_t begin;

	buf_str(out, "{\"role\":\"system\",\"content\":\"");
	begin = out->len;
	buf_slice_append(out, front);
	while (next_message(q, messages, &p, &m)) {
		if (!m.system)
			continue;
		if (out->len != begin)
			buf_str(out, "\\n\\n");
		write_texts(m.content, out);
	}
	buf_str(out, "\"}");
}

/* An assistant that says nothing, where that is refused. */
static bool is_refused(const struct quirks *q, const struct message *m)
{
	return q->bridges && m->assistant && !m->calls.kind && !json_is_truthy(m->content) &&
	       json_get(m->object, "function_call").kind != JSON_OBJECT;
}

void openai_messages_write(
	const struct quirks *q, struct json_value messages, struct slice front, struct buf *out)
{
	const char *at = messages.raw.ptr + 1, *end = messages.raw.ptr + messages.raw.len - 1;
	struct patch p = { .out = out, .done = messages.raw.ptr };
	struct openai_ids ids = { .q = q };
	bool merge = must_merge(q, messages, front), behind_tool = false;
	const struct slice no_key = { "", 0 };
	struct patch_list list;
	struct message m;

	patch_list_begin(&list, messages);
	if (merge || front.len) {
		patch_cut(&p, list.end, list.end);
		if (merge) {
			write_merged(q, messages, front, out);
		} else {
			buf_str(out, "{\"role\":\"system\",\"content\":\"");
			buf_slice_append(out, front);
			buf_str(out, "\"}");
		}
		list.any = list.gap = true; /* the next one comes behind a comma */
	}
	while (next_message(q, messages, &at, &m)) {
		bool last = behind_blanks(at, end) == end;

		if ((merge && m.system) || is_refused(q, &m)) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(&p, &list, no_key, m.object);
		if (q->bridges && m.user && behind_tool) {
			patch_cut(&p, m.object.raw.ptr, m.object.raw.ptr);
			buf_str(out, "{\"role\":\"assistant\",\"content\":\"OK.\"},");
		}
		behind_tool = m.tool;
		if (m.odd || (last && q->prefill && m.assistant))
			patch_message(&ids, &p, &m, last);
	}
	patch_list_end(&p, &list);
	patch_end(&p, messages.raw);
	openai_ids_fini(&ids, out);
}
