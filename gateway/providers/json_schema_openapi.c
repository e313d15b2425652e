/* JSON Schema as the subset of OpenAPI 3.0 that Google's older models take (gemini.md section 5).
 */
#include "gateway/providers/json_schema_writer.h"
#include "gateway/providers/members.h"

#include <stdlib.h>

#define SOURCES_MAX 16 /* schemas that make one: allOf, $ref … */
#define TYPES_MAX   7  /* there are no more in JSON Schema */

static const struct json_value plain_object = { JSON_OBJECT, { "{\"type\":\"object\"}", 17 } };

/* References that are being followed: what stands in itself is cut. */
struct trail {
	struct schema_writer *w;
	const char *active[SCHEMA_DEPTH_MAX];
	unsigned count;
};

enum keyword {
	TYPE,
	FORMAT,
	TITLE,
	DESCRIPTION,
	NULLABLE,
	ENUM,
	CONST,
	PROPERTIES,
	REQUIRED,
	ORDERING,
	ITEMS,
	PREFIX_ITEMS,
	ANY_OF,
	ONE_OF,
	ALL_OF,
	REF,
	PATTERN,
	MIN_ITEMS,
	MAX_ITEMS,
	MIN_PROPERTIES,
	MAX_PROPERTIES,
	MIN_LENGTH,
	MAX_LENGTH,
	MINIMUM,
	MAXIMUM,
	DEFAULT,
	EXAMPLE,
	KEYWORDS
};

static const char *const keyword_names[KEYWORDS] = {
	[TYPE] = "type",
	[FORMAT] = "format",
	[TITLE] = "title",
	[DESCRIPTION] = "description",
	[NULLABLE] = "nullable",
	[ENUM] = "enum",
	[CONST] = "const",
	[PROPERTIES] = "properties",
	[REQUIRED] = "required",
	[ORDERING] = "propertyOrdering",
	[ITEMS] = "items",
	[PREFIX_ITEMS] = "prefixItems",
	[ANY_OF] = "anyOf",
	[ONE_OF] = "oneOf",
	[ALL_OF] = "allOf",
	[REF] = "$ref",
	[PATTERN] = "pattern",
	[MIN_ITEMS] = "minItems",
	[MAX_ITEMS] = "maxItems",
	[MIN_PROPERTIES] = "minProperties",
	[MAX_PROPERTIES] = "maxProperties",
	[MIN_LENGTH] = "minLength",
	[MAX_LENGTH] = "maxLength",
	[MINIMUM] = "minimum",
	[MAXIMUM] = "maximum",
	[DEFAULT] = "default",
	[EXAMPLE] = "example",
};

/* A schema with all that allOf, $ref and a lone alternative bring into it. */
struct node {
	struct json_value k[KEYWORDS]; /* the first source that has one counts */
	struct json_value properties[SOURCES_MAX], required[SOURCES_MAX];
	unsigned sources;
	bool nullable;
};

/* ---- putting together ---- */

static bool is_null_type(struct json_value v)
{
	return json_str_is(json_get(v, "type").raw, "null");
}

static void gather(struct trail *t, struct node *n, struct json_value v);

/* The alternatives of a source: when only one is not null, it is the schema itself. */
static bool gather_only(struct trail *t, struct node *n, struct json_value list)
{
	struct json_value v, only = { JSON_ABSENT, { "", 0 } };
	struct json_iter it;
	struct slice none;
	unsigned count = 0;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		if (is_null_type(v)) {
			n->nullable = true;
		} else {
			only = v;
			count++;
		}
	}
	if (count > 1)
		return false;
	gather(t, n, only);
	return true;
}

static void gather_ref(struct trail *t, struct node *n, struct json_value ref)
{
	struct json_value target = schema_target(t->w->root, ref);

	for (unsigned i = 0; i < t->count; i++)
		if (t->active[i] == target.raw.ptr)
			target.kind = JSON_ABSENT;
	if (target.kind == JSON_ABSENT || t->count == SCHEMA_DEPTH_MAX) {
		gather(t, n, plain_object);
		return;
	}
	t->active[t->count++] = target.raw.ptr;
	gather(t, n, target);
}

static void gather(struct trail *t, struct node *n, struct json_value v)
{
	struct json_value k[KEYWORDS], child;
	struct json_iter it;
	struct slice none;

	if (v.kind != JSON_OBJECT || n->sources == SOURCES_MAX)
		return;
	members_read(v, keyword_names, KEYWORDS, k);
	n->properties[n->sources] = k[PROPERTIES];
	n->required[n->sources++] = k[REQUIRED];
	n->nullable |= json_is_true(k[NULLABLE]);
	if (k[ANY_OF].kind == JSON_ABSENT)
		k[ANY_OF] = k[ONE_OF];
	for (unsigned i = 0; i < KEYWORDS; i++)
		if (i != ANY_OF && n->k[i].kind == JSON_ABSENT)
			n->k[i] = k[i];
	if (k[ANY_OF].kind == JSON_ARRAY && !gather_only(t, n, k[ANY_OF]) &&
		n->k[ANY_OF].kind == JSON_ABSENT)
		n->k[ANY_OF] = k[ANY_OF];
	if (k[REF].kind == JSON_STRING)
		gather_ref(t, n, k[REF]);
	json_iter_init(&it, k[ALL_OF]);
	while (k[ALL_OF].kind == JSON_ARRAY && json_iter_next(&it, &none, &child))
		gather(t, n, child);
}

/* ---- types ---- */

struct types {
	struct slice raw[TYPES_MAX];
	unsigned count;
};

static void add_type(struct types *t, struct node *n, struct json_value v)
{
	if (json_str_is(v.raw, "null"))
		n->nullable = true;
	else if (v.kind == JSON_STRING && t->count < TYPES_MAX)
		t->raw[t->count++] = v.raw;
}

static bool has_properties(const struct node *n)
{
	for (unsigned i = 0; i < n->sources; i++)
		if (n->properties[i].kind == JSON_OBJECT && json_is_truthy(n->properties[i]))
			return true;
	return false;
}

static bool has_enum(const struct node *n)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (n->k[CONST].kind == JSON_STRING || n->k[CONST].kind == JSON_NUMBER)
		return true;
	json_iter_init(&it, n->k[ENUM]);
	while (n->k[ENUM].kind == JSON_ARRAY && json_iter_next(&it, &none, &v))
		if (v.kind == JSON_NUMBER || (v.kind == JSON_STRING && v.raw.len > 2))
			return true;
	return false;
}

static struct types types_of(struct node *n)
{
	struct types t = { .count = 0 };
	struct json_iter it;
	struct json_value v;
	struct slice none;

	add_type(&t, n, n->k[TYPE]);
	json_iter_init(&it, n->k[TYPE]);
	while (n->k[TYPE].kind == JSON_ARRAY && json_iter_next(&it, &none, &v))
		add_type(&t, n, v);
	if (has_enum(n) || (!t.count && n->nullable && !n->k[ANY_OF].kind && !has_properties(n) &&
				   !n->k[ITEMS].kind && !n->k[PREFIX_ITEMS].kind))
		t = (struct types){ .raw = { SLICE("\"string\"") }, .count = 1 };
	else if (!t.count && has_properties(n))
		t = (struct types){ .raw = { SLICE("\"object\"") }, .count = 1 };
	else if (!t.count && (n->k[ITEMS].kind || n->k[PREFIX_ITEMS].kind))
		t = (struct types){ .raw = { SLICE("\"array\"") }, .count = 1 };
	return t;
}

static bool is_type(struct slice raw, const char *name)
{
	return raw.len > 2 && slice_is_nocase((struct slice){ raw.ptr + 1, raw.len - 2 }, name);
}

/* ---- writing ---- */

static void write_node(struct trail *t, struct json_value v, unsigned depth);

static void write_list(struct trail *t, const char *name, struct json_value list, unsigned depth)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	schema_member(t->w, name);
	buf_char(t->w->out, '[');
	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v)) {
		if (is_null_type(v))
			continue;
		schema_comma(t->w);
		write_node(t, v, depth + 1);
	}
	buf_char(t->w->out, ']');
}

static void write_items(struct trail *t, const struct node *n, unsigned depth)
{
	struct json_value items = n->k[ITEMS], tuple = n->k[PREFIX_ITEMS];

	if (items.kind == JSON_ARRAY)
		tuple = items;
	schema_member(t->w, "items");
	if (tuple.kind == JSON_ARRAY && json_is_truthy(tuple)) {
		buf_char(t->w->out, '{');
		write_list(t, "anyOf", tuple, depth + 1);
		buf_char(t->w->out, '}');
	} else if (items.kind == JSON_OBJECT) {
		write_node(t, items, depth + 1);
	} else {
		buf_str(t->w->out, "{\"type\":\"string\"}");
	}
}

/* Is the key one of the sources before this one? Of two properties with a name the first counts. */
static bool came_before(const struct node *n, unsigned source, struct slice key)
{
	struct json_iter it;
	struct json_value v;
	struct slice other;

	for (unsigned i = 0; i < source; i++) {
		json_iter_init(&it, n->properties[i]);
		while (json_iter_next(&it, &other, &v))
			if (slice_eq(key, other))
				return true;
	}
	return false;
}

static void write_keys(struct trail *t, const struct node *n)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	schema_member(t->w, "propertyOrdering");
	if (n->k[ORDERING].kind == JSON_ARRAY) {
		buf_slice_append(t->w->out, n->k[ORDERING].raw);
		return;
	}
	buf_char(t->w->out, '[');
	for (unsigned i = 0; i < n->sources; i++) {
		json_iter_init(&it, n->properties[i]);
		while (json_iter_next(&it, &key, &v)) {
			if (came_before(n, i, key))
				continue;
			schema_comma(t->w);
			buf_slice_append(t->w->out, key);
		}
	}
	buf_char(t->w->out, ']');
}

static void write_properties(struct trail *t, const struct node *n, unsigned depth)
{
	struct schema_writer *w = t->w;
	struct json_iter it;
	struct json_value v;
	struct slice key;

	if (!has_properties(n))
		return;
	schema_member(w, "properties");
	buf_char(w->out, '{');
	for (unsigned i = 0; i < n->sources; i++) {
		json_iter_init(&it, n->properties[i]);
		while (json_iter_next(&it, &key, &v)) {
			if (came_before(n, i, key))
				continue;
			schema_comma(w);
			buf_slice_append(w->out, key);
			buf_char(w->out, ':');
			write_node(t, v, depth + 1);
		}
	}
	buf_char(w->out, '}');
}

/* The required lists of all sources as one. */
static void write_required(struct trail *t, const struct node *n)
{
	struct buf all = { 0 };
	struct slice inner;

	for (unsigned i = 0; i < n->sources; i++) {
		if (n->required[i].kind != JSON_ARRAY || !json_is_truthy(n->required[i]))
			continue;
		inner = n->required[i].raw;
		buf_char(&all, all.len ? ',' : '[');
		buf_append(&all, inner.ptr + 1, inner.len - 2);
	}
	buf_char(&all, ']');
	if (all.len > 1)
		schema_required(t->w, (struct json_value){ JSON_ARRAY, buf_slice(&all) },
			n->properties, n->sources);
	t->w->out->failed |= !buf_ok(&all);
	buf_fini(&all);
}

/* What only some types have. */
static void write_inside(struct trail *t, const struct node *n, struct slice type, unsigned depth)
{
	if (is_type(type, "array"))
		write_items(t, n, depth);
	if (!is_type(type, "object") || !has_properties(n))
		return;
	write_properties(t, n, depth);
	write_required(t, n);
	write_keys(t, n);
}

static void write_enum(struct trail *t, const struct node *n)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (!has_enum(n))
		return;
	schema_member(t->w, "enum");
	buf_char(t->w->out, '[');
	if (n->k[CONST].kind != JSON_ABSENT) {
		(void)schema_enum_value(t->w, n->k[CONST]);
	} else {
		json_iter_init(&it, n->k[ENUM]);
		while (json_iter_next(&it, &none, &v))
			(void)schema_enum_value(t->w, v);
	}
	buf_char(t->w->out, ']');
}

/* Members that go on as they are, when they have the right kind. */
static void write_plain(struct schema_writer *w, const struct node *n, bool of_string)
{
	static const char *const formats[] = { "int32", "int64", "float", "double", "enum",
		"date-time" };
	enum json_kind kind;

	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		if (json_str_is(n->k[FORMAT].raw, formats[i]) && !of_string) {
			schema_member(w, "format");
			buf_slice_append(w->out, n->k[FORMAT].raw);
		}
	for (unsigned i = TITLE; i < KEYWORDS; i++) {
		if (i > DESCRIPTION && i < PATTERN)
			continue;
		kind = i <= DESCRIPTION || i == PATTERN ? JSON_STRING : JSON_NUMBER;
		if (i >= DEFAULT)
			kind = n->k[i].kind;
		if (n->k[i].kind == JSON_ABSENT || n->k[i].kind != kind)
			continue;
		schema_member(w, keyword_names[i]);
		buf_slice_append(w->out, n->k[i].raw);
	}
}

static void write_types(
	struct trail *t, const struct node *n, const struct types *types, unsigned depth)
{
	schema_member(t->w, "anyOf");
	buf_char(t->w->out, '[');
	for (unsigned i = 0; i < types->count; i++) {
		schema_comma(t->w);
		buf_str(t->w->out, "{\"type\":");
		buf_slice_append(t->w->out, types->raw[i]);
		write_inside(t, n, types->raw[i], depth + 1);
		buf_char(t->w->out, '}');
	}
	buf_char(t->w->out, ']');
}

static void write_gathered(struct trail *t, struct node *n, unsigned depth)
{
	struct types types = types_of(n);

	buf_char(t->w->out, '{');
	if (types.count == 1) {
		schema_member(t->w, "type");
		buf_slice_append(t->w->out, types.raw[0]);
	}
	if (n->nullable) {
		schema_member(t->w, "nullable");
		buf_str(t->w->out, "true");
	}
	write_enum(t, n);
	write_plain(t->w, n, has_enum(n));
	if (types.count == 1)
		write_inside(t, n, types.raw[0], depth);
	if (n->k[ANY_OF].kind == JSON_ARRAY)
		write_list(t, "anyOf", n->k[ANY_OF], depth);
	else if (types.count > 1)
		write_types(t, n, &types, depth);
	buf_char(t->w->out, '}');
}

static void write_node(struct trail *t, struct json_value v, unsigned depth)
{
	unsigned followed = t->count;
	struct node *n;

	if (!schema_begin(t->w, depth))
		return;
	/* On the heap: stacks are small, and schemas stand in schemas. */
	n = calloc(1, sizeof(*n));
	if (!n) {
		t->w->out->failed = true;
		return;
	}
	gather(t, n, v);
	write_gathered(t, n, depth);
	free(n);
	t->count = followed;
}

enum err_code schema_write_openapi(struct slice schema, struct buf *out, struct err *e)
{
	struct schema_writer w = { .out = out, .start = out->len };
	struct trail t = { .w = &w, .count = 1 };

	schema = slice_trim(schema);
	w.root = (struct json_value){ schema.len && schema.ptr[0] == '{' ? JSON_OBJECT : JSON_BOOL,
		schema };
	t.active[0] = schema.ptr;
	write_node(&t, w.root, 0);
	return schema_end(&w, e);
}
