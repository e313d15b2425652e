/* gateway/providers/gemini_answer.c - what Gemini answers: whole responses, and streams whose every
 * chunk is a response with the new parts only (gemini.md sections 11 to 13). */
#include "gateway/providers/gemini_answer.h"
#include "gateway/providers/members.h"
#include "gateway/providers/reply.h"

#include <stdio.h>
#include <stdlib.h>

#define NOTHING ((struct slice){ "", 0 })

struct state {
	struct gemini_json json;
	unsigned thought[CHOICES_MAX]; /* 1 + the number of the detail that is being told */
	unsigned cited[CHOICES_MAX];   /* pages already told */
	unsigned images[CHOICES_MAX];  /* the same */
	int64_t counted;               /* completion tokens that were reported … */
	size_t uncounted_bytes;        /* … and what was told since then */
};

static struct state *state_of(struct dialect *d)
{
	struct state *s = d->own;

	if (s)
		return s;
	d->own = s = calloc(1, sizeof(*s));
	if (s)
		s->json = gemini_json_of_request(d->target, d->req);
	return s;
}

/* ---- usage: section 12 ---- */

static int64_t count_of(struct json_value v)
{
	int64_t n;

	if (!json_int(v, &n) || n < 0)
		return 0; /* zeros are left out */
	return n < INT32_MAX ? n : INT32_MAX;
}

static void take_usage(struct dialect *d, struct state *s, struct json_value usage)
{
	enum { PROMPT, TOOLS, CACHED, WRITTEN, THOUGHT, TOTAL, COUNTS };
	static const char *const names[COUNTS] = { "promptTokenCount", "toolUsePromptTokenCount",
		"cachedContentTokenCount", "candidatesTokenCount", "thoughtsTokenCount",
		"totalTokenCount" };
	struct json_value v[COUNTS];
	struct usage *u = &d->usage;
	int64_t n[COUNTS];

	if (usage.kind != JSON_OBJECT)
		return;
	members_read(usage, names, COUNTS, v);
	for (unsigned i = 0; i < COUNTS; i++)
		n[i] = count_of(v[i]);
	u->state = USAGE_REPORTED;
	u->prompt_tokens = n[PROMPT] + n[TOOLS];
	u->cached_tokens = n[CACHED] < u->prompt_tokens ? n[CACHED] : u->prompt_tokens;
	u->completion_tokens = n[WRITTEN] + n[THOUGHT];
	/* Some models of Vertex count thoughts among what they wrote. */
	if (n[TOTAL] && n[THOUGHT] <= n[WRITTEN] && n[TOTAL] == u->prompt_tokens + n[WRITTEN])
		u->completion_tokens = n[WRITTEN];
	u->reasoning_tokens = n[THOUGHT];
	s->counted = u->completion_tokens;
	if (s->counted)
		s->uncounted_bytes = 0;
}

/* A stream that is cut is billed by what it told behind the last figures. */
static void count_text(struct dialect *d, struct state *s, bool reported, size_t text_bytes)
{
	if (d->usage.state != USAGE_REPORTED || (reported && s->counted))
		return;
	s->uncounted_bytes += text_bytes;
	d->usage.completion_tokens = s->counted + (int64_t)((s->uncounted_bytes + 3) / 4);
}

/* ---- parts ---- */

/* A text of ours around one of the provider's, which is a raw JSON string. */
static void tell_fenced(
	struct dialect *d, unsigned choice, const char *before, struct json_value text)
{
	struct buf json = { .max_bytes = REPLY_TEXT_MAX };

	if (text.kind != JSON_STRING)
		return;
	buf_char(&json, '"');
	buf_str(&json, before);
	buf_slice_append(&json, member_inner(text));
	buf_str(&json, "\\n```\\n\"");
	if (buf_ok(&json))
		reply_text(d, choice, (struct json_value){ JSON_STRING, buf_slice(&json) });
	buf_fini(&json);
}

/* The answer in the arguments of the tool made up for it. */
static void tell_arguments(
	struct dialect *d, unsigned choice, const struct state *s, struct json_value args)
{
	struct json_value value = s->json.wrapped ? json_get(args, "value") : args;
	struct buf json = { .max_bytes = REPLY_TEXT_MAX };

	buf_json_str(&json, value.kind ? value.raw : SLICE("null"));
	if (buf_ok(&json))
		reply_text(d, choice, (struct json_value){ JSON_STRING, buf_slice(&json) });
	buf_fini(&json);
}

static bool is_text(struct json_value v)
{
	return v.kind == JSON_STRING && v.raw.len > 2;
}

/* A signature of the text before it, or of what has the id (a raw JSON string). */
static void tell_signature(
	struct dialect *d, unsigned choice, struct json_value signature, struct slice id)
{
	if (is_text(signature))
		reply_hidden_thought(
			d, choice, reply_next_detail(d, choice), GEMINI_THOUGHTS, signature, id);
}

/* What is signed has a name by which talk.h finds it again: its place among the images. */
static void on_image(struct dialect *d, struct state *s, unsigned choice, struct json_value blob,
	struct json_value signature)
{
	struct json_value data = member_read(blob, "data");
	char id[24];

	if (!is_text(data))
		return;
	reply_image(d, choice, member_read(blob, "mimeType").raw, data);
	snprintf(id, sizeof(id), "\"image_%u\"", s->images[choice]++);
	tell_signature(d, choice, signature, slice_of(id));
}

static void on_call(struct dialect *d, struct state *s, unsigned choice, struct json_value call,
	struct json_value signature)
{
	enum { ID, NAME, ARGS, MEMBERS };
	static const char *const names[MEMBERS] = { "id", "name", "args" };
	struct json_value m[MEMBERS];
	struct buf name = { .max_bytes = REPLY_TEXT_MAX }, extra = { .max_bytes = REPLY_TEXT_MAX };
	unsigned slot;

	members_read(call, names, MEMBERS, m);
	if (m[ARGS].kind != JSON_OBJECT)
		m[ARGS] = (struct json_value){ JSON_OBJECT, SLICE("{}") };
	if (s->json.by_tool && json_str_is(m[NAME].raw, s->json.name)) {
		tell_arguments(d, choice, s, m[ARGS]);
		return;
	}
	if (is_text(signature)) {
		buf_str(&extra, "\"extra_content\":{\"google\":{\"thought_signature\":");
		buf_slice_append(&extra, signature.raw);
		buf_str(&extra, "}}");
	}
	ask_write_client_name(d->req, &gemini_names, m[NAME].raw, &name);
	slot = reply_call(d, choice, m[ID].kind == JSON_STRING ? m[ID].raw : NOTHING,
		buf_slice(&name), buf_slice(&extra));
	reply_arguments_object(d, choice, slot, m[ARGS]);
	tell_signature(d, choice, signature, reply_call_id(d, choice, slot));
	buf_fini(&name);
	buf_fini(&extra);
}

static void on_part(struct dialect *d, struct state *s, unsigned choice, struct json_value part)
{
	enum { TEXT, THOUGHT, SIGNATURE, CALL, BLOB, CODE, OUTPUT, MEMBERS };
	static const char *const names[MEMBERS] = { "text", "thought", "thoughtSignature",
		"functionCall", "inlineData", "executableCode", "codeExecutionResult" };
	struct json_value m[MEMBERS];

	members_read(part, names, MEMBERS, m);
	if (json_is_true(m[THOUGHT]) && m[TEXT].kind == JSON_STRING) {
		if (!s->thought[choice])
			s->thought[choice] = 1 + reply_next_detail(d, choice);
		reply_thought(
			d, choice, s->thought[choice] - 1, GEMINI_THOUGHTS, m[TEXT], m[SIGNATURE]);
		return;
	}
	s->thought[choice] = 0;
	if (m[CALL].kind == JSON_OBJECT) {
		on_call(d, s, choice, m[CALL], m[SIGNATURE]);
		return;
	}
	if (m[BLOB].kind == JSON_OBJECT) {
		on_image(d, s, choice, m[BLOB], m[SIGNATURE]);
		return;
	}
	if (m[TEXT].kind == JSON_STRING)
		reply_text(d, choice, m[TEXT]);
	else if (m[CODE].kind == JSON_OBJECT)
		tell_fenced(d, choice, "\\n```python\\n", member_read(m[CODE], "code"));
	else if (m[OUTPUT].kind == JSON_OBJECT)
		tell_fenced(d, choice, "\\n```\\n", member_read(m[OUTPUT], "output"));
	tell_signature(d, choice, m[SIGNATURE], NOTHING);
}

/* ---- candidates ---- */

/* The pages an answer rests on. A chunk may list again what an earlier one has. */
static void cite(struct dialect *d, struct state *s, unsigned choice, struct json_value pages)
{
	struct json_value page, url, title;
	struct json_iter it;
	struct slice none;
	struct buf out = { 0 };
	unsigned n = 0;

	json_iter_init(&it, pages);
	for (; json_iter_next(&it, &none, &page); n++) {
		url = json_get(json_get(page, "web"), "uri");
		title = json_get(json_get(page, "web"), "title");
		if (n < s->cited[choice] || !is_text(url))
			continue;
		buf_reset(&out);
		buf_str(&out, "{\"url\":");
		buf_slice_append(&out, url.raw);
		buf_str(&out, ",\"title\":");
		buf_slice_append(&out, title.kind == JSON_STRING ? title.raw : SLICE("\"\""));
		buf_char(&out, '}');
		if (buf_ok(&out))
			reply_citation(d, choice, buf_slice(&out));
	}
	if (n > s->cited[choice])
		s->cited[choice] = n;
	buf_fini(&out);
}

static const char *finish_of(struct slice said)
{
	static const struct {
		const char *said, *means;
	} table[] = {
		{ "STOP", "stop" },
		{ "MAX_TOKENS", "length" },
		{ "SAFETY", "content_filter" },
		{ "RECITATION", "content_filter" },
		{ "LANGUAGE", "content_filter" },
		{ "BLOCKLIST", "content_filter" },
		{ "PROHIBITED_CONTENT", "content_filter" },
		{ "SPII", "content_filter" },
		{ "IMAGE_SAFETY", "content_filter" },
		{ "IMAGE_PROHIBITED_CONTENT", "content_filter" },
		{ "IMAGE_RECITATION", "content_filter" },
		{ "MALFORMED_FUNCTION_CALL", NULL },
		{ "UNEXPECTED_TOOL_CALL", NULL },
		{ "TOO_MANY_TOOL_CALLS", NULL },
		{ "MISSING_THOUGHT_SIGNATURE", NULL },
		{ "MALFORMED_RESPONSE", NULL },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (slice_is(said, table[i].said))
			return table[i].means;
	return "stop";
}

static enum err_code finish(
	struct dialect *d, unsigned choice, struct json_value reason, struct err *e)
{
	char said[64];
	const char *means;

	if (!json_str_copy(reason, said, sizeof(said)))
		str_copy_cut(said, sizeof(said), "OTHER");
	means = finish_of(slice_of(said));
	/* The model has failed at calling: nothing that the client could use has come of it. */
	if (!means)
		return err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with %s",
			d->target->slug, said);
	reply_finish(d, choice, means, slice_of(said));
	return ERR_OK;
}

static enum err_code on_candidate(
	struct dialect *d, struct state *s, struct json_value candidate, struct err *e)
{
	enum { INDEX, CONTENT, REASON, LOGPROBS, GROUNDING, MEMBERS };
	static const char *const names[MEMBERS] = { "index", "content", "finishReason",
		"logprobsResult", "groundingMetadata" };
	struct json_value m[MEMBERS], part;
	struct buf logprobs = { .max_bytes = REPLY_TEXT_MAX };
	struct json_iter it;
	struct slice none;
	int64_t index = 0;

	members_read(candidate, names, MEMBERS, m);
	if (m[INDEX].kind && (!json_int(m[INDEX], &index) || index < 0 || index >= CHOICES_MAX))
		return err_set(e, ERR_UPSTREAM_INVALID,
			"%s sent a candidate with an index beyond 0 to %d", d->target->slug,
			CHOICES_MAX - 1);
	reply_begin(d, (unsigned)index);
	json_iter_init(&it, json_get(m[CONTENT], "parts"));
	while (json_iter_next(&it, &none, &part))
		on_part(d, s, (unsigned)index, part);
	if (m[GROUNDING].kind == JSON_OBJECT)
		cite(d, s, (unsigned)index, json_get(m[GROUNDING], "groundingChunks"));
	if (m[LOGPROBS].kind == JSON_OBJECT) {
		gemini_write_logprobs(m[LOGPROBS], &logprobs);
		if (buf_ok(&logprobs) && logprobs.len)
			reply_logprobs(d, (unsigned)index, buf_slice(&logprobs));
		buf_fini(&logprobs);
	}
	return m[REASON].kind ? finish(d, (unsigned)index, m[REASON], e) : ERR_OK;
}

/* The prompt is refused, or what has been said of it so far turns out to be. */
static void on_block(struct dialect *d, struct json_value reason)
{
	char said[64];

	if (!json_str_copy(reason, said, sizeof(said)))
		str_copy_cut(said, sizeof(said), "OTHER");
	for (unsigned i = 0; i < CHOICES_MAX; i++)
		if (i == 0 || d->seen[i >> 6] >> (i & 63) & 1)
			reply_finish(d, i, "content_filter", slice_of(said));
}

/* ---- responses ---- */

enum top { TOP_CANDIDATES, TOP_FEEDBACK, TOP_USAGE, TOP_ID, TOP_ERROR, TOP_MEMBERS };

#define TOP_NAMES \
	{ \
		{ .name = "candidates" }, { .name = "promptFeedback" }, \
			{ .name = "usageMetadata" }, { .name = "responseId" }, \
			{ .name = "error" }, \
	}

/* Reads one response, whole or a chunk. *reported: it had figures. */
static enum err_code on_response(struct dialect *d, struct state *s, struct slice text,
	const struct json_member *top, bool *reported, struct err *e)
{
	struct json_value block = json_get(top[TOP_FEEDBACK].value, "blockReason"), candidate;
	struct json_iter it;
	struct slice none;
	enum err_code rc = ERR_OK;

	if (json_is_truthy(top[TOP_ERROR].value))
		return gemini_refusal(d, top[TOP_ERROR].value, text, e);
	reply_id(d, top[TOP_ID].value);
	*reported = top[TOP_USAGE].value.kind == JSON_OBJECT;
	take_usage(d, s, top[TOP_USAGE].value);
	json_iter_init(&it, top[TOP_CANDIDATES].value);
	while (!rc && json_iter_next(&it, &none, &candidate))
		rc = on_candidate(d, s, candidate, e);
	if (!rc && json_is_truthy(block))
		on_block(d, block);
	return rc;
}

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
}

static enum err_code not_json(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(
		e, ERR_UPSTREAM_INVALID, "%s sent %s that is not JSON", d->target->slug, what);
}

static enum err_code read_response(
	struct dialect *d, struct state *s, struct slice text, bool *reported, struct err *e)
{
	struct json_member top[TOP_MEMBERS] = TOP_NAMES;

	if (json_scan(text, &tongue_limits, top, TOP_MEMBERS, NULL))
		return not_json(d, "an answer", e);
	return on_response(d, s, text, top, reported, e);
}

enum err_code gemini_decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	struct json_value tree = { JSON_ABSENT, slice_trim(body) }, chunk;
	struct state *s = state_of(d);
	struct json_iter it;
	struct slice none;
	enum err_code rc = ERR_OK;
	bool reported;

	(void)content_type;
	if (!s)
		return no_memory(e);
	if (json_validate(tree.raw, &tongue_limits, &tree.kind, NULL))
		return not_json(d, "an answer", e);
	reply_open(d, REPLY_WHOLE, now_s);
	if (tree.kind != JSON_ARRAY)
		rc = read_response(d, s, tree.raw, &reported, e);
	/* Without alt=sse the chunks of a stream are elements of one array, errors too. */
	json_iter_init(&it, tree);
	while (!rc && tree.kind == JSON_ARRAY && json_iter_next(&it, &none, &chunk))
		rc = read_response(d, s, chunk.raw, &reported, e);
	return rc ? rc : reply_answer(d, out, e);
}

enum err_code gemini_decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	struct json_member top[TOP_MEMBERS] = TOP_NAMES;
	struct slice text = slice_trim(ev->data);
	struct state *s = state_of(d);
	bool reported = false;
	enum err_code rc;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (!s)
		return no_memory(e);
	if (slice_is(text, "[DONE]")) { /* from some who only look like Google */
		out->kind = DELTA_DONE;
		return ERR_OK;
	}
	if (slice_starts(text, "[") && !json_validate(text, &tongue_limits, NULL, NULL))
		text = json_at((struct json_value){ JSON_ARRAY, text }, 0).raw; /* an error */
	if (json_scan(text, &tongue_limits, top, TOP_MEMBERS, NULL)) {
		d->malformed++;
		return not_json(d, "an event", e);
	}
	reply_open(d, REPLY_CHUNK, now_s);
	rc = on_response(d, s, text, top, &reported, e);
	if (rc) {
		out->kind = DELTA_ERROR;
		return rc;
	}
	rc = reply_chunk(d, out, e);
	count_text(d, s, reported, out->text_bytes);
	return rc;
}
