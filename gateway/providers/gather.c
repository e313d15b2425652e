/* gateway/providers/gather.c - how chunks become an answer: a table for each object in them. */
#include "gateway/providers/gather.h"

#include "gateway/providers/parts.h"

/* Raw, with quotes: dialects make chunks, and do not escape names. */
#define NAME(name) "\"" name "\""

static const struct parts_rule of_function[] = { { NAME("arguments"), PARTS_APPEND, NULL },
	{ NAME("input"), PARTS_APPEND, NULL }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_call[] = { { NAME("index"), PARTS_DROP, NULL },
	{ NAME("function"), PARTS_OBJECT, of_function },
	{ NAME("custom"), PARTS_OBJECT, of_function }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_thought[] = { { NAME("text"), PARTS_APPEND, NULL },
	{ NAME("summary"), PARTS_APPEND, NULL }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_audio[] = { { NAME("data"), PARTS_APPEND, NULL },
	{ NAME("transcript"), PARTS_APPEND, NULL }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_message[] = { { NAME("content"), PARTS_APPEND, NULL },
	{ NAME("refusal"), PARTS_APPEND, NULL }, { NAME("reasoning"), PARTS_APPEND, NULL },
	{ NAME("reasoning_content"), PARTS_APPEND, NULL },
	{ NAME("tool_calls"), PARTS_BY_INDEX, of_call },
	{ NAME("reasoning_details"), PARTS_THOUGHTS, of_thought },
	{ NAME("function_call"), PARTS_OBJECT, of_function },
	{ NAME("audio"), PARTS_OBJECT, of_audio }, { NAME("annotations"), PARTS_APPEND, NULL },
	{ NAME("images"), PARTS_APPEND, NULL }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_logprobs[] = { { NULL, PARTS_APPEND, NULL } };

static const struct parts_rule of_choice[] = { { NAME("delta"), PARTS_OBJECT, of_message },
	{ NAME("text"), PARTS_APPEND, NULL }, { NAME("logprobs"), PARTS_OBJECT, of_logprobs },
	{ NAME("message"), PARTS_DROP, NULL }, { NULL, PARTS_LAST, NULL } };

static const struct parts_rule of_chunk[] = { { NAME("choices"), PARTS_BY_INDEX, of_choice },
	{ NAME("obfuscation"), PARTS_DROP, NULL }, { NULL, PARTS_LAST, NULL } };

/* ---- the events ---- */

struct gather {
	struct parts parts;
	/* A chunk that begins and ends like these differs from the last one in a string alone. */
	struct slice before, behind;
	struct err *e;
};

static enum err_code invalid(const struct gather *g, const char *what)
{
	return err_set(g->e, ERR_UPSTREAM_INVALID, "the stream %s", what);
}

/* Most chunks of a stream are alike but for a word. What the word is made of is seen at the end,
 * when the whole is validated; but it must be one string. */
static bool is_like_the_last(const struct gather *g, struct slice text, struct slice *word)
{
	size_t around = g->before.len + g->behind.len;

	if (!g->before.len || text.len < around ||
		memcmp(text.ptr, g->before.ptr, g->before.len) != 0 ||
		memcmp(text.ptr + text.len - g->behind.len, g->behind.ptr, g->behind.len) != 0)
		return false;
	*word = (struct slice){ text.ptr + g->before.len, text.len - around };
	return !memchr(word->ptr, '"', word->len) && !slice_ends(*word, "\\");
}

static enum err_code take_chunk(struct gather *g, struct slice text)
{
	struct parts *p = &g->parts;
	enum json_kind kind;
	struct slice word;
	enum err_code rc;

	if (is_like_the_last(g, text, &word))
		return parts_grow(p, word, g->e);
	g->before.len = 0;
	if (json_validate(text, &tongue_limits, &kind, NULL) || kind != JSON_OBJECT)
		return invalid(g, "has an event that is no JSON object");
	rc = parts_merge(p, of_chunk, (struct json_value){ JSON_OBJECT, text }, g->e);
	if (!rc && p->grown == 1 && p->grown_part) {
		g->before = slice_first(text, (size_t)(p->grown_by.ptr - text.ptr));
		g->behind = slice_from(text, g->before.len + p->grown_by.len);
	}
	return rc;
}

/* Lines of comments and of data, each of which is an event. */
static enum err_code take_events(struct gather *g, struct slice events)
{
	enum err_code rc = ERR_OK;
	bool open = false;

	if (events.len && !slice_ends(events, "\n"))
		return invalid(g, "ends within an event");
	while (!rc && events.len) {
		struct slice line = slice_cut(&events, '\n');

		if (!line.len) {
			open = false;
		} else if (open) {
			rc = invalid(g, "has an event of several lines");
		} else if (slice_starts(line, "data:")) {
			open = true;
			line = slice_trim(slice_from(line, strlen("data:")));
			if (!slice_is(line, "[DONE]"))
				rc = take_chunk(g, line);
		} else if (line.ptr[0] != ':') {
			rc = invalid(g, "has a line that is neither data nor a comment");
		}
	}
	return rc || !open ? rc : invalid(g, "ends within an event");
}

static bool has_error(const struct part *of)
{
	const struct part *error = part_that_says(of, NAME("error"));

	return error && json_is_truthy(error->last);
}

static enum err_code check(const struct gather *g)
{
	const struct part *choices = part_that_says(&g->parts.top, NAME("choices"));

	if (has_error(&g->parts.top))
		return invalid(g, "has an error in it");
	if (!choices)
		return invalid(g, "has no choice");
	for (size_t i = 0; i < choices->count; i++) {
		const struct part *finish =
			part_that_says(&choices->parts[i], NAME("finish_reason"));

		if (!finish || finish->last.kind != JSON_STRING)
			return invalid(g, "has a choice without a finish reason");
		if (slice_is(finish->last.raw, "\"error\"") || has_error(&choices->parts[i]))
			return invalid(g, "has a choice that ended with an error");
	}
	return ERR_OK;
}

/* ---- writing ---- */

enum form { FORM_CHAT, FORM_TEXT, FORM_FIM };

static enum form form_of(const struct part *top)
{
	const struct part *object = part_member(top, NAME("object"));
	struct slice is = object ? object->last.raw : SLICE("");

	return slice_is(is, "\"text_completion\"")        ? FORM_TEXT
	       : slice_is(is, "\"fim.completion.chunk\"") ? FORM_FIM
							  : FORM_CHAT;
}

/* The name of a member that is not the first, and its colon. */
static void put_name(struct buf *out, const char *name)
{
	buf_char(out, ',');
	buf_json_cstr(out, name);
	buf_char(out, ':');
}

/* A member that is not the first; null when there is none. */
static void put_part(struct buf *out, const char *name, const struct part *p)
{
	put_name(out, name);
	if (p)
		part_write(p, out);
	else
		buf_str(out, "null");
}

/* Those members that are not among these. */
static void write_others(const struct part *of, const char *const *these, size_t n, struct buf *out)
{
	for (size_t i = 0; i < of->count; i++) {
		const struct part *p = &of->parts[i];
		bool is_other = part_is_written(p);

		for (size_t k = 0; k < n; k++)
			is_other = is_other && !slice_is(p->name, these[k]);
		if (!is_other)
			continue;
		buf_char(out, ',');
		buf_slice_append(out, p->name);
		buf_char(out, ':');
		part_write(p, out);
	}
}
#define WRITE_OTHERS(of, these, out) \
	write_others(of, these, sizeof(these) / sizeof((these)[0]), out)

/* Where these say something, a message without content has none; else it is empty. */
static bool needs_no_content(const struct part *delta)
{
	return part_that_says(delta, NAME("tool_calls")) ||
	       part_that_says(delta, NAME("function_call")) ||
	       part_that_says(delta, NAME("refusal")) || part_that_says(delta, NAME("audio"));
}

static void write_message(const struct part *delta, struct buf *out)
{
	static const char *const elsewhere[] = { NAME("role"), NAME("content"), NAME("refusal") };
	const struct part *role = part_that_says(delta, NAME("role")),
			  *content = part_member(delta, NAME("content"));

	buf_str(out, "{\"role\":");
	if (role)
		part_write(role, out);
	else
		buf_str(out, "\"assistant\"");
	if (content || needs_no_content(delta))
		put_part(out, "content", content);
	else
		buf_str(out, ",\"content\":\"\"");
	put_part(out, "refusal", part_member(delta, NAME("refusal")));
	if (delta)
		WRITE_OTHERS(delta, elsewhere, out);
	buf_char(out, '}');
}

/* "text", and with it the message that FIM has beside it. */
static void write_text(const struct part *text, bool fim, struct buf *out)
{
	size_t from, len;

	put_name(out, "text");
	from = out->len;
	if (text && text->kind == JSON_STRING)
		part_write(text, out);
	else
		buf_str(out, "\"\"");
	len = out->len - from;
	if (!fim)
		return;
	buf_str(out, ",\"message\":{\"role\":\"assistant\",\"content\":");
	if (buf_room(out, len)) { /* which may move what is written */
		memcpy(out->data + out->len, out->data + from, len);
		buf_commit(out, len);
	}
	buf_char(out, '}');
}

static void write_choice(const struct part *choice, enum form form, struct buf *out)
{
	static const char *const elsewhere[] = { NAME("index"), NAME("delta"), NAME("text"),
		NAME("logprobs"), NAME("finish_reason") };
	const struct part *delta = part_member(choice, NAME("delta")),
			  *logprobs = part_member(choice, NAME("logprobs"));

	buf_str(out, "{\"index\":");
	buf_int(out, choice->index);
	if (form == FORM_TEXT) {
		write_text(part_member(choice, NAME("text")), false, out);
	} else if (form == FORM_FIM) {
		write_text(part_member(delta, NAME("content")), true, out);
	} else {
		put_name(out, "message");
		write_message(delta, out);
	}
	if (form != FORM_FIM || logprobs)
		put_part(out, "logprobs", logprobs);
	put_part(out, "finish_reason", part_member(choice, NAME("finish_reason")));
	WRITE_OTHERS(choice, elsewhere, out);
	buf_char(out, '}');
}

static void write_answer(const struct part *top, struct slice usage, struct buf *out)
{
	static const char *const objects[] = { [FORM_CHAT] = "chat.completion",
		[FORM_TEXT] = "text_completion",
		[FORM_FIM] = "fim.completion" };
	static const char *const elsewhere[] = { NAME("object"), NAME("choices"), NAME("usage"),
		NAME("error") };
	const struct part *choices = part_member(top, NAME("choices")),
			  *told = part_that_says(top, NAME("usage"));
	enum form form = form_of(top);

	buf_str(out, "{\"object\":");
	buf_json_cstr(out, objects[form]);
	WRITE_OTHERS(top, elsewhere, out);
	put_name(out, "choices");
	for (size_t i = 0; i < choices->count; i++) {
		buf_char(out, i ? ',' : '[');
		write_choice(&choices->parts[i], form, out);
	}
	buf_char(out, ']');
	if (usage.len) {
		put_name(out, "usage");
		buf_slice_append(out, usage);
	} else if (told) {
		put_part(out, "usage", told);
	}
	buf_char(out, '}');
}

enum err_code gather_events(struct slice events, struct slice usage, struct buf *out, struct err *e)
{
	/* No text is longer than what it is made of. */
	struct gather g = { .parts = { .max_bytes = events.len + 1 }, .e = e };
	size_t begin = out->len;
	enum err_code rc = take_events(&g, events);

	if (!rc)
		rc = check(&g);
	if (!rc) {
		write_answer(&g.parts.top, usage, out);
		if (!buf_ok(out))
			rc = err_set(e, ERR_NO_MEMORY, "the answer does not fit");
		else if (json_validate(
				 slice_from(buf_slice(out), begin), &tongue_limits, NULL, NULL))
			rc = invalid(&g, "is damaged");
	}
	if (rc)
		out->len = begin;
	parts_fini(&g.parts);
	return rc;
}

void gather_usage_chunk(struct slice events, struct slice usage, struct buf *out)
{
	static const char *const head[] = { "id", "object", "created", "model" };
	struct json_value chunk = { JSON_OBJECT, SLICE("") };

	while (events.len && !chunk.raw.len) {
		struct slice line = slice_cut(&events, '\n');

		if (slice_starts(line, "data:"))
			chunk.raw = slice_trim(slice_from(line, strlen("data:")));
	}
	buf_char(out, '{');
	for (size_t i = 0; i < sizeof(head) / sizeof(head[0]); i++) {
		struct json_value v = json_get(chunk, head[i]);

		if (v.kind == JSON_ABSENT)
			continue;
		buf_json_cstr(out, head[i]);
		buf_char(out, ':');
		buf_slice_append(out, v.raw);
		buf_char(out, ',');
	}
	buf_str(out, "\"choices\":[],\"usage\":");
	buf_slice_append(out, usage.len ? usage : SLICE("null"));
	buf_char(out, '}');
}
