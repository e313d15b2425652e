#include "gateway/providers/family.h"

#include "gateway/providers/members.h"
#include "gateway/providers/openai_ids.h"

#define TEXT_MAX ((size_t)64 << 20) /* bytes of a result of a tool, and of thoughts in words */

static bool is_empty(struct json_value v)
{
	return !json_is_truthy(v);
}

/* ---- details of thoughts ---- */

struct detail {
	struct json_value type, format, signature, text, summary;
};

static struct detail read_detail(struct json_value object)
{
	enum { TYPE, FORMAT, SIGNATURE, TEXT, SUMMARY, MEMBERS };
	static const char *const names[] = { "type", "format", "signature", "text", "summary" };
	struct json_value m[MEMBERS];

	members_read(object, names, MEMBERS, m);
	return (struct detail){ m[TYPE], m[FORMAT], m[SIGNATURE], m[TEXT], m[SUMMARY] };
}

static bool is_hidden(const struct detail *d)
{
	return json_str_is(d->type.raw, "reasoning.encrypted") || !is_empty(d->signature);
}

/* Who wrote it; FAMILY_OPEN: it is in plain words. Without a format it is Claude's (section 25.2)
 * if somebody must vouch for it. */
static enum family writer_of(const struct detail *d)
{
	static const struct {
		const char *format;
		enum family family;
	} formats[] = {
		{ "anthropic-claude-", FAMILY_CLAUDE },
		{ "google-gemini-", FAMILY_GEMINI },
		{ "openai-responses-", FAMILY_GPT },
		{ "azure-openai-responses-", FAMILY_GPT },
		{ "xai-responses-", FAMILY_GROK },
	};
	struct slice format = member_inner(d->format);

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (slice_starts(format, formats[i].format))
			return formats[i].family;
	return is_hidden(d) && !format.len ? FAMILY_CLAUDE : FAMILY_OPEN;
}

bool family_is_bound(struct json_value details)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct detail d;

	json_iter_init(&it, details);
	while (json_iter_next(&it, &none, &v)) {
		d = read_detail(v);
		if (is_hidden(&d))
			return true;
	}
	return false;
}

/* Does anybody vouch for Claude's thoughts among them? Where a stream was kept in pieces, only the
 * last is signed; where none is, they would be refused. */
static bool are_signed(struct json_value details)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct detail d;

	json_iter_init(&it, details);
	while (json_iter_next(&it, &none, &v)) {
		d = read_detail(v);
		if (writer_of(&d) == FAMILY_CLAUDE && is_hidden(&d))
			return true;
	}
	return false;
}

static bool is_understood(enum family family, bool vouched, const struct detail *d)
{
	enum family writer = writer_of(d);

	/* An unsigned piece without a format, among signed ones, is one of them. */
	if (family == FAMILY_CLAUDE)
		return vouched &&
		       (writer == FAMILY_CLAUDE || (writer == FAMILY_OPEN && is_empty(d->format)));
	return writer == family && !(family == FAMILY_OPEN && is_hidden(d));
}

/* How many of the details the family understands; words gets what the others said, without quotes.
 */
static size_t count_understood(
	enum family family, bool vouched, struct json_value details, struct buf *words)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct detail d;
	size_t n = 0;

	json_iter_init(&it, details);
	while (json_iter_next(&it, &none, &v)) {
		d = read_detail(v);
		if (is_understood(family, vouched, &d)) {
			n++;
			continue;
		}
		buf_slice_append(words, member_inner(d.text));
		buf_slice_append(words, member_inner(d.summary));
	}
	return n;
}

static void patch_details(
	enum family family, bool vouched, struct patch *p, struct json_value details)
{
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice none;
	struct detail d;

	if (details.kind != JSON_ARRAY)
		return;
	patch_list_begin(&list, details);
	json_iter_init(&it, details);
	while (json_iter_next(&it, &none, &v)) {
		d = read_detail(v);
		if (is_understood(family, vouched, &d))
			patch_list_keep(p, &list, none, v);
		else
			patch_list_drop(&list);
	}
	patch_list_end(p, &list);
}

/* Appends what blocks in Anthropic's shape say, without quotes. */
static void write_words(struct json_value blocks, struct buf *out)
{
	struct json_iter it;
	struct json_value block;
	struct slice none;

	json_iter_init(&it, blocks);
	while (blocks.kind == JSON_ARRAY && json_iter_next(&it, &none, &block))
		buf_slice_append(out, member_inner(member_read(block, "thinking")));
}

/* Appends blocks in Anthropic's shape as details, with commas between. */
static void write_blocks(struct json_value blocks, struct buf *out)
{
	struct json_value block, thinking, signature, data;
	struct json_iter it;
	struct slice none;
	unsigned n = 0;

	json_iter_init(&it, blocks);
	while (json_iter_next(&it, &none, &block)) {
		thinking = member_read(block, "thinking");
		signature = member_read(block, "signature");
		data = member_read(block, "data");
		if (thinking.kind == JSON_STRING && signature.kind == JSON_STRING)
			buf_printf(out,
				"%s{\"type\":\"reasoning.text\",\"text\":%.*s,\"signature\":%.*s",
				n ? "," : "", SLICE_ARG(thinking.raw), SLICE_ARG(signature.raw));
		else if (data.kind == JSON_STRING)
			buf_printf(out, "%s{\"type\":\"reasoning.encrypted\",\"data\":%.*s",
				n ? "," : "", SLICE_ARG(data.raw));
		else
			continue;
		buf_printf(out, ",\"format\":\"anthropic-claude-v1\",\"index\":%u}", n++);
	}
}

/* ---- results of tools ---- */

/* Appends a JSON text with its keys "$ref" renamed; false: it has none. */
static bool rename_refs(struct json_value v, struct patch *p)
{
	struct json_iter it;
	struct json_value inner;
	struct slice key;
	bool any = false;

	if (v.kind != JSON_OBJECT && v.kind != JSON_ARRAY)
		return false;
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &inner)) {
		if (key.len && json_str_is(key, "$ref")) {
			patch_cut(p, key.ptr, key.ptr + key.len);
			buf_str(p->out, "\"_ref\"");
			any = true;
		}
		any |= rename_refs(inner, p);
	}
	return any;
}

static void patch_result(struct patch *p, struct json_value content)
{
	struct json_value v = { .kind = JSON_ABSENT };
	struct buf text = { .max_bytes = TEXT_MAX }, renamed = { .max_bytes = TEXT_MAX };
	struct patch inner = { .out = &renamed };

	if (!memmem(content.raw.ptr, content.raw.len, "ref", 3) ||
		!json_str_decode(content, &text) || !buf_ok(&text))
		goto out;
	v.raw = slice_trim(buf_slice(&text));
	if (json_validate(v.raw, &tongue_limits, &v.kind, NULL))
		goto out;
	inner.done = v.raw.ptr;
	if (!rename_refs(v, &inner))
		goto out;
	patch_end(&inner, v.raw);
	patch_cut(p, content.raw.ptr, content.raw.ptr + content.raw.len);
	buf_json_str(p->out, buf_slice(&renamed));
	p->out->failed |= !buf_ok(&renamed);
out:
	buf_fini(&text);
	buf_fini(&renamed);
}

/* ---- messages ---- */

static bool is_googles(struct slice key)
{
	return json_str_is(key, "extra_content") || json_str_is(key, "provider_specific_fields") ||
	       json_str_is(key, "thoughtSignature") || json_str_is(key, "thought_signature");
}

static void patch_function(enum family family, struct patch *p, struct json_value function)
{
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, function);
	json_iter_init(&it, function);
	while (json_iter_next(&it, &key, &v))
		if (family != FAMILY_GEMINI && is_googles(key))
			patch_list_drop(&list);
		else
			patch_list_keep(p, &list, key, v);
	patch_list_end(p, &list);
}

static void patch_call(struct openai_ids *ids, struct patch *p, struct json_value call)
{
	enum family family = ids->q->family;
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, call);
	json_iter_init(&it, call);
	while (json_iter_next(&it, &key, &v)) {
		if (family != FAMILY_GEMINI && is_googles(key)) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(p, &list, key, v);
		if (json_str_is(key, "id"))
			openai_ids_patch(ids, p, v);
		else if (json_str_is(key, "function") && v.kind == JSON_OBJECT)
			patch_function(family, p, v);
	}
	patch_list_end(p, &list);
}

static void patch_calls(struct openai_ids *ids, struct patch *p, struct json_value calls)
{
	struct json_iter it;
	struct json_value call;
	struct slice none;

	json_iter_init(&it, calls);
	while (calls.kind == JSON_ARRAY && json_iter_next(&it, &none, &call))
		if (call.kind == JSON_OBJECT)
			patch_call(ids, p, call);
}

/* Parts that are thoughts are known to no router. */
static void patch_content(struct patch *p, struct json_value content)
{
	struct patch_list list;
	struct json_iter it;
	struct json_value part;
	struct slice none, type;

	if (content.kind != JSON_ARRAY)
		return;
	patch_list_begin(&list, content);
	json_iter_init(&it, content);
	while (json_iter_next(&it, &none, &part)) {
		type = member_read(part, "type").raw;
		if (json_str_is(type, "thinking") || json_str_is(type, "redacted_thinking"))
			patch_list_drop(&list);
		else
			patch_list_keep(p, &list, none, part);
	}
	if (list.gap && !list.any)
		patch_value(p, content, "\"\"");
	else
		patch_list_end(p, &list);
}

/* What is looked at in a message before it is changed. */
struct message {
	bool assistant, tool;
	bool vouched;      /* Claude's thoughts in it are signed */
	bool thinks;       /* it says thoughts in plain words */
	size_t understood; /* details */
	struct json_value blocks;
	struct buf words; /* of details that are not understood, or of blocks */
};

static struct message read_message(enum family family, struct json_value object)
{
	enum { ROLE, DETAILS, BLOCKS, REASONING, REASONING_CONTENT, MEMBERS };
	static const char *const names[] = { "role", "reasoning_details", "thinking_blocks",
		"reasoning", "reasoning_content" };
	struct message message = { .words = { .max_bytes = TEXT_MAX } };
	struct json_value m[MEMBERS];

	members_read(object, names, MEMBERS, m);
	message.assistant = json_str_is(m[ROLE].raw, "assistant");
	message.tool = json_str_is(m[ROLE].raw, "tool");
	message.thinks = !is_empty(m[REASONING]) || !is_empty(m[REASONING_CONTENT]);
	message.blocks = m[BLOCKS];
	if (is_empty(m[DETAILS]))
		write_words(m[BLOCKS], &message.words);
	if (m[DETAILS].kind != JSON_ARRAY)
		return message;
	message.vouched = family == FAMILY_CLAUDE && are_signed(m[DETAILS]);
	message.understood = count_understood(family, message.vouched, m[DETAILS], &message.words);
	return message;
}

/* Is the member of an assistant's message left out? */
static bool is_left_out(
	enum family family, const struct message *m, struct slice key, struct json_value v)
{
	if (json_str_is(key, "reasoning_details"))
		return v.kind == JSON_ARRAY && !m->understood && json_is_truthy(v);
	return json_str_is(key, "thinking_blocks") || (family != FAMILY_GEMINI && is_googles(key));
}

static void add_thoughts(
	enum family family, const struct message *m, struct patch *p, struct patch_list *list)
{
	struct buf blocks = { .max_bytes = TEXT_MAX };

	if (family == FAMILY_CLAUDE && !m->understood)
		write_blocks(m->blocks, &blocks);
	if (blocks.len) {
		patch_list_add(p, list);
		buf_str(p->out, "\"reasoning_details\":[");
		buf_slice_append(p->out, buf_slice(&blocks));
		buf_char(p->out, ']');
	}
	if (family == FAMILY_OPEN && m->words.len && !m->thinks) {
		patch_list_add(p, list);
		buf_str(p->out, "\"reasoning\":\"");
		buf_slice_append(p->out, buf_slice(&m->words));
		buf_char(p->out, '"');
	}
	p->out->failed |= !buf_ok(&blocks) || !buf_ok(&m->words);
	buf_fini(&blocks);
}

static void patch_message(struct openai_ids *ids, struct patch *p, struct json_value object)
{
	enum family family = ids->q->family;
	struct message m = read_message(family, object);
	struct patch_list list;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	patch_list_begin(&list, object);
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (m.assistant && is_left_out(family, &m, key, v)) {
			patch_list_drop(&list);
			continue;
		}
		patch_list_keep(p, &list, key, v);
		if (json_str_is(key, "tool_call_id"))
			openai_ids_patch(ids, p, v);
		else if (m.assistant && json_str_is(key, "reasoning_details"))
			patch_details(family, m.vouched, p, v);
		else if (m.assistant && json_str_is(key, "tool_calls"))
			patch_calls(ids, p, v);
		else if (m.assistant && json_str_is(key, "content"))
			patch_content(p, v);
		else if (m.tool && family == FAMILY_GEMINI && json_str_is(key, "content"))
			patch_result(p, v);
	}
	if (m.assistant)
		add_thoughts(family, &m, p, &list);
	patch_list_end(p, &list);
	buf_fini(&m.words);
}

void family_write_messages(const struct quirks *q, struct json_value messages, struct buf *out)
{
	struct patch p = { .out = out, .done = messages.raw.ptr };
	struct openai_ids ids = { .q = q };
	struct json_iter it;
	struct json_value message;
	struct slice none;

	json_iter_init(&it, messages);
	while (json_iter_next(&it, &none, &message))
		patch_message(&ids, &p, message);
	patch_end(&p, messages.raw);
	openai_ids_fini(&ids, out);
}
