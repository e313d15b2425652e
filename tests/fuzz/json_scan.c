/* Any bytes: the scanner and json-c must agree on what is JSON, where json-c is strict; and
 * everything accepted is walked beside the tree, so both must also understand it alike. */
#include "base/json.h"
#include "base/json_scan.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(claim) \
	do { \
		if (!(claim)) { \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #claim); \
			abort(); \
		} \
	} while (0)

static void check_string(struct json_value v, struct json_object *tree)
{
	struct slice want = { json_object_get_string(tree),
		(size_t)json_object_get_string_len(tree) };
	struct buf text = { 0 };

	CHECK(json_str_decode(v, &text));
	CHECK(slice_eq(buf_slice(&text), want));
	CHECK(json_str_bytes(v) == want.len);
	if (!memchr(want.ptr, '\0', want.len))
		CHECK(json_str_is(v.raw, want.ptr));
	buf_fini(&text);
}

/* The tree holds each key once, its last value; the recursion is as deep as the limit. */
static void compare(struct json_value v, struct json_object *tree)
{
	struct json_iter it;
	struct json_value inner;
	struct slice key;
	size_t n = 0;
	int64_t number;

	switch (json_object_get_type(tree)) {
	case json_type_null:
		CHECK(v.kind == JSON_NULL);
		break;
	case json_type_boolean:
		CHECK(v.kind == JSON_BOOL && json_is_true(v) == json_object_get_boolean(tree));
		break;
	case json_type_double:
		CHECK(v.kind == JSON_NUMBER);
		if (json_int(v, &number)) /* either may round: equal as doubles at most */
			CHECK((double)number == json_object_get_double(tree));
		break;
	case json_type_int:
		CHECK(v.kind == JSON_NUMBER);
		if (json_int(v, &number))
			CHECK(number == json_object_get_int64(tree));
		else
			CHECK(json_object_get_uint64(tree) > (uint64_t)INT64_MAX);
		break;
	case json_type_string:
		CHECK(v.kind == JSON_STRING);
		check_string(v, tree);
		break;
	case json_type_array:
		CHECK(v.kind == JSON_ARRAY);
		json_iter_init(&it, v);
		while (json_iter_next(&it, &key, &inner))
			compare(inner, json_object_array_get_idx(tree, n++));
		CHECK(n == json_object_array_length(tree));
		CHECK(json_at(v, n).kind == JSON_ABSENT);
		break;
	case json_type_object:
		CHECK(v.kind == JSON_OBJECT);
		json_object_object_foreach(tree, name, member)
		{
			compare(json_get(v, name), member);
			n++;
		}
		json_iter_init(&it, v);
		while (json_iter_next(&it, &key, &inner))
			CHECK(n-- > 0);
		CHECK(n == 0);
		break;
	}
}

/* json-c strict still takes these words, control bytes in strings, lone surrogates and keys in
 * single quotes. */
static bool is_strict_enough(struct slice text)
{
	for (size_t i = 0; i < text.len; i++) {
		unsigned char c = (unsigned char)text.ptr[i];

		if (c < 0x20 || c == 'N' || c == 'I' || c == '\'')
			return false;
		if (i + 1 < text.len && c == '\\' && text.ptr[i + 1] == 'u')
			return false;
	}
	return true;
}

static bool json_c_accepts(struct slice text)
{
	struct json_tokener *t = json_tokener_new_ex(100);
	struct json_object *tree;
	bool accepted;

	CHECK(t);
	json_tokener_set_flags(t, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	tree = json_tokener_parse_ex(t, text.ptr, (int)text.len);
	if (json_tokener_get_error(t) == json_tokener_continue)
		tree = json_tokener_parse_ex(t, "\n", 1);
	accepted = json_tokener_get_error(t) == json_tokener_success;
	json_object_put(tree);
	json_tokener_free(t);
	return accepted;
}

static void read_unvalidated(struct slice text)
{
	for (int kind = JSON_ABSENT; kind <= JSON_OBJECT; kind++) {
		struct json_value v = { (enum json_kind)kind, text }, inner;
		struct json_iter it;
		struct slice key;
		size_t steps = 0;
		int64_t number;

		json_iter_init(&it, v);
		while (json_iter_next(&it, &key, &inner))
			CHECK(++steps <= text.len);
		if (json_int(v, &number))
			CHECK(kind == JSON_NUMBER);
		CHECK(json_str_bytes(v) <= text.len);
		(void)json_is_truthy(v);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct json_limits once = { .max_depth = 40, .max_keys = 100 };
	static const struct json_limits lenient = {
		.max_depth = 40, .max_keys = 100, .allow_duplicates = true
	};
	struct slice text = { (const char *)data, size };
	struct json_member want[] = { { .name = "a" }, { .name = "model" } };
	struct json_value v = { .raw = slice_trim(text) };
	struct json_object *tree;
	struct err e = { 0 };
	enum err_code rc;

	rc = json_validate(text, &lenient, &v.kind, &e);
	if (rc) {
		CHECK(rc == ERR_BAD_REQUEST && strncmp(e.message, "byte ", 5) == 0);
		CHECK(json_validate(text, &once, NULL, NULL) == ERR_BAD_REQUEST);
		/* Not compared: our limits, and what json-c strict takes: 02.3, overlong UTF-8. */
		if (is_strict_enough(text) && !strstr(e.message, " than ") &&
			!strstr(e.message, ": a number ") && !strstr(e.message, "UTF-8"))
			CHECK(!json_c_accepts(text));
		read_unvalidated(text);
		return 0;
	}
	CHECK(json_c_accepts(text));
	if (json_validate(text, &once, NULL, NULL))
		return 0;
	rc = json_scan(text, &once, want, 2, &e);
	CHECK((rc == ERR_OK) == (v.kind == JSON_OBJECT));
	for (size_t i = 0; i < 2 && !rc; i++)
		CHECK(slice_eq(want[i].value.raw, json_get(v, want[i].name).raw));
	if (json_read(text, 40, &tree, &e) == ERR_OK) {
		compare(v, tree);
		json_object_put(tree);
	} else {
		CHECK(strstr(e.message, "beyond 64 bits") || strstr(e.message, "in a key"));
	}
	return 0;
}
