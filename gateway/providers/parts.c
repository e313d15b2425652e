#include "gateway/providers/parts.h"

#include <stdlib.h>

static void part_fini(struct part *p)
{
	for (size_t i = 0; i < p->count; i++)
		part_fini(&p->parts[i]);
	free(p->parts);
	buf_fini(&p->inner);
}

void parts_fini(struct parts *p)
{
	part_fini(&p->top);
	*p = (struct parts){ .max_bytes = p->max_bytes };
}

/* ---- merging ---- */

struct merging {
	struct parts *p;
	struct err *e;
};

static enum err_code invalid(const struct merging *m, const char *what)
{
	return err_set(m->e, ERR_UPSTREAM_INVALID, "the stream has %s", what);
}

static bool says_nothing(struct json_value v)
{
	return v.kind == JSON_ABSENT || v.kind == JSON_NULL ||
	       (v.kind == JSON_STRING && v.raw.len == 2);
}

/* Room for another one at this place. */
static enum err_code insert(
	const struct merging *m, struct part *of, size_t at, size_t max, struct part **out)
{
	struct part *more;

	if (of->count == max)
		return invalid(m, "more parts than an answer may have");
	/* By powers of two. */
	if (!(of->count & (of->count - 1))) {
		more = realloc(of->parts, (of->count ? 2 * of->count : 1) * sizeof(*more));
		if (!more)
			return err_set(m->e, ERR_NO_MEMORY, "no memory to put an answer together");
		of->parts = more;
	}
	m->p->grown += 2; /* where something is new, the next piece is another one */
	*out = &of->parts[at];
	memmove(*out + 1, *out, (of->count - at) * sizeof(**out));
	of->count++;
	**out = (struct part){ .index = -1, .inner.max_bytes = m->p->max_bytes };
	return ERR_OK;
}

const struct part *part_member(const struct part *of, const char *name)
{
	for (size_t i = 0; of && i < of->count; i++)
		if (slice_is(of->parts[i].name, name))
			return &of->parts[i];
	return NULL;
}

const struct part *part_that_says(const struct part *of, const char *name)
{
	const struct part *p = part_member(of, name);

	return p && (p->inner.len || p->count || !says_nothing(p->last)) ? p : NULL;
}

/* What says nothing is kept only when there is nothing else; "" is more than null. */
static void take_last(struct part *p, struct json_value v)
{
	if (!says_nothing(v) || p->last.kind == JSON_ABSENT || p->last.kind == JSON_NULL)
		p->last = v;
}

static enum err_code append(const struct merging *m, struct part *p, struct json_value v)
{
	if (v.kind != JSON_STRING && v.kind != JSON_ARRAY) {
		take_last(p, v);
		return ERR_OK;
	}
	if (p->kind != v.kind)
		buf_reset(&p->inner);
	p->kind = v.kind;
	if (v.kind == JSON_ARRAY && p->inner.len && json_is_truthy(v))
		buf_char(&p->inner, ',');
	buf_append(&p->inner, v.raw.ptr + 1, v.raw.len - 2);
	m->p->grown++;
	m->p->grown_part = v.kind == JSON_STRING ? p : NULL;
	m->p->grown_by = (struct slice){ v.raw.ptr + 1, v.raw.len - 2 };
	return buf_ok(&p->inner) ? ERR_OK : invalid(m, "a text that does not fit");
}

static enum err_code merge(const struct merging *m, struct part *into,
	const struct parts_rule *rules, struct json_value object);

/* The element of this index, found or made. */
static enum err_code element(
	const struct merging *m, struct part *array, int64_t index, struct part **out)
{
	size_t at = array->count;
	enum err_code rc;

	while (at && array->parts[at - 1].index > index)
		at--;
	if (at && array->parts[at - 1].index == index) {
		*out = &array->parts[at - 1];
		return ERR_OK;
	}
	rc = insert(m, array, at, PARTS_ELEMENTS_MAX, out);
	if (!rc)
		(*out)->index = index;
	return rc;
}

static bool is_same(struct json_value a, struct json_value b)
{
	return a.kind == b.kind && slice_eq(a.raw, b.raw);
}

/* Is v more of the thought p? What is hidden comes whole. Without an index it is when nothing came
 * between, and no signature ended it. */
static bool goes_on(
	const struct merging *m, const struct part *p, int64_t index, struct json_value v)
{
	const struct part *type = part_member(p, "\"type\""), *id = part_member(p, "\"id\"");
	struct json_value its_id = json_get(v, "id");

	if (p->index != index || !type || !is_same(type->last, json_get(v, "type")) ||
		json_get(v, "data").kind != JSON_ABSENT)
		return false;
	if (id && !says_nothing(its_id) && !is_same(id->last, its_id))
		return false;
	return index >= 0 || (p->piece < m->p->pieces && !part_member(p, "\"signature\""));
}

static enum err_code thought(const struct merging *m, struct part *array, int64_t index,
	struct json_value v, struct part **out)
{
	size_t i = array->count;
	enum err_code rc;

	while (i && index >= 0 && array->parts[i - 1].index != index)
		i--;
	if (i && goes_on(m, &array->parts[i - 1], index, v)) {
		*out = &array->parts[i - 1];
		return ERR_OK;
	}
	rc = insert(m, array, array->count, PARTS_ELEMENTS_MAX, out);
	if (!rc)
		(*out)->index = index;
	return rc;
}

static enum err_code merge_elements(
	const struct merging *m, struct part *array, struct json_value v)
{
	const struct parts_rule *rule = array->rule;
	struct json_iter it;
	struct json_value one;
	struct slice none;
	struct part *into;
	enum err_code rc = ERR_OK;
	int64_t nth = 0;

	if (v.kind != JSON_ARRAY) {
		take_last(array, v);
		return ERR_OK;
	}
	array->kind = JSON_ARRAY;
	json_iter_init(&it, v);
	for (; !rc && json_iter_next(&it, &none, &one); nth++) {
		int64_t index = rule->how == PARTS_THOUGHTS ? -1 : nth;

		if (one.kind != JSON_OBJECT)
			return invalid(m, "a choice or call that is no object");
		if (json_int(json_get(one, "index"), &index) && index < 0)
			return invalid(m, "an index below 0");
		rc = rule->how == PARTS_THOUGHTS ? thought(m, array, index, one, &into)
						 : element(m, array, index, &into);
		if (!rc)
			rc = merge(m, into, rule->inside, one);
	}
	return rc;
}

static enum err_code merge_value(const struct merging *m, struct part *p, struct json_value v)
{
	switch (p->rule->how) {
	case PARTS_APPEND:
		return append(m, p, v);
	case PARTS_BY_INDEX:
	case PARTS_THOUGHTS:
		return merge_elements(m, p, v);
	case PARTS_OBJECT:
		if (v.kind == JSON_OBJECT) {
			p->kind = JSON_OBJECT;
			return merge(m, p, p->rule->inside, v);
		}
		take_last(p, v);
		return ERR_OK;
	case PARTS_LAST:
	case PARTS_DROP:
		take_last(p, v);
		break;
	}
	return ERR_OK;
}

static const struct parts_rule *rule_of(const struct parts_rule *rules, struct slice name)
{
	while (rules->name && !slice_is(name, rules->name))
		rules++;
	return rules;
}

static enum err_code merge(const struct merging *m, struct part *into,
	const struct parts_rule *rules, struct json_value object)
{
	struct json_iter it;
	struct json_value v;
	struct slice name;
	enum err_code rc = ERR_OK;
	size_t next = 0; /* members come in the same order as the last time */

	into->piece = m->p->pieces;
	json_iter_init(&it, object);
	while (!rc && json_iter_next(&it, &name, &v)) {
		struct part *p = NULL;

		for (size_t i = 0; i < into->count && !p; i++, next++) {
			next = next < into->count ? next : 0;
			if (slice_eq(into->parts[next].name, name))
				p = &into->parts[next];
		}
		if (!p) {
			rc = insert(m, into, into->count, PARTS_MEMBERS_MAX, &p);
			if (rc)
				break;
			p->name = name;
			p->rule = rule_of(rules, name);
		}
		if (p->rule->how != PARTS_DROP)
			rc = merge_value(m, p, v);
	}
	return rc;
}

enum err_code parts_merge(
	struct parts *p, const struct parts_rule *rules, struct json_value object, struct err *e)
{
	const struct merging m = { .p = p, .e = e };

	p->pieces++;
	p->grown = 0;
	p->grown_part = NULL;
	return merge(&m, &p->top, rules, object);
}

enum err_code parts_grow(struct parts *p, struct slice by, struct err *e)
{
	const struct merging m = { .p = p, .e = e };

	p->pieces++;
	buf_slice_append(&p->grown_part->inner, by);
	return buf_ok(&p->grown_part->inner) ? ERR_OK : invalid(&m, "a text that does not fit");
}

/* ---- writing ---- */

static void write_members(const struct part *p, struct buf *out);

void part_write(const struct part *p, struct buf *out)
{
	bool first = true;

	if (p->kind == JSON_STRING || (p->kind == JSON_ARRAY && p->rule->how == PARTS_APPEND)) {
		buf_char(out, p->kind == JSON_STRING ? '"' : '[');
		buf_slice_append(out, buf_slice(&p->inner));
		buf_char(out, p->kind == JSON_STRING ? '"' : ']');
	} else if (p->kind == JSON_ARRAY) {
		buf_char(out, '[');
		for (size_t i = 0; i < p->count; i++, first = false) {
			buf_str(out, first ? "{" : ",{");
			write_members(&p->parts[i], out);
			buf_char(out, '}');
		}
		buf_char(out, ']');
	} else if (p->kind == JSON_OBJECT) {
		buf_char(out, '{');
		write_members(p, out);
		buf_char(out, '}');
	} else {
		buf_slice_append(out, p->last.raw);
	}
}

bool part_is_written(const struct part *p)
{
	return p->rule->how != PARTS_DROP &&
	       (p->rule->how != PARTS_BY_INDEX || p->kind != JSON_ARRAY || p->count);
}

static void write_members(const struct part *p, struct buf *out)
{
	bool first = true;

	for (size_t i = 0; i < p->count; i++) {
		if (!part_is_written(&p->parts[i]))
			continue;
		if (!first)
			buf_char(out, ',');
		first = false;
		buf_slice_append(out, p->parts[i].name);
		buf_char(out, ':');
		part_write(&p->parts[i], out);
	}
}
