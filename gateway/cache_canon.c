#include "gateway/cache_canon.h"

#include "gateway/cache_map.h"

#include <stdlib.h>

#define STOP   0xff /* ends what has no length of its own */
#define SPREAD UINT64_C(0x9e3779b97f4a7c15)

/* ---- into the hash ---- */

void cache_canon_begin(struct cache_canon *c)
{
	crypto_hash_begin(&c->hash);
	c->sum = c->length = c->n = 0;
}

/* A sum that has nothing in common with SHA-256. Blocks are cut by length alone, so that the same
 * text has the same sum however it was appended. */
static void flush(struct cache_canon *c)
{
	uint64_t sum = c->sum, word;

	for (size_t i = 0; i < c->n; i += sizeof(word)) {
		size_t n = c->n - i < sizeof(word) ? c->n - i : sizeof(word);

		word = 0;
		memcpy(&word, c->block + i, n);
		sum = (sum ^ word) * SPREAD;
		sum ^= sum >> 32;
	}
	c->sum = sum;
	c->length += c->n;
	crypto_hash_add(&c->hash, (struct slice){ (const char *)c->block, c->n });
	c->n = 0;
}

static void put(struct cache_canon *c, unsigned byte)
{
	c->block[c->n++] = (unsigned char)byte;
	if (c->n == sizeof(c->block))
		flush(c);
}

static void put_bytes(struct cache_canon *c, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;

	if (n < sizeof(c->block) - c->n) {
		memcpy(c->block + c->n, from, n);
		c->n += n;
		return;
	}
	while (n) {
		size_t fits = sizeof(c->block) - c->n;

		if (fits > n)
			fits = n;
		memcpy(c->block + c->n, from, fits);
		c->n += fits;
		from += fits;
		n -= fits;
		if (c->n == sizeof(c->block))
			flush(c);
	}
}

void cache_canon_text(struct cache_canon *c, struct slice text)
{
	put_bytes(c, text.ptr, text.len);
	put(c, STOP);
}

void cache_canon_char(struct cache_canon *c, char letter)
{
	put(c, (unsigned char)letter);
}

void cache_canon_count(struct cache_canon *c, uint64_t n)
{
	for (; n > 0x7f; n >>= 7)
		put(c, (unsigned)(n & 0x7f) | 0x80);
	put(c, (unsigned)n);
}

void cache_canon_end(struct cache_canon *c, struct cache_key *out)
{
	flush(c);
	out->length = (uint32_t)c->length;
	out->crc = (uint32_t)(c->sum * SPREAD >> 32);
	crypto_hash_end(&c->hash, out->hash);
}

/* ---- the walk ---- */

struct frame {
	uint32_t object;  /* its node, or CACHE_MAP_ARRAY */
	uint32_t member;  /* the one to come; 0 = none */
	uint32_t current; /* the one being written */
};

struct writing {
	struct cache_canon *c;
	const struct cache_canon_body *body;
	const struct cache_map *m;
	uint32_t node; /* where those of the value begin that is written next */
	size_t depth;
	bool in_messages;
	bool has_words;
	struct frame frames[CACHE_MAP_DEPTH];
};

/* Copies up to the first quote or backslash, or end. Sixteen bytes at a time: those too many are
 * written over by what comes next. */
static const char *copy_run(struct cache_canon *c, const char *p, const char *end)
{
	const char *q = p;

	while (end - p >= 16 && sizeof(c->block) - c->n > 16) {
		memcpy(c->block + c->n, p, 16);
		q = json_text_special(p, p + 16, false);
		c->n += (size_t)(q - p);
		if (q < p + 16)
			return q;
		p = q;
	}
	q = json_text_special(p, end, false);
	put_bytes(c, p, (size_t)(q - p));
	return q;
}

/* p stands behind the opening quote. Returns the byte behind the closing one. */
static const char *write_string(struct cache_canon *c, const char *p, const char *end)
{
	unsigned char decoded[4];

	put(c, '"');
	for (;;) {
		p = copy_run(c, p, end);
		if (p == end || *p == '"')
			break;
		if (end - p >= 2 && p[1] == 'n') { /* of all escapes nearly the only one */
			put(c, '\n');
			p += 2;
			continue;
		}
		put_bytes(c, decoded, json_text_unescape(&p, end, decoded));
	}
	put(c, STOP);
	return p < end ? p + 1 : end;
}

/* A number taken apart: its digits, with a point among them, from the first to the last that is
 * not 0; and the power of ten of the first. */
struct number {
	bool negative;
	const char *from, *to;
	int64_t power;
};

/* false: its exponent is out of all bounds. */
static bool read_number(const char *p, const char *end, struct number *out)
{
	int64_t exponent = 0, before = 0, nth = 0;
	bool minus = false, point = false;

	*out = (struct number){ .negative = *p == '-' };
	for (p += out->negative; p < end && (json_text_is_digit(*p) || *p == '.'); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		before += !point;
		if (*p != '0') {
			if (!out->from) {
				out->from = p;
				out->power = -nth;
			}
			out->to = p + 1;
		}
		nth++;
	}
	out->power += before - 1;
	if (p < end) {
		p++;
		minus = p < end && *p == '-';
		if (p < end && (*p == '-' || *p == '+'))
			p++;
		for (; p < end && json_text_is_digit(*p); p++) {
			exponent = exponent * 10 + (*p - '0');
			if (exponent > INT64_C(1) << 50)
				return !out->from;
		}
	}
	out->power += minus ? -exponent : exponent;
	return true;
}

static const char *write_number(struct cache_canon *c, const char *p, const char *end)
{
	const char *stop = cache_map_scalar(p, end);
	struct number n;

	if (!read_number(p, stop, &n)) {
		put(c, '!');
		cache_canon_text(c, (struct slice){ p, (size_t)(stop - p) });
		return stop;
	}
	if (n.from && n.negative)
		put(c, '-');
	for (p = n.from; p < n.to; p++)
		if (*p != '.')
			put(c, (unsigned char)*p);
	put(c, STOP);
	if (n.from) /* small ones of either sign in one byte */
		cache_canon_count(
			c, n.power < 0 ? ~((uint64_t)n.power << 1) : (uint64_t)n.power << 1);
	return stop;
}

static bool spells(const struct cache_map *m, const struct cache_node *n, const char *name)
{
	struct slice text = { m->text + n->at, n->len & ~CACHE_MAP_ESCAPED };

	return n->len & CACHE_MAP_ESCAPED ? json_text_spells(text, name) : slice_is(text, name);
}

/* Is the string at p one of the words that are asked for? */
static bool is_asked(const struct writing *w, const char *p)
{
	const struct json_value *asked = &w->body->asked;
	const struct frame *f = &w->frames[w->depth - 1];

	if (asked->kind == JSON_ABSENT || p < asked->raw.ptr ||
		p >= asked->raw.ptr + asked->raw.len)
		return false;
	if (asked->kind == JSON_STRING)
		return true;
	return w->depth == 5 && f->object != CACHE_MAP_ARRAY &&
	       spells(w->m, &w->m->nodes[f->current], "text");
}

static const char *take_words(struct writing *w, const char *p)
{
	bool ignored;
	const char *end = cache_map_string(p, w->m->end, &ignored);

	if (w->has_words)
		buf_char(w->body->words, '\n');
	w->has_words = true;
	(void)!json_str_decode(
		(struct json_value){ JSON_STRING, { p, (size_t)(end - p) } }, w->body->words);
	put(w->c, '?');
	return end;
}

/* Writes the value at p, or what it begins with. */
static const char *write_value(struct writing *w, const char *p)
{
	const char *end = w->m->end;

	switch (*p) {
	case '{':
		put(w->c, '{');
		w->frames[w->depth++] =
			(struct frame){ .object = w->node, .member = w->m->nodes[w->node].next };
		return p;
	case '[':
		put(w->c, '[');
		w->frames[w->depth++] = (struct frame){ .object = CACHE_MAP_ARRAY };
		return p + 1;
	case '"':
		return is_asked(w, p) ? take_words(w, p) : write_string(w->c, p + 1, end);
	case 't':
	case 'f':
	case 'n':
		put(w->c, (unsigned char)*p);
		return cache_map_scalar(p, end);
	default:
		return write_number(w->c, p, end);
	}
}

/* A member's value; of an array the kind alone, for its end is not known. */
static struct json_value value_of(const struct cache_map *m, uint32_t member)
{
	const char *p = m->text + m->nodes[member].value, *stop = p;
	enum json_kind kind = json_text_kind(*p);
	bool ignored;

	if (kind == JSON_OBJECT)
		stop = m->text + m->nodes[member + 1].at;
	else if (kind == JSON_STRING)
		stop = cache_map_string(p, m->end, &ignored);
	else if (kind != JSON_ARRAY)
		stop = cache_map_scalar(p, m->end);
	return (struct json_value){ kind, { p, (size_t)(stop - p) } };
}

/* Is this member of the innermost open object left out? */
static bool is_left_out(const struct writing *w, uint32_t member)
{
	const struct cache_node *n = &w->m->nodes[member];
	const struct cache_canon_body *b = w->body;

	if (w->depth > 1)
		return w->depth == 3 && w->in_messages && w->m->text[n->value] == 'n';
	return w->m->text[n->value] == 'n' ||
	       (b->omits && b->omits(b->ctx,
				    (struct slice){ w->m->text + n->at - 1,
					    (n->len & ~CACHE_MAP_ESCAPED) + 2 },
				    value_of(w->m, member)));
}

/* The next member of the innermost open object: its name is written. Returns where its value
 * begins; NULL: there is none. */
static const char *next_member(struct writing *w)
{
	struct frame *f = &w->frames[w->depth - 1];
	const struct cache_node *n;
	const char *name;

	do {
		f->current = f->member;
		n = &w->m->nodes[f->current];
		f->member = n->next;
	} while (f->current && is_left_out(w, f->current));
	if (!f->current)
		return NULL;
	name = w->m->text + n->at;
	(void)write_string(w->c, name, name + (n->len & ~CACHE_MAP_ESCAPED));
	if (w->depth == 1)
		w->in_messages = spells(w->m, n, "messages");
	w->node = f->current + 1;
	return w->m->text + n->value;
}

/* The next element of the innermost open array, by the same rule; *p stands behind the one before.
 */
static const char *next_element(const struct writing *w, const char **p)
{
	*p = json_text_blanks(*p, w->m->end);
	if (*p < w->m->end && **p == ',')
		*p = json_text_blanks(*p + 1, w->m->end);
	if (*p < w->m->end && **p != ']')
		return *p;
	(*p)++;
	return NULL;
}

static void write_all(struct writing *w)
{
	const char *p = write_value(w, w->m->text), *value;

	while (w->depth) {
		const struct frame *f = &w->frames[w->depth - 1];

		value = f->object == CACHE_MAP_ARRAY ? next_element(w, &p) : next_member(w);
		if (value) {
			p = write_value(w, value);
			continue;
		}
		if (f->object != CACHE_MAP_ARRAY) {
			p = w->m->text + w->m->nodes[f->object].at;
			w->node = w->m->nodes[f->object].value;
		}
		put(w->c, f->object == CACHE_MAP_ARRAY ? ']' : '}');
		w->depth--;
	}
}

static enum err_code refuse(enum err_code rc, struct err *e)
{
	if (rc == ERR_NO_MEMORY)
		return err_set(e, rc,
			"no memory to sort the members of the request, or there are more than %zu",
			CACHE_MAP_MAX);
	return err_set(e, rc, "the request is no JSON object");
}

/* 18 KB that a stream would keep if they were on the stack of its thread. */
struct canon_scratch {
	struct cache_map map;
	struct writing w;
};

enum err_code cache_canon_object(
	struct cache_canon *c, const struct cache_canon_body *body, struct err *e)
{
	struct canon_scratch *s = malloc(sizeof(*s));
	enum err_code rc = s ? cache_map_make(&s->map, body->text) : ERR_NO_MEMORY;

	if (!rc) {
		/* One by one: the frames are large, and filled when they are needed. */
		s->w.c = c;
		s->w.body = body;
		s->w.m = &s->map;
		s->w.node = 0;
		s->w.depth = 0;
		s->w.in_messages = s->w.has_words = false;
		write_all(&s->w);
	}
	if (s)
		cache_map_fini(&s->map);
	free(s);
	if (rc)
		return refuse(rc, e);
	if (body->words && !buf_ok(body->words))
		return err_set(e, ERR_NO_MEMORY, "the question does not fit");
	return ERR_OK;
}
