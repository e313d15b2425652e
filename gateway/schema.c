#include "gateway/schema.h"

#include "gateway/cost.h"

enum err_code schema_fail(
	const struct schema_place *place, const char *member, const char *what, struct err *e)
{
	if (!place->list)
		return err_param(e, ERR_CONF, member, "%s: %s: %s", place->file, member, what);
	return err_param(e, ERR_CONF, member, "%s: %s[%zu]%s%s%s: %s: %s", place->file, place->list,
		place->index, place->id ? " (" : "", place->id ? place->id : "",
		place->id ? ")" : "", member, what);
}

static struct slice text_of(struct json_object *o)
{
	return (struct slice){ json_object_get_string(o), (size_t)json_object_get_string_len(o) };
}

static bool is_text(struct json_object *o)
{
	struct slice s;

	if (!json_object_is_type(o, json_type_string))
		return false;
	s = text_of(o);
	for (size_t i = 0; i < s.len; i++)
		if ((unsigned char)s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return true;
}

static bool is_id(struct json_object *o)
{
	struct slice s;

	if (!json_object_is_type(o, json_type_string))
		return false;
	s = text_of(o);
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] <= 0x20 || s.ptr[i] >= 0x7f)
			return false;
	return s.len > 0;
}

static bool is_price(struct json_object *o)
{
	int64_t picousd;

	return json_object_is_type(o, json_type_string) && cost_read_usd(text_of(o), &picousd);
}

static bool is_ids(struct json_object *o)
{
	if (!json_object_is_type(o, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(o); i++)
		if (!is_id(json_object_array_get_idx(o, i)))
			return false;
	return true;
}

static bool fits(enum schema_kind kind, struct json_object *o)
{
	switch (kind) {
	case SCHEMA_TEXT:
		return is_text(o);
	case SCHEMA_ID:
		return is_id(o);
	case SCHEMA_PRICE:
		return is_price(o);
	case SCHEMA_COUNT:
		return json_object_is_type(o, json_type_int) && json_object_get_int64(o) >= 0;
	case SCHEMA_SWITCH:
		return json_object_is_type(o, json_type_boolean);
	case SCHEMA_IDS:
		return is_ids(o);
	case SCHEMA_LIST:
		return json_object_is_type(o, json_type_array);
	case SCHEMA_OBJECT:
		return json_object_is_type(o, json_type_object);
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
static size_t find(const struct schema_row *rows, size_t n, size_t guess, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		size_t at = (guess + i) % n;

		if (strcmp(rows[at].name, name) == 0)
			return at;
	}
	return n;
}

enum err_code schema_read(const struct schema_row *rows, size_t n, struct json_object *o,
	struct schema_place *place, struct json_object **values, struct err *e)
{
	struct json_object *first;
	size_t guess = 0;

	for (size_t i = 0; i < n; i++)
		values[i] = NULL;
	if (!json_object_is_type(o, json_type_object))
		return schema_fail(place, "value", expected[SCHEMA_OBJECT], e);
	if (!place->id && json_object_object_get_ex(o, rows[0].name, &first) && is_id(first))
		place->id = json_object_get_string(first);
	json_object_object_foreach(o, name, value)
	{
		size_t at = find(rows, n, guess, name);

		if (at == n)
			return schema_fail(place, name, "no such member is known here", e);
		guess = at + 1;
		if (!value && rows[at].may_be_null)
			continue;
		if (!fits(rows[at].kind, value))
			return schema_fail(place, name, expected[rows[at].kind], e);
		values[at] = value;
	}
	for (size_t i = 0; i < n; i++)
		if (rows[i].required && !values[i] &&
			!(rows[i].may_be_null && json_object_object_get_ex(o, rows[i].name, NULL)))
			return schema_fail(place, rows[i].name, "is missing", e);
	return ERR_OK;
}
