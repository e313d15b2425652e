#include "gateway/schema.h"

#include "gateway/cost.h"

enum err_code schema_fail(
	const struct schema_place *place, const char *member, const char *what, struct err *e)
{
	if (!place->list)
		return err_param(e, ERR_CONF, member, "%s: %s: %s", place->file, member, what);
	return err_param(e, ERR_CONF, member, "%s: %s[%zu]%s%.*s%s: %s: %s", place->file,
		place->list, place->index, place->id.len ? " (" : "", SLICE_ARG(place->id),
		place->id.len ? ")" : "", member, what);
}

/* Validated text has control characters in escapes only, but for DEL. */
static bool is_text(struct json_value v)
{
	struct buf room = { 0 };
	struct slice s;
	bool good = v.kind == JSON_STRING;

	if (good && !memchr(v.raw.ptr, '\\', v.raw.len))
		return !memchr(v.raw.ptr, 0x7f, v.raw.len);
	s = json_str_text(v, &room);
	good = good && buf_ok(&room);
	for (size_t i = 0; i < s.len; i++)
		good = good && (unsigned char)s.ptr[i] >= 0x20 && s.ptr[i] != 0x7f;
	buf_fini(&room);
	return good;
}

static bool is_id(struct json_value v)
{
	struct buf room = { 0 };
	struct slice s = json_str_text(v, &room);
	size_t n = 0;

	while (n < s.len && s.ptr[n] > 0x20 && s.ptr[n] < 0x7f)
		n++;
	buf_fini(&room);
	return s.len > 0 && n == s.len;
}

static bool is_price(struct json_value v)
{
	struct buf room = { 0 };
	int64_t picousd;
	bool good = cost_read_usd(json_str_text(v, &room), &picousd);

	buf_fini(&room);
	return good;
}

/* Not 1e3 or 12.0, which JSON's other readers may call no whole number. */
static bool is_count(struct json_value v)
{
	int64_t n;

	for (size_t i = 0; i < v.raw.len; i++)
		if (v.raw.ptr[i] < '0' || v.raw.ptr[i] > '9')
			return false;
	return json_int(v, &n);
}

static bool is_ids(struct json_value v)
{
	struct json_iter it;
	struct json_value id;
	struct slice key;
	bool good = v.kind == JSON_ARRAY;

	json_iter_init(&it, v);
	while (good && json_iter_next(&it, &key, &id))
		good = is_id(id);
	return good;
}

static bool fits(enum schema_kind kind, struct json_value v)
{
	switch (kind) {
	case SCHEMA_TEXT:
		return is_text(v);
	case SCHEMA_ID:
		return is_id(v);
	case SCHEMA_PRICE:
		return is_price(v);
	case SCHEMA_COUNT:
		return is_count(v);
	case SCHEMA_SWITCH:
		return v.kind == JSON_BOOL;
	case SCHEMA_IDS:
		return is_ids(v);
	case SCHEMA_LIST:
		return v.kind == JSON_ARRAY;
	case SCHEMA_OBJECT:
		return v.kind == JSON_OBJECT;
	}
	return false;
}

static const char *const expected[] = {
	[SCHEMA_TEXT] = "expected a text without control characters",
	[SCHEMA_ID] = "expected a name: printable ASCII without blanks, not empty",
	[SCHEMA_PRICE] = "expected a price: a decimal string such as \"0.0000025\", at most 1000",
	[SCHEMA_COUNT] = "expected a whole number from 0",
	[SCHEMA_SWITCH] = "expected true or false",
	[SCHEMA_IDS] = "expected an array of names",
	[SCHEMA_LIST] = "expected an array",
	[SCHEMA_OBJECT] = "expected an object",
};

/* Members mostly come in the order of the table: the search begins where the last one ended. */
static size_t find(const struct schema_row *rows, size_t n, size_t guess, struct slice key)
{
	for (size_t at = guess; at < n; at++)
		if (json_str_is(key, rows[at].name))
			return at;
	for (size_t at = 0; at < guess; at++)
		if (json_str_is(key, rows[at].name))
			return at;
	return n;
}

static void clear(struct json_value *values, size_t n)
{
	for (size_t i = 0; i < n; i++)
		values[i] = (struct json_value){ JSON_ABSENT, SLICE("") };
}

void schema_take(
	const struct schema_row *rows, size_t n, struct json_value o, struct json_value *values)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t guess = 0, at;

	clear(values, n);
	json_iter_init(&it, o);
	while (json_iter_next(&it, &key, &v)) {
		at = find(rows, n, guess, key);
		if (at == n)
			continue;
		guess = at + 1;
		values[at] = v;
	}
}

int64_t schema_count(struct json_value v)
{
	int64_t n;

	return json_int(v, &n) ? n : 0;
}

static struct slice inside(struct slice quoted)
{
	return slice_from(slice_first(quoted, quoted.len - 1), 1);
}

/* The member that names the object: mostly its first, where a search may end. */
static struct json_value member_called(struct json_value o, const char *name)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;

	json_iter_init(&it, o);
	while (json_iter_next(&it, &key, &v))
		if (json_str_is(key, name))
			return v;
	return (struct json_value){ JSON_ABSENT, SLICE("") };
}

enum err_code schema_fail_key(
	const struct schema_place *place, struct slice key, const char *what, struct err *e)
{
	struct buf name = { 0 };
	const char *text;
	enum err_code rc;

	buf_slice_append(&name, inside(key));
	text = buf_cstr(&name);
	rc = schema_fail(place, text ? text : "member", what, e);
	buf_fini(&name);
	return rc;
}

static enum err_code check(const struct schema_row *rows, size_t n, struct json_value o,
	const struct schema_place *place, struct json_value *values, struct err *e)
{
	struct json_iter it;
	struct json_value v;
	struct slice key;
	size_t guess = 0, at;

	json_iter_init(&it, o);
	while (json_iter_next(&it, &key, &v)) {
		at = find(rows, n, guess, key);
		if (at == n)
			return schema_fail_key(place, key, "no such member is known here", e);
		guess = at + 1;
		values[at] = v;
		if (v.kind == JSON_NULL && rows[at].may_be_null)
			continue;
		if (!fits(rows[at].kind, v))
			return schema_fail(place, rows[at].name, expected[rows[at].kind], e);
	}
	for (size_t i = 0; i < n; i++)
		if (rows[i].required && values[i].kind == JSON_ABSENT)
			return schema_fail(place, rows[i].name, "is missing", e);
	return ERR_OK;
}

enum err_code schema_read(const struct schema_row *rows, size_t n, struct json_value o,
	struct schema_place *place, struct json_value *values, struct err *e)
{
	struct json_value first;

	clear(values, n);
	if (o.kind != JSON_OBJECT)
		return schema_fail(place, "value", expected[SCHEMA_OBJECT], e);
	if (place->list && !place->id.len) {
		first = member_called(o, rows[0].name);
		if (is_id(first))
			place->id = inside(first.raw);
	}
	return check(rows, n, o, place, values, e);
}
