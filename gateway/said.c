/* gateway/said.c - takes note of what a client has of a stream (contract: rescue.h). */
#include "gateway/said.h"

#include <stdlib.h>

#define TEMPLATE_MAX ((size_t)4096) /* bytes around a text: more are read anew each time */

/* What stands for all for which there was no memory. Never written to. */
static struct said forgotten = { .lost = true };

/* ---- how chunks are read ---- */

bool said_key_is(struct slice key, const char *name)
{
	size_t n = strlen(name);

	return key.len == n + 2 && memcmp(key.ptr + 1, name, n) == 0;
}

struct said_head said_read_head(struct slice chunk)
{
	struct said_head h = { 0 };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, (struct json_value){ JSON_OBJECT, slice_trim(chunk) });
	while (json_iter_next(&it, &key, &v)) {
		if (said_key_is(key, "id"))
			h.id = v;
		else if (said_key_is(key, "created"))
			h.created = v;
		else if (said_key_is(key, "model"))
			h.model = v;
		else if (said_key_is(key, "choices"))
			h.choices = v;
	}
	return h;
}

struct said_choice said_read_choice(struct json_value object)
{
	struct said_choice c = { 0 };
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (said_key_is(key, "index")) {
			if (!json_int(v, &c.index))
				c.index = -1;
		} else if (said_key_is(key, "delta")) {
			c.delta = v;
		} else if (said_key_is(key, "finish_reason")) {
			c.finish = v;
		} else if (said_key_is(key, "logprobs")) {
			c.logprobs = v;
		}
	}
	return c;
}

bool said_finishes(const struct said_choice *c)
{
	return c->finish.kind == JSON_STRING && c->finish.raw.len > 2;
}

enum said_member said_member_of(struct slice key)
{
	if (said_key_is(key, "content"))
		return SAID_CONTENT;
	if (said_key_is(key, "tool_calls"))
		return SAID_CALLS;
	if (said_key_is(key, "role"))
		return SAID_ROLE;
	if (said_key_is(key, "reasoning_details"))
		return SAID_DETAILS;
	return said_key_is(key, "reasoning") || said_key_is(key, "reasoning_content") ||
			       said_key_is(key, "extra_content")
		       ? SAID_THOUGHT
		       : SAID_OTHER;
}

struct said_piece said_read_piece(struct json_value object)
{
	struct said_piece p = { 0 };
	struct json_value function = { 0 }, v;
	struct json_iter it;
	struct slice key;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (said_key_is(key, "index"))
			p.other |= !json_int(v, &p.index);
		else if (said_key_is(key, "function"))
			function = v;
		else if (!said_key_is(key, "id") && !said_key_is(key, "type") &&
			 !said_key_is(key, "extra_content"))
			p.other |= json_is_truthy(v);
	}
	json_iter_init(&it, function);
	while (json_iter_next(&it, &key, &v)) {
		if (said_key_is(key, "name"))
			p.name = v;
		else if (said_key_is(key, "arguments"))
			p.arguments = v;
		else
			p.other |= json_is_truthy(v);
	}
	p.other |= (p.name.kind != JSON_STRING && json_is_truthy(p.name)) ||
		   (p.arguments.kind != JSON_STRING && json_is_truthy(p.arguments));
	return p;
}

/* ---- taking note ---- */

/* What a running rescue still looks at stays: the head, and which calls there were. */
static void forget(struct said *s)
{
	for (size_t i = 0; i < s->call_count; i++) {
		buf_fini(&s->calls[i].name);
		buf_fini(&s->calls[i].arguments);
	}
	buf_fini(&s->text);
	buf_fini(&s->before);
	buf_fini(&s->behind);
	s->lost = true;
}

/* Appends what a string spells; false when that is too much, and all is lost. */
static bool keep(struct said *s, struct buf *b, struct json_value v)
{
	size_t had = b->len;

	(void)!json_str_decode(v, b);
	s->kept += b->len - had;
	if (buf_ok(b) && s->kept <= SAID_MAX)
		return true;
	forget(s);
	return false;
}

static struct said_call *call_at(struct said *s, int64_t index)
{
	struct said_call *more;

	for (size_t i = s->call_count; i--;)
		if (s->calls[i].index == index)
			return &s->calls[i];
	more = s->call_count < CALLS_MAX ? realloc(s->calls, (s->call_count + 1) * sizeof(*more))
					 : NULL;
	if (!more) {
		forget(s);
		return NULL;
	}
	s->calls = more;
	more += s->call_count++;
	*more = (struct said_call){
		.index = index, .name.max_bytes = SAID_MAX, .arguments.max_bytes = SAID_MAX
	};
	return more;
}

/* What is found in one chunk. */
struct found {
	unsigned strings; /* that have been kept */
	size_t into;      /* where the last one of them is, as in struct said */
	struct json_value last;
	bool more; /* there is something else */
};

static bool says(struct json_value v)
{
	return v.kind == JSON_STRING && v.raw.len > 2;
}

static bool note_calls(struct said *s, struct json_value array, struct found *f)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, array);
	while (json_iter_next(&it, &none, &v)) {
		struct said_piece p = said_read_piece(v);
		struct said_call *call = call_at(s, p.index);

		if (!call)
			return false;
		s->other |= p.other;
		f->more |= p.other;
		if (says(p.name)) {
			f->more = true;
			if (!keep(s, &call->name, p.name))
				return false;
		}
		if (!says(p.arguments))
			continue;
		f->strings++;
		f->into = (size_t)(call - s->calls) + 1;
		f->last = p.arguments;
		if (!keep(s, &call->arguments, p.arguments))
			return false;
	}
	return true;
}

static void note_details(struct said *s, struct json_value array)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	int64_t n;

	json_iter_init(&it, array);
	while (json_iter_next(&it, &none, &v))
		if (json_int(json_get(v, "index"), &n) && n >= s->detail && n < INT32_MAX)
			s->detail = n + 1;
}

static bool note_delta(struct said *s, struct json_value delta, struct found *f)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool ok = true;

	json_iter_init(&it, delta);
	while (ok && json_iter_next(&it, &key, &v)) {
		switch (said_member_of(key)) {
		case SAID_CONTENT:
			if (!says(v)) {
				s->other |= json_is_truthy(v);
				break;
			}
			f->strings++;
			f->into = 0;
			f->last = v;
			ok = keep(s, &s->text, v);
			break;
		case SAID_CALLS:
			ok = note_calls(s, v, f);
			break;
		case SAID_DETAILS:
			note_details(s, v);
			s->thought = f->more = true;
			break;
		case SAID_THOUGHT:
			s->thought |= json_is_truthy(v);
			f->more = true;
			break;
		case SAID_ROLE:
			s->role = f->more = true;
			break;
		case SAID_OTHER:
			s->other |= json_is_truthy(v);
			f->more = true;
			break;
		}
	}
	return ok;
}

/* The next chunk may differ in this string only. */
static void remember(
	struct said *s, struct slice chunk, struct slice choices, const struct found *f)
{
	const char *begin = f->last.raw.ptr + 1, *end = f->last.raw.ptr + f->last.raw.len - 1;

	buf_reset(&s->before);
	buf_reset(&s->behind);
	buf_append(&s->before, chunk.ptr, (size_t)(begin - chunk.ptr));
	buf_append(&s->behind, end, (size_t)(choices.ptr + choices.len - end));
	if (!buf_ok(&s->before) || !buf_ok(&s->behind))
		buf_reset(&s->before);
	s->into = f->into;
}

static void note_first(struct buf *b, struct json_value v)
{
	if (!b->len)
		buf_slice_append(b, v.raw);
}

static void note(struct said *s, struct slice chunk)
{
	struct said_head head = said_read_head(chunk);
	struct found f = { 0 };
	struct json_iter it;
	struct json_value v;
	struct slice none;

	note_first(&s->id, head.id);
	note_first(&s->created, head.created);
	note_first(&s->model, head.model);
	json_iter_init(&it, head.choices);
	while (json_iter_next(&it, &none, &v)) {
		struct said_choice c = said_read_choice(v);

		if (c.index != 0 || c.delta.kind != JSON_OBJECT)
			s->other = true;
		else if (!note_delta(s, c.delta, &f))
			return;
		s->finished |= c.index == 0 && said_finishes(&c);
	}
	if (!buf_ok(&s->id) || !buf_ok(&s->created) || !buf_ok(&s->model))
		forget(s);
	else if (f.strings == 1 && !f.more && !s->other && !s->finished)
		remember(s, chunk, head.choices.raw, &f);
}

/* Most chunks are like the one before but for a few letters. What is the same up to the beginning
 * of a string is read the same up to there, and so is what is the same behind its end. */
static bool note_alike(struct said *s, struct slice chunk)
{
	struct slice before = buf_slice(&s->before), behind = buf_slice(&s->behind);
	const char *begin = chunk.ptr + before.len, *p, *end = chunk.ptr + chunk.len;
	struct json_value v = { .kind = JSON_STRING };

	if (!before.len || chunk.len < before.len + behind.len ||
		memcmp(chunk.ptr, before.ptr, before.len) != 0)
		return false;
	for (p = begin; p < end && *p != '"'; p++)
		p += *p == '\\';
	if (p >= end || (size_t)(end - p) < behind.len || memcmp(p, behind.ptr, behind.len) != 0)
		return false;
	v.raw = (struct slice){ begin - 1, (size_t)(p - begin) + 2 };
	(void)keep(s, s->into ? &s->calls[s->into - 1].arguments : &s->text, v);
	return true;
}

void said_note(struct said **said, struct slice chunk)
{
	struct said *s = *said;

	if (!s) {
		s = calloc(1, sizeof(*s));
		*said = s ? s : &forgotten;
		if (!s)
			return;
		buf_init(&s->text, SAID_MAX);
		buf_init(&s->before, TEMPLATE_MAX);
		buf_init(&s->behind, TEMPLATE_MAX);
	}
	if (!s->lost && !note_alike(s, chunk))
		note(s, chunk);
}

void said_fini(struct said **s)
{
	if (*s && *s != &forgotten) {
		forget(*s);
		buf_fini(&(*s)->id);
		buf_fini(&(*s)->created);
		buf_fini(&(*s)->model);
		free((*s)->calls);
		free(*s);
	}
	*s = NULL;
}

size_t said_text_bytes(const struct said *s)
{
	return s ? s->text.len : 0;
}

size_t said_trimmed(const struct said *s)
{
	/* What the strictest of those who refuse blanks at the end take for one. */
	static const char *const blanks[] = { " ", "\n", "\r", "\t", "\v", "\f", "\x1c", "\x1d",
		"\x1e", "\x1f", "\xc2\x85", "\u00a0", "\u1680", "\u2000", "\u2001", "\u2002",
		"\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008", "\u2009", "\u200a",
		"\u2028", "\u2029", "\u202f", "\u205f", "\u3000" };
	struct slice text = s ? buf_slice(&s->text) : (struct slice){ "", 0 };
	size_t before = text.len + 1;

	while (text.len < before) {
		before = text.len;
		for (size_t i = 0; i < sizeof(blanks) / sizeof(blanks[0]); i++)
			if (slice_ends(text, blanks[i]))
				text.len -= strlen(blanks[i]);
	}
	return text.len;
}
