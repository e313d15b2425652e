#include "base/json_scan.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static const struct json_limits strict = { .max_depth = 64,
	.max_keys = 100000,
	.depth_setting = "GATEWAY_MAX_DEPTH",
	.keys_setting = "GATEWAY_MAX_KEYS" };
static const struct json_limits lenient = {
	.max_depth = 64, .max_keys = 100000, .allow_duplicates = true
};

/* In a block of exactly its size, so that the sanitizer sees one byte read too far. */
static enum err_code check(
	struct slice text, const struct json_limits *limits, enum json_kind *kind, struct err *e)
{
	char *copy = malloc(text.len ? text.len : 1);
	enum err_code rc;

	assert_non_null(copy);
	if (text.len)
		memcpy(copy, text.ptr, text.len);
	rc = json_validate((struct slice){ copy, text.len }, limits, kind, e);
	free(copy);
	return rc;
}

static void every_valid_text_is_accepted(void **state)
{
	static const struct {
		const char *text;
		enum json_kind kind;
	} rows[] = { { "{}", JSON_OBJECT }, { " \t\r\n[ ] \n", JSON_ARRAY }, { "null", JSON_NULL },
		{ "true", JSON_BOOL }, { "false", JSON_BOOL }, { "\"\"", JSON_STRING },
		{ "0", JSON_NUMBER }, { "-0", JSON_NUMBER }, { "1e400", JSON_NUMBER },
		{ "-1.50E+07", JSON_NUMBER }, { "10.0e-1", JSON_NUMBER },
		{ "123456789012345678901234567890", JSON_NUMBER },
		{ "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0000\\uFFFF\\ud83d\\uDE00\"", JSON_STRING },
		{ "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \xed\x9f\xbf \xf4\x8f\xbf\xbf\"",
			JSON_STRING },
		{ "\"\x7f\"", JSON_STRING },
		{ "{\"a\":{\"a\":[{\"a\":1},{\"a\":2}]},\"b\":[],\"c\":{}}", JSON_OBJECT },
		{ "[[],{},[[]],1,\"x\",null]", JSON_ARRAY }, { "{\"\":0}", JSON_OBJECT } };
	enum json_kind kind;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("%s\n", rows[i].text);
		assert_int_equal(check(slice_of(rows[i].text), &strict, &kind, &e), ERR_OK);
		assert_int_equal(kind, rows[i].kind);
	}
}

static void malformed_text_is_refused_with_its_offset(void **state)
{
	static const struct {
		const char *text, *message;
	} rows[] = { { "", "byte 0: " }, { "  ", "byte 2: " }, { "nul", "byte 0: " },
		{ "nulL", "byte 0: " }, { "nullx", "byte 4: " }, { "True", "byte 0: " },
		{ "NaN", "byte 0: " }, { "Infinity", "byte 0: " }, { "-Infinity", "byte 1: " },
		{ "01", "byte 1: " }, { "-01", "byte 2: " }, { "-", "byte 1: " },
		{ "+1", "byte 0: " }, { ".5", "byte 0: " }, { "1.", "byte 2: " },
		{ "1.e5", "byte 2: " }, { "1e", "byte 2: " }, { "1e+", "byte 3: " },
		{ "0x10", "byte 1: " }, { "1_0", "byte 1: " }, { "\"", "byte 1: " },
		{ "\"abc", "byte 4: " }, { "\"a\\", "byte 3: " }, { "\"\\x\"", "byte 1: unknown" },
		{ "\"\\u12\"", "byte 1: \\u must" }, { "\"\\u12g4\"", "byte 1: \\u must" },
		{ "\"\\ud83d\"", "byte 1: unpaired" }, { "\"\\ud83dx\"", "byte 1: unpaired" },
		{ "\"\\ud83d\\n12345\"", "byte 1: unpaired" },
		{ "\"\\ud83d\\ud83d\"", "byte 1: unpaired" }, { "\"\\ude00\"", "byte 1: unpaired" },
		{ "\"\\ude00\\ud83d\"", "byte 1: unpaired" }, { "\"\n\"", "byte 1: a control" },
		{ "\"\x1f\"", "byte 1: a control" }, { "'a'", "byte 0: " },
		{ "\"\x80\"", "byte 1: a string is not" }, { "\"\xc0\x80\"", "byte 1: a string" },
		{ "\"x\xed\xa0\x80\"", "byte 2: a string" },
		{ "\"\xf4\x90\x80\x80\"", "byte 1: a string" }, { "\"\xe2\x82\"", "byte 1: a str" },
		{ "\"0123456789012345\xe2\x82\xac\xe2\x82\"", "byte 20: a string is not" },
		{ "\xef\xbb\xbf{}", "byte 0: " }, { "[", "byte 1: " }, { "[1", "byte 2: " },
		{ "[1,", "byte 3: " }, { "[1,]", "byte 3: " }, { "[,1]", "byte 1: " },
		{ "[1 2]", "byte 3: " }, { "[1}", "byte 2: " }, { "]", "byte 0: " },
		{ "[]]", "byte 2: something follows" }, { "{", "byte 1: " }, { "{]", "byte 1: " },
		{ "{\"a\"", "byte 4: " }, { "{\"a\":", "byte 5: " },
		{ "{\"a\" 1}", "byte 5: a col" }, { "{\"a\":1,}", "byte 7: a key" },
		{ "{a:1}", "byte 1: a key" }, { "{1:1}", "byte 1: a key" },
		{ "{\"a\":1 \"b\":2}", "byte 7: a comma" }, { "{\"a\":1]", "byte 6: " },
		{ "{\"a\":}", "byte 5: " }, { "{} {}", "byte 3: " }, { "/* */ {}", "byte 0: " },
		{ "[1//\n]", "byte 2: " }, { "\f1", "byte 0: " } };
	enum json_kind kind;
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		e = (struct err){ 0 };
		kind = JSON_BOOL;
		assert_int_equal(
			check(slice_of(rows[i].text), &strict, &kind, &e), ERR_BAD_REQUEST);
		print_message("%s -> %s\n", rows[i].text, e.message);
		assert_int_equal(kind, JSON_ABSENT);
		assert_true(slice_starts(slice_of(e.message), rows[i].message));
	}
}

static void a_raw_nul_is_refused_wherever_it_stands(void **state)
{
	static const char text[] = "{\"a\":[1,\"xyzxyzxyzxyzxyzxyz\",true]}";
	char with[sizeof(text) + 1];
	size_t n = sizeof(text) - 1;

	(void)state;
	for (size_t at = 0; at <= n; at++) {
		memcpy(with, text, at);
		with[at] = '\0';
		memcpy(with + at + 1, text + at, n - at);
		assert_int_equal(
			check((struct slice){ with, n + 1 }, &strict, NULL, NULL), ERR_BAD_REQUEST);
	}
}

static void a_text_cut_at_any_byte_is_refused(void **state)
{
	static const char text[] =
		"{\"model\": \"m\\u00e9\", \"n\":[1, -2.5e+3, true ,null,{}], "
		"\"s\":\"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 long enough for the fast path\\n\", "
		"\"e\":\"\\ud83d\\ude00\", \"o\":{\"x\":{\"y\":[[]]}}}";
	size_t n = sizeof(text) - 1;

	(void)state;
	assert_int_equal(check((struct slice){ text, n }, &strict, NULL, NULL), ERR_OK);
	for (size_t at = 0; at < n; at++)
		assert_int_equal(
			check((struct slice){ text, at }, &strict, NULL, NULL), ERR_BAD_REQUEST);
}

/* Every byte value at every position of strings around the width of the fast path: tells a
 * wrong mask apart from a right one. */
static void every_byte_in_a_string_is_judged_alike_at_every_offset(void **state)
{
	char text[64];

	(void)state;
	for (size_t len = 1; len <= 40; len += 3) {
		for (size_t at = 0; at < len; at++) {
			for (int c = 0; c < 256; c++) {
				bool good = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';

				memset(text, 'a', sizeof(text));
				text[0] = '"';
				text[1 + at] = (char)c;
				text[1 + len] = '"';
				assert_int_equal(
					check((struct slice){ text, len + 2 }, &strict, NULL, NULL),
					good ? ERR_OK : ERR_BAD_REQUEST);
			}
		}
	}
}

static void only_an_object_is_scanned(void **state)
{
	static const char *const others[] = { "[]", "1", "\"a\"", "null", "x", "", " " };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_int_equal(
			json_scan(slice_of(others[i]), &strict, NULL, 0, &e), ERR_BAD_REQUEST);
	assert_int_equal(json_scan(SLICE(" [1]"), &strict, NULL, 0, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.message, "byte 1: the text must be a JSON object");
	assert_int_equal(
		json_scan((struct slice){ NULL, 0 }, &strict, NULL, 0, &e), ERR_BAD_REQUEST);
	assert_int_equal(json_scan(SLICE("{}"), &strict, NULL, 0, &e), ERR_OK);
}

static void wanted_members_are_found_where_they_stand(void **state)
{
	struct json_member want[] = { { .name = "model" }, { .name = "stream" },
		{ .name = "messages" }, { .name = "absent" }, { .name = "mo" } };

	(void)state;
	assert_int_equal(json_scan(SLICE(" { \"x\":{\"model\":1}, \"\\u006dodel\" : \"gpt\" ,"
					 "\"messages\":[ {\"stream\":2} ] ,\"stream\":true}"),
				 &strict, want, 5, NULL),
		ERR_OK);
	assert_int_equal(want[0].value.kind, JSON_STRING);
	assert_true(slice_is(want[0].value.raw, "\"gpt\""));
	assert_true(slice_is(want[0].whole, "\"\\u006dodel\" : \"gpt\""));
	assert_int_equal(want[1].value.kind, JSON_BOOL);
	assert_true(slice_is(want[1].whole, "\"stream\":true"));
	assert_int_equal(want[2].value.kind, JSON_ARRAY);
	assert_true(slice_is(want[2].value.raw, "[ {\"stream\":2} ]"));
	assert_int_equal(want[3].value.kind, JSON_ABSENT);
	assert_int_equal(want[4].value.kind, JSON_ABSENT);

	assert_int_equal(json_scan(SLICE("{\"model\":1,\"stream\":2"), &strict, want, 5, NULL),
		ERR_BAD_REQUEST);
	for (size_t i = 0; i < 5; i++) {
		assert_int_equal(want[i].value.kind, JSON_ABSENT);
		assert_int_equal(want[i].whole.len, 0);
	}
}

static void a_duplicate_key_is_refused_however_it_is_spelled(void **state)
{
	static const char *const twice[] = { "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
		"{\"\\u0061\":1,\"b\":0,\"a\":2}", "[{\"k\":{\"a\":1,\"b\":2,\"a\":3}}]",
		"{\"\":1,\"\":2}", "{\"\\n\":1,\"\\u000A\":2}", "{\"\\/\":1,\"/\":2}",
		"{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}" };
	static const char *const once[] = { "{\"a\":1,\"A\":2}", "{\"a\":1,\"a\\u0000\":2}",
		"{\"a\":{\"a\":1},\"b\":{\"a\":1}}", "{\"a\\\\u0062\":1,\"ab\":2}" };
	struct json_member want = { .name = "a" };
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(twice) / sizeof(twice[0]); i++) {
		print_message("%s\n", twice[i]);
		assert_int_equal(check(slice_of(twice[i]), &strict, NULL, &e), ERR_BAD_REQUEST);
		assert_non_null(strstr(e.message, ": duplicate key"));
		assert_int_equal(check(slice_of(twice[i]), &lenient, NULL, &e), ERR_OK);
	}
	for (size_t i = 0; i < sizeof(once) / sizeof(once[0]); i++)
		assert_int_equal(check(slice_of(once[i]), &strict, NULL, &e), ERR_OK);
	assert_int_equal(json_scan(SLICE("{\"a\":1,\"b\":0,\"\\u0061\":2}"), &strict, &want, 1, &e),
		ERR_BAD_REQUEST);
	assert_string_equal(e.message, "byte 13: duplicate key; the first one is at byte 1");
	assert_int_equal(
		json_scan(SLICE("{\"a\":1,\"b\":0,\"\\u0061\":2}"), &lenient, &want, 1, &e),
		ERR_OK);
	assert_true(slice_is(want.value.raw, "2"));
}

/* An object of n keys; each holds an object of its own whose keys are among the outer ones;
 * then the key of index again once more, with an escape in it if asked. */
static void many_keys(struct buf *b, int n, int inner, int again, bool escaped)
{
	buf_reset(b);
	buf_char(b, '{');
	for (int i = 0; i < n; i++) {
		buf_printf(b, "%s\"key%d\":", i ? "," : "", i);
		if (i % 7 == 3) {
			buf_char(b, '{');
			for (int k = 0; k < inner; k++)
				buf_printf(b, "%s\"key%d\":0", k ? "," : "", k);
			buf_char(b, '}');
		} else {
			buf_char(b, '1');
		}
	}
	if (again >= 0)
		buf_printf(b, ",\"%sey%d\":2", escaped ? "\\u006b" : "k", again);
	buf_char(b, '}');
	assert_true(buf_ok(b));
}

static void duplicates_are_found_among_any_number_of_keys(void **state)
{
	static const int counts[] = { 1, 15, 16, 17, 31, 32, 33, 34, 63, 64, 65, 127, 128, 129, 130,
		1000 };
	struct buf b = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		for (int inner = 0; inner < 40; inner += 13) {
			many_keys(&b, counts[i], inner, -1, false);
			assert_int_equal(check(buf_slice(&b), &strict, NULL, NULL), ERR_OK);
			for (int again = 0; again < counts[i]; again += counts[i] / 9 + 1) {
				many_keys(&b, counts[i], inner, again, again % 2);
				assert_int_equal(
					check(buf_slice(&b), &strict, NULL, NULL), ERR_BAD_REQUEST);
			}
		}
	}
	buf_fini(&b);
}

static void seventy_thousand_keys_are_accepted_and_the_last_duplicate_found(void **state)
{
	struct buf b = { 0 };
	struct err e;

	(void)state;
	many_keys(&b, 70000, 20, -1, false);
	assert_int_equal(check(buf_slice(&b), &strict, NULL, &e), ERR_OK);
	many_keys(&b, 70000, 20, 69999, true);
	assert_int_equal(check(buf_slice(&b), &strict, NULL, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "duplicate key"));
	buf_fini(&b);
}

static void huge_keys_are_compared_whole(void **state)
{
	struct buf b = { 0 };
	size_t n = 200000;
	char *key = malloc(n + 1);

	(void)state;
	assert_non_null(key);
	memset(key, 'k', n);
	key[n] = '\0';
	for (int last = 'a'; last <= 'b'; last++) {
		buf_reset(&b);
		buf_printf(&b, "{\"%sa\":1,\"%s%c\":2}", key, key, last);
		assert_int_equal(check(buf_slice(&b), &strict, NULL, NULL),
			last == 'a' ? ERR_BAD_REQUEST : ERR_OK);
	}
	free(key);
	buf_fini(&b);
}

static void the_limit_of_keys_counts_open_objects_only(void **state)
{
	struct json_limits limits = strict;
	struct err e;

	(void)state;
	for (int duplicates = 0; duplicates < 2; duplicates++) {
		limits.allow_duplicates = duplicates;
		limits.max_keys = 3;
		assert_int_equal(check(SLICE("[{\"a\":1,\"b\":{\"c\":1}},{\"a\":1,\"b\":2}]"),
					 &limits, NULL, &e),
			ERR_OK);
		assert_int_equal(check(SLICE("{\"a\":1,\"b\":{\"c\":1},\"d\":{\"e\":2}}"), &limits,
					 NULL, &e),
			ERR_BAD_REQUEST);
		assert_string_equal(
			e.message, "byte 24: more keys in open objects than 3 (GATEWAY_MAX_KEYS)");
	}
	limits.keys_setting = NULL;
	limits.max_keys = 1;
	assert_int_equal(check(SLICE("{\"a\":1,\"b\":2}"), &limits, NULL, &e), ERR_BAD_REQUEST);
	assert_string_equal(e.message, "byte 7: more keys in open objects than 1");
	limits.max_keys = 70; /* between the steps the list grows in */
	struct buf b = { 0 };
	many_keys(&b, 70, 0, -1, false);
	assert_int_equal(check(buf_slice(&b), &limits, NULL, &e), ERR_OK);
	many_keys(&b, 71, 0, -1, false);
	assert_int_equal(check(buf_slice(&b), &limits, NULL, &e), ERR_BAD_REQUEST);
	buf_fini(&b);
}

static void the_limit_of_depth_is_exact(void **state)
{
	static const unsigned depths[] = { 1, 2, 64, 200, 1000 };
	struct json_limits limits = strict;
	char text[4096], message[64];
	struct err e;

	(void)state;
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		unsigned d = depths[i];

		limits.max_depth = d;
		memset(text, '[', d);
		memset(text + d, ']', d);
		assert_int_equal(check((struct slice){ text, 2 * d }, &limits, NULL, &e), ERR_OK);
		memset(text, '[', d + 1);
		memset(text + d + 1, ']', d + 1);
		assert_int_equal(check((struct slice){ text, 2 * d + 2 }, &limits, NULL, &e),
			ERR_BAD_REQUEST);
		snprintf(message, sizeof(message),
			"byte %u: nested deeper than %u (GATEWAY_MAX_DEPTH)", d, d);
		assert_string_equal(e.message, message);
	}
	limits.max_depth = 200;
	memset(text, '[', sizeof(text));
	assert_int_equal(
		check((struct slice){ text, sizeof(text) }, &limits, NULL, &e), ERR_BAD_REQUEST);
	for (size_t i = 0; i < 201; i++)
		memcpy(text + 5 * i, "{\"a\":", 5);
	assert_int_equal(check((struct slice){ text, 1005 }, &limits, NULL, &e), ERR_BAD_REQUEST);
	assert_non_null(strstr(e.message, "byte 1000: nested deeper"));
}

static void limits_out_of_range_are_refused(void **state)
{
	struct json_limits limits[] = { { .max_depth = 0, .max_keys = 1 },
		{ .max_depth = 1001, .max_keys = 1 }, { .max_depth = 1, .max_keys = 0 },
		{ .max_depth = 1, .max_keys = 1000001 } };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(check(SLICE("{}"), &limits[i], NULL, NULL), ERR_RANGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_valid_text_is_accepted),
		cmocka_unit_test(malformed_text_is_refused_with_its_offset),
		cmocka_unit_test(a_raw_nul_is_refused_wherever_it_stands),
		cmocka_unit_test(a_text_cut_at_any_byte_is_refused),
		cmocka_unit_test(every_byte_in_a_string_is_judged_alike_at_every_offset),
		cmocka_unit_test(only_an_object_is_scanned),
		cmocka_unit_test(wanted_members_are_found_where_they_stand),
		cmocka_unit_test(a_duplicate_key_is_refused_however_it_is_spelled),
		cmocka_unit_test(duplicates_are_found_among_any_number_of_keys),
		cmocka_unit_test(seventy_thousand_keys_are_accepted_and_the_last_duplicate_found),
		cmocka_unit_test(huge_keys_are_compared_whole),
		cmocka_unit_test(the_limit_of_keys_counts_open_objects_only),
		cmocka_unit_test(the_limit_of_depth_is_exact),
		cmocka_unit_test(limits_out_of_range_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
