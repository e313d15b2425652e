#include "gateway/providers/openai_request.h"

#include "gateway/providers/ask.h"
#include "gateway/providers/family.h"
#include "gateway/providers/openai_ids.h"
#include "gateway/providers/openai_like.h"
#include "gateway/providers/openai_messages.h"
#include "gateway/providers/openai_router.h"
#include "gateway/providers/openai_tools.h"
#include "gateway/providers/post.h"

/* ---- the client's members ---- */

/* Walks the body without reading through the messages, whose place is known. */
struct body_iter {
	struct json_iter it;
	const struct json_member *messages;
	const char *end;
};

static struct body_iter body_begin(const struct chat_req *req)
{
	struct body_iter b = { .messages = &req->field[CHAT_MESSAGES] };

	json_iter_init(&b.it, (struct json_value){ JSON_OBJECT, req->body });
	b.end = b.it.end;
	b.it.end = b.messages->whole.ptr;
	return b;
}

static bool body_next(struct body_iter *b, struct slice *key, struct json_value *v)
{
	if (json_iter_next(&b->it, key, v))
		return true;
	if (!b->messages)
		return false;
	*key = (struct slice){ b->messages->whole.ptr, 2 };
	*v = b->messages->value;
	b->it.p = v->raw.ptr + v->raw.len;
	b->it.end = b->end;
	b->messages = NULL;
	return true;
}

/* ---- what the client asks for, beside what stages look at ---- */

struct asked {
	struct json_value reasoning, effort, native, tool_choice, format, cache_key, provider,
		options, temperature;
	enum effort wish;
};

static const char *const effort_names[] = {
	[EFFORT_NONE] = "none",
	[EFFORT_MINIMAL] = "minimal",
	[EFFORT_LOW] = "low",
	[EFFORT_MEDIUM] = "medium",
	[EFFORT_HIGH] = "high",
	[EFFORT_XHIGH] = "xhigh",
	[EFFORT_MAX] = "max",
};

static enum effort effort_of(struct json_value v)
{
	for (unsigned i = EFFORT_NONE; i <= EFFORT_MAX; i++)
		if (json_str_is(v.raw, effort_names[i]))
			return (enum effort)i;
	return EFFORT_UNSET;
}

/* The effort whose share of all that a model may write is nearest to the budget: 2, 10, 30, 60 and
 * 90 % (kilo-contract.md section 25.1; gemini.md section 8). */
static enum effort effort_of_budget(int64_t budget, int64_t max_output)
{
	int64_t percent = 100 * budget / (max_output > 0 ? max_output : 32000);

	return percent < 6    ? EFFORT_MINIMAL
	       : percent < 20 ? EFFORT_LOW
	       : percent < 45 ? EFFORT_MEDIUM
	       : percent < 75 ? EFFORT_HIGH
			      : EFFORT_XHIGH;
}

/* What the client wants in the seven words, whichever way it said so. */
static enum effort wish_of(const struct asked *a, const struct target *t)
{
	enum effort wish = effort_of(a->effort);
	int64_t budget;

	if (wish)
		return wish;
	wish = effort_of(json_get(a->reasoning, "effort"));
	if (wish)
		return wish;
	if (json_int(json_get(a->reasoning, "max_tokens"), &budget) && budget > 0 &&
		budget < INT32_MAX)
		return effort_of_budget(budget, t->max_output);
	if (json_is_true(json_get(a->reasoning, "enabled")))
		return EFFORT_MEDIUM;
	return json_get(a->reasoning, "enabled").kind == JSON_BOOL ? EFFORT_NONE : EFFORT_UNSET;
}

static struct asked read_asked(
	const struct chat_req *req, const struct quirks *q, const struct target *t)
{
	struct asked a = { .wish = EFFORT_UNSET };
	struct {
		const char *name;
		struct json_value *to;
	} places[] = {
		{ "reasoning", &a.reasoning },
		{ "reasoning_effort", &a.effort },
		{ q->thinking.member, &a.native },
		{ "tool_choice", &a.tool_choice },
		{ "response_format", &a.format },
		{ "prompt_cache_key", &a.cache_key },
		{ "provider", &a.provider },
		{ "providerOptions", &a.options },
	};
	struct body_iter it = body_begin(req);
	struct json_value v;
	struct slice key;

	while (body_next(&it, &key, &v)) {
		struct slice name = { key.ptr + 1, key.len - 2 };

		if (v.kind == JSON_NULL)
			continue;
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
			if (places[i].name && slice_is(name, places[i].name))
				*places[i].to = v;
	}
	a.wish = wish_of(&a, t);
	return a;
}

/* ---- the body ---- */

/* A request on its way out. */
struct sending {
	const struct chat_req *req;
	const struct target *t;
	const struct quirks *q; /* as they hold for the model */
	struct asked asked;
	struct tool_plan tools;
	struct format_plan format;
	const struct effort_word *word; /* NULL: the client's own, if any */
	struct router_wishes routing;
	struct buf *out;
};

static void add_key(struct buf *out, struct slice name)
{
	buf_char(out, out->len ? ',' : '{');
	buf_char(out, '"');
	buf_slice_append(out, name);
	buf_str(out, "\":");
}

/* Is this member of the client's not to be sent? */
static bool is_left_out(const struct sending *s, struct slice name, struct json_value value)
{
	const struct chat_req *req = s->req;
	const struct quirks *q = s->q;
	bool tools = json_is_truthy(req->field[CHAT_TOOLS].value) && !s->tools.none;

	/* Asked for below, whatever the client wants. */
	if (slice_is(name, "stream_options") || quirks_drops(q, name))
		return true;
	/* null means absent, but strict servers refuse it (gotcha 13). */
	if (q->strict && value.kind == JSON_NULL)
		return true;
	if (s->asked.wish > EFFORT_NONE && quirks_has(q->drop_when_thinking, name))
		return true;
	/* One limit, under one name: the newer one counts (section 2). */
	if (slice_is(name, "max_tokens"))
		return req->field[CHAT_MAX_COMPLETION_TOKENS].value.kind == JSON_NUMBER;
	if (slice_is(name, "max_completion_tokens"))
		return value.kind == JSON_NULL &&
		       req->field[CHAT_MAX_TOKENS].value.kind != JSON_ABSENT;
	if (slice_is(name, "user"))
		return q->user_min && json_str_bytes(value) < q->user_min;
	/* An empty list of tools is refused, and so is a choice among none (section 2). */
	return !tools && req->field[CHAT_TOOLS].value.kind != JSON_ABSENT &&
	       (slice_is(name, "tools") || slice_is(name, "tool_choice") ||
		       slice_is(name, "parallel_tool_calls"));
}

/* Messages whose rows are not walked: as they are, but for what another family left in them, and
 * ids that carry what only Google reads. */
static void write_messages_plainly(const struct chat_req *req, const struct quirks *q,
	struct json_value messages, struct buf *out)
{
	if (family_looks(q, req))
		family_write_messages(q, messages, out);
	else if (openai_ids_are_marked(messages))
		openai_ids_rewrite(q, messages, out);
	else
		buf_slice_append(out, messages.raw);
}

/* Always asked for: without it there is nothing to bill by. What else the client put there is
 * kept. */
static void write_stream_options(const struct chat_req *req, struct buf *out)
{
	struct json_iter it;
	struct json_value value;
	struct slice key;

	add_key(out, SLICE("stream_options"));
	buf_str(out, "{\"include_usage\":true");
	json_iter_init(&it, req->field[CHAT_STREAM_OPTIONS].value);
	while (json_iter_next(&it, &key, &value)) {
		if (json_str_is(key, "include_usage"))
			continue;
		buf_char(out, ',');
		buf_slice_append(out, key);
		buf_char(out, ':');
		buf_slice_append(out, value.raw);
	}
	buf_char(out, '}');
}

/* The members by which a provider is told how much to think, where the client did not say it in
 * the provider's own. */
static void write_effort(const struct sending *s)
{
	const struct thinking_switch *sw = &s->q->thinking;
	bool native = s->asked.native.kind;

	if (s->q->wants_options && s->asked.effort.kind && !s->asked.reasoning.kind) {
		add_key(s->out, SLICE("reasoning"));
		buf_str(s->out, "{\"effort\":");
		buf_slice_append(s->out, s->asked.effort.raw);
		buf_char(s->out, '}');
	}
	if (!s->word)
		return;
	if (s->word->word && !(native && s->q->thinking_or_effort)) {
		add_key(s->out, SLICE("reasoning_effort"));
		buf_json_cstr(s->out, s->word->word);
	}
	if (s->word->thinking && !native && sw->member) {
		add_key(s->out, slice_of(sw->member));
		buf_str(s->out, s->word->thinking > 0 ? sw->on : sw->off);
	}
}

static bool client_has(const struct chat_req *req, const char *member)
{
	struct body_iter it = body_begin(req);
	struct json_value v;
	struct slice key;

	while (body_next(&it, &key, &v))
		if (json_str_is(key, member))
			return true;
	return false;
}

static void write_additions(const struct sending *s, const char *const *pairs)
{
	for (; pairs && *pairs; pairs += 2) {
		if (client_has(s->req, pairs[0]))
			continue;
		add_key(s->out, slice_of(pairs[0]));
		buf_str(s->out, pairs[1]);
	}
}

/* Does the switch of thinking say what Claude alone understands? */
static bool is_claudes(const struct quirks *q, struct slice name, struct json_value value)
{
	return q->thinking.member && slice_is(name, q->thinking.member) &&
	       (json_get(value, "budget_tokens").kind || json_get(value, "display").kind ||
		       json_str_is(json_get(value, "type").raw, "adaptive"));
}

/* A member that is sent, under the provider's name for it. */
static enum err_code write_member(
	const struct sending *s, struct slice name, struct json_value value, struct err *e)
{
	const struct quirks *q = s->q;
	struct slice known = quirks_name(q, name);

	if (q->limit == LIMIT_MAX_TOKENS && slice_is(name, "max_completion_tokens"))
		known = SLICE("max_tokens");
	else if (q->limit == LIMIT_MAX_COMPLETION_TOKENS && slice_is(name, "max_tokens"))
		known = SLICE("max_completion_tokens");
	if (slice_is(name, "response_format") && q->formats) {
		if (!s->format.value.len)
			return ERR_OK;
		value.raw = buf_slice(&s->format.value);
	}
	add_key(s->out, known);
	if (slice_is(name, "model"))
		buf_json_cstr(s->out, s->t->native_id);
	else if (slice_is(name, "messages") && q->walks)
		openai_messages_write(q, value, buf_slice(&s->format.told), s->out);
	else if (slice_is(name, "messages"))
		write_messages_plainly(s->req, q, value, s->out);
	else if (slice_is(name, "tools") && (q->walks || q->no_strict_tools))
		return openai_tools_write(s->t, q, &s->tools, value, s->out, e);
	else if (slice_is(name, "tool_choice") && s->tools.choice)
		buf_str(s->out, s->tools.choice);
	else if (slice_is(name, "provider") && q->is_router)
		openai_router_write_provider(&s->routing, s->out);
	else if (is_claudes(q, name, value))
		buf_str(s->out, q->thinking.on);
	else if (slice_is(name, "temperature") && q->no_zero_temperature && !json_is_truthy(value))
		buf_str(s->out, "0.01");
	else
		buf_slice_append(s->out, value.raw);
	return ERR_OK;
}

static enum err_code write_body(const struct sending *s, struct err *e)
{
	const struct chat_req *req = s->req;
	const struct quirks *q = s->q;
	struct body_iter it = body_begin(req);
	struct json_value value;
	struct slice key;
	enum err_code rc = ERR_OK;

	while (!rc && body_next(&it, &key, &value)) {
		struct slice name = { key.ptr + 1, key.len - 2 };

		/* By whatever escapes the client spells a member the gateway answers for. */
		for (size_t i = 0; i < CHAT_FIELDS; i++)
			if (key.ptr == req->field[i].whole.ptr)
				name = slice_of(req->field[i].name);
		if (is_left_out(s, name, value))
			continue;
		/* Said below, in the provider's words. */
		if (slice_is(name, "reasoning_effort") && (s->word || q->wants_options))
			continue;
		if (slice_is(name, "providerOptions") ||
			(slice_is(name, "provider") &&
				(q->wants_options || value.kind != JSON_OBJECT)))
			continue;
		rc = write_member(s, name, value, e);
	}
	if (rc)
		return rc;
	write_effort(s);
	write_additions(s, q->add);
	write_additions(s, q->model_add);
	if (req->stream && json_is_truthy(req->field[CHAT_TOOLS].value) && !s->tools.none)
		write_additions(s, q->add_with_tools);
	if (q->limit_default && !req->max_tokens) {
		bool less = s->t->max_output > 0 && s->t->max_output < q->limit_default;

		add_key(s->out, SLICE("max_tokens"));
		buf_int(s->out, less ? s->t->max_output : q->limit_default);
	}
	if (q->wants_options) {
		openai_router_write_options(&s->routing, s->out);
	} else if (q->is_router && s->asked.provider.kind != JSON_OBJECT &&
		   openai_router_has_wishes(&s->routing)) {
		add_key(s->out, SLICE("provider"));
		openai_router_write_provider(&s->routing, s->out);
	}
	if (req->stream && !q->no_stream_options)
		write_stream_options(req, s->out);
	buf_char(s->out, '}');
	return ERR_OK;
}

/* Requests with the same prompt go to the same machine, which has its beginning cached. What is no
 * plain word does not get into a header. */
static void add_affinity(const struct quirks *q, struct json_value cache_key, struct http_req *out)
{
	char key[129];

	if (!q->affinity || !json_str_copy(cache_key, key, sizeof(key)) || !key[0])
		return;
	for (const char *c = key; *c; c++)
		if (*c <= ' ' || *c > '~')
			return;
	post_header(out, q->affinity, key);
}

static const struct effort_word nothing_said = { NULL, 0 };

/* Is the model going to think? */
static bool will_think(const struct quirks *q, const struct asked *a)
{
	struct slice native = json_get(a->native, "type").raw;

	if (q->thinks == THINKS_ALWAYS)
		return true;
	if (a->native.kind)
		return !json_str_is(native, "disabled");
	if (a->wish && (!q->efforts || q->efforts[a->wish - EFFORT_NONE].word ||
			       q->efforts[a->wish - EFFORT_NONE].thinking))
		return a->wish > EFFORT_NONE;
	return q->thinks == THINKS_UNLESS_TOLD;
}

static enum err_code write_request(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	struct quirks q;
	struct sending s = { .req = req, .t = t, .q = &q, .out = &out->body };
	enum err_code rc = ERR_OK;

	quirks_for_model(t->quirks, t->native_id, &q);
	if (q.walks || q.efforts || q.is_router)
		s.asked = read_asked(req, &q, t);
	s.routing = (struct router_wishes){ t, &q, s.asked.provider, s.asked.options,
		q.provider_members &&
			openai_router_must_honour(s.asked.tool_choice, s.asked.format) };
	if (q.free_thinkers && will_think(&q, &s.asked))
		q.choice = CHOICE_AUTO;
	if (q.walks) {
		rc = openai_tools_plan(t, &q, s.asked.tool_choice, &s.tools, e);
		openai_format_plan(&q, s.asked.format, &s.format);
	}
	/* A word that is not one of the seven is the provider's own, where it has any. */
	if (q.efforts && s.asked.wish)
		s.word = &q.efforts[s.asked.wish - EFFORT_NONE];
	else if (q.efforts && !q.efforts[EFFORT_MEDIUM - EFFORT_NONE].word)
		s.word = &nothing_said;
	add_affinity(&q, s.asked.cache_key, out);
	if (!rc)
		rc = write_body(&s, e);
	if (!buf_ok(&s.format.told) || !buf_ok(&s.format.value))
		out->body.failed = true;
	format_plan_fini(&s.format);
	return rc;
}

/* ---- head ---- */

enum err_code openai_encode(
	const struct chat_req *req, const struct target *t, struct http_req *out, struct err *e)
{
	/* Edits make it longer: thoughts under two names, ids, arguments. */
	size_t most = 3 * req->body.len + 65536;
	enum err_code rc = most < req->body.len
				   ? err_set(e, ERR_NO_MEMORY, "the request does not fit")
				   : post_begin(t, req->stream, most, out, e);

	if (rc)
		return rc;
	if (buf_room(&out->body, req->body.len + 512))
		rc = write_request(req, t, out, e);
	return rc ? rc : post_end(out, e);
}
