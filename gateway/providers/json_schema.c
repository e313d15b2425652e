#include "gateway/providers/json_schema_writer.h"
#include "gateway/providers/members.h"

/* ---- common ---- */

static struct schema_writer writer_of(struct slice schema, struct buf *out)
{
	schema = slice_trim(schema);
	return (struct schema_writer){ .out = out,
		.root = { schema.len && schema.ptr[0] == '{' ? JSON_OBJECT : JSON_BOOL, schema },
		.start = out->len };
}

bool schema_begin(struct schema_writer *w, unsigned depth)
{
	if (!w->too_large && depth < SCHEMA_DEPTH_MAX && ++w->nodes <= SCHEMA_NODES_MAX &&
		w->out->len - w->start <= SCHEMA_BYTES_MAX)
		return true;
	w->too_large = true;
	buf_str(w->out, "{}");
	return false;
}

void schema_comma(struct schema_writer *w)
{
	struct slice s = buf_slice(w->out);

	if (s.len && s.ptr[s.len - 1] != '{' && s.ptr[s.len - 1] != '[')
		buf_char(w->out, ',');
}

void schema_member(struct schema_writer *w, const char *name)
{
	schema_comma(w);
	buf_char(w->out, '"');
	buf_str(w->out, name);
	buf_str(w->out, "\":");
}

enum err_code schema_end(const struct schema_writer *w, struct err *e)
{
	if (!buf_ok(w->out))
		return err_set(e, ERR_NO_MEMORY, "no memory for a schema");
	if (!w->too_large && w->out->len - w->start <= SCHEMA_BYTES_MAX)
		return ERR_OK;
	return err_set(e, ERR_BAD_REQUEST,
		"a schema is too large: at most %u levels, %u schemas and %zu bytes with all its "
		"references",
		SCHEMA_DEPTH_MAX, SCHEMA_NODES_MAX, SCHEMA_BYTES_MAX);
}

/* Undoes ~1 and ~0 of a JSON pointer in place. */
static void unescape(char *name)
{
	char *to = name;

	for (const char *p = name; *p; p++) {
		if (p[0] == '~' && (p[1] == '0' || p[1] == '1'))
			*to++ = *++p == '0' ? '~' : '/';
		else
			*to++ = *p;
	}
	*to = '\0';
}

struct json_value schema_target(struct json_value root, struct json_value ref)
{
	const struct json_value none = { JSON_ABSENT, { "", 0 } };
	char pointer[512], name[256];
	struct slice rest;
	int64_t index;

	if (!json_str_copy(ref, pointer, sizeof(pointer)) || pointer[0] != '#')
		return none;
	rest = slice_of(pointer + 1);
	if (rest.len && rest.ptr[0] != '/')
		return none;
	rest = slice_from(rest, 1);
	while (rest.len) {
		if (!slice_copy(slice_cut(&rest, '/'), name, sizeof(name)))
			return none;
		unescape(name);
		if (root.kind == JSON_OBJECT)
			root = json_get(root, name);
		else if (str_int(slice_of(name), 0, 1000, &index))
			root = json_at(root, (size_t)index);
		else
			return none;
	}
	return root.kind == JSON_OBJECT ? root : none;
}

bool schema_enum_value(struct schema_writer *w, struct json_value v)
{
	if (v.kind != JSON_NUMBER && (v.kind != JSON_STRING || v.raw.len <= 2))
		return false;
	schema_comma(w);
	if (v.kind == JSON_NUMBER)
		buf_char(w->out, '"');
	buf_slice_append(w->out, v.raw);
	if (v.kind == JSON_NUMBER)
		buf_char(w->out, '"');
	return true;
}

static bool has_member(struct json_value object, struct slice key)
{
	struct json_iter it;
	struct json_value v;
	struct slice k;

	json_iter_init(&it, object);
	while (json_iter_next(&it, &k, &v))
		if (slice_eq(k, key))
			return true;
	return false;
}

void schema_required(struct schema_writer *w, struct json_value required,
	const struct json_value *properties, unsigned n)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;
	bool any = false, is_one;

	if (required.kind != JSON_ARRAY)
		return;
	json_iter_init(&it, required);
	while (json_iter_next(&it, &none, &v)) {
		is_one = false;
		for (unsigned i = 0; !is_one && i < n; i++)
			is_one = has_member(properties[i], v.raw);
		if (!is_one)
			continue;
		if (any)
			buf_char(w->out, ',');
		else
			schema_member(w, "required");
		if (!any)
			buf_char(w->out, '[');
		any = true;
		buf_slice_append(w->out, v.raw);
	}
	if (any)
		buf_char(w->out, ']');
}

static bool is_among(struct slice raw, const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_str_is(raw, names[i]))
			return true;
	return false;
}

#define AMONG(raw, names) is_among(raw, names, sizeof(names) / sizeof((names)[0]))

/* Does a type say this, alone or among others? */
static bool says(struct json_value type, const char *name)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	if (type.kind == JSON_STRING)
		return json_str_is(type.raw, name);
	json_iter_init(&it, type);
	while (json_iter_next(&it, &none, &v))
		if (json_str_is(v.raw, name))
			return true;
	return false;
}

/* ---- schemas that stay JSON Schema ---- */

/* What the two providers want differently. */
struct rules {
	/* Writes a member its own way: true, and then it is done. */
	bool (*member)(struct schema_writer *w, struct json_value schema, struct slice key,
		struct json_value v);
	/* Adds what is missing at the end. */
	void (*end)(struct schema_writer *w, struct json_value schema);
};

static void write_schema(
	struct schema_writer *w, const struct rules *r, struct json_value v, unsigned depth);

static void write_members(
	struct schema_writer *w, const struct rules *r, struct json_value v, unsigned depth)
{
	struct json_iter it;
	struct json_value child;
	struct slice key;

	buf_char(w->out, v.kind == JSON_OBJECT ? '{' : '[');
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &child)) {
		schema_comma(w);
		if (v.kind == JSON_OBJECT) {
			buf_slice_append(w->out, key);
			buf_char(w->out, ':');
		}
		write_schema(w, r, child, depth);
	}
	buf_char(w->out, v.kind == JSON_OBJECT ? '}' : ']');
}

static void write_schema(
	struct schema_writer *w, const struct rules *r, struct json_value v, unsigned depth)
{
	static const char *const of_many[] = { "properties", "$defs", "definitions",
		"patternProperties", "dependentSchemas" };
	static const char *const lists[] = { "anyOf", "allOf", "prefixItems", "items" };
	static const char *const of_one[] = { "items", "additionalProperties", "not", "contains",
		"propertyNames", "if", "then", "else" };
	struct json_iter it;
	struct json_value child;
	struct slice key;

	if (v.kind != JSON_OBJECT) {
		buf_slice_append(w->out, v.raw);
		return;
	}
	if (!schema_begin(w, depth))
		return;
	buf_char(w->out, '{');
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &child)) {
		if (r->member(w, v, key, child))
			continue;
		schema_comma(w);
		if (json_str_is(key, "oneOf"))
			key = SLICE("\"anyOf\"");
		buf_slice_append(w->out, key);
		buf_char(w->out, ':');
		if ((child.kind == JSON_OBJECT && AMONG(key, of_many)) ||
			(child.kind == JSON_ARRAY && AMONG(key, lists)))
			write_members(w, r, child, depth + 1);
		else if (AMONG(key, of_one))
			write_schema(w, r, child, depth + 1);
		else
			buf_slice_append(w->out, child.raw);
	}
	r->end(w, v);
	buf_char(w->out, '}');
}

/* ---- Anthropic ---- */

static const char *const claude_limits[] = { "minimum", "maximum", "exclusiveMinimum",
	"exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern", "minItems",
	"maxItems", "uniqueItems", "minProperties", "maxProperties", "minContains", "maxContains",
	"format" };

static const char *const claude_formats[] = { "date-time", "time", "date", "duration", "email",
	"hostname", "uri", "ipv4", "ipv6", "uuid" };

/* Is it a limit that only words can say? */
static bool is_limit(struct slice key, struct json_value v)
{
	int64_t n;

	if (json_str_is(key, "format"))
		return !AMONG(v.raw, claude_formats);
	if (json_str_is(key, "minItems"))
		return !json_int(v, &n) || n > 1;
	return AMONG(key, claude_limits);
}

static bool claude_has_object(struct json_value schema)
{
	return says(json_get(schema, "type"), "object") ||
	       json_get(schema, "properties").kind == JSON_OBJECT;
}

/* The description with all limits behind it, as "Age. (minimum: 0, maximum: 150)". */
static void claude_describe(struct schema_writer *w, struct json_value schema)
{
	struct slice said = member_inner(json_get(schema, "description")), key;
	struct buf words = { 0 }, quoted = { 0 };
	struct json_iter it;
	struct json_value v;

	json_iter_init(&it, schema);
	while (json_iter_next(&it, &key, &v)) {
		if (!is_limit(key, v) || v.kind == JSON_OBJECT)
			continue;
		buf_str(&words, words.len ? ", " : "(");
		buf_slice_append(&words, member_inner((struct json_value){ JSON_STRING, key }));
		buf_str(&words, ": ");
		if (!json_str_decode(v, &words))
			buf_slice_append(&words, v.raw);
	}
	if (said.len || words.len) {
		schema_member(w, "description");
		buf_char(w->out, '"');
		buf_slice_append(w->out, said);
		if (words.len) {
			buf_char(&words, ')');
			buf_json_str(&quoted, buf_slice(&words));
			buf_str(w->out, said.len ? " " : "");
			buf_slice_append(
				w->out, slice_from(slice_first(buf_slice(&quoted),
							   quoted.len ? quoted.len - 1 : 0),
						1));
		}
		buf_char(w->out, '"');
	}
	w->out->failed |= !buf_ok(&words) || !buf_ok(&quoted);
	buf_fini(&words);
	buf_fini(&quoted);
}

static bool claude_member(
	struct schema_writer *w, struct json_value schema, struct slice key, struct json_value v)
{
	static const char *const dropped[] = { "$schema", "additionalProperties",
		"patternProperties", "propertyNames", "if", "then", "else", "not", "contains",
		"dependentRequired", "dependentSchemas", "unevaluatedProperties",
		"unevaluatedItems", "description" };
	static const char *const beside_ref[] = { "$ref", "$defs", "definitions" };

	(void)w;
	if (json_get(schema, "$ref").kind == JSON_STRING)
		return !AMONG(key, beside_ref);
	return AMONG(key, dropped) || is_limit(key, v);
}

static void claude_end(struct schema_writer *w, struct json_value schema)
{
	if (json_get(schema, "$ref").kind == JSON_STRING)
		return;
	claude_describe(w, schema);
	if (!claude_has_object(schema))
		return;
	schema_member(w, "additionalProperties");
	buf_str(w->out, "false");
}

/* Does a schema, through its references, contain itself? Each target is followed once. */
struct refs {
	struct json_value root;
	const char *seen[256]; /* targets */
	bool done[256];        /* all in it is known; else it is what stands around */
	unsigned count, steps;
	bool too_large;
};

static bool recurs(struct refs *r, struct json_value v, unsigned depth)
{
	struct json_value ref = json_get(v, "$ref"), target, child;
	struct json_iter it;
	struct slice key;
	unsigned at;
	bool found;

	if (++r->steps > 10 * SCHEMA_NODES_MAX || depth > 4 * SCHEMA_DEPTH_MAX)
		r->too_large = true;
	if (r->too_large)
		return false;
	if (ref.kind == JSON_STRING) {
		target = schema_target(r->root, ref);
		for (at = 0; at < r->count; at++)
			if (r->seen[at] == target.raw.ptr)
				return !r->done[at];
		if (target.kind == JSON_ABSENT || r->count == 256)
			return false;
		r->seen[r->count++] = target.raw.ptr;
		found = recurs(r, target, depth + 1);
		r->done[at] = true;
		return found;
	}
	json_iter_init(&it, v);
	while (json_iter_next(&it, &key, &child))
		if (!json_str_is(key, "$defs") && !json_str_is(key, "definitions") &&
			recurs(r, child, depth + 1))
			return true;
	return false;
}

enum err_code schema_write_for_claude(struct slice schema, struct buf *out, struct err *e)
{
	static const struct rules claude = { claude_member, claude_end };
	struct schema_writer w = writer_of(schema, out);
	struct refs refs = { .root = w.root, .seen = { w.root.raw.ptr }, .count = 1 };

	if (recurs(&refs, w.root, 0))
		return err_set(e, ERR_BAD_REQUEST,
			"a schema refers to itself, which the provider refuses in structured "
			"output");
	w.too_large = refs.too_large;
	write_schema(&w, &claude, w.root, 0);
	return schema_end(&w, e);
}

/* ---- Google ---- */

static bool has_number(struct json_value list)
{
	struct json_iter it;
	struct json_value v;
	struct slice none;

	json_iter_init(&it, list);
	while (json_iter_next(&it, &none, &v))
		if (v.kind == JSON_NUMBER)
			return true;
	return false;
}

static bool google_member(
	struct schema_writer *w, struct json_value schema, struct slice key, struct json_value v)
{
	struct json_value properties = json_get(schema, "properties");
	struct json_iter it;
	struct json_value value;
	struct slice none;

	if (json_str_is(key, "$schema"))
		return true;
	if (json_str_is(key, "required") && properties.kind == JSON_OBJECT) {
		schema_required(w, v, &properties, 1);
		return true;
	}
	if (json_str_is(key, "type"))
		if (has_number(json_get(schema, "enum")) ||
			json_get(schema, "const").kind == JSON_NUMBER) {
			schema_member(w, "type");
			buf_str(w->out, "\"string\"");
			return true;
		}
	if (json_str_is(key, "const") &&
		(v.kind == JSON_NUMBER || (v.kind == JSON_STRING && v.raw.len > 2))) {
		schema_member(w, "enum");
		buf_char(w->out, '[');
		(void)schema_enum_value(w, v);
		buf_char(w->out, ']');
		return true;
	}
	if (!json_str_is(key, "enum"))
		return false;
	json_iter_init(&it, v);
	schema_member(w, "enum");
	buf_char(w->out, '[');
	while (json_iter_next(&it, &none, &value))
		if (!schema_enum_value(w, value) && value.kind != JSON_STRING) {
			schema_comma(w);
			buf_slice_append(w->out, value.raw);
		}
	buf_char(w->out, ']');
	return true;
}

static void google_end(struct schema_writer *w, struct json_value schema)
{
	struct json_value properties = json_get(schema, "properties"), v;
	struct json_iter it;
	struct slice key;

	if (!json_is_truthy(properties) || json_get(schema, "propertyOrdering").kind)
		return;
	schema_member(w, "propertyOrdering");
	buf_char(w->out, '[');
	json_iter_init(&it, properties);
	while (json_iter_next(&it, &key, &v)) {
		schema_comma(w);
		buf_slice_append(w->out, key);
	}
	buf_char(w->out, ']');
}

enum err_code schema_write_json_google(struct slice schema, struct buf *out, struct err *e)
{
	static const struct rules google = { google_member, google_end };
	struct schema_writer w = writer_of(schema, out);

	write_schema(&w, &google, w.root, 0);
	return schema_end(&w, e);
}

/* ---- questions ---- */

bool schema_is_object(struct slice schema)
{
	struct json_value v = { JSON_OBJECT, slice_trim(schema) }, type = json_get(v, "type");

	if (!v.raw.len || v.raw.ptr[0] != '{')
		return false;
	return type.kind == JSON_ABSENT ? schema_has_properties(schema)
					: json_str_is(type.raw, "object");
}

bool schema_has_properties(struct slice schema)
{
	struct json_value v = { JSON_OBJECT, slice_trim(schema) };

	return v.raw.len && v.raw.ptr[0] == '{' && json_is_truthy(json_get(v, "properties"));
}
