#include "gateway/providers/openai_words.h"

#include "gateway/providers/openai_like.h"
#include "gateway/providers/think_tags.h"

#include <stdlib.h>

#define REPEAT_MIN 24 /* bytes; shorter texts may well come twice */

/* Providers' keys are compared as they are written: nobody escapes them. */
static bool key_is(struct slice key, const char *name, size_t len)
{
	return key.len == len + 2 && memcmp(key.ptr + 1, name, len) == 0;
}
#define KEY_IS(key, name) key_is(key, name, sizeof(name) - 1)

static struct slice inner(struct json_value v)
{
	return v.kind == JSON_STRING ? (struct slice){ v.raw.ptr + 1, v.raw.len - 2 } : SLICE("");
}

/* ---- what has to be kept of a stream ---- */

/* All of a text so far. */
struct said {
	size_t bytes;
	uint64_t hash;
};

struct choice_state {
	struct think_tags tags;
	struct said text, thought;
};

/* Hangs on dialect.own: made when it is first needed. */
struct state {
	bool excludes; /* the client does not want to read thoughts */
	unsigned choices;
	struct choice_state choice[];
};

static bool excludes_thoughts(const struct chat_req *req)
{
	struct json_value body = { JSON_OBJECT, req->body };
	struct json_value include = json_get(body, "include_reasoning");

	return json_is_true(json_get(json_get(body, "reasoning"), "exclude")) ||
	       (include.kind == JSON_BOOL && !json_is_true(include));
}

/* NULL without memory: then nothing is repaired that needs one. */
static struct state *state_of(struct dialect *d)
{
	struct state *s = d->own;
	unsigned n = (unsigned)d->req->n;

	if (s)
		return s;
	s = calloc(1, sizeof(*s) + n * sizeof(s->choice[0]));
	if (!s)
		return NULL;
	s->choices = n;
	s->excludes = excludes_thoughts(d->req);
	for (unsigned i = 0; i < n; i++)
		if (!d->target->quirks->think_tags)
			s->choice[i].tags.state = THINK_OVER;
	d->own = s;
	return s;
}

static struct choice_state *choice_of(struct dialect *d, unsigned index)
{
	struct state *s = state_of(d);

	return s && index < s->choices ? &s->choice[index] : NULL;
}

/* Is the piece all that was said, once more? Else it is added to it. */
static bool is_repeat(struct said *said, struct slice piece)
{
	uint64_t alone = UINT64_C(0xcbf29ce484222325), h = said->bytes ? said->hash : alone;

	for (size_t i = 0; i < piece.len; i++) {
		alone = (alone ^ (unsigned char)piece.ptr[i]) * UINT64_C(0x100000001b3);
		h = (h ^ (unsigned char)piece.ptr[i]) * UINT64_C(0x100000001b3);
	}
	if (piece.len >= REPEAT_MIN && piece.len == said->bytes && alone == said->hash)
		return true;
	said->bytes += piece.len;
	said->hash = h;
	return false;
}

/* ---- looking ---- */

/* What was found in an object. */
struct found {
	bool role, wrong;
	bool remade; /* text and thought take the place of what the object says */
	bool hidden; /* thoughts are not for this client */
	struct json_value content, reasoning, reasoning_content, calls;
	bool calls_right;
	struct buf text, thought; /* JSON strings without their quotes */
};

/* Is this member to be left out? The role is told once, and nulls and empty lists that strict
 * clients choke on are dropped (gotcha 7). */
static bool is_superfluous(const struct words *w, struct slice key, struct json_value v)
{
	if (KEY_IS(key, "role"))
		return v.kind != JSON_STRING || (!w->whole && !w->first);
	if (KEY_IS(key, "tool_calls"))
		return v.kind != JSON_ARRAY || !json_is_truthy(v);
	return v.kind == JSON_NULL && KEY_IS(key, "function_call");
}

static bool is_thought(struct slice key)
{
	return KEY_IS(key, "reasoning") || KEY_IS(key, "reasoning_content") ||
	       KEY_IS(key, "reasoning_details");
}

static void look(struct dialect *d, struct words *w, struct json_value object, struct found *f)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	w->empty = true;
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		if (KEY_IS(key, "content"))
			f->content = v;
		if (is_superfluous(w, key, v)) {
			f->wrong = true;
			continue;
		}
		f->role |= KEY_IS(key, "role");
		if (KEY_IS(key, "reasoning"))
			f->reasoning = v;
		else if (KEY_IS(key, "reasoning_content"))
			f->reasoning_content = v;
		if (KEY_IS(key, "content") || KEY_IS(key, "refusal") || is_thought(key)) {
			size_t n = v.kind == JSON_STRING ? json_str_bytes(v) : 0;

			/* A thought counts once, under whichever names it comes. */
			if (!KEY_IS(key, "reasoning_content") || !inner(f->reasoning).len)
				w->text_bytes += n;
			w->empty &= !n && !(v.kind > JSON_STRING && json_is_truthy(v));
			continue;
		}
		if (KEY_IS(key, "role"))
			continue;
		w->empty &= !json_is_truthy(v);
		if (KEY_IS(key, "tool_calls")) {
			struct tool_pieces p = { v, w->index, w->whole, d->id };

			f->calls = v;
			f->calls_right = tool_calls_take(&d->calls, &p, &w->text_bytes);
			f->wrong |= !f->calls_right;
			d->called[w->index >> 6] |= UINT64_C(1) << (w->index & 63);
		}
	}
}

/* Content in parts: texts, and thoughts that are texts or lists of them. */
static void part_content(struct json_value parts, struct found *f)
{
	struct json_iter it, thoughts;
	struct json_value part, one;
	struct slice none;

	json_iter_init(&it, parts);
	while (json_iter_next(&it, &none, &part)) {
		struct json_value thinking = json_get(part, "thinking");

		buf_slice_append(&f->text, inner(part));
		if (part.kind != JSON_OBJECT)
			continue;
		if (!json_str_is(json_get(part, "type").raw, "thinking")) {
			buf_slice_append(&f->text, inner(json_get(part, "text")));
			continue;
		}
		buf_slice_append(&f->thought, inner(thinking));
		json_iter_init(&thoughts, thinking);
		while (thinking.kind == JSON_ARRAY && json_iter_next(&thoughts, &none, &one))
			buf_slice_append(&f->thought, inner(json_get(one, "text")));
	}
}

static void append_quoted(struct buf *out, const struct buf *text)
{
	struct buf quoted = { .max_bytes = 6 * text->len + 16 };

	buf_json_str(&quoted, buf_slice(text));
	if (buf_ok(text) && buf_ok(&quoted))
		buf_append(out, quoted.data + 1, quoted.len - 2);
	else
		out->failed = true;
	buf_fini(&quoted);
}

/* Thoughts within the text. */
static void part_tags(
	struct choice_state *c, const struct words *w, struct json_value content, struct found *f)
{
	struct buf said = { .max_bytes = inner(content).len + 16 };
	struct buf text = { .max_bytes = inner(content).len + 2 * THINK_HELD_MAX };
	struct buf thought = { .max_bytes = inner(content).len + 2 * THINK_HELD_MAX };

	if (content.kind == JSON_STRING && !json_str_decode(content, &said))
		text.failed = true;
	think_tags_feed(&c->tags, buf_slice(&said), &text, &thought);
	if (w->finishes)
		think_tags_end(&c->tags, &text, &thought);
	append_quoted(&f->text, &text);
	append_quoted(&f->thought, &thought);
	buf_fini(&said);
	buf_fini(&text);
	buf_fini(&thought);
}

/* Decides what the texts of the object become. */
static void weigh(struct dialect *d, struct words *w, struct json_value object, struct found *f)
{
	const struct quirks *q = d->target->quirks;
	struct slice thought =
		inner(f->reasoning).len ? inner(f->reasoning) : inner(f->reasoning_content);
	struct choice_state *c = q->think_tags || q->repeats ? choice_of(d, w->index) : NULL;
	bool tags = c && c->tags.state != THINK_OVER &&
		    (inner(f->content).len || (w->finishes && c->tags.held_bytes));
	bool details = json_is_truthy(json_get(object, "reasoning_details"));

	f->text.max_bytes = f->thought.max_bytes = 6 * object.raw.len + 1024;
	f->hidden = (thought.len || details) && state_of(d) && state_of(d)->excludes;
	if (f->content.kind == JSON_ARRAY) {
		f->remade = true;
		part_content(f->content, f);
	} else if (tags) {
		f->remade = true;
		part_tags(c, w, f->content, f);
	} else if (c && q->repeats && !w->whole) {
		bool again = is_repeat(&c->text, inner(f->content));
		bool thought_again = is_repeat(&c->thought, thought);

		f->remade = again || thought_again;
		if (!f->remade)
			return;
		buf_slice_append(&f->text, again ? SLICE("") : inner(f->content));
		buf_slice_append(&f->thought, thought_again ? SLICE("") : thought);
		thought = SLICE("");
	}
	if (f->remade)
		buf_slice_append(&f->thought, thought);
	f->wrong |= f->remade || f->hidden;
	if (f->remade || f->hidden)
		w->empty = !f->calls.kind && !details && !f->text.len && !f->thought.len &&
			   !inner(json_get(object, "refusal")).len &&
			   (f->remade || !inner(f->content).len);
	if (f->hidden)
		w->empty = !f->calls.kind && !(f->remade ? f->text.len : inner(f->content).len);
	if (f->remade && f->content.kind == JSON_ARRAY)
		w->text_bytes += f->text.len + f->thought.len;
}

/* ---- writing ---- */

static void add_text(struct buf *out, bool *first, const char *name, struct slice text)
{
	buf_str(out, *first ? "\"" : ",\"");
	*first = false;
	buf_str(out, name);
	buf_str(out, "\":\"");
	buf_slice_append(out, text);
	buf_char(out, '"');
}

/* Texts made anew, and thoughts under both names. */
static void write_texts(const struct words *w, const struct found *f, bool *first, struct buf *out)
{
	struct slice thought = f->remade                 ? buf_slice(&f->thought)
			       : inner(f->reasoning).len ? inner(f->reasoning)
							 : inner(f->reasoning_content);

	if (f->remade && w->whole && !f->text.len && f->calls.kind) {
		buf_str(out, *first ? "\"content\":null" : ",\"content\":null");
		*first = false;
	} else if (f->remade && (f->text.len || w->whole || (w->first && !f->thought.len))) {
		add_text(out, first, "content", buf_slice(&f->text));
	}
	if (f->hidden || !thought.len)
		return;
	add_text(out, first, "reasoning", thought);
	add_text(out, first, "reasoning_content", thought);
}

/* Writes the object anew without what is superfluous. false: it cannot be put right. */
static bool write_words(struct dialect *d, const struct words *w, const struct found *f,
	struct json_value object, struct buf *out)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	bool first = true;

	buf_char(out, '{');
	if (!f->role && w->first) {
		buf_str(out, "\"role\":\"assistant\"");
		first = false;
	}
	json_iter_init(&it, object);
	while (json_iter_next(&it, &key, &v)) {
		struct tool_pieces p = { v, w->index, w->whole, d->id };

		if (is_superfluous(w, key, v) || (f->remade && KEY_IS(key, "content")))
			continue;
		if (is_thought(key) &&
			(f->hidden || !json_is_truthy(v) || !KEY_IS(key, "reasoning_details")))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		buf_slice_append(out, key);
		buf_char(out, ':');
		if (v.kind != JSON_ARRAY || v.raw.ptr != f->calls.raw.ptr || f->calls_right)
			buf_slice_append(out, v.raw);
		else if (!tool_calls_write(&d->calls, &p, out))
			return false;
	}
	write_texts(w, f, &first, out);
	if (w->whole && !f->content.kind && !f->remade)
		buf_str(out, first ? "\"content\":null" : ",\"content\":null");
	buf_char(out, '}');
	return true;
}

/* A thought under one name gets the other one too, beside it. */
static void name_twice(struct splice *s, const struct found *f)
{
	bool one = inner(f->reasoning).len, other = inner(f->reasoning_content).len;
	struct json_value has = one ? f->reasoning : f->reasoning_content;
	struct json_value lacks = one ? f->reasoning_content : f->reasoning;
	size_t from = s->text.len;

	if (one == other)
		return;
	if (lacks.kind) { /* null or "" */
		buf_slice_append(&s->text, has.raw);
		splice_put(s, lacks.raw, from);
		return;
	}
	buf_str(&s->text, one ? ",\"reasoning_content\":" : ",\"reasoning\":");
	buf_slice_append(&s->text, has.raw);
	splice_put(s, (struct slice){ has.raw.ptr + has.raw.len, 0 }, from);
}

/* There is no object: a delta is put in, in its place or in front. */
static void put_missing(struct dialect *d, struct words *w, struct json_value v,
	struct slice choice, struct found *f)
{
	struct splice *s = &d->splice;
	size_t from = s->text.len;
	bool first = true;

	if (!v.kind)
		buf_str(&s->text, "\"delta\":");
	buf_char(&s->text, '{');
	if (w->first) {
		buf_str(&s->text, "\"role\":\"assistant\"");
		first = false;
	}
	if (f->text.len || f->thought.len)
		write_texts(w, f, &first, &s->text);
	buf_str(&s->text, v.kind ? "}" : "},");
	splice_put(s, v.kind ? v.raw : (struct slice){ choice.ptr + 1, 0 }, from);
}

bool words_take(struct dialect *d, struct words *w, struct json_value object, struct slice choice)
{
	struct found f = { .role = false };
	struct splice *s = &d->splice;
	size_t from = s->text.len;
	bool fits = true;

	if (object.kind == JSON_OBJECT)
		look(d, w, object, &f);
	weigh(d, w, object, &f);
	if (object.kind != JSON_OBJECT) {
		w->empty = !f.text.len && !f.thought.len;
		put_missing(d, w, object, choice, &f);
	} else if (f.wrong || (w->whole && !f.content.kind)) {
		fits = write_words(d, w, &f, object, &s->text);
		splice_put(s, object.raw, from);
	} else {
		if (w->first && !f.role)
			splice_str(s, (struct slice){ object.raw.ptr + 1, 0 },
				json_is_truthy(object) ? "\"role\":\"assistant\","
						       : "\"role\":\"assistant\"");
		if (f.reasoning.kind || f.reasoning_content.kind)
			name_twice(s, &f);
	}
	s->text.failed |= !buf_ok(&f.text) || !buf_ok(&f.thought);
	buf_fini(&f.text);
	buf_fini(&f.thought);
	return fits;
}
