/* gateway/providers/anthropic_answer.c - what Anthropic's Messages API answers: whole messages,
 * streams of events, errors (anthropic.md sections 10 to 13). */
#include "gateway/providers/anthropic.h"
#include "gateway/providers/refusal.h"
#include "gateway/providers/reply.h"

#include <stdlib.h>

/* ---- errors ---- */

#define STATUS_OVERLOADED 529

static int status_of(struct json_value error)
{
	static const struct {
		const char *type;
		int status;
	} table[] = {
		{ "invalid_request_error", 400 },
		{ "authentication_error", 401 },
		{ "billing_error", 402 },
		{ "permission_error", 403 },
		{ "not_found_error", 404 },
		{ "conflict_error", 409 },
		{ "request_too_large", 413 },
		{ "rate_limit_error", 429 },
		{ "api_error", 500 },
		{ "timeout_error", 504 },
		{ "overloaded_error", STATUS_OVERLOADED },
	};
	struct json_value type = json_get(error, "type");

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (json_str_is(type.raw, table[i].type))
			return table[i].status;
	return 500;
}

enum err_code anthropic_decode_error(
	const struct target *t, int status, struct slice body, struct err *e)
{
	static const char no_money[] = "credit balance is too low";
	bool unpaid = status == 400 && memmem(body.ptr, body.len, no_money, sizeof(no_money) - 1);
	enum err_code rc = refusal_of_body(t, unpaid ? 402 : status, body, e);

	e->upstream_status = status;
	if (rc == ERR_UPSTREAM_STATUS && status == STATUS_OVERLOADED)
		e->status = 503; /* clients do not know 529 */
	else if (rc == ERR_UPSTREAM_STATUS && status == 500)
		e->status = 502; /* nothing of ours has failed */
	return rc;
}

/* ---- the state of a stream ---- */

enum block {
	BLOCK_NONE,
	BLOCK_TEXT,
	BLOCK_THOUGHT,
	BLOCK_CALL,
	BLOCK_JSON,    /* the call that is the answer */
	BLOCK_SILENCE, /* what a client is not told: tools that run at Anthropic */
};

/* Where in the text of {"value":…} a stream is. */
enum wrap {
	WRAP_BEFORE, /* the colon */
	WRAP_VALUE,  /* inside what is told */
	WRAP_AFTER,
};

enum counter { COUNT_INPUT, COUNT_WRITTEN, COUNT_READ, COUNT_OUTPUT, COUNTERS };

struct state {
	bool started; /* by a message_start */
	bool counted; /* a final figure of the output has come */
	struct anthropic_json json;
	const char *thoughts; /* their format */
	int64_t n[COUNTERS];
	int64_t written_1h, thought;
	size_t text_bytes; /* generated so far */
	/* the block that is open */
	enum block block;
	int64_t index;
	unsigned slot, detail;
	bool said; /* something of a call's input has come in pieces */
	/* of an answer that is wrapped */
	enum wrap wrap;
	unsigned depth;
	bool in_string, escaped;
};

static struct state *state_of(struct dialect *d)
{
	struct state *s = d->own;
	char id[MODEL_ID_MAX];

	if (s)
		return s;
	d->own = s = calloc(1, sizeof(*s));
	if (!s)
		return NULL;
	anthropic_native_id(d->target->native_id, id);
	s->thoughts = anthropic_thoughts(anthropic_model_of(id));
	s->json = anthropic_json_of_request(d->target, d->req);
	return s;
}

/* ---- usage: section 11 ---- */

static void take_count(struct json_value v, int64_t *out)
{
	int64_t n;

	if (json_int(v, &n) && n >= 0)
		*out = n < INT32_MAX ? n : INT32_MAX;
}

static void take_counts(struct json_value usage, int64_t n[COUNTERS])
{
	take_count(json_get(usage, "input_tokens"), &n[COUNT_INPUT]);
	take_count(json_get(usage, "cache_creation_input_tokens"), &n[COUNT_WRITTEN]);
	take_count(json_get(usage, "cache_read_input_tokens"), &n[COUNT_READ]);
	take_count(json_get(usage, "output_tokens"), &n[COUNT_OUTPUT]);
}

/* What steps such as compaction used comes beside the message's own; advice is not billed, and
 * where another model stepped in the figures at the top are right. */
static void take_iterations(struct json_value list, int64_t n[COUNTERS])
{
	int64_t sum[COUNTERS] = { 0 };
	struct json_iter it;
	struct json_value step;
	struct slice none;
	bool any = false;

	if (list.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &step)) {
		struct slice type = json_get(step, "type").raw;
		int64_t of_step[COUNTERS] = { 0 };

		if (json_str_is(type, "fallback_message"))
			return;
		if (!json_str_is(type, "message") && !json_str_is(type, "compaction"))
			continue;
		any = true;
		take_counts(step, of_step);
		for (unsigned i = 0; i < COUNTERS; i++)
			sum[i] += of_step[i];
	}
	if (any)
		memcpy(n, sum, sizeof(sum));
}

/* Members that are absent or null keep what an earlier event said. */
static void take_usage(struct dialect *d, struct state *s, struct json_value usage)
{
	struct usage *u = &d->usage;

	if (usage.kind != JSON_OBJECT)
		return;
	take_counts(usage, s->n);
	take_iterations(json_get(usage, "iterations"), s->n);
	take_count(json_get(json_get(usage, "cache_creation"), "ephemeral_1h_input_tokens"),
		&s->written_1h);
	take_count(
		json_get(json_get(usage, "output_tokens_details"), "thinking_tokens"), &s->thought);
	u->state = USAGE_REPORTED;
	u->prompt_tokens = s->n[COUNT_INPUT] + s->n[COUNT_WRITTEN] + s->n[COUNT_READ];
	u->cached_tokens = s->n[COUNT_READ];
	u->cache_write_tokens = s->n[COUNT_WRITTEN];
	u->cache_write_1h_tokens =
		s->written_1h < s->n[COUNT_WRITTEN] ? s->written_1h : s->n[COUNT_WRITTEN];
	u->completion_tokens = s->n[COUNT_OUTPUT];
	u->reasoning_tokens = s->thought < s->n[COUNT_OUTPUT] ? s->thought : s->n[COUNT_OUTPUT];
}

/* Until the last figures come, the first ones say next to nothing of the output: a stream that is
 * cut is billed by what it told. */
static void count_text(struct dialect *d, struct state *s, size_t text_bytes)
{
	int64_t likely;

	s->text_bytes += text_bytes;
	likely = (int64_t)((s->text_bytes + 3) / 4);
	if (!s->counted && d->usage.state == USAGE_REPORTED && d->usage.completion_tokens < likely)
		d->usage.completion_tokens = likely;
}

/* ---- what blocks say ---- */

/* A page that an answer quotes. Documents of the client's own have no address to tell. */
static void cite(struct dialect *d, struct json_value citation)
{
	struct json_value url = json_get(citation, "url"), title = json_get(citation, "title"),
			  text = json_get(citation, "cited_text");
	struct buf out = { 0 };

	if (url.kind != JSON_STRING ||
		!json_str_is(json_get(citation, "type").raw, "web_search_result_location"))
		return;
	buf_str(&out, "{\"url\":");
	buf_slice_append(&out, url.raw);
	buf_str(&out, ",\"title\":");
	buf_slice_append(&out, title.kind == JSON_STRING ? title.raw : SLICE("\"\""));
	if (text.kind == JSON_STRING) {
		buf_str(&out, ",\"content\":");
		buf_slice_append(&out, text.raw);
	}
	buf_char(&out, '}');
	if (buf_ok(&out))
		reply_citation(d, 0, buf_slice(&out));
	buf_fini(&out);
}

/* A text of ours, told as the provider's. */
static void tell(struct dialect *d, struct slice text)
{
	struct buf json = { .max_bytes = REPLY_TEXT_MAX };

	buf_json_str(&json, text);
	if (buf_ok(&json))
		reply_text(d, 0, (struct json_value){ JSON_STRING, buf_slice(&json) });
	buf_fini(&json);
}

/* The answer in the input of the tool made up for it. */
static void tell_input(struct dialect *d, const struct state *s, struct json_value input)
{
	struct json_value value = s->json.wrapped ? json_get(input, "value") : input;

	tell(d, value.kind ? value.raw : SLICE("null"));
}

/* Lets through what of a piece belongs to the value of {"value":…}. */
static void unwrap(struct state *s, struct slice piece, struct buf *out)
{
	for (size_t i = 0; i < piece.len && s->wrap != WRAP_AFTER; i++) {
		char c = piece.ptr[i];

		if (s->wrap == WRAP_BEFORE) {
			if (c == ':')
				s->wrap = WRAP_VALUE;
			continue;
		}
		if (!s->depth && !s->in_string && (c == ' ' || c == '\n' || c == '\t'))
			continue;
		if (s->escaped)
			s->escaped = false;
		else if (s->in_string && c == '\\')
			s->escaped = true;
		else if (c == '"')
			s->in_string = !s->in_string;
		else if (!s->in_string && (c == '[' || c == '{'))
			s->depth++;
		else if (!s->in_string && (c == ']' || c == '}') && s->depth-- == 0) {
			s->wrap = WRAP_AFTER;
			return;
		}
		buf_char(out, c);
	}
}

static void tell_piece(struct dialect *d, struct state *s, struct json_value piece)
{
	struct buf text = { .max_bytes = REPLY_TEXT_MAX }, inside = { .max_bytes = REPLY_TEXT_MAX };

	if (!s->json.wrapped) {
		reply_text(d, 0, piece);
		return;
	}
	if (json_str_decode(piece, &text)) {
		unwrap(s, buf_slice(&text), &inside);
		if (inside.len)
			tell(d, buf_slice(&inside));
	}
	buf_fini(&text);
	buf_fini(&inside);
}

static void call(struct dialect *d, struct state *s, struct json_value block)
{
	struct buf name = { .max_bytes = REPLY_TEXT_MAX };

	ask_write_client_name(d->req, &anthropic_names, json_get(block, "name").raw, &name);
	s->slot = reply_call(
		d, 0, json_get(block, "id").raw, buf_slice(&name), (struct slice){ "", 0 });
	buf_fini(&name);
}

/* A block begins; in a whole message it is also all of it. */
static void begin_block(struct dialect *d, struct state *s, struct json_value block)
{
	struct slice type = json_get(block, "type").raw;
	struct json_value citation;
	struct json_iter it;
	struct slice none;

	s->said = false;
	if (json_str_is(type, "text")) {
		s->block = BLOCK_TEXT;
		reply_text(d, 0, json_get(block, "text"));
		json_iter_init(&it, json_get(block, "citations"));
		while (json_iter_next(&it, &none, &citation))
			cite(d, citation);
	} else if (json_str_is(type, "thinking")) {
		s->block = BLOCK_THOUGHT;
		s->detail = reply_next_detail(d, 0);
		reply_thought(d, 0, s->detail, s->thoughts, json_get(block, "thinking"),
			json_get(block, "signature"));
	} else if (json_str_is(type, "redacted_thinking")) {
		s->block = BLOCK_SILENCE;
		reply_hidden_thought(d, 0, reply_next_detail(d, 0), s->thoughts,
			json_get(block, "data"), (struct slice){ "", 0 });
	} else if (!json_str_is(type, "tool_use")) {
		s->block = BLOCK_SILENCE;
	} else if (s->json.by_tool && json_str_is(json_get(block, "name").raw, s->json.name)) {
		s->block = BLOCK_JSON;
		s->wrap = WRAP_BEFORE;
		s->depth = 0;
		s->in_string = s->escaped = false;
	} else {
		s->block = BLOCK_CALL;
		call(d, s, block);
	}
	if (s->block == BLOCK_CALL || s->block == BLOCK_JSON) {
		struct json_value input = json_get(block, "input");

		/* In a stream it stays empty but with those that send it here alone. */
		buf_reset(&d->held);
		buf_slice_append(&d->held, input.kind == JSON_OBJECT ? input.raw : SLICE("{}"));
	}
}

static void end_block(struct dialect *d, struct state *s)
{
	struct json_value input = { JSON_OBJECT, buf_slice(&d->held) };

	if (!s->said && s->block == BLOCK_CALL)
		reply_arguments_object(d, 0, s->slot, input);
	else if (!s->said && s->block == BLOCK_JSON)
		tell_input(d, s, input);
	s->block = BLOCK_NONE;
}

static void finish(
	struct dialect *d, struct json_value stop_reason, enum err_code *rc, struct err *e)
{
	char said[64];
	const char *word;

	if (!json_str_copy(stop_reason, said, sizeof(said)))
		said[0] = '\0';
	word = finish_reason_of(slice_of(said));
	if (word && strcmp(word, "error") == 0) {
		*rc = err_set(e, ERR_UPSTREAM_CLOSED, "%s ended the answer with \"%s\"",
			d->target->slug, said);
		return;
	}
	/* The call of a tool that only we know of is no call to the client. */
	if (!word || (strcmp(word, "tool_calls") == 0 && !(d->called[0] & 1)))
		word = "stop";
	reply_finish(d, 0, word, slice_of(said));
}

/* ---- whole messages ---- */

static enum err_code no_memory(struct err *e)
{
	return err_set(e, ERR_NO_MEMORY, "the answer does not fit into memory");
}

static enum err_code not_json(const struct dialect *d, const char *what, struct err *e)
{
	return err_set(
		e, ERR_UPSTREAM_INVALID, "%s sent %s that is not JSON", d->target->slug, what);
}

enum err_code anthropic_decode(struct dialect *d, struct slice content_type, struct slice body,
	int64_t now_s, struct answer *out, struct err *e)
{
	enum { TYPE, ID, CONTENT, STOP_REASON, USAGE, ERROR, FIELDS };
	struct json_member top[FIELDS] = { { .name = "type" }, { .name = "id" },
		{ .name = "content" }, { .name = "stop_reason" }, { .name = "usage" },
		{ .name = "error" } };
	struct state *s = state_of(d);
	struct json_value block;
	struct json_iter it;
	struct slice none;
	enum err_code rc = ERR_OK;

	(void)content_type;
	if (!s)
		return no_memory(e);
	if (json_scan(slice_trim(body), &tongue_limits, top, FIELDS, NULL))
		return not_json(d, "an answer", e);
	if (json_str_is(top[TYPE].value.raw, "error") || json_is_truthy(top[ERROR].value))
		return anthropic_decode_error(d->target, status_of(top[ERROR].value), body, e);
	if (top[CONTENT].value.kind != JSON_ARRAY)
		return err_set(e, ERR_UPSTREAM_INVALID, "%s sent an answer without content",
			d->target->slug);
	reply_open(d, REPLY_WHOLE, now_s);
	reply_id(d, top[ID].value);
	reply_begin(d, 0);
	json_iter_init(&it, top[CONTENT].value);
	while (json_iter_next(&it, &none, &block)) {
		begin_block(d, s, block);
		end_block(d, s);
	}
	take_usage(d, s, top[USAGE].value);
	finish(d, top[STOP_REASON].value, &rc, e);
	return rc ? rc : reply_answer(d, out, e);
}

/* ---- streams ---- */

/* Nothing is told yet: Anthropic may find itself overloaded before the first block, and then
 * somebody else can still answer. */
static enum err_code on_message_start(
	struct dialect *d, struct state *s, struct json_value message, struct err *e)
{
	struct json_value id = json_get(message, "id");

	if (s->started && id.kind == JSON_STRING && !json_str_is(id.raw, d->id))
		return err_set(e, ERR_UPSTREAM_INVALID, "%s began another message in one stream",
			d->target->slug);
	s->started = true;
	reply_id(d, id);
	take_usage(d, s, json_get(message, "usage"));
	return ERR_OK;
}

static void on_delta(struct dialect *d, struct state *s, struct json_value delta)
{
	struct slice type = json_get(delta, "type").raw;
	struct json_value absent = { .kind = JSON_ABSENT }, v;

	if (s->block == BLOCK_TEXT && json_str_is(type, "text_delta")) {
		reply_text(d, 0, json_get(delta, "text"));
	} else if (s->block == BLOCK_TEXT && json_str_is(type, "citations_delta")) {
		cite(d, json_get(delta, "citation"));
	} else if (s->block == BLOCK_THOUGHT && json_str_is(type, "thinking_delta")) {
		reply_thought(d, 0, s->detail, s->thoughts, json_get(delta, "thinking"), absent);
	} else if (s->block == BLOCK_THOUGHT && json_str_is(type, "signature_delta")) {
		reply_thought(d, 0, s->detail, s->thoughts, absent, json_get(delta, "signature"));
	} else if (json_str_is(type, "input_json_delta")) {
		v = json_get(delta, "partial_json");
		s->said |= v.kind == JSON_STRING && v.raw.len > 2;
		if (s->block == BLOCK_CALL)
			reply_arguments(d, 0, s->slot, v);
		else if (s->block == BLOCK_JSON)
			tell_piece(d, s, v);
	}
}

/* Which event is it? Its data says so too, and counts more than its name. */
enum kind {
	EVENT_UNKNOWN, /* pings, and what is yet to be invented */
	EVENT_MESSAGE_START,
	EVENT_BLOCK_START,
	EVENT_BLOCK_DELTA,
	EVENT_BLOCK_STOP,
	EVENT_MESSAGE_DELTA,
	EVENT_MESSAGE_STOP,
	EVENT_ERROR,
};

static enum kind kind_of(struct json_value type, struct slice name)
{
	static const struct {
		const char *name;
		enum kind kind;
	} table[] = {
		{ "content_block_delta", EVENT_BLOCK_DELTA },
		{ "content_block_start", EVENT_BLOCK_START },
		{ "content_block_stop", EVENT_BLOCK_STOP },
		{ "message_start", EVENT_MESSAGE_START },
		{ "message_delta", EVENT_MESSAGE_DELTA },
		{ "message_stop", EVENT_MESSAGE_STOP },
		{ "error", EVENT_ERROR },
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (type.kind == JSON_STRING ? json_str_is(type.raw, table[i].name)
					     : slice_is(name, table[i].name))
			return table[i].kind;
	return EVENT_UNKNOWN;
}

enum err_code anthropic_decode_event(struct dialect *d, const struct sse_event *ev, int64_t now_s,
	struct delta *out, struct err *e)
{
	enum { TYPE, INDEX, DELTA, BLOCK, MESSAGE, USAGE, ERROR, FIELDS };
	struct json_member top[FIELDS] = { { .name = "type" }, { .name = "index" },
		{ .name = "delta" }, { .name = "content_block" }, { .name = "message" },
		{ .name = "usage" }, { .name = "error" } };
	struct slice text = slice_trim(ev->data);
	struct state *s = state_of(d);
	struct json_value reason;
	int64_t index = 0;
	enum err_code rc = ERR_OK;

	*out = (struct delta){ .kind = DELTA_SKIP };
	if (!s)
		return no_memory(e);
	if (slice_starts(text, "[DONE]")) { /* from some who only look like Anthropic */
		out->kind = DELTA_DONE;
		return ERR_OK;
	}
	if (json_scan(text, &tongue_limits, top, FIELDS, NULL)) {
		d->malformed++;
		return not_json(d, "an event", e);
	}
	if (json_int(top[INDEX].value, &index) && index < 0)
		index = 0;
	reply_open(d, REPLY_CHUNK, now_s);
	switch (kind_of(top[TYPE].value, ev->name)) {
	case EVENT_UNKNOWN:
		return ERR_OK;
	case EVENT_MESSAGE_START:
		rc = on_message_start(d, s, top[MESSAGE].value, e);
		break;
	case EVENT_BLOCK_START:
		end_block(d, s);
		s->index = index;
		reply_begin(d, 0);
		begin_block(d, s, top[BLOCK].value);
		break;
	case EVENT_BLOCK_DELTA:
		if (s->block == BLOCK_NONE || index != s->index)
			d->malformed++; /* of a block that never began */
		else
			on_delta(d, s, top[DELTA].value);
		break;
	case EVENT_BLOCK_STOP:
		if (index == s->index)
			end_block(d, s);
		break;
	case EVENT_MESSAGE_DELTA:
		end_block(d, s);
		reason = json_get(top[DELTA].value, "stop_reason");
		if (reason.kind)
			finish(d, reason, &rc, e);
		s->counted |= json_get(top[USAGE].value, "output_tokens").kind == JSON_NUMBER;
		take_usage(d, s, top[USAGE].value);
		break;
	case EVENT_MESSAGE_STOP:
		out->kind = DELTA_DONE;
		return ERR_OK;
	case EVENT_ERROR:
		rc = anthropic_decode_error(d->target, status_of(top[ERROR].value), text, e);
		break;
	}
	if (rc) {
		out->kind = DELTA_ERROR;
		return rc;
	}
	rc = reply_chunk(d, out, e);
	count_text(d, s, out->text_bytes);
	return rc;
}
