/* Schemas as clients write them, made into what providers take. */
#include "gateway/providers/json_schema.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef enum err_code writer(struct slice schema, struct buf *out, struct err *e);

struct row {
	const char *in, *out;
};

static const struct json_limits limits = {
	.max_depth = 500, .max_keys = 100000, .allow_duplicates = true
};

static void expect(writer *write, const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct buf b = { 0 };
		struct err e;

		print_message("%s\n", rows[i].in);
		assert_int_equal(json_validate(slice_of(rows[i].in), &limits, NULL, &e), ERR_OK);
		assert_int_equal(write(slice_of(rows[i].in), &b, &e), ERR_OK);
		assert_string_equal(buf_cstr(&b), rows[i].out);
		buf_fini(&b);
	}
}

#define EXPECT(write, rows) expect(write, rows, sizeof(rows) / sizeof((rows)[0]))

/* ---- Anthropic ---- */

static void claude_closes_every_object(void **state)
{
	static const struct row rows[] = {
		{ "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},\"required\":"
		  "["
		  "\"n\"]}",
			"{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\"}},"
			"\"required\":[\"n\"],\"additionalProperties\":false}" },
		{ "{\"type\":[\"object\",\"null\"],\"additionalProperties\":{\"type\":\"string\"}}",
			"{\"type\":[\"object\",\"null\"],\"additionalProperties\":false}" },
		{ "{\"type\":\"array\",\"items\":{\"properties\":{\"a\":true}}}",
			"{\"type\":\"array\",\"items\":{\"properties\":{\"a\":true},"
			"\"additionalProperties\":false}}" },
		{ "{\"$schema\":\"x\",\"type\":\"object\",\"$defs\":{\"d\":{\"type\":\"object\"}},"
		  "\"properties\":{\"p\":{\"$ref\":\"#/$defs/d\",\"description\":\"gone\"}}}",
			"{\"type\":\"object\",\"$defs\":{\"d\":{\"type\":\"object\","
			"\"additionalProperties\":false}},\"properties\":{\"p\":{\"$ref\":\"#/"
			"$defs/d\"}"
			"},\"additionalProperties\":false}" },
	};

	(void)state;
	EXPECT(schema_write_for_claude, rows);
}

static void claude_says_limits_in_words(void **state)
{
	static const struct row rows[] = {
		{ "{\"type\":\"integer\",\"minimum\":0,\"maximum\":150,\"description\":\"Age.\"}",
			"{\"type\":\"integer\",\"description\":\"Age. (minimum: 0, maximum: "
			"150)\"}" },
		{ "{\"type\":\"string\",\"pattern\":\"^\\\"a\\\\\\\\d$\"}",
			"{\"type\":\"string\",\"description\":\"(pattern: ^\\\"a\\\\\\\\d$)\"}" },
		{ "{\"type\":\"array\",\"minItems\":1,\"maxItems\":3}",
			"{\"type\":\"array\",\"minItems\":1,\"description\":\"(maxItems: 3)\"}" },
		{ "{\"type\":\"array\",\"minItems\":2}",
			"{\"type\":\"array\",\"description\":\"(minItems: 2)\"}" },
		{ "{\"type\":\"string\",\"format\":\"email\"}",
			"{\"type\":\"string\",\"format\":\"email\"}" },
		{ "{\"type\":\"string\",\"format\":\"phone\"}",
			"{\"type\":\"string\",\"description\":\"(format: phone)\"}" },
		{ "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"multipleOf\":2}]}",
			"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"integer\",\"description\":"
			"\"(multipleOf: 2)\"}]}" },
	};

	(void)state;
	EXPECT(schema_write_for_claude, rows);
}

static void claude_refuses_what_refers_to_itself(void **state)
{
	static const struct {
		const char *in;
	} rows[] = {
		{ "{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}}}" },
		{ "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"items\":{\"$ref\":\"#/$defs/b\"}},"
		  "\"b\":{\"properties\":{\"x\":{\"$ref\":\"#/$defs/a\"}}}}}" },
		{ "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/a\"}}}" },
	};
	static const struct row fine[] = {
		{ "{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/"
		  "a\"}],\"$defs\":{\"a\":{}}}",
			"{\"anyOf\":[{\"$ref\":\"#/$defs/a\"},{\"$ref\":\"#/$defs/a\"}],\"$defs\":{"
			"\"a\":{}}}" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = { 0 };
		struct err e;

		print_message("%s\n", rows[i].in);
		assert_int_equal(
			schema_write_for_claude(slice_of(rows[i].in), &b, &e), ERR_BAD_REQUEST);
		buf_fini(&b);
	}
	EXPECT(schema_write_for_claude, fine);
}

/* ---- Google, OpenAPI ---- */

static void openapi_takes_what_it_knows(void **state)
{
	static const struct row rows[] = {
		/* gemini.md section 18, 9 */
		{ "{\"type\":[\"string\",\"null\"],\"const\":\"x\"}",
			"{\"type\":\"string\",\"nullable\":true,\"enum\":[\"x\"]}" },
		/* 2 */
		{ "{\"$schema\":\"s\",\"$id\":\"i\",\"type\":\"integer\",\"exclusiveMinimum\":1,"
		  "\"minimum\":2,\"multipleOf\":2,\"not\":{},\"examples\":[1],\"title\":\"t\"}",
			"{\"type\":\"integer\",\"title\":\"t\",\"minimum\":2}" },
		/* 3 */
		{ "{\"type\":[\"string\",\"array\"],\"items\":{\"type\":\"integer\"}}",
			"{\"anyOf\":[{\"type\":\"string\"},{\"type\":\"array\",\"items\":{\"type\":"
			"\"integer\"}}]}" },
		/* 4 */
		{ "{\"description\":\"d\",\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"}]}",
			"{\"type\":\"integer\",\"nullable\":true,\"description\":\"d\"}" },
		{ "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"null\"},{\"type\":\"string\"}]}",
			"{\"nullable\":true,\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}"
			"]}" },
		/* 5 */
		{ "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}",
			"{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]}" },
		{ "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}},"
		  "\"required\":[\"a\"]},{\"properties\":{\"b\":{\"type\":\"string\"},\"a\":{"
		  "\"type\":"
		  "\"integer\"}},\"required\":[\"b\"]}]}",
			"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{"
			"\"type\":\"string\"}},\"required\":[\"a\",\"b\"],\"propertyOrdering\":["
			"\"a\","
			"\"b\"]}" },
		/* 6 */
		{ "{\"type\":\"integer\",\"enum\":[1,2.5,\"\",\"x\",null]}",
			"{\"type\":\"string\",\"enum\":[\"1\",\"2.5\",\"x\"]}" },
		{ "{\"type\":\"string\",\"enum\":[\"\"]}", "{\"type\":\"string\"}" },
		{ "{\"const\":7}", "{\"type\":\"string\",\"enum\":[\"7\"]}" },
		/* 7 */
		{ "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"string\"},{\"type\":"
		  "\"integer\"}]}",
			"{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"string\"},{\"type\":"
			"\"integer\"}]}}" },
		{ "{\"type\":\"array\",\"items\":[{\"type\":\"string\"}]}",
			"{\"type\":\"array\",\"items\":{\"anyOf\":[{\"type\":\"string\"}]}}" },
		{ "{\"type\":\"array\"}", "{\"type\":\"array\",\"items\":{\"type\":\"string\"}}" },
		/* 8 */
		{ "{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\",\"properties\":{"
		  "},"
		  "\"additionalProperties\":true}}}",
			"{\"type\":\"object\",\"properties\":{\"o\":{\"type\":\"object\"}},"
			"\"propertyOrdering\":[\"o\"]}" },
		/* 9 */
		{ "{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"string\"},\"a\":{"
		  "\"type\":"
		  "\"string\"}},\"required\":[\"a\",\"gone\"]}",
			"{\"type\":\"object\",\"properties\":{\"z\":{\"type\":\"string\"},\"a\":{"
			"\"type\":\"string\"}},\"required\":[\"a\"],\"propertyOrdering\":[\"z\","
			"\"a\"]}" },
		/* 10 */
		{ "{\"type\":\"string\",\"format\":\"uri\"}", "{\"type\":\"string\"}" },
		{ "{\"type\":\"string\",\"format\":\"date-time\",\"default\":null}",
			"{\"type\":\"string\",\"format\":\"date-time\"}" },
		{ "{\"type\":\"string\",\"minLength\":\"x\",\"description\":7,\"maxLength\":3}",
			"{\"type\":\"string\",\"maxLength\":3}" },
		{ "true", "{}" },
	};

	(void)state;
	EXPECT(schema_write_openapi, rows);
}

static void openapi_puts_references_in_place(void **state)
{
	static const struct row rows[] = {
		{ "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
		  "x~1y\",\"description\":"
		  "\"mine\"},\"b\":{\"$ref\":\"#/definitions/n\"},\"c\":{\"$ref\":\"other.json\"}},"
		  "\"$defs\":{\"x/"
		  "y\":{\"type\":\"string\",\"description\":\"its\"}},\"definitions\":{"
		  "\"n\":{\"type\":\"integer\"}}}",
			"{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\","
			"\"description\":\"mine\"},\"b\":{\"type\":\"integer\"},\"c\":{\"type\":"
			"\"object\"}},\"propertyOrdering\":[\"a\",\"b\",\"c\"]}" },
		{ "{\"type\":\"object\",\"properties\":{\"next\":{\"$ref\":\"#\"}}}",
			"{\"type\":\"object\",\"properties\":{\"next\":{\"type\":\"object\"}},"
			"\"propertyOrdering\":[\"next\"]}" },
		{ "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"object\",\"properties\":{"
		  "\"kids\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}}}}}",
			"{\"type\":\"object\",\"properties\":{\"kids\":{\"type\":\"array\","
			"\"items\":{"
			"\"type\":\"object\"}}},\"propertyOrdering\":[\"kids\"]}" },
	};

	(void)state;
	EXPECT(schema_write_openapi, rows);
}

/* ---- Google, JSON Schema ---- */

static void google_keeps_what_is_json_schema(void **state)
{
	static const struct row rows[] = {
		{ "{\"$schema\":\"s\",\"type\":\"object\",\"additionalProperties\":false,"
		  "\"properties\":{\"b\":{\"const\":\"x\"},\"a\":{\"type\":\"integer\",\"enum\":[1,"
		  "2]},"
		  "\"r\":{\"$ref\":\"#/$defs/d\"}},\"required\":[\"a\",\"gone\"],\"$defs\":{\"d\":{"
		  "\"$schema\":\"s\",\"type\":\"string\",\"enum\":[\"\",\"q\",null]}}}",
			"{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{\"b\":"
			"{"
			"\"enum\":[\"x\"]},\"a\":{\"type\":\"string\",\"enum\":[\"1\",\"2\"]},"
			"\"r\":{"
			"\"$ref\":\"#/$defs/d\"}},\"required\":[\"a\"],\"$defs\":{\"d\":{\"type\":"
			"\"string\",\"enum\":[\"q\",null]}},\"propertyOrdering\":[\"b\",\"a\","
			"\"r\"]}" },
		{ "{\"type\":\"integer\",\"const\":5}", "{\"type\":\"string\",\"enum\":[\"5\"]}" },
		{ "{\"properties\":{\"a\":{}},\"propertyOrdering\":[\"a\"]}",
			"{\"properties\":{\"a\":{}},\"propertyOrdering\":[\"a\"]}" },
		{ "{\"properties\":{\"enum\":{\"type\":\"string\"},\"$schema\":{}}}",
			"{\"properties\":{\"enum\":{\"type\":\"string\"},\"$schema\":{}},"
			"\"propertyOrdering\":[\"enum\",\"$schema\"]}" },
	};

	(void)state;
	EXPECT(schema_write_json_google, rows);
}

/* ---- bombs ---- */

static writer *const writers[] = { schema_write_for_claude, schema_write_openapi,
	schema_write_json_google };

/* Each definition holds the next one twice: 2^30 schemas, if one lets it. */
static void references_that_multiply_are_refused(void **state)
{
	struct buf in = { 0 }, out = { 0 };
	struct err e;

	(void)state;
	buf_str(&in, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
	for (int i = 0; i < 30; i++)
		buf_printf(&in,
			"%s\"d%d\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
			"d%d\"},\"b\":{\"$ref\":\"#/$defs/d%d\"}}}",
			i ? "," : "", i, i + 1, i + 1);
	buf_str(&in, "}}");
	assert_int_equal(schema_write_openapi(buf_slice(&in), &out, &e), ERR_BAD_REQUEST);
	assert_true(out.len < SCHEMA_BYTES_MAX * 2);
	buf_reset(&out);
	assert_int_equal(schema_write_for_claude(buf_slice(&in), &out, &e), ERR_OK);
	buf_fini(&in);
	buf_fini(&out);
}

static void schemas_too_deep_are_refused(void **state)
{
	struct buf in = { 0 }, out = { 0 };
	struct err e;

	(void)state;
	for (int i = 0; i < 400; i++)
		buf_str(&in, "{\"items\":");
	buf_str(&in, "{}");
	for (int i = 0; i < 400; i++)
		buf_char(&in, '}');
	for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
		assert_int_equal(writers[i](buf_slice(&in), &out, &e), ERR_BAD_REQUEST);
		buf_reset(&out);
	}
	buf_fini(&in);
	buf_fini(&out);
}

/* Whatever schema comes, JSON or a refusal goes. */
static void no_schema_brings_it_down(void **state)
{
	static const char seed[] =
		"{\"type\":[\"object\",\"null\"],\"properties\":{\"a\":{\"$ref\":\"#/$defs/"
		"d\"},\"b\":{"
		"\"anyOf\":[{\"type\":\"null\"},{\"enum\":[1,\"x\"]}]}},\"required\":[\"a\"],"
		"\"allOf\":"
		"[{\"items\":[{}]}],\"$defs\":{\"d\":{\"const\":1,\"minimum\":2,\"$ref\":\"#\"}}}";
	static const char spice[] = "\"{}[],:01tfnul$#/ab";
	unsigned written = 0;

	(void)state;
	srand(3);
	for (int round = 0; round < 60000; round++) {
		char in[sizeof(seed)];
		size_t len = sizeof(seed) - 1;
		struct buf out = { 0 };
		struct err e;

		memcpy(in, seed, sizeof(seed));
		for (int i = rand() % 3; i >= 0; i--) {
			size_t at = (size_t)rand() % len, n = (size_t)rand() % 12;

			if (rand() % 2) {
				in[at] = spice[(size_t)rand() % (sizeof(spice) - 1)];
			} else {
				n = n < len - at ? n : len - at - 1;
				memmove(in + at, in + at + n, len - at - n);
				len -= n;
			}
		}
		if (json_validate((struct slice){ in, len }, &limits, NULL, &e))
			continue;
		for (size_t i = 0; i < sizeof(writers) / sizeof(writers[0]); i++) {
			if (!writers[i]((struct slice){ in, len }, &out, &e)) {
				if (json_validate(buf_slice(&out), &limits, NULL, &e))
					fail_msg("%.*s: %.*s", (int)len, in,
						SLICE_ARG(buf_slice(&out)));
				written++;
			}
			buf_reset(&out);
		}
		buf_fini(&out);
	}
	assert_true(written > 1000);
}

/* ---- questions ---- */

static void a_root_is_asked_about(void **state)
{
	(void)state;
	assert_true(schema_is_object(SLICE("{\"type\":\"object\"}")));
	assert_true(schema_is_object(SLICE(" {\"properties\":{\"a\":{}}} ")));
	assert_false(schema_is_object(SLICE("{\"type\":\"array\",\"properties\":{\"a\":{}}}")));
	assert_false(schema_is_object(SLICE("{\"type\":[\"object\",\"null\"]}")));
	assert_false(schema_is_object(SLICE("{}")));
	assert_false(schema_is_object(SLICE("true")));
	assert_true(schema_has_properties(SLICE("{\"properties\":{\"a\":{}}}")));
	assert_false(schema_has_properties(SLICE("{\"type\":\"object\",\"properties\":{}}")));
	assert_false(schema_has_properties(SLICE("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claude_closes_every_object),
		cmocka_unit_test(claude_says_limits_in_words),
		cmocka_unit_test(claude_refuses_what_refers_to_itself),
		cmocka_unit_test(openapi_takes_what_it_knows),
		cmocka_unit_test(openapi_puts_references_in_place),
		cmocka_unit_test(google_keeps_what_is_json_schema),
		cmocka_unit_test(references_that_multiply_are_refused),
		cmocka_unit_test(schemas_too_deep_are_refused),
		cmocka_unit_test(no_schema_brings_it_down),
		cmocka_unit_test(a_root_is_asked_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
