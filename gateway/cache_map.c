#include "gateway/cache_map.h"

#include <stdlib.h>

static bool grow(struct cache_map *m)
{
	struct cache_node *more = NULL;
	size_t cap = 2 * m->cap;

	if (cap <= CACHE_MAP_MAX)
		more = m->nodes == m->here ? malloc(cap * sizeof(*more))
					   : realloc(m->nodes, cap * sizeof(*more));
	if (!more) {
		m->rc = ERR_NO_MEMORY;
		return false;
	}
	if (m->nodes == m->here)
		memcpy(more, m->here, sizeof(m->here));
	m->nodes = more;
	m->cap = cap;
	return true;
}

/* Notes a member of this object; p stands on its name. Returns where its value begins, or end. */
static const char *map_member(struct cache_map *m, uint32_t object, const char *p)
{
	struct cache_node *n;
	const char *q;
	bool escaped;

	if (p == m->end || *p != '"' || (m->count == m->cap && !grow(m)))
		return m->end;
	q = cache_map_string(p, m->end, &escaped);
	n = &m->nodes[m->count];
	n->at = (uint32_t)(p + 1 - m->text);
	n->len = (uint32_t)(q - p - 2) | (escaped ? CACHE_MAP_ESCAPED : 0);
	n->next = m->nodes[object].next; /* last first, until the object is closed */
	m->nodes[object].next = (uint32_t)m->count++;
	q = json_text_blanks(q, m->end);
	if (q == m->end || *q != ':')
		return m->end;
	q = json_text_blanks(q + 1, m->end);
	n->value = (uint32_t)(q - m->text);
	return q;
}

/* ---- their order ---- */

static int compare_spelled(struct json_spelling a, struct json_spelling b)
{
	int one, other;

	do {
		one = json_text_next(&a);
		other = json_text_next(&b);
	} while (one == other && one >= 0);
	return one - other;
}

static int compare(
	const struct cache_map *m, const struct cache_node *a, const struct cache_node *b)
{
	const char *one = m->text + a->at, *other = m->text + b->at;
	size_t an = a->len & ~CACHE_MAP_ESCAPED, bn = b->len & ~CACHE_MAP_ESCAPED;
	int differs;

	if ((a->len | b->len) & CACHE_MAP_ESCAPED)
		return compare_spelled((struct json_spelling){ .p = one, .end = one + an },
			(struct json_spelling){ .p = other, .end = other + bn });
	differs = memcmp(one, other, an < bn ? an : bn);
	return differs ? differs : (an > bn) - (an < bn);
}

static uint32_t merge(struct cache_map *m, uint32_t a, uint32_t b)
{
	uint32_t first = 0, *to = &first;

	while (a && b) {
		uint32_t *least = compare(m, &m->nodes[a], &m->nodes[b]) <= 0 ? &a : &b;

		*to = *least;
		to = &m->nodes[*least].next;
		*least = *to;
	}
	*to = a ? a : b;
	return first;
}

/* Sorts the members from first on by merging lists of 1, 2, 4 … of them. */
static uint32_t sort(struct cache_map *m, uint32_t first)
{
	uint32_t sorted[32] = { 0 }, rest = 0;
	unsigned top = 0, i;

	while (first) {
		uint32_t list = first;

		first = m->nodes[list].next;
		m->nodes[list].next = 0;
		for (i = 0; sorted[i]; i++) {
			list = merge(m, sorted[i], list);
			sorted[i] = 0;
		}
		sorted[i] = list;
		if (i > top)
			top = i;
	}
	for (i = 0; i <= top; i++)
		rest = merge(m, sorted[i], rest);
	return rest;
}

/* ---- the walk ---- */

static const char *open_object(struct cache_map *m, uint32_t *frame, const char *p)
{
	*frame = CACHE_MAP_ARRAY;
	if (m->count == m->cap && !grow(m))
		return m->end;
	*frame = (uint32_t)m->count;
	m->nodes[m->count++] = (struct cache_node){ 0 };
	p = json_text_blanks(p + 1, m->end);
	return p < m->end && *p == '}' ? p : map_member(m, *frame, p);
}

static void close_object(struct cache_map *m, uint32_t object, const char *behind)
{
	struct cache_node *n = &m->nodes[object];

	n->next = sort(m, n->next);
	n->at = (uint32_t)(behind - m->text);
	n->value = (uint32_t)m->count;
}

/* Takes one value at p, or what it begins with: *opened says that the next value is one inside.
 * Returns end where there is none. */
static const char *map_value(
	struct cache_map *m, uint32_t *frames, size_t *depth, const char *p, bool *opened)
{
	const char *q;
	bool ignored;

	*opened = false;
	switch (*p) {
	case '{':
		p = open_object(m, &frames[(*depth)++], p);
		*opened = p < m->end && *p != '}';
		return p;
	case '[':
		frames[(*depth)++] = CACHE_MAP_ARRAY;
		p = json_text_blanks(p + 1, m->end);
		*opened = p < m->end && *p != ']';
		return p;
	case '"':
		return cache_map_string(p, m->end, &ignored);
	default:
		q = cache_map_scalar(p, m->end);
		return q > p ? q : m->end;
	}
}

static enum err_code map_all(struct cache_map *m)
{
	uint32_t *frames = m->frames;
	const char *p = m->text;
	size_t depth = 0;
	bool opened;

	do {
		if (p == m->end || depth == CACHE_MAP_DEPTH)
			return m->rc ? m->rc : ERR_BAD_REQUEST;
		p = map_value(m, frames, &depth, p, &opened);
		if (opened)
			continue;
		while (depth) {
			p = json_text_blanks(p, m->end);
			if (p == m->end || *p == ',')
				break;
			if (*p != (frames[depth - 1] == CACHE_MAP_ARRAY ? ']' : '}'))
				return ERR_BAD_REQUEST;
			p++;
			if (frames[--depth] != CACHE_MAP_ARRAY)
				close_object(m, frames[depth], p);
		}
		if (depth && p < m->end) {
			p = json_text_blanks(p + 1, m->end);
			if (frames[depth - 1] != CACHE_MAP_ARRAY)
				p = map_member(m, frames[depth - 1], p);
		}
	} while (depth);
	return ERR_OK;
}

enum err_code cache_map_make(struct cache_map *m, struct slice text)
{
	m->text = text.ptr;
	m->end = text.ptr + text.len;
	m->nodes = m->here;
	m->count = 0;
	m->cap = CACHE_MAP_HERE;
	m->rc = ERR_OK;
	if (!text.len || text.len >= CACHE_MAP_ESCAPED || *text.ptr != '{')
		return ERR_BAD_REQUEST;
	return map_all(m);
}

void cache_map_fini(struct cache_map *m)
{
	if (m->nodes != m->here)
		free(m->nodes);
}
