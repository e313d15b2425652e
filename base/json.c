#include "base/json.h"

#include "base/json_file.h"

#include <limits.h>

#define KEYS_MAX 1000000

/* Is an integer beyond int64 and uint64? The text is a valid number. */
static bool is_beyond_64_bits(struct slice number)
{
	const char *limit = number.ptr[0] == '-' ? "-9223372036854775808" : "18446744073709551615";

	for (size_t i = 0; i < number.len; i++)
		if (strchr(".eE", number.ptr[i]))
			return false;
	return number.len > 20 || (number.len == 20 && memcmp(number.ptr, limit, 20) > 0);
}

/* What json-c would quietly change in a valid text: it ends a key at a NUL, so that
 * "model\u0000x" becomes "model", and it clamps integers. A string is a key when a colon
 * follows. NULL when nothing is wrong. */
static const char *unfit(struct slice text, size_t *offset)
{
	const char *p = text.ptr, *end = p + text.len, *begin;
	bool nul;

	while (p < end) {
		begin = p++;
		*offset = (size_t)(begin - text.ptr);
		if (*begin == '"') {
			for (nul = false; *p != '"'; p += *p == '\\' ? 2 : 1)
				if (*p == '\\' && end - p >= 6 && memcmp(p, "\\u0000", 6) == 0)
					nul = true;
			p++;
			while (p < end && strchr(" \t\r\n", *p))
				p++;
			if (nul && p < end && *p == ':')
				return "\\u0000 in a key";
		} else if (*begin == '-' || (*begin >= '0' && *begin <= '9')) {
			while (p < end && strchr("+-.eE0123456789", *p))
				p++;
			if (is_beyond_64_bits((struct slice){ begin, (size_t)(p - begin) }))
				return "an integer beyond 64 bits";
		}
	}
	return NULL;
}

static enum err_code build(
	struct slice text, unsigned max_depth, struct json_object **out, struct err *e)
{
	struct json_tokener *t;
	enum json_tokener_error why;
	enum err_code rc = ERR_OK;
	size_t at;

	/* json-c counts one level more, and the scanner has checked ours. */
	t = json_tokener_new_ex((int)max_depth + 2);
	if (!t)
		return err_set(e, ERR_NO_MEMORY, "no memory for a JSON text");
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	*out = json_tokener_parse_ex(t, text.ptr, (int)text.len);
	at = json_tokener_get_parse_end(t);
	why = json_tokener_get_error(t);
	if (why == json_tokener_continue) { /* a bare number might go on */
		*out = json_tokener_parse_ex(t, "\n", 1);
		why = json_tokener_get_error(t);
	}
	if (why != json_tokener_success)
		rc = err_set(e, ERR_BAD_REQUEST, "byte %zu: %s", at, json_tokener_error_desc(why));
	json_tokener_free(t);
	if (rc) {
		json_object_put(*out);
		*out = NULL;
	}
	return rc;
}

/* The text was validated: json-c alone would let NaN, lone surrogates and more pass. */
static enum err_code read_text(
	struct slice text, unsigned max_depth, struct json_object **out, struct err *e)
{
	const char *wrong;
	size_t at;

	if (text.len > INT_MAX)
		return err_set(e, ERR_BAD_REQUEST, "byte %d: the text is too long", INT_MAX);
	wrong = unfit(text, &at);
	if (wrong)
		return err_set(e, ERR_BAD_REQUEST, "byte %zu: %s", at, wrong);
	return build(text, max_depth, out, e);
}

enum err_code json_read(
	struct slice text, unsigned max_depth, struct json_object **out, struct err *e)
{
	struct json_limits limits = {
		.max_depth = max_depth, .max_keys = KEYS_MAX, .allow_duplicates = true
	};
	enum err_code rc = json_validate(text, &limits, NULL, e);

	*out = NULL;
	return rc ? rc : read_text(text, max_depth, out, e);
}

enum err_code json_read_file(
	const char *path, size_t max_bytes, struct json_object **out, struct err *e)
{
	struct buf text = { 0 };
	struct json_value v;
	struct err why = { 0 };
	enum err_code rc = json_file_read(path, max_bytes, &text, &v, e);

	*out = NULL;
	if (!rc) {
		rc = read_text(buf_slice(&text), JSON_FILE_DEPTH, out, &why);
		if (rc)
			rc = err_set(e, rc, "%s: %s", path, why.message);
	}
	buf_fini(&text);
	return rc;
}

void json_write(struct json_object *tree, struct buf *out)
{
	size_t n = 0;
	const char *text = json_object_to_json_string_length(
		tree, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &n);

	if (text)
		buf_append(out, text, n);
	else
		out->failed = true;
}

static struct json_object *member(struct json_object *o, const char *name, enum json_type type)
{
	struct json_object *v = NULL;

	if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, name, &v))
		return NULL;
	return json_object_is_type(v, type) ? v : NULL;
}

const char *json_member_str(struct json_object *o, const char *name, const char *otherwise)
{
	struct json_object *v = member(o, name, json_type_string);

	if (!v || strlen(json_object_get_string(v)) != (size_t)json_object_get_string_len(v))
		return otherwise;
	return json_object_get_string(v);
}

int64_t json_member_int(struct json_object *o, const char *name, int64_t otherwise)
{
	struct json_object *v = member(o, name, json_type_int);

	/* Above INT64_MAX json-c would clamp. */
	if (!v || (json_object_get_int64(v) == INT64_MAX &&
			  json_object_get_uint64(v) != (uint64_t)INT64_MAX))
		return otherwise;
	return json_object_get_int64(v);
}

bool json_member_bool(struct json_object *o, const char *name, bool otherwise)
{
	struct json_object *v = member(o, name, json_type_boolean);

	return v ? json_object_get_boolean(v) : otherwise;
}
